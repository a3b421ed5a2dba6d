//! One direction of a connection: what comes out of one socket goes into the other.

use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::Shutdown;
use nix::sys::socket::send;
use nix::sys::socket::shutdown;

/// How much is read at once. What fills it is a lot, and goes on without being copied where that can be had.
const PIECE: usize = 16 << 10;

/// How much a pipe is to hold: more than a socket, so that one call takes all that there is (`pipe(7)`,
/// `pipe-max-size`).
const PIPE: i32 = 1 << 20;

/// How many pieces one direction moves before the others get their turn.
const TURNS: u32 = 16;

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Flow {
    waiting: Vec<u8>,
    /// How much of it has gone.
    gone: usize,
    pipe: Option<Pipe>,
    ended: bool,
    closed: bool,
    /// The beginning of what has come, where somebody wants to know it.
    copy: Option<Vec<u8>>,
}

/// Where the kernel keeps what is spliced.
#[derive(Debug)]
struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
    held: usize,
}

impl Flow {
    /// A direction into which these bytes go first.
    pub(super) fn beginning_with(bytes: Vec<u8>) -> Self {
        Self {
            waiting: bytes,
            ..Self::default()
        }
    }

    /// These bytes, and nothing more.
    pub(super) fn all(bytes: Vec<u8>) -> Self {
        Self {
            ended: true,
            ..Self::beginning_with(bytes)
        }
    }

    /// A direction whose beginning is kept.
    pub(super) fn copied() -> Self {
        Self {
            copy: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// The beginning of what has come.
    pub(super) fn copy(&self) -> Option<&[u8]> {
        self.copy.as_deref()
    }

    /// Nobody wants to know it any more.
    pub(super) fn stop_copying(&mut self) {
        self.copy = None;
    }

    /// This has come, by whatever way.
    pub(super) fn note(&mut self, piece: &[u8]) {
        if let Some(copy) = &mut self.copy {
            copy.extend_from_slice(piece);
        }
    }

    /// Whether everything was passed on, and nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.closed
    }

    /// Whether nothing more comes.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether it waits for its target to take something.
    pub(super) fn is_blocked(&self) -> bool {
        !self.closed && (self.gone < self.waiting.len() || self.held() > 0)
    }

    fn held(&self) -> usize {
        self.pipe.as_ref().map_or(0, |pipe| pipe.held)
    }

    /// Nothing more is passed on.
    pub(super) fn give_up(&mut self) {
        self.ended = true;
        self.closed = true;
        self.waiting = Vec::new();
        self.gone = 0;
        self.pipe = None;
    }

    /// Moves what there is, as far as both sides let it; the end, too. Says whether something came.
    ///
    /// # Errors
    /// One of the two is broken.
    pub(super) fn go_on(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<bool> {
        let mut came = false;
        for _ in 0..TURNS {
            if self.closed || !self.push(to)? {
                return Ok(came);
            }
            if self.ended {
                self.closed = true;
                // Who is gone already needs not be told.
                let _ = shutdown(to.as_raw_fd(), Shutdown::Write);
                return Ok(came);
            }
            if !self.pull(from)? {
                return Ok(came);
            }
            came |= !self.ended;
        }
        Ok(came)
    }

    /// Passes on what waits. Says whether all of it is gone.
    fn push(&mut self, to: BorrowedFd<'_>) -> io::Result<bool> {
        while self.gone < self.waiting.len() {
            match send(to.as_raw_fd(), &self.waiting[self.gone..], flags()) {
                Ok(sent) => self.gone += sent,
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.waiting.clear();
        self.gone = 0;
        let Some(pipe) = &mut self.pipe else {
            return Ok(true);
        };
        while pipe.held > 0 {
            match splice(pipe.out.as_fd(), to, pipe.held) {
                Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
                Ok(moved) => pipe.held -= moved.min(pipe.held),
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Takes what there is. Says whether there was something, if only the end.
    fn pull(&mut self, from: BorrowedFd<'_>) -> io::Result<bool> {
        if let Some(pipe) = &mut self.pipe {
            return match splice(from, pipe.into.as_fd(), PIPE.unsigned_abs() as usize) {
                Ok(0) => {
                    self.ended = true;
                    Ok(true)
                }
                Ok(moved) => {
                    pipe.held += moved;
                    Ok(true)
                }
                Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
                Err(error) => Err(error.into()),
            };
        }
        let mut piece = [0; PIECE];
        match nix::unistd::read(from, &mut piece) {
            Ok(0) => self.ended = true,
            Ok(count) => {
                self.waiting.extend_from_slice(&piece[..count]);
                self.note(&piece[..count]);
                if count == PIECE {
                    // Without one it is copied.
                    self.pipe = pipe();
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

/// A socket that nobody reads any more is an error and no signal.
pub(super) fn flags() -> MsgFlags {
    #[cfg(target_os = "linux")]
    return MsgFlags::MSG_NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    MsgFlags::empty()
}

#[cfg(target_os = "linux")]
fn pipe() -> Option<Pipe> {
    let flags = nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK;
    let (out, into) = nix::unistd::pipe2(flags).ok()?;
    // A smaller one does it with more calls.
    let _ = nix::fcntl::fcntl(&into, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE));
    let held = 0;
    Some(Pipe { out, into, held })
}

#[cfg(target_os = "linux")]
fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> nix::Result<usize> {
    use nix::fcntl::SpliceFFlags;
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
    nix::fcntl::splice(from, None, to, None, most, flags)
}

/// There is no `splice` here: everything is copied.
#[cfg(not(target_os = "linux"))]
fn pipe() -> Option<Pipe> {
    None
}

#[cfg(not(target_os = "linux"))]
fn splice(_: BorrowedFd<'_>, _: BorrowedFd<'_>, _: usize) -> nix::Result<usize> {
    Err(Errno::ENOSYS)
}
