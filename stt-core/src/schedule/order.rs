//! The order in which tests start: as they were given, and the suspects last, each by itself.

use std::collections::VecDeque;

/// The tests that have not started, by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Order {
    together: VecDeque<usize>,
    alone: VecDeque<Suspect>,
}

/// A test that the guard blamed, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Suspect {
    test: usize,
    breaches: u32,
}

/// The test that starts next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Its number.
    pub test: usize,
    /// How often the guard has blamed it; such a test runs alone. `None` for a test without suspicion.
    pub breaches: Option<u32>,
}

impl Order {
    /// The tests that run beside others, then the suspects with the number of their breaches.
    pub fn new(
        together: impl IntoIterator<Item = usize>,
        suspects: impl IntoIterator<Item = (usize, u32)>,
    ) -> Self {
        let alone = suspects
            .into_iter()
            .map(|(test, breaches)| Suspect { test, breaches })
            .collect();
        Self {
            together: together.into_iter().collect(),
            alone,
        }
    }

    /// How many tests have not started.
    pub fn len(&self) -> usize {
        self.together.len() + self.alone.len()
    }

    /// Whether every test has started.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the next test that may start beside `running` others. A suspect may not start beside any.
    pub fn next(&mut self, running: usize) -> Option<Next> {
        if let Some(test) = self.together.pop_front() {
            return Some(Next {
                test,
                breaches: None,
            });
        }
        if running > 0 {
            return None;
        }
        let suspect = self.alone.pop_front()?;
        Some(Next {
            test: suspect.test,
            breaches: Some(suspect.breaches),
        })
    }

    /// Puts back a test that was ended without a result; it runs alone, after all others.
    pub fn suspect(&mut self, test: usize, breaches: u32) {
        self.alone.push_back(Suspect { test, breaches });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_come_last_and_alone() {
        let mut order = Order::new([0, 1], [(2, 1)]);
        assert_eq!(order.len(), 3);
        assert_eq!(
            order.next(0),
            Some(Next {
                test: 0,
                breaches: None
            })
        );
        assert_eq!(
            order.next(1),
            Some(Next {
                test: 1,
                breaches: None
            })
        );
        order.suspect(1, 1);
        assert_eq!(order.next(1), None);
        assert_eq!(
            order.next(0),
            Some(Next {
                test: 2,
                breaches: Some(1)
            })
        );
        assert_eq!(
            order.next(0),
            Some(Next {
                test: 1,
                breaches: Some(1)
            })
        );
        assert!(order.is_empty());
    }
}
