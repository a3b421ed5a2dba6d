//! nextest's configuration file, written as ours: a text goes in, a text and what it could not take come out. Pure.
//!
//! Every value is shown to our own reader before it is taken, so that what is written is right.

mod reading;
mod scripts;
mod tables;
mod times;
mod values;
mod written;

use std::fmt;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use toml_edit::Document;
use toml_edit::Item;
use toml_edit::TableLike;

use super::document::DEFAULT_PROFILE;
use super::document::single_line;
use super::groups::TEST_GROUPS;
use super::overrides::EXTRA_ARGS;
use super::problem::Problem;
use super::problem::Problems;
use super::source::Level;
use super::source::Place;
use super::source::Source;
use super::source::Spot;
use reading::Everywhere;
use reading::Reading;
use scripts::OF_SCRIPTS;
use tables::NO_SUCH_KEY;
use written::Line;
use written::Override;
use written::Profile;

/// Where nextest's file lies, below the directory of the root manifest.
pub const NEXTEST_FILE: &str = ".config/nextest.toml";

/// Where nextest puts the reports of its profiles unless `store.dir` says something else.
const STORE: &str = "target/nextest";

const PROFILE: &str = "profile";
const THREADS_REQUIRED: &str = "threads-required";

/// What a profile says of every test, and ours says in overrides only.
const OF_ALL: [&str; 2] = [THREADS_REQUIRED, EXTRA_ARGS];

/// What became of a file of nextest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Our file.
    pub text: String,
    /// What it does not hold, or not as it was, in the order of nextest's file.
    pub left_out: Vec<LeftOut>,
}

/// Something that was not carried over, or not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it stands in nextest's file.
    pub spot: Spot,
    /// The key, such as `profile.default.global-timeout`.
    pub key: String,
    /// Why, and what can be done instead.
    pub why: String,
}

/// One line: `PATH:LINE:COLUMN: KEY: WHY`.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spot {
            path, line, column, ..
        } = &self.spot;
        write!(f, "{path}:{line}:{column}: {}: {}", self.key, self.why)
    }
}

/// Writes the text of nextest's file as ours. `path` is where it lies, for messages.
///
/// # Errors
/// The text is not TOML. Whatever else is wrong with it is among what was left out.
pub fn import_nextest(path: &Utf8Path, text: &str) -> Result<Imported, Problems> {
    let document = Document::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(text.len()..text.len());
        Problems(vec![Problem {
            source: Source::File(Level::Workspace),
            place: Place::File(Spot::new(path.to_owned(), text, span)),
            key: None,
            message: "this is not TOML".to_owned(),
            expected: Some(single_line(error.message())),
        }])
    })?;
    let root = document.as_table();
    let mut reading = Reading::new(path, text, Everywhere::of(root));
    // Overrides name groups and scripts, wherever these stand.
    let groups = root.get(TEST_GROUPS).map(|item| reading.groups(root, item));
    let scripts = scripts::all(&mut reading, root);
    let mut profiles = Vec::new();
    for (name, entry) in reading.entries(root, "") {
        match name {
            TEST_GROUPS => {}
            PROFILE => profiles = reading.profiles(entry.item),
            "store" => reading.store(entry.item),
            "nextest-version" => reading.leave(&entry, "stt asks for no version of nextest"),
            "experimental" => reading.leave(&entry, "what stt has needs no such switch"),
            name if OF_SCRIPTS.contains(&name) => {}
            _ => reading.leave(&entry, NO_SUCH_KEY),
        }
    }
    let profiles = settle(&mut reading, &profiles, &store_of(root));
    let text = written::file(
        &shown(path),
        &profiles,
        &groups.unwrap_or_default(),
        &scripts,
    );
    let mut left_out = reading.left_out;
    left_out.sort_by_key(|one| (one.spot.line, one.spot.column));
    Ok(Imported { text, left_out })
}

