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
use crate::checkpoint::format::visible;
use crate::id::TestId;
use crate::outcome::Exit;
use crate::outcome::RunOutcome;

/// The largest file that is read: four times the size from which on no output is written, which
/// leaves room for hundreds of thousands of results.
const MAX_FILE: u64 = 256 << 20;

/// So much evidence is kept of a suspect, which is not run again after the second time.
const MOST_EVIDENCE: usize = 4;
/// The longest evidence of one time, in characters.
const EVIDENCE: usize = 400;

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The header of the last leg.
    pub header: Header,
    /// One result a test, the last where there are several.
    pub results: Vec<ResultRecord>,
    /// Failed attempts of tests that were to be tried again, in their order.
    pub tries: Vec<ResultRecord>,
    /// Tests that were seen running and of which nothing more is known: if the leg did not end in an
    /// orderly way, they were running when the runner died. In the order of their ids.
    pub started: Vec<TestId>,
    /// Tests without a result that the guard suspected, in the order of their ids.
    pub suspects: Vec<SuspectRecord>,
    /// All tests of which the run is a part; empty where it is the whole.
    pub suite: Vec<TestId>,
    /// Why the guard stopped the last leg.
    pub stop: Option<StopNote>,
    /// How the last leg ended; `None` when the runner died.
    pub finished: Option<RunOutcome>,
    /// How the process of the last leg died, if somebody lived to see it.
    pub died: Option<Exit>,
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
    /// What happened, a sentence without its full stop for each time that is known, in that order.
    pub evidence: Vec<String>,
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
    let file = open(path)?.take(MAX_FILE);
    let file = BufReader::with_capacity(64 * 1024, file);
    read(file, path, Some(workspace_root))
}

/// Reads the checkpoint of a run on whatever machine, in whatever workspace.
///
/// # Errors
/// As [`load`].
pub fn load_any(path: &Utf8Path) -> Result<Loaded, LoadError> {
    let file = open(path)?.take(MAX_FILE);
    read(BufReader::with_capacity(64 * 1024, file), path, None)
}

