//! Podman's command in the tests of a run, where no service does its work: what makes known whose is what they make
//! with it, and the end of that.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;

use camino::Utf8Path;
use camino::Utf8PathBuf;

use crate::clock::Clock;
use crate::command::CommandLine;
use crate::command::Environment;
use crate::container::Cleared;
use crate::container::Thing;
use crate::containers::Books;
use crate::containers::CONTAINERS_CONF;
use crate::containers::CallFailure;
use crate::containers::Caller;
use crate::containers::Ledger;
use crate::containers::Podman;
use crate::containers::PodmanSaid;
use crate::containers::command;
use crate::containers::setup;
use crate::containers::watched;
use crate::id::RunId;
use crate::id::TestId;
use crate::process::Left;
use crate::process::ask;
use crate::report;
use crate::report::Warning;
use crate::run::Session;
use crate::run::Sink;
use crate::run::containers::Place;
use crate::run::containers::World;
use crate::run::error::chain;
use crate::run::event::Event;
use crate::run::queue::Queue;
use crate::run::supervision::Note;

/// What looks after what tests make with Podman's command.
#[derive(Debug)]
pub(crate) struct LocalPodman {
    podman: Podman,
    books: Books,
    run: RunId,
    budget: Duration,
    /// When it began, as the time since 1970, in whole seconds.
    since: Duration,
    /// Up to where the book of each slot was read.
    read: Vec<Mutex<u64>>,
}

impl Session {
    /// Has Podman's command write down what tests make with it, where there is one and no service does its work. It is
    /// not called.
    pub(crate) fn watch_podman(&self, place: Place<'_>, sink: &Sink) -> Option<LocalPodman> {
        let env = place.binaries.first().map_or(&self.env, |first| &first.env);
        let setup = setup(&World(env))?;
        let books = Books::of(place.dir?);
        match books.open(&setup, place.run, place.slots) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                sink(report::Event::Warning(Warning {
                    message: format!(
                        "what tests make with `podman` is not removed: {}",
                        chain(&error)
                    ),
                    hint: None,
                }));
                return None;
            }
        }
        self.tell(&Note::Podman {
            budget: place.budget,
        });
        if let Some(membership) = place.membership {
            // Should all of us be killed, nobody would know: the annotation tells a person, at least.
            drop(membership.registration().has_podman());
        }
        let began = Clock::wall().duration_since(SystemTime::UNIX_EPOCH);
        Some(LocalPodman {
            podman: called(setup.program, env, self.clock),
            books,
            run: place.run.clone(),
            budget: place.budget,
            since: Duration::from_secs(began.unwrap_or_default().as_secs()),
            read: (0..place.slots).map(|_| Mutex::default()).collect(),
        })
    }
}

impl LocalPodman {
    /// The variable by which Podman's command finds the configuration of a slot.
    pub(crate) fn variable(&self, slot: usize) -> (OsString, OsString) {
        let conf = self.books.conf(slot);
        (CONTAINERS_CONF.into(), conf.into_string().into())
    }

    /// Nothing of the test in this slot is alive, which has left these: removes what is left of its containers, and says
    /// what that was. Who has watched over one of them is no leak of its own.
    pub(crate) fn end(&self, slot: usize, left: &mut Left, queue: &Queue) -> Vec<Thing> {
        let news = self.news(slot);
        let watchers = left.processes.iter();
        let watched_by = watchers.filter_map(|process| watched(&process.command));
        let unknown: Vec<_> = watched_by.filter(|id| !news.has_container(id)).collect();
        let mut cleared = Cleared::default();
        if !unknown.is_empty() {
            cleared = self.podman.remove_marked(&self.run, &unknown, self.budget);
        }
        let is_ours = |id: &str| news.has_container(id) || cleared.has(id);
        let is_watcher = |command: &str| watched(command).is_some_and(is_ours);
        left.processes
            .retain(|process| !is_watcher(&process.command));
        let mut things = told(cleared, queue);
        if !news.is_empty() {
            let cleared = self.podman.remove(&news.into_entries(), self.budget);
            things.extend(told(cleared, queue));
        }
        things
    }

    /// What was written down for a slot since it was looked at last.
    fn news(&self, slot: usize) -> Ledger {
        let Some(read) = self.read.get(slot) else {
            return Ledger::default();
        };
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        let (news, end) = self.books.news(slot, *read);
        *read = end;
        news
    }

