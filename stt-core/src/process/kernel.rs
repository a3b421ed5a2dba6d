//! The few calls to the kernel that neither std nor nix offers, or not on every platform.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::family::Spent;
use crate::units::Bytes;

/// In what resident sets are counted (`getrusage(2)`): kilobytes on Linux, bytes on macOS.
const RSS_UNIT: u64 = if cfg!(target_vendor = "apple") {
    1
} else {
    1024
};

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
    /// Bytes that the same have read from disks; `None` where nobody counts them.
    pub(super) read: Option<Bytes>,
    /// Bytes that they have written to disks, or that were to get there.
    pub(super) written: Option<Bytes>,
}

impl Reaped {
    /// What it used, in the words in which families are spoken of.
    pub(super) fn spent(&self) -> Spent {
        Spent {
            cpu: self.cpu,
            peak_memory: self.peak_memory,
            read: self.read,
            written: self.written,
        }
    }
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
    Ok(Some(Reaped {
        status,
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        peak_memory: Bytes(u64::try_from(usage.ru_maxrss).unwrap_or(0) * RSS_UNIT),
        read: traffic(usage.ru_inblock),
        written: traffic(usage.ru_oublock),
    }))
}

/// What so many blocks are. Linux counts bytes (`CONFIG_TASK_IO_ACCOUNTING`) and tells them in units of 512;
/// others count operations.
fn traffic(blocks: libc::c_long) -> Option<Bytes> {
    static COUNTED: OnceLock<bool> = OnceLock::new();
    const BLOCK: u64 = 512;
    let counted =
        COUNTED.get_or_init(|| cfg!(target_os = "linux") && Path::new("/proc/self/io").exists());
    let blocks = u64::try_from(blocks).ok().filter(|_| *counted)?;
    Some(Bytes(blocks.saturating_mul(BLOCK)))
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

/// The largest resident set that we have had: no child's is told to be less, since the
/// kernel counts what it shared with us before its `exec`.
pub fn own_peak_memory() -> Option<Bytes> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).ok()?;
    Some(Bytes(u64::try_from(usage.max_rss()).ok()? * RSS_UNIT))
}

/// Gives back the memory of a process that is being killed, with our own CPU time
/// (`process_mrelease(2)`): it may have to wait long for its own. A process that lives is left alone.
///
/// # Errors
/// The process lives, its memory is gone already, or the kernel is older than 5.15.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "neither std nor nix offers process_mrelease")]
pub(super) fn release_memory(process: &OwnedFd) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    // SAFETY: the call takes two integers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_process_mrelease, process.as_raw_fd(), 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// There is no such call here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub(super) fn release_memory(_process: &OwnedFd) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A limit of one process (`getrlimit(2)`), as the kernel takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct ResourceLimit {
    /// One of `RLIMIT_*`.
    pub(super) resource: libc::c_long,
    /// The soft and the hard limit.
    pub(super) values: [u64; 2],
}

/// Limits a child that was just started. What can't be set is not.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "nix limits nobody but ourselves")]
pub(super) fn limit(pid: i32, limits: &[ResourceLimit]) {
    for ResourceLimit { resource, values } in limits {
        let before = std::ptr::null_mut::<u64>();
        // SAFETY: `values` is as large as the kernel's `struct rlimit64`, and only read.
        unsafe { libc::syscall(libc::SYS_prlimit64, pid, *resource, values.as_ptr(), before) };
    }
}

/// Nobody but ourselves can be limited here.
#[cfg(not(target_os = "linux"))]
pub(super) fn limit(_pid: i32, _limits: &[ResourceLimit]) {}

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
