//! The words in which families are spoken of, on every platform.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::Pen;
use crate::port::Port;
use crate::port::StillHeld;
use crate::units::Bytes;

/// Environment entries that together name a test: a process that was started with all of them belongs
/// to it, wherever it has moved since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marker {
    pub(super) entries: Vec<Vec<u8>>,
}

impl Marker {
    /// A marker of these variables and values; one without any marks nobody.
    pub fn new<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let entry = |(name, value)| format!("{name}={value}").into_bytes();
        Self {
            entries: variables.into_iter().map(entry).collect(),
        }
    }
}

/// A process for good: its number may come again, but not with the same start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::process) struct Identity {
    pub(super) pid: i32,
    /// In clock ticks since the boot.
    pub(super) start: u64,
}

impl Identity {
    /// Its number.
    pub(in crate::process) fn pid(self) -> i32 {
        self.pid
    }
}

/// By what a test's processes are told from others, once its leader has exited and is not yet reaped.
#[derive(Debug)]
pub(in crate::process) struct Kin<'a> {
    /// The leader, and the number of its group.
    pub(in crate::process) leader: i32,
    /// What its processes carry.
    pub(in crate::process) marker: &'a Marker,
    /// No other test has run since the leader started: whoever is younger than the leader is its own.
    pub(in crate::process) exclusive: bool,
    /// For how much of what can be told of them there is time.
    pub(in crate::process) naming: Naming,
    /// The control group that it was born in.
    pub(in crate::process) pen: Option<Arc<Pen>>,
}

/// A process that outlived its test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Its process id.
    pub pid: i32,
    /// Its command line, at most 256 bytes of it, or its name in brackets where it has none. The name
    /// that it gave itself and its program follow where the command line leads to neither.
    pub command: String,
    /// The ports that it held.
    pub ports: Vec<Port>,
    /// Those of them that are held even now that it is dead.
    pub still_held: Vec<StillHeld>,
    /// Whether it was still in its test's process group.
    pub in_group: bool,
}

/// How much is told of those who are ended. It is read before they are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) enum Naming {
    /// All of them, with their ports, which takes less than a millisecond more.
    WithPorts,
    /// The first few, by their command lines: some 10 µs each. The others are counted.
    AFew,
    /// Nobody.
    Nobody,
}

impl Naming {
    /// How many are named.
    pub(super) fn most(self) -> usize {
        match self {
            Self::WithPorts => usize::MAX,
            Self::AFew => NAMED_IN_HASTE,
            Self::Nobody => 0,
        }
    }

    /// Whether all is told that leads to them.
    pub(super) fn is_detailed(self) -> bool {
        match self {
            Self::WithPorts => true,
            Self::AFew | Self::Nobody => false,
        }
    }
}

/// How many are named where others wait for their deaths.
pub const NAMED_IN_HASTE: usize = 16;

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Who was found and ended: all of them after an orderly end, a few where killing came first.
    pub ended: Vec<Survivor>,
    /// Who is still alive: it may not be signalled, or did not die in time.
    pub left: Vec<Survivor>,
    /// How many were ended beside those who are named.
    pub more: usize,
}

impl Swept {
    /// Counts what another sweep did as well.
    pub fn add(&mut self, other: Self) {
        self.ended.extend(other.ended);
        self.left.extend(other.left);
        self.more += other.more;
    }
}

/// What the families of the running tests use together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, as proportional shares where an exact reading was asked for, and what follows.
    pub memory: Bytes,
    /// Files in memory that nobody has mapped.
    pub unmapped: Bytes,
    /// How many processes.
    pub processes: u32,
    /// How many threads.
    pub threads: u32,
    /// How many open descriptors; `None` when one process could not be read, or there are too many.
    pub descriptors: Option<u64>,
    /// CPU time so far of the processes alive now.
    pub cpu: Duration,
    /// The processes with the largest resident sets, and their sizes, the largest first; none that is small.
    pub largest: Vec<(i32, Bytes)>,
    /// The processes.
    pub members: Vec<Member>,
    /// Each slot's part; orphans that are in no test's group are in none.
    pub slots: Vec<SlotUsage>,
}

/// What processes had used when they were reaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::process) struct Spent {
    /// CPU time, user and system.
    pub(in crate::process) cpu: Duration,
    /// The largest resident set of one of them.
    pub(in crate::process) peak_memory: Bytes,
    /// Bytes read from disks; `None` when that was not read of anybody.
    pub(in crate::process) read: Option<Bytes>,
    /// Bytes written to disks, in the same way.
    pub(in crate::process) written: Option<Bytes>,
}

