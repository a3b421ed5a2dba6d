//! One control group with the processes in it: who they are, what they use, their end.
//!
//! `cgroup.kill` kills who is in the group at that moment, also who is just being born. On recent
//! kernels it misses a process whose main thread has exited while others live: it signals that
//! thread. Such a one is still in `cgroup.procs`, and is killed through a descriptor.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sys::signal::Signal;

use super::parse;
use super::parse::Controllers;
use super::place::write;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::process::family::member::GroupUsage;
use crate::process::family::proc::Proc;
use crate::process::kernel;
use crate::units::Bytes;

/// A control group that we made, with its files open.
#[derive(Debug)]
pub(in crate::process) struct Pen {
    /// The directory.
    path: Utf8PathBuf,
    /// The same as `/proc/<pid>/cgroup` has it.
    name: Vec<u8>,
    directory: File,
    /// Whether a child can be born into it: see [`Pen::kills`].
    births: AtomicBool,
    events: File,
    kill: File,
    cpu: Option<File>,
    controllers: Controllers,
    /// What `cpu.stat` said when the present test began, in microseconds.
    cpu_before: AtomicU64,
    /// How often it was killed.
    kills: AtomicU32,
}

/// The largest file of a group that is read at once.
const PAGE: usize = 4096;

/// After this time of dying it is seen who did not take part in it.
const FIRST_LOOK: Duration = Duration::from_millis(1);

/// After so many looks everybody who is left gets a signal of his own.
const PATIENT_PASSES: u32 = 3;

/// How often a group that somebody holds is asked for again, and after how many milliseconds.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: u8 = 5;

/// The longest time that is waited for all to be stopped.
const FREEZING: Duration = Duration::from_millis(20);

/// The longest time without another look at groups below.
const BELOW: Duration = Duration::from_millis(2);

