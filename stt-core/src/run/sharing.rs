//! When the family's memory is worth an exact reading, and what it is taken for between two of them.
//!
//! The sizes of processes that share memory add up to more than there is. Only their proportional shares tell
//! the truth, and reading those takes up to 14 ms for each gigabyte of each process. So they are read only where
//! the plain sum would cost somebody's life, not where a single process has it all, and not again before
//! anything can have changed: memory that a family comes to have, by whatever way, the machine no longer has.

use std::time::Duration;

use crate::clock::Moment;
use crate::units::Bytes;

/// So many times as long as an exact reading takes is the rest after it, while it has nothing new to say.
const REST: u32 = 100;

/// A process has its memory from files where no more than this part of the line is.
const FILES: u64 = 16;

/// What was read of the family cheaply, and of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    /// The sum of the resident sizes.
    pub(crate) plain: Bytes,
    /// The largest resident size of one process.
    pub(crate) largest: Bytes,
    /// What of that is no file's, and so is used by the family alone.
    pub(crate) anonymous: Bytes,
    /// What the machine uses.
    pub(crate) machine: Option<Bytes>,
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
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sharing {
    last: Option<Exact>,
}

#[derive(Clone, Copy, Debug)]
struct Exact {
    memory: Bytes,
    machine: Option<Bytes>,
    ended: Moment,
    took: Duration,
}

impl Sharing {
    /// Says how to measure a family of this sum. From `line` on, its memory costs somebody's life.
    pub(crate) fn measure(&mut self, line: Bytes, sum: Sum, now: Moment) -> Measure {
        if sum.plain < line || has_it_all(line, sum) {
            self.last = None;
            return Measure::Plain;
        }
        let Some(last) = self.last else {
            return Measure::Exact;
        };
        // Where the machine can't be read, nothing is known of what has been added.
        let added = match (sum.machine, last.machine) {
            (Some(now), Some(then)) => now.saturating_sub(then),
            (None, _) | (_, None) => sum.plain,
        };
        let at_most = Bytes(last.memory.0.saturating_add(added.0));
        // What may be over the line is read again soon, but never all the time: the sampler's thread runs
        // before all others, and must leave them the cores.
        let (rest, known) = if at_most < line {
            (last.took * REST, at_most)
        } else {
            (last.took, last.memory)
        };
        if now.saturating_sub(last.ended) >= rest {
            Measure::Exact
        } else {
            Measure::Known(known)
        }
    }

    /// Takes in an exact reading that was begun and ended then, and what the machine used before it.
    pub(crate) fn was_read(
        &mut self,
        memory: Bytes,
        machine: Option<Bytes>,
        began: Moment,
        ended: Moment,
    ) {
        self.last = Some(Exact {
            memory,
            machine,
            ended,
            took: ended.saturating_sub(began),
        });
    }
}

/// Whether one process is over the line by itself, so that nothing depends on what others share with it.
fn has_it_all(line: Bytes, sum: Sum) -> bool {
    let files = sum.largest.saturating_sub(sum.anonymous);
    sum.anonymous >= line || (sum.largest >= line && files.0 <= line.0 / FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Bytes = Bytes(1000);

    fn sum(plain: u64, largest: u64, anonymous: u64, machine: u64) -> Sum {
        Sum {
            plain: Bytes(plain),
            largest: Bytes(largest),
            anonymous: Bytes(anonymous),
            machine: Some(Bytes(machine)),
        }
    }

    fn ms(count: u64) -> Moment {
        Duration::from_millis(count)
    }

    #[test]
    fn nothing_is_read_exactly_that_is_clear_without() {
        for (sum, measure) in [
            (sum(999, 999, 999, 0), Measure::Plain),
            (sum(1100, 1000, 940, 0), Measure::Plain),
            (sum(1100, 1000, 930, 0), Measure::Exact),
            (sum(9000, 1000, 100, 0), Measure::Exact),
            (sum(9000, 5000, 1000, 0), Measure::Plain),
            (sum(9000, 999, 990, 0), Measure::Exact),
        ] {
            let measured = Sharing::default().measure(LINE, sum, Moment::ZERO);
            assert_eq!(measured, measure, "{sum:?}");
        }
    }

    /// Twenty processes of 500 each that share nearly all of it; reading them took 100 ms.
    fn after_a_reading() -> Sharing {
        let mut sharing = Sharing::default();
        sharing.was_read(Bytes(520), Some(Bytes(7000)), ms(900), ms(1000));
        sharing
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
            let measured =
                after_a_reading().measure(LINE, sum(10_500, 500, 490, machine), ms(1000 + after));
            assert_eq!(measured, measure, "{machine} used, {after} ms later");
        }
    }

    #[test]
    fn on_a_machine_that_cant_be_read_it_may_always_be_over() {
        let blind = Sum {
            machine: None,
            ..sum(10_500, 500, 490, 0)
        };
        for (after, measure) in [(99, Measure::Known(Bytes(520))), (100, Measure::Exact)] {
            let measured = after_a_reading().measure(LINE, blind, ms(1000 + after));
            assert_eq!(measured, measure, "{after} ms later");
        }
    }

    #[test]
    fn a_family_that_has_shrunk_is_forgotten() {
        let mut sharing = after_a_reading();
        assert_eq!(
            sharing.measure(LINE, sum(900, 500, 490, 7000), ms(1001)),
            Measure::Plain
        );
        let again = sharing.measure(LINE, sum(10_500, 500, 490, 7000), ms(1002));
        assert_eq!(again, Measure::Exact);
    }
}
