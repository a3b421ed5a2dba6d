//! Commands that look at the runs of this machine, once or again and again until they are interrupted.

use std::sync::mpsc;
use std::time::Duration;

use stt_core::coordinator::CoordinatorError;
use stt_core::signal::Answer;
use stt_core::signal::Signal;
use stt_core::signal::Watch;

use crate::error::Error;
use crate::error::Kind;

/// What interrupts a command that runs no tests.
pub(super) struct Interrupts {
    received: mpsc::Receiver<i32>,
    _watch: Watch,
}

impl Interrupts {
    /// From here on no signal ends us by itself.
    pub(super) fn listen() -> Result<Self, Error> {
        let (sender, received) = mpsc::channel();
        let watch = Watch::start(None, move |signal| {
            match signal {
                Signal::Suspend => return Answer::StandStill,
                // Nobody listens any more once we are leaving.
                Signal::Interrupt(number) => drop(sender.send(number)),
                // There is nobody above us who could be gone.
                Signal::Continue | Signal::WentOn | Signal::Abandoned => {}
            }
            Answer::Taken
        });
        let watch = watch.map_err(|error| Error::from_source(Kind::Setup, &error))?;
        Ok(Self {
            received,
            _watch: watch,
        })
    }

    /// Waits for so long, or until we are interrupted; by which signal, if we were.
    pub(super) fn within(&self, time: Duration) -> Option<i32> {
        self.received.recv_timeout(time).ok()
    }
}

/// The runs can't be looked at.
pub(super) fn unseen(error: &CoordinatorError) -> Error {
    Error::from_source(Kind::Setup, error)
        .hint("the directory must be yours alone; XDG_RUNTIME_DIR and TMPDIR say where it is")
}
