//! How the command exits: names, numbers, precedence, and the re-raising of a signal.
//!
//! The numbers are nextest's where the meaning is the same.

use nix::sys::signal;
use nix::sys::signal::SaFlags;
use nix::sys::signal::SigAction;
use nix::sys::signal::SigHandler;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use stt_core::outcome;
use stt_core::outcome::RunOutcome;
use stt_core::run::Codes;
use stt_core::run::Last;

/// Every test passed, or there was nothing to complain of.
pub(crate) const PASSED: u8 = 0;
/// The command line can't be understood.
pub(crate) const USAGE: u8 = 2;
/// The selection holds no test.
pub(crate) const NO_TESTS: u8 = 4;
/// The guard stopped the run, or SIGKILL ended the process that ran it, which is what a kernel without
/// memory does; `cargo stt --resume` goes on with it.
pub(crate) const STOPPED: u8 = 42;
/// A bug in stt, or the process that ran the tests crashed.
pub(crate) const BUG: u8 = 70;
/// The configuration is wrong, or something that a run needs is not there.
pub(crate) const SETUP: u8 = 96;
/// At least one test failed.
pub(crate) const FAILED: u8 = 100;
/// cargo could not build the tests.
pub(crate) const BUILD: u8 = 101;
/// cargo could not describe the workspace.
pub(crate) const METADATA: u8 = 102;
/// A test binary could not list its tests.
pub(crate) const LISTING: u8 = 104;

/// A setup script failed, and no test was run; or a teardown script did after tests that all passed.
pub(crate) const SCRIPT: u8 = 105;
/// A report that was asked for could not be written.
pub(crate) const REPORT: u8 = 110;

/// What the supervisor has to know of the numbers.
pub(crate) const CODES: Codes = Codes {
    stopped: STOPPED as i32,
    bug: BUG as i32,
    returned: &[
        PASSED as i32,
        NO_TESTS as i32,
        REPORT as i32,
        SCRIPT as i32,
        FAILED as i32,
        STOPPED as i32,
        LISTING as i32,
        BUILD as i32,
        METADATA as i32,
        SETUP as i32,
        USAGE as i32,
        BUG as i32,
    ],
};

/// Every exit that is no signal.
const NUMBERED: [Exit; 12] = [
    Exit::Passed,
    Exit::NoTests,
    Exit::Report,
    Exit::Failed,
    Exit::Script,
    Exit::Stopped,
    Exit::Listing,
    Exit::Build,
    Exit::Metadata,
    Exit::Setup,
    Exit::Usage,
    Exit::Bug,
];

/// How the command exits. The order is the precedence: the later one counts when several are true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Exit {
    /// [`PASSED`].
    Passed,
    /// [`NO_TESTS`].
    NoTests,
    /// [`REPORT`]. Weaker than what the tests have to say: it is told in words, too.
    Report,
    /// [`FAILED`].
    Failed,
    /// [`SCRIPT`].
    Script,
    /// [`STOPPED`].
    Stopped,
    /// [`LISTING`].
    Listing,
    /// [`BUILD`].
    Build,
    /// [`METADATA`].
    Metadata,
    /// [`SETUP`].
    Setup,
    /// [`USAGE`].
    Usage,
    /// [`BUG`].
    Bug,
    /// This signal asked us to end: we end by it, so that a shell or a supervisor sees it.
    Signal(i32),
}

impl Exit {
    /// How a run's outcome is told to the caller.
    pub(crate) fn from_outcome(outcome: RunOutcome) -> Self {
        match outcome {
            RunOutcome::Passed => Self::Passed,
            RunOutcome::NoTests => Self::NoTests,
            RunOutcome::Failed => Self::Failed,
            RunOutcome::ScriptFailed => Self::Script,
            RunOutcome::Stopped => Self::Stopped,
            RunOutcome::Interrupted(signal) => Self::Signal(signal),
        }
    }

    /// How a supervisor exits: as its worker did, where that ended in an orderly way. A run that was
    /// killed can be resumed like one that the guard stopped.
    pub(crate) fn from_last(last: Last) -> Self {
        match last {
            Last::As(outcome::Exit::Code(code)) => NUMBERED
                .into_iter()
                .find(|exit| i32::from(exit.code()) == code)
                .unwrap_or(Self::Bug),
            Last::As(outcome::Exit::Signal(signal)) => Self::Signal(signal),
            Last::Killed => Self::Stopped,
            Last::Crashed => Self::Bug,
        }
    }

    /// What the command exits with when both are true.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        self.max(other)
    }

    /// The number. For a signal it is what shells make of it: 128 and the signal's number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Passed => PASSED,
            Self::NoTests => NO_TESTS,
            Self::Report => REPORT,
            Self::Failed => FAILED,
            Self::Script => SCRIPT,
            Self::Stopped => STOPPED,
            Self::Listing => LISTING,
            Self::Build => BUILD,
            Self::Metadata => METADATA,
            Self::Setup => SETUP,
            Self::Usage => USAGE,
            Self::Bug => BUG,
            Self::Signal(signal) => u8::try_from(signal & 0x7f).map_or(BUG, |number| 128 + number),
        }
    }

    /// The last thing that `main` does: ends the process by the signal, or returns the number.
    pub(crate) fn leave(self) -> std::process::ExitCode {
        if let Self::Signal(number) = self
            && let Ok(signal) = Signal::try_from(number)
        {
            raise_by_default(signal);
        }
        self.code().into()
    }
}

