//! The file while a run goes on: created, extended after every test, synced, set aside.

use std::borrow::Borrow;
use std::fs;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::Write as _;
use std::mem;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use camino::Utf8Path;
use camino::Utf8PathBuf;

use crate::checkpoint::format::CLOSING;
use crate::checkpoint::format::Header;
use crate::checkpoint::format::Record;
use crate::checkpoint::tail::Framed;
use crate::checkpoint::tail::Tail;

/// From this size of the file on, failed tests are kept without their output, so that the file can
/// still be read back: some 2,000 failures with as much output as is kept at all.
const OUTPUT_BUDGET: u64 = 64 << 20;

/// The checkpoint can't be kept, or not completely. The tests run on.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Something in the header must not be in a file that is read again.
    #[error("the run can't be kept in a checkpoint: {reason}")]
    Header {
        /// What.
        reason: String,
    },
    /// Something that is no file has the name.
    #[error("`{path}` exists and is no regular file")]
    NotAFile {
        /// The checkpoint.
        path: Utf8PathBuf,
    },
    /// There is no file now, or the old one.
    #[error("the checkpoint `{path}` could not be created")]
    Create {
        /// The checkpoint.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The record waits in memory, and is tried again with the next one.
    #[error("the checkpoint `{path}` could not be written; results wait in memory")]
    Write {
        /// The checkpoint.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// So many records wait in memory that this one found no room.
    #[error("the checkpoint `{path}` still can't be written, and results are lost for a later run")]
    Lost {
        /// The checkpoint.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The record is longer than a line may be.
    #[error("a record is too long for the checkpoint `{path}`")]
    TooLong {
        /// The checkpoint.
        path: Utf8PathBuf,
    },
    /// The records are in the file, but a power cut could still take them.
    #[error("the checkpoint `{path}` could not be written through to the disk")]
    Sync {
        /// The checkpoint.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another file has the name now, such as that of a second run in the same workspace.
    #[error(
        "the checkpoint `{path}` was replaced by another file; this run's results don't go there"
    )]
    Replaced {
        /// The checkpoint.
        path: Utf8PathBuf,
    },
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// In the file: it outlives the runner, and after the next [`Writer::sync`] the machine.
    Written,
    /// Not in the file, which can't be written; an error told so when that began.
    Waiting,
}

/// The checkpoint of a running leg. Any thread may append.
#[derive(Debug)]
pub struct Writer {
    path: Utf8PathBuf,
    state: Mutex<State>,
    /// Where the closing begins, for those who don't have the lock. May be a little behind.
    size: AtomicU64,
}

struct State {
    file: Arc<File>,
    tail: Tail,
    /// Whether the last write failed, and the caller knows.
    write_fails: bool,
    /// Whether the caller knows that records are lost.
    loses: bool,
    /// Whether the last sync failed, and the caller knows.
    sync_fails: bool,
}

impl Writer {
    /// Puts a new checkpoint in the place of `path`, in one step: before it there is the old file,
    /// after it the new one with the `kept` records of earlier legs, on the disk. Missing directories
    /// are made.
    ///
    /// # Errors
    /// The header can't be kept, `path` is a device or the like, or the file can't be written.
    pub fn create(
        path: &Utf8Path,
        header: &Header,
        kept: impl IntoIterator<Item: Borrow<Record>>,
    ) -> Result<Self, CheckpointError> {
        let head = header
            .encode()
            .map_err(|reason| CheckpointError::Header { reason })?;
        // A rename would put a file in the place of `/dev/null`, were we allowed to.
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(CheckpointError::NotAFile {
                path: path.to_owned(),
            });
        }
        let mut end = head.len() as u64;
        let mut empty = true;
        let file = replace(path, |file| {
            file.write_all(&head)?;
            for record in kept {
                let Some(line) = encode(record.borrow(), end) else {
                    continue;
                };
                let separator: &[u8] = if empty { b"\n" } else { b",\n" };
                file.write_all(separator)?;
                file.write_all(&line)?;
                end += (separator.len() + line.len()) as u64;
                empty = false;
            }
            file.write_all(CLOSING)
        });
        let file = file.map_err(|source| CheckpointError::Create {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            size: AtomicU64::new(end),
            state: Mutex::new(State {
                file: Arc::new(file),
                tail: Tail::new(end, empty),
                write_fails: false,
                loses: false,
                sync_fails: false,
            }),
        })
    }

    /// The file's path.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Appends a record in one write. What is [`Appended::Written`] is there after a `kill -9`.
    ///
    /// # Errors
    /// The file can't be written. That is told once, until it can be written again: from then on the
    /// answer is [`Appended::Waiting`]. Records that wait have lost their output.
    pub fn append(&self, record: &Record) -> Result<Appended, CheckpointError> {
        let path = || self.path.clone();
        let line = encode(record, self.size.load(Ordering::Relaxed))
            .ok_or_else(|| CheckpointError::TooLong { path: path() })?;
        let framed = Framed::new(&line);
        let slim = || record.encode_slim().map(|line| Framed::new(&line));

        let mut state = self.lock();
        let state = &mut *state;
        match state.tail.append(&*state.file, &framed, slim) {
            Ok(()) => {
                state.write_fails = false;
                self.size.store(state.tail.end(), Ordering::Relaxed);
                Ok(Appended::Written)
            }
            Err(refused) => {
                let source = refused.source;
                let known = mem::replace(&mut state.write_fails, true);
                if !refused.waits && !mem::replace(&mut state.loses, true) {
                    Err(CheckpointError::Lost {
                        path: path(),
                        source,
                    })
                } else if known {
                    Ok(Appended::Waiting)
                } else {
                    Err(CheckpointError::Write {
                        path: path(),
                        source,
                    })
                }
            }
        }
    }

    /// How many records are not in the file, because it can't be written.
    pub fn unwritten(&self) -> usize {
        self.lock().tail.unwritten()
    }

    /// Writes what waits, and sees to it that a power cut takes nothing of what was appended before.
    /// Other threads can append meanwhile. A file that was removed during the run, as by
    /// `cargo clean`, is made again with everything that was in it; one that another took the place of
    /// is left alone.
    ///
    /// # Errors
    /// One of that is not possible. As with [`Writer::append`], it is told once until it works again.
    pub fn sync(&self) -> Result<(), CheckpointError> {
        let synced = self.try_sync();
        let known = mem::replace(&mut self.lock().sync_fails, synced.is_err());
        if known { Ok(()) } else { synced }
    }

    fn try_sync(&self) -> Result<(), CheckpointError> {
        let path = || self.path.clone();
        let file = {
            let mut state = self.lock();
            let state = &mut *state;
            match fs::metadata(&self.path) {
                Ok(there) => {
                    let own = state.file.metadata();
                    if own.is_ok_and(|own| (own.dev(), own.ino()) != (there.dev(), there.ino())) {
                        return Err(CheckpointError::Replaced { path: path() });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let again = recreate(&self.path, &state.file, state.tail.end());
                    let again = again.map_err(|source| CheckpointError::Create {
                        path: path(),
                        source,
                    })?;
                    state.file = Arc::new(again);
                }
                // Who may not look can't tell; the open file is good all the same.
                Err(_) => {}
            }
            match state.tail.flush(&*state.file) {
                Ok(()) => state.write_fails = false,
                Err(source) if !mem::replace(&mut state.write_fails, true) => {
                    return Err(CheckpointError::Write {
                        path: path(),
                        source,
                    });
                }
                Err(_) => {}
            }
            Arc::clone(&state.file)
        };
        file.sync_data().map_err(|source| CheckpointError::Sync {
            path: path(),
            source,
        })
    }

    /// A thread that panicked elsewhere while it had the lock has not spoiled the state: it changes
    /// only after a write, and in one go.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("end", &self.tail.end())
            .finish_non_exhaustive()
    }
}

