//! Whose growth has brought memory over its line: ours, or that of others.

use std::collections::VecDeque;

use crate::clock::Moment;
use crate::units::Bytes;

/// Growth further back than this has nothing to do with a line that is crossed now.
const MEMORY: Moment = Moment::from_secs(10);

/// Readings within this time count as one, which bounds how many are kept.
const GRAIN: Moment = Moment::from_millis(250);

/// What others have used in the last seconds, at the least.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    /// The least of each grain of time, with the time of its beginning.
    least: VecDeque<(Moment, Bytes)>,
    now: Bytes,
}

impl Others {
    /// Takes in what others use now. What is unknown of our own may be counted here: then less of a growth is
    /// theirs.
    pub(super) fn push(&mut self, now: Moment, used: Bytes) {
        self.now = used;
        let is_old = |&(then, _): &(Moment, Bytes)| now.saturating_sub(then) > MEMORY;
        while self.least.front().is_some_and(is_old) {
            self.least.pop_front();
        }
        match self.least.back_mut() {
            Some((then, least)) if now.saturating_sub(*then) < GRAIN => *least = used.min(*least),
            Some(_) | None => self.least.push_back((now, used)),
        }
    }

    /// By how much others use more than at their least in the last seconds.
    pub(super) fn growth(&self) -> Bytes {
        let least = self.least.iter().map(|&(_, least)| least).min();
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
            others.push(Moment::from_millis(millis), Bytes(used));
            assert_eq!(others.growth(), Bytes(growth), "at {millis}");
        }
    }

    #[test]
    fn few_readings_are_kept_however_often_they_come() {
        let mut others = Others::default();
        for tick in 0..10_000 {
            others.push(Moment::from_millis(5 * tick), Bytes(tick));
        }
        assert!(others.least.len() <= 42, "{}", others.least.len());
    }
}
