//! The options of the command line as settings of keys: which option sets which.

use camino::Utf8Path;
use stt_core::config::Flag;
use stt_core::selection::RunIgnored;

use crate::cli::GuardArgs;
use crate::cli::ReporterArgs;
use crate::cli::RunArgs;
use crate::cli::TestArgs;
use crate::error::Error;
use crate::error::Kind;
use crate::libtest::LibtestArgs;
use crate::settings::RUN_LIMITS;

/// The options that set a key, as they were typed.
pub(crate) fn run_flags(
    args: &RunArgs,
    libtest: &LibtestArgs,
    cwd: &Utf8Path,
) -> Result<Vec<Flag>, Error> {
    let (runner, record, reporter) = (&args.runner, &args.checkpoint, &args.reporter);
    let one_at_a_time = runner.no_capture || libtest.no_capture;
    let absolute = |path: &String| cwd.join(path).into_string();
    let path = record.checkpoint.as_ref().map(absolute);
    let junit = reporter.junit.as_ref().map(absolute);
    let table = [
        (
            "--test-threads",
            "run.test-threads",
            threads(args, libtest)?,
        ),
        ("--no-capture", "run.test-threads", on(one_at_a_time, "1")),
        ("--fail-fast", "run.max-fail", on(runner.fail_fast, "1")),
        (
            "--no-fail-fast",
            "run.max-fail",
            on(runner.no_fail_fast, "all"),
        ),
        ("--max-fail", "run.max-fail", runner.max_fail.clone()),
        ("--retries", "run.retries", runner.retries.clone()),
        (
            "--global-timeout",
            "run.global-timeout",
            runner.global_timeout.clone(),
        ),
        ("--leaks", "run.leaks", runner.leaks.clone()),
        ("--resume", "checkpoint.enabled", on(record.resume, "true")),
        (
            "--rerun-failed",
            "checkpoint.enabled",
            on(record.rerun_failed, "true"),
        ),
        (
            "--no-checkpoint",
            "checkpoint.enabled",
            on(record.no_checkpoint, "false"),
        ),
        ("--checkpoint", "checkpoint.path", path),
        (
            "--no-coordinator",
            "coordinator.enabled",
            on(args.coordinator.no_coordinator, "false"),
        ),
        (
            "--no-containers",
            "containers.enabled",
            on(args.containers.no_containers, "false"),
        ),
        (
            "--container",
            "container.image",
            args.containers.container.clone(),
        ),
        (
            "--auto-restart",
            "restart.auto",
            on(record.auto_restart, "true"),
        ),
        ("--max-restarts", "restart.max", record.max_restarts.clone()),
        ("--junit", "report.junit", junit),
    ];
    let table = table.into_iter().chain(guard_table(&args.guard));
    let table = table.chain(output_table(reporter));
    let given = table.filter_map(|(name, key, value)| Some(flag(name, key, value?)));
    let ignored = ignored_flag(&args.tests, libtest)?;
    Ok(given
        .chain(ignored)
        .chain(limits_flag(&args.tests))
        .collect())
}

/// An option's name, its key, and the value that it gives the key.
type Setter = (&'static str, &'static str, Option<String>);

fn output_table(reporter: &ReporterArgs) -> [Setter; 4] {
    let (status, last) = (&reporter.status_level, &reporter.final_status_level);
    let (success, failure) = (&reporter.success_output, &reporter.failure_output);
    [
        ("--status-level", "output.status-level", status.clone()),
        (
            "--final-status-level",
            "output.final-status-level",
            last.clone(),
        ),
        ("--success-output", "output.success-output", success.clone()),
        ("--failure-output", "output.failure-output", failure.clone()),
    ]
}

fn guard_table(guard: &GuardArgs) -> [Setter; 7] {
    let memory = guard.memory_threshold.clone();
    let cpu = guard.cpu_threshold.clone();
    let interval = guard.check_interval.clone();
    [
        ("--memory-threshold", "guard.memory-threshold", memory),
        ("--cpu-threshold", "guard.cpu-threshold", cpu),
        ("--check-interval", "guard.check-interval", interval),
        ("--on-breach", "guard.on-breach", guard.on_breach.clone()),
        ("--cpu-action", "guard.cpu-action", guard.cpu_action.clone()),
        (
            "--self-protect",
            "guard.enabled",
            on(guard.self_protect, "true"),
        ),
        ("--no-guard", "guard.enabled", on(guard.no_guard, "false")),
    ]
}

/// The value that a switch stands for.
fn on(given: bool, value: &str) -> Option<String> {
    given.then(|| value.to_owned())
}

fn threads(args: &RunArgs, libtest: &LibtestArgs) -> Result<Option<String>, Error> {
    match (&args.runner.test_threads, &libtest.test_threads) {
        (Some(_), Some(_)) => Err(twice("--test-threads")),
        (None, Some(_)) if args.runner.no_capture || libtest.no_capture => {
            let message = "`--no-capture` runs one test at a time: `--test-threads` contradicts it";
            Err(Error::new(Kind::Usage, message).hint("leave one of the two out"))
        }
        (Some(_), None) if libtest.no_capture => {
            let message = "`--nocapture` runs one test at a time: `--test-threads` contradicts it";
            Err(Error::new(Kind::Usage, message).hint("leave one of the two out"))
        }
        (before, behind) => Ok(before.clone().or_else(|| behind.clone())),
    }
}

pub(crate) fn ignored_flag(tests: &TestArgs, libtest: &LibtestArgs) -> Result<Option<Flag>, Error> {
    let key = "run.run-ignored";
    match (&tests.run_ignored, libtest.run_ignored) {
        (Some(_), Some(_)) => Err(twice("--run-ignored")),
        (Some(typed), None) => Ok(Some(flag("--run-ignored", key, typed.clone()))),
        (None, Some(RunIgnored::Only)) => Ok(Some(flag("--ignored", key, "only".to_owned()))),
        (None, Some(RunIgnored::All)) => Ok(Some(flag("--include-ignored", key, "all".to_owned()))),
        (None, Some(RunIgnored::Default) | None) => Ok(None),
    }
}

pub(crate) fn limits_flag(tests: &TestArgs) -> Option<Flag> {
    Some(flag("--limits", RUN_LIMITS, tests.limits.clone()?))
}

fn twice(option: &str) -> Error {
    let message = format!("`{option}` and its equal behind `--` are both given");
    Error::new(Kind::Usage, message).hint("leave one of the two out")
}

pub(crate) fn flag(name: &str, key: &str, value: String) -> Flag {
    let [name, key] = [name, key].map(str::to_owned);
    Flag { name, key, value }
}
