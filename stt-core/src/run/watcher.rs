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
use crate::guard;
use crate::guard::Sampler;
use crate::guard::SlotUse;
use crate::guard::cadence;
use crate::guard::priority;
use crate::process::Control;
use crate::process::Family;
use crate::run::event::Event;
use crate::run::queue::Queue;
use crate::units::Bytes;
use crate::units::Threshold;

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

/// From which sum on the family is read exactly: shared pages count once there, which takes long and
/// matters only where the sum would cost somebody's life.
fn exact_from(config: &GuardConfig) -> Option<Bytes> {
    match config.memory_threshold {
        Threshold::Run(size) => Some(size),
        Threshold::Machine(_) => None,
    }
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
        *self
            .end
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.end.changed.notify_all();
        drop(self.thread.join());
    }
}

impl Watch {
    fn until(mut self, end: &End) {
        priority::raise();
        let mut planned = self.clock.now();
        let mut read_family = true;
        let mut family_read = None;
        loop {
            let sample = self.sample(planned, read_family);
            let now = self.clock.now();
            if sample.family.is_some() {
                family_read = Some(now);
            }
            let age = family_read.map(|read| now.saturating_sub(read));
            let cadence = cadence::plan(&self.config, self.cores, &sample, age);
            self.queue.push(Event::Sample(Box::new(sample)));
            read_family = cadence.read_family;
            planned = now + cadence.sleep;
            if end.within(cadence.sleep) {
                return;
            }
        }
    }

    fn sample(&mut self, planned: Moment, read_family: bool) -> guard::Sample {
        let (family, slots) = (&self.family, &self.slots);
        let exact_from = exact_from(&self.config);
        let mut read = || reading(family, slots, exact_from);
        let family: Option<&mut dyn FnMut() -> Option<guard::Family>> =
            if read_family { Some(&mut read) } else { None };
        self.sampler.sample(planned, family)
    }
}

/// What the families of the running tests use, in the guard's words.
fn reading(
    family: &Family,
    slots: &[Arc<Control>],
    exact_from: Option<Bytes>,
) -> Option<guard::Family> {
    let leaders: Vec<_> = slots
        .iter()
        .enumerate()
        .filter_map(|(slot, control)| Some((slot, control.leader()?)))
        .collect();
    let mut usage = family.usage(&leaders, false)?;
    if exact_from.is_some_and(|line| usage.memory >= line) {
        usage = family.usage(&leaders, true)?;
    }
    Some(guard::Family {
        memory: usage.memory,
        processes: usage.processes,
        threads: usage.threads,
        descriptors: usage.descriptors,
        cpu: usage.cpu,
        slots: usage
            .slots
            .iter()
            .map(|used| SlotUse {
                slot: used.slot,
                memory: used.memory,
            })
            .collect(),
    })
}

impl End {
    /// Waits for so long; whether the end was asked for meanwhile.
    fn within(&self, time: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(asked, time, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
