//! Reads what the families of the running tests use, in the guard's words, and no more often and no more
//! exactly than somebody's life depends on it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::clock::Moment;
use crate::config::GuardConfig;
use crate::container::Census;
use crate::containers::Counter;
use crate::guard;
use crate::guard::SlotUse;
use crate::guard::cadence;
use crate::guard::cadence::Stakes;
use crate::guard::limited;
use crate::limits::Limits;
use crate::process::Control;
use crate::process::Exact;
use crate::process::Family;
use crate::process::Glance;
use crate::process::Marker;
use crate::process::Resident;
use crate::process::Running;
use crate::process::SlotUsage;
use crate::process::Usage;
use crate::run::desk::Desk;
use crate::run::sharing::Measure;
use crate::run::sharing::PeakReading;
use crate::run::sharing::Sharing;
use crate::run::sharing::Sum;
use crate::run::unchanged::Walked;
use crate::units::Bytes;

/// A slot, as the reader sees it.
pub(crate) struct Place {
    /// The way to its process.
    pub(crate) control: Arc<Control>,
    /// Where its test's limits lie, and where its peaks are noted.
    pub(crate) desk: Arc<Desk>,
    /// What the processes of its tests carry.
    pub(crate) marker: Marker,
    shares: Shares,
}

impl Place {
    /// A place at which nothing has been read.
    pub(crate) fn new(control: Arc<Control>, desk: Arc<Desk>, marker: Marker) -> Self {
        Self {
            control,
            desk,
            marker,
            shares: Shares::default(),
        }
    }
}

/// What is known of the memory that the family of one test shares.
#[derive(Debug, Default)]
struct Shares {
    leader: i32,
    limit: Sharing,
    peak: PeakReading,
}

/// Reads families.
pub(crate) struct FamilyReader {
    family: Arc<Family>,
    places: Vec<Place>,
    /// What counts containers, where there is an engine.
    counter: Option<Counter>,
    clock: Clock,
    config: GuardConfig,
    cores: usize,
    sharing: Sharing,
    /// The last walk through the family.
    walked: Option<Known>,
    /// When the limits of memory want the next look.
    memory_due: Option<Moment>,
    /// When the other limits want the next walk.
    rest_due: Option<Moment>,
    /// Whether all limits of memory are so far away that a walk may be spared.
    far: bool,
    /// Whether a test was over one of its limits at the last walk.
    exceeded: bool,
}

/// A test that runs at the moment of a walk.
struct Seen {
    slot: usize,
    leader: i32,
    limits: Option<Arc<Limits>>,
    memory_is_held: bool,
    /// What it has in containers.
    in_containers: Bytes,
}

impl Seen {
    /// The limit of memory that is held by looking.
    fn watched_memory(&self) -> Option<Bytes> {
        let limits = self.limits.as_ref().filter(|_| !self.memory_is_held);
        limits.and_then(|limits| limits.memory)
    }
}

/// What a walk through the family has found.
struct Known {
    walked: Walked,
    family: guard::Family,
    /// A way to see what becomes of them; none where memory is shared, which takes an exact reading.
    glance: Option<Glance>,
}

impl Known {
    /// The family as far as those tell who were there; `None` when somebody may have joined it.
    fn glance(
        &self,
        leaders: &[(usize, i32)],
        machine: guard::Level,
        now: Moment,
    ) -> Option<guard::Family> {
        let (memory, slots) = self.glance.as_ref()?.read()?;
        let change = (self.family.memory, memory);
        if !self.walked.explains(leaders, machine, change, now) {
            return None;
        }
        let mut family = self.family.clone();
        family.memory = memory;
        for used in &mut family.slots {
            let glanced = slots.iter().find(|(slot, _)| *slot == used.slot);
            used.memory = glanced.map_or(used.memory, |(_, memory)| *memory);
        }
        Some(family)
    }
}

/// Whether the family was walked through for a reading.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    Done,
    Spared,
}

impl FamilyReader {
    /// A reader that has read nothing.
    pub(crate) fn new(
        family: Arc<Family>,
        places: Vec<Place>,
        counter: Option<Counter>,
        clock: Clock,
        config: GuardConfig,
        cores: usize,
    ) -> Self {
        Self {
            family,
            places,
            counter,
            clock,
            config,
            cores,
            sharing: Sharing::default(),
            walked: None,
            memory_due: None,
            rest_due: None,
            far: true,
            exceeded: false,
        }
    }

    /// When the limits of the running tests want the next look.
    pub(crate) fn due(&self) -> Option<Moment> {
        self.memory_due.into_iter().chain(self.rest_due).min()
    }

