//! The thread that turns signals into values.

use std::collections::VecDeque;
use std::io;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sys::signal;
use nix::unistd::Pid;
use signal_hook::consts::SIGCONT;
use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGQUIT;
use signal_hook::consts::SIGTERM;
use signal_hook::consts::SIGTSTP;
use signal_hook::iterator::backend::Handle;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use signal_hook::low_level;

use super::Answer;
use super::Route;
use super::Signal;
use super::Tally;

/// The signals that ask something of the runner.
const WATCHED: [i32; 6] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT];

/// How often, and how many milliseconds apart, we look whether the handler of the signal that made us go on
/// has run.
const HANDLER_TRIES: u32 = 2_000;
const HANDLER_PAUSE: u8 = 1;

/// The handlers stand from here until this is dropped.
#[derive(Debug)]
pub struct Watch {
    handle: Handle,
    thread: Option<thread::JoinHandle<()>>,
    standstill: Standstill,
}

/// Makes this process stand still, from any thread.
#[derive(Clone, Debug)]
pub struct Standstill(Arc<Mutex<Intake>>);

/// What the supervisor passes on.
#[derive(Debug)]
pub struct Forwarding {
    /// A pipe that never blocks: one byte with its number for each signal, and the end when the
    /// supervisor is dead.
    pub pipe: io::PipeReader,
    /// The supervisor.
    pub from: Pid,
    /// Whether a process stands still, where that can be told.
    pub stands_still: fn(Pid) -> Option<bool>,
}

impl Forwarding {
    /// The supervisor stands still when we do. Whoever has only us go on means both. One that goes on
    /// already is left alone: to it ours would look like another one's, and undo a stop that came since.
    fn wake(&self) {
        if nix::unistd::getppid() == self.from && (self.stands_still)(self.from) != Some(false) {
            let _ = signal::kill(self.from, signal::SIGCONT);
        }
    }
}

/// The handlers or their thread could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("signals can't be watched")]
pub struct SignalError(#[source] io::Error);

/// Whether whoever started us wants hangups to be ignored, as `nohup(1)` does: then they stay so, for us and for
/// the tests. To be asked before there is a handler (`sigaction(2)`).
pub fn hangup_is_ignored() -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    #[expect(unsafe_code, reason = "nix can't ask without setting")]
    // SAFETY: nothing is set, and what is asked for is written to where there is room for it.
    let asked = unsafe { libc::sigaction(SIGHUP, std::ptr::null(), now.as_mut_ptr()) };
    #[expect(unsafe_code, reason = "the system has written it")]
    // SAFETY: the call succeeded.
    let ignored = || unsafe { now.assume_init() }.sa_sigaction == libc::SIG_IGN;
    asked == 0 && ignored()
}

impl Watch {
    /// Installs the handlers and calls `receive` for each signal, on a thread of its own or on the one
    /// that goes on after a [`Standstill`].
    ///
    /// # Errors
    /// The system refuses a handler or a thread.
    pub fn start(
        forwarded: Option<Forwarding>,
        receive: impl Fn(Signal) -> Answer + Send + 'static,
    ) -> Result<Self, SignalError> {
        let (read, write) = UnixStream::pair().map_err(SignalError)?;
        let spared = hangup_is_ignored();
        let watched = WATCHED
            .iter()
            .filter(|number| !(spared && **number == SIGHUP));
        let waiting = Waiting {
            direct: read.try_clone().map_err(SignalError)?,
            forwarded: match &forwarded {
                Some(forwarding) => Some(forwarding.pipe.try_clone().map_err(SignalError)?),
                None => None,
            },
        };
        let marks = Arc::new(Marks::default());
        // What is found among those that came is in the marks by then, and the count is the last to know.
        marks.note_the_last().map_err(SignalError)?;
        let direct =
            SignalDelivery::with_pipe(read, write, SignalOnly, watched).map_err(SignalError)?;
        marks.count_ways_on().map_err(SignalError)?;
        let handle = direct.handle();
        let intake = Intake {
            direct,
            marks,
            forwarded,
            coming: VecDeque::new(),
            tally: Tally::default(),
            receive: Receiver(Box::new(receive)),
        };
        let standstill = Standstill(Arc::new(Mutex::new(intake)));
        let listener = standstill.clone();
        let closing = handle.clone();
        let thread = thread::Builder::new()
            .name("stt-signals".to_owned())
            .spawn(move || listener.listen(waiting, &closing))
            .map_err(SignalError)?;
        Ok(Self {
            handle,
            thread: Some(thread),
            standstill,
        })
    }

    /// For whoever decides elsewhere that we stand still.
    pub fn standstill(&self) -> Standstill {
        self.standstill.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // A panic in there was reported by the panic hook; there is nothing to add.
            drop(thread.join());
        }
    }
}

impl Standstill {
    /// Stops this process; returns when somebody continues it. [`Signal::WentOn`] is received by then:
    /// what was received before is from before the stop.
    pub fn enter(&self) {
        let mut intake = self.lock();
        intake.stand_still();
        intake.take_all();
    }

    fn listen(&self, mut waiting: Waiting, handle: &Handle) {
        while !handle.is_closed() {
            waiting.wait();
            let mut intake = self.lock();
            intake.gather();
            intake.take_all();
            if intake.forwarded.is_none() {
                waiting.forwarded = None;
            }
        }
    }

