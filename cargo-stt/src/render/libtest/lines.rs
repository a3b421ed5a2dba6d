//! Tests over whole runs: a script of events, and what is written of it.

use std::time::Duration;

use stt_core::id::BinaryId;
use stt_core::outcome::Failure;
use stt_core::outcome::RunOutcome;
use stt_core::outcome::TestOutcome;
use stt_core::outcome::Unfinished;
use stt_core::report::Counts;
use stt_core::report::Event;
use stt_core::retry::Attempt;

use crate::cli::MessageFormat;
use crate::render::SuiteOutline;
use crate::render::options::RenderOptions;
use crate::render::script::Kept;
use crate::render::script::Script;
use crate::render::script::fail;
use crate::render::script::piped;
use crate::render::script::printed;
use crate::render::script::show;
use crate::render::script::test;

fn outline(id: &str, tests: usize) -> SuiteOutline {
    SuiteOutline {
        id: BinaryId::new(id),
        package: "app".to_owned(),
        target: id.rsplit("::").next().unwrap_or_default().to_owned(),
        kind: "test",
        tests,
        filtered_out: 3,
    }
}

fn libtest(format: MessageFormat, script: &Script, tests: usize) -> Vec<String> {
    let options = RenderOptions {
        message_format: format,
        suites: [outline("app", tests), outline("app::other", 1)].into(),
        ..piped()
    };
    let screen = Kept::new(80, 24);
    show(options, &script.events, &screen);
    assert!(screen.stderr().contains("PASS"), "people see the run as well");
    screen.stdout().lines().map(str::to_owned).collect()
}

fn started(name: &str) -> Event {
    let test = test("app", name);
    Event::TestStarted { test }
}

/// One test of each kind: passed, failed, tried twice, ignored, ended for its time.
fn script() -> Script {
    let mut script = Script::new(6, 0, Counts::default());
    script.finished(&test("app", "i"), 0, TestOutcome::Ignored, |_| {});
    script.event(started("a"));
    script.passed("a");
    script.event(started("b"));
    script.slow(&test("app", "b"), 60, false);
    script.slow(&test("app", "b"), 120, false);
    script.finished(&test("app", "b"), 3, fail(), |result| {
        result.output = Some(printed("\nrunning 1 test\nö\ntest b ... FAILED\n", ""));
    });
    // It makes room, runs again, fails and passes.
    script.event(started("c"));
    script.unfinished("c", Unfinished::Shed);
    script.event(started("c"));
    script.event(started("c"));
    script.finished(&test("app", "c"), 5, TestOutcome::Passed, |result| {
        result.attempt = Attempt { number: 2, of: 3 };
    });
    let after = Duration::from_secs(2);
    let timeout = TestOutcome::Failed(Failure::Timeout { after });
    script.event(started("d"));
    script.finished(&test("app", "d"), 2000, timeout, |_| {});
    script
}

const LINES: [&str; 12] = [
    r#"{"type":"suite","event":"started","test_count":5}"#,
    r#"{"type":"test","event":"started","name":"app::app$i"}"#,
    r#"{"type":"test","event":"ignored","name":"app::app$i"}"#,
    r#"{"type":"test","event":"started","name":"app::app$a"}"#,
    r#"{"type":"test","event":"ok","name":"app::app$a","exec_time":0.012}"#,
    r#"{"type":"test","event":"started","name":"app::app$b"}"#,
    r#"{"type":"test","event":"timeout","name":"app::app$b"}"#,
    r#"{"type":"test","event":"failed","name":"app::app$b","exec_time":0.003,"stdout":"ö\n"}"#,
    r#"{"type":"test","event":"started","name":"app::app$c"}"#,
    r#"{"type":"test","event":"ok","name":"app::app$c#2","exec_time":0.005}"#,
    r#"{"type":"test","event":"started","name":"app::app$d"}"#,
    r#"{"type":"test","event":"failed","name":"app::app$d","exec_time":2.0,"reason":"time limit exceeded","message":"ran longer than 2 s"}"#,
];

#[test]
fn every_test_has_one_start_and_one_end_between_those_of_its_suite() {
    let lines = libtest(MessageFormat::LibtestJson, &script(), 5);
    assert_eq!(lines[..12], LINES);
    let end = r#"{"type":"suite","event":"failed","passed":2,"failed":2,"ignored":1,"measured":0,"filtered_out":3,"exec_time":2.02}"#;
    assert_eq!(lines[12..], [end]);
}

#[test]
fn a_run_that_ends_early_ends_its_suites_as_failed_and_plus_says_whose_they_are() {
    let mut script = Script::new(7, 0, Counts::default());
    script.event(started("a"));
    script.passed("a");
    script.event(started("b"));
    script.unfinished("b", Unfinished::Stopped);
    script.end(RunOutcome::Stopped, |_| {});
    let lines = libtest(MessageFormat::LibtestJsonPlus, &script, 2);
    let whose = r#""stt":{"crate":"app","test_binary":"app","kind":"test"}}"#;
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[0].ends_with(whose), "{lines:?}");
    assert!(lines[4].contains(r#""event":"failed","passed":1,"failed":0"#));
    assert!(lines[4].ends_with(whose), "{lines:?}");
}
