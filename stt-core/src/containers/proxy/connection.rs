//! One client, and what is done for it: first its request is read, then both directions flow.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::FcntlArg;
use nix::fcntl::FdFlag;
use nix::fcntl::OFlag;
use nix::fcntl::fcntl;
use nix::poll::PollFlags;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::UnixAddr;
use nix::sys::socket::socket;

use super::asking::Asking;
use super::flow::Flow;
use crate::container::Address;
use crate::container::Thing;
use crate::containers::answer::Made;
use crate::containers::answer::made;
use crate::containers::errand::Errand;
use crate::containers::label::Label;
use crate::containers::request::CONTINUE;
use crate::containers::request::Makes;
use crate::containers::request::Progress;
use crate::containers::request::Reader;
use crate::containers::request::Ready;
use crate::containers::volume::Volume;

/// How long an engine on another machine has to take a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    /// Which slot it came through.
    pub(super) slot: usize,
    client: OwnedFd,
    stage: Stage,
    /// What it makes, and the engine has not made yet.
    makes: Makes,
    /// The container that it makes, until its id is known.
    container: Option<Thing>,
    /// The client has closed both of its directions.
    gone: bool,
}

#[derive(Debug)]
enum Stage {
    Reading(Reader),
    /// The engine is asked for more than one thing.
    Asking(Asking),
    /// What it has said to the last of them goes to the client.
    Answering(Flow),
    Flowing {
        engine: OwnedFd,
        up: Flow,
        down: Flow,
    },
    Over,
}

/// What has happened to a connection.
#[derive(Debug)]
pub(super) enum News {
    Nothing,
    /// Its request is to go to the engine.
    Ready(Ready),
    /// What it makes is made, or is not.
    Made,
}

impl Connection {
    pub(super) fn new(slot: usize, client: OwnedFd) -> Self {
        Self {
            slot,
            client,
            stage: Stage::Reading(Reader::default()),
            makes: Makes::Nothing,
            container: None,
            gone: false,
        }
    }

    /// Whether nothing is left to be done for it.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Whether something may be made for it.
    pub(super) fn makes(&self) -> bool {
        self.makes != Makes::Nothing
    }

