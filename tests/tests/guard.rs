//! The guard stops a run before it takes the machine down, keeps what is known, and blames nobody
//! without a second trial.

use std::collections::BTreeSet;
use std::io::Write as _;

use stt_tests::Finished;
use stt_tests::Lab;
use stt_tests::Log;
use stt_tests::Report;
use stt_tests::Results;
use stt_tests::is_alive;
use stt_tests::skipped;

const SIZE: &str = "400MiB";
const LINE: [&str; 2] = ["--memory-threshold", SIZE];
const QUICK_END: [&str; 4] = [
    "--config",
    "guard.grace-period=300ms",
    "--config",
    "run.grace-period=300ms",
];

fn id(binary: &str, name: &str) -> (String, String) {
    (binary.to_owned(), name.to_owned())
}

fn names(results: &Results) -> BTreeSet<String> {
    results.keys().map(|(_, name)| name.clone()).collect()
}

/// Runs harmless tests with `leaker` between them, until the guard stops the run; resumes it; and
/// holds that the leaker alone was tried twice and failed.
fn stopped_resumed_blamed(leaker: &str, size: &str, extra: &[&str]) {
    let line = ["--memory-threshold", size];
    let shown = size.replace("MiB", " MiB");
    let lab = Lab::shared("hostile");
    let (first, second) = (lab.log(), lab.log());
    let chosen = [
        "--no-fail-fast",
        "-j",
        "2",
        "calm_",
        "exits_with_seven",
        "prints_what_is_no_text",
        leaker,
    ];
    let stopped = lab
        .stt(chosen)
        .args(line)
        .args(extra)
        .args(QUICK_END)
        .log(&first)
        .run()
        .code(42);
    lab.assert_clean();
    assert!(!is_alive(lab.traced(leaker).expect("it ran")[0]));
    drop(
        stopped
            .says(leaker)
            .says("hostile::memory")
            .says("--resume")
            .says(&shown),
    );

    let record = lab.record();
    let kept = record.results();
    assert!(!names(&kept).contains(leaker), "it has a result: {kept:?}");
    assert_eq!(record.of("stopped").count(), 1, "{:#}", record.json);
    assert_eq!(
        record.of("stopped").next().expect("one")["largest"][0]["test"]["name"],
        leaker
    );

    let resumed = lab
        .json(["--resume"])
        .args(line)
        .args(extra)
        .args(QUICK_END)
        .log(&second)
        .run()
        .code(100);
    lab.assert_clean();
    let report = resumed.report();
    let again = report.results();
    assert_eq!(again[&id("hostile::memory", leaker)], "breach");
    let both: Vec<_> = again.keys().filter(|id| kept.contains_key(*id)).collect();
    assert!(both.is_empty(), "with a result, and run again: {both:?}");
    let all: BTreeSet<_> = names(&kept).into_iter().chain(names(&again)).collect();
    assert_eq!(all.len(), 10 + 1 + 1 + 1 + 1, "{all:?}");
    ran_once(&first, &second, &kept);
    let last = report.of("test-started").last().expect("it was started");
    assert_eq!(
        last["test"]["name"], leaker,
        "the suspect comes last, alone"
    );
    let reason = report.finished(leaker)["failure"]["reason"].to_string();
    assert!(reason.contains(&shown), "{reason}");
    let failed = report.one("run-finished")["failed"].to_string();
    for name in [
        leaker,
        "calm_failure",
        "exits_with_seven",
        "prints_what_is_no_text",
    ] {
        assert!(
            failed.contains(name),
            "{name} is not among the failed of the whole run: {failed}"
        );
    }

    // The run is complete now, and says so without running anything.
    let third = lab.json(["--resume"]).args(line).run().code(100);
    assert_eq!(third.report().of("test-started").count(), 0);
}

/// No test that had a result after the first leg was started in the second.
fn ran_once(first: &Log, second: &Log, kept: &Results) {
    let again = second.starts();
    for id in kept.keys() {
        assert!(!again.contains_key(id), "{id:?} ran twice");
    }
    assert!(
        first.starts().values().all(|count| *count == 1),
        "{:?}",
        first.starts()
    );
}

