//! What sharing the cores costs.

use std::collections::VecDeque;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use fs_err as fs;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::Town;
use stt_tests::cargo;

use crate::machine;
use crate::neighbours::ANY;
use crate::neighbours::pause;
use crate::neighbours::suite;
use crate::verdict::Figures;
use crate::verdict::Verdict;

/// The most tasks that were runnable at one moment, looked at every few milliseconds, averaged over a second.
fn busiest<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let over = AtomicBool::new(false);
    let (most, work) = (AtomicUsize::new(0), work);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let mut sum = 0;
                for _ in 0..50 {
                    sum += crowd_size();
                    pause(Duration::from_millis(20));
                }
                most.fetch_max(sum * 100 / 50, Ordering::Relaxed);
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    });
    let most = u32::try_from(most.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
    (done, f64::from(most) / 100.0)
}

/// How many tasks are runnable, but for the one that looks (`/proc/loadavg`, `proc(5)`).
fn crowd_size() -> usize {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let runnable = text
        .split(' ')
        .nth(3)
        .and_then(|field| field.split('/').next());
    let runnable: usize = runnable.and_then(|number| number.parse().ok()).unwrap_or(0);
    runnable.saturating_sub(1)
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
pub(super) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

/// Many suites that want every core: all at once, one after another, and under nextest.
pub(super) fn sharing(runs: usize) -> Vec<Verdict> {
    let town = Town::new();
    let labs: Vec<Lab> = (0..runs).map(|_| Lab::shared("crowd")).collect();
    let one_by_one = || {
        for lab in &labs {
            drop(suite(&town, lab).run().code(0));
        }
    };
    // What has to be built is built before.
    drop(suite(&town, &labs[0]).run().code(0));
    let ((), alone) = timed(one_by_one);
    let together = || {
        let start = |lab| suite(&town, lab).env("CROWD_LOG", town.path("log")).spawn();
        let all: Vec<Running> = labs.iter().map(start).collect();
        for run in all {
            drop(run.finish().code(0));
        }
    };
    let (((), shared), load) = busiest(|| timed(together));
    let average: f64 = machine::load().parse().unwrap_or(f64::INFINITY);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let ratio = shared.as_secs_f64() / alone.as_secs_f64();
    let most = f64::from(u32::try_from(cores).unwrap_or(u32::MAX)) + 2.0;
    let mut verdicts = vec![
        Verdict::new(
            "suites side by side take at most 1.05 times as long as one after another",
            ratio <= 1.05,
            format!("{runs} runs: {shared:.2?} and {alone:.2?}, ratio {ratio:.3}"),
        ),
        Verdict::new(
            "and the load average stays within two above the cores",
            average <= most,
            format!(
                "{average:.2} on {cores} cores; in its worst second {load:.1} tasks are runnable"
            ),
        ),
    ];
    let log = fs::read_to_string(town.path("log")).unwrap_or_default();
    let gaps = Figures::new(gaps(&log, cores));
    verdicts.push(Verdict::new(
        "a core that a test has left is taken by the next one, of whatever run, within 50 ms",
        gaps.percentile(100) <= 50.0,
        gaps.told("ms"),
    ));
    let nextest = || nextest(&town, &labs, &[("CROWD_WORK", "100")], ":");
    let ((all_passed, side_by_side), load) = busiest(|| timed(nextest));
    verdicts.push(Verdict::new(
        "cargo nextest, for comparison",
        true,
        if all_passed {
            format!("{side_by_side:.2?} side by side, at most {load:.1} tasks are runnable")
        } else {
            "SKIPPED: it is not installed, or does not pass".to_owned()
        },
    ));
    verdicts
}

/// How long a core was left, in milliseconds, from each end of a test to the start of one that takes its place: the
/// oldest place that is free. What is left at the end, when there are no more tests, is no gap.
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of a run fit exactly"
)]
fn gaps(log: &str, cores: usize) -> Vec<f64> {
    let mut events: Vec<(u64, &str)> = log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(time, what)| Some((time.parse().ok()?, what)))
        .collect();
    events.sort_unstable();
    let mut free = VecDeque::from(vec![None; cores]);
    let mut gaps = Vec::new();
    for (time, what) in events {
        match what {
            "end" => free.push_back(Some(time)),
            // Who takes a spare share takes the place of nobody.
            _ => {
                if let Some(Some(since)) = free.pop_front() {
                    gaps.push((time - since) as f64 / 1000.0);
                }
            }
        }
        while free.len() > cores {
            free.pop_front();
        }
    }
    gaps
}

/// As many nextest at once, with this environment, after a shell has done this. Says whether all passed.
#[expect(
    clippy::disallowed_methods,
    reason = "the bench starts its own children"
)]
pub(super) fn nextest(town: &Town, labs: &[Lab], work: &[(&str, &str)], before: &str) -> bool {
    let start = |lab: &Lab| {
        let mut command: Command = lab.command("sh");
        command
            .args(["-c", &format!("{before}; exec \"$@\""), "sh", &cargo()])
            .args(["nextest", "run", "--no-fail-fast"])
            .env("CROWD_DIR", town.path("crowd"))
            .env("CROWD_MOST", ANY.to_string())
            .envs(work.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn()
    };
    let all: Vec<_> = labs.iter().map(start).collect();
    let mut passed = true;
    for child in all {
        passed &= child
            .and_then(|mut child| child.wait())
            .is_ok_and(|status| status.success());
    }
    passed
}
