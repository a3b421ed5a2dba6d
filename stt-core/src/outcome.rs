//! How things end: a process, a test, a run.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::LimitHit;
use crate::units::Bytes;

/// How a process ended, as the kernel reports it (`wait(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// The final result of one test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestOutcome {
    /// It exited with 0.
    Passed,
    /// It ran, or should have run, and did not pass.
    Failed(Failure),
    /// It is marked `#[ignore]` and was not asked for.
    Ignored,
}

impl TestOutcome {
    /// Whether the test ran and did not pass.
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Passed | Self::Ignored => None,
        }
    }
}

/// Why a test failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// It exited with this code, which is not 0.
    Exit(i32),
    /// A signal that we did not send ended it.
    Signal(i32),
    /// It ran longer than it may, and was ended.
    Timeout {
        /// The limit.
        #[serde(with = "crate::units::seconds")]
        after: Duration,
    },
    /// It ran alone, after the guard had suspected it, and breached again.
    Breach {
        /// What was over which threshold, as a sentence.
        reason: String,
    },
    /// It used more than one of its limits allows.
    Limit(LimitHit),
    /// The kernel killed it, or one of its family, because memory was short: of the machine, or of the
    /// container that it runs in.
    OutOfMemory {
        /// The most memory that it was known to use.
        peak: Bytes,
    },
    /// It passed, and left something behind where that is not allowed.
    Leak,
    /// It was running when the runner died or the guard stopped the run, more than once: it is not run
    /// again.
    Suspect {
        /// What happened while it ran, as sentences.
        evidence: String,
    },
    /// Its process could not be started.
    Start {
        /// Why, with the path.
        reason: String,
    },
    /// Its output could not be read.
    Output {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => {
                write!(f, "ended by signal {signal} ({})", signal_name(*signal))
            }
            Self::Timeout { after } => {
                write!(f, "ran longer than {}", crate::units::show_duration(*after))
            }
            Self::Breach { reason } => write!(f, "breached again while it ran alone: {reason}"),
            Self::Limit(hit) => hit.fmt(f),
            Self::OutOfMemory { peak } => {
                write!(
                    f,
                    "killed by the kernel because memory was short, used {peak}"
                )
            }
            Self::Leak => f.write_str("left something behind"),
            Self::Suspect { evidence } => write!(f, "not run a third time: {evidence}"),
            Self::Start { reason } => write!(f, "could not be started: {reason}"),
            Self::Output { reason } => write!(f, "its output could not be read: {reason}"),
        }
    }
}

/// The name of a signal, such as `SIGABRT`; `unknown` for a number that has none here.
pub fn signal_name(signal: i32) -> &'static str {
    nix::sys::signal::Signal::try_from(signal).map_or("unknown", nix::sys::signal::Signal::as_str)
}

/// Why a test that was started has no final result: it is outstanding, and a resumed run runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unfinished {
    /// The guard ended it to free memory, and the run went on.
    Shed,
    /// The guard stopped the run.
    Stopped,
    /// A person or a system asked the run to end.
    Interrupted,
}

/// How a setup or teardown script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptOutcome {
    /// It exited with 0.
    Passed,
    /// It did not.
    Failed(Failure),
    /// What it has written for the tests can't be taken, for this reason.
    Variables(String),
    /// It was ended together with the run.
    Ended(Unfinished),
}

impl fmt::Display for ScriptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(failure) => failure.fmt(f),
            Self::Variables(reason) => {
                write!(
                    f,
                    "what it has written for the tests can't be used: {reason}"
                )
            }
            Self::Ended(Unfinished::Stopped | Unfinished::Shed) => {
                f.write_str("ended because the guard stopped the run")
            }
            Self::Ended(Unfinished::Interrupted) => {
                f.write_str("ended because the run was interrupted")
            }
        }
    }
}

/// Why a running test is to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// It ran longer than this limit: it failed.
    Timeout(Duration),
    /// It breached again while it ran alone, with what was over which threshold: it failed.
    Breach(String),
    /// It used more than this limit allows: it failed.
    Limit(LimitHit),
    /// It has to make room, and stays outstanding.
    Unfinished(Unfinished),
}

/// How a run ended. The order is the precedence: the later one counts when several are true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// Every test of the selection passed or is ignored.
    Passed,
    /// The selection holds no test.
    NoTests,
    /// At least one test failed.
    Failed,
    /// A setup script failed, so that no test of this leg was run; or every test passed, and a teardown script failed.
    ScriptFailed,
    /// The guard stopped the run; it can be resumed.
    Stopped,
    /// This signal ended the run; it can be resumed.
    Interrupted(i32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_named() {
        assert_eq!(
            Failure::Signal(6).to_string(),
            "ended by signal 6 (SIGABRT)"
        );
        assert_eq!(signal_name(12345), "unknown");
    }

    #[test]
    fn outcomes_keep_their_form_in_files() {
        let outcome = TestOutcome::Failed(Failure::Timeout {
            after: Duration::from_millis(1500),
        });
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(text, r#"{"failed":{"timeout":{"after":1.5}}}"#);
        assert_eq!(serde_json::from_str::<TestOutcome>(&text).unwrap(), outcome);
        assert_eq!(
            serde_json::to_string(&TestOutcome::Passed).unwrap(),
            r#""passed""#
        );
    }
}
