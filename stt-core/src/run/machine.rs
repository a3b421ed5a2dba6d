//! Every decision of a run, without doing any of it: an event goes in, actions come out.
//!
//! The machine knows tests by their numbers and slots by theirs. It has no clock: the moment is an
//! argument, so that a property test can drive it through years in a second.

mod among;
mod ending;
mod guarding;
mod limiting;
mod porting;
mod retrying;
mod scripting;
mod starting;
mod timing;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::StopCause;
use crate::clock::Moment;
use crate::container::InUse;
use crate::guard::Memory;
use crate::guard::Pace;
use crate::guard::Policy;
use crate::guard::Verdict;
use crate::limits::Limits;
use crate::outcome::EndReason;
use crate::outcome::RunOutcome;
use crate::outcome::Unfinished;
use crate::report::Counts;
use crate::report::Progress as ProgressState;
use crate::report::Warning;
use crate::retry::Attempt;
use crate::retry::Retries;
use crate::run::event::Action;
use crate::run::event::Event;
use crate::run::event::Notice;
use crate::run::event::Standing;
use crate::schedule::Next;
use crate::schedule::Order;
use crate::schedule::Rights;
use crate::schedule::Room;
use crate::schedule::Slots;
use crate::signal::Signal;
use crate::times::TestTimes;
use crate::units::Bytes;

pub(crate) use scripting::ScriptTimes;

use retrying::Retrying;
use scripting::Scripting;

/// The signal as which the death of the supervisor counts (`signal(7)`).
const SIGTERM: i32 = 15;

/// What a machine is made of.
#[derive(Debug)]
pub(crate) struct Setup {
    /// How many tests may run at once.
    pub(crate) threads: usize,
    /// The tests that run beside others, in their order.
    pub(crate) together: Vec<usize>,
    /// The suspects of earlier legs, with the number of their breaches.
    pub(crate) suspects: Vec<(usize, u32)>,
    /// The results that exist already.
    pub(crate) counts: Counts,
    /// What each test may use, by its number; empty when no test has limits.
    pub(crate) limits: Vec<Option<Arc<Limits>>>,
    /// Which of them want ports that nobody else may have.
    pub(crate) rights: Rights,
    /// How much room they need beside others.
    pub(crate) room: Room,
    /// How many of them are failures that this leg has found before its first test.
    pub(crate) failures: usize,
    /// The limits of time.
    pub(crate) times: Times,
    /// After how many failures of this leg no further test starts.
    pub(crate) max_fail: Option<NonZeroUsize>,
    /// The guard's decisions; `None` for a run without a guard.
    pub(crate) policy: Option<Policy>,
    /// What is told while nothing ends.
    pub(crate) telling: Telling,
    /// How the run stands among others, until more is known.
    pub(crate) standing: Standing,
    /// How failed tests are tried again.
    pub(crate) retries: Retries,
    /// How those are of which that is not true, by their numbers; empty when there is none.
    pub(crate) own_retries: Vec<Option<Arc<Retries>>>,
    /// The times that tests have for themselves, by their numbers; empty when none has any.
    pub(crate) own_times: Vec<Option<TestTimes>>,
    /// How often tests have failed in earlier legs that were to be tried again.
    pub(crate) tried: BTreeMap<usize, u32>,
    /// What the times before retries are shortened by.
    pub(crate) seed: u64,
    /// After this time the run is stopped.
    pub(crate) time: Option<Duration>,
    /// The scripts that run before and after the tests, in this order.
    pub(crate) scripts: Vec<ScriptTimes>,
}

/// The limits of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// After this time, and each multiple of it, a test is called slow.
    pub(crate) slow: Duration,
    /// After so many slow timeouts it is ended.
    pub(crate) terminate_after: Option<NonZeroUsize>,
    /// The time between TERM and KILL of a test that ran too long, or when a person ends the run.
    pub(crate) grace: Duration,
    /// The same when the guard ends something.
    pub(crate) guard_grace: Duration,
    /// After this time a test is written down as started; at zero before it starts.
    pub(crate) record_started: Duration,
}

impl Times {
    /// These, but for what a test has for itself.
    pub(crate) fn with(self, own: TestTimes) -> Self {
        Self {
            slow: own.slow_timeout.unwrap_or(self.slow),
            terminate_after: own
                .terminate_after
                .map_or(self.terminate_after, NonZeroUsize::new),
            grace: own.grace_period.unwrap_or(self.grace),
            ..self
        }
    }

    /// When who started then passes the slow timeout after so many.
    fn next_slow(self, started: Moment, passed: u32) -> Moment {
        started.saturating_add(self.slow.saturating_mul(passed + 1))
    }

    /// After which time somebody who has passed so many slow timeouts is ended; `None` while he isn't.
    fn too_long(self, passed: u32) -> Option<Duration> {
        let limit = u32::try_from(self.terminate_after?.get()).unwrap_or(u32::MAX);
        (passed >= limit).then(|| self.slow.saturating_mul(limit))
    }
}

