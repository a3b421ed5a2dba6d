//! Which sockets hold which ports: the messages in which the kernel is asked (`sock_diag(7)`,
//! `netlink(7)`), and the tables in `/proc/net` (`proc_pid_net(5)`) that say the same, more slowly. Pure.

use core::net::IpAddr;
use core::net::Ipv4Addr;
use core::net::Ipv6Addr;

use crate::port::Port;
use crate::port::Protocol;

/// A socket that holds a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Socket {
    /// Its number, which no other socket has as long as it lives; `/proc/<pid>/fd` names it too.
    pub(super) inode: u64,
    pub(super) port: Port,
}

/// One of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) protocol: Protocol,
    pub(super) version: Version,
}

/// The version of the addresses in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

/// The tables of listening TCP sockets.
pub(super) const TCP: [Table; 2] = [
    Table::new(Protocol::Tcp, Version::V4),
    Table::new(Protocol::Tcp, Version::V6),
];

/// All tables.
pub(super) const TABLES: [Table; 4] = [
    TCP[0],
    TCP[1],
    Table::new(Protocol::Udp, Version::V4),
    Table::new(Protocol::Udp, Version::V6),
];

/// A piece of an answer that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// More follows.
    More,
    /// That was all.
    Done,
    /// The kernel refuses with this `errno`, or what it says is not understood.
    Refused(i32),
}

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h, net/tcp_states.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const ESTABLISHED: u8 = 1;
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// `struct inet_diag_msg`.
const ENTRY: usize = 72;
/// What is no message is refused with this: `EPROTO`.
const NO_MESSAGE: i32 = 71;

impl Table {
    const fn new(protocol: Protocol, version: Version) -> Self {
        Self { protocol, version }
    }

