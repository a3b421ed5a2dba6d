//! Whether the family can have changed since it was read: if not, it need not be read again.
//!
//! Near its threshold memory is read every five milliseconds, which costs little, and walking through a family
//! every time costs ten times as much. But what a family takes, the machine no longer has.

use std::time::Duration;

use crate::clock::Moment;
use crate::units::Bytes;

/// So many times as long as a walk takes is a family taken for unchanged, at most.
const REST: u32 = 200;

/// A family is taken for unchanged no longer than this: others may free as much as it takes.
const LONGEST: Duration = Duration::from_millis(250);

/// The machine may use so much more, and the family is still taken for unchanged.
const TREMOR: Bytes = Bytes::mib(4);

/// What was there when the family was walked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// The running tests: their slots and the leaders of their groups.
    pub(crate) leaders: Vec<(usize, i32)>,
    /// What the machine used.
    pub(crate) machine: Bytes,
    /// When that was over.
    pub(crate) ended: Moment,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Walked {
    /// Whether the family is still as it was, as far as these tests and this use of the machine tell.
    pub(crate) fn holds(&self, leaders: &[(usize, i32)], machine: Bytes, now: Moment) -> bool {
        self.leaders == leaders
            && machine.saturating_sub(self.machine) < TREMOR
            && now.saturating_sub(self.ended) < (self.took * REST).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_changes_with_its_tests_with_the_machine_and_with_time() {
        let ms = Duration::from_millis;
        let walked = |micros| Walked {
            leaders: vec![(0, 77), (1, 78)],
            machine: Bytes::mib(1000),
            ended: ms(100),
            took: Duration::from_micros(micros),
        };
        let same: &[(usize, i32)] = &[(0, 77), (1, 78)];
        for (micros, leaders, machine, now, holds) in [
            (200, same, 1000, 100, true),
            (200, same, 1003, 139, true),
            (200, same, 1000, 140, false),
            (200, same, 1004, 100, false),
            (200, same, 5, 100, true),
            (9000, same, 1000, 349, true),
            (9000, same, 1000, 350, false),
            (200, &same[..1], 1000, 100, false),
            (200, &[(0, 77), (1, 79)], 1000, 100, false),
        ] {
            let held = walked(micros).holds(leaders, Bytes::mib(machine), ms(now));
            assert_eq!(held, holds, "{micros} {leaders:?} {machine} {now}");
        }
    }
}
