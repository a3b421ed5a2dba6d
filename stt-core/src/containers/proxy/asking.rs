//! An errand on its way: each of its requests goes to the engine on a connection of its own, without waiting.

use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::send;

use super::connection::connect;
use super::connection::refusal;
use super::flow::flags;
use crate::container::Address;
use crate::containers::answer::is_whole;
use crate::containers::errand::Errand;
use crate::containers::errand::Step;

/// An errand, and where it is.
#[derive(Debug)]
pub(super) struct Asking {
    errand: Errand,
    address: Address,
    exchange: Exchange,
}

/// A request to the engine, and its answer.
#[derive(Debug)]
struct Exchange {
    engine: OwnedFd,
    request: Vec<u8>,
    /// How much of it is sent.
    sent: usize,
    answer: Vec<u8>,
}

impl Asking {
    /// Sends the first request of an errand on this connection to the engine, which is at this address.
    pub(super) fn new(errand: Errand, request: Vec<u8>, address: Address, engine: OwnedFd) -> Self {
        Self {
            errand,
            address,
            exchange: Exchange::new(engine, request),
        }
    }

    /// What is to be waited for.
    pub(super) fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        let exchange = &self.exchange;
        let unsent = exchange.sent < exchange.request.len();
        let write = if unsent {
            PollFlags::POLLOUT
        } else {
            PollFlags::empty()
        };
        (exchange.engine.as_fd(), PollFlags::POLLIN | write)
    }

    /// Does what can be done without waiting. Returns what the client is to be told, once that is known.
    pub(super) fn go_on(&mut self) -> Option<Vec<u8>> {
        while self.exchange.go_on() {
            let mut answer = std::mem::take(&mut self.exchange.answer);
            loop {
                match self.errand.next(answer) {
                    Step::Answer(told) => return Some(told),
                    Step::Ask(request) => match connect(&self.address) {
                        Ok(engine) => {
                            self.exchange = Exchange::new(engine, request);
                            break;
                        }
                        // That it can't be reached is an answer like any other.
                        Err(error) => answer = refusal(&error),
                    },
                }
            }
        }
        None
    }
}

impl Exchange {
    fn new(engine: OwnedFd, request: Vec<u8>) -> Self {
        Self {
            engine,
            request,
            sent: 0,
            answer: Vec::new(),
        }
    }

    /// Sends and reads what it can. Says whether nothing more comes.
    fn go_on(&mut self) -> bool {
        let engine = self.engine.as_raw_fd();
        while let Some(rest) = self.request.get(self.sent..)
            && !rest.is_empty()
        {
            match send(engine, rest, flags()) {
                Ok(count) => self.sent += count,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                // It may have answered all the same.
                Err(_) => self.sent = self.request.len(),
            }
        }
        let mut piece = [0; 4 << 10];
        loop {
            match nix::unistd::read(&self.engine, &mut piece) {
                Ok(0) => return true,
                Ok(count) => {
                    self.answer.extend_from_slice(&piece[..count]);
                    if is_whole(&self.answer) {
                        return true;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return false,
                Err(_) => return true,
            }
        }
    }
}
