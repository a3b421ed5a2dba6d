//! Which tests start: first those that are tried again, whose places were kept, then whoever's turn it is.

use crate::clock::Moment;
use crate::run::event::Action;
use crate::run::event::Notice;
use crate::schedule::Next;

use super::Machine;
use super::Phase;
use super::Running;
use super::Times;

impl Machine {
    /// Starts what may start.
    pub(super) fn fill(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if !self.script_turn(now, actions) {
            return;
        }
        while self.phase == Phase::Running && !self.suspect_runs() {
            let Some((next, slot)) = self.again(now) else {
                break;
            };
            self.start(next, Some(slot), now, actions);
        }
        while self.phase == Phase::Running && self.has_place(self.places()) {
            if self.suspect_runs() {
                return;
            }
            let Some(next) = self.next(actions) else {
                return;
            };
            self.start(next, None, now, actions);
        }
    }

    /// Takes the next test that is tried again now, with the slot that was kept for it.
    fn again(&mut self, now: Moment) -> Option<(Next, usize)> {
        let taken = self.places();
        if !self.is_allowed(taken) {
            return None;
        }
        // Those that wait for ports may wait for the one that a suspect has kept.
        let others = self.slots.taken();
        let fits = |next: &Next| {
            let more = self.room.places(next.test, self.threads) - 1;
            taken == 0 || self.is_allowed(taken + more)
        };
        let at = self.retrying.due(others, now).find(|(_, next)| fits(next));
        at.map(|(at, _)| at).map(|at| self.retrying.take(at))
    }

    /// Starts a test, in the slot that was kept for it or in the lowest free one.
    fn start(&mut self, next: Next, kept: Option<usize>, now: Moment, actions: &mut Vec<Action>) {
        let attempt = self.retrying.attempt(next.test);
        let record = self.times.record_started.is_zero();
        let running = Running {
            test: next.test,
            breaches: next.breaches,
            started: now,
            slow: 0,
            recorded: record,
            ending: None,
            killed: false,
            blamed: None,
            memory: None,
            container: None,
            limits: self.limits.get(next.test).cloned().flatten(),
            attempt,
            times: self.times_of(next.test),
        };
        // The verdict never allows more tests than there are slots.
        let Some(slot) = self.slots.take(kept, running) else {
            return;
        };
        self.scripting.has_begun();
        if self.telling.starts {
            actions.push(Action::Show(Notice::Started { test: next.test }));
        }
        let alone = next.breaches.is_some() || self.threads == 1;
        actions.push(Action::Start {
            slot,
            test: next.test,
            alone,
            record,
            attempt,
            group: self.room.place(next.test),
        });
    }

    /// The limits of time that hold for a test.
    fn times_of(&self, test: usize) -> Times {
        let own = self.own_times.get(test).copied().flatten();
        own.map_or(self.times, |own| self.times.with(own))
    }

    /// Whether a test runs that must run alone.
    pub(super) fn suspect_runs(&self) -> bool {
        self.slots
            .iter()
            .any(|(_, running)| running.breaches.is_some())
    }
}
