//! Whether three runners agree on a suite that somebody else wrote, and how long each takes, beside a bare
//! loop over the same tests:
//! `cargo run --release -p stt-tests --bin compare -- [--rounds N] [CARGO FLAGS] DIR…`.
//!
//! Each directory holds a package or a workspace. `cargo test`, `cargo nextest run` and `cargo stt` run it
//! with the same flags of cargo's, such as `--all-targets` or `--features=a,b`; doctests are left out. It
//! exits with 1 when a suite ended differently under two of them.

mod build;
mod options;
mod read;
mod recorder;
mod results;
mod runners;
mod table;

use std::process::ExitCode;

use options::Options;
use results::Compared;

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the tables are what it is for"
)]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [word, into, program, rest @ ..] = &args[..]
        && word == recorder::WORD
    {
        return recorder::record(into.as_ref(), program, rest);
    }
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\nusage: compare [--rounds N] [CARGO FLAGS] DIR…");
            return ExitCode::from(2);
        }
    };
    let mut all = Vec::new();
    for dir in &options.dirs {
        match runners::compare(dir, &options) {
            Ok(compared) => {
                println!("{}", table::render(dir.as_str(), &compared));
                all.push(compared);
            }
            Err(why) => println!("{dir}\n  not compared: {why}\n"),
        }
    }
    println!("{}", table::together(&all));
    let all_equal = all.len() == options.dirs.len() && all.iter().all(Compared::is_equal);
    ExitCode::from(u8::from(!all_equal))
}
