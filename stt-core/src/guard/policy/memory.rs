//! Decisions about memory: hold, shed, stop, and what to do on a machine that others have filled.

use std::time::Duration;

use crate::clock::Moment;
use crate::config::GuardConfig;
use crate::config::OnBreach;
use crate::guard::lines::Gauge;
use crate::guard::lines::Level;
use crate::guard::lines::Lines;
use crate::guard::policy::Act;
use crate::guard::policy::Breach;
use crate::guard::policy::Critical;
use crate::guard::policy::Note;
use crate::guard::policy::OwnPart;
use crate::guard::policy::Situation;
use crate::guard::policy::blame::BEHIND;
use crate::guard::policy::blame::Others;
use crate::guard::policy::senses;
use crate::guard::policy::slope::Slope;
use crate::guard::sample::Memory;
use crate::guard::sample::Sample;
use crate::units::Bytes;
use crate::units::Percent;

/// A family below this share of the memory is not what fills it.
const SMALL_FAMILY: Percent = Percent::whole(5);

/// How long memory may stay over its threshold, once tests have been ended for it, before the run is
/// stopped. What runs and is being killed may take longer: a few gigabytes of a process that shares its
/// core with thirty others need ten seconds to be freed, and nothing would be gained.
const SHED_PATIENCE: Duration = Duration::from_secs(2);

/// Between one shed test and the next: freeing takes 60 to 70 ms a gigabyte, and a test that need not
/// have been ended is work lost.
const SHED_EVERY: Duration = Duration::from_millis(250);

/// How long an unknown family may delay a stop: a few readings at the fastest cadence. Who holds the
/// memory decides whether anything is ended, so one more look is worth it, but not more.
const FAMILY_PATIENCE: Duration = Duration::from_millis(20);

/// What is remembered between two samples.
#[derive(Clone, Debug)]
pub(super) struct MemoryPolicy {
    lines: Lines,
    on_breach: OnBreach,
    grace: Duration,
    slope: Slope,
    others: Others,
    held: bool,
    /// Others hold the memory. Kept until it is released, so that a machine that trembles around its
    /// threshold because of others doesn't cost us the run when it is just over it.
    crowded: bool,
    /// Since when strangers seem to have grown, where that may be other runs.
    doubted: Option<Moment>,
    episode: Option<Episode>,
    /// When memory was read last.
    seen: Option<Moment>,
    /// After this time without a reading nobody waits for one any more.
    blind_after: Duration,
}

/// The time during which memory is over its threshold without a break.
#[derive(Clone, Copy, Debug)]
struct Episode {
    since: Moment,
    shed: Option<Moment>,
    /// Whether the suspect that ran alone was failed, and whether it was killed at once.
    failed: Option<bool>,
    /// Since when nothing runs, so that nothing is left to be ended.
    idle: Option<Moment>,
}

/// Who fills the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    /// The runs of this machine, or it is not known.
    Ours,
    /// Strangers. Our family uses only this.
    Others(Bytes),
    /// It will be known in a moment.
    Unclear,
}

/// What memory allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemoryVerdict {
    pub(super) hold: bool,
    pub(super) blocked: bool,
    pub(super) one_at_a_time: bool,
    pub(super) act: Option<Act>,
}

impl MemoryPolicy {
    pub(super) fn new(config: &GuardConfig) -> Self {
        Self {
            lines: Lines::new(config),
            on_breach: config.on_breach,
            grace: config.grace_period,
            slope: Slope::default(),
            others: Others::default(),
            held: false,
            crowded: false,
            doubted: None,
            episode: None,
            seen: None,
            blind_after: senses::patience(config),
        }
    }

