//! The table of keys. Unknown keys, the names of environment variables, `config show` and the check
//! of `default.toml` all derive from it, so that a key is added in one place.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::Config;
use super::CpuAction;
use super::OnBreach;
use super::ShowOutput;
use super::StatusLevel;
use super::TmpDir;
use super::given::Given;
use crate::selection::RunIgnored;
use crate::units::Bytes;

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Section and name, such as `guard.memory-threshold`.
    pub name: &'static str,
    /// What it means, in one line.
    pub doc: &'static str,
    /// Which values it takes.
    pub accepts: &'static str,
    /// Reads a value into the draft; `None` when the value is none of those.
    pub(super) set: fn(&mut Draft, &Given) -> Option<()>,
}

/// A configuration in the making.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// What is known so far.
    pub(super) config: Config,
    /// How many cores the run may use, for numbers of threads that are relative to it.
    pub(super) cores: NonZeroUsize,
    /// `guard.cpu-action`; `None` for `auto`, which depends on who set the threshold.
    pub(super) cpu_action: Option<CpuAction>,
}

impl Key {
    /// The section that holds it.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// Its name inside the section.
    pub fn leaf(&self) -> &'static str {
        self.name
            .split_once('.')
            .map_or(self.name, |(_, leaf)| leaf)
    }

    /// The environment variable that sets it, such as `STT_GUARD_MEMORY_THRESHOLD`.
    pub fn variable(&self) -> String {
        let name = self.name.replace(['.', '-'], "_").to_ascii_uppercase();
        format!("STT_{name}")
    }

    /// Whether the key takes this value.
    pub(super) fn accepts(&self, given: &Given) -> bool {
        let mut scratch = Draft {
            config: Config::default(),
            cores: NonZeroUsize::MIN,
            cpu_action: None,
        };
        (self.set)(&mut scratch, given).is_some()
    }

    /// Says that the key does not take this value.
    pub(super) fn refusal(&self, given: &Given) -> String {
        format!("`{}` can't be {}", self.name, given.shown())
    }

    /// Says what the key takes instead of this value.
    pub(super) fn expectation(&self, given: &Given) -> String {
        let without_quotes = match given {
            Given::Text(text) => self.accepts(&Given::Bare(text.clone())),
            Given::Bare(_) | Given::Integer(_) | Given::Boolean(_) | Given::Other(_) => false,
        };
        if without_quotes {
            "write it without quotes".to_owned()
        } else {
            format!("expected {}", self.accepts)
        }
    }
}

/// Lists the keys of a section.
pub(super) fn of_section(section: &str) -> String {
    let keys = KEYS.iter().filter(|key| key.section() == section);
    let names: Vec<_> = keys.map(Key::leaf).collect();
    format!("the keys of [{section}] are {}", names.join(", "))
}

/// Lists the sections.
pub(super) fn all_sections() -> String {
    let mut names: Vec<_> = KEYS.iter().map(Key::section).collect();
    names.dedup();
    format!("the sections are {}", names.join(", "))
}

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether there is a section of this name.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.section() == name)
}

/// The key that was probably meant. `name` may lack its section, or have a wrong one.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    // nextest's users look for this name.
    if leaf == "fail-fast" {
        return Some("run.max-fail");
    }
    let distance = |key: &Key| {
        let elsewhere = 1 + strsim::damerau_levenshtein(leaf, key.leaf());
        elsewhere.min(strsim::damerau_levenshtein(name, key.name))
    };
    let best = KEYS.iter().min_by_key(|key| distance(key))?;
    // A third of the letters, as cargo does it: what is farther away was not meant.
    (distance(best) <= 1 + leaf.chars().count() / 3).then_some(best.name)
}

/// The one of `names` that was probably meant by `name`.
pub(super) fn nearest_of<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(name, candidate);
    let best = names
        .into_iter()
        .min_by_key(|candidate| distance(candidate))?;
    (distance(best) <= 1 + name.chars().count() / 3).then_some(best)
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The shortest interval between two readings: the guard never sleeps less.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(5);
/// Each slot is a thread of the runner: more would be the danger that the guard is there for.
const MOST_THREADS: usize = 4096;

