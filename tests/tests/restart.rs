//! A run that goes on by itself: it waits until the machine has recovered, tries who is to blame once more,
//! and never a third time.

use nix::sys::signal::Signal;
use stt_tests::Finished;
use stt_tests::Lab;
use stt_tests::Stt;
use stt_tests::is_alive;

const QUICK_END: [&str; 4] = [
    "--config",
    "guard.grace-period=300ms",
    "--config",
    "run.grace-period=300ms",
];

fn id(binary: &str, name: &str) -> (String, String) {
    (binary.to_owned(), name.to_owned())
}

/// Harmless tests, and one that kills its runner as soon as it runs.
fn killer<'lab>(lab: &'lab Lab, stable: &str, within: &str) -> Stt<'lab> {
    let chosen = ["--no-fail-fast", "-j", "2", "calm_0", "kills_its_runner"];
    lab.stt(chosen)
        .args(["--auto-restart", "--config"])
        .args([format!("restart.stable={stable}")])
        .args(["--config".to_owned(), format!("restart.within={within}")])
        .args(QUICK_END)
        .env("HOSTILE_KILLS", "1")
}

fn restarts(finished: &Finished) -> usize {
    finished.stderr.matches("Going on").count()
}

#[test]
fn a_leaker_costs_one_restart_and_every_other_test_has_its_result() {
    let lab = Lab::shared("hostile");
    let chosen = ["--no-fail-fast", "-j", "2", "calm_", "leaks_fast"];
    let first = lab.log();
    let finished = lab
        .stt(chosen)
        .args(["--memory-threshold", "400MiB", "--auto-restart"])
        .args(["--config", "restart.stable=300ms"])
        .args(QUICK_END)
        .log(&first)
        .run()
        .code(100);
    lab.assert_clean();
    assert_eq!(restarts(&finished), 1, "{}", finished.transcript());
    let results = lab.record().results();
    assert_eq!(results.len(), 12, "{results:?}");
    assert_eq!(results[&id("hostile::memory", "leaks_fast")], "breach");
    let passed = results.values().filter(|result| *result == "passed");
    assert_eq!(passed.count(), 10);
    let starts = first.starts();
    assert!(starts.values().all(|count| *count == 1), "{starts:?}");
    drop(finished.says("BREACH").says("restart 1 of 3"));
}

#[test]
fn a_test_that_kills_the_runner_twice_is_failed_without_a_third_trial() {
    let lab = Lab::shared("hostile");
    let log = lab.log();
    let finished = killer(&lab, "200ms", "10m").log(&log).run().code(100);
    lab.assert_clean();
    assert_eq!(restarts(&finished), 2, "{}", finished.transcript());
    let results = lab.record().results();
    assert_eq!(results.len(), 11, "{results:?}");
    assert_eq!(
        results[&id("hostile::death", "kills_its_runner")],
        "suspect"
    );
    assert!(!is_alive(
        lab.traced("kills_its_runner").expect("it ran")[0]
    ));
    let said = finished
        .says("SUSPECT")
        .says("leg 1: the runner was killed by SIGKILL while it ran; leg 2: the runner was killed")
        .says("a run without --resume tries it again");
    drop(said);

    // It stays so, and everything has a result.
    let again = lab.stt(["--resume"]).env("HOSTILE_KILLS", "1").run();
    drop(again.code(100).says("nothing to resume"));
    // A new run tries it again, and now it has no reason to kill anybody.
    drop(lab.stt(["--exact", "kills_its_runner"]).run().code(0));
}

#[test]
fn programs_see_the_waiting() {
    let lab = Lab::shared("hostile");
    let chosen = ["--exact", "calm_00", "kills_its_runner"];
    let finished = lab
        .json(chosen)
        .args([
            "--no-fail-fast",
            "--auto-restart",
            "--config",
            "restart.stable=200ms",
        ])
        .env("HOSTILE_KILLS", "1")
        .run()
        .code(100);
    let waiting: Vec<_> = finished
        .stdout
        .lines()
        .filter(|line| line.contains("\"type\":\"waiting\""))
        .collect();
    assert_eq!(waiting.len(), 4, "{waiting:#?}");
    for (line, next) in waiting.iter().zip(["look", "go-on", "look", "go-on"]) {
        assert!(line.contains(&format!("\"next\":\"{next}\"")), "{line}");
        assert!(line.contains("memory at"), "{line}");
    }
}

#[test]
fn a_machine_that_does_not_calm_down_in_time_ends_the_run_with_42() {
    let lab = Lab::shared("hostile");
    let finished = killer(&lab, "10m", "12s").run().code(42);
    lab.assert_clean();
    assert_eq!(restarts(&finished), 0, "{}", finished.transcript());
    let said = finished
        .says("Waiting")
        .says("restart 1 of 3")
        .says("Giving up")
        .says("cargo stt --resume");
    drop(said);
    let left = lab.record();
    assert!(left.results().len() < 11, "there is something to resume");
    let resumed = lab.stt(["--resume", "--no-fail-fast"]).run();
    drop(resumed.code(0));
}

#[test]
fn an_interrupt_ends_the_waiting() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let lab = Lab::shared("hostile");
        let mut running = killer(&lab, "10m", "1h").spawn();
        running.wait_for("it to wait", |running| {
            running.stderr().contains("Waiting").then_some(())
        });
        running.signal(signal);
        let finished = running.finish().signal(signal as i32);
        assert_eq!(restarts(&finished), 0);
        lab.assert_clean();
    }
}

#[test]
fn without_being_asked_nothing_goes_on_by_itself() {
    let lab = Lab::shared("hostile");
    let chosen = ["--exact", "leaks_fast", "--memory-threshold", "400MiB"];
    let finished = lab.stt(chosen).args(QUICK_END).run().code(42);
    drop(finished.never_says("Waiting"));
}
