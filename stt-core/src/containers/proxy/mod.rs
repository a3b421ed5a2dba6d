//! A proxy in front of the engine: a socket for each slot, and one thread that serves them all.
//!
//! A slot runs one test at a time, so whatever comes through its socket is that test's. Nothing is contacted
//! until a client has sent a request.

mod asking;
mod connection;
mod flow;

use std::io;
use std::net::ToSocketAddrs as _;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;

use crate::clock::Clock;
use crate::container::Address;
use crate::containers::discovery::Engine;
use crate::containers::discovery::Host;
use crate::containers::label::Label;
use crate::containers::request::Makes;
use crate::containers::roster::Roster;
use crate::id::RunId;
use connection::Connection;
use connection::News;

/// The longest path of a Unix socket, its last zero included (`unix(7)`).
const LONGEST: usize = if cfg!(target_os = "linux") { 108 } else { 104 };

/// How the names of the sockets begin.
pub(super) const NAME: &str = ".stt-engine-";

/// How long the rest waits after an `accept` that was refused for want of descriptors.
const BREATH: u8 = 50;

/// Who is told where the engine is, before the first thing is made there.
pub type Notify = Box<dyn Fn(&Address) + Send>;

/// A running proxy. Dropped, it ends.
#[derive(Debug)]
pub struct Proxy {
    desks: Vec<Arc<Desk>>,
    roster: Arc<Roster>,
    engine: Arc<OnceLock<Address>>,
    variables: &'static [&'static str],
    wake: Option<io::PipeWriter>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the proxy and the thread of a slot know together.
#[derive(Debug)]
pub struct Desk {
    slot: usize,
    path: Utf8PathBuf,
    listener: UnixListener,
    state: Mutex<State>,
    changed: Condvar,
    roster: Arc<Roster>,
}

#[derive(Debug, Default)]
struct State {
    /// The test that runs.
    test: String,
    /// Whether something was made since it began.
    made: bool,
    /// How many clients there are.
    clients: usize,
    /// How many of them wait for something to be made.
    making: usize,
}

impl Desk {
    /// Where the slot's clients connect to.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// A test begins.
    pub fn begin(&self, test: String) {
        self.roster.forget(self.slot);
        let mut state = self.state();
        state.test = test;
        state.made = false;
    }