    /// Whether a test was over one of its limits at the last walk.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    /// Beside this reading of the machine. With `fresh`, what was read before is not good enough.
    pub(crate) fn read(&mut self, around: guard::Around, fresh: bool) -> Option<guard::Family> {
        let began = self.clock.now();
        let fresh = fresh || self.rest_due.is_some_and(|due| due <= began);
        let mut seen = self.seen();
        let census = self.count(&mut seen, began);
        let held = census.memory();
        let leaders: Vec<_> = seen.iter().map(|test| (test.slot, test.leader)).collect();
        // Where somebody may soon be ended for it, what is known is not good enough: from half of the
        // line on, a family that was small a moment ago can cross it before it is read again.
        let calm = |family: &guard::Family| {
            let line = self.line(around);
            line.is_none_or(|line| family.memory.0 + held.0 < line.0 / 2)
        };
        if let (Some(known), Some(level)) = (&self.walked, around.level())
            && !fresh
            && self.far
        {
            let same = known.walked.holds(&leaders, level, began) && calm(&known.family);
            let family = if same {
                Some(known.family.clone())
            } else {
                // At the line somebody is ended for it, and a glance is not enough.
                let line = self.line(around);
                let seen = known.glance(&leaders, level, began);
                seen.filter(|family| line.is_none_or(|line| family.memory.0 + held.0 < line.0))
            };
            if let Some(family) = family {
                let mut family = guard::Family {
                    seen: began,
                    ..family
                };
                family.take_in(census);
                self.look_again(&seen, Some(&family), began, Walk::Spared);
                return Some(family);
            }
        }
        // Whose files are open is what a new walk finds.
        self.walked = None;
        let (processes, glance) = self.walk(&seen, around, held, began)?;
        let ended = self.clock.now();
        let mut family = processes.clone();
        family.take_in(census);
        self.note_containers(&seen, &family);
        self.look_again(&seen, Some(&family), began, Walk::Done);
        self.walked = around.level().map(|machine| Known {
            walked: Walked {
                leaders,
                machine,
                ended,
                took: ended.saturating_sub(began),
            },
            family: processes,
            glance,
        });
        Some(family)
    }

    /// The tests that run.
    fn seen(&self) -> Vec<Seen> {
        let running = self.places.iter().enumerate().filter_map(|(slot, place)| {
            let leader = place.control.leader()?;
            let test = place.desk.test().filter(|test| test.leader == leader);
            Some(Seen {
                slot,
                leader,
                memory_is_held: test.as_ref().is_some_and(|test| test.memory_is_held),
                limits: test.and_then(|test| test.limits),
                in_containers: Bytes(0),
            })
        });
        running.collect()
    }

    /// What the containers of the tests use.
    fn count(&mut self, seen: &mut [Seen], now: Moment) -> Census {
        let census = self.counter.as_mut().map(|counter| counter.read(now));
        let census = census.unwrap_or_default();
        for used in &census.containers {
            if let Some(test) = seen.iter_mut().find(|test| test.slot == used.slot) {
                test.in_containers.0 += used.memory.0;
            }
        }
        census
    }

    /// Notes what was seen of tests that have containers.
    fn note_containers(&self, seen: &[Seen], family: &guard::Family) {
        for (test, used) in seen.iter().zip(&family.slots) {
            if used.in_containers > Bytes(0) || used.cpu_in_containers > Duration::ZERO {
                self.places[test.slot].desk.note(test.leader, used);
            }
        }
    }

    /// Where it matters to the guard what the family shares.
    fn stakes(&self, around: guard::Around) -> Option<Stakes> {
        let guarded = self.config.enabled;
        guarded
            .then(|| cadence::stakes(&self.config, around.memory))
            .flatten()
    }

    /// From which sum on somebody may be ended for it.
    fn line(&self, around: guard::Around) -> Option<Bytes> {
        Some(self.stakes(around)?.from)
    }

    /// Sets the time of the next look, by what the tests with limits use.
    fn look_again(
        &mut self,
        seen: &[Seen],
        family: Option<&guard::Family>,
        began: Moment,
        walk: Walk,
    ) {
        let sooner = |due: &mut Option<Moment>, within: Option<Duration>| {
            *due = within
                .map(|within| began + within)
                .into_iter()
                .chain(*due)
                .min();
        };
        self.exceeded = false;
        self.far = true;
        self.memory_due = None;
        let mut rest_due = None;
        for (test, used) in seen
            .iter()
            .zip(family.iter().flat_map(|family| &family.slots))
        {
            let Some(limits) = &test.limits else { continue };
            self.exceeded |= limited::exceeded(limits, used).is_some();
            self.far &= limited::is_far(limits, used);
            let memory = limited::memory_within(limits, used, self.cores);
            sooner(&mut self.memory_due, memory);
            let rest = limited::rest_within(limits, used, self.cores);
            sooner(&mut rest_due, rest);
        }
        // What was not walked through is as old as it was.
        if walk == Walk::Done {
            self.rest_due = rest_due;
        }
    }

