//! Every test of a workspace runs as its model says, and only those that were asked for.

use std::collections::BTreeSet;

use stt_tests::Lab;
use stt_tests::Results;

/// The results of the tests that `wanted` picks by name.
fn picked(results: &Results, wanted: impl Fn(&str) -> bool) -> Results {
    let chosen = results.iter().filter(|((_, name), _)| wanted(name));
    chosen
        .map(|(id, result)| (id.clone(), result.clone()))
        .collect()
}

/// The results without those of ignored tests, which need not be told one by one.
fn ran(results: Results) -> Results {
    results
        .into_iter()
        .filter(|(_, result)| result != "ignored")
        .collect()
}

fn count(results: &Results, wanted: impl Fn(&str) -> bool) -> u64 {
    results.values().filter(|result| wanted(result)).count() as u64
}

#[test]
fn every_test_comes_to_what_its_model_says() {
    let lab = Lab::shared("basic");
    let finished = lab.json(["--no-fail-fast"]).run().code(100);
    let expected = lab.expected().results(&[]);
    assert_eq!(finished.results(), expected);
    assert_eq!(lab.record().results(), expected);
    let report = finished.report();
    assert_eq!(
        report.count("passed"),
        count(&expected, |result| result == "passed")
    );
    assert_eq!(
        report.count("ignored"),
        count(&expected, |result| result == "ignored")
    );
    let failed = count(&expected, |result| {
        result != "passed" && result != "ignored"
    });
    assert_eq!(report.count("failed"), failed);
    lab.assert_clean();
}

#[test]
fn what_a_test_leaves_behind_is_told_and_ended() {
    let lab = Lab::shared("basic");
    let finished = lab.json(["--no-fail-fast"]).run().code(100);
    let report = finished.report();
    let leaky = |leak: &serde_json::Value| !leak.is_null();
    let told: BTreeSet<&str> = report
        .of("test-finished")
        .filter(|line| leaky(&line["leak"]))
        .map(|line| line["test"]["name"].as_str().expect("a name"))
        .collect();
    let expected = lab.expected();
    let wanted: BTreeSet<&str> = expected
        .tests
        .iter()
        .filter(|(_, want)| want.leak.is_some())
        .map(|((_, name), _)| name.as_str())
        .collect();
    assert_eq!(told, wanted);
    let line = report.finished("leaves_a_silent_child").to_string();
    assert!(
        line.contains("sleep 61"),
        "the process is not named: {line}"
    );
    lab.assert_clean();
}

#[test]
fn a_build_flag_brings_further_binaries() {
    let lab = Lab::shared("basic");
    let finished = lab
        .json(["--no-fail-fast", "--all-targets"])
        .run()
        .code(100);
    assert_eq!(
        ran(finished.results()),
        ran(lab.expected().results(&["--all-targets"]))
    );
}

#[test]
fn build_flags_choose_binaries() {
    let lab = Lab::shared("basic");
    let binaries = |args: &[&str]| -> BTreeSet<String> {
        let finished = lab.json(args).args(["--no-fail-fast"]).run();
        finished
            .results()
            .into_keys()
            .map(|(binary, _)| binary)
            .collect()
    };
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(binaries(&["--lib"]), set(&["basic", "basic-macros"]));
    assert_eq!(binaries(&["-p", "basic-macros"]), set(&["basic-macros"]));
    assert_eq!(binaries(&["--test", "cli"]), set(&["basic::cli"]));
    assert_eq!(binaries(&["--bins"]), set(&["basic::bin/basic-tool"]));
    assert_eq!(
        binaries(&["--workspace", "--exclude", "basic"]),
        set(&["basic-macros"])
    );
    assert_eq!(
        binaries(&["--example", "demo"]),
        set(&["basic::example/demo"])
    );
    assert_eq!(
        binaries(&["--bench", "speed"]),
        set(&["basic::bench/speed"])
    );
}

#[test]
fn ignored_tests_run_when_asked_for() {
    let lab = Lab::shared("basic");
    let expected = lab.expected();
    let all = lab
        .json(["--no-fail-fast", "--run-ignored", "all"])
        .run()
        .code(100);
    assert_eq!(all.results(), expected.results_with_ignored(&[]));
    let only = lab
        .json(["--no-fail-fast", "--run-ignored", "only"])
        .run()
        .code(100);
    let ignored: BTreeSet<_> = picked(&expected.results(&[]), |_| true)
        .into_iter()
        .filter(|(_, result)| result == "ignored")
        .map(|(id, _)| id)
        .collect();
    let wanted: Results = expected
        .results_with_ignored(&[])
        .into_iter()
        .filter(|(id, _)| ignored.contains(id))
        .collect();
    assert_eq!(only.results(), wanted);
}

