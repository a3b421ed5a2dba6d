//! Where a signal goes: to the children of the preparation, or to the dispatcher of the run.

use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use nix::sys::signal::Signal as Kill;

use crate::outcome::EndReason;
use crate::outcome::Unfinished;
use crate::process::Control;
use crate::process::EndOrder;
use crate::run::event::Event;
use crate::run::queue::Queue;
use crate::signal::Answer;
use crate::signal::Signal;

/// The time between TERM and KILL for a child, until the configuration is known.
const GRACE: Duration = Duration::from_secs(10);

/// Takes signals from the watching thread.
#[derive(Debug, Default)]
pub(crate) struct Router {
    state: Mutex<State>,
    /// [`Router::interrupted_within`] waits here.
    interrupted: Condvar,
}

#[derive(Debug)]
struct State {
    /// The first signal that asked the runner to end.
    interrupt: Option<i32>,
    /// Whether the supervisor is dead.
    abandoned: bool,
    /// The time between TERM and KILL for the children of the preparation.
    grace: Duration,
    /// The children of the preparation.
    children: Vec<Arc<Control>>,
    /// The queue of the run, once tests run.
    queue: Option<Arc<Queue>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            interrupt: None,
            abandoned: false,
            grace: GRACE,
            children: Vec::new(),
            queue: None,
        }
    }
}

impl Router {
    /// Gives the children of the preparation this time between TERM and KILL.
    pub(crate) fn set_grace(&self, grace: Duration) {
        let mut state = self.lock();
        if !state.abandoned {
            state.grace = grace;
        }
    }

    /// Takes one signal. Before tests run, a stop stops the children and is ours to obey at once.
    pub(crate) fn receive(&self, signal: Signal) -> Answer {
        let mut state = self.lock();
        if let Some(queue) = &state.queue {
            queue.push(Event::Signal(signal));
            state.abandoned |= signal == Signal::Abandoned;
            return Answer::Taken;
        }
        match signal {
            Signal::Interrupt(number) => {
                let grace = if state.interrupt.is_some() {
                    Duration::ZERO
                } else {
                    state.grace
                };
                state.interrupt.get_or_insert(number);
                self.interrupted.notify_all();
                for child in &state.children {
                    // Who has just gone needs no end.
                    drop(child.end(interrupted(grace)));
                }
            }
            Signal::Suspend => {
                for child in &state.children {
                    // A child that is gone needs no signal.
                    drop(child.suspend());
                }
                return Answer::StandStill;
            }
            Signal::Continue | Signal::WentOn => {
                for child in &state.children {
                    drop(child.signal(Kill::SIGCONT));
                }
            }
            Signal::Abandoned => {
                state.abandoned = true;
                state.interrupt.get_or_insert(libc::SIGTERM);
                self.interrupted.notify_all();
                state.grace = Duration::ZERO;
                for child in &state.children {
                    drop(child.end(interrupted(Duration::ZERO)));
                }
            }
        }
        Answer::Taken
    }

    /// Registers a child of the preparation. When the runner was asked to end already, the child is
    /// ended as soon as it exists.
    pub(crate) fn register(&self, child: &Arc<Control>) {
        let mut state = self.lock();
        if state.interrupt.is_some() {
            drop(child.end(interrupted(state.grace)));
        }
        state.children.push(Arc::clone(child));
    }

    /// Forgets a child of the preparation.
    pub(crate) fn forget(&self, child: &Arc<Control>) {
        self.lock()
            .children
            .retain(|other| !Arc::ptr_eq(other, child));
    }

    /// The signal that asked the runner to end, if one did.
    pub(crate) fn interrupt(&self) -> Option<i32> {
        self.lock().interrupt
    }

    /// Waits for so long, or until the runner is asked to end; by which signal, if it was.
    pub(crate) fn interrupted_within(&self, time: Duration) -> Option<i32> {
        let waiting = |state: &mut State| state.interrupt.is_none();
        let waited = self
            .interrupted
            .wait_timeout_while(self.lock(), time, waiting);
        waited.unwrap_or_else(PoisonError::into_inner).0.interrupt
    }

    /// Whether the supervisor is dead.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    /// From now on signals go to the queue; one that came already is put there.
    pub(crate) fn hand_over(&self, queue: &Arc<Queue>) {
        let mut state = self.lock();
        if let Some(number) = state.interrupt {
            queue.push(Event::Signal(Signal::Interrupt(number)));
        }
        if state.abandoned {
            queue.push(Event::Signal(Signal::Abandoned));
        }
        state.queue = Some(Arc::clone(queue));
    }

    /// The reverse, once nobody takes from the queue any more.
    pub(crate) fn take_back(&self) {
        let mut state = self.lock();
        state.queue = None;
        // It was in the queue.
        state.interrupt = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn interrupted(grace: Duration) -> EndOrder {
    EndOrder {
        reason: EndReason::Unfinished(Unfinished::Interrupted),
        grace,
    }
}
