//! What a process's end means for its test, in the words of those who are told. Pure.

use std::sync::Arc;

use crate::checkpoint;
use crate::outcome::Failure;
use crate::outcome::TestOutcome;
use crate::process;
use crate::process::DriveError;
use crate::process::Ended;
use crate::process::Left;
use crate::process::Settled;
use crate::report::Captured;
use crate::report::Leak;
use crate::report::LeakedProcess;
use crate::report::Stream;

/// Whether the test has its result. A test whose output was lost has not passed: nobody knows what it
/// had to say.
pub(crate) fn settled(ended: &Ended) -> Settled {
    let settled = process::settle(ended.exit, ended.ended.clone());
    match (&settled, &ended.error) {
        (Settled::Final(_), Some(error)) => {
            let reason = super::error::chain(error);
            Settled::Final(TestOutcome::Failed(match error {
                DriveError::Output(_) | DriveError::Status(_) => Failure::Output { reason },
            }))
        }
        (Settled::Final(_) | Settled::Unfinished(_), _) => settled,
    }
}

/// What the test left behind, if anything. What a test leaves that was ended was ended with it, and is
/// no fault of its own.
pub(crate) fn leak(left: Left) -> Option<Leak> {
    let processes: Vec<_> = left
        .processes
        .into_iter()
        .map(|survivor| LeakedProcess {
            pid: survivor.pid,
            command: survivor.command,
        })
        .collect();
    let leak = Leak {
        output_open: left.output_open,
        processes,
    };
    (leak != Leak::default()).then_some(leak)
}

/// What the test printed.
pub(crate) fn captured(output: process::Output) -> Captured {
    let stream = |kept: process::Kept| Stream {
        head: kept.head,
        omitted: kept.omitted,
        tail: kept.tail,
        spilled: kept.spilled,
    };
    Captured {
        stdout: stream(output.stdout),
        stderr: stream(output.stderr),
    }
}

/// What of that the checkpoint keeps.
pub(crate) fn recorded(output: &Captured) -> Arc<checkpoint::Output> {
    let text =
        |stream: &Stream| checkpoint::Text::bounded(&stream.head, stream.omitted, &stream.tail);
    Arc::new(checkpoint::Output {
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    })
}

/// A leak as lines.
pub(crate) fn lines(leak: &Leak) -> Vec<String> {
    let open = leak
        .output_open
        .then(|| "its output was still open".to_owned());
    let processes = leak
        .processes
        .iter()
        .map(|process| format!("{} {}", process.pid, process.command));
    open.into_iter().chain(processes).collect()
}
