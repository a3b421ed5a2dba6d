//! What GitHub Actions shows of a run: annotations at the places of failures, and a part of the step's summary.
//!
//! Annotations are lines on standard output ("Workflow commands for GitHub Actions"). Of each kind ten are shown
//! for a step, so the tenth says how many there are beyond.

use std::fmt::Write as _;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use stt_core::id::TestId;
use stt_core::outcome::RunOutcome;
use stt_core::outcome::TestOutcome;
use stt_core::report::Captured;
use stt_core::report::Event;
use stt_core::report::Summary;
use stt_core::units::show_duration;

use crate::render::summary::count;

/// So many annotations of one kind are shown for a step.
const SHOWN: usize = 10;

/// So many lines of what a test said are shown, from where it panicked or at its end.
const EXCERPT: usize = 20;

/// The longest excerpt.
const LONGEST: usize = 4 << 10;

/// So many failed tests are remembered with what they said.
const REMEMBERED: usize = 200;

/// A summary of more than 1 MiB is dropped whole; other parts of the step need some of it.
const SUMMARY: usize = 512 << 10;

/// Listens to a run, and says in the end what GitHub is to show.
#[derive(Debug)]
pub(crate) struct Github {
    /// The root of the workspace, to which places in panics are relative.
    root: Utf8PathBuf,
    /// What was checked out, to which places in annotations are relative.
    checkout: Option<Utf8PathBuf>,
    found: Vec<Found>,
}

/// What a failed test said.
#[derive(Debug)]
struct Found {
    test: TestId,
    place: Option<Place>,
    excerpt: String,
}

/// Where a test panicked.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    file: String,
    line: u32,
}

impl Github {
    /// For a workspace with this root, in what was checked out there.
    pub(crate) fn new(root: Utf8PathBuf, checkout: Option<Utf8PathBuf>) -> Self {
        Self {
            root,
            checkout,
            found: Vec::new(),
        }
    }

    /// Takes note of a failure.
    pub(crate) fn note(&mut self, event: &Event) {
        if let Event::TestFinished(result) = event
            && result.outcome.is_failed()
            && self.found.len() < REMEMBERED
        {
            let said = result.output.as_deref().map(said).unwrap_or_default();
            let panic = panic_in(&said);
            self.found.push(Found {
                test: result.test.clone(),
                place: panic.and_then(|(_, place)| self.in_checkout(place)),
                excerpt: excerpt(&said, panic.map(|(at, _)| at)),
            });
        }
    }

    /// The lines with the annotations; none for a run in which nothing is wrong.
    pub(crate) fn annotations(&self, summary: &Summary) -> String {
        let mut page = String::new();
        let mut room = SHOWN;
        if let Some(stop) = &summary.stop {
            let text = format!("{}; `cargo stt --resume` goes on", stop.reason);
            push_annotation(&mut page, "error", None, "The guard stopped the run", &text);
            room -= 1;
        }
        let failed = &summary.failed;
        let shown = if failed.len() > room {
            room - 1
        } else {
            failed.len()
        };
        for (test, outcome) in &failed[..shown] {
            let found = self.of(test);
            let mut text = reason(outcome);
            if let Some(found) = found.filter(|found| !found.excerpt.is_empty()) {
                let _ = write!(text, "\n{}", found.excerpt);
            }
            let place = found.and_then(|found| found.place.as_ref());
            push_annotation(&mut page, "error", place, &test.to_string(), &text);
        }
        if failed.len() > shown {
            let more = format!(
                "{} more",
                count(failed.len() - shown, "failed test", "failed tests")
            );
            push_annotation(
                &mut page,
                "error",
                None,
                &more,
                "the summary of this step names them",
            );
        }
        if summary.counts.flaky > 0 {
            let title = count(summary.counts.flaky, "flaky test", "flaky tests");
            let text = "failed at first, and passed when tried again";
            push_annotation(&mut page, "warning", None, &title, text);
        }
        if summary.counts.leaky > 0 {
            let title = count(summary.counts.leaky, "test left", "tests left");
            let title = format!("{title} something behind");
            let text = "processes, ports or containers that outlived their test were ended";
            push_annotation(&mut page, "warning", None, &title, text);
        }
        page
    }

