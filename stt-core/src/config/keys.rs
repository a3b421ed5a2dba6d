//! What a key is, and how one is found. Unknown keys, the names of environment variables, `config show` and the check
//! of `default.toml` all derive from it, so that a key is added in one place.

use std::num::NonZeroUsize;

use super::Config;
use super::CpuAction;
use super::expression::DEFAULT_FILTER;
use super::expression::default_filter_fault;
use super::given::Given;
use super::groups;
use super::limits;
use super::overrides;
use super::scripts;
use super::table::KEYS;

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
            Given::Bare(_)
            | Given::Integer(_)
            | Given::Fraction(_)
            | Given::Boolean(_)
            | Given::Other(_) => false,
        };
        let fault = (self.name == DEFAULT_FILTER).then(|| default_filter_fault(given));
        if without_quotes {
            "write it without quotes".to_owned()
        } else if let Some(fault) = fault.flatten() {
            fault
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
    names.extend([
        limits::LIMITS,
        groups::TEST_GROUPS,
        scripts::SCRIPTS,
        overrides::OVERRIDES,
    ]);
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

#[cfg(test)]
mod tests {
    use super::super::resolve::DEFAULT_FILE;
    use super::super::table::test_threads;
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
            } else if section.starts_with(limits::LIMITS) {
                // Sets have a table of keys of their own.
                continue;
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
