//! Runs the tests: sets up the threads, lets the dispatcher work, and winds everything up.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::checkpoint::BinaryRecord;
use crate::checkpoint::ContentHash;
use crate::checkpoint::Header;
use crate::checkpoint::Record;
use crate::checkpoint::ResultRecord;
use crate::checkpoint::ResumePlan;
use crate::checkpoint::Selected;
use crate::checkpoint::Writer;
use crate::checkpoint::timestamp;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::config::Config;
use crate::guard::Policy;
use crate::guard::Sampler;
use crate::guard::SamplerConfig;
use crate::guard::cores;
use crate::guard::priority;
use crate::id::RunId;
use crate::outcome::TestOutcome;
use crate::process::Capture;
use crate::process::Limits;
use crate::report;
use crate::report::Counts;
use crate::report::Summary;
use crate::report::TestFinished;
use crate::report::Warning;
use crate::run::RunError;
use crate::run::Session;
use crate::run::Sink;
use crate::run::child::setup;
use crate::run::dispatcher::dispatch;
use crate::run::error::chain;
use crate::run::machine::Machine;
use crate::run::machine::Setup;
use crate::run::machine::Telling;
use crate::run::machine::Times;
use crate::run::perform::Performer;
use crate::run::queue::Queue;
use crate::run::recorder::Recorder;
use crate::run::sharing::Sharing;
use crate::run::slot::Shared;
use crate::run::slot::Slot;
use crate::run::slot::Style;
use crate::run::spill;
use crate::run::suite::Suite;
use crate::run::tmpdir::OwnDir;
use crate::run::watcher::Watch;
use crate::run::watcher::Watcher;
use crate::run::windup;
use crate::selection::Selection;
use crate::units::Bytes;

/// After this time a test is written down as started, so that a crash of the runner names it.
const RECORD_STARTED: Duration = Duration::from_secs(1);

/// What is to be run, and how.
#[derive(Debug)]
pub struct Job {
    /// The run.
    pub run: RunId,
    /// Which leg of the run this is, from 1.
    pub leg: u32,
    /// The root of the workspace.
    pub root: Utf8PathBuf,
    /// Its target directory.
    pub target_dir: Utf8PathBuf,
    /// What was asked for, for the checkpoint.
    pub selection: Selection,
    /// The tests.
    pub suite: Suite,
    /// What their binaries are.
    pub records: Vec<BinaryRecord>,
    /// What of them is to be done.
    pub plan: ResumePlan,
    /// Where the checkpoint is kept.
    pub checkpoint: Utf8PathBuf,
    /// The temporary directory of the run's own.
    pub tmpdir: Option<OwnDir>,
    /// What is told, and what is captured.
    pub manner: Manner,
}

/// What is told, and what is captured.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whether the output of tests is captured; otherwise one test runs at a time.
    pub capture: bool,
    /// Whether the output of passed tests is wanted.
    pub success_output: bool,
    /// Whether the start of a test is told.
    pub starts: bool,
    /// How often the progress is told.
    pub progress: Option<Duration>,
}

/// What a run has at its side while tests run.
pub(crate) struct Stage {
    pub(crate) queue: Arc<Queue>,
    pub(crate) writer: Option<Arc<Writer>>,
    pub(crate) watcher: Option<Watcher>,
    pub(crate) performer: Performer,
    pub(crate) machine: Machine,
    pub(crate) began: Moment,
}