/// The file as the first line of ours names it: it is the same for everybody who has the project.
fn shown(path: &Utf8Path) -> String {
    let name = if path.ends_with(NEXTEST_FILE) {
        NEXTEST_FILE
    } else {
        path.file_name().unwrap_or_default()
    };
    name.escape_debug().to_string()
}

fn store_of(root: &dyn TableLike) -> Utf8PathBuf {
    let dir = root.get("store").and_then(Item::as_table_like);
    let dir = dir.and_then(|store| store.get("dir")?.as_str());
    dir.unwrap_or(STORE).into()
}

/// Gives each profile what it inherits from another one, and what ours say in another way. Every profile has
/// what the default one says, there and here.
fn settle(reading: &mut Reading<'_>, profiles: &[Profile], store: &Utf8Path) -> Vec<Profile> {
    let is_default = |profile: &&Profile| profile.name == DEFAULT_PROFILE;
    let default = profiles.iter().find(is_default);
    let default_junit = default.and_then(|profile| profile.junit.clone());
    let mut settled = Vec::new();
    for profile in profiles {
        let mut whole = profile.clone();
        inherit(reading, &mut whole, profiles);
        if whole.junit.is_none() {
            whole.junit = default_junit.clone().map(Line::without_note);
        }
        if let Some(junit) = whole.junit.take() {
            let path = store.join(&whole.name).join(&junit.value);
            let value = toml_edit::Value::from(path.as_str()).to_string();
            whole.report.push(Line { value, ..junit });
        }
        for key in OF_ALL {
            let Some(at) = whole.of_all.iter().position(|(line, _)| line.key == key) else {
                continue;
            };
            let (line, span) = whole.of_all.remove(at);
            let hides = default.is_some_and(|profile| profile.says_of_tests(key));
            if hides && whole.name != DEFAULT_PROFILE {
                let key = format!("{PROFILE}.{}.{key}", whole.name.escape_debug());
                let why =
                    "stt has it in overrides, and there it would hide those of the default profile";
                reading.leave_at(span, key, why);
            } else {
                whole.overrides.push(Override::of_all(line));
            }
        }
        settled.push(whole);
    }
    settled
}

