//! Several runs on one machine: what sharing costs, how soon what is free is taken, and who yields.
//! `attack neighbours [--runs N] [--kills N] [--trials N] [--grouped N]
//! [--herds N]`.

mod breach;
mod freed;
mod herd;
mod sharing;
mod thrash;

use std::process::ExitCode;
use std::time::Duration;

use stt_tests::Lab;
use stt_tests::Stt;
use stt_tests::Town;

use crate::neighbours::breach::Place;
use crate::verdict::Verdict;

/// So many tests that nobody counts them.
const ANY: usize = 1_000;

/// The whole suite of a laboratory, with some work to do.
fn suite<'lab>(town: &Town, lab: &'lab Lab) -> Stt<'lab> {
    town.join(lab.json(["--no-fail-fast"]), ANY)
        .env("CROWD_WORK", "100")
}

/// The whole of it.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what was measured is what it is for"
)]
pub(crate) fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let (mut runs, mut kills, mut herds) = (8, 20, 3);
    let (mut trials, mut grouped) = (20, 100);
    while let Some(arg) = args.next() {
        let number = args.next().and_then(|value| value.parse().ok());
        match (arg.as_str(), number) {
            ("--runs", Some(number)) => runs = number,
            ("--trials", Some(number)) => trials = number,
            ("--grouped", Some(number)) => grouped = number,
            ("--herds", Some(number)) => herds = number,
            ("--kills", Some(number)) => kills = number,
            _ => {
                eprintln!(
                    "usage: attack neighbours [--runs N] [--kills N] [--trials N] [--grouped N] [--herds N]"
                );
                return ExitCode::from(2);
            }
        }
    }
    let mut all_hold = true;
    let mut tell = |verdicts: Vec<Verdict>| {
        for verdict in verdicts {
            all_hold &= verdict.holds;
            println!("{}", verdict.line("neighbours"));
        }
    };
    if runs > 0 {
        tell(sharing::sharing(runs));
        tell(thrash::thrash(runs));
    }
    if kills > 0 {
        tell(freed::freed(kills));
    }
    if herds > 0 {
        tell(herd::herd(herds));
    }
    if trials > 0 {
        tell(breach::yielding(trials, Place::Machine));
    }
    if grouped > 0 {
        tell(breach::yielding(grouped, Place::Group));
    }
    ExitCode::from(u8::from(!all_hold))
}

#[expect(
    clippy::disallowed_methods,
    reason = "an observer looks from time to time"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
