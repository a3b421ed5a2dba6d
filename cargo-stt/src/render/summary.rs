//! The end of a run: its numbers, its failures again, and how to go on where it did not reach its end.

use std::fmt::Write as _;

use stt_core::id::TestId;
use stt_core::outcome::RunOutcome;
use stt_core::outcome::signal_name;
use stt_core::report::Counts;
use stt_core::report::StopReport;
use stt_core::report::Summary;
use stt_core::units::show_duration;

use crate::render::status::INDENT;
use crate::render::status::push_process;
use crate::render::status::push_test;
use crate::render::status::push_thing;
use crate::render::status::things;
use crate::render::text::plain;
use crate::render::text::plain_lines;
use crate::render::theme::Painted;
use crate::render::theme::Theme;
use crate::render::theme::Tone;

const RULE: &str = "────────────";
const HEAVY_RULE: &str = "━━━━━━━━━━━━";
/// So many tests are named in one list of the stop screen.
const MOST_NAMED: usize = 8;

/// The number and the noun: `1 test`, `2 tests`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{number} {noun}")
}

/// Adds the word of a run-wide line.
pub(super) fn push_word(page: &mut String, theme: Theme, tone: Tone, word: &str) {
    let word = Painted(theme.word(tone), word);
    let _ = write!(page, "{word:>12} ");
}

/// Adds the numbers of the run.
pub(super) fn push_numbers(page: &mut String, theme: Theme, summary: &Summary) {
    let tone = match summary.outcome {
        RunOutcome::Passed => Tone::Good,
        RunOutcome::Failed | RunOutcome::ScriptFailed => Tone::Bad,
        RunOutcome::NoTests | RunOutcome::Stopped | RunOutcome::Interrupted(_) => Tone::Warn,
    };
    let _ = writeln!(page, "{RULE}");
    push_word(page, theme, tone, "Summary");
    let elapsed = summary.elapsed.as_secs_f64();
    let _ = write!(page, "[{elapsed:>8.3}s] ");
    if summary.outcome == RunOutcome::NoTests {
        page.push_str("0 tests run: the selection holds no test\n");
        return;
    }
    push_counts(page, theme, summary.counts, summary.total);
    let mut legs = Vec::new();
    if summary.kept > 0 {
        legs.push(format!("kept from earlier legs: {}", summary.kept));
    }
    if summary.outstanding > 0 {
        legs.push(format!("outstanding: {}", summary.outstanding));
    }
    if !legs.is_empty() {
        let _ = writeln!(page, "{:INDENT$}{}", "", legs.join(", "));
    }
}

fn push_counts(page: &mut String, theme: Theme, counts: Counts, total: usize) {
    let run = counts.passed + counts.failed;
    let of = total.saturating_sub(counts.ignored);
    let strong = theme.strong();
    let _ = write!(page, "{}", Painted(strong, run));
    if run < of {
        let _ = write!(page, "/{}", Painted(strong, of));
    }
    let tests = if of == 1 { "test" } else { "tests" };
    let passed = Painted(
        theme.word(Tone::Good),
        format_args!("{} passed", counts.passed),
    );
    let _ = write!(page, " {tests} run: {passed}");
    for (number, word, tone) in [
        (counts.failed, "failed", Tone::Bad),
        (counts.ignored, "ignored", Tone::Idle),
    ] {
        if number > 0 {
            let part = Painted(theme.word(tone), format_args!("{number} {word}"));
            let _ = write!(page, ", {part}");
        }
    }
    let mut before = "; ";
    for (number, word) in [
        (counts.slow, "slow"),
        (counts.flaky, "flaky"),
        (counts.leaky, "leaky"),
    ] {
        if number > 0 {
            let part = Painted(theme.word(Tone::Warn), format_args!("{number} {word}"));
            let _ = write!(page, "{before}{part}");
            before = ", ";
        }
    }
    page.push('\n');
}

