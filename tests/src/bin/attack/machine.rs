//! The machine as everybody sees it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use stt_tests::DEADLINE;
use stt_tests::until;

/// Memory of the machine at one moment, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Its size.
    pub(crate) total: i64,
    /// What the kernel could not give out now: size minus `MemAvailable` (`proc_meminfo(5)`).
    pub(crate) used: i64,
}

/// `/proc/meminfo`, kept open.
pub(crate) struct MemInfo(File);

impl MemInfo {
    /// Opens it.
    pub(crate) fn open() -> Self {
        Self(File::open("/proc/meminfo").expect("/proc is mounted"))
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Memory {
        let mut buffer = [0; 256];
        let length = self.0.read_at(&mut buffer, 0).expect("it can be read");
        let text = str::from_utf8(&buffer[..length]).expect("it is text");
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok());
            number.expect("the first lines have it") * 1024
        };
        let total = field("MemTotal:");
        Memory {
            total,
            used: total - field("MemAvailable:"),
        }
    }
}

/// A threshold as a share that is so many bytes above the present use, and where that line lies.
pub(crate) fn share_above_use(bytes: i64) -> (String, i64) {
    let memory = settled();
    let tenths = ((memory.used + bytes) * 1000).div_euclid(memory.total) + 1;
    let share = format!("{}.{}%", tenths / 10, tenths % 10);
    (share, memory.total * tenths / 1000)
}

/// How much swap space there is, in bytes.
pub(crate) fn swap_total() -> i64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("SwapTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<i64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The load of the last minute.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// CPU time of a process alone, without its children, in nanoseconds (`/proc/PID/task/*/schedstat`).
pub(crate) fn cpu_time(pid: i32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let of = |thread: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    threads.into_iter().flatten().filter_map(of).sum()
}

/// The proportional set size of a process, in bytes: what it shares counts in parts.
pub(crate) fn proportional(pid: i32) -> i64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<i64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Waits until what was ended before has given its memory back: a line that is drawn earlier is too high.
pub(crate) fn settled() -> Memory {
    /// What counts as standing still, in bytes and for how many looks.
    const STILL: (i64, u32) = (4_000_000, 10);
    let meminfo = MemInfo::open();
    let (mut before, mut still) = (meminfo.read(), 0);
    until("the memory stands still", DEADLINE, || {
        let now = meminfo.read();
        still = if (now.used - before.used).abs() < STILL.0 {
            still + 1
        } else {
            0
        };
        before = now;
        (still >= STILL.1).then_some(now)
    })
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(pid: i32) -> i64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}
