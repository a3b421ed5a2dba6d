//! Ends children that take longer than they may, while the preparation has no dispatcher.

use std::io;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use crate::clock::Clock;
use crate::clock::Moment;
use crate::outcome::EndReason;
use crate::process::Control;
use crate::process::EndOrder;

/// A thread that watches deadlines. It ends with this.
#[derive(Debug)]
pub(crate) struct Alarm {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ending: bool,
    next: u64,
    watched: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    key: u64,
    due: Moment,
    after: Duration,
    control: Arc<Control>,
}

/// A deadline that holds until this is dropped.
#[derive(Debug)]
pub(crate) struct Guarded {
    shared: Arc<Shared>,
    key: u64,
}

impl Alarm {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(crate) fn start(clock: Clock) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            clock,
            state: Mutex::default(),
            changed: Condvar::default(),
        });
        let watching = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("stt-alarm".to_owned())
            .spawn(move || watching.watch())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Ends the child of `control`, without a grace, once so much time has passed.
    pub(crate) fn set(&self, control: &Arc<Control>, after: Duration) -> Guarded {
        let mut state = self.shared.lock();
        state.next += 1;
        let key = state.next;
        let due = self.shared.clock.now().saturating_add(after);
        state.watched.push(Watched {
            key,
            due,
            after,
            control: Arc::clone(control),
        });
        drop(state);
        self.shared.changed.notify_all();
        Guarded {
            shared: Arc::clone(&self.shared),
            key,
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.shared
            .lock()
            .watched
            .retain(|watched| watched.key != self.key);
    }
}

impl Shared {
    fn watch(&self) {
        let mut state = self.lock();
        while !state.ending {
            let now = self.clock.now();
            for watched in state.watched.extract_if(.., |watched| watched.due <= now) {
                let reason = EndReason::Timeout(watched.after);
                // Who has gone in this very moment needs no end.
                drop(watched.control.end(EndOrder {
                    reason,
                    grace: Duration::ZERO,
                }));
            }
            let due = state.watched.iter().map(|watched| watched.due).min();
            state = match due {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let waited = self.changed.wait_timeout(state, due.saturating_sub(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
