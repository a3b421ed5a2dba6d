//! Which ports processes hold. Asked only once somebody has outlived his test: nobody else pays for it.
//!
//! The kernel is asked through netlink (`sock_diag(7)`), which takes 0.05 ms where `/proc/net/tcp` takes
//! 8; the files are read where that is refused. A port is known by its socket's number, so that what a
//! stranger opens on the same port a moment later is not taken for what the test has left.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt::Display;
use std::fs::DirEntry;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;

use nix::sys::socket::AddressFamily;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockProtocol;
use nix::sys::socket::SockType;

use super::proc::Proc;
use super::sock_diag::Answer;
use super::sock_diag::Socket;
use super::sock_diag::TABLES;
use super::sock_diag::TCP;
use super::sock_diag::Table;
use super::sock_diag::inode_of_link;
use crate::port::Holder;
use crate::port::Port;
use crate::port::StillHeld;

/// How many links of `/proc/<pid>/fd` are read for one look, at some 1 µs each: a signal to whom they
/// belong waits for it.
const LINKS: usize = 4096;

/// The most that a netlink socket gives at once.
const DATAGRAM: usize = 32 << 10;

/// The sockets of this network namespace that hold a port, at one moment.
#[derive(Debug)]
pub(super) struct Sockets {
    known: HashMap<u64, Port>,
    /// How many links may still be read.
    links: usize,
}

impl Sockets {
    /// Asks the kernel. A table that can't be read is taken as empty: then a leak is named without it.
    pub(super) fn now() -> Self {
        Self {
            known: all().map(|socket| (socket.inode, socket.port)).collect(),
            links: LINKS,
        }
    }

    /// Which of them a process has open, in the order of their ports. What we have open too it has from
    /// us, or we both from who started us: that is no leak of a test.
    pub(super) fn of(&mut self, pid: i32) -> Vec<Socket> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let before = self.links;
        let opened = descriptors(pid).take(before).inspect(|_| self.links -= 1);
        let known = opened.filter_map(|link| {
            let inode = inode_of(&link)?;
            let port = *self.known.get(&inode)?;
            Some(Socket { inode, port })
        });
        let mut found: Vec<_> = known.collect();
        if !found.is_empty() {
            let own: HashSet<_> = descriptors_of("self")
                .filter_map(|link| inode_of(&link))
                .collect();
            found.retain(|socket| !own.contains(&socket.inode));
        }
        found.sort_unstable_by_key(|socket| (socket.port, socket.inode));
        found.dedup();
        found
    }
}

/// Who listens on one of these TCP ports, on whatever address.
pub fn listeners(numbers: &[u16]) -> Vec<StillHeld> {
    let listening = all_of(&TCP).filter(|socket| numbers.contains(&socket.port.number));
    let listening: Vec<_> = listening.collect();
    let held = still_held(&listening).into_iter();
    held.map(|(_, held)| held).collect()
}

/// Which of these sockets still hold their ports, and who has them. Looks through all processes when
/// there is one, which takes some 0.1 s.
pub(super) fn still_held(sockets: &[Socket]) -> Vec<(Socket, StillHeld)> {
    let is_there = |left: &[Socket]| -> Vec<Socket> {
        let now = Sockets::now();
        let there = left
            .iter()
            .filter(|socket| now.known.contains_key(&socket.inode));
        there.copied().collect()
    };
    if sockets.is_empty() || is_there(sockets).is_empty() {
        return Vec::new();
    }
    let inodes: Vec<_> = sockets.iter().map(|socket| socket.inode).collect();
    let holders = holders(&inodes);
    // The kernel may have been about to close it.
    let held = is_there(sockets).into_iter().map(|socket| {
        let by = holders.get(&socket.inode).cloned().unwrap_or_default();
        let port = socket.port;
        (socket, StillHeld { port, by })
    });
    held.collect()
}

/// Everybody who has one of these sockets open, as far as we may see that. Looks through all processes.
pub fn holders(sockets: &[u64]) -> HashMap<u64, Vec<Holder>> {
    let wanted: HashSet<u64> = sockets.iter().copied().collect();
    let mut holders: HashMap<u64, Vec<Holder>> = HashMap::new();
    let mut proc = Proc::default();
    let processes = std::fs::read_dir("/proc").into_iter().flatten();
    for pid in processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()) {
        let open = descriptors(pid).filter_map(|link| inode_of(&link));
        let open: HashSet<u64> = open.filter(|inode| wanted.contains(inode)).collect();
        for inode in open {
            let command = proc.command(pid);
            holders
                .entry(inode)
                .or_default()
                .push(Holder { pid, command });
        }
    }
    holders
}

fn descriptors(pid: i32) -> impl Iterator<Item = DirEntry> {
    descriptors_of(pid)
}

