//! Limits of single tests: whoever uses too much of something is ended and has failed by name, whatever it
//! has the most of, and nobody else pays for it.

use serde_json::Value;
use stt_tests::Lab;
use stt_tests::Report;
use stt_tests::is_alive;
use stt_tests::skipped;

/// Runs one hostile test with these limits, alone, and returns its result. Nothing of it lives on.
fn limited(test: &str, limits: &[&str], extra: &[&str]) -> (Report, Value) {
    let lab = Lab::shared("hostile");
    let run = with_limits(&lab, &["--exact", test], limits);
    let stt = run.args(extra).env("HOSTILE_DISK", &lab.target);
    let report = stt.run().code(100).report();
    lab.assert_clean();
    for pid in lab.traced(test).into_iter().flatten() {
        assert!(!is_alive(pid), "{test} lives");
    }
    let result = report.finished(test).clone();
    (report, result)
}

fn with_limits<'lab>(lab: &'lab Lab, args: &[&str], limits: &[&str]) -> stt_tests::Stt<'lab> {
    let limits: Vec<String> = limits
        .iter()
        .map(|limit| format!("limits.tight.{limit}"))
        .collect();
    let limits = limits.iter().flat_map(|limit| ["--config", limit]);
    lab.json(args)
        .args(["--limits", "tight", "--config", "run.grace-period=300ms"])
        .args(limits)
}