/// Ends this process by `signal`, as if nobody had ever handled it. Returns when that did not work, or
/// when the signal's default is not to end anything.
fn raise_by_default(signal: Signal) {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    #[expect(unsafe_code, reason = "sigaction(2)")]
    // SAFETY: the default action runs no code of ours.
    let restored = unsafe { signal::sigaction(signal, &default) };
    let mut only = SigSet::empty();
    only.add(signal);
    // What fails here leaves the number, which `leave` returns.
    // KILL has no other action than its default.
    let ready = restored.is_ok() || signal == Signal::SIGKILL;
    if ready && only.thread_unblock().is_ok() {
        let _ = signal::raise(signal);
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::WaitStatus;
    use nix::sys::wait::waitpid;
    use nix::unistd::ForkResult;
    use nix::unistd::fork;

    use super::*;

    /// Every exit in the documented order of precedence, the weakest first, with its number.
    const DOCUMENTED: [(Exit, u8); 14] = [
        (Exit::Passed, 0),
        (Exit::NoTests, 4),
        (Exit::Report, 110),
        (Exit::Failed, 100),
        (Exit::Script, 105),
        (Exit::Stopped, 42),
        (Exit::Listing, 104),
        (Exit::Build, 101),
        (Exit::Metadata, 102),
        (Exit::Setup, 96),
        (Exit::Usage, 2),
        (Exit::Bug, 70),
        (Exit::Signal(2), 130),
        (Exit::Signal(15), 143),
    ];

    #[test]
    fn of_each_two_exits_the_stronger_one_counts() {
        for (a, (first, code)) in DOCUMENTED.into_iter().enumerate() {
            assert_eq!(first.code(), code);
            for (b, (second, _)) in DOCUMENTED.into_iter().enumerate() {
                let stronger = DOCUMENTED[a.max(b)].0;
                assert_eq!(first.and(second), stronger, "{first:?} and {second:?}");
            }
        }
    }

    #[test]
    fn the_precedence_of_outcomes_is_that_of_their_exits() {
        let outcomes = [
            RunOutcome::Passed,
            RunOutcome::NoTests,
            RunOutcome::Failed,
            RunOutcome::ScriptFailed,
            RunOutcome::Stopped,
            RunOutcome::Interrupted(15),
        ];
        for a in outcomes {
            for b in outcomes {
                let both = Exit::from_outcome(a).and(Exit::from_outcome(b));
                assert_eq!(both, Exit::from_outcome(a.max(b)), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn a_supervisor_exits_as_its_worker_did() {
        for (exit, code) in DOCUMENTED {
            let by = match exit {
                Exit::Signal(signal) => outcome::Exit::Signal(signal),
                Exit::Passed
                | Exit::NoTests
                | Exit::Report
                | Exit::Failed
                | Exit::Script
                | Exit::Stopped
                | Exit::Listing
                | Exit::Build
                | Exit::Metadata
                | Exit::Setup
                | Exit::Usage
                | Exit::Bug => {
                    assert!(CODES.returned.contains(&i32::from(code)), "{exit:?}");
                    outcome::Exit::Code(i32::from(code))
                }
            };
            assert_eq!(Exit::from_last(Last::As(by)), exit);
        }
        assert_eq!(Exit::from_last(Last::Killed).code(), STOPPED);
        assert_eq!(Exit::from_last(Last::Crashed).code(), BUG);
    }

    #[test]
    fn a_signal_that_was_ignored_and_blocked_still_ends_the_process() {
        // KILL is neither, and has no action that could be set.
        for ending in [Signal::SIGTERM, Signal::SIGKILL] {
            let mut only = SigSet::empty();
            only.add(ending);
            #[expect(
                unsafe_code,
                reason = "fork(2) and signal(2), for a process that may die"
            )]
            // SAFETY: the child calls nothing that takes a lock or memory: system calls only.
            let child = unsafe {
                match fork().unwrap() {
                    ForkResult::Parent { child } => child,
                    ForkResult::Child => {
                        let ignored = signal::signal(ending, SigHandler::SigIgn).is_ok();
                        let prepared = only.thread_block().is_ok();
                        if prepared && ignored == (ending != Signal::SIGKILL) {
                            Exit::Signal(ending as i32).leave();
                        }
                        nix::libc::_exit(1)
                    }
                }
            };
            let ended = waitpid(child, None).unwrap();
            assert_eq!(ended, WaitStatus::Signaled(child, ending, false));
        }
    }

    #[test]
    fn a_number_that_is_no_signal_still_has_a_code() {
        assert_eq!(Exit::Signal(12345).code(), 185);
        assert_eq!(Exit::Signal(-1).code(), 255);
    }
}
