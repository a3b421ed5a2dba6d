//! What the three runners write, read into the same words.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::build::Binary;
use crate::results::Results;
use crate::results::Test;
use crate::results::Verdict;

/// The names in what a binary wrote with `--list --format terse`; none when it doesn't know that.
pub(crate) fn listing(output: &str) -> BTreeSet<&str> {
    let ends = [": test", ": benchmark"];
    let lines = output.lines();
    lines
        .filter_map(|line| ends.iter().find_map(|end| line.strip_suffix(end)))
        .collect()
}

/// What a binary wrote under `cargo test`, of the tests that it lists. One that lists none and has no
/// summary is one test, as a whole.
///
/// # Errors
/// The lines don't add up to the binary's own summary.
pub(crate) fn libtest(
    binary: &Binary,
    listed: &BTreeSet<&str>,
    output: &str,
    ended_well: bool,
) -> Result<Results, String> {
    let test = |name: &str| (binary.id.clone(), name.to_owned());
    let summary = match output.lines().rev().find_map(summary) {
        Some(summary) => summary,
        None if listed.is_empty() => {
            let verdict = if ended_well {
                Verdict::Passed
            } else {
                Verdict::Failed
            };
            return Ok([(test(&binary.target), verdict)].into());
        }
        // Harnesses of other makes, such as those of benches, tell their result by how they end.
        None if ended_well => [listed.len(), 0, 0],
        None => return Err(format!("{} ended without a summary", binary.id)),
    };
    // Tests that write past the capture may tear the lines apart; then the summary says enough.
    if summary == [listed.len(), 0, 0] {
        let passed = listed.iter().map(|name| (test(name), Verdict::Passed));
        return Ok(passed.collect());
    }
    // Behind this line is what failed tests wrote, which may look like a result.
    let lines = output.lines().take_while(|line| *line != "failures:");
    let results: Results = lines
        .filter_map(result)
        .filter(|(name, _)| listed.contains(name))
        .map(|(name, verdict)| (test(name), verdict))
        .collect();
    let read = [Verdict::Passed, Verdict::Failed, Verdict::Ignored]
        .map(|verdict| crate::results::count(&results, verdict));
    if read == summary {
        Ok(results)
    } else {
        Err(format!(
            "{}: its lines say {read:?}, its summary {summary:?}",
            binary.id
        ))
    }
}

/// The counts of passed, failed and ignored tests in `test result: ok. 1 passed; 0 failed; 2 ignored; …`.
fn summary(line: &str) -> Option<[usize; 3]> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = counts.split("; ");
    let mut count = |word| counts.next()?.strip_suffix(word)?.parse().ok();
    Some([count(" passed")?, count(" failed")?, count(" ignored")?])
}

/// The name and the verdict of `test NAME ... ok`. A test that writes past the capture may have put a
/// text before it, and a reason to be ignored may hold dots of its own.
fn result(line: &str) -> Option<(&str, Verdict)> {
    const DOTS: &str = " ... ";
    let (name, verdict) = line.match_indices(DOTS).find_map(|(at, _)| {
        let verdict = match line[at + DOTS.len()..].split([' ', ',', ':']).next()? {
            "ok" | "bench" => Verdict::Passed,
            "FAILED" => Verdict::Failed,
            "ignored" => Verdict::Ignored,
            _ => return None,
        };
        Some((&line[..at], verdict))
    })?;
    let name = match name.strip_prefix("test ") {
        Some(name) => name,
        None => name.rsplit_once("test ")?.1,
    };
    Some((
        name.strip_suffix(" - should panic").unwrap_or(name),
        verdict,
    ))
}

/// The lines that `cargo nextest run` shows of its tests.
pub(crate) fn nextest(output: &str) -> Results {
    let test = |line: &str| -> Option<(Test, Verdict)> {
        let (word, rest) = line.trim_start().split_once(" [")?;
        let (_time, test) = rest.split_once("] ")?;
        // Where it shows a count, that stands before the test.
        let test = match test.strip_prefix('(') {
            Some(counted) => counted.split_once(") ")?.1,
            None => test,
        };
        let (binary, name) = test.trim_start().split_once(' ')?;
        let verdict = match word {
            "PASS" | "LEAK" => Verdict::Passed,
            "SKIP" => Verdict::Ignored,
            "SLOW" | "TERMINATING" => return None,
            // `FAIL`, `SIGSEGV`, `TIMEOUT`, `ABORT`, …: any status is written in capitals.
            word if word.chars().all(|c| c.is_ascii_uppercase()) => Verdict::Failed,
            _ => return None,
        };
        Some(((binary.to_owned(), name.to_owned()), verdict))
    };
    output.lines().filter_map(test).collect()
}

