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
use crate::clock::Moment;
use crate::config::Leaks;
use crate::config::ShowOutput;
use crate::discovery::PerTest;
use crate::discovery::finds_nothing;
use crate::discovery::variables;
use crate::guard::OomWatch;
use crate::guard::SlotUse;
use crate::guard::limited;
use crate::id::RunId;
use crate::id::TestId;
use crate::limits::Limits;
use crate::limits::Resources;
use crate::outcome::TestOutcome;
use crate::ports::Lease;
use crate::ports::Leases;
use crate::process::Capture;
use crate::process::Child;
use crate::process::Control;
use crate::process::Ended;
use crate::process::Family;
use crate::process::Held;
use crate::process::Marker;
use crate::process::Settled;
use crate::process::Stdio;
use crate::process::Terms;
use crate::process::drive;
use crate::process::own_peak_memory;
use crate::process::spawn;
use crate::report::Leak;
use crate::report::Warning;
use crate::retry::Attempt;
use crate::run::Manner;
use crate::run::desk::Desk;
use crate::run::desk::Test;
use crate::run::engines::Engines;
use crate::run::error::chain;
use crate::run::event::Event;
use crate::run::event::TestEnd;
use crate::run::ports;
use crate::run::queue::Queue;
use crate::run::recorder;
use crate::run::sandbox;
use crate::run::sandbox::Room;
use crate::run::sandbox::Sandboxing;
use crate::run::scripts::Written;
use crate::run::settle;
use crate::run::settle::Facts;
use crate::run::suite::Suite;
use crate::run::watcher::Lookout;
use crate::schedule::GroupPlace;

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
    /// The ports of tests.
    pub(crate) leases: Leases,
    /// What setup scripts have written for the tests.
    pub(crate) written: Written,
    /// The run.
    pub(crate) run: RunId,
    /// How many tests may run at once, as tests are told.
    pub(crate) threads: usize,
    /// How long a test's output may stay open after it.
    pub(crate) leak_timeout: Duration,
    /// What happens to a test that leaves something behind.
    pub(crate) leaks: Leaks,
    /// How tests are started and what is kept of their output.
    pub(crate) style: Style,
    /// What looks after what tests make with containers.
    pub(crate) engines: Engines,
    /// What tests in containers need; `None` where there are none.
    pub(crate) sandboxing: Option<Sandboxing>,
    /// Where the sampler waits; `None` when nobody watches.
    pub(crate) lookout: Option<Arc<Lookout>>,
    /// What tells a test that the kernel killed for want of memory from others.
    pub(crate) oom: OomWatch,
    /// How many cores can fill memory.
    pub(crate) cores: usize,
}

/// How tests are started, what is kept of their output, and what is told of them.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// Where output goes.
    pub(crate) stdio: Stdio,
    /// Whether the output of passed tests is wanted.
    pub(crate) success_output: bool,
}

impl Style {
    /// What was asked for.
    pub(crate) fn of(manner: &Manner) -> Self {
        Self {
            stdio: manner.capture.stdio(),
            success_output: manner.success_output,
        }
    }
}

/// A test to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// Its number.
    pub(crate) test: usize,
    /// Whether no other test runs beside it.
    pub(crate) alone: bool,
    /// Whether its start is written into the checkpoint first.
    pub(crate) record: bool,
    /// Which attempt this is.
    pub(crate) attempt: Attempt,
    /// Its place in its group.
    pub(crate) group: Option<GroupPlace>,
}

/// A slot as the dispatcher sees it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The way to the process that runs in it.
    pub(crate) control: Arc<Control>,
    /// What its test may use and what it was seen to use.
    pub(crate) desk: Arc<Desk>,
    orders: mpsc::Sender<Order>,
    thread: thread::JoinHandle<()>,
}

