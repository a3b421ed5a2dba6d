//! Runs the tests: sets up the threads, lets the dispatcher work, and winds everything up.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;

use crate::checkpoint::BinaryRecord;
use crate::checkpoint::ResultRecord;
use crate::checkpoint::ResumePlan;
use crate::checkpoint::Writer;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::command::Environment;
use crate::config::Config;
use crate::coordinator::Counters;
use crate::discovery::variables;
use crate::guard::OomWatch;
use crate::guard::Sampler;
use crate::guard::SamplerConfig;
use crate::guard::cores;
use crate::guard::priority;
use crate::id::RunId;
use crate::limits::Resources;
use crate::outcome::RunOutcome;
use crate::ports::Leases;
use crate::process::Capture;
use crate::process::Limits;
use crate::process::Marker;
use crate::process::Stdio;
use crate::report;
use crate::report::Summary;
use crate::report::TestFinished;
use crate::report::Warning;
use crate::retry::Attempt;
use crate::run::Membership;
use crate::run::RunError;
use crate::run::Session;
use crate::run::Sink;
use crate::run::child::setup;
use crate::run::claims::Claimer;
use crate::run::claims::Claims;
use crate::run::containers::Place;
use crate::run::dispatcher::dispatch;
use crate::run::engines::Engines;
use crate::run::error::chain;
use crate::run::machine::Machine;
use crate::run::opening::known_results;
use crate::run::opening::open_checkpoint;
use crate::run::perform::Performer;
use crate::run::queue::Queue;
use crate::run::reader;
use crate::run::reader::FamilyReader;
use crate::run::recorder::Recorder;
use crate::run::remote::Remote;
use crate::run::sandbox;
use crate::run::scripts::Backstage;
use crate::run::scripts::ScriptRunner;
use crate::run::scripts::Written;
use crate::run::session::descriptors;
use crate::run::setup::counts;
use crate::run::setup::machine_setup;
use crate::run::setup::scripts;
use crate::run::slot::Shared;
use crate::run::slot::Slot;
use crate::run::slot::Style;
use crate::run::spill;
use crate::run::suite::Suite;
use crate::run::supervision::Note;
use crate::run::tmpdir::OwnDir;
use crate::run::unenforced::Means;
use crate::run::unenforced::unenforced_of;
use crate::run::watcher::Watch;
use crate::run::watcher::Watcher;
use crate::run::windup;
use crate::schedule::affordable;
use crate::selection::Selection;
use crate::units::Percent;

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
    /// Whether each test is written down before it starts, so that one which kills the runner at once is
    /// known. Otherwise that takes a second.
    pub record_starts: bool,
    /// The share of memory in use before the first leg, if it was read.
    pub memory_before: Option<Percent>,
    /// The temporary directory of the run's own.
    pub tmpdir: Option<OwnDir>,
    /// What is told, and what is captured.
    pub manner: Manner,
    /// The run among others, where they know of each other.
    pub membership: Option<Membership>,
    /// What scripts find in their environment, but for what each has for itself.
    pub script_env: Environment,
    /// Our own program; `None` where no test is to run in a container.
    pub program: Option<Utf8PathBuf>,
}

/// What is told, and what is captured.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// How the output of tests is captured.
    pub capture: Capturing,
    /// Whether the output of passed tests is wanted.
    pub success_output: bool,
    /// Whether the start of a test is told.
    pub starts: bool,
    /// How often the progress is told.
    pub progress: Option<Duration>,
    /// Whether standard output is for nobody but us: programs read it.
    pub own_stdout: bool,
}

/// How the output of tests is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capturing {
    /// Not at all: it goes where ours goes, and one test runs at a time.
    Nothing,
    /// Each stream by itself.
    Apart,
    /// Both as one, in the order in which they were written.
    Together,
}

impl Capturing {
    pub(crate) fn stdio(self) -> Stdio {
        match self {
            Self::Nothing => Stdio::Inherit,
            Self::Apart => Stdio::Capture,
            Self::Together => Stdio::CaptureTogether,
        }
    }
}