#[test]
fn a_leak_stops_the_run_and_is_blamed_when_it_leaks_alone() {
    stopped_resumed_blamed("leaks_fast", SIZE, &[]);
}

#[test]
fn a_leak_that_ignores_term_is_stopped_too() {
    stopped_resumed_blamed("leaks_and_ignores_term", SIZE, &[]);
}

#[test]
fn a_slow_leak_is_seen_as_well() {
    let extra = ["--check-interval", "200ms"];
    stopped_resumed_blamed("leaks_slowly", "200MiB", &extra);
}

#[test]
fn a_test_is_ended_long_before_it_has_what_it_wants() {
    let lab = Lab::shared("hostile");
    let stopped = lab
        .json(["--exact", "leaks_fast"])
        .args(LINE)
        .args(QUICK_END)
        .run()
        .code(42);
    let report = stopped.report();
    let stop = &report.one("run-finished")["stop"];
    let used = stop["largest"][0]["memory"].as_u64().expect("a number");
    assert!(
        (360_000_000..1_500_000_000).contains(&used),
        "seen at {used} bytes"
    );
    assert_eq!(
        report
            .of("guard")
            .filter(|line| line["action"] == "stop")
            .count(),
        1
    );
    let last = report.of("guard").last().expect("it has decided something");
    assert_eq!(last["action"], "stop", "nothing is decided after the end");
    assert_eq!(report.of("test-unfinished").count(), 1);
    assert_eq!(report.one("run-finished")["outcome"], "stopped");
}

#[test]
fn shedding_lets_the_others_finish_and_tries_the_large_one_alone() {
    let lab = Lab::shared("hostile");
    let stt = lab.json([
        "--no-fail-fast",
        "-j",
        "2",
        "calm_0",
        "aborts",
        "leaks_fast",
        "--on-breach",
        "shed",
    ]);
    let finished = stt.args(LINE).args(QUICK_END).run().code(100);
    lab.assert_clean();
    let report = finished.report();
    let results = report.results();
    assert_eq!(results.len(), 12);
    assert_eq!(results[&id("hostile::memory", "leaks_fast")], "breach");
    assert_eq!(results[&id("hostile::death", "aborts")], "signal 6");
    let shed = report
        .of("guard")
        .find(|line| line["action"] == "shed")
        .expect("it was shed first");
    assert_eq!(shed["test"]["name"], "leaks_fast");
}

#[test]
fn what_stays_below_the_line_is_let_alone() {
    let lab = Lab::shared("hostile");
    let stt = lab
        .json(["--exact", "takes_some_and_passes", "calm_00"])
        .env("HOSTILE_MEMORY", "150000000");
    let report = stt.args(LINE).run().code(0).report();
    assert_eq!(report.count("passed"), 2);
    assert_eq!(
        report
            .of("guard")
            .filter(|line| line["action"] == "stop")
            .count(),
        0
    );
}

#[test]
fn children_that_share_memory_are_counted_once_also_while_they_end() {
    let lab = Lab::shared("hostile");
    let chosen = ["--exact", "shares_memory_with_twenty_children"];
    let stt = lab.json(chosen).args(["--memory-threshold", "1GB"]);
    let report = stt.env("HOSTILE_SECONDS", "1").run().code(0).report();
    assert_eq!(report.count("passed"), 1);
}

/// A thousand forks of one small test, which takes 1.2 GB to whoever adds up their sizes, until the guard has
/// had a good look at them.
fn beside_a_thousand(args: &[&str]) -> Report {
    let lab = Lab::shared("adversary");
    let test = "hog_beside_a_thousand";
    let stt = lab.json(["--exact", test]).args(args);
    let stt = stt.env("ADVERSARY_MEMORY", "0");
    let mut running = stt.env("ADVERSARY_THEN", "wait").spawn();
    running.wait_for("a thousand are there", |_| lab.is_up(test).then_some(()));
    running.wait_for_looks(20);
    lab.release();
    let report = running.finish().code(0).report();
    lab.assert_clean();
    report
}

#[test]
fn a_thousand_forks_are_as_large_as_they_are_together() {
    let report = beside_a_thousand(&["--memory-threshold", "600MB"]);
    assert_eq!(report.count("passed"), 1);
}

