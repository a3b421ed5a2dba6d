//! What decides about the tests of a run, as its plan and its configuration make it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::ResumePlan;
use crate::config::Config;
use crate::guard::Policy;
use crate::guard::cores;
use crate::id::RunId;
use crate::outcome::TestOutcome;
use crate::process::Stdio;
use crate::report;
use crate::report::Counts;
use crate::report::ScriptPlace;
use crate::run::event::Standing;
use crate::run::execute::Job;
use crate::run::machine::ScriptTimes;
use crate::run::machine::Setup;
use crate::run::machine::Telling;
use crate::run::machine::Times;
use crate::run::scripts::stdio;
use crate::schedule::Need;
use crate::schedule::Rights;
use crate::schedule::Room;
use crate::scheduling::NO_GROUP;
use crate::script::Script;
use crate::script::ScriptKind;
use crate::script::TestScripts;

/// After this time a test is written down as started, so that a crash of the runner names it.
const RECORD_STARTED: Duration = Duration::from_secs(1);

/// The results that exist before a test runs.
pub(crate) fn counts(plan: &ResumePlan) -> Counts {
    let mut counts = Counts {
        ignored: plan.ignored.len(),
        failed: plan.condemned.len(),
        ..Counts::default()
    };
    for result in &plan.kept {
        match result.outcome {
            TestOutcome::Passed => {
                counts.passed += 1;
                counts.flaky += usize::from(result.attempt > 1);
            }
            TestOutcome::Failed(_) => counts.failed += 1,
            TestOutcome::Ignored => counts.ignored += 1,
        }
        counts.leaky += usize::from(!result.leaks.is_empty());
    }
    counts
}

/// How often the tests have failed in earlier legs that were to be tried again, by their numbers.
fn tried(job: &Job) -> BTreeMap<usize, u32> {
    if job.plan.tries.is_empty() {
        return BTreeMap::new();
    }
    let numbers: BTreeMap<_, _> = (0..job.suite.len())
        .map(|test| (job.suite.id(test), test))
        .collect();
    let tries = job.plan.tries.iter();
    tries
        .filter_map(|tried| Some((*numbers.get(&tried.test)?, tried.attempt)))
        .collect()
}

/// A number that differs from run to run.
fn seed(run: &RunId) -> u64 {
    let bytes = run.as_str().bytes();
    bytes.fold(0, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(byte.into())
    })
}

/// The tests that run beside others: whoever has a higher priority stands before the others.
fn by_priority(job: &Job) -> Vec<usize> {
    let priority = |&test: &usize| {
        let said = job.suite.scheduling(test);
        Reverse(said.and_then(|said| said.priority).unwrap_or(0))
    };
    let mut order = job.plan.run.clone();
    order.sort_by_key(priority);
    order
}

/// How much room each test needs.
fn room(job: &Job, config: &Config, threads: usize) -> Room {
    let cpus = cores();
    let groups = &config.test_groups;
    let needs = job.suite.of_scheduling(|said| {
        let places = said.threads_required;
        let name = said.group.as_ref().filter(|name| &***name != NO_GROUP);
        Need {
            places: places.map_or(1, |places| places.count(cpus, threads)),
            group: name.and_then(|name| groups.iter().position(|group| group.name == *name)),
        }
    });
    let most = groups
        .iter()
        .map(|group| group.max_threads.count(cpus, threads));
    Room::new(needs, &most.collect::<Vec<_>>())
}

/// The scripts of the tests that are to run, in the order in which they are defined.
pub(crate) fn scripts(job: &Job, config: &Config) -> Vec<ScriptPlace> {
    let suspects = job.plan.suspects.iter().map(|suspect| suspect.index);
    let tests = job.plan.run.iter().copied().chain(suspects);
    let mut wanted = TestScripts::default();
    for scripts in tests.filter_map(|test| job.suite.scripts(test)) {
        wanted.extend(scripts);
    }
    let of = |kind: ScriptKind, wanted: &[Arc<Script>]| {
        let defined = config.scripts.of(kind).iter();
        let used: Vec<_> = defined.filter(|script| wanted.contains(script)).collect();
        let of = used.len();
        let places = (1..).zip(used).map(move |(number, script)| ScriptPlace {
            script: Arc::clone(script),
            number,
            of,
            shown: stdio(job.manner, script) != Stdio::Capture,
        });
        places.collect::<Vec<_>>()
    };
    let setup = of(ScriptKind::Setup, &wanted.setup);
    let teardown = of(ScriptKind::Teardown, &wanted.teardown);
    setup.into_iter().chain(teardown).collect()
}

/// What the machine is made of for a job with these scripts.
pub(crate) fn machine_setup(
    job: &Job,
    config: &Config,
    threads: usize,
    scripts: &[ScriptPlace],
) -> Setup {
    let plan = &job.plan;
    let run = &config.run;
    let guard = &config.guard;
    let times = Times {
        slow: run.slow_timeout,
        terminate_after: run.terminate_after,
        grace: run.grace_period,
        guard_grace: guard.grace_period,
        record_started: if job.record_starts {
            Duration::ZERO
        } else {
            RECORD_STARTED
        },
    };
    // More slots than tests would only be idle.
    let most = (plan.run.len() + plan.suspects.len()).max(1);
    Setup {
        threads: threads.min(most),
        together: by_priority(job),
        suspects: plan
            .suspects
            .iter()
            .map(|suspect| (suspect.index, suspect.breaches))
            .collect(),
        counts: counts(plan),
        room: room(job, config, threads),
        limits: job.suite.all_limits(),
        rights: Rights::new(job.suite.fixed_ports(), job.membership.is_some()),
        retries: run.retries,
        own_retries: job.suite.own_retries(),
        own_times: job.suite.own_times(),
        tried: tried(job),
        seed: seed(&job.run),
        failures: plan.condemned.len(),
        times,
        time: run.global_timeout,
        scripts: scripts
            .iter()
            .map(|place| of_script(place, times))
            .collect(),
        max_fail: run.max_fail.and_then(|most| NonZeroUsize::new(most.get())),
        policy: guard.enabled.then(|| Policy::new(guard, cores())),
        telling: Telling {
            starts: job.manner.starts,
            progress: job.manner.progress,
            base: report::Progress {
                total: job.suite.len(),
                memory_threshold: guard.enabled.then_some(guard.memory_threshold),
                cpu_threshold: guard.enabled.then_some(guard.cpu_threshold),
                ..report::Progress::default()
            },
        },
        standing: Standing {
            may: match &job.membership {
                Some(membership) if membership.has_shares() => 0,
                Some(_) | None => usize::MAX,
            },
            ..Standing::default()
        },
    }
}

/// The times of a script. How long a test may take says nothing of a script.
fn of_script(place: &ScriptPlace, of_tests: Times) -> ScriptTimes {
    let times = Times {
        terminate_after: None,
        ..of_tests
    };
    ScriptTimes {
        kind: place.script.kind,
        times: times.with(place.script.times),
    }
}
