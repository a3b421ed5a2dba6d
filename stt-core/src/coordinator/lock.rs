//! The lock by which a run is known to be alive: `flock(2)`, which the kernel frees on any death.
//!
//! The worker and the supervisor of a run share it, each on a descriptor of its own that was opened
//! after the fork and is closed by an `exec`: a copy that a child inherits would keep the lock.
//! Whoever wants to know whether the run is dead tries to have it alone.

use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8Path;
use nix::fcntl::FcntlArg;

use super::directory::is_ours;
use super::error::CoordinatorError;

/// How often a lock is tried that somebody has only to see whether it is free.
const TRIES: u32 = 200;

/// How long is waited in between, in milliseconds.
const PAUSE: u8 = 5;

/// The lock of a run, held until this is dropped.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

/// Takes part in holding the lock of a run, for a supervisor: the run counts as alive until both this
/// and the worker's are gone.
///
/// # Errors
/// There is no such lock, or somebody has it alone.
pub fn hold_shared(path: &Utf8Path) -> Result<Held, CoordinatorError> {
    let failed = |source| CoordinatorError::Lock {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(failed)?;
    is_ours(&file).map_err(failed)?;
    match keep_trying(TRIES, || file.try_lock_shared()) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(failed(io::Error::other("somebody else has it")));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let now = std::fs::symlink_metadata(path).map_err(failed)?;
    let opened = file.metadata().map_err(failed)?;
    if (now.ino(), now.dev()) != (opened.ino(), opened.dev()) {
        return Err(failed(io::Error::other("it was removed meanwhile")));
    }
    Ok(Held { _file: file })
}

/// Tries to lock so many times, while somebody else has the lock for a moment.
pub(super) fn keep_trying(
    tries: u32,
    lock: impl Fn() -> Result<(), TryLockError>,
) -> Result<(), TryLockError> {
    for _ in 1..tries {
        match lock() {
            Err(TryLockError::WouldBlock) => pause(),
            done => return done,
        }
    }
    lock()
}

/// Lets whoever looks at the lock be done with it. A signal may cut it short.
fn pause() {
    let _ = nix::poll::poll(&mut [], PAUSE);
}

/// Locks or unlocks one byte of a file, if nobody else has it locked. Says whether it was done.
///
/// # Errors
/// The file system knows no such locks.
pub(super) fn lock_byte(file: &File, number: u64, kind: i32) -> io::Result<bool> {
    let failed = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let lock = libc::flock {
        l_type: libc::c_short::try_from(kind).map_err(failed)?,
        l_whence: libc::c_short::try_from(libc::SEEK_SET).map_err(failed)?,
        l_start: libc::off_t::try_from(number).map_err(failed)?,
        l_len: 1,
        l_pid: 0,
    };
    match nix::fcntl::fcntl(file, set(&lock)) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Open file description locks belong to the descriptor, and so outlive no `exec` and no thread by mistake.
#[cfg(target_os = "linux")]
fn set(lock: &libc::flock) -> FcntlArg<'_> {
    FcntlArg::F_OFD_SETLK(lock)
}

/// Locks of the process: the file is opened once in it, so that closing another descriptor frees none.
#[cfg(not(target_os = "linux"))]
fn set(lock: &libc::flock) -> FcntlArg<'_> {
    FcntlArg::F_SETLK(lock)
}
