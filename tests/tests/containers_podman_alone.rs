//! What tests make with Podman's command ends with them also where no service does its work. Where Podman is missing each
//! of these tests says that it is skipped.

use std::os::unix::fs::PermissionsExt;

use fs_err as fs;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use stt_tests::Engine;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::left_at_engine as left;

/// The kinds of what a test has left, sorted.
fn kinds(report: &stt_tests::Report, test: &str) -> Vec<String> {
    let left = left(report.finished(test));
    let mut kinds: Vec<_> = left.into_iter().map(|(kind, _)| kind).collect();
    kinds.sort();
    kinds
}

/// What is said of the networks and files of this run of which nobody knows who has made them.
fn unmarked(report: &stt_tests::Report) -> String {
    let said = report.of("warning").map(|warning| &warning["message"]);
    let said = said.filter_map(|message| message.as_str());
    let own = said.filter(|message| message.contains("does not say who has made"));
    own.collect()
}

/// Nothing is left, no pod either.
fn assert_clean(engine: &Engine, lab: &Lab) {
    engine.assert_clean();
    let filter = format!("name={}-pod", engine.name);
    let pods = engine.call(&["pod", "ps", "-q", "--filter", &filter]);
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
    let Some(engine) = Engine::podman_alone() else {
        return;
    };
    let lab = Lab::shared("containers");
    let tests = ["uses_everything_and_removes_it", "removes_its_pod"];
    let finished = engine.json(&lab, &[&["--exact"], &tests[..]].concat());
    let report = finished.run().code(0).report();
    for test in tests {
        let result = report.finished(test);
        assert_eq!(result.get("leak"), None, "{result}");
    }
    assert_clean(&engine, &lab);
}

/// A network is not: Podman 4 does not write down who has made one, so it is told.
#[test]
fn all_that_a_test_leaves_is_named_and_removed() {
    let Some(engine) = Engine::podman_alone() else {
        return;
    };
    let lab = Lab::shared("containers");
    let tests = ["leaves_all_kinds", "leaves_a_pod", "leaves_a_volume_alone"];
    let stt = engine.json(&lab, &[&["--exact"], &tests[..]].concat());
    let report = stt.run().code(0).report();
    // The network is called as the volume.
    let things = left(report.finished(tests[0])).into_iter();
    let name = things
        .filter(|(kind, _)| kind == "volume")
        .map(|(_, name)| name);
    let name: String = name.collect();
    let mut all = kinds(&report, tests[0]);
    if engine.call(&["network", "exists", &name]).is_ok() {
        let said = unmarked(&report);
        assert!(said.contains(&format!("network {name}")), "{said}");
        engine.call(&["network", "rm", &name]).expect("it is ours");
        all.insert(1, "network".to_owned());
    }
    assert_eq!(all, ["container", "network", "volume"]);
    assert_eq!(kinds(&report, tests[1]), ["container", "pod"]);
    assert_eq!(kinds(&report, tests[2]), ["volume"]);
    let watchers: Vec<_> = report
        .of("test-finished")
        .filter(|line| line.to_string().contains("conmon"))
        .collect();
    assert!(watchers.is_empty(), "{watchers:?}");
    assert_clean(&engine, &lab);
}

#[test]
fn containers_that_are_there_when_a_run_is_ended_go() {
    let Some(engine) = Engine::podman_alone() else {
        return;
    };
    let lab = Lab::shared("containers");
    let running = up(&engine, &lab);
    running.signal(Signal::SIGINT);
    drop(running.finish().signal(2));
    assert_clean(&engine, &lab);
}

#[test]
fn what_a_killed_worker_has_made_is_removed() {
    let Some(engine) = Engine::podman_alone() else {
        return;
    };
    let lab = Lab::shared("containers");
    let mut running = up(&engine, &lab);
    kill(Pid::from_raw(running.worker()), Signal::SIGKILL).expect("it is ours");
    let finished = running.finish().code(42);
    drop(finished.says("1 pod and 2 containers of its tests removed: "));
    assert_clean(&engine, &lab);
}

#[test]
fn reap_removes_what_two_killed_processes_have_left() {
    let Some(engine) = Engine::podman_alone() else {
        return;
    };
    let lab = Lab::shared("containers");
    up(&engine, &lab).kill_both();
    let reap = |args: &[&str]| {
        let finished = lab.stt([&["reap"], args].concat()).run().code(0);
        let said = &finished.stdout;
        assert!(said.contains("1 pod and 2 containers"), "{said}");
    };
    reap(&["--dry-run"]);
    assert_eq!(
        engine.containers().len(),
        3,
        "with what holds the pod together"
    );
    reap(&[]);
    fs::remove_file(lab.traces.join("up")).expect("it was there");
    assert_clean(&engine, &lab);
}

/// Clients are killed before, while and after they write down what they have made. Of some there are only files then,
/// which nobody can tell from those of others: they are named.
#[test]
fn what_killed_clients_have_made_is_removed_or_told() {
    let Some(engine) = Engine::podman_alone() else {
        return;
    };
    let lab = Lab::shared("containers");
    let stt = engine.json(&lab, &["--exact", "kills_its_clients"]);
    let report = stt.env("CONTAINERS_CLIENTS", "100").run().code(0).report();
    let said = unmarked(&report);
    let external = engine.call(&[
        "ps",
        "--all",
        "--external",
        "--format",
        "{{.ID}} {{.Image}}",
    ]);
    let external = external.expect("it answers");
    let own = external.lines().filter_map(|line| line.split_once(' '));
    let own =
        own.filter(|(id, image)| image.contains(&engine.name) && !engine.stranger.starts_with(id));
    for (id, _) in own {
        assert!(said.contains(id), "{id} is left: {said}");
        engine.call(&["rm", "-f", id]).expect("it is ours");
    }
    assert_clean(&engine, &lab);
}

/// It is told of, and called, by tests only.
#[test]
fn who_does_not_call_podman_does_not_pay_for_it() {
    let lab = Lab::shared("containers");
    let dir = lab.path("bin");
    fs::create_dir(&dir).expect("writable");
    let called = lab.path("called");
    let program = dir.join("podman");
    fs::write(&program, format!("#!/bin/sh\necho called >{called}\n")).expect("writable");
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("ours");
    let path = format!("PATH={dir}:$PATH");
    let stt = lab.json(["--exact", "uses_nothing"]).after(&path);
    drop(stt.run().code(0));
    assert!(!called.exists(), "it was called");
    // That this would have been it, a test knows that calls it.
    let stt = lab.json(["--exact", "leaves_a_container"]).after(&path);
    let stt = stt
        .env("CONTAINERS_PROGRAM", "podman")
        .env("CONTAINERS_IMAGE", "x");
    drop(stt.run().code(0));
    assert!(called.exists(), "it was not called");
}
