//! Makes a run known to the others of its user, and to whoever clears up after it.

use std::time::UNIX_EPOCH;

use camino::Utf8Path;
use camino::Utf8PathBuf;

use crate::clock::Clock;
use crate::config::GuardConfig;
use crate::coordinator::Claims;
use crate::coordinator::CoordinatorError;
use crate::coordinator::Directory;
use crate::coordinator::Live;
use crate::coordinator::Owner;
use crate::coordinator::Place;
use crate::coordinator::Record;
use crate::coordinator::Registration;
use crate::coordinator::Thresholds;
use crate::discovery::variables;
use crate::guard::cores;
use crate::id::RunId;
use crate::process::Everybody;
use crate::process::boot;
use crate::process::myself;
use crate::process::pid_namespace;
use crate::report::Warning;
use crate::run::Membership;
use crate::run::Session;
use crate::run::error::chain;
use crate::run::spill;

/// What a run tells of itself.
#[derive(Clone, Copy, Debug)]
pub struct Particulars<'a> {
    /// The run.
    pub run: &'a RunId,
    /// The root of its workspace.
    pub workspace: &'a Utf8Path,
    /// Its own temporary directory.
    pub tmpdir: Option<&'a Utf8Path>,
    /// Where its results are recorded.
    pub checkpoint: Option<&'a Utf8Path>,
    /// Where cargo builds, and the output of tests goes that is too much for memory.
    pub target: &'a Utf8Path,
    /// The control group of its tests.
    pub cgroup: Option<&'a Utf8Path>,
    /// Its guard.
    pub guard: &'a GuardConfig,
}

/// What a run says that goes on without knowing of others.
pub fn alone(error: &CoordinatorError) -> Warning {
    let hint =
        "when it is killed, nobody clears up after it; --no-coordinator goes alone on purpose";
    Warning {
        message: format!("this run goes on alone: {}", chain(error)),
        hint: Some(hint.to_owned()),
    }
}

/// The claims of a run on the files that it is recorded in; `None` where that can't be known to others.
pub fn claims(place: &Place) -> Option<Claims> {
    Claims::open(&Directory::open(place).ok()?).ok()
}

impl Session {
    /// Makes a run known, until the membership is dropped. To be called before its first test starts.
    ///
    /// # Errors
    /// The directory of the runs can't be used, or the platform doesn't tell what a record needs.
    pub fn register(
        &self,
        place: &Place,
        particulars: &Particulars<'_>,
    ) -> Result<Membership, CoordinatorError> {
        let record = self.record(particulars);
        let record = record.ok_or(CoordinatorError::Unsupported)?;
        let registration = Registration::begin(Directory::open(place)?, &record)?;
        let mut live = self.live(&record);
        let guard = particulars.guard;
        live.thresholds = guard.enabled.then(|| Thresholds {
            memory: guard.memory_threshold.to_string(),
            cpu: guard.cpu_threshold.to_string(),
        });
        Membership::start(registration, live, cores(), self.clock).map_err(CoordinatorError::Thread)
    }

    /// What the run tells at first.
    fn live(&self, record: &Record) -> Live {
        // A supervisor is our parent, and is who a person has started.
        let supervisor = record.ancestors.first().filter(|_| self.is_supervised());
        let runner = supervisor.copied().unwrap_or(record.owner.process);
        let workspace = record.workspace.clone();
        let mut live = Live::new(record.run.clone(), runner, workspace, 0);
        live.state_since = Clock::since_boot();
        // A test of another run has started us: what that one holds is ours as well.
        live.nested = self
            .env
            .iter()
            .any(|(name, _)| name == variables::STT_RUN_ID);
        live
    }

    fn record(&self, particulars: &Particulars<'_>) -> Option<Record> {
        let process = myself()?;
        let owned = |path: Option<&Utf8Path>| path.map(Utf8PathBuf::from);
        let since = Clock::wall().duration_since(UNIX_EPOCH);
        Some(Record {
            run: particulars.run.clone(),
            owner: Owner {
                process,
                uid: nix::unistd::geteuid().as_raw(),
                boot: boot()?,
                pid_namespace: pid_namespace()?,
            },
            workspace: particulars.workspace.to_owned(),
            // A clock before 1970 is no clock.
            since: since.map_or(0, |since| since.as_secs()),
            cgroup: owned(particulars.cgroup),
            tmpdir: owned(particulars.tmpdir),
            checkpoint: owned(particulars.checkpoint),
            output: Some(spill::directory(particulars.target, particulars.run)),
            engine: None,
            podman: false,
            adopter: self.adopter,
            ancestors: Everybody::default().ancestors(process.pid),
        })
    }
}