fn descriptors_of(process: impl Display) -> impl Iterator<Item = DirEntry> {
    let links = std::fs::read_dir(format!("/proc/{process}/fd"));
    links.into_iter().flatten().flatten()
}

fn inode_of(link: &DirEntry) -> Option<u64> {
    inode_of_link(std::fs::read_link(link.path()).ok()?.as_os_str().as_bytes())
}

/// All sockets that hold a port.
fn all() -> impl Iterator<Item = Socket> {
    all_of(&TABLES)
}

fn all_of(tables: &[Table]) -> impl Iterator<Item = Socket> {
    let kernel = Kernel::open().ok();
    (1..)
        .zip(tables.iter().copied())
        .flat_map(move |(sequence, table)| {
            let answer = kernel
                .as_ref()
                .and_then(|kernel| kernel.ask(sequence, table).ok());
            answer.unwrap_or_else(|| read_file(table))
        })
}

fn read_file(table: Table) -> Vec<Socket> {
    // Without IPv6 there is no such file, and no such socket.
    let text = std::fs::read_to_string(format!("/proc/net/{}", table.file()));
    text.map(|text| table.read_file(&text)).unwrap_or_default()
}

/// A netlink socket to ask the kernel through.
struct Kernel(std::os::fd::OwnedFd);

impl Kernel {
    fn open() -> io::Result<Self> {
        let socket = nix::sys::socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        Ok(Self(socket))
    }

    /// Asks for one table. The kernel answers while it is asked, so there is nothing to wait for.
    fn ask(&self, sequence: u32, table: Table) -> io::Result<Vec<Socket>> {
        let socket = self.0.as_raw_fd();
        nix::sys::socket::send(socket, &table.request(sequence), MsgFlags::empty())?;
        let mut found = Vec::new();
        let mut datagram = vec![0; DATAGRAM];
        loop {
            let length = nix::sys::socket::recv(socket, &mut datagram, MsgFlags::MSG_DONTWAIT)?;
            let received = datagram
                .get(..length)
                .filter(|received| !received.is_empty());
            let received = received.ok_or(io::ErrorKind::UnexpectedEof)?;
            match table.read(received, sequence, &mut found) {
                Answer::More => {}
                Answer::Done => return Ok(found),
                Answer::Refused(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn netlink_and_the_files_find_the_same_sockets() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ports = [tcp.local_addr().unwrap(), udp.local_addr().unwrap()].map(|a| a.port());
        let by_file: Vec<_> = TABLES.into_iter().flat_map(read_file).collect();
        let kernel = Kernel::open().unwrap();
        let by_netlink: Vec<_> = TABLES
            .iter()
            .flat_map(|&table| kernel.ask(7, table).unwrap())
            .collect();
        for (table, port) in [(TABLES[0], ports[0]), (TABLES[2], ports[1])] {
            let find = |sockets: &[Socket]| {
                let own = |socket: &&Socket| {
                    let at = socket.port;
                    (at.protocol, at.number, at.address.is_loopback())
                        == (table.protocol, port, true)
                };
                *sockets.iter().find(own).unwrap()
            };
            assert_eq!(find(&by_netlink), find(&by_file));
        }
    }

    #[test]
    fn what_we_hold_ourselves_is_nobody_elses_and_not_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = listener.local_addr().unwrap().port();
        let own = std::process::id().cast_signed();
        assert_eq!(Sockets::now().of(own), []);
        let sockets = all().filter(|socket| socket.port.number == number);
        let sockets: Vec<_> = sockets.collect();
        let held = still_held(&sockets);
        assert_eq!(held.len(), 1);
        assert!(
            held[0].1.by.iter().any(|holder| holder.pid == own),
            "{held:?}"
        );
        drop(listener);
        assert_eq!(still_held(&sockets), []);
        assert_eq!(still_held(&[]), []);
    }

    /// What it costs to name the ports of a process that was left.
    #[test]
    #[ignore = "a measurement: run it alone, with --release and --nocapture"]
    #[expect(clippy::print_stderr, reason = "the figures are the result")]
    fn the_cost_of_asking_for_ports() {
        const ROUNDS: u32 = 200;
        let clock = crate::clock::Clock::start();
        let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = std::process::id().cast_signed();
        let mut took = [std::time::Duration::ZERO; 3];
        for _ in 0..ROUNDS {
            let start = clock.now();
            let mut sockets = Sockets::now();
            took[0] += clock.now().saturating_sub(start);
            let start = clock.now();
            assert_eq!(sockets.of(own), []);
            took[1] += clock.now().saturating_sub(start);
            let start = clock.now();
            assert!(TABLES.into_iter().flat_map(read_file).count() > 0);
            took[2] += clock.now().saturating_sub(start);
        }
        let [netlink, process, files] = took.map(|time| time / ROUNDS);
        eprintln!("netlink {netlink:?}, a process {process:?}, the files instead {files:?}");
    }
}
