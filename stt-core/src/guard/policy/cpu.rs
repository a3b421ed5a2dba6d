//! Decisions about the CPU: how many tests may run at once, and when too much is too much.

use std::time::Duration;

use crate::clock::Moment;
use crate::config::CpuAction;
use crate::config::GuardConfig;
use crate::guard::policy::Act;
use crate::guard::policy::Breach;
use crate::guard::policy::Note;
use crate::guard::policy::Reading;
use crate::guard::policy::Situation;
use crate::guard::sample::Sample;
use crate::units::Percent;
use crate::units::Threshold;

/// The time over which the CPU is read. The number of tests changes at most once in it, so that a
/// change shows in the readings before the next one.
const WINDOW: Duration = Duration::from_secs(1);

/// From this share of time on in which some task waited for a CPU, the machine is contended.
const CONTENDED: Percent = Percent::whole(20);

/// Below this share there is room for one test more. The average of ten seconds takes about fourteen
/// to fall from twice the line above to here, which keeps the governor from swinging.
const ROOM: Percent = Percent::whole(10);

/// So far below the threshold an idle share counts as room.
const ROOM_MARGIN: Percent = Percent::whole(10);

/// The number of runnable tasks is a reading of an instant; it is averaged over about this time.
const RUNNABLE_MEMORY: Duration = Duration::from_secs(3);

/// How many more tasks than cores must be runnable on average. The slots' own threads wake for an
/// instant whenever a test starts or ends, and that is not contention.
const RUNNABLE_MARGIN: f64 = 0.5;

/// A dip under the threshold of this length ends the time over it: two windows, for one may be the
/// gap between two tests.
const DIP: Duration = Duration::from_secs(2);

/// What is remembered between two samples.
#[derive(Clone, Debug)]
pub(super) struct CpuPolicy {
    action: CpuAction,
    threshold: Percent,
    sustain: Duration,
    /// The longest time that one pair of readings may vouch for.
    longest_gap: Duration,
    contention: Contention,
    /// How many tests may run; `None` for as many as are wanted.
    limit: Option<usize>,
    changed: Option<Moment>,
    load: Load,
}

/// Whether tasks wait for a CPU.
#[derive(Clone, Debug)]
pub(in crate::guard) struct Contention {
    cores: f64,
    runnable: Option<(Moment, f64)>,
}

/// For how long the CPU has been over its threshold.
///
/// The clock starts with the first reading over it and runs while readings are over; a dip is
/// subtracted, and one of two windows sets the clock to zero. So the gap between two tests does not
/// save a run that burns every core, a single spike doesn't end one, and time without a reading
/// counts for nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    over_for: Duration,
    last: Option<(Moment, bool)>,
    dip_since: Option<Moment>,
}

impl CpuPolicy {
    pub(super) fn new(config: &GuardConfig, cores: usize) -> Self {
        Self {
            action: config.cpu_action,
            threshold: config.cpu_threshold,
            // One window says nothing about what is sustained.
            sustain: config.cpu_sustain.max(WINDOW),
            longest_gap: config.check_interval + WINDOW,
            contention: Contention::new(cores),
            limit: None,
            changed: None,
            load: Load::default(),
        }
    }

    /// How many of the wanted tests may run at once.
    pub(super) fn allowed(&self, wanted: usize) -> usize {
        self.limit.unwrap_or(wanted).min(wanted).max(1)
    }

    /// One step. A sample without a reading of the CPU changes nothing.
    pub(super) fn step(
        &mut self,
        sample: &Sample,
        situation: Situation,
        now: Moment,
        notes: &mut Vec<Note>,
    ) -> Option<Act> {
        self.contention.note(sample, now);
        let busy = sample.cpu_busy?;
        let reading = Reading::Cpu {
            busy,
            pressure: sample.cpu_pressure,
        };
        let over = busy.0 >= self.threshold.0;
        let counts = match self.action {
            // A busy machine on which nobody waits is no trouble.
            CpuAction::Govern => over && self.contention.is_there(sample.cpu_pressure),
            CpuAction::Stop | CpuAction::Cap | CpuAction::Off => over,
        };
        self.load.step(counts, self.longest_gap, now);
        let before = self.allowed(situation.wanted);
        let tests = match self.action {
            CpuAction::Govern => self.govern(busy, sample.cpu_pressure, situation),
            CpuAction::Stop => self.halve_over_threshold(busy, situation),
            CpuAction::Cap => self.keep_under(busy, situation),
            CpuAction::Off => before,
        };
        let rested = self
            .changed
            .is_none_or(|at| now.saturating_sub(at) >= WINDOW);
        if tests != before && rested {
            self.limit = (tests < situation.wanted).then_some(tests);
            self.changed = Some(now);
            notes.push(Note::Allowed {
                tests,
                reading,
                threshold: self.threshold,
            });
        }
        self.sustained(busy, reading, situation)
    }

    /// The CPU has been over its threshold for long enough: with `cpu-action = "stop"`, or with one test left and an
    /// older run that waits for it as well.
    fn sustained(&mut self, busy: Percent, reading: Reading, situation: Situation) -> Option<Act> {
        let stops = match self.action {
            CpuAction::Stop => true,
            CpuAction::Govern => {
                let company = situation.company;
                company.older > 0 && company.younger == 0 && self.allowed(situation.wanted) == 1
            }
            CpuAction::Cap | CpuAction::Off => false,
        };
        if !stops || busy.0 < self.threshold.0 || self.load.over_for < self.sustain {
            return None;
        }
        let breach = Breach {
            reading,
            threshold: Threshold::Machine(self.threshold),
            critical: None,
            lasted: Some(self.load.over_for),
            others: None,
        };
        // The next test has its own time.
        self.load = Load::default();
        Some(if situation.alone {
            Act::BreachAlone { breach }
        } else {
            Act::Stop {
                breach,
                grace: true,
            }
        })
    }

