//! A port that the kernel keeps (`socket(7)`, `ip(7)`).
//!
//! The socket is bound without `SO_REUSEADDR`, so that it collides with every other one, those of other runs
//! included; then it is given `SO_REUSEADDR` and never listens. From then on whoever sets that option himself may
//! bind the port over it: std, tokio, Python and docker-proxy all do. Whoever asks for any port gets another one.
//! It is closed by an `exec`, and by any death of ours.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use camino::Utf8PathBuf;
use nix::errno::Errno;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::SockaddrIn;
use nix::sys::socket::SockaddrIn6;
use nix::sys::socket::sockopt::Ipv6V6Only;
use nix::sys::socket::sockopt::ReuseAddr;

/// Keeps a port until it is dropped.
#[derive(Debug)]
pub(super) struct Held(#[expect(dead_code, reason = "it is open")] OwnedFd);

/// Binds sockets.
#[derive(Debug)]
pub(super) struct Means {
    /// Whether the kernel has no IPv6. Where it has, one socket keeps the port of both versions.
    old: AtomicBool,
}

impl Means {
    /// The kernel needs no directory.
    pub(super) fn new(_directory: Utf8PathBuf) -> Self {
        Self {
            old: AtomicBool::new(false),
        }
    }

    /// Takes a port; `None` when somebody has it, on whatever address.
    pub(super) fn take(&self, number: u16) -> io::Result<Option<Held>> {
        self.bind(number, false)
    }

    /// The same, but beside those who don't listen: connections that are being closed, and sockets like ours.
    pub(super) fn guard(&self, number: u16) -> io::Result<Option<Held>> {
        self.bind(number, true)
    }

    fn bind(&self, number: u16, beside: bool) -> io::Result<Option<Held>> {
        let mut bound = Err(Errno::EAFNOSUPPORT);
        if !self.old.load(Ordering::Relaxed) {
            bound = bind_new(number, beside);
        }
        if let Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) = bound {
            self.old.store(true, Ordering::Relaxed);
            bound = bind_old(number, beside);
        }
        match bound {
            Ok(socket) => Ok(Some(Held(socket))),
            Err(Errno::EADDRINUSE) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn bind_new(number: u16, beside: bool) -> nix::Result<OwnedFd> {
    let socket = open(AddressFamily::Inet6, beside)?;
    nix::sys::socket::setsockopt(&socket, Ipv6V6Only, &false)?;
    let every = std::net::SocketAddrV6::new(std::net::Ipv6Addr::UNSPECIFIED, number, 0, 0);
    nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrIn6::from(every))?;
    nix::sys::socket::setsockopt(&socket, ReuseAddr, &true)?;
    Ok(socket)
}

fn bind_old(number: u16, beside: bool) -> nix::Result<OwnedFd> {
    let socket = open(AddressFamily::Inet, beside)?;
    nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, number))?;
    nix::sys::socket::setsockopt(&socket, ReuseAddr, &true)?;
    Ok(socket)
}

fn open(family: AddressFamily, beside: bool) -> nix::Result<OwnedFd> {
    let socket = nix::sys::socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    if beside {
        nix::sys::socket::setsockopt(&socket, ReuseAddr, &true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ipv6_a_port_is_kept_as_well() {
        let means = Means {
            old: AtomicBool::new(true),
        };
        let free = (31_000..32_000).find_map(|number| Some((number, means.take(number).unwrap()?)));
        let (number, held) = free.expect("one of a thousand is free");
        assert!(means.take(number).unwrap().is_none());
        drop(std::net::TcpListener::bind(("127.0.0.1", number)).unwrap());
        drop(held);
        assert!(means.take(number).unwrap().is_some());
    }
}
