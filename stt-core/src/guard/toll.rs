//! Whether the kernel killed somebody because memory was short, while a test ran. Pure.

use std::time::Duration;

use crate::clock::Moment;

/// How long a process that the kernel has killed may take to be gone: some 70 ms for each gigabyte.
const DYING: Duration = Duration::from_secs(5);

/// A count that only grows, and when it grew.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Toll {
    count: Option<u64>,
    grew: Option<Moment>,
}

impl Toll {
    /// Takes in the count at this moment. One that can't be read changes nothing.
    pub(super) fn take(&mut self, count: Option<u64>, now: Moment) {
        let Some(count) = count else { return };
        if self.count.is_some_and(|before| count > before) {
            self.grew = Some(now);
        }
        self.count = Some(count);
    }

    /// Whether it has grown just before this moment, at which a test has died that had begun then.
    pub(super) fn grew_before(&self, death: Moment, started: Moment) -> bool {
        self.grew
            .is_some_and(|grew| grew >= started && death.saturating_sub(grew) <= DYING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_put_down_to_what_happened_just_before_it() {
        let at = Moment::from_secs;
        let mut toll = Toll::default();
        toll.take(Some(3), at(0));
        assert!(!toll.grew_before(at(1), at(0)), "it was so before");
        toll.take(Some(3), at(1));
        assert!(!toll.grew_before(at(1), at(0)));
        toll.take(Some(4), at(10));
        for (death, started, short) in [
            (10, 0, true),
            (15, 10, true),
            (16, 0, false),
            (12, 11, false),
        ] {
            let told = toll.grew_before(at(death), at(started));
            assert_eq!(told, short, "{started} to {death}");
        }
        toll.take(None, at(11));
        toll.take(Some(4), at(12));
        assert!(toll.grew_before(at(12), at(0)));
    }
}
