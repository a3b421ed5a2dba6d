//! `--resume`: what has a result never runs again, and everything else does.

use std::collections::BTreeMap;

use camino::Utf8Path;
use stt_tests::Lab;
use stt_tests::Results;

/// Moves the modification time of a file, so that cargo builds what depends on it again.
fn touch(path: &Utf8Path) {
    let text = fs_err::read(path).expect("readable");
    fs_err::write(path, text).expect("writable");
}

fn merged(first: Results, second: Results) -> Results {
    let mut all: BTreeMap<_, _> = first;
    for (id, result) in second {
        let before = all.insert(id.clone(), result);
        assert_eq!(before, None, "{id:?} ran in both legs");
    }
    all
}

#[test]
fn the_rest_runs_after_a_failure_ended_the_run() {
    let lab = Lab::shared("counting");
    let (first_log, second_log) = (lab.log(), lab.log());
    let first = lab.json(["-j", "1"]).log(&first_log).run().code(100);
    assert_eq!(first.report().one("run-finished")["cancelled"], true);
    let second = lab
        .json(["--resume", "--no-fail-fast"])
        .log(&second_log)
        .run()
        .code(100);
    let mut expected = lab.expected().results(&[]);
    let all = merged(first.results(), second.results());
    expected.retain(|_, result| result != "ignored");
    let mut ran = all;
    ran.retain(|_, result| result != "ignored");
    assert_eq!(ran, expected);
    assert_eq!(second_log.count("fails_until_told"), 0, "it has its result");
    let starts =
        [first_log.starts(), second_log.starts()].map(|starts| starts.values().sum::<usize>());
    assert_eq!(starts[0] + starts[1], 41);
    assert!(starts[1] > 0, "nothing was left: the test shows nothing");
    let report = second.report();
    assert_eq!(report.count("passed") + report.count("failed"), 41);
    assert_eq!(report.count("ignored"), 1);
    assert_eq!(
        report.one("run-started")["run"],
        first.report().one("run-started")["run"]
    );
}

#[test]
fn a_complete_run_has_nothing_to_resume() {
    let lab = Lab::shared("counting");
    for (mended, code) in [(true, 0), (false, 100)] {
        let stt = lab.stt(["--no-fail-fast"]);
        let stt = if mended {
            stt.env("COUNTING_MENDED", "1")
        } else {
            stt
        };
        drop(stt.run().code(code));
        let before = lab.record().results();
        let log = lab.log();
        let resumed = lab.stt(["--resume"]).log(&log).run().code(code);
        assert!(log.starts().is_empty(), "{:?}", log.starts());
        let resumed = resumed.says("nothing to resume: ");
        assert_eq!(lab.record().results(), before);
        if !mended {
            drop(resumed.says("fails_until_told"));
        }
    }
}

#[test]
fn without_a_checkpoint_everything_runs_and_the_user_is_told() {
    let lab = Lab::shared("counting");
    let log = lab.log();
    let finished = lab.stt(["--resume", "--no-fail-fast"]).log(&log).run();
    drop(
        finished
            .code(100)
            .says("warning: ")
            .says("checkpoint.json")
            .says("every test runs"),
    );
    assert_eq!(log.starts().len(), 41);
}

#[test]
fn another_selection_than_the_recorded_one_is_refused() {
    let lab = Lab::shared("slow");
    drop(lab.stt(["t00", "t01"]).run().code(0));
    let before = fs_err::read(&lab.checkpoint).expect("there is a checkpoint");
    for other in [
        &["t02"][..],
        &["t00"],
        &["--lib", "t00", "t01"],
        &["t00", "t01", "--run-ignored", "all"],
        &["--", "t00"],
    ] {
        let log = lab.log();
        let resume = lab.stt(["--resume"]).args(other).log(&log);
        drop(resume.run().code(2).says("selected other tests"));
        assert!(log.starts().is_empty(), "{other:?}");
        assert_eq!(fs_err::read(&lab.checkpoint).expect("it is there"), before);
    }
    let same = lab.stt(["--resume", "t00", "t01"]).run().code(0);
    drop(same.says("nothing to resume: "));
}

#[test]
fn the_selection_comes_from_the_checkpoint() {
    let lab = Lab::shared("slow");
    drop(
        lab.json(["--lib", "t0", "--skip", "t05", "-j", "1"])
            .run()
            .code(100),
    );
    let resumed = lab.json(["--resume", "--no-fail-fast"]).run().code(100);
    let report = resumed.report();
    assert_eq!(report.count("passed") + report.count("failed"), 9);
    assert!(report.results().keys().all(|(binary, _)| binary == "slow"));
}

