//! Tests over whole runs: a script of events, and all that people see of it.

use std::time::Duration;

use stt_core::config::ShowOutput;
use stt_core::config::StatusLevel;
use stt_core::outcome::Failure;
use stt_core::outcome::RunOutcome;
use stt_core::outcome::TestOutcome;
use stt_core::outcome::Unfinished;
use stt_core::report::Counts;
use stt_core::report::Event;
use stt_core::report::Leak;
use stt_core::report::LeakedProcess;

use crate::render::options::RenderOptions;
use crate::render::screen::renderer;
use crate::render::script::Kept;
use crate::render::script::Script;
use crate::render::script::fail;
use crate::render::script::piped;
use crate::render::script::printed;
use crate::render::script::show;
use crate::render::script::stopped;
use crate::render::script::test;
use crate::render::terminal::Emulator;

fn piped_text(options: RenderOptions, script: &[Event]) -> String {
    let screen = Kept::new(80, 24);
    show(options, script, &screen);
    assert_eq!(screen.stdout(), "");
    let text = screen.stderr();
    assert!(
        !text.chars().any(|c| c.is_control() && c != '\n'),
        "{text:?}"
    );
    text
}

#[test]
fn a_run_in_which_all_passes() {
    let mut script = Script::new(
        4,
        0,
        Counts {
            ignored: 1,
            ..Counts::default()
        },
    );
    script.event(Event::TestStarted {
        test: test("app", "a"),
    });
    script.passed("a");
    script.slow(&test("app", "m::b"), 60, false);
    script.passed("m::b");
    script.finished(
        &test("app::it", "größe::日本"),
        1,
        TestOutcome::Passed,
        |result| {
            result.leak = Some(Leak {
                containers: Vec::new(),
                output_open: false,
                processes: vec![LeakedProcess {
                    pid: 42,
                    command: "sleep 9".to_owned(),
                    ports: Vec::new(),
                    still_held: Vec::new(),
                }],
            });
        },
    );
    script.end(RunOutcome::Passed, |_| {});
    assert_eq!(
        piped_text(piped(), &script.events),
        "    Starting 3 tests across 2 binaries (1 ignored, 2 at once, run 07070707)
        PASS [   0.012s] (1/3) app a
        SLOW [> 60.000s]       app m::b
        PASS [   0.012s] (2/3) app m::b (peak memory 5 MiB)
        LEAK [   0.001s] (3/3) app::it größe::日本
             left behind, and ended: pid 42 sleep 9
────────────
     Summary [  12.345s] 3 tests run: 3 passed, 1 ignored
"
    );
}

fn failures() -> Script {
    let mut script = Script::new(6, 0, Counts::default());
    script.passed("a");
    script.finished(&test("app", "bad"), 3, fail(), |result| {
        result.output = Some(printed("\nrunning 1 test\n", "\x1b[31mpanicked\x1b[0m\n"));
    });
    script.slow(&test("app", "hang"), 60, true);
    let timeout = Failure::Timeout {
        after: Duration::from_secs(60),
    };
    script.finished(
        &test("app", "hang"),
        60_003,
        TestOutcome::Failed(timeout),
        |_| {},
    );
    script.finished(
        &test("app", "abort"),
        1,
        TestOutcome::Failed(Failure::Signal(6)),
        |_| {},
    );
    script.end(RunOutcome::Failed, |summary| {
        summary.cancelled = true;
        summary.failed = vec![
            (
                test("app", "abort"),
                TestOutcome::Failed(Failure::Signal(6)),
            ),
            (test("app", "bad"), fail()),
            (
                test("app", "hang"),
                TestOutcome::Failed(Failure::Timeout {
                    after: Duration::from_secs(60),
                }),
            ),
        ];
    });
    script
}

