//! Why a command ended before its work was done, with what to do next.

use stt_core::discovery::FiltersetError;
use stt_core::run::RunError;

use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;

/// Why a command ended before its work was done.
pub(super) enum Failure {
    /// Something is wrong.
    Error(Error),
    /// This signal asked for it; that is no error, for the person knows.
    Interrupted(i32),
}

impl Failure {
    /// How the command ends over this.
    pub(super) fn conclude(self) -> Result<Exit, Error> {
        match self {
            Self::Error(error) => Err(error),
            Self::Interrupted(signal) => Ok(Exit::Signal(signal)),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Interrupted(signal) => Self::Interrupted(signal),
            RunError::Signals(_)
            | RunError::Descriptors { .. }
            | RunError::Setup { .. }
            | RunError::Start { .. }
            | RunError::Lost { .. }
            | RunError::MetadataFailed { .. }
            | RunError::Metadata(_)
            | RunError::CargoConfig(_)
            | RunError::Rustc(_)
            | RunError::RustcFailed { .. }
            | RunError::BuildFailed { .. }
            | RunError::DocFailed { .. }
            | RunError::Message(_)
            | RunError::Binary(_)
            | RunError::Read { .. }
            | RunError::NoEngine { .. }
            | RunError::Sandbox(_)
            | RunError::SocketsInside { .. }
            | RunError::Limits(_)
            | RunError::Filters(FiltersetError::Graph(_))
            | RunError::List(_) => Self::Error(explain(&error)),
            RunError::Filters(FiltersetError::Filters(problems)) => Self::Error(problems.into()),
        }
    }
}

fn explain(failure: &RunError) -> Error {
    let error = Error::from_source(kind(failure), failure);
    match failure {
        RunError::MetadataFailed { stderr } | RunError::RustcFailed { stderr } => error
            .details(stderr)
            .hint("run it in a cargo project, or use --manifest-path"),
        RunError::DocFailed { stderr } => error
            .details(stderr)
            .hint("run.doctests = false does without documentation tests"),
        RunError::Start { .. } => {
            error.hint("is it installed, and in PATH? `CARGO` names another cargo")
        }
        RunError::BuildFailed { .. } => error.hint("cargo has said above what it did not like"),
        RunError::List(faults) => {
            let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
            error.details(&all.join("\n")).hint(
                "a binary with `harness = false` in its manifest may do without the list protocol",
            )
        }
        RunError::Descriptors { .. } => error.hint("raise the limit with `ulimit -n`"),
        RunError::Setup { .. } => {
            error.hint("the system may be out of processes, descriptors or memory")
        }
        RunError::Limits(unknown) => error.hint(&unknown.instead),
        RunError::NoEngine { .. } => error.hint(
            "start Docker, or Podman's service, and say where with DOCKER_HOST; `--container none` runs tests outside",
        ),
        RunError::Sandbox(failure) => error.hint(failure.advice()),
        RunError::SocketsInside { .. } => error.hint(
            "leave `listen` out for it: the ports of its container are its own; or `container = \"none\"`",
        ),
        RunError::Interrupted(_)
        | RunError::Filters(_)
        | RunError::Signals(_)
        | RunError::Lost { .. }
        | RunError::Metadata(_)
        | RunError::CargoConfig(_)
        | RunError::Rustc(_)
        | RunError::Message(_)
        | RunError::Binary(_)
        | RunError::Read { .. } => error,
    }
}

fn kind(failure: &RunError) -> Kind {
    match failure {
        RunError::Interrupted(_)
        | RunError::Signals(_)
        | RunError::Descriptors { .. }
        | RunError::Setup { .. }
        | RunError::Start { .. }
        | RunError::Lost { .. }
        | RunError::CargoConfig(_)
        | RunError::Rustc(_)
        | RunError::NoEngine { .. }
        | RunError::Sandbox(_)
        | RunError::SocketsInside { .. }
        | RunError::Limits(_)
        | RunError::Filters(_)
        | RunError::RustcFailed { .. } => Kind::Setup,
        RunError::MetadataFailed { .. } | RunError::Metadata(_) => Kind::Metadata,
        RunError::BuildFailed { .. }
        | RunError::DocFailed { .. }
        | RunError::Message(_)
        | RunError::Binary(_) => Kind::Build,
        RunError::Read { .. } | RunError::List(_) => Kind::Listing,
    }
}