/// What is told while nothing ends.
#[derive(Clone, Debug)]
pub(crate) struct Telling {
    /// Whether the start of a test is told.
    pub(crate) starts: bool,
    /// How often the progress is told; `None` for never.
    pub(crate) progress: Option<Duration>,
    /// What of the progress never changes: the total and the thresholds.
    pub(crate) base: ProgressState,
}

/// Where a run is on its way to its end. The order is the strength: it only ever grows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Tests start.
    Running,
    /// Enough tests have failed: what runs ends by itself.
    FailFast,
    /// A setup script has failed: no test starts.
    Unprepared,
    /// The guard ends the run.
    Stopping,
    /// A person or a system ends it, with this signal.
    Interrupted(i32),
}

/// The test in a slot.
#[derive(Clone, Debug)]
struct Running {
    test: usize,
    /// How often the guard has blamed it. A test with a number here runs alone.
    breaches: Option<u32>,
    /// When it started, moved on by the time the run was suspended.
    started: Moment,
    /// How many slow timeouts it has passed.
    slow: u32,
    /// Whether its start is in the checkpoint.
    recorded: bool,
    /// Why it is being ended.
    ending: Option<EndReason>,
    /// Whether it was killed at once for a limit.
    killed: bool,
    /// What the guard holds against it, when it takes it for the cause of what it ended tests for.
    blamed: Option<String>,
    /// What its family used at the last reading.
    memory: Option<Bytes>,
    /// The container that had most of it.
    container: Option<InUse>,
    /// What it may use.
    limits: Option<Arc<Limits>>,
    /// Which attempt this is.
    attempt: Attempt,
    /// The limits of time that hold for it.
    times: Times,
}

/// What the guard saw when it stopped the run.
#[derive(Clone, Debug)]
pub(crate) struct Stopped {
    /// When it decided.
    pub(crate) at: Moment,
    /// What was over which threshold.
    pub(crate) reason: String,
    /// What of both it was.
    pub(crate) cause: StopCause,
    /// The running tests by memory, the largest first.
    pub(crate) largest: Vec<(usize, Bytes)>,
    /// The tests that were ended.
    pub(crate) ended: Vec<usize>,
}

/// The state of a run.
#[derive(Debug)]
pub(crate) struct Machine {
    order: Order,
    rights: Rights,
    room: Room,
    /// Who waits for places, and lets nobody else pass.
    held: Option<Next>,
    slots: Slots<Running>,
    /// How many tests may run at once when nothing is in the way.
    threads: usize,
    /// What the guard allows until its next word.
    verdict: Verdict,
    policy: Option<Policy>,
    /// Which container keeps the CPU busy.
    pace: Pace,
    phase: Phase,
    counts: Counts,
    failures: usize,
    max_fail: Option<NonZeroUsize>,
    limits: Vec<Option<Arc<Limits>>>,
    times: Times,
    own_times: Vec<Option<TestTimes>>,
    telling: Telling,
    /// When the progress was told last.
    told: Moment,
    /// Since when the run is suspended.
    paused: Option<Moment>,
    /// When it went on after it was suspended.
    went_on: Moment,
    stopped: Option<Stopped>,
    /// Whether nothing may wait any more.
    in_haste: bool,
    standing: Standing,
    /// What the last tests have used at most.
    peaks: Vec<Bytes>,
    /// The memory that the guard watches.
    memory: Option<Memory>,
    /// Tests that wait for ports of other runs: which port, and who has it.
    awaited: Vec<(usize, u16, String)>,
    retrying: Retrying,
    scripting: Scripting,
    /// After which time the run is stopped, and when that is, once it has begun.
    time: Option<Duration>,
    time_up: Option<Moment>,
    /// When it was told something last.
    looked: Moment,
}

impl Machine {
    /// A run in which nothing has started.
    pub(crate) fn new(setup: Setup) -> Self {
        let retrying = Retrying::new(&setup);
        let scripting = Scripting::new(setup.scripts);
        let mut machine = Self {
            order: Order::new(setup.together, setup.suspects),
            rights: setup.rights,
            room: setup.room,
            held: None,
            slots: Slots::new(setup.threads),
            threads: setup.threads,
            verdict: Verdict::open(setup.threads),
            policy: setup.policy,
            pace: Pace::default(),
            phase: Phase::Running,
            counts: setup.counts,
            failures: setup.failures,
            max_fail: setup.max_fail,
            limits: setup.limits,
            times: setup.times,
            own_times: setup.own_times,
            telling: setup.telling,
            told: Moment::ZERO,
            paused: None,
            went_on: Moment::ZERO,
            stopped: None,
            in_haste: false,
            standing: setup.standing,
            peaks: Vec::new(),
            memory: None,
            awaited: Vec::new(),
            retrying,
            scripting,
            time: setup.time,
            time_up: None,
            looked: Moment::ZERO,
        };
        machine.fail_fast();
        machine
    }

