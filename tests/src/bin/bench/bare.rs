//! The suite under a bare loop.

use stt_tests::Stopwatch;
use stt_tests::bare_loop;

use crate::measure::Figures;
use crate::workspace::Workspace;

/// Runs every test of the workspace.
pub(crate) fn run(workspace: &Workspace) -> Figures {
    let watch = Stopwatch::start();
    bare_loop(
        &workspace.tests,
        |(binary, name)| {
            let mut command = workspace.command(binary);
            command.args(["--exact", name, "--nocapture"]);
            command
        },
        |(_, name), status| assert!(status.success(), "{name} failed"),
    );
    Figures::of(watch.stop())
}
