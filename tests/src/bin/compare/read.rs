//! What the three runners write, read into the same words.

use serde_json::Value;

use crate::results::Results;
use crate::results::Test;
use crate::results::Verdict;

/// What a binary wrote under `cargo test`. One without libtest's summary is one test, as a whole.
///
/// # Errors
/// The lines don't add up to the binary's own summary.
pub(crate) fn libtest(
    binary: &str,
    target: &str,
    output: &str,
    ended_well: bool,
) -> Result<Results, String> {
    let Some(summary) = output.lines().rev().find_map(summary) else {
        let verdict = if ended_well {
            Verdict::Passed
        } else {
            Verdict::Failed
        };
        return Ok([((binary.to_owned(), target.to_owned()), verdict)].into());
    };
    let mut results = Results::new();
    for line in output.lines() {
        // Behind this line is what failed tests wrote, which may look like a result.
        if line == "failures:" {
            break;
        }
        if let Some((name, verdict)) = result(line) {
            results.insert((binary.to_owned(), name.to_owned()), verdict);
        }
    }
    let read = [Verdict::Passed, Verdict::Failed, Verdict::Ignored]
        .map(|verdict| crate::results::count(&results, verdict));
    if read == summary {
        Ok(results)
    } else {
        Err(format!(
            "{binary}: its lines say {read:?}, its summary {summary:?}"
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

/// The messages of `cargo nextest run --message-format libtest-json`.
pub(crate) fn nextest(output: &str) -> Results {
    let test = |message: &Value| -> Option<(Test, Verdict)> {
        let (binary, name) = message["name"].as_str()?.split_once('$')?;
        let verdict = match message["event"].as_str()? {
            "ok" => Verdict::Passed,
            "failed" => Verdict::Failed,
            "ignored" => Verdict::Ignored,
            _ => return None,
        };
        Some(((binary.to_owned(), name.to_owned()), verdict))
    };
    lines(output).iter().filter_map(test).collect()
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

    #[test]
    fn libtests_lines_are_read_whatever_is_around_them() {
        let output = "\nrunning 6 tests\n\
            test a::b ... ok\n\
            noise of a childtest c d ... ok\n\
            test e - should panic ... ok\n\
            test f ... FAILED\n\
            test g ... ignored\n\
            test h ... ignored, needs a ... network\n\
            compiling ... done\n\
            failures:\n\n---- f stdout ----\ntest z ... ok\n\n\
            failures:\n    f\n\n\
            test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let results = libtest("app::it", "it", output, false).expect("they add up");
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
        let output = "test a ... ok\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n";
        assert!(libtest("app", "app", output, true).is_err());
    }

    #[test]
    fn a_binary_without_a_summary_is_one_test() {
        for (ended_well, verdict) in [(true, "passed"), (false, "failed")] {
            let results = libtest("app::bench/speed", "speed", "a: 3 ns\n", ended_well);
            let results = results.expect("there is nothing to add up");
            assert_eq!(
                shown(&results),
                [format!("app::bench/speed speed {verdict}")]
            );
        }
    }

    #[test]
    fn messages_of_nextest() {
        let output = r#"{"type":"suite","event":"started","test_count":2}
{"type":"test","event":"started","name":"app::it$a"}
{"type":"test","event":"ok","name":"app::it$a","exec_time":0.1}
{"type":"test","event":"failed","name":"app$m::b$c"}
{"type":"test","event":"ignored","name":"app$d"}
"#;
        assert_eq!(
            shown(&nextest(output)),
            ["app d ignored", "app m::b$c failed", "app::it a passed"]
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
