//! Requests to an engine from a thread that may wait for the answer: one connection each.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::net::ToSocketAddrs as _;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::container::Address;
use crate::containers::answer;
use crate::containers::discovery::Host;
use crate::containers::plain;

/// The longest head of an answer.
const LONGEST: usize = 64 << 10;

/// A connection to an engine.
#[derive(Debug)]
pub(super) enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// What an engine has answered.
#[derive(Debug)]
pub(super) struct Answer {
    bytes: Vec<u8>,
}

impl Answer {
    /// Its number; zero when it is no answer at all.
    pub(super) fn status(&self) -> u16 {
        answer::status(&self.bytes).unwrap_or_default()
    }

    /// Whether the engine has done what it was asked for.
    pub(super) fn is_good(&self) -> bool {
        answer::is_good(&self.bytes)
    }

    /// What it has to say.
    pub(super) fn body(&self) -> &[u8] {
        plain::body(&self.bytes)
    }

    /// The engine's own words for why it has refused.
    pub(super) fn complaint(&self) -> String {
        plain::complaint(&self.bytes)
    }
}

impl Connection {
    /// Connects. Nothing on it takes longer than `patience`.
    ///
    /// # Errors
    /// Nobody listens.
    pub(super) fn open(engine: &Address, patience: Duration) -> io::Result<Self> {
        Ok(match engine {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                Self::Unix(stream)
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, patience)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                stream.set_nodelay(true)?;
                Self::Tcp(stream)
            }
        })
    }

    /// Sends a request for a stream, and reads the head of the answer. Returns what has come behind it.
    ///
    /// # Errors
    /// The engine refuses, in its own words, or can't be reached.
    pub(super) fn upgrade(&mut self, target: &str, body: &str) -> io::Result<Vec<u8>> {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: cargo-stt\r\nContent-Type: application/json\r\n\
             Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = self.read(&mut buffer)?;
            bytes.extend(&buffer[..count]);
            let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            let status = answer::status(&bytes).unwrap_or_default();
            match head {
                Some(end) if status == 101 || (200..300).contains(&status) => {
                    return Ok(bytes.split_off(end + 4));
                }
                // A refusal leaves the connection open.
                Some(_) if count == 0 || answer::is_whole(&bytes) => {
                    return Err(io::Error::other(Answer { bytes }.complaint()));
                }
                None if count == 0 || bytes.len() > LONGEST => {
                    return Err(io::Error::other("its answer is none"));
                }
                Some(_) | None => {}
            }
        }
    }
}

/// Sends a request, and reads the whole answer: of HTTP/1.0 it ends with the connection, and is in one piece.
///
/// # Errors
/// The engine can't be reached, or takes longer than `patience`.
pub(super) fn ask(
    engine: &Address,
    method: &str,
    target: &str,
    body: Option<&str>,
    patience: Duration,
) -> io::Result<Answer> {
    let mut connection = Connection::open(engine, patience)?;
    let mut request = format!("{method} {target} HTTP/1.0\r\nHost: cargo-stt\r\n");
    if let Some(body) = body {
        let length = body.len();
        request.push_str("Content-Type: application/json\r\nContent-Length: ");
        request.push_str(&length.to_string());
        request.push_str("\r\n\r\n");
        request.push_str(body);
    } else {
        request.push_str("\r\n");
    }
    connection.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes)?;
    Ok(Answer { bytes })
}

/// Where an engine listens that was found.
///
/// # Errors
/// The name of its host is not known.
pub(super) fn address(host: &Host) -> io::Result<Address> {
    match host {
        Host::Unix(path) => Ok(Address::Unix(path.clone())),
        Host::Tcp(name) => {
            let first = name.to_socket_addrs()?.next();
            let unknown = || io::Error::other(format!("`{name}` has no address"));
            first.map(Address::Tcp).ok_or_else(unknown)
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}
