//! What the machine is told, and what it wants done. Both are plain data.

use std::sync::Arc;
use std::time::Duration;

use crate::guard::Company;
use crate::guard::Sample;
use crate::limits::Resources;
use crate::outcome::EndReason;
use crate::outcome::ScriptOutcome;
use crate::outcome::TestOutcome;
use crate::outcome::Unfinished;
use crate::process::Settled;
use crate::report::Captured;
use crate::report::GuardNotice;
use crate::report::Leak;
use crate::report::Warning;
use crate::retry::Attempt;
use crate::schedule::GroupPlace;
use crate::signal::Signal;
use crate::units::Bytes;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The process of a slot's test is gone with its family, and its result, if it has one, is in the
    /// checkpoint.
    Ended {
        /// The slot, free again.
        slot: usize,
        /// How it went.
        end: Box<TestEnd>,
    },
    /// The container of a slot's test is ready: its time begins only now.
    Entered {
        /// The slot.
        slot: usize,
    },
    /// The process of a script is gone.
    ScriptEnded {
        /// The script's number.
        script: usize,
        /// How it went.
        end: Box<ScriptEnd>,
    },
    /// A reading of the machine.
    Sample(Box<Sample>),
    /// A signal to the runner.
    Signal(Signal),
    /// The ports of a test are this run's.
    Claimed {
        /// The test's number.
        test: usize,
    },
    /// Another run has a port of a test, which waits for it.
    PortTaken {
        /// The test's number.
        test: usize,
        /// The port.
        port: u16,
        /// Who has it, in words.
        holder: String,
    },
    /// How the run stands among others.
    Standing(Standing),
    /// Something did not work on another thread.
    Warning(Warning),
    /// The moment that was waited for has come.
    Tick,
}

/// How the run stands among the others of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How many of its tests may run at once.
    pub(crate) may: usize,
    /// How many runs want to run tests, with this one.
    pub(crate) runs: usize,
    /// Who else there is when the machine is in trouble.
    pub(crate) company: Company,
}

impl Default for Standing {
    /// Alone.
    fn default() -> Self {
        Self {
            may: usize::MAX,
            runs: 1,
            company: Company::default(),
        }
    }
}

/// The end of one test's process.
#[derive(Debug)]
pub(crate) struct TestEnd {
    /// Its result, or why it has none.
    pub(crate) settled: Settled,
    /// From start to exit.
    pub(crate) duration: Duration,
    /// What it used with its whole family.
    pub(crate) resources: Resources,
    /// What it printed, where that is to be shown.
    pub(crate) output: Option<Captured>,
    /// What it left behind.
    pub(crate) leak: Option<Leak>,
}

/// The end of a script's process.
#[derive(Debug)]
pub(crate) struct ScriptEnd {
    /// How it ended.
    pub(crate) outcome: ScriptOutcome,
    /// From start to exit.
    pub(crate) duration: Duration,
    /// What it printed, where that was captured.
    pub(crate) output: Option<Captured>,
    /// The variables that it has written for its tests.
    pub(crate) variables: Vec<(String, String)>,
    /// Whether somebody still held its captured output after the leak timeout.
    pub(crate) output_open: bool,
}

/// Something to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Start a test in a free slot.
    Start {
        /// The slot.
        slot: usize,
        /// The test's number.
        test: usize,
        /// Whether no other test runs beside it, from its start to its end.
        alone: bool,
        /// Whether its start is to be in the checkpoint before there is a process that could kill us.
        record: bool,
        /// Which attempt this is.
        attempt: Attempt,
        /// Its place in its group.
        group: Option<GroupPlace>,
    },
    /// Ask other runs for ports.
    Claim {
        /// The number of the test that is to have them.
        test: usize,
        /// The ports, in rising order.
        ports: Arc<[u16]>,
    },
    /// Give the ports of a test back to other runs, or ask for them no longer.
    GiveBack {
        /// The test's number.
        test: usize,
    },
    /// End the test of a slot.
    End {
        /// The slot.
        slot: usize,
        /// Why.
        reason: EndReason,
        /// The time between TERM and KILL; zero for KILL at once.
        grace: Duration,
    },
    /// What is to be done about a script.
    Script(ScriptAction),
    /// End every test and whoever else is below us, without looking whose it is. Nobody is told of them.
    EndEverybody,
    /// Read the machine no more: everybody has been killed, and who looks takes from the dying the time that they
    /// need.
    LookAway,
    /// Stop or continue the process group of a slot, as a terminal would.
    Pause {
        /// The slot.
        slot: usize,
        /// Whether it goes on.
        go_on: bool,
    },
    /// Stop this process until it is continued.
    SuspendSelf,
    /// Write down that a test has been running for a while, so that a crash names it.
    RecordStarted {
        /// The test's number.
        test: usize,
    },
    /// Write down that a test was ended without a result.
    RecordUnfinished {
        /// The test's number.
        test: usize,
        /// Why.
        why: Unfinished,
        /// How often the guard has blamed it by now, if it did.
        breaches: Option<u32>,
        /// What the guard blames it for, if it does.
        evidence: Option<String>,
    },
    /// Tell whoever shows the run.
    Show(Notice),
}

