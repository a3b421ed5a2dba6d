//! Reads `/proc` by hand (`proc_pid_stat(5)` and its neighbours): a family is looked at between two
//! tests, and as often as memory fills, and a general library takes ten times as long.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::io::Read as _;

/// What `/proc/<pid>/stat` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: i32,
    /// One letter; that of the main thread.
    pub(super) state: u8,
    pub(super) group: i32,
    /// User and system time, in clock ticks.
    pub(super) ticks: u64,
    pub(super) threads: u32,
    /// When it started, in clock ticks since the boot. With the pid it names a process for good.
    pub(super) start: u64,
    /// Its resident set, in pages.
    pub(super) resident: u64,
}

impl Stat {
    /// Whether no thread of it can run any more. A process whose main thread has exited shows the
    /// state Z while its other threads live on, and they are counted.
    pub(super) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }
}

/// Parses the line of `/proc/<pid>/stat`. The name, in parentheses, may hold anything but ends with
/// the last `)`.
pub(super) fn parse_stat(line: &[u8]) -> Option<Stat> {
    let name_starts = line.iter().position(|&byte| byte == b'(')?;
    let name_ends = line.iter().rposition(|&byte| byte == b')')?;
    let pid = number(line.get(..name_starts)?.trim_ascii())?;
    let mut fields = line
        .get(name_ends + 1..)?
        .trim_ascii()
        .split(|&byte| byte == b' ');
    // The numbers are those of the man page; the name is the second.
    let state = *fields.next()?.first()?;
    let group = number(fields.nth(1)?)?;
    let user: u64 = number(fields.nth(14 - 5 - 1)?)?;
    let system: u64 = number(fields.next()?)?;
    let threads = number(fields.nth(20 - 15 - 1)?)?;
    let start = number(fields.nth(22 - 20 - 1)?)?;
    let resident = number(fields.nth(24 - 22 - 1)?)?;
    Some(Stat {
        pid,
        state,
        group,
        ticks: user.saturating_add(system),
        threads,
        start,
        resident,
    })
}

fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Appends the process ids of a `children` file.
pub(super) fn parse_children(text: &[u8], found: &mut Vec<i32>) {
    let words = text.split(u8::is_ascii_whitespace);
    found.extend(words.filter_map(number::<i32>).filter(|&pid| pid > 1));
}

/// Finds the proportional set size in `/proc/<pid>/smaps_rollup`, in kilobytes (`proc_pid_smaps(5)`).
pub(super) fn parse_pss(text: &[u8]) -> Option<u64> {
    let line = text
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"Pss:"))?;
    number(line.strip_suffix(b"kB")?.trim_ascii())
}

/// Finds the resident pages without those of files and shared memory in `/proc/<pid>/statm`
/// (`proc_pid_statm(5)`).
pub(super) fn parse_anonymous(text: &[u8]) -> Option<u64> {
    let mut fields = text.trim_ascii().split(|&byte| byte == b' ');
    let resident: u64 = number(fields.nth(1)?)?;
    let shared: u64 = number(fields.next()?)?;
    Some(resident.saturating_sub(shared))
}

/// Whether every one of the entries is in an environment, as `/proc/<pid>/environ` has it.
pub(super) fn carries(environ: &[u8], marker: &[Vec<u8>]) -> bool {
    !marker.is_empty()
        && marker
            .iter()
            .all(|entry| environ.split(|&byte| byte == 0).any(|found| found == entry))
}

/// The most that is read of a command line; it is for people.
const COMMAND_LIMIT: usize = 256;

/// Reads files of `/proc` with buffers that are used again. What has vanished reads as `None`.
#[derive(Debug, Default)]
pub(super) struct Proc {
    path: String,
    text: Vec<u8>,
}

impl Proc {
    /// The process, if it is there.
    pub(super) fn stat(&mut self, pid: i32) -> Option<Stat> {
        parse_stat(self.read(format_args!("/proc/{pid}/stat"), u64::MAX).ok()?)
    }

    /// How many descriptors a process has open: the size of the directory that lists them, since
    /// Linux 6.2 (`proc_pid_fd(5)`). Older kernels say 0, which is unknown and not none.
    pub(super) fn descriptors(pid: i32) -> Option<u64> {
        let directory = std::fs::metadata(format!("/proc/{pid}/fd")).ok()?;
        Some(directory.len()).filter(|&count| count > 0)
    }

    /// Appends the children that one thread has started, or taken over.
    pub(super) fn children_of_thread(&mut self, pid: i32, thread: i32, found: &mut Vec<i32>) {
        let path = format_args!("/proc/{pid}/task/{thread}/children");
        if let Ok(text) = self.read(path, u64::MAX) {
            parse_children(text, found);
        }
    }

    /// Appends the children of all threads of a process that has so many.
    pub(super) fn children(&mut self, pid: i32, threads: u32, found: &mut Vec<i32>) {
        if threads <= 1 {
            return self.children_of_thread(pid, pid, found);
        }
        for thread in threads_of(pid) {
            self.children_of_thread(pid, thread, found);
        }
    }

