//! The sampler's thread: it reads, pushes the reading, and sleeps for as long as the reading allows.

use std::io;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use crate::clock::Clock;
use crate::clock::Moment;
use crate::config::GuardConfig;
use crate::guard::Sampler;
use crate::guard::cadence;
use crate::guard::raise_priority;
use crate::guard::sample::Family as Reading;
use crate::guard::sample::SlotUse;
use crate::process::Control;
use crate::process::Family;
use crate::run::event::Event;
use crate::run::queue::Queue;

/// The sampler's thread, as its owner sees it.
#[derive(Debug)]
pub(crate) struct Watcher {
    end: Arc<End>,
    thread: thread::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct End {
    asked: Mutex<bool>,
    changed: Condvar,
}

/// What the thread works with.
pub(crate) struct Watch {
    /// What reads the machine.
    pub(crate) sampler: Sampler,
    /// What reads our own processes.
    pub(crate) family: Arc<Family>,
    /// The slots, for whose test each of them is.
    pub(crate) slots: Vec<Arc<Control>>,
    /// Where readings go.
    pub(crate) queue: Arc<Queue>,
    /// When it is.
    pub(crate) clock: Clock,
    /// The lines, for how often to look.
    pub(crate) config: GuardConfig,
    /// How many cores can fill memory.
    pub(crate) cores: usize,
}

impl Watcher {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(crate) fn start(watch: Watch) -> io::Result<Self> {
        let end = Arc::new(End::default());
        let asked = Arc::clone(&end);
        let thread = thread::Builder::new()
            .name("stt-sampler".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || watch.until(&asked))?;
        Ok(Self { end, thread })
    }

    /// Ends the thread.
    pub(crate) fn finish(self) {
        *self.end.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.end.changed.notify_all();
        drop(self.thread.join());
    }
}
