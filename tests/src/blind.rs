//! Runs that see no control groups.

use std::process::Command;

use crate::skipped::skipped;

/// A script that has a run see no control groups; `None`, with a word about it, where that can't be had.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
pub fn blind() -> Option<&'static str> {
    let unshared = Command::new("unshare").args(["--mount", "true"]).status();
    if !unshared.is_ok_and(|status| status.success()) {
        skipped("a mount namespace", &"`unshare --mount` is refused");
        return None;
    }
    Some(
        "exec unshare --mount sh -c 'mount -t tmpfs none /sys/fs/cgroup && exec \"$0\" \"$@\"' \"$0\" \"$@\"",
    )
}
