//! What tests make with Podman, through its socket, ends with them as it does with Docker. Where Podman is missing
//! each of these tests says that it is skipped.

use std::time::Duration;
use std::time::Instant;

use fs_err as fs;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use stt_tests::Engine;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::left_at_engine as left;

/// For so long Podman waits for a container to stop by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// The kinds of what a test has left, sorted.
fn kinds(report: &stt_tests::Report, test: &str) -> Vec<String> {
    let left = left(report.finished(test));
    let mut kinds: Vec<_> = left.into_iter().map(|(kind, _)| kind).collect();
    kinds.sort();
    kinds
}

/// Nothing is left, no pod either.
fn assert_clean(engine: &Engine, lab: &Lab) {
    engine.assert_clean();
    let pods = engine.call(&[
        "pod",
        "ps",
        "-q",
        "--filter",
        &format!("name={}-pod", engine.name),
    ]);
    assert_eq!(pods.as_deref(), Ok(""), "pods after the run");
    lab.assert_clean();
}

/// Starts the run and waits until the test is there with its pod.
fn up(engine: &Engine, lab: &Lab) -> Running {
    let mut running = engine.json(lab, &["--exact", "hangs_with_a_pod"]).spawn();
    running.wait_for("the pod is there", |_| lab.is_there("up"));
    running
}

#[test]
fn podmans_command_works_as_without_us() {
    let Some(engine) = Engine::podman() else {
        return;
    };
    let lab = Lab::shared("containers");
    let tests = ["uses_everything_and_removes_it", "removes_its_pod"];
    let finished = engine
        .json(&lab, &[&["--exact"], &tests[..]].concat())
        .run()
        .code(0);
    let report = finished.report();
    for test in tests {
        let result = report.finished(test);
        assert_eq!(result.get("leak"), None, "{result}");
    }
    assert_eq!(report.of("warning").count(), 0, "{}", finished.stdout);
    assert_clean(&engine, &lab);
}

#[test]
fn all_that_a_test_leaves_is_named_and_removed() {
    let Some(engine) = Engine::podman() else {
        return;
    };
    let lab = Lab::shared("containers");
    let tests = ["leaves_all_kinds", "leaves_a_pod", "leaves_a_volume_alone"];
    let finished = engine
        .json(&lab, &[&["--exact"], &tests[..]].concat())
        .run()
        .code(0);
    let report = finished.report();
    assert_eq!(kinds(&report, tests[0]), ["container", "network", "volume"]);
    assert_eq!(kinds(&report, tests[1]), ["container", "pod"]);
    assert_eq!(kinds(&report, tests[2]), ["volume"]);
    assert_clean(&engine, &lab);
}

/// Docker's command speaks to Podman in its own words.
#[test]
fn what_docker_makes_with_podman_ends_with_its_test() {
    let Some(engine) = Engine::podman() else {
        return;
    };
    if let Err(why) = stt_tests::docker(&["--version"]) {
        return stt_tests::skipped("Docker's command", &why);
    }
    let lab = Lab::shared("containers");
    let host = engine.host().expect("it has a socket");
    let stt = engine.json(&lab, &["--exact", "leaves_all_kinds"]);
    let stt = stt
        .env("DOCKER_HOST", host)
        .env("CONTAINERS_PROGRAM", "docker");
    let report = stt.run().code(0).report();
    assert_eq!(
        kinds(&report, "leaves_all_kinds"),
        ["container", "network", "volume"]
    );
    assert_clean(&engine, &lab);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own clock")]
fn nobody_waits_for_what_does_not_stop_by_itself() {
    let Some(engine) = Engine::podman() else {
        return;
    };
    let lab = Lab::shared("containers");
    let running = up(&engine, &lab);
    let before = Instant::now();
    running.signal(Signal::SIGTERM);
    let finished = running.finish();
    assert!(
        before.elapsed() < PATIENCE,
        "{:?}\n{}",
        before.elapsed(),
        finished.stdout
    );
    assert_clean(&engine, &lab);
}

#[test]
fn what_a_killed_worker_has_made_is_removed() {
    let Some(engine) = Engine::podman() else {
        return;
    };
    let lab = Lab::shared("containers");
    let mut running = up(&engine, &lab);
    kill(Pid::from_raw(running.worker()), Signal::SIGKILL).expect("it is ours");
    drop(
        running
            .finish()
            .code(42)
            .says("1 pod and 2 containers of its tests removed: "),
    );
    assert_clean(&engine, &lab);
}

#[test]
fn reap_removes_what_two_killed_processes_have_left() {
    let Some(engine) = Engine::podman() else {
        return;
    };
    let lab = Lab::shared("containers");
    let running = up(&engine, &lab);
    running.kill_both();
    let reaped = lab.stt(["reap"]).run().code(0);
    assert!(
        reaped.stdout.contains("1 pod and 2 containers"),
        "{}",
        reaped.stdout
    );
    fs::remove_file(lab.traces.join("up")).expect("it was there");
    assert_clean(&engine, &lab);
}

#[test]
fn a_container_of_podmans_that_grows_stops_the_run_and_is_named() {
    let Some(engine) = Engine::podman() else {
        return;
    };
    let lab = Lab::shared("containers");
    let args = [
        "--exact",
        "grows_in_a_container",
        "--memory-threshold=200MB",
    ];
    let report = engine.json(&lab, &args).run().code(42).report();
    let reason = report.one("run-finished")["stop"]["reason"].to_string();
    assert!(reason.contains(&format!("{}-hog", engine.name)), "{reason}");
    assert_clean(&engine, &lab);
}
