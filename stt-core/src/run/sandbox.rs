//! Tests in containers: what a run needs for them, and what becomes of a test's container.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Once;
use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use nix::poll::PollTimeout;

use crate::clock::Clock;
use crate::command::CommandLine;
use crate::command::Environment;
use crate::config::Config;
use crate::config::Reuse;
use crate::container::Thing;
use crate::containers::Call;
use crate::containers::CallError;
use crate::containers::Counted;
use crate::containers::Counter;
use crate::containers::Found;
use crate::containers::LeftOut;
use crate::containers::NO_TEST;
use crate::containers::Roster;
use crate::containers::Sandbox;
use crate::containers::Sandboxes;
use crate::containers::Setting;
use crate::containers::find;
use crate::coordinator::Registration;
use crate::discovery::variables;
use crate::id::RunId;
use crate::id::TestId;
use crate::limits::Limits;
use crate::limits::Resources;
use crate::outcome::Exit;
use crate::process::Ended;
use crate::process::GroupUsage;
use crate::process::Held;
use crate::process::Survivor;
use crate::process::carried;
use crate::report;
use crate::report::Warning;
use crate::run::Membership;
use crate::run::RunError;
use crate::run::Session;
use crate::run::Sink;
use crate::run::containers::Containers;
use crate::run::containers::World;
use crate::run::containers::clear_all;
use crate::run::containers::counter;
use crate::run::desk::Peak;
use crate::run::error::chain;
use crate::run::execute::Job;
use crate::run::mounts::mounts;
use crate::run::settle;
use crate::run::slot::Shared;
use crate::run::supervision::Note;
use crate::run::supervisor::Teller;
use crate::run::tmpdir::OwnDir;
use crate::run::unenforced::left_out_by_engine;

/// How long is waited between two looks at who is left in a container, in milliseconds.
const LOOK_AGAIN: u16 = 5;

/// What all slots need for tests in containers.
#[derive(Debug)]
pub(crate) struct Sandboxing {
    run: RunId,
    sandboxes: Sandboxes,
    /// What of limits the engine does not hold.
    left_out: LeftOut,
    reuse: Reuse,
    /// Our own program, which stands in the place of a test.
    program: Utf8PathBuf,
    /// What that has in its environment: not what tests have, such as another loader's libraries.
    env: Environment,
    /// Where it writes down why there was no test.
    dir: Utf8PathBuf,
    /// What counts what the containers use.
    roster: Arc<Roster>,
    budget: Duration,
    told: Once,
    teller: Option<Arc<Teller>>,
    registration: Option<Arc<Registration>>,
}

/// What a slot has for tests in containers.
#[derive(Debug, Default)]
pub(crate) struct Room {
    sandbox: Option<Sandbox>,
    call: Option<Call>,
}

impl Session {
    /// Finds out whether the tests that are to run in containers can; `None` where none is to.
    ///
    /// # Errors
    /// One of them can't.
    pub(crate) fn sandboxing(
        &self,
        job: &Job,
        config: &Config,
        sink: &Sink,
    ) -> Result<Option<Sandboxing>, RunError> {
        let suspects = job.plan.suspects.iter().map(|suspect| suspect.index);
        let tests: Vec<_> = job.plan.run.iter().copied().chain(suspects).collect();
        if tests.iter().any(|&test| job.suite.stays_outside(test)) {
            sink(report::Event::Warning(Warning {
                message: "documentation tests run outside of containers: they need rustdoc"
                    .to_owned(),
                hint: None,
            }));
        }
        let mut images: BTreeMap<Arc<str>, BTreeSet<&Utf8Path>> = BTreeMap::new();
        for &test in &tests {
            let Some(image) = job.suite.image(test) else {
                continue;
            };
            if job.suite.listens(test) {
                let test = job.suite.id(test);
                return Err(RunError::SocketsInside { test });
            }
            let binaries = images.entry(Arc::clone(image)).or_default();
            // What a wrapper or a runner does with a binary is its own affair.
            if !job.suite.is_wrapped(test) {
                binaries.insert(&job.suite.binary(test).path);
            }
        }
        let (Some(program), Some(dir)) = (&job.program, &job.tmpdir) else {
            return Ok(None);
        };
        if images.is_empty() {
            return Ok(None);
        }
        let mut own = self.open_sandboxing(job, config, (program, dir))?;
        own.tell();
        let any_image = images.keys().next().cloned();
        for (image, binaries) in images {
            let binaries: Vec<_> = binaries.into_iter().collect();
            let checked = own.sandboxes.check(&image, &binaries);
            checked.map_err(RunError::Sandbox)?;
        }
        if let Some(image) = any_image {
            let inside = tests
                .iter()
                .filter(|&&test| job.suite.image(test).is_some());
            let limits = inside.filter_map(|&test| job.suite.limits(test));
            own.left_out = own.sandboxes.left_out(&image, limits.map(AsRef::as_ref));
        }
        if let Some(warning) = left_out_by_engine(own.left_out) {
            sink(report::Event::Warning(warning));
        }
        Ok(Some(own))
    }

