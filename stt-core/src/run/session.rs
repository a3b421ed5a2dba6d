//! What holds from the first moment to the last: the handlers for signals, the adoption of orphans,
//! the clock. It stands before the first child does.

use std::io::Read as _;
use std::sync::Arc;

use fs_err as fs;

use crate::clock::Clock;
use crate::command::Environment;
use crate::id::RunId;
use crate::process::Family;
use crate::run::RunError;
use crate::run::router::Router;
use crate::signal::Watch;

/// One invocation of the runner.
#[derive(Debug)]
pub struct Session {
    pub(crate) clock: Clock,
    pub(crate) family: Arc<Family>,
    pub(crate) router: Arc<Router>,
    /// What the runner inherited, as a base for every child.
    pub(crate) env: Environment,
    /// Ends with the session; before that, every signal is ours.
    _watch: Watch,
}

impl Session {
    /// Begins a session, on the main thread and before any other thread exists.
    ///
    /// # Errors
    /// The system refuses handlers for signals.
    pub fn begin(env: Environment) -> Result<Self, RunError> {
        let family = Arc::new(Family::adopt());
        let router = Arc::new(Router::default());
        let receiver = Arc::clone(&router);
        let watch = Watch::start(move |signal| receiver.receive(signal));
        Ok(Self {
            clock: Clock::start(),
            family,
            router,
            env,
            _watch: watch.map_err(RunError::Signals)?,
        })
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
