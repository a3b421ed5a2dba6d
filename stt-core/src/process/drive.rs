//! Drives one child from its start to the moment at which nothing of it is left.
//!
//! The decisions are those of [`Life`]; here is what they take: one `poll` over the child's exit, its
//! two streams and the slot's wake-up, and then what each of them calls for. A child without trouble
//! costs a handful of system calls.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sys::signal::Signal;

use super::control::Control;
use super::exit::exit_of;
use super::family;
use super::family::Family;
use super::family::Identity;
use super::family::Kin;
use super::family::Marker;
use super::family::Survivor;
use super::kernel;
use super::life::Input;
use super::life::Life;
use super::life::Step;
use super::output::OutputSink;
use super::spawn::Child;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::outcome::EndReason;
use crate::outcome::Exit;
use crate::units::Bytes;

/// On what terms a child runs.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How long its output may stay open, and its helpers live, once it has exited.
    pub leak_timeout: Duration,
    /// What its processes carry in their environment.
    pub marker: Marker,
    /// Whether no other child runs from its start to its end: then whoever is left is its own.
    pub exclusive: bool,
}

/// How a child ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; −1 when that could not be learned, see `error`.
    pub exit: Exit,
    /// CPU time, user and system, of it and the children it waited for.
    pub cpu: Duration,
    /// The largest resident set of it or of a child it waited for. Never less than our own largest at
    /// the time of its start, because the kernel counts that too.
    pub peak_memory: Bytes,
    /// From its start to its exit.
    pub duration: Duration,
    /// Why it was ended; `None` when it exited before such an order came.
    pub ended: Option<EndReason>,
    /// What it left behind.
    pub left: Left,
    /// What could not be learned of it.
    pub error: Option<DriveError>,
}

/// What a child left behind. All of it has been ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Somebody still held its output after the leak timeout.
    pub output_open: bool,
    /// Processes that lived on for longer than that. Of a child that was ended: those outside its
    /// group, because its group was ended with it.
    pub processes: Vec<Survivor>,
}

/// Something of a child could not be learned.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// Its output, or the rest of it.
    #[error("the output could not be read")]
    Output(#[source] io::Error),
    /// How it exited.
    #[error("the exit status could not be read")]
    Status(#[source] io::Error),
}

/// How much is read at once: as much as a pipe holds (`pipe(7)`).
const READ_SIZE: usize = 64 << 10;

/// A stream that has brought so much gets a larger pipe, and so fewer wake-ups.
const LARGE_STREAM: u64 = 1 << 20;

/// How many reads a stream gets after everybody who wrote to it was killed. It is more than any pipe
/// holds, and ends the reading should a stranger hold the pipe and write.
const LAST_READS: u32 = 64;

/// How long killed processes have to die before a child is reported nevertheless. The sweep at the end
/// of a run finds them again.
const DEATH: Duration = Duration::from_secs(5);

/// How many of those who may still leave by themselves are watched; when one is gone, all are looked at
/// again.
const WATCHED: usize = 16;

/// How often they are looked at for the sake of those who have just gone.
const LOOKS: u32 = 3;

/// How often a child's exit is looked for where no descriptor tells it.
const LOOK: Duration = Duration::from_millis(10);

thread_local! {
    /// One buffer for each slot thread.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into());
}

/// Sees a child through: reads its output into `output`, carries out the orders that come through
/// `control`, and returns once nothing of its family is left and it is reaped.
pub fn drive(
    child: Child,
    control: &Control,
    output: &mut dyn OutputSink,
    terms: &Terms,
    family: &Family,
    clock: &Clock,
) -> Ended {
    let captured = child.stdout.is_some() || child.stderr.is_some();
    let mut driver = Driver {
        pid: child.pid,
        exited: child.exited,
        stdout: Source::new(child.stdout, |sink, bytes| sink.stdout(bytes)),
        stderr: Source::new(child.stderr, |sink, bytes| sink.stderr(bytes)),
        control,
        output,
        terms,
        family,
        clock,
        life: Life::new(captured, terms.leak_timeout),
        leader_exit: None,
        ordered: false,
        done: false,
        remembered: Vec::new(),
        lingering: Vec::new(),
        survivors: Vec::new(),
        error: None,
    };
    while !driver.done {
        driver.turn();
    }
    driver.finish(child.started)
}

struct Driver<'a> {
    pid: i32,
    exited: Option<OwnedFd>,
    stdout: Source,
    stderr: Source,
    control: &'a Control,
    output: &'a mut dyn OutputSink,
    terms: &'a Terms,
    family: &'a Family,
    clock: &'a Clock,
    life: Life,
    leader_exit: Option<Moment>,
    ordered: bool,
    done: bool,
    remembered: Vec<Identity>,
    /// The exits of processes that may still leave by themselves.
    lingering: Vec<OwnedFd>,
    survivors: Vec<Survivor>,
    error: Option<DriveError>,
}

