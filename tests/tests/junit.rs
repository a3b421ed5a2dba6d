//! `--junit`: a file that holds the whole run, however it went.

use std::collections::BTreeMap;

use camino::Utf8Path;
use quick_junit::NonSuccessKind;
use quick_junit::Report;
use quick_junit::TestCase;
use quick_junit::TestCaseStatus;
use stt_tests::Lab;
use stt_tests::Results;

fn read(path: &Utf8Path) -> Report {
    let xml = fs_err::read_to_string(path).expect("the report was written");
    Report::deserialize_from_str(&xml).unwrap_or_else(|error| panic!("{error}\n{xml}"))
}

/// The cases of a report, by binary and name.
fn cases(report: &Report) -> BTreeMap<(String, String), &TestCase> {
    let mut cases = BTreeMap::new();
    for suite in &report.test_suites {
        for case in &suite.test_cases {
            assert_eq!(case.classname.as_ref(), Some(&suite.name));
            let id = (
                suite.name.as_str().to_owned(),
                case.name.as_str().to_owned(),
            );
            assert!(
                cases.insert(id, case).is_none(),
                "{:?} is there twice",
                case.name
            );
        }
    }
    assert_eq!(cases.len(), report.tests);
    cases
}

/// The kind of what is not a success, and how it is told.
fn told(case: &TestCase) -> Option<(NonSuccessKind, &str, &str)> {
    match &case.status {
        TestCaseStatus::NonSuccess {
            kind, message, ty, ..
        } => Some((*kind, ty.as_deref()?, message.as_deref()?)),
        TestCaseStatus::Success { .. } | TestCaseStatus::Skipped { .. } => None,
    }
}

fn property<'a>(case: &'a TestCase, name: &str) -> Option<&'a str> {
    let property = case.properties.iter().find(|one| one.name.as_str() == name);
    property.map(|property| property.value.as_str())
}

/// The results of a report in the words of the models.
fn results(report: &Report) -> Results {
    let word = |case: &TestCase| match (&case.status, told(case)) {
        (TestCaseStatus::Skipped { .. }, _) => "ignored".to_owned(),
        (_, None) => "passed".to_owned(),
        (_, Some((NonSuccessKind::Failure, "exit", message))) => {
            let code = message.rsplit(' ').next().unwrap_or_default();
            format!("exit {code}")
        }
        (_, Some((NonSuccessKind::Failure, "signal", message))) => {
            let number = message.split(' ').nth(3).unwrap_or_default();
            format!("signal {number}")
        }
        (_, Some(other)) => format!("{other:?}"),
    };
    let cases = cases(report).into_iter();
    cases.map(|(id, case)| (id, word(case))).collect()
}

#[test]
fn every_result_is_there_with_what_the_test_used() {
    let lab = Lab::shared("basic");
    let path = lab.path("new/deep/junit.xml");
    let run = lab.json(["--workspace", "--no-fail-fast", "--junit", path.as_str()]);
    let finished = run.run().code(100);
    let report = read(&path);
    assert_eq!(results(&report), lab.expected().results(&[]));
    let run = finished.report().one("run-started")["run"].clone();
    assert_eq!(
        report.uuid.map(|uuid| uuid.to_string()).as_deref(),
        run.as_str()
    );
    for (id, case) in cases(&report) {
        let ran = !matches!(case.status, TestCaseStatus::Skipped { .. });
        let number =
            |name| property(case, name).map(|value| value.parse::<f64>().expect("a number"));
        assert_eq!(
            number("peak-memory").is_some_and(|bytes| bytes > 100_000.0),
            ran,
            "{id:?}"
        );
        assert_eq!(number("cpu").is_some(), ran, "{id:?}");
        let leaves = id.0 == "basic::leaky";
        assert_eq!(property(case, "leak").is_some(), leaves, "{id:?}");
    }
    let cases = cases(&report);
    let failed = cases[&("basic".to_owned(), "tests::fails".to_owned())];
    assert!(
        failed
            .system_err
            .as_ref()
            .is_some_and(|text| text.contains("panicked at"))
    );
    lab.assert_clean();
}

