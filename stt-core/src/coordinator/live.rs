//! What a run tells the others while it lives. Pure.
//!
//! It is replaced whenever it changes, and at least once a second. Nothing that is ended or removed depends on
//! it: that is what the record is for. What can't be read counts as not told.

use camino::Utf8PathBuf;
use serde::Deserialize;
use serde::Serialize;

use crate::id::ProcessId;
use crate::id::RunId;
use crate::units::Bytes;

/// The number of this format.
const FORMAT: u32 = 1;

/// Who has told nothing for this long, in milliseconds, stands still or has been overwhelmed: nobody waits for him.
const STALE: u64 = 3_000;

/// What a run tells of how it stands. Times are milliseconds since the boot
/// ([`Clock::since_boot`](crate::clock::Clock::since_boot)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Live {
    /// The number of this format.
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// The process that a person has started. Who started first is the older, whatever he was restarted for.
    pub runner: ProcessId,
    /// The root of the workspace whose tests it runs.
    pub workspace: Utf8PathBuf,
    /// When it was told.
    pub told: u64,
    /// What it does.
    pub state: State,
    /// Since when.
    pub state_since: u64,
    /// Whether it was started by a test of another run, and so is part of that one's share.
    #[serde(default)]
    pub nested: bool,
    /// How many tests it would run at once now, were it alone.
    pub wanted: u32,
    /// For how many tests it holds a share of the cores.
    pub held: u32,
    /// Since when it waits for its first share; absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// How many of its tests have a result, of how many.
    #[serde(default)]
    pub done: u32,
    /// All of its tests.
    #[serde(default)]
    pub total: u32,
    /// How many have failed.
    #[serde(default)]
    pub failed: u32,
    /// What its tests use.
    #[serde(default)]
    pub memory: Bytes,
    /// What its running tests are expected to come to use on top of that.
    #[serde(default)]
    pub promised: Bytes,
    /// What one more test is expected to use; zero while nothing is known.
    #[serde(default)]
    pub expected: Bytes,
    /// The limit of the memory that it watches, by which runs in one container know each other.
    #[serde(default)]
    pub limit: Bytes,
    /// How many tests run.
    #[serde(default)]
    pub running_now: u32,
    /// The largest of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<RunningTest>,
    /// The setup or teardown script that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<RunningScript>,
    /// What its guard watches; absent when nobody watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// What it waits for, in words for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
}

/// A test that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunningTest {
    /// Its name, with its binary's.
    pub test: String,
    /// Since when.
    pub since: u64,
    /// What its family uses, when it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
}

/// A script that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunningScript {
    /// Its kind: `setup` or `teardown`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Since when.
    pub since: u64,
}

/// Where a guard draws its lines, as a configuration has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Thresholds {
    /// For memory: a share of the machine, or a size for the tests themselves.
    pub memory: String,
    /// For the CPU.
    pub cpu: String,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was stopped, and waits until the machine has recovered.
    Waiting,
    /// It finds out what there is to run, and builds it.
    Building,
    /// It runs tests.
    Running,
    /// The guard ends it.
    Stopping,
    /// Everything has its result, and the last things are written down.
    Finishing,
    /// Somebody has stopped it for a while, as with Ctrl-Z.
    Suspended,
}

impl Live {
    /// What a run tells that has just begun.
    pub fn new(run: RunId, runner: ProcessId, workspace: Utf8PathBuf, now: u64) -> Self {
        Self {
            format: FORMAT,
            run,
            runner,
            workspace,
            told: now,
            state: State::Building,
            state_since: now,
            nested: false,
            wanted: 0,
            held: 0,
            queued: None,
            done: 0,
            total: 0,
            failed: 0,
            memory: Bytes(0),
            promised: Bytes(0),
            expected: Bytes(0),
            limit: Bytes(0),
            running_now: 0,
            running: Vec::new(),
            script: None,
            thresholds: None,
            waits: None,
        }
    }

    /// Reads what was told; `None` when it is not what this version tells.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let live: Self = serde_json::from_slice(text).ok()?;
        (live.format == FORMAT && live.runner.pid > 1).then_some(live)
    }

    /// What is told, as it is written.
    ///
    /// # Errors
    /// None that what is told could give rise to.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// Whether it was told a short time ago.
    pub fn is_fresh(&self, now: u64) -> bool {
        now.saturating_sub(self.told) <= STALE
    }

    /// What others act on, and have to be told at once.
    pub fn matters(&self) -> (State, u32, u32, Option<u64>, (Bytes, u32), bool) {
        let runs = self.running_now > 0;
        // Each time that it has doubled.
        let memory = (self.limit, step_of(self.memory));
        (
            self.state,
            self.wanted,
            self.held,
            self.queued,
            memory,
            runs,
        )
    }

    /// What runs are ordered by, from the oldest to the youngest.
    pub fn age(&self) -> (u64, i32) {
        (self.runner.start, self.runner.pid)
    }
}

/// Memory in steps that others act on: each is twice the one before, from 64 MiB on.
pub fn step_of(memory: Bytes) -> u32 {
    u64::BITS - (memory.0 / Bytes::mib(64).0).leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Live {
        let runner = ProcessId { pid: 7, start: 90 };
        Live::new(RunId::from_random([3; 16]), runner, "/w".into(), 5_000)
    }

    #[test]
    fn what_is_told_is_read() {
        let mut live = live();
        live.running.push(RunningTest {
            test: "app parser::nested".to_owned(),
            since: 4_000,
            memory: Some(Bytes(1 << 20)),
        });
        live.script = Some(RunningScript {
            kind: "setup".to_owned(),
            name: "db".to_owned(),
            since: 4_000,
        });
        live.queued = Some(4_500);
        let text = live.to_json().unwrap();
        assert_eq!(Live::parse(&text), Some(live));
    }

    #[test]
    fn what_another_version_or_nobody_tells_is_not_read() {
        let mut newer = live();
        newer.format = FORMAT + 1;
        let mut nobody = live();
        nobody.runner.pid = 1;
        for live in [newer, nobody] {
            assert_eq!(Live::parse(&live.to_json().unwrap()), None);
        }
        assert_eq!(Live::parse(b"{\"format\":1"), None);
        assert_eq!(Live::parse(b""), None);
    }

    #[test]
    fn whoever_is_silent_for_more_than_three_seconds_is_stale() {
        let live = live();
        assert!(live.is_fresh(5_000) && live.is_fresh(8_000) && live.is_fresh(0));
        assert!(!live.is_fresh(8_001));
    }
}
