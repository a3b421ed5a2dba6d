//! A way to a Unix socket over a port of this machine.

use std::io;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;

use camino::Utf8PathBuf;

/// Passes on what comes to a port, and what comes back, for as long as this program runs.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Relay {
    /// Begins to listen.
    ///
    /// # Panics
    /// The system gives no port.
    pub fn to(socket: impl Into<Utf8PathBuf>) -> Self {
        let socket = socket.into();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
        let connections = Arc::new(AtomicUsize::new(0));
        let relay = Self {
            address: listener.local_addr().expect("it listens"),
            connections: Arc::clone(&connections),
        };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                // Where nobody listens behind it, the client finds its connection closed.
                if let Ok(behind) = UnixStream::connect(&socket) {
                    pass(client, behind).expect("there are threads and descriptors");
                }
            }
        });
        relay
    }

    /// How many have come.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Both directions by themselves, each to its own end.
fn pass(client: TcpStream, behind: UnixStream) -> io::Result<()> {
    let (mut from, mut to) = (client.try_clone()?, behind.try_clone()?);
    thread::spawn(move || {
        // Either side may be gone: then there is nothing more to pass on.
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    });
    let (mut from, mut to) = (behind, client);
    thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    });
    Ok(())
}
