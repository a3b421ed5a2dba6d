//! The other runs of this user as they tell of themselves, and the shares of the cores that are held.

use std::fs::File;
use std::fs::TryLockError;
use std::io;

use nix::fcntl::OFlag;

use super::directory::Directory;
use super::error::CoordinatorError;
use super::lock::lock_byte;
use super::registration::Registration;
use super::registration::live_of;
use super::registration::lock_of;
use crate::coordinator::Counters;
use crate::coordinator::Live;

/// The file whose bytes are the shares.
const SHARES: &str = "shares";

/// The file that says when the last run went on that had been stopped.
const RESTARTED: &str = "restarted";

/// The shares of the cores that are held: each is a lock on one byte of a file that all runs know
/// (`F_OFD_SETLK`, `fcntl(2)`). The kernel frees them on any death.
#[derive(Debug)]
pub struct Shares {
    file: File,
    held: Vec<u64>,
}

impl Shares {
    /// Opens the file; nothing is held.
    ///
    /// # Errors
    /// It can't be made, or it is not ours.
    pub fn open(directory: &Directory) -> io::Result<Self> {
        Ok(Self {
            file: directory.file_for_all(SHARES)?,
            held: Vec::new(),
        })
    }

    /// How many are held.
    pub fn held(&self) -> u64 {
        self.held.len() as u64
    }

    /// Takes one of those with these numbers, if one is free.
    ///
    /// # Errors
    /// The file system knows no such locks.
    pub fn take(&mut self, numbers: std::ops::Range<u64>) -> io::Result<bool> {
        for number in numbers {
            if !self.held.contains(&number) && lock_byte(&self.file, number, libc::F_WRLCK)? {
                self.held.push(number);
                self.held.sort_unstable();
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives back those with the highest numbers, until so many are left.
    ///
    /// # Errors
    /// The file system knows no such locks.
    pub fn keep(&mut self, count: u64) -> io::Result<()> {
        while self.held() > count {
            if let Some(number) = self.held.pop() {
                lock_byte(&self.file, number, libc::F_UNLCK)?;
            }
        }
        Ok(())
    }
}

impl Registration {
    /// Replaces what the run tells of itself while it lives. It need not survive the machine, so no disk is waited
    /// for.
    ///
    /// # Errors
    /// It can't be written; what was told before stands then.
    pub fn tell(&self, live: &Live) -> io::Result<()> {
        let text = live.to_json()?;
        self.directory().replace(&live_of(self.name()), &text)
    }

    /// What the other runs that live tell of themselves, the oldest first.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn others(&self) -> Result<Vec<Live>, CoordinatorError> {
        self.directory().lives(Some(self.name()))
    }

    /// Counts what was done, for whoever wants to know; nobody waits for it.
    pub fn count(&self, boot: &str, more: Counters) {
        drop(self.directory().count(boot, more));
    }

    /// What the run of this name tells, if it is another one that lives.
    pub fn told_by(&self, stem: &str) -> Option<Live> {
        (stem != self.name())
            .then(|| self.directory().live(stem))
            .flatten()
    }

    /// Whether others see these shares: cleaners of temporary directories remove files that are in use.
    pub fn sees(&self, shares: &Shares) -> bool {
        let seen = self.directory().still_holds(SHARES, &shares.file);
        seen.unwrap_or(false)
    }

    /// The shares of the cores.
    ///
    /// # Errors
    /// As [`Shares::open`].
    pub fn shares(&self) -> io::Result<Shares> {
        Shares::open(self.directory())
    }

    /// When the last run on this machine went on that had been stopped, in milliseconds since the boot.
    pub fn last_restart(&self) -> Option<u64> {
        let text = self.directory().read(RESTARTED).ok()??;
        String::from_utf8(text).ok()?.trim().parse().ok()
    }

    /// Goes on, if nobody has gone on since `last`: writes down that this run does.
    ///
    /// # Errors
    /// It can't be written.
    pub fn claim_restart(&self, last: Option<u64>, now: u64) -> io::Result<bool> {
        let gate = self.directory().file_for_all("restarting")?;
        match gate.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if self.last_restart() != last {
            return Ok(false);
        }
        let text = now.to_string();
        self.directory().replace(RESTARTED, text.as_bytes())?;
        Ok(true)
    }
}

impl Directory {
    /// What the runs that live tell of themselves, the oldest first, but for that of this name.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn lives(&self, but: Option<&str>) -> Result<Vec<Live>, CoordinatorError> {
        let names = self.names()?;
        let stems = names.iter().filter_map(|name| name.strip_suffix(".live"));
        let others = stems.filter(|stem| Some(*stem) != but);
        let mut lives: Vec<Live> = others.filter_map(|stem| self.live(stem)).collect();
        lives.sort_by_key(Live::age);
        Ok(lives)
    }

    fn live(&self, stem: &str) -> Option<Live> {
        if !self.is_held(&lock_of(stem)) {
            return None;
        }
        let text = self.read(&live_of(stem)).ok()??;
        Live::parse(&text)
    }

    /// Whether somebody holds the lock of this name. It is not opened for writing: those who wait for a death would
    /// take the closing for one.
    fn is_held(&self, name: &str) -> bool {
        let Ok(file) = self.open_file(name, OFlag::O_RDONLY) else {
            return false;
        };
        matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    }
}