    /// One step. A sample without the reading that the threshold is about changes nothing.
    pub(super) fn step(
        &mut self,
        sample: &Sample,
        situation: Situation,
        now: Moment,
        notes: &mut Vec<Note>,
    ) -> MemoryVerdict {
        let family = sample.family.as_ref().map(|family| family.memory);
        if let Some(memory) = sample.memory {
            self.slope.push(now, memory.used);
            let own = family.unwrap_or_default();
            let runs = situation.company.memory;
            self.others.push(now, memory.used.saturating_sub(own), runs);
        }
        let mut act = None;
        let blind = self
            .seen
            .is_some_and(|seen| now.saturating_sub(seen) >= self.blind_after);
        if let Some(gauge) = self.lines.gauge(sample.memory, family) {
            self.seen = Some(now);
            if blind {
                // Nobody knows whether memory has been over its threshold all the time.
                self.episode = None;
            }
            if gauge.level < Level::Over {
                self.under(gauge, notes);
            } else {
                // With nothing running, nothing of it can be ours.
                let own = family.or((situation.running == 0).then_some(Bytes(0)));
                act = self.over(gauge, sample.memory, own, situation, now, notes);
            }
        }
        let blind = blind && self.seen != Some(now);
        MemoryVerdict {
            hold: self.held,
            // A run that never goes on is worth less than one that goes on carefully.
            blocked: self.episode.is_some() && !blind,
            one_at_a_time: self.crowded || blind,
            act,
        }
    }

    /// Below the threshold: only hold and release.
    fn under(&mut self, gauge: Gauge, notes: &mut Vec<Note>) {
        let reading = gauge.reading;
        self.episode = None;
        self.doubted = None;
        match gauge.level {
            Level::Clear => {
                if std::mem::take(&mut self.held) {
                    notes.push(Note::Release { reading });
                }
                self.crowded = false;
            }
            Level::Middle => {}
            Level::Hold | Level::Over | Level::Critical => {
                if !std::mem::replace(&mut self.held, true) {
                    notes.push(Note::Hold { reading });
                }
            }
        }
    }

    /// At the threshold or over it.
    fn over(
        &mut self,
        gauge: Gauge,
        memory: Option<Memory>,
        own: Option<Bytes>,
        situation: Situation,
        now: Moment,
        notes: &mut Vec<Note>,
    ) -> Option<Act> {
        self.held = true;
        let mut breach = Breach {
            reading: gauge.reading,
            threshold: self.lines.threshold(),
            critical: self.critical(gauge.level, memory),
            lasted: None,
            others: None,
        };
        // Once we have ended something, memory that is still in use is memory that is being freed.
        let being_freed = self.episode.is_some_and(|episode| episode.is_freeing(now));
        let blame = self.blame(gauge, memory, own, situation.company.memory, now);
        if !being_freed && blame == Blame::Unclear && breach.critical.is_none() {
            return None;
        }
        if !being_freed && let Blame::Others(own) = blame {
            self.episode = None;
            if gauge.level == Level::Critical {
                breach.others = Some(OwnPart::Memory(own));
                return Some(stop(breach));
            }
            if !std::mem::replace(&mut self.crowded, true) {
                notes.push(Note::Others {
                    reading: gauge.reading,
                    own: OwnPart::Memory(own),
                    threshold: self.lines.threshold(),
                });
            }
            return None;
        }
        let episode = *self.episode.get_or_insert(Episode {
            since: now,
            shed: None,
            failed: None,
            idle: None,
        });
        let episode = self.note_idle(episode, situation, now);
        let lasted = now.saturating_sub(episode.since);
        // Only the machine's memory can be held by others; a size is the run's own.
        let others_possible = !self.lines.bounds_run();
        if own.is_none() && others_possible && breach.critical.is_none() && lasted < FAMILY_PATIENCE
        {
            return None;
        }
        self.crowded = false;
        if let Some(since) = episode.idle {
            // There is nothing to be ended, and a reading may be older than the end of what it is about.
            return (now.saturating_sub(since) >= SHED_PATIENCE).then(|| stop(breach));
        }
        if episode.failed.is_some() || situation.alone {
            self.fail_alone(breach, episode)
        } else {
            self.end_tests(breach, episode, now)
        }
    }

