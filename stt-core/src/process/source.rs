//! One stream of a child, read as it comes.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::poll::PollFlags;

use super::kernel;
use super::output::OutputSink;

/// How much is read at once: as much as a pipe holds (`pipe(7)`).
const READ_SIZE: usize = 64 << 10;

/// A stream that has brought so much gets a larger pipe, and so fewer wake-ups.
const LARGE_STREAM: u64 = 1 << 20;

thread_local! {
    /// One buffer for each slot thread.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into());
}

/// One of a child's streams.
pub(super) struct Source {
    /// The reading end, until its last byte was read.
    pub(super) pipe: Option<OwnedFd>,
    total: u64,
    deliver: fn(&mut dyn OutputSink, &[u8]),
}

impl Source {
    pub(super) fn new(pipe: Option<OwnedFd>, deliver: fn(&mut dyn OutputSink, &[u8])) -> Self {
        Self {
            pipe,
            total: 0,
            deliver,
        }
    }

    /// Reads once, if `poll` found something, and closes the pipe behind its last byte.
    pub(super) fn read(&mut self, found: PollFlags, output: &mut dyn OutputSink) -> io::Result<()> {
        let Some(pipe) = self.pipe.as_ref().filter(|_| !found.is_empty()) else {
            return Ok(());
        };
        // Nobody can write any more and nothing is left to read: the common end.
        if found == PollFlags::POLLHUP {
            self.pipe = None;
            return Ok(());
        }
        let read = BUFFER.with_borrow_mut(|buffer| {
            let length = nix::unistd::read(pipe, buffer)?;
            if length > 0 {
                (self.deliver)(output, &buffer[..length]);
            }
            Ok(length)
        });
        match read {
            Ok(0) => self.pipe = None,
            // A pipe gives all that it has, so after a short read from one without writers it is empty.
            Ok(length) if length < READ_SIZE && found.contains(PollFlags::POLLHUP) => {
                self.pipe = None;
            }
            Ok(length) => self.grow(length),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => {
                self.pipe = None;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Counts what came, and has the pipe enlarged once if it is a lot.
    fn grow(&mut self, length: usize) {
        let before = self.total;
        self.total += length as u64;
        if before < LARGE_STREAM
            && self.total >= LARGE_STREAM
            && let Some(pipe) = &self.pipe
        {
            kernel::enlarge_pipe(pipe);
        }
    }
}