/// What a run has at its side while tests run.
pub(crate) struct Stage {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) writer: Option<Arc<Writer>>,
    pub(crate) watcher: Option<Watcher>,
    pub(crate) remote: Option<Remote>,
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
        let sandboxing = self.sandboxing(&job, config, sink)?;
        let began = self.clock.now();
        let queue = Arc::new(Queue::default());
        let selected = job.suite.selected();
        let known = known_results(&job.plan, &selected);
        let writer = open_checkpoint(&job, &selected, &known, config, sink).map(Arc::new);
        self.tell_checkpoint(writer.as_deref());
        let threads = self.tell_means(&job, config, sink);
        let outline = windup::Outline::of(&job, &known, writer.as_deref());
        tell(known, &job, sink);
        let scripts = scripts(&job, config);
        let setup_of_machine = machine_setup(&job, config, threads, &scripts);
        let has_rights = !setup_of_machine.rights.is_for_nobody();
        let backstage = Backstage::of(&job, scripts, setup_of_machine.threads)?;
        let places = setup_of_machine.threads + usize::from(backstage.is_some());
        let engines = self.engines_of(&job, places, config, sink);
        let sandboxing = sandboxing.map(|own| own.beside(engines.proxy.as_ref()));
        let (tmpdir, membership) = (job.tmpdir, job.membership);
        if let Some(dir) = &tmpdir {
            self.family.has_files_in(dir.path());
        }
        let watched = config.guard.enabled || job.suite.is_watched();
        let locks = place_of_locks(membership.as_ref(), &job.target_dir);
        let shared = Arc::new(Shared {
            suite: Arc::new(job.suite),
            writer: writer.clone(),
            queue: Arc::clone(&queue),
            family: Arc::clone(&self.family),
            clock: self.clock,
            leases: Leases::new(job.run.as_str(), locks),
            written: Written::default(),
            run: job.run,
            threads,
            leak_timeout: config.run.leak_timeout,
            leaks: config.run.leaks,
            style: Style::of(&job.manner),
            engines,
            sandboxing,
            lookout: watched.then(Arc::default),
            oom: OomWatch::open(self.clock.now()),
            cores: cores(),
        });
        spill::forget_old(&job.target_dir, Clock::wall());
        let spill = spill::directory(&job.target_dir, &shared.run);
        let threads = setup_of_machine.threads;
        let (slots, scripts) = open_slots(threads, backstage, &shared, config, &spill)?;
        let recorder = start_recorder(writer.as_ref(), &queue)?;
        let watcher = self.watch(config, (&slots, scripts.as_ref()), &shared, job.target_dir)?;
        let member = membership.as_ref().filter(|_| has_rights);
        let claims = member.map(|member| start_claims(member, &shared));
        let mut stage = Stage {
            shared: Arc::clone(&shared),
            machine: Machine::new(setup_of_machine),
            performer: Performer {
                suite: Arc::clone(&shared.suite),
                leg: job.leg,
                claims: claims.transpose()?,
                slots,
                scripts,
                recorder,
                sink: Arc::clone(sink),
                family: Arc::clone(&self.family),
                lookout: shared.lookout.clone(),
                clock: self.clock,
                sweeper: None,
                standstill: self.standstill(),
                board: membership.as_ref().map(|member| Arc::clone(member.board())),
                left: Counters::default(),
                failed: Vec::new(),
            },
            queue,
            writer,
            watcher,
            remote: shared.engines.watch_distant(config.containers.budget),
            began,
        };
        self.conduct(&mut stage, membership.as_ref(), config.guard.enabled);
        Ok(self.wind_up(stage, outline, tmpdir, sink))
    }

    /// Has the containers of the tests looked after, where that is wanted.
    fn engines_of(&self, job: &Job, slots: usize, config: &Config, sink: &Sink) -> Engines {
        let place = config.containers.enabled.then(|| Place {
            dir: job.tmpdir.as_ref().map(OwnDir::path),
            slots,
            run: &job.run,
            budget: config.containers.budget,
            binaries: job.suite.binaries(),
            membership: job.membership.as_ref(),
        });
        let engines = place.map(|place| self.look_after_engines(place, sink));
        engines.unwrap_or_default()
    }

    /// Runs the tests, from the first to the last.
    fn conduct(&self, stage: &mut Stage, membership: Option<&Membership>, guarded: bool) {
        self.family.spare_present();
        self.tell(&Note::Spared {
            processes: self.family.spared(),
        });
        self.router.hand_over(&stage.queue);
        if let Some(membership) = membership {
            membership.board().connect(Some(Arc::clone(&stage.queue)));
        }
        priority::raise();
        dispatch(
            &mut stage.machine,
            &stage.queue,
            &self.clock,
            &mut stage.performer,
            guarded,
            membership.map(Membership::board),
        );
        self.router.take_back();
        if stage.machine.is_out_of_time() {
            self.tell_no_restart(&stage.shared.run, stage.performer.leg);
        }
        if let Some(membership) = membership {
            membership.board().connect(None);
            let stops = u64::from(stage.machine.outcome() == RunOutcome::Stopped);
            membership.count(Counters {
                stops,
                ..stage.performer.left
            });
        }
    }

    /// Tells which limits of the tests that are to run can't be enforced here.
    fn tell_unenforced(&self, job: &Job, sink: &Sink) {
        let means = Means {
            families: self.family.missing().is_none(),
            processes: cfg!(target_os = "linux"),
            cpu_shares: self.family.shares_cpu(),
        };
        let suspects = job.plan.suspects.iter().map(|suspect| &suspect.index);
        let tests = job.plan.run.iter().chain(suspects);
        for warning in unenforced_of(&job.suite, tests, means) {
            sink(report::Event::Warning(warning));
        }
    }

    /// Tells the supervisor from where the run can be resumed.
    fn tell_checkpoint(&self, writer: Option<&Writer>) {
        if let Some(writer) = writer {
            self.tell(&Note::Checkpoint {
                path: writer.path().to_owned(),
            });
        }
    }

    /// Tells by what means the run goes to work, and what it has to do without. Returns how many tests may
    /// run at once.
    fn tell_means(&self, job: &Job, config: &Config, sink: &Sink) -> usize {
        self.tell_missing(sink);
        self.tell_unenforced(job, sink);
        let wanted = threads(job, config);
        let threads = affordable(descriptors(), wanted, job.suite.most_ports());
        if threads < wanted {
            sink(report::Event::Warning(few_descriptors(threads, wanted)));
        }
        sink(started(job, threads));
        sink(report::Event::Mechanism(self.family.mechanism()));
        threads
    }

    /// Tells what of the families of tests can't be seen here.
    fn tell_missing(&self, sink: &Sink) {
        if let Some(missing) = self.family.missing() {
            sink(report::Event::Warning(Warning {
                message: chain(missing),
                hint: None,
            }));
        }
    }

    /// Starts the eyes of the guard and of the limits, if there is anything to watch.
    fn watch(
        &self,
        config: &Config,
        (slots, scripts): (&[Slot], Option<&ScriptRunner>),
        shared: &Arc<Shared>,
        target_dir: Utf8PathBuf,
    ) -> Result<Option<Watcher>, RunError> {
        let Some(lookout) = &shared.lookout else {
            return Ok(None);
        };
        let handles = slots
            .iter()
            .map(|slot| (&slot.control, Arc::clone(&slot.desk)));
        // What a script uses counts as the run's.
        let scripts = scripts.map(|scripts| (&scripts.control, Arc::default()));
        let places = handles
            .chain(scripts)
            .enumerate()
            .map(|(slot, (control, desk))| {
                let control = Arc::clone(control);
                let slot = slot.to_string();
                // Beside the run, a slot is enough: it runs one test at a time, and ends what is left of it.
                let run = (variables::STT_RUN_ID, shared.run.as_str());
                let marker =
                    Marker::new([run, (variables::NEXTEST_TEST_GLOBAL_SLOT, slot.as_str())]);
                reader::Place::new(control, desk, marker)
            });
        let reader = FamilyReader::new(
            Arc::clone(&self.family),
            places.collect(),
            sandbox::counter_of(shared),
            self.clock,
            config.guard.clone(),
            shared.cores,
        );
        let watch = Watch {
            sampler: Sampler::new(SamplerConfig::new(target_dir), self.clock),
            reader,
            shared: Arc::clone(shared),
            config: config.guard.clone(),
            lookout: Arc::clone(lookout),
        };
        Watcher::start(watch)
            .map(Some)
            .map_err(|source| setup("the guard's thread", source))
    }
}

