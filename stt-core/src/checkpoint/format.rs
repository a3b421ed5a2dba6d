//! What a checkpoint holds, and how each of its lines is written. Pure.
//!
//! The file is one JSON object. Its first line is the header and ends with `"results":[`; then each
//! record has a line of its own; the last line closes both. Every version of the format begins with
//! `{"format":N,`, so that an older stt can tell a newer file from a damaged one.
//!
//! Within a format a record may gain keys, each with a default: older files still load. An older stt takes a
//! record with a key that it does not know for a spoilt line, and runs that test again.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::checkpoint::fingerprint::BinaryRecord;
use crate::checkpoint::fingerprint::ContentHash;
use crate::id::BinaryId;
use crate::id::RunId;
use crate::id::TestId;
use crate::outcome::Exit;
use crate::outcome::RunOutcome;
use crate::outcome::TestOutcome;
use crate::outcome::Unfinished;
use crate::selection::Selection;
use crate::units::Bytes;
use crate::units::Percent;

/// The version of the format that is written, and the newest that is read.
pub const FORMAT: u64 = 1;

/// How the header line begins in every version; the number follows.
const FORMAT_KEY: &[u8] = b"{\"format\":";
/// How the header line ends.
const OPENING: &[u8] = b",\"results\":[";
/// What follows the last record.
pub(super) const CLOSING: &[u8] = b"\n]}";
/// The longest header line that is written or read: some 80,000 binaries.
pub(super) const MAX_HEADER: usize = 16 << 20;
/// The longest line of a record that is written or read.
pub(super) const MAX_RECORD: usize = 1 << 20;
/// The longest text in a header, in bytes; `PATH_MAX` of Linux.
const MAX_VALUE: usize = 4096;
/// The longest filter expression in a header, in bytes.
const MAX_EXPRESSION: usize = 64 << 10;
/// How much of each stream of a failed test is kept, half from its head and half from its tail.
const MAX_STREAM: usize = 16 << 10;

/// What is known when a leg of a run begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Header {
    /// Who writes the file, such as `cargo-stt 0.1.0`.
    pub tool: String,
    /// The run: all its legs have the same id.
    pub run: RunId,
    /// Which leg of the run this is; the first is 1.
    pub leg: u32,
    /// When the leg began, as [`timestamp`](super::timestamp) has it. Text, since the file is read by people and
    /// nothing computes with it.
    pub created: String,
    /// The workspace whose tests these are.
    pub workspace_root: Utf8PathBuf,
    /// What was asked for.
    pub selection: Selection,
    /// A hash of the configuration that can change results.
    pub config_hash: ContentHash,
    /// The binaries whose tests are selected.
    pub binaries: Vec<BinaryRecord>,
    /// The share of memory in use before the first leg: a machine that is back there has recovered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_before: Option<Percent>,
}

/// One line after the header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Record {
    /// Tests of which the run is a part, those of the other parts among them: written where there are parts, so that
    /// somebody who has all parts knows what none has run.
    Suite {
        /// The binary.
        binary: BinaryId,
        /// Its tests, or some of them.
        tests: Vec<Arc<str>>,
    },
    /// A test has its final result.
    Result(ResultRecord),
    /// A test has run for a while: were the runner to die now, it would be a suspect.
    Started {
        /// The test.
        test: TestId,
    },
    /// A test was ended without a result, or is known to be a suspect from an earlier leg.
    Unfinished(UnfinishedRecord),
    /// The guard stops the run.
    Stopped(StopNote),
    /// The leg did not end in an orderly way: its process died, and whoever watched it wrote this.
    Died {
        /// How.
        exit: Exit,
    },
    /// The leg ended in an orderly way.
    Finished {
        /// How the run stands.
        outcome: RunOutcome,
    },
}

