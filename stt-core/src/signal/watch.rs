//! The thread that turns signals into values.

use std::io;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
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
use signal_hook::flag;
use signal_hook::iterator::backend::Handle;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use super::Route;
use super::Signal;
use super::Tally;

/// The signals that ask something of the runner.
const WATCHED: [i32; 6] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT];

/// The handlers stand from here until this is dropped.
#[derive(Debug)]
pub struct Watch {
    handle: Handle,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the supervisor passes on.
#[derive(Debug)]
pub struct Forwarding {
    /// A pipe that never blocks: one byte with its number for each signal, and the end when the
    /// supervisor is dead.
    pub pipe: io::PipeReader,
    /// The supervisor.
    pub from: Pid,
}

impl Forwarding {
    /// The supervisor stands still when we do. Whoever has only us go on means both.
    fn wake(&self) {
        if nix::unistd::getppid() == self.from {
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
    /// Installs the handlers and calls `receive` for each signal, on a thread of its own.
    ///
    /// # Errors
    /// The system refuses a handler or a thread.
    pub fn start(
        forwarded: Option<Forwarding>,
        receive: impl Fn(Signal) + Send + 'static,
    ) -> Result<Self, SignalError> {
        let (read, write) = UnixStream::pair().map_err(SignalError)?;
        let spared = hangup_is_ignored();
        let watched = WATCHED
            .iter()
            .filter(|number| !(spared && **number == SIGHUP));
        let direct =
            SignalDelivery::with_pipe(read, write, SignalOnly, watched).map_err(SignalError)?;
        let handle = direct.handle();
        let last = Arc::new(AtomicUsize::new(0));
        for number in [SIGTSTP, SIGCONT] {
            let value = usize::try_from(number).unwrap_or_default();
            flag::register_usize(number, Arc::clone(&last), value).map_err(SignalError)?;
        }
        let mut listener = Listener {
            direct,
            last,
            forwarded,
            tally: Tally::default(),
            receive,
        };
        let thread = thread::Builder::new()
            .name("stt-signals".to_owned())
            .spawn(move || listener.listen())
            .map_err(SignalError)?;
        Ok(Self {
            handle,
            thread: Some(thread),
        })
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

struct Listener<F> {
    direct: SignalDelivery<UnixStream, SignalOnly>,
    /// The number of the last one to stop or to go on.
    last: Arc<AtomicUsize>,
    forwarded: Option<Forwarding>,
    tally: Tally,
    receive: F,
}

impl<F: Fn(Signal)> Listener<F> {
    fn listen(&mut self) {
        let handle = self.direct.handle();
        while !handle.is_closed() {
            self.wait();
            // What was passed on comes first: whoever goes on after a stop has that stop's twin here.
            self.take_forwarded();
            let mut direct: Vec<_> = self.direct.pending().collect();
            // In which order all came is not known, but of a stop and a way on the later one must be taken
            // last: it is what holds.
            let last = self.last.load(Ordering::Relaxed);
            direct.sort_by_key(|&number| usize::try_from(number) == Ok(last));
            for number in direct {
                self.take(Route::Direct, number);
            }
        }
    }

    fn wait(&self) {
        let mut fds = vec![PollFd::new(
            self.direct.get_read().as_fd(),
            PollFlags::POLLIN,
        )];
        if let Some(forwarded) = &self.forwarded {
            fds.push(PollFd::new(forwarded.pipe.as_fd(), PollFlags::POLLIN));
        }
        // A signal that cuts the waiting short is in the pipe then.
        let _ = nix::poll::poll(&mut fds, PollTimeout::NONE);
    }

    fn take_forwarded(&mut self) {
        let mut numbers = [0; 64];
        while let Some(forwarded) = &mut self.forwarded {
            match forwarded.pipe.read(&mut numbers) {
                Ok(0) => {
                    self.forwarded = None;
                    (self.receive)(Signal::Abandoned);
                }
                Ok(count) => {
                    for number in &numbers[..count] {
                        self.take(Route::Forwarded, i32::from(*number));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, route: Route, number: i32) {
        let signal = match number {
            SIGTSTP => Signal::Suspend,
            SIGCONT => Signal::Continue,
            number => Signal::Interrupt(number),
        };
        if (route, signal) == (Route::Direct, Signal::Continue)
            && let Some(forwarded) = &self.forwarded
        {
            forwarded.wake();
        }
        if self.tally.is_new(route, signal) {
            (self.receive)(signal);
        }
    }
}

/// Stops this process, as the default action of SIGTSTP would; returns when somebody continues it.
pub fn suspend() {
    // SIGSTOP to ourselves can't fail.
    let _ = signal::raise(signal::SIGSTOP);
}