    /// Fewer tests while others wait for the CPU, more when they don't.
    fn govern(&self, busy: Percent, pressure: Option<Percent>, situation: Situation) -> usize {
        let allowed = self.allowed(situation.wanted);
        let idle = busy.0 < self.threshold.saturating_sub(ROOM_MARGIN).0;
        if busy.0 >= self.threshold.0 && self.contention.is_there(pressure) {
            halved(allowed, situation)
        } else if idle || self.contention.leaves_room(pressure) {
            (allowed + 1).min(situation.wanted).max(1)
        } else {
            allowed
        }
    }

    /// Fewer tests whenever the CPU is over its threshold, one more when that one would fit.
    fn halve_over_threshold(&self, busy: Percent, situation: Situation) -> usize {
        if busy.0 >= self.threshold.0 {
            halved(self.allowed(situation.wanted), situation)
        } else {
            self.one_more_if_it_fits(busy, situation)
        }
    }

    /// As many tests as fit under the threshold, if each uses what the running ones use.
    fn keep_under(&self, busy: Percent, situation: Situation) -> usize {
        if busy.0 < self.threshold.0 {
            return self.one_more_if_it_fits(busy, situation);
        }
        let running = situation.running.max(1) as u128;
        let fitting = running * u128::from(self.threshold.0) / u128::from(busy.0.max(1));
        // At exactly the threshold all would fit, and one of them is too many.
        let fitting = fitting.min(running - 1);
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
        fitting.min(self.allowed(situation.wanted)).max(1)
    }

    fn one_more_if_it_fits(&self, busy: Percent, situation: Situation) -> usize {
        let allowed = self.allowed(situation.wanted);
        let each = u64::from(busy.0) / (situation.running.max(1) as u64);
        let fits = u64::from(busy.0) + each < u64::from(self.threshold.0);
        if fits {
            (allowed + 1).min(situation.wanted).max(1)
        } else {
            allowed
        }
    }
}

impl Contention {
    pub(in crate::guard) fn new(cores: usize) -> Self {
        Self {
            cores: f64::from(u32::try_from(cores).unwrap_or(u32::MAX)),
            runnable: None,
        }
    }

    /// Takes in how many tasks are runnable now.
    pub(in crate::guard) fn note(&mut self, sample: &Sample, now: Moment) {
        if let Some(runnable) = sample.runnable {
            self.average_runnable(runnable, now);
        }
    }

    /// Whether somebody waits for the CPU. Where both readings exist both must say so: on many cores
    /// there is always somebody who waits for an instant, and then PSI alone would cry wolf. Unknown
    /// is no reason to slow a run down, and no reason to speed it up ([`Self::leaves_room`]).
    pub(in crate::guard) fn is_there(&self, pressure: Option<Percent>) -> bool {
        match (pressure, self.queue_is_long()) {
            (Some(pressure), Some(long)) => pressure.0 >= CONTENDED.0 && long,
            (Some(pressure), None) => pressure.0 >= CONTENDED.0,
            (None, Some(long)) => long,
            (None, None) => false,
        }
    }

    fn leaves_room(&self, pressure: Option<Percent>) -> bool {
        match (pressure, self.queue_is_long()) {
            (Some(pressure), _) => pressure.0 < ROOM.0,
            (None, Some(long)) => !long,
            (None, None) => false,
        }
    }

    fn queue_is_long(&self) -> Option<bool> {
        let (_, average) = self.runnable?;
        Some(average > self.cores + RUNNABLE_MARGIN)
    }

    /// An average that forgets, because tasks come and go while the samples come when they come.
    fn average_runnable(&mut self, runnable: u32, now: Moment) {
        // The sampler itself runs while it reads.
        let value = f64::from(runnable.saturating_sub(1));
        self.runnable = Some(match self.runnable {
            None => (now, value),
            Some((then, average)) => {
                let passed = now.saturating_sub(then).as_secs_f64();
                let weight = (passed / RUNNABLE_MEMORY.as_secs_f64()).min(1.0);
                (now, average + (value - average) * weight)
            }
        });
    }
}

/// Half of the tests that may run and do: an allowance that nobody uses is no brake.
fn halved(allowed: usize, situation: Situation) -> usize {
    (allowed.min(situation.running.max(1)) / 2).max(1)
}

impl Load {
    fn step(&mut self, over: bool, longest_gap: Duration, now: Moment) {
        let (then, was_over) = self.last.unwrap_or((now, false));
        let passed = now.saturating_sub(then);
        self.last = Some((now, over));
        match (over, was_over) {
            (true, true) if passed <= longest_gap => self.over_for += passed,
            (true, _) => {}
            (false, _) => self.over_for = self.over_for.saturating_sub(passed),
        }
        if over {
            self.dip_since = None;
            return;
        }
        let since = *self.dip_since.get_or_insert(now);
        if now.saturating_sub(since) >= DIP {
            self.over_for = Duration::ZERO;
        }
    }
}
