//! However a run ends, nothing of it is left, and no stranger comes to harm: forty families that try to stay, all
//! in one run for each way of ending. `attack survivors` does the same many times, and with each of them alone.

use std::sync::Mutex;
use std::sync::PoisonError;

use stt_tests::siege::Ending;
use stt_tests::siege::besiege;
use stt_tests::siege::families;
use stt_tests::siege::let_loose;

/// One siege at a time: each has forty families that keep every core busy, and deadlines of its own.
static FIELD: Mutex<()> = Mutex::new(());

/// How much longer than promised it may take on a machine that others use as well.
const LOADED: u64 = 10;

#[expect(
    clippy::print_stderr,
    reason = "the harness shows who was not there when the test fails, and when it is asked to"
)]
fn nobody_survives(ending: Ending) {
    let _field = FIELD.lock().unwrap_or_else(PoisonError::into_inner);
    let names = families();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(names.len() >= 25, "{names:?}");
    let Some(aftermath) = besiege(ending, &names) else {
        eprintln!("SKIPPED: this runner has no supervisor to kill, or sweeps nothing at its start");
        return;
    };
    for (name, fate) in &aftermath.fates {
        match &fate.skipped {
            Some(reason) => eprintln!("SKIPPED: {name}: {reason}"),
            None => assert!(fate.processes > 0, "{name} has never been there"),
        }
    }
    let complaints = aftermath.complaints(ending.allowed() * LOADED);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The instrument itself: without a runner every family stays, but for the one that is to be gone.
#[test]
fn without_a_runner_all_survive() {
    let _field = FIELD.lock().unwrap_or_else(PoisonError::into_inner);
    let names = families();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let aftermath = let_loose(&names);
    for (name, fate) in &aftermath.fates {
        let stays = fate.at_last > 0 || name == "leaves_its_number";
        assert!(
            stays || fate.skipped.is_some(),
            "{name} does not stay: {fate:?}"
        );
    }
    assert!(aftermath.unknown.len() > 500, "{:?}", aftermath.unknown);
}

#[test]
fn nobody_survives_a_run_that_passes() {
    nobody_survives(Ending::Pass);
}

#[test]
fn nobody_survives_a_run_that_fails_fast() {
    nobody_survives(Ending::FailFast);
}

#[test]
fn nobody_survives_a_timeout() {
    nobody_survives(Ending::Timeout);
}

#[test]
fn nobody_survives_a_stop_of_the_guard() {
    nobody_survives(Ending::Guard);
}

#[test]
fn nobody_survives_an_interrupt() {
    nobody_survives(Ending::Interrupt);
}

#[test]
fn nobody_survives_a_termination() {
    nobody_survives(Ending::Terminate);
}

#[test]
fn nobody_survives_the_kill_of_the_worker() {
    nobody_survives(Ending::KillWorker);
}

#[test]
fn nobody_survives_the_kill_of_the_supervisor() {
    nobody_survives(Ending::KillSupervisor);
}

#[test]
fn nobody_survives_the_start_after_the_kill_of_both() {
    nobody_survives(Ending::KillBoth);
}
