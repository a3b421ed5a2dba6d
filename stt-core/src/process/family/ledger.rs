//! What orphans had used, by whose they were. Whoever loses his parent is reaped by us, so that what he used
//! is in the account of nobody else. Pure.

use std::collections::HashMap;

use super::member::Spent;

/// What the dead of each process group had used, until the one claims it who has led the group.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    groups: HashMap<i32, Spent>,
}

impl Ledger {
    /// Enters an orphan that was reaped. `account` is the leader of the test that it is known to belong to,
    /// or else of its group; an orphan that has led a group of its own brings along what was entered there.
    pub(super) fn enter(&mut self, orphan: i32, account: i32, spent: Spent) {
        let mut spent = spent;
        spent.add(self.claim(orphan));
        // Nobody is left who would claim it.
        if account != orphan {
            self.groups.entry(account).or_default().add(spent);
        }
    }

    /// What was entered for a leader.
    pub(super) fn claim(&mut self, leader: i32) -> Spent {
        self.groups.remove(&leader).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::units::Bytes;

    fn spent(seconds: u64) -> Spent {
        Spent {
            cpu: Duration::from_secs(seconds),
            peak_memory: Bytes(seconds),
            read: None,
            written: Some(Bytes(seconds)),
        }
    }

    #[test]
    fn what_was_entered_is_claimed_once() {
        let mut ledger = Ledger::default();
        ledger.enter(11, 10, spent(1));
        ledger.enter(12, 10, spent(2));
        ledger.enter(21, 20, spent(4));
        let sum = Spent {
            peak_memory: Bytes(2),
            ..spent(3)
        };
        assert_eq!(ledger.claim(10), sum);
        assert_eq!(ledger.claim(10), Spent::default());
        assert_eq!(ledger.claim(20), spent(4));
    }

    #[test]
    fn who_led_a_group_of_its_own_brings_it_along() {
        let mut ledger = Ledger::default();
        // The child of a daemon, then the daemon, which belongs to test 10.
        ledger.enter(31, 30, spent(1));
        ledger.enter(30, 10, spent(2));
        assert_eq!(ledger.claim(10).cpu, Duration::from_secs(3));
        // A daemon of nobody.
        ledger.enter(41, 40, spent(1));
        ledger.enter(40, 40, spent(2));
        assert_eq!(ledger.claim(40), Spent::default());
    }
}