/// One of a child's streams.
struct Source {
    pipe: Option<OwnedFd>,
    total: u64,
    deliver: fn(&mut dyn OutputSink, &[u8]),
}

/// What a `poll` found.
struct Ready {
    exited: bool,
    woken: bool,
    /// Somebody else of the family exited.
    tick: bool,
    stdout: PollFlags,
    stderr: PollFlags,
}

impl<'a> Driver<'a> {
    /// Waits once, and does what that calls for.
    fn turn(&mut self) {
        let ready = self.wait();
        self.read(&ready);
        if ready.exited {
            self.exited = None;
            let now = self.clock.now();
            self.leader_exit = Some(now);
            self.feed(Input::LeaderExited);
        }
        if ready.woken
            && let Some(order) = self.control.order()
        {
            self.ordered = true;
            self.remembered.extend(order.seen);
            self.feed(Input::Ordered { grace: order.grace });
        }
        if ready.tick || self.is_late() {
            self.feed(Input::Tick);
        }
    }

    fn is_late(&self) -> bool {
        self.life
            .deadline()
            .is_some_and(|deadline| self.clock.now() >= deadline)
    }

    fn wait(&self) -> Ready {
        let blind = self.exited.is_none() && self.leader_exit.is_none();
        let mut time = self
            .life
            .deadline()
            .map(|until| until.saturating_sub(self.clock.now()));
        if blind {
            time = Some(time.map_or(LOOK, |time| time.min(LOOK)));
        }
        let mut fds = vec![
            PollFd::new(self.control.wake(), PollFlags::POLLIN),
            self.ask(self.exited.as_ref()),
            self.ask(self.stdout.pipe.as_ref()),
            self.ask(self.stderr.pipe.as_ref()),
        ];
        fds.extend(self.lingering.iter().map(|exit| self.ask(Some(exit))));
        // A signal that cuts the waiting short only brings another turn, in which nothing is ready.
        let count = nix::poll::poll(&mut fds, rounded_up(time)).unwrap_or(0);
        let found = |index: usize| {
            let fd = fds.get(index).filter(|_| count > 0);
            fd.and_then(PollFd::revents).unwrap_or(PollFlags::empty())
        };
        Ready {
            woken: !found(0).is_empty(),
            exited: !found(1).is_empty() || (blind && kernel::has_exited(self.pid)),
            stdout: found(2),
            stderr: found(3),
            tick: (4..fds.len()).any(|index| !found(index).is_empty()),
        }
    }

    /// What `poll` is asked of a descriptor. One that is not there any more is replaced by a question
    /// that is never answered.
    fn ask<'fd>(&'fd self, fd: Option<&'fd OwnedFd>) -> PollFd<'fd> {
        match fd {
            Some(fd) => PollFd::new(fd.as_fd(), PollFlags::POLLIN),
            None => PollFd::new(self.control.wake(), PollFlags::empty()),
        }
    }

    /// Reads each stream that has something, once. After the last byte of both, says so.
    fn read(&mut self, ready: &Ready) {
        let open = self.is_output_open();
        let stdout = self.stdout.read(ready.stdout, self.output);
        let stderr = self.stderr.read(ready.stderr, self.output);
        if let Err(error) = stdout.and(stderr) {
            self.error.get_or_insert(DriveError::Output(error));
        }
        if open && !self.is_output_open() {
            self.feed(Input::OutputClosed);
        }
    }

    fn is_output_open(&self) -> bool {
        self.stdout.pipe.is_some() || self.stderr.pipe.is_some()
    }

    /// Tells the machine what happened, and carries out what it says until it says to wait.
    fn feed(&mut self, input: Input) {
        let mut input = input;
        loop {
            input = match self.life.handle(input, self.clock.now()) {
                Step::Wait => return,
                Step::KillGroup => {
                    self.remembered.extend(family::below(self.pid));
                    // Who can't be killed keeps us waiting, and the end of the run reports it.
                    drop(kernel::signal_group(self.pid, Signal::SIGKILL));
                    return;
                }
                Step::CheckFamily => self.check_family(),
                Step::EndFamily => self.end_family(),
                Step::Reap => {
                    self.done = true;
                    return;
                }
            };
        }
    }

