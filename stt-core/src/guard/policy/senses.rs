//! Notices when a reading stays away, or comes late. Unknown is not calm.

use std::time::Duration;

use crate::clock::Moment;
use crate::config::CpuAction;
use crate::config::GuardConfig;
use crate::guard::policy::Note;
use crate::guard::policy::Sense;
use crate::guard::sample::Sample;
use crate::units::Threshold;

/// Two windows of the CPU reading, which needs one before it can say anything.
const PATIENCE: Duration = Duration::from_secs(2);

/// A sample this late may have missed a gigabyte.
const LATE: Duration = Duration::from_millis(100);

/// Lateness is said once, and again after so long.
const SAY_LATE_AGAIN: Duration = Duration::from_secs(30);

/// Which readings are there, and since when those that are not have been away.
#[derive(Clone, Debug)]
pub(super) struct Senses {
    patience: Duration,
    watched: Vec<Watched>,
    said_late: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    sense: Sense,
    missing_since: Option<Moment>,
    said: bool,
}

/// After this time without a reading the guard is blind.
pub(super) fn patience(config: &GuardConfig) -> Duration {
    config.check_interval * 3 + PATIENCE
}

impl Senses {
    /// Watches what the configured thresholds need.
    pub(super) fn new(config: &GuardConfig) -> Self {
        let family = matches!(config.memory_threshold, Threshold::Run(_));
        let cpu = config.cpu_action != CpuAction::Off;
        let watched = [
            (Sense::Memory, true),
            (Sense::Family, family),
            (Sense::Cpu, cpu),
        ];
        Self {
            patience: patience(config),
            watched: watched
                .into_iter()
                .filter(|(_, needed)| *needed)
                .map(|(sense, _)| Watched {
                    sense,
                    missing_since: None,
                    said: false,
                })
                .collect(),
            said_late: None,
        }
    }

    /// Takes in a sample and adds what there is to say.
    pub(super) fn step(&mut self, sample: &Sample, now: Moment, notes: &mut Vec<Note>) {
        for watched in &mut self.watched {
            let there = match watched.sense {
                Sense::Memory => sample.memory.is_some(),
                Sense::Family => sample.family.is_some(),
                Sense::Cpu => sample.cpu_busy.is_some(),
            };
            notes.extend(watched.step(there, self.patience, now));
        }
        let quiet = self
            .said_late
            .is_some_and(|said| now.saturating_sub(said) < SAY_LATE_AGAIN);
        if sample.late >= LATE && !quiet {
            self.said_late = Some(now);
            notes.push(Note::Late { late: sample.late });
        }
    }
}

impl Watched {
    fn step(&mut self, there: bool, patience: Duration, now: Moment) -> Option<Note> {
        let sense = self.sense;
        if there {
            self.missing_since = None;
            return std::mem::take(&mut self.said).then_some(Note::Sees { sense });
        }
        let since = *self.missing_since.get_or_insert(now);
        let lasted = now.saturating_sub(since);
        if self.said || lasted < patience {
            return None;
        }
        self.said = true;
        Some(Note::Blind { sense, lasted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::policy::fixtures::config;
    use crate::guard::policy::fixtures::cpu;

    #[test]
    fn a_guard_that_stays_blind_says_so_once_and_says_when_it_sees_again() {
        let mut senses = Senses::new(&config());
        let mut notes = Vec::new();
        for second in 0..5 {
            senses.step(&Sample::default(), Moment::from_secs(second), &mut notes);
        }
        assert_eq!(notes, [], "five seconds are not over");
        for second in 5..10 {
            senses.step(&Sample::default(), Moment::from_secs(second), &mut notes);
        }
        let lasted = Duration::from_secs(5);
        let blind = |sense| Note::Blind { sense, lasted };
        assert_eq!(notes, [blind(Sense::Memory), blind(Sense::Cpu)]);
        notes.clear();
        for second in 10..15 {
            senses.step(&cpu(10, 0), Moment::from_secs(second), &mut notes);
        }
        let sees = |sense| Note::Sees { sense };
        assert_eq!(notes, [sees(Sense::Memory), sees(Sense::Cpu)]);
    }

    #[test]
    fn a_missing_reading_that_nobody_needs_is_not_missed() {
        let mut config = config();
        config.cpu_action = CpuAction::Off;
        let mut senses = Senses::new(&config);
        let mut notes = Vec::new();
        let sample = Sample {
            cpu_busy: None,
            family: None,
            ..cpu(0, 0)
        };
        for second in 0..60 {
            senses.step(&sample, Moment::from_secs(second), &mut notes);
        }
        assert_eq!(notes, []);
    }

    #[test]
    fn lateness_is_said_but_not_all_the_time() {
        let mut senses = Senses::new(&config());
        let mut notes = Vec::new();
        let late = |millis| Sample {
            late: Duration::from_millis(millis),
            ..cpu(0, 0)
        };
        for tick in 0..590 {
            let sample = late(if tick == 0 { 99 } else { 100 });
            senses.step(&sample, Moment::from_millis(100 * tick), &mut notes);
        }
        let late = Duration::from_millis(100);
        assert_eq!(notes, [Note::Late { late }, Note::Late { late }]);
    }
}