#[test]
fn tests_that_were_not_run_are_errors_until_a_later_leg_has_run_them() {
    let lab = Lab::shared("counting");
    let path = lab.path("junit.xml");
    let junit = ["--junit", path.as_str()];
    drop(lab.stt(["-j", "1"]).args(junit).run().code(100));
    let first = read(&path);
    assert_eq!((first.tests, first.failures, first.skipped), (42, 1, 1));
    assert!(first.errors > 0, "nothing was left: the test shows nothing");
    let left = cases(&first);
    let left = left.values().filter_map(|case| told(case));
    let expected = (
        NonSuccessKind::Error,
        "not-run",
        "not run: the run ended after 1 failure",
    );
    assert_eq!(left.filter(|told| *told == expected).count(), first.errors);

    drop(
        lab.stt(["--resume", "--no-fail-fast"])
            .args(junit)
            .run()
            .code(100),
    );
    let second = read(&path);
    assert_eq!(results(&second), lab.expected().results(&[]));
    assert_eq!(first.uuid, second.uuid);
    let id = ("counting::first".to_owned(), "fails_until_told".to_owned());
    let [before, after] = [&first, &second].map(|report| cases(report)[&id].clone());
    assert_eq!(
        before, after,
        "the result of the first leg, with its output"
    );
    assert!(before.system_err.is_some());

    fs_err::remove_file(&path).expect("it is there");
    let again = lab.stt(["--resume"]).args(junit).run().code(100);
    drop(again.says("nothing to resume"));
    assert_eq!(results(&read(&path)), results(&second));
}

#[test]
fn a_run_that_the_guard_stops_says_so_in_each_test_that_was_not_run() {
    let lab = Lab::shared("hostile");
    let path = lab.path("junit.xml");
    let run = lab.stt(["-j", "1", "--exact", "leaks_fast", "takes_some_and_passes"]);
    let run = run.args(["--memory-threshold", "200MB", "--junit", path.as_str()]);
    drop(run.run().code(42));
    let report = read(&path);
    assert_eq!((report.tests, report.errors), (2, 2), "{report:#?}");
    for case in cases(&report).values() {
        let (_, kind, message) = told(case).expect("an error");
        assert!(["not-run", "unfinished"].contains(&kind), "{kind}");
        assert!(message.contains("the guard stopped the run"), "{message}");
    }
    lab.assert_clean();
}

#[test]
fn a_report_that_cannot_be_written_is_told_and_a_failed_test_is_worse() {
    let lab = Lab::shared("counting");
    fs_err::write(lab.path("file"), "").expect("the laboratory is writable");
    let path = lab.path("file/junit.xml");
    let junit = ["--junit", path.as_str()];
    let told = format!("the JUnit report could not be written to `{path}`");
    let passed = lab.stt(["--exact", "t00"]).args(junit).run().code(110);
    drop(passed.says(&told).says("1 passed"));
    let failed = lab.stt(["--exact", "fails_until_told"]).args(junit).run();
    drop(failed.code(100).says(&told));
    drop(lab.stt(["--no-run"]).args(junit).run().code(2));
}

#[test]
fn the_place_of_the_report_is_relative_to_who_names_it() {
    let lab = Lab::copied("counting");
    let chosen = ["--exact", "t00"];
    let inside = lab.root.join("src");
    let flag = lab.stt(chosen).args(["--junit", "a.xml"]).cwd(&inside);
    drop(flag.run().code(0));
    drop(
        lab.stt(chosen)
            .env("STT_REPORT_JUNIT", "b.xml")
            .cwd(&inside)
            .run()
            .code(0),
    );
    let key = lab
        .stt(chosen)
        .args(["--config", "report.junit=target/c.xml"]);
    drop(key.cwd(&inside).run().code(0));
    for path in ["src/a.xml", "b.xml", "target/c.xml"] {
        assert_eq!(read(&lab.root.join(path)).tests, 1, "{path}");
    }
}
