//! A request that names volumes: first these are made, then the container. One thread sees to one of them, since
//! each of its requests has to be answered before the next, and the proxy's own thread waits for nobody.

use std::io;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;

use crate::container::Address;
use crate::containers::proxy::connection::refusal;
use crate::containers::volume::Volume;

/// The longest answer that is looked at. Those to such requests are a few hundred bytes long.
const MOST: u64 = 8 << 20;

/// What is to be done for a client.
pub(super) struct Errand {
    pub(super) client: OwnedFd,
    pub(super) engine: Address,
    /// What makes the container.
    pub(super) request: Vec<u8>,
    pub(super) volumes: Vec<Volume>,
    /// The key of the run's label.
    pub(super) key: String,
}

impl Errand {
    /// Starts the thread, which says when it is over.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn start(self, over: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let work = move || {
            self.run();
            over();
        };
        let thread = thread::Builder::new().name("stt-volumes".to_owned());
        // It ends with the engine's answers, and nobody waits for it but the end of its test.
        thread.stack_size(256 << 10).spawn(work).map(drop)
    }

    fn run(self) {
        let made: Vec<_> = self.volumes.iter().filter(|one| self.make(one)).collect();
        let answer = self.ask(&self.request);
        if !answer.as_ref().is_ok_and(|answer| is_good(answer)) {
            // Without us there would be none of them now. A container that has one keeps it.
            for volume in made {
                drop(self.ask(&volume.remove));
            }
        }
        let answer = answer.unwrap_or_else(|error| refusal(&error));
        // A client that is gone wants no answer.
        let mut client = UnixStream::from(self.client);
        drop(client.set_nonblocking(false));
        drop(client.write_all(&answer));
    }

    /// Makes a volume, unless it is there. Says whether it is new.
    fn make(&self, volume: &Volume) -> bool {
        let there = self.ask(&volume.look);
        if !there.is_ok_and(|answer| status(&answer) == Some(404)) {
            return false;
        }
        // Who has made it in between has not given it our label.
        let made = self.ask(&volume.make);
        made.is_ok_and(|answer| {
            is_good(&answer) && String::from_utf8_lossy(&answer).contains(&self.key)
        })
    }

    /// Sends a request and returns the answer.
    fn ask(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        match &self.engine {
            Address::Unix(path) => exchange(UnixStream::connect(path)?, request),
            Address::Tcp(address) => exchange(TcpStream::connect(address)?, request),
        }
    }
}

fn exchange(mut stream: impl io::Read + io::Write, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

/// The number in the first line of an answer (RFC 9112, 4).
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"HTTP/1.")?;
    std::str::from_utf8(line.get(2..5)?).ok()?.parse().ok()
}

fn is_good(answer: &[u8]) -> bool {
    status(answer).is_some_and(|status| (200..300).contains(&status))
}
