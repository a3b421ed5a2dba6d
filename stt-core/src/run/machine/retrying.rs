//! Tests that have failed and are tried again: a deadline each, and the slot that is kept for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::retry;
use crate::retry::Attempt;
use crate::retry::Retries;
use crate::schedule::Next;

use super::Setup;

/// The tests that wait for another attempt, and how many each has had.
#[derive(Debug)]
pub(super) struct Retrying {
    /// How tests are tried again that have nothing of their own.
    retries: Retries,
    own: Vec<Option<Arc<Retries>>>,
    seed: u64,
    /// How often a test has failed.
    failed: BTreeMap<usize, u32>,
    waiting: Vec<Waiting>,
}

/// A test that waits for its next attempt.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    next: Next,
    /// The slot that is kept for it.
    slot: usize,
    due: Moment,
}

impl Retrying {
    /// Nobody waits yet.
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            retries: setup.retries,
            own: setup.own_retries.clone(),
            seed: setup.seed,
            failed: setup.tried.clone(),
            waiting: Vec::new(),
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Those that wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = usize> {
        self.waiting.iter().map(|one| one.next.test)
    }

    /// Those that wait for their time.
    pub(super) fn not_due(&self, now: Moment) -> impl Iterator<Item = usize> {
        let waiting = self.waiting.iter().filter(move |one| one.due > now);
        waiting.map(|one| one.next.test)
    }

    /// Which attempt the next one of a test is.
    pub(super) fn attempt(&self, test: usize) -> Attempt {
        let failed = self.failed.get(&test).copied().unwrap_or(0);
        self.of(test).attempt(failed.saturating_add(1))
    }

    /// How a test is tried again.
    fn of(&self, test: usize) -> &Retries {
        let own = self.own.get(test).and_then(Option::as_deref);
        own.unwrap_or(&self.retries)
    }

    /// Has a test tried again, in its slot. Returns the time until then.
    pub(super) fn later(
        &mut self,
        next: Next,
        slot: usize,
        attempt: Attempt,
        now: Moment,
    ) -> Duration {
        self.failed.insert(next.test, attempt.number);
        let chance = retry::chance(self.seed, next.test, attempt.number);
        let delay = self.of(next.test).delay(attempt.number, chance);
        let due = now.saturating_add(delay);
        self.waiting.push(Waiting { next, slot, due });
        delay
    }

    /// The tests that may start now beside `running` others, by what [`Self::take`] takes them.
    pub(super) fn due(&self, running: usize, now: Moment) -> impl Iterator<Item = (usize, Next)> {
        let may =
            move |one: &Waiting| one.due <= now && (one.next.breaches.is_none() || running == 0);
        let waiting = self.waiting.iter().enumerate();
        waiting.filter_map(move |(at, one)| may(one).then_some((at, one.next)))
    }

    /// Takes one of those, with its slot.
    pub(super) fn take(&mut self, at: usize) -> (Next, usize) {
        let one = self.waiting.remove(at);
        (one.next, one.slot)
    }

    /// When the next one is due that is not due yet: who is, waits for a place.
    pub(super) fn next_due(&self, now: Moment) -> Option<Moment> {
        let due = self.waiting.iter().map(|one| one.due);
        due.filter(|due| *due > now).min()
    }

    /// Moves everything on by the time for which the run was suspended.
    pub(super) fn pause(&mut self, pause: Duration) {
        for one in &mut self.waiting {
            one.due += pause;
        }
    }
}
