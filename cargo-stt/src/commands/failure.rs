//! Why a run could not begin, with what to do next.

use stt_core::run::RunError;

use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;

/// How the command ends over this. An interrupt is no error: the person knows.
pub(super) fn conclude(failure: &RunError) -> Result<Exit, Error> {
    match failure {
        RunError::Interrupted(signal) => Ok(Exit::Signal(*signal)),
        RunError::Signals(_)
        | RunError::Setup { .. }
        | RunError::Start { .. }
        | RunError::Lost { .. }
        | RunError::MetadataFailed { .. }
        | RunError::Metadata(_)
        | RunError::CargoConfig(_)
        | RunError::Rustc(_)
        | RunError::RustcFailed { .. }
        | RunError::BuildFailed { .. }
        | RunError::Message(_)
        | RunError::Binary(_)
        | RunError::Read { .. }
        | RunError::List(_) => Err(explain(failure)),
    }
}

fn explain(failure: &RunError) -> Error {
    let error = Error::from_source(kind(failure), failure);
    match failure {
        RunError::MetadataFailed { stderr } | RunError::RustcFailed { stderr } => error
            .details(stderr)
            .hint("run it in a cargo project, or use --manifest-path"),
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
        RunError::Setup { .. } => {
            error.hint("the system may be out of processes, descriptors or memory")
        }
        RunError::Interrupted(_)
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
        | RunError::Setup { .. }
        | RunError::Start { .. }
        | RunError::Lost { .. }
        | RunError::CargoConfig(_)
        | RunError::Rustc(_)
        | RunError::RustcFailed { .. } => Kind::Setup,
        RunError::MetadataFailed { .. } | RunError::Metadata(_) => Kind::Metadata,
        RunError::BuildFailed { .. } | RunError::Message(_) | RunError::Binary(_) => Kind::Build,
        RunError::Read { .. } | RunError::List(_) => Kind::Listing,
    }
}
