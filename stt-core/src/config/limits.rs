//! `[limits.NAME]`: the sets of limits, their keys, and how layers make one set of several tables. Pure.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::given::Given;
use super::keys;
use super::problem::Problem;
use super::resolve::ResolvedValue;
use super::source::Origin;
use crate::limits::Limits;
use crate::limits::MilliCores;
use crate::units::Bytes;

/// The name of the table that holds the sets.
pub(super) const LIMITS: &str = "limits";
/// The word for no set, and for no limit. No set can have this name.
pub const NO_LIMITS: &str = "none";
/// The key that names the set from which the rest comes.
const INHERITS: &str = "inherits";

const ANY_SIZE: RangeInclusive<Bytes> = Bytes(0)..=Bytes(1 << 50);
const ANY_TIME: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(365 * 24 * 3600);

/// One key of a set of limits.
#[derive(Debug)]
pub struct LimitKey {
    /// Its name inside the set, such as `memory`.
    pub name: &'static str,
    /// What it means, in one line.
    pub doc: &'static str,
    /// Which values it takes, beside "none".
    pub accepts: &'static str,
    /// Reads a value into a set; `None` when the value is none of those.
    set: fn(&mut Limits, &Given) -> Option<()>,
}

/// Every key of a set, in the order in which `default.toml` explains them.
pub static LIMIT_KEYS: [LimitKey; 10] = [
    LimitKey {
        name: INHERITS,
        doc: "The set from which comes what this one does not say.",
        accepts: "the name of another set",
        set: |_, given| {
            let name = given.word()?;
            (name == NO_LIMITS || is_name(name)).then_some(())
        },
    },
    LimitKey {
        name: "memory",
        doc: "Memory of all its processes together.",
        accepts: r#"a size from "1MiB", such as "512MiB""#,
        set: |set, given| {
            put(
                &mut set.memory,
                given,
                given.size(&(Bytes::mib(1)..=*ANY_SIZE.end())),
            )
        },
    },
    LimitKey {
        name: "cpu",
        doc: "How many cores its processes may use at once.",
        accepts: "a number of cores from 0.01 to 4096, such as 0.5",
        set: |set, given| {
            let cores: Option<MilliCores> = given.number();
            let possible = MilliCores(10)..=MilliCores(4_096_000);
            put(
                &mut set.cpu,
                given,
                cores.filter(|cores| possible.contains(cores)),
            )
        },
    },
    LimitKey {
        name: "cpu-time",
        doc: "CPU time of all its processes together.",
        accepts: r#"a time from "1ms" to "365d", such as "20s""#,
        set: |set, given| put(&mut set.cpu_time, given, given.time(&ANY_TIME)),
    },
    LimitKey {
        name: "time",
        doc: "Time from its start to its exit.",
        accepts: r#"a time from "1ms" to "365d", such as "30s""#,
        set: |set, given| put(&mut set.time, given, given.time(&ANY_TIME)),
    },
    LimitKey {
        name: "processes",
        doc: "How many processes and threads it may have at once.",
        accepts: "a number from 1",
        set: |set, given| {
            let most = given.integer().and_then(|most| u32::try_from(most).ok());
            put(&mut set.processes, given, most.filter(|&most| most > 0))
        },
    },
    LimitKey {
        name: "open-files",
        doc: "How many files and sockets each of its processes may have open.",
        accepts: "a number from 8",
        set: |set, given| {
            let most = given.integer().and_then(|most| u64::try_from(most).ok());
            put(&mut set.open_files, given, most.filter(|&most| most >= 8))
        },
    },
    LimitKey {
        name: "file-size",
        doc: "How large a file may become that it writes.",
        accepts: r#"a size, such as "100MiB""#,
        set: |set, given| put(&mut set.file_size, given, given.size(&ANY_SIZE)),
    },
    LimitKey {
        name: "core",
        doc: "How large its core files may become.",
        accepts: r#"a size, such as "0B""#,
        set: |set, given| put(&mut set.core, given, given.size(&ANY_SIZE)),
    },
    LimitKey {
        name: "written",
        doc: "How much all its processes together may write to disks.",
        accepts: r#"a size, such as "1GiB""#,
        set: |set, given| put(&mut set.written, given, given.size(&ANY_SIZE)),
    },
];