/// The final result of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ResultRecord {
    /// The test.
    pub test: TestId,
    /// Its result.
    pub outcome: TestOutcome,
    /// From its start to its exit.
    #[serde(with = "crate::units::seconds")]
    pub duration: Duration,
    /// CPU time of its whole family, user and system.
    #[serde(with = "crate::units::seconds")]
    pub cpu: Duration,
    /// The most memory that its family was known to use.
    pub peak_memory: Bytes,
    /// The most processes and threads at once, where that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// Bytes that its family has read from disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Bytes>,
    /// Bytes that its family has written to disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Bytes>,
    /// What a failed test printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Arc<Output>>,
    /// What it left behind, a line for each thing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaks: Vec<String>,
    /// Which attempt this was, from 1.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub attempt: u32,
    /// Whether another attempt follows: then this is no final result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retried: bool,
}

fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_first(attempt: &u32) -> bool {
    *attempt == 1
}

/// What a failed test printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Standard output.
    pub stdout: Text,
    /// Standard error.
    pub stderr: Text,
}

/// One stream, as text: all of it, or its head and its tail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Text {
    /// How it begins.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub head: String,
    /// How many bytes between head and tail are not here.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: u64,
    /// How it ends.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tail: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Text {
    /// Takes a stream of which `omitted` bytes between `head` and `tail` are already missing, and
    /// keeps some 8 KiB from either end, or all of what fits into both. What is no UTF-8 is
    /// replaced by U+FFFD.
    pub fn bounded(head: &[u8], omitted: u64, tail: &[u8]) -> Self {
        const HALF: usize = MAX_STREAM / 2;
        let whole = [head, tail].concat();
        if omitted == 0 && whole.len() <= MAX_STREAM {
            return Self {
                head: String::from_utf8_lossy(&whole).into_owned(),
                ..Self::default()
            };
        }
        let (head, tail) = if omitted == 0 {
            (&*whole, &*whole)
        } else {
            (head, tail)
        };
        let head = &head[..boundary(head, HALF.min(head.len()))];
        let tail = &tail[boundary(tail, tail.len().saturating_sub(HALF))..];
        let cut = whole.len() - head.len() - tail.len();
        Self {
            head: String::from_utf8_lossy(head).into_owned(),
            omitted: omitted.saturating_add(cut as u64),
            tail: String::from_utf8_lossy(tail).into_owned(),
        }
    }
}

/// The last position up to `at` where no UTF-8 character is cut, or `at` where the bytes are no text.
fn boundary(bytes: &[u8], at: usize) -> usize {
    let continues = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (at.saturating_sub(3)..=at)
        .rev()
        .find(|at| !continues(*at))
        .unwrap_or(at)
}

/// A test that was ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnfinishedRecord {
    /// The test.
    pub test: TestId,
    /// Why; `None` when the runner died while the test ran, so that nobody ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Unfinished>,
    /// How often it has been a suspect, over all legs and this time included. At 0 it is none.
    pub breaches: u32,
    /// What happened while it ran, a sentence without its full stop for each time that no record before
    /// this one tells of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// Why the guard stopped the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopNote {
    /// What was over which threshold.
    pub reason: String,
    /// The largest running tests, the largest first.
    pub largest: Vec<Large>,
    /// What was over it, for who waits until it is not any more; `None` in files that don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<StopCause>,
}

/// What was over its threshold when a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopCause {
    /// Memory.
    Memory,
    /// The CPU.
    Cpu,
    /// The number of processes and threads.
    Tasks,
    /// The time of the run.
    Time,
}

/// A test, and the memory that it used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Large {
    /// The test.
    pub test: TestId,
    /// What its family used.
    pub memory: Bytes,
}