/// What is to be done about a script.
#[derive(Debug)]
pub(crate) enum ScriptAction {
    /// Start the one with this number. No test and no other script runs beside it.
    Start(usize),
    /// End the one that runs.
    End {
        /// Why.
        reason: EndReason,
        /// The time between TERM and KILL; zero for KILL at once.
        grace: Duration,
    },
    /// Stop or continue its process group, as a terminal would.
    Pause {
        /// Whether it goes on.
        go_on: bool,
    },
}

/// What becomes of a script.
#[derive(Debug)]
pub(crate) enum ScriptNotice {
    /// It starts.
    Started,
    /// It is slow.
    Slow {
        /// For how long it has run.
        elapsed: Duration,
        /// Whether it is ended for it.
        ending: bool,
    },
    /// It has ended.
    Finished(Box<ScriptEnd>),
}

/// Something to show, with tests by their numbers.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A test starts.
    Started {
        /// The test's number.
        test: usize,
    },
    /// What becomes of the script with this number.
    Script(usize, ScriptNotice),
    /// A test is slow.
    Slow {
        /// The test's number.
        test: usize,
        /// For how long it has run.
        elapsed: Duration,
        /// Whether it is ended for it.
        ending: bool,
    },
    /// A test waits for a port.
    PortTaken {
        /// The test's number.
        test: usize,
        /// The port.
        port: u16,
        /// Who has it, in words.
        holder: String,
    },
    /// A test has failed, and will be tried again.
    Retried {
        /// The test's number.
        test: usize,
        /// Which attempt this was.
        attempt: Attempt,
        /// Why.
        outcome: TestOutcome,
        /// The rest of what is known of its end.
        end: Box<TestEnd>,
        /// The counts, without it.
        counts: crate::report::Counts,
        /// The time until the next; `None` when no test starts any more.
        delay: Option<Duration>,
    },
    /// A test has its result.
    Finished {
        /// The test's number.
        test: usize,
        /// Which attempt this was.
        attempt: Attempt,
        /// The result.
        outcome: TestOutcome,
        /// The rest of what is known of its end.
        end: Box<TestEnd>,
        /// The counts with this result.
        counts: crate::report::Counts,
    },
    /// A test was ended without a result.
    Unfinished {
        /// The test's number.
        test: usize,
        /// Why.
        why: Unfinished,
        /// For how long it had run.
        elapsed: Duration,
    },
    /// The guard ends one test.
    Shed {
        /// The test's number.
        test: usize,
        /// What it uses.
        memory: Option<Bytes>,
        /// What was over which threshold.
        reason: String,
    },
    /// The guard says something.
    Guard(GuardNotice),
    /// Something did not work.
    Warning(Warning),
    /// Where the run is.
    Progress(Box<Progress>),
}

/// The state of the run, with tests by their numbers.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Everything but what runs.
    pub(crate) state: crate::report::Progress,
    /// What runs: number, for how long, memory.
    pub(crate) running: Vec<(usize, Duration, Option<Bytes>)>,
    /// What waits: number, for which port, who has it.
    pub(crate) awaited: Vec<(usize, u16, String)>,
    /// The script that runs: number, for how long.
    pub(crate) script: Option<(usize, Duration)>,
}
