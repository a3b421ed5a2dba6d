//! The environment: the only file that reads it. Everything else is told what was captured here.

use std::ffi::OsStr;
use std::ffi::OsString;

use camino::Utf8PathBuf;
use stt_core::command::Environment;
use stt_core::coordinator::Place;
use stt_core::discovery::DOCTEST_RUNNER;
use stt_core::discovery::RustdocCall;
use stt_core::discovery::variables;

use crate::error::Error;
use crate::error::Kind;

/// The cargo that called us; it is the one that builds. Set by cargo.
pub(crate) const CARGO: &str = "CARGO";
/// The person's home, for `~/.config` where `XDG_CONFIG_HOME` is not set.
pub(crate) const HOME: &str = "HOME";
/// Where the person's configuration files are (XDG Base Directory Specification): an absolute path.
pub(crate) const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// cargo's setting for colours: `always`, `never` or `auto`.
pub(crate) const CARGO_TERM_COLOR: &str = "CARGO_TERM_COLOR";
/// Not empty: no colours (no-color.org).
pub(crate) const NO_COLOR: &str = "NO_COLOR";
/// Not empty and not `0`: colours also where there is no terminal (bixense.com/clicolors).
pub(crate) const CLICOLOR_FORCE: &str = "CLICOLOR_FORCE";
/// The kind of the terminal; `dumb` for one without colours and without a cursor that moves.
pub(crate) const TERM: &str = "TERM";
/// Set by continuous integration services: nobody watches a progress bar there.
pub(crate) const CI: &str = "CI";
/// Where temporary files go; each run makes a directory of its own there.
pub(crate) const TMPDIR: &str = "TMPDIR";
/// The user's directory for what lives as long as the machine runs (XDG Base Directory Specification):
/// runs keep their records there.
pub(crate) const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
/// `true` in a step of GitHub Actions ("Variables reference").
pub(crate) const GITHUB_ACTIONS: &str = "GITHUB_ACTIONS";
/// Where GitHub Actions has checked out the repository.
pub(crate) const GITHUB_WORKSPACE: &str = "GITHUB_WORKSPACE";
/// The file that collects the summary of a step of GitHub Actions.
pub(crate) const GITHUB_STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";
/// GitLab's mark, and its number of a job of several, from 1, with how many there are.
pub(crate) const GITLAB_CI: &str = "GITLAB_CI";
/// See [`GITLAB_CI`].
pub(crate) const CI_NODE_INDEX: &str = "CI_NODE_INDEX";
/// See [`GITLAB_CI`].
pub(crate) const CI_NODE_TOTAL: &str = "CI_NODE_TOTAL";
/// Semaphore's mark, and its number of a job of several, from 1, with how many there are.
pub(crate) const SEMAPHORE: &str = "SEMAPHORE";
/// See [`SEMAPHORE`].
pub(crate) const SEMAPHORE_JOB_INDEX: &str = "SEMAPHORE_JOB_INDEX";
/// See [`SEMAPHORE`].
pub(crate) const SEMAPHORE_JOB_COUNT: &str = "SEMAPHORE_JOB_COUNT";
/// `CircleCI`'s mark, and its number of a job of several, from 0, with how many there are.
pub(crate) const CIRCLECI: &str = "CIRCLECI";
/// See [`CIRCLECI`].
pub(crate) const CIRCLE_NODE_INDEX: &str = "CIRCLE_NODE_INDEX";
/// See [`CIRCLECI`].
pub(crate) const CIRCLE_NODE_TOTAL: &str = "CIRCLE_NODE_TOTAL";
/// Buildkite's mark, and its number of a job of several, from 0, with how many there are.
pub(crate) const BUILDKITE: &str = "BUILDKITE";
/// See [`BUILDKITE`].
pub(crate) const BUILDKITE_PARALLEL_JOB: &str = "BUILDKITE_PARALLEL_JOB";
/// See [`BUILDKITE`].
pub(crate) const BUILDKITE_PARALLEL_JOB_COUNT: &str = "BUILDKITE_PARALLEL_JOB_COUNT";
/// Slurm's number of a job of several; the smallest, the step between them, and how many there are.
pub(crate) const SLURM_ARRAY_TASK_ID: &str = "SLURM_ARRAY_TASK_ID";
/// See [`SLURM_ARRAY_TASK_ID`].
pub(crate) const SLURM_ARRAY_TASK_MIN: &str = "SLURM_ARRAY_TASK_MIN";
/// See [`SLURM_ARRAY_TASK_ID`].
pub(crate) const SLURM_ARRAY_TASK_STEP: &str = "SLURM_ARRAY_TASK_STEP";
/// See [`SLURM_ARRAY_TASK_ID`].
pub(crate) const SLURM_ARRAY_TASK_COUNT: &str = "SLURM_ARRAY_TASK_COUNT";
/// The number of a pod of an indexed job of Kubernetes, from 0.
pub(crate) const JOB_COMPLETION_INDEX: &str = "JOB_COMPLETION_INDEX";
/// How the names of all our variables begin. Those that set a key of the configuration are
/// `STT_<SECTION>_<KEY>`.
pub(crate) const PREFIX: &str = "STT_";

