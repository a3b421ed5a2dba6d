//! When the family's memory is worth an exact reading, and what it is taken for between two of them.
//!
//! The sizes of processes that share memory add up to more than there is. Only their proportional shares tell
//! the truth, and reading those takes up to 14 ms for each gigabyte of each process. So they are read only where
//! the plain sum would cost somebody's life, not where a single process has it all, and not again before
//! anything can have changed: memory that a family comes to have, by whatever way, the machine no longer has.
//!
//! Where many have it together the first reading is made on the way to the line: when that is crossed, what they
//! have come to have since is known without another.

use std::time::Duration;

use crate::clock::Moment;
use crate::guard::Level;
use crate::guard::cadence::Stakes;
use crate::process::Resident;
use crate::units::Bytes;

/// So many times as long as an exact reading takes is the rest after it, while it has nothing new to say.
const REST: u32 = 100;

/// The same when another process has become the largest meanwhile.
const REST_OF_NEW: u32 = 5;

/// A process has its memory from files where no more than this part of the line is; and a family is that of one
/// process where all others have no more.
const LITTLE: u64 = 16;

/// A family of more than this is not read exactly for its peak alone: this much takes some 5 ms.
const CHEAP: Bytes = Bytes::mib(384);

/// What was read of the family cheaply, and of the machine.
#[derive(Clone, Debug)]
pub(crate) struct Sum {
    /// The sum of the resident sizes.
    pub(crate) plain: Bytes,
    /// The largest processes, the largest first.
    pub(crate) top: Vec<Resident>,
    /// How much of the machine is taken.
    pub(crate) machine: Option<Level>,
}

/// What to take the family's memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// The plain sum.
    Plain,
    /// This much, as far as the last exact reading tells.
    Known(Bytes),
    /// An exact reading.
    Exact,
}

/// Remembers the last exact reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sharing {
    last: Option<Exact>,
}

#[derive(Clone, Debug)]
struct Exact {
    memory: Bytes,
    /// What was read before it.
    before: Sum,
    /// The largest processes after it.
    top: Vec<Resident>,
    ended: Moment,
    took: Duration,
}

impl Sharing {
    /// Whether a family of this sum is so near that what it shares may soon matter. Of one that is not, nothing
    /// needs to be known.
    pub(crate) fn concerns(stakes: Stakes, plain: Bytes) -> bool {
        plain.0 >= stakes.from.0 - stakes.from.0 / 4
    }

    /// Says how to measure a family: of this sum, where that may soon matter.
    pub(crate) fn measure(&mut self, concern: Option<&(Stakes, Sum)>, now: Moment) -> Measure {
        let Some((stakes, sum)) = concern else {
            self.last = None;
            return Measure::Plain;
        };
        self.of(*stakes, sum, now)
    }

    fn of(&mut self, stakes: Stakes, sum: &Sum, now: Moment) -> Measure {
        if !Self::concerns(stakes, sum.plain) || has_it_all(stakes.clear, sum) {
            self.last = None;
            return Measure::Plain;
        }
        if sum.plain < stakes.from && is_one(stakes.from, sum) {
            return Measure::Plain;
        }
        let Some(last) = &self.last else {
            return Measure::Exact;
        };
        if sum.plain < stakes.from {
            return Measure::Plain;
        }
        // Where the machine can't be read, nothing is known of what has been added.
        let added = match (sum.machine, last.before.machine) {
            (Some(now), Some(then)) => {
                let grown = now.growth_since(then).max(0);
                Bytes(u64::try_from(grown).unwrap_or(u64::MAX))
            }
            (None, _) | (_, None) => sum.plain,
        };
        let at_most = Bytes(last.memory.0.saturating_add(added.0));
        let at_least = last.at_least(sum);
        if at_least >= stakes.clear {
            return Measure::Known(at_least);
        }
        // What may be over the line is read again soon, but never all the time: the sampler's thread runs
        // before all others, and must leave them the cores.
        let (rest, known) = if at_most < stakes.from {
            // Of the one who grows now, only a new reading makes another needless when the line comes.
            let rest = if last.knows_the_largest(sum) {
                REST
            } else {
                REST_OF_NEW
            };
            (last.took * rest, at_most)
        } else {
            (last.took, last.memory)
        };
        if now.saturating_sub(last.ended) >= rest {
            Measure::Exact
        } else {
            Measure::Known(known)
        }
    }

