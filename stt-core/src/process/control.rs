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
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::bounds;
use super::family;
use super::family::GroupError;
use super::family::GroupUsage;
use super::family::Held;
use super::family::Identity;
use super::family::Pen;
use super::family::SlotGroup;
use super::kernel;
use super::kernel::ResourceLimit;
use super::pipe::nonblocking_pipe;
use crate::limits::Limits;
use crate::outcome::EndReason;

/// For how many milliseconds a child that is being started is waited for, before it is made to stand still, and
/// how often it is looked at meanwhile.
const START: u64 = 1_000;
const START_ROUND: u64 = 5;

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
    /// Told when a child has been started, or is not going to be.
    moved: Condvar,
    /// Where the slot's children run. Never locked while `state` is.
    place: Mutex<Place>,
    wake_reader: PipeReader,
    wake_writer: PipeWriter,
}

/// Where a slot's children run, and what the next one is started with.
#[derive(Debug, Default)]
struct Place {
    group: Option<SlotGroup>,
    next: Bounds,
}

/// What one child is started with.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    /// The control group that it is born in.
    pub(super) pen: Option<Arc<Pen>>,
    /// The limits that it carries.
    pub(super) limits: Vec<ResourceLimit>,
    /// Whether the kernel is to kill it before us, when memory is short.
    pub(super) expendable: bool,
    /// The sockets that it finds after its three streams.
    pub(super) sockets: Vec<OwnedFd>,
    /// What it reads; nothing, where this is `None`.
    pub(super) input: Option<OwnedFd>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// The control group of the child that runs.
    pen: Option<Arc<Pen>>,
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
        Self::in_group(None)
    }

    /// A handle without a child, whose children run in the slot's control group.
    ///
    /// # Errors
    /// As [`Control::new`].
    pub fn in_group(group: Option<SlotGroup>) -> io::Result<Self> {
        let (wake_reader, wake_writer) = nonblocking_pipe()?;
        Ok(Self {
            state: Mutex::default(),
            moved: Condvar::new(),
            place: Mutex::new(Place {
                group,
                next: Bounds::default(),
            }),
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

    /// Makes the slot ready for its next child, which will be started with these limits: in the slot's
    /// control group, if it has one. Says which of them that group holds; without a call for it, a
    /// child runs in our own group and without limits, and is worth as much as we are when the kernel
    /// looks for somebody to kill.
    ///
    /// # Errors
    /// There is no control group for this child. It can be started nevertheless.
    pub fn begin(&self, limits: Option<&Limits>) -> Result<Held, GroupError> {
        let mut place = lock(&self.place);
        place.next.limits = limits.map(bounds::of).unwrap_or_default();
        place.next.pen = None;
        place.next.expendable = true;
        place.next.sockets.clear();
        place.next.input = None;
        let Some(group) = &mut place.group else {
            return Ok(Held::default());
        };
        let (pen, held) = group.begin(limits)?;
        place.next.pen = Some(pen);
        Ok(held)
    }

    /// Has the next child find these sockets as its descriptors 3, 4 and so on. They are closed here once it has them.
    pub fn hand_over(&self, sockets: Vec<OwnedFd>) {
        lock(&self.place).next.sockets = sockets;
    }

    /// Has the next child find this as its standard input. It is closed here once it has it.
    pub fn feed(&self, input: OwnedFd) {
        lock(&self.place).next.input = Some(input);
    }

    /// What the current child has used so far with its whole family; `None` when there is no child or
    /// it runs in no control group.
    pub fn group_usage(&self) -> Option<GroupUsage> {
        let pen = lock(&self.state).pen.clone();
        pen.map(|pen| pen.usage())
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

    /// Sends a signal to the group of the current child. Says whether there was one; to one that is just
    /// being started nothing is sent.
    ///
    /// # Errors
    /// What `killpg(3)` reports.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        match self.lock().phase {
            Phase::Idle | Phase::Reserved | Phase::Starting { .. } => Ok(false),
            Phase::Running { leader } => kernel::signal_group(leader, signal),
        }
    }

    /// Has the group of the current child stand still. Says whether there was one. Whoever handles a TSTP
    /// calls this for every slot before he stops himself.
    ///
    /// A child that is just being started is waited for, or it would run on while nobody looks: for a second
    /// at the most. Meanwhile it is freed if a stop signal of the terminal holds it: until its `exec` our own
    /// thread waits for it, and while that thread waits our process can't stop either (`vfork(2)`).
    ///
    /// # Errors
    /// What `killpg(3)` reports.
    pub fn suspend(&self) -> io::Result<bool> {
        let mut state = self.lock();
        for _ in 0..START / START_ROUND {
            match state.phase {
                Phase::Idle | Phase::Running { .. } => break,
                Phase::Reserved => {}
                Phase::Starting { thread } => family::free_started_by(thread),
            }
            let waited = self
                .moved
                .wait_timeout(state, Duration::from_millis(START_ROUND));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        self.signal(Signal::SIGSTOP)
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

    /// What the next child is to be started with.
    pub(super) fn take_bounds(&self) -> Bounds {
        std::mem::take(&mut lock(&self.place).next)
    }

    /// Called by the slot once the child runs, with the control group that it is in. An order that
    /// came before reaches it now.
    pub(super) fn started(&self, leader: i32, pen: Option<Arc<Pen>>) -> io::Result<()> {
        let mut state = self.lock();
        state.phase = Phase::Running { leader };
        self.moved.notify_all();
        state.pen = pen;
        send_order(&mut state)
    }

    /// The order that stands, and no wake-up for it any more.
    pub(super) fn order(&self) -> Option<Pending> {
        let mut state = self.lock();
        self.drain(&mut state);
        state.order.clone()
    }

    /// Whether there is an order.
    pub(super) fn is_ordered(&self) -> bool {
        self.lock().order.is_some()
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
        self.moved.notify_all();
        state.pen = None;
        state.order.take()
    }

    fn drain(&self, state: &mut State) {
        if state.woken {
            state.woken = !matches!((&self.wake_reader).read(&mut [0; 8]), Ok(1..));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// What is behind these locks is whole at every moment: no panic can leave it half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends the signal of the order that stands, if there is an order and somebody to receive it.
fn send_order(state: &mut State) -> io::Result<()> {
    let (Some(order), Phase::Running { leader }) = (&mut state.order, state.phase) else {
        return Ok(());
    };
    if order.grace.is_zero() {
        if let Some(pen) = &state.pen {
            // The process group gets its signal nevertheless, and that result counts.
            drop(pen.kill());
        }
        return kernel::signal_group(leader, Signal::SIGKILL).map(drop);
    }
    if order.seen.is_empty() {
        order.seen = family::below(leader);
    }
    kernel::signal_group(leader, Signal::SIGTERM)?;
    // A stopped process gets TERM only once it continues.
    kernel::signal_group(leader, Signal::SIGCONT).map(drop)
}
