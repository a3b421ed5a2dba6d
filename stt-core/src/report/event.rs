//! The events of a run, in the order in which they happened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::config::ShowOutput;
use crate::container::Thing;
use crate::id::RunId;
use crate::id::TestId;
use crate::limits::Resources;
use crate::outcome::RunOutcome;
use crate::outcome::TestOutcome;
use crate::outcome::Unfinished;
use crate::port::Port;
use crate::port::StillHeld;
use crate::port::in_words;
use crate::report::ScriptFinished;
use crate::report::ScriptPlace;
use crate::retry::Attempt;
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
    /// By what means the tests' families are known and ended, as a sentence without its full stop.
    Mechanism(String),
    /// A setup or teardown script was started.
    ScriptStarted(ScriptPlace),
    /// A script has run for another slow timeout.
    ScriptSlow {
        /// The script.
        script: ScriptPlace,
        /// For how long it has run.
        elapsed: Duration,
        /// Whether it is ended for it now.
        ending: bool,
    },
    /// A script has ended.
    ScriptFinished(Box<ScriptFinished>),
    /// A test was started.
    TestStarted {
        /// The test.
        test: TestId,
    },
    /// A test waits for a port that another run has; others run meanwhile.
    PortTaken {
        /// The test.
        test: TestId,
        /// The port.
        port: u16,
        /// Who has it, in words.
        holder: String,
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
    /// A test has failed, and is to be tried again. The counts are without it.
    TestRetried {
        /// The failed attempt.
        tried: Box<TestFinished>,
        /// The time until the next; `None` when the run ends before, and a resumed one tries it.
        delay: Option<Duration>,
    },
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
    /// A run that was stopped waits until the machine has recovered, before it builds and runs anything.
    Waiting(Box<Waiting>),
    /// What a dead run had left behind was ended.
    Reaped(Box<Reaped>),
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
    /// Which attempt this was.
    pub attempt: Attempt,
    /// From its start to its exit.
    pub duration: Duration,
    /// What it used with its whole family.
    pub resources: Resources,
    /// What it printed; `None` when it was not captured.
    pub output: Option<Arc<Captured>>,
    /// When that is shown, where an override says so.
    pub own_shown: Option<ShowOutput>,
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
    /// What it had made with a container engine, which was removed.
    pub containers: Vec<Thing>,
}

impl Leak {
    /// The leak as lines, for files: one for each thing that was left.
    pub fn lines(&self) -> Vec<String> {
        let open = self
            .output_open
            .then(|| "its output was still open".to_owned());
        let processes = self.processes.iter().flat_map(|process| {
            let still_held = process.still_held.iter().map(ToString::to_string);
            [process.to_string()].into_iter().chain(still_held)
        });
        let containers = self.containers.iter().map(ToString::to_string);
        open.into_iter()
            .chain(processes)
            .chain(containers)
            .collect()
    }
}

/// A process that outlived its test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakedProcess {
    /// Its process id.
    pub pid: i32,
    /// Its command line, or its name in brackets where it has none; what else leads to it follows.
    pub command: String,
    /// The ports that it held.
    pub ports: Vec<Port>,
    /// Those of them that are held even now that it is dead.
    pub still_held: Vec<StillHeld>,
}

impl fmt::Display for LeakedProcess {
    /// Pid, command and ports: `4711 nc -l (listening on 127.0.0.1:8080)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.command)?;
        if let Some(ports) = in_words(&self.ports) {
            write!(f, " ({ports})")?;
        }
        Ok(())
    }
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
    /// Of the passed: how many had failed before.
    pub flaky: usize,
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
    /// Another number of runs shares the machine.
    Shared {
        /// How many tests of this one may run at once now.
        tests: usize,
        /// Who shares it.
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

/// How the waiting of a restarted run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What comes next.
    pub next: WaitingNext,
    /// What was read, as the beginning of a sentence: `memory at 83 % of the machine`; or what could not
    /// be read.
    pub reading: String,
    /// Where that has to be, such as `below 70 %`; `None` when it could not be read.
    pub line: Option<String>,
    /// For how long it has to be there.
    pub stable: Duration,
    /// For how long it has waited.
    pub waited: Duration,
    /// Which restart this is, from 1.
    pub restart: u32,
    /// How many there may be.
    pub max: u32,
}

/// What comes after a moment of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingNext {
    /// Another look.
    Look {
        /// In which time the run may go on at the earliest; `None` while a reading is not where it has to
        /// be.
        go_on_in: Option<Duration>,
        /// In which time it is too late.
        gives_up_in: Duration,
    },
    /// The run goes on.
    GoOn,
    /// It was too long: the run ends, and can be resumed.
    GiveUp,
}

/// What a run had left behind whose runner was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// The run.
    pub run: RunId,
    /// The root of its workspace.
    pub workspace: Utf8PathBuf,
    /// Processes, which were ended. Their deaths have not waited for more than a few names.
    pub ended: Vec<LeakedProcess>,
    /// Processes that are still alive: they may not be signalled, or did not die in time.
    pub left: Vec<LeakedProcess>,
    /// How many were ended beside those who are named.
    pub more: usize,
    /// Its directories, which were removed.
    pub directories: Vec<Utf8PathBuf>,
    /// What its tests had made with a container engine, which was removed.
    pub containers: Vec<Thing>,
}

impl Reaped {
    /// A run of which nothing was found yet.
    pub fn nothing(run: RunId, workspace: Utf8PathBuf) -> Self {
        Self {
            run,
            workspace,
            ended: Vec::new(),
            left: Vec::new(),
            more: 0,
            directories: Vec::new(),
            containers: Vec::new(),
        }
    }

    /// Whether it had left nothing.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty()
            && self.left.is_empty()
            && self.directories.is_empty()
            && self.containers.is_empty()
    }
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
    /// The script that runs, and for how long.
    pub script: Option<(ScriptPlace, Duration)>,
    /// What waits for ports that other runs have.
    pub awaited: Vec<Awaited>,
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

/// A port that a test waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The test.
    pub test: TestId,
    /// The port.
    pub port: u16,
    /// Who has it, in words.
    pub holder: String,
}

/// What the processes and containers of a run use beside memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyUse {
    /// How many processes.
    pub processes: u32,
    /// How many threads.
    pub threads: u32,
    /// How many open descriptors; `None` when that could not be read.
    pub descriptors: Option<u64>,
    /// CPU time so far of the processes alive now, and of containers.
    pub cpu: Duration,
    /// What of the run's own memory is in containers.
    pub in_containers: Bytes,
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
    /// What no test could be blamed for of what was made with a container engine, removed after the last test.
    pub swept_containers: Vec<Thing>,
    /// Whether the run was cancelled because of failures, so that tests were not run.
    pub cancelled: bool,
}

/// Why and how a run was stopped.
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
    /// Whether the time of the run was over, and nothing else was wrong.
    pub timed_out: bool,
}