#[test]
fn a_run_with_failures() {
    assert_eq!(
        piped_text(piped(), &failures().events),
        "    Starting 6 tests across 2 binaries (2 at once, run 07070707)
        PASS [   0.012s] (1/6) app a
        FAIL [   0.003s] (2/6) app bad (peak memory 5 MiB)
  stdout ───

    running 1 test

  stderr ───
    panicked

 TERMINATING [> 60.000s]       app hang
     TIMEOUT [  60.003s] (3/6) app hang (peak memory 5 MiB)
     SIGABRT [   0.001s] (4/6) app abort (peak memory 5 MiB)
────────────
     Summary [  12.345s] 4/6 tests run: 1 passed, 3 failed
             outstanding: 2
     SIGABRT [   0.001s] app abort (peak memory 5 MiB)
        FAIL [   0.003s] app bad (peak memory 5 MiB)
     TIMEOUT [  60.003s] app hang (peak memory 5 MiB)
   Cancelled 2 tests were not run: the run ended after 3 failures; use --no-fail-fast to run all
"
    );
}

#[test]
fn output_comes_when_it_was_asked_for() {
    for (when, times) in [
        (ShowOutput::Immediate, 1),
        (ShowOutput::Final, 1),
        (ShowOutput::ImmediateFinal, 2),
        (ShowOutput::Never, 0),
    ] {
        let mut options = piped();
        options.output.failure_output = when;
        let text = piped_text(options, &failures().events);
        assert_eq!(text.matches("    panicked\n").count(), times, "{when:?}");
        if when == ShowOutput::Final {
            assert!(text.find("panicked") > text.find("Summary"), "{text}");
        }
    }
}

#[test]
fn each_status_level_holds_the_ones_before_it() {
    let mut script = failures();
    script.events.pop();
    script.event(Event::TestStarted {
        test: test("app", "s"),
    });
    script.finished(&test("app", "i"), 0, TestOutcome::Ignored, |_| {});
    script.finished(&test("app", "leaky"), 1, TestOutcome::Passed, |result| {
        result.leak = Some(Leak {
            containers: Vec::new(),
            output_open: true,
            processes: Vec::new(),
        });
    });
    script.unfinished("s", Unfinished::Shed);
    for (level, words) in [
        (StatusLevel::None, &[][..]),
        (StatusLevel::Fail, &["FAIL", "TIMEOUT", "SIGABRT", "SHED"]),
        (
            StatusLevel::Slow,
            &["FAIL", "TERMINATING", "TIMEOUT", "SIGABRT", "SHED"],
        ),
        (
            StatusLevel::Leak,
            &["FAIL", "TERMINATING", "TIMEOUT", "SIGABRT", "LEAK", "SHED"],
        ),
        (
            StatusLevel::Pass,
            &[
                "PASS",
                "FAIL",
                "TERMINATING",
                "TIMEOUT",
                "SIGABRT",
                "LEAK",
                "SHED",
            ],
        ),
        (
            StatusLevel::Skip,
            &[
                "PASS",
                "FAIL",
                "TERMINATING",
                "TIMEOUT",
                "SIGABRT",
                "IGNORED",
                "LEAK",
                "SHED",
            ],
        ),
        (
            StatusLevel::All,
            &[
                "PASS",
                "FAIL",
                "TERMINATING",
                "TIMEOUT",
                "SIGABRT",
                "START",
                "IGNORED",
                "LEAK",
                "SHED",
            ],
        ),
    ] {
        let mut options = piped();
        options.output.status_level = level;
        let text = piped_text(options, &script.events);
        let shown: Vec<_> = text
            .lines()
            .filter(|line| line.contains('['))
            .map(|line| line.split_whitespace().next().unwrap())
            .collect();
        assert_eq!(shown, words, "{level:?}");
    }
}