    /// The part of the step's summary, in Markdown.
    pub(crate) fn summary(&self, summary: &Summary) -> String {
        let mut page = format!("### cargo stt: {}\n\n", headline(summary));
        let counts = summary.counts;
        let took = show_duration(summary.elapsed);
        let _ = writeln!(
            page,
            "| passed | failed | flaky | ignored | leaky | slow | time |"
        );
        let _ = writeln!(page, "|-:|-:|-:|-:|-:|-:|-:|");
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {took} |\n",
            counts.passed, counts.failed, counts.flaky, counts.ignored, counts.leaky, counts.slow
        );
        if let Some(stop) = &summary.stop {
            let _ = writeln!(page, "The guard stopped the run: {}.\n", html(&stop.reason));
        }
        for (at, (test, outcome)) in summary.failed.iter().enumerate() {
            let before = page.len();
            self.push_failed(&mut page, test, outcome);
            if page.len() > SUMMARY {
                page.truncate(before);
                let more = count(summary.failed.len() - at, "failed test", "failed tests");
                let _ = writeln!(page, "{more} more.\n");
                break;
            }
        }
        page
    }

    fn push_failed(&self, page: &mut String, test: &TestId, outcome: &TestOutcome) {
        let (name, reason) = (html(&test.to_string()), html(&reason(outcome)));
        let excerpt = self.of(test).map_or("", |found| found.excerpt.as_str());
        if excerpt.is_empty() {
            let _ = writeln!(page, "- <code>{name}</code>: {reason}\n");
            return;
        }
        let fence = fence(excerpt);
        let _ = writeln!(
            page,
            "<details><summary><code>{name}</code>: {reason}</summary>\n\n{fence}text\n{excerpt}\n{fence}\n\n</details>\n"
        );
    }

    fn of(&self, test: &TestId) -> Option<&Found> {
        self.found.iter().find(|found| found.test == *test)
    }

    /// A place as GitHub names it. What lies outside of what was checked out has none.
    fn in_checkout(&self, place: PanicPlace<'_>) -> Option<Place> {
        let file = self.root.join(place.file);
        let file = file.strip_prefix(self.checkout.as_deref()?).ok()?;
        Some(Place {
            file: file.to_string(),
            line: place.line,
        })
    }
}

fn headline(summary: &Summary) -> String {
    let total = count(summary.total, "test", "tests");
    let failed = summary.counts.failed;
    let outcome = match summary.outcome {
        RunOutcome::Stopped if summary.stop.as_ref().is_some_and(|stop| stop.timed_out) => {
            "out of time".to_owned()
        }
        RunOutcome::Stopped => "stopped by the guard".to_owned(),
        RunOutcome::Interrupted(_) => "interrupted".to_owned(),
        RunOutcome::ScriptFailed if summary.outstanding == 0 => {
            return "a teardown script failed".to_owned();
        }
        RunOutcome::ScriptFailed => "a setup script failed".to_owned(),
        RunOutcome::Failed => return format!("{failed} of {total} failed"),
        RunOutcome::Passed => return format!("{total} passed"),
        RunOutcome::NoTests => return "no test was found".to_owned(),
    };
    format!("{outcome} with {} of {total} left", summary.outstanding)
}

fn reason(outcome: &TestOutcome) -> String {
    match outcome {
        TestOutcome::Failed(failure) => failure.to_string(),
        TestOutcome::Passed | TestOutcome::Ignored => String::new(),
    }
}

/// All that a test said; panics are on standard error.
fn said(output: &Captured) -> String {
    let streams = [&output.stdout, &output.stderr];
    let parts = streams.map(|stream| [stream.head.as_slice(), stream.tail.as_slice()].concat());
    let texts = parts.map(|part| String::from_utf8_lossy(&part).into_owned());
    texts.join("\n")
}

/// Where a panic says that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PanicPlace<'a> {
    file: &'a Utf8Path,
    line: u32,
}

/// Finds the first panic: where its message begins in the text, and its place.
fn panic_in(said: &str) -> Option<(usize, PanicPlace<'_>)> {
    // Since Rust 1.91 the thread's number stands before them.
    const WORDS: &str = " panicked at ";
    let mut start = 0;
    for line in said.split_inclusive('\n') {
        let next = start + line.len();
        if line.starts_with("thread '")
            && let Some((_, rest)) = line.split_once(WORDS)
            && let Some(place) = place_in(rest.trim_end().strip_suffix(':')?)
        {
            return Some((start, place));
        }
        start = next;
    }
    None
}

/// `src/lib.rs:12:5`
fn place_in(text: &str) -> Option<PanicPlace<'_>> {
    let (rest, _column) = text.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    Some(PanicPlace {
        file: Utf8Path::new(file),
        line: line.parse().ok()?,
    })
}

