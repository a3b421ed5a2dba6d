//! The ways on which tests come to an engine: a port, a context of Docker's, a run inside of a run. Whatever the way, what
//! they make ends with them. Without an engine each of these tests says that it is skipped.

use camino::Utf8Path;
use fs_err as fs;
use nix::sys::signal::Signal;
use stt_tests::Engine;
use stt_tests::Lab;
use stt_tests::Relay;
use stt_tests::Report;
use stt_tests::Stt;
use stt_tests::cargo_stt;
use stt_tests::left_at_engine as left;

/// Where Docker listens.
const SOCKET: &str = "/var/run/docker.sock";

/// What a test has left, sorted by its kinds.
fn kinds(report: &Report, test: &str) -> Vec<String> {
    let left = left(report.finished(test));
    let mut kinds: Vec<_> = left.into_iter().map(|(kind, _)| kind).collect();
    kinds.sort();
    kinds
}

fn assert_all_kinds_end(engine: &Engine, lab: &Lab, stt: Stt<'_>) {
    let finished = stt.run().code(0);
    let report = finished.report();
    let all = ["container", "network", "volume"];
    assert_eq!(kinds(&report, "leaves_all_kinds"), all);
    assert_eq!(report.of("warning").count(), 0, "{}", finished.stdout);
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn an_engine_at_a_port_is_as_good_as_one_at_a_socket() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let relay = Relay::to(SOCKET);
    let host = format!("tcp://{}", relay.address);
    let tests = [
        "--exact",
        "leaves_all_kinds",
        "uses_everything_and_removes_it",
    ];
    let stt = engine.json(&lab, &tests).env("DOCKER_HOST", &host);
    assert_all_kinds_end(&engine, &lab, stt);
    assert!(relay.connections() > 10, "{}", relay.connections());

    // Whoever comes next finds it there.
    let hanging = engine.json(&lab, &["--exact", "hangs_with_one"]);
    let mut running = hanging.env("DOCKER_HOST", &host).spawn();
    running.wait_for("the container is there", |_| lab.is_there("up"));
    running.kill_both();
    assert_eq!(engine.containers().len(), 1);
    let before = relay.connections();
    let reaped = lab.stt(["reap"]).run().code(0).stdout;
    assert!(reaped.contains("1 container"), "{reaped}");
    assert!(relay.connections() > before, "it was asked by another way");
    engine.assert_clean();
    lab.assert_clean();
}

/// Writes a context of this name into Docker's configuration, as `docker context create` does.
fn write_context(home: &Utf8Path, name: &str, host: &str) {
    let config = home.join(".docker");
    let meta = config.join("contexts/meta/5d41402abc4b2a76b9719d911017c592");
    fs::create_dir_all(&meta).expect("the laboratory is writable");
    let current = format!("{{\"currentContext\":\"{name}\"}}");
    fs::write(config.join("config.json"), current).expect("the laboratory is writable");
    let text = format!(
        "{{\"Name\":\"{name}\",\"Metadata\":{{}},\"Endpoints\":{{\"docker\":{{\"Host\":\"{host}\",\"SkipTLSVerify\":false}}}}}}"
    );
    fs::write(meta.join("meta.json"), text).expect("the laboratory is writable");
}

#[test]
fn the_current_context_is_followed() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let relay = Relay::to(SOCKET);
    let host = format!("tcp://{}", relay.address);
    write_context(&lab.path("home"), "lab", &host);
    let stt = engine.json(&lab, &["--exact", "leaves_all_kinds"]);
    assert_all_kinds_end(&engine, &lab, stt.without("DOCKER_HOST"));
    assert!(relay.connections() > 0, "the usual socket was taken");
}

fn nested<'lab>(engine: &Engine, lab: &'lab Lab, test: &str) -> Stt<'lab> {
    let stt = engine.json(lab, &["--exact", "runs_a_runner"]);
    stt.env("NESTED_STT", cargo_stt()).env("NESTED_TEST", test)
}

/// Each has a key of its own: the inner one removes what its tests have left, and the outer one has nothing to do.
#[test]
fn a_run_inside_of_a_run_removes_its_own() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let finished = nested(&engine, &lab, "leaves_a_container").run().code(0);
    let report = finished.report();
    let outer = report.finished("runs_a_runner");
    assert_eq!(outer.get("leak"), None, "{outer}");
    let inner = fs::read_to_string(lab.traces.join("said")).expect("the test has left it");
    assert_eq!(
        kinds(&Report::parse(&inner), "leaves_a_container"),
        ["container"]
    );
    engine.assert_clean();
    lab.assert_clean();
}

/// Of an inner run that is killed, the outer one removes what it has made.
#[test]
fn what_a_killed_run_inside_of_a_run_has_made_is_removed() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let mut running = nested(&engine, &lab, "hangs_with_one").spawn();
    running.wait_for("the container is there", |_| lab.is_there("up"));
    let labels = "{{range $key, $value := .Config.Labels}}{{$key}} {{end}}";
    let id = &engine.containers()[0];
    let keys = engine.call(&["inspect", "--format", labels, id]);
    let keys = keys.expect("it is there");
    assert_eq!(keys.matches("dev.cargo-stt.run.").count(), 2, "{keys}");
    running.signal(Signal::SIGTERM);
    drop(running.finish().signal(15));
    engine.assert_clean();
    lab.assert_clean();
}
