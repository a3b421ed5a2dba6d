//! Runs whose tests together want more memory than there is.

use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::Town;

use crate::limit::Group;
use crate::machine;
use crate::neighbours::sharing::nextest;
use crate::neighbours::sharing::timed;
use crate::neighbours::suite;
use crate::verdict::Verdict;

/// What each test holds, in bytes, and writes to all the time.
const EACH: i64 = 60 << 20;

/// Many suites side by side in a control group that has room for the tests of few, and swap for the rest: ours, and
/// under nextest.
pub(super) fn thrash(runs: usize) -> Vec<Verdict> {
    let promise = "where tests side by side want more memory than there is, ours take at most 0.9 times as long as nextest";
    let skipped = |why: &str| vec![Verdict::new(promise, true, format!("SKIPPED: {why}"))];
    if machine::swap_total() < EACH * 30 {
        return skipped("there is no swap of two gigabytes (`swapon`)");
    }
    let limit = EACH * 5;
    let Some(group) = Group::create(limit) else {
        return skipped("no control group of version 1 can be made here");
    };
    let town = Town::new();
    let labs: Vec<Lab> = (0..runs).map(|_| Lab::shared("crowd")).collect();
    let memory = EACH.to_string();
    let start = |lab| {
        let stt = suite(&town, lab)
            .env("CROWD_WORK", "20")
            .env("CROWD_MEMORY", &memory);
        stt.after(&group.enter()).spawn()
    };
    let ((), ours) = timed(|| {
        let all: Vec<Running> = labs.iter().map(start).collect();
        for run in all {
            drop(run.finish().code(0));
        }
    });
    let work = [("CROWD_WORK", "20"), ("CROWD_MEMORY", memory.as_str())];
    let (passed, theirs) = timed(|| nextest(&town, &labs, &work, &group.enter()));
    if !passed {
        return skipped("cargo-nextest is not installed, or does not pass");
    }
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    vec![Verdict::new(
        promise,
        ratio <= 0.9,
        format!("{runs} runs: {ours:.2?} and {theirs:.2?}, ratio {ratio:.2}"),
    )]
}