    /// Its file below `/proc/net`.
    pub(super) fn file(self) -> &'static str {
        match (self.protocol, self.version) {
            (Protocol::Tcp, Version::V4) => "tcp",
            (Protocol::Tcp, Version::V6) => "tcp6",
            (Protocol::Udp, Version::V4) => "udp",
            (Protocol::Udp, Version::V6) => "udp6",
        }
    }

    /// In which states a socket holds a port for others to talk to. A bound UDP socket is "closed"
    /// until it is connected.
    fn states(self) -> &'static [u8] {
        match self.protocol {
            Protocol::Tcp => &[LISTEN],
            Protocol::Udp => &[CLOSE, ESTABLISHED],
        }
    }

    /// The message that asks for all such sockets of the table.
    pub(super) fn request(self, sequence: u32) -> [u8; HEADER + REQUEST] {
        let family = match self.version {
            Version::V4 => AF_INET,
            Version::V6 => AF_INET6,
        };
        let protocol = match self.protocol {
            Protocol::Tcp => IPPROTO_TCP,
            Protocol::Udp => IPPROTO_UDP,
        };
        let states = self
            .states()
            .iter()
            .fold(0_u32, |set, state| set | 1 << state);
        let mut message = [0; HEADER + REQUEST];
        let length = 72_u32.to_ne_bytes();
        message[..4].copy_from_slice(&length);
        message[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        message[8..12].copy_from_slice(&sequence.to_ne_bytes());
        message[HEADER] = family;
        message[HEADER + 1] = protocol;
        message[HEADER + 4..HEADER + 8].copy_from_slice(&states.to_ne_bytes());
        message
    }

    /// Reads what one `recv` brought, and appends the sockets. Messages that answer another question
    /// are passed over.
    pub(super) fn read(self, datagram: &[u8], sequence: u32, found: &mut Vec<Socket>) -> Answer {
        let mut rest = datagram;
        while !rest.is_empty() {
            let Some(message) = Message::first(rest) else {
                return Answer::Refused(NO_MESSAGE);
            };
            if message.sequence == sequence {
                match message.kind {
                    NLMSG_DONE => return Answer::Done,
                    NLMSG_ERROR => {
                        let errno = word(message.body, 0).unwrap_or(0).cast_signed();
                        return Answer::Refused(errno.saturating_neg());
                    }
                    SOCK_DIAG_BY_FAMILY => found.extend(self.entry(message.body)),
                    _ => {}
                }
            }
            // Messages begin at multiples of four.
            rest = rest
                .get(message.length.next_multiple_of(4)..)
                .unwrap_or(&[]);
        }
        Answer::More
    }

    fn entry(self, body: &[u8]) -> Option<Socket> {
        let body = body.get(..ENTRY)?;
        if !self.states().contains(&body[1]) {
            return None;
        }
        let address = match body[0] {
            AF_INET => IpAddr::V4(Ipv4Addr::from(*body[8..].first_chunk()?)),
            AF_INET6 => IpAddr::V6(Ipv6Addr::from(*body[8..].first_chunk()?)),
            _ => return None,
        };
        let number = u16::from_be_bytes([body[4], body[5]]);
        self.socket(word(body, ENTRY - 4)?.into(), address, number)
    }

    /// Reads a file of `/proc/net`. Addresses are in hexadecimal, each four bytes of them as one number
    /// of this machine; ports are plain hexadecimal.
    pub(super) fn read_file(self, text: &str) -> Vec<Socket> {
        let lines = text.lines().skip(1);
        lines.filter_map(|line| self.line(line)).collect()
    }

    fn line(self, line: &str) -> Option<Socket> {
        let mut fields = line.split_ascii_whitespace();
        let (address, number) = fields.nth(1)?.split_once(':')?;
        let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
        let inode = fields.nth(5)?.parse().ok()?;
        if !self.states().contains(&state) || !address.is_ascii() {
            return None;
        }
        let words = address.as_bytes().chunks(8).map(|digits| {
            let digits = str::from_utf8(digits)
                .ok()
                .filter(|digits| digits.len() == 8)?;
            Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
        });
        let bytes = words.collect::<Option<Vec<_>>>()?.concat();
        let address = match self.version {
            Version::V4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
            Version::V6 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        };
        self.socket(inode, address, u16::from_str_radix(number, 16).ok()?)
    }

    /// A socket without a number has no owner any more, and one without a port holds none.
    fn socket(self, inode: u64, address: IpAddr, number: u16) -> Option<Socket> {
        let port = Port {
            protocol: self.protocol,
            address: address.to_canonical(),
            number,
        };
        (inode != 0 && number != 0).then_some(Socket { inode, port })
    }
}

/// The number in a link of `/proc/<pid>/fd` that leads to a socket: `socket:[4711]`.
pub(super) fn inode_of_link(link: &[u8]) -> Option<u64> {
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(digits).ok()?.parse().ok()
}

/// One netlink message.
struct Message<'a> {
    length: usize,
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::try_from(word(bytes, 0)?).ok()?;
        Some(Self {
            length,
            kind: u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?),
            sequence: word(bytes, 8)?,
            body: bytes.get(HEADER..length)?,
        })
    }
}

