//! Ports that processes hold, and those that tests are given. Pure.

use core::net::IpAddr;
use core::net::SocketAddr;
use std::fmt;
use std::sync::Arc;

/// The most ports that one test may have.
pub const MOST_PORTS: usize = 64;

/// The ports that a test has for itself while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestPorts {
    /// Which they are.
    pub which: Which,
    /// Whether it gets each as a socket that listens already.
    pub listen: bool,
}

/// Which ports a test has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// So many, whichever are free.
    Any(usize),
    /// These, in rising order: tests that want the same one take turns.
    Fixed(Arc<[u16]>),
}

impl From<Which> for TestPorts {
    /// Ports on which the test is going to listen by itself.
    fn from(which: Which) -> Self {
        Self {
            which,
            listen: false,
        }
    }
}

impl TestPorts {
    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        match &self.which {
            Which::Any(count) => *count,
            Which::Fixed(ports) => ports.len(),
        }
    }
}

impl fmt::Display for TestPorts {
    /// As a file has it: `2`, or `[8080, 9000]`; `{ count = 2, listen = true }`, or `{ numbers = [8080], listen = true }`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.which, self.listen) {
            (Which::Any(count), false) => count.fmt(f),
            (Which::Fixed(ports), false) => write!(f, "{ports:?}"),
            (Which::Any(count), true) => write!(f, "{{ count = {count}, listen = true }}"),
            (Which::Fixed(ports), true) => write!(f, "{{ numbers = {ports:?}, listen = true }}"),
        }
    }
}

/// How a port is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// A TCP port that is listened on.
    Tcp,
    /// A UDP port that is bound.
    Udp,
}

impl Protocol {
    /// The name, as programs write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port of an address of this machine. The address is 0.0.0.0 or `::` for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// How it is used.
    pub protocol: Protocol,
    /// On which address.
    pub address: IpAddr,
    /// Its number, which is never 0.
    pub number: u16,
}

impl fmt::Display for Port {
    /// `127.0.0.1:8080`, `[::1]:8080`, and `127.0.0.1:5353/udp` where it is not TCP.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.number).fmt(f)?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

/// A port that is held although the process that was to give it back has been ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StillHeld {
    /// The port.
    pub port: Port,
    /// Who has the same socket; nobody, when that could not be seen.
    pub by: Vec<Holder>,
}

/// A process that holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

impl StillHeld {
    /// Who holds it, in words: `9 nc -l, 10 nc -l`.
    pub fn holders(&self) -> String {
        let names = self
            .by
            .iter()
            .map(|Holder { pid, command }| format!("{pid} {command}"));
        match self.by.as_slice() {
            [] => "a process that can't be seen".to_owned(),
            [..] => names.collect::<Vec<_>>().join(", "),
        }
    }
}

impl fmt::Display for StillHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (port, holders) = (&self.port, self.holders());
        write!(
            f,
            "port {} ({port}) is still held by {holders}",
            port.number
        )
    }
}

/// What a process does with its ports, in words: `listening on …, bound to …`. `None` when it has none.
pub fn in_words(ports: &[Port]) -> Option<String> {
    const MOST: usize = 8;
    let of = |protocol, verb: &str| {
        let own = ports.iter().filter(|port| port.protocol == protocol);
        let mut shown: Vec<_> = own.map(Port::to_string).collect();
        let more = shown.len().saturating_sub(MOST);
        if more > 0 {
            shown.truncate(MOST);
            shown.push(format!("{more} more"));
        }
        (!shown.is_empty()).then(|| format!("{verb} {}", shown.join(", ")))
    };
    let parts = [
        of(Protocol::Tcp, "listening on"),
        of(Protocol::Udp, "bound to"),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(protocol: Protocol, address: &str, number: u16) -> Port {
        let address = address.parse().unwrap();
        Port {
            protocol,
            address,
            number,
        }
    }

    #[test]
    fn ports_are_shown_as_people_write_them() {
        let ports = [
            port(Protocol::Tcp, "127.0.0.1", 8080),
            port(Protocol::Udp, "0.0.0.0", 5353),
            port(Protocol::Tcp, "::1", 80),
        ];
        assert_eq!(
            in_words(&ports).unwrap(),
            "listening on 127.0.0.1:8080, [::1]:80, bound to 0.0.0.0:5353/udp"
        );
        assert_eq!(in_words(&[]), None);
        let many: Vec<_> = (1..=20)
            .map(|number| port(Protocol::Tcp, "::", number))
            .collect();
        let shown = in_words(&many).unwrap();
        assert!(shown.ends_with("[::]:8, 12 more"), "{shown}");
    }

    #[test]
    fn who_still_holds_a_port_is_named() {
        let mut held = StillHeld {
            port: port(Protocol::Tcp, "0.0.0.0", 8080),
            by: Vec::new(),
        };
        let expected = "port 8080 (0.0.0.0:8080) is still held by a process that can't be seen";
        assert_eq!(held.to_string(), expected);
        for pid in [7, 8] {
            let command = "nc -l".to_owned();
            held.by.push(Holder { pid, command });
        }
        let expected = "port 8080 (0.0.0.0:8080) is still held by 7 nc -l, 8 nc -l";
        assert_eq!(held.to_string(), expected);
    }
}
