//! Why a run could not begin. Once tests run, everything is an outcome.

use std::io;

use camino::Utf8PathBuf;

use crate::config::UnknownLimits;
use crate::containers::SandboxError;
use crate::discovery::BinaryError;
use crate::discovery::CargoConfigError;
use crate::discovery::FiltersetError;
use crate::discovery::ListError;
use crate::discovery::MessageError;
use crate::discovery::MetadataError;
use crate::discovery::RustcError;
use crate::id::TestId;
use crate::outcome::Exit;
use crate::process::DriveError;
use crate::process::SpawnError;
use crate::signal::SignalError;

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// This signal ended the preparation; nothing of it is left.
    #[error("interrupted by {}", crate::outcome::signal_name(*.0))]
    Interrupted(i32),
    /// The handlers for signals could not be set up.
    #[error("cannot watch for signals")]
    Signals(#[source] SignalError),
    /// Too few files may be open for even one test at a time.
    #[error(
        "only {limit} files may be open, and a run needs {}",
        crate::schedule::FEWEST_DESCRIPTORS
    )]
    Descriptors {
        /// The limit (`RLIMIT_NOFILE`).
        limit: u64,
    },
    /// A thread, a pipe or a directory that a run needs could not be made.
    #[error("cannot set up {what}")]
    Setup {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program that is needed to find the tests could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// The program as it would be typed.
        program: String,
        /// Why.
        #[source]
        source: SpawnError,
    },
    /// What came of such a program, or what it said, could not be learned.
    #[error("cannot tell what came of `{program}`")]
    Lost {
        /// The program as it would be typed.
        program: String,
        /// Why.
        #[source]
        source: DriveError,
    },
    /// `cargo metadata` failed and said why on its standard error.
    #[error("`cargo metadata` failed")]
    MetadataFailed {
        /// What it said.
        stderr: String,
    },
    /// Cargo did not tell how documentation tests are called.
    #[error("`cargo test --doc` failed")]
    DocFailed {
        /// What it said.
        stderr: String,
    },
    /// The answer of `cargo metadata` can't be read.
    #[error("`cargo metadata` gave an answer that can't be read")]
    Metadata(#[source] MetadataError),
    /// A cargo configuration file can't be read.
    #[error("cargo's configuration can't be read")]
    CargoConfig(#[source] CargoConfigError),
    /// The compiler's answer can't be read.
    #[error("`rustc` gave an answer that can't be read")]
    Rustc(#[source] RustcError),
    /// The compiler failed to answer.
    #[error("`rustc` failed")]
    RustcFailed {
        /// What it said.
        stderr: String,
    },
    /// The build failed, and cargo has said why.
    #[error("the build failed{}", unlike_cargo(*exit))]
    BuildFailed {
        /// How cargo ended.
        exit: Exit,
    },
    /// One of cargo's messages can't be read.
    #[error("a message of the build can't be read")]
    Message(#[source] MessageError),
    /// What was built can't be told.
    #[error("the test binaries can't be told from the build")]
    Binary(#[source] BinaryError),
    /// A test binary can't be read.
    #[error("the test binary {path} can't be read")]
    Read {
        /// The binary.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no engine for tests in containers.
    #[error("tests can't run in containers without an engine: {why}")]
    NoEngine {
        /// What there is instead.
        why: String,
    },
    /// Tests can't run in containers.
    #[error(transparent)]
    Sandbox(SandboxError),
    /// A test in a container can't find a socket of ours.
    #[error(
        "`{test}` has `ports` with `listen = true`, and can't have a socket of ours in its container"
    )]
    SocketsInside {
        /// The test.
        test: TestId,
    },
    /// A set of limits is not there.
    #[error(transparent)]
    Limits(UnknownLimits),
    /// Filters of overrides could not be made ready.
    #[error("the overrides can't be applied")]
    Filters(#[source] FiltersetError),
    /// Test binaries could not list their tests; each is named.
    #[error("{} could not list {} tests", several(.0.len()), if .0.len() == 1 { "its" } else { "their" })]
    List(Vec<ListError>),
}

fn several(count: usize) -> String {
    if count == 1 {
        "a test binary".to_owned()
    } else {
        format!("{count} test binaries")
    }
}

/// An error with its causes in one line, for places that hold a line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// How cargo ended, where that is not how it ends after an error of the build (101): it has said nothing then.
fn unlike_cargo(exit: Exit) -> String {
    match exit {
        Exit::Code(101) => String::new(),
        Exit::Code(code) => format!(": cargo exited with {code}"),
        Exit::Signal(signal) => format!(": signal {signal} ended cargo"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_was_ended_says_by_what() {
        for (exit, message) in [
            (Exit::Code(101), "the build failed"),
            (Exit::Code(1), "the build failed: cargo exited with 1"),
            (Exit::Signal(9), "the build failed: signal 9 ended cargo"),
        ] {
            assert_eq!(RunError::BuildFailed { exit }.to_string(), message);
        }
    }
}