const STATUS_LEVELS: [(&str, StatusLevel); 7] = [
    ("none", StatusLevel::None),
    ("fail", StatusLevel::Fail),
    ("slow", StatusLevel::Slow),
    ("leak", StatusLevel::Leak),
    ("pass", StatusLevel::Pass),
    ("skip", StatusLevel::Skip),
    ("all", StatusLevel::All),
];
const STATUS_WORDS: &str = r#""none", "fail", "slow", "leak", "pass", "skip" or "all""#;

const SHOW_OUTPUT: [(&str, ShowOutput); 4] = [
    ("immediate", ShowOutput::Immediate),
    ("final", ShowOutput::Final),
    ("immediate-final", ShowOutput::ImmediateFinal),
    ("never", ShowOutput::Never),
];
const SHOW_OUTPUT_WORDS: &str = r#""immediate", "final", "immediate-final" or "never""#;

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
        name: "run.slow-timeout",
        doc: "After this time a running test is called slow, and again after each multiple of it.",
        accepts: r#"a time from "1ms" to "365d", such as "60s""#,
        set: |draft, given| {
            let time = given.time(&(MILLISECOND..=YEAR));
            put(&mut draft.config.run.slow_timeout, time)
        },
    },
    Key {
        name: "run.terminate-after",
        doc: "After so many slow timeouts a test is ended and failed.",
        accepts: "a number; 0 for never",
        set: |draft, given| {
            let count = usize::try_from(given.integer()?)
                .ok()
                .filter(|&n| n <= 1_000_000);
            put(
                &mut draft.config.run.terminate_after,
                count.map(NonZeroUsize::new),
            )
        },
    },
    Key {
        name: "run.grace-period",
        doc: "How long a test that is ended may take to clean up before it is killed.",
        accepts: r#"a time from "0s" to "1h", such as "10s""#,
        set: |draft, given| {
            let time = given.time(&(Duration::ZERO..=HOUR));
            put(&mut draft.config.run.grace_period, time)
        },
    },
    Key {
        name: "run.leak-timeout",
        doc: "How long a test's output may stay open after its process has exited.",
        accepts: r#"a time from "0s" to "1h", such as "200ms""#,
        set: |draft, given| {
            let time = given.time(&(Duration::ZERO..=HOUR));
            put(&mut draft.config.run.leak_timeout, time)
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
        name: "checkpoint.enabled",
        doc: "Whether results are recorded, so that a run can be resumed.",
        accepts: "true or false",
        set: |draft, given| put(&mut draft.config.checkpoint.enabled, given.boolean()),
    },
    Key {
        name: "checkpoint.path",
        doc: "Where results are recorded, relative to the workspace root.",
        accepts: r#"a path; "" for `stt-checkpoint.json` in the target directory"#,
        set: |draft, given| {
            let path: Option<String> = given.parsed();
            let path = path.map(|path| (!path.is_empty()).then(|| path.into()));
            put(&mut draft.config.checkpoint.path, path)
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
];

/// Fills a slot of the draft, when there is something to fill it with.
fn put<T>(slot: &mut T, value: Option<T>) -> Option<()> {
    *slot = value?;
    Some(())
}

#[expect(
    clippy::option_option,
    reason = "no such value, as many as cores, a number"
)]
fn test_threads(given: &Given, cores: NonZeroUsize) -> Option<Option<NonZeroUsize>> {
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

#[cfg(test)]
mod tests {
    use super::super::resolve::DEFAULT_FILE;
    use super::*;

    #[test]
    fn every_key_is_documented_in_the_default_file_in_this_order() {
        let mut section = String::new();
        let mut above: Vec<&str> = Vec::new();
        let mut documented = Vec::new();
        for line in DEFAULT_FILE.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                above.push(comment);
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((leaf, _)) = line.split_once(" = ") {
                let doc = above.first().copied().unwrap_or_default();
                documented.push((format!("{section}.{leaf}"), doc));
            }
            above.clear();
        }
        let table: Vec<_> = KEYS
            .iter()
            .map(|key| (key.name.to_owned(), key.doc))
            .collect();
        assert_eq!(documented, table);
    }

    #[test]
    fn names_and_variables_are_unique_and_systematic() {
        for key in KEYS {
            assert_eq!(format!("{}.{}", key.section(), key.leaf()), key.name);
            let same = KEYS
                .iter()
                .filter(|other| other.variable() == key.variable());
            assert_eq!(same.count(), 1, "{}", key.name);
        }
        let key = find("guard.memory-threshold").unwrap();
        assert_eq!(key.variable(), "STT_GUARD_MEMORY_THRESHOLD");
    }

    #[test]
    fn the_key_that_was_meant_is_found() {
        let cases = [
            ("guard.memory-treshold", Some("guard.memory-threshold")),
            ("guard.memory_threshold", Some("guard.memory-threshold")),
            ("run.memory-threshold", Some("guard.memory-threshold")),
            ("slow-timeout", Some("run.slow-timeout")),
            ("run.fail-fast", Some("run.max-fail")),
            ("run.grace-perod", Some("run.grace-period")),
            ("guard.grace-perod", Some("guard.grace-period")),
            ("guard.cpu-treshold", Some("guard.cpu-threshold")),
            ("run.colour-of-the-sky", None),
            ("x", None),
            ("", None),
        ];
        for (name, meant) in cases {
            assert_eq!(nearest(name), meant, "{name}");
        }
        assert_eq!(nearest_of("gaurd", ["run", "guard"]), Some("guard"));
        assert_eq!(nearest_of("zebra", ["run", "guard"]), None);
    }

    #[test]
    fn what_is_impossible_is_refused() {
        let text = |text: &str| Given::Text(text.to_owned());
        let bare = |text: &str| Given::Bare(text.to_owned());
        let refused = [
            ("run.test-threads", Given::Integer(0)),
            ("run.test-threads", Given::Integer(4097)),
            ("run.test-threads", Given::Integer(i64::MIN)),
            ("run.test-threads", text("4")),
            ("run.max-fail", Given::Integer(0)),
            ("run.max-fail", Given::Integer(-1)),
            ("run.max-fail", text("none")),
            ("run.slow-timeout", text("0s")),
            ("run.slow-timeout", Given::Integer(60)),
            ("run.slow-timeout", text("366d")),
            ("run.terminate-after", Given::Integer(-1)),
            ("guard.enabled", text("true")),
            ("guard.enabled", bare("yes")),
            ("guard.memory-threshold", text("0")),
            ("guard.memory-threshold", text("900%")),
            ("guard.memory-threshold", text("6XB")),
            ("guard.memory-threshold", Given::Integer(80)),
            ("guard.memory-critical", text("6GB")),
            ("guard.cpu-threshold", text("0%")),
            ("guard.cpu-action", text("panic")),
            ("guard.check-interval", text("0s")),
            ("guard.check-interval", text("4ms")),
            ("guard.check-interval", text("61s")),
            ("guard.grace-period", text("-1s")),
            ("output.keep", text("0B")),
            ("output.status-level", text("PASS")),
            ("checkpoint.path", Given::Boolean(false)),
            ("checkpoint.path", Given::Other("a list")),
        ];
        for (name, given) in refused {
            assert!(!find(name).unwrap().accepts(&given), "{name} = {given:?}");
        }
    }

    #[test]
    fn threads_may_be_counted_from_the_cores() {
        let cores = NonZeroUsize::new(8).unwrap();
        let threads = |given| test_threads(&given, cores).map(|n| n.map(NonZeroUsize::get));
        assert_eq!(threads(Given::Text("num-cpus".to_owned())), Some(None));
        assert_eq!(threads(Given::Integer(3)), Some(Some(3)));
        assert_eq!(threads(Given::Integer(-3)), Some(Some(5)));
        assert_eq!(threads(Given::Integer(-8)), Some(Some(1)));
        assert_eq!(threads(Given::Bare("-100".to_owned())), Some(Some(1)));
        assert_eq!(threads(Given::Integer(0)), None);
    }
}
