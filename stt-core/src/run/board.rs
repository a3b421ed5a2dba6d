//! Where a run keeps what it tells the others: the dispatcher writes it, the thread that knows the others reads it.

use std::io;
use std::io::PipeReader;
use std::io::PipeWriter;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use crate::coordinator::RunningScript;
use crate::coordinator::RunningTest;
use crate::coordinator::State;
use crate::coordinator::step_of;
use crate::process::nonblocking_pipe;
use crate::run::queue::Queue;
use crate::units::Bytes;

/// How long a run that is to stand still waits until the others know.
const LAST_WORD: Duration = Duration::from_millis(100);

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    /// What it does.
    pub(crate) state: State,
    /// How many tests it would run at once, were it alone.
    pub(crate) wanted: usize,
    /// How many places those take that run.
    pub(crate) running: usize,
    /// How many have a result.
    pub(crate) done: usize,
    /// Of how many.
    pub(crate) total: usize,
    /// How many have failed.
    pub(crate) failed: usize,
    /// What its tests use.
    pub(crate) memory: Bytes,
    /// The limit of the memory that it watches.
    pub(crate) limit: Bytes,
}

/// What is told less often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Details {
    /// The largest of the tests that run.
    pub(crate) running: Vec<RunningTest>,
    /// The script that runs.
    pub(crate) script: Option<RunningScript>,
    /// What is left of it until nothing more should start; `None` where nothing is watched.
    pub(crate) left: Option<Bytes>,
    /// What one more test is expected to use; zero while nothing is known.
    pub(crate) expected: Bytes,
    /// What its running tests are expected to come to use on top.
    pub(crate) promised: Bytes,
    /// How many tests ran when all of this was so.
    pub(crate) count: usize,
}

/// The board of one run.
#[derive(Debug)]
pub(crate) struct Board {
    written: Mutex<Written>,
    /// Told when the thread has told the others.
    told: Condvar,
    woken: PipeReader,
    waker: PipeWriter,
}

#[derive(Debug)]
pub(super) struct Written {
    pub(super) outline: Outline,
    pub(super) details: Details,
    /// What it waits for, in words.
    pub(super) waits: Option<String>,
    /// Where the run takes its part of the cores from; `None` before there are tests.
    pub(super) queue: Option<Arc<Queue>>,
    /// Whether the thread waits for tests to end.
    pub(super) shrinking: bool,
    /// Whether the thread is to end.
    pub(super) ended: bool,
    /// Whether somebody waits until the others have been told.
    untold: bool,
}

impl Board {
    /// A board of a run that has just begun.
    ///
    /// # Errors
    /// The system refuses a descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        let (woken, waker) = nonblocking_pipe()?;
        Ok(Self {
            written: Mutex::new(Written {
                outline: Outline {
                    state: State::Building,
                    wanted: 0,
                    running: 0,
                    done: 0,
                    total: 0,
                    failed: 0,
                    memory: Bytes(0),
                    limit: Bytes(0),
                },
                details: Details::default(),
                waits: None,
                queue: None,
                shrinking: false,
                ended: false,
                untold: false,
            }),
            told: Condvar::new(),
            woken,
            waker,
        })
    }

    /// Writes how the run stands. Only what others act on wakes the thread; the rest is told within a second.
    pub(crate) fn note(&self, outline: Outline) {
        let mut written = self.lock();
        let before = std::mem::replace(&mut written.outline, outline);
        let matters = before.state != outline.state
            || before.wanted != outline.wanted
            || (before.running == 0) != (outline.running == 0)
            || before.limit != outline.limit
            || step_of(before.memory) != step_of(outline.memory)
            || (written.shrinking && outline.running < before.running);
        if matters {
            drop(written);
            self.nudge();
        }
    }

    /// Writes what is told less often.
    pub(crate) fn detail(&self, details: Details) {
        self.lock().details = details;
    }

    /// Says what the run does, and what it waits for.
    pub(crate) fn set(&self, state: State, waits: Option<String>) {
        let mut written = self.lock();
        let outline = Outline {
            state,
            ..written.outline
        };
        if written.outline != outline || written.waits != waits {
            written.outline = outline;
            written.waits = waits;
            drop(written);
            self.nudge();
        }
    }

    /// Says what tests of the run wait for.
    pub(crate) fn wait_for(&self, waits: Option<String>) {
        let mut written = self.lock();
        if written.waits != waits {
            written.waits = waits;
            drop(written);
            self.nudge();
        }
    }

    /// From now on the part of the run goes to this queue.
    pub(crate) fn connect(&self, queue: Option<Arc<Queue>>) {
        self.lock().queue = queue;
        self.nudge();
    }

    /// Tells the others that the run stands still, and gives back what it holds, before it does.
    pub(crate) fn stand_still(&self) {
        let mut written = self.lock();
        written.outline.state = State::Suspended;
        written.outline.wanted = 0;
        written.untold = true;
        self.nudge();
        let waiting = |written: &mut Written| written.untold;
        drop(self.told.wait_timeout_while(written, LAST_WORD, waiting));
    }

    /// Ends the thread.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.nudge();
    }

    /// What is readable when there is news.
    pub(super) fn woken(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }

    /// Takes the news.
    pub(super) fn take_wake(&self) {
        while matches!((&self.woken).read(&mut [0; 64]), Ok(64)) {}
    }

    /// Says that the others know.
    pub(super) fn has_told(&self) {
        self.lock().untold = false;
        self.told.notify_all();
    }

    /// What is written is whole at every moment.
    pub(super) fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nudge(&self) {
        // Full means that it is woken already.
        drop((&self.waker).write(&[0]));
    }
}
