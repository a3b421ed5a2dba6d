//! What the kernel reports of an ended process, and what that means for its test. Pure.

use crate::outcome::EndReason;
use crate::outcome::Exit;
use crate::outcome::Failure;
use crate::outcome::TestOutcome;
use crate::outcome::Unfinished;

/// Reads the status word of `wait4(2)`, as its man page tells it apart: the low seven bits name the
/// signal, and are zero when the process exited by itself with the code in the next eight bits.
pub(super) fn exit_of(status: i32) -> Exit {
    match status & 0x7f {
        0 => Exit::Code((status >> 8) & 0xff),
        signal => Exit::Signal(signal),
    }
}

/// What came of a test that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It has its result.
    Final(TestOutcome),
    /// It was ended for a reason that says nothing about it, and stays outstanding.
    Unfinished(Unfinished),
}

/// Settles a test by its exit and by the order, if any, that took effect before that exit.
///
/// A test that was ended counts as ended however it exits: many catch TERM and exit with 0.
pub fn settle(exit: Exit, ended: Option<EndReason>) -> Settled {
    let failure = match (ended, exit) {
        (Some(EndReason::Unfinished(why)), _) => return Settled::Unfinished(why),
        (Some(EndReason::Timeout(after)), _) => Failure::Timeout { after },
        (Some(EndReason::Breach(reason)), _) => Failure::Breach { reason },
        (Some(EndReason::Limit(hit)), _) => Failure::Limit(hit),
        (None, Exit::Code(0)) => return Settled::Final(TestOutcome::Passed),
        (None, Exit::Code(code)) => Failure::Exit(code),
        (None, Exit::Signal(signal)) => Failure::Signal(signal),
    };
    Settled::Final(TestOutcome::Failed(failure))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_status_is_a_code_or_a_signal() {
        let cases = [
            (0, Exit::Code(0)),
            (1 << 8, Exit::Code(1)),
            (255 << 8, Exit::Code(255)),
            (9, Exit::Signal(9)),
            // A core dump sets the eighth bit.
            (6 | 0x80, Exit::Signal(6)),
            // A real-time signal is one like any other.
            (34, Exit::Signal(34)),
        ];
        for (status, exit) in cases {
            assert_eq!(exit_of(status), exit, "{status:#x}");
        }
    }

    #[test]
    fn an_exit_is_the_result_unless_the_test_was_ended_before() {
        let failed = |failure| Settled::Final(TestOutcome::Failed(failure));
        let limit = Duration::from_secs(60);
        let cases = [
            (Exit::Code(0), None, Settled::Final(TestOutcome::Passed)),
            (Exit::Code(101), None, failed(Failure::Exit(101))),
            (Exit::Signal(11), None, failed(Failure::Signal(11))),
            (
                Exit::Code(0),
                Some(EndReason::Timeout(limit)),
                failed(Failure::Timeout { after: limit }),
            ),
            (
                Exit::Signal(9),
                Some(EndReason::Breach("too much".to_owned())),
                failed(Failure::Breach {
                    reason: "too much".to_owned(),
                }),
            ),
            (
                Exit::Signal(15),
                Some(EndReason::Unfinished(Unfinished::Shed)),
                Settled::Unfinished(Unfinished::Shed),
            ),
            (
                Exit::Code(1),
                Some(EndReason::Unfinished(Unfinished::Interrupted)),
                Settled::Unfinished(Unfinished::Interrupted),
            ),
        ];
        for (exit, ended, settled) in cases {
            assert_eq!(settle(exit, ended.clone()), settled, "{exit:?} {ended:?}");
        }
    }
}