    /// Nothing of the test is alive any more. Says whether something was made for it, once that is sure: what
    /// its clients had asked for before they died has come to be then, or the time is over.
    pub fn end(&self, clock: &Clock, budget: Duration) -> bool {
        /// Clients that live on belong to containers, and end with these.
        const LINGER: Duration = Duration::from_millis(100);
        let began = clock.now();
        let mut state = self.state();
        loop {
            let limit = if state.making > 0 {
                budget
            } else if state.clients > 0 || self.has_callers() {
                LINGER
            } else {
                return state.made;
            };
            let left = limit.saturating_sub(clock.now().saturating_sub(began));
            if left.is_zero() {
                return state.made;
            }
            // What is in the listener's queue is told by nobody.
            let left = left.min(Duration::from_millis(5));
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether somebody has connected and was not seen yet.
    fn has_callers(&self) -> bool {
        let mut fds = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Opens a socket for each of so many slots, below `dir`, and starts the thread, which serves at most `most`
    /// clients at once; others wait.
    ///
    /// # Errors
    /// The path is too long for a socket, or the system refuses sockets or a thread.
    pub fn start(
        dir: &Utf8Path,
        slots: usize,
        most: usize,
        engine: Engine,
        run: &RunId,
        notify: Notify,
    ) -> io::Result<Self> {
        let roster = Arc::default();
        let desks: Vec<_> = (0..slots)
            .map(|slot| open(dir, slot, Arc::clone(&roster)).map(Arc::new))
            .collect::<io::Result<_>>()?;
        let (waking, wake) = io::pipe()?;
        let address = Arc::new(OnceLock::new());
        let server = Server {
            desks: desks.clone(),
            host: engine.host,
            address: Arc::clone(&address),
            roster: Arc::clone(&roster),
            run: run.clone(),
            notify: Some(notify),
            waking: waking.into(),
            clients: Vec::new(),
            most,
            out_of_breath: false,
        };
        let thread = thread::Builder::new()
            .name("stt-containers".to_owned())
            .stack_size(512 << 10)
            .spawn(move || server.serve())?;
        Ok(Self {
            desks,
            roster,
            engine: address,
            variables: engine.variables,
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// What the proxy and the slot of this number know together.
    pub fn desk(&self, slot: usize) -> Option<&Arc<Desk>> {
        self.desks.get(slot)
    }

    /// The containers that the running tests have made.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// The variables by which clients find the slot's socket.
    pub fn variables(&self) -> &'static [&'static str] {
        self.variables
    }

    /// Where it will be said where the engine is.
    pub fn place(&self) -> Arc<OnceLock<Address>> {
        Arc::clone(&self.engine)
    }

    /// Where the engine is; `None` as long as nothing was made there.
    pub fn engine(&self) -> Option<&Address> {
        self.engine.get()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was reported by the panic hook; there is nothing to add.
            drop(thread.join());
        }
        for desk in &self.desks {
            drop(fs_err::remove_file(&desk.path));
        }
    }
}

fn open(dir: &Utf8Path, slot: usize, roster: Arc<Roster>) -> io::Result<Desk> {
    let path = dir.join(format!("{NAME}{slot}"));
    if path.as_str().len() >= LONGEST {
        let message = format!("`{path}` is too long for the path of a socket");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let listener = UnixListener::bind(&path)?;
    listener.set_nonblocking(true)?;
    Ok(Desk {
        slot,
        path,
        listener,
        state: Mutex::default(),
        changed: Condvar::new(),
        roster,
    })
}

struct Server {
    desks: Vec<Arc<Desk>>,
    host: Host,
    /// Set when something is made.
    address: Arc<OnceLock<Address>>,
    roster: Arc<Roster>,
    run: RunId,
    /// Taken when something is made.
    notify: Option<Notify>,
    waking: OwnedFd,
    clients: Vec<Connection>,
    most: usize,
    out_of_breath: bool,
}

impl Server {
    fn serve(mut self) {
        let mut hung_up = Vec::new();
        let mut ready = Vec::new();
        while self.wait(&mut ready, &mut hung_up) {
            for (number, &(busy, hung_up)) in ready.iter().enumerate() {
                if busy {
                    self.go_on(number, hung_up);
                }
            }
            self.forget();
            self.out_of_breath = false;
            for &slot in &hung_up {
                self.accept(slot);
            }
        }
        for desk in &self.desks {
            desk.state().making = 0;
            desk.changed.notify_all();
        }
    }

    /// Waits for something to do: which clients are busy and which of them have hung up, and which slots have
    /// callers. Says whether to go on.
    fn wait(&self, busy: &mut Vec<(bool, bool)>, callers: &mut Vec<usize>) -> bool {
        let mut fds = vec![PollFd::new(self.waking.as_fd(), PollFlags::POLLIN)];
        let listens = !self.out_of_breath && self.clients.len() < self.most;
        let listeners = if listens { &*self.desks } else { &[] };
        fds.extend(
            listeners
                .iter()
                .map(|desk| PollFd::new(desk.listener.as_fd(), PollFlags::POLLIN)),
        );
        let first = fds.len();
        let mut owners = Vec::with_capacity(self.clients.len() * 2);
        for (number, client) in self.clients.iter().enumerate() {
            for (side, interest) in client.interests().into_iter().enumerate() {
                if let Some((fd, flags)) = interest {
                    fds.push(PollFd::new(fd, flags));
                    owners.push((number, side == 0));
                }
            }
        }
        let timeout = if self.out_of_breath {
            PollTimeout::from(BREATH)
        } else {
            PollTimeout::NONE
        };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
        let events: Vec<_> = fds
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()))
            .collect();
        busy.clear();
        busy.resize(self.clients.len(), (false, false));
        for (&(number, is_client), &event) in owners.iter().zip(&events[first..]) {
            busy[number].0 |= !event.is_empty();
            busy[number].1 |=
                is_client && event.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
        }
        callers.clear();
        let called = events[1..first].iter().enumerate();
        callers.extend(
            called
                .filter(|(_, event)| !event.is_empty())
                .map(|(slot, _)| slot),
        );
        events[0].is_empty()
    }

    fn go_on(&mut self, number: usize, hung_up: bool) {
        let client = &mut self.clients[number];
        let desk = &self.desks[client.slot];
        let news = client.go_on(hung_up, || {
            Label::new(self.run.clone(), desk.state().test.clone())
        });
        if let Some(container) = client.take_container() {
            self.roster.add(client.slot, container);
        }
        match news {
            News::Nothing => {}
            News::Made => {
                desk.state().making -= 1;
                desk.changed.notify_all();
            }
            News::Ready(ready) => {
                let makes = ready.makes;
                let address = self.resolve();
                if let Ok(address) = &address {
                    if makes == Makes::Thing {
                        self.tell(address);
                    }
                    let mut state = self.desks[self.clients[number].slot].state();
                    state.made |= makes == Makes::Thing;
                    state.making += usize::from(makes != Makes::Nothing);
                }
                let client = &mut self.clients[number];
                if client.forward(ready, address) {
                    self.go_on(number, false);
                } else if makes != Makes::Nothing {
                    let desk = &self.desks[client.slot];
                    let mut state = desk.state();
                    state.making = state.making.saturating_sub(1);
                    desk.changed.notify_all();
                }
            }
        }
    }

    fn resolve(&self) -> io::Result<Address> {
        if let Some(address) = self.address.get() {
            return Ok(address.clone());
        }
        match &self.host {
            Host::Unix(path) => Ok(Address::Unix(path.clone())),
            Host::Tcp(host) => {
                let mut found = host.to_socket_addrs()?;
                let first = found.next().ok_or(io::ErrorKind::NotFound)?;
                Ok(Address::Tcp(first))
            }
        }
    }

    /// Before the first thing is made, whoever would have to remove it is told where it is.
    fn tell(&mut self, address: &Address) {
        if let Some(notify) = self.notify.take() {
            notify(address);
            drop(self.address.set(address.clone()));
        }
    }

    fn accept(&mut self, slot: usize) {
        let desk = Arc::clone(&self.desks[slot]);
        let mut state = desk.state();
        while self.clients.len() < self.most {
            match desk.listener.accept() {
                Ok((client, _)) => {
                    if client.set_nonblocking(true).is_ok() {
                        self.clients.push(Connection::new(slot, client.into()));
                        state.clients += 1;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Descriptors are short: the callers wait for those of others.
                Err(_) => {
                    self.out_of_breath = true;
                    return;
                }
            }
        }
    }

    /// Forgets those that are over.
    fn forget(&mut self) {
        let desks = &self.desks;
        self.clients.retain(|client| {
            if !client.is_over() {
                return true;
            }
            let desk = &desks[client.slot];
            let mut state = desk.state();
            state.clients -= 1;
            state.making -= usize::from(client.makes());
            desk.changed.notify_all();
            false
        });
    }
}

#[cfg(test)]
mod tests;
