//! Whether a reading says anything that the dispatcher does not know yet. Near its threshold memory is
//! read two hundred times a second; to wake another thread every time costs more than the reading.

use std::time::Duration;

use crate::clock::Moment;
use crate::guard::Sample;
use crate::units::Bytes;

/// What moves less than this, far from every decision, is no news.
const TREMOR: Bytes = Bytes::mib(1);

/// So long the dispatcher waits for a reading at most.
const LONGEST: Duration = Duration::from_millis(100);

/// The last reading that was told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct News {
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    machine: Option<Bytes>,
    family: Option<Bytes>,
    at: Moment,
}

impl News {
    /// Whether to tell this reading, which counts as told if so. `calm` is whether it is under every
    /// line at which something is ended: over one, each reading counts.
    pub(crate) fn tells(&mut self, sample: &Sample, calm: bool, now: Moment) -> bool {
        let next = Told {
            machine: sample.memory.map(|memory| memory.used),
            family: sample.family.as_ref().map(|family| family.memory),
            at: now,
        };
        let known = calm && self.told.is_some_and(|told| told.covers(&next));
        if !known {
            self.told = Some(next);
        }
        !known
    }
}

impl Told {
    fn covers(&self, next: &Self) -> bool {
        same(self.machine, next.machine)
            && same(self.family, next.family)
            && next.at.saturating_sub(self.at) < LONGEST
    }
}

/// What is not known now is news if it was known, and the other way round.
fn same(told: Option<Bytes>, now: Option<Bytes>) -> bool {
    match (told, now) {
        (Some(told), Some(now)) => told.0.abs_diff(now.0) < TREMOR.0,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Bound;
    use crate::guard::Family;
    use crate::guard::Memory;

    fn sample(machine: Option<u64>, family: Option<u64>) -> Sample {
        Sample {
            memory: machine.map(|used| Memory {
                used: Bytes(used),
                total: Bytes::mib(1000),
                bound: Bound::Machine,
            }),
            family: family.map(|memory| Family {
                memory: Bytes(memory),
                ..Family::default()
            }),
            ..Sample::default()
        }
    }

    #[test]
    fn what_moves_what_comes_and_goes_what_is_over_a_line_and_what_is_late_is_news() {
        let ms = Duration::from_millis;
        let mib = 1 << 20;
        for (next, calm, now, tells) in [
            (sample(Some(5 * mib), Some(mib)), true, 5, false),
            (sample(Some(6 * mib - 1), Some(mib)), true, 5, false),
            (sample(Some(6 * mib), Some(mib)), true, 5, true),
            (sample(Some(4 * mib), Some(mib)), true, 5, true),
            (sample(Some(5 * mib), Some(2 * mib)), true, 5, true),
            (sample(Some(5 * mib), None), true, 5, true),
            (sample(None, Some(mib)), true, 5, true),
            (sample(Some(5 * mib), Some(mib)), false, 5, true),
            (sample(Some(5 * mib), Some(mib)), true, 99, false),
            (sample(Some(5 * mib), Some(mib)), true, 100, true),
        ] {
            let mut news = News::default();
            assert!(news.tells(&sample(Some(5 * mib), Some(mib)), true, ms(0)));
            assert_eq!(
                news.tells(&next, calm, ms(now)),
                tells,
                "{next:?} {calm} {now}"
            );
        }
    }

    #[test]
    fn what_creeps_is_told_in_the_end() {
        let mut news = News::default();
        let told = (0..64_u64).filter(|&step| {
            let used = step << 18;
            news.tells(&sample(Some(used), None), true, Duration::from_millis(step))
        });
        assert_eq!(told.count(), 16);
    }
}
