//! How signals reach the supervisor: each handler writes the signal's number into a pipe of our own,
//! and the loop reads it there. Its worker gets the dispositions and the mask that we inherited, as
//! if there were no handlers: tests inherit them in turn.

use std::io;
use std::io::PipeReader;
use std::io::PipeWriter;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::signal;
use nix::sys::signal::SaFlags;
use nix::sys::signal::SigAction;
use nix::sys::signal::SigHandler;
use nix::sys::signal::SigSet;
use nix::sys::signal::SigmaskHow;
use nix::sys::signal::Signal;
use nix::unistd::ForkResult;
use nix::unistd::Pid;

use crate::process::nonblocking_pipe;
use crate::signal::hangup_is_ignored;

/// What a supervisor wants to know of.
const HANDLED: [Signal; 7] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGCHLD,
];

/// Where a handler writes.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// Does only what a handler may (`signal-safety(7)`).
extern "C" fn write_down(number: i32) {
    let before = Errno::last_raw();
    let byte = u8::try_from(number).unwrap_or(0);
    #[expect(unsafe_code, reason = "a handler can't borrow the pipe")]
    // SAFETY: one byte is read from a live value; the descriptor is open as long as handlers stand.
    let _ = unsafe { libc::write(PIPE.load(Ordering::Relaxed), (&raw const byte).cast(), 1) };
    Errno::set_raw(before);
}

/// The handlers, and what was there before them.
#[derive(Debug)]
pub(super) struct Handlers {
    received: PipeReader,
    _written: PipeWriter,
    /// The dispositions that we inherited.
    inherited: Vec<(Signal, SigAction)>,
    /// The mask that we inherited.
    mask: SigSet,
}

impl Handlers {
    /// Installs the handlers.
    ///
    /// # Errors
    /// The system refuses a pipe or a handler.
    pub(super) fn install() -> io::Result<Self> {
        let (received, written) = nonblocking_pipe()?;
        PIPE.store(written.as_raw_fd(), Ordering::Relaxed);
        let mut handlers = Self {
            received,
            _written: written,
            inherited: Vec::with_capacity(HANDLED.len()),
            mask: SigSet::thread_get_mask()?,
        };
        let action = SigAction::new(
            SigHandler::Handler(write_down),
            SaFlags::SA_RESTART,
            SigSet::empty(),
        );
        let spared = hangup_is_ignored();
        let handled = HANDLED.iter().copied();
        for number in handled.filter(|number| !(spared && *number == Signal::SIGHUP)) {
            #[expect(unsafe_code, reason = "sigaction(2)")]
            // SAFETY: the handler calls nothing but write(2).
            let before = unsafe { signal::sigaction(number, &action) }?;
            handlers.inherited.push((number, before));
        }
        let mut own = handlers.mask;
        own.remove(Signal::SIGCHLD);
        own.thread_set_mask()?;
        Ok(handlers)
    }

    /// Forks. No signal falls between: all are blocked meanwhile, and both sides unblock them only
    /// when they are ready. `None` is the child, which is as we were before there were handlers.
    ///
    /// # Errors
    /// The system refuses a process.
    pub(super) fn fork(&self) -> io::Result<Option<Pid>> {
        let mut own = SigSet::empty();
        signal::sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), Some(&mut own))?;
        #[expect(
            unsafe_code,
            reason = "the supervisor's fork is the one outside of `process`"
        )]
        // SAFETY: there is one thread, so that the child finds no lock held and nothing half-done.
        let forked = unsafe { nix::unistd::fork() };
        match forked {
            Ok(ForkResult::Child) => {
                self.restore();
                Ok(None)
            }
            Ok(ForkResult::Parent { child }) => {
                own.thread_set_mask()?;
                Ok(Some(child))
            }
            Err(error) => {
                own.thread_set_mask()?;
                Err(error.into())
            }
        }
    }

    /// Puts back what we inherited.
    fn restore(&self) {
        for (number, action) in &self.inherited {
            #[expect(unsafe_code, reason = "sigaction(2)")]
            // SAFETY: whoever made this action answers for it; in our case that is an `exec`.
            // It was accepted once, for the same signal.
            let _ = unsafe { signal::sigaction(*number, action) };
        }
        let _ = self.mask.thread_set_mask();
    }

    /// The signals that came since the last time, in their order.
    pub(super) fn take(&self) -> Vec<i32> {
        let mut numbers = [0; 64];
        let mut taken = Vec::new();
        loop {
            match (&self.received).read(&mut numbers) {
                Ok(0) => return taken,
                Ok(count) => taken.extend(numbers[..count].iter().map(|&byte| i32::from(byte))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return taken,
            }
        }
    }

    /// What is readable when signals have come.
    pub(super) fn pipe(&self) -> BorrowedFd<'_> {
        self.received.as_fd()
    }
}

impl Drop for Handlers {
    /// In the child, and where supervising came to nothing. A supervisor that ends keeps its handlers.
    fn drop(&mut self) {
        self.restore();
        PIPE.store(-1, Ordering::Relaxed);
    }
}
