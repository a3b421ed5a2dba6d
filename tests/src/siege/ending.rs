//! The ways in which a run can end.

use nix::sys::signal::Signal;

/// A way to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The tests pass and leave their families behind.
    Pass,
    /// Another test fails while they run; they end by themselves, and no other starts.
    FailFast,
    /// The tests hang and run into their timeout.
    Timeout,
    /// The guard stops the run for another test's memory.
    Guard,
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGKILL of the worker.
    KillWorker,
    /// SIGKILL of the supervisor.
    KillSupervisor,
    /// SIGKILL of both, one of which may not be there; the next run finds what they left.
    KillBoth,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Pass,
        Self::FailFast,
        Self::Timeout,
        Self::Guard,
        Self::Interrupt,
        Self::Terminate,
        Self::KillWorker,
        Self::KillSupervisor,
        Self::KillBoth,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::FailFast => "fail-fast",
            Self::Timeout => "timeout",
            Self::Guard => "guard",
            Self::Interrupt => "int",
            Self::Terminate => "term",
            Self::KillWorker => "kill-worker",
            Self::KillSupervisor => "kill-super",
            Self::KillBoth => "kill-both",
        }
    }

    /// Whether only a runner of two processes can end so.
    pub fn needs_a_supervisor(self) -> bool {
        match self {
            Self::KillWorker | Self::KillSupervisor => true,
            Self::KillBoth
            | Self::Pass
            | Self::FailFast
            | Self::Timeout
            | Self::Guard
            | Self::Interrupt
            | Self::Terminate => false,
        }
    }

    /// How long after the exit, the kill or the next start somebody may live, in milliseconds.
    pub fn allowed(self) -> u64 {
        match self {
            Self::Pass
            | Self::FailFast
            | Self::Timeout
            | Self::Guard
            | Self::Interrupt
            | Self::Terminate => 0,
            Self::KillWorker | Self::KillSupervisor => 150,
            Self::KillBoth => 1000,
        }
    }

    /// What the tests do once their families are up.
    pub(super) fn then(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::FailFast => "wait",
            Self::Timeout
            | Self::Guard
            | Self::Interrupt
            | Self::Terminate
            | Self::KillWorker
            | Self::KillSupervisor
            | Self::KillBoth => "hang",
        }
    }

    /// The tests that it needs beside them.
    pub(super) fn beside(self) -> &'static [&'static str] {
        match self {
            Self::FailFast => &["fails_on_cue"],
            Self::Guard => &["grows_on_cue"],
            Self::Pass
            | Self::Timeout
            | Self::Interrupt
            | Self::Terminate
            | Self::KillWorker
            | Self::KillSupervisor
            | Self::KillBoth => &[],
        }
    }

    /// The flags that it needs.
    pub(super) fn args(self) -> &'static [&'static str] {
        match self {
            Self::Timeout => &[
                "--no-fail-fast",
                "--config",
                "run.slow-timeout=10s",
                "--config",
                "run.terminate-after=1",
                "--config",
                "run.grace-period=300ms",
            ],
            Self::Guard => &[
                "--memory-threshold",
                "2GB",
                "--config",
                "guard.grace-period=300ms",
            ],
            Self::Pass
            | Self::FailFast
            | Self::Interrupt
            | Self::Terminate
            | Self::KillWorker
            | Self::KillSupervisor
            | Self::KillBoth => &[
                "--config",
                "run.grace-period=300ms",
                "--memory-threshold",
                "8GB",
            ],
        }
    }

    /// The exit code or the signal that the runner must come to; `None` where a kill decides.
    pub(super) fn comes_to(self) -> Option<(Option<i32>, Option<i32>)> {
        match self {
            Self::Pass => Some((Some(0), None)),
            Self::FailFast | Self::Timeout => Some((Some(100), None)),
            Self::Guard => Some((Some(42), None)),
            Self::Interrupt => Some((None, Some(Signal::SIGINT as i32))),
            Self::Terminate => Some((None, Some(Signal::SIGTERM as i32))),
            Self::KillWorker | Self::KillSupervisor | Self::KillBoth => None,
        }
    }
}
