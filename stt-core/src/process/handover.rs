//! Sockets that a child finds after its three streams: the descriptors 3, 4 and so on, as `sd_listen_fds(3)` has them.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::fcntl::FcntlArg;
use nix::fcntl::fcntl;

/// The first descriptor after the streams.
pub(super) const FIRST: RawFd = 3;

/// The same sockets, with numbers above all that the child is to find them at: so none is overwritten before it has been
/// put in its place. They are closed by any `exec`.
///
/// # Errors
/// There are no descriptors left.
pub(super) fn above(sockets: &[OwnedFd]) -> io::Result<Vec<OwnedFd>> {
    let least = least_above(sockets.len());
    sockets
        .iter()
        .map(|socket| duplicate(socket, least))
        .collect()
}

/// Has std's child find them.
///
/// # Errors
/// There are no descriptors left.
pub(super) fn by_std(command: &mut Command, sockets: &[OwnedFd]) -> io::Result<Option<Reserved>> {
    if sockets.is_empty() {
        return Ok(None);
    }
    let reserved = Reserved::below(least_above(sockets.len()), &sockets[0])?;
    let sockets = above(sockets)?;
    let place = move || {
        for (socket, to) in sockets.iter().zip(FIRST..) {
            into_place(socket.as_raw_fd(), to)?;
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "std has no other way to hand over a descriptor")]
    // SAFETY: between fork and exec only `dup2(2)` is called, which is safe there (`signal-safety(7)`).
    unsafe {
        command.pre_exec(place)
    };
    Ok(Some(reserved))
}

/// Descriptors that keep those numbers from std's own pipe to its child, which the sockets would overwrite.
pub(super) struct Reserved(#[expect(dead_code, reason = "they are held")] Vec<OwnedFd>);

impl Reserved {
    fn below(end: RawFd, any: &OwnedFd) -> io::Result<Self> {
        let mut held = Vec::new();
        loop {
            let one = duplicate(any, FIRST)?;
            if one.as_raw_fd() >= end {
                return Ok(Self(held));
            }
            held.push(one);
        }
    }
}

fn least_above(count: usize) -> RawFd {
    FIRST.saturating_add(RawFd::try_from(count).unwrap_or(RawFd::MAX))
}

#[expect(unsafe_code, reason = "nix gives a number")]
fn duplicate(socket: &OwnedFd, least: RawFd) -> io::Result<OwnedFd> {
    let number = fcntl(socket, FcntlArg::F_DUPFD_CLOEXEC(least))?;
    // SAFETY: the kernel has just made this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[expect(unsafe_code, reason = "what it overwrites is owned by nobody any more")]
fn into_place(from: RawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: this is the child, which is about to become another program.
    if unsafe { libc::dup2(from, to) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