#[test]
fn a_thousand_forks_are_as_large_against_a_limit_of_their_test() {
    let limit = ["--config", "limits.roomy.memory=600MB"];
    let report = beside_a_thousand(&[&["--limits", "roomy"][..], &limit].concat());
    assert_eq!(report.count("passed"), 1);
}

/// A gigabyte that is in no process's resident set.
fn unmapped(test: &str, args: &[&str]) -> Finished {
    let lab = Lab::shared("adversary");
    let stt = lab.json(["--exact", test]).args(args).args(QUICK_END);
    let stt = stt.env("ADVERSARY_MEMORY", "1000000000");
    let finished = stt.env("ADVERSARY_THEN", "hang").run();
    lab.assert_clean();
    finished
}

#[test]
fn memory_that_nobody_has_mapped_counts_against_a_size() {
    for test in ["memory_in_memfd", "memory_in_tmpfs"] {
        let report = unmapped(test, &LINE).code(42).report();
        let largest = &report.one("run-finished")["stop"]["largest"][0];
        assert_eq!(largest["test"]["name"], test);
        let used = largest["memory"].as_u64().expect("a number");
        assert!(used > 300_000_000, "{test} was seen with {used} bytes");
    }
}

#[test]
fn memory_that_nobody_has_mapped_counts_against_a_limit_of_its_test() {
    let limit = [
        "--limits",
        "tight",
        "--config",
        "limits.tight.memory=400MiB",
    ];
    for test in ["memory_in_memfd", "memory_in_tmpfs"] {
        let report = unmapped(test, &limit).code(100).report();
        assert_eq!(report.finished(test)["failure"]["kind"], "limit");
    }
}

#[test]
fn what_tests_leave_in_a_temporary_directory_in_memory_counts() {
    let lab = Lab::shared("hostile");
    let dir = match tempfile::tempdir_in("/dev/shm") {
        Ok(dir) => dir,
        Err(error) => return skipped("a tmpfs", &error),
    };
    let chosen = ["--exact", "fills_its_temporary_directory"];
    let stt = lab.json(chosen).args(LINE).args(QUICK_END);
    drop(stt.env("TMPDIR", dir.path()).run().code(42));
    lab.assert_clean();
}

/// A file that a stranger makes and fills while a test reads in it, as it may in a log or a database.
#[test]
fn a_strangers_file_in_memory_is_nobodys_fault() {
    let lab = Lab::shared("hostile");
    let dir = match tempfile::tempdir_in("/dev/shm") {
        Ok(dir) => dir,
        Err(error) => return skipped("a tmpfs", &error),
    };
    let (test, path) = ("watches_a_file_of_somebody_else", dir.path().join("file"));
    let stt = lab.json(["--exact", test]).args(LINE);
    let mut running = stt.env("HOSTILE_FILE", &path).spawn();
    running.wait_for_start(test);
    let mut file = fs_err::File::create(path).expect("/dev/shm is writable");
    running.wait_for("it is open", |_| lab.traced(test));
    let piece = vec![1_u8; 1 << 20];
    for _ in 0..600 {
        file.write_all(&piece).expect("/dev/shm has room");
    }
    running.wait_for_looks(20);
    lab.release();
    let report = running.finish().code(0).report();
    assert_eq!(report.count("passed"), 1);
}

#[test]
fn on_a_machine_that_others_fill_one_test_runs_at_a_time_from_the_first_on() {
    let lab = Lab::shared("hostile");
    // Every machine uses more than this, and harmless tests are not why.
    let stt = lab.json(["-j", "4", "calm_0", "--memory-threshold", "0.5%"]);
    let report = stt.run().code(0).report();
    let (mut running, mut most) = (0, 0);
    for line in &report.lines {
        match line["type"].as_str() {
            Some("test-started") => running += 1,
            Some("test-finished") => running -= 1,
            _ => {}
        }
        most = running.max(most);
    }
    assert_eq!((report.count("passed"), most), (10, 1));
    let warned = report
        .of("warning")
        .any(|line| line["message"].to_string().contains("one test at a time"));
    assert!(warned, "{:#?}", report.lines);
}