    fn open_sandboxing(
        &self,
        job: &Job,
        config: &Config,
        (program, dir): (&Utf8Path, &OwnDir),
    ) -> Result<Sandboxing, RunError> {
        let first = job.suite.binaries().first();
        let env = first.map_or(&self.env, |first| &first.env);
        let no_engine = |why: &str| RunError::NoEngine {
            why: why.to_owned(),
        };
        let engine = match find(&World(env)) {
            Found::Engine(engine) => engine,
            Found::Nothing => return Err(no_engine("none was found")),
            Found::OutOfReach(distant) => return Err(no_engine(&distant.why)),
        };
        let setting = Setting {
            run: job.run.clone(),
            network: config.container.network.clone(),
            mounts: mounts(&job.root, &job.target_dir, job.suite.binaries(), env),
            dir: job.target_dir.join("stt/container"),
        };
        let sandboxes = Sandboxes::open(&engine.host, setting).map_err(RunError::Sandbox)?;
        let membership = job.membership.as_ref();
        Ok(Sandboxing {
            run: job.run.clone(),
            sandboxes,
            left_out: LeftOut::default(),
            reuse: config.container.reuse,
            program: program.to_owned(),
            env: self.env.clone(),
            dir: dir.path().to_owned(),
            roster: Arc::default(),
            budget: config.containers.budget,
            told: Once::new(),
            teller: self.teller(),
            registration: membership.map(Membership::registration).cloned(),
        })
    }
}

impl Sandboxing {
    /// The same, with what our containers use counted together with what tests make at the engine.
    #[must_use]
    pub(crate) fn beside(mut self, containers: Option<&Containers>) -> Self {
        if let Some(containers) = containers {
            self.roster = containers.shared_with(self.sandboxes.address());
        }
        self
    }

    /// Which limits of a test the engine holds for its container.
    pub(crate) fn held(&self, limits: Option<&Arc<Limits>>) -> Held {
        let LeftOut {
            memory,
            cpu,
            processes,
        } = self.left_out;
        Held {
            memory: !memory && limits.is_some_and(|limits| limits.memory.is_some()),
            processes: !processes && limits.is_some_and(|limits| limits.processes.is_some()),
            cpu: !cpu && limits.is_some_and(|limits| limits.cpu.is_some()),
        }
    }

    /// Whoever would have to remove containers is told where they are, before there is one.
    fn tell(&self) {
        self.told.call_once(|| {
            let (address, budget) = (self.sandboxes.address().clone(), self.budget);
            if let Some(registration) = &self.registration {
                // Should all of us be killed, nobody would know: the label tells a person, at least.
                drop(registration.has_engine(&address));
            }
            if let Some(teller) = &self.teller {
                teller.tell(&Note::Engine { address, budget });
            }
        });
    }
}

/// What counts the containers of a run; `None` where there are none.
pub(crate) fn counter_of(shared: &Shared) -> Option<Counter> {
    let queue = &shared.queue;
    if let Some(proxy) = &shared.engines.proxy {
        return Some(proxy.counter(queue));
    }
    let own = shared.sandboxing.as_ref()?;
    let roster = Arc::clone(&own.roster);
    Some(counter(roster, own.sandboxes.address(), queue))
}

/// Nothing of any test is alive: removes what containers there are of the run, and says what tests have left.
pub(crate) fn finish(shared: &Shared) -> Vec<Thing> {
    let own = shared.sandboxing.as_ref();
    // What stands in front of their engine removes ours with the others.
    if let Some(own) = own.filter(|_| shared.engines.proxy.is_none()) {
        clear_all(own.sandboxes.address(), &own.run, own.budget, &shared.queue);
    }
    shared.engines.finish(&shared.queue)
}

