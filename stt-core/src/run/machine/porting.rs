//! Whose turn it is, among tests that want ports of which there is only one, places or a group.

use crate::run::event::Action;
use crate::run::event::Notice;
use crate::schedule::Next;

use super::Machine;
use super::Phase;

impl Machine {
    /// How many tests have not started.
    pub(super) fn left(&self) -> usize {
        let waiting = self.rights.len() + self.room.len() + usize::from(self.held.is_some());
        self.order.len() + self.retrying.len() + waiting
    }

    /// How many places the running tests take.
    pub(super) fn places(&self) -> usize {
        let running = self.slots.iter().map(|(_, running)| running.test);
        running
            .map(|test| self.room.places(test, self.threads))
            .sum()
    }

    /// How many places are kept for tests that are tried again.
    pub(super) fn kept(&self) -> usize {
        let waiting = self.retrying.waiting();
        waiting
            .map(|test| self.room.places(test, self.threads))
            .sum()
    }

    /// Takes the next test that may start now. One that needs more places than are free has them kept for it: nobody
    /// passes it. A suspect may have met nobody when it was chosen, and those that are tried again by now: it waits
    /// for their ends as well.
    pub(super) fn next(&mut self, actions: &mut Vec<Action>) -> Option<Next> {
        let held = self.held.take();
        let next = held.or_else(|| self.candidate(actions))?;
        let others = self.room.places(next.test, self.threads) - 1;
        let is_first = self.slots.taken() == 0 && self.kept() == 0;
        let may_have_company = next.breaches.is_none() || self.slots.taken() == 0;
        if is_first || (may_have_company && self.has_place(self.places() + others)) {
            return Some(next);
        }
        self.held = Some(next);
        None
    }

    /// The next test whose turn it is. Whoever wants ports is asked for when he is met; for
    /// as long as the answer is on its way a place is kept for him, and who waits for another run, or for a test of
    /// his group, lets the others go first.
    fn candidate(&mut self, actions: &mut Vec<Action>) -> Option<Next> {
        loop {
            self.ask(actions);
            if let Some(next) = self.rights.start() {
                self.awaited.retain(|(test, ..)| *test != next.test);
                return Some(next);
            }
            if !self.has_place(self.places() + self.rights.reserved()) {
                return None;
            }
            let next = self.room.readmit().or_else(|| self.admitted())?;
            if !self.rights.wants(next.test) {
                return Some(next);
            }
            self.rights.wait(next);
        }
    }

    /// The next test in its order whose group has room for it.
    fn admitted(&mut self) -> Option<Next> {
        loop {
            let others = self.slots.taken() + self.rights.len();
            let next = self.order.next(others)?;
            if let Some(next) = self.room.admit(next) {
                return Some(next);
            }
        }
    }

    /// Asks for as many tests as there are places for.
    fn ask(&mut self, actions: &mut Vec<Action>) {
        while self.has_place(self.places() + self.rights.reserved())
            && let Some(asked) = self.rights.ask()
        {
            actions.extend(asked.map(|(test, ports)| Action::Claim { test, ports }));
        }
    }

    /// Whether there is a place for another test beside so many.
    pub(super) fn has_place(&self, taken: usize) -> bool {
        taken + self.kept() < self.threads && self.is_allowed(taken)
    }

    /// Whether other runs and the guard let another test run beside so many.
    pub(super) fn is_allowed(&self, taken: usize) -> bool {
        taken < self.standing.may && self.verdict.may_start(taken)
    }

    /// A test has ended for good: its place in its group and its ports are free.
    pub(super) fn let_go(&mut self, test: usize, actions: &mut Vec<Action>) {
        self.room.leave(test);
        if self.rights.ended(test) {
            actions.push(Action::GiveBack { test });
        }
    }

    /// A test waits for another run, which is told.
    pub(super) fn port_taken(
        &mut self,
        test: usize,
        port: u16,
        holder: String,
        actions: &mut Vec<Action>,
    ) {
        self.rights.taken(test);
        self.awaited.retain(|(waits, ..)| *waits != test);
        self.awaited.push((test, port, holder.clone()));
        let notice = Notice::PortTaken { test, port, holder };
        actions.push(Action::Show(notice));
    }

    /// Once nothing more starts, nobody waits for ports, and nobody who waits has any.
    pub(super) fn call_off(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            self.awaited.clear();
            let tests = self.rights.call_off().into_iter();
            actions.extend(tests.map(|test| Action::GiveBack { test }));
            let waiting: Vec<_> = self.retrying.waiting().collect();
            for test in waiting {
                self.let_go(test, actions);
            }
        }
    }
}
