//! What `/proc` knows of processes (`proc(5)`).

use fs_err as fs;

/// A process that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its command line, for messages.
    pub command: String,
}

/// The processes that have `variable` in their environment. A zombie has none any more.
pub fn marked(variable: &str) -> Vec<Process> {
    let has_it = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
            environ
                .split(|byte| *byte == 0)
                .any(|entry| entry == variable.as_bytes())
        })
    };
    pids().into_iter().filter(has_it).map(describe).collect()
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

/// The state letter of a process; `None` when there is no such process.
pub fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so the state is looked for behind the last one.
    stat.rsplit_once(") ")?.1.chars().next()
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
