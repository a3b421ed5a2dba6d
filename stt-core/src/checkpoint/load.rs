//! A checkpoint read back. Whatever the file holds, reading it ends, takes bounded memory for a line,
//! and runs nothing.
//!
//! Lines are read one by one, and each whole record counts wherever it is: a torn end costs what was
//! being written, and a spoilt line costs that line. Only a header that can't be read spoils it all.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8Path;
use camino::Utf8PathBuf;

use crate::checkpoint::format::FORMAT;
use crate::checkpoint::format::Header;
use crate::checkpoint::format::HeaderFault;
use crate::checkpoint::format::MAX_HEADER;
use crate::checkpoint::format::MAX_RECORD;
use crate::checkpoint::format::Record;
use crate::checkpoint::format::ResultRecord;
use crate::checkpoint::format::StopNote;
use crate::id::TestId;
use crate::outcome::RunOutcome;

/// The largest file that is read: four times the size from which on no output is written, which
/// leaves room for hundreds of thousands of results.
const MAX_FILE: u64 = 256 << 20;

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The header of the last leg.
    pub header: Header,
    /// One result a test, the last where there are several.
    pub results: Vec<ResultRecord>,
    /// Tests that were seen running and of which nothing more is known: if the leg did not end in an
    /// orderly way, they were running when the runner died. In the order of their ids.
    pub started: Vec<TestId>,
    /// Tests without a result that the guard suspected, in the order of their ids.
    pub suspects: Vec<SuspectRecord>,
    /// Why the guard stopped the last leg.
    pub stop: Option<StopNote>,
    /// How the last leg ended; `None` when the runner died.
    pub finished: Option<RunOutcome>,
    /// What of the file did not count.
    pub repaired: Option<Repair>,
}

/// A test that the guard suspected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuspectRecord {
    /// The test.
    pub test: TestId,
    /// How often.
    pub breaches: u32,
}

/// What of a file did not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The first line where the file is not as it should be.
    pub line: usize,
    /// How many lines hold no record that can be read.
    pub lines: usize,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lines {
            0 => write!(
                f,
                "it ends early at line {}, with every record whole",
                self.line
            ),
            1 => write!(f, "line {} is no whole record and was left out", self.line),
            lines => write!(
                f,
                "{lines} lines from line {} on are no whole records and were left out",
                self.line
            ),
        }
    }
}

/// There is no checkpoint that can be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nothing is there.
    #[error("there is no checkpoint at `{path}`")]
    NotFound {
        /// The checkpoint.
        path: Utf8PathBuf,
    },
    /// It can't be read.
    #[error("the checkpoint `{path}` can't be read")]
    Io {
        /// The checkpoint.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory, a device or the like has the name.
    #[error("the checkpoint `{path}` is no regular file")]
    NotAFile {
        /// The checkpoint.
        path: Utf8PathBuf,
    },
    /// It is larger than any that stt writes.
    #[error("the checkpoint `{path}` is too large: {size} bytes, where {limit} are allowed")]
    TooLarge {
        /// The checkpoint.
        path: Utf8PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// It is no checkpoint, or its header is spoilt.
    #[error("the checkpoint `{path}` is damaged at line {line}: {reason}")]
    Damaged {
        /// The checkpoint.
        path: Utf8PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer stt wrote it.
    #[error(
        "the checkpoint `{path}` has format {found}, and this stt reads formats up to {newest}"
    )]
    FutureVersion {
        /// The checkpoint.
        path: Utf8PathBuf,
        /// Its format.
        found: u64,
        /// The newest format that we read.
        newest: u64,
    },
    /// It belongs to another workspace.
    #[error("the checkpoint `{path}` belongs to the workspace `{recorded}`, and this is `{ours}`")]
    OtherWorkspace {
        /// The checkpoint.
        path: Utf8PathBuf,
        /// Whose it is.
        recorded: Utf8PathBuf,
        /// Where we are.
        ours: Utf8PathBuf,
    },
}

/// Reads the checkpoint of the workspace at `workspace_root`.
///
/// A writer may be at work meanwhile: then every record is there whose append had returned before.
///
/// # Errors
/// There is none, or it can't be used; the variants say why.
pub fn load(path: &Utf8Path, workspace_root: &Utf8Path) -> Result<Loaded, LoadError> {
    let file = open(path)?;
    let io_error = |source| LoadError::Io {
        path: path.to_owned(),
        source,
    };
    let mut reader = BufReader::with_capacity(64 * 1024, file.take(MAX_FILE));
    let header = read_header(&mut reader, path)?;
    if header.workspace_root != workspace_root {
        return Err(LoadError::OtherWorkspace {
            path: path.to_owned(),
            recorded: header.workspace_root,
            ours: workspace_root.to_owned(),
        });
    }

    let mut records = Records::default();
    let mut lines = Lines::new();
    let mut line = Vec::new();
    while let Some(whole) = read_line(&mut reader, &mut line, MAX_RECORD).map_err(io_error)? {
        if let Some(record) = lines.take(whole.then_some(&*line)) {
            records.add(record);
        }
    }
    Ok(records.into_loaded(header, lines.end()))
}