/// Fills a limit, when there is something to fill it with; "none" lifts it.
fn put<T>(slot: &mut Option<T>, given: &Given, value: Option<T>) -> Option<()> {
    *slot = if given.word() == Some(NO_LIMITS) {
        None
    } else {
        Some(value?)
    };
    Some(())
}

impl LimitKey {
    /// The key of this name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        LIMIT_KEYS.iter().find(|key| key.name == name)
    }

    /// Says what a set has instead of a key of this name.
    pub(super) fn instead_of(name: &str) -> String {
        let names = LIMIT_KEYS.iter().map(|key| key.name);
        match keys::nearest_of(name, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "the keys of a set are {}",
                names.collect::<Vec<_>>().join(", ")
            ),
        }
    }

    /// Whether the key takes this value.
    pub(super) fn accepts(&self, given: &Given) -> bool {
        (self.set)(&mut Limits::default(), given).is_some()
    }

    /// Says what the key takes.
    pub(super) fn expectation(&self) -> String {
        format!("expected {}, or \"{NO_LIMITS}\"", self.accepts)
    }
}

/// Whether a set may have this name: it is shown, recorded, and part of variables' names.
pub(super) fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=64).contains(&name.len()) && name.chars().all(letter) && name != NO_LIMITS
}

/// What a set's name must be.
pub(super) const NAME_RULE: &str =
    "a name is up to 64 letters, digits, `-` and `_`, and not `none`";

/// What one place says about a set.
#[derive(Clone, Debug)]
pub(super) struct SetTable {
    pub(super) name: String,
    pub(super) values: Vec<LimitEntry>,
}

/// One limit that a place gives a set.
#[derive(Clone, Debug)]
pub(super) struct LimitEntry {
    pub(super) key: &'static LimitKey,
    pub(super) given: Given,
    pub(super) origin: Origin,
}

impl LimitEntry {
    /// The value as a file would have it: a number from the environment or an option has no quotes.
    fn written(&self) -> String {
        match &self.given {
            Given::Bare(text) if !self.key.accepts(&Given::Text(text.clone())) => text.clone(),
            given @ (Given::Text(_)
            | Given::Bare(_)
            | Given::Integer(_)
            | Given::Fraction(_)
            | Given::Boolean(_)
            | Given::Other(_)) => given.written(),
        }
    }
}

/// The sets of limits of a configuration, in the order in which they were first named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitSets(pub(super) Vec<Arc<Limits>>);

/// No set has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no set of limits `{}`", .name.escape_debug())]
pub struct UnknownLimits {
    name: String,
    /// What there is instead.
    pub instead: String,
}

impl LimitSets {
    /// The sets.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Limits>> {
        self.0.iter()
    }

    /// The set of this name; `None` for `none` and for no name.
    ///
    /// # Errors
    /// There is no such set.
    pub fn choose(&self, name: &str) -> Result<Option<Arc<Limits>>, UnknownLimits> {
        if matches!(name, "" | NO_LIMITS) {
            return Ok(None);
        }
        let found = self.0.iter().find(|set| *set.name == *name);
        let unknown = || unknown(name, &each_once(self.0.iter().map(|set| &*set.name)));
        found.cloned().map(Some).ok_or_else(unknown)
    }
}

/// Names without repetition, in their order.
pub(super) fn each_once<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut once = Vec::new();
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once
}

/// Says that `name` is none of the `known` sets.
pub(super) fn unknown(name: &str, known: &[&str]) -> UnknownLimits {
    let list = known.join("`, `");
    let instead = match keys::nearest_of(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? There are `{list}`"),
        None => format!("there are `{list}`"),
    };
    UnknownLimits {
        name: name.to_owned(),
        instead,
    }
}

/// The sets that several tables make.
#[derive(Debug, Default)]
pub(super) struct Laid {
    pub(super) sets: LimitSets,
    /// Every value that was said, set by set, each with its origin.
    pub(super) values: Vec<ResolvedValue>,
    pub(super) problems: Vec<Problem>,
}

/// A set in the making: of each key the entry that wins.
struct Draft<'a> {
    name: &'a str,
    winners: [Option<&'a LimitEntry>; LIMIT_KEYS.len()],
}