#[test]
fn results_of_a_changed_binary_are_dropped_by_name() {
    let lab = Lab::copied("counting");
    let run = |args: &[&str]| {
        let log = lab.log();
        let finished = lab
            .stt(args)
            .env("COUNTING_MENDED", "1")
            .log(&log)
            .run()
            .code(0);
        (finished, log.starts())
    };
    run(&["--no-fail-fast"]);
    let second = lab.root.join("tests/second.rs");
    let source = fs_err::read_to_string(&second).expect("readable");
    fs_err::write(
        &second,
        source + "\ncounting::tests!(\"counting::second\": t99);\n",
    )
    .expect("writable");
    let (resumed, starts) = run(&["--resume"]);
    drop(
        resumed
            .says("counting::second")
            .never_says("counting::first"),
    );
    assert_eq!(starts.len(), 21);
    assert!(
        starts
            .keys()
            .all(|(binary, _)| binary == "counting::second"),
        "{starts:?}"
    );
    assert_eq!(
        lab.record()
            .results()
            .values()
            .filter(|result| *result == "passed")
            .count(),
        42
    );
}

#[test]
fn an_identical_rebuild_keeps_every_result() {
    let lab = Lab::copied("counting");
    drop(
        lab.stt(["--no-fail-fast"])
            .env("COUNTING_MENDED", "1")
            .run()
            .code(0),
    );
    for file in ["src/lib.rs", "tests/first.rs", "tests/second.rs"] {
        touch(&lab.root.join(file));
    }
    let log = lab.log();
    drop(
        lab.stt(["--resume"])
            .env("COUNTING_MENDED", "1")
            .log(&log)
            .run()
            .code(0),
    );
    assert!(log.starts().is_empty(), "ran again: {:?}", log.starts());
}

#[test]
fn a_new_run_begins_anew() {
    let lab = Lab::shared("counting");
    drop(lab.json(["--no-fail-fast"]).run().code(100));
    let log = lab.log();
    let second = lab
        .json(["--no-fail-fast"])
        .env("COUNTING_MENDED", "1")
        .log(&log)
        .run()
        .code(0);
    assert_eq!(log.starts().len(), 41);
    assert_eq!(second.report().one("run-started")["kept"], 0);
    assert_eq!(
        lab.record()
            .results()
            .values()
            .filter(|result| *result == "passed")
            .count(),
        41
    );
}

#[test]
fn a_run_can_be_resumed_more_than_once() {
    let lab = Lab::shared("slow");
    let mut all = Results::new();
    for leg in 1..=7 {
        let resume: &[&str] = if leg == 1 { &[] } else { &["--resume"] };
        let finished = lab.json(resume).args(["-j", "1"]).run().code(100);
        all = merged(all, finished.results());
    }
    assert_eq!(all, lab.expected().results(&[]));
    let end = lab.json(["--resume"]).run().code(100);
    assert!(end.results().is_empty());
    assert_eq!(end.report().count("failed"), 6);
}

#[test]
fn what_has_failed_runs_again_and_nothing_else() {
    let lab = Lab::shared("counting");
    let refused = lab.stt(["--rerun-failed"]).run().code(96);
    drop(
        refused
            .says("there is no recorded run")
            .says("--rerun-failed"),
    );
    drop(lab.stt(["--no-fail-fast"]).run().code(100));
    let again = |mended: bool| {
        let log = lab.log();
        let mut stt = lab.stt(["--rerun-failed"]).log(&log);
        if mended {
            stt = stt.env("COUNTING_MENDED", "1");
        }
        let finished = stt.run();
        (
            finished,
            log.starts()
                .into_keys()
                .map(|(_, test)| test)
                .collect::<Vec<_>>(),
        )
    };
    for (mended, code) in [(false, 100), (true, 0)] {
        let (finished, ran) = again(mended);
        drop(finished.code(code).says("kept from earlier legs: 41"));
        assert_eq!(ran, ["fails_until_told"]);
    }
    let (finished, ran) = again(false);
    drop(
        finished
            .code(0)
            .says("no test of the recorded run has failed"),
    );
    assert!(ran.is_empty(), "{ran:?}");
    assert_eq!(lab.record().recorded().len(), 42);
    lab.assert_clean();
}

#[test]
fn what_has_no_result_is_left_when_only_failed_tests_run_again() {
    let lab = Lab::shared("counting");
    let mended = |args: &[&str]| lab.stt(args).env("COUNTING_MENDED", "1");
    let (first_log, log, rest) = (lab.log(), lab.log(), lab.log());
    drop(
        lab.stt(["-j1", "-E", "test(/^[fi]/) | test(t3)"])
            .log(&first_log)
            .run()
            .code(100),
    );
    drop(lab.stt(["--rerun-failed", "t00"]).run().code(2));
    let left = mended(&["--rerun-failed"]).log(&log).run().code(42);
    drop(
        left.says("only what had failed was to run")
            .says("--resume"),
    );
    assert_eq!(log.starts().len(), 1);
    drop(
        mended(&["--resume", "--rerun-failed"])
            .log(&rest)
            .run()
            .code(0),
    );
    assert_eq!(first_log.starts().len() + rest.starts().len(), 11);
    lab.assert_clean();
}
