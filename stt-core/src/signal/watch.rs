//! The thread that turns signals into values.

use std::io;
use std::thread;

use nix::sys::signal;
use signal_hook::consts::SIGCONT;
use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGQUIT;
use signal_hook::consts::SIGTERM;
use signal_hook::consts::SIGTSTP;
use signal_hook::iterator::Handle;
use signal_hook::iterator::Signals;

use super::Signal;

/// The handlers stand from here until this is dropped.
#[derive(Debug)]
pub struct Watch {
    handle: Handle,
    thread: Option<thread::JoinHandle<()>>,
}

/// The handlers or their thread could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("signals can't be watched")]
pub struct SignalError(#[source] io::Error);

impl Watch {
    /// Installs the handlers and calls `receive` for each signal, on a thread of its own.
    ///
    /// # Errors
    /// The system refuses a handler or a thread.
    pub fn start(receive: impl Fn(Signal) + Send + 'static) -> Result<Self, SignalError> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT])
            .map_err(SignalError)?;
        let handle = signals.handle();
        let thread = thread::Builder::new()
            .name("stt-signals".to_owned())
            .spawn(move || {
                for number in signals.forever() {
                    receive(match number {
                        SIGTSTP => Signal::Suspend,
                        SIGCONT => Signal::Continue,
                        number => Signal::Interrupt(number),
                    });
                }
            })
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

/// Stops this process, as the default action of SIGTSTP would; returns when somebody continues it.
pub fn suspend() {
    // SIGSTOP to ourselves can't fail.
    let _ = signal::raise(signal::SIGSTOP);
}
