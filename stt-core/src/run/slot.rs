//! A slot's thread: take a test, start it, live with it until its whole family is gone, write its
//! result down, report.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use crate::checkpoint::Record;
use crate::checkpoint::ResultRecord;
use crate::checkpoint::Writer;
use crate::clock::Clock;
use crate::outcome::Failure;
use crate::outcome::TestOutcome;
use crate::process::Capture;
use crate::process::Control;
use crate::process::Ended;
use crate::process::Family;
use crate::process::LifeTimes;
use crate::process::Stdio;
use crate::process::drive;
use crate::process::spawn;
use crate::run::event::Event;
use crate::run::event::Settled;
use crate::run::event::TestEnd;
use crate::run::queue::Queue;
use crate::run::recorder;
use crate::run::settle;
use crate::run::suite::Suite;
use crate::units::Bytes;

/// What every slot of a run shares.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The tests.
    pub(crate) suite: Arc<Suite>,
    /// The checkpoint; `None` when none is kept.
    pub(crate) writer: Option<Arc<Writer>>,
    /// The way to the dispatcher.
    pub(crate) queue: Arc<Queue>,
    /// All descendants.
    pub(crate) family: Arc<Family>,
    /// The clock.
    pub(crate) clock: Clock,
    /// The limits of one life.
    pub(crate) times: LifeTimes,
    /// How tests are started and what is kept of their output.
    pub(crate) style: Style,
}

/// How tests are started and what is kept of their output.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// Whether output is captured.
    pub(crate) capture: bool,
    /// Whether the output of passed tests is wanted.
    pub(crate) success_output: bool,
}

/// A slot as the dispatcher sees it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The way to the process that runs in it.
    pub(crate) control: Arc<Control>,
    tests: mpsc::Sender<usize>,
    thread: thread::JoinHandle<()>,
}

impl Slot {
    /// Starts the thread of the slot with this number.
    ///
    /// # Errors
    /// The system refuses a thread or a descriptor.
    pub(crate) fn open(number: usize, shared: Arc<Shared>, capture: Capture) -> io::Result<Self> {
        let control = Arc::new(Control::new()?);
        let (tests, received) = mpsc::channel();
        let worker = Worker { number, shared, control: Arc::clone(&control), capture };
        let thread = thread::Builder::new()
            .name(format!("stt-slot-{number}"))
            .stack_size(256 * 1024)
            .spawn(move || worker.work(&received))?;
        Ok(Self { control, tests, thread })
    }

    /// Has a test started. The slot must be free.
    pub(crate) fn start(&self, test: usize) {
        // The receiver lives as long as this does, unless its thread has panicked, which was reported.
        drop(self.tests.send(test));
    }

    /// Ends the thread, after the test that it may run.
    pub(crate) fn close(self) {
        drop(self.tests);
        drop(self.thread.join());
    }
}

/// What lives on the slot's thread.
struct Worker {
    number: usize,
    shared: Arc<Shared>,
    control: Arc<Control>,
    capture: Capture,
}

impl Worker {
    fn work(mut self, tests: &mpsc::Receiver<usize>) {
        while let Ok(test) = tests.recv() {
            let end = self.run(test);
            self.write_down(test, &end);
            self.shared.queue.push(Event::Ended { slot: self.number, end: Box::new(end) });
        }
    }

    /// Runs one test to its end.
    fn run(&mut self, test: usize) -> TestEnd {
        let shared = Arc::clone(&self.shared);
        let command = shared.suite.command(test, self.number);
        let stdio = if shared.style.capture { Stdio::Capture } else { Stdio::Inherit };
        self.capture.reset();
        match spawn(&command, stdio, &self.control) {
            Ok(child) => {
                let ended = drive(
                    child,
                    &self.control,
                    &mut self.capture,
                    &shared.times,
                    &shared.family,
                    &shared.clock,
                );
                self.end(ended)
            }
            Err(error) => TestEnd {
                settled: Settled::Final(TestOutcome::Failed(Failure::Start {
                    reason: super::chain(&error),
                })),
                duration: std::time::Duration::ZERO,
                cpu: std::time::Duration::ZERO,
                peak_memory: Bytes(0),
                output: None,
                leak: None,
            },
        }
    }

    fn end(&mut self, ended: Ended) -> TestEnd {
        let settled = settle::settle(&ended);
        let wanted = match &settled {
            Settled::Final(outcome) => outcome.is_failed() || self.shared.style.success_output,
            Settled::Unfinished(_) => false,
        };
        TestEnd {
            duration: ended.duration,
            cpu: ended.cpu,
            peak_memory: ended.peak_memory,
            leak: settle::leak(ended.left),
            output: (wanted && self.shared.style.capture).then(|| settle::kept(self.capture.take())),
            settled,
        }
    }

    /// Writes a result into the checkpoint. A test without one is the dispatcher's to write down,
    /// which knows whether it is a suspect.
    fn write_down(&self, test: usize, end: &TestEnd) {
        let (Some(writer), Settled::Final(outcome)) = (&self.shared.writer, &end.settled) else {
            return;
        };
        let record = Record::Result(ResultRecord {
            test: self.shared.suite.id(test),
            outcome: outcome.clone(),
            duration: end.duration,
            cpu: end.cpu,
            peak_memory: end.peak_memory,
            output: end.output.as_ref().filter(|_| outcome.is_failed()).map(settle::recorded),
            leaks: end.leak.as_ref().map(settle::leaks).unwrap_or_default(),
        });
        recorder::warn(&self.shared.queue, writer.append(&record).err());
    }
}
