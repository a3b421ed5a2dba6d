//! One reading of the machine and of the run. Whatever could not be read is `None`, and never zero.

use std::time::Duration;

use crate::units::Bytes;
use crate::units::Percent;

/// What was read at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The memory whose limit is the nearest: the machine's, or that of a control group around us.
    pub memory: Option<Memory>,
    /// The memory with the fewest bytes left, which is the first to be full when something floods. It may
    /// be another one: half of a small container is less than a fifth of a large machine.
    pub scarcest: Option<Memory>,
    /// Swap space of the machine.
    pub swap: Option<Memory>,
    /// The share of the cores we may use that was busy during a window of at least a second.
    pub cpu_busy: Option<Percent>,
    /// PSI: the share of the last ten seconds in which some task waited for a CPU
    /// (`some avg10` of `/proc/pressure/cpu`, Documentation/accounting/psi.rst).
    pub cpu_pressure: Option<Percent>,
    /// PSI: the same for memory.
    pub memory_pressure: Option<Percent>,
    /// How many tasks of the machine are runnable now (`procs_running` of `/proc/stat`, `proc(5)`).
    pub runnable: Option<u32>,
    /// The run's own family; `None` when it was not read this time.
    pub family: Option<Family>,
    /// Free space of the file system that holds the target directory.
    pub disk_free: Option<Bytes>,
    /// How much later than planned this sample was taken.
    pub late: Duration,
}

/// An amount of memory in use, and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// In use, without what the kernel could take back at once.
    pub used: Bytes,
    /// The limit.
    pub total: Bytes,
    /// Whose limit this is.
    pub bound: Bound,
}

/// Whose limit a reading of memory is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The machine's memory.
    Machine,
    /// A control group that holds the runner, such as a container's.
    ControlGroup,
}

/// The processes of the run, together and by test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Family {
    /// Resident memory: the proportional share of the largest where the plain sum would mislead.
    pub memory: Bytes,
    /// How many processes.
    pub processes: u32,
    /// How many threads.
    pub threads: u32,
    /// How many open descriptors, of those processes that could be read; `None` when not read this time.
    pub descriptors: Option<u64>,
    /// CPU time so far of the processes alive now.
    pub cpu: Duration,
    /// The share of each slot that runs a test, by the slot's number.
    pub slots: Vec<SlotUse>,
}

/// What one running test's family uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotUse {
    /// The slot in which the test runs.
    pub slot: usize,
    /// Its family's memory.
    pub memory: Bytes,
}
