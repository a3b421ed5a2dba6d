//! The words in which families are spoken of, on every platform.

use std::io;
use std::time::Duration;

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

/// By what a test's processes are told from others, once its leader has exited and is not yet reaped.
#[derive(Debug)]
pub(in crate::process) struct Kin<'a> {
    /// The leader, and the number of its group.
    pub(in crate::process) leader: i32,
    /// What its processes carry.
    pub(in crate::process) marker: &'a Marker,
    /// Who was seen below the leader.
    pub(in crate::process) remembered: Vec<Identity>,
    /// No other test has run since the leader started: whoever is younger than the leader is its own.
    pub(in crate::process) exclusive: bool,
}

/// A process that outlived its test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Its process id.
    pub pid: i32,
    /// Its command line, at most 256 bytes of it, or its name in brackets where it has none.
    pub command: String,
    /// Whether it was still in its test's process group.
    pub in_group: bool,
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Who was found and ended.
    pub ended: Vec<Survivor>,
    /// Who is still alive: it may not be signalled, or did not die in time.
    pub left: Vec<Survivor>,
}

/// What the families of the running tests use together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory; proportional shares of the largest, when the exact reading was asked for.
    pub memory: Bytes,
    /// How many processes.
    pub processes: u32,
    /// How many threads.
    pub threads: u32,
    /// How many open descriptors; `None` when one process could not be read, or there are too many.
    pub descriptors: Option<u64>,
    /// CPU time so far of the processes alive now.
    pub cpu: Duration,
    /// The process with the largest resident set, and its size.
    pub largest: Option<(i32, Bytes)>,
    /// Each slot's part; orphans that are in no test's group are in none.
    pub slots: Vec<SlotUsage>,
}

/// What one running test's family uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotUsage {
    /// The slot.
    pub slot: usize,
    /// Its family's memory.
    pub memory: Bytes,
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
