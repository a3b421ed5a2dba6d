//! Lays the layers over each other. Pure: the files were read, and the environment captured, before.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::num::NonZeroUsize;

use super::Config;
use super::CpuAction;
use super::bare::limit_of;
use super::bare::read_environment;
use super::bare::read_flags;
use super::container::CONTAINER_IMAGE;
use super::defined;
use super::document;
use super::document::Contents;
use super::document::DEFAULT_PROFILE;
use super::document::Entry;
use super::document::Said;
use super::expression::DEFAULT_FILTER;
use super::expression::Expression;
use super::keys;
use super::keys::Draft;
use super::limits;
use super::overrides::OverrideDraft;
use super::overrides::Typed;
use super::problem::Problem;
use super::problem::Problems;
use super::source::ConfigFile;
use super::source::Layers;
use super::source::Level;
use super::source::Origin;
use super::source::Place;
use super::source::Source;
use super::table::KEYS;
use crate::scheduling::TestGroup;
use crate::units::Threshold;

/// The defaults as a file: the lowest layer, and the reference for people.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// The configuration of a run, and where each value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The values.
    pub config: Config,
    values: Vec<ResolvedValue>,
    limits: Vec<ResolvedValue>,
    defined: Vec<ResolvedValue>,
}

/// One key with the value that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedValue {
    /// The key's name, such as `guard.memory-threshold`.
    pub key: Cow<'static, str>,
    /// The value as a file would have it, such as `"80%"`.
    pub written: String,
    /// What said it, and where.
    pub origin: Origin,
}

impl Resolved {
    /// Every key with its value, in the order of the default file.
    pub fn values(&self) -> &[ResolvedValue] {
        &self.values
    }

    /// What was said about sets of limits, set by set; not what a set inherits.
    pub fn limits(&self) -> &[ResolvedValue] {
        &self.limits
    }

    /// The groups of tests and the scripts that are defined, each as it is written.
    pub fn defined(&self) -> &[ResolvedValue] {
        &self.defined
    }

    /// Where the value of this key comes from; `None` when there is no such key.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        let value = self.values.iter().find(|value| value.key == key)?;
        Some(&value.origin)
    }

    /// Takes what an override says of the platform that is built for in the place of `run.default-filter`.
    pub fn take_default_filter(&mut self, expression: Expression) {
        let Expression { text, origin } = expression;
        let written = toml_edit::Value::from(text.as_str()).to_string();
        self.config.run.default_filter = (!text.is_empty()).then_some(text);
        let value = self.values.iter_mut().find(|one| one.key == DEFAULT_FILTER);
        if let Some(value) = value {
            value.written = written;
            value.origin = origin;
        }
    }
}

/// Lays the layers over each other. `cores` is how many cores the run may use.
///
/// # Errors
/// Everything that is wrong in any layer, also in profiles that were not chosen and in values that a
/// later layer covers.
pub fn resolve(layers: &Layers, cores: NonZeroUsize) -> Result<Resolved, Problems> {
    let mut problems = Vec::new();
    let mut said = read_files(layers, &mut problems);
    read_environment(&layers.environment, &mut said, &mut problems);
    read_flags(&layers.flags, &mut said, &mut problems);
    // Stable: of two entries of one source, such as two options, the later one wins.
    said.entries.sort_by_key(|entry| entry.origin.source);
    // Of overrides the first one wins: the stronger source comes first, and in a file the upper one.
    let stronger = |draft: &OverrideDraft| Reverse(draft.origin.source);
    said.overrides.sort_by_key(stronger);
    let mut resolved = lay(&said.entries, cores);
    let laid = limits::lay(&said.sets);
    problems.extend(laid.problems);
    let is_typed = |key| {
        let origin = resolved.origin(key);
        origin.is_some_and(|origin| origin.source >= Source::Environment)
    };
    let typed = Typed {
        retries: is_typed("run.retries"),
        success_output: is_typed("output.success-output"),
        failure_output: is_typed("output.failure-output"),
        default_filter: is_typed(DEFAULT_FILTER),
        no_container: is_typed(CONTAINER_IMAGE) && resolved.config.container.image.is_none(),
    };
    let overrides = said.overrides.into_iter();
    resolved.config.overrides = overrides
        .filter_map(|draft| draft.resolve(&laid.sets, &said.scripts))
        .filter_map(|one| one.without(typed))
        .collect();
    if let Some(profile) = &layers.profile {
        resolved.config.profile = profile.as_str().into();
    }
    resolved.config.limits = laid.sets;
    resolved.config.test_groups = last_of_each(said.groups);
    resolved.defined = defined::last_of_each(said.defined);
    resolved.config.scripts = said.scripts;
    resolved.limits = laid.values;
    if problems.is_empty() {
        problems.extend(contradiction(&resolved));
        problems.extend(unknown_limits(&resolved));
    }
    if problems.is_empty() {
        Ok(resolved)
    } else {
        Err(Problems(problems))
    }
}

