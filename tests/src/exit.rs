//! The very moment at which a process ends (`pidfd_open(2)`).

use std::os::fd::AsFd as _;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;

/// Waits until a process has ended, at most so long; `false` when it has not. One that is not there has.
///
/// # Panics
/// When the kernel can't tell.
pub(crate) fn exits_within(pid: i32, time: Duration) -> bool {
    let Some(process) = open(pid) else {
        return true;
    };
    let mut one = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(time).expect("minutes are few milliseconds");
    poll(&mut one, timeout).expect("a process can be waited for") > 0
}

#[expect(unsafe_code, reason = "nix has no pidfd_open")]
fn open(pid: i32) -> Option<OwnedFd> {
    // SAFETY: the call takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the kernel has just made it for us.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}
