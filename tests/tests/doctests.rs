//! Documentation tests: each is a test, with a process and a result of its own.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use stt_tests::Lab;
use stt_tests::Report;
use stt_tests::cargo;

const BINARY: &str = "documented::doc/documented";

/// How many there are in both libraries of the fixture.
const ALL: usize = 16;

/// What `cargo test --doc` says of each test.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn by_cargo(lab: &Lab) -> BTreeMap<String, String> {
    let mut command = lab.command(cargo());
    command.args(["test", "--doc", "--no-fail-fast"]);
    let output = command.output().expect("cargo starts");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let results = text.lines().filter_map(|line| {
        let (name, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        let name = name
            .trim_end_matches(" - compile fail")
            .trim_end_matches(" - compile");
        let outcome = match result {
            "ok" => "passed",
            "FAILED" => "exit 101",
            other => other,
        };
        Some((name.to_owned(), outcome.to_owned()))
    });
    results.collect()
}

/// The results of documentation tests by their names.
fn results(report: &Report) -> BTreeMap<String, String> {
    let results = report.results().into_iter();
    let docs = results.filter(|((binary, _), _)| binary.contains("::doc/"));
    docs.map(|((_, name), outcome)| (name, outcome)).collect()
}

#[test]
fn each_has_the_result_that_cargo_says() {
    let lab = Lab::shared("documented");
    let junit = lab.path("junit.xml");
    let run = lab.json(["--doc", "--no-fail-fast", "--junit", junit.as_str()]);
    let run = run.run().code(100);
    let (ours, theirs) = (results(&run.report()), by_cargo(&lab));
    assert_eq!(theirs.len(), ALL);
    assert_eq!(ours, theirs);
    let output = |place: &str| {
        let report = run.report();
        let line = report.finished(&format!("documented/src/lib.rs - double (line {place})"));
        line["output"]["stdout"]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(output("26").contains("what it said"));
    assert!(output("51").contains("Couldn't compile the test."));
    assert!(output("57").contains("SIGABRT"));
    let junit = fs_err::read_to_string(junit).expect("the report is there");
    assert_eq!(junit.matches("<testcase ").count(), ALL);
    assert!(junit.contains(&format!("<testsuite name=\"{BINARY}\"")));
    lab.assert_clean();
}

#[test]
fn they_are_selected_as_other_tests_are() {
    let lab = Lab::shared("documented");
    let listed = |args: &[&str]| {
        let list = lab.stt(["list", "--doc"]).args(args).run().code(0).stdout;
        let tests = list.lines().filter_map(|line| line.strip_prefix("    "));
        tests
            .map(|line| line.trim_end_matches(" (ignored)").to_owned())
            .collect::<BTreeSet<_>>()
    };
    let all = listed(&[]);
    assert_eq!(all.len(), ALL);
    assert_eq!(listed(&["triple"]).len(), 2);
    assert_eq!(
        listed(&[
            "--",
            "--exact",
            "documented/src/more.rs - more::triple (line 3)"
        ])
        .len(),
        1
    );
    assert_eq!(listed(&["-E", "kind(doc) & test(README)"]).len(), 1);
    assert_eq!(listed(&["-E", "package(plain)"]).len(), 0);
    let parts = ["1/2", "2/2"].map(|part| listed(&["--partition", &format!("slice:{part}")]));
    assert!(parts[0].is_disjoint(&parts[1]) && parts.iter().all(|part| part.len() >= 7));
    assert_eq!(&parts[0] | &parts[1], all);
    drop(
        lab.stt(["--doc", "-p", "plain"])
            .run()
            .code(101)
            .says("no library targets found"),
    );
    drop(lab.stt(["--doc", "--lib"]).run().code(2));
}

#[test]
fn a_resumed_run_runs_those_without_a_result_and_drops_those_of_changed_sources() {
    let lab = Lab::copied("documented");
    let first = lab.json(["--doc", "-j1"]).run().code(100).report();
    assert!(first.count("outstanding") > 0);
    let done = results(&first);
    let rest = lab
        .json(["--resume", "--no-fail-fast"])
        .run()
        .code(100)
        .report();
    let (rest_done, all) = (results(&rest), by_cargo(&lab));
    let twice: Vec<_> = rest_done
        .keys()
        .filter(|name| done.contains_key(*name))
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(
        done.into_iter()
            .chain(rest_done)
            .collect::<BTreeMap<_, _>>(),
        all
    );
    assert_eq!((rest.count("outstanding"), rest.count("failed")), (0, 3));
    let again = lab.json(["--resume"]).run().code(100);
    drop(again.says("nothing to resume"));
    // What is only read when documentation is tested counts as well.
    let readme = lab.root.join("documented/README.md");
    let text = fs_err::read_to_string(&readme).expect("it is there");
    fs_err::write(&readme, text.replace("8)", "9)")).expect("the laboratory is writable");
    let changed = lab
        .json(["--resume", "--no-fail-fast"])
        .run()
        .code(100)
        .report();
    assert_eq!(
        results(&changed).len(),
        14,
        "the other library has not changed"
    );
    assert_eq!(changed.count("failed"), 4);
    lab.assert_clean();
}

#[test]
fn the_configuration_has_them_run_after_the_others() {
    let lab = Lab::shared("documented");
    let config = ["--config", "run.doctests=true", "--no-fail-fast", "-j1"];
    let run = lab.json(config).run().code(100).report();
    let order: Vec<_> = run
        .of("test-started")
        .map(|line| line["test"]["binary"].clone())
        .collect();
    // Two are ignored, and two are no documentation.
    assert_eq!(order.len(), ALL);
    assert!(
        order[..2]
            .iter()
            .all(|binary| !binary.as_str().is_some_and(|it| it.contains("doc/"))),
        "{order:?}"
    );
    let counts: [(&[&str], u64); 3] = [
        (&["--lib"], 1),
        (&["-p", "plain"], 1),
        (&["-E", "kind(bin)"], 1),
    ];
    for (args, tests) in counts {
        let run = lab.json(config).args(args).run().code(0).report();
        assert_eq!(run.count("total"), tests, "{args:?}");
    }
}

#[test]
fn what_one_leaves_behind_is_named_and_ended() {
    let lab = Lab::shared("documented");
    let args = ["--doc", "--run-ignored", "only", "--leaks", "fail"];
    let run = lab.json(args).run().code(100).report();
    for (line, command) in [(69, "sleep 1000"), (76, "sleep 1001")] {
        let name = format!("documented/src/lib.rs - double (line {line})");
        let finished = run.finished(&name);
        let left = &finished["leak"]["processes"][0]["command"];
        assert_eq!(left, command, "{finished}");
    }
    lab.assert_clean();
}
