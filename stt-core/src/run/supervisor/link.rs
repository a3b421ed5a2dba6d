//! The two pipes between a supervisor and its worker. Both are closed by every `exec`, and neither end
//! ever waits for the other.

use std::io;
use std::io::PipeReader;
use std::io::PipeWriter;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use nix::unistd::Pid;

use crate::id::ProcessId;
use crate::process::Everybody;
use crate::process::nonblocking_pipe;
use crate::run::supervision::Note;
use crate::run::supervision::Told;
use crate::signal::Forwarding;

/// The worker's end.
#[derive(Debug)]
pub struct Link {
    signals: Forwarding,
    notes: PipeWriter,
    adopter: Option<ProcessId>,
}

/// By what the worker tells its supervisor something.
#[derive(Debug)]
pub(crate) struct Teller(PipeWriter);

/// The supervisor's end.
#[derive(Debug)]
pub(super) struct Charge {
    signals: PipeWriter,
    notes: PipeReader,
}

/// Both ends, before the worker is forked.
/// `adopter` takes over what both leave behind.
pub(super) fn pair(supervisor: Pid, adopter: Option<ProcessId>) -> io::Result<(Charge, Link)> {
    let (signals_out, signals_in) = nonblocking_pipe()?;
    let (notes_out, notes_in) = nonblocking_pipe()?;
    let charge = Charge {
        signals: signals_in,
        notes: notes_out,
    };
    let link = Link {
        signals: Forwarding {
            pipe: signals_out,
            from: supervisor,
            stands_still: |process| Everybody::default().stands_still(process.as_raw()),
        },
        notes: notes_in,
        adopter,
    };
    Ok((charge, link))
}

impl Link {
    /// Who takes over what supervisor and worker leave behind when both die.
    pub(crate) fn adopter(&self) -> Option<ProcessId> {
        self.adopter
    }

    /// Where signals come from, and where notes go.
    pub(crate) fn split(self) -> (Forwarding, Teller) {
        (self.signals, Teller(self.notes))
    }
}

impl Teller {
    /// Tells something. A supervisor that is dead, or stopped for so long that the pipe is full, is
    /// not waited for.
    pub(crate) fn tell(&self, note: &Note) {
        for line in note.lines() {
            drop((&self.0).write(&line));
        }
    }
}

impl Charge {
    /// Passes a signal on. A worker that is dead, or takes none of so many, is not waited for.
    pub(super) fn pass_on(&self, number: i32) {
        if let Ok(byte) = u8::try_from(number) {
            drop((&self.signals).write(&[byte]));
        }
    }

    /// Takes the notes that are there. Says whether there were any.
    pub(super) fn hear(&self, told: &mut Told) -> bool {
        let mut heard = false;
        let mut buffer = [0; 4096];
        loop {
            match (&self.notes).read(&mut buffer) {
                Ok(0) => return heard,
                Ok(count) => {
                    heard = true;
                    told.hear(&buffer[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return heard,
            }
        }
    }

    /// What is readable when there are notes, and once the worker is dead.
    pub(super) fn notes(&self) -> BorrowedFd<'_> {
        self.notes.as_fd()
    }
}
