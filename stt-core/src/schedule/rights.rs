//! Tests that want ports of which there is only one: who waits for which, and who has it. Two of them never run at
//! the same time, and nobody behind them waits for that.

use std::collections::VecDeque;
use std::sync::Arc;

use super::order::Next;

/// The ports that tests want, and how far they have come.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// By the test's number; empty when no test wants any.
    ports: Vec<Option<Arc<[u16]>>>,
    /// Whether other runs have to be asked.
    shared: bool,
    waiting: VecDeque<Next>,
    claims: Vec<Claim>,
    running: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    next: Next,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The answer is on its way, and a place is kept for the test.
    Asked,
    /// Another run has a port of it.
    Waits,
    /// It may start.
    Granted,
}

impl Rights {
    /// What each test wants, by its number; nothing when none wants any. With `shared` other runs are asked.
    pub fn new(ports: Vec<Option<Arc<[u16]>>>, shared: bool) -> Self {
        Self {
            ports,
            shared,
            ..Self::default()
        }
    }

    /// Whether no test wants ports.
    pub fn is_for_nobody(&self) -> bool {
        self.ports.is_empty()
    }

    /// Whether a test wants ports.
    pub fn wants(&self, test: usize) -> bool {
        self.of(test).is_some()
    }

    /// Takes in a test whose turn it would be.
    pub fn wait(&mut self, next: Next) {
        self.waiting.push_back(next);
    }

    /// How many tests have not started.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.claims.len()
    }

    /// Whether every test has started.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many tests places are kept.
    pub fn reserved(&self) -> usize {
        let reserved = self
            .claims
            .iter()
            .filter(|claim| claim.state != State::Waits);
        reserved.count()
    }

    /// How many tests wait for no other one.
    pub fn ready(&self) -> usize {
        let ready = self.waiting.iter().filter(|next| self.is_free(next.test));
        ready.count() + self.reserved()
    }

    /// Asks for the next test that nobody of this run is in the way of. Returns what others have to be asked for,
    /// or nothing when nobody has to be.
    pub fn ask(&mut self) -> Option<Option<(usize, Arc<[u16]>)>> {
        let at = self
            .waiting
            .iter()
            .position(|next| self.is_free(next.test))?;
        let next = self.waiting.remove(at)?;
        let state = if self.shared {
            State::Asked
        } else {
            State::Granted
        };
        self.claims.push(Claim { next, state });
        let ports = self.of(next.test).filter(|_| self.shared);
        Some(ports.map(|ports| (next.test, Arc::clone(ports))))
    }

    /// Other runs have no port of this test any more.
    pub fn granted(&mut self, test: usize) {
        self.set(test, State::Granted);
    }

    /// Another run has a port of this test: its place is no longer kept.
    pub fn taken(&mut self, test: usize) {
        self.set(test, State::Waits);
    }

    /// Takes the next test that may start.
    pub fn start(&mut self) -> Option<Next> {
        let granted = |claim: &Claim| claim.state == State::Granted;
        let at = self.claims.iter().position(granted)?;
        let next = self.claims.remove(at).next;
        self.running.push(next.test);
        Some(next)
    }

    /// A test has ended. Returns whether its ports have to be given back.
    pub fn ended(&mut self, test: usize) -> bool {
        let before = self.running.len();
        self.running.retain(|&running| running != test);
        before > self.running.len() && self.shared
    }

    /// Nothing more starts. Returns whose ports need not be asked for any more.
    pub fn call_off(&mut self) -> Vec<usize> {
        let claims = std::mem::take(&mut self.claims);
        let tests = claims.iter().map(|claim| claim.next.test).collect();
        self.waiting.extend(claims.iter().map(|claim| claim.next));
        if self.shared { tests } else { Vec::new() }
    }

    fn set(&mut self, test: usize, state: State) {
        let claim = self.claims.iter_mut().find(|claim| claim.next.test == test);
        if let Some(claim) = claim {
            claim.state = state;
        }
    }

    fn of(&self, test: usize) -> Option<&Arc<[u16]>> {
        self.ports.get(test)?.as_ref()
    }

    /// Whether nobody of this run has or wants a port of this test.
    fn is_free(&self, test: usize) -> bool {
        let claimed = self.claims.iter().map(|claim| claim.next.test);
        let mut others = claimed.chain(self.running.iter().copied());
        let ports = |test| self.of(test).map_or(&[][..], |ports| ports);
        !others.any(|other| ports(other).iter().any(|port| ports(test).contains(port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(test: usize) -> Next {
        Next {
            test,
            breaches: None,
        }
    }

    fn rights(ports: &[&[u16]], shared: bool) -> Rights {
        let ports = ports.iter().map(|&ports| Some(ports.into()));
        let mut rights = Rights::new(ports.collect(), shared);
        for test in 0..rights.ports.len() {
            rights.wait(next(test));
        }
        rights
    }

    #[test]
    fn tests_of_one_run_take_turns_and_nobody_waits_behind_them() {
        let mut rights = rights(&[&[1], &[1, 2], &[2], &[3]], false);
        assert_eq!(rights.ready(), 4);
        assert_eq!(rights.ask(), Some(None));
        assert_eq!(rights.ask(), Some(None));
        assert_eq!(rights.ask(), Some(None));
        assert_eq!(rights.ask(), None, "1 is in use");
        let started: Vec<_> = std::iter::from_fn(|| rights.start()).collect();
        assert_eq!(started, [next(0), next(2), next(3)]);
        assert!(!rights.ended(0));
        assert_eq!(rights.ask(), None, "2 is in use");
        assert!(!rights.ended(2));
        assert_eq!(rights.ask(), Some(None));
        assert_eq!(rights.start(), Some(next(1)));
        assert!(rights.is_empty());
    }

    #[test]
    fn who_waits_for_another_run_keeps_no_place() {
        let mut rights = rights(&[&[1], &[1]], true);
        assert_eq!(rights.ask(), Some(Some((0, [1].into()))));
        assert_eq!((rights.reserved(), rights.ready()), (1, 1));
        assert_eq!(rights.start(), None);
        rights.taken(0);
        assert_eq!((rights.reserved(), rights.ready(), rights.len()), (0, 0, 2));
        rights.granted(0);
        rights.granted(7);
        assert_eq!(rights.reserved(), 1);
        assert_eq!(rights.start(), Some(next(0)));
        assert!(rights.ended(0));
        assert!(!rights.ended(0));
        assert_eq!(rights.ask(), Some(Some((1, [1].into()))));
        assert_eq!(rights.call_off(), [1]);
        assert_eq!((rights.len(), rights.reserved()), (1, 0));
    }
}