/// What is worth showing: from the panic on, or the last lines.
fn excerpt(said: &str, panic: Option<usize>) -> String {
    let plain = anstream::adapter::strip_str(panic.map_or(said, |at| &said[at..])).to_string();
    let lines: Vec<_> = plain.trim().lines().collect();
    let lines = if panic.is_some() {
        &lines[..lines.len().min(EXCERPT)]
    } else {
        &lines[lines.len().saturating_sub(EXCERPT)..]
    };
    let mut text = lines.join("\n");
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

fn push_annotation(page: &mut String, kind: &str, place: Option<&Place>, title: &str, text: &str) {
    let _ = write!(page, "::{kind} ");
    if let Some(Place { file, line }) = place {
        let _ = write!(page, "file={},line={line},", property(file));
    }
    let _ = writeln!(page, "title={}::{}", property(title), message(text));
}

/// The text of a workflow command, on one line.
fn message(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A fence that the text does not contain.
fn fence(text: &str) -> String {
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    fence
}

#[cfg(test)]
mod tests {
    use stt_core::report::Counts;

    use super::*;
    use crate::render::script::Script;
    use crate::render::script::fail;
    use crate::render::script::printed;
    use crate::render::script::test;

    const PANIC: &str =
        "noise\nthread 'a' panicked at src/lib.rs:12:5:\n50% of a, b\nnote: run with\n";

    fn github() -> Github {
        Github::new("/checkout/sub".into(), Some("/checkout".into()))
    }

    /// A run in which so many tests fail with this on standard error.
    fn run(failed: usize, stderr: &str) -> (Github, Summary) {
        let mut script = Script::new(30, 0, Counts::default());
        let mut tests = Vec::new();
        for at in 0..failed {
            let failing = test("app::api", &format!("t{at:02}"));
            script.finished(&failing, 10, fail(), |result| {
                result.output = Some(printed("", stderr));
            });
            tests.push((failing, fail()));
        }
        script.end(RunOutcome::Failed, |summary| summary.failed = tests);
        let mut github = github();
        for event in &script.events {
            github.note(event);
        }
        let Some(Event::RunFinished(summary)) = script.events.pop() else {
            unreachable!("`end` ends it");
        };
        (github, *summary)
    }

    #[test]
    fn a_failure_stands_at_its_panic_with_what_it_said() {
        let (github, summary) = run(1, PANIC);
        assert_eq!(
            github.annotations(&summary),
            "::error file=sub/src/lib.rs,line=12,title=app%3A%3Aapi t00::exited with code 101%0A\
             thread 'a' panicked at src/lib.rs:12:5:%0A50%25 of a, b%0Anote: run with\n"
        );
    }

    #[test]
    fn of_more_than_ten_the_tenth_says_how_many_there_are() {
        for (failed, lines, last) in [
            (10, 10, "t09"),
            (11, 10, "2 failed tests more"),
            (30, 10, "21 failed tests more"),
        ] {
            let (github, summary) = run(failed, "");
            let page = github.annotations(&summary);
            let found: Vec<_> = page.lines().collect();
            assert_eq!(found.len(), lines);
            assert!(found[9].contains(last), "{page}");
        }
        let (github, summary) = run(0, "");
        assert_eq!(github.annotations(&summary), "");
    }

    #[test]
    fn the_summary_is_markdown_that_no_output_breaks() {
        let (github, summary) = run(1, "a <b>\n```\nc");
        let page = github.summary(&summary);
        let expected = "<details><summary><code>app::api t00</code>: exited with code 101</summary>\n\n\
                        ````text\na <b>\n```\nc\n````\n\n</details>\n";
        assert!(
            page.starts_with("### cargo stt: 1 of 30 tests failed\n\n| passed |"),
            "{page}"
        );
        assert!(page.contains(expected), "{page}");
    }

    #[test]
    fn a_summary_is_never_dropped_for_its_size() {
        let long = "x".repeat(2 * LONGEST);
        let (github, mut summary) = run(30, &long);
        summary.failed = summary
            .failed
            .iter()
            .cycle()
            .take(10_000)
            .cloned()
            .collect();
        let page = github.summary(&summary);
        assert!(page.len() < 1 << 20, "{}", page.len());
        assert!(
            page.trim_end().ends_with("failed tests more."),
            "{}",
            &page[page.len() - 100..]
        );
    }

    #[test]
    fn places_are_those_of_the_checkout_or_none() {
        let place = |said: &str| {
            let (_, place) = panic_in(said)?;
            github()
                .in_checkout(place)
                .map(|place| (place.file, place.line))
        };
        let at = |place: &str| format!("thread 'a' panicked at {place}:\nwords\n");
        assert_eq!(
            place(&at("tests/x.rs:7:1")),
            Some(("sub/tests/x.rs".to_owned(), 7))
        );
        let numbered = at("tests/x.rs:7:1").replace("'a'", "'a' (12)");
        assert_eq!(place(&numbered), Some(("sub/tests/x.rs".to_owned(), 7)));
        assert_eq!(
            place(&at("/checkout/y.rs:8:1")),
            Some(("y.rs".to_owned(), 8))
        );
        assert_eq!(place(&at("/rustc/abc/core.rs:9:1")), None);
        for said in [
            "",
            "panicked at src/lib.rs:1:1:",
            "thread 'a' panicked at x:",
            "thread 'a' panicked at 'old', x.rs:1:1",
        ] {
            assert_eq!(place(said), None, "{said}");
        }
    }
}
