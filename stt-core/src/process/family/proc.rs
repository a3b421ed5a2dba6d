//! Reads `/proc` by hand (`proc_pid_stat(5)` and its neighbours): a family is looked at between two
//! tests, and as often as memory fills, and a general library takes ten times as long.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;

use super::member::Identity;

/// What `/proc/<pid>/stat` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: i32,
    /// One letter; that of the main thread.
    pub(super) state: u8,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// User and system time, in clock ticks.
    pub(super) ticks: u64,
    /// The same of the children for whom it has waited, and of those for whom they had.
    pub(super) waited_ticks: u64,
    pub(super) threads: u32,
    /// When it started, in clock ticks since the boot. With the pid it names a process for good.
    pub(super) start: u64,
    /// Its resident set, in pages.
    pub(super) resident: u64,
}

impl Stat {
    /// The process for good.
    pub(super) fn identity(&self) -> Identity {
        Identity {
            pid: self.pid,
            start: self.start,
        }
    }

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
    let parent = number(fields.next()?)?;
    let group = number(fields.next()?)?;
    let session = number(fields.next()?)?;
    let user: u64 = number(fields.nth(14 - 6 - 1)?)?;
    let system: u64 = number(fields.next()?)?;
    let waited_user: u64 = number(fields.next()?)?;
    let waited_system: u64 = number(fields.next()?)?;
    let threads = number(fields.nth(20 - 17 - 1)?)?;
    let start = number(fields.nth(22 - 20 - 1)?)?;
    let resident = number(fields.nth(24 - 22 - 1)?)?;
    Some(Stat {
        pid,
        state,
        parent,
        group,
        session,
        ticks: user.saturating_add(system),
        waited_ticks: waited_user.saturating_add(waited_system),
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
    parse_kilobytes(text, b"Pss:")
}

/// Finds the line that begins so and ends in kilobytes.
pub(super) fn parse_kilobytes(text: &[u8], key: &[u8]) -> Option<u64> {
    let line = text
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(key))?;
    number(line.strip_suffix(b"kB")?.trim_ascii())
}

/// Finds the real user of a process in `/proc/<pid>/status` (`proc_pid_status(5)`).
pub(super) fn parse_user(text: &[u8]) -> Option<u32> {
    let line = text
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut fields = line.split(u8::is_ascii_whitespace);
    number(fields.find(|field| !field.is_empty())?)
}

/// Finds in `/proc/<pid>/statm` the resident pages, and those of them that are neither a file's nor shared memory
/// (`proc_pid_statm(5)`).
pub(super) fn parse_parts(text: &[u8]) -> Option<(u64, u64)> {
    let mut fields = text.trim_ascii().split(|&byte| byte == b' ');
    let resident: u64 = number(fields.nth(1)?)?;
    let shared: u64 = number(fields.next()?)?;
    Some((resident, resident.saturating_sub(shared)))
}

/// Finds in `/proc/<pid>/io` how many bytes went to disks, or were to (`proc_pid_io(5)`).
///
/// What was cancelled is not taken off: the kernel charges it to whoever removes a file, and what it tells of
/// a process at its end leaves it in as well (`ru_oublock`).
pub(super) fn parse_written(text: &[u8]) -> Option<u64> {
    let mut lines = text.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(b"write_bytes:"))?;
    number(value.trim_ascii())
}

/// Finds the resident pages in `/proc/<pid>/statm`.
pub(super) fn parse_resident(text: &[u8]) -> Option<u64> {
    number(text.trim_ascii().split(|&byte| byte == b' ').nth(1)?)
}

/// Whether a process is on its way from one program to the next: it has let go of the environment of the
/// old one, and the new one's is not there yet. An environment that was cleared has an address all the same,
/// and the dead and threads of the kernel will never have one.
///
/// The address is the 51st field (`env_end`), the flags are the ninth, and `PF_KTHREAD` is one of them
/// (`proc_pid_stat(5)`, `include/linux/sched.h`).
pub(super) fn is_changing_programs(line: &[u8]) -> bool {
    const PF_KTHREAD: u32 = 0x0020_0000;
    let Some(name_ends) = line.iter().rposition(|&byte| byte == b')') else {
        return false;
    };
    let rest = line.get(name_ends + 1..).unwrap_or_default().trim_ascii();
    let fields: Vec<_> = rest.split(|&byte| byte == b' ').collect();
    // The third field is the first behind the name.
    let field = |at: usize| fields.get(at - 3).copied();
    let is_user_process = field(9)
        .and_then(number::<u32>)
        .is_some_and(|flags| flags & PF_KTHREAD == 0);
    let is_alive = !matches!(field(3), None | Some(b"Z" | b"X"));
    is_user_process && is_alive && field(51) == Some(b"0")
}

/// Whether every one of the entries is in an environment, as `/proc/<pid>/environ` has it.
pub(super) fn carries(environ: &[u8], marker: &[Vec<u8>]) -> bool {
    !marker.is_empty()
        && marker
            .iter()
            .all(|entry| environ.split(|&byte| byte == 0).any(|found| found == entry))
}

