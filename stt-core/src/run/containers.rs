//! The container engine of a run's tests: the proxy in front of it, and the end of what they leave there.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;

use crate::clock::Clock;
use crate::command::Environment;
use crate::container::Address;
use crate::container::Cleared;
use crate::container::Thing;
use crate::containers::Beyond;
use crate::containers::Counter;
use crate::containers::Engine;
use crate::containers::EngineError;
use crate::containers::Found;
use crate::containers::Lookup;
use crate::containers::Made;
use crate::containers::Notify;
use crate::containers::Proxy;
use crate::containers::Reach;
use crate::containers::Roster;
use crate::containers::Scope;
use crate::containers::clear;
use crate::containers::find;
use crate::containers::key;
use crate::containers::said;
use crate::discovery::TestBinary;
use crate::id::RunId;
use crate::id::TestId;
use crate::report;
use crate::report::Warning;
use crate::run::Membership;
use crate::run::Session;
use crate::run::Sink;
use crate::run::error::chain;
use crate::run::event::Event;
use crate::run::queue::Queue;
use crate::run::session::descriptors;
use crate::run::supervision::Note;
use crate::schedule::affordable_clients;

/// The stack of a thread that talks to an engine: the client's futures are large where they are not optimised.
const STACK: usize = 4 << 20;

/// Where a proxy can stand, and for whom.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The directory for its sockets.
    pub(crate) dir: Option<&'a Utf8Path>,
    /// How many tests may run at once.
    pub(crate) slots: usize,
    /// The run.
    pub(crate) run: &'a RunId,
    /// How long removing may take.
    pub(crate) budget: Duration,
    /// What runs the tests.
    pub(crate) binaries: &'a [TestBinary],
    /// The run among others.
    pub(crate) membership: Option<&'a Membership>,
}

/// What stands in front of the container engine.
#[derive(Debug)]
pub(crate) struct Containers {
    proxy: Proxy,
    run: RunId,
    budget: Duration,
    clock: Clock,
    /// What was told: once is enough.
    told: Mutex<HashSet<String>>,
}

impl Session {
    /// Puts a proxy in front of the engine that tests would talk to, if there is one; or says how it can be asked where
    /// none can stand before it.
    pub(crate) fn stand_before_engine(
        &self,
        place: Place<'_>,
        sink: &Sink,
    ) -> (Option<Containers>, Option<Reach>) {
        let env = place.binaries.first().map_or(&self.env, |first| &first.env);
        let warn = |why: &str| {
            sink(report::Event::Warning(Warning {
                message: format!("containers that tests make are not ended with them: {why}"),
                hint: Some("--no-containers says so on purpose".to_owned()),
            }));
        };
        let engine = match find(&World(env)) {
            Found::Nothing => return (None, None),
            Found::Engine(engine) => engine,
            Found::OutOfReach(distant) => {
                let why = distant.why;
                warn(&format!(
                    "no proxy can stand in front of the engine, for {why}"
                ));
                return (None, distant.reach);
            }
        };
        let started = self.start_proxy(place, engine);
        (started.inspect_err(|error| warn(&chain(error))).ok(), None)
    }

    fn start_proxy(&self, place: Place<'_>, engine: Engine) -> std::io::Result<Containers> {
        let no_place = || std::io::Error::other("there is no place for its sockets");
        let dir = place.dir.ok_or_else(no_place)?;
        let registration = place
            .membership
            .map(|membership| Arc::clone(membership.registration()));
        let (teller, budget) = (self.teller(), place.budget);
        let notify: Notify = Box::new(move |address| {
            if let Some(teller) = &teller {
                let address = address.clone();
                teller.tell(&Note::Engine { address, budget });
            }
            if let Some(registration) = &registration {
                // Should all of us be killed, nobody would know: the label tells a person, at least.
                drop(registration.has_engine(address));
            }
        });
        let most = affordable_clients(descriptors(), place.slots);
        Ok(Containers {
            proxy: Proxy::start(dir, place.slots, most, engine, place.run, notify)?,
            run: place.run.clone(),
            budget: place.budget,
            clock: self.clock,
            told: Mutex::default(),
        })
    }
}

impl Containers {
    /// What counts the containers of the running tests.
    pub(crate) fn counter(&self, queue: &Arc<Queue>) -> Counter {
        let beyond = Doubts {
            engine: self.proxy.place(),
            queue: Arc::clone(queue),
        };
        Counter::new(Arc::clone(self.proxy.roster()), Box::new(beyond))
    }

    /// Containers that others of the run make at this engine are counted, and looked for at the end, with those of tests.
    pub(crate) fn shared_with(&self, engine: &Address) -> Arc<Roster> {
        // Where it is known already it is the same: both were found in one way.
        drop(self.proxy.place().set(engine.clone()));
        Arc::clone(self.proxy.roster())
    }

