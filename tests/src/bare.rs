//! The least that a runner could do: a thread for each core starts the tests one after the other, each in
//! its own process group with its output in pipes, and looks at nothing.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// Runs as many tests at once as there are cores; `command` says how each is started, and `ended` hears
/// how.
///
/// # Panics
/// One can't be started.
pub fn bare_loop<T: Sync>(
    tests: &[T],
    command: impl Fn(&T) -> Command + Sync,
    ended: impl Fn(&T, ExitStatus) + Sync,
) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    ended(test, one(command(test)));
                }
            });
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "a bare loop is what is measured")]
fn one(mut command: Command) -> ExitStatus {
    command.process_group(0).stdin(Stdio::null());
    command.output().expect("a test starts").status
}