/// Where the locks of ports are, on systems that need them.
fn place_of_locks(member: Option<&Membership>, target_dir: &Utf8Path) -> Utf8PathBuf {
    let place = member.map_or(target_dir, |member| member.registration().place());
    place.to_owned()
}

/// Starts who asks the other runs for ports.
fn start_claims(member: &Membership, shared: &Shared) -> Result<Claims, RunError> {
    let claimer = Claimer {
        registration: Arc::clone(member.registration()),
        run: shared.run.clone(),
        suite: Arc::clone(&shared.suite),
        queue: Arc::clone(&shared.queue),
        board: Arc::clone(member.board()),
    };
    Claims::start(claimer).map_err(|source| setup("a thread for ports", source))
}

fn start_recorder(
    writer: Option<&Arc<Writer>>,
    queue: &Arc<Queue>,
) -> Result<Option<Recorder>, RunError> {
    let start = |writer: &Arc<Writer>| Recorder::start(Arc::clone(writer), Arc::clone(queue));
    let started = writer.map(start).transpose();
    started.map_err(|source| setup("a thread", source))
}

/// How many tests may run at once. Tests that share a terminal take turns.
fn threads(job: &Job, config: &Config) -> usize {
    match config.run.test_threads {
        _ if job.manner.capture == Capturing::Nothing => 1,
        Some(count) => count.get(),
        None => cores(),
    }
}

