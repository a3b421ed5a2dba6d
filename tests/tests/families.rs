//! What tests can do to their runner: leave processes, hang, flood it, die. None of it costs it more than
//! that one test, and none of it stays.

use std::time::Duration;
use std::time::Instant;

use stt_tests::Lab;
use stt_tests::is_alive;

const QUICK_END: [&str; 4] = [
    "--config",
    "run.grace-period=300ms",
    "--config",
    "run.leak-timeout=300ms",
];

#[test]
fn each_death_is_told_by_its_name() {
    let lab = Lab::shared("hostile");
    let finished = lab
        .json(["--test", "death", "--no-fail-fast"])
        .run()
        .code(100);
    let mut expected = lab.expected().results(&[]);
    expected.retain(|(binary, _), _| binary == "hostile::death");
    assert_eq!(finished.results(), expected);
    let text = lab.stt(["--exact", "segfaults"]).run().code(100);
    drop(text.says("SIGSEGV"));
    lab.assert_clean();
}

#[test]
fn a_daemon_without_environment_is_named_and_ended() {
    let lab = Lab::shared("hostile");
    let finished = lab
        .json(["--exact", "leaves_a_daemon_and_passes"])
        .args(QUICK_END)
        .run()
        .code(0);
    let daemon = lab.traced("daemon").expect("the daemon was there");
    assert!(!is_alive(daemon[0]), "the daemon lives");
    let report = finished.report();
    let leak = &report.finished("leaves_a_daemon_and_passes")["leak"];
    assert_eq!(leak["processes"][0]["pid"], daemon[0], "{leak}");
    assert!(
        leak["processes"][0]["command"]
            .as_str()
            .expect("a command")
            .contains("daemon"),
        "{leak}"
    );
    assert_eq!(report.count("leaky"), 1);
    lab.assert_clean();
}

#[test]
fn two_hundred_orphans_are_ended() {
    let lab = Lab::shared("hostile");
    let finished = lab
        .json(["--exact", "forks_two_hundred_and_passes"])
        .args(QUICK_END)
        .run()
        .code(0);
    let orphans = lab.traced("forked").expect("they were there");
    assert_eq!(orphans.len(), 200);
    assert!(!orphans.iter().any(|pid| is_alive(*pid)), "some live");
    let report = finished.report();
    let leak = &report.finished("forks_two_hundred_and_passes")["leak"];
    assert!(
        leak["processes"]
            .as_array()
            .is_some_and(|named| !named.is_empty()),
        "{leak}"
    );
    lab.assert_clean();
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "that it does not wait a minute is the claim"
)]
fn a_child_that_holds_the_output_holds_nobody_up() {
    let lab = Lab::shared("hostile");
    let start = Instant::now();
    let finished = lab
        .json(["--exact", "child_keeps_stdout_open"])
        .args(QUICK_END)
        .run()
        .code(0);
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
    let report = finished.report();
    let leak = &report.finished("child_keeps_stdout_open")["leak"];
    assert!(leak.to_string().contains("sleep 63"), "{leak}");
    lab.assert_clean();
}

/// They would take a number each until the test ends, and who forks and exits all the time has taken all that
/// the machine has within seconds.
#[test]
fn the_dead_are_buried_and_charged_while_their_test_runs() {
    const TEST: &str = "leaves_a_thousand_dead_and_waits";
    let lab = Lab::shared("hostile");
    // The test itself fails when they stay.
    let finished = lab.json(["--exact", TEST]).run().code(0);
    let report = finished.report();
    let result = report.finished(TEST);
    let cpu = result["cpu"].as_f64().expect("a number");
    assert!(cpu >= 0.5, "one of the dead had used more: {result}");
    assert_eq!(report.count("leaky"), 0, "{result}");
    lab.assert_clean();
}

#[test]
fn a_flood_costs_the_runner_nothing() {
    let lab = Lab::shared("hostile");
    let calm = lab.stt(["--exact", "calm_00"]).run().code(0);
    let flood = lab.stt(["--exact", "floods_stdout"]).run().code(0);
    let (calm, flood) = (calm.peak_rss, flood.peak_rss);
    // Of what a program maps, its own code counts as well: that of an unoptimized one takes 8 MiB more.
    let code = if cfg!(debug_assertions) { 8 } else { 0 };
    assert!(flood < (16 + 4 + code) << 20, "peak of {flood} bytes");
    assert!(
        flood < calm + (6 << 20),
        "{flood} bytes under the flood, {calm} without"
    );
    lab.assert_clean();
}