impl Spent {
    /// Counts what others had used as well.
    pub(in crate::process) fn add(&mut self, other: Self) {
        let sum = |one: Option<Bytes>, other: Option<Bytes>| match (one, other) {
            (Some(one), Some(other)) => Some(Bytes(one.0.saturating_add(other.0))),
            (one, None) => one,
            (None, other) => other,
        };
        self.cpu += other.cpu;
        self.peak_memory = self.peak_memory.max(other.peak_memory);
        self.read = sum(self.read, other.read);
        self.written = sum(self.written, other.written);
    }
}

/// A running test whose family is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// Its slot.
    pub slot: usize,
    /// The process id of its leader.
    pub leader: i32,
    /// What its processes carry.
    pub marker: &'a Marker,
    /// Whether what it has written is wanted, which takes another file of each process.
    pub written: bool,
}

/// A process of a running test's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its process id.
    pub pid: i32,
    /// The slot of its test; `None` for an orphan that is in no test's group.
    pub slot: Option<usize>,
}

/// What is resident of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Its process id.
    pub pid: i32,
    /// All of it.
    pub all: Bytes,
    /// What of that is neither a file's nor shared memory. Until the process forks, it is used by nobody else.
    pub anonymous: Bytes,
}

/// Whose memory is read exactly: what processes share is counted in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exact {
    /// Nobody's.
    Nobody,
    /// Everybody's.
    All,
    /// That of the family in this slot.
    Slot(usize),
}

/// What one running test's family uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotUsage {
    /// The slot.
    pub slot: usize,
    /// Resident memory, as proportional shares where an exact reading was asked for, and what follows.
    pub memory: Bytes,
    /// Files in memory that nobody has mapped.
    pub unmapped: Bytes,
    /// How many processes.
    pub processes: u32,
    /// How many threads.
    pub threads: u32,
    /// CPU time so far of those who live, and of those for whom they have waited.
    pub cpu: Duration,
    /// Bytes written to disks so far by the same; `None` when that was not wanted, or could not be read.
    pub written: Option<Bytes>,
    /// The process with the largest resident set, and its size.
    pub largest: Option<(i32, Bytes)>,
}

/// What a test has used, as its control group counts it: everybody who was ever in it, dead or alive.
/// What the group does not count is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupUsage {
    /// CPU time, user and system.
    pub cpu: Option<Duration>,
    /// Memory charged now.
    pub memory: Option<Bytes>,
    /// The most memory charged at once.
    pub peak_memory: Option<Bytes>,
    /// The most processes and threads at once.
    pub processes: Option<u32>,
    /// Bytes read from disks.
    pub read: Option<Bytes>,
    /// Bytes written to disks.
    pub written: Option<Bytes>,
    /// How many processes the kernel killed because the group's memory was full.
    pub oom_kills: Option<u64>,
    /// How often the kernel refused another process.
    pub pids_refused: Option<u64>,
}

/// Which limits of a test its control group holds, so that nobody has to watch them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Memory: over it, the kernel kills the whole family.
    pub memory: bool,
    /// Processes and threads: over it, `fork(2)` fails.
    pub processes: bool,
    /// Cores: over it, the family waits.
    pub cpu: bool,
}

/// Why there is no control group. Families are ended without it then.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The kernel has none of version 2, or they are not mounted.
    #[error("no control groups of version 2 are mounted")]
    Missing,
    /// They are mounted, and our own is not below what is mounted.
    #[error("our own control group `{name}` is not visible")]
    Invisible {
        /// Our own group.
        name: String,
    },
    /// A file that tells where they are.
    #[error("`{path}` can't be read")]
    Unreadable {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A group can't be made.
    #[error("`{path}` can't be made")]
    Make {
        /// Its directory.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A group is there and is of no use.
    #[error("`{path}` can't be used")]
    Unusable {
        /// Its directory.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The platform offers no such thing.
    #[error("this platform has no control groups")]
    Unsupported,
}

/// Why families are known and ended by their process groups only.
#[derive(Debug, thiserror::Error)]
pub enum FamilyError {
    /// `prctl(PR_SET_CHILD_SUBREAPER)` failed.
    #[error(
        "orphaned processes of tests can't be taken over; those that leave their group are not found"
    )]
    Subreaper(#[source] io::Error),
    /// The kernel was built without `CONFIG_PROC_CHILDREN`, or `/proc` is not there.
    #[error("`{path}` can't be read; processes of tests that leave their group are not found")]
    Children {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The platform offers no such thing.
    #[error("on this platform, processes of tests that leave their group are not found")]
    Unsupported,
}