fn few_descriptors(threads: usize, wanted: usize) -> Warning {
    Warning {
        message: format!(
            "the limit of open files allows {threads} tests at once instead of {wanted}"
        ),
        hint: Some("raise it with `ulimit -n`".to_owned()),
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

/// Tells the results that are known without running anything.
fn tell(known: Vec<ResultRecord>, job: &Job, sink: &Sink) {
    let counts = counts(&job.plan);
    for result in known {
        sink(report::Event::TestFinished(Box::new(TestFinished {
            test: result.test,
            outcome: result.outcome,
            attempt: Attempt::ONLY,
            duration: result.duration,
            resources: Resources::default(),
            output: None,
            own_shown: None,
            leak: None,
            counts,
            total: job.suite.len(),
        })));
    }
}

fn open_slots(
    count: usize,
    backstage: Option<Backstage>,
    shared: &Arc<Shared>,
    config: &Config,
    spill: &Utf8Path,
) -> Result<(Vec<Slot>, Option<ScriptRunner>), RunError> {
    let limits = Limits {
        keep: config.output.keep,
        spill: config.output.spill,
    };
    let capture = |number| Capture::new(limits, spill.to_owned(), spill::name_of(number));
    let slots = (0..count).map(|number| {
        Slot::open(number, Arc::clone(shared), capture(number))
            .map_err(|source| setup("a thread for a test", source))
    });
    let slots = slots.collect::<Result<_, _>>()?;
    let scripts = backstage.map(|backstage| {
        ScriptRunner::open(backstage, Arc::clone(shared), capture(count))
            .map_err(|source| setup("a thread for scripts", source))
    });
    Ok((slots, scripts.transpose()?))
}
