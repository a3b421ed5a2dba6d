//! What a test's containers use counts as what it uses itself: for the guard, for its limits, and in what is told
//! of it. Without an engine each of these tests says that it is skipped.

use serde_json::Value;
use stt_tests::Engine;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::blind;

const HOG: &str = "grows_in_a_container";
const MUCH: &str = "uses_much_in_a_container";

/// The first of these lines' members of this name that is over this many bytes.
fn over(value: &Value, bytes: u64) -> bool {
    value.as_u64().is_some_and(|value| value > bytes)
}

#[test]
fn a_container_that_grows_over_the_threshold_stops_the_run_and_is_named() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let line = ["--memory-threshold=200MB"];
    let args = ["-j2", "--exact", HOG, "uses_nothing"];
    let finished = engine.json(&lab, &args).args(line).run().code(42);
    let report = finished.report();
    let stop = &report.one("run-finished")["stop"];
    let reason = stop["reason"].as_str().expect("a reason");
    let named = format!("{}-hog ({}) has ", engine.name, engine.image);
    assert!(
        reason.contains("; container ") && reason.contains(&named),
        "{reason}"
    );
    assert_eq!(stop["largest"][0]["test"]["name"], HOG, "{stop:#}");
    assert!(over(&stop["largest"][0]["memory"], 190_000_000), "{stop:#}");
    engine.assert_clean();

    // Alone it does the same again, and has failed for it.
    let resumed = engine.json(&lab, &["--resume"]).args(line).run().code(100);
    let report = resumed.report();
    let failure = &report.finished(HOG)["failure"];
    let said = failure.to_string();
    assert_eq!(failure["kind"], "breach", "{said}");
    assert!(said.contains(&named), "{said}");
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn a_container_that_keeps_the_cpu_busy_is_named() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let args = ["--exact", "burns_in_a_container", "--cpu-threshold", "50%"];
    let line = ["--cpu-action=stop", "--config=guard.cpu-sustain=3s"];
    let report = engine.json(&lab, &args).args(line).run().code(42).report();
    let reason = report.one("run-finished")["stop"]["reason"].to_string();
    let named = format!("{}-hog ({}) uses ", engine.name, engine.image);
    assert!(
        reason.contains("; container ") && reason.contains(&named),
        "{reason}"
    );
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn a_container_that_grows_is_shed_with_its_test() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let args = [
        "--exact",
        HOG,
        "--memory-threshold=200MB",
        "--on-breach=shed",
    ];
    let finished = engine.json(&lab, &args).run();
    let report = finished.report();
    let shed = report.of("guard").find(|line| line["action"] == "shed");
    let shed = shed.unwrap_or_else(|| panic!("{}", finished.stdout));
    let reason = shed["reason"].as_str().expect("a reason");
    assert!(reason.contains(&format!("{}-hog", engine.name)), "{reason}");
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn the_limit_of_a_test_holds_for_its_containers() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let limits = ["--limits=small", "--config=limits.small.memory=150MB"];
    let args = [&["--exact", HOG], &limits[..]].concat();
    let finished = engine.json(&lab, &args).run().code(100);
    let report = finished.report();
    let failure = &report.finished(HOG)["failure"];
    assert_eq!(failure["kind"], "limit", "{failure:#}");
    let message = failure["message"].as_str().expect("a message");
    let named = format!("-hog ({}) (limits `small`)", engine.image);
    assert!(
        message.contains(", most of it in container ") && message.ends_with(&named),
        "{message}"
    );
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn what_containers_use_is_told_and_stays_with_the_test() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let running = engine.json(&lab, &["-v", "--exact", MUCH]).spawn();
    assert_much_is_told(&lab, running);
    engine.assert_clean();
    lab.assert_clean();
}

/// While it goes on and at its end.
fn assert_much_is_told(lab: &Lab, mut running: Running) {
    running.wait_for("its memory is told", |running| {
        let report = running.report();
        let mut told = report.of("progress");
        told.find(|line| {
            over(&line["family"]["in-containers"], 100 << 20)
                && over(&line["family-memory"], 100 << 20)
                && over(&line["running"][0]["memory"], 100 << 20)
                && line["family"]["cpu"].as_f64() > Some(1.0)
        })
        .map(|_| ())
    });
    lab.go();
    let finished = running.finish().code(0);
    let report = finished.report();
    let result = report.finished(MUCH);
    assert!(over(&result["peak-memory"], 100 << 20), "{result:#}");
    assert!(result["cpu"].as_f64() > Some(1.0), "{result:#}");
}

#[test]
fn page_cache_of_a_container_is_nobodys_memory() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let args = [
        "--exact",
        "reads_much_in_a_container",
        "--memory-threshold=150MB",
    ];
    let mut running = engine.json(&lab, &args).spawn();
    running.wait_for("it has read all of it", |_| lab.is_there("read"));
    lab.go();
    let finished = running.finish().code(0);
    let report = finished.report();
    let result = report.finished("reads_much_in_a_container");
    assert!(!over(&result["peak-memory"], 150_000_000), "{result:#}");
    engine.assert_clean();
    lab.assert_clean();
}

/// Who sees no control groups has the engine count.
#[test]
fn what_cannot_be_seen_is_counted_by_the_engine() {
    let (Some(engine), Some(blind)) = (Engine::find(), blind()) else {
        return;
    };
    let lab = Lab::shared("containers");
    let args = ["-v", "--exact", MUCH];
    let running = engine.json(&lab, &args).after(blind).spawn();
    assert_much_is_told(&lab, running);
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn page_cache_that_the_engine_counts_is_nobodys_memory() {
    let (Some(engine), Some(blind)) = (Engine::find(), blind()) else {
        return;
    };
    let lab = Lab::shared("containers");
    let args = [
        "-v",
        "--exact",
        "reads_much_in_a_container",
        "--memory-threshold=150MB",
    ];
    let mut running = engine.json(&lab, &args).after(blind).spawn();
    running.wait_for("its CPU time is told by the engine", |running| {
        let report = running.report();
        let mut told = report.of("progress");
        told.find(|line| line["family"]["cpu"].as_f64() > Some(1.0))
            .map(|_| ())
    });
    lab.go();
    drop(running.finish().code(0));
    engine.assert_clean();
    lab.assert_clean();
}

/// Podman does not tell memory from page cache, and that is said.
#[test]
fn what_cannot_be_counted_is_told() {
    let (Some(engine), Some(blind)) = (Engine::podman(), blind()) else {
        return;
    };
    let lab = Lab::shared("containers");
    let args = ["--exact", MUCH];
    let mut running = engine.json(&lab, &args).after(blind).spawn();
    let expected = "what containers use is not counted: no control group of container ";
    running.wait_for("it is told", |running| {
        let report = running.report();
        let mut told = report
            .of("warning")
            .filter_map(|line| line["message"].as_str());
        let ours = told.find(|message| message.starts_with(expected))?;
        ours.contains(&format!("{}-hog", engine.name)).then_some(())
    });
    lab.go();
    drop(running.finish().code(0));
    engine.assert_clean();
    lab.assert_clean();
}
