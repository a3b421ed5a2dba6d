//! A slot's thread: take a test, start it, live with it until its whole family is gone, write its
//! result down, report.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::checkpoint::Record;
use crate::checkpoint::ResultRecord;
use crate::checkpoint::Writer;
use crate::clock::Clock;
use crate::discovery::variables;
use crate::id::RunId;
use crate::id::TestId;
use crate::outcome::Failure;
use crate::outcome::TestOutcome;
use crate::process::Capture;
use crate::process::Control;
use crate::process::Ended;
use crate::process::Family;
use crate::process::Marker;
use crate::process::Settled;
use crate::process::Stdio;
use crate::process::Terms;
use crate::process::drive;
use crate::process::spawn;
use crate::run::event::Event;
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
    /// The run.
    pub(crate) run: RunId,
    /// How many tests may run at once, as tests are told.
    pub(crate) threads: usize,
    /// How long a test's output may stay open after it.
    pub(crate) leak_timeout: Duration,
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

/// A test to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// Its number.
    pub(crate) test: usize,
    /// Whether no other test runs beside it.
    pub(crate) alone: bool,
}

/// A slot as the dispatcher sees it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The way to the process that runs in it.
    pub(crate) control: Arc<Control>,
    orders: mpsc::Sender<Order>,
    thread: thread::JoinHandle<()>,
}

impl Slot {
    /// Starts the thread of the slot with this number.
    ///
    /// # Errors
    /// The system refuses a thread or a descriptor.
    pub(crate) fn open(number: usize, shared: Arc<Shared>, capture: Capture) -> io::Result<Self> {
        let control = Arc::new(Control::new()?);
        let (orders, received) = mpsc::channel();
        let worker = Worker {
            number,
            shared,
            control: Arc::clone(&control),
            capture,
        };
        let thread = thread::Builder::new()
            .name(format!("stt-slot-{number}"))
            .stack_size(256 * 1024)
            .spawn(move || worker.work(&received))?;
        Ok(Self {
            control,
            orders,
            thread,
        })
    }

    /// Has a test started. The slot must be free.
    pub(crate) fn start(&self, order: Order) {
        // An order to end the test may come before its process does.
        self.control.reserve();
        // The receiver lives as long as this does, unless its thread has panicked, which was reported.
        let _ = self.orders.send(order);
    }

    /// Ends the thread, after the test that it may run.
    pub(crate) fn close(self) {
        drop(self.orders);
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
    fn work(mut self, orders: &mpsc::Receiver<Order>) {
        while let Some(order) = next(orders) {
            let id = self.shared.suite.id(order.test);
            let end = self.run(order, &id);
            self.write_down(id, &end);
            self.shared.queue.push(Event::Ended {
                slot: self.number,
                end: Box::new(end),
            });
        }
    }

    /// Runs one test to its end.
    fn run(&mut self, order: Order, id: &TestId) -> TestEnd {
        let shared = Arc::clone(&self.shared);
        let command = shared
            .suite
            .command(order.test, id, self.number, shared.threads);
        let stdio = if shared.style.capture {
            Stdio::Capture
        } else {
            Stdio::Inherit
        };
        self.capture.reset();
        match spawn(&command, stdio, &self.control, &shared.clock) {
            Ok(child) => {
                let terms = shared.terms(order, id);
                let output = &mut self.capture;
                let (control, family) = (&self.control, &shared.family);
                let ended = drive(child, control, output, &terms, family, &shared.clock);
                self.end(ended)
            }
            Err(error) => TestEnd {
                settled: Settled::Final(TestOutcome::Failed(Failure::Start {
                    reason: super::error::chain(&error),
                })),
                duration: Duration::ZERO,
                cpu: Duration::ZERO,
                peak_memory: Bytes(0),
                output: None,
                leak: None,
            },
        }
    }

    fn end(&mut self, ended: Ended) -> TestEnd {
        let settled = settle::settled(&ended);
        let wanted = match &settled {
            Settled::Final(outcome) => outcome.is_failed() || self.shared.style.success_output,
            Settled::Unfinished(_) => false,
        };
        let output = (wanted && self.shared.style.capture).then(|| self.capture.take());
        TestEnd {
            settled,
            duration: ended.duration,
            cpu: ended.cpu,
            peak_memory: ended.peak_memory,
            output: output.map(settle::captured),
            leak: settle::leak(ended.left),
        }
    }

    /// Writes a result into the checkpoint. A test without one is the dispatcher's to write down,
    /// which knows whether it is a suspect.
    fn write_down(&self, test: TestId, end: &TestEnd) {
        let (Some(writer), Settled::Final(outcome)) = (&self.shared.writer, &end.settled) else {
            return;
        };
        let output = end.output.as_ref().filter(|_| outcome.is_failed());
        let record = Record::Result(ResultRecord {
            test,
            outcome: outcome.clone(),
            duration: end.duration,
            cpu: end.cpu,
            peak_memory: end.peak_memory,
            output: output.map(settle::recorded),
            leaks: end.leak.as_ref().map(settle::lines).unwrap_or_default(),
        });
        recorder::warn(&self.shared.queue, writer.append(&record).err());
    }
}

/// How often a slot looks for its next test before it goes to sleep.
const LOOKS: u32 = 64;

/// Waits for the next test; `None` when there will be none. The dispatcher mostly answers within
/// microseconds, and a core that falls asleep for these needs longer to wake up again than that.
fn next(orders: &mpsc::Receiver<Order>) -> Option<Order> {
    for _ in 0..LOOKS {
        match orders.try_recv() {
            Ok(order) => return Some(order),
            Err(mpsc::TryRecvError::Disconnected) => return None,
            Err(mpsc::TryRecvError::Empty) => thread::yield_now(),
        }
    }
    orders.recv().ok()
}

impl Shared {
    /// On what terms a test runs.
    fn terms(&self, order: Order, id: &TestId) -> Terms {
        let run = (variables::STT_RUN_ID, self.run.as_str());
        let test = id.to_string();
        Terms {
            leak_timeout: self.leak_timeout,
            marker: Marker::new([run, (variables::STT_TEST_ID, test.as_str())]),
            exclusive: order.alone,
        }
    }
}