/// Opens a regular file. What is none is not opened at all, since opening a device can do something;
/// and were it put there just now, the open does not wait for the other end of a FIFO.
fn open(path: &Utf8Path) -> Result<File, LoadError> {
    let error = |source: io::Error| {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            LoadError::NotFound { path }
        } else {
            LoadError::Io { path, source }
        }
    };
    let regular = |metadata: &fs::Metadata| {
        let path = path.to_owned();
        if !metadata.is_file() {
            Err(LoadError::NotAFile { path })
        } else if metadata.len() > MAX_FILE {
            Err(LoadError::TooLarge {
                path,
                size: metadata.len(),
                limit: MAX_FILE,
            })
        } else {
            Ok(())
        }
    };
    regular(&fs::metadata(path).map_err(error)?)?;
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(error)?;
    regular(&file.metadata().map_err(error)?)?;
    Ok(file)
}

fn read_header(reader: &mut impl BufRead, path: &Utf8Path) -> Result<Header, LoadError> {
    let damaged = |reason: String| LoadError::Damaged {
        path: path.to_owned(),
        line: 1,
        reason,
    };
    let mut line = Vec::new();
    match read_line(reader, &mut line, MAX_HEADER) {
        Ok(Some(true)) => {}
        Ok(Some(false)) => return Err(damaged("its first line is too long".to_owned())),
        Ok(None) => return Err(damaged("it is empty".to_owned())),
        Err(source) => {
            let path = path.to_owned();
            return Err(LoadError::Io { path, source });
        }
    }
    Header::decode(&line).map_err(|fault| match fault {
        HeaderFault::Damaged(reason) => damaged(reason),
        HeaderFault::Future(found) => LoadError::FutureVersion {
            path: path.to_owned(),
            found,
            newest: FORMAT,
        },
    })
}

/// Reads one line without its end into `line`. False is a line that is longer than `limit`, of which
/// nothing is kept; `None` the end of the file.
fn read_line(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
    limit: usize,
) -> io::Result<Option<bool>> {
    line.clear();
    let read = reader
        .by_ref()
        .take(limit as u64 + 1)
        .read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if read > limit {
        line.clear();
        reader.skip_until(b'\n')?;
        return Ok(Some(false));
    }
    Ok((read > 0).then_some(true))
}

/// Takes the lines after the header, one by one, and notes where they are not as they should be.
struct Lines {
    /// The number of the line that was taken last.
    line: usize,
    /// Whether a record may follow: at the start, and after a comma.
    separated: bool,
    /// Whether there was a record yet.
    any: bool,
    closed: bool,
    repair: Option<Repair>,
}

impl Lines {
    fn new() -> Self {
        Self {
            line: 1,
            separated: true,
            any: false,
            closed: false,
            repair: None,
        }
    }

    /// The record of the next line, if it is one; `None` is a line that was too long.
    fn take(&mut self, line: Option<&[u8]>) -> Option<Record> {
        self.line += 1;
        if line == Some(b"]}") && !self.closed {
            self.closed = true;
            if self.separated && self.any {
                self.spoilt(0);
            }
            return None;
        }
        let comma = line.and_then(|line| line.strip_suffix(b","));
        let record = comma.or(line).and_then(Record::decode);
        if record.is_none() {
            self.spoilt(1);
        } else if !self.separated || self.closed {
            self.spoilt(0);
        }
        self.any = true;
        self.separated = comma.is_some();
        record
    }

    fn spoilt(&mut self, lines: usize) {
        let line = self.line;
        let repair = self.repair.get_or_insert(Repair { line, lines: 0 });
        repair.lines += lines;
    }

    fn end(mut self) -> Option<Repair> {
        if !self.closed {
            self.spoilt(0);
        }
        self.repair
    }
}

/// What the records say together.
#[derive(Default)]
struct Records {
    results: Vec<ResultRecord>,
    tests: HashMap<TestId, Seen>,
    stop: Option<StopNote>,
    finished: Option<RunOutcome>,
}

/// What is known of one test.
#[derive(Default)]
struct Seen {
    /// Where its result is.
    result: Option<usize>,
    /// Whether it was running when last heard of.
    running: bool,
    /// How often it has been a suspect.
    breaches: u32,
}

impl Records {
    fn add(&mut self, record: Record) {
        match record {
            Record::Result(result) => {
                let seen = self.tests.entry(result.test.clone()).or_default();
                if let Some(earlier) = seen.result {
                    self.results[earlier] = result;
                } else {
                    seen.result = Some(self.results.len());
                    self.results.push(result);
                }
            }
            Record::Started { test } => self.tests.entry(test).or_default().running = true,
            Record::Unfinished(unfinished) => {
                let seen = self.tests.entry(unfinished.test).or_default();
                seen.running = false;
                // A suspect that a person interrupted is still one.
                seen.breaches = seen.breaches.max(unfinished.breaches);
            }
            Record::Stopped(note) => self.stop = Some(note),
            Record::Finished { outcome } => self.finished = Some(outcome),
        }
    }

    fn into_loaded(self, header: Header, repaired: Option<Repair>) -> Loaded {
        let mut started = Vec::new();
        let mut suspects = Vec::new();
        for (test, seen) in self.tests {
            if seen.result.is_some() {
                continue;
            }
            if seen.running {
                started.push(test.clone());
            }
            if seen.breaches > 0 {
                let breaches = seen.breaches;
                suspects.push(SuspectRecord { test, breaches });
            }
        }
        started.sort_unstable();
        suspects.sort_unstable_by(|a, b| a.test.cmp(&b.test));
        Loaded {
            header,
            results: self.results,
            started,
            suspects,
            stop: self.stop,
            finished: self.finished,
            repaired,
        }
    }
}
