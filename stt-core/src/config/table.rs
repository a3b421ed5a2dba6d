//! The table of keys: one entry for each, section by section in the order of `default.toml`.

use std::num::NonZeroUsize;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::CpuAction;
use super::GithubReport;
use super::Leaks;
use super::OnBreach;
use super::TmpDir;
use super::container;
use super::container::CONTAINER_IMAGE;
use super::expression::DEFAULT_FILTER;
use super::expression::default_filter;
use super::given::Given;
use super::keys::Key;
use super::limits::NO_LIMITS;
use super::limits::is_name;
use super::outputs::SHOW_OUTPUT;
use super::outputs::SHOW_OUTPUT_WORDS;
use super::outputs::STATUS_LEVELS;
use super::outputs::STATUS_WORDS;
use super::retries;
use super::times;
use crate::selection::RunIgnored;
use crate::units::Bytes;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The shortest interval between two readings: the guard never sleeps less.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(5);
/// Each slot is a thread of the runner: more would be the danger that the guard is there for.
const MOST_THREADS: usize = 4096;

/// Every key, section by section in the order of `default.toml`.
pub static KEYS: &[Key] = &[
    Key {
        name: "run.test-threads",
        doc: "How many tests may run at once.",
        accepts: r#""num-cpus", a number from 1 to 4096, or a negative number for that many fewer than the cores"#,
        set: |draft, given| {
            let threads = test_threads(given, draft.cores);
            put(&mut draft.config.run.test_threads, threads)
        },
    },
    Key {
        name: "run.max-fail",
        doc: "After how many failed tests no further test starts.",
        accepts: r#"a number from 1, or "all" to run every test whatever fails"#,
        set: |draft, given| put(&mut draft.config.run.max_fail, given.count_or("all")),
    },
    Key {
        name: "run.run-ignored",
        doc: "What happens to tests that are marked `#[ignore]`.",
        accepts: r#""default", "only" or "all""#,
        set: |draft, given| {
            let words = [
                ("default", RunIgnored::Default),
                ("only", RunIgnored::Only),
                ("all", RunIgnored::All),
            ];
            put(&mut draft.config.run.run_ignored, given.choice(&words))
        },
    },
    Key {
        name: "run.doctests",
        doc: "Whether documentation tests run as well, where no kind of target is asked for.",
        accepts: "true or false",
        set: |draft, given| put(&mut draft.config.run.doctests, given.boolean()),
    },
    Key {
        name: DEFAULT_FILTER,
        doc: "Which tests run where nobody says otherwise: an expression in nextest's language.",
        accepts: r#"an expression such as "not test(slow)"; "" for all tests"#,
        set: |draft, given| put(&mut draft.config.run.default_filter, default_filter(given)),
    },
    Key {
        name: "run.retries",
        doc: "How often a failed test is tried again.",
        accepts: "a number from 0 to 1000",
        set: |draft, given| put(&mut draft.config.run.retries.count, retries::count(given)),
    },
    Key {
        name: "run.retry-delay",
        doc: "The time before a failed test is tried again.",
        accepts: r#"a time from "0s" to "1h", such as "1s""#,
        set: |draft, given| put(&mut draft.config.run.retries.delay, retries::time(given)),
    },
    Key {
        name: "run.retry-backoff",
        doc: "How the time before a further retry grows: \"fixed\" or \"exponential\".",
        accepts: r#""fixed" or "exponential""#,
        set: |draft, given| {
            put(
                &mut draft.config.run.retries.backoff,
                retries::backoff(given),
            )
        },
    },
    Key {
        name: "run.retry-jitter",
        doc: "Whether the time before a retry is shortened by chance, to half of it at most.",
        accepts: "true or false",
        set: |draft, given| put(&mut draft.config.run.retries.jitter, given.boolean()),
    },
    Key {
        name: "run.retry-max-delay",
        doc: "The longest time before a retry.",
        accepts: r#"a time from "0s" to "1h", such as "1m""#,
        set: |draft, given| {
            put(
                &mut draft.config.run.retries.max_delay,
                retries::time(given),
            )
        },
    },
    Key {
        name: "run.slow-timeout",
        doc: "After this time a running test is called slow, and again after each multiple of it.",
        accepts: r#"a time from "1ms" to "365d", such as "60s""#,
        set: |draft, given| {
            put(
                &mut draft.config.run.slow_timeout,
                times::slow_timeout(given),
            )
        },
    },
    Key {
        name: "run.terminate-after",
        doc: "After so many slow timeouts a test is ended and failed.",
        accepts: "a number; 0 for never",
        set: |draft, given| {
            put(
                &mut draft.config.run.terminate_after,
                times::terminate_after(given).map(NonZeroUsize::new),
            )
        },
    },
    Key {
        name: "run.grace-period",
        doc: "How long a test that is ended may take to clean up before it is killed.",
        accepts: r#"a time from "0s" to "1h", such as "10s""#,
        set: |draft, given| put(&mut draft.config.run.grace_period, times::short(given)),
    },
    Key {
        name: "run.leak-timeout",
        doc: "How long a test's output may stay open after its process has exited.",
        accepts: r#"a time from "0s" to "1h", such as "200ms""#,
        set: |draft, given| put(&mut draft.config.run.leak_timeout, times::short(given)),
    },
    Key {
        name: "run.leaks",
        doc: "What happens to a test that passes and leaves processes behind, or its output open.",
        accepts: r#""warn" or "fail""#,
        set: |draft, given| {
            let words = [("warn", Leaks::Warn), ("fail", Leaks::Fail)];
            put(&mut draft.config.run.leaks, given.choice(&words))
        },
    },
    Key {
        name: "run.global-timeout",
        doc: "After this time the tests are ended, and the run can be resumed (exit code 42).",
        accepts: r#"a time up to "365d", such as "30m"; "0s" for never"#,
        set: |draft, given| {
            let time = given.time(&(Duration::ZERO..=YEAR));
            let time = time.map(|time| (!time.is_zero()).then_some(time));
            put(&mut draft.config.run.global_timeout, time)
        },
    },
    Key {
        name: "run.list-timeout",
        doc: "How long a test binary may take to list its tests.",
        accepts: r#"a time from "1ms" to "365d", such as "60s""#,
        set: |draft, given| {
            let time = given.time(&(MILLISECOND..=YEAR));
            put(&mut draft.config.run.list_timeout, time)
        },
    },
    Key {
        name: "run.tmpdir",
        doc: "Where tests find their temporary directory.",
        accepts: r#""own" or "inherit""#,
        set: |draft, given| {
            let words = [("own", TmpDir::Own), ("inherit", TmpDir::Inherit)];
            put(&mut draft.config.run.tmpdir, given.choice(&words))
        },
    },
    Key {
        name: "run.limits",
        doc: "The set of limits for every test that no override gives another.",
        accepts: r#"the name of a set, such as "standard"; "" for none"#,
        set: |draft, given| {
            let name = given.word()?;
            let none = matches!(name, "" | NO_LIMITS);
            let set = (none || is_name(name)).then(|| (!none).then(|| name.into()));
            put(&mut draft.config.run.limits, set)
        },
    },
    Key {
        name: "guard.enabled",
        doc: "Whether memory and CPU are watched.",
        accepts: "true or false",
        set: |draft, given| put(&mut draft.config.guard.enabled, given.boolean()),
    },
    Key {
        name: "guard.memory-threshold",
        doc: "The line that memory must not cross.",
        accepts: r#"a share such as "80%", at most 100%, or a size such as "6GB""#,
        set: |draft, given| put(&mut draft.config.guard.memory_threshold, given.parsed()),
    },
    Key {
        name: "guard.memory-critical",
        doc: "From this share of the machine's memory on, every test is killed at once.",
        accepts: r#"a share above 0% and at most 100%, such as "92%""#,
        set: |draft, given| put(&mut draft.config.guard.memory_critical, given.parsed()),
    },
    Key {
        name: "guard.process-threshold",
        doc: "The line for the number of processes and threads.",
        accepts: r#"a share above 0% and at most 100%, such as "80%""#,
        set: |draft, given| put(&mut draft.config.guard.process_threshold, given.parsed()),
    },
    Key {
        name: "guard.cpu-threshold",
        doc: "The line for the share of the cores that is busy.",
        accepts: r#"a share above 0% and at most 100%, such as "80%""#,
        set: |draft, given| put(&mut draft.config.guard.cpu_threshold, given.parsed()),
    },
    Key {
        name: "guard.cpu-action",
        doc: "What happens when the CPU is over its threshold.",
        accepts: r#""auto", "govern", "stop", "cap" or "off""#,
        set: |draft, given| {
            let words = [
                ("auto", None),
                ("govern", Some(CpuAction::Govern)),
                ("stop", Some(CpuAction::Stop)),
                ("cap", Some(CpuAction::Cap)),
                ("off", Some(CpuAction::Off)),
            ];
            put(&mut draft.cpu_action, given.choice(&words))
        },
    },
    Key {
        name: "guard.cpu-sustain",
        doc: "How long the CPU must be over its threshold before a test or the run is ended for it.",
        accepts: r#"a time from "1s" to "1h", such as "30s""#,
        set: |draft, given| {
            let time = given.time(&(SECOND..=HOUR));
            put(&mut draft.config.guard.cpu_sustain, time)
        },
    },
    Key {
        name: "guard.check-interval",
        doc: "The longest time between two readings.",
        accepts: r#"a time from "5ms" to "60s", such as "1s""#,
        set: |draft, given| {
            let time = given.time(&(SHORTEST_INTERVAL..=MINUTE));
            put(&mut draft.config.guard.check_interval, time)
        },
    },
    Key {
        name: "guard.on-breach",
        doc: "What happens when memory crosses its threshold.",
        accepts: r#""stop" or "shed""#,
        set: |draft, given| {
            let words = [("stop", OnBreach::Stop), ("shed", OnBreach::Shed)];
            put(&mut draft.config.guard.on_breach, given.choice(&words))
        },
    },
    Key {
        name: "guard.grace-period",
        doc: "How long tests may take to clean up before they are killed when the guard stops the run.",
        accepts: r#"a time from "0s" to "60s", such as "2s""#,
        set: |draft, given| {
            let time = given.time(&(Duration::ZERO..=MINUTE));
            put(&mut draft.config.guard.grace_period, time)
        },
    },
    Key {
        name: "restart.auto",
        doc: "Whether a run that was stopped goes on by itself once the machine has recovered.",
        accepts: "true or false",
        set: |draft, given| put(&mut draft.config.restart.auto, given.boolean()),
    },
    Key {
        name: "restart.max",
        doc: "How often a run may be restarted.",
        accepts: "a number from 1 to 100",
        set: |draft, given| {
            let most = u32::try_from(given.integer()?).ok();
            put(
                &mut draft.config.restart.max,
                most.filter(|most| (1..=100).contains(most)),
            )
        },
    },
    Key {
        name: "restart.within",
        doc: "After this time since its beginning a run is not restarted any more.",
        accepts: r#"a time from "1s" to "365d", such as "1h""#,
        set: |draft, given| {
            let time = given.time(&(SECOND..=YEAR));
            put(&mut draft.config.restart.within, time)
        },
    },
    Key {
        name: "restart.below",
        doc: "Below this share of the machine's memory it counts as recovered.",
        accepts: r#"a share above 0% and at most 100%, such as "70%""#,
        set: |draft, given| put(&mut draft.config.restart.below, given.parsed()),
    },
    Key {
        name: "restart.stable",
        doc: "How long memory must be there before the run goes on.",
        accepts: r#"a time from "0s" to "1h", such as "5s""#,
        set: |draft, given| {
            let time = given.time(&(Duration::ZERO..=HOUR));
            put(&mut draft.config.restart.stable, time)
        },
    },
    Key {
        name: "checkpoint.enabled",
        doc: "Whether results are recorded, so that a run can be resumed.",
        accepts: "true or false",
        set: |draft, given| put(&mut draft.config.checkpoint.enabled, given.boolean()),
    },
    Key {
        name: "checkpoint.path",
        doc: "Where results are recorded, relative to the workspace root.",
        accepts: r#"a path; "" for `stt-checkpoint.json` in the target directory"#,
        set: |draft, given| put_path(&mut draft.config.checkpoint.path, given),
    },
    Key {
        name: "coordinator.enabled",
        doc: "Whether a run keeps a record, and clears up after runs that were killed.",
        accepts: "true or false",
        set: |draft, given| put(&mut draft.config.coordinator.enabled, given.boolean()),
    },
    Key {
        name: CONTAINER_IMAGE,
        doc: "The image of the container in which each test runs.",
        accepts: container::EXPECTED,
        set: container::image,
    },
    Key {
        name: "container.network",
        doc: "The network that these containers are in.",
        accepts: r#"the name of a network, such as "none"; "" for the engine's default"#,
        set: container::network,
    },
    Key {
        name: "container.reuse",
        doc: "Whether tests share these containers, one after the other.",
        accepts: r#""test" or "run""#,
        set: container::reuse,
    },
    Key {
        name: "containers.enabled",
        doc: "Whether containers, networks and volumes of tests are known, and end with them.",
        accepts: "true or false",
        set: |draft, given| put(&mut draft.config.containers.enabled, given.boolean()),
    },
    Key {
        name: "containers.budget",
        doc: "How long removing what a test or a run has left may take.",
        accepts: r#"a time from "1s" to "10m", such as "10s""#,
        set: |draft, given| {
            let time = given.time(&(SECOND..=10 * MINUTE));
            put(&mut draft.config.containers.budget, time)
        },
    },
    Key {
        name: "output.status-level",
        doc: "Which results are shown while the run goes on.",
        accepts: STATUS_WORDS,
        set: |draft, given| {
            put(
                &mut draft.config.output.status_level,
                given.choice(&STATUS_LEVELS),
            )
        },
    },
    Key {
        name: "output.final-status-level",
        doc: "Which results are shown again at the end of the run.",
        accepts: STATUS_WORDS,
        set: |draft, given| {
            let level = given.choice(&STATUS_LEVELS);
            put(&mut draft.config.output.final_status_level, level)
        },
    },
    Key {
        name: "output.success-output",
        doc: "When the output of passed tests is shown.",
        accepts: SHOW_OUTPUT_WORDS,
        set: |draft, given| {
            put(
                &mut draft.config.output.success_output,
                given.choice(&SHOW_OUTPUT),
            )
        },
    },
    Key {
        name: "output.failure-output",
        doc: "When the output of failed tests is shown.",
        accepts: SHOW_OUTPUT_WORDS,
        set: |draft, given| {
            put(
                &mut draft.config.output.failure_output,
                given.choice(&SHOW_OUTPUT),
            )
        },
    },
    Key {
        name: "output.keep",
        doc: "How much of each of a test's two streams is kept in memory.",
        accepts: r#"a size from "4KiB" to "1GiB", such as "512KiB""#,
        set: |draft, given| {
            let size = given.size(&(Bytes(4 << 10)..=Bytes::mib(1024)));
            put(&mut draft.config.output.keep, size)
        },
    },
    Key {
        name: "output.spill",
        doc: "How much of a stream that does not fit into memory is written to a file.",
        accepts: r#"a size from "0B" to "1TiB", such as "64MiB""#,
        set: |draft, given| {
            let size = given.size(&(Bytes(0)..=Bytes(1 << 40)));
            put(&mut draft.config.output.spill, size)
        },
    },
    Key {
        name: "report.junit",
        doc: "Where the results are written as JUnit XML, relative to the workspace root.",
        accepts: r#"a path; "" for nowhere"#,
        set: |draft, given| put_path(&mut draft.config.report.junit, given),
    },
    Key {
        name: "report.github",
        doc: "Whether GitHub Actions shows failures at their places, and a summary of the step.",
        accepts: r#""auto", "always" or "never""#,
        set: |draft, given| {
            let words = [
                ("auto", GithubReport::Auto),
                ("always", GithubReport::Always),
                ("never", GithubReport::Never),
            ];
            put(&mut draft.config.report.github, given.choice(&words))
        },
    },
];

/// Fills a slot of the draft, when there is something to fill it with.
fn put<T>(slot: &mut T, value: Option<T>) -> Option<()> {
    *slot = value?;
    Some(())
}

/// Fills a slot for a path; no text means none.
fn put_path(slot: &mut Option<Utf8PathBuf>, given: &Given) -> Option<()> {
    let path: Option<String> = given.parsed();
    put(
        slot,
        path.map(|path| (!path.is_empty()).then(|| path.into())),
    )
}

#[expect(
    clippy::option_option,
    reason = "no such value, as many as cores, a number"
)]
pub(super) fn test_threads(given: &Given, cores: NonZeroUsize) -> Option<Option<NonZeroUsize>> {
    if given.word() == Some("num-cpus") {
        return Some(None);
    }
    let number = given.integer()?;
    let size = usize::try_from(number.unsigned_abs())
        .ok()
        .filter(|size| (1..=MOST_THREADS).contains(size))?;
    let threads = if number < 0 {
        cores.get().saturating_sub(size).max(1)
    } else {
        size
    };
    Some(NonZeroUsize::new(threads))
}
