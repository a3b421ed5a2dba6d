//! What `/proc` knows of processes (`proc(5)`).

use camino::Utf8Path;
use fs_err as fs;

/// A process that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its command line, for messages.
    pub command: String,
}

/// A process that can't be mistaken for a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// When it was started, in ticks since the machine was (`proc_pid_stat(5)`).
    pub start: u64,
}

impl Identity {
    /// Of the process that has this number now.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The 22nd field, and what follows the name begins with the third.
        let start = stat.rsplit_once(") ")?.1.split(' ').nth(22 - 3)?;
        let start = start.parse().ok()?;
        Some(Self { pid, start })
    }

    /// Whether it lives. Who looks like a zombie does as long as one of his threads lives.
    pub fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
            && threads(self.pid)
                .iter()
                .any(|thread| !matches!(state_in(thread), None | Some('Z' | 'X')))
    }
}

/// The processes that have `variable` in their environment. A zombie has none any more.
pub fn marked(variable: &str) -> Vec<Process> {
    let has_it = |environ: Vec<u8>| {
        let mut entries = environ.split(|byte| *byte == 0);
        entries.any(|entry| entry == variable.as_bytes())
    };
    // A process whose main thread has ended shows its environment only in its other threads.
    let any_thread = |pid: &i32| {
        let threads = threads(*pid);
        let mut environs = threads
            .iter()
            .filter_map(|thread| std::fs::read(format!("{thread}/environ")).ok());
        environs.any(has_it)
    };
    pids()
        .into_iter()
        .filter(any_thread)
        .map(describe)
        .collect()
}

/// The processes whose working directory is `dir`, whatever else they dropped.
pub(crate) fn inside(dir: &Utf8Path) -> Vec<Process> {
    let is_there = |thread: &String| {
        std::fs::read_link(format!("{thread}/cwd")).is_ok_and(|cwd| cwd == dir.as_std_path())
    };
    let any_thread = |pid: &i32| threads(*pid).iter().any(is_there);
    pids()
        .into_iter()
        .filter(any_thread)
        .map(describe)
        .collect()
}

/// The worker of `pid`, where that is a supervisor, which has one thread. A child that has not executed its program
/// yet looks the same to a runner of many threads.
pub fn worker_of(pid: i32) -> Option<i32> {
    let single = threads(pid).len() == 1;
    single.then(|| workers_of(pid).first().copied())?
}

/// The directories of a process's threads.
fn threads(pid: i32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let path =
        |thread: std::io::Result<std::fs::DirEntry>| Some(thread.ok()?.path().to_str()?.to_owned());
    threads.into_iter().flatten().filter_map(path).collect()
}

/// The processes whose program lies below `dir`, whatever their environment.
pub(crate) fn of_programs_below(dir: &str) -> Vec<Process> {
    let lies_there = |pid: &i32| {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program.starts_with(dir))
    };
    pids()
        .into_iter()
        .filter(lies_there)
        .map(describe)
        .collect()
}

/// Whether a process of this id lives; a zombie does not.
pub fn is_alive(pid: i32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// Whether nothing of a process is left that could have a file open: some threads of a killed one may end after the
/// first, which is a zombie by then.
pub fn is_gone(pid: i32) -> bool {
    !is_alive(pid) && threads(pid).len() <= 1
}

/// The state letter of a process; `None` when there is no such process.
pub fn state(pid: i32) -> Option<char> {
    state_in(&format!("/proc/{pid}"))
}

fn state_in(dir: &str) -> Option<char> {
    let stat = std::fs::read_to_string(format!("{dir}/stat")).ok()?;
    // The name in parentheses may hold anything, so the state is looked for behind the last one.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The children of a process with one thread that run its own program: the worker of a supervisor.
pub(crate) fn workers_of(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let program = |pid: i32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let own = program(pid);
    children
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|child| child.parse().ok())
        .filter(|&child| own.is_some() && program(child) == own)
        .collect()
}

/// A field of the status of a process, such as `SigBlk`.
pub fn status(pid: i32, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Some(line?.trim().to_owned())
}

/// The largest resident set so far, in bytes; `None` once the process is gone.
pub(crate) fn peak_rss(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

fn pids() -> Vec<i32> {
    fs::read_dir("/proc")
        .expect("/proc is mounted")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn describe(pid: i32) -> Process {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    Process {
        pid,
        command: String::from_utf8_lossy(&command).replace('\0', " "),
    }
}

/// How often the guard of this worker has looked: after each look its thread waits, which the kernel counts
/// (`voluntary_ctxt_switches`, `proc_pid_status(5)`).
pub(crate) fn looks_of(worker: i32) -> u64 {
    let of_thread = |thread: std::io::Result<fs::DirEntry>| {
        let status = fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
        let count = status.contains("Name:\tstt-sampler\n").then(|| {
            status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
        })?;
        count?.trim().parse::<u64>().ok()
    };
    let threads = fs::read_dir(format!("/proc/{worker}/task"));
    threads.into_iter().flatten().filter_map(of_thread).sum()
}