fn read_files(layers: &Layers, problems: &mut Vec<Problem>) -> Said {
    let default = ConfigFile {
        level: Level::Default,
        path: "default.toml".into(),
        text: DEFAULT_FILE.to_owned(),
    };
    let mut plain = Said::default();
    let mut profiles = vec![(DEFAULT_PROFILE.to_owned(), Said::default())];
    for file in std::iter::once(&default).chain(&layers.files) {
        let Contents {
            plain: said,
            profiles: found,
            problems: wrong,
        } = document::read(file);
        problems.extend(wrong);
        plain.extend(said);
        for (name, said) in found {
            match profiles.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => known.extend(said),
                None => profiles.push((name, said)),
            }
        }
    }
    problems.extend(unknown_in_overrides(layers, &plain, &profiles));
    if let Some(chosen) = &layers.profile {
        if let Some(index) = profiles.iter().position(|(name, _)| name == chosen) {
            plain.extend(profiles.swap_remove(index).1);
        } else {
            let names: Vec<_> = profiles.into_iter().map(|(name, _)| name).collect();
            problems.push(unknown_profile(chosen, &names));
        }
    }
    plain
}

/// Of groups with the same name the last one.
fn last_of_each(groups: Vec<TestGroup>) -> Vec<TestGroup> {
    let mut each: Vec<TestGroup> = Vec::new();
    for group in groups {
        match each.iter_mut().find(|known| known.name == group.name) {
            Some(known) => *known = group,
            None => each.push(group),
        }
    }
    each
}

/// Overrides that name a set or a group which is not there, also in profiles that were not chosen.
fn unknown_in_overrides(
    layers: &Layers,
    plain: &Said,
    profiles: &[(String, Said)],
) -> Vec<Problem> {
    let of_options = || layers.flags.iter().filter_map(|flag| limit_of(&flag.key));
    let check = |said: &Said, profile: Option<&Said>| {
        let sets = plain
            .sets
            .iter()
            .chain(profile.iter().flat_map(|said| &said.sets));
        let names = sets.map(|set| &*set.name);
        let known = limits::each_once(names.chain(of_options().map(|(set, _)| set)));
        let groups = plain
            .groups
            .iter()
            .chain(profile.iter().flat_map(|said| &said.groups));
        let groups: Vec<_> = groups.map(|group| &*group.name).collect();
        let mut scripts = plain.scripts.clone();
        scripts.extend(profile.map(|said| said.scripts.clone()).unwrap_or_default());
        let wrong = said
            .overrides
            .iter()
            .flat_map(|one| one.problems(&known, &groups, &scripts));
        wrong.collect::<Vec<_>>()
    };
    let mut found = profiles.iter();
    let chosen = found.find(|(name, _)| layers.profile.as_ref() == Some(name));
    let mut problems = check(plain, chosen.map(|(_, said)| said));
    for (_, said) in profiles {
        problems.extend(check(said, Some(said)));
    }
    problems
}