/// Lays the tables over each other, of each key the strongest source.
pub(super) fn lay(tables: &[SetTable]) -> Laid {
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    for table in tables {
        let index = drafts.iter().position(|draft| draft.name == table.name);
        let index = index.unwrap_or_else(|| {
            drafts.push(Draft {
                name: &table.name,
                winners: [None; LIMIT_KEYS.len()],
            });
            drafts.len() - 1
        });
        for entry in &table.values {
            let key = LIMIT_KEYS.iter().position(|key| key.name == entry.key.name);
            let Some(winner) = key.map(|key| &mut drafts[index].winners[key]) else {
                continue;
            };
            // Of two of the same source, such as two options, the later one wins.
            if winner.is_none_or(|before| before.origin.source <= entry.origin.source) {
                *winner = Some(entry);
            }
        }
    }
    let mut laid = Laid::default();
    for draft in &drafts {
        match flatten(draft, &drafts, drafts.len()) {
            Ok(set) => laid.sets.0.push(Arc::new(set)),
            Err(problem) => laid.problems.push(*problem),
        }
        let said = draft.winners.iter().flatten();
        laid.values.extend(said.map(|entry| ResolvedValue {
            key: format!("{LIMITS}.{}.{}", draft.name, entry.key.name).into(),
            written: entry.written(),
            origin: entry.origin.clone(),
        }));
    }
    laid
}