    /// Takes in an exact reading that was begun and ended then, what was read before it, and what the same large
    /// processes have after it.
    pub(crate) fn was_read(
        &mut self,
        memory: Bytes,
        before: Sum,
        top: Vec<Resident>,
        began: Moment,
        ended: Moment,
    ) {
        self.last = Some(Exact {
            memory,
            before,
            top,
            ended,
            took: ended.saturating_sub(began),
        });
    }
}

impl Exact {
    /// What the family has at least: what it had, what those of its largest processes that are still among them have
    /// come to have since, each by itself, and without what anybody may have given up. A page that is new and no
    /// file's is shared with nobody that was there then.
    fn at_least(&self, sum: &Sum) -> Bytes {
        let files = |part: &Resident| i128::from(part.all.0) - i128::from(part.anonymous.0);
        let (mut now_others, mut then_others) =
            (i128::from(sum.plain.0), i128::from(self.before.plain.0));
        let mut memory = i128::from(self.memory.0);
        for now in &sum.top {
            let is_same = |then: &&Resident| then.pid == now.pid;
            let (Some(after), Some(before)) = (
                self.top.iter().find(is_same),
                self.before.top.iter().find(is_same),
            ) else {
                continue;
            };
            now_others -= i128::from(now.all.0);
            then_others -= i128::from(before.all.0);
            memory += i128::from(now.anonymous.0) - i128::from(after.anonymous.0);
            memory -= (files(after) - files(now)).max(0);
        }
        memory -= (then_others - now_others).max(0);
        Bytes(u64::try_from(memory.max(0)).unwrap_or(u64::MAX))
    }

    fn knows_the_largest(&self, sum: &Sum) -> bool {
        let largest = sum.top.first();
        largest.is_none_or(|largest| self.top.iter().any(|then| then.pid == largest.pid))
    }
}

/// Remembers the exact readings that a test's peak was worth.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeakReading {
    last: Option<Peak>,
}

#[derive(Clone, Copy, Debug)]
struct Peak {
    memory: Bytes,
    ended: Moment,
    took: Duration,
}

impl PeakReading {
    /// Whether a family of several processes with this sum is worth an exact reading, for its peak alone: it
    /// may be a new peak, and reading it keeps nobody from looking at the machine.
    pub(crate) fn is_worth(&self, plain: Bytes, largest: Bytes, now: Moment) -> bool {
        if plain > CHEAP || plain.0 - plain.0 / 8 < largest.0 {
            return false;
        }
        self.last.is_none_or(|last| {
            let grown = plain.0 - plain.0 / 8 > last.memory.0;
            grown && now.saturating_sub(last.ended) >= last.took * REST
        })
    }

    /// Takes in an exact reading that was begun and ended then.
    pub(crate) fn was_read(&mut self, memory: Bytes, began: Moment, ended: Moment) {
        self.last = Some(Peak {
            memory: memory.max(self.last.map_or(Bytes(0), |last| last.memory)),
            ended,
            took: ended.saturating_sub(began),
        });
    }
}

/// Whether one process is over the line by itself, so that nothing depends on what others share with it.
fn has_it_all(line: Bytes, sum: &Sum) -> bool {
    sum.top.first().is_some_and(|largest| {
        let files = largest.all.saturating_sub(largest.anonymous);
        largest.anonymous >= line || (largest.all >= line && files.0 <= line.0 / LITTLE)
    })
}