    fn walk(
        &mut self,
        seen: &[Seen],
        around: guard::Around,
        beside: Bytes,
        began: Moment,
    ) -> Option<(guard::Family, Option<Glance>)> {
        let plain = self.usage(seen, Exact::Nobody)?;
        let level = around.level();
        let stakes = self.stakes(around).map(|stakes| stakes.beside(beside));
        let sum = self.concern(stakes, plain.memory, &plain.largest, level);
        let measure = self.sharing.measure(sum.as_ref(), self.clock.now());
        let glance = (measure == Measure::Plain)
            .then(|| Glance::at(&plain))
            .flatten();
        let (mut family, exact) = match measure {
            Measure::Plain => (in_words_of_the_guard(&plain), false),
            Measure::Known(memory) => {
                let family = in_words_of_the_guard(&plain);
                (guard::Family { memory, ..family }, false)
            }
            Measure::Exact => {
                let began = self.clock.now();
                let exact = self.usage(seen, Exact::All)?;
                let ended = self.clock.now();
                if let Some((_, sum)) = sum {
                    let after = self.again(&sum);
                    self.sharing
                        .was_read(exact.memory, sum, after, began, ended);
                }
                (in_words_of_the_guard(&exact), true)
            }
        };
        family.seen = began;
        for (test, used) in seen.iter().zip(&mut family.slots) {
            used.memory_is_held = test.memory_is_held;
        }
        for (index, test) in seen.iter().enumerate() {
            let peak = if exact {
                family.slots[index].memory
            } else {
                let (memory, peak) = self.measure(seen, test, plain.slots[index], level);
                family.slots[index].memory = memory;
                peak
            };
            let used = SlotUse {
                memory: peak,
                ..family.slots[index]
            };
            self.places[test.slot].desk.note(test.leader, &used);
        }
        Some((family, glance))
    }

    /// The memory of one test as it is held against its limit, and as it counts for its peak.
    fn measure(
        &mut self,
        seen: &[Seen],
        test: &Seen,
        plain: SlotUsage,
        machine: Option<guard::Level>,
    ) -> (Bytes, Bytes) {
        let mut shares = std::mem::take(&mut self.places[test.slot].shares);
        if shares.leader != test.leader {
            shares = Shares {
                leader: test.leader,
                ..Shares::default()
            };
        }
        let limit = test.watched_memory();
        let limit = limit.map(|limit| limit.saturating_sub(test.in_containers));
        let over = limit.is_some_and(|limit| plain.memory > limit);
        let (stakes, largest) = (limit.map(Stakes::of), plain.largest.as_slice());
        let sum = self.concern(stakes, plain.memory, largest, machine);
        let measure = shares.limit.measure(sum.as_ref(), self.clock.now());
        let (_, largest) = plain.largest.unwrap_or_default();
        let now = self.clock.now();
        let measured = match measure {
            Measure::Plain if plain.processes <= 1 || over => (plain.memory, plain.memory),
            Measure::Plain if !shares.peak.is_worth(plain.memory, largest, now) => {
                (plain.memory, largest)
            }
            Measure::Known(memory) => (memory, largest),
            Measure::Plain | Measure::Exact => {
                let began = self.clock.now();
                let exact = self.usage(seen, Exact::Slot(test.slot));
                let ended = self.clock.now();
                let slots = exact.iter().flat_map(|usage| &usage.slots);
                let exact = slots.into_iter().find(|used| used.slot == test.slot);
                // Who can't be read any more is gone.
                let memory = exact.map_or(Bytes(0), |used| used.memory);
                if let Some((_, sum)) = sum {
                    let after = self.again(&sum);
                    shares.limit.was_read(memory, sum, after, began, ended);
                }
                shares.peak.was_read(memory, began, ended);
                (memory, memory)
            }
        };
        self.places[test.slot].shares = shares;
        measured
    }

    /// What a family of this sum has at stake, where what it shares may soon matter.
    fn concern(
        &self,
        stakes: Option<Stakes>,
        plain: Bytes,
        largest: &[(i32, Bytes)],
        machine: Option<guard::Level>,
    ) -> Option<(Stakes, Sum)> {
        let stakes = stakes.filter(|stakes| Sharing::concerns(*stakes, plain))?;
        let top = largest
            .iter()
            .filter_map(|&(pid, _)| self.family.resident(pid));
        let sum = Sum {
            plain,
            top: top.collect(),
            machine,
        };
        Some((stakes, sum))
    }

    /// What the largest processes have now.
    fn again(&self, sum: &Sum) -> Vec<Resident> {
        let top = sum
            .top
            .iter()
            .filter_map(|part| self.family.resident(part.pid));
        top.collect()
    }

    fn usage(&self, seen: &[Seen], exact: Exact) -> Option<Usage> {
        let tests: Vec<_> = seen
            .iter()
            .map(|test| Running {
                slot: test.slot,
                leader: test.leader,
                marker: &self.places[test.slot].marker,
                written: test
                    .limits
                    .as_ref()
                    .is_some_and(|limits| limits.written.is_some()),
            })
            .collect();
        self.family.usage(&tests, exact)
    }
}

/// A walk through the family as the policy takes it.
pub(crate) fn in_words_of_the_guard(usage: &Usage) -> guard::Family {
    let slots = usage.slots.iter().map(|used| SlotUse {
        slot: used.slot,
        memory: used.memory,
        processes: used.processes,
        threads: used.threads,
        cpu: used.cpu,
        written: used.written,
        ..SlotUse::default()
    });
    guard::Family {
        memory: usage.memory,
        processes: usage.processes,
        threads: usage.threads,
        descriptors: usage.descriptors,
        cpu: usage.cpu,
        slots: slots.collect(),
        ..guard::Family::default()
    }
}
