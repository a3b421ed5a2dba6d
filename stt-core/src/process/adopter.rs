//! Who takes over what we leave behind.
//!
//! When we die our children become those of the nearest process above us that has asked for orphans
//! (`PR_SET_CHILD_SUBREAPER(2const)`), or of process 1. The kernel tells nobody who that is, so an
//! orphan is made and asked. It takes well under a millisecond.

use std::io;
use std::io::PipeReader;
use std::io::PipeWriter;
use std::io::Read as _;
use std::io::Write as _;

use super::family::Everybody;
use crate::id::ProcessId;

/// Who takes over the orphans of the calling process; `None` when that can't be found out.
///
/// To be called before any thread exists, and before we ask for orphans ourselves.
pub fn adopter() -> Option<ProcessId> {
    let parent = nix::unistd::getppid().as_raw();
    let pid = if parent == 1 {
        // Nobody is above it.
        parent
    } else {
        ask().ok()?
    };
    Everybody::default().find(pid).map(|(id, _)| id)
}

/// Makes an orphan, which tells its new parent.
fn ask() -> io::Result<i32> {
    let (mut answer, answering) = io::pipe()?;
    let (starting, start) = io::pipe()?;
    let between = fork()?;
    if between == 0 {
        // The copies of these ends would keep the orphan waiting, were its maker to die.
        drop((answer, start));
        if matches!(fork(), Ok(0)) {
            tell_parent(starting, answering);
        }
        leave();
    }
    drop((starting, answering));
    // Once the process between has been waited for, its child has its new parent.
    wait_for(between);
    drop(start);
    let mut pid = [0; 4];
    answer.read_exact(&mut pid)?;
    Ok(i32::from_ne_bytes(pid))
}

/// What the orphan does, once it is one.
fn tell_parent(mut starting: PipeReader, mut answering: PipeWriter) {
    // The end of the pipe is the sign to go on.
    drop(starting.read(&mut [0; 1]));
    let parent = nix::unistd::getppid().as_raw();
    drop(answering.write_all(&parent.to_ne_bytes()));
}

#[expect(unsafe_code, reason = "a fork is unsafe in nix too")]
fn fork() -> io::Result<i32> {
    // SAFETY: the child closes descriptors, reads, writes and leaves: it takes no lock and allocates
    // nothing.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(pid)
}

/// Ends a forked child without anything that the parent has yet to do.
#[expect(unsafe_code, reason = "std has no way to end a process at once")]
fn leave() -> ! {
    // SAFETY: it runs no code of ours.
    unsafe { libc::_exit(0) }
}

/// Waits for a child. That somebody has set CHLD to be ignored is no hindrance: the call then returns
/// when the child is gone (`wait(2)`, notes).
#[expect(
    unsafe_code,
    reason = "nix would make a status of it, which nobody needs"
)]
fn wait_for(child: i32) {
    loop {
        // SAFETY: the null pointer says that no status is wanted.
        let result = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        let interrupted = || io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
        if result >= 0 || !interrupted() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_adopter_is_above_us() {
        let found = adopter().unwrap();
        let own = std::process::id().cast_signed();
        let above = Everybody::default().ancestors(own);
        // Other tests of this binary make the whole process ask for orphans, which changes nothing
        // here: an orphan of ours then is ours.
        let us = Everybody::default().find(own).map(|(id, _)| id);
        assert!(
            above.contains(&found) || us == Some(found),
            "{found:?} is not in {above:?}"
        );
    }
}