fn unknown_profile(chosen: &str, profiles: &[String]) -> Problem {
    let names = profiles.iter().map(String::as_str);
    let near = keys::nearest_of(chosen, names.filter(|name| *name != DEFAULT_PROFILE));
    let list = profiles.join("`, `").escape_debug().to_string();
    let expected = match near {
        Some(near) => format!("did you mean `{}`? There are `{list}`", near.escape_debug()),
        None if profiles.len() == 1 => "there is only `default`".to_owned(),
        None => format!("there are `{list}`"),
    };
    Problem {
        source: Source::CommandLine,
        place: Place::Option("--profile".to_owned()),
        key: None,
        message: format!(
            "no configuration file has a profile `{}`",
            chosen.escape_debug()
        ),
        expected: Some(expected),
    }
}

/// Sets every entry, the stronger one later.
fn lay(entries: &[Entry], cores: NonZeroUsize) -> Resolved {
    let mut draft = Draft {
        config: Config::default(),
        cores,
        cpu_action: None,
    };
    let mut winners: Vec<Option<&Entry>> = vec![None; KEYS.len()];
    for entry in entries {
        if (entry.key.set)(&mut draft, &entry.given).is_some()
            && let Some(index) = KEYS.iter().position(|key| key.name == entry.key.name)
        {
            winners[index] = Some(entry);
        }
    }
    let values: Vec<_> = winners
        .into_iter()
        .flatten()
        .map(|entry| ResolvedValue {
            key: entry.key.name.into(),
            written: entry.given.written(),
            origin: entry.origin.clone(),
        })
        .collect();
    let mut resolved = Resolved {
        config: draft.config,
        values,
        limits: Vec::new(),
        defined: Vec::new(),
    };
    resolved.config.guard.cpu_action = draft.cpu_action.unwrap_or_else(|| automatic(&resolved));
    resolved
}

/// What `guard.cpu-action = "auto"` means: a threshold that somebody has set is taken literally.
fn automatic(resolved: &Resolved) -> CpuAction {
    match resolved.origin("guard.cpu-threshold") {
        Some(origin) if origin.source > Source::File(Level::Default) => CpuAction::Stop,
        Some(_) | None => CpuAction::Govern,
    }
}

/// Values that are possible each, but not together.
fn contradiction(resolved: &Resolved) -> Option<Problem> {
    const THRESHOLD: &str = "guard.memory-threshold";
    const CRITICAL: &str = "guard.memory-critical";
    let guard = &resolved.config.guard;
    let Threshold::Machine(threshold) = guard.memory_threshold else {
        return None;
    };
    if threshold <= guard.memory_critical {
        return None;
    }
    let (low, high) = (resolved.origin(THRESHOLD)?, resolved.origin(CRITICAL)?);
    let message = format!(
        "`{THRESHOLD}` ({threshold}) is above `{CRITICAL}` ({})",
        guard.memory_critical
    );
    // The stronger source is the one that somebody has just changed.
    let (key, at, other, expected) = if low.source >= high.source {
        (
            THRESHOLD,
            low,
            high,
            format!(
                "at most {}, or a higher `{CRITICAL}`",
                guard.memory_critical
            ),
        )
    } else {
        (
            CRITICAL,
            high,
            low,
            format!("at least {threshold}, or a lower `{THRESHOLD}`"),
        )
    };
    Some(Problem {
        source: at.source,
        place: at.place.clone(),
        key: Some(key.to_owned()),
        message,
        expected: Some(format!("{expected} (which is from {other})")),
    })
}