/// The longest time without another look, while processes die.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Pen {
    /// Opens a group's directory.
    ///
    /// # Errors
    /// It is not there, or its kernel knows no `cgroup.kill` (before 5.14).
    pub(super) fn open(
        path: Utf8PathBuf,
        name: Vec<u8>,
        controllers: Controllers,
    ) -> io::Result<Self> {
        Ok(Self {
            directory: File::open(&path)?,
            births: AtomicBool::new(true),
            events: File::open(path.join("cgroup.events"))?,
            kill: OpenOptions::new()
                .write(true)
                .open(path.join("cgroup.kill"))?,
            cpu: File::open(path.join("cpu.stat")).ok(),
            controllers,
            cpu_before: AtomicU64::new(0),
            kills: AtomicU32::new(0),
            path,
            name,
        })
    }

    /// The same group, with what these controllers count of it.
    pub(super) fn counted_by(self, controllers: Controllers) -> Self {
        Self {
            controllers,
            ..self
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// What a child is born into (`CLONE_INTO_CGROUP`); `None` where it has to be taken in afterwards.
    pub(in crate::process) fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        let possible = self.births.load(Ordering::Relaxed);
        possible.then(|| self.directory.as_fd())
    }

    /// Has children started elsewhere and taken in.
    pub(super) fn allow_no_births(&self) {
        self.births.store(false, Ordering::Relaxed);
    }

    /// Keeps the group for as long as it is open, against whoever removes those of dead runs. Says
    /// whether nobody else does.
    pub(super) fn lock(&self) -> bool {
        self.directory.try_lock().is_ok()
    }

    /// As [`Pen::lock`], with patience: who looks whether a group is a dead run's holds it for a moment, who
    /// lives in it holds it for good.
    pub(super) fn lock_patiently(&self) -> bool {
        (0..LOCK_TRIES).any(|_| {
            let locked = self.lock();
            if !locked {
                // A poll of nothing is a pause, and a signal may well cut it short.
                let _ = nix::poll::poll(&mut [], PollTimeout::from(LOCK_PAUSE));
            }
            locked
        })
    }

    /// Whether this is still the group of its name.
    pub(super) fn is_there(&self) -> bool {
        is_at(&self.directory, &self.path)
    }

    /// Reports `POLLPRI` when the group has become empty or populated since it was last read; at most
    /// once in 10 ms.
    pub(in crate::process) fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Takes in a process that was started elsewhere.
    pub(in crate::process) fn take_in(&self, pid: i32) -> io::Result<()> {
        OpenOptions::new()
            .write(true)
            .open(self.path.join("cgroup.procs"))?
            .write_all_at(pid.to_string().as_bytes(), 0)
    }

    /// Whether anybody in it is alive. What can't be read has been removed with all that was in it.
    pub(in crate::process) fn is_populated(&self) -> bool {
        let mut buffer = [0; 256];
        let length = self.events.read_at(&mut buffer, 0).unwrap_or(0);
        parse::populated(buffer.get(..length).unwrap_or_default()).unwrap_or(false)
    }

    /// The processes in it and in the groups that they have made below it.
    pub(in crate::process) fn members(&self) -> Vec<i32> {
        let mut members = Vec::new();
        for directory in tree_of(&self.path) {
            let text = std::fs::read(directory.join("cgroup.procs")).unwrap_or_default();
            members.extend(parse::ids(&text));
            if text.is_empty() {
                // A group that its owner has made threaded lists threads only.
                let text = std::fs::read(directory.join("cgroup.threads")).unwrap_or_default();
                members.extend(parse::ids(&text).filter_map(process_of));
            }
        }
        members.sort_unstable();
        members.dedup();
        members
    }

    /// Kills everybody in it.
    ///
    /// # Errors
    /// What the kernel reports; a group that is gone has nobody in it.
    pub(in crate::process) fn kill(&self) -> io::Result<()> {
        self.kills.fetch_add(1, Ordering::Relaxed);
        match self.kill.write_all_at(b"1", 0) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            result => result,
        }
    }

    /// Stops everybody in it for good: who is born from now on is born stopped, and all can still be killed
    /// (`cgroup-v2.rst`, `cgroup.freeze`). Returns whether it is worth looking who they are.
    pub(in crate::process::family) fn freeze(&self, clock: &Clock) -> bool {
        if !self.is_populated() || write(&self.path, "cgroup.freeze", "1").is_err() {
            return false;
        }
        let deadline = clock.now().saturating_add(FREEZING);
        // Who takes longer is stopped all the same; it is his name that may be missing.
        while !self.is_frozen() && clock.now() < deadline {
            let mut fds = [PollFd::new(self.events(), PollFlags::POLLPRI)];
            let _ = nix::poll::poll(&mut fds, PollTimeout::from(1_u8));
        }
        true
    }

    fn is_frozen(&self) -> bool {
        let mut buffer = [0; 256];
        let length = self.events.read_at(&mut buffer, 0).unwrap_or(0);
        parse::field(buffer.get(..length).unwrap_or_default(), b"frozen") == Some(1)
    }

    /// How often it was killed. Since Linux 6.14 a child that is born into a group is killed at once if
    /// that group has been killed more often than its parent's: the kernel takes it for one that was
    /// being born meanwhile. So nobody is born into such a group any more.
    pub(super) fn kills(&self) -> u32 {
        self.kills.load(Ordering::Relaxed)
    }

    /// Kills everybody in it, again and again, until nobody is left or it is late. Says whether nobody
    /// is.
    pub(in crate::process) fn empty(&self, clock: &Clock, deadline: Moment) -> bool {
        let mut pause = FIRST_LOOK;
        let mut passes = 0;
        while self.is_populated() {
            // Who may not be killed is found alive at the deadline.
            drop(self.kill());
            let members = self.members();
            // Most die at once: only who stays is worth a look, and a signal of his own.
            if passes > 0 {
                let mut proc = Proc::default();
                let late =
                    |pid: &&i32| passes > PATIENT_PASSES || proc.has_lost_its_main_thread(**pid);
                for &member in members.iter().filter(late) {
                    self.kill_member(member);
                }
            }
            passes += 1;
            let until = deadline.min(clock.now().saturating_add(pause));
            // One exit after the other is no reason to go through all of them again.
            while self.is_populated() {
                let left = until.saturating_sub(clock.now());
                if left.is_zero() {
                    break;
                }
                self.wait(left);
            }
            if clock.now() >= deadline {
                return !self.is_populated();
            }
            pause = LOOK_AGAIN;
        }
        true
    }

    /// Kills one member, if it still is one once we have a descriptor for it: its number may have
    /// become a stranger's.
    fn kill_member(&self, pid: i32) {
        let Ok(process) = kernel::pidfd_open(pid) else {
            return;
        };
        if self.holds(pid) {
            // As above.
            drop(kernel::pidfd_signal(&process, Signal::SIGKILL));
        }
    }

    /// Whether a process is in it.
    pub(in crate::process) fn holds(&self, pid: i32) -> bool {
        let text = std::fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        parse::unified_path(&text).is_some_and(|path| parse::is_within(path, &self.name))
    }

    /// Waits until a member has exited or the group has changed, but not for long.
    fn wait(&self, time: Duration) {
        let text = std::fs::read(self.path.join("cgroup.procs")).unwrap_or_default();
        let process = parse::ids(&text).last().map(kernel::pidfd_open);
        let process = process.and_then(Result::ok);
        // What happens in the groups below is told with a delay.
        let time = if process.is_some() {
            time
        } else {
            time.min(BELOW)
        };
        let mut fds = vec![PollFd::new(self.events(), PollFlags::POLLPRI)];
        fds.extend(
            process
                .as_ref()
                .map(|process| PollFd::new(process.as_fd(), PollFlags::POLLIN)),
        );
        let timeout = PollTimeout::try_from(time + Duration::from_micros(999));
        let _ = nix::poll::poll(&mut fds, timeout.unwrap_or(PollTimeout::ZERO));
    }

    /// Counts CPU time from now on.
    pub(super) fn start_counting(&self) {
        let now = self.cpu_time().unwrap_or(Duration::ZERO).as_micros();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.cpu_before.store(now, Ordering::Relaxed);
    }

    fn cpu_time(&self) -> Option<Duration> {
        let mut buffer = [0; PAGE];
        let length = self.cpu.as_ref()?.read_at(&mut buffer, 0).ok()?;
        parse::cpu_time(buffer.get(..length)?)
    }

    /// What the present test has used so far with everybody in the group, dead or alive.
    pub(in crate::process) fn usage(&self) -> GroupUsage {
        let before = Duration::from_micros(self.cpu_before.load(Ordering::Relaxed));
        let read = |there: bool, file: &str| -> Option<Vec<u8>> {
            there
                .then(|| std::fs::read(self.path.join(file)).ok())
                .flatten()
        };
        let Controllers {
            memory, pids, io, ..
        } = self.controllers;
        let number = |there, file| parse::single(&read(there, file)?);
        let count = |there, file, name: &[u8]| parse::field(&read(there, file)?, name);
        let traffic = read(io, "io.stat").map(|text| parse::io_traffic(&text));
        GroupUsage {
            cpu: self.cpu_time().map(|now| now.saturating_sub(before)),
            memory: number(memory, "memory.current").map(Bytes),
            peak_memory: number(memory, "memory.peak").map(Bytes),
            processes: number(pids, "pids.peak").and_then(|peak| u32::try_from(peak).ok()),
            read: traffic.map(|(read, _)| read),
            written: traffic.map(|(_, written)| written),
            oom_kills: count(memory, "memory.events", b"oom_kill"),
            pids_refused: count(pids, "pids.events", b"max"),
        }
    }
}

fn process_of(thread: i32) -> Option<i32> {
    parse::process_of_thread(&std::fs::read(format!("/proc/{thread}/status")).ok()?)
}

/// Whether the directory that was opened is the one that is at this path now.
pub(super) fn is_at(opened: &File, path: &Utf8Path) -> bool {
    match (opened.metadata(), std::fs::metadata(path)) {
        (Ok(opened), Ok(now)) => (opened.ino(), opened.dev()) == (now.ino(), now.dev()),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
    }
}

/// A directory and all below it, itself first. Symbolic links are none of these.
pub(super) fn tree_of(root: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next) {
        let entries = directory.read_dir_utf8().into_iter().flatten().flatten();
        let below: Vec<_> = entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(camino::Utf8DirEntry::into_path)
            .collect();
        found.extend(below);
        next += 1;
    }
    found
}

/// Removes a group with all below it. Only groups without living processes can be removed, and their
/// files go with them.
///
/// # Errors
/// What the kernel says of the topmost that stays.
pub(super) fn remove(root: &Utf8Path) -> io::Result<()> {
    let mut result = Ok(());
    for directory in tree_of(root).iter().rev() {
        match std::fs::remove_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    result
}