    /// The variables by which clients find the engine.
    pub(crate) fn variables(&self) -> &'static [&'static str] {
        self.proxy.variables()
    }

    /// A test, or a script, begins in this slot, with a name for what it makes: the variables by which it finds the
    /// engine.
    pub(crate) fn begin(&self, slot: usize, name: String) -> Vec<(OsString, OsString)> {
        let Some(desk) = self.proxy.desk(slot) else {
            return Vec::new();
        };
        desk.begin(name);
        let host = format!("unix://{}", desk.path());
        let variables = self.proxy.variables().iter();
        variables
            .map(|&name| (name.into(), OsString::from(&host)))
            .collect()
    }

    /// Nothing of the test in this slot is alive: removes what it has left, and says what that was.
    pub(crate) fn end(&self, slot: usize, test: &TestId, queue: &Queue) -> Vec<Thing> {
        let desk = self.proxy.desk(slot);
        let made = desk.is_some_and(|desk| desk.end(&self.clock, self.budget));
        if !made {
            return Vec::new();
        }
        self.clear(Some(&test.to_string()), queue)
    }

    /// Nothing of any test is alive: removes what is left of all.
    pub(crate) fn finish(&self, queue: &Queue) -> Vec<Thing> {
        self.clear(None, queue)
    }

    fn clear(&self, test: Option<&str>, queue: &Queue) -> Vec<Thing> {
        let Some(engine) = self.proxy.engine() else {
            return Vec::new();
        };
        let scope = Scope {
            run: &self.run,
            test,
            late: Duration::ZERO,
            budget: self.budget,
        };
        cleared(engine, scope, |message, hint| {
            self.warn(queue, message, hint);
        })
    }

    fn warn(&self, queue: &Queue, message: String, hint: Option<String>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(message.clone()) {
            queue.push(Event::Warning(Warning { message, hint }));
        }
    }
}

/// Removes what is in the scope, says what that was, and warns of what could not be removed.
fn cleared(
    engine: &Address,
    scope: Scope<'_>,
    mut warn: impl FnMut(String, Option<String>),
) -> Vec<Thing> {
    match in_own_thread(engine, scope) {
        Ok(cleared) => {
            for stuck in cleared.stuck {
                warn(stuck.to_string(), None);
            }
            cleared.removed
        }
        Err(error) => {
            let message = format!("containers of tests may be left: {}", chain(&error));
            let label = key(scope.run);
            let hint = format!("`docker -H {engine} ps -a --filter label={label}` shows them");
            warn(message, Some(hint));
            Vec::new()
        }
    }
}

/// Removes all that a run has at an engine, where no test of it is alive.
pub(crate) fn clear_all(engine: &Address, run: &RunId, budget: Duration, queue: &Queue) {
    let scope = Scope {
        run,
        test: None,
        late: Duration::ZERO,
        budget,
    };
    cleared(engine, scope, |message, hint| {
        queue.push(Event::Warning(Warning { message, hint }));
    });
}

/// What counts the containers of a list, all at one engine.
pub(crate) fn counter(roster: Arc<Roster>, engine: &Address, queue: &Arc<Queue>) -> Counter {
    let beyond = Doubts {
        engine: Arc::new(OnceLock::from(engine.clone())),
        queue: Arc::clone(queue),
    };
    Counter::new(roster, Box::new(beyond))
}

/// Finds out what becomes of containers that can't be seen.
#[derive(Debug)]
struct Doubts {
    engine: Arc<OnceLock<Address>>,
    queue: Arc<Queue>,
}

impl Beyond for Doubts {
    /// In a thread of its own, which nobody waits for: the guard is the one who asks.
    fn ask(&self, container: &Arc<Made>) {
        const BUDGET: Duration = Duration::from_secs(2);
        let Some(engine) = self.engine.get().cloned() else {
            return;
        };
        let container = Arc::clone(container);
        let asking = move || {
            let said = said(&engine, &container.container().id, BUDGET);
            container.say(said.unwrap_or_default());
        };
        // Without a thread nobody learns of it, and nothing else is lost.
        drop(
            thread::Builder::new()
                .name("stt-engine".to_owned())
                .stack_size(STACK)
                .spawn(asking),
        );
    }

    fn is_out_of_sight(&self, container: &Thing) {
        self.queue.push(Event::Warning(Warning {
            message: format!(
                "what containers use is not counted: no control group of {container} can be seen here, and the engine does not tell enough of it"
            ),
            hint: None,
        }));
    }
}

/// A slot's own stack is small.
fn in_own_thread(engine: &Address, scope: Scope<'_>) -> Result<Cleared, EngineError> {
    thread::scope(|threads| {
        let work = thread::Builder::new()
            .name("stt-engine".to_owned())
            .stack_size(STACK)
            .spawn_scoped(threads, || clear(engine, scope))
            .map_err(EngineError::Client)?;
        // A panic in there was reported by the panic hook.
        let panicked = || EngineError::Client(std::io::Error::other("its thread has panicked"));
        work.join().unwrap_or_else(|_| Err(panicked()))
    })
}

/// What surrounds the tests.
pub(crate) struct World<'a>(pub(crate) &'a Environment);

impl Lookup for World<'_> {
    fn var(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found
            .and_then(|(_, value)| value.to_str())
            .map(str::to_owned)
    }

    fn text(&self, path: &Utf8Path) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    fn entries(&self, dir: &Utf8Path) -> Vec<Utf8PathBuf> {
        let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
        entries.map(|entry| entry.path().to_owned()).collect()
    }

    fn is_socket(&self, path: &Utf8Path) -> bool {
        use nix::unistd::AccessFlags;
        let socket = fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
        socket && nix::unistd::access(path.as_std_path(), AccessFlags::W_OK).is_ok()
    }

    fn is_program(&self, path: &Utf8Path) -> bool {
        use nix::unistd::AccessFlags;
        path.is_file() && nix::unistd::access(path.as_std_path(), AccessFlags::X_OK).is_ok()
    }

    fn user(&self) -> u32 {
        nix::unistd::geteuid().as_raw()
    }
}