/// What a set says, over what it inherits. `steps` is how many further sets may be on the way.
fn flatten(draft: &Draft<'_>, drafts: &[Draft<'_>], steps: usize) -> Result<Limits, Box<Problem>> {
    let mut set = Limits::default();
    let parent = draft.winners[0].filter(|entry| entry.given.word() != Some(NO_LIMITS));
    if let Some(entry) = parent {
        let name = entry.given.word().unwrap_or_default();
        let problem = |message, expected| {
            Box::new(Problem {
                source: entry.origin.source,
                place: entry.origin.place.clone(),
                key: Some(format!("{LIMITS}.{}.{INHERITS}", draft.name)),
                message,
                expected,
            })
        };
        let Some(steps) = steps.checked_sub(1) else {
            let message = format!("the set of limits `{}` inherits from itself", draft.name);
            return Err(problem(message, None));
        };
        let Some(parent) = drafts.iter().find(|other| other.name == name) else {
            let error = unknown(name, &each_once(drafts.iter().map(|draft| draft.name)));
            return Err(problem(error.to_string(), Some(error.instead)));
        };
        set = flatten(parent, drafts, steps)?;
    }
    set.name = draft.name.into();
    for entry in draft.winners.iter().flatten() {
        // It was accepted when it was read.
        let _filled: Option<()> = (entry.key.set)(&mut set, &entry.given);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::config::ConfigFile;
    use crate::config::DEFAULT_FILE;
    use crate::config::Flag;
    use crate::config::Layers;
    use crate::config::Level;
    use crate::config::Resolved;
    use crate::config::Source;
    use crate::config::check_value;
    use crate::config::resolve;

    fn file(level: Level, text: &str) -> ConfigFile {
        ConfigFile {
            level,
            path: format!("/{level:?}.toml").into(),
            text: text.to_owned(),
        }
    }

    fn workspace(text: &str) -> Layers {
        Layers {
            files: vec![file(Level::Workspace, text)],
            ..Layers::default()
        }
    }

    fn resolved(layers: &Layers) -> Resolved {
        resolve(layers, NonZeroUsize::MIN).unwrap()
    }

    fn set(config: &Config, name: &str) -> Limits {
        (*config.limits.choose(name).unwrap().unwrap()).clone()
    }

    /// The only problem: its message, and what is expected.
    fn problem(layers: &Layers) -> (String, String) {
        let problems = resolve(layers, NonZeroUsize::MIN).unwrap_err();
        let all: Vec<_> = problems.iter().collect();
        assert_eq!(all.len(), 1, "{problems}");
        let expected = all[0].expected.clone().unwrap_or_default();
        (all[0].message.clone(), expected)
    }

    #[test]
    fn every_key_is_explained_in_the_default_file() {
        for key in &LIMIT_KEYS {
            let explained = DEFAULT_FILE.lines().any(|line| {
                let words: Vec<_> = line.split_whitespace().take(3).collect();
                matches!(words.as_slice(), ["#", name, _] if *name == key.name)
            });
            assert!(explained || key.name == INHERITS, "{}", key.name);
        }
        assert!(DEFAULT_FILE.contains("`inherits` names a set"));
    }

    #[test]
    fn each_layer_changes_a_set_key_by_key_and_may_add_one() {
        let mut layers = Layers {
            files: vec![
                file(
                    Level::Workspace,
                    "[limits.fast]\nmemory = '64MiB'\ntime = '9s'",
                ),
                file(
                    Level::System,
                    "[limits.fast]\nmemory = '1GiB'\nprocesses = 7",
                ),
                file(
                    Level::User,
                    "[profile.ci.limits.fast]\ntime = '5s'\n[profile.ci.limits.mine]\ncpu = 3",
                ),
            ],
            environment: vec![("STT_LIMITS_FAST_CPU_TIME".to_owned(), "3s".to_owned())],
            flags: vec![Flag {
                name: "--config".to_owned(),
                key: "limits.fast.cpu".to_owned(),
                value: "1.25".to_owned(),
            }],
            ..Layers::default()
        };
        let expected = Limits {
            name: "fast".into(),
            memory: Some(Bytes::mib(64)),
            cpu: Some(MilliCores(1250)),
            cpu_time: Some(Duration::from_secs(3)),
            time: Some(Duration::from_secs(9)),
            processes: Some(7),
            ..Limits::default()
        };
        let plain = resolved(&layers);
        assert_eq!(set(&plain.config, "fast"), expected);
        assert!(plain.config.limits.choose("mine").is_err());
        let said = |key: &str| {
            let value = plain.limits().iter().find(|value| value.key == key);
            value.map(|value| (value.written.as_str(), value.origin.source))
        };
        let workspace = Source::File(Level::Workspace);
        assert_eq!(said("limits.fast.memory"), Some(("\"64MiB\"", workspace)));
        assert_eq!(said("limits.fast.cpu"), Some(("1.25", Source::CommandLine)));
        assert_eq!(said("limits.fast.core"), None);
        layers.profile = Some("ci".to_owned());
        let ci = resolved(&layers).config;
        assert_eq!(set(&ci, "fast").time, Some(Duration::from_secs(5)));
        assert_eq!(set(&ci, "mine").cpu, Some(MilliCores(3000)));
    }

    #[test]
    fn a_set_may_be_built_on_another_and_lift_its_limits() {
        let text = "[limits.b]\ninherits = 'a'\ncpu = 'none'\n\
                    [limits.a]\ninherits = 'fast'\nmemory = '1GiB'\nopen-files = 64";
        let config = resolved(&workspace(text)).config;
        let expected = Limits {
            name: "b".into(),
            memory: Some(Bytes::mib(1024)),
            time: Some(Duration::from_secs(30)),
            open_files: Some(64),
            ..Limits::default()
        };
        assert_eq!(set(&config, "b"), expected);
        let (message, _) = problem(&workspace("[limits.a]\ninherits = 'a'"));
        assert_eq!(message, "the set of limits `a` inherits from itself");
        let (message, expected) = problem(&workspace("[limits.a]\ninherits = 'stadnard'"));
        assert_eq!(message, "there is no set of limits `stadnard`");
        assert!(expected.starts_with("did you mean `standard`? There are `fast`, `standard`"));
    }

    #[test]
    fn a_name_that_is_not_there_is_named_with_those_that_are() {
        let (message, expected) = problem(&workspace("[run]\nlimits = 'fsat'"));
        assert_eq!(message, "there is no set of limits `fsat`");
        let all = "`fast`, `standard`, `slow`, `intensive`, `critical`";
        assert_eq!(expected, format!("did you mean `fast`? There are {all}"));
        let (_, expected) = problem(&workspace("[run]\nlimits = 'zebra'"));
        assert_eq!(expected, format!("there are {all}"));
        for none in ["", "none"] {
            let config = resolved(&workspace(&format!("[run]\nlimits = '{none}'"))).config;
            assert_eq!(config.run.limits, None);
        }
    }

    /// A text; how the message about it begins; what is in its expectation.
    const MISTAKES: &[(&str, &str, &str)] = &[
        (
            "[limits.fast]\nmemroy = '1GiB'",
            "there is no key `limits.fast.memroy`",
            "did you mean `memory`?",
        ),
        (
            "[limits.fast]\nmemory = '1'",
            "`limits.fast.memory` can't be `1`",
            "expected a size from",
        ),
        (
            "[limits.fast]\nmemory = '1B'",
            "`limits.fast.memory` can't be `1B`",
            "expected a size from",
        ),
        (
            "[limits.fast]\ncpu = '1'",
            "`limits.fast.cpu` can't be `1`",
            "expected a number of cores",
        ),
        (
            "[limits.fast]\ncpu = 0.001",
            "`limits.fast.cpu` can't be `0.001`",
            "expected a number of cores",
        ),
        (
            "[limits.fast]\ncpu = inf",
            "`limits.fast.cpu` can't be `inf`",
            "expected a number of cores",
        ),
        (
            "[limits.fast]\nprocesses = 0",
            "`limits.fast.processes` can't be `0`",
            "expected a number from 1",
        ),
        (
            "[limits.fast]\ntime = 30",
            "`limits.fast.time` can't be `30`",
            "expected a time",
        ),
        (
            "[limits.none]\n",
            "a set of limits can't be called `none`",
            "a name is up to 64",
        ),
        (
            "[limits.'a b']\n",
            "a set of limits can't be called `a b`",
            "a name is up to 64",
        ),
        (
            "[limits]\nmemory = '1GiB'",
            "`memory` is not a set of limits",
            "a table such as [limits.mine]",
        ),
        (
            "[profile.ci]\nlimits = 3",
            "`limits` holds sets of limits",
            "[profile.ci.limits.mine]",
        ),
        (
            "[limit.fast]\n",
            "there is no section `limit`",
            "did you mean `limits`?",
        ),
    ];

    #[test]
    fn mistakes_are_named() {
        for (text, message, expected) in MISTAKES {
            let found = problem(&workspace(text));
            assert!(found.0.starts_with(message), "{text}: {found:?}");
            assert!(found.1.contains(expected), "{text}: {found:?}");
        }
    }

    #[test]
    fn variables_and_options_change_only_what_there_is() {
        for name in [
            "STT_LIMITS_FATS_MEMORY",
            "STT_LIMITS_FAST_MEMROY",
            "STT_LIMITS_",
        ] {
            let layers = Layers {
                environment: vec![(name.to_owned(), "1GiB".to_owned())],
                ..Layers::default()
            };
            let (message, _) = problem(&layers);
            assert!(message.contains("the sets FAST, STANDARD"), "{message}");
        }
        assert_eq!(check_value("limits.mine.cpu", "0.5"), Ok(()));
        assert!(
            check_value("limits.mine.cpus", "0.5")
                .unwrap_err()
                .contains("`cpu`")
        );
        assert!(check_value("limits.none.cpu", "0.5").is_err());
        assert!(check_value("limits.mine.cpu", "much").is_err());
    }

    proptest! {
        #[test]
        fn of_each_key_the_strongest_layer_that_says_it_wins(
            said in prop::collection::vec((0_usize..6, 1_u64..1000), 1..8),
        ) {
            let levels = [Level::System, Level::User, Level::Workspace];
            let mut layers = Layers { profile: Some("ci".to_owned()), ..Layers::default() };
            let mut strongest = [None; 6];
            for (index, mib) in said {
                strongest[index].get_or_insert(mib);
            }
            for (index, mib) in strongest.iter().enumerate() {
                let profile = if index < 3 { "" } else { "profile.ci." };
                if let Some(mib) = mib {
                    let text = format!("[{profile}limits.x]\nmemory = '{mib}MiB'");
                    layers.files.push(file(levels[index % 3], &text));
                }
            }
            layers.files.push(file(Level::System, "[profile.ci.limits.other]"));
            let expected = strongest.iter().rev().find_map(|mib| *mib).map(Bytes::mib);
            prop_assert_eq!(set(&resolved(&layers).config, "x").memory, expected);
        }
    }
}
