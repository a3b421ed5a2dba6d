//! Drives one child from its start to the moment at which nothing of it is left.
//!
//! The decisions are those of [`Life`]; here is what they take: one `poll` over the child's exit, its
//! two streams and the slot's wake-up, and then what each of them calls for. A child without trouble
//! costs a handful of system calls.

use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sys::signal::Signal;

use super::control::Control;
use super::exit::exit_of;
use super::family;
use super::family::Family;
use super::family::GroupUsage;
use super::family::Identity;
use super::family::Kin;
use super::family::Marker;
use super::family::Naming;
use super::family::Pen;
use super::family::Survivor;
use super::kernel;
use super::life::Input;
use super::life::Life;
use super::life::Step;
use super::output::OutputSink;
use super::source::Source;
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
    /// Whether what it leaves behind lives on once it has exited by itself.
    pub leaves: bool,
}

/// How a child ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; −1 when that could not be learned, see `error`.
    pub exit: Exit,
    /// CPU time, user and system, of it, of the children it waited for, and of those of its family that had
    /// lost their parents.
    pub cpu: Duration,
    /// The largest resident set of one of the same. Never less than our own largest at the time of its
    /// start, because the kernel counts that too.
    pub peak_memory: Bytes,
    /// Bytes that the same have read from disks; `None` when that could not be read.
    pub read: Option<Bytes>,
    /// Bytes that they have written to disks, or that were to get there before their file was removed.
    pub written: Option<Bytes>,
    /// From its start to its exit.
    pub duration: Duration,
    /// Why it was ended; `None` when it exited before such an order came.
    pub ended: Option<EndReason>,
    /// What it left behind.
    pub left: Left,
    /// What its whole family used, as its control group counts it; `None` when it had none.
    pub group: Option<GroupUsage>,
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

/// Of how many killed processes the memory is given back for them. The leader is the first.
const RELEASED: usize = 32;

/// How often a child's exit is looked for where no descriptor tells it.
const LOOK: Duration = Duration::from_millis(10);

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
    family.open_account(child.pid, terms.exclusive);
    let captured = child.stdout.is_some() || child.stderr.is_some();
    let mut driver = Driver {
        pid: child.pid,
        exited: child.exited,
        pen: child.pen,
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
        in_haste: false,
        done: false,
        lingering: Vec::new(),
        populated: false,
        survivors: Vec::new(),
        error: None,
    };
    while !driver.done {
        driver.turn();
    }
    driver.finish(child.started)
}

/// Whether others wait for what the child uses. What such a child leaves behind is not told of.
fn is_urgent(reason: &EndReason) -> bool {
    match reason {
        EndReason::Unfinished(_) | EndReason::Breach(_) => true,
        EndReason::Timeout(_) | EndReason::Limit(_) => false,
    }
}