    fn check_family(&mut self) -> Input {
        self.lingering.clear();
        if self.family.missing().is_some() {
            // Nobody can be seen, so nobody can be named or waited for; but a group can be killed.
            drop(kernel::signal_group(self.pid, Signal::SIGKILL));
            return Input::FamilyGone;
        }
        for _ in 0..LOOKS {
            let left = self.family.leftovers(&self.kin());
            if left.is_empty() {
                return Input::FamilyGone;
            }
            let watched = left.iter().take(WATCHED);
            let exits: io::Result<_> = watched.map(|&pid| kernel::pidfd_open(pid)).collect();
            // Who has gone in between calls for another look.
            if let Ok(exits) = exits {
                self.lingering = exits;
                break;
            }
        }
        Input::FamilyAlive
    }

    fn end_family(&mut self) -> Input {
        let mut kin = self.kin();
        let deadline = self.clock.now().saturating_add(DEATH);
        self.survivors = self.family.end_leftovers(&mut kin, self.clock, deadline);
        if self.ordered {
            self.survivors.retain(|survivor| !survivor.in_group);
        }
        self.lingering.clear();
        self.read_rest();
        Input::FamilyEnded
    }

    fn kin(&self) -> Kin<'a> {
        Kin {
            leader: self.pid,
            marker: &self.terms.marker,
            remembered: self.remembered.clone(),
            exclusive: self.terms.exclusive,
        }
    }

    /// Reads what the killed have left in the pipes.
    fn read_rest(&mut self) {
        for source in [&mut self.stdout, &mut self.stderr] {
            for _ in 0..LAST_READS {
                let Some(pipe) = &source.pipe else { break };
                let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
                if nix::poll::poll(&mut fds, PollTimeout::ZERO) != Ok(1) {
                    break;
                }
                let found = fds[0].revents().unwrap_or(PollFlags::empty());
                if let Err(error) = source.read(found, self.output) {
                    self.error.get_or_insert(DriveError::Output(error));
                }
            }
        }
    }

    /// Gives up the pid, and only then reaps.
    fn finish(self, started: Moment) -> Ended {
        let order = self.control.finish();
        let reaped = kernel::reap(self.pid, true).and_then(|reaped| {
            reaped.ok_or_else(|| io::Error::other("the kernel reported no exit"))
        });
        let mut error = self.error;
        let (exit, cpu, peak_memory) = match reaped {
            Ok(reaped) => (exit_of(reaped.status), reaped.cpu, reaped.peak_memory),
            Err(source) => {
                error = Some(DriveError::Status(source));
                (Exit::Code(-1), Duration::ZERO, Bytes(0))
            }
        };
        let exited = self.leader_exit.unwrap_or_else(|| self.clock.now());
        Ended {
            exit,
            cpu,
            peak_memory,
            duration: exited.saturating_sub(started),
            ended: order
                .filter(|order| order.in_time)
                .map(|order| order.reason),
            left: Left {
                output_open: self.life.output_overstayed(),
                processes: self.survivors,
            },
            error,
        }
    }
}

impl Source {
    fn new(pipe: Option<OwnedFd>, deliver: fn(&mut dyn OutputSink, &[u8])) -> Self {
        Self {
            pipe,
            total: 0,
            deliver,
        }
    }

    /// Reads once, if `poll` found something, and closes the pipe behind its last byte.
    fn read(&mut self, found: PollFlags, output: &mut dyn OutputSink) -> io::Result<()> {
        let Some(pipe) = self.pipe.as_ref().filter(|_| !found.is_empty()) else {
            return Ok(());
        };
        // Nobody can write any more and nothing is left to read: the common end.
        if found == PollFlags::POLLHUP {
            self.pipe = None;
            return Ok(());
        }
        let read = BUFFER.with_borrow_mut(|buffer| {
            let length = nix::unistd::read(pipe, buffer)?;
            if length > 0 {
                (self.deliver)(output, &buffer[..length]);
            }
            Ok(length)
        });
        match read {
            Ok(0) => self.pipe = None,
            // A pipe gives all that it has, so after a short read from one without writers it is empty.
            Ok(length) if length < READ_SIZE && found.contains(PollFlags::POLLHUP) => {
                self.pipe = None;
            }
            Ok(length) => self.grow(length),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => {
                self.pipe = None;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Counts what came, and has the pipe enlarged once if it is a lot.
    fn grow(&mut self, length: usize) {
        let before = self.total;
        self.total += length as u64;
        if before < LARGE_STREAM
            && self.total >= LARGE_STREAM
            && let Some(pipe) = &self.pipe
        {
            kernel::enlarge_pipe(pipe);
        }
    }
}

/// A timeout that does not end before the time is over: `poll` counts in whole milliseconds.
fn rounded_up(time: Option<Duration>) -> PollTimeout {
    time.map_or(PollTimeout::NONE, |time| {
        PollTimeout::try_from(time.saturating_add(Duration::from_nanos(999_999)))
            .unwrap_or(PollTimeout::MAX)
    })
}
