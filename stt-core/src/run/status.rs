//! The runs of this user on this machine, and how the machine stands: for `cargo stt status`.

use serde::Serialize;

use crate::clock::Clock;
use crate::coordinator::CoordinatorError;
use crate::coordinator::Counters;
use crate::coordinator::Directory;
use crate::coordinator::Live;
use crate::coordinator::Place;
use crate::guard::Sampler;
use crate::guard::SamplerConfig;
use crate::guard::cores;
use crate::process::boot;
use crate::report::Reaped;
use crate::units::Bytes;
use crate::units::Percent;

/// How things stand.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// When this was found, in milliseconds since the boot, as all times of the runs.
    pub now: u64,
    /// The machine.
    pub machine: Machine,
    /// The runs, the oldest first.
    pub runs: Vec<Live>,
    /// What was done since the boot.
    pub since_boot: Counters,
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
                (directory.lives(None)?, directory.counters(&boot))
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
}
