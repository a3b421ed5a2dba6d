//! The events of a run, in the order in which they happened.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::id::RunId;
use crate::id::TestId;
use crate::outcome::RunOutcome;
use crate::outcome::TestOutcome;
use crate::outcome::Unfinished;
use crate::units::Bytes;
use crate::units::Percent;
use crate::units::Threshold;

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// The tests are known and the first is about to start.
    RunStarted {
        /// The run.
        run: RunId,
        /// How many tests the selection holds, ignored ones included.
        total: usize,
        /// How many of them have a result from an earlier leg.
        kept: usize,
        /// In how many binaries they are.
        binaries: usize,
        /// How many tests may run at once.
        threads: usize,
        /// What the counts start from: the results of earlier legs, and the ignored tests.
        counts: Counts,
    },
    /// A test was started.
    TestStarted {
        /// The test.
        test: TestId,
    },
    /// A test has run for another slow timeout.
    TestSlow {
        /// The test.
        test: TestId,
        /// For how long it has run.
        elapsed: Duration,
        /// Whether it is ended for it now.
        ending: bool,
    },
    /// A test has its final result, and the checkpoint has it too.
    TestFinished(Box<TestFinished>),
    /// A test was ended without a result; it stays outstanding.
    TestUnfinished {
        /// The test.
        test: TestId,
        /// Why.
        why: Unfinished,
        /// For how long it had run.
        elapsed: Duration,
    },
    /// The guard decided something.
    Guard(GuardNotice),
    /// Something did not work, and the run goes on without it.
    Warning(Warning),
    /// The state of the run at a moment. May be dropped when nobody has time to look.
    Progress(Box<Progress>),
    /// The run is over: nothing of it is alive any more.
    RunFinished(Box<Summary>),
}

/// The final result of a test.
#[derive(Clone, Debug)]
pub struct TestFinished {
    /// The test.
    pub test: TestId,
    /// Its result.
    pub outcome: TestOutcome,
    /// From its start to its exit.
    pub duration: Duration,
    /// CPU time, user and system, of its process and the children it waited for.
    pub cpu: Duration,
    /// The largest resident set of its process or of a child it waited for.
    pub peak_memory: Bytes,
    /// What it printed; `None` when it was not captured.
    pub output: Option<Arc<Captured>>,
    /// What it left behind.
    pub leak: Option<Leak>,
    /// The counts with this result.
    pub counts: Counts,
    /// How many tests the selection holds.
    pub total: usize,
}

/// What a test printed.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
}

/// One stream of captured output: all of it, or its head and its tail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// The first bytes, as they came.
    pub head: Vec<u8>,
    /// How many bytes between head and tail are not here.
    pub omitted: u64,
    /// The last bytes.
    pub tail: Vec<u8>,
    /// The file that holds the whole stream, up to the limit for such files.
    pub spilled: Option<Utf8PathBuf>,
}

/// What a test left behind when its process had exited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leak {
    /// Somebody still held its standard output or standard error after the leak timeout.
    pub output_open: bool,
    /// Processes, which were ended.
    pub processes: Vec<LeakedProcess>,
}

/// A process that outlived its test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakedProcess {
    /// Its process id.
    pub pid: i32,
    /// Its command line, or its name in brackets where it has none.
    pub command: String,
}

/// How many tests have which result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Ignored.
    pub ignored: usize,
    /// Of the passed and failed: how many left something behind.
    pub leaky: usize,
    /// Of the passed and failed: how many were slow.
    pub slow: usize,
}

impl Counts {
    /// How many have a result.
    pub fn finished(&self) -> usize {
        self.passed + self.failed + self.ignored
    }
}

/// A decision of the guard that a person should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardNotice {
    /// No test starts for now.
    Hold {
        /// Why, with the reading.
        reason: String,
    },
    /// Tests start again.
    Release {
        /// The reading that allows it.
        reason: String,
    },
    /// Another number of tests may run at once.
    Allowed {
        /// How many.
        tests: usize,
        /// Why, with the reading.
        reason: String,
    },
    /// One running test is ended to free memory.
    Shed {
        /// The test.
        test: TestId,
        /// What it used.
        memory: Option<Bytes>,
        /// Why, with the reading.
        reason: String,
    },
    /// The run is being stopped.
    Stop {
        /// Why, with the reading.
        reason: String,
    },
}

/// Something that did not work although the run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What did not work, and what that means.
    pub message: String,
    /// What to do about it, if there is something.
    pub hint: Option<String>,
}

/// The state of a run at one moment.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Since the start of this leg.
    pub elapsed: Duration,
    /// The counts so far.
    pub counts: Counts,
    /// How many tests the selection holds.
    pub total: usize,
    /// What runs now, the longest first.
    pub running: Vec<Running>,
    /// Memory in use, as a share of its limit.
    pub memory: Option<Percent>,
    /// The run's own memory.
    pub family_memory: Option<Bytes>,
    /// What else the run's own processes use.
    pub family: Option<FamilyUse>,
    /// The line for memory.
    pub memory_threshold: Option<Threshold>,
    /// The share of the cores that is busy.
    pub cpu: Option<Percent>,
    /// The line for the CPU.
    pub cpu_threshold: Option<Percent>,
    /// How many tests may run at once now.
    pub allowed: usize,
    /// Whether the guard holds.
    pub held: bool,
}

/// What the processes of a run use beside memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyUse {
    /// How many processes.
    pub processes: u32,
    /// How many threads.
    pub threads: u32,
    /// How many open descriptors; `None` when that could not be read.
    pub descriptors: Option<u64>,
    /// CPU time so far of the processes alive now.
    pub cpu: Duration,
}

/// A running test.
#[derive(Clone, Debug)]
pub struct Running {
    /// The test.
    pub test: TestId,
    /// For how long.
    pub elapsed: Duration,
    /// What its family uses.
    pub memory: Option<Bytes>,
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub outcome: RunOutcome,
    /// The counts over all legs.
    pub counts: Counts,
    /// How many tests the selection holds.
    pub total: usize,
    /// How many results are from earlier legs.
    pub kept: usize,
    /// How many tests have no result yet.
    pub outstanding: usize,
    /// How long this leg took.
    pub elapsed: Duration,
    /// The failed tests over all legs, in the order of their ids.
    pub failed: Vec<(TestId, TestOutcome)>,
    /// Where the checkpoint is, when one is kept.
    pub checkpoint: Option<Utf8PathBuf>,
    /// What the guard saw and did, when it stopped the run.
    pub stop: Option<StopReport>,
    /// Processes that no test could be blamed for, ended after the last test.
    pub swept: Vec<LeakedProcess>,
    /// Whether the run was cancelled because of failures, so that tests were not run.
    pub cancelled: bool,
}

/// Why and how the guard stopped a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopReport {
    /// What was over which threshold.
    pub reason: String,
    /// The largest running tests with their memory, the largest first.
    pub largest: Vec<(TestId, Bytes)>,
    /// The tests that were ended.
    pub ended: Vec<TestId>,
    /// From the decision until nothing was alive.
    pub took: Duration,
}
