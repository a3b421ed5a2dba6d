//! Several runs on one machine: what sharing costs, and who yields. `attack neighbours [--runs N] [--trials N]`.

use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use fs_err as fs;
use stt_tests::DEADLINE;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::Stt;
use stt_tests::Town;
use stt_tests::cargo;
use stt_tests::until;

use crate::machine;
use crate::verdict::Verdict;

/// Such a part of the machine's memory each run's test holds while somebody provokes a breach: so much that the
/// kernel's own comings and goings are small beside it, and less than makes a run count as large by itself.
const PART: i64 = 24;

/// So many tests that nobody counts them.
const ANY: usize = 1_000;

/// How many runs see the breach.
const WITNESSES: usize = 4;

/// How long is watched who else yields: two turns.
const WATCHED: Duration = Duration::from_secs(7);

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
    let (mut runs, mut trials) = (8, 100);
    while let Some(arg) = args.next() {
        let number = args.next().and_then(|value| value.parse().ok());
        match (arg.as_str(), number) {
            ("--runs", Some(number)) => runs = number,
            ("--trials", Some(number)) => trials = number,
            _ => {
                eprintln!("usage: attack neighbours [--runs N] [--trials N]");
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
    tell(sharing(runs));
    tell(yielding(trials));
    ExitCode::from(u8::from(!all_hold))
}

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

#[expect(
    clippy::disallowed_methods,
    reason = "an observer looks from time to time"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

/// Many suites that want every core: all at once, one after another, and under nextest.
fn sharing(runs: usize) -> Vec<Verdict> {
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
        let all: Vec<Running> = labs.iter().map(|lab| suite(&town, lab).spawn()).collect();
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
    let nextest = || nextest(&town, &labs);
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

/// As many nextest at once. Says whether all passed.
#[expect(
    clippy::disallowed_methods,
    reason = "the bench starts its own children"
)]
fn nextest(town: &Town, labs: &[Lab]) -> bool {
    let start = |lab: &Lab| {
        let mut command: Command = lab.command(cargo());
        command
            .args(["nextest", "run", "--no-fail-fast"])
            .env("CROWD_DIR", town.path("crowd"))
            .env("CROWD_MOST", ANY.to_string())
            .env("CROWD_WORK", "100")
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

/// Of several runs one grows until the machine's memory is over the line: the youngest has to yield, and nobody
/// else.
#[expect(clippy::print_stderr, reason = "it takes long")]
fn yielding(trials: usize) -> Vec<Verdict> {
    let mut right = 0;
    let mut wrong = Vec::new();
    for trial in 0..trials {
        eprintln!("trial {} of {trials}, {right} right", trial + 1);
        match one_breach(trial % WITNESSES) {
            Ok(()) => right += 1,
            Err(what) => {
                eprintln!("trial {}: {what}", trial + 1);
                wrong.push(format!("trial {}: {what}", trial + 1));
            }
        }
    }
    vec![Verdict::new(
        "exactly one of four yields, the youngest, in 99 of 100 breaches",
        right * 100 >= trials * 99,
        format!("{right} of {trials}; {}", wrong.join("; ")),
    )]
}

fn one_breach(grows: usize) -> Result<(), String> {
    let town = Town::new();
    let labs: Vec<Lab> = (0..WITNESSES).map(|_| Lab::shared("hostile")).collect();
    let all = i64::try_from(WITNESSES).unwrap_or(i64::MAX);
    let held = machine::MemInfo::open().read().total / PART;
    // In the middle of what the last one takes on top, since others on this machine take and give memory meanwhile.
    let (line, _) = machine::share_above_use(all * held + held / 2);
    let guard = [
        "--memory-threshold",
        &line,
        "-j",
        "1",
        "--config",
        "guard.grace-period=200ms",
    ];
    let mut runs = Vec::new();
    for lab in &labs {
        let stt = lab.json(["--exact", "grows_when_told_to"]).args(guard);
        let stt = town.join(stt, ANY).env("HOSTILE_MEMORY", held.to_string());
        runs.push(stt.spawn());
    }
    // Those that are more than cores get a spare share after ten seconds.
    for (run, lab) in runs.iter_mut().zip(&labs) {
        run.wait_for("its test runs", |_| lab.traced("grows_when_told_to"));
    }
    fs::write(labs[grows].traces.join("grow"), "").expect("it is ours");
    let exited = |runs: &[Running]| -> Vec<usize> {
        let gone = |run: &Running| stt_tests::state(run.pid()).is_none_or(|state| state == 'Z');
        (0..runs.len()).filter(|&one| gone(&runs[one])).collect()
    };
    let first = until("somebody yields", DEADLINE, || {
        let gone = exited(&runs);
        (!gone.is_empty()).then_some(gone)
    });
    pause(WATCHED);
    let gone = exited(&runs);
    for lab in &labs {
        lab.go();
    }
    let codes: Vec<Option<i32>> = runs.into_iter().map(|run| run.finish().code).collect();
    let youngest = WITNESSES - 1;
    let expected: Vec<_> = (0..WITNESSES)
        .map(|one| Some(if one == youngest { 42 } else { 0 }))
        .collect();
    if gone == [youngest] && codes == expected {
        Ok(())
    } else {
        Err(format!(
            "{first:?} went first, {gone:?} went, exit codes {codes:?}"
        ))
    }
}