struct Driver<'a> {
    pid: i32,
    exited: Option<OwnedFd>,
    pen: Option<Arc<Pen>>,
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
    /// Nothing may be asked that is not needed for its end.
    in_haste: bool,
    done: bool,
    /// The exits of processes that may still leave by themselves.
    lingering: Vec<OwnedFd>,
    /// Whether some of these may be in its control group.
    populated: bool,
    survivors: Vec<Survivor>,
    error: Option<DriveError>,
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
            self.in_haste = is_urgent(&order.reason);
            self.family.remember(self.pid, order.seen);
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
        let pen = self.pen.as_ref().filter(|_| self.populated);
        fds.extend(pen.map(|pen| PollFd::new(pen.events(), PollFlags::POLLPRI)));
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
                Step::KillGroup if self.family.is_given_up() => {
                    self.kill_group();
                    return;
                }
                Step::KillGroup => {
                    let below = family::below(self.pid);
                    self.kill_group();
                    release_memory(&below);
                    self.family.remember(self.pid, below);
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

    fn kill_group(&self) {
        if let Some(pen) = &self.pen {
            // As below.
            drop(pen.kill());
        }
        // Who can't be killed keeps us waiting, and the end of the run reports it.
        drop(kernel::signal_group(self.pid, Signal::SIGKILL));
    }

    fn check_family(&mut self) -> Input {
        self.lingering.clear();
        self.populated = false;
        if self.family.is_given_up() {
            self.kill_group();
            return Input::FamilyGone;
        }
        if self.may_leave() {
            return Input::FamilyGone;
        }
        if self.family.missing().is_some() && self.pen.is_none() {
            // Nobody can be seen, so nobody can be named or waited for; but a group can be killed.
            drop(kernel::signal_group(self.pid, Signal::SIGKILL));
            return Input::FamilyGone;
        }
        for _ in 0..LOOKS {
            let mut left = self.family.leftovers(&self.kin());
            let pen = self.pen.as_ref().filter(|pen| pen.is_populated());
            self.populated = pen.is_some();
            if left.is_empty() && !self.populated {
                return Input::FamilyGone;
            }
            left.extend(pen.into_iter().flat_map(|pen| pen.members()));
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
        if self.family.is_given_up() {
            self.kill_group();
            return Input::FamilyEnded;
        }
        if self.may_leave() {
            self.read_rest();
            return Input::FamilyEnded;
        }
        let kin = self.kin();
        let deadline = self.clock.now().saturating_add(DEATH);
        self.survivors = self.family.end_leftovers(&kin, self.clock, deadline);
        if self.ordered {
            self.survivors.retain(|survivor| !survivor.in_group);
        }
        self.lingering.clear();
        self.read_rest();
        Input::FamilyEnded
    }

    /// Whether what is left of its family is to live on.
    fn may_leave(&self) -> bool {
        self.terms.leaves && !self.ordered
    }

    fn kin(&self) -> Kin<'a> {
        Kin {
            leader: self.pid,
            marker: &self.terms.marker,
            exclusive: self.terms.exclusive,
            naming: if self.in_haste {
                Naming::AFew
            } else {
                Naming::WithPorts
            },
            pen: self.pen.clone(),
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
        let group = self.pen.as_ref().map(|pen| pen.usage());
        let order = self.control.finish();
        let mut spent = self.family.spent(self.pid);
        let reaped = kernel::reap(self.pid, true).and_then(|reaped| {
            reaped.ok_or_else(|| io::Error::other("the kernel reported no exit"))
        });
        let mut error = self.error;
        let exit = match reaped {
            Ok(reaped) => {
                spent.add(reaped.spent());
                exit_of(reaped.status)
            }
            Err(source) => {
                error = Some(DriveError::Status(source));
                Exit::Code(-1)
            }
        };
        let exited = self.leader_exit.unwrap_or_else(|| self.clock.now());
        Ended {
            exit,
            cpu: spent.cpu,
            peak_memory: spent.peak_memory,
            read: spent.read,
            written: spent.written,
            duration: exited.saturating_sub(started),
            ended: order
                .filter(|order| order.in_time)
                .map(|order| order.reason),
            left: Left {
                output_open: self.life.output_overstayed(),
                processes: self.survivors,
            },
            group,
            error,
        }
    }
}

/// Has the killed give back their memory at once. It blocks for as long as that takes, so this is for a
/// slot's thread. Measured beside twenty busy processes on two cores: 2 GB are back after 1.3 s, and
/// after 1.9 s without it.
fn release_memory(killed: &[Identity]) {
    for identity in killed.iter().take(RELEASED) {
        // Whoever has exited has none, and who lives keeps it: either way there is nothing to do.
        drop(
            kernel::pidfd_open(identity.pid()).and_then(|process| kernel::release_memory(&process)),
        );
    }
}

/// A timeout that does not end before the time is over: `poll` counts in whole milliseconds.
fn rounded_up(time: Option<Duration>) -> PollTimeout {
    time.map_or(PollTimeout::NONE, |time| {
        PollTimeout::try_from(time.saturating_add(Duration::from_nanos(999_999)))
            .unwrap_or(PollTimeout::MAX)
    })
}