/// The part of a result that says which limit was hit, of the set that we had named.
fn exceeded(result: &Value) -> &Value {
    let failure = &result["failure"];
    assert_eq!(failure["kind"], "limit", "{result:#}");
    assert_eq!(failure["limits"], "tight", "{result:#}");
    &failure["exceeded"]
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

/// The test was ended for its memory, with a peak between the limit and `most`.
fn hits_memory(test: &str, limit: u64, most: u64, extra: &[&str]) {
    let key = format!("memory={limit}B");
    let (report, result) = limited(test, &[&key], extra);
    let memory = &exceeded(&result)["memory"];
    assert_eq!(number(&memory["limit"]), limit);
    let used = number(&memory["used"]);
    assert!((limit..most).contains(&used), "{test} used {used}");
    assert!(number(&result["peak-memory"]) >= limit, "{result:#}");
    let message = result["failure"]["message"].to_string();
    assert!(message.contains("of memory") && message.contains("`tight`"));
    assert_eq!(report.of("guard").count(), 0, "the guard had no reason");
}

#[test]
fn memory_of_one_process() {
    hits_memory("leaks_fast", 200_000_000, 900_000_000, &[]);
}

#[test]
fn memory_of_one_process_without_the_guard() {
    hits_memory("leaks_fast", 200_000_000, 900_000_000, &["--no-guard"]);
}

#[test]
fn memory_of_fifty_children() {
    hits_memory(
        "takes_memory_in_fifty_children",
        300_000_000,
        900_000_000,
        &[],
    );
}

#[test]
fn memory_that_is_shared() {
    hits_memory("takes_shared_memory", 200_000_000, 900_000_000, &[]);
}

#[test]
fn memory_of_a_daemon_that_left_its_parent_its_group_and_its_session() {
    hits_memory("takes_memory_in_a_daemon", 200_000_000, 610_000_000, &[]);
}

#[test]
fn memory_that_was_gone_before_anybody_looked() {
    hits_memory(
        "takes_memory_for_a_moment",
        100_000_000,
        300_000_000,
        &["--no-guard"],
    );
}

#[test]
fn memory_that_children_share_counts_once() {
    let lab = Lab::shared("hostile");
    let args = ["--exact", "shares_memory_with_twenty_children"];
    let run = with_limits(&lab, &args, &["memory=600MB"]).env("HOSTILE_SECONDS", "1");
    let report = run.run().code(0).report();
    let result = report.finished("shares_memory_with_twenty_children");
    let peak = number(&result["peak-memory"]);
    assert!((500_000_000..600_000_000).contains(&peak), "{result:#}");
    assert!(number(&result["processes"]) >= 4, "{result:#}");
}

#[test]
fn a_test_within_its_limits_passes() {
    let lab = Lab::shared("hostile");
    let limits = [
        "memory=200MB",
        "cpu-time=20s",
        "time=50s",
        "processes=10",
        "open-files=100",
        "file-size=1MB",
        "core=0B",
        "written=1MB",
    ];
    let chosen = ["--exact", "takes_some_and_passes", "calm_00"];
    let run = with_limits(&lab, &chosen, &limits).env("HOSTILE_MEMORY", "150000000");
    let report = run.run().code(0).report();
    assert_eq!(report.count("passed"), 2);
    assert_eq!(report.of("warning").count(), 0, "{:#?}", report.lines);
}

#[test]
fn processes_of_a_fork_bomb() {
    for extra in [&[][..], &["--no-guard"]] {
        let (_, result) = limited("forks_and_forks", &["processes=64"], extra);
        let processes = &exceeded(&result)["processes"];
        assert_eq!(processes["limit"], 64);
        let used = number(&processes["used"]);
        assert!((65..513).contains(&used), "{used} processes");
        assert_eq!(number(&result["processes"]), used);
    }
}

#[test]
fn cpu_time_of_one_process_and_of_many_short_ones() {
    for test in ["burns_one_core", "burns_in_children"] {
        let (_, result) = limited(test, &["cpu-time=1s"], &[]);
        let cpu_time = &exceeded(&result)["cpu-time"];
        assert_eq!(cpu_time["limit"], 1.0, "{test}");
        let used = cpu_time["used"].as_f64().expect("a number");
        assert!((1.0..2.5).contains(&used), "{test} used {used} s");
    }
}

#[test]
fn cpu_time_of_who_ignores_what_he_is_told() {
    let test = "burns_and_ignores_what_it_is_told";
    let (_, result) = limited(test, &["cpu-time=1s"], &[]);
    assert_eq!(exceeded(&result)["cpu-time"]["limit"], 1.0);
}

#[test]
fn time_from_start_to_exit() {
    for extra in [&[][..], &["--no-guard"]] {
        let (report, result) = limited("hangs", &["time=700ms"], extra);
        assert_eq!(exceeded(&result)["time"]["limit"], 0.7);
        let duration = result["duration"].as_f64().expect("a number");
        // The deadline counts from the order to start it, the duration from when it ran.
        assert!((0.5..20.0).contains(&duration), "{result:#}");
        assert_eq!(report.of("test-slow").count(), 0, "it is not called slow");
    }
}

#[test]
fn time_of_who_ignores_term() {
    let (_, result) = limited("ignores_term", &["time=500ms"], &[]);
    assert_eq!(exceeded(&result)["time"]["limit"], 0.5);
}

#[test]
fn the_size_of_a_file() {
    let (_, result) = limited("writes_a_large_file", &["file-size=5MB"], &[]);
    assert_eq!(exceeded(&result)["file-size"]["limit"], 5_000_000);
}

#[test]
fn what_is_written_to_disks() {
    let (_, result) = limited("wears_out_the_disk", &["written=30MB"], &[]);
    let written = &exceeded(&result)["written"];
    assert_eq!(written["limit"], 30_000_000);
    assert!(number(&written["used"]) > 30_000_000, "{result:#}");
    assert_eq!(result["written"], written["used"]);
}

#[test]
fn open_files_and_core_files_of_it_and_of_its_children() {
    let limits = [
        "open-files=40",
        "core=0B",
        "file-size=9MB",
        "cpu-time=7500ms",
    ];
    let (_, result) = limited("opens_a_thousand_files", &limits, &[]);
    let output = result["output"]["stderr"]["text"].to_string();
    assert!(output.contains("Too many open files"), "{output}");

    let (_, result) = limited("shows_its_limits", &limits, &[]);
    let output = result["output"]["stdout"]["text"].as_str().expect("text");
    let limit = |name: &str| -> Vec<String> {
        let line = output.lines().find_map(|line| line.strip_prefix(name));
        let words = line.expect("the kernel names it").split_whitespace();
        words.take(2).map(str::to_owned).collect()
    };
    assert_eq!(limit("Max open files"), ["40", "40"]);
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert_eq!(limit("Max file size"), ["9000000", "9000000"]);
    assert_eq!(limit("Max cpu time"), ["8", "9"]);
    assert!(output.contains("nofile=40"), "{output}");
}

#[test]
fn who_exceeds_a_limit_is_final_and_no_suspect() {
    let lab = Lab::shared("hostile");
    let chosen = [
        "--no-fail-fast",
        "--exact",
        "-j",
        "2",
        "leaks_fast",
        "calm_00",
        "calm_01",
    ];
    let run = || with_limits(&lab, &chosen, &["memory=150MB"]);
    let report = run().run().code(100).report();
    assert_eq!(report.of("test-unfinished").count(), 0);
    assert_eq!(report.count("passed"), 2);
    assert_eq!(lab.record().of("unfinished").count(), 0);
    // A failed test has its result: there is nothing left to run.
    let again = lab.json(["--resume"]).run().code(100).report();
    assert_eq!(again.of("test-started").count(), 0);
}

#[test]
fn a_share_of_the_cpu_that_is_not_enforced_is_named_once() {
    let lab = Lab::shared("hostile");
    let chosen = ["--exact", "calm_00", "calm_01"];
    let report = with_limits(&lab, &chosen, &["cpu=0.5"])
        .run()
        .code(0)
        .report();
    let warnings: Vec<_> = report.of("warning").collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    let message = warnings[0]["message"].to_string();
    assert!(message.contains("CPU share") && message.contains("`tight`"));
}

#[test]
fn a_test_is_charged_for_its_children_and_for_those_who_lost_their_parents() {
    let lab = Lab::shared("hostile");
    let test = "uses_what_its_children_use";
    let run = lab.json(["--exact", test]).env("HOSTILE_DISK", &lab.target);
    let report = run.run().code(0).report();
    let result = report.finished(test);
    let cpu = result["cpu"].as_f64().expect("a number");
    // Two that use 0.3 s each: one that nobody had waited for but its parent, and one but the runner.
    assert!((0.6..3.0).contains(&cpu), "{result:#}");
    assert!(number(&result["written"]) >= 3_000_000, "{result:#}");
    assert!(result["read"].is_u64(), "{result:#}");
    let record = lab.record();
    let kept = record.of("result").next().expect("one");
    assert_eq!(kept["written"], result["written"]);
}

/// A control group of version 1 with a limit of memory; removed with this.
struct Group(camino::Utf8PathBuf);

impl Group {
    fn create(limit: u64) -> std::io::Result<Self> {
        let dir = format!("/sys/fs/cgroup/memory/stt-limits-{}", std::process::id());
        fs_err::create_dir(&dir)?;
        let group = Self(dir.into());
        group.write("memory.limit_in_bytes", &limit.to_string())?;
        Ok(group)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a file of the kernel is not replaced"
    )]
    fn write(&self, name: &str, text: &str) -> std::io::Result<()> {
        std::fs::write(self.0.join(name), text)
    }

    /// What a shell does to join it.
    fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(fs_err::remove_dir(&self.0));
    }
}

#[test]
fn a_kill_by_the_kernel_for_want_of_memory_is_told_from_a_crash() {
    let lab = Lab::shared("hostile");
    let chosen = ["--exact", "--no-fail-fast", "--no-guard", "leaks_fast"];
    let plain = lab.json(["--exact", "kills_itself", "--no-guard"]).run();
    assert_eq!(
        plain.code(100).report().finished("kills_itself")["failure"]["signal"],
        9
    );
    let group = match Group::create(400 << 20) {
        Ok(group) => group,
        Err(error) => return skipped("a control group with a limit of memory", &error),
    };
    // Whoever starts it is in the group before, and so is everybody whom it starts.
    let stt = lab.json(chosen).after(&group.enter());
    let report = stt.run().code(100).report();
    let result = report.finished("leaks_fast");
    assert_eq!(result["failure"]["kind"], "out-of-memory", "{result:#}");
    let used = number(&result["failure"]["used"]);
    assert!((100_000_000..450_000_000).contains(&used), "{result:#}");
}
