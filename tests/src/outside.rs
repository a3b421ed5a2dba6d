//! Commands that are started as if from a shell, although cargo runs us.

use std::ffi::OsStr;
use std::process::Command;

use camino::Utf8Path;

use crate::built::cargo;

/// A command in `dir`, whose children don't inherit what `cargo run` or another runner has set for us.
#[expect(clippy::disallowed_methods, reason = "what our caller set is cleared")]
pub fn outside(program: impl AsRef<OsStr>, dir: &Utf8Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let known = name.to_string_lossy();
        let set_by_a_runner = ["CARGO_", "STT_", "NEXTEST_"]
            .iter()
            .any(|prefix| known.starts_with(prefix));
        if set_by_a_runner && known != "CARGO_HOME" {
            command.env_remove(&name);
        }
    }
    command
        .env("RUST_BACKTRACE", "0")
        .env("CARGO", cargo())
        .current_dir(dir);
    command
}
