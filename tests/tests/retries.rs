//! A failed test is tried again.

use stt_tests::Lab;

const ONE: &str = "fails_until_told";

#[test]
fn a_test_that_passes_at_last_is_flaky() {
    let lab = Lab::shared("counting");
    let log = lab.log();
    let junit = lab.path("report.xml");
    let stt = lab.stt(["--retries", "2", "--junit", junit.as_str()]);
    let run = stt.env("COUNTING_MENDED_AT", "2").log(&log).run().code(0);
    drop(run.says("TRY 1 FAIL").says("FLAKY 2/3").says("1 flaky"));
    assert_eq!(log.count(ONE), 2);
    let xml = fs_err::read_to_string(&junit).expect("it is there");
    assert_eq!(xml.matches("<flakyFailure").count(), 1, "{xml}");
    let record = lab.record();
    let attempts: Vec<_> = record
        .of("result")
        .filter(|entry| entry["test"]["name"] == ONE)
        .map(|entry| (entry["attempt"].as_u64(), entry["retried"].as_bool()))
        .collect();
    assert_eq!(attempts, [(None, Some(true)), (Some(2), None)]);
    let resumed = lab.stt(["--resume"]).run().code(0);
    drop(resumed.says("nothing to resume").says("1 flaky"));
    lab.assert_clean();
}

#[test]
fn a_test_that_never_passes_has_failed_once() {
    let lab = Lab::shared("counting");
    let log = lab.log();
    let junit = lab.path("report.xml");
    let options = ["--config", "run.retry-delay=1ms", "--junit", junit.as_str()];
    let stt = lab.json(["--retries", "2", "--no-fail-fast"]).args(options);
    let run = stt.log(&log).run().code(100);
    assert_eq!(log.count(ONE), 3);
    let report = run.report();
    assert_eq!(report.count("failed"), 1);
    let tried: Vec<_> = report.of("test-retried").collect();
    assert_eq!(tried.len(), 2);
    assert_eq!(tried[1]["attempt"], 2);
    assert_eq!(tried[1]["attempts"], 3);
    assert_eq!(tried[1]["delay"], 0.001);
    // As nextest has it: the first attempt is the failure.
    let xml = fs_err::read_to_string(&junit).expect("it is there");
    for (element, count) in [("failure", 1), ("rerunFailure", 2), ("flakyFailure", 0)] {
        let found = xml.matches(&format!("<{element} ")).count();
        assert_eq!(found, count, "{element}: {xml}");
    }
    lab.assert_clean();
}

#[test]
fn others_run_beside_a_retry_that_waits_and_a_resumed_run_takes_it_up() {
    let lab = Lab::shared("counting");
    let (first_log, second_log) = (lab.log(), lab.log());
    let stt = lab.stt(["-j2", "--retries", "1"]).log(&first_log);
    let mut running = stt.args(["--config", "run.retry-delay=1h"]).spawn();
    running.wait_for("the others have run", |running| {
        let all = first_log.starts().len() == 41 && running.stderr().matches("PASS").count() == 40;
        all.then_some(())
    });
    running.signal(nix::sys::signal::Signal::SIGINT);
    drop(running.finish().signal(2).says("tried again in 1 h"));
    let resume = lab.stt(["--resume", "--retries", "1"]).log(&second_log);
    drop(resume.run().code(100).says("TRY 2 FAIL"));
    assert_eq!((first_log.count(ONE), second_log.count(ONE)), (1, 1));
    let again = lab.stt(["--resume", "--retries", "1"]).run().code(100);
    drop(again.says("nothing to resume"));
    lab.assert_clean();
}

