//! How fast memory grows.

use std::time::Duration;

use crate::clock::Moment;
use crate::units::Bytes;

/// Readings are compared over at least this time and, when they come often, at most twice as long:
/// one allocation must not look like a flood, and a flood must be seen before it is over.
const SPAN: Duration = Duration::from_millis(100);

/// Two readings of the past, against which the present one is held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slope {
    older: Option<(Moment, Bytes)>,
    newer: Option<(Moment, Bytes)>,
    rate: Option<Bytes>,
}

impl Slope {
    /// Takes in a reading.
    pub(super) fn push(&mut self, now: Moment, used: Bytes) {
        self.rate = self.older.or(self.newer).and_then(|(then, before)| {
            let millis = now.saturating_sub(then).as_millis();
            let grown = u128::from(used.saturating_sub(before).0);
            let rate = (grown * 1000).checked_div(millis)?;
            Some(Bytes(u64::try_from(rate).unwrap_or(u64::MAX)))
        });
        match self.newer {
            Some((then, _)) if now.saturating_sub(then) < SPAN => {}
            newer => {
                self.older = newer;
                self.newer = Some((now, used));
            }
        }
    }

    /// The growth in bytes a second; zero when it shrinks, `None` until there are two readings.
    pub(super) fn rate(&self) -> Option<Bytes> {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_growth_is_found_whatever_the_cadence() {
        for step in [5_u64, 40, 100, 1000] {
            let mut slope = Slope::default();
            for index in 0..20 {
                let now = index * step;
                slope.push(Moment::from_millis(now), Bytes(7 * now));
            }
            assert_eq!(slope.rate(), Some(Bytes(7000)), "every {step} ms");
        }
    }

    #[test]
    fn what_shrinks_has_no_rate_and_what_is_new_has_none_yet() {
        let mut slope = Slope::default();
        assert_eq!(slope.rate(), None);
        slope.push(Moment::from_millis(0), Bytes(100));
        assert_eq!(slope.rate(), None);
        slope.push(Moment::from_millis(0), Bytes(900));
        assert_eq!(slope.rate(), None, "no time has passed");
        slope.push(Moment::from_millis(500), Bytes(50));
        assert_eq!(slope.rate(), Some(Bytes(0)));
    }

    #[test]
    fn the_distant_past_does_not_dilute_a_flood() {
        let mut slope = Slope::default();
        for second in 0..10 {
            slope.push(Moment::from_secs(second), Bytes(0));
        }
        // From here on a gigabyte a second, read every five milliseconds.
        for tick in 1..=60_u64 {
            let now = Moment::from_millis(9000 + 5 * tick);
            slope.push(now, Bytes(5_000_000 * tick));
        }
        assert_eq!(slope.rate(), Some(Bytes(1_000_000_000)));
    }
}
