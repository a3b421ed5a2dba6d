//! Volumes that come to be with a container of a test go with it, and no other volume does. Without an engine each of
//! these tests says that it is skipped.

use fs_err as fs;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;
use stt_tests::DEADLINE;
use stt_tests::Engine;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::left_at_engine as left;
use stt_tests::until;

fn trace(lab: &Lab, name: &str) -> String {
    fs::read_to_string(lab.traces.join(name)).expect("the test has left it")
}

/// Starts a test that hangs with a container and a volume. Returns the volume's name as well.
fn up(engine: &Engine, lab: &Lab) -> (Running, String) {
    let mut running = engine
        .json(lab, &["--exact", "hangs_with_a_volume"])
        .spawn();
    running.wait_for("the container is there", |_| lab.is_there("up"));
    fs::remove_file(lab.traces.join("up")).expect("it is there");
    let volume = trace(lab, "name");
    assert_is_there(engine, &volume, true);
    (running, volume)
}

fn assert_is_there(engine: &Engine, volume: &str, expected: bool) {
    let seen = engine.call(&["volume", "inspect", volume]);
    assert_eq!(seen.is_ok(), expected, "{volume}: {seen:?}");
}

/// Kinds of what a test has left, in order.
fn kinds(result: &Value) -> Vec<String> {
    let mut kinds: Vec<_> = left(result).into_iter().map(|(kind, _)| kind).collect();
    kinds.sort();
    kinds
}

#[test]
fn what_is_new_goes_and_what_was_there_stays_as_it_is() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let inside = |script: &str| engine.call(&["exec", &engine.stranger, "sh", "-c", script]);
    inside("echo old >/data/file").expect("the stranger has the volume");
    let tests = ["--exact", "leaves_volumes"];
    let stt = engine.json(&lab, &tests);
    let finished = stt.env("CONTAINERS_STRANGER", &engine.name).run().code(0);
    let report = finished.report();
    let result = report.finished("leaves_volumes");
    assert_eq!(kinds(result), ["container", "volume", "volume"]);
    assert_eq!(report.of("warning").count(), 0, "{}", finished.stdout);
    let volumes = trace(&lab, "volumes");
    let volumes: Vec<_> = volumes.split_whitespace().collect();
    assert_eq!(volumes.len(), 4, "{volumes:?}");
    for volume in volumes {
        assert_is_there(&engine, volume, volume == engine.name);
    }
    let kept = inside("cat /data/file /data/more");
    assert_eq!(kept.as_deref(), Ok("old\nmore"));
    engine.assert_clean();
    lab.assert_clean();
}

/// A network can't go while a container is in it, nor a volume; and who is killed first needs not be waited for.
#[test]
fn what_is_left_goes_in_its_order() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let now = || {
        let time = engine.call(&["system", "info", "--format", "{{.SystemTime}}"]);
        time.expect("the engine has a clock")
    };
    let since = now();
    let stt = engine.json(&lab, &["--exact", "leaves_all_kinds"]);
    drop(stt.run().code(0));
    let names = [trace(&lab, "left"), trace(&lab, "name")];
    let format = "--format={{.Type}} {{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}}";
    let events = ["events", "--since", &since, "--until", &now(), format];
    let events = engine.call(&events).expect("the engine keeps its events");
    let is_ours = |line: &&str| names.iter().any(|name| line.contains(name.as_str()));
    let told = events.lines().filter(is_ours);
    let told: Vec<_> = told
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    let order = [
        "container kill",
        "container die",
        "container destroy",
        "network destroy",
        "volume destroy",
    ];
    let mut gone = told.clone();
    gone.retain(|event| order.contains(&event.as_str()));
    assert_eq!(gone, order, "{told:#?}");
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn a_volume_stays_for_as_long_as_its_test() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let tests = ["--exact", "leaves_a_volume_alone", "is_refused"];
    let finished = engine.json(&lab, &tests).run().code(0);
    let report = finished.report();
    let volume = trace(&lab, "name");
    assert_eq!(
        left(report.finished("leaves_a_volume_alone")),
        [("volume".to_owned(), volume.clone())]
    );
    assert_eq!(report.finished("is_refused").get("leak"), None);
    assert_is_there(&engine, &volume, false);
    engine.assert_clean();
    lab.assert_clean();
}

/// What another test still uses is left to the end of the run, and nobody waits for it.
#[test]
fn a_volume_that_another_test_uses_stays_for_as_long_as_the_run() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let (maker, user) = ("makes_a_shared_volume", "uses_a_shared_volume");
    let mut running = engine.json(&lab, &["-j2", "--exact", maker, user]).spawn();
    running.wait_for("the first test is over", |running| {
        let report = running.report();
        let mut results = report.of("test-finished");
        results
            .any(|line| line["test"]["name"] == maker)
            .then_some(())
    });
    let volume = trace(&lab, "shared");
    assert_is_there(&engine, &volume, true);
    fs::write(lab.traces.join("go"), "").expect("the traces are writable");
    let finished = running.finish().code(0);
    let report = finished.report();
    assert_eq!(report.of("warning").count(), 0, "{}", finished.stdout);
    assert_eq!(report.finished(maker).get("leak"), None);
    assert_eq!(kinds(report.finished(user)), ["container"]);
    let swept = report.one("run-finished")["swept-containers"].clone();
    assert_eq!(swept.as_array().map(Vec::len), Some(1), "{swept}");
    assert_eq!(swept[0]["id"], *volume);
    assert_is_there(&engine, &volume, false);
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn a_run_that_is_stopped_leaves_no_volume() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let (running, volume) = up(&engine, &lab);
    running.signal(Signal::SIGTERM);
    drop(running.finish());
    assert_is_there(&engine, &volume, false);

    // Its worker is killed, and its supervisor.
    let (mut running, volume) = up(&engine, &lab);
    let worker = running.worker();
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("it is ours");
    drop(running.finish().code(42));
    assert_is_there(&engine, &volume, false);
    let (running, volume) = up(&engine, &lab);
    running.signal(Signal::SIGKILL);
    drop(running.finish());
    until("the volume is gone", DEADLINE, || {
        let seen = engine.call(&["volume", "inspect", &volume]);
        seen.is_err().then_some(())
    });
    until("nobody lives", DEADLINE, || {
        lab.survivors().is_empty().then_some(())
    });
    engine.assert_clean();
}

#[test]
fn whoever_comes_next_removes_the_volumes_of_a_killed_run() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let (running, volume) = up(&engine, &lab);
    running.kill_both();
    assert_is_there(&engine, &volume, true);
    let reaped = lab.stt(["reap"]).run().code(0).stdout;
    assert!(reaped.contains(&format!("volume {volume}")), "{reaped}");
    assert_is_there(&engine, &volume, false);
    engine.assert_clean();
    lab.assert_clean();
}
