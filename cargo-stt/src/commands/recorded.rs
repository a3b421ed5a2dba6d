//! The recorded run that `--resume` goes on with, or why there is none.

use camino::Utf8Path;
use stt_core::checkpoint;
use stt_core::checkpoint::DroppedWhy;
use stt_core::checkpoint::LoadError;
use stt_core::checkpoint::Loaded;
use stt_core::checkpoint::ResumePlan;
use stt_core::config::NO_LIMITS;
use stt_core::config::Resolved;
use stt_core::config::Source;
use stt_core::outcome::Exit;
use stt_core::outcome::signal_name;
use stt_core::report::Warning;
use stt_core::selection::Selection;

use crate::error::Error;
use crate::error::Kind;
use crate::settings::RUN_LIMITS;

/// What was found, and what a person should know of it.
#[derive(Default)]
pub(super) struct Recorded {
    /// The run to go on with; `None` to begin a new one.
    pub(super) loaded: Option<Box<Loaded>>,
    /// What is said before the first test.
    pub(super) warnings: Vec<Warning>,
}

/// Reads the checkpoint. One that is of no use is put aside, never overwritten: everything runs again,
/// but what it held is still there for whoever wants to look.
///
/// # Errors
/// Something is there that can be neither read nor put aside.
pub(super) fn find(path: &Utf8Path, root: &Utf8Path) -> Result<Recorded, Error> {
    let failure = match checkpoint::load(path, root) {
        Ok(loaded) => return Ok(Recorded::of(loaded)),
        Err(failure) => failure,
    };
    match failure {
        LoadError::NotFound { .. } => Ok(Recorded {
            loaded: None,
            warnings: vec![warning(format!("{failure}: every test runs"), None)],
        }),
        LoadError::Io { .. } | LoadError::NotAFile { .. } => {
            Err(Error::from_source(Kind::Setup, &failure)
                .hint("begin without --resume, or name another file with --checkpoint"))
        }
        LoadError::TooLarge { .. }
        | LoadError::Damaged { .. }
        | LoadError::FutureVersion { .. }
        | LoadError::OtherWorkspace { .. } => put_aside(path, &failure),
    }
}

fn put_aside(path: &Utf8Path, failure: &LoadError) -> Result<Recorded, Error> {
    let aside = checkpoint::set_aside(path, "bad").map_err(|error| {
        Error::from_source(Kind::Setup, failure)
            .caused_by(&error)
            .hint(format!(
                "move `{path}` away, or name another file with --checkpoint"
            ))
    })?;
    Ok(Recorded {
        loaded: None,
        warnings: vec![warning(
            format!("{failure}: every test runs"),
            Some(format!("the old file is now `{aside}`")),
        )],
    })
}

impl Recorded {
    fn of(loaded: Loaded) -> Self {
        let repaired = loaded
            .repaired
            .as_ref()
            .map(|repair| warning(format!("the checkpoint was not whole: {repair}"), None));
        let died = loaded.died.map(|exit| {
            let how = match exit {
                Exit::Signal(signal) => signal_name(signal).to_owned(),
                Exit::Code(code) => format!("exit code {code}"),
            };
            warning(format!("the recorded run died by {how}"), None)
        });
        Self {
            loaded: Some(Box::new(loaded)),
            warnings: repaired.into_iter().chain(died).collect(),
        }
    }

    /// Requires a run to go on with.
    ///
    /// # Errors
    /// There is none: what was found says why.
    pub(super) fn must_be(&self) -> Result<(), Error> {
        if self.loaded.is_some() {
            return Ok(());
        }
        let why = self.warnings.iter().map(|warning| warning.message.as_str());
        let why: Vec<_> = why
            .map(|why| why.trim_end_matches(": every test runs"))
            .collect();
        let message = format!("there is no recorded run: {}", why.join("; "));
        Err(Error::new(Kind::Setup, message).hint("without --rerun-failed a new run begins"))
    }

    /// The selection to go on with. One that was typed must be the recorded one: another would drop
    /// results that nobody wanted to lose.
    ///
    /// # Errors
    /// It is another.
    pub(super) fn selection(&self, typed: Option<Selection>) -> Result<Option<Selection>, Error> {
        let recorded = self
            .loaded
            .as_ref()
            .map(|loaded| loaded.header.selection.clone());
        match (recorded, typed) {
            (Some(recorded), Some(typed)) if recorded != typed => Err(Error::new(
                Kind::Usage,
                "the recorded run selected other tests than this command line",
            )
            .hint(
                "`cargo stt --resume` alone goes on with the recorded selection; without \
                 --resume a new run begins",
            )),
            (Some(recorded), _) => Ok(Some(recorded)),
            (None, typed) => Ok(typed),
        }
    }
}

/// Where limits select the tests, the set of all tests is part of the selection: the recorded one holds.
///
/// # Errors
/// The command line names another.
pub(super) fn take_limits(selection: &Selection, resolved: &mut Resolved) -> Result<(), Error> {
    let Some(only) = &selection.tests.only_limits else {
        return Ok(());
    };
    let limits = &mut resolved.config.run.limits;
    if limits.as_deref() == only.default.as_deref() {
        return Ok(());
    }
    *limits = only.default.as_deref().map(Into::into);
    let origin = resolved.origin(RUN_LIMITS);
    if origin.is_some_and(|origin| origin.source == Source::CommandLine) {
        let recorded = only.default.as_deref().unwrap_or(NO_LIMITS);
        let message = format!(
            "the recorded run selected its tests by their limits, with `{recorded}` for all tests"
        );
        let hint = "leave `--limits` out; without --resume a new run begins";
        return Err(Error::new(Kind::Usage, message).hint(hint));
    }
    Ok(())
}

/// What a person should know of a plan: results that were dropped, by binary.
pub(super) fn dropped(plan: &ResumePlan) -> impl Iterator<Item = Warning> {
    plan.dropped.iter().map(|dropped| {
        let results = match dropped.results {
            1 => "1 result".to_owned(),
            count => format!("{count} results"),
        };
        let binary = &dropped.binary;
        let message = match dropped.why {
            DroppedWhy::Changed => {
                format!(
                    "{results} of {binary} dropped: the binary has changed, its tests run again"
                )
            }
            DroppedWhy::Gone => {
                format!("{results} of {binary} dropped: the binary is not built any more")
            }
            DroppedWhy::NotSelected => {
                format!("{results} of {binary} dropped: the tests are not there any more")
            }
        };
        warning(message, None)
    })
}

/// Something to say before the first test.
pub(super) fn warning(message: String, hint: Option<String>) -> Warning {
    Warning { message, hint }
}