    /// Whole signals were taken at every moment, so that a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Intake> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the handlers leave behind besides the signals.
#[derive(Debug, Default)]
struct Marks {
    /// The number of the last one to stop or to go on.
    last: AtomicUsize,
    /// How often we were to go on.
    ways_on: AtomicUsize,
}

impl Marks {
    fn note_the_last(self: &Arc<Self>) -> io::Result<()> {
        for number in [SIGTSTP, SIGCONT] {
            let value = usize::try_from(number).unwrap_or_default();
            let marks = Arc::clone(self);
            #[expect(unsafe_code, reason = "sigaction(2)")]
            // SAFETY: the handler stores one number.
            unsafe {
                low_level::register(number, move || marks.last.store(value, Ordering::SeqCst))
            }?;
        }
        Ok(())
    }

    fn count_ways_on(self: &Arc<Self>) -> io::Result<()> {
        let marks = Arc::clone(self);
        let count = move || {
            marks.ways_on.fetch_add(1, Ordering::SeqCst);
        };
        #[expect(unsafe_code, reason = "sigaction(2)")]
        // SAFETY: the handler adds to one number.
        unsafe { low_level::register(SIGCONT, count) }.map(drop)
    }

    fn last_is(&self, number: i32) -> bool {
        usize::try_from(number) == Ok(self.last.load(Ordering::SeqCst))
    }
}

/// Where the listening thread waits.
struct Waiting {
    direct: UnixStream,
    forwarded: Option<io::PipeReader>,
}

impl Waiting {
    fn wait(&self) {
        let on = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let forwarded: Option<BorrowedFd<'_>> = self.forwarded.as_ref().map(|pipe| pipe.as_fd());
        let mut fds = vec![on(self.direct.as_fd())];
        fds.extend(forwarded.map(on));
        // A signal that cuts the waiting short is in the pipe then.
        let _ = nix::poll::poll(&mut fds, PollTimeout::NONE);
    }
}

/// Who is told of each signal.
struct Receiver(Box<dyn Fn(Signal) -> Answer + Send>);

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receiver")
    }
}

/// Takes signals by both routes. Whoever stops the process holds its lock, so that none is half taken
/// meanwhile.
#[derive(Debug)]
struct Intake {
    direct: SignalDelivery<UnixStream, SignalOnly>,
    marks: Arc<Marks>,
    forwarded: Option<Forwarding>,
    /// What has come and is not yet taken.
    coming: VecDeque<(Route, i32)>,
    tally: Tally,
    receive: Receiver,
}

impl Intake {
    /// Gathers what has come. In which order is not known, but of a stop and a way on the later one is the
    /// last: it is what holds.
    fn gather(&mut self) {
        let mut direct: Vec<_> = self.direct.pending().collect();
        direct.sort_by_key(|&number| self.marks.last_is(number));
        self.gather_forwarded();
        self.coming
            .extend(direct.into_iter().map(|number| (Route::Direct, number)));
    }

    fn gather_forwarded(&mut self) {
        let mut numbers = [0; 64];
        while let Some(forwarded) = &mut self.forwarded {
            match forwarded.pipe.read(&mut numbers) {
                Ok(0) => {
                    self.forwarded = None;
                    self.tell(Signal::Abandoned);
                }
                Ok(count) => {
                    let numbers = numbers[..count].iter().map(|&byte| i32::from(byte));
                    self.coming
                        .extend(numbers.map(|number| (Route::Forwarded, number)));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn take_all(&mut self) {
        while let Some((route, number)) = self.coming.pop_front() {
            self.take(route, number);
        }
    }

    fn take(&mut self, route: Route, number: i32) {
        let signal = match number {
            SIGTSTP => Signal::Suspend,
            SIGCONT => Signal::Continue,
            number => Signal::Interrupt(number),
        };
        if (route, signal) == (Route::Direct, Signal::Continue) {
            self.wake();
        }
        if self.tally.is_new(route, signal) {
            self.tell(signal);
        }
    }

    fn tell(&mut self, signal: Signal) {
        if (self.receive.0)(signal) == Answer::StandStill {
            self.stand_still();
        }
    }

    fn wake(&self) {
        if let Some(forwarded) = &self.forwarded {
            forwarded.wake();
        }
    }

    fn stand_still(&mut self) {
        let before = self.marks.ways_on.load(Ordering::SeqCst);
        suspend();
        // The handler may run on another thread, after us. A debugger can do without.
        for _ in 0..HANDLER_TRIES {
            if self.marks.ways_on.load(Ordering::SeqCst) != before {
                break;
            }
            let _ = nix::poll::poll(&mut [], PollTimeout::from(HANDLER_PAUSE));
        }
        self.wake();
        self.gather();
        let stops_again =
            self.marks.last_is(SIGTSTP) && self.coming.back() == Some(&(Route::Direct, SIGTSTP));
        // What else of job control is there by now was meant for the stop that is over.
        self.coming
            .retain(|&(_, number)| !matches!(number, SIGTSTP | SIGCONT));
        if stops_again {
            self.coming.push_back((Route::Direct, SIGTSTP));
        }
        self.tally.settle();
        self.tell(Signal::WentOn);
    }
}

/// Stops this process, as the default action of SIGTSTP would; returns when somebody continues it.
pub fn suspend() {
    // SIGSTOP to ourselves can't fail.
    let _ = signal::raise(signal::SIGSTOP);
}