impl Session {
    /// Runs what the plan of the job says, and returns when nothing of it is alive any more.
    ///
    /// # Errors
    /// The system refuses threads or descriptors. Whatever happens later is part of the summary.
    pub fn execute(&self, job: Job, config: &Config, sink: &Sink) -> Result<Summary, RunError> {
        let began = self.clock.now();
        let queue = Arc::new(Queue::default());
        let writer = open_checkpoint(&job, config, sink).map(Arc::new);
        if let Some(missing) = self.family.missing() {
            sink(report::Event::Warning(Warning {
                message: chain(missing),
                hint: None,
            }));
        }
        let threads = threads(&job, config);
        sink(started(&job, threads));
        tell_ignored(&job, sink);
        let outline = windup::Outline::of(&job, writer.as_deref());
        let tmpdir = job.tmpdir;
        let setup_of_machine = machine_setup(&job.plan, &job.suite, config, threads, job.manner);
        let shared = Arc::new(Shared {
            suite: Arc::new(job.suite),
            writer: writer.clone(),
            queue: Arc::clone(&queue),
            family: Arc::clone(&self.family),
            clock: self.clock,
            run: job.run,
            threads,
            leak_timeout: config.run.leak_timeout,
            style: Style {
                capture: job.manner.capture,
                success_output: job.manner.success_output,
            },
        });
        spill::forget_old(&job.target_dir, Clock::wall());
        let spill = spill::directory(&job.target_dir, &shared.run);
        let slots = open_slots(setup_of_machine.threads, &shared, config, &spill)?;
        let recorder = writer.as_ref().map(|writer| {
            Recorder::start(Arc::clone(writer), Arc::clone(&queue))
                .map_err(|source| setup("a thread", source))
        });
        let recorder = recorder.transpose()?;
        let watcher = self.watch(config, &slots, &queue, job.target_dir)?;
        let mut stage = Stage {
            machine: Machine::new(setup_of_machine),
            performer: Performer {
                suite: Arc::clone(&shared.suite),
                slots,
                recorder,
                sink: Arc::clone(sink),
                failed: Vec::new(),
            },
            queue,
            writer,
            watcher,
            began,
        };
        self.family.spare_present();
        self.router.hand_over(&stage.queue);
        priority::raise();
        let guarded = stage.watcher.is_some();
        dispatch(
            &mut stage.machine,
            &stage.queue,
            &self.clock,
            &mut stage.performer,
            guarded,
        );
        Ok(self.wind_up(stage, outline, tmpdir, sink))
    }

    /// Starts the guard's eyes, if there is to be a guard.
    fn watch(
        &self,
        config: &Config,
        slots: &[Slot],
        queue: &Arc<Queue>,
        target_dir: Utf8PathBuf,
    ) -> Result<Option<Watcher>, RunError> {
        if !config.guard.enabled {
            return Ok(None);
        }
        let watch = Watch {
            sampler: Sampler::new(SamplerConfig::new(target_dir), self.clock),
            family: Arc::clone(&self.family),
            slots: slots.iter().map(|slot| Arc::clone(&slot.control)).collect(),
            queue: Arc::clone(queue),
            clock: self.clock,
            config: config.guard.clone(),
            cores: cores(),
            sharing: Sharing::default(),
            walked: None,
        };
        Watcher::start(watch)
            .map(Some)
            .map_err(|source| setup("the guard's thread", source))
    }
}

/// How many tests may run at once. Tests that share a terminal take turns.
fn threads(job: &Job, config: &Config) -> usize {
    match config.run.test_threads {
        _ if !job.manner.capture => 1,
        Some(count) => count.get(),
        None => cores(),
    }
}

fn started(job: &Job, threads: usize) -> report::Event {
    report::Event::RunStarted {
        run: job.run.clone(),
        total: job.suite.len(),
        kept: job.plan.kept.len(),
        binaries: job.suite.used_binaries(),
        threads,
        counts: counts(&job.plan),
    }
}

/// Tells the tests that are ignored, once a run: a resumed one has told them before.
fn tell_ignored(job: &Job, sink: &Sink) {
    let told = if job.leg == 1 {
        &*job.plan.ignored
    } else {
        &[]
    };
    for &test in told {
        sink(report::Event::TestFinished(Box::new(TestFinished {
            test: job.suite.id(test),
            outcome: TestOutcome::Ignored,
            duration: Duration::ZERO,
            cpu: Duration::ZERO,
            peak_memory: Bytes(0),
            output: None,
            leak: None,
            counts: counts(&job.plan),
            total: job.suite.len(),
        })));
    }
}

