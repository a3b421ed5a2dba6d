//! What tests make with Podman ends with them as it does with Docker, through its socket as where its command is alone.
//! Where Podman is missing each of these tests says that it is skipped.

use std::os::unix::fs::PermissionsExt;
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

macro_rules! in_each_way {
    ($($test:ident,)*) => {
        mod by_its_socket {
            $(#[test]
            fn $test() {
                super::Engine::podman().iter().for_each(super::$test);
            })*
        }
        mod by_its_command_alone {
            $(#[test]
            fn $test() {
                super::Engine::podman_alone().iter().for_each(super::$test);
            })*
        }
    };
}

in_each_way! {
    podmans_command_works_as_without_us,
    all_that_a_test_leaves_is_named_and_removed,
    nobody_waits_for_what_does_not_stop_by_itself,
    what_a_killed_worker_has_made_is_removed,
    reap_removes_what_two_killed_processes_have_left,
}

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

/// The words in which it is told that nobody knows who has made something.
const UNMARKED: &str = "does not say who has made";

/// What is said of the networks and files of this run of which nobody knows who has made them.
fn unmarked(report: &stt_tests::Report) -> String {
    let said = report.of("warning").map(|warning| &warning["message"]);
    let said = said.filter_map(|message| message.as_str());
    let own = said.filter(|message| message.contains(UNMARKED));
    own.collect()
}

/// Starts the run and waits until the test is there with its pod.
fn up(engine: &Engine, lab: &Lab) -> Running {
    let mut running = engine.json(lab, &["--exact", "hangs_with_a_pod"]).spawn();
    running.wait_for("the pod is there", |_| lab.is_there("up"));
    running
}

fn podmans_command_works_as_without_us(engine: &Engine) {
    let lab = Lab::shared("containers");
    let tests = ["uses_everything_and_removes_it", "removes_its_pod"];
    let stt = engine.json(&lab, &[&["--exact"], &tests[..]].concat());
    let report = stt.run().code(0).report();
    for test in tests {
        let result = report.finished(test);
        assert_eq!(result.get("leak"), None, "{result}");
    }
    // Networks of other tests come to be meanwhile.
    let warnings = report.of("warning").map(ToString::to_string);
    let own: Vec<_> = warnings.filter(|text| !text.contains(UNMARKED)).collect();
    assert!(own.is_empty(), "{own:?}");
    assert_clean(engine, &lab);
}

/// Without a socket a network is not: Podman 4 does not write down who has made one, so it is told.
fn all_that_a_test_leaves_is_named_and_removed(engine: &Engine) {
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
    assert_clean(engine, &lab);
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

#[expect(clippy::disallowed_methods, reason = "a test's own clock")]
fn nobody_waits_for_what_does_not_stop_by_itself(engine: &Engine) {
    let lab = Lab::shared("containers");
    let running = up(engine, &lab);
    let before = Instant::now();
    running.signal(Signal::SIGTERM);
    let finished = running.finish();
    assert!(
        before.elapsed() < PATIENCE,
        "{:?}\n{}",
        before.elapsed(),
        finished.stdout
    );
    assert_clean(engine, &lab);
}

fn what_a_killed_worker_has_made_is_removed(engine: &Engine) {
    let lab = Lab::shared("containers");
    let mut running = up(engine, &lab);
    kill(Pid::from_raw(running.worker()), Signal::SIGKILL).expect("it is ours");
    drop(
        running
            .finish()
            .code(42)
            .says("1 pod and 2 containers of its tests removed: "),
    );
    assert_clean(engine, &lab);
}

fn reap_removes_what_two_killed_processes_have_left(engine: &Engine) {
    let lab = Lab::shared("containers");
    up(engine, &lab).kill_both();
    for args in [&["reap", "--dry-run"][..], &["reap"]] {
        let said = lab.stt(args).run().code(0).stdout;
        assert!(said.contains("1 pod and 2 containers"), "{said}");
    }
    fs::remove_file(lab.traces.join("up")).expect("it was there");
    assert_clean(engine, &lab);
}

/// As after a reboot, which takes temporary directories along and leaves containers.
#[test]
fn what_podman_has_of_a_dead_run_is_reaped_without_its_books() {
    let Some(engine) = Engine::podman_alone() else {
        return;
    };
    let lab = Lab::shared("containers");
    up(&engine, &lab).kill_both();
    let dirs = lab.tmp.read_dir_utf8().expect("it is there");
    let dirs = dirs.map(|dir| dir.expect("it can be read").into_path());
    let books: Vec<_> = dirs
        .filter(|dir| dir.join(".stt-podman-0.conf").exists())
        .collect();
    assert_eq!(books.len(), 1, "{books:?}");
    fs::remove_dir_all(&books[0]).expect("it is ours");
    let said = lab.stt(["reap"]).run().code(0).stdout;
    assert!(said.contains("1 pod and 2 containers"), "{said}");
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
