//! The record of our own run, for as long as it lives.

use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use nix::fcntl::OFlag;

use super::directory::Directory;
use super::error::CoordinatorError;
use crate::container::Address;
use crate::coordinator::Record;

/// How many names are tried. The first is taken unless a dead leg of this run with our process id has
/// left it.
const NAMES: u32 = 10;

/// The record of a run that lives. Dropping it ends the run in order: record and lock are removed.
#[derive(Debug)]
pub struct Registration {
    directory: Directory,
    name: String,
    /// Shared, so that a supervisor can hold it as well.
    held: File,
    /// What was told last.
    record: Mutex<Record>,
}

impl Registration {
    /// Makes the run known: first the lock, then the record.
    ///
    /// # Errors
    /// The directory is full, read-only, or on a file system that knows no locks.
    pub fn begin(directory: Directory, record: &Record) -> Result<Self, CoordinatorError> {
        let stem = record.stem();
        for number in 1..=NAMES {
            let name = match number {
                1 => stem.clone(),
                _ => format!("{stem}.{number}"),
            };
            if let Some(held) = take(&directory, &lock_of(&name))? {
                let registration = Self {
                    directory,
                    name,
                    held,
                    record: Mutex::new(record.clone()),
                };
                registration.update(record)?;
                return Ok(registration);
            }
        }
        Err(CoordinatorError::Write {
            path: directory.path().join(record_of(&stem)),
            source: io::ErrorKind::AlreadyExists.into(),
        })
    }

    /// Replaces what the run tells of itself.
    ///
    /// # Errors
    /// It can't be written; what was told before stands then.
    pub fn update(&self, record: &Record) -> Result<(), CoordinatorError> {
        let name = record_of(&self.name);
        let text = record.to_json().map_err(io::Error::from);
        text.and_then(|text| self.directory.write(&name, &text))
            .map_err(|source| CoordinatorError::Write {
                path: self.directory.path().join(name),
                source,
            })
    }

    /// Tells as well at which engine the run's tests make something.
    ///
    /// # Errors
    /// As for [`Registration::update`].
    pub fn has_engine(&self, engine: &Address) -> Result<(), CoordinatorError> {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.engine = Some(engine.clone());
        self.update(&record)
    }

    /// Tells as well that the run's tests may make something with Podman's command.
    ///
    /// # Errors
    /// As for [`Registration::update`].
    pub fn has_podman(&self) -> Result<(), CoordinatorError> {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.podman = true;
        self.update(&record)
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where the records are.
    pub fn place(&self) -> &Utf8Path {
        self.directory.path()
    }

    /// The file whose lock says that the run lives, for [`hold_shared`](super::hold_shared).
    pub fn lock_path(&self) -> Utf8PathBuf {
        self.directory.path().join(lock_of(&self.name))
    }
}

#[cfg(test)]
impl Registration {
    /// Frees the lock, as the death of the process would.
    pub(super) fn let_go(&mut self) {
        self.held.unlock().unwrap();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // After a bug of ours nobody knows what is still alive: the next run sees to it.
        if std::thread::panicking() {
            return;
        }
        // The lock goes last: a record without one would tell nobody whether its run lives. What can't be
        // removed is found by the next run, which looks for processes, finds none, and tries again.
        drop(self.directory.remove(&live_of(&self.name)));
        if self.directory.remove(&record_of(&self.name)).is_ok() {
            drop(self.directory.remove(&lock_of(&self.name)));
        }
        drop(self.held.unlock());
    }
}

/// The name of a lock.
pub(super) fn lock_of(name: &str) -> String {
    format!("{name}.lock")
}

/// The name of a record.
pub(super) fn record_of(name: &str) -> String {
    format!("{name}.json")
}

/// The name of what is told while a run lives.
pub(super) fn live_of(name: &str) -> String {
    format!("{name}.live")
}

/// Makes a lock file and holds it; `None` when there is such a file, or somebody took it for one that
/// was left behind.
fn take(directory: &Directory, name: &str) -> Result<Option<File>, CoordinatorError> {
    let path = || directory.path().join(name);
    let new = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
    let file = match directory.open_file(name, new) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(source) => {
            return Err(CoordinatorError::Write {
                path: path(),
                source,
            });
        }
    };
    let locked = match file.try_lock_shared() {
        Ok(()) => directory.still_holds(name, &file),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            drop(directory.remove(name));
            Err(error)
        }
    };
    let locked = locked.map_err(|source| CoordinatorError::Lock {
        path: path(),
        source,
    })?;
    Ok(locked.then_some(file))
}