    /// What is to be waited for: the client's descriptor, and the engine's where there is one.
    pub(super) fn interests(&self) -> [Option<(BorrowedFd<'_>, PollFlags)>; 2] {
        let (read, write, none) = (PollFlags::POLLIN, PollFlags::POLLOUT, PollFlags::empty());
        match &self.stage {
            Stage::Reading(_) => [Some((self.client.as_fd(), read)), None],
            Stage::Flowing { engine, up, down } => {
                let of = |from: &Flow, to: &Flow| {
                    let idle = from.has_ended() || from.is_blocked();
                    let reads = if idle { none } else { read };
                    reads | if to.is_blocked() { write } else { none }
                };
                // Who is gone would be told of again and again; what he has sent is still taken.
                let client = (!self.gone).then(|| (self.client.as_fd(), of(up, down)));
                let rest = if self.gone && !up.is_over() {
                    write
                } else {
                    none
                };
                let flags = of(down, up) | rest;
                // So would an engine that has hung up while the client is slow.
                let engine = (!flags.is_empty()).then(|| (engine.as_fd(), flags));
                [client, engine]
            }
            Stage::Asking(asking) => {
                // Whether the client is still there changes nothing of what it has asked for.
                let client = (!self.gone).then(|| (self.client.as_fd(), none));
                [client, Some(asking.interest())]
            }
            Stage::Answering(_) => [Some((self.client.as_fd(), write)), None],
            Stage::Over => [None, None],
        }
    }

    /// Does what can be done without waiting. `hung_up` says whether the client has closed both directions.
    pub(super) fn go_on(&mut self, hung_up: bool, label: impl FnOnce() -> Label) -> News {
        self.gone |= hung_up;
        match &mut self.stage {
            Stage::Reading(_) => self.read(label),
            Stage::Asking(asking) => match asking.go_on() {
                Some(answer) => self.answer(answer),
                None => News::Nothing,
            },
            Stage::Answering(_) => {
                self.hand_over();
                News::Nothing
            }
            Stage::Flowing { .. } => self.flow(),
            Stage::Over => News::Nothing,
        }
    }

    fn read(&mut self, label: impl FnOnce() -> Label) -> News {
        let Stage::Reading(reader) = &mut self.stage else {
            return News::Nothing;
        };
        let mut piece = [0; 16 << 10];
        match nix::unistd::read(&self.client, &mut piece) {
            Ok(count) if count > 0 => match reader.take(&piece[..count], &label()) {
                Progress::More { invite } => {
                    if invite {
                        // It is short, and nothing else was sent: there is room for it.
                        let _ = nix::unistd::write(&self.client, CONTINUE);
                    }
                    News::Nothing
                }
                Progress::Ready(ready) => News::Ready(ready),
            },
            Err(Errno::EAGAIN | Errno::EINTR) => News::Nothing,
            // Without a whole request there is nothing to be done.
            Ok(_) | Err(_) => {
                self.stage = Stage::Over;
                News::Nothing
            }
        }
    }

    /// Sends the request to the engine; or tells the client that it can't be reached. Says whether it is sent.
    pub(super) fn forward(&mut self, ready: Ready, engine: io::Result<Address>) -> bool {
        let copied = ready.container.is_some();
        let sending = |engine| Stage::sending(ready.bytes, ready.volumes, copied, engine);
        match engine.and_then(sending) {
            Ok(stage) => {
                self.makes = ready.makes;
                self.container = ready.container;
                self.stage = stage;
                true
            }
            Err(error) => {
                let _ = nix::unistd::write(&self.client, &refusal(&error));
                self.stage = Stage::Over;
                false
            }
        }
    }

    /// The client is told this, and nothing more is made for it.
    fn answer(&mut self, answer: Vec<u8>) -> News {
        look_for_id(&mut self.container, &answer);
        self.makes = Makes::Nothing;
        self.stage = Stage::Answering(Flow::all(answer));
        self.hand_over();
        News::Made
    }

    /// A container that was made, once its id is known.
    pub(super) fn take_container(&mut self) -> Option<Thing> {
        self.container.take_if(|container| !container.id.is_empty())
    }

    fn hand_over(&mut self) {
        if let Stage::Answering(flow) = &mut self.stage {
            let client = self.client.as_fd();
            let failed = self.gone || flow.go_on(client, client).is_err();
            if failed || flow.is_over() {
                self.stage = Stage::Over;
            }
        }
    }

    fn flow(&mut self) -> News {
        let Stage::Flowing { engine, up, down } = &mut self.stage else {
            return News::Nothing;
        };
        let (client, engine) = (self.client.as_fd(), engine.as_fd());
        if up.go_on(client, engine).is_err() {
            up.give_up();
        }
        let answered = if self.gone {
            drain(engine, down)
        } else {
            down.go_on(engine, client).unwrap_or_else(|_| {
                down.give_up();
                false
            })
        };
        if answered
            && let Some(copy) = down.copy()
            && look_for_id(&mut self.container, copy)
        {
            down.stop_copying();
        }
        let made = match self.makes {
            Makes::Nothing => false,
            Makes::Image => down.has_ended(),
            Makes::Thing => answered || down.has_ended(),
        };
        if made {
            self.makes = Makes::Nothing;
        }
        // A client that is gone wants no answer. What it asked for is sent all the same, and what it makes is
        // waited for: it would come to be when nobody looks any more. An engine that is still at an image gives it
        // up once nothing more can come from us, and answers to the end.
        let client_is_done = self.gone && up.is_over() && self.makes == Makes::Nothing;
        if client_is_done || down.is_over() {
            self.stage = Stage::Over;
        }
        if made { News::Made } else { News::Nothing }
    }
}

impl Stage {
    /// A request on its way to the engine.
    fn sending(
        request: Vec<u8>,
        volumes: Vec<Volume>,
        copied: bool,
        engine: Address,
    ) -> io::Result<Self> {
        let connection = connect(&engine)?;
        Ok(if volumes.is_empty() {
            Self::Flowing {
                engine: connection,
                up: Flow::beginning_with(request),
                down: if copied {
                    Flow::copied()
                } else {
                    Flow::default()
                },
            }
        } else {
            let (errand, first) = Errand::start(request, volumes);
            Self::Asking(Asking::new(errand, first, engine, connection))
        })
    }
}

/// Looks for the id of the container that is being made in an answer, as far as it is here. Says whether no more of
/// it is needed.
fn look_for_id(making: &mut Option<Thing>, answer: &[u8]) -> bool {
    let Some(container) = making else {
        return true;
    };
    match made(answer) {
        Made::More => return false,
        Made::Nothing => *making = None,
        Made::Id(id) => container.id = id,
    }
    true
}

/// What a client is told whose engine can't be reached.
pub(super) fn refusal(error: &io::Error) -> Vec<u8> {
    let message = format!("cargo-stt: the engine can't be reached: {error}");
    let body = serde_json::json!({ "message": message }).to_string();
    let answer = format!(
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    answer.into_bytes()
}

/// Throws an answer away. Says whether there was some.
fn drain(engine: BorrowedFd<'_>, down: &mut Flow) -> bool {
    let mut piece = [0; 4 << 10];
    match nix::unistd::read(engine, &mut piece) {
        Ok(0) => {
            down.give_up();
            false
        }
        Ok(count) => {
            down.note(&piece[..count]);
            true
        }
        Err(Errno::EAGAIN | Errno::EINTR) => false,
        Err(_) => {
            down.give_up();
            false
        }
    }
}

/// A connection to the engine.
///
/// # Errors
/// It can't be reached.
pub(super) fn connect(engine: &Address) -> io::Result<OwnedFd> {
    Ok(match engine {
        Address::Unix(path) => {
            let family = AddressFamily::Unix;
            let socket = socket(family, SockType::Stream, SockFlag::empty(), None)?;
            fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            // An engine whose queue is full hangs, and must not hang us.
            nix::sys::socket::connect(socket.as_raw_fd(), &UnixAddr::new(path.as_std_path())?)?;
            socket
        }
        Address::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, CONNECT)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            stream.into()
        }
    })
}
