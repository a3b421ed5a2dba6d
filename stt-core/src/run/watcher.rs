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
use crate::process::Usage;
use crate::run::event::Event;
use crate::run::news::News;
use crate::run::queue::Queue;
use crate::run::sharing::Measure;
use crate::run::sharing::Sharing;
use crate::run::sharing::Sum;
use crate::run::unchanged::Walked;

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
    /// What is known of memory that the family shares.
    pub(crate) sharing: Sharing,
    /// The last walk through the family, and what it found.
    pub(crate) walked: Option<(Walked, guard::Family)>,
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
        let mut news = News::default();
        loop {
            let sample = self.sample(planned, read_family);
            let now = self.clock.now();
            if sample.family.is_some() {
                family_read = Some(now);
            }
            let age = family_read.map(|read| now.saturating_sub(read));
            let cadence = cadence::plan(&self.config, self.cores, &sample, age);
            let calm = cadence::is_calm(&self.config, &sample);
            if news.tells(&sample, calm, now) {
                self.queue.push(Event::Sample(Box::new(sample)));
            }
            read_family = cadence.read_family;
            planned = now + cadence.sleep;
            if end.within(cadence.sleep) {
                return;
            }
        }
    }

    fn sample(&mut self, planned: Moment, read_family: bool) -> guard::Sample {
        let Self {
            sampler,
            family,
            slots,
            clock,
            config,
            sharing,
            walked,
            ..
        } = self;
        let mut reader = FamilyReader {
            family,
            slots,
            clock,
            config,
            sharing,
            walked,
        };
        let mut read = |memory| reader.read(memory);
        let family: Option<&mut dyn FnMut(Option<guard::Memory>) -> Option<guard::Family>> =
            if read_family { Some(&mut read) } else { None };
        sampler.sample(planned, family)
    }
}

/// Reads what the families of the running tests use.
struct FamilyReader<'a> {
    family: &'a Family,
    slots: &'a [Arc<Control>],
    clock: &'a Clock,
    config: &'a GuardConfig,
    sharing: &'a mut Sharing,
    walked: &'a mut Option<(Walked, guard::Family)>,
}

impl FamilyReader<'_> {
    /// In the guard's words, beside this reading of the machine.
    fn read(&mut self, machine: Option<guard::Memory>) -> Option<guard::Family> {
        let leaders: Vec<_> = self
            .slots
            .iter()
            .enumerate()
            .filter_map(|(slot, control)| Some((slot, control.leader()?)))
            .collect();
        let began = self.clock.now();
        // Where somebody may soon be ended for it, what is known is not good enough: from half of the
        // line on, a family that was small a moment ago can cross it before it is read again.
        let calm = |family: &guard::Family| {
            let line = cadence::exact_from(self.config, machine);
            line.is_none_or(|line| family.memory.0 < line.0 / 2)
        };
        if let (Some((walked, family)), Some(memory)) = (&*self.walked, machine)
            && walked.holds(&leaders, memory.used, began)
            && calm(family)
        {
            return Some(family.clone());
        }
        let family = self.walk(&leaders, machine);
        let ended = self.clock.now();
        *self.walked = machine.zip(family.clone()).map(|(memory, family)| {
            let walked = Walked {
                leaders,
                machine: memory.used,
                ended,
                took: ended.saturating_sub(began),
            };
            (walked, family)
        });
        family
    }

    fn walk(
        &mut self,
        leaders: &[(usize, i32)],
        machine: Option<guard::Memory>,
    ) -> Option<guard::Family> {
        let plain = self.family.usage(leaders, false)?;
        let used = machine.map(|memory| memory.used);
        let measure = match cadence::exact_from(self.config, machine) {
            Some(line) if plain.memory >= line => {
                let (pid, largest) = plain.largest.unwrap_or_default();
                let sum = Sum {
                    plain: plain.memory,
                    largest,
                    anonymous: self.family.anonymous(pid).unwrap_or_default(),
                    machine: used,
                };
                self.sharing.measure(line, sum, self.clock.now())
            }
            Some(_) | None => Measure::Plain,
        };
        Some(match measure {
            Measure::Plain => in_words_of_the_guard(&plain),
            Measure::Known(memory) => guard::Family {
                memory,
                ..in_words_of_the_guard(&plain)
            },
            Measure::Exact => {
                let began = self.clock.now();
                let exact = self.family.usage(leaders, true)?;
                let ended = self.clock.now();
                self.sharing.was_read(exact.memory, used, began, ended);
                in_words_of_the_guard(&exact)
            }
        })
    }
}

fn in_words_of_the_guard(usage: &Usage) -> guard::Family {
    guard::Family {
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
    }
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