    /// Takes one event and says what is to be done, in this order.
    pub(crate) fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        self.looked = now;
        if let (Some(time), None) = (self.time, self.time_up) {
            self.time_up = Some(now.saturating_add(time));
        }
        match event {
            Event::Ended { slot, end } => self.ended(slot, end, now, &mut actions),
            Event::ScriptEnded { script, end } => self.script_ended(script, end, &mut actions),
            Event::Sample(mut sample) => {
                sample.late = self.own_lateness(sample.late, now);
                self.sampled(&sample, now, &mut actions);
            }
            Event::Signal(signal) => self.signalled(signal, now, &mut actions),
            Event::Standing(standing) => self.stands(standing, &mut actions),
            Event::Entered { slot } => self.entered(slot, now),
            Event::Claimed { test } => self.rights.granted(test),
            Event::PortTaken { test, port, holder } => {
                self.port_taken(test, port, holder, &mut actions);
            }
            Event::Warning(warning) => actions.push(Action::Show(Notice::Warning(warning))),
            Event::Tick => {}
        }
        if self.paused.is_none() {
            self.pass_time(now, &mut actions);
            self.fill(now, &mut actions);
        }
        self.call_off(&mut actions);
        actions
    }

    /// Whether nothing runs and nothing will start.
    pub(crate) fn is_over(&self) -> bool {
        self.are_tests_over() && self.scripting.is_over()
    }

    /// Whether no test runs and none will start.
    fn are_tests_over(&self) -> bool {
        self.slots.taken() == 0 && (self.phase != Phase::Running || self.left() == 0)
    }

    /// The counts over all legs.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// How the run ended, once it is over.
    pub(crate) fn outcome(&self) -> RunOutcome {
        match self.phase {
            Phase::Interrupted(signal) => RunOutcome::Interrupted(signal),
            Phase::Stopping => RunOutcome::Stopped,
            Phase::Unprepared => RunOutcome::ScriptFailed,
            Phase::Running | Phase::FailFast if self.counts.failed > 0 => RunOutcome::Failed,
            Phase::Running | Phase::FailFast if self.scripting.has_failed() => {
                RunOutcome::ScriptFailed
            }
            Phase::Running | Phase::FailFast => RunOutcome::Passed,
        }
    }

    /// Whether tests were not run because others had failed.
    pub(crate) fn was_cancelled(&self) -> bool {
        self.phase == Phase::FailFast && self.left() > 0
    }

    /// Whether whoever ends the run waits for nothing any more: it was interrupted twice, or its supervisor is dead.
    pub(crate) fn is_in_haste(&self) -> bool {
        self.in_haste
    }

    /// What the guard saw, when it stopped the run.
    pub(crate) fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_ref()
    }

    fn signalled(&mut self, signal: Signal, now: Moment, actions: &mut Vec<Action>) {
        match signal {
            Signal::Interrupt(number) => self.interrupted(number, actions),
            Signal::Suspend => self.suspend(now, actions),
            Signal::Continue => self.pass_on(actions),
            Signal::WentOn => self.go_on(now, actions),
            Signal::Abandoned => self.abandoned(actions),
        }
    }

    /// The first interrupt ends the tests with their grace, the second at once. It counts more than
    /// a stop of the guard that goes on already; the signal of the first one is the one re-raised.
    fn interrupted(&mut self, signal: i32, actions: &mut Vec<Action>) {
        let again = matches!(self.phase, Phase::Interrupted(_));
        self.in_haste |= again;
        if !again {
            self.phase = Phase::Interrupted(signal);
        }
        let grace = if again {
            Duration::ZERO
        } else {
            self.times.grace
        };
        self.end_all(Unfinished::Interrupted, grace, actions);
    }

    /// The supervisor is dead, and nobody sees to what we leave: the tests end without a grace.
    fn abandoned(&mut self, actions: &mut Vec<Action>) {
        self.in_haste = true;
        if !matches!(self.phase, Phase::Interrupted(_)) {
            self.phase = Phase::Interrupted(SIGTERM);
        }
        // Who is killed before he is ordered to end would have failed.
        self.end_all(Unfinished::Interrupted, Duration::ZERO, actions);
        actions.push(Action::EndEverybody);
        // The signal alone would have a person look for who has sent it.
        actions.push(Action::Show(Notice::Warning(Warning {
            message: "the process that you started was killed, and so the run has been ended"
                .to_owned(),
            hint: None,
        })));
    }

    /// Ends every running test. A test that is being ended already keeps its reason, but not a
    /// longer grace.
    fn end_all(&mut self, why: Unfinished, grace: Duration, actions: &mut Vec<Action>) {
        for (slot, running) in self.slots.iter_mut() {
            let reason = running
                .ending
                .get_or_insert(EndReason::Unfinished(why))
                .clone();
            actions.push(Action::End {
                slot,
                reason,
                grace,
            });
        }
        self.end_script(why, grace, actions);
    }
}

#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod ports_tests;
#[cfg(test)]
mod retrying_tests;
#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod scripting_tests;
#[cfg(test)]
mod tests;