    /// Who fills the memory. When it is strangers, to end us would not help, or not for long, since it was they who have
    /// grown over the line. Other runs are no strangers: which of us yields is decided elsewhere.
    fn blame(
        &mut self,
        gauge: Gauge,
        memory: Option<Memory>,
        own: Option<Bytes>,
        runs: Bytes,
        now: Moment,
    ) -> Blame {
        let doubted = self.doubted.take();
        let (Some(own), Some(memory)) = (own, memory) else {
            return Blame::Ours;
        };
        let ours = Bytes(own.0.saturating_add(runs.0));
        let about_machine = !self.lines.bounds_run() || gauge.level == Level::Critical;
        if !about_machine || ours >= memory.total.percent(SMALL_FAMILY) {
            return Blame::Ours;
        }
        if self.crowded || ours < gauge.excess {
            return Blame::Others(own);
        }
        if ours >= self.others.growth() {
            return Blame::Ours;
        }
        // What looks like strangers who grow may be a run that has not told yet.
        let since = doubted.unwrap_or(now);
        self.doubted = Some(since);
        if runs == Bytes(0) || now.saturating_sub(since) >= BEHIND {
            Blame::Others(own)
        } else {
            Blame::Unclear
        }
    }

    /// Whether the critical line is reached, or will be before the grace period is over.
    fn critical(&self, level: Level, memory: Option<Memory>) -> Option<Critical> {
        let line = self.lines.critical_share();
        if level == Level::Critical {
            return Some(Critical::Reached { line });
        }
        let (memory, rate) = (memory?, self.slope.rate()?);
        let growth = u128::from(rate.0) * self.grace.as_millis() / 1000;
        let room = self.lines.critical(memory.total).0;
        let room = room.saturating_sub(memory.used.0);
        (growth >= u128::from(room)).then_some(Critical::Ahead { line, rate })
    }

    /// Notes since when nothing runs.
    fn note_idle(&mut self, episode: Episode, situation: Situation, now: Moment) -> Episode {
        let idle = (situation.running == 0).then(|| episode.idle.unwrap_or(now));
        let episode = Episode { idle, ..episode };
        self.episode = Some(episode);
        episode
    }

    /// The suspect that runs alone has failed. It is said again only to kill it sooner.
    fn fail_alone(&mut self, breach: Breach, episode: Episode) -> Option<Act> {
        let at_once = breach.critical.is_some();
        let news = match episode.failed {
            None => true,
            Some(killed) => at_once && !killed,
        };
        if !news {
            return None;
        }
        self.episode = Some(Episode {
            failed: Some(at_once),
            ..episode
        });
        Some(Act::BreachAlone { breach })
    }

    /// Sheds a test if that is wanted and there is time for it, else stops the run.
    fn end_tests(&mut self, breach: Breach, episode: Episode, now: Moment) -> Option<Act> {
        let out_of_time = now.saturating_sub(episode.since) >= SHED_PATIENCE;
        match self.on_breach {
            OnBreach::Stop => return Some(stop(breach)),
            OnBreach::Shed if breach.critical.is_some() || out_of_time => {
                return Some(stop(breach));
            }
            OnBreach::Shed => {}
        }
        let due = episode
            .shed
            .is_none_or(|at| now.saturating_sub(at) >= SHED_EVERY);
        if !due {
            return None;
        }
        self.episode = Some(Episode {
            shed: Some(now),
            ..episode
        });
        Some(Act::Shed { breach })
    }
}

impl Episode {
    /// Whether what was ended may still be on its way out.
    fn is_freeing(&self, now: Moment) -> bool {
        let patient = |since: Moment| now.saturating_sub(since) < SHED_PATIENCE;
        match (self.failed, self.shed) {
            (Some(_), _) => self.idle.is_none_or(patient),
            (None, Some(_)) => patient(self.since),
            (None, None) => false,
        }
    }
}

fn stop(breach: Breach) -> Act {
    Act::Stop {
        breach,
        grace: breach.critical.is_none(),
    }
}