impl Record {
    /// The record as one line, without what separates it from its neighbours; `None` when even
    /// without its output it is longer than a line may be.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let line = json(self)?;
        if line.len() <= MAX_RECORD {
            return Some(line);
        }
        self.encode_slim()
    }

    /// The record without what can be large: for a disk that is full.
    pub(super) fn encode_slim(&self) -> Option<Vec<u8>> {
        let line = match self {
            Self::Result(result) => json(&Self::Result(result.slim()))?,
            Self::Suite { .. }
            | Self::Started { .. }
            | Self::Unfinished(_)
            | Self::Stopped(_)
            | Self::Died { .. }
            | Self::Finished { .. } => json(self)?,
        };
        (line.len() <= MAX_RECORD).then_some(line)
    }

    /// Reads a line as [`Record::encode`] writes it.
    pub(super) fn decode(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

impl ResultRecord {
    /// The result without its output, and with a few short leaks at most.
    fn slim(&self) -> Self {
        const LEAKS: usize = 16;
        const LEAK: usize = 256;
        Self {
            output: None,
            leaks: self
                .leaks
                .iter()
                .take(LEAKS)
                .map(|leak| leak.chars().take(LEAK).collect())
                .collect(),
            ..self.clone()
        }
    }
}

/// Nothing that is written here can fail to be JSON: no map has keys that are no strings.
fn json(value: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}

/// Why a line is no header that can be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// It is of a newer format.
    Future(u64),
    /// It is not what a header should be.
    Damaged(String),
}

impl Header {
    /// The header as the first line of the file.
    ///
    /// # Errors
    /// The reason why [`Header::decode`] would refuse it.
    pub(super) fn encode(&self) -> Result<Vec<u8>, String> {
        self.check()?;
        let fields = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        // The fields are an object of their own: the version goes in front of them, the opening of
        // the results takes the place of their closing brace.
        let inner = fields
            .strip_prefix(b"{")
            .and_then(|fields| fields.strip_suffix(b"}"))
            .ok_or("it is no object")?;
        let mut line = FORMAT_KEY.to_vec();
        line.extend_from_slice(FORMAT.to_string().as_bytes());
        line.push(b',');
        line.extend_from_slice(inner);
        line.extend_from_slice(OPENING);
        if line.len() > MAX_HEADER {
            return Err(format!("it would have {} bytes in its header", line.len()));
        }
        Ok(line)
    }

    /// Reads a first line, without its line end.
    pub(super) fn decode(line: &[u8]) -> Result<Self, HeaderFault> {
        let damaged = |reason: &str| HeaderFault::Damaged(reason.to_owned());
        let rest = line
            .strip_prefix(FORMAT_KEY)
            .ok_or_else(|| damaged("it does not begin as a checkpoint does"))?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = rest.split_at(digits);
        let rest = rest
            .strip_prefix(b",")
            .filter(|_| digits > 0)
            .ok_or_else(|| damaged("its format version is cut off or no number"))?;
        // A number that is too large for us is the version of a format that is too new for us.
        let format = std::str::from_utf8(number)
            .ok()
            .and_then(|number| number.parse().ok())
            .unwrap_or(u64::MAX);
        match format {
            FORMAT => {}
            0 => return Err(damaged("there is no format 0")),
            newer => return Err(HeaderFault::Future(newer)),
        }
        let inner = rest
            .strip_suffix(OPENING)
            .ok_or_else(|| damaged("its header is cut off"))?;
        let fields = [b"{", inner, b"}"].concat();
        let header: Self = serde_json::from_slice(&fields)
            .map_err(|error| HeaderFault::Damaged(shown(&error.to_string())))?;
        header.check().map_err(HeaderFault::Damaged)?;
        Ok(header)
    }