    /// Whether the process was started with all of these environment entries, each `NAME=value`.
    pub(super) fn carries(&mut self, pid: i32, threads: u32, marker: &[Vec<u8>]) -> bool {
        if marker.is_empty() {
            return false;
        }
        if let Ok(environ) = self.read(format_args!("/proc/{pid}/environ"), u64::MAX)
            && !environ.is_empty()
        {
            return carries(environ, marker);
        }
        // The main thread has exited and let go of the memory, which the others still have.
        threads > 1
            && threads_of(pid).any(|thread| {
                self.read(format_args!("/proc/{pid}/task/{thread}/environ"), u64::MAX)
                    .is_ok_and(|environ| carries(environ, marker))
            })
    }

    /// The command line of a process, or its name in brackets where it has none.
    pub(super) fn command(&mut self, pid: i32) -> String {
        let limit = COMMAND_LIMIT as u64;
        if let Ok(text) = self.read(format_args!("/proc/{pid}/cmdline"), limit)
            && !text.is_empty()
        {
            let words: Vec<_> = text
                .split(|&byte| byte == 0)
                .filter(|word| !word.is_empty())
                .map(String::from_utf8_lossy)
                .collect();
            return words.join(" ");
        }
        match self.read(format_args!("/proc/{pid}/comm"), limit) {
            Ok(name) => format!("[{}]", String::from_utf8_lossy(name.trim_ascii())),
            Err(_) => "[?]".to_owned(),
        }
    }

    /// The resident pages of a process that are neither a file's nor shared memory.
    pub(super) fn anonymous(&mut self, pid: i32) -> Option<u64> {
        parse_anonymous(
            self.read(format_args!("/proc/{pid}/statm"), u64::MAX)
                .ok()?,
        )
    }

    /// The proportional set size of a process in kilobytes: what it shares counts in parts.
    pub(super) fn proportional_set(&mut self, pid: i32) -> Option<u64> {
        parse_pss(
            self.read(format_args!("/proc/{pid}/smaps_rollup"), u64::MAX)
                .ok()?,
        )
    }

    fn read(&mut self, path: std::fmt::Arguments<'_>, limit: u64) -> io::Result<&[u8]> {
        self.path.clear();
        self.path.write_fmt(path).map_err(io::Error::other)?;
        self.text.clear();
        // std rather than fs-err, which would copy the path for an error that nobody reads.
        File::open(&self.path)?
            .take(limit)
            .read_to_end(&mut self.text)?;
        Ok(&self.text)
    }
}

/// The threads of a process; none when it has vanished.
pub(super) fn threads_of(pid: i32) -> impl Iterator<Item = i32> {
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name_holds() {
        let rest = "S 10 4242 77 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 3 0 987654 1000000 321 \
                    18446744073709551615 1";
        for name in ["cat", "a b) c", ") S 1 (x", ""] {
            let line = format!("4242 ({name}) {rest}\n");
            let expected = Stat {
                pid: 4242,
                state: b'S',
                group: 4242,
                ticks: 200,
                threads: 3,
                start: 987_654,
                resident: 321,
            };
            assert_eq!(parse_stat(line.as_bytes()), Some(expected), "{name}");
        }
        for line in ["", "1 (x", "1 (x) S 1", "x (y) S"] {
            assert_eq!(parse_stat(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_zombie_with_live_threads_is_not_dead() {
        let stat = Stat {
            pid: 2,
            state: b'Z',
            group: 2,
            ticks: 0,
            threads: 1,
            start: 1,
            resident: 0,
        };
        assert!(stat.is_dead());
        assert!(!Stat { threads: 2, ..stat }.is_dead());
        assert!(
            !Stat {
                state: b'T',
                ..stat
            }
            .is_dead()
        );
    }

    #[test]
    fn an_environment_carries_whole_entries_only() {
        let environ = b"PATH=/bin\0STT_RUN_ID=r1\0STT_TEST_ID=a b\0";
        let entries = |words: &[&str]| -> Vec<Vec<u8>> {
            words.iter().map(|word| word.as_bytes().to_vec()).collect()
        };
        assert!(carries(
            environ,
            &entries(&["STT_TEST_ID=a b", "STT_RUN_ID=r1"])
        ));
        assert!(!carries(
            environ,
            &entries(&["STT_TEST_ID=a", "STT_RUN_ID=r1"])
        ));
        assert!(!carries(environ, &entries(&["RUN_ID=r1"])));
        assert!(!carries(environ, &[]), "no marker is nobody's");
    }

    #[test]
    fn our_own_process_is_read() {
        let own = std::process::id().cast_signed();
        let mut proc = Proc::default();
        let stat = proc.stat(own).unwrap();
        assert_eq!(stat.pid, own);
        assert!(stat.resident > 0 && stat.threads > 0 && !stat.is_dead());
        assert!(proc.proportional_set(own).unwrap() > 0);
        assert!(proc.command(own).contains("stt_core"));
        assert_eq!(proc.stat(i32::MAX), None);
        assert_eq!(proc.command(i32::MAX), "[?]");
    }

    #[test]
    fn children_and_shares_are_parsed() {
        let mut found = Vec::new();
        parse_children(b"12 345 0 1 x \n", &mut found);
        assert_eq!(found, [12, 345]);
        let rollup = b"55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss: 900 kB\nPss:   123 kB\nPss_Dirty: 1 kB\n";
        assert_eq!(parse_pss(rollup), Some(123));
        assert_eq!(parse_pss(b"Rss: 1 kB\n"), None);
    }
}
