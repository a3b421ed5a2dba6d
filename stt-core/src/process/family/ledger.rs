//! What orphans had used, by whose they were. Whoever loses his parent is reaped by us, so that what he used
//! is in the account of nobody else. Pure.

use std::collections::HashMap;
use std::collections::HashSet;

use super::member::Identity;
use super::member::Spent;

/// What the dead of each process group had used, until the one claims it who has led the group.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    groups: HashMap<i32, Spent>,
    /// The tests that run, by their leaders. None of these is reaped while it is in here.
    open: HashMap<i32, Account>,
}

/// What is known of a running test's family beside its group.
#[derive(Debug, Default)]
struct Account {
    exclusive: bool,
    remembered: HashSet<Identity>,
}

impl Ledger {
    /// Opens the account of a test that begins, and forgets what was entered for another of that number.
    pub(super) fn open(&mut self, leader: i32, exclusive: bool) {
        self.claim(leader);
        let account = Account {
            exclusive,
            ..Account::default()
        };
        self.open.insert(leader, account);
    }

    /// Notes who was seen below a leader.
    pub(super) fn remember(&mut self, leader: i32, seen: impl IntoIterator<Item = Identity>) {
        if let Some(account) = self.open.get_mut(&leader) {
            account.remembered.extend(seen);
        }
    }

    /// Whether somebody was seen below a leader.
    pub(super) fn has_seen(&self, leader: i32, who: Identity) -> bool {
        let account = self.open.get(&leader);
        account.is_some_and(|account| account.remembered.contains(&who))
    }

    /// Closes the account of a test, and says what was entered in it.
    pub(super) fn close(&mut self, leader: i32) -> Spent {
        self.open.remove(&leader);
        self.claim(leader)
    }

    /// Whether this is the leader of a running test.
    pub(super) fn is_leader(&self, pid: i32) -> bool {
        self.open.contains_key(&pid)
    }

    /// The leader of a test beside which no other has run since it started.
    pub(super) fn exclusive(&self) -> Option<i32> {
        let mut open = self.open.iter();
        open.find_map(|(&leader, account)| account.exclusive.then_some(leader))
    }

    /// In whose account somebody dead belongs: that of his group, where a running test leads it, or else of
    /// the test that he was seen in, or else of the one that runs `alone` since before his start (its leader,
    /// and when that started), or else of his group.
    pub(super) fn account_of(&self, dead: Identity, group: i32, alone: Option<(i32, u64)>) -> i32 {
        if self.is_leader(group) {
            return group;
        }
        let mut open = self.open.iter();
        let seen_in = open
            .find_map(|(&leader, account)| account.remembered.contains(&dead).then_some(leader));
        let alone = alone.filter(|&(_, start)| start <= dead.start);
        seen_in.or(alone.map(|(leader, _)| leader)).unwrap_or(group)
    }

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

    #[test]
    fn the_dead_are_charged_to_the_test_that_they_are_known_by() {
        let dead = |pid| Identity { pid, start: 50 };
        let mut ledger = Ledger::default();
        ledger.enter(11, 10, spent(1));
        ledger.open(10, false);
        ledger.open(20, true);
        assert!(ledger.is_leader(10) && !ledger.is_leader(11));
        assert_eq!(ledger.exclusive(), Some(20));
        ledger.remember(10, [dead(31)]);
        ledger.remember(99, [dead(32)]);
        assert!(ledger.has_seen(10, dead(31)) && !ledger.has_seen(20, dead(31)));
        // Who, in which group, since when one test runs alone, and whose he is.
        let alone = |start| Some((20, start));
        let rows = [
            (33, 33, None, 33),
            (33, 10, None, 10),
            (33, 10, alone(40), 10),
            (31, 31, None, 10),
            (31, 20, None, 20),
            (31, 31, alone(40), 10),
            (32, 32, None, 32),
            (33, 33, alone(50), 20),
            (33, 33, alone(51), 33),
        ];
        for (pid, group, alone, account) in rows {
            let found = ledger.account_of(dead(pid), group, alone);
            assert_eq!(found, account, "{pid} {group} {alone:?}");
        }
        assert_eq!(ledger.close(10), Spent::default(), "it was another's");
        assert_eq!(ledger.account_of(dead(31), 31, None), 31);
        assert_eq!(ledger.exclusive(), Some(20));
        ledger.close(20);
        assert_eq!(ledger.exclusive(), None);
    }

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