/// The value of a variable, if it is text.
fn value_in(environ: &[u8], name: &str) -> Option<String> {
    let mut entries = environ.split(|&byte| byte == 0);
    let value =
        entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

/// Puts together what a process is called: its command line; behind it the name that it goes by in
/// `ps` and `pkill`, where no word of the line ends with that; and the path of its program, where neither leads there.
fn called(words: &[String], name: Option<&str>, program: Option<&Path>) -> String {
    let name = name.filter(|name| !name.is_empty());
    let mut shown = words.join(" ");
    if words.is_empty() || name.is_some_and(|name| !words.iter().any(|word| is_named(word, name))) {
        let space = if shown.is_empty() { "" } else { " " };
        // Writing to a string can't fail.
        let _ = write!(shown, "{space}[{}]", name.unwrap_or("?"));
    }
    if let (Some(program), Some(name)) = (program, name)
        && !is_named(&program.to_string_lossy(), name)
        && !words.first().is_some_and(|word| leads_to(word, program))
    {
        let _ = write!(shown, " ({})", program.display());
    }
    shown
}

/// Whether a process with this name, of which the kernel keeps 15 bytes, may have it from this path.
fn is_named(path: &str, name: &str) -> bool {
    const KEPT: usize = 15;
    let own = path.rsplit('/').next().unwrap_or(path);
    let own = own.strip_prefix('-').unwrap_or(own).as_bytes();
    own.get(..KEPT).unwrap_or(own) == name.as_bytes()
}

/// Whether a program that was called by this word is the one at this path: `sh` is a link in most places.
fn leads_to(word: &str, program: &Path) -> bool {
    let beside = program.parent().map(|dir| dir.join(word));
    beside.is_some_and(|path| path.canonicalize().is_ok_and(|path| path == program))
}

/// How often is looked whether a process has arrived in its new program, and after how many milliseconds.
const EXEC_TRIES: u32 = 20;
const EXEC_PAUSE: u8 = 1;

/// The most that is read of a command line; it is for people.
const COMMAND_LIMIT: u64 = 256;

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

    /// Whether its main thread has exited while others live. It looks dead, and is not.
    pub(super) fn has_lost_its_main_thread(&mut self, pid: i32) -> bool {
        let is_undead = |stat: Stat| stat.state == b'Z' && !stat.is_dead();
        self.stat(pid).is_some_and(is_undead)
    }

    /// The real user of the process.
    pub(super) fn user(&mut self, pid: i32) -> Option<u32> {
        parse_user(
            self.read(format_args!("/proc/{pid}/status"), u64::MAX)
                .ok()?,
        )
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

    /// As [`Proc::carries_now`], of a process that has to be known as one's own: while it executes another
    /// program it has no environment, and that is waited for, which takes a fraction of a millisecond.
    pub(super) fn carries(&mut self, pid: i32, threads: u32, marker: &[Vec<u8>]) -> bool {
        for _ in 0..EXEC_TRIES {
            if self.carries_now(pid, threads, marker) {
                return true;
            }
            if !self.is_changing_programs(pid) {
                break;
            }
            // A poll of nothing is a pause, and a signal may well cut it short.
            let _ = nix::poll::poll(&mut [], EXEC_PAUSE);
        }
        // It may have arrived between the two looks.
        self.carries_now(pid, threads, marker)
    }

    fn is_changing_programs(&mut self, pid: i32) -> bool {
        self.read(format_args!("/proc/{pid}/stat"), u64::MAX)
            .is_ok_and(is_changing_programs)
    }

    /// Whether the process was started with all of these environment entries, each `NAME=value`.
    pub(super) fn carries_now(&mut self, pid: i32, threads: u32, marker: &[Vec<u8>]) -> bool {
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

    /// The values of these variables in the environment that the process was started with.
    pub(super) fn variables<const N: usize>(
        &mut self,
        pid: i32,
        names: [&str; N],
    ) -> [Option<String>; N] {
        let environ = self.read(format_args!("/proc/{pid}/environ"), u64::MAX);
        let environ = environ.unwrap_or_default();
        names.map(|name| value_in(environ, name))
    }

    /// What leads to a process: its command line, and what that does not say.
    pub(super) fn command(&mut self, pid: i32) -> String {
        let words = self.words(pid);
        let name = self.name(pid);
        // Who it belongs to may keep it from us.
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
        called(&words, name.as_deref(), program.as_deref())
    }

    /// The command line of a process, or its name in brackets where it has none: in a fifth of the time.
    pub(super) fn command_line(&mut self, pid: i32) -> String {
        let words = self.words(pid);
        let name = if words.is_empty() {
            self.name(pid)
        } else {
            None
        };
        called(&words, name.as_deref(), None)
    }

    fn words(&mut self, pid: i32) -> Vec<String> {
        let line = self.read(format_args!("/proc/{pid}/cmdline"), COMMAND_LIMIT);
        let line = line.unwrap_or_default().split(|&byte| byte == 0);
        line.filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }

    fn name(&mut self, pid: i32) -> Option<String> {
        let name = self.read(format_args!("/proc/{pid}/comm"), COMMAND_LIMIT);
        Some(String::from_utf8_lossy(name.ok()?.trim_ascii_end()).into_owned())
    }

    /// The resident pages of a process, and those of them that are neither a file's nor shared memory.
    pub(super) fn parts(&mut self, pid: i32) -> Option<(u64, u64)> {
        let text = self.read(format_args!("/proc/{pid}/statm"), u64::MAX);
        parse_parts(text.ok()?)
    }

    /// How many bytes a process and those for whom it has waited have written to disks. Once it has exited,
    /// only root may know.
    pub(super) fn written(&mut self, pid: i32) -> Option<u64> {
        parse_written(self.read(format_args!("/proc/{pid}/io"), u64::MAX).ok()?)
    }

    /// What of the resident set of a process is shared memory, in kilobytes; `None` before Linux 4.5.
    pub(super) fn shared_memory(&mut self, pid: i32) -> Option<u64> {
        let status = self.read(format_args!("/proc/{pid}/status"), u64::MAX);
        parse_kilobytes(status.ok()?, b"RssShmem:")
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
                parent: 10,
                group: 4242,
                session: 77,
                ticks: 200,
                waited_ticks: 15,
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
            parent: 1,
            group: 2,
            session: 2,
            ticks: 0,
            waited_ticks: 0,
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
    fn who_executes_another_program_is_told_from_who_has_no_environment() {
        let line = |state: &str, flags: &str, end: &str| {
            let between = "1 ".repeat(50 - 10 + 1);
            format!("4 (a) b) {state} 1 4 4 0 -1 {flags} {between}{end} 0\n").into_bytes()
        };
        assert!(is_changing_programs(&line("R", "4194304", "0")));
        assert!(!is_changing_programs(&line("R", "4194304", "140735")));
        assert!(!is_changing_programs(&line("Z", "4194316", "0")), "dead");
        assert!(!is_changing_programs(&line("I", "2129984", "0")), "kernel");
        for line in ["", "4 (x", "4 (x) R", "4 (x) R 1 4 4 0 -1 4194304 0"] {
            assert!(!is_changing_programs(line.as_bytes()), "{line}");
        }
        let own = std::process::id().cast_signed();
        assert!(!Proc::default().is_changing_programs(own));
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
        assert!(proc.command(own).starts_with(&proc.command_line(own)));
        assert_eq!(proc.command_line(i32::MAX), "[?]");
    }

    #[test]
    fn a_process_is_called_by_what_leads_to_it() {
        let called = |line: &str, name: &str, program: &str| {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            called(&words, Some(name), Some(Path::new(program)))
        };
        let sh = Path::new("/bin/sh").canonicalize().unwrap();
        let sh = sh.to_str().unwrap();
        for (line, name, program, expected) in [
            ("/bin/sleep 9", "sleep", "/usr/bin/sleep", "/bin/sleep 9"),
            ("-bash", "bash", "/bin/bash", "-bash"),
            ("sh -c x", "sh", sh, "sh -c x"),
            ("/bin/sh ./serve.sh", "serve.sh", sh, "/bin/sh ./serve.sh"),
            (
                "a_name_longer_than_that",
                "a_name_longer_t",
                "/x/a_name_longer_than_that",
                "a_name_longer_than_that",
            ),
            ("sleep 9", "hidden", "/usr/bin/sleep", "sleep 9 [hidden]"),
            (
                "kworker/0:1",
                "sleep",
                "/usr/bin/sleep",
                "kworker/0:1 [sleep]",
            ),
            (
                "nginx: master",
                "hidden",
                "/x/nginx",
                "nginx: master [hidden] (/x/nginx)",
            ),
            ("", "hidden", "/x/nginx", "[hidden] (/x/nginx)"),
        ] {
            assert_eq!(called(line, name, program), expected);
        }
        assert_eq!(super::called(&[], Some("kthreadd"), None), "[kthreadd]");
    }

    #[test]
    fn disks_are_parsed() {
        let text = b"rchar: 9\nwchar: 9\nsyscr: 1\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 8192\n\
            cancelled_write_bytes: 100\n";
        assert_eq!(parse_written(text), Some(8192));
        assert_eq!(parse_written(b"cancelled_write_bytes: 9\n"), None);
    }

    #[test]
    fn children_and_shares_are_parsed() {
        let mut found = Vec::new();
        parse_children(b"12 345 0 1 x \n", &mut found);
        assert_eq!(found, [12, 345]);
        let rollup = b"55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss: 900 kB\nPss:   123 kB\nPss_Dirty: 1 kB\n";
        assert_eq!(parse_pss(rollup), Some(123));
        let status = b"Name:\tUid: 7\nGid:\t5\nUid:\t1000\t0\t0\t0\n";
        assert_eq!(parse_user(status), Some(1000));
        assert_eq!(parse_user(b"Uid:\n"), None);
        assert_eq!(parse_pss(b"Rss: 1 kB\n"), None);
    }
}