/// Reads what [`load`] has opened; `path` is for messages.
pub(super) fn read(
    mut reader: impl BufRead,
    path: &Utf8Path,
    workspace_root: Option<&Utf8Path>,
) -> Result<Loaded, LoadError> {
    let io_error = |source| LoadError::Io {
        path: path.to_owned(),
        source,
    };
    let header = read_header(&mut reader, path)?;
    if let Some(ours) = workspace_root.filter(|root| *root != header.workspace_root) {
        return Err(LoadError::OtherWorkspace {
            path: path.to_owned(),
            recorded: header.workspace_root,
            ours: ours.to_owned(),
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

/// Reads the first line of what is at `path`.
pub(super) fn read_header(reader: &mut impl BufRead, path: &Utf8Path) -> Result<Header, LoadError> {
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
    tries: Vec<ResultRecord>,
    tests: HashMap<TestId, Seen>,
    suite: Vec<TestId>,
    stop: Option<StopNote>,
    finished: Option<RunOutcome>,
    died: Option<Exit>,
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
    /// What happened then.
    evidence: Vec<String>,
}

impl Records {
    fn add(&mut self, record: Record) {
        match record {
            Record::Result(result) if result.retried => {
                let seen = self.tests.entry(result.test.clone()).or_default();
                seen.running = false;
                self.tries.push(result);
            }
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
                let sentences = unfinished
                    .evidence
                    .iter()
                    .map(|text| visible(text, EVIDENCE));
                seen.evidence.extend(sentences.take(MOST_EVIDENCE));
                seen.evidence.truncate(MOST_EVIDENCE);
            }
            Record::Suite { binary, tests } => {
                let tests = tests
                    .into_iter()
                    .map(|name| TestId::new(binary.clone(), name));
                self.suite.extend(tests);
            }
            Record::Stopped(note) => self.stop = Some(note),
            Record::Died { exit } => self.died = Some(exit),
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
                suspects.push(SuspectRecord {
                    test,
                    breaches: seen.breaches,
                    evidence: seen.evidence,
                });
            }
        }
        started.sort_unstable();
        suspects.sort_unstable_by(|a, b| a.test.cmp(&b.test));
        Loaded {
            header,
            results: self.results,
            tries: self.tries,
            started,
            suspects,
            suite: self.suite,
            stop: self.stop,
            finished: self.finished,
            died: self.died,
            repaired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::format::CLOSING;
    use crate::checkpoint::format::UnfinishedRecord;
    use crate::checkpoint::format::tests::header;
    use crate::checkpoint::format::tests::records;
    use crate::checkpoint::format::tests::result;
    use crate::checkpoint::format::tests::test_id;
    use crate::outcome::Failure;
    use crate::outcome::TestOutcome;
    use crate::outcome::Unfinished;
    use fs_err as fs;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::ops::Range;

    /// A file with these records, and where each of them is in it.
    pub(crate) fn file(records: &[Record]) -> (Vec<u8>, Vec<Range<usize>>) {
        let mut bytes = header().encode().unwrap();
        let mut places = Vec::new();
        for record in records {
            bytes.extend_from_slice(if places.is_empty() { b"\n" } else { b",\n" });
            let start = bytes.len();
            bytes.extend_from_slice(&record.encode().unwrap());
            places.push(start..bytes.len());
        }
        bytes.extend_from_slice(CLOSING);
        (bytes, places)
    }

    fn read_bytes(bytes: &[u8]) -> Result<Loaded, LoadError> {
        read(bytes, "checkpoint.json".into(), Some("/work/space".into()))
    }

    fn valid_json(bytes: &[u8]) -> bool {
        serde_json::from_slice::<Value>(bytes).is_ok()
    }

    fn results(records: &[Record]) -> Vec<ResultRecord> {
        let results = records.iter().filter_map(|record| match record {
            Record::Result(result) => Some(result.clone()),
            Record::Suite { .. }
            | Record::Started { .. }
            | Record::Unfinished(_)
            | Record::Stopped(_)
            | Record::Died { .. }
            | Record::Finished { .. } => None,
        });
        results.collect()
    }

    #[test]
    fn a_whole_file_says_everything() {
        let (bytes, _) = file(&records());
        let loaded = read_bytes(&bytes).unwrap();
        assert_eq!(loaded.header, header());
        assert_eq!(loaded.results, results(&records()));
        assert_eq!(loaded.started, []);
        let large = test_id("app", "large");
        assert_eq!(
            loaded.suspects,
            [SuspectRecord {
                test: large,
                breaches: 1,
                evidence: vec!["leg 1: memory".to_owned()],
            }]
        );
        assert_eq!(loaded.stop.unwrap().reason, "memory 81 % ≥ 80 %");
        assert_eq!(loaded.finished, Some(RunOutcome::Stopped));
        assert_eq!(loaded.repaired, None);
    }

    #[test]
    fn a_file_that_is_cut_at_any_byte_keeps_every_whole_record() {
        let records = records();
        let (bytes, places) = file(&records);
        let head = header().encode().unwrap().len();
        for cut in 0..bytes.len() {
            let bytes = &bytes[..cut];
            let loaded = match read_bytes(bytes) {
                Ok(loaded) => loaded,
                Err(error) => {
                    assert!(cut < head, "cut at {cut}: {error}");
                    assert!(
                        matches!(error, LoadError::Damaged { line: 1, .. }),
                        "{error}"
                    );
                    continue;
                }
            };
            assert!(cut >= head);
            let whole = places.iter().take_while(|place| place.end <= cut).count();
            assert_eq!(loaded.results, results(&records[..whole]), "cut at {cut}");
            assert_eq!(loaded.stop.is_some(), whole >= 6);
            assert_eq!(loaded.finished.is_some(), whole >= 7);
            let repair = loaded.repaired.expect("it is not whole");
            let torn = places
                .iter()
                .any(|place| place.start < cut && cut < place.end)
                || bytes.ends_with(b"\n]");
            assert_eq!(repair.lines, usize::from(torn), "cut at {cut}");
        }
    }

    #[test]
    fn a_spoilt_line_costs_that_line() {
        let records = records();
        let (bytes, places) = file(&records);
        for (index, place) in places.iter().enumerate() {
            let mut bytes = bytes.clone();
            bytes[place.clone()].fill(b'\0');
            let loaded = read_bytes(&bytes).unwrap();
            let mut others = records.clone();
            others.remove(index);
            assert_eq!(loaded.results, results(&others));
            let line = index + 2;
            assert_eq!(loaded.repaired, Some(Repair { line, lines: 1 }));
        }
    }

    #[test]
    fn what_follows_the_records_does_not_count() {
        let (bytes, _) = file(&records());
        let whole = read_bytes(&bytes).unwrap();
        let zeros = [0; 5000];
        let garbage: [&[u8]; 6] = [
            b"x",
            b"\n",
            b"\n]}",
            b"\n{\"kind\":\"resu",
            b"\xff\xfe\n\n",
            &zeros,
        ];
        for garbage in garbage {
            let spoilt = [&*bytes, garbage].concat();
            let loaded = read_bytes(&spoilt).unwrap();
            assert_eq!(loaded.results, whole.results);
            // A line end there is still JSON.
            assert_eq!(loaded.repaired.is_none(), valid_json(&spoilt));
        }
    }

    #[test]
    fn missing_and_surplus_commas_are_noticed() {
        let record = r#"{"kind":"started","test":{"binary":"app","name":"x"}}"#;
        let head = String::from_utf8(header().encode().unwrap()).unwrap();
        for rest in [
            format!("\n{record}\n{record}\n]}}"),
            format!("\n{record},\n]}}"),
            format!("\n{record}\n]}}\n{record}"),
            format!("\n{record}"),
            String::new(),
        ] {
            let bytes = format!("{head}{rest}");
            let loaded = read_bytes(bytes.as_bytes()).unwrap();
            assert!(loaded.repaired.is_some(), "{rest}");
            assert_eq!(loaded.repaired.unwrap().lines, 0);
            assert_eq!(loaded.started.len(), usize::from(!rest.is_empty()));
        }
    }

    proptest! {
        #[test]
        fn no_flipped_bytes_make_it_panic_or_invent_a_valid_file(
            flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let (mut bytes, _) = file(&records());
            for (index, byte) in &flips {
                let index = index.index(bytes.len());
                bytes[index] = *byte;
            }
            if let Ok(loaded) = read_bytes(&bytes) {
                prop_assert!(loaded.results.len() <= results(&records()).len());
                if loaded.repaired.is_none() {
                    prop_assert!(valid_json(&bytes));
                }
            }
        }

        #[test]
        fn no_garbage_makes_it_panic(
            garbage in proptest::collection::vec(any::<u8>(), 0..3000),
            with_header: bool,
        ) {
            let mut bytes = if with_header { header().encode().unwrap() } else { Vec::new() };
            bytes.extend_from_slice(&garbage);
            if let Ok(loaded) = read_bytes(&bytes) {
                prop_assert_eq!(loaded.results, []);
                prop_assert!(loaded.repaired.is_some());
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_without_being_kept() {
        let long = "x".repeat(MAX_RECORD + 1);
        let text = format!("short\n{long}\n{}\nlast", &long[1..]);
        let mut reader = BufReader::with_capacity(1000, text.as_bytes());
        let mut line = Vec::new();
        let mut next = || {
            let whole = read_line(&mut reader, &mut line, MAX_RECORD).unwrap();
            assert!(line.capacity() <= 2 * MAX_RECORD + 16);
            (whole, line.len())
        };
        assert_eq!(next(), (Some(true), 5));
        assert_eq!(next(), (Some(false), 0));
        assert_eq!(next(), (Some(true), MAX_RECORD));
        assert_eq!(next(), (Some(true), 4));
        assert_eq!(next(), (None, 0));
    }

    #[test]
    fn the_history_of_a_test_decides_whether_it_is_a_suspect() {
        let test = || test_id("app", "x");
        let started = || Record::Started { test: test() };
        let unfinished = |why, breaches| {
            Record::Unfinished(UnfinishedRecord {
                test: test(),
                why,
                breaches,
                evidence: Vec::new(),
            })
        };
        let failed = TestOutcome::Failed(Failure::Signal(9));
        let done = || Record::Result(result(test(), failed.clone()));
        let interrupted = Some(Unfinished::Interrupted);
        let shed = Some(Unfinished::Shed);
        let cases = [
            (vec![started()], true, 0),
            (vec![started(), done()], false, 0),
            (vec![started(), unfinished(interrupted, 0)], false, 0),
            (vec![started(), unfinished(shed, 1)], false, 1),
            (vec![started(), unfinished(shed, 1), started()], true, 1),
            (
                vec![unfinished(None, 2), unfinished(interrupted, 0)],
                false,
                2,
            ),
            (
                vec![unfinished(None, 2), started(), unfinished(shed, 3)],
                false,
                3,
            ),
            (vec![unfinished(None, u32::MAX), done()], false, 0),
            (vec![done(), unfinished(shed, 1)], false, 0),
        ];
        for (records, running, breaches) in cases {
            let (bytes, _) = file(&records);
            let loaded = read_bytes(&bytes).unwrap();
            assert_eq!(!loaded.started.is_empty(), running, "{records:?}");
            let count = loaded
                .suspects
                .first()
                .map_or(0, |suspect| suspect.breaches);
            assert_eq!(count, breaches, "{records:?}");
        }
    }

    #[test]
    fn the_last_result_of_a_test_counts() {
        let test = || test_id("app", "x");
        let failed = TestOutcome::Failed(Failure::Exit(1));
        let records = [
            Record::Result(result(test(), failed)),
            Record::Result(result(test_id("app", "y"), TestOutcome::Passed)),
            Record::Result(result(test(), TestOutcome::Passed)),
        ];
        let (bytes, _) = file(&records);
        let loaded = read_bytes(&bytes).unwrap();
        let expected = [test(), test_id("app", "y")];
        assert_eq!(
            loaded.results,
            expected.map(|test| result(test, TestOutcome::Passed))
        );
    }

    #[test]
    fn each_reason_not_to_use_a_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let (bytes, _) = file(&records());
        let text = String::from_utf8(bytes.clone()).unwrap();
        let path = dir.join("checkpoint.json");
        let load_bytes = |bytes: &[u8], root: &str| {
            fs::write(&path, bytes).unwrap();
            load(&path, root.into())
        };
        assert!(load_bytes(&bytes, "/work/space/").is_ok());

        let other = load_bytes(&bytes, "/work/other").unwrap_err();
        let message = other.to_string();
        assert!(
            matches!(other, LoadError::OtherWorkspace { .. }),
            "{message}"
        );
        assert!(message.contains("/work/space") && message.contains("/work/other"));

        let future = load_bytes(text.replacen('1', "9", 1).as_bytes(), "/").unwrap_err();
        let found = matches!(
            future,
            LoadError::FutureVersion {
                found: 9,
                newest: 1,
                ..
            }
        );
        assert!(found, "{future}");

        for foreign in [
            "",
            "\n",
            "{}",
            "null",
            "{\"name\":\"package\"}",
            "#!/bin/sh\nrm -rf x\n",
        ] {
            let error = load_bytes(foreign.as_bytes(), "/").unwrap_err();
            assert!(
                matches!(error, LoadError::Damaged { line: 1, .. }),
                "{error}"
            );
            assert!(error.to_string().contains("checkpoint.json"));
        }
    }

    #[test]
    fn what_is_no_file_of_ours_is_not_even_opened() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let path = dir.join("checkpoint.json");
        fs::write(&path, "{}").unwrap();
        let missing = load(&dir.join("none.json"), "/".into()).unwrap_err();
        assert!(matches!(missing, LoadError::NotFound { .. }), "{missing}");
        let below_a_file = load(&path.join("x"), "/".into()).unwrap_err();
        assert!(
            matches!(below_a_file, LoadError::Io { .. }),
            "{below_a_file}"
        );
        let directory = load(dir, "/".into()).unwrap_err();
        assert!(
            matches!(directory, LoadError::NotAFile { .. }),
            "{directory}"
        );
        let device = load("/dev/zero".into(), "/".into()).unwrap_err();
        assert!(matches!(device, LoadError::NotAFile { .. }), "{device}");

        // It would wait for a writer for ever, were it opened plainly.
        let fifo = dir.join("fifo");
        nix::unistd::mkfifo(fifo.as_std_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let fifo = load(&fifo, "/".into()).unwrap_err();
        assert!(matches!(fifo, LoadError::NotAFile { .. }), "{fifo}");

        let sparse = fs::OpenOptions::new().write(true).open(&path).unwrap();
        sparse.set_len(1 << 40).unwrap();
        let large = load(&path, "/".into()).unwrap_err();
        assert!(
            matches!(
                large,
                LoadError::TooLarge {
                    size: 0x100_0000_0000,
                    ..
                }
            ),
            "{large}"
        );
        sparse.set_len(0).unwrap();
        sparse.set_len(MAX_FILE).unwrap();
        let zeros = load(&path, "/".into()).unwrap_err();
        assert!(
            matches!(zeros, LoadError::Damaged { line: 1, .. }),
            "{zeros}"
        );
    }

    #[test]
    fn a_repair_is_told_in_a_sentence() {
        let cases = [
            (0, "it ends early at line 4, with every record whole"),
            (1, "line 4 is no whole record and was left out"),
            (
                3,
                "3 lines from line 4 on are no whole records and were left out",
            ),
        ];
        for (lines, text) in cases {
            assert_eq!(Repair { line: 4, lines }.to_string(), text);
        }
    }
}
