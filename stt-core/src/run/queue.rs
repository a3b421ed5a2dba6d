//! The one queue into the dispatcher. What is urgent overtakes what is not.

use std::collections::VecDeque;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Instant;

use crate::report::Warning;
use crate::run::event::Event;

/// Many threads push, one receives. Nothing is ever dropped.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    lanes: Mutex<Lanes>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Lanes {
    urgent: VecDeque<Event>,
    normal: VecDeque<Event>,
}

impl Queue {
    /// Adds an event behind those that are waiting; a reading or a signal behind its like only.
    pub(crate) fn push(&self, event: Event) {
        let mut lanes = self.lock();
        match event {
            Event::Sample(_) | Event::Signal(_) | Event::Standing(_) => {
                lanes.urgent.push_back(event);
            }
            Event::Ended { .. }
            | Event::Entered { .. }
            | Event::ScriptEnded { .. }
            | Event::Claimed { .. }
            | Event::PortTaken { .. }
            | Event::Warning(_)
            | Event::Tick => lanes.normal.push_back(event),
        }
        drop(lanes);
        self.arrived.notify_one();
    }

    /// Waits for an event; returns [`Event::Tick`] when there is none until `deadline`.
    #[expect(
        clippy::disallowed_methods,
        reason = "a deadline of a condition variable is a timeout"
    )]
    pub(crate) fn receive(&self, deadline: Option<Instant>) -> Event {
        let mut lanes = self.lock();
        loop {
            if let Some(event) = lanes
                .urgent
                .pop_front()
                .or_else(|| lanes.normal.pop_front())
            {
                return event;
            }
            lanes = match deadline {
                None => self
                    .arrived
                    .wait(lanes)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                        return Event::Tick;
                    };
                    let waited = self.arrived.wait_timeout(lanes, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// The warnings that came when nobody received any more.
    pub(crate) fn warnings(&self) -> Vec<Warning> {
        let waiting = std::mem::take(&mut self.lock().normal);
        let warnings = waiting.into_iter().filter_map(|event| match event {
            Event::Warning(warning) => Some(warning),
            Event::Ended { .. }
            | Event::Entered { .. }
            | Event::ScriptEnded { .. }
            | Event::Claimed { .. }
            | Event::PortTaken { .. }
            | Event::Sample(_)
            | Event::Signal(_)
            | Event::Standing(_)
            | Event::Tick => None,
        });
        warnings.collect()
    }

    /// The lanes hold whole events at every moment, so that a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signal;

    #[test]
    fn a_signal_overtakes_and_order_is_kept_within_a_lane() {
        let queue = Queue::default();
        queue.push(Event::Tick);
        queue.push(Event::Signal(Signal::Suspend));
        queue.push(Event::Signal(Signal::Continue));
        assert!(matches!(
            queue.receive(None),
            Event::Signal(Signal::Suspend)
        ));
        assert!(matches!(
            queue.receive(None),
            Event::Signal(Signal::Continue)
        ));
        assert!(matches!(queue.receive(None), Event::Tick));
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the deadline is the thing under test"
    )]
    fn a_deadline_that_has_passed_gives_a_tick() {
        assert!(matches!(
            Queue::default().receive(Some(Instant::now())),
            Event::Tick
        ));
    }
}