/// The results that exist before a test runs.
pub(crate) fn counts(plan: &ResumePlan) -> Counts {
    let mut counts = Counts {
        ignored: plan.ignored.len(),
        ..Counts::default()
    };
    for result in &plan.kept {
        match result.outcome {
            TestOutcome::Passed => counts.passed += 1,
            TestOutcome::Failed(_) => counts.failed += 1,
            TestOutcome::Ignored => counts.ignored += 1,
        }
        counts.leaky += usize::from(!result.leaks.is_empty());
    }
    counts
}

fn machine_setup(
    plan: &ResumePlan,
    suite: &Suite,
    config: &Config,
    threads: usize,
    manner: Manner,
) -> Setup {
    let run = &config.run;
    let guard = &config.guard;
    // More slots than tests would only be idle.
    let most = (plan.run.len() + plan.suspects.len()).max(1);
    Setup {
        threads: threads.min(most),
        together: plan.run.clone(),
        suspects: plan
            .suspects
            .iter()
            .map(|suspect| (suspect.index, suspect.breaches))
            .collect(),
        counts: counts(plan),
        times: Times {
            slow: run.slow_timeout,
            terminate_after: run.terminate_after,
            grace: run.grace_period,
            guard_grace: guard.grace_period,
            record_started: RECORD_STARTED,
        },
        max_fail: run.max_fail.and_then(|most| NonZeroUsize::new(most.get())),
        policy: guard.enabled.then(|| Policy::new(guard, cores())),
        telling: Telling {
            starts: manner.starts,
            progress: manner.progress,
            base: report::Progress {
                total: suite.len(),
                memory_threshold: guard.enabled.then_some(guard.memory_threshold),
                cpu_threshold: guard.enabled.then_some(guard.cpu_threshold),
                ..report::Progress::default()
            },
        },
    }
}

fn open_slots(
    count: usize,
    shared: &Arc<Shared>,
    config: &Config,
    spill: &camino::Utf8Path,
) -> Result<Vec<Slot>, RunError> {
    let limits = Limits {
        keep: config.output.keep,
        spill: config.output.spill,
    };
    (0..count)
        .map(|number| {
            let capture = Capture::new(limits, spill.to_owned(), format!("slot-{number}"));
            Slot::open(number, Arc::clone(shared), capture)
                .map_err(|source| setup("a thread for a test", source))
        })
        .collect()
}

/// Puts the checkpoint of this leg in place: the kept results and the ignored tests are in it before
/// the first test starts. Without one the tests run all the same.
fn open_checkpoint(job: &Job, config: &Config, sink: &Sink) -> Option<Writer> {
    if !config.checkpoint.enabled {
        return None;
    }
    let selected = job.suite.selected();
    let carried = job
        .plan
        .carried(&selected)
        .chain(ignored(&job.plan, &selected));
    let header = Header {
        tool: concat!("cargo-stt ", env!("CARGO_PKG_VERSION")).to_owned(),
        run: job.run.clone(),
        leg: job.leg,
        created: timestamp(Clock::wall()),
        workspace_root: job.root.clone(),
        selection: job.selection.clone(),
        config_hash: config_hash(config),
        binaries: job.records.clone(),
    };
    let created = Writer::create(&job.checkpoint, &header, carried);
    created
        .inspect_err(|error| {
            sink(report::Event::Warning(Warning {
                message: format!("this run can't be resumed: {}", chain(error)),
                hint: Some("choose another place with --checkpoint".to_owned()),
            }));
        })
        .ok()
}

/// A hash of the settings that can change a result.
pub fn config_hash(config: &Config) -> ContentHash {
    let run = &config.run;
    let parts = (
        run.slow_timeout,
        run.terminate_after,
        run.leak_timeout,
        run.tmpdir,
    );
    ContentHash::of(format!("{parts:?}").as_bytes())
}

fn ignored<'a>(
    plan: &'a ResumePlan,
    selected: &'a [Selected],
) -> impl Iterator<Item = Record> + 'a {
    plan.ignored.iter().map(|&test| {
        Record::Result(ResultRecord {
            test: selected[test].test.clone(),
            outcome: TestOutcome::Ignored,
            duration: Duration::ZERO,
            cpu: Duration::ZERO,
            peak_memory: Bytes(0),
            output: None,
            leaks: Vec::new(),
        })
    })
}