/// All variables.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn variables() -> Environment {
    std::env::vars_os().collect()
}

/// The arguments, the program first.
pub(crate) fn command_line() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// Our own program: an absolute path, without links on the way.
///
/// # Errors
/// It is gone, or its path is no text.
pub(crate) fn own_program() -> Result<Utf8PathBuf, Error> {
    let unknown = |why: &str| {
        let message = format!("could not find out where this program is: {why}");
        Error::new(Kind::Setup, message).hint("install it at a path that stays, and call it there")
    };
    let program = std::env::current_exe().map_err(|error| unknown(&error.to_string()))?;
    if !program.is_file() {
        // One that was replaced while it runs.
        return Err(unknown(&format!("`{}` is no file", program.display())));
    }
    Utf8PathBuf::from_path_buf(program)
        .map_err(|path| unknown(&format!("`{}` is not UTF-8", path.display())))
}

/// How cargo has called us as its documentation tool, and where that is to be written; `None` when it did not.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn rustdoc_call() -> Option<(Utf8PathBuf, RustdocCall)> {
    let dir = std::env::var(variables::STT_DOCTEST_CALLS).ok()?;
    let cwd = Utf8PathBuf::from_path_buf(std::env::current_dir().ok()?).ok()?;
    let call = RustdocCall {
        cwd,
        args: std::env::args_os().skip(1).collect(),
        env: std::env::vars_os().collect(),
    };
    // A runner that a documentation test starts is no tool of cargo's.
    let is_tool = call.args.iter().any(|arg| arg == "--test");
    is_tool.then(|| (dir.into(), call))
}

/// The program of a documentation test with its arguments, when `rustdoc` has called us as its runner.
pub(crate) fn doctest_call() -> Option<(OsString, Vec<OsString>)> {
    let mut args = std::env::args_os().skip(1);
    args.next().filter(|first| first == DOCTEST_RUNNER)?;
    Some((args.next()?, args.collect()))
}

/// What surrounds the process, captured once.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// The arguments, the program first.
    pub(crate) args: Vec<OsString>,
    /// All variables.
    pub(crate) vars: Environment,
    /// The current directory.
    pub(crate) cwd: Utf8PathBuf,
}

impl Surroundings {
    /// Reads arguments, variables and the current directory.
    ///
    /// # Errors
    /// The current directory is gone, or its path is no text.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub(crate) fn capture() -> Result<Self, Error> {
        let cwd = std::env::current_dir().map_err(|error| {
            Error::new(Kind::Setup, "could not find out the current directory")
                .caused_by(&error)
                .hint("it may have been removed: change to one that exists")
        })?;
        let cwd = Utf8PathBuf::from_path_buf(cwd).map_err(|cwd| {
            let message = format!(
                "the path of this directory is not UTF-8: `{}`",
                cwd.display()
            );
            Error::new(Kind::Setup, message)
        })?;
        Ok(Self {
            args: command_line(),
            vars: variables(),
            cwd,
        })
    }

    /// The value of a variable.
    pub(crate) fn var(&self, name: &str) -> Option<&OsStr> {
        let found = self.vars.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_os_str())
    }

    /// The value of a variable that is not empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&OsStr> {
        self.var(name).filter(|value| !value.is_empty())
    }

    /// A variable that holds an absolute path; anything else in it says nothing.
    pub(crate) fn absolute_path(&self, name: &str) -> Option<Utf8PathBuf> {
        let path = Utf8PathBuf::from(self.filled(name)?.to_str()?);
        path.is_absolute().then_some(path)
    }

    /// Where temporary files go.
    pub(crate) fn temporary(&self) -> Utf8PathBuf {
        self.absolute_path(TMPDIR).unwrap_or_else(|| "/tmp".into())
    }

    /// Where the runs of this user keep their records.
    pub(crate) fn coordinator(&self) -> Place {
        Place {
            runtime: self.absolute_path(XDG_RUNTIME_DIR),
            temporary: self.temporary(),
        }
    }

    /// Our own variables, those that set no key included.
    ///
    /// # Errors
    /// One of them is no text.
    pub(crate) fn own_variables(&self) -> Result<Vec<(String, String)>, Error> {
        let mut own = Vec::new();
        for (name, value) in self.vars.iter() {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            let value = value.to_str().ok_or_else(|| {
                let message = format!("the environment variable {name} is not UTF-8 text");
                Error::new(Kind::Setup, message)
            })?;
            own.push((name.to_owned(), value.to_owned()));
        }
        Ok(own)
    }

    /// Whether this is a job of a continuous integration service.
    pub(crate) fn is_ci(&self) -> bool {
        self.filled(CI).is_some_and(|value| value != "false")
    }
}