/// Whether one process has nearly all, so that the plain sum is right.
fn is_one(line: Bytes, sum: &Sum) -> bool {
    let largest = sum.top.first().map(|largest| largest.anonymous);
    sum.plain.saturating_sub(largest.unwrap_or_default()).0 <= line.0 / LITTLE
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Stakes = Stakes {
        from: Bytes(1000),
        clear: Bytes(1000),
    };

    fn part(pid: i32, all: u64, anonymous: u64) -> Resident {
        Resident {
            pid,
            all: Bytes(all),
            anonymous: Bytes(anonymous),
        }
    }

    /// A family of this sum, with these largest processes: number, size, and what of it is no file's.
    fn sum(plain: u64, top: &[(i32, u64, u64)], machine: u64) -> Sum {
        let level = Level {
            used: Bytes(machine),
            pages: None,
        };
        let parts = top
            .iter()
            .map(|&(pid, all, anonymous)| part(pid, all, anonymous));
        Sum {
            plain: Bytes(plain),
            top: parts.collect(),
            machine: Some(level),
        }
    }

    fn ms(count: u64) -> Moment {
        Duration::from_millis(count)
    }

    #[test]
    fn nothing_is_read_exactly_that_is_clear_without() {
        for (plain, largest, anonymous, measure) in [
            (749, 400, 300, Measure::Plain),
            // On the way to the line, unless one process has it all.
            (750, 400, 300, Measure::Exact),
            (999, 999, 999, Measure::Plain),
            (999, 999, 937, Measure::Plain),
            (999, 999, 936, Measure::Exact),
            (1100, 1000, 940, Measure::Plain),
            (1100, 1000, 930, Measure::Exact),
            (9000, 1000, 100, Measure::Exact),
            (9000, 5000, 1000, Measure::Plain),
            (9000, 999, 990, Measure::Exact),
        ] {
            let sum = sum(plain, &[(7, largest, anonymous)], 0);
            let measured = Sharing::default().of(LINE, &sum, Moment::ZERO);
            assert_eq!(measured, measure, "{sum:?}");
        }
    }

    #[test]
    fn a_family_that_is_small_and_yet_over_the_line_is_read_exactly() {
        let stakes = Stakes {
            from: Bytes(10),
            clear: Bytes(1000),
        };
        let forks = sum(10_000, &[(7, 500, 490)], 0);
        let measured = Sharing::default().of(stakes, &forks, Moment::ZERO);
        assert_eq!(measured, Measure::Exact);
    }

    const TOP: &[(i32, u64, u64)] = &[(7, 500, 490), (8, 450, 400)];

    /// Twenty processes of 500 each that share nearly all of it; reading them took 100 ms.
    fn after_a_reading() -> Sharing {
        let mut sharing = Sharing::default();
        let before = sum(10_000, &[(7, 490, 480), (8, 450, 400)], 7000);
        let after = vec![part(7, 500, 490), part(8, 450, 400)];
        sharing.was_read(Bytes(520), before, after, ms(900), ms(1000));
        sharing
    }

    #[test]
    fn what_the_largest_have_come_to_have_by_themselves_needs_no_exact_reading() {
        for (sum, after, measure) in [
            // 480 more, and so just over the line; nobody else has given anything up.
            (
                sum(10_490, &[(7, 980, 970), (8, 450, 400)], 7480),
                5,
                Measure::Known(Bytes(1000)),
            ),
            (
                sum(10_490, &[(7, 980, 969), (8, 450, 400)], 7480),
                5,
                Measure::Known(Bytes(520)),
            ),
            (
                sum(10_490, &[(7, 980, 969), (8, 450, 400)], 7480),
                100,
                Measure::Exact,
            ),
            // Two together, in another order.
            (
                sum(10_500, &[(8, 800, 750), (7, 630, 620)], 7480),
                5,
                Measure::Known(Bytes(1000)),
            ),
            // Of one who was not among the largest nothing is known.
            (sum(10_500, &[(9, 980, 970)], 7480), 100, Measure::Exact),
            // The others have 100 less, or one of the largest has fewer files: it may have been theirs alone.
            (
                sum(10_390, &[(7, 980, 970), (8, 450, 400)], 7480),
                100,
                Measure::Exact,
            ),
            (
                sum(10_450, &[(7, 980, 970), (8, 410, 400)], 7480),
                100,
                Measure::Exact,
            ),
            // One has given up what another has taken.
            (
                sum(10_190, &[(7, 980, 970), (8, 150, 100)], 7480),
                100,
                Measure::Exact,
            ),
        ] {
            let measured = after_a_reading().of(LINE, &sum, ms(1000 + after));
            assert_eq!(measured, measure, "{sum:?} {after} ms later");
        }
    }

    #[test]
    fn what_is_shared_is_read_again_when_the_machine_has_lost_what_is_missing_to_the_line() {
        for (machine, after, measure) in [
            (7000, 0, Measure::Known(Bytes(520))),
            (7000, 9_999, Measure::Known(Bytes(520))),
            (7000, 10_000, Measure::Exact),
            // Others may have freed some; it is not less than it was.
            (6000, 5, Measure::Known(Bytes(520))),
            (7300, 5, Measure::Known(Bytes(820))),
            // It may be over the line now: after as long a rest as the reading took.
            (7480, 99, Measure::Known(Bytes(520))),
            (7480, 100, Measure::Exact),
        ] {
            let sum = sum(10_500, TOP, machine);
            let measured = after_a_reading().of(LINE, &sum, ms(1000 + after));
            assert_eq!(measured, measure, "{machine} used, {after} ms later");
        }
    }

    #[test]
    fn a_new_largest_is_read_early() {
        for (after, measure) in [(499, Measure::Known(Bytes(620))), (500, Measure::Exact)] {
            let sum = sum(10_500, &[(9, 500, 490)], 7100);
            let measured = after_a_reading().of(LINE, &sum, ms(1000 + after));
            assert_eq!(measured, measure, "{after} ms later");
        }
    }

    #[test]
    fn on_a_machine_that_cant_be_read_it_may_always_be_over() {
        let blind = Sum {
            machine: None,
            ..sum(10_500, TOP, 0)
        };
        for (after, measure) in [(99, Measure::Known(Bytes(520))), (100, Measure::Exact)] {
            let measured = after_a_reading().of(LINE, &blind, ms(1000 + after));
            assert_eq!(measured, measure, "{after} ms later");
        }
    }

    #[test]
    fn a_family_that_has_shrunk_is_forgotten() {
        let mut sharing = after_a_reading();
        let below = sum(990, TOP, 7000);
        assert_eq!(sharing.of(LINE, &below, ms(1001)), Measure::Plain);
        let over = sum(10_500, TOP, 7000);
        let known = Measure::Known(Bytes(520));
        assert_eq!(sharing.of(LINE, &over, ms(1002)), known, "just below");
        let far = sum(700, TOP, 7000);
        assert_eq!(sharing.of(LINE, &far, ms(1003)), Measure::Plain);
        assert_eq!(sharing.of(LINE, &over, ms(1004)), Measure::Exact);
    }

    #[test]
    fn a_peak_is_worth_a_reading_where_it_is_cheap_new_and_rare() {
        let mut peak = PeakReading::default();
        let worth = |peak: &PeakReading, plain, largest, at| {
            peak.is_worth(Bytes(plain), Bytes(largest), ms(at))
        };
        assert!(worth(&peak, 1000, 500, 0));
        assert!(!worth(&peak, 1000, 990, 0), "one process has it all");
        assert!(!worth(&peak, CHEAP.0 + 1, 500, 0));
        peak.was_read(Bytes(800), ms(0), ms(1));
        assert!(!worth(&peak, 1000, 500, 100));
        assert!(worth(&peak, 1000, 500, 101));
        assert!(!worth(&peak, 900, 500, 101), "no new peak");
    }
}
