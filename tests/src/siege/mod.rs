//! Attacks on a run from inside: families that try to outlive it, every way in which it can end, and strangers
//! who must come to no harm.

mod aftermath;
mod decoys;
mod ending;
mod family;
mod recycled;

use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

pub use aftermath::Aftermath;
pub use aftermath::Fate;
pub use ending::Ending;
pub use family::Families;
pub use family::families;
pub use family::program;

use crate::exit::exits_within;
use crate::lab::Lab;
use crate::proc::Identity;
use crate::proc::worker_of;
use crate::running::Running;
use crate::stt::Stt;
use crate::wait::DEADLINE;
use crate::wait::until;
use decoys::Decoys;

/// How long somebody may live on before he counts as one who stays.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets these families come up in one run, has it end in this way, and looks at once at who is left.
/// `None` where this build of the runner has no such end.
#[expect(clippy::disallowed_methods, reason = "time is what is measured")]
pub fn besiege(ending: Ending, fixtures: &[&str]) -> Option<Aftermath> {
    let lab = Lab::shared("adversary");
    if ending == Ending::KillBoth && lab.stt(["reap", "--dry-run"]).run().code != Some(0) {
        return None;
    }
    let families = Families::new(&lab, fixtures);
    let mut running = start(&lab, ending, fixtures).spawn();
    let run = running.wait_for("it begins", |running| {
        let report = running.report();
        let started = report.of("run-started").next()?;
        Some(started["run"].as_str()?.to_owned())
    });
    let mut worker = worker_of(running.pid());
    if ending.needs_a_supervisor() && worker.is_none() {
        running.signal(Signal::SIGTERM);
        drop(running.finish());
        return None;
    }
    let mut decoys = Decoys::start(&lab, &run, running.pid(), fixtures);
    if ending != Ending::Pass {
        let began = Instant::now();
        running.wait_for("all families are up, or should be", |_| {
            (families.missing().is_empty() || began.elapsed() > DEADLINE / 2).then_some(())
        });
        assert!(
            families.missing().is_empty(),
            "not up: {:?}",
            families.missing()
        );
        decoys.take_number(&lab, &families);
        worker = worker_of(running.pid());
    }
    let since = end(&lab, ending, &mut running, worker);
    let mut aftermath = match since {
        Since::Exit => {
            running.wait_for_exit();
            Aftermath::look(&families, Instant::now())
        }
        Since::Kill(killed) => {
            let aftermath = Aftermath::look(&families, killed);
            running.wait_for_exit();
            aftermath
        }
        Since::NextStart => {
            running.wait_for_exit();
            let next = Instant::now();
            let running = lab.json(["--exact", "calm"]).spawn();
            let aftermath = Aftermath::look(&families, next);
            drop(running.finish().code(0));
            aftermath
        }
    };
    let finished = running.finish();
    // Who has lost his supervisor ends by himself, after his tests.
    let worker = worker.filter(|worker| !exits_within(*worker, PATIENCE));
    aftermath.look_around(&lab);
    let wanted = ending.comes_to();
    if let Some(wanted) = wanted
        && wanted != (finished.code, finished.signal)
    {
        aftermath.wrong.push(finished.transcript());
    }
    if let Some(worker) = worker.and_then(Identity::of) {
        aftermath
            .wrong
            .push(format!("the worker lives: {worker:?}"));
    }
    aftermath.wrong.extend(families.still_listening());
    if ending == Ending::Pass {
        aftermath.wrong.extend(families.unnamed(&finished.report()));
    }
    aftermath.strangers = decoys.complaints();
    families.remove_groups();
    Some(aftermath)
}

/// Lets families come up without a runner, each by a test that passes, and looks at who is left: how it would be
/// if nobody cared.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children, and time is what is measured"
)]
pub fn let_loose(fixtures: &[&str]) -> Aftermath {
    let lab = Lab::shared("adversary");
    let families = Families::new(&lab, fixtures);
    for binary in ["families", "memory"] {
        for name in fixtures {
            let mut test = lab.command(program(&lab, binary));
            test.args(["--exact", name]).stdout(Stdio::null());
            assert!(test.status().expect("it starts").success(), "{name} fails");
        }
    }
    let mut aftermath = Aftermath::look(&families, Instant::now());
    aftermath.look_around(&lab);
    drop(lab);
    families.remove_groups();
    aftermath
}

/// The run with all families and with what its ending needs beside them.
fn start<'lab>(lab: &'lab Lab, ending: Ending, fixtures: &[&str]) -> Stt<'lab> {
    let beside = ending.beside();
    let at_once = (fixtures.len() + beside.len()).to_string();
    lab.json(["--exact", "-j", &at_once])
        .args(fixtures)
        .args(beside)
        .args(["--cpu-action", "off"])
        .args(ending.args())
        .env("ADVERSARY_THEN", ending.then())
        .env("ADVERSARY_MEMORY", "20000000")
        .env("ADVERSARY_CUE", "4000000000")
}

/// From when on the time counts until the last one is dead.
enum Since {
    /// From the exit of the runner.
    Exit,
    /// From a kill.
    Kill(Instant),
    /// From the start of the run after it.
    NextStart,
}

/// Does what ends the run.
#[expect(clippy::disallowed_methods, reason = "time is what is measured")]
fn end(lab: &Lab, ending: Ending, running: &mut Running, worker: Option<i32>) -> Since {
    let kill_worker = || {
        let worker = Pid::from_raw(worker.expect("it was asked for before"));
        kill(worker, Signal::SIGKILL).expect("the worker of our child can be killed");
    };
    match ending {
        Ending::Pass | Ending::Timeout => Since::Exit,
        Ending::FailFast => {
            lab.go();
            running.wait_for("a test has failed", |running| {
                let report = running.report();
                let mut ended = report.of("test-finished");
                ended
                    .find(|line| line["test"]["name"] == "fails_on_cue")
                    .map(drop)
            });
            lab.release();
            Since::Exit
        }
        Ending::Guard => {
            lab.go();
            Since::Exit
        }
        Ending::Interrupt => {
            running.signal(Signal::SIGINT);
            Since::Exit
        }
        Ending::Terminate => {
            running.signal(Signal::SIGTERM);
            Since::Exit
        }
        Ending::KillWorker => {
            kill_worker();
            Since::Kill(Instant::now())
        }
        Ending::KillSupervisor => {
            running.signal(Signal::SIGKILL);
            Since::Kill(Instant::now())
        }
        Ending::KillBoth => {
            // It may be one process. A worker that sees its supervisor die ends the families itself.
            if let Some(worker) = worker {
                kill(Pid::from_raw(worker), Signal::SIGSTOP)
                    .expect("the worker of our child can be stopped");
            }
            running.signal(Signal::SIGKILL);
            if let Some(worker) = worker.and_then(Identity::of) {
                kill_worker();
                until("the worker is dead", DEADLINE, || {
                    (!worker.lives()).then_some(())
                });
            }
            Since::NextStart
        }
    }
}