#[test]
fn results_are_shown_again_from_the_final_level_on_and_failures_last() {
    let mut script = Script::new(4, 0, Counts::default());
    script.finished(&test("app", "z"), 3, fail(), |_| {});
    script.slow(&test("app", "slow"), 60, false);
    script.passed("slow");
    script.finished(&test("app", "leak"), 1, TestOutcome::Passed, |result| {
        result.leak = Some(Leak {
            containers: Vec::new(),
            output_open: true,
            processes: Vec::new(),
        });
    });
    script.passed("a");
    script.end(RunOutcome::Failed, |summary| {
        summary.failed = vec![(test("app", "z"), fail())];
    });
    for (level, names) in [
        (StatusLevel::None, &[][..]),
        (StatusLevel::Fail, &["z"]),
        (StatusLevel::Slow, &["slow", "z"]),
        (StatusLevel::Leak, &["leak", "slow", "z"]),
        (StatusLevel::Pass, &["a", "leak", "slow", "z"]),
    ] {
        let mut options = piped();
        options.output.final_status_level = level;
        let text = piped_text(options, &script.events);
        let (_, again) = text.split_once("Summary [").unwrap();
        let shown: Vec<_> = again
            .lines()
            .skip(1)
            .filter_map(|line| line.split("] app ").nth(1)?.split(' ').next())
            .collect();
        assert_eq!(shown, names, "{level:?}");
    }
}

#[test]
fn a_run_that_the_guard_stops() {
    assert_eq!(
        piped_text(piped(), &stopped().events),
        "    Starting 5 tests across 2 binaries (2 at once, run 07070707)
        PASS [   0.012s] (1/5) app a
     Holding no test starts for now: memory 71 % of the machine, hold at 70 %
   Releasing tests start again: memory 64 % of the machine
   Governing at most 1 test at once: CPU 97 %, and tasks wait for it
     Sharing 2 tests of this one at once: 3 runs share the machine
    Shedding app m::big (3 GiB): memory 82 % of the machine, threshold 80 %
        SHED [   1.500s]       app m::big
warning: the checkpoint could not be synced:
         disk quota
   hint: free some space
    Stopping the run: memory 85 % of the machine, threshold 80 %
     STOPPED [   1.500s]       app m::bigger
────────────
     Summary [  12.345s] 1/5 tests run: 1 passed
             outstanding: 4
━━━━━━━━━━━━
     Stopped by the guard, before the tests could take the machine down
     because memory 85 % of the machine, threshold 80 %
     largest     4 GiB  app m::bigger
       ended 1 running test; after 420 ms nothing of the run was alive
 outstanding 4 tests; nothing that has a result is run again
  checkpoint target/stt-checkpoint.json
  go on with cargo stt --resume
━━━━━━━━━━━━
"
    );
}

#[test]
fn a_run_that_is_interrupted() {
    let mut script = Script::new(3, 0, Counts::default());
    script.passed("a");
    script.unfinished("b", Unfinished::Interrupted);
    script.end(RunOutcome::Interrupted(2), |_| {});
    assert_eq!(
        piped_text(piped(), &script.events),
        "    Starting 3 tests across 2 binaries (2 at once, run 07070707)
        PASS [   0.012s] (1/3) app a
 INTERRUPTED [   1.500s]       app b
────────────
     Summary [  12.345s] 1/3 tests run: 1 passed
             outstanding: 2
 Interrupted by signal 2 (SIGINT): 2 tests are outstanding
  checkpoint target/stt-checkpoint.json
  go on with cargo stt --resume
"
    );
}

#[test]
fn a_run_that_goes_on_after_an_earlier_leg() {
    let kept = Counts {
        passed: 119,
        failed: 1,
        ignored: 4,
        leaky: 1,
        slow: 0,
        flaky: 0,
    };
    let mut script = Script::new(126, 120, kept);
    script.passed("last");
    script.passed("very::last");
    script.end(RunOutcome::Failed, |summary| {
        summary.failed = vec![(test("app", "old"), fail())];
    });
    assert_eq!(
        piped_text(piped(), &script.events),
        "    Resuming 2 tests across 2 binaries (120 kept from earlier legs, 4 ignored, 2 at once, run 07070707)
        PASS [   0.012s] (121/122) app last
        PASS [   0.012s] (122/122) app very::last
────────────
     Summary [  12.345s] 122 tests run: 121 passed, 1 failed, 4 ignored; 1 leaky
             kept from earlier legs: 120
        FAIL [         ] app old (in an earlier leg)
"
    );
}

