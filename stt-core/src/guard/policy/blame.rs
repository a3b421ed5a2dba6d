//! Whose growth has brought memory over its line: ours, or that of others.

use std::collections::VecDeque;

use crate::clock::Moment;
use crate::units::Bytes;

/// Growth further back than this has nothing to do with a line that is crossed now.
const MEMORY: Moment = Moment::from_secs(10);

/// Readings within this time count as one, which bounds how many are kept.
const GRAIN: Moment = Moment::from_millis(250);

/// For so long what other runs have told may be behind what they use.
pub(super) const BEHIND: Moment = Moment::from_millis(1_500);

/// What strangers have used in the last seconds, at the least.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    grains: VecDeque<Grain>,
    now: Bytes,
}

/// A short time, from its beginning on.
#[derive(Clone, Copy, Debug)]
struct Grain {
    since: Moment,
    /// The least that all others used, other runs included.
    used: Bytes,
    /// The least that other runs have told then, or soon after.
    runs: Bytes,
}

impl Others {
    /// Takes in what all others use now, and what of it other runs have told to be theirs. What is unknown of our own
    /// may be counted here: then less of a growth is theirs.
    pub(super) fn push(&mut self, now: Moment, used: Bytes, runs: Bytes) {
        self.now = used.saturating_sub(runs);
        let age = |grain: &Grain| now.saturating_sub(grain.since);
        while self.grains.front().is_some_and(|grain| age(grain) > MEMORY) {
            self.grains.pop_front();
        }
        match self.grains.back_mut() {
            Some(grain) if age(grain) < GRAIN => grain.used = used.min(grain.used),
            Some(_) | None => self.grains.push_back(Grain {
                since: now,
                used,
                runs,
            }),
        }
        // Who has given memory back tells it a moment later: until then it must not look as if strangers had.
        for grain in self.grains.iter_mut().rev() {
            if age(grain) > BEHIND {
                break;
            }
            grain.runs = runs.min(grain.runs);
        }
    }

    /// By how much strangers use more than at their least in the last seconds.
    pub(super) fn growth(&self) -> Bytes {
        let strangers = |grain: &Grain| grain.used.saturating_sub(grain.runs);
        let least = self.grains.iter().map(strangers).min();
        self.now.saturating_sub(least.unwrap_or(self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_counts_from_the_least_of_the_last_seconds() {
        let mut others = Others::default();
        assert_eq!(others.growth(), Bytes(0));
        let readings = [
            (0, 500, 0),
            (100, 400, 0),
            (200, 450, 50),
            (5000, 600, 200),
            (10_000, 600, 200),
            // The first readings are too long ago.
            (10_500, 600, 0),
            (11_000, 300, 0),
            (12_000, 301, 1),
        ];
        for (millis, used, growth) in readings {
            others.push(Moment::from_millis(millis), Bytes(used), Bytes(0));
            assert_eq!(others.growth(), Bytes(growth), "at {millis}");
        }
    }

    #[test]
    fn what_other_runs_take_and_give_back_is_no_growth_of_strangers() {
        let mut others = Others::default();
        let readings = [
            // Time, what all others use, what runs have told of it, and the growth that is left for strangers.
            (0, 1_000, 400, 0),
            (2_000, 1_000, 400, 0),
            // A run has grown, and has not told it yet.
            (2_100, 1_300, 400, 300),
            (3_000, 1_300, 700, 0),
            // It has given all of it back, and tells that a second later.
            (5_000, 600, 700, 0),
            (6_000, 600, 0, 0),
            (7_000, 600, 0, 0),
            // Here a stranger grows.
            (8_000, 900, 0, 300),
        ];
        for (millis, used, runs, growth) in readings {
            others.push(Moment::from_millis(millis), Bytes(used), Bytes(runs));
            assert_eq!(others.growth(), Bytes(growth), "at {millis}");
        }
    }

    #[test]
    fn few_readings_are_kept_however_often_they_come() {
        let mut others = Others::default();
        for tick in 0..10_000 {
            others.push(Moment::from_millis(5 * tick), Bytes(tick), Bytes(0));
        }
        assert!(others.grains.len() <= 42, "{}", others.grains.len());
    }
}
