//! What the guard costs: the runner's own CPU time and memory, with and without.

use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use stt_tests::Lab;
use stt_tests::Running;

use crate::machine;
use crate::verdict::Figures;
use crate::verdict::Verdict;
use crate::verdict::megabytes;

const WINDOW: Duration = Duration::from_secs(5);

/// The processes of a runner: the supervisor and its worker.
pub(crate) fn runner(running: &mut Running) -> [i32; 2] {
    [running.pid(), running.worker()]
}

/// The share of a core that processes themselves use for so long, together, in percent.
#[expect(clippy::disallowed_methods, reason = "a rate needs a time")]
#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of seconds fit exactly"
)]
pub(crate) fn share_of_a_core(pids: &[i32], window: Duration) -> f64 {
    let time = || pids.iter().map(|&pid| machine::cpu_time(pid)).sum::<u64>();
    let (start, before) = (Instant::now(), time());
    std::thread::sleep(window);
    let used = time().saturating_sub(before);
    used as f64 / start.elapsed().as_nanos() as f64 * 100.0
}

/// The CPU share and the resident memory of a runner while a test hangs that holds so much.
fn idle(args: &[&str], memory: &str) -> (f64, f64) {
    let lab = Lab::shared("hostile");
    let base = [
        "--exact",
        "leaks_fast",
        "hangs",
        "-j",
        "2",
        "--config",
        "run.grace-period=0s",
    ];
    let mut running = lab
        .json(base)
        .args(args)
        .env("HOSTILE_MEMORY", memory)
        .spawn();
    running.wait_for_start("leaks_fast");
    let pids = runner(&mut running);
    // Until it has what it wants.
    let wanted = memory.parse::<i64>().expect("a number") * 95 / 100;
    running.wait_for("the test has its memory", |_| {
        let leaker = *lab.traced("leaks_fast")?.first()?;
        (machine::resident(leaker) >= wanted).then_some(())
    });
    let share = share_of_a_core(&pids, WINDOW);
    let resident = megabytes(pids.iter().map(|&pid| machine::resident(pid)).sum());
    running.signal(Signal::SIGTERM);
    drop(running.finish());
    (share, resident)
}

/// Differences of pairs taken one after the other.
fn differences(rounds: usize, on: impl Fn() -> Vec<String>, memory: &str) -> (Figures, Figures) {
    let pairs: Vec<_> = (0..rounds)
        .map(|_| {
            let on = on();
            let on: Vec<&str> = on.iter().map(String::as_str).collect();
            let (with, without) = (idle(&on, memory), idle(&["--no-guard"], memory));
            (with.0 - without.0, with.1 - without.1)
        })
        .collect();
    (
        Figures::new(pairs.iter().map(|pair| pair.0)),
        Figures::new(pairs.iter().map(|pair| pair.1)),
    )
}

/// Far from the threshold, and 30 MB below a size: there the family is read every five milliseconds, as it is
/// near a share, and nobody else can move what is read.
pub(crate) fn cost(rounds: usize) -> Vec<Verdict> {
    let rounds = rounds.div_ceil(6).max(3);
    let size = || vec!["--memory-threshold".to_owned(), "400MB".to_owned()];
    let (far, memory) = differences(rounds, Vec::new, "17000000");
    let (near_size, near_memory) = differences(rounds, size, "370000000");
    let line = |promise: &str, figures: &Figures, most: f64, unit: &str| {
        Verdict::new(promise, figures.percentile(50) <= most, figures.told(unit))
    };
    vec![
        line(
            "far from the threshold the guard costs at most 0.2 % of a core",
            &far,
            0.2,
            "%",
        ),
        line("near it at most 1 %", &near_size, 1.0, "%"),
        line("it takes at most 2 MiB", &memory, 2.097_152, "MB"),
        line("also near the threshold", &near_memory, 2.097_152, "MB"),
    ]
}
