//! The runs of this user on this machine, and how the machine stands: for `cargo stt status`.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Clock;
use crate::container::Thing;
use crate::containers::Books;
use crate::containers::Ledger;
use crate::containers::Scope;
use crate::containers::look;
use crate::coordinator::CoordinatorError;
use crate::coordinator::Counters;
use crate::coordinator::Directory;
use crate::coordinator::Live;
use crate::coordinator::Place;
use crate::coordinator::Record;
use crate::guard::Sampler;
use crate::guard::SamplerConfig;
use crate::guard::cores;
use crate::process::boot;
use crate::report::Reaped;
use crate::run::port_list::owned_ports;
use crate::units::Bytes;
use crate::units::Percent;

/// How long a container engine has to answer.
const ENGINE: Duration = Duration::from_secs(1);

/// How things stand.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// When this was found, in milliseconds since the boot, as all times of the runs.
    pub now: u64,
    /// The machine.
    pub machine: Machine,
    /// The runs, the oldest first.
    pub runs: Vec<SeenRun>,
    /// What was done since the boot.
    pub since_boot: Counters,
}

/// A run, and what it has.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SeenRun {
    /// What it tells of itself.
    #[serde(flatten)]
    pub live: Live,
    /// The ports that its tests have for themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<TestPort>,
    /// What its tests have made at a container engine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Thing>,
}

/// A port that a test has for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TestPort {
    /// The port.
    pub port: u16,
    /// The test.
    pub test: String,
}

/// The machine, or the control group around us whose limit is the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Machine {
    /// How many cores we may use.
    pub cores: usize,
    /// Memory in use.
    pub memory: Option<Bytes>,
    /// The limit of memory.
    pub memory_limit: Option<Bytes>,
    /// The share of the cores that was busy, in thousandths of a percent; absent at the first look.
    pub cpu: Option<Percent>,
    /// PSI: in which share of the last ten seconds some task waited for a CPU, in thousandths of a percent.
    pub cpu_pressure: Option<Percent>,
    /// The load average of the last minute.
    pub load: Option<f64>,
}

/// What of this is counted.
pub(crate) fn counters(reaped: &[Reaped]) -> Counters {
    let ended = reaped.iter().flat_map(|reaped| &reaped.ended);
    let unnamed: usize = reaped.iter().map(|reaped| reaped.more).sum();
    Counters {
        reaped_runs: reaped.len() as u64,
        processes: (ended.clone().count() + unnamed) as u64,
        ports: ended.map(|process| process.ports.len() as u64).sum(),
        ..Counters::default()
    }
}

/// Looks at runs and machine, once or again and again.
#[derive(Debug)]
pub struct Observer {
    place: Place,
    clock: Clock,
    sampler: Sampler,
}

impl Observer {
    /// An observer of the runs that keep their records here.
    pub fn new(place: Place) -> Self {
        let clock = Clock::start();
        // The disk is not looked at.
        let config = SamplerConfig::new(place.temporary.clone());
        Self {
            place,
            clock,
            sampler: Sampler::new(config, clock),
        }
    }

    /// How things stand now.
    ///
    /// # Errors
    /// The directory of the runs is not ours alone, or can't be read.
    pub fn look(&mut self) -> Result<Status, CoordinatorError> {
        let directory = Directory::find(&self.place)?;
        let (runs, since_boot) = match &directory {
            None => (Vec::new(), Counters::default()),
            Some(directory) => {
                let boot = boot().unwrap_or_default();
                (Self::runs(directory)?, directory.counters(&boot))
            }
        };
        let sample = self.sampler.sample(self.clock.now(), None);
        Ok(Status {
            now: Clock::since_boot(),
            machine: Machine {
                cores: cores(),
                memory: sample.memory.map(|memory| memory.used),
                memory_limit: sample.memory.map(|memory| memory.total),
                cpu: sample.cpu_busy,
                cpu_pressure: sample.cpu_pressure,
                load: sysinfo::System::load_average().ok().map(|load| load.one),
            },
            runs,
            since_boot,
        })
    }

    fn runs(directory: &Directory) -> Result<Vec<SeenRun>, CoordinatorError> {
        let lives = directory.lives(None)?;
        let told = directory.told()?;
        let ports = if lives.is_empty() {
            Vec::new()
        } else {
            owned_ports(directory.rights()?, &lives)
        };
        let seen = |live: Live| {
            let of_run = ports.iter().filter_map(|port| {
                let owner = port.owner.as_ref()?;
                let ours = owner.run.as_deref() == Some(live.run.as_str());
                let test = owner.what.clone().filter(|_| ours)?;
                Some(TestPort {
                    port: port.port,
                    test,
                })
            });
            SeenRun {
                ports: of_run.collect(),
                containers: told.get(&live.run).map(containers).unwrap_or_default(),
                live,
            }
        };
        Ok(lives.into_iter().map(seen).collect())
    }
}

/// What the tests of a run have made with containers. An engine that does not answer says nothing.
fn containers(record: &Record) -> Vec<Thing> {
    let scope = Scope {
        run: &record.run,
        test: None,
        late: Duration::ZERO,
        budget: ENGINE,
    };
    let engine = record.engine.as_ref();
    let found = engine.map(|engine| look(engine, scope).unwrap_or_default());
    let dir = record.tmpdir.as_deref().filter(|_| record.podman);
    let noted = dir.and_then(|dir| Books::of(dir).whole());
    let noted = noted.map(Ledger::into_things);
    found.into_iter().chain(noted).flatten().collect()
}
