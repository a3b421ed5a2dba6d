//! Formats for programs that others have made common: nextest's list, and libtest's lines.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;
use stt_tests::Lab;
use stt_tests::cargo;
use stt_tests::skipped;

/// What nextest prints in this laboratory; `None`, with a word about it, where there is no nextest.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn nextest(lab: &Lab, args: &[&str]) -> Option<String> {
    let mut command = lab.command(cargo());
    command.arg("nextest").args(args);
    let output = command
        .env("NEXTEST_EXPERIMENTAL_LIBTEST_JSON", "1")
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("no such command") {
        skipped("nextest", &said);
        return None;
    }
    Some(String::from_utf8(output.stdout).expect("it prints text"))
}

/// The binaries of `basic` that list their tests.
const BASIC: [&str; 8] = [
    "-p", "basic", "--lib", "--bins", "--test", "cli", "--test", "protocol",
];

#[test]
fn a_list_is_the_one_that_nextest_gives() {
    let lab = Lab::shared("basic");
    let filters: [&[&str]; 6] = [
        &[],
        &["-E", "kind(lib) & test(passes)", "--", "too"],
        &["-E", "test(ignored) | kind(bin)"],
        &["--", "fails"],
        &["--run-ignored", "all", "--", "tests::"],
        &["--partition", "slice:1/2"],
    ];
    for filter in filters {
        let args = [&["list", "--message-format", "json"], &BASIC[..], filter].concat();
        // Both say `only`, with other words for it.
        let ours = lab.stt(&args).run().code(0);
        let Some(theirs) = nextest(&lab, &args) else {
            return;
        };
        let parsed = |text: &str| serde_json::from_str::<Value>(text).expect("it is JSON");
        assert_eq!(parsed(&ours.stdout), parsed(&theirs), "{filter:?}");
        let pretty = args
            .iter()
            .map(|&arg| if arg == "json" { "json-pretty" } else { arg });
        let pretty = lab.stt(pretty).run().code(0).stdout;
        assert!(pretty.lines().count() > 20 && ours.stdout.lines().count() == 1);
        assert_eq!(parsed(&pretty), parsed(&ours.stdout));
    }
}

/// The objects of a run, with the lines that they are on.
fn lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).expect("every line is an object");
    text.lines().map(parse).collect()
}

/// The names of the tests that have an event. Numbers of attempts belong to them.
fn events(lines: &[Value], event: &str) -> BTreeSet<String> {
    let of_tests = lines
        .iter()
        .filter(|line| line["type"] == "test" && line["event"] == event);
    let names = of_tests.map(|line| line["name"].as_str().expect("a test has a name").to_owned());
    names.collect()
}

fn text<'a>(lines: &'a [Value], test: &str, key: &str) -> Option<&'a str> {
    let ends = |line: &&Value| {
        line["name"]
            .as_str()
            .is_some_and(|name| name.ends_with(test))
    };
    let mut results = lines
        .iter()
        .filter(|line| line["event"] != "started")
        .filter(ends);
    results.next().expect("it has a result").get(key)?.as_str()
}

#[test]
fn results_are_told_as_libtest_and_nextest_tell_them() {
    let lab = Lab::shared("basic");
    let args = [
        &[
            "run",
            "--no-fail-fast",
            "--retries",
            "1",
            "--message-format",
            "libtest-json-plus",
        ],
        &BASIC[..4],
        &["--test", "cli"],
    ]
    .concat();
    let ours = lab.stt(&args).run().code(100);
    let shown = ours.clone().says("FAIL").says("Summary");
    let ours = lines(&shown.stdout);
    // What is written first comes first, whichever the stream.
    let said = text(&ours, "$tests::fails#2", "stdout").expect("it has said something");
    let (first, panic) = (
        "this line is on standard output\nthis line is on standard error\n",
        "two and two",
    );
    assert!(said.starts_with(first) && said.contains(panic), "{said}");
    assert!(!said.contains("FAILED"), "{said}");
    assert_eq!(
        text(&ours, "$ends_by_signal#2", "message"),
        Some("ended by signal 6 (SIGABRT)")
    );
    assert_eq!(text(&ours, "$tests::passes", "stdout"), None);
    let ends: BTreeMap<_, _> = ours
        .iter()
        .filter(|line| line["type"] == "suite" && line["event"] != "started")
        .map(|line| {
            (
                line["stt"]["test_binary"]
                    .as_str()
                    .expect("it has one")
                    .to_owned(),
                line,
            )
        })
        .collect();
    assert_eq!(ends.len(), 3);
    let unit = ends["basic"];
    assert_eq!(
        [&unit["passed"], &unit["failed"], &unit["ignored"]],
        [8, 3, 2]
    );
    assert_eq!(unit["event"], "failed");
    let whose = serde_json::json!({"crate": "basic", "test_binary": "basic-tool", "kind": "bin"});
    assert_eq!(
        (&ends["basic-tool"]["stt"], &ends["basic-tool"]["event"]),
        (&whose, &"ok".into())
    );
    let Some(theirs) = nextest(&lab, &args) else {
        return;
    };
    let theirs = lines(&theirs);
    for event in ["started", "ok", "failed", "ignored"] {
        assert_eq!(events(&ours, event), events(&theirs, event), "{event}");
    }
}

#[test]
fn a_resumed_run_tells_only_what_it_ran() {
    let lab = Lab::shared("counting");
    drop(lab.stt(["--no-fail-fast"]).run().code(100));
    let again = ["--rerun-failed", "--message-format", "libtest-json"];
    let lines = lines(&lab.stt(again).run().code(100).stdout);
    let suites: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "suite")
        .collect();
    assert_eq!(suites.len(), 2, "{lines:?}");
    assert_eq!(suites[0]["test_count"], 1);
    assert_eq!([&suites[1]["failed"], &suites[1]["passed"]], [1, 0]);
    assert_eq!(suites[1]["filtered_out"], 21);
    assert_eq!(events(&lines, "started").len(), 1);
    assert!(lines.iter().all(|line| line.get("stt").is_none()));
}