/// `run.limits` names a set that is not there.
fn unknown_limits(resolved: &Resolved) -> Option<Problem> {
    const KEY: &str = "run.limits";
    let name = resolved.config.run.limits.as_ref()?;
    let error = resolved.config.limits.choose(name).err()?;
    let origin = resolved.origin(KEY)?;
    Some(Problem {
        source: origin.source,
        place: origin.place.clone(),
        key: Some(KEY.to_owned()),
        message: error.to_string(),
        expected: Some(error.instead),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::bare::check_value;
    use super::*;
    use crate::config::Flag;
    use crate::units::Bytes;
    use crate::units::Percent;

    const CORES: NonZeroUsize = NonZeroUsize::new(8).unwrap();

    fn file(level: Level, text: &str) -> ConfigFile {
        let path = format!("/{level:?}.toml").into();
        let text = text.to_owned();
        ConfigFile { level, path, text }
    }

    fn workspace(text: &str) -> Layers {
        Layers {
            files: vec![file(Level::Workspace, text)],
            ..Layers::default()
        }
    }

    fn flag(key: &str, value: &str) -> Flag {
        let [name, key, value] = ["--config", key, value].map(str::to_owned);
        Flag { name, key, value }
    }

    fn problems(layers: &Layers) -> Vec<Problem> {
        resolve(layers, CORES).unwrap_err().0
    }

    #[test]
    fn the_default_file_says_what_the_default_is() {
        let resolved = resolve(&Layers::default(), CORES).unwrap();
        assert_eq!(resolved.config, Config::default());
        let named: Vec<_> = resolved.values().iter().map(|value| &*value.key).collect();
        let all: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(named, all, "each key has a default");
        for value in resolved.values() {
            assert_eq!(value.origin.source, Source::File(Level::Default));
        }
    }

    /// Adds to `layers` what says `guard.check-interval = "{seconds}s"` from `source`.
    fn say(layers: &mut Layers, source: Source, seconds: u64) {
        let value = format!("{seconds}s");
        match source {
            Source::File(level) => layers.files.push(file(
                level,
                &format!("[guard]\ncheck-interval = \"{value}\""),
            )),
            Source::Profile(level) => {
                layers.profile = Some("ci".to_owned());
                let text = format!("[profile.ci.guard]\ncheck-interval = \"{value}\"");
                layers.files.push(file(level, &text));
            }
            Source::Environment => layers
                .environment
                .push(("STT_GUARD_CHECK_INTERVAL".to_owned(), value)),
            Source::CommandLine => layers.flags.push(flag("guard.check-interval", &value)),
        }
    }

    #[test]
    fn of_each_two_sources_the_later_one_wins() {
        let sources = [
            Source::File(Level::System),
            Source::File(Level::User),
            Source::File(Level::Workspace),
            Source::Profile(Level::System),
            Source::Profile(Level::User),
            Source::Profile(Level::Workspace),
            Source::Environment,
            Source::CommandLine,
        ];
        for (a, first) in sources.into_iter().enumerate() {
            for (b, second) in sources.into_iter().enumerate() {
                if a == b {
                    continue;
                }
                let mut layers = Layers::default();
                // Numbers that say who won, and differ from the default.
                say(&mut layers, first, 10 + a as u64);
                say(&mut layers, second, 10 + b as u64);
                let resolved = resolve(&layers, CORES).unwrap();
                let expected = Duration::from_secs(10 + a.max(b) as u64);
                let context = format!("{first:?} and {second:?}");
                assert_eq!(resolved.config.guard.check_interval, expected, "{context}");
                let origin = resolved.origin("guard.check-interval").unwrap();
                assert_eq!(origin.source, first.max(second), "{context}");
            }
        }
    }

    #[test]
    fn of_two_options_the_later_one_wins() {
        let layers = Layers {
            flags: vec![flag("run.max-fail", "3"), flag("run.max-fail", "all")],
            ..Layers::default()
        };
        let resolved = resolve(&layers, CORES).unwrap();
        assert_eq!(resolved.config.run.max_fail, None);
        assert_eq!(resolved.values()[1].written, "\"all\"");
    }

    #[test]
    fn a_profile_that_was_not_chosen_is_checked_and_says_nothing() {
        let text = "[profile.ci.run]\nslow-timeout = \"5s\"\n[profile.x.run]\nmax-fail = 0";
        let wrong = problems(&workspace(text));
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].message, "`run.max-fail` can't be `0`");
        let mut layers = workspace(&text.replace("= 0", "= 7"));
        let resolved = resolve(&layers, CORES).unwrap();
        assert_eq!(resolved.config, Config::default());
        layers.profile = Some("default".to_owned());
        let resolved = resolve(&layers, CORES).unwrap();
        assert_eq!(resolved.config, Config::default());
        layers.profile = Some("ci".to_owned());
        let resolved = resolve(&layers, CORES).unwrap();
        assert_eq!(resolved.config.run.slow_timeout, Duration::from_secs(5));
        assert_eq!(&*resolved.config.profile, "ci");
        assert_eq!(resolved.config.run.max_fail, Some(NonZeroUsize::MIN));
    }

    #[test]
    fn an_unknown_profile_lists_those_that_exist() {
        let mut layers = workspace("[profile.nightly]\n[profile.ci]");
        layers.profile = Some("nigthly".to_owned());
        let wrong = problems(&layers);
        assert_eq!(
            wrong[0].message,
            "no configuration file has a profile `nigthly`"
        );
        let expected = "did you mean `nightly`? There are `default`, `nightly`, `ci`";
        assert_eq!(wrong[0].expected.as_deref(), Some(expected));
    }

    #[test]
    fn a_cpu_threshold_that_somebody_set_is_taken_literally() {
        let cases = [
            ("", CpuAction::Govern),
            ("cpu-threshold = \"80%\"", CpuAction::Stop),
            (
                "cpu-threshold = \"80%\"\ncpu-action = \"auto\"",
                CpuAction::Stop,
            ),
            (
                "cpu-threshold = \"50%\"\ncpu-action = \"govern\"",
                CpuAction::Govern,
            ),
            ("cpu-action = \"cap\"", CpuAction::Cap),
        ];
        for (text, action) in cases {
            let resolved = resolve(&workspace(&format!("[guard]\n{text}")), CORES).unwrap();
            assert_eq!(resolved.config.guard.cpu_action, action, "{text}");
        }
    }

    #[test]
    fn sections_may_be_written_in_each_way_that_toml_has() {
        for text in [
            "[guard]\nmemory-threshold = '6GB'",
            "guard.memory-threshold = \"6GB\"",
            "guard = { memory-threshold = \"6GB\" }",
        ] {
            let resolved = resolve(&workspace(text), CORES).unwrap();
            let threshold = resolved.config.guard.memory_threshold;
            assert_eq!(threshold, Threshold::Run(Bytes(6_000_000_000)), "{text}");
            let Some(Place::File(spot)) = resolved
                .origin("guard.memory-threshold")
                .map(|origin| &origin.place)
            else {
                panic!("{text} is from a file");
            };
            assert_eq!(spot.line, text.lines().count(), "{text}");
            assert_eq!(spot.width, 5, "{text}");
        }
    }

    type Mistake = (
        &'static str,
        (usize, usize, usize),
        &'static str,
        &'static str,
    );

    /// The text; then line, column and width of the marks, what is wrong, and what is expected.
    const MISTAKES: &[Mistake] = &[
        (
            "[guard]\nmemory-threshold = \"900%\"",
            (2, 20, 6),
            "`guard.memory-threshold` can't be `900%`",
            "expected a share such as \"80%\", at most 100%, or a size such as \"6GB\"",
        ),
        (
            "[guard]\nmemory-treshold = \"80%\"",
            (2, 1, 15),
            "there is no key `guard.memory-treshold`",
            "did you mean `memory-threshold`?",
        ),
        (
            "[guard]\nslow-timeout = \"1s\"",
            (2, 1, 12),
            "there is no key `guard.slow-timeout`",
            "did you mean `run.slow-timeout`?",
        ),
        (
            "[gaurd]\nenabled = true",
            (1, 2, 5),
            "there is no section `gaurd`",
            "did you mean `guard`?",
        ),
        (
            "[animals]\nzebra = 1",
            (1, 2, 7),
            "there is no section `animals`",
            "the sections are run, guard, restart, checkpoint, coordinator, container, containers, output, report, limits, test-groups, scripts, overrides",
        ),
        (
            "memory-threshold = \"80%\"",
            (1, 1, 16),
            "`memory-threshold` stands outside of any section",
            "it belongs below [guard]",
        ),
        (
            "[profile.ci]\nslow-timeout = \"1s\"",
            (2, 1, 12),
            "`slow-timeout` stands outside of any section",
            "it belongs below [profile.ci.run]",
        ),
        (
            "memory-treshold = \"80%\"",
            (1, 1, 15),
            "`memory-treshold` stands outside of any section",
            "did you mean `memory-threshold` below [guard]?",
        ),
        (
            "run = 3",
            (1, 1, 3),
            "`run` is a section, not a key",
            "its keys stand below a line [run]",
        ),
        (
            "[[run]]\nmax-fail = 1",
            (1, 3, 3),
            "`run` is a section, not a key",
            "its keys stand below a line [run]",
        ),
        (
            "profile.ci = 1",
            (1, 9, 2),
            "this is not a profile",
            "a profile is tables such as [profile.ci.run]",
        ),
        (
            "[profile.default.run]",
            (1, 10, 7),
            "the profile `default` is the sections outside of any profile",
            "write [run] for [profile.default.run]",
        ),
        (
            "[guard]\nenabled = \"true\"",
            (2, 11, 6),
            "`guard.enabled` can't be `true`",
            "write it without quotes",
        ),
        (
            "[run]\nmax-fail = [\n  1,\n]",
            (2, 12, 1),
            "`run.max-fail` can't be a list",
            "expected a number from 1, or \"all\" to run every test whatever fails",
        ),
    ];

    #[test]
    fn each_mistake_of_a_file_is_named_where_it_is() {
        for &(text, position, message, expected) in MISTAKES {
            let wrong = problems(&workspace(text));
            assert_eq!(wrong.len(), 1, "{text}: {wrong:#?}");
            let Place::File(spot) = &wrong[0].place else {
                panic!("{text}: {wrong:?}");
            };
            let found = (spot.line, spot.column, spot.width);
            assert_eq!(found, position, "{text}");
            assert_eq!(wrong[0].message, message, "{text}");
            assert_eq!(wrong[0].expected.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let layers = Layers {
            files: vec![
                file(Level::User, "[guard]\nenabled = 1\nmemory-critical = \"\""),
                file(Level::Workspace, "[guard\n"),
            ],
            profile: Some("ci".to_owned()),
            environment: vec![
                ("STT_RUN_ID".to_owned(), "not a key".to_owned()),
                ("STT_RUN_MAX_FAILS".to_owned(), "1".to_owned()),
                ("STT_OUTPUT_KEEP".to_owned(), "1".to_owned()),
                ("STTY_RUN_X".to_owned(), "1".to_owned()),
                ("STT_PORT_0".to_owned(), "1".to_owned()),
            ],
            flags: vec![flag("guard.enabeld", "1"), flag("run.tmpdir", "/tmp")],
        };
        let wrong: Vec<_> = problems(&layers)
            .iter()
            .map(|problem| problem.message.clone())
            .collect();
        let expected = [
            "`guard.enabled` can't be `1`",
            "`guard.memory-critical` can't be empty",
            "this is not TOML",
            "no configuration file has a profile `ci`",
            "there is no key `run.max-fails`",
            "`output.keep` can't be `1`",
            "there is no key `guard.enabeld`; did you mean `guard.enabled`?",
            "`run.tmpdir` can't be `/tmp`",
        ];
        assert_eq!(wrong, expected);
    }

    #[test]
    fn a_threshold_above_the_critical_line_is_named_at_the_stronger_source() {
        let low = Layers {
            flags: vec![flag("guard.memory-threshold", "95%")],
            ..Layers::default()
        };
        let wrong = problems(&low);
        assert_eq!(wrong[0].source, Source::CommandLine);
        assert_eq!(
            wrong[0].message,
            "`guard.memory-threshold` (95 %) is above `guard.memory-critical` (92 %)"
        );
        let high = workspace("[guard]\nmemory-critical = \"70%\"");
        let wrong = problems(&high);
        assert_eq!(wrong[0].source, Source::File(Level::Workspace));
        assert_eq!(
            wrong[0].expected.as_deref(),
            Some("at least 80 %, or a lower `guard.memory-threshold` (which is from default)")
        );
        for (threshold, critical) in [("92%", "92%"), ("400GB", "1%"), ("95%", "98%")] {
            let text = format!(
                "[guard]\nmemory-threshold = '{threshold}'\nmemory-critical = '{critical}'"
            );
            assert!(resolve(&workspace(&text), CORES).is_ok(), "{text}");
        }
    }

    #[test]
    fn values_are_kept_as_a_file_would_have_them() {
        let mut layers = workspace("[run]\ntest-threads = -0x2\ntmpdir = 'inherit'");
        layers.environment = vec![("STT_CHECKPOINT_PATH".to_owned(), "a \"b\"".to_owned())];
        layers.flags = vec![flag("guard.enabled", "false"), flag("run.max-fail", "3")];
        // TOML has no negative hexadecimal numbers.
        assert_eq!(problems(&layers)[0].message, "this is not TOML");
        layers.files[0].text = layers.files[0].text.replace("-0x2", "-2");
        let resolved = resolve(&layers, CORES).unwrap();
        let written = |key: &str| {
            let value = resolved.values().iter().find(|value| value.key == key);
            value.unwrap().written.clone()
        };
        assert_eq!(written("run.test-threads"), "-2");
        assert_eq!(written("run.tmpdir"), "\"inherit\"");
        assert_eq!(written("checkpoint.path"), "'a \"b\"'");
        assert_eq!(written("guard.enabled"), "false");
        assert_eq!(written("run.max-fail"), "3");
        assert_eq!(resolved.config.run.test_threads, NonZeroUsize::new(6));
        assert_eq!(resolved.config.checkpoint.path, Some("a \"b\"".into()));
        let shown = resolved.origin("run.tmpdir").unwrap().to_string();
        assert_eq!(shown, "/Workspace.toml:3");
    }

    #[test]
    fn a_value_is_checked_alone() {
        assert_eq!(check_value("guard.memory-threshold", "6GB"), Ok(()));
        let error = check_value("guard.on-breach", "explode").unwrap_err();
        assert_eq!(error, "expected \"stop\" or \"shed\"");
        let error = check_value("guard.on-braech", "stop").unwrap_err();
        assert!(
            error.ends_with("did you mean `guard.on-breach`?"),
            "{error}"
        );
    }

    /// Text that is nearly a configuration: it gets farther than noise does.
    fn nearly_toml() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "[guard]",
            "[run]",
            "[profile.ci.run]",
            "[[run]]",
            "profile",
            "guard",
            "max-fail",
            "memory-threshold",
            "enabled",
            ".",
            "=",
            "\"80%\"",
            "'900%'",
            "true",
            "0",
            "-1",
            "{",
            "}",
            "[",
            "]",
            ",",
            "\n",
            "\n",
            "\r\n",
            "\t",
            "#",
            "\"\"\"",
            "é",
            "\u{feff}",
            "1.5",
            "1979-05-27",
            "\u{1b}",
            "\\",
        ]);
        prop::collection::vec(word, 0..40).prop_map(|words| words.join(" "))
    }

    proptest! {
        #[test]
        fn no_text_panics_and_each_problem_has_a_line(
            text in prop_oneof![any::<String>(), "\\PC*", nearly_toml()],
        ) {
            if let Err(problems) = resolve(&workspace(&text), CORES) {
                let lines = text.split('\n').count();
                for problem in problems.iter() {
                    let Place::File(spot) = &problem.place else {
                        panic!("{problem:?} is of the file");
                    };
                    prop_assert!((1..=lines).contains(&spot.line), "{problem:?}");
                    prop_assert!(spot.column >= 1 && spot.width >= 1);
                    let shown = problem.to_string();
                    prop_assert!(!shown.contains('\u{1b}'), "{shown:?}");
                }
            }
        }

        #[test]
        fn an_accepted_threshold_is_a_possible_one(text in "[0-9]{1,4}(\\.[0-9])?%") {
            let layers = workspace(&format!("[guard]\nmemory-threshold = \"{text}\"\nmemory-critical = \"100%\""));
            if let Ok(resolved) = resolve(&layers, CORES) {
                let Threshold::Machine(share) = resolved.config.guard.memory_threshold else {
                    panic!("{text} is a share");
                };
                prop_assert!(share > Percent(0) && share <= Percent::whole(100));
            }
        }
    }
}
