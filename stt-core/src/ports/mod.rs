//! Ports that belong to one test until it ends: no other test has them, of whatever run, and no program that
//! asks the kernel for any port gets one of them.
//!
//! On Linux the kernel keeps them, by sockets that never listen. Elsewhere that does not work, and
//! runs of one user keep them from each other by locked files.

#[cfg(any(test, not(target_os = "linux")))]
mod files;
#[cfg(target_os = "linux")]
mod socket;
mod table;

use std::io;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use camino::Utf8PathBuf;

#[cfg(not(target_os = "linux"))]
use files::Held;
#[cfg(not(target_os = "linux"))]
use files::Means;
#[cfg(target_os = "linux")]
use socket::Held;
#[cfg(target_os = "linux")]
use socket::Means;

/// A port that is ours until this is dropped.
#[derive(Debug)]
pub struct Lease {
    number: u16,
    /// None for what we may not bind.
    held: Option<Held>,
}

impl Lease {
    /// The port.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// A socket that listens on the port, on 127.0.0.1: for who can't bind it over ours, because he doesn't set
    /// `SO_REUSEADDR`.
    ///
    /// # Errors
    /// Somebody listens on it already, or the system refuses a descriptor.
    pub fn listen(&self) -> io::Result<OwnedFd> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, self.number)).map(OwnedFd::from)
    }

    /// Keeps the port for as long as this process lives, whatever program it becomes by `exec`, and any that
    /// it starts from then on.
    ///
    /// # Errors
    /// What `fcntl(2)` reports.
    pub fn keep_over_exec(self) -> io::Result<()> {
        self.held.map_or(Ok(()), Held::keep_over_exec)
    }
}

/// The ports that are leased at this moment, by whatever user, with the number of the socket that tells so. None
/// where the kernel does not keep them.
pub fn leased() -> Vec<(u16, u64)> {
    #[cfg(target_os = "linux")]
    return socket::leased();
    #[cfg(not(target_os = "linux"))]
    return Vec::new();
}

/// There is no port to be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Every port that is for leases is in use.
    #[error("all ports from {first} to {last} are in use", first = table::FIRST, last = table::last())]
    Exhausted,
    /// Somebody has the port that was asked for.
    #[error("port {number} is in use")]
    InUse {
        /// The port.
        number: u16,
    },
    /// The system refuses something that has nothing to do with this port.
    #[error("no port can be had")]
    System(#[source] io::Error),
}

/// Gives out ports.
#[derive(Debug)]
pub struct Leases {
    means: Means,
    seed: u64,
    turn: AtomicU64,
}

impl Leases {
    /// Gives out ports for a run; runs with other seeds begin elsewhere. In `directory` are the locks, where the
    /// kernel keeps no ports.
    pub fn new(seed: &str, directory: Utf8PathBuf) -> Self {
        Self {
            means: Means::new(directory),
            seed: table::seed(seed),
            turn: AtomicU64::new(0),
        }
    }

    /// So many ports that nobody else has. It waits for nothing.
    ///
    /// # Errors
    /// So many are not free, or the system refuses a descriptor.
    pub fn take(&self, count: usize) -> Result<Vec<Lease>, LeaseError> {
        let mut leases = Vec::with_capacity(count);
        let mut tries = 0;
        while leases.len() < count {
            if tries == table::tries(count) {
                return Err(LeaseError::Exhausted);
            }
            tries += 1;
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let number = table::candidate(self.seed, turn);
            if let Some(held) = self.means.take(number).map_err(LeaseError::System)? {
                leases.push(Lease {
                    number,
                    held: Some(held),
                });
            }
        }
        Ok(leases)
    }

    /// Keeps strangers from a port to which we have the right among our like. What we may not bind is not kept.
    ///
    /// # Errors
    /// A stranger has it, or the system refuses a descriptor.
    pub fn guard(&self, number: u16) -> Result<Lease, LeaseError> {
        match self.means.guard(number) {
            Ok(Some(held)) => Ok(Lease {
                number,
                held: Some(held),
            }),
            Ok(None) => Err(LeaseError::InUse { number }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(Lease { number, held: None })
            }
            Err(error) => Err(LeaseError::System(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io::Read as _;

    use super::*;

    /// Tests of another checkout may run at the same time: they begin at other ports.
    fn leases(seed: &str) -> Leases {
        let seed = format!("{seed} of {}", std::process::id());
        Leases::new(&seed, "/nowhere".into())
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_leased_is_free_for_its_test_and_for_nobody_else() {
        // Two runs that try the same ports in the same order.
        let (one, other) = (leases("a"), leases("a"));
        let held: Vec<_> = (0..100)
            .flat_map(|_| [one.take(2).unwrap(), other.take(2).unwrap()])
            .flatten()
            .collect();
        let numbers: HashSet<_> = held.iter().map(Lease::number).collect();
        assert_eq!(numbers.len(), held.len());
        // std sets SO_REUSEADDR, as a test would: on all addresses and on one, of both versions.
        for address in ["0.0.0.0", "127.0.0.1", "[::]", "[::1]"] {
            for lease in &held[..4] {
                let bound = TcpListener::bind(format!("{address}:{}", lease.number()));
                drop(bound.unwrap_or_else(|error| panic!("{address}: {error}")));
            }
        }
        let first = held[0].number();
        drop(held);
        let again = leases("a").take(1).unwrap();
        assert_eq!(again[0].number(), first, "what is dropped is free at once");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_port_on_which_somebody_listens_is_passed_over_or_refused() {
        let leases = leases("b");
        let next = leases.take(1).unwrap().remove(0).number() + 1;
        let listener = TcpListener::bind(("127.0.0.1", next)).unwrap();
        assert_ne!(leases.take(1).unwrap()[0].number(), next);
        let refused = leases.guard(next);
        assert!(matches!(refused, Err(LeaseError::InUse { number }) if number == next));
        drop(listener);
        let guarded = leases.guard(next).unwrap();
        drop(TcpListener::bind(("127.0.0.1", next)).unwrap());
        drop(guarded);
    }

    /// More ports than there are can be given out within the minute for which closed connections keep theirs.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_port_with_connections_that_are_being_closed_is_free() {
        let number = leases("d").take(1).unwrap().remove(0).number();
        let listener = TcpListener::bind(("127.0.0.1", number)).unwrap();
        let mut near = std::net::TcpStream::connect(("127.0.0.1", number)).unwrap();
        // Who closes first is the one whose port is kept.
        drop(listener.accept().unwrap());
        let read = near.read(&mut [0]).unwrap();
        assert_eq!(read, 0, "it is closed");
        drop((near, listener));
        let lease = leases("d").take(1).unwrap().remove(0);
        assert_eq!(lease.number(), number);
        drop(TcpListener::bind(("127.0.0.1", number)).unwrap());
    }

    /// What two ports cost a test.
    #[test]
    #[ignore = "a measurement: run it alone, with --release and --nocapture"]
    #[expect(clippy::print_stderr, reason = "the figures are the result")]
    fn the_cost_of_two_ports() {
        const ROUNDS: u32 = 5_000;
        let clock = crate::clock::Clock::start();
        let leases = leases("c");
        let start = clock.now();
        for _ in 0..ROUNDS {
            drop(leases.take(2).unwrap());
        }
        let took = clock.now().saturating_sub(start) / ROUNDS;
        eprintln!("two ports taken and given back: {took:?}");
    }
}