/// The messages of `cargo stt --message-format json`, and what a reader should know beside the results.
pub(crate) fn stt(output: &str) -> (Results, Vec<String>) {
    let mut results = Results::new();
    let mut notes = Vec::new();
    for line in lines(output) {
        let test = || Some((text(&line["test"]["binary"])?, text(&line["test"]["name"])?));
        match (line["type"].as_str(), test()) {
            (Some("test-finished"), Some(test)) => {
                if line["leak"].is_object() {
                    notes.push(format!("LEAK {} {}: {}", test.0, test.1, line["leak"]));
                }
                if let Some(verdict) = line["outcome"].as_str().and_then(verdict) {
                    results.insert(test, verdict);
                }
            }
            (Some("test-unfinished"), Some(test)) => {
                notes.push(format!(
                    "{} {}: unfinished, {}",
                    test.0, test.1, line["why"]
                ));
            }
            (Some("warning"), None) => notes.push(format!("warning: {}", line["message"])),
            _ => {}
        }
    }
    (results, notes)
}

fn verdict(outcome: &str) -> Option<Verdict> {
    match outcome {
        "passed" => Some(Verdict::Passed),
        "failed" => Some(Verdict::Failed),
        "ignored" => Some(Verdict::Ignored),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn lines(output: &str) -> Vec<Value> {
    output
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(results: &Results) -> Vec<String> {
        results
            .iter()
            .map(|((binary, name), verdict)| format!("{binary} {name} {verdict}"))
            .collect()
    }

    fn binary() -> Binary {
        Binary {
            id: "app::it".into(),
            target: "it".into(),
            program: "/t/it-1".into(),
            dir: "/w".into(),
        }
    }

    #[test]
    fn libtests_lines_are_read_whatever_is_around_them() {
        let output = "\nrunning 6 tests\n\
            test a::b ... ok\n\
            running 1 test\ntest nested ... ok\n\
            test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured\n\
            noise of a childtest c d ... ok\n\
            test e - should panic ... ok\n\
            test f ... FAILED\n\
            test g ... ignored\n\
            test h ... ignored, needs a ... network\n\
            compiling ... done\n\
            failures:\n\n---- f stdout ----\ntest z ... ok\n\n\
            failures:\n    f\n\n\
            test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let listed = listing("a::b: test\nc d: test\ne: test\nf: test\ng: test\nh: test\n");
        let results = libtest(&binary(), &listed, output, false).expect("they add up");
        assert_eq!(
            shown(&results),
            [
                "app::it a::b passed",
                "app::it c d passed",
                "app::it e passed",
                "app::it f failed",
                "app::it g ignored",
                "app::it h ignored",
            ]
        );
    }

    #[test]
    fn what_does_not_add_up_is_an_error() {
        let line = "test a ... ok\n";
        let summary = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n";
        let listed = listing("a: test\nb: test\n");
        for output in [summary, "Testing a\nSuccess\n"] {
            let all = libtest(&binary(), &listed, output, true).expect("all of them passed");
            assert_eq!(shown(&all), ["app::it a passed", "app::it b passed"]);
        }
        let other = "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured\n";
        for output in [&format!("{line}{other}"), other, line] {
            assert!(libtest(&binary(), &listed, output, false).is_err());
        }
    }

    #[test]
    fn a_binary_that_lists_nothing_is_one_test_unless_it_has_a_summary() {
        let nothing = listing("usage: it [FILES]\n");
        for (ended_well, verdict) in [(true, "passed"), (false, "failed")] {
            let results = libtest(&binary(), &nothing, "a: 3 ns\n", ended_well);
            let results = results.expect("there is nothing to add up");
            assert_eq!(shown(&results), [format!("app::it it {verdict}")]);
        }
        let summary = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured\n";
        let results = libtest(&binary(), &nothing, summary, true).expect("zero is zero");
        assert!(results.is_empty());
    }

    #[test]
    fn lines_of_nextest() {
        let output = "    Finished `test` profile [unoptimized + debuginfo] target(s) in 0.13s
    Starting 5 tests across 2 binaries (1 test skipped)
        SLOW [>  60.000s] app c
        PASS [   0.011s] app::it a b
        LEAK [   0.170s] (2/5) app c
        FAIL [   0.643s] ( 3/5) app::bin/x d
     SIGSEGV [   0.643s] (4/5) app e
     TIMEOUT [  60.643s] app f
        SKIP [         ] (5/5) app g
     Summary [   0.700s] 5 tests run: 2 passed, 3 failed, 1 skipped
";
        assert_eq!(
            shown(&nextest(output)),
            [
                "app c passed",
                "app e failed",
                "app f failed",
                "app g ignored",
                "app::bin/x d failed",
                "app::it a b passed",
            ]
        );
    }

    #[test]
    fn messages_of_stt() {
        let output = r#"{"type":"run-started"}
{"type":"warning","message":"no swap"}
{"type":"test-finished","test":{"binary":"app","name":"a"},"outcome":"passed"}
{"type":"test-finished","test":{"binary":"app","name":"b"},"outcome":"failed","leak":{"output-open":true,"processes":[]}}
{"type":"test-unfinished","test":{"binary":"app","name":"c"},"why":"shed"}
"#;
        let (results, notes) = stt(output);
        assert_eq!(shown(&results), ["app a passed", "app b failed"]);
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[1].starts_with("LEAK app b"));
    }
}
