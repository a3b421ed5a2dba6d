//! What holds from the first moment to the last: the handlers for signals, the adoption of orphans,
//! the clock. It stands before the first child does.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use fs_err as fs;
use nix::sys::resource::Resource;
use nix::sys::resource::getrlimit;

use crate::clock::Clock;
use crate::command::Environment;
use crate::id::ProcessId;
use crate::id::RunId;
use crate::process::Family;
use crate::process::adopter;
use crate::run::RunError;
use crate::run::router::Router;
use crate::run::supervision::Note;
use crate::run::supervision::RestartTerms;
use crate::run::supervisor::Link;
use crate::run::supervisor::Teller;
use crate::schedule::FEWEST_DESCRIPTORS;
use crate::signal::Signal;
use crate::signal::Standstill;
use crate::signal::Watch;

/// How long the last processes have to die.
pub(crate) const SWEEP: Duration = Duration::from_secs(10);

/// One invocation of the runner.
#[derive(Debug)]
pub struct Session {
    pub(crate) clock: Clock,
    pub(crate) family: Arc<Family>,
    pub(crate) router: Arc<Router>,
    /// What the runner inherited, as a base for every child.
    pub(crate) env: Environment,
    /// Who is told what would be left, were we to die now.
    supervisor: Option<Arc<Teller>>,
    /// Who takes over what we leave behind when we die.
    pub(crate) adopter: Option<ProcessId>,
    /// Ends with the session; before that, every signal is ours.
    watch: Watch,
}

impl Session {
    /// Begins a session, on the main thread and before any other thread exists. With a `link` there is
    /// a supervisor: what it receives counts as received, and its death ends everything at once.
    ///
    /// # Errors
    /// The system refuses handlers for signals, or allows too few open files.
    pub fn begin(env: Environment, link: Option<Link>) -> Result<Self, RunError> {
        // Where there is no supervisor, before we ask for orphans ourselves: afterwards they are ours.
        let adopter = link.as_ref().map_or_else(adopter, Link::adopter);
        let limit = descriptors();
        if limit < FEWEST_DESCRIPTORS {
            return Err(RunError::Descriptors { limit });
        }
        let family = Arc::new(Family::adopt());
        let router = Arc::new(Router::default());
        let receiver = Arc::clone(&router);
        let (forwarded, supervisor) = link.map(Link::split).unzip();
        let families = Arc::clone(&family);
        let watch = Watch::start(forwarded, move |signal| {
            if signal == Signal::Abandoned {
                families.give_up();
            }
            receiver.receive(signal)
        });
        Ok(Self {
            clock: Clock::start(),
            family,
            router,
            env,
            supervisor: supervisor.map(Arc::new),
            adopter,
            watch: watch.map_err(RunError::Signals)?,
        })
    }

    /// Whether there is a supervisor above us.
    pub(crate) fn is_supervised(&self) -> bool {
        self.supervisor.is_some()
    }

    /// For whoever decides that we stand still.
    pub(crate) fn standstill(&self) -> Standstill {
        self.watch.standstill()
    }

    /// The way to the supervisor, for other threads.
    pub(crate) fn teller(&self) -> Option<Arc<Teller>> {
        self.supervisor.clone()
    }

    /// Tells the supervisor what it has to know if we die; nobody, where there is none.
    pub fn tell(&self, note: &Note) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell(note);
        }
    }

    /// Tells the supervisor that the run is not to go on by itself: whoever gave it so much time wants it to end.
    pub(crate) fn tell_no_restart(&self, run: &RunId, leg: u32) {
        self.tell(&Note::Run {
            run: run.clone(),
            leg,
            restart: RestartTerms {
                auto: false,
                max: 0,
                within: Duration::ZERO,
            },
        });
    }

    /// Makes a control group for the run, where that is possible, and tells the supervisor of it. What was
    /// left of an earlier one has to be gone by then.
    pub fn enclose(&self, run: &RunId) {
        self.family.make_group(run);
        if let Some(path) = self.group_path() {
            self.tell(&Note::Group { path });
        }
    }

    /// The run's control group.
    pub fn group_path(&self) -> Option<Utf8PathBuf> {
        self.family.group_path()
    }

    /// A new name for a run.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new_run(&self) -> Result<RunId, RunError> {
        let mut bytes = [0; 16];
        fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut bytes))
            .map_err(|source| RunError::Setup {
                what: "a name for the run".to_owned(),
                source,
            })?;
        Ok(RunId::from_random(bytes))
    }
}

/// How many files this process may have open; no limit where that is unknown.
pub(crate) fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

impl Drop for Session {
    /// When the supervisor is dead nobody else ends what a build has left outside its process groups.
    fn drop(&mut self) {
        if self.router.is_abandoned() {
            let deadline = self.clock.now().saturating_add(SWEEP);
            self.family.end_all(&self.clock, deadline);
        }
    }
}
