//! The record of a run: what it says, and what it must not say. Pure.
//!
//! It is read by runners of other versions, and by chance by anything that lies in its place. What is
//! not as a runner of this version writes it is not acted on.

use camino::Utf8Component;
use camino::Utf8Path;
use camino::Utf8PathBuf;
use serde::Deserialize;
use serde::Serialize;

use crate::container::Address;
use crate::id::ProcessId;
use crate::id::RunId;

/// The number of this format.
const FORMAT: u32 = 1;

/// What a run tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// The run.
    pub run: RunId,
    /// Whose it is.
    pub owner: Owner,
    /// The root of the workspace whose tests it runs.
    pub workspace: Utf8PathBuf,
    /// When it began, in seconds since 1970.
    pub since: u64,
    /// The control group of its tests, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Utf8PathBuf>,
    /// Its temporary directory, where it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpdir: Option<Utf8PathBuf>,
    /// Where its results are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Utf8PathBuf>,
    /// Where the output of its tests goes that is too much for memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Utf8PathBuf>,
    /// The container engine at which its tests have made something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Address>,
    /// Whether its tests may have made something with Podman's command, which writes it down in the temporary directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub podman: bool,
    /// Who takes over its orphans when the runner dies; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopter: Option<ProcessId>,
    /// Those above the runner, its parent first.
    pub ancestors: Vec<ProcessId>,
}

/// Whose a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Owner {
    /// The runner.
    pub process: ProcessId,
    /// Its user.
    pub uid: u32,
    /// The boot since which its numbers count.
    pub boot: String,
    /// The name space in which its numbers count.
    pub pid_namespace: String,
}

/// Why a record is not acted on.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// It can't be parsed.
    #[error("it can't be read as a record")]
    Damaged(#[source] serde_json::Error),
    /// A newer version has written it.
    #[error("a newer version of cargo-stt wrote it (format {0})")]
    Newer(u32),
    /// It is another run's than its name says.
    #[error("its name is not that of the run in it")]
    Misnamed,
    /// It names another user.
    #[error("it names the user {0}")]
    OtherUser(u32),
    /// Its runner is no process that runs tests.
    #[error("it names process {0} as a dead runner")]
    Runner(i32),
    /// One of its paths is none that a runner writes.
    #[error("`{0}` is no path of a run")]
    Path(Utf8PathBuf),
}

/// A record with the number of its format, which every version can read.
#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    #[serde(flatten)]
    record: &'a Record,
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl Record {
    /// The beginning of the names of its files. A resumed run has the id of an earlier leg, so the
    /// runner is part of it.
    pub fn stem(&self) -> String {
        format!("{}-{}", self.run, self.owner.process.pid)
    }

    /// The record as it is written.
    ///
    /// # Errors
    /// None that a record could give rise to.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Document {
            format: FORMAT,
            record: self,
        })
    }

    /// Reads the record of a dead run, found under this name by a runner of this user.
    ///
    /// # Errors
    /// It is not what a runner of this user has written.
    pub fn parse(
        text: &[u8],
        stem: &str,
        uid: u32,
        myself: Option<ProcessId>,
    ) -> Result<Self, RecordFault> {
        let head: Head = serde_json::from_slice(text).map_err(RecordFault::Damaged)?;
        if head.format != FORMAT {
            return Err(RecordFault::Newer(head.format));
        }
        let record: Self = serde_json::from_slice(text).map_err(RecordFault::Damaged)?;
        let owner = &record.owner;
        if !is_named(stem, &record.stem()) {
            return Err(RecordFault::Misnamed);
        }
        if owner.uid != uid {
            return Err(RecordFault::OtherUser(owner.uid));
        }
        if owner.process.pid <= 1 || myself == Some(owner.process) {
            return Err(RecordFault::Runner(owner.process.pid));
        }
        let group = format!("stt-{}", record.run);
        let foreign = |path: &&Utf8PathBuf| path.file_name() != Some(group.as_str());
        if let Some(path) = record.cgroup.as_ref().filter(foreign) {
            return Err(RecordFault::Path(path.clone()));
        }
        let foreign = |path: &&Utf8PathBuf| path.file_name() != Some(record.run.short());
        if let Some(path) = record.output.as_ref().filter(foreign) {
            return Err(RecordFault::Path(path.clone()));
        }
        let paths = [
            &record.cgroup,
            &record.tmpdir,
            &record.checkpoint,
            &record.output,
        ];
        let socket = match &record.engine {
            Some(Address::Unix(path)) => Some(path),
            Some(Address::Tcp(_)) | None => None,
        };
        let paths = paths.into_iter().flatten().chain(socket);
        let paths = paths.chain([&record.workspace]);
        for path in paths {
            if !is_plain(path) {
                return Err(RecordFault::Path(path.clone()));
            }
        }
        Ok(record)
    }
}