    /// Nothing of any test is alive: removes what is left of all.
    pub(crate) fn finish(&self, queue: &Queue) -> Vec<Thing> {
        let Some(ledger) = self.books.whole() else {
            return Vec::new();
        };
        let cleared = self.podman.clear(ledger, &self.run, self.budget);
        let unmarked = self.podman.unmarked(self.since, self.budget);
        let removed = cleared.map(|cleared| told(cleared, queue));
        let done = removed.and_then(|removed| {
            tell_what_nobody_has_made(&unmarked?, queue);
            Ok(removed)
        });
        done.unwrap_or_else(|error| {
            let message = format!("containers of tests may be left: {}", chain(&error));
            queue.push(Event::Warning(Warning {
                message,
                hint: Some("`podman ps --all --external` shows them".to_owned()),
            }));
            Vec::new()
        })
    }
}

/// What came to be during the run may be a test's as well as somebody else's, where Podman does not say whose it is.
fn tell_what_nobody_has_made(unmarked: &[Thing], queue: &Queue) {
    if unmarked.is_empty() {
        return;
    }
    let things = unmarked.iter().map(ToString::to_string);
    queue.push(Event::Warning(Warning {
        message: format!(
            "Podman does not say who has made what came to be during the run: {}",
            things.collect::<Vec<_>>().join(", ")
        ),
        hint: Some(format!(
            "`{}` removes what is of no more use",
            removal(unmarked).join("; ")
        )),
    }));
}

/// What removes these: a command for each kind.
fn removal(things: &[Thing]) -> Vec<String> {
    let kinds = things.chunk_by(|one, next| one.kind == next.kind);
    let commands = kinds.filter_map(|of_kind| {
        let (first, rest) = of_kind.split_first()?;
        let rest = rest.iter().map(|thing| format!(" {}", thing.short_id()));
        Some(first.removal_by("podman") + &rest.collect::<String>())
    });
    commands.collect()
}

/// What was removed, with a warning of each thing that was not.
fn told(cleared: Cleared, queue: &Queue) -> Vec<Thing> {
    for stuck in cleared.stuck {
        queue.push(Event::Warning(Warning {
            message: stuck.to_string(),
            hint: None,
        }));
    }
    cleared.removed
}

/// What the tests of a dead run have made with Podman's command, whose books are here, and the command; `None` where they
/// have not called it, or it is not there any more. Where the books are gone, what is left is known to Podman alone.
pub(crate) fn left_by(
    dir: Option<&Utf8Path>,
    env: &Environment,
    clock: Clock,
) -> Option<(Podman, Ledger)> {
    let dir = dir.filter(|dir| dir.is_dir());
    let ledger = match dir {
        Some(dir) => Books::of(dir).whole()?,
        None => Ledger::default(),
    };
    let program = command(&World(env))?;
    Some((called(program, env, clock), ledger))
}

/// Podman's command.
#[derive(Debug)]
struct Command {
    program: Utf8PathBuf,
    /// The environment that tests find it in.
    env: Environment,
    clock: Clock,
}

fn called(program: Utf8PathBuf, env: &Environment, clock: Clock) -> Podman {
    let env = Arc::clone(env);
    let command = Command {
        program,
        env,
        clock,
    };
    Podman::new(Box::new(command), clock)
}

impl Caller for Command {
    fn call(&self, words: &[&str], budget: Duration) -> Result<PodmanSaid, CallFailure> {
        let env = Arc::clone(&self.env);
        let command = CommandLine::new(&self.program, "/".into(), env).args(words);
        let answer = ask(&command, budget, &self.clock)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(PodmanSaid {
            stdout: text(&answer.stdout),
            stderr: text(&answer.stderr),
            is_good: answer.is_good(),
        })
    }
}

/// Containers of Podman's own command are below the test, and end with it as processes. What Podman has written down of
/// them elsewhere is told to a person: a test may as well have started one that was there before.
pub(crate) fn tell_what_podman_keeps(left: &Left, test: &TestId, queue: &Queue) {
    let left = left.processes.iter();
    let ids: Vec<_> = left
        .filter_map(|process| watched(&process.command))
        .map(|id| &id[..12])
        .collect();
    if !ids.is_empty() {
        let (names, are) = (
            ids.join(" "),
            if ids.len() == 1 {
                "container"
            } else {
                "containers"
            },
        );
        queue.push(Event::Warning(Warning {
            message: format!("Podman keeps {are} {names} of {test}, where nothing runs any more"),
            hint: Some(format!(
                "`podman rm -f -v {names}` removes what is of no more use"
            )),
        }));
    }
}
