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
    let delay = ["--config", "run.retry-delay=1ms"];
    let stt = lab.json(["--retries", "2", "--no-fail-fast"]).args(delay);
    let run = stt.log(&log).run().code(100);
    assert_eq!(log.count(ONE), 3);
    let report = run.report();
    assert_eq!(report.count("failed"), 1);
    let tried: Vec<_> = report.of("test-retried").collect();
    assert_eq!(tried.len(), 2);
    assert_eq!(tried[1]["attempt"], 2);
    assert_eq!(tried[1]["attempts"], 3);
    assert_eq!(tried[1]["delay"], 0.001);
    lab.assert_clean();
}

#[test]
fn a_retry_that_waits_keeps_nobody_waiting_and_a_resumed_run_takes_it_up() {
    let lab = Lab::shared("counting");
    let (first_log, second_log) = (lab.log(), lab.log());
    let stt = lab.stt(["-j1", "--retries", "1"]).log(&first_log);
    let mut running = stt.args(["--config", "run.retry-delay=1h"]).spawn();
    running.wait_for("the others have run", |running| {
        let all = first_log.starts().len() == 41 && running.stderr().matches("PASS").count() == 40;
        all.then_some(())
    });
    running.signal(nix::sys::signal::Signal::SIGINT);
    drop(running.finish().signal(2).says("tried again in 1 h"));
    let resume = lab.stt(["--resume", "--retries", "1"]).log(&second_log);
    let resumed = resume.env("COUNTING_MENDED_AT", "2").run().code(0);
    drop(resumed.says("FLAKY 2/2"));
    assert_eq!((first_log.count(ONE), second_log.count(ONE)), (1, 1));
    lab.assert_clean();
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
