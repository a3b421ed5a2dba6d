//! The least that a runner could do: a thread for each core starts the tests one after the other, each in
//! its own process group with its output in pipes, and looks at nothing.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use crate::measure::Figures;
use crate::measure::Stopwatch;
use crate::workspace::Workspace;

/// Runs every test of the workspace.
pub(crate) fn run(workspace: &Workspace, threads: usize) -> Figures {
    let watch = Stopwatch::start();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((binary, name)) =
                    workspace.tests.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    one(&mut workspace.command(binary), name);
                }
            });
        }
    });
    watch.stop(None)
}

#[expect(clippy::disallowed_methods, reason = "a bare loop is what is measured")]
fn one(command: &mut Command, name: &str) {
    command
        .args(["--exact", name, "--nocapture"])
        .process_group(0)
        .stdin(Stdio::null());
    let output = command.output().expect("a test starts");
    assert!(output.status.success(), "{name} failed");
}
