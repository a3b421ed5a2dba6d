//! Whether the family can have changed since it was read: if not, it need not be read again.
//!
//! Near its threshold memory is read every five milliseconds, which costs little, and walking through a family
//! every time costs ten times as much. But what a family takes, the machine no longer has.

use std::time::Duration;

use crate::clock::Moment;
use crate::guard::Level;
use crate::units::Bytes;

/// So many times as long as a walk takes is a family taken for unchanged, at most.
const REST: u32 = 200;

/// A family is taken for unchanged no longer than this: others may free as much as it takes.
const LONGEST: Duration = Duration::from_millis(250);

/// The machine may use so much more, and the family is still taken for unchanged.
const TREMOR: Bytes = Bytes::mib(4);

/// A family is only glanced at for no longer than this: whoever was started since can take what others free,
/// and nobody would see it.
const GLANCED: Duration = Duration::from_millis(100);

/// What was there when the family was walked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// The running tests: their slots and the leaders of their groups.
    pub(crate) leaders: Vec<(usize, i32)>,
    /// How much of the machine was taken.
    pub(crate) machine: Level,
    /// When that was over.
    pub(crate) ended: Moment,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Walked {
    /// Whether nobody else can have joined the family, when what those who were there use has changed so:
    /// what the machine has lost since is what they have taken.
    pub(crate) fn explains(
        &self,
        leaders: &[(usize, i32)],
        machine: Level,
        (before, after): (Bytes, Bytes),
        now: Moment,
    ) -> bool {
        let family = i128::from(after.0) - i128::from(before.0);
        let others = machine.growth_since(self.machine) - family;
        self.leaders == leaders
            && others < i128::from(TREMOR.0)
            && now.saturating_sub(self.ended) < GLANCED
    }

    /// Whether the family is still as it was, as far as these tests and this use of the machine tell.
    pub(crate) fn holds(&self, leaders: &[(usize, i32)], machine: Level, now: Moment) -> bool {
        self.leaders == leaders
            && machine.growth_since(self.machine) < i128::from(TREMOR.0)
            && now.saturating_sub(self.ended) < (self.took * REST).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(used: u64) -> Level {
        Level {
            used: Bytes::mib(used),
            pages: None,
        }
    }

    #[test]
    fn a_family_changes_with_its_tests_with_the_machine_and_with_time() {
        let ms = Duration::from_millis;
        let walked = |micros| Walked {
            leaders: vec![(0, 77), (1, 78)],
            machine: level(1000),
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
            let held = walked(micros).holds(leaders, level(machine), ms(now));
            assert_eq!(held, holds, "{micros} {leaders:?} {machine} {now}");
        }
    }

    #[test]
    fn what_comes_from_the_pages_of_a_dead_one_is_growth_as_well() {
        let machine = |used, pages| Level {
            used: Bytes::mib(used),
            pages: Some(Bytes::mib(pages)),
        };
        let walked = Walked {
            leaders: Vec::new(),
            machine: machine(1000, 400),
            ended: Moment::ZERO,
            took: Duration::from_secs(1),
        };
        for (now, holds) in [
            (machine(1003, 403), true),
            (machine(1000, 404), false),
            (machine(1004, 400), false),
            (level(1003), true),
        ] {
            assert_eq!(walked.holds(&[], now, Moment::ZERO), holds, "{now:?}");
        }
    }

    #[test]
    fn what_the_machine_loses_is_taken_by_those_who_are_known() {
        let ms = Duration::from_millis;
        let walked = Walked {
            leaders: vec![(0, 77)],
            machine: level(1000),
            ended: ms(100),
            took: ms(1),
        };
        let same: &[(usize, i32)] = &[(0, 77)];
        for (leaders, machine, after, now, explained) in [
            (same, 1000, 300, 100, true),
            (same, 1203, 500, 199, true),
            (same, 1204, 500, 199, false),
            (same, 1203, 500, 200, false),
            (&[(0, 78)], 1000, 300, 100, false),
            // Those who are known have given back what somebody else has taken.
            (same, 1000, 296, 100, false),
            // What others give back can hide somebody, which is why a glance is soon too old.
            (same, 500, 300, 100, true),
        ] {
            let change = (Bytes::mib(300), Bytes::mib(after));
            let held = walked.explains(leaders, level(machine), change, ms(now));
            assert_eq!(held, explained, "{leaders:?} {machine} {after} {now}");
        }
    }
}
