//! Tests that use every core.

use std::time::Duration;
use std::time::Instant;

use stt_tests::Finished;
use stt_tests::Lab;

use crate::foreign::Foreign;
use crate::verdict::Verdict;

/// How the guard changed the number of tests, in the order of saying so.
fn allowed(finished: &Finished) -> Vec<u64> {
    let report = finished.report();
    let allowed = report
        .of("guard")
        .filter(|line| line["action"] == "allowed");
    allowed.filter_map(|line| line["tests"].as_u64()).collect()
}

/// A threshold that somebody has set is meant: stopped, the suspect alone again, failed by name.
pub(crate) fn stop(_: usize) -> Vec<Verdict> {
    let lab = Lab::shared("hostile");
    let line = ["--cpu-threshold=70"];
    let first = lab
        .json([
            "--exact",
            "--no-fail-fast",
            "-j",
            "2",
            "calm_00",
            "burns_every_core",
        ])
        .args(line)
        .run();
    let alive = lab.survivors().len();
    let again = lab.json(["--resume"]).args(line).run();
    let alive = alive + lab.survivors().len();
    let failed = again
        .report()
        .results()
        .into_iter()
        .any(|((_, name), result)| name == "burns_every_core" && result == "breach");
    let once = !again.report().started("calm_00");
    let holds = (first.code, again.code, alive) == (Some(42), Some(100), 0) && failed && once;
    let transcript = if holds {
        String::new()
    } else {
        format!("{}\n{}", first.transcript(), again.transcript())
    };
    vec![Verdict::new(
        "--cpu-threshold=70: 42 after cpu-sustain; resumed: the suspect alone, failed by name (100)",
        holds,
        format!(
            "codes {:?} {:?}, survivors {alive}, failed by name: {failed}, nothing twice: {once} {transcript}",
            first.code, again.code
        ),
    )]
}

/// Twelve tests of four seconds, each of which keeps a core busy, and what the guard did; with how long it took.
#[expect(clippy::disallowed_methods, reason = "time is what is measured")]
fn work() -> (Finished, Duration) {
    let lab = Lab::shared("hostile");
    let start = Instant::now();
    let finished = lab
        .json(["-j", "2", "works_"])
        .env("HOSTILE_SECONDS", "4")
        .run();
    (finished, start.elapsed())
}

/// Alone on the machine, a run that uses every core goes at full speed.
pub(crate) fn alone(_: usize) -> Vec<Verdict> {
    let (finished, took) = work();
    let lowered = allowed(&finished);
    vec![Verdict::new(
        "tests that use every core and are alone with it go at full speed",
        lowered.is_empty() && finished.code == Some(0),
        format!(
            "12 tests of 4 s with -j 2 in {:.1} s, lowered to {lowered:?}",
            took.as_secs_f64()
        ),
    )]
}

/// Where others want the cores as well, fewer tests run.
pub(crate) fn contended(_: usize) -> Vec<Verdict> {
    let foreign = Foreign::spinning(8);
    let (finished, took) = work();
    drop(foreign);
    let lowered = allowed(&finished);
    vec![Verdict::new(
        "with 8 foreign processes that spin, one test at a time",
        lowered.first() == Some(&1) && finished.code == Some(0),
        format!(
            "12 tests of 4 s with -j 2 in {:.1} s, lowered to {lowered:?}, exit code {:?}",
            took.as_secs_f64(),
            finished.code
        ),
    )]
}