/// Adds what follows the list of failures: what was cancelled, what was swept up, and how to go on.
pub(super) fn push_ending(page: &mut String, theme: Theme, summary: &Summary, resume: &str) {
    if !summary.swept_containers.is_empty() {
        push_word(page, theme, Tone::Warn, "Swept");
        let count = things(&summary.swept_containers);
        let _ = writeln!(page, "{count} that outlived the tests, now removed:");
        for thing in &summary.swept_containers {
            push_thing(page, "", thing);
        }
    }
    if !summary.swept.is_empty() {
        push_word(page, theme, Tone::Warn, "Swept");
        let count = count(summary.swept.len(), "process", "processes");
        let _ = writeln!(page, "{count} that outlived the tests, now ended:");
        for process in &summary.swept {
            push_process(page, "", process);
        }
    }
    match summary.outcome {
        RunOutcome::Passed | RunOutcome::NoTests | RunOutcome::Failed => {
            if summary.cancelled && summary.outstanding > 0 {
                push_cancelled(page, theme, summary);
            } else if summary.outstanding > 0 {
                push_word(page, theme, Tone::Warn, "Left");
                let left = count(summary.outstanding, "test has", "tests have");
                let _ = writeln!(page, "{left} no result: only what had failed was to run");
                push_way_on(page, theme, summary, resume);
            }
        }
        RunOutcome::ScriptFailed => push_script_failed(page, theme, summary, resume),
        RunOutcome::Stopped => push_stopped(page, theme, summary, resume),
        RunOutcome::Interrupted(signal) => {
            push_word(page, theme, Tone::Warn, "Interrupted");
            let left = count(summary.outstanding, "test is", "tests are");
            let name = signal_name(signal);
            let _ = writeln!(page, "by signal {signal} ({name}): {left} outstanding");
            push_way_on(page, theme, summary, resume);
        }
    }
}

fn push_script_failed(page: &mut String, theme: Theme, summary: &Summary, resume: &str) {
    push_word(page, theme, Tone::Bad, "Failed");
    if summary.outstanding == 0 {
        page.push_str("a teardown script: every test has passed, and something may be left\n");
        return;
    }
    let left = count(summary.outstanding, "test was", "tests were");
    let _ = writeln!(page, "a setup script: {left} not run");
    push_way_on(page, theme, summary, resume);
}

fn push_cancelled(page: &mut String, theme: Theme, summary: &Summary) {
    push_word(page, theme, Tone::Warn, "Cancelled");
    let left = count(summary.outstanding, "test was", "tests were");
    let failures = count(summary.counts.failed, "failure", "failures");
    let _ = writeln!(
        page,
        "{left} not run: the run ended after {failures}; use --no-fail-fast to run all"
    );
}

/// The stop screen: what was wrong, who was largest, what was done, and how to go on.
fn push_stopped(page: &mut String, theme: Theme, summary: &Summary, resume: &str) {
    let rule = Painted(theme.word(Tone::Warn), HEAVY_RULE);
    let _ = writeln!(page, "{rule}");
    push_word(page, theme, Tone::Warn, "Stopped");
    let timed_out = summary.stop.as_ref().is_some_and(|stop| stop.timed_out);
    let title = if timed_out {
        "because its time was over"
    } else {
        "by the guard, before the tests could take the machine down"
    };
    let title = Painted(theme.strong(), title);
    let _ = writeln!(page, "{title}");
    if let Some(stop) = &summary.stop {
        push_stop(page, theme, stop);
    }
    push_word(page, theme, Tone::News, "outstanding");
    let tests = count(summary.outstanding, "test", "tests");
    let _ = writeln!(page, "{tests}; nothing that has a result is run again");
    push_way_on(page, theme, summary, resume);
    let _ = writeln!(page, "{rule}");
}

fn push_stop(page: &mut String, theme: Theme, stop: &StopReport) {
    push_word(page, theme, Tone::News, "because");
    let _ = writeln!(page, "{}", plain_lines(&stop.reason, INDENT));
    let largest = stop
        .largest
        .iter()
        .map(|(test, memory)| (test, Some(memory.to_string())));
    push_tests(page, theme, "largest", largest.collect());
    // The tests that are named as the largest were running too: only the others are news.
    let others: Vec<_> = stop
        .ended
        .iter()
        .filter(|test| !stop.largest.iter().any(|(large, _)| large == *test))
        .map(|test| (test, None))
        .collect();
    push_word(page, theme, Tone::News, "ended");
    let ended = count(stop.ended.len(), "running test", "running tests");
    let took = show_duration(stop.took);
    let _ = writeln!(page, "{ended}; after {took} nothing of the run was alive");
    push_tests(page, theme, "also ended", others);
}