/// Adds what a profile takes from those that it inherits from.
fn inherit(reading: &mut Reading<'_>, whole: &mut Profile, profiles: &[Profile]) {
    let mut seen = vec![whole.name.clone()];
    let mut next = whole.inherits.clone();
    while let Some((name, span)) = next.take() {
        if name == DEFAULT_PROFILE {
            break;
        }
        let parent = profiles.iter().find(|profile| profile.name == name);
        let Some(parent) = parent.filter(|_| !seen.contains(&name)) else {
            let why = if seen.contains(&name) {
                "the profile inherits from itself"
            } else {
                "there is no such profile"
            };
            let key = format!("{PROFILE}.{}.inherits", whole.name.escape_debug());
            reading.leave_at(span, key, why);
            break;
        };
        whole.extend(parent);
        seen.push(name);
        next.clone_from(&parent.inherits);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::config::ConfigFile;
    use crate::config::Layers;
    use crate::config::Leaks;
    use crate::config::StatusLevel;
    use crate::config::resolve;
    use crate::retry::Backoff;
    use crate::scheduling::Places;

    const PATH: &str = "ws/.config/nextest.toml";

    fn imported(text: &str) -> Imported {
        import_nextest(PATH.into(), text).unwrap()
    }

    /// What our reader makes of a file of ours.
    fn read(text: &str, profile: Option<&str>) -> Config {
        let file = ConfigFile {
            level: Level::Workspace,
            path: "stt.toml".into(),
            text: text.to_owned(),
        };
        let layers = Layers {
            files: vec![file],
            profile: profile.map(str::to_owned),
            ..Layers::default()
        };
        resolve(&layers, NonZeroUsize::MIN)
            .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
            .config
    }

    /// The configuration of a profile after the import, which must have left nothing out.
    fn whole(text: &str, profile: Option<&str>) -> Config {
        let imported = imported(text);
        assert_eq!(imported.left_out, [], "{text}");
        read(&imported.text, profile)
    }

    /// What is said about the import, without the path.
    fn said(text: &str) -> Vec<String> {
        let imported = imported(text);
        drop(read(&imported.text, None));
        let lines = imported.left_out.iter().map(ToString::to_string);
        lines
            .map(|line| line.strip_prefix(PATH).unwrap().to_owned())
            .collect()
    }

    const EXAMPLE: &str = r#"# How we test.
nextest-version = "0.9.50"

[profile.default]
retries = 2            # the network
# Long enough.
slow-timeout = { period = "1m 30s", terminate-after = 2 }
status-level = "slow"

[test-groups]
db = { max-threads = 1 }

# One database.
[[profile.default.overrides]]
filter = 'test(/^db::\d+/)'
test-group = "db"
success-output = "immediate"

[profile.ci]
fail-fast = false
junit = { path = "junit.xml" }
"#;

    const OURS: &str = r#"# Made from .config/nextest.toml by `cargo stt config import-nextest`.

[run]
retries = 2  # the network
# Long enough.
slow-timeout = "90s"
terminate-after = 2

[output]
status-level = "slow"

[test-groups]
db = { max-threads = 1 }

# One database.
[[overrides]]
filter = 'test(/^db::\d+/)'
test-group = "db"
success-output = "immediate"

[profile.ci.run]
max-fail = "all"

[profile.ci.report]
junit = "target/nextest/ci/junit.xml"
"#;

    #[test]
    fn a_file_is_written_as_a_person_would() {
        let imported = imported(EXAMPLE);
        assert_eq!(imported.text, OURS);
        assert_eq!(
            said(EXAMPLE),
            [":2:1: nextest-version: stt asks for no version of nextest",]
        );
        for profile in [None, Some("ci")] {
            drop(read(&imported.text, profile));
        }
    }

    #[test]
    fn values_mean_the_same() {
        let default = |line: &str| whole(&format!("[profile.default]\n{line}\n"), None);
        for (line, fails) in [
            ("fail-fast = true", Some(1)),
            ("fail-fast = false", None),
            ("fail-fast = { max-fail = 3 }", Some(3)),
            ("fail-fast = { max-fail = 'all', terminate = 'wait' }", None),
            ("max-fail = 4", Some(4)),
        ] {
            let expected = fails.and_then(NonZeroUsize::new);
            assert_eq!(default(line).run.max_fail, expected, "{line}");
        }
        for (line, seconds, count) in [
            ("slow-timeout = '2 min'", 120, 0),
            ("slow-timeout = { period = '1h 1s' }", 3601, 0),
            (
                "slow-timeout.period = '1s'\nslow-timeout.terminate-after = 3",
                1,
                3,
            ),
            (
                "slow-timeout = { period = '1d', on-timeout = 'fail' }",
                86_400,
                0,
            ),
        ] {
            let run = default(line).run;
            assert_eq!(run.slow_timeout, Duration::from_secs(seconds), "{line}");
            assert_eq!(run.terminate_after, NonZeroUsize::new(count), "{line}");
        }
        let leaks = default("leak-timeout = { period = '2 seconds', result = 'fail' }").run;
        assert_eq!(
            (leaks.leak_timeout.as_secs(), leaks.leaks),
            (2, Leaks::Fail)
        );
        let retries = default(
            "retries = { backoff = 'exponential', count = 3, delay = '1 min', max-delay = '1h', jitter = true }",
        );
        let retries = retries.run.retries;
        assert_eq!((retries.count, retries.delay.as_secs()), (3, 60));
        assert_eq!(
            (retries.backoff, retries.jitter),
            (Backoff::Exponential, true)
        );
        for line in [
            "retries = { backoff = 'exponential', count = 0, delay = '1s' }",
            "retries = { backoff = 'fixed', count = 0, jitter = true }",
        ] {
            assert_eq!(default(line).run.retries.count, 0, "{line}");
        }
        let timeout = default("global-timeout = '1h 30m'").run.global_timeout;
        assert_eq!(timeout, Some(Duration::from_secs(5_400)));
        assert_eq!(
            default("test-threads = -2").run.test_threads,
            NonZeroUsize::new(1)
        );
        let threads = default("threads-required = 'num-cpus'").overrides;
        assert_eq!(threads[0].scheduling.threads_required, Some(Places::Cpus));
        let level = default("final-status-level = 'all'")
            .output
            .final_status_level;
        assert_eq!(level, StatusLevel::All);
    }

    #[test]
    fn setup_scripts_are_ours_and_stand_in_overrides() {
        let text = "experimental = ['setup-scripts']\n\
            # The database.\n[scripts.setup.db]\ncommand = { command-line = 'debug/up \"a b\"', relative-to = 'target', env = { A = '1' } }\n\
            slow-timeout = { period = '1m', terminate-after = 2 }\ncapture-stderr = true\n\
            junit = { store-success-output = false }\n\
            [scripts.setup.bad]\ncommand = 3\n\
            [script.old]\ncommand = ['sh', '-c', 'true']\n\
            [[profile.default.scripts]]\nfilter = 'test(db)'\nsetup = ['db', 'old']\n\
            [[profile.default.scripts]]\nfilter = 'all()'\nsetup = 'bad'\n\
            [[profile.ci.scripts]]\nplatform = 'cfg(unix)'\nsetup = 'old'\nrun-wrapper = 'w'\n";
        let imported = imported(text);
        let config = read(&imported.text, Some("ci"));
        let names: Vec<_> = config
            .scripts
            .setup
            .iter()
            .map(|script| &*script.name)
            .collect();
        assert_eq!(names, ["db", "old"]);
        let db = &config.scripts.setup[0];
        assert_eq!(db.command.to_string(), "debug/up 'a b'");
        assert_eq!(db.times.terminate_after, Some(2));
        assert!(
            imported
                .text
                .contains("# The database.\n[scripts.setup.db]\n"),
            "{}",
            imported.text
        );
        let of = |one: usize| config.overrides[one].scripts.setup.len();
        assert_eq!((config.overrides.len(), of(0), of(1)), (2, 1, 2));
        assert_eq!(
            said(text),
            [
                ":1:1: experimental: what stt has needs no such switch",
                ":7:11: scripts.setup.db.junit.store-success-output: stt's report holds what was captured of a script",
                ":8:16: scripts.setup.bad: `command` can't be `3`; expected a command such as \"./up.sh --fast\" \
                 or [\"./up.sh\", \"--fast\"]",
                ":17:1: profile.default.scripts.setup: the new file has no script `bad`",
                ":21:1: profile.ci.scripts.run-wrapper: the new file has no wrapper `w`",
            ]
        );
    }

    #[test]
    fn wrappers_and_extra_arguments_are_ours() {
        let text = "[scripts.wrapper.w]\ncommand = { command-line = 'wrap', relative-to = 'target' }\n\
            target-runner = 'around-wrapper'\n\
            [profile.default]\nrun-extra-args = ['-a']\n\
            [[profile.default.scripts]]\nfilter = 'package(p)'\nrun-wrapper = 'w'\nlist-wrapper = 'w'\n\
            [[profile.ci.overrides]]\nfilter = 'test(x)'\nrun-extra-args = ['-b', 'c']\n";
        let config = whole(text, Some("ci"));
        let args = |one: usize| config.overrides[one].extra_args.as_deref().map(<[_]>::len);
        let wrapper = |one: usize| config.overrides[one].scripts.run_wrapper.clone();
        assert_eq!((args(0), args(1), args(2)), (Some(2), None, Some(1)));
        let wrapper = wrapper(1).unwrap();
        assert_eq!(
            wrapper.target_runner,
            crate::script::TargetRunner::AroundWrapper
        );
        assert!(config.overrides[1].scripts.list_wrapper.is_some());
    }

    /// nextest takes a value as a whole from the first place that has it, and ours each of its keys.
    #[test]
    fn a_value_hides_all_of_the_one_below_it() {
        let text = "[profile.default]\n\
            slow-timeout = { period = '1m', terminate-after = 2, grace-period = '3s' }\n\
            retries = { backoff = 'fixed', count = 5, delay = '9s' }\n\
            leak-timeout = { period = '1s', result = 'fail' }\n\
            overrides = [{ filter = 'all()', slow-timeout = '5m' }]\n\
            [profile.ci]\nslow-timeout = '7m'\nretries = 1\nleak-timeout = '2s'\n";
        let ci = whole(text, Some("ci"));
        assert_eq!(
            (ci.run.slow_timeout.as_secs(), ci.run.terminate_after),
            (420, None)
        );
        assert_eq!(ci.run.grace_period.as_secs(), 10);
        assert_eq!(
            (ci.run.retries.count, ci.run.retries.delay),
            (1, Duration::ZERO)
        );
        assert_eq!(ci.run.leaks, Leaks::Warn);
        let times = &ci.overrides[0].times;
        assert_eq!(times.slow_timeout, Some(Duration::from_secs(300)));
        assert_eq!(times.terminate_after, Some(0));
        assert_eq!(times.grace_period, Some(Duration::from_secs(10)));
        let default = whole(text, None).run;
        assert_eq!(default.terminate_after, NonZeroUsize::new(2));
        assert_eq!(default.grace_period.as_secs(), 3);
    }

    #[test]
    fn a_profile_has_what_it_inherits() {
        let text = "store.dir = 'target/nextest'\n\
            [profile.default.junit]\npath = 'all.xml'\n\
            [profile.base]\nretries = 3\ntest-threads = 2\nthreads-required = 2\n\
            [[profile.base.overrides]]\nplatform = { target = 'cfg(unix)' }\npriority = 7\n\
            [profile.ci]\ninherits = 'base'\nretries = 1\n\
            [[profile.ci.overrides]]\nfilter = 'test(a)'\npriority = 1\n\
            [profile.\"over night\"]\ninherits = 'ci'\n";
        for profile in ["ci", "over night"] {
            let config = whole(text, Some(profile));
            assert_eq!(config.run.retries.count, 1);
            assert_eq!(config.run.test_threads, NonZeroUsize::new(2));
            let priorities = config.overrides.iter().map(|one| one.scheduling.priority);
            assert_eq!(priorities.collect::<Vec<_>>(), [Some(1), Some(7), None]);
            let junit = format!("target/nextest/{profile}/all.xml");
            assert_eq!(config.report.junit, Some(junit.into()));
        }
        // Without a setting of its own it is there all the same.
        drop(whole("[profile.empty]\n", Some("empty")));
        for (text, why) in [
            (
                "[profile.a]\ninherits = 'b'",
                ":2:1: profile.a.inherits: there is no such profile",
            ),
            (
                "[profile.a]\ninherits = 'a'",
                ":2:1: profile.a.inherits: the profile inherits from itself",
            ),
        ] {
            assert_eq!(said(text), [why]);
        }
    }

    /// A line of the default profile, where what is left out of it stands, and a part of the reason.
    const LEFT_OUT: [(&str, &str, &str); 16] = [
        (
            "global-timeout = 'later'",
            "2:1: profile.default.global-timeout",
            "can't be `later`",
        ),
        (
            "run-extra-args = 1",
            "2:1: profile.default.run-extra-args",
            "a list of arguments",
        ),
        (
            "scripts = 1",
            "2:1: profile.default.scripts",
            "list of tables",
        ),
        (
            "tset-threads = 2",
            "2:1: profile.default.tset-threads",
            "no such key",
        ),
        (
            "test-threads = 0",
            "2:1: profile.default.test-threads",
            "can't be `0`",
        ),
        (
            "retries = 1001",
            "2:1: profile.default.retries",
            "from 0 to 1000",
        ),
        (
            "slow-timeout = '2y'",
            "2:1: profile.default.slow-timeout",
            "to \"365d\"",
        ),
        (
            "slow-timeout = {}",
            "2:1: profile.default.slow-timeout",
            "`period`",
        ),
        (
            "slow-timeout = { period = '1m', on-timeout = 'pass' }",
            "2:33: profile.default.slow-timeout.on-timeout",
            "fails",
        ),
        (
            "slow-timeout = { period = '1m', grace-period = '2h' }",
            "2:33: profile.default.slow-timeout.grace-period",
            "`2h`",
        ),
        (
            "retries = { backoff = 'exponential', count = 1, delay = '1s', max-delay = '1d' }",
            "2:63: profile.default.retries.max-delay",
            "longer than 1h",
        ),
        (
            "fail-fast = { max-fail = 1, terminate = 'immediate' }",
            "2:29: profile.default.fail-fast.terminate",
            "allowed to end",
        ),
        (
            "status-level = 'retry'",
            "2:1: profile.default.status-level",
            "\"slow\"",
        ),
        (
            "junit.report-name = 'x'",
            "2:7: profile.default.junit.report-name",
            "itself",
        ),
        (
            "default-filter = 'test('",
            "2:1: profile.default.default-filter",
            "can't be `test(`",
        ),
        (
            "overrides = 1",
            "2:1: profile.default.overrides",
            "list of tables",
        ),
    ];

    #[test]
    fn what_is_left_out_is_named_where_it_is() {
        for (line, place, why) in LEFT_OUT {
            let lines = said(&format!("[profile.default]\n{line}\n"));
            assert_eq!(lines.len(), 1, "{line}: {lines:?}");
            assert!(
                lines[0].starts_with(&format!(":{place}: ")),
                "{line}: {lines:?}"
            );
            assert!(lines[0].contains(why), "{line}: {lines:?}");
        }
        assert_eq!(said("[scripts.setup.a]\ncommand = 'x'"), [""; 0]);
        assert_eq!(said("[scripts.wrapper.a]\ncommand = 'x'"), [""; 0]);
        assert_eq!(said("experimental = ['setup-scripts']").len(), 1);
    }

    #[test]
    fn an_override_is_carried_over_for_its_tests_or_not_at_all() {
        for (lines, place, why) in [
            (
                "filter = 'test(a'\nretries = 1",
                "2:1: profile.ci.overrides.filter",
                "whole override",
            ),
            (
                "platform = { host = 'cfg(unix)' }\nretries = 1",
                "2:1: profile.ci.overrides.platform",
                "whole override",
            ),
            (
                "retries = 1",
                "1:1: profile.ci.overrides",
                "for which tests",
            ),
            (
                "filter = 'all()'",
                "1:1: profile.ci.overrides",
                "sets nothing",
            ),
            (
                "filter = 'all()'\ndefault-filter = 'all()'\nretries = 1",
                "3:1: profile.ci.overrides.default-filter",
                "without `filter`",
            ),
            (
                "platform = 'cfg(unix)'\ndefault-filter = 'default()'",
                "3:1: profile.ci.overrides.default-filter",
                "can't be `default()`",
            ),
            (
                "filter = 'all()'\njunit = {}",
                "3:1: profile.ci.overrides.junit",
                "the same",
            ),
            (
                "filter = 'all()'\ntest-group = 'db'",
                "3:1: profile.ci.overrides.test-group",
                "no such group",
            ),
            (
                "filter = 'all()'\nleak-timeout = { period = '1s', result = 'fail' }",
                "3:33: profile.ci.overrides.leak-timeout.result",
                "run.leaks",
            ),
            (
                "filter = 'all()'\npriority = 101",
                "3:1: profile.ci.overrides.priority",
                "to 100",
            ),
        ] {
            let said = said(&format!("[[profile.ci.overrides]]\n{lines}\n"));
            assert_eq!(said.len(), 1, "{lines}: {said:?}");
            assert!(
                said[0].starts_with(&format!(":{place}: ")),
                "{lines}: {said:?}"
            );
            assert!(said[0].contains(why), "{lines}: {said:?}");
        }
    }

    #[test]
    fn the_default_filters_of_platforms_are_carried_over() {
        let config = whole(
            "[[profile.default.overrides]]\nplatform = 'cfg(windows)'\ndefault-filter = 'not test(unix)'\n\
             [[profile.ci.overrides]]\nplatform = { target = 'cfg(unix)' }\ndefault-filter = 'test(a)'\n",
            Some("ci"),
        );
        let filters = config
            .overrides
            .iter()
            .map(|one| one.default_filter.as_ref());
        let texts: Vec<_> = filters.map(|one| one.map(|one| &*one.text)).collect();
        assert_eq!(texts, [Some("test(a)"), Some("not test(unix)")]);
    }

    #[test]
    fn what_is_not_toml_is_an_error_at_its_place() {
        let error = import_nextest(PATH.into(), "[profile.default]\nretries = \n").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("this is not TOML"), "{text}");
        assert!(text.contains("ws/.config/nextest.toml:2:"), "{text}");
    }

    /// Lines of a profile, right ones and others, and those of an override.
    const LINES: [&str; 23] = [
        "retries = 2",
        "retries = { backoff = 'fixed', count = 1, jitter = true }",
        "retries = { backoff = 'exponential', count = 2, delay = '90 min' }",
        "slow-timeout = '1m 1s'",
        "slow-timeout = { period = '1w', terminate-after = 1, grace-period = '0s' }",
        "slow-timeout = { terminate-after = 0 }",
        "leak-timeout = { period = '1s', result = 'fail' }",
        "leak-timeout = '99h'",
        "fail-fast = { max-fail = 0 }",
        "fail-fast = true",
        "max-fail = 'all'",
        "test-threads = 'num-cpus'",
        "test-threads = { a = 1 }",
        "threads-required = 2",
        "default-filter = 'not test(slow)'",
        "status-level = 'retry'",
        "final-status-level = 'flaky'",
        "success-output = 'final'",
        "junit.path = '../x \"y\".xml'",
        "inherits = 'ci'",
        "inherits = 'default'",
        "overrides = [{ platform = 'cfg(unix)', default-filter = 'test(y)' }]",
        "overrides = [{ filter = 'test(x)', priority = 3, slow-timeout = '1s', test-group = 'g' }]",
    ];

    proptest! {
        #[test]
        fn whatever_is_written_is_right(
            profiles in proptest::collection::vec(proptest::collection::vec(0..LINES.len(), 0..8), 1..4),
            groups in any::<bool>(),
        ) {
            let names = ["default", "ci", "\"a.b c\""];
            let mut text = String::new();
            for (name, lines) in names.iter().zip(&profiles) {
                writeln!(text, "[profile.{name}]").unwrap();
                let mut keys = Vec::new();
                for line in lines.iter().map(|&line| LINES[line]) {
                    let key = line.split(['.', ' ']).next();
                    if !keys.contains(&key) {
                        keys.push(key);
                        writeln!(text, "{line}").unwrap();
                    }
                }
            }
            if groups {
                text.push_str("[test-groups.g]\nmax-threads = 'num-cpus'\n");
            }
            let imported = imported(&text);
            for name in [None, Some("ci"), Some("a.b c")].iter().take(profiles.len()) {
                drop(read(&imported.text, *name));
            }
        }

        #[test]
        fn whatever_is_read_is_answered(cut in 0..EXAMPLE.len(), put in "[a-z0-9 =.'\"#\\[\\]{}\n-]{0,12}") {
            let text = format!("{}{put}{}", &EXAMPLE[..cut], &EXAMPLE[cut..]);
            if let Ok(imported) = import_nextest(PATH.into(), &text) {
                drop(read(&imported.text, None));
            }
        }
    }
}
