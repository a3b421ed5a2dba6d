//! Tests that have failed and are tried again: a deadline each, and no slot meanwhile.

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

    /// How many of them wait for a place only.
    pub(super) fn due(&self, now: Moment) -> usize {
        self.waiting.iter().filter(|one| one.due <= now).count()
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

    /// Has a test tried again. Returns the time until then.
    pub(super) fn later(&mut self, next: Next, attempt: Attempt, now: Moment) -> Duration {
        self.failed.insert(next.test, attempt.number);
        let chance = retry::chance(self.seed, next.test, attempt.number);
        let delay = self.of(next.test).delay(attempt.number, chance);
        let due = now.saturating_add(delay);
        self.waiting.push(Waiting { next, due });
        delay
    }

    /// Takes the test that may start now beside `running` others.
    pub(super) fn next(&mut self, running: usize, now: Moment) -> Option<Next> {
        let may = |one: &Waiting| one.due <= now && (one.next.breaches.is_none() || running == 0);
        let at = self.waiting.iter().position(may)?;
        Some(self.waiting.remove(at).next)
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