fn push_tests(page: &mut String, theme: Theme, word: &str, tests: Vec<(&TestId, Option<String>)>) {
    let more = tests.len().saturating_sub(MOST_NAMED);
    for (index, (test, remark)) in tests.into_iter().take(MOST_NAMED).enumerate() {
        push_word(page, theme, Tone::News, if index == 0 { word } else { "" });
        if let Some(remark) = remark {
            let _ = write!(page, "{remark:>9}  ");
        }
        push_test(page, theme, test);
        page.push('\n');
    }
    if more > 0 {
        let _ = writeln!(page, "{:INDENT$}and {more} more", "");
    }
}

fn push_way_on(page: &mut String, theme: Theme, summary: &Summary, resume: &str) {
    push_word(page, theme, Tone::News, "checkpoint");
    match &summary.checkpoint {
        Some(path) => {
            let _ = writeln!(page, "{}", plain(path.as_str()));
            push_word(page, theme, Tone::News, "go on with");
            let _ = writeln!(page, "{}", Painted(theme.strong(), plain(resume)));
        }
        None => page.push_str("none was kept: the next run starts from the beginning\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    use stt_core::id::RunId;
    use stt_core::report::LeakedProcess;
    use stt_core::units::Bytes;

    use crate::render::script::test;

    fn summary(outcome: RunOutcome) -> Summary {
        Summary {
            run: RunId::from_random([7; 16]),
            outcome,
            counts: Counts {
                passed: 197,
                failed: 3,
                ignored: 4,
                leaky: 1,
                slow: 2,
                flaky: 0,
            },
            total: 204,
            kept: 0,
            outstanding: 0,
            elapsed: Duration::from_millis(12_345),
            failed: Vec::new(),
            checkpoint: Some("target/stt-checkpoint.json".into()),
            stop: None,
            swept: Vec::new(),
            swept_containers: Vec::new(),
            cancelled: false,
        }
    }

    fn numbers(summary: &Summary) -> String {
        let mut page = String::new();
        push_numbers(&mut page, Theme::new(false), summary);
        page
    }

    fn ending(summary: &Summary) -> String {
        let mut page = String::new();
        push_ending(&mut page, Theme::new(false), summary, "cargo stt --resume");
        page
    }

    #[test]
    fn the_numbers_are_those_of_the_whole_run() {
        let all = summary(RunOutcome::Failed);
        assert_eq!(
            numbers(&all),
            "────────────\n     Summary [  12.345s] 200 tests run: 197 passed, 3 failed, 4 ignored; 2 slow, 1 leaky\n"
        );
        let mut resumed = summary(RunOutcome::Stopped);
        resumed.counts = Counts {
            passed: 150,
            ..Counts::default()
        };
        resumed.total = 200;
        resumed.kept = 120;
        resumed.outstanding = 50;
        assert_eq!(
            numbers(&resumed),
            "────────────\n     Summary [  12.345s] 150/200 tests run: 150 passed\n             kept from earlier legs: 120, outstanding: 50\n"
        );
        let mut one = summary(RunOutcome::Passed);
        one.counts = Counts {
            passed: 1,
            ..Counts::default()
        };
        one.total = 1;
        assert_eq!(
            numbers(&one),
            "────────────\n     Summary [  12.345s] 1 test run: 1 passed\n"
        );
        assert_eq!(
            numbers(&summary(RunOutcome::NoTests)),
            "────────────\n     Summary [  12.345s] 0 tests run: the selection holds no test\n"
        );
    }

    #[test]
    fn a_whole_run_needs_no_more_words() {
        assert_eq!(ending(&summary(RunOutcome::Passed)), "");
        assert_eq!(ending(&summary(RunOutcome::Failed)), "");
    }

    #[test]
    fn a_run_of_what_had_failed_says_what_it_has_left() {
        let mut rerun = summary(RunOutcome::Passed);
        rerun.counts.failed = 0;
        rerun.outstanding = 2;
        assert_eq!(
            ending(&rerun),
            "        Left 2 tests have no result: only what had failed was to run\n  checkpoint target/stt-checkpoint.json\n  go on with cargo stt --resume\n"
        );
    }

    #[test]
    fn a_cancelled_run_says_how_to_run_the_rest() {
        let mut cancelled = summary(RunOutcome::Failed);
        cancelled.cancelled = true;
        cancelled.outstanding = 37;
        assert_eq!(
            ending(&cancelled),
            "   Cancelled 37 tests were not run: the run ended after 3 failures; use --no-fail-fast to run all\n"
        );
        cancelled.outstanding = 1;
        cancelled.counts.failed = 1;
        assert_eq!(
            ending(&cancelled),
            "   Cancelled 1 test was not run: the run ended after 1 failure; use --no-fail-fast to run all\n"
        );
    }

    #[test]
    fn a_stopped_run_says_why_and_how_to_go_on() {
        let mut stopped = summary(RunOutcome::Stopped);
        stopped.outstanding = 37;
        stopped.stop = Some(StopReport {
            reason: "memory 83.4 % of the machine, threshold 80 %".to_owned(),
            largest: vec![
                (test("app::api", "import::large"), Bytes::mib(1228)),
                (test("app", "cache::fill"), Bytes::mib(900)),
            ],
            ended: vec![test("app::api", "import::large"), test("app", "idle")],
            took: Duration::from_millis(350),
            timed_out: false,
        });
        assert_eq!(
            ending(&stopped),
            "\
━━━━━━━━━━━━
     Stopped by the guard, before the tests could take the machine down
     because memory 83.4 % of the machine, threshold 80 %
     largest   1.1 GiB  app::api import::large
               900 MiB  app cache::fill
       ended 2 running tests; after 350 ms nothing of the run was alive
  also ended app idle
 outstanding 37 tests; nothing that has a result is run again
  checkpoint target/stt-checkpoint.json
  go on with cargo stt --resume
━━━━━━━━━━━━
"
        );
    }

    #[test]
    fn a_run_whose_time_was_over_is_not_blamed_on_the_guard() {
        let mut stopped = summary(RunOutcome::Stopped);
        stopped.stop = Some(StopReport {
            reason: "the run took longer than 30 m".to_owned(),
            largest: Vec::new(),
            ended: Vec::new(),
            took: Duration::ZERO,
            timed_out: true,
        });
        let shown = ending(&stopped);
        let first =
            "     Stopped because its time was over\n     because the run took longer than 30 m\n";
        assert!(shown.contains(first), "{shown}");
    }

    #[test]
    fn long_lists_of_the_stop_screen_are_cut() {
        let mut stopped = summary(RunOutcome::Stopped);
        stopped.stop = Some(StopReport {
            reason: "x".to_owned(),
            largest: Vec::new(),
            ended: (0..20)
                .map(|number| test("app", &format!("t{number}")))
                .collect(),
            took: Duration::ZERO,
            timed_out: false,
        });
        let shown = ending(&stopped);
        assert!(
            shown.contains("             app t7\n             and 12 more\n"),
            "{shown}"
        );
        assert!(!shown.contains("t8"), "{shown}");
    }

    #[test]
    fn an_interrupted_run_names_the_signal_and_the_way_on() {
        let mut interrupted = summary(RunOutcome::Interrupted(2));
        interrupted.outstanding = 1;
        assert_eq!(
            ending(&interrupted),
            " Interrupted by signal 2 (SIGINT): 1 test is outstanding\n  checkpoint target/stt-checkpoint.json\n  go on with cargo stt --resume\n"
        );
        interrupted.checkpoint = None;
        assert_eq!(
            ending(&interrupted),
            " Interrupted by signal 2 (SIGINT): 1 test is outstanding\n  checkpoint none was kept: the next run starts from the beginning\n"
        );
    }

    #[test]
    fn swept_processes_are_named() {
        let mut swept = summary(RunOutcome::Passed);
        swept.swept = vec![LeakedProcess {
            pid: 7,
            command: "[kworker\n]".to_owned(),
            ports: Vec::new(),
            still_held: Vec::new(),
        }];
        assert_eq!(
            ending(&swept),
            "       Swept 1 process that outlived the tests, now ended:\n             pid 7 [kworker\\n]\n"
        );
    }
}
