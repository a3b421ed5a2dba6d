//! The few calls to the kernel that neither std nor nix offers, or not on every platform.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::units::Bytes;

/// What the kernel kept of an ended process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reaped {
    /// The status word of `wait4(2)`.
    pub(super) status: i32,
    /// User and system time of the process and of the children it waited for.
    pub(super) cpu: Duration,
    /// The largest resident set among the same. Never less than our own largest one at the time of
    /// the start: until its `exec`, a spawned child shares our memory, and the kernel counts that.
    pub(super) peak_memory: Bytes,
}

/// Whether a child has exited and waits to be reaped. A child that somebody else has reaped counts as
/// exited too.
#[expect(unsafe_code, reason = "nix offers waitid on Linux only")]
pub(super) fn has_exited(child: i32) -> bool {
    let Ok(id) = libc::id_t::try_from(child) else {
        return true;
    };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: an all-zero `siginfo_t` is a valid one, it is plain data.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is writable for the call's duration.
    let result = unsafe { libc::waitid(libc::P_PID, id, &raw mut info, flags) };
    // waitid(2): with WNOHANG and no child in a waitable state, si_signo stays zero.
    result != 0 || info.si_signo != 0
}

/// Reaps a child; `None` when it has not exited and `block` is false.
#[expect(
    unsafe_code,
    reason = "nix has no wait4, and only wait4 tells the resources used"
)]
pub(super) fn reap(child: i32, block: bool) -> io::Result<Option<Reaped>> {
    let options = if block { 0 } else { libc::WNOHANG };
    let mut status = 0;
    // SAFETY: an all-zero `rusage` is a valid one, it is plain data.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live, writable values of the right type.
        let pid = unsafe { libc::wait4(child, &raw mut status, options, &raw mut usage) };
        if pid > 0 {
            break;
        }
        if pid == 0 {
            return Ok(None);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // getrusage(2): kilobytes on Linux, bytes on macOS.
    let unit = if cfg!(target_vendor = "apple") {
        1
    } else {
        1024
    };
    Ok(Some(Reaped {
        status,
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        peak_memory: Bytes(u64::try_from(usage.ru_maxrss).unwrap_or(0) * unit),
    }))
}

fn time(value: libc::timeval) -> Duration {
    let seconds = u64::try_from(value.tv_sec).unwrap_or(0);
    let micros = u64::try_from(value.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// Makes sure that ended children wait to be reaped by us. Who started us may ignore CHLD, which
/// survives an `exec`, and the kernel then throws their status away (`wait(2)`, notes).
#[expect(unsafe_code, reason = "sigaction is unsafe in nix too")]
pub(super) fn keep_ended_children() {
    // SAFETY: an all-zero `sigaction` is a valid one: the default action, an empty mask, no flags.
    let (default, mut current): (libc::sigaction, libc::sigaction) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    // SAFETY: a null pointer asks for the current action only, which `current` can take.
    unsafe { libc::sigaction(libc::SIGCHLD, std::ptr::null(), &raw mut current) };
    if current.sa_sigaction == libc::SIG_IGN {
        // SAFETY: the default action runs no code of ours.
        unsafe { libc::sigaction(libc::SIGCHLD, &raw const default, std::ptr::null_mut()) };
    }
}

/// Sends a signal to a process group that we made. Says whether there was anybody to receive it.
///
/// # Errors
/// A group number ≤ 1 and our own group are refused: `kill(2)` reads 0 as "my own group", and -1 as
/// "everybody".
pub(super) fn signal_group(group: i32, signal: Signal) -> io::Result<bool> {
    if group <= 1 || Pid::from_raw(group) == nix::unistd::getpgrp() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("process group {group} is not one of ours"),
        ));
    }
    match nix::sys::signal::killpg(Pid::from_raw(group), signal) {
        Ok(()) => Ok(true),
        Err(nix::errno::Errno::ESRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The kernel's number of the calling thread.
#[cfg(target_os = "linux")]
pub(super) fn thread_id() -> i32 {
    nix::unistd::gettid().as_raw()
}

/// The kernel's number of the calling thread: nobody asks for it here.
#[cfg(not(target_os = "linux"))]
pub(super) fn thread_id() -> i32 {
    0
}

/// A descriptor that stands for a process, readable once it has exited (`pidfd_open(2)`).
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "neither std nor nix opens one for a running process"
)]
pub(super) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd as _;

    // SAFETY: the call takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// There is no such descriptor here.
#[cfg(not(target_os = "linux"))]
pub(super) fn pidfd_open(_pid: i32) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Sends a signal to the process behind a descriptor, which can't have become another one.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "neither std nor nix offers pidfd_send_signal")]
pub(super) fn pidfd_signal(process: &OwnedFd, signal: Signal) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    // SAFETY: the null pointer stands for "as kill(2) would"; the rest are integers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal as i32,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets a pipe hold more (`F_SETPIPE_SZ`). That it may not, because its user has many such pipes, costs
/// only speed.
#[cfg(target_os = "linux")]
pub(super) fn enlarge_pipe(pipe: &OwnedFd) {
    const LARGE: i32 = 256 << 10;
    let _ = nix::fcntl::fcntl(pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(LARGE));
}

/// Pipes are as they are here.
#[cfg(not(target_os = "linux"))]
pub(super) fn enlarge_pipe(_pipe: &OwnedFd) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_elses_group_is_signalled() {
        let own = nix::unistd::getpgrp().as_raw();
        for group in [i32::MIN, -1, 0, 1, own] {
            let error = signal_group(group, Signal::SIGCONT).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{group}");
        }
    }

    #[test]
    fn a_process_that_is_no_child_counts_as_exited() {
        assert!(has_exited(1));
        assert!(reap(1, false).is_err());
    }
}
