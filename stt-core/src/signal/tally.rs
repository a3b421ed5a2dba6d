//! Makes one signal of two that are the same. Pure.
//!
//! A run is two processes that look like one. Ctrl-C at a terminal reaches both, and the supervisor
//! passes on what reaches it; a `kill` may reach either of them alone. So each kind of signal is
//! counted by both ways, and as many have been sent as came by the way that brought more: one Ctrl-C
//! is one, two are two, however they were delivered.

use std::collections::HashMap;

use super::Signal;

/// How a signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// The kernel delivered it to this process.
    Direct,
    /// The supervisor received it and passed it on.
    Forwarded,
}

/// What came so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: HashMap<Signal, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    direct: u64,
    forwarded: u64,
}

impl Count {
    fn most(self) -> u64 {
        self.direct.max(self.forwarded)
    }
}

impl Tally {
    /// Counts a signal, and says whether it is a new one rather than the twin of one that counted.
    pub fn is_new(&mut self, route: Route, signal: Signal) -> bool {
        match signal {
            Signal::Interrupt(_) | Signal::Suspend => self.count(route, signal),
            // To go on twice does no harm.
            Signal::Continue | Signal::WentOn | Signal::Abandoned => true,
        }
    }

    /// We stood still, and go on: the twins of all stops before have come, or never will. The next stop
    /// counts afresh.
    pub fn settle(&mut self) {
        self.counts.remove(&Signal::Suspend);
    }

    fn count(&mut self, route: Route, signal: Signal) -> bool {
        let count = self.counts.entry(signal).or_default();
        let before = count.most();
        match route {
            Route::Direct => count.direct += 1,
            Route::Forwarded => count.forwarded += 1,
        }
        count.most() > before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INT: Signal = Signal::Interrupt(2);
    const TERM: Signal = Signal::Interrupt(15);

    /// What comes, and what of it counts.
    type Case<'a> = (&'a [(Route, Signal)], &'a [Signal]);

    fn taken(signals: &[(Route, Signal)]) -> Vec<Signal> {
        let mut tally = Tally::default();
        let new = signals
            .iter()
            .filter(|(route, signal)| tally.is_new(*route, *signal));
        new.map(|&(_, signal)| signal).collect()
    }

    #[test]
    fn however_it_is_delivered_each_is_counted_once() {
        use Route::Direct;
        use Route::Forwarded;
        let cases: [Case<'_>; 6] = [
            (&[(Direct, INT), (Forwarded, INT)], &[INT]),
            (&[(Forwarded, INT), (Direct, INT)], &[INT]),
            (
                &[
                    (Direct, INT),
                    (Direct, INT),
                    (Forwarded, INT),
                    (Forwarded, INT),
                ],
                &[INT, INT],
            ),
            (&[(Forwarded, TERM), (Forwarded, TERM)], &[TERM, TERM]),
            (&[(Direct, TERM), (Forwarded, INT)], &[TERM, INT]),
            (
                &[(Forwarded, Signal::Suspend), (Direct, Signal::Suspend)],
                &[Signal::Suspend],
            ),
        ];
        for (given, expected) in cases {
            assert_eq!(taken(given), expected, "{given:?}");
        }
    }

    #[test]
    fn a_twin_that_never_came_is_no_twin_of_a_later_stop() {
        let mut tally = Tally::default();
        assert!(tally.is_new(Route::Direct, Signal::Suspend));
        tally.settle();
        assert!(tally.is_new(Route::Forwarded, Signal::Suspend));
        assert!(!tally.is_new(Route::Direct, Signal::Suspend));
    }

    proptest! {
        #[test]
        fn as_many_count_as_came_by_the_better_way(
            routes in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..40),
        ) {
            let signals: Vec<_> = routes
                .iter()
                .map(|&(direct, int)| {
                    let route = if direct { Route::Direct } else { Route::Forwarded };
                    (route, if int { INT } else { TERM })
                })
                .collect();
            for kind in [INT, TERM] {
                let by = |route| signals.iter().filter(|it| **it == (route, kind)).count();
                let most = by(Route::Direct).max(by(Route::Forwarded));
                let found = taken(&signals).iter().filter(|&&it| it == kind).count();
                prop_assert_eq!(found, most);
            }
        }
    }
}
