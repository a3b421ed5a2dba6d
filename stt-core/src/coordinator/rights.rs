//! The right to a port of which there is only one: one run has it at a time, and the one that has waited for the
//! longest is next.
//!
//! Who has it holds a lock on `<port>.port` (`flock(2)`), and who waits holds one on a ticket, whose name says
//! since when. The kernel frees both on any death.

use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::io::Write as _;

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use super::directory::Directory;
use super::directory::is_ours;
use super::error::CoordinatorError;
use super::lock::keep_trying;
use super::registration::Registration;

/// How often a fresh ticket is tried to be locked, and made anew.
const TRIES: u32 = 100;

/// What follows the port in the name of its lock.
const PORT: &str = ".port";

/// What follows the port in the name of a ticket.
const WAITS: &str = ".waits-";

/// Who has the right to a port, or waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RightHolder {
    /// The port.
    pub port: u16,
    /// The run; absent for a command that has leased it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The process.
    pub pid: i32,
    /// The test, or the command.
    pub what: String,
}

/// A port to which somebody has the right, or wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// The port.
    pub port: u16,
    /// Who has it; nobody for the moment between two.
    pub holder: Option<RightHolder>,
    /// Who waits for it, the one who is next first.
    pub waiting: Vec<RightHolder>,
}

/// A claim to a port.
#[derive(Debug)]
pub struct RightClaim {
    who: RightHolder,
    since: u64,
    number: u64,
    ticket: Option<(String, File)>,
    held: Option<File>,
}

impl RightClaim {
    /// A claim of this process since then, in milliseconds since the boot. The `number` tells its claims apart.
    pub fn new(who: RightHolder, since: u64, number: u64) -> Self {
        Self {
            who,
            since,
            number,
            ticket: None,
            held: None,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.who.port
    }

    /// Tries to get the right, and waits for nobody.
    ///
    /// # Errors
    /// The directory can't be written, or its file system knows no locks.
    pub fn attempt(&mut self, of: &Registration) -> io::Result<bool> {
        let directory = of.directory();
        if self.held.is_some() {
            return Ok(true);
        }
        self.queue(directory)?;
        if !self.is_first(directory)? {
            return Ok(false);
        }
        let name = lock_of(self.who.port);
        // To open it for writing wakes everybody who waits for a death.
        if directory.is_locked(&name) {
            return Ok(false);
        }
        let mut file = directory.file_for_all(&name)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever gave it back has removed it before he unlocked it.
        if !directory.still_holds(&name, &file)? {
            return Ok(false);
        }
        file.set_len(0)?;
        file.write_all(&serde_json::to_vec(&self.who)?)?;
        self.held = Some(file);
        self.leave(directory);
        Ok(true)
    }

    /// Gives the right back, or stops waiting for it.
    pub fn give_back(mut self, of: &Registration) {
        self.leave(of.directory());
        if let Some(file) = self.held.take() {
            // What can't be removed is taken by the next one: its lock is free.
            drop(of.directory().remove(&lock_of(self.who.port)));
            drop(file.unlock());
        }
    }

    /// Takes a place among those who wait.
    fn queue(&mut self, directory: &Directory) -> io::Result<()> {
        let (port, pid) = (self.who.port, self.who.pid);
        let name = format!("{port}{WAITS}{:020}-{pid}-{}", self.since, self.number);
        for _ in 0..TRIES {
            if let Some((name, file)) = &self.ticket
                && directory.still_holds(name, file)?
            {
                return Ok(());
            }
            let mut file = directory.file_for_all(&name)?;
            // Somebody may look whether it is held.
            match keep_trying(TRIES, || file.try_lock()) {
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            file.write_all(&serde_json::to_vec(&self.who)?)?;
            self.ticket = Some((name.clone(), file));
        }
        Err(io::Error::other("somebody removes what waits for ports"))
    }

    /// Whether nobody has waited for longer.
    fn is_first(&self, directory: &Directory) -> io::Result<bool> {
        let own = self.ticket.as_ref().map(|(name, _)| name.as_str());
        for name in directory.tickets(self.who.port)? {
            if Some(name.as_str()) == own {
                break;
            }
            if directory.is_locked(&name) {
                return Ok(false);
            }
            directory.remove(&name)?;
        }
        Ok(true)
    }

    fn leave(&mut self, directory: &Directory) {
        if let Some((name, _file)) = self.ticket.take() {
            drop(directory.remove(&name));
        }
    }
}

impl Registration {
    /// Who has the right to a port, as far as it can be seen.
    pub fn right_holder(&self, port: u16) -> Option<RightHolder> {
        self.directory().right_holder(&lock_of(port))
    }
}

impl Directory {
    /// The ports to which somebody has the right, or wants it, in their order.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn rights(&self) -> Result<Vec<Right>, CoordinatorError> {
        let names = self.names()?;
        let mut ports: Vec<_> = names.iter().filter_map(|name| port_of(name)).collect();
        ports.sort_unstable();
        ports.dedup();
        let of = |port| Right {
            port,
            holder: self.right_holder(&lock_of(port)),
            waiting: tickets_among(&names, port)
                .into_iter()
                .filter_map(|name| self.right_holder(name))
                .collect(),
        };
        let rights = ports.into_iter().map(of);
        Ok(rights
            .filter(|right| right.holder.is_some() || !right.waiting.is_empty())
            .collect())
    }

    /// The tickets for a port, the oldest first.
    fn tickets(&self, port: u16) -> io::Result<Vec<String>> {
        let names = self.names().map_err(io::Error::other)?;
        Ok(tickets_among(names, port))
    }

    /// Who wrote a file, if he still holds its lock.
    fn right_holder(&self, name: &str) -> Option<RightHolder> {
        if !self.is_locked(name) {
            return None;
        }
        serde_json::from_slice(&self.read(name).ok()??).ok()
    }

    /// Whether somebody holds the lock of this file of ours alone; the lock of a run, which several share, is another
    /// matter. It is shared for the look, so that two who look at the same time don't take each other for him.
    fn is_locked(&self, name: &str) -> bool {
        let Ok(file) = self.open_file(name, OFlag::O_RDONLY) else {
            return false;
        };
        is_ours(&file).is_ok() && matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

/// Those of these names that are tickets for a port, the oldest first.
fn tickets_among<N: AsRef<str> + Ord>(names: impl IntoIterator<Item = N>, port: u16) -> Vec<N> {
    let prefix = format!("{port}{WAITS}");
    let tickets = names
        .into_iter()
        .filter(|name| name.as_ref().starts_with(&prefix));
    let mut tickets: Vec<N> = tickets.collect();
    tickets.sort_unstable();
    tickets
}

/// The port whose lock or ticket has this name.
fn port_of(name: &str) -> Option<u16> {
    let (port, rest) = name.split_at(name.find('.')?);
    let ours = rest == PORT || rest.starts_with(WAITS);
    port.parse().ok().filter(|_| ours)
}

fn lock_of(port: u16) -> String {
    format!("{port}{PORT}")
}