    /// Whether everything in it may be compared, shown and passed on. The selection becomes
    /// arguments of cargo, one `--option=VALUE` each, and the rest is shown on terminals.
    fn check(&self) -> Result<(), String> {
        let build = &self.selection.build;
        let tests = &self.selection.tests;
        let lists = [
            ("packages", &build.packages),
            ("exclude", &build.exclude),
            ("bin", &build.bin),
            ("test", &build.test),
            ("example", &build.example),
            ("bench", &build.bench),
            ("features", &build.features),
            ("names", &tests.names),
            ("skip", &tests.skip),
        ];
        let only = tests.only_limits.as_ref();
        let only_sets = only.map(|only| ("only-limits", &only.sets));
        let only_default = only.and_then(|only| only.default.as_deref());
        let listed = lists
            .into_iter()
            .chain(only_sets)
            .flat_map(|(key, values)| values.iter().map(move |value| (key, value.as_str())));
        let single = [
            ("tool", self.tool.as_str()),
            ("created", self.created.as_str()),
            ("workspace-root", self.workspace_root.as_str()),
        ];
        let single = single
            .into_iter()
            .chain(only_default.map(|name| ("only-limits", name)));
        let binaries = self
            .binaries
            .iter()
            .map(|binary| ("binaries", binary.id.as_str()));
        for (key, value) in listed.chain(single).chain(binaries) {
            if value.chars().any(char::is_control) {
                return Err(format!("`{key}` holds a control character"));
            }
            if value.len() > MAX_VALUE {
                return Err(format!("`{key}` holds more than {MAX_VALUE} bytes"));
            }
        }
        let given = tests.filterset.iter().map(|text| ("filterset", text));
        let default = tests
            .default_filter
            .iter()
            .map(|text| ("default-filter", text));
        for (key, text) in given.chain(default) {
            // An expression may have several lines. Where it is shown, nothing of it moves a cursor.
            let steers = |c: char| c.is_control() && !c.is_ascii_whitespace();
            if text.chars().any(steers) {
                return Err(format!("`{key}` holds a control character"));
            }
            if text.len() > MAX_EXPRESSION {
                return Err(format!("`{key}` holds more than {MAX_EXPRESSION} bytes"));
            }
        }
        for (key, value) in [
            ("target", &build.target),
            ("cargo-profile", &build.cargo_profile),
        ] {
            // A target may also be the path of a specification, which names a linker to run: that
            // must come from a command line, never from a file.
            if let Some(value) = value
                && !is_plain_word(value)
            {
                return Err(format!("`{key}` is no plain name: `{}`", shown(value)));
            }
        }
        Ok(())
    }
}

/// The beginning of a text that anybody may have written, as it may be shown on a terminal.
fn shown(text: &str) -> String {
    visible(text, 200)
}

/// So many characters of a text at most, with none that moves a cursor.
pub(super) fn visible(text: &str, longest: usize) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(longest).map(visible).collect()
}

