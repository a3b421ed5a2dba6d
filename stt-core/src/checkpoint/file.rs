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
use std::mem::Discriminant;
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
    /// How the last sync failed, which the caller knows.
    sync_fails: Option<Discriminant<CheckpointError>>,
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
                sync_fails: None,
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
    /// `cargo clean`, is made again with everything that was in it. One that another file took the
    /// place of is not: that belongs to a later run, and ours goes on in a file without a name.
    ///
    /// # Errors
    /// One of that is not possible. Each kind is told once until it works again.
    pub fn sync(&self) -> Result<(), CheckpointError> {
        let synced = self.try_sync();
        let now = synced.as_ref().err().map(mem::discriminant);
        let before = mem::replace(&mut self.lock().sync_fails, now);
        if now == before { Ok(()) } else { synced }
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
                Err(error) if is_missing(&error) => {
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

/// Whether the error says that a path leads nowhere.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
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

/// Renames a file that is of no use to `NAME.WHY` beside it, or to `NAME.WHY.1` and so on where that is
/// taken, and returns the new path.
///
/// # Errors
/// It can't be renamed, or a thousand such files are there already. The error names no path.
pub fn set_aside(path: &Utf8Path, why: &str) -> io::Result<Utf8PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let names = std::iter::once(format!("{name}.{why}"))
        .chain((1..1000).map(|number| format!("{name}.{why}.{number}")));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::format::MAX_RECORD;
    use crate::checkpoint::format::Output;
    use crate::checkpoint::format::Text;
    use crate::checkpoint::format::tests::header;
    use crate::checkpoint::format::tests::records;
    use crate::checkpoint::format::tests::result;
    use crate::checkpoint::format::tests::test_id;
    use crate::checkpoint::load::load;
    use crate::id::TestId;
    use crate::outcome::Failure;
    use crate::outcome::TestOutcome;
    use serde_json::Value;
    use std::collections::HashSet;
    use std::sync::RwLock;
    use std::sync::atomic::AtomicUsize;
    use std::thread;
    use tempfile::TempDir;

    const NONE: [Record; 0] = [];

    fn directory() -> (TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().to_owned();
        (dir, path)
    }

    fn json(path: &Utf8Path) -> Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    fn names(dir: &Utf8Path) -> Vec<String> {
        let entries = dir.read_dir_utf8().unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_owned())
            .collect();
        names.sort();
        names
    }

    fn passed(name: &str) -> Record {
        Record::Result(result(test_id("app", name), TestOutcome::Passed))
    }

    fn loaded(path: &Utf8Path) -> HashSet<TestId> {
        let loaded = load(path, "/work/space".into()).unwrap();
        loaded
            .results
            .into_iter()
            .map(|result| result.test)
            .collect()
    }

    #[test]
    fn the_file_is_json_after_every_write() {
        let (_guard, dir) = directory();
        // The directory may be missing, as a target directory is before the first build.
        let path = dir.join("target/stt-checkpoint.json");
        let writer = Writer::create(&path, &header(), NONE).unwrap();
        for (index, record) in records().iter().enumerate() {
            assert_eq!(json(&path)["results"].as_array().unwrap().len(), index);
            assert_eq!(writer.append(record).unwrap(), Appended::Written);
        }
        writer.sync().unwrap();
        let value = json(&path);
        assert_eq!(value["format"], 1);
        assert_eq!(value["results"][2]["outcome"]["failed"]["exit"], 101);
        let loaded = load(&path, "/work/space".into()).unwrap();
        assert_eq!((loaded.results.len(), loaded.repaired), (3, None));
        assert_eq!(names(path.parent().unwrap()), ["stt-checkpoint.json"]);
        assert_eq!(writer.unwritten(), 0);
    }

    #[test]
    fn a_new_leg_takes_over_what_is_kept_in_one_step() {
        let (_guard, dir) = directory();
        let path = dir.join("stt-checkpoint.json");
        let first = Writer::create(&path, &header(), NONE).unwrap();
        first.append(&passed("a")).unwrap();
        let old = fs::metadata(&path).unwrap().ino();
        let second = Header { leg: 2, ..header() };
        let second = Writer::create(&path, &second, records()).unwrap();
        assert_ne!(fs::metadata(&path).unwrap().ino(), old);
        second.append(&passed("b")).unwrap();
        let value = json(&path);
        assert_eq!(value["leg"], 2);
        assert_eq!(
            value["results"].as_array().unwrap().len(),
            records().len() + 1
        );
        assert_eq!(names(&dir), ["stt-checkpoint.json"]);
    }

    #[test]
    fn a_new_leg_that_can_not_be_written_leaves_the_old_file() {
        let (_guard, dir) = directory();
        let path = dir.join("stt-checkpoint.json");
        Writer::create(&path, &header(), [passed("a")]).unwrap();
        let mut bad = header();
        bad.selection.build.target = Some("-x".to_owned());
        let error = Writer::create(&path, &bad, NONE).unwrap_err();
        assert!(matches!(error, CheckpointError::Header { .. }), "{error}");
        assert_eq!(loaded(&path).len(), 1);

        let below = path.join("stt-checkpoint.json");
        let error = Writer::create(&below, &header(), NONE).unwrap_err();
        assert!(matches!(error, CheckpointError::Create { .. }), "{error}");
        assert_eq!(names(&dir), ["stt-checkpoint.json"]);
    }

    #[test]
    fn nothing_but_a_file_is_replaced_and_no_link_is_followed() {
        let (_guard, dir) = directory();
        let fifo = dir.join("fifo");
        nix::unistd::mkfifo(fifo.as_std_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [&fifo, &dir] {
            let error = Writer::create(path, &header(), NONE).unwrap_err();
            assert!(matches!(error, CheckpointError::NotAFile { .. }), "{error}");
        }
        assert!(!fs::metadata(&fifo).unwrap().is_file());

        let victim = dir.join("victim");
        fs_err::write(&victim, "precious").unwrap();
        let link = dir.join(format!(".checkpoint.{}.tmp", std::process::id()));
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        Writer::create(&dir.join("checkpoint"), &header(), NONE).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(names(&dir), ["checkpoint", "fifo", "victim"]);
    }

    #[test]
    fn a_file_that_was_removed_is_made_again_with_everything() {
        let (_guard, dir) = directory();
        let path = dir.join("target/stt-checkpoint.json");
        let writer = Writer::create(&path, &header(), [passed("a")]).unwrap();
        writer.append(&passed("b")).unwrap();
        fs::remove_dir_all(dir.join("target")).unwrap();
        assert_eq!(writer.append(&passed("c")).unwrap(), Appended::Written);
        writer.sync().unwrap();
        writer.append(&passed("d")).unwrap();
        assert_eq!(loaded(&path).len(), 4);
        assert_eq!(json(&path)["results"].as_array().unwrap().len(), 4);
        assert_eq!(names(path.parent().unwrap()), ["stt-checkpoint.json"]);
    }

    #[test]
    fn a_file_that_cannot_be_made_again_is_told_once_and_tried_again() {
        let (_guard, dir) = directory();
        let path = dir.join("target/stt-checkpoint.json");
        let writer = Writer::create(&path, &header(), [passed("a")]).unwrap();
        fs::remove_dir_all(dir.join("target")).unwrap();
        fs_err::write(dir.join("target"), "in the way").unwrap();
        let error = writer.sync().unwrap_err();
        assert!(matches!(error, CheckpointError::Create { .. }), "{error}");
        writer.sync().unwrap();
        fs::remove_file(dir.join("target")).unwrap();
        writer.sync().unwrap();
        assert_eq!(loaded(&path).len(), 1);
    }

    #[test]
    fn the_file_of_another_run_is_left_alone() {
        let (_guard, dir) = directory();
        let path = dir.join("stt-checkpoint.json");
        let ours = Writer::create(&path, &header(), NONE).unwrap();
        let theirs = Writer::create(&path, &header(), [passed("theirs")]).unwrap();
        ours.append(&passed("ours")).unwrap();
        for _ in 0..2 {
            let error = ours.sync().unwrap_err();
            assert!(matches!(error, CheckpointError::Replaced { .. }), "{error}");
            // It is told once, and once more when it has been well in between.
            ours.sync().unwrap();
            fs::rename(&path, dir.join("theirs")).unwrap();
            ours.sync().unwrap();
            assert_eq!(loaded(&path), HashSet::from([test_id("app", "ours")]));
            fs::rename(dir.join("theirs"), &path).unwrap();
        }
        theirs.sync().unwrap();
        let only = HashSet::from([test_id("app", "theirs")]);
        assert_eq!(loaded(&path), only);
    }

    #[test]
    fn a_bad_file_is_set_aside_and_none_is_overwritten() {
        let (_guard, dir) = directory();
        let path = dir.join("c.json");
        for (content, name) in [
            ("1", "c.json.bad"),
            ("2", "c.json.bad.1"),
            ("3", "c.json.bad.2"),
        ] {
            fs_err::write(&path, content).unwrap();
            let moved = set_aside(&path, "bad").unwrap();
            assert_eq!(moved, dir.join(name));
        }
        for (content, name) in [
            ("1", "c.json.bad"),
            ("2", "c.json.bad.1"),
            ("3", "c.json.bad.2"),
        ] {
            assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), content);
        }
        assert!(set_aside(&path, "bad").is_err());
    }

    #[test]
    fn a_file_that_grew_large_takes_no_more_output() {
        let text = || Text {
            tail: "loud".to_owned(),
            ..Text::default()
        };
        let mut failed = result(test_id("app", "x"), TestOutcome::Failed(Failure::Exit(1)));
        failed.output = Some(Arc::new(Output {
            stdout: text(),
            stderr: text(),
        }));
        let failed = Record::Result(failed);
        let has_output = |size| {
            let line = String::from_utf8(encode(&failed, size).unwrap()).unwrap();
            line.contains("loud")
        };
        assert!(has_output(OUTPUT_BUDGET - 1));
        assert!(!has_output(OUTPUT_BUDGET));
    }

    #[test]
    fn a_record_that_is_too_long_is_refused_and_spoils_nothing() {
        let (_guard, dir) = directory();
        let path = dir.join("stt-checkpoint.json");
        let writer = Writer::create(&path, &header(), NONE).unwrap();
        let error = writer.append(&passed(&"x".repeat(MAX_RECORD))).unwrap_err();
        assert!(matches!(error, CheckpointError::TooLong { .. }), "{error}");
        writer.append(&passed("y")).unwrap();
        assert_eq!(json(&path)["results"].as_array().unwrap().len(), 1);
    }

    /// A read and a write of the same bytes may mix on Linux file systems that lock pages only, so
    /// that a reader which races a write may find a torn end. Promised is: between writes the file is
    /// JSON, and at any moment each record is there whose append has returned.
    #[test]
    fn four_threads_append_while_others_read() {
        const EACH: usize = 150;
        let (_guard, dir) = directory();
        let path = dir.join("stt-checkpoint.json");
        let writer = Writer::create(&path, &header(), NONE).unwrap();
        let between = RwLock::new(());
        let running = AtomicUsize::new(4);
        let counts: [AtomicUsize; 4] = Default::default();
        let test = |thread: usize, index: usize| format!("{thread}::{index}");
        thread::scope(|scope| {
            for (thread, count) in counts.iter().enumerate() {
                let (writer, between, running) = (&writer, &between, &running);
                scope.spawn(move || {
                    for index in 0..EACH {
                        let turn = between.read().unwrap();
                        let record = passed(&test(thread, index));
                        assert_eq!(writer.append(&record).unwrap(), Appended::Written);
                        drop(turn);
                        count.store(index + 1, Ordering::SeqCst);
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
            scope.spawn(|| {
                while running.load(Ordering::SeqCst) > 0 {
                    let turn = between.write().unwrap();
                    assert!(json(&path)["results"].is_array());
                    drop(turn);
                    writer.sync().unwrap();
                }
            });
            scope.spawn(|| {
                while running.load(Ordering::SeqCst) > 0 {
                    let acknowledged: Vec<usize> = counts
                        .iter()
                        .map(|count| count.load(Ordering::SeqCst))
                        .collect();
                    let there = loaded(&path);
                    for (thread, count) in acknowledged.into_iter().enumerate() {
                        for index in 0..count {
                            assert!(there.contains(&test_id("app", &test(thread, index))));
                        }
                    }
                }
            });
        });
        assert_eq!(loaded(&path).len(), 4 * EACH);
        assert_eq!(json(&path)["results"].as_array().unwrap().len(), 4 * EACH);
    }
}