/// The number of four bytes at an offset.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TCP: Table = TABLES[0];
    const TCP6: Table = TABLES[1];
    const UDP: Table = TABLES[2];

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 2]);
        message.extend(sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn entry(family: u8, state: u8, port: u16, address: &[u8], inode: u32) -> Vec<u8> {
        let mut body = vec![0; ENTRY];
        body[0] = family;
        body[1] = state;
        body[4..6].copy_from_slice(&port.to_be_bytes());
        body[8..8 + address.len()].copy_from_slice(address);
        body[ENTRY - 4..].copy_from_slice(&inode.to_ne_bytes());
        body
    }

    fn socket(table: Table, inode: u64, address: &str, number: u16) -> Socket {
        let port = Port {
            protocol: table.protocol,
            address: address.parse().unwrap(),
            number,
        };
        Socket { inode, port }
    }

    #[test]
    fn the_question_is_laid_out_as_the_kernel_reads_it() {
        let request = TCP6.request(7);
        assert_eq!(word(&request, 0), Some(72));
        assert_eq!(
            request[4..8],
            [[20, 0], [1, 3]].concat(),
            "little-endian only"
        );
        assert_eq!(word(&request, 8), Some(7));
        assert_eq!(request[16..20], [10, 6, 0, 0]);
        assert_eq!(word(&request, 20), Some(1 << 10), "listening");
        assert_eq!(word(&UDP.request(1), 20), Some(1 << 7 | 1 << 1));
    }

    #[test]
    fn an_answer_in_several_parts_is_read_to_its_end() {
        let six = {
            let mut address = [0; 16];
            address[15] = 1;
            address
        };
        let mut found = Vec::new();
        let parts = [
            message(20, 5, &entry(2, 10, 8080, &[127, 0, 0, 1], 99)),
            message(20, 4, &entry(2, 10, 1, &[127, 0, 0, 1], 98)),
            message(20, 5, &entry(10, 10, 443, &six, 100)),
            message(20, 5, &entry(2, 1, 444, &[127, 0, 0, 1], 101)),
            message(20, 5, &entry(2, 10, 445, &[127, 0, 0, 1], 0)),
        ];
        assert_eq!(TCP.read(&parts.concat(), 5, &mut found), Answer::More);
        assert_eq!(
            TCP.read(&message(3, 5, &[0; 4]), 5, &mut found),
            Answer::Done
        );
        let expected = [
            socket(TCP, 99, "127.0.0.1", 8080),
            socket(TCP, 100, "::1", 443),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_refusal_is_no_empty_answer() {
        let mut found = Vec::new();
        let refusal = message(2, 5, &(-13_i32).to_ne_bytes());
        assert_eq!(TCP.read(&refusal, 5, &mut found), Answer::Refused(13));
        let cut = &message(20, 5, &entry(2, 10, 80, &[1; 4], 9))[..40];
        assert_eq!(TCP.read(cut, 5, &mut found), Answer::Refused(NO_MESSAGE));
        assert_eq!(
            TCP.read(&[0; 64], 5, &mut found),
            Answer::Refused(NO_MESSAGE)
        );
        assert!(found.is_empty());
    }

    #[test]
    fn the_files_say_the_same() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0\n   \
            1: 0100007F:1F91 0100007F:1F92 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0000000000000000\n";
        assert_eq!(TCP.read_file(tcp), [socket(TCP, 4711, "127.0.0.1", 8080)]);
        let tcp6 = "header\n 0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 5 1 0\n\
             1: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 6 1 0\n";
        let expected = [socket(TCP6, 5, "::1", 80), socket(TCP6, 6, "127.0.0.1", 81)];
        assert_eq!(TCP6.read_file(tcp6), expected);
        let udp = "header\n 10: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 7 2 0 0\n";
        assert_eq!(UDP.read_file(udp), [socket(UDP, 7, "0.0.0.0", 5353)]);
        for text in [
            "",
            "header",
            "h\n x",
            "h\n 0: zz:1 x 0A",
            "h\n 0: 1:1 0:0 0A 0 0 0 0 0 5",
        ] {
            assert_eq!(TCP.read_file(text), [], "{text}");
        }
    }

    #[test]
    fn a_link_names_its_socket() {
        assert_eq!(inode_of_link(b"socket:[4711]"), Some(4711));
        for link in [
            "/dev/null",
            "pipe:[4711]",
            "socket:[]",
            "socket:[4711] (deleted)",
        ] {
            assert_eq!(inode_of_link(link.as_bytes()), None, "{link}");
        }
    }

    proptest! {
        /// Whatever comes, reading it ends and finds no port that could not be one.
        #[test]
        fn nothing_that_is_received_breaks_the_reading(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            text in "\\PC{0,200}",
        ) {
            let mut found = Vec::new();
            for table in TABLES {
                table.read(&bytes, word(&bytes, 8).unwrap_or(0), &mut found);
                found.extend(table.read_file(&text));
            }
            prop_assert!(found.iter().all(|socket| socket.port.number != 0 && socket.inode != 0));
        }
    }
}
