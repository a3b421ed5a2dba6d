//! How soon somebody else has what a killed run had.

use std::time::Duration;

use nix::sys::signal::Signal;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::Town;

use crate::neighbours::ANY;
use crate::neighbours::pause;
use crate::neighbours::sharing::timed;
use crate::verdict::Figures;
use crate::verdict::Verdict;
use crate::verdict::millis;

/// The test that every run here has.
const TEST: &str = "grows_when_told_to";

/// As many runs as there are cores, whose tests take long, and one that waits: one of the former is killed, and the
/// one that waits starts its test.
pub(super) fn freed(kills: usize) -> Vec<Verdict> {
    let figures = Figures::new((0..kills).map(|_| millis(one_kill())));
    vec![Verdict::new(
        "the share of a run that is killed is free within 10 ms, which is when the test of the next one runs",
        figures.percentile(100) <= 10.0,
        figures.told("ms"),
    )]
}

fn one_kill() -> Duration {
    let town = Town::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let labs: Vec<Lab> = (0..=cores).map(|_| Lab::shared("hostile")).collect();
    let start = |lab| {
        let stt = Lab::json(lab, ["--exact", TEST, "-j", "1"]);
        town.join(stt, ANY).env("HOSTILE_MEMORY", "4096").spawn()
    };
    let (waiting, holding) = labs.split_last().expect("there are some");
    let mut runs: Vec<Running> = Vec::new();
    for lab in holding {
        let mut run = start(lab);
        run.wait_for("its test runs", |_| lab.traced(TEST));
        runs.push(run);
    }
    let mut last = start(waiting);
    last.wait_for("it waits for a share", |_| {
        let runs = town.runs(waiting);
        runs.iter()
            .any(|run| run["waits"].is_string())
            .then_some(())
    });
    let worker = runs[0].worker();
    let ((), time) = timed(|| {
        runs[0].signal(Signal::SIGKILL);
        let worker = nix::unistd::Pid::from_raw(worker);
        nix::sys::signal::kill(worker, Signal::SIGKILL)
            .expect("it is ours, and its parent just died");
        while waiting.traced(TEST).is_none() {
            pause(Duration::from_micros(200));
        }
    });
    for lab in &labs {
        lab.go();
    }
    for run in runs.into_iter().skip(1) {
        drop(run.finish().code(0));
    }
    drop(last.finish().code(0));
    time
}