#[test]
fn names_choose_tests() {
    let lab = Lab::shared("basic");
    let expected = ran(lab.expected().results(&[]));
    let results = |args: &[&str]| ran(lab.json(args).args(["--no-fail-fast"]).run().results());
    assert_eq!(
        results(&["passes"]),
        picked(&expected, |name| name.contains("passes"))
    );
    assert_eq!(
        results(&["passes", "greets"]),
        picked(&expected, |name| name.contains("passes")
            || name.contains("greets"))
    );
    assert_eq!(
        results(&["--exact", "tests::passes"]),
        picked(&expected, |name| name == "tests::passes")
    );
    assert_eq!(
        results(&["--skip", "tests::"]),
        picked(&expected, |name| !name.contains("tests::"))
    );
    assert_eq!(
        results(&["--exact", "--skip", "tests::passes"]),
        picked(&expected, |name| name != "tests::passes")
    );
    assert_eq!(
        results(&["passes", "--skip", "too"]),
        picked(&expected, |name| name == "tests::passes")
    );
    assert_eq!(
        results(&["größe", "日本語", "<(u8, &str)>"]),
        picked(&expected, |name| name.contains("größe")
            || name.contains("日本語")
            || name.contains("Vec<"))
    );
}

#[test]
fn one_at_a_time_means_one_at_a_time() {
    let lab = Lab::shared("slow");
    let log = lab.log();
    let finished = lab
        .json(["--no-fail-fast", "-j", "1", "t0", "t3"])
        .log(&log)
        .run()
        .code(100);
    assert_eq!(finished.results().len(), 20);
    let text = std::fs::read_to_string(&log.path).expect("the tests wrote a log");
    let order: Vec<&str> = text
        .lines()
        .map(|line| line.split(' ').next().unwrap_or(""))
        .collect();
    assert_eq!(order, ["start", "end"].repeat(20));
}

#[test]
fn two_at_a_time_means_two_at_a_time() {
    let lab = Lab::shared("slow");
    let log = lab.log();
    let stt = lab.json(["--no-fail-fast", "-j", "2", "t0", "t3", "--no-guard"]);
    let finished = stt.log(&log).run().code(100);
    assert_eq!(finished.results().len(), 20);
    let text = std::fs::read_to_string(&log.path).expect("the tests wrote a log");
    let (mut now, mut most) = (0, 0);
    for line in text.lines() {
        now += if line.starts_with("start") { 1 } else { -1 };
        most = most.max(now);
    }
    assert_eq!(most, 2);
}

#[test]
fn a_run_ends_after_as_many_failures_as_it_may_have() {
    let lab = Lab::shared("slow");
    for (args, failures) in [
        (&[][..], 1),
        (&["--fail-fast"][..], 1),
        (&["--max-fail", "2"][..], 2),
        (&["--max-fail", "all"][..], 6),
        (&["--no-fail-fast"][..], 6),
    ] {
        let finished = lab.json(args).args(["-j", "1"]).run().code(100);
        let report = finished.report();
        assert_eq!(report.count("failed"), failures, "{args:?}");
        let complete = report.count("passed") + report.count("failed") == 60;
        assert_eq!(complete, failures == 6, "{args:?}");
    }
}

#[test]
fn uncaptured_output_is_the_tests_own() {
    let lab = Lab::shared("basic");
    let captured = lab
        .stt(["--exact", "tests::fails", "--failure-output", "never"])
        .run()
        .code(100);
    assert!(!captured.transcript().contains("this line is on standard"));
    let free = lab
        .stt(["--exact", "tests::fails", "--no-capture"])
        .run()
        .code(100);
    assert!(
        free.stdout.contains("this line is on standard output"),
        "{}",
        free.transcript()
    );
    assert!(
        free.stderr.contains("this line is on standard error"),
        "{}",
        free.transcript()
    );
}

#[test]
fn a_failure_is_shown_with_its_output() {
    let lab = Lab::shared("basic");
    let finished = lab.stt(["--exact", "tests::fails"]).run().code(100);
    for text in [
        "this line is on standard output",
        "this line is on standard error",
        "two and two",
    ] {
        assert!(
            finished.transcript().contains(text),
            "no `{text}` in {}",
            finished.transcript()
        );
    }
    let quiet = lab.stt(["--exact", "tests::passes"]).run().code(0);
    assert!(
        !quiet.transcript().contains("running 1 test"),
        "{}",
        quiet.transcript()
    );
    let shown = lab
        .stt(["--exact", "tests::passes", "--success-output", "immediate"])
        .run()
        .code(0);
    assert!(
        shown.transcript().contains("running 1 test"),
        "{}",
        shown.transcript()
    );
}