/// The line of a record for a file of this size.
fn encode(record: &Record, size: u64) -> Option<Vec<u8>> {
    if size < OUTPUT_BUDGET {
        record.encode()
    } else {
        record.encode_slim()
    }
}

/// The content of the open but nameless `file` up to `end`, under its name again.
fn recreate(path: &Utf8Path, mut file: &File, end: u64) -> io::Result<File> {
    // All writes name their position, so that the file's own is free to use.
    file.rewind()?;
    replace(path, |new| {
        let copied = io::copy(&mut file.take(end), new)?;
        if copied != end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        new.write_all(CLOSING)
    })
}

/// Puts what `write` writes in the place of `path` in one step, on the disk, and returns the file.
fn replace(
    path: &Utf8Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<File> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let directory = match path.parent() {
        Some(parent) if parent != "" => parent,
        Some(_) | None => Utf8Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    // What a dead process of the same number left, or a link that somebody put there to be followed.
    drop(fs::remove_file(&temporary));
    let written = create_synced(&temporary, write).and_then(|file| {
        fs::rename(&temporary, path)?;
        Ok(file)
    });
    match written {
        // The new name is in the directory. A file system that can't sync one keeps it by other means.
        Ok(_) => drop(File::open(directory).and_then(|directory| directory.sync_all())),
        Err(_) => drop(fs::remove_file(&temporary)),
    }
    written
}

fn create_synced(
    path: &Utf8Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    let mut buffered = BufWriter::with_capacity(64 * 1024, &file);
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.sync_data()?;
    Ok(file)
}

/// Renames a file that is of no use to `NAME.bad` beside it, or to `NAME.bad.1` and so on where that
/// is taken, and returns the new path.
///
/// # Errors
/// It can't be renamed, or a thousand such files are there already. The error names no path.
pub fn set_aside(path: &Utf8Path) -> io::Result<Utf8PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let names = std::iter::once(format!("{name}.bad"))
        .chain((1..1000).map(|number| format!("{name}.bad.{number}")));
    for free in names.map(|name| path.with_file_name(name)) {
        match fs::symlink_metadata(&free) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::rename(path, &free)?;
                return Ok(free);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
