//! The sampler's thread: it reads, pushes the reading, and sleeps for as long as the reading allows.

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
use crate::config::GuardConfig;
use crate::guard;
use crate::guard::Sampler;
use crate::guard::cadence;
use crate::guard::cadence::Cadence;
use crate::guard::priority;
use crate::run::event::Event;
use crate::run::news::News;
use crate::run::reader::FamilyReader;
use crate::run::slot::Shared;

/// The sampler's thread, as its owner sees it.
#[derive(Debug)]
pub(crate) struct Watcher {
    lookout: Arc<Lookout>,
    thread: thread::JoinHandle<()>,
}

/// Where the thread waits, and is asked to look, or to end.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    asked: Mutex<Asked>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    end: bool,
    /// When it is to look again, whatever it has planned.
    by: Option<Moment>,
    /// Until when it sleeps.
    planned: Moment,
}

/// What the thread works with.
pub(crate) struct Watch {
    /// What reads the machine.
    pub(crate) sampler: Sampler,
    /// What reads our own processes.
    pub(crate) reader: FamilyReader,
    /// Where readings go, and when it is.
    pub(crate) shared: Arc<Shared>,
    /// The lines, for how often to look.
    pub(crate) config: GuardConfig,
    /// Where it waits.
    pub(crate) lookout: Arc<Lookout>,
}

impl Watcher {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(crate) fn start(watch: Watch) -> io::Result<Self> {
        let lookout = Arc::clone(&watch.lookout);
        let thread = thread::Builder::new()
            .name("stt-sampler".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || watch.until_asked())?;
        Ok(Self { lookout, thread })
    }

    /// Ends the thread.
    pub(crate) fn finish(self) {
        self.lookout.end();
        drop(self.thread.join());
    }
}

impl Watch {
    fn until_asked(mut self) {
        priority::raise();
        let shared = Arc::clone(&self.shared);
        let clock = &shared.clock;
        let mut planned = clock.now();
        let mut read_family = true;
        let mut family_read = None;
        let mut news = News::default();
        loop {
            // A test that has just begun was not there at the last walk.
            let fresh = self.lookout.take();
            let due = self.reader.due().is_some_and(|due| due <= planned);
            let sample = self.sample(planned, read_family || fresh || due, fresh);
            let now = clock.now();
            if sample.family.is_some() {
                family_read = Some(now);
            }
            let age = family_read.map(|read| now.saturating_sub(read));
            let cadence = self.plan(&sample, age);
            let calm = self.is_calm(&sample);
            if news.tells(&sample, calm, now) {
                shared.queue.push(Event::Sample(Box::new(sample)));
            }
            read_family = cadence.read_family;
            planned = now + cadence.sleep;
            if let Some(due) = self.reader.due() {
                planned = planned.min(due.max(now));
            }
            shared.oom.look(now);
            // Each walk buries the dead, and there may be none for a while.
            if shared.family.bury() {
                planned = now;
            }
            if self.lookout.until(planned, clock) {
                return;
            }
        }
    }

    /// When to look again for the guard's sake.
    fn plan(&self, sample: &guard::Sample, age: Option<Duration>) -> Cadence {
        if self.config.enabled {
            cadence::plan(&self.config, self.shared.cores, sample, age)
        } else {
            Cadence {
                sleep: self.config.check_interval,
                read_family: false,
            }
        }
    }

    /// Whether nothing is ended for this reading.
    fn is_calm(&self, sample: &guard::Sample) -> bool {
        let guard_is = !self.config.enabled || cadence::is_calm(&self.config, sample);
        guard_is && !self.reader.is_exceeded()
    }

    fn sample(&mut self, planned: Moment, read_family: bool, fresh: bool) -> guard::Sample {
        let Self {
            sampler, reader, ..
        } = self;
        let mut read = |around| reader.read(around, fresh);
        let family: Option<&mut dyn FnMut(guard::Around) -> Option<guard::Family>> =
            if read_family { Some(&mut read) } else { None };
        sampler.sample(planned, family)
    }
}

impl Lookout {
    /// Has the thread look at this moment, unless it will have looked by then.
    pub(crate) fn look_by(&self, moment: Moment) {
        let mut asked = self.lock();
        asked.by = Some(asked.by.map_or(moment, |by| by.min(moment)));
        let late = asked.planned > moment;
        drop(asked);
        if late {
            self.changed.notify_all();
        }
    }

    /// Has the thread look no more.
    pub(crate) fn end(&self) {
        self.lock().end = true;
        self.changed.notify_all();
    }

    /// Whether somebody has asked for a look since the last one.
    fn take(&self) -> bool {
        self.lock().by.take().is_some()
    }

    /// Waits until then, or until somebody wants a look earlier; whether the end was asked for.
    fn until(&self, planned: Moment, clock: &Clock) -> bool {
        let mut asked = self.lock();
        asked.planned = planned;
        loop {
            let until = asked.by.map_or(planned, |by| by.min(planned));
            let left = until.saturating_sub(clock.now());
            if asked.end || left.is_zero() {
                return asked.end;
            }
            let waited = self.changed.wait_timeout(asked, left);
            asked = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What is behind the lock is whole at every moment.
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