#[test]
fn a_flood_is_shown_by_its_head_and_its_tail() {
    let lab = Lab::shared("hostile");
    let stt = lab
        .json(["--exact", "floods_stderr_and_fails"])
        .env("HOSTILE_OUTPUT", "200000000");
    let finished = stt.run().code(100);
    let report = finished.report();
    let stream = &report.finished("floods_stderr_and_fails")["output"]["stderr"];
    let text = |key: &str| stream[key].as_str().unwrap_or_default();
    assert!(text("text").contains("the first line of the flood"));
    assert!(
        text("tail").contains("the last line of the flood")
            && text("tail").contains("after the flood")
    );
    assert!(
        stream["omitted"].as_u64().expect("a number") > 190_000_000,
        "{}",
        stream["omitted"]
    );
    assert!(
        finished.stdout.len() < 4 << 20,
        "{} bytes",
        finished.stdout.len()
    );
    let checkpoint = std::fs::metadata(&lab.checkpoint)
        .expect("there is one")
        .len();
    assert!(
        checkpoint < 1 << 20,
        "the checkpoint has {checkpoint} bytes"
    );
    lab.assert_clean();
}

#[test]
fn output_that_is_no_text_breaks_nothing() {
    let lab = Lab::shared("hostile");
    let finished = lab
        .json(["--exact", "prints_what_is_no_text"])
        .run()
        .code(100);
    let report = finished.report();
    let output = &report.finished("prints_what_is_no_text")["output"]["stdout"]["text"];
    let output = output.as_str().expect("text");
    assert!(
        output.contains("before \u{fffd}") && output.contains(" after"),
        "{output:?}"
    );
    drop(
        lab.stt(["--exact", "prints_what_is_no_text"])
            .run()
            .code(100)
            .says(" after"),
    );
    assert_eq!(lab.record().results().len(), 1);
}

#[test]
fn a_test_that_hangs_is_ended_when_it_may_be() {
    let lab = Lab::shared("hostile");
    let limit = [
        "--config",
        "run.slow-timeout=1s",
        "--config",
        "run.terminate-after=1",
    ];
    let stt = lab.json([
        "--exact",
        "hangs",
        "ignores_term",
        "leaves_a_daemon_and_hangs",
        "calm_00",
        "--no-fail-fast",
    ]);
    let finished = stt.args(limit).args(QUICK_END).run().code(100);
    let results = finished.results();
    let result = |binary: &str, name: &str| results[&(binary.to_owned(), name.to_owned())].as_str();
    assert_eq!(result("hostile::family", "hangs"), "timeout");
    assert_eq!(result("hostile::family", "ignores_term"), "timeout");
    assert_eq!(
        result("hostile::family", "leaves_a_daemon_and_hangs"),
        "timeout"
    );
    assert_eq!(result("hostile::calm", "calm_00"), "passed");
    let report = finished.report();
    assert_eq!(
        report
            .of("test-slow")
            .filter(|line| line["ending"] == true)
            .count(),
        3
    );
    let duration = report.finished("ignores_term")["duration"]
        .as_f64()
        .expect("a number");
    assert!((1.2..20.0).contains(&duration), "{duration}");
    for name in ["hangs", "ignores_term", "daemon"] {
        assert!(
            !is_alive(lab.traced(name).expect("it ran")[0]),
            "{name} lives"
        );
    }
    lab.assert_clean();
}

#[test]
fn a_slow_test_is_told_and_not_ended() {
    let lab = Lab::shared("hostile");
    let mut running = lab
        .json([
            "--exact",
            "waits_for_go",
            "--config",
            "run.slow-timeout=200ms",
        ])
        .spawn();
    running.wait_for("it is slow twice", |running| {
        (running.report().of("test-slow").count() >= 2).then_some(())
    });
    lab.go();
    let report = running.finish().code(0).report();
    assert_eq!(report.count("slow"), 1);
    assert!(report.of("test-slow").all(|line| line["ending"] == false));
}

#[test]
fn a_binary_that_vanishes_fails_its_tests_and_no_other() {
    let lab = Lab::copied("counting");
    let first = lab.root.join("tests/first.rs");
    let source = fs_err::read_to_string(&first).expect("readable");
    let vanish = "\n#[test]\nfn a_removes_the_other_binary() {\n    \
        let program = std::env::current_exe().unwrap();\n    \
        for entry in std::fs::read_dir(program.parent().unwrap()).unwrap() {\n        \
            let path = entry.unwrap().path();\n        \
            if path.file_name().unwrap().to_str().unwrap().starts_with(\"second-\") {\n            \
                std::fs::remove_file(path).unwrap();\n        }\n    }\n}\n";
    fs_err::write(&first, source + vanish).expect("writable");
    let stt = lab
        .json(["-j", "1", "--no-fail-fast"])
        .env("COUNTING_MENDED", "1");
    let finished = stt.run().code(100);
    let mut results = finished.results();
    results.retain(|_, result| result != "ignored");
    assert_eq!(results.len(), 42);
    for ((binary, name), result) in &results {
        let wanted = if binary == "counting::second" {
            "start"
        } else {
            "passed"
        };
        assert_eq!(result, wanted, "{binary} {name}");
    }
    let report = finished.report();
    let message = report.finished("t20")["failure"]["message"].to_string();
    assert!(
        message.contains("second-"),
        "the path is not named: {message}"
    );
}