/// The tests of a list, by binary, with whether they are marked as ignored.
fn listed(text: &str) -> BTreeSet<(String, String, bool)> {
    let mut tests = BTreeSet::new();
    let mut binary = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("    ") {
            let plain = name.strip_suffix(" (ignored)");
            let name = plain.unwrap_or(name).to_owned();
            let new = tests.insert((binary.to_owned(), name, plain.is_some()));
            assert!(new, "twice in the list: {line}");
        } else {
            binary = line.strip_suffix(':').expect("a binary's line ends so");
        }
    }
    tests
}

/// What a list must hold of a fixture.
fn modelled(lab: &Lab, wanted: impl Fn(&str) -> bool) -> BTreeSet<(String, String, bool)> {
    let tests = picked(&lab.expected().results(&[]), wanted).into_iter();
    tests
        .map(|((binary, name), result)| (binary, name, result == "ignored"))
        .collect()
}

#[test]
fn a_list_holds_what_would_run() {
    let lab = Lab::shared("basic");
    let list = |args: &[&str]| listed(&lab.stt(["list"]).args(args).run().code(0).stdout);
    assert_eq!(list(&[]), modelled(&lab, |_| true));
    assert_eq!(
        list(&["passes"]),
        modelled(&lab, |name| name.contains("passes"))
    );
    assert_eq!(
        list(&["--", "--skip", "tests::"]),
        modelled(&lab, |name| !name.contains("tests::"))
    );
    let ignored: BTreeSet<_> = modelled(&lab, |_| true)
        .into_iter()
        .filter(|(_, _, ignored)| *ignored)
        .map(|(binary, name, _)| (binary, name, false))
        .collect();
    assert_eq!(list(&["--run-ignored", "only"]), ignored);
    assert_eq!(list(&["no_test_has_such_a_name"]), BTreeSet::new());
    assert!(!lab.checkpoint.exists(), "a list is no run");
}

/// nextest is the reference for ids and names, where it is installed.
#[test]
#[expect(
    clippy::print_stderr,
    reason = "a comparison that did not happen must say so"
)]
fn a_list_is_nextests_list() {
    for fixture in ["counting", "basic"] {
        let lab = Lab::shared(fixture);
        let mut nextest = lab.command(stt_tests::cargo());
        nextest.args(["nextest", "list", "--message-format", "json"]);
        if fixture == "basic" {
            // It has a program that looks at no argument, of which nextest can make nothing.
            nextest.args(["--workspace", "--lib", "--bins", "--test", "cli", "--test"]);
            nextest.args(["leaky", "--test", "protocol"]);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the tests start their own children"
        )]
        let output = nextest.output().expect("cargo starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let Ok(theirs) = serde_json::from_str::<serde_json::Value>(&text) else {
            assert!(!output.status.success(), "nextest wrote no JSON: {text}");
            eprintln!("SKIPPED: cargo-nextest is not installed, nothing to compare with");
            return;
        };
        let mut expected = BTreeSet::new();
        for (id, suite) in theirs["rust-suites"].as_object().expect("suites") {
            for (name, case) in suite["testcases"].as_object().expect("cases") {
                let ignored = case["ignored"].as_bool().expect("a flag");
                expected.insert((id.clone(), name.clone(), ignored));
            }
        }
        let stt = lab.stt(["list", "--workspace"]).run().code(0);
        let mut ours = listed(&stt.stdout);
        ours.retain(|(binary, _, _)| {
            fixture != "basic" || !["basic::plain", "basic::example/demo"].contains(&&**binary)
        });
        assert_eq!(ours, expected, "{fixture}");
    }
}

/// Whoever looks for orphans takes a child of the runner's main thread for one and reaps it when it is
/// dead, so cargo must be the child of another thread while the compiler is asked beside it.
#[test]
fn nobody_else_can_reap_the_build() {
    let lab = Lab::shared("basic");
    let script = lab.path("cargo.sh");
    let told = lab.path("told");
    let text = format!(
        "#!/bin/sh\ncase \"$1\" in test)\n  \
            tr ' ' '\\n' < /proc/$PPID/task/$PPID/children | grep -qx $$ && echo main > {told} || echo other > {told}\n\
        esac\nexec {} \"$@\"\n",
        stt_tests::cargo()
    );
    fs_err::write(&script, text).expect("writable");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(&script, mode).expect("it is ours");
    drop(lab.stt(["passes"]).env("CARGO", &script).run().code(0));
    let told = fs_err::read_to_string(told).expect("cargo was called");
    assert_eq!(told, "other\n");
}