/// As with nextest: whoever keeps something by the number of its slot finds it again.
#[test]
fn a_test_has_the_same_slot_in_all_attempts_and_nobody_else_has_it_meanwhile() {
    let lab = Lab::shared("counting");
    let setup = lab.path("stt.toml");
    let note =
        "echo $NEXTEST_TEST_NAME $NEXTEST_ATTEMPT $NEXTEST_TEST_GLOBAL_SLOT >> $HOSTILE_DIR/slots";
    let text = format!(
        "[scripts.wrapper.note]\ncommand = ['sh', '-c', '{note}; exec \"$@\"', 'sh']\n\
         [[overrides]]\nfilter = 'all()'\nrun-wrapper = 'note'\n\
         [[overrides]]\nfilter = 'test(={ONE})'\npriority = 1\n"
    );
    fs_err::write(&setup, text).expect("the laboratory is writable");
    let stt = lab.stt(["-j2", "--retries", "2", "--no-fail-fast"]);
    let delay = [
        "--config",
        "run.retry-delay=100ms",
        "--config-file",
        setup.as_str(),
    ];
    drop(stt.args(delay).run().code(100));
    let text = fs_err::read_to_string(lab.traces.join("slots")).expect("the wrapper wrote it");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let of_one = |line: &&Vec<&str>| line[0] == ONE;
    let attempts: Vec<_> = lines
        .iter()
        .filter(of_one)
        .map(|line| (line[1], line[2]))
        .collect();
    let slot = attempts[0].1;
    assert_eq!(attempts, [("1", slot), ("2", slot), ("3", slot)]);
    let first = lines.iter().position(|line| line[0] == ONE);
    let last = lines.iter().rposition(|line| line[0] == ONE);
    let between = &lines[first.expect("it ran")..last.expect("it ran")];
    let others = between.iter().filter(|line| line[0] != ONE);
    let others: Vec<_> = others.collect();
    assert!(!others.is_empty(), "{text}");
    assert!(others.iter().all(|line| line[2] != slot), "{text}");
    lab.assert_clean();
}

#[test]
fn a_test_that_ran_too_long_is_tried_again() {
    let lab = Lab::shared("hostile");
    let limits = ["slow-timeout=2s", "terminate-after=1", "retry-delay=1s"];
    let limits = limits.map(|limit| format!("--config=run.{limit}"));
    let stt = lab.stt(["--exact", "waits_for_go", "--retries", "1"]);
    let mut running = stt.args(limits).spawn();
    running.wait_for("the first attempt has ended", |running| {
        running.stderr().contains("TRY 1 TIMEOUT").then_some(())
    });
    lab.go();
    let finished = running.finish().code(0);
    drop(finished.says("FLAKY 2/2").says("1 flaky"));
    lab.assert_clean();
}

#[test]
fn an_override_says_it_for_some_tests_and_who_types_says_it_for_all() {
    let lab = Lab::shared("counting");
    let file = lab.path("stt.toml");
    let text =
        |retries: &str| format!("[[overrides]]\nfilter = 'test(/^{ONE}$/)'\nretries = {retries}\n");
    let one = ["--config-file", file.as_str(), "--exact", ONE];
    let full =
        "{ backoff = 'exponential', count = 2, delay = '1ms', max-delay = '1s', jitter = true }";
    fs_err::write(&file, text(full)).expect("the laboratory is writable");
    for (typed, attempts) in [(None, 3), (Some("--retries=0"), 1)] {
        let log = lab.log();
        let stt = lab.stt(one).args(typed).log(&log);
        drop(stt.run().code(100));
        assert_eq!(log.count(ONE), attempts, "{typed:?}");
    }
    let others = lab.json(["--config-file", file.as_str(), "--exact", "t00"]);
    let finished = others.run().code(0).report();
    let result = finished.finished("t00");
    assert_eq!(result.get("attempts"), None, "{result:#}");
    fs_err::write(&file, text("{ count = 2 }")).expect("the laboratory is writable");
    let refused = lab.stt(one).run().code(96);
    let place = format!("{file}:3:11");
    drop(refused.says(&place).says("backoff = \"fixed\""));
}

#[test]
fn the_environment_says_it_too_and_what_is_impossible_is_refused() {
    let lab = Lab::shared("counting");
    for (text, word) in [("0", "FAIL"), ("1", "TRY 2 FAIL")] {
        let stt = lab.stt(["-E", "test(fails)"]).env("STT_RUN_RETRIES", text);
        drop(stt.run().code(100).says(word));
    }
    for (args, named) in [
        (&["--retries=-1"][..], "--retries"),
        (&["--retries", "1001"], "1000"),
        (&["--config", "run.retry-backoff=linear"], "exponential"),
    ] {
        drop(lab.stt(args).run().code(2).says(named));
    }
}
