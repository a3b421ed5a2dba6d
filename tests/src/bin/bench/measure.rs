//! What a command costs: time, CPU, and its own memory.

use std::io::Read as _;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stt_tests::Spent;
use stt_tests::Stopwatch;

/// What was measured in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// From start to end, in seconds.
    pub(crate) wall: f64,
    /// CPU time, user and system, of the runner and all its tests, in seconds.
    pub(crate) cpu: f64,
    /// The largest resident set of the runner alone, in bytes.
    pub(crate) peak_rss: Option<u64>,
    /// How long the tests alone took, as the runner itself says, in seconds.
    pub(crate) tests_alone: Option<f64>,
}

impl Figures {
    /// Time alone.
    pub(crate) fn of(spent: Spent) -> Self {
        Self {
            wall: spent.wall,
            cpu: spent.cpu,
            peak_rss: None,
            tests_alone: None,
        }
    }
}

/// A command that was measured.
pub(crate) struct Measured {
    /// What it cost.
    pub(crate) figures: Figures,
    /// What it wrote.
    pub(crate) stdout: String,
}

/// Which processes are the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    /// The one that was started.
    Alone,
    /// That one, and its first child, which does the work.
    WithWorker,
}

/// Runs a command that must succeed.
#[expect(clippy::disallowed_methods, reason = "a command is what is measured")]
pub(crate) fn command(mut command: Command, runner: Runner) -> Measured {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let watch = Stopwatch::start();
    let mut child = command.spawn().expect("it starts");
    let mut out = child.stdout.take().expect("it is piped");
    let pid = child.id();
    let done = AtomicBool::new(false);
    let mut text = Vec::new();
    let (status, peak) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch_memory(pid, runner, &done));
        out.read_to_end(&mut text).expect("a pipe can be read");
        let status = child.wait().expect("our own child");
        done.store(true, Ordering::Relaxed);
        (status, watcher.join().expect("it only reads"))
    });
    let figures = Figures {
        peak_rss: peak,
        ..Figures::of(watch.stop())
    };
    let stdout = String::from_utf8_lossy(&text).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{stdout}");
    Measured { figures, stdout }
}

/// `ru_maxrss` of a child holds the largest of its own children too, so its own high-water mark is read
/// until it is gone (`VmHWM` of `proc(5)`). What a worker shares with its parent counts twice.
#[expect(
    clippy::disallowed_methods,
    reason = "nobody tells when the mark moves"
)]
fn watch_memory(pid: u32, runner: Runner, done: &AtomicBool) -> Option<u64> {
    let (mut own, mut of_worker) = (None, None);
    let mut worker = None;
    while !done.load(Ordering::Relaxed) {
        own = high_water_mark(pid).or(own);
        if runner == Runner::WithWorker {
            worker = worker.or_else(|| first_child(pid));
            of_worker = worker.and_then(high_water_mark).or(of_worker);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(own? + of_worker.unwrap_or(0))
}

/// The largest resident set that a process has had, in bytes.
fn high_water_mark(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mark = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = mark.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

fn first_child(pid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
