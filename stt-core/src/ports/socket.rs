//! A port that the kernel keeps (`socket(7)`, `ip(7)`, `unix(7)`).
//!
//! Two sockets do it, which the kernel closes on any death of ours. The name of one, in the abstract namespace,
//! keeps other runs away, also those of other users: it belongs to the network namespace as the port does. The other
//! one is bound to the port and never listens: nobody who asks for any port gets it, and nobody who does not set
//! `SO_REUSEADDR`. Whoever sets it may bind the port over ours: std, tokio, Python and docker-proxy all do.
//!
//! A socket that is bound without `SO_REUSEADDR`, and given it later, would keep runs away by itself. But it
//! collides with connections that are being closed, for a minute: with 200 ports a second all would be in use.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::IntoRawFd as _;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use camino::Utf8PathBuf;
use nix::errno::Errno;
use nix::fcntl::FcntlArg;
use nix::fcntl::FdFlag;
use nix::fcntl::fcntl;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::SockaddrIn;
use nix::sys::socket::SockaddrIn6;
use nix::sys::socket::UnixAddr;
use nix::sys::socket::sockopt::Ipv6V6Only;
use nix::sys::socket::sockopt::ReuseAddr;

/// Keeps a port until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    port: OwnedFd,
    /// None for a port to which the right is kept elsewhere.
    name: Option<OwnedFd>,
}

impl Held {
    /// Lets programs that we execute have the sockets, too: the kernel keeps the port until the last has ended.
    pub(super) fn keep_over_exec(self) -> io::Result<()> {
        for socket in [Some(self.port), self.name].into_iter().flatten() {
            fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
            // It is open from now on, for good.
            let _ = socket.into_raw_fd();
        }
        Ok(())
    }
}

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

    /// Takes a port; `None` when another run has it, or somebody listens on it, on whatever address.
    pub(super) fn take(&self, number: u16) -> io::Result<Option<Held>> {
        let name = match name(number) {
            Ok(name) => name,
            Err(Errno::EADDRINUSE) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let port = self.bind(number)?;
        Ok(port.map(|port| Held {
            port,
            name: Some(name),
        }))
    }

    /// The same, but for a port that no other run takes.
    pub(super) fn guard(&self, number: u16) -> io::Result<Option<Held>> {
        let port = self.bind(number)?;
        Ok(port.map(|port| Held { port, name: None }))
    }

    fn bind(&self, number: u16) -> io::Result<Option<OwnedFd>> {
        let mut bound = Err(Errno::EAFNOSUPPORT);
        if !self.old.load(Ordering::Relaxed) {
            bound = bind_new(number);
        }
        if let Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) = bound {
            self.old.store(true, Ordering::Relaxed);
            bound = bind_old(number);
        }
        match bound {
            Ok(socket) => Ok(Some(socket)),
            Err(Errno::EADDRINUSE) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// What the names of ports begin with.
const NAMES: &str = "cargo-stt/port/";

/// The ports whose names are taken in this network namespace, and the sockets that have them (`proc_net(5)`).
pub(super) fn leased() -> Vec<(u16, u64)> {
    let text = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let mut leased: Vec<_> = text.lines().filter_map(leased_in).collect();
    leased.sort_unstable();
    leased
}

fn leased_in(line: &str) -> Option<(u16, u64)> {
    let (rest, name) = line.rsplit_once(' ')?;
    let port = name.strip_prefix('@')?.strip_prefix(NAMES)?;
    let inode = rest.rsplit(' ').next()?;
    Some((port.parse().ok()?, inode.parse().ok()?))
}

/// Takes the name by which runs keep a port from each other.
fn name(number: u16) -> nix::Result<OwnedFd> {
    let socket = open(AddressFamily::Unix)?;
    let name = UnixAddr::new_abstract(format!("{NAMES}{number}").as_bytes())?;
    nix::sys::socket::bind(socket.as_raw_fd(), &name)?;
    Ok(socket)
}

fn bind_new(number: u16) -> nix::Result<OwnedFd> {
    let socket = open(AddressFamily::Inet6)?;
    nix::sys::socket::setsockopt(&socket, Ipv6V6Only, &false)?;
    nix::sys::socket::setsockopt(&socket, ReuseAddr, &true)?;
    let every = std::net::SocketAddrV6::new(std::net::Ipv6Addr::UNSPECIFIED, number, 0, 0);
    nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrIn6::from(every))?;
    Ok(socket)
}

fn bind_old(number: u16) -> nix::Result<OwnedFd> {
    let socket = open(AddressFamily::Inet)?;
    nix::sys::socket::setsockopt(&socket, ReuseAddr, &true)?;
    nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, number))?;
    Ok(socket)
}

fn open(family: AddressFamily) -> nix::Result<OwnedFd> {
    nix::sys::socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_names_a_leased_port() {
        let head = "0000000000000000: 00000002 00000000 00000000 0001 01";
        let of = |name: &str| leased_in(&format!("{head} 41046 {name}"));
        assert_eq!(of("@cargo-stt/port/20001"), Some((20_001, 41_046)));
        for name in [
            "@cargo-stt/port/x",
            "/cargo-stt/port/20001",
            "@other/20001",
            "@cargo-stt/port/70000",
        ] {
            assert_eq!(of(name), None, "{name}");
        }
        assert_eq!(leased_in(&format!("{head} 41046")), None);
        assert_eq!(
            leased_in("Num       RefCount Protocol Flags    Type St Inode Path"),
            None
        );
    }

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
