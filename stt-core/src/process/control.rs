//! The handle by which other threads reach the child that a slot thread runs.
//!
//! A process id is a number that the kernel gives out again. Here it can't be: the leader is reaped
//! only after [`Control`] has forgotten it, and both that and every signal happen under one lock.

use std::io;
use std::io::PipeReader;
use std::io::PipeWriter;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use nix::fcntl::FcntlArg;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;

use super::family;
use super::family::Identity;
use super::kernel;
use crate::outcome::EndReason;

/// An order to end a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndOrder {
    /// Why.
    pub reason: EndReason,
    /// The time between TERM and KILL; zero for KILL at once.
    pub grace: Duration,
}

/// One slot's handle on its current child, for the slot itself and for whoever may end that child.
/// It is made once and used for one child after the other.
#[derive(Debug)]
pub struct Control {
    state: Mutex<State>,
    wake_reader: PipeReader,
    wake_writer: PipeWriter,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    order: Option<Pending>,
    /// Whether there is a byte in the wake pipe.
    woken: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    /// No child, and none to come.
    #[default]
    Idle,
    /// A child will be started.
    Reserved,
    /// A child is being started by this thread.
    Starting { thread: i32 },
    /// The child that leads this group runs, or has exited and is not reaped yet.
    Running { leader: i32 },
}

/// An order that was given for the current child.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) reason: EndReason,
    pub(super) grace: Duration,
    /// Whether the leader was still running when the order came.
    pub(super) in_time: bool,
    /// Who was below the leader before a TERM was sent: afterwards it may be too late to see that. A
    /// KILL waits for nothing.
    pub(super) seen: Vec<Identity>,
}

impl Control {
    /// A handle without a child.
    ///
    /// # Errors
    /// No descriptors are left for the pipe that wakes the slot.
    pub fn new() -> io::Result<Self> {
        let (wake_reader, wake_writer) = io::pipe()?;
        // Neither side may ever wait for the other.
        for end in [wake_reader.as_fd(), wake_writer.as_fd()] {
            nix::fcntl::fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self {
            state: Mutex::default(),
            wake_reader,
            wake_writer,
        })
    }

    /// Announces that a child will be started: an order that comes from now on is for that child, also
    /// when it comes before the start. Without this, such an order finds nobody.
    pub fn reserve(&self) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Idle) {
            state.phase = Phase::Reserved;
        }
    }

    /// Takes back [`Control::reserve`], with any order given since.
    pub fn release(&self) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Reserved) {
            self.clear(&mut state);
        }
    }

    /// The process id of the current child, which is its group's number too.
    pub fn leader(&self) -> Option<i32> {
        match self.lock().phase {
            Phase::Running { leader } => Some(leader),
            Phase::Idle | Phase::Reserved | Phase::Starting { .. } => None,
        }
    }

    /// Sends a signal to the group of the current child. Says whether there was one.
    ///
    /// A child that is just being started gets no signal, but is freed if a stop signal of the
    /// terminal holds it: until its `exec` our own thread waits for it, and while that thread waits
    /// our process can't stop either (`vfork(2)`). So whoever handles a TSTP calls this for every
    /// slot, with STOP, before he stops himself.
    ///
    /// # Errors
    /// What `killpg(3)` reports.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let state = self.lock();
        match state.phase {
            Phase::Idle | Phase::Reserved => Ok(false),
            Phase::Starting { thread } => {
                family::free_started_by(thread);
                Ok(false)
            }
            Phase::Running { leader } => kernel::signal_group(leader, signal),
        }
    }

    /// Ends the current child: sends TERM, or KILL when there is no grace, to its group at once, and
    /// has its slot see to the rest. Says whether there was a child, or one to come.
    ///
    /// A second order can only be stronger than the first; the first one's reason stays. When the
    /// leader had already exited, the order hurries what is left but is no part of the result.
    ///
    /// # Errors
    /// What `killpg(3)` reports. The order stands nevertheless.
    pub fn end(&self, order: EndOrder) -> io::Result<bool> {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Idle) {
            return Ok(false);
        }
        match &mut state.order {
            Some(first) if first.grace <= order.grace => return Ok(true),
            Some(first) => first.grace = order.grace,
            None => {
                let in_time = match state.phase {
                    Phase::Running { leader } => !kernel::has_exited(leader),
                    Phase::Idle | Phase::Reserved | Phase::Starting { .. } => true,
                };
                state.order = Some(Pending {
                    reason: order.reason,
                    grace: order.grace,
                    in_time,
                    seen: Vec::new(),
                });
            }
        }
        let sent = send_order(&mut state);
        if !state.woken {
            // The pipe is empty, so it takes a byte; and were it full, the slot would wake as well.
            state.woken = (&self.wake_writer).write(&[0]).is_ok();
        }
        sent.map(|()| true)
    }

    /// Called by the slot before it starts a child.
    pub(super) fn starting(&self) {
        self.lock().phase = Phase::Starting {
            thread: kernel::thread_id(),
        };
    }

    /// Called by the slot once the child runs. An order that came before reaches it now.
    pub(super) fn started(&self, leader: i32) -> io::Result<()> {
        let mut state = self.lock();
        state.phase = Phase::Running { leader };
        send_order(&mut state)
    }

    /// The order that stands, and no wake-up for it any more.
    pub(super) fn order(&self) -> Option<Pending> {
        let mut state = self.lock();
        self.drain(&mut state);
        state.order.clone()
    }

    /// Forgets the child. Only after this may the leader be reaped.
    pub(super) fn finish(&self) -> Option<Pending> {
        let mut state = self.lock();
        self.clear(&mut state)
    }

    /// Readable when there is an order to look at.
    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake_reader.as_fd()
    }

    fn clear(&self, state: &mut State) -> Option<Pending> {
        self.drain(state);
        state.phase = Phase::Idle;
        state.order.take()
    }

    fn drain(&self, state: &mut State) {
        if state.woken {
            state.woken = !matches!((&self.wake_reader).read(&mut [0; 8]), Ok(1..));
        }
    }

    /// What is behind the lock is whole at every moment: no panic can leave it half-changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the signal of the order that stands, if there is an order and somebody to receive it.
fn send_order(state: &mut State) -> io::Result<()> {
    let (Some(order), Phase::Running { leader }) = (&mut state.order, state.phase) else {
        return Ok(());
    };
    if order.grace.is_zero() {
        return kernel::signal_group(leader, Signal::SIGKILL).map(drop);
    }
    if order.seen.is_empty() {
        order.seen = family::below(leader);
    }
    kernel::signal_group(leader, Signal::SIGTERM)?;
    // A stopped process gets TERM only once it continues.
    kernel::signal_group(leader, Signal::SIGCONT).map(drop)
}