impl Slot {
    /// Starts the thread of the slot with this number.
    ///
    /// # Errors
    /// The system refuses a thread or a descriptor.
    pub(crate) fn open(number: usize, shared: Arc<Shared>, capture: Capture) -> io::Result<Self> {
        let group = shared.family.slot_group(number);
        let control = Arc::new(Control::in_group(group)?);
        let desk = Arc::new(Desk::default());
        let (orders, received) = mpsc::channel();
        let worker = Worker {
            number,
            shared,
            control: Arc::clone(&control),
            desk: Arc::clone(&desk),
            capture,
            success_output: false,
            told: false,
            room: Room::default(),
        };
        let thread = thread::Builder::new()
            .name(format!("stt-slot-{number}"))
            .stack_size(256 * 1024)
            .spawn(move || worker.work(&received))?;
        Ok(Self {
            control,
            desk,
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
    desk: Arc<Desk>,
    capture: Capture,
    /// Whether the output of its test is wanted if that passes.
    success_output: bool,
    /// Whether it was told that tests run outside of a control group.
    told: bool,
    /// The container of its tests.
    room: Room,
}

impl Worker {
    fn work(mut self, orders: &mpsc::Receiver<Order>) {
        while let Some(order) = next(orders) {
            let id = self.shared.suite.id(order.test);
            let end = self.run(order, &id);
            self.write_down(order, id, &end);
            self.shared.queue.push(Event::Ended {
                slot: self.number,
                end: Box::new(end),
            });
        }
        self.room.close(self.shared.sandboxing.as_ref());
    }

    /// Runs one test to its end.
    fn run(&mut self, order: Order, id: &TestId) -> TestEnd {
        let shared = Arc::clone(&self.shared);
        let own = shared.suite.output(order.test).success;
        let of_all = shared.style.success_output;
        self.success_output = own.map_or(of_all, |shown| shown != ShowOutput::Never);
        if order.record {
            self.write(&Record::Started { test: id.clone() });
        }
        let leases = match ports::take(&shared, order.test) {
            Ok(leases) => leases,
            Err(reason) => return self.refuse(reason),
        };
        let sockets = match ports::listening(&shared, order.test, &leases) {
            Ok(sockets) => sockets,
            Err(reason) => return self.refuse(reason),
        };
        let numbers: Vec<_> = leases.iter().map(Lease::number).collect();
        let group = shared.suite.group(order.test);
        let facts = PerTest {
            test: id,
            run: &shared.run,
            attempt: order.attempt,
            slot: self.number,
            threads: shared.threads,
            ports: &numbers,
            group: group.zip(order.group.map(|place| place.slot)),
        };
        let mut command = shared.suite.command(order.test, facts);
        if let Some(scripts) = shared.suite.scripts(order.test) {
            // What is known of the test only wins over what was written for several.
            let written = shared.written.for_test(scripts);
            command.extra_env.splice(..0, written);
        }
        let found = shared.engines.begin(self.number, id.to_string());
        command.extra_env.extend(found);
        let stdio = shared.style.stdio;
        self.capture.reset();
        let limits = shared.suite.limits(order.test);
        let terms = shared.terms(order, id);
        let image = shared.suite.image(order.test);
        let inside = image.and(shared.sandboxing.as_ref());
        if let (Some(image), Some(own)) = (image, inside) {
            let kind = (image, limits.map(AsRef::as_ref));
            command = match self.room.enter(own, (self.number, id), kind, &command) {
                Ok(client) => client,
                Err(reason) => return self.refuse(reason),
            };
            shared.queue.push(Event::Entered { slot: self.number });
        }
        // Those of a test in a container are its container's.
        let held = self.make_ready(limits.map(AsRef::as_ref).filter(|_| inside.is_none()));
        self.control.hand_over(sockets);
        match spawn(&command, stdio, &self.control, &shared.clock) {
            Ok(child) => {
                let held = inside.map_or_else(|| child.held(held), |own| own.held(limits));
                let started = shared.clock.now();
                self.begin(&child, limits, held, started);
                let output = &mut self.capture;
                let (control, family) = (&self.control, &shared.family);
                let mut ended = drive(child, control, output, &terms, family, &shared.clock);
                ports::name_strangers(&shared, id, &numbers);
                if let Some(own) = inside {
                    let (time, clock) = (terms.leak_timeout, &shared.clock);
                    if let Err(reason) = self.room.leave(own, &mut ended, time, clock) {
                        self.desk.end();
                        return not_started(settle::could_not_start(reason));
                    }
                }
                let kind = (limits.map(Arc::as_ref), held, inside.is_some());
                self.end(ended, id, kind, started)
            }
            Err(error) => {
                self.room.close(inside);
                not_started(settle::not_started(&error))
            }
        }
    }

    /// The end of a test that can't have what it needs.
    fn refuse(&self, reason: String) -> TestEnd {
        self.control.release();
        not_started(settle::could_not_start(reason))
    }

    /// Makes the slot's place ready. Without a control group the test runs all the same, its family is
    /// found by other means, and that is told once.
    fn make_ready(&mut self, limits: Option<&Limits>) -> Held {
        self.control.begin(limits).unwrap_or_else(|error| {
            if !std::mem::replace(&mut self.told, true) {
                let message = format!("tests run outside of a control group: {}", chain(&error));
                self.shared.queue.push(Event::Warning(Warning {
                    message,
                    hint: None,
                }));
            }
            Held::default()
        })
    }

    /// Has those limits of a child that was just started looked after that are watched.
    fn begin(&self, child: &Child, limits: Option<&Arc<Limits>>, held: Held, started: Moment) {
        self.desk.begin(Test {
            leader: child.pid(),
            limits: limits.cloned(),
            memory_is_held: held.memory,
            peak: None,
        });
        let Some(limits) = limits else { return };
        let nothing = SlotUse {
            memory_is_held: held.memory,
            ..SlotUse::default()
        };
        let cores = self.shared.cores;
        let memory = limited::memory_within(limits, &nothing, cores).into_iter();
        let first_look = memory
            .chain(limited::rest_within(limits, &nothing, cores))
            .min();
        if let (Some(lookout), Some(within)) = (&self.shared.lookout, first_look) {
            lookout.look_by(started + within);
        }
    }

    fn end(
        &mut self,
        mut ended: Ended,
        id: &TestId,
        (limits, held, is_inside): (Option<&Limits>, Held, bool),
        started: Moment,
    ) -> TestEnd {
        let peak = self.desk.end();
        let (peak, resources) = if is_inside {
            sandbox::used(&ended, peak)
        } else {
            (peak, settle::resources(&ended, peak))
        };
        let (engines, queue) = (&self.shared.engines, &self.shared.queue);
        let mut containers = engines.end(self.number, id, &mut ended.left, queue);
        // What a test leaves that was ended was ended with it, and is no fault of its own.
        if ended.ended.is_some() {
            containers.clear();
        }
        let (oom, now) = (&self.shared.oom, self.shared.clock.now());
        let facts = Facts {
            limits,
            memory_is_held: held.memory,
            peak,
            own_peak: limits.and_then(|_| own_peak_memory()),
            memory_was_short: settle::died_of(&ended, "SIGKILL")
                && oom.killed_just_before(now, started),
            left_containers: !containers.is_empty(),
            leaks_fail: self.shared.leaks == Leaks::Fail,
        };
        let settled = settle::settled(&ended, &resources, &facts);
        let settled = match settled {
            Settled::Final(TestOutcome::Passed) if self.has_run_nothing() => {
                let reason =
                    "rustdoc finds no such test any more: sources have changed since it was listed";
                settle::could_not_start(reason.to_owned())
            }
            settled @ (Settled::Final(_) | Settled::Unfinished(_)) => settled,
        };
        let wanted = match &settled {
            Settled::Final(outcome) => outcome.is_failed() || self.success_output,
            Settled::Unfinished(_) => false,
        };
        let output =
            (wanted && self.shared.style.stdio != Stdio::Inherit).then(|| self.capture.take());
        TestEnd {
            settled,
            duration: ended.duration,
            resources,
            output: output.map(settle::captured),
            leak: settle::leak(ended.left, containers),
        }
    }

    /// Whether the harness says that it has run no test. No test says so itself before the harness has spoken.
    fn has_run_nothing(&self) -> bool {
        finds_nothing(self.capture.first_of_stdout())
    }

    /// Writes a result into the checkpoint. A test without one is the dispatcher's to write down,
    /// which knows whether it is a suspect.
    fn write_down(&self, order: Order, test: TestId, end: &TestEnd) {
        let Settled::Final(outcome) = &end.settled else {
            return;
        };
        let output = end.output.as_ref().filter(|_| outcome.is_failed());
        self.write(&Record::Result(ResultRecord {
            test,
            outcome: outcome.clone(),
            duration: end.duration,
            cpu: end.resources.cpu,
            peak_memory: end.resources.peak_memory,
            processes: end.resources.processes,
            read: end.resources.read,
            written: end.resources.written,
            output: output.map(settle::recorded),
            leaks: end.leak.as_ref().map(Leak::lines).unwrap_or_default(),
            attempt: order.attempt.number,
            retried: order.attempt.is_followed(outcome),
        }));
    }

    fn write(&self, record: &Record) {
        if let Some(writer) = &self.shared.writer {
            recorder::warn(&self.shared.queue, writer.append(record).err());
        }
    }
}

/// The end of a test that had no process.
fn not_started(settled: Settled) -> TestEnd {
    TestEnd {
        settled,
        duration: Duration::ZERO,
        resources: Resources::default(),
        output: None,
        leak: None,
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
            leak_timeout: self
                .suite
                .leak_timeout(order.test)
                .unwrap_or(self.leak_timeout),
            marker: Marker::new([run, (variables::STT_TEST_ID, test.as_str())]),
            // What is younger than a lone test is its own only where nobody else starts anything.
            exclusive: order.alone && !self.written.may_have_helpers(),
            leaves: false,
        }
    }
}