#[test]
fn a_terminal_shows_results_above_the_progress_and_at_the_end_the_same_as_a_pipe() {
    let mut script = failures();
    let mut events = Vec::new();
    for (second, event) in script.events.drain(..).enumerate() {
        let mut progress = Script::new(6, 0, Counts::default());
        progress.progress(
            second as u64,
            &[("hang", 60), ("日本::語", 2)][..second % 3],
        );
        events.push(event);
        events.extend(progress.events.pop());
    }
    events.pop();
    for columns in [40, 80, 200] {
        let options = RenderOptions {
            terminal: true,
            ..piped()
        };
        let screen = Kept::new(columns, 24);
        show(options, &events, &screen);
        let mut seen = Emulator::new(columns.into(), 24);
        seen.feed(&screen.stderr());
        let mut expected = Emulator::new(columns.into(), 24);
        expected.feed(&piped_text(piped(), &events));
        assert_eq!(seen.lines(), expected.lines(), "{columns} columns");
    }
}

#[test]
fn the_progress_is_below_the_results_while_the_run_goes_on() {
    let mut script = Script::new(4, 0, Counts::default());
    script.progress(1, &[("a", 1), ("b", 1)]);
    script.passed("a");
    let options = RenderOptions {
        terminal: true,
        colour: true,
        ..piped()
    };
    let screen = Kept::new(80, 24);
    let mut renderer = renderer(options, screen.clone());
    for event in &script.events {
        renderer.event(event);
    }
    renderer.flush().unwrap();
    assert_eq!(screen.writes(), 1, "one write a batch");
    let mut seen = Emulator::new(80, 24);
    seen.feed(&screen.stderr());
    assert_eq!(
        seen.lines(),
        [
            "    Starting 4 tests across 2 binaries (2 at once, run 07070707)",
            "        PASS [   0.012s] (1/4) app a",
            "     Running [ 00:00:01] ━━━━━━╸────────────────── 1/4: 2 running, 1 passed",
            "             mem 43 % of 80 % · tests 120 MiB · cpu 97 % of 80 %",
            "             [ 00:00:01]    60 MiB app a",
            "             [ 00:00:01]    60 MiB app b",
        ]
    );
}

#[test]
fn without_progress_there_is_neither_bar_nor_counter() {
    let mut script = Script::new(1, 0, Counts::default());
    script.progress(1, &[]);
    script.passed("a");
    let options = RenderOptions {
        terminal: true,
        show_progress: crate::cli::ShowProgress::None,
        ..piped()
    };
    assert_eq!(
        piped_text(options, &script.events),
        "    Starting 1 test across 2 binaries (2 at once, run 07070707)\n        PASS [   0.012s] app a\n"
    );
}

#[test]
fn by_what_means_families_are_ended_is_told_on_request() {
    let mut script = Script::new(1, 0, Counts::default());
    let mechanism = "process groups and descendants; no control group: it is for others";
    script.event(Event::Mechanism(mechanism.to_owned()));
    assert!(!piped_text(piped(), &script.events).contains("Families"));
    let verbose = RenderOptions {
        verbose: true,
        ..piped()
    };
    let text = piped_text(verbose, &script.events);
    assert!(
        text.ends_with(&format!("\n    Families {mechanism}\n")),
        "{text}"
    );
}

#[test]
fn colour_changes_no_text() {
    let mut options = piped();
    options.colour = true;
    let screen = Kept::new(80, 24);
    for script in [failures(), stopped()] {
        show(options.clone(), &script.events, &screen);
    }
    let mut coloured = screen.stderr();
    assert!(
        coloured.contains("\u{1b}[1m\u{1b}[31m        FAIL\u{1b}[0m"),
        "{coloured:?}"
    );
    while let Some(start) = coloured.find('\u{1b}') {
        let end = start + coloured[start..].find('m').expect("only styles");
        coloured.replace_range(start..=end, "");
    }
    let plain = [failures(), stopped()].map(|script| piped_text(piped(), &script.events));
    assert_eq!(coloured, plain.concat());
}
