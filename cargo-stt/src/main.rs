//! The command `cargo stt`.

mod cli;
mod commands;
mod env;
mod error;
mod exit_code;
mod flags;
mod importing;
mod libtest;
mod printer;
mod render;
mod selecting;
mod settings;
mod shard;

use exit_code::Exit;

fn main() -> std::process::ExitCode {
    error::install_panic_hook();
    if let Some(ended) = commands::attend() {
        return ended;
    }
    // The hook has said everything about a panic; here it only becomes an exit code.
    std::panic::catch_unwind(commands::main)
        .unwrap_or(Exit::Bug)
        .leave()
}