/// Whether a file's name is that of a record: its stem, or that with a number, for the case that there
/// was such a file already.
fn is_named(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem).is_some_and(|rest| {
        rest.is_empty()
            || rest
                .strip_prefix('.')
                .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// Whether a path leads from the root to a place by names alone.
fn is_plain(path: &Utf8Path) -> bool {
    let mut components = path.components();
    // What is normalised away, a `.` or a `//`, does no harm.
    components.next() == Some(Utf8Component::RootDir)
        && components.all(|part| matches!(part, Utf8Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSELF: Option<ProcessId> = Some(ProcessId {
        pid: 77,
        start: 1000,
    });

    fn record() -> Record {
        let process = |pid, start| ProcessId { pid, start };
        Record {
            run: RunId::from_random([7; 16]),
            owner: Owner {
                process: process(4242, 900),
                uid: 1000,
                boot: "6a1b0d0e-0000-4000-8000-000000000000".to_owned(),
                pid_namespace: "pid:[4026531836]".to_owned(),
            },
            workspace: "/home/me/größe".into(),
            since: 1_790_000_000,
            cgroup: None,
            tmpdir: Some("/tmp/stt-07070707".into()),
            checkpoint: Some("/home/me/target/stt-checkpoint.json".into()),
            output: Some("/home/me/target/stt/output/07070707".into()),
            engine: Some(Address::Unix("/run/docker.sock".into())),
            podman: true,
            adopter: Some(process(1, 3)),
            ancestors: vec![process(4000, 800), process(1, 3)],
        }
    }

    fn parse(record: &Record) -> Result<Record, RecordFault> {
        Record::parse(&record.to_json().unwrap(), &record.stem(), 1000, MYSELF)
    }

    #[test]
    fn what_is_written_is_read() {
        let written = record();
        assert_eq!(parse(&written).unwrap(), written);
        let text = written.to_json().unwrap();
        let again = format!("{}.2", written.stem());
        assert_eq!(Record::parse(&text, &again, 1000, MYSELF).unwrap(), written);
        assert!(text.starts_with(br#"{"format":1,"run":"07070707-"#));
    }

    #[test]
    fn a_record_damaged_at_any_byte_is_none_or_says_nothing_dangerous() {
        let written = record();
        let text = written.to_json().unwrap();
        for at in 0..text.len() {
            let torn = Record::parse(&text[..at], &written.stem(), 1000, MYSELF);
            assert!(torn.is_err(), "torn at {at}");
            for byte in [0, b'"', b'9', b'/', 0xff] {
                let mut text = text.clone();
                text[at] = byte;
                if let Ok(read) = Record::parse(&text, &written.stem(), 1000, MYSELF) {
                    assert_eq!(read.run, written.run, "byte {at}");
                    assert_eq!(read.owner.uid, 1000, "byte {at}");
                    assert!(read.tmpdir.is_none_or(|path| is_plain(&path)), "byte {at}");
                }
            }
        }
    }

    #[test]
    fn what_no_runner_writes_is_refused() {
        let faulty = |change: fn(&mut Record)| {
            let mut record = record();
            change(&mut record);
            parse(&record).unwrap_err().to_string()
        };
        assert_eq!(
            faulty(|record| record.owner.process.pid = 1),
            "it names process 1 as a dead runner"
        );
        assert_eq!(
            faulty(|record| record.owner.process = MYSELF.unwrap()),
            "it names process 77 as a dead runner"
        );
        assert_eq!(faulty(|record| record.owner.uid = 0), "it names the user 0");
        let group = |path: &str| {
            let mut record = record();
            record.cgroup = Some(path.into());
            parse(&record).is_ok()
        };
        let own = format!("stt-{}", record().run);
        assert!(group(&format!("/sys/fs/cgroup/{own}")));
        for other in [
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/user.slice",
            "/stt-07070707",
            &own,
        ] {
            assert!(!group(other), "{other}");
        }
        for other in ["/home/me", "/", "/home/me/target/stt/output/08080808"] {
            let mut record = record();
            record.output = Some(other.into());
            let fault = parse(&record).unwrap_err().to_string();
            assert_eq!(fault, format!("`{other}` is no path of a run"));
        }
        let mut elsewhere = record();
        elsewhere.engine = Some(Address::Unix("/run/../x".into()));
        let fault = parse(&elsewhere).unwrap_err().to_string();
        assert_eq!(fault, "`/run/../x` is no path of a run");
        elsewhere.engine = Some(Address::Unix("x".into()));
        assert!(matches!(parse(&elsewhere), Err(RecordFault::Damaged(_))));
        for path in ["../../x", "x", "/tmp/../etc", "", "/tmp/a/../../b"] {
            for change in [
                |record: &mut Record, path: &str| record.tmpdir = Some(path.into()),
                |record: &mut Record, path: &str| record.cgroup = Some(path.into()),
                |record: &mut Record, path: &str| record.workspace = path.into(),
            ] {
                let mut record = record();
                change(&mut record, path);
                let fault = parse(&record).unwrap_err().to_string();
                assert_eq!(fault, format!("`{path}` is no path of a run"));
            }
        }
    }

    #[test]
    fn another_name_and_another_format_are_refused() {
        let written = record();
        let text = written.to_json().unwrap();
        for stem in ["", "x", "07070707-4242", &format!("{}0", written.stem())] {
            let fault = Record::parse(&text, stem, 1000, MYSELF).unwrap_err();
            assert!(matches!(fault, RecordFault::Misnamed), "{stem}: {fault}");
        }
        let newer = br#"{"format":2,"something":"else"}"#;
        let fault = Record::parse(newer, &written.stem(), 1000, MYSELF).unwrap_err();
        assert!(matches!(fault, RecordFault::Newer(2)), "{fault}");
    }
}