impl Room {
    /// Makes a container ready for a test, and says what is to be started in place of the test.
    ///
    /// # Errors
    /// The engine does not do it, in its own words.
    pub(crate) fn enter(
        &mut self,
        own: &Sandboxing,
        (slot, id): (usize, &TestId),
        (image, limits): (&Arc<str>, Option<&Limits>),
        command: &CommandLine,
    ) -> Result<CommandLine, String> {
        let carried = limits.map(carried).unwrap_or_default();
        if !carried.is_empty() && !command.program.to_string_lossy().starts_with('/') {
            let program = command.program.to_string_lossy();
            return Err(format!(
                "in a container with these limits `{program}` has to be called by its absolute path"
            ));
        }
        let complaint = own.dir.join(format!(".stt-no-test-{slot}"));
        let mut kept = self.sandbox.take();
        if let Some(other) = kept.take_if(|kept| !own.sandboxes.suits(kept, image, limits)) {
            own.sandboxes.remove(&other);
        }
        let announce = |sandbox: &mut Sandbox| {
            let complaint = complaint.clone();
            own.sandboxes
                .announce(sandbox, command, &carried, complaint)
        };
        // One that was used before may have been ended by others.
        let again = kept.and_then(|mut kept| {
            let call = announce(&mut kept).ok();
            if call.is_none() {
                own.sandboxes.remove(&kept);
            }
            Some((kept, call?))
        });
        let made = || {
            let mut sandbox = own.sandboxes.make(slot, image, limits)?;
            match announce(&mut sandbox) {
                Ok(call) => Ok((sandbox, call)),
                Err(error) => {
                    own.sandboxes.remove(&sandbox);
                    Err(error)
                }
            }
        };
        let entered = again.map_or_else(made, Ok);
        let (sandbox, call) = entered.map_err(|error: CallError| chain(&error))?;
        own.roster.forget(slot);
        own.roster
            .take_in(slot, sandbox.thing(), sandbox.cpu_before());
        // What marks a process as the test's.
        let client = call
            .command(&own.program, own.env.clone())
            .env(variables::STT_RUN_ID, own.run.as_str())
            .env(variables::STT_TEST_ID, id.to_string())
            .env(variables::NEXTEST_TEST_GLOBAL_SLOT, slot.to_string());
        self.sandbox = Some(sandbox);
        self.call = Some(call);
        Ok(client)
    }

    /// The client of a test has ended: sees who is left in its container, what it has counted, and whether it may serve
    /// another test. Adds that to how the client has ended.
    ///
    /// # Errors
    /// There was no test, for this reason.
    pub(crate) fn leave(
        &mut self,
        own: &Sandboxing,
        ended: &mut Ended,
        leak_timeout: Duration,
        clock: &Clock,
    ) -> Result<(), String> {
        let (Some(sandbox), Some(call)) = (self.sandbox.take(), self.call.take()) else {
            return Ok(());
        };
        let was_ended = ended.ended.is_some();
        let complaint = call.complaint();
        if !was_ended && ended.exit == Exit::Code(NO_TEST) && complaint.is_some() {
            own.sandboxes.remove(&sandbox);
            return complaint.map_or(Ok(()), Err);
        }
        let left = if was_ended {
            // They are ended with it, and are no fault of its own.
            None
        } else {
            left(own, &sandbox, leak_timeout, clock)
        };
        let mut counted = sandbox.counted();
        let is_empty = left.as_ref().is_some_and(Vec::is_empty);
        if own.reuse == Reuse::Run && is_empty && sandbox.is_clean() {
            self.sandbox = Some(sandbox);
        } else if own.sandboxes.remove(&sandbox) {
            counted.oom_kills = counted.oom_kills.or(Some(1));
        }
        let left = left.unwrap_or_default().into_iter();
        ended.left.processes.extend(left.map(survivor));
        ended.group = Some(usage(counted));
        Ok(())
    }

    /// The slot has no further test.
    pub(crate) fn close(&mut self, own: Option<&Sandboxing>) {
        self.call = None;
        if let (Some(sandbox), Some(own)) = (self.sandbox.take(), own) {
            own.sandboxes.remove(&sandbox);
        }
    }
}

/// Who stays in a container for longer than that; `None` where nobody can tell.
fn left(
    own: &Sandboxing,
    sandbox: &Sandbox,
    leak_timeout: Duration,
    clock: &Clock,
) -> Option<Vec<(i32, String)>> {
    let until = clock.now().saturating_add(leak_timeout);
    loop {
        let left = own.sandboxes.left(sandbox)?;
        if left.is_empty() || clock.now() >= until {
            return Some(left);
        }
        let _ = nix::poll::poll(&mut [], PollTimeout::from(LOOK_AGAIN));
    }
}

fn survivor((pid, command): (i32, String)) -> Survivor {
    Survivor {
        pid,
        command,
        ports: Vec::new(),
        still_held: Vec::new(),
        in_group: true,
    }
}

fn usage(counted: Counted) -> GroupUsage {
    GroupUsage {
        cpu: counted.cpu,
        peak_memory: counted.peak_memory,
        oom_kills: counted.oom_kills,
        pids_refused: counted.refused,
        ..GroupUsage::default()
    }
}

/// The most that was seen of a test in a container, and what it has used. Where its CPU time was counted, what was seen
/// of that is the same once more; and what our client has read, written and started is nobody's.
pub(crate) fn used(ended: &Ended, peak: Option<Peak>) -> (Option<Peak>, Resources) {
    let counted = ended.group.is_some_and(|group| group.cpu.is_some());
    let peak = peak.map(|peak| Peak {
        cpu_in_containers: if counted {
            Duration::ZERO
        } else {
            peak.cpu_in_containers
        },
        ..peak
    });
    let resources = Resources {
        processes: None,
        read: None,
        written: None,
        ..settle::resources(ended, peak)
    };
    (peak, resources)
}
