//! What `run` and `list` have in common: the way from the command line to the tests.

use std::ffi::OsStr;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use stt_core::command::Environment;
use stt_core::config::Config;
use stt_core::config::Expressions;
use stt_core::config::Resolved;
use stt_core::discovery::Answers;
use stt_core::discovery::Chosen;
use stt_core::discovery::TestRules;
use stt_core::discovery::Workspace;
use stt_core::guard::cores;
use stt_core::id::BinaryId;
use stt_core::id::RunId;
use stt_core::run::ArchiveError;
use stt_core::run::Asking;
use stt_core::run::Discovered;
use stt_core::run::Session;
use stt_core::run::Site;
use stt_core::run::Wanted;
use stt_core::run::unpack;
use stt_core::selection::BuildPlace;
use stt_core::selection::BuildSelection;
use stt_core::selection::Selection;
use stt_core::selection::TestSelection;
use stt_core::units::show_duration;

use crate::cli::ReuseArgs;
use crate::commands::failure::Failure;
use crate::env::own_program;
use crate::error::Error;
use crate::error::Kind;
use crate::printer::Printer;

/// Where and with what is built.
pub(super) fn site<'a>(
    cargo: &'a OsStr,
    cwd: &'a Utf8Path,
    place: &'a BuildPlace,
    archive: Option<&'a Answers>,
) -> Site<'a> {
    Site {
        cargo,
        cwd,
        place,
        archive,
    }
}

/// What was built elsewhere, unpacked; `None` where it is to be built here.
///
/// # Errors
/// The archive is none, or it can't be unpacked.
pub(super) fn reused(reuse: &ReuseArgs, cwd: &Utf8Path) -> Result<Option<Answers>, Error> {
    let Some(path) = &reuse.archive_file else {
        return Ok(None);
    };
    let absolute = |path: &Utf8PathBuf| cwd.join(path);
    let into = reuse.extract_to.as_ref().map(absolute);
    let root = reuse.workspace_remap.as_ref().map(absolute);
    let unpacked = unpack(&absolute(path), into.as_deref(), root.as_deref());
    unpacked.map(Some).map_err(|failure| {
        let error = Error::from_source(Kind::Setup, &failure);
        match failure {
            ArchiveError::NoWorkspace { .. } => {
                error.hint("--workspace-remap says where the sources are")
            }
            ArchiveError::Foreign { .. } => error.hint("`cargo stt archive` makes archives"),
            ArchiveError::Unpack { .. } => error,
        }
    })
}

/// Has the default filter of the platform that is built for hold, where an override has one for it. Not for the selection
/// of a checkpoint, which holds what was said when the run began.
///
/// # Errors
/// The compiler does not tell what that platform is.
pub(super) fn take_default_filter(
    session: &Session,
    site: &Site<'_>,
    workspace: &Workspace,
    selection: Option<&Selection>,
    resolved: &mut Resolved,
) -> Result<(), Failure> {
    let usual = BuildSelection::default();
    let build = selection.map_or(&usual, |selection| &selection.build);
    let found = session.default_filter(site, workspace, build, &resolved.config.overrides)?;
    if let Some(found) = found {
        resolved.take_default_filter(found);
    }
    Ok(())
}

/// What is needed to find tests, beside the session.
pub(super) struct Search<'a> {
    pub(super) site: Site<'a>,
    pub(super) workspace: &'a Workspace,
    pub(super) config: &'a Config,
    pub(super) run: &'a RunId,
    /// What tests inherit.
    pub(super) env: &'a Environment,
    /// For which tests the expressions of the selection hold.
    pub(super) chosen: &'a Chosen,
    /// What their binaries are asked by.
    pub(super) rules: &'a TestRules,
}

/// What each test of the selection may use, and for which tests its expressions hold.
///
/// # Errors
/// A set that is named is not there, or an override or an expression does not fit the workspace.
pub(super) fn test_rules(
    session: &Session,
    site: &Site<'_>,
    workspace: &mut Workspace,
    config: &Config,
    tests: &TestSelection,
    expressions: &Expressions,
) -> Result<(TestRules, Chosen), Failure> {
    let only = tests.only_limits.iter().flat_map(|only| &only.sets);
    for name in only {
        if let Err(unknown) = config.limits.choose(name) {
            let error = Error::from_source(Kind::Usage, &unknown).hint(unknown.instead);
            return Err(error.into());
        }
    }
    let chosen = session.chosen(site, workspace, expressions)?;
    let rules = session.test_rules(site, workspace, config)?;
    let default = chosen.default_filter().cloned();
    Ok((rules.with_default_filter(default), chosen))
}

impl Search<'_> {
    /// Builds and lists.
    pub(super) fn discover(
        &self,
        session: &Session,
        build: &BuildSelection,
        printer: &Printer,
    ) -> Result<Discovered, Failure> {
        let recorder = (build.doc || build.doctests)
            .then(own_program)
            .transpose()?;
        let cache = self.workspace.target_dir.join("stt/listings.json");
        let wanted = Wanted {
            workspace: self.workspace,
            build,
            run: self.run,
            profile: &self.config.profile,
            env: self.env,
            colour: printer.err_colour(),
            grace: self.config.run.grace_period,
            asking: Asking {
                cache: &cache,
                timeout: self.config.run.list_timeout,
                threads: cores(),
            },
            recorder: recorder.as_ref().map(|path| path.as_os_str()),
            chosen: self.chosen,
            rules: self.rules,
        };
        let text = |line: &str| printer.err(&format!("{line}\n"));
        let most = show_duration(self.config.run.list_timeout);
        let slow = |binary: &BinaryId| {
            let line = format!("for the list of tests of {binary}, for {most} at most");
            printer.err(&format!("{:>12} {line}\n", "Waiting"));
        };
        Ok(session.discover(&self.site, &wanted, text, &slow)?)
    }
}