#[test]
fn without_the_guard_nothing_is_stopped() {
    let lab = Lab::shared("hostile");
    let stt = || {
        let stt = lab.json([
            "--exact",
            "takes_some_and_passes",
            "--config",
            "guard.memory-threshold=100MB",
        ]);
        stt.env("HOSTILE_MEMORY", "1000000000").args(QUICK_END)
    };
    drop(stt().run().code(42));
    let report = stt().args(["--no-guard"]).run().code(0).report();
    assert_eq!(report.count("passed"), 1);
    assert_eq!(report.of("guard").count(), 0);
}

#[test]
fn a_cpu_threshold_that_somebody_set_is_meant() {
    let lab = Lab::shared("hostile");
    let line = ["--cpu-threshold", "50%", "--config", "guard.cpu-sustain=2s"];
    let chosen = ["--exact", "--no-fail-fast", "calm_00", "burns_every_core"];
    drop(
        lab.stt(chosen)
            .args(line)
            .args(QUICK_END)
            .run()
            .code(42)
            .says("burns_every_core")
            .says("50"),
    );
    lab.assert_clean();
    assert!(!is_alive(
        lab.traced("burns_every_core").expect("it ran")[0]
    ));
    let resumed = lab
        .json(["--resume"])
        .args(line)
        .args(QUICK_END)
        .run()
        .code(100);
    let report = resumed.report();
    assert_eq!(
        report.results()[&id("hostile::family", "burns_every_core")],
        "breach"
    );
    lab.assert_clean();
}

/// Runs the burner beside a test that waits, until both have had their time; returns what the run
/// said. The threshold and its sustain would stop the run long before under `stop`.
fn burnt_with(action: &str) -> Report {
    let lab = Lab::shared("hostile");
    let chosen = ["--exact", "--no-fail-fast", "-j", "2", "burns_every_core"];
    let limits = [
        "run.slow-timeout=6s",
        "run.terminate-after=1",
        "guard.cpu-sustain=1s",
    ];
    let limits = limits.iter().flat_map(|limit| ["--config", limit]);
    let stt = lab
        .json(chosen)
        .args(["hangs", "--cpu-threshold", "50%", "--cpu-action", action])
        .args(limits);
    let report = stt.args(QUICK_END).run().code(100).report();
    lab.assert_clean();
    let results = report.results();
    for name in ["burns_every_core", "hangs"] {
        let result = &results[&id("hostile::family", name)];
        assert_eq!(result, "timeout", "{name} under `{action}`");
    }
    let stops = |line: &&serde_json::Value| line["action"] == "stop";
    assert_eq!(report.of("guard").filter(stops).count(), 0, "{action}");
    report
}

/// Whether the guard has said that only one test may run.
fn went_down_to_one(report: &Report) -> bool {
    report
        .of("guard")
        .any(|line| line["action"] == "allowed" && line["tests"] == 1)
}

#[test]
fn a_busy_cpu_is_nothing_where_it_is_off() {
    assert_eq!(burnt_with("off").of("guard").count(), 0);
}

#[test]
fn a_governed_run_starts_fewer_tests_and_is_not_stopped() {
    assert!(went_down_to_one(&burnt_with("govern")));
}

#[test]
fn a_capped_run_starts_fewer_tests_and_is_not_stopped() {
    assert!(went_down_to_one(&burnt_with("cap")));
}

#[test]
fn a_family_that_hides_is_ended_by_a_stop_as_well() {
    let lab = Lab::shared("hostile");
    let chosen = [
        "--exact",
        "-j",
        "3",
        "leaves_a_daemon_and_hangs",
        "ignores_term",
        "leaks_slowly",
    ];
    let stt = lab
        .json(chosen)
        .args(["--memory-threshold", "200MB"])
        .args(QUICK_END);
    drop(stt.run().code(42));
    lab.assert_clean();
    for name in ["daemon", "ignores_term", "leaks_slowly"] {
        assert!(
            !is_alive(lab.traced(name).expect("it ran")[0]),
            "{name} lives"
        );
    }
}