/// Letters, digits, `_`, `.` and `-`, and no `-` in front.
fn is_plain_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::checkpoint::fingerprint::Fingerprint;
    use crate::checkpoint::timestamp::civil;
    use crate::checkpoint::timestamp::timestamp;
    use crate::id::BinaryId;
    use crate::outcome::Failure;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::time::Duration;
    use std::time::SystemTime;

    pub(crate) fn test_id(binary: &str, name: &str) -> TestId {
        TestId::new(BinaryId::new(binary), name)
    }

    pub(crate) fn binary(id: &str, content: &str) -> BinaryRecord {
        BinaryRecord {
            id: BinaryId::new(id),
            fingerprint: Fingerprint {
                size: content.len() as u64,
                mtime_ns: 1_700_000_000_123_456_789,
                hash: ContentHash::of(content.as_bytes()),
            },
        }
    }

    pub(crate) fn header() -> Header {
        Header {
            tool: "cargo-stt 0.1.0".to_owned(),
            run: RunId::from_random([7; 16]),
            leg: 1,
            created: timestamp(SystemTime::UNIX_EPOCH),
            workspace_root: "/work/space".into(),
            selection: Selection::default(),
            config_hash: ContentHash::of(b"configuration"),
            binaries: vec![binary("app", "one"), binary("app::api", "two")],
            memory_before: Some(Percent::whole(40)),
        }
    }

    pub(crate) fn result(test: TestId, outcome: TestOutcome) -> ResultRecord {
        ResultRecord {
            test,
            outcome,
            duration: Duration::from_millis(1_250),
            cpu: Duration::from_millis(40),
            peak_memory: Bytes::mib(3),
            processes: Some(2),
            read: None,
            written: Some(Bytes(4096)),
            output: None,
            leaks: Vec::new(),
            attempt: 1,
            retried: false,
        }
    }

    /// One of each kind, with everything that can be in it.
    pub(crate) fn records() -> Vec<Record> {
        let test = |name: &str| test_id("app", name);
        let failed = ResultRecord {
            output: Some(Arc::new(Output {
                stdout: Text::bounded(b"a \"quoted\"\nline \xff ]}", 0, b""),
                stderr: Text::bounded("größe".as_bytes(), 5, b"end\n]}"),
            })),
            leaks: vec!["process 12 (sleep 60)".to_owned()],
            ..result(test("fails"), TestOutcome::Failed(Failure::Exit(101)))
        };
        vec![
            Record::Result(result(test("passes"), TestOutcome::Passed)),
            Record::Started {
                test: test("large"),
            },
            Record::Result(failed),
            Record::Result(result(test("later"), TestOutcome::Ignored)),
            Record::Unfinished(UnfinishedRecord {
                test: test("large"),
                why: Some(Unfinished::Stopped),
                breaches: 1,
                evidence: vec!["leg 1: memory".to_owned()],
            }),
            Record::Stopped(StopNote {
                cause: Some(StopCause::Memory),
                reason: "memory 81 % ≥ 80 %".to_owned(),
                largest: vec![Large {
                    test: test("large"),
                    memory: Bytes::mib(900),
                }],
            }),
            Record::Finished {
                outcome: RunOutcome::Stopped,
            },
        ]
    }

    #[test]
    fn a_header_comes_back_from_its_line() {
        let header = header();
        let line = header.encode().unwrap();
        assert!(line.starts_with(b"{\"format\":1,\"tool\":\"cargo-stt 0.1.0\",\"run\":"));
        assert!(!line.contains(&b'\n'));
        let file = [&*line, CLOSING].concat();
        let value: Value = serde_json::from_slice(&file).unwrap();
        assert_eq!(value["workspace-root"], "/work/space");
        assert_eq!(value["results"], Value::Array(Vec::new()));
        // What an older version does not know is there only where it is used.
        let tests = value["selection"]["tests"].as_object().unwrap();
        let keys: Vec<_> = tests.keys().map(String::as_str).collect();
        assert_eq!(keys, ["exact", "names", "run-ignored", "skip"]);
        assert_eq!(Header::decode(&line), Ok(header));
    }

    #[test]
    fn a_result_from_before_families_were_counted_still_loads() {
        let line = br#"{"kind":"result","test":{"binary":"app","name":"a"},"outcome":"passed","duration":1.25,"cpu":0.04,"peak-memory":3145728}"#;
        let expected = ResultRecord {
            processes: None,
            written: None,
            ..result(test_id("app", "a"), TestOutcome::Passed)
        };
        assert_eq!(Record::decode(line), Some(Record::Result(expected)));
    }

    #[test]
    fn every_record_comes_back_from_its_line() {
        for record in records() {
            let line = record.encode().unwrap();
            assert!(!line.contains(&b'\n'));
            assert_eq!(Record::decode(&line), Some(record));
        }
        let line = records()[1].encode().unwrap();
        let text = String::from_utf8(line).unwrap();
        let expected = r#"{"kind":"started","test":{"binary":"app","name":"large"}}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn what_a_record_should_not_hold_is_refused() {
        for line in [
            r#"{"kind":"started","test":{"binary":"app","name":"x"},"run":"rm"}"#,
            r#"{"kind":"started","kind":"started","test":{"binary":"app","name":"x"}}"#,
            r#"{"kind":"command","line":"rm"}"#,
            r#"{"kind":"finished","outcome":"maybe"}"#,
            r#"{"kind":"started"}"#,
            "[]",
            "",
            &"[".repeat(100_000),
        ] {
            assert_eq!(Record::decode(line.as_bytes()), None, "{line:.80}");
        }
    }

    #[test]
    fn another_format_is_told_from_a_damaged_header() {
        let line = String::from_utf8(header().encode().unwrap()).unwrap();
        let cases = [
            (line.replacen('1', "2", 1), Some(2)),
            (
                line.replacen('1', "99999999999999999999999", 1),
                Some(u64::MAX),
            ),
            ("{\"format\":7,\"anything".to_owned(), Some(7)),
            (line.replacen('1', "0", 1), None),
            (line.replacen('1', "-1", 1), None),
            (line.replacen('1', "1.5", 1), None),
            ("{\"format\":12".to_owned(), None),
            ("{\"format\":,".to_owned(), None),
            ("{\"version\":3}".to_owned(), None),
            (String::new(), None),
            (line.replace("results", "outcomes"), None),
            (line.replace("\"leg\":1,", ""), None),
            (line.replace("\"leg\":1,", "\"leg\":1,\"args\":[],"), None),
            (line.replace("\"leg\":1,", "\"leg\":-1,"), None),
            (line.replace("leg", "\\u001b[2J"), None),
            (line.replace("leg", &"l".repeat(10_000)), None),
        ];
        for (line, future) in cases {
            match Header::decode(line.as_bytes()).expect_err(&line) {
                HeaderFault::Future(found) => assert_eq!(Some(found), future, "{line}"),
                HeaderFault::Damaged(reason) => {
                    assert_eq!(future, None, "{line}: {reason}");
                    // It is shown on a terminal, whoever wrote the file.
                    assert!(reason.len() <= 200 && !reason.contains(char::is_control));
                }
            }
        }
    }

    #[test]
    fn nothing_in_a_header_can_become_more_than_a_value() {
        let mut hostile = Vec::new();
        for target in ["--config=x", "../evil.json", "a b", ""] {
            let mut header = header();
            header.selection.build.target = Some(target.to_owned());
            hostile.push(("target", header.clone()));
            header.selection.build.cargo_profile = header.selection.build.target.take();
            hostile.push(("cargo-profile", header));
        }
        for text in ["a\n--config", "a\0", "\u{1b}[2J", "\u{7}", "\u{9b}31m"] {
            let mut spoil = |key, place: fn(&mut Header) -> &mut Vec<String>| {
                let mut header = header();
                place(&mut header).push(text.to_owned());
                hostile.push((key, header));
            };
            spoil("packages", |header| &mut header.selection.build.packages);
            spoil("features", |header| &mut header.selection.build.features);
            spoil("skip", |header| &mut header.selection.tests.skip);
            spoil("only-limits", |header| {
                let only = &mut header.selection.tests.only_limits;
                &mut only.get_or_insert_default().sets
            });
            let mut set = header();
            let only = set.selection.tests.only_limits.get_or_insert_default();
            only.default = Some(text.to_owned());
            hostile.push(("only-limits", set));
            let tool = text.to_owned();
            hostile.push(("tool", Header { tool, ..header() }));
            let workspace_root = text.into();
            hostile.push((
                "workspace-root",
                Header {
                    workspace_root,
                    ..header()
                },
            ));
            let binaries = vec![binary(text, "")];
            hostile.push((
                "binaries",
                Header {
                    binaries,
                    ..header()
                },
            ));
        }
        for (key, header) in hostile {
            let refused = header.encode().unwrap_err();
            assert!(refused.contains(&format!("`{key}`")), "{refused}");
            assert!(!refused.contains(char::is_control), "{refused}");

            // The same content, in a file that somebody else wrote.
            let fields = serde_json::to_string(&header).unwrap();
            let inner = &fields[1..fields.len() - 1];
            let line = format!("{{\"format\":1,{inner},\"results\":[");
            assert_eq!(
                Header::decode(line.as_bytes()),
                Err(HeaderFault::Damaged(refused))
            );
        }
        let mut steering = header();
        steering.selection.tests.filterset = vec!["test(/\u{1b}[2J/)".to_owned()];
        assert!(steering.encode().unwrap_err().contains("`filterset`"));
        let mut lines = header();
        lines.selection.tests.filterset = vec!["test(a) |\n\ttest(b)".to_owned()];
        lines.selection.tests.default_filter = Some("x".repeat(MAX_VALUE + 1));
        assert_eq!(Header::decode(&lines.encode().unwrap()), Ok(lines));
        let mut long = header();
        long.selection.tests.default_filter = Some("x".repeat(MAX_EXPRESSION + 1));
        assert!(long.encode().unwrap_err().contains("`default-filter`"));
        let mut long = header();
        long.selection.tests.names.push("x".repeat(MAX_VALUE + 1));
        assert!(long.encode().unwrap_err().contains("`names`"));
        let mut plain = header();
        plain.selection.build.target = Some("x86_64-unknown-linux-gnu".to_owned());
        plain.selection.build.cargo_profile = Some("ci.fast".to_owned());
        assert!(plain.encode().is_ok());
    }

    #[test]
    fn a_record_that_is_too_long_loses_its_output_first() {
        let test = test_id("app", "noisy");
        let long = ResultRecord {
            leaks: vec!["x".repeat(MAX_RECORD); 40],
            ..result(test.clone(), TestOutcome::Passed)
        };
        let line = Record::Result(long).encode().unwrap();
        assert!(line.len() < 16 * 256 + 400, "{}", line.len());
        let Some(Record::Result(kept)) = Record::decode(&line) else {
            panic!("no result");
        };
        assert_eq!((kept.test, kept.leaks.len()), (test, 16));

        let name = "x".repeat(MAX_RECORD);
        let record = Record::Started {
            test: test_id("app", &name),
        };
        assert_eq!(record.encode(), None);
    }

    #[test]
    fn a_short_stream_is_kept_whole() {
        let text = Text::bounded("grü".as_bytes(), 0, "ße".as_bytes());
        assert_eq!((&*text.head, text.omitted, &*text.tail), ("grüße", 0, ""));
        // A character that the capture cut in two is whole again.
        let umlaut = "ü".as_bytes();
        assert_eq!(Text::bounded(&umlaut[..1], 0, &umlaut[1..]).head, "ü");
    }

    #[test]
    fn a_long_stream_keeps_its_ends_without_cutting_a_character() {
        let stream = "aü€😀".repeat(10_000);
        for start in 0..10 {
            let stream = &stream.as_bytes()[start..];
            let text = Text::bounded(stream, 0, b"");
            let front = usize::from(start > 0) * 4;
            assert!(
                (8_186..=8_192 + 2 * front).contains(&text.head.len()),
                "{}",
                text.head.len()
            );
            assert!(
                (8_192..=8_195).contains(&text.tail.len()),
                "{}",
                text.tail.len()
            );
            assert!(!text.tail.contains('\u{fffd}'));
            // Only the character that the stream itself begins in the middle of.
            let head = text.head.trim_start_matches('\u{fffd}');
            assert!(!head.contains('\u{fffd}'));
        }
    }

    proptest! {
        #[test]
        fn no_byte_of_a_stream_is_forgotten(head in 0_u8.., omitted in 0_u64..3, tail in 0_u8..) {
            let stream = |size: u8| -> Vec<u8> {
                (0..u32::from(size) * 80).map(|at| b"abcdefghijklmnopqrstuvw"[at as usize % 23]).collect()
            };
            let (head, tail) = (stream(head), stream(tail));
            let text = Text::bounded(&head, omitted, &tail);
            prop_assert!(text.head.len() + text.tail.len() <= MAX_STREAM);
            let all = text.head.len() as u64 + text.omitted + text.tail.len() as u64;
            prop_assert_eq!(all, head.len() as u64 + omitted + tail.len() as u64);
            let whole = [&*head, &*tail].concat();
            prop_assert!(whole.starts_with(text.head.as_bytes()));
            prop_assert!(whole.ends_with(text.tail.as_bytes()));
        }

        #[test]
        fn no_bytes_make_a_stream_panic(
            bytes in proptest::collection::vec(any::<u8>(), 1..20),
            omitted: u64,
        ) {
            let stream = bytes.repeat(MAX_STREAM / 3);
            for text in [
                Text::bounded(&stream, omitted, &stream),
                Text::bounded(&stream, 0, &bytes),
                Text::bounded(&bytes, 0, &stream),
            ] {
                prop_assert!(text.head.len() + text.tail.len() <= 3 * (MAX_STREAM + 6));
            }
        }
    }

    #[test]
    fn times_are_written_as_people_know_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(timestamp(time), text);
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(timestamp(before), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn days_follow_each_other_over_four_centuries() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..150_000 {
            assert_eq!(civil(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == last => (year, month + 1, 1),
                (_, day) => (year, month, day + 1),
            };
        }
    }
}
