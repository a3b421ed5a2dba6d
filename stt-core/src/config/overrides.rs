//! `[[overrides]]`: other settings for some of the tests. Pure.

use std::fmt;
use std::ops::Range;
use std::str::FromStr as _;
use std::sync::Arc;

use cargo_metadata::cargo_platform::Platform;
use toml_edit::Item;
use toml_edit::TableLike;

use super::ContainerChoice;
use super::container;
use super::container::CONTAINER;
use super::document::Reader;
use super::document::key_span;
use super::expression;
use super::expression::Expression;
use super::expression::OF_PLATFORM;
use super::filter::Filter;
use super::given::Given;
use super::groups;
use super::groups::SCHEDULING;
use super::groups::TEST_GROUPS;
use super::keys;
use super::limits;
use super::limits::LimitSets;
use super::limits::NO_LIMITS;
use super::outputs;
use super::outputs::OUTPUTS;
use super::outputs::TestOutput;
use super::ports;
use super::ports::PORTS;
use super::problem::Problem;
use super::retries;
use super::retries::RETRIES;
use super::scripts;
use super::scripts::KINDS;
use super::scripts::Named;
use super::source::Origin;
use super::source::Source;
use super::times;
use super::times::TIMES;
use super::wrappers;
use super::wrappers::LIST_WRAPPER;
use super::wrappers::RUN_WRAPPER;
use crate::limits::Limits;
use crate::port::TestPorts;
use crate::retry::Retries;
use crate::scheduling::NO_GROUP;
use crate::scheduling::Scheduling;
use crate::script::Script;
use crate::script::ScriptKind;
use crate::script::Scripts;
use crate::script::TestScripts;
use crate::times::TestTimes;

/// The name of the list of tables.
pub(super) const OVERRIDES: &str = "overrides";

const FILTER: &str = "filter";
const PLATFORM: &str = "platform";
/// The key for what is added to the command line of a test's binary.
pub(super) const EXTRA_ARGS: &str = "run-extra-args";
const KEYS: [&str; 21] = [
    FILTER,
    PLATFORM,
    limits::LIMITS,
    PORTS,
    RETRIES,
    TIMES[0],
    TIMES[1],
    TIMES[2],
    TIMES[3],
    SCHEDULING[0],
    SCHEDULING[1],
    SCHEDULING[2],
    KINDS[0],
    KINDS[1],
    KINDS[2],
    KINDS[3],
    EXTRA_ARGS,
    OUTPUTS[0],
    OUTPUTS[1],
    OF_PLATFORM,
    CONTAINER,
];

/// Other settings for some of the tests: those of this platform for which the filter holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Which tests; `None` for all.
    pub filter: Option<Filter>,
    /// Tests that were built for this platform; `None` for any.
    pub platform: Option<Platform>,
    /// Their set of limits, where it says something of that.
    pub limits: Option<LimitsChoice>,
    /// The ports that each of them has, where it says something of that.
    pub ports: Option<Arc<TestPorts>>,
    /// How they are tried again when they have failed, where it says something of that.
    pub retries: Option<Arc<Retries>>,
    /// Their times, as far as it says something of these.
    pub times: TestTimes,
    /// When they run, as far as it says something of that.
    pub scheduling: Scheduling,
    /// What runs around them. Of these it adds to what other overrides say.
    pub scripts: TestScripts,
    /// What is added to the command line of their binary, where it says something of that.
    pub extra_args: Option<Arc<[String]>>,
    /// When their output is shown, as far as it says something of that.
    pub output: TestOutput,
    /// Which of them run where nobody says otherwise, where it says something of that. Such an override has no filter.
    pub default_filter: Option<Expression>,
    /// The image of their container, where it says something of that.
    pub container: Option<ContainerChoice>,
    /// What said it, and where it begins.
    pub origin: Origin,
}

/// A set of limits that was chosen; `None` is the choice of none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsChoice(pub Option<Arc<Limits>>);

/// An override whose set of limits is still a name.
#[derive(Clone, Debug)]
pub(super) struct OverrideDraft {
    filter: Option<Filter>,
    platform: Option<Platform>,
    limits: Option<(String, Origin)>,
    ports: Option<TestPorts>,
    retries: Option<Retries>,
    times: TestTimes,
    scheduling: Scheduling,
    /// Where the group is named.
    group: Option<Origin>,
    scripts: Named,
    extra_args: Option<Arc<[String]>>,
    output: TestOutput,
    default_filter: Option<Expression>,
    container: Option<ContainerChoice>,
    pub(super) origin: Origin,
}

impl OverrideDraft {
    /// Whether it says for which tests it is and what it sets; where it does not, that is reported.
    fn fits_together(&self, reader: &mut Reader<'_>, span: Range<usize>) -> bool {
        let (message, expected) = if self.filter.is_none() && self.platform.is_none() {
            let expected = format!("it needs `{FILTER}`, `{PLATFORM}` or both");
            ("this override does not say for which tests it is", expected)
        } else if let (Some(filter), Some(_)) = (&self.filter, &self.default_filter) {
            let expected = format!("another override is for `{FILTER}`");
            let message = format!("`{OF_PLATFORM}` is for all tests of a `{PLATFORM}`");
            reader.report(filter.span.clone(), message, Some(expected));
            return false;
        } else if !self.sets_something() {
            let expected = format!("what it may set is {}", KEYS[2..].join(", "));
            ("this override sets nothing", expected)
        } else {
            return true;
        };
        reader.report(span, message.to_owned(), Some(expected));
        false
    }

    fn sets_something(&self) -> bool {
        let sets = self.limits.is_some() || self.ports.is_some() || self.retries.is_some();
        let sets = sets || self.extra_args.is_some() || self.default_filter.is_some();
        let sets = sets || !self.times.is_empty() || !self.scheduling.is_empty();
        let sets = sets || self.container.is_some();
        sets || !self.scripts.is_empty() || !self.output.is_empty()
    }

    /// The names of its set, its group and its scripts, unless there are such.
    pub(super) fn problems(
        &self,
        sets: &[&str],
        groups: &[&str],
        scripts: &Scripts,
    ) -> Vec<Problem> {
        let wrong = [self.unknown_set(sets), self.unknown_group(groups)];
        let scripts = self.scripts.problems(scripts, OVERRIDES);
        wrong.into_iter().flatten().chain(scripts).collect()
    }

    fn unknown_group(&self, known: &[&str]) -> Option<Problem> {
        let (name, origin) = (self.scheduling.group.as_deref()?, self.group.as_ref()?);
        if name == NO_GROUP || known.contains(&name) {
            return None;
        }
        let expected = match keys::nearest_of(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                format!("a line {name} = {{ max-threads = 1 }} below [{TEST_GROUPS}] makes one")
            }
        };
        Some(Problem {
            source: origin.source,
            place: origin.place.clone(),
            key: Some(format!("{OVERRIDES}.{}", groups::TEST_GROUP)),
            message: format!("there is no group of tests `{name}`"),
            expected: Some(expected),
        })
    }

    fn unknown_set(&self, known: &[&str]) -> Option<Problem> {
        let (name, origin) = self.limits.as_ref()?;
        if name == NO_LIMITS || known.contains(&name.as_str()) {
            return None;
        }
        let error = limits::unknown(name, known);
        Some(Problem {
            source: origin.source,
            place: origin.place.clone(),
            key: Some(format!("{OVERRIDES}.{}", limits::LIMITS)),
            message: error.to_string(),
            expected: Some(error.instead),
        })
    }

    /// The override, when there is such a set.
    pub(super) fn resolve(self, sets: &LimitSets, scripts: &Scripts) -> Option<Override> {
        let limits = match &self.limits {
            Some((name, _)) => Some(LimitsChoice(sets.choose(name).ok()?)),
            None => None,
        };
        Some(Override {
            limits,
            ports: self.ports.map(Arc::new),
            retries: self.retries.map(Arc::new),
            times: self.times,
            scheduling: self.scheduling,
            scripts: self.scripts.resolve(scripts),
            extra_args: self.extra_args,
            output: self.output,
            default_filter: self.default_filter,
            container: self.container,
            filter: self.filter,
            platform: self.platform,
            origin: self.origin,
        })
    }
}

impl Override {
    /// What is left of it when somebody has just said some of it of every test.
    pub(super) fn without(mut self, typed: Typed) -> Option<Self> {
        if typed.retries {
            self.retries = None;
        }
        if typed.success_output {
            self.output.success = None;
        }
        if typed.failure_output {
            self.output.failure = None;
        }
        if typed.default_filter {
            self.default_filter = None;
        }
        if typed.no_container {
            self.container = None;
        }
        let sets = self.limits.is_some() || self.ports.is_some() || self.retries.is_some();
        let sets = sets || self.default_filter.is_some() || self.container.is_some();
        let sets = sets || !self.times.is_empty() || !self.scheduling.is_empty();
        let sets = sets || !self.scripts.is_empty() || self.extra_args.is_some();
        (sets || !self.output.is_empty()).then_some(self)
    }
}

/// What was said of every test where that is stronger than overrides: typed, or in the environment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Typed {
    pub(super) retries: bool,
    pub(super) success_output: bool,
    pub(super) failure_output: bool,
    pub(super) default_filter: bool,
    /// No test is to run in a container.
    pub(super) no_container: bool,
}

/// The override as a file has it.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| toml_edit::Value::from(text).to_string();
        if let Some(filter) = &self.filter {
            writeln!(f, "{FILTER} = {}", quoted(&filter.text))?;
        }
        if let Some(platform) = &self.platform {
            writeln!(f, "{PLATFORM} = {}", quoted(&platform.to_string()))?;
        }
        if let Some(LimitsChoice(limits)) = &self.limits {
            let limits = limits.as_ref().map_or(NO_LIMITS, |set| &set.name);
            writeln!(f, "{} = {}", limits::LIMITS, quoted(limits))?;
        }
        if let Some(ports) = &self.ports {
            writeln!(f, "{PORTS} = {ports}")?;
        }
        if let Some(retries) = &self.retries {
            writeln!(f, "{RETRIES} = {retries}")?;
        }
        self.times.fmt(f)?;
        self.scheduling.fmt(f)?;
        let of_kinds = [
            (ScriptKind::Setup, &self.scripts.setup),
            (ScriptKind::Teardown, &self.scripts.teardown),
        ];
        for (kind, scripts) in of_kinds {
            if !scripts.is_empty() {
                let names = scripts
                    .iter()
                    .map(|script: &Arc<Script>| quoted(&script.name));
                let names = names.collect::<Vec<_>>().join(", ");
                writeln!(f, "{} = [{names}]", kind.name())?;
            }
        }
        let wrappers = [
            (RUN_WRAPPER, &self.scripts.run_wrapper),
            (LIST_WRAPPER, &self.scripts.list_wrapper),
        ];
        for (key, wrapper) in wrappers {
            if let Some(wrapper) = wrapper {
                writeln!(f, "{key} = {}", quoted(&wrapper.name))?;
            }
        }
        if let Some(args) = &self.extra_args {
            let args: Vec<_> = args.iter().map(|arg| quoted(arg)).collect();
            writeln!(f, "{EXTRA_ARGS} = [{}]", args.join(", "))?;
        }
        if let Some(Expression { text, .. }) = &self.default_filter {
            writeln!(f, "{OF_PLATFORM} = {}", quoted(text))?;
        }
        if let Some(container) = &self.container {
            writeln!(f, "{CONTAINER} = {container}")?;
        }
        self.output.fmt(f)
    }
}

/// Reads the overrides of a file or of a profile in it, in their order.
pub(super) fn read(
    reader: &mut Reader<'_>,
    table: &dyn TableLike,
    item: &Item,
    source: Source,
) -> Vec<OverrideDraft> {
    let span = key_span(table, OVERRIDES, item);
    let tables: Vec<(&dyn TableLike, Range<usize>)> = if let Some(list) = item.as_array_of_tables()
    {
        let place = |table: &toml_edit::Table| table.span().unwrap_or_else(|| span.clone());
        list.iter()
            .map(|table| (table as &dyn TableLike, place(table)))
            .collect()
    } else if let Some(list) = item.as_array()
        && list.iter().all(toml_edit::Value::is_inline_table)
    {
        list.iter()
            .filter_map(|value| {
                let place = value.span().unwrap_or_else(|| span.clone());
                Some((value.as_inline_table()? as &dyn TableLike, place))
            })
            .collect()
    } else {
        let message = format!("`{OVERRIDES}` is a list of tables");
        reader.report(
            span,
            message,
            Some(format!("each begins with [[{OVERRIDES}]]")),
        );
        return Vec::new();
    };
    let file: Arc<str> = reader.file.text.as_str().into();
    tables
        .into_iter()
        .filter_map(|(table, span)| read_one(reader, table, span, source, &file))
        .collect()
}

fn read_one(
    reader: &mut Reader<'_>,
    table: &dyn TableLike,
    span: Range<usize>,
    source: Source,
    file: &Arc<str>,
) -> Option<OverrideDraft> {
    let before = reader.problems.len();
    let (mut filter, mut platform, mut set) = (None, None, None);
    let (mut ports, mut retries, mut group) = (None, None, None);
    let (mut times, mut scheduling) = (TestTimes::default(), Scheduling::default());
    let (mut scripts, mut extra_args) = (Named::default(), None);
    let (mut output, mut default_filter, mut container) = (TestOutput::default(), None, None);
    for (name, item) in table.iter() {
        let value = item.span().unwrap_or_else(|| key_span(table, name, item));
        match name {
            FILTER => filter = filter_of(reader, item, value, source, file),
            PLATFORM => platform = platform_of(reader, item, value),
            limits::LIMITS => set = set_of(reader, item, value, source),
            PORTS => ports = ports::read(reader, item, value),
            RETRIES => retries = retries::read(reader, item, value),
            name if TIMES.contains(&name) => times::read(reader, &mut times, name, item, value),
            name if SCHEDULING.contains(&name) => {
                let place = reader.place(value.clone());
                if name == groups::TEST_GROUP {
                    group = Some(Origin { source, place });
                }
                groups::read(reader, &mut scheduling, name, item, value);
            }
            name if KINDS.contains(&name) => {
                scripts::read_names(reader, &mut scripts, name, item, value, source);
            }
            EXTRA_ARGS => extra_args = wrappers::extra_args(reader, item, value),
            OF_PLATFORM => default_filter = expression::read(reader, item, value, source),
            CONTAINER => container = container::read(reader, item, value),
            name if OUTPUTS.contains(&name) => {
                outputs::read(reader, &mut output, name, item, value);
            }
            other => {
                reader.no_such_key(table, other, item, "an override", KEYS);
            }
        }
    }
    if reader.problems.len() > before {
        return None;
    }
    let place = reader.place(span.clone());
    let draft = OverrideDraft {
        filter,
        platform,
        limits: set,
        ports,
        retries,
        times,
        scheduling,
        group,
        scripts,
        extra_args,
        output,
        default_filter,
        container,
        origin: Origin { source, place },
    };
    draft.fits_together(reader, span).then_some(draft)
}

fn filter_of(
    reader: &mut Reader<'_>,
    item: &Item,
    span: Range<usize>,
    source: Source,
    file: &Arc<str>,
) -> Option<Filter> {
    let expected = "an expression such as \"test(slow)\"";
    let filter = Filter {
        text: text(reader, item, FILTER, expected)?,
        source,
        path: reader.file.path.clone(),
        file: Arc::clone(file),
        span,
    };
    reader.problems.extend(filter.faults());
    Some(filter)
}

fn platform_of(reader: &mut Reader<'_>, item: &Item, span: Range<usize>) -> Option<Platform> {
    let expected = "a target triple, or an expression such as \"cfg(unix)\"";
    let text = text(reader, item, PLATFORM, expected)?;
    match Platform::from_str(&text) {
        Ok(platform) => Some(platform),
        Err(error) => {
            let detail = error.to_string().escape_debug().to_string();
            let expected = format!("{expected}: {detail}");
            reader.refuse(span, PLATFORM, &Given::Text(text), expected);
            None
        }
    }
}

/// The name of a set of limits, and where it stands.
fn set_of(
    reader: &mut Reader<'_>,
    item: &Item,
    span: Range<usize>,
    source: Source,
) -> Option<(String, Origin)> {
    let expected = "the name of a set of limits, or \"none\"";
    let name = text(reader, item, limits::LIMITS, expected)?;
    let place = reader.place(span);
    Some((name, Origin { source, place }))
}

/// A text that is not empty; whatever else there is, is a problem.
fn text(reader: &mut Reader<'_>, item: &Item, name: &str, expected: &str) -> Option<String> {
    let text = item.as_str().filter(|text| !text.is_empty());
    if text.is_none() {
        let given = super::document::given(item);
        let span = item.span().unwrap_or_default();
        reader.refuse(span, name, &given, expected);
    }
    text.map(str::to_owned)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::config::Config;
    use crate::config::ConfigFile;
    use crate::config::Layers;
    use crate::config::Level;
    use crate::config::Problems;
    use crate::config::resolve;

    fn layers(files: &[(Level, &str)]) -> Layers {
        let file = |&(level, text): &(Level, &str)| ConfigFile {
            level,
            path: "stt.toml".into(),
            text: text.to_owned(),
        };
        Layers {
            files: files.iter().map(file).collect(),
            ..Layers::default()
        }
    }

    /// The configuration that this text of a workspace's file makes.
    pub(crate) fn config(text: &str) -> Result<Config, Problems> {
        let layers = layers(&[(Level::Workspace, text)]);
        resolve(&layers, NonZeroUsize::MIN).map(|resolved| resolved.config)
    }

    /// Filters and sets, the strongest first.
    fn order(config: &Config) -> Vec<(&str, Option<&str>)> {
        let mut pairs = Vec::new();
        for one in &config.overrides {
            let filter = one.filter.as_ref().map_or("", |filter| &filter.text);
            let set = one.limits.as_ref().and_then(|choice| choice.0.as_ref());
            pairs.push((filter, set.map(|set| &*set.name)));
        }
        pairs
    }

    #[test]
    fn a_default_filter_is_for_all_tests_of_a_platform() {
        let text = "[[overrides]]\nplatform = 'cfg(unix)'\ndefault-filter = 'not test(a)'\nretries = 1\n\
                    [[overrides]]\nplatform = 'cfg(windows)'\ndefault-filter = ''\n";
        let config = config(text).unwrap();
        let filters = config
            .overrides
            .iter()
            .map(|one| one.default_filter.as_ref());
        let texts: Vec<_> = filters.map(|one| one.map(|one| &*one.text)).collect();
        assert_eq!(texts, [Some("not test(a)"), Some("")]);
        let written = "platform = \"cfg(windows)\"\ndefault-filter = \"\"\n";
        assert_eq!(config.overrides[1].to_string(), written);
        assert_named(&[
            (
                "default-filter = 'all()'",
                "1:1",
                "does not say for which tests",
                "it needs `filter`, `platform` or both",
            ),
            (
                "platform = 'cfg(unix)'\nfilter = 'test(a)'\ndefault-filter = 'all()'",
                "3:10",
                "`default-filter` is for all tests of a `platform`",
                "another override is for `filter`",
            ),
            (
                "platform = 'cfg(unix)'\ndefault-filter = 'default()'",
                "3:18",
                "`default-filter` can't be `default()`",
                "predicate not allowed",
            ),
            (
                "platform = 'cfg(unix)'\ndefault-filter = 1",
                "3:18",
                "`default-filter` can't be `1`",
                "an expression such as",
            ),
        ]);
    }

    #[test]
    fn groups_priorities_and_places_are_read_and_unknown_groups_named() {
        let text = "[test-groups]\ndb = { max-threads = 2 }\n[[overrides]]\nfilter = 'all()'\n\
                    threads-required = 'num-cpus'\ntest-group = 'db'\npriority = -7\n";
        let read = config(text).unwrap();
        assert_eq!(
            read.overrides[0].scheduling.to_string(),
            "threads-required = \"num-cpus\"\ntest-group = \"db\"\npriority = -7\n"
        );
        assert_eq!(&*read.test_groups[0].name, "db");
        assert_named(&[
            (
                "filter = 'all()'\ntest-group = 'bd'",
                "3:14",
                "there is no group of tests `bd`",
                "a line bd = { max-threads = 1 } below [test-groups] makes one",
            ),
            (
                "filter = 'all()'\nthreads-required = 0",
                "3:20",
                "`threads-required` can't be `0`",
                "expected a number from 1 on",
            ),
            (
                "filter = 'all()'\npriority = 101",
                "3:12",
                "`priority` can't be `101`",
                "expected a number from -100 to 100",
            ),
        ]);
        for (text, parts) in [
            (
                "[test-groups]\ndb = 1",
                ["stt.toml:2:1", "`db` is not a group of tests"],
            ),
            (
                "[test-groups]\ndb = {}",
                ["stt.toml:2:1", "it needs `max-threads`"],
            ),
            (
                "[test-groups]\ndb = { max-threads = 0 }",
                ["stt.toml:2:22", "can't be `0`"],
            ),
            (
                "[test-groups]\ndb = { max = 1, max-threads = 1 }",
                ["stt.toml:2:8", "its only key is max-threads"],
            ),
            (
                "test-groups = 3",
                ["stt.toml:1:1", "holds groups of tests by their names"],
            ),
        ] {
            let shown = config(text).unwrap_err().to_string();
            for part in parts {
                assert!(shown.contains(part), "{shown}");
            }
        }
    }

    #[test]
    fn times_are_read_one_by_one_and_as_nextests_table() {
        let text = "[[overrides]]\nfilter = 'all()'\nleak-timeout = '1s'\ngrace-period = '2s'\n\
                    [[overrides]]\nfilter = 'all()'\nslow-timeout = { period = '5s', terminate-after = 2 }\n\
                    [[overrides]]\nfilter = 'all()'\nslow-timeout = { period = '5s' }\n\
                    [[overrides]]\nfilter = 'all()'\nterminate-after = 0\n";
        let config = config(text).unwrap();
        let times: Vec<_> = config
            .overrides
            .iter()
            .map(|one| one.times.to_string())
            .collect();
        let expected = [
            "terminate-after = 0\n",
            "slow-timeout = \"5s\"\nterminate-after = 0\n",
            "slow-timeout = \"5s\"\nterminate-after = 2\n",
            "grace-period = \"2s\"\nleak-timeout = \"1s\"\n",
        ];
        let mut given = times.clone();
        given.sort();
        let mut wanted = expected.map(str::to_owned).to_vec();
        wanted.sort();
        assert_eq!(given, wanted);
    }

    #[test]
    fn the_strongest_override_stands_first() {
        let two = "[[overrides]]\nfilter = 'test(F1)'\nlimits = 'fast'\n\
                   [[overrides]]\nfilter = 'test(F2)'\nlimits = 'none'\n\
                   [[profile.ci.overrides]]\nfilter = 'test(P1)'\nlimits = 'slow'\n\
                   [[profile.other.overrides]]\nfilter = 'test(O)'\nlimits = 'slow'\n";
        let of = |letter: &str| two.replace('F', letter).replace('P', &format!("{letter}p"));
        let (user, system) = (of("U"), of("S"));
        let mut layers = layers(&[
            (Level::User, &user),
            (Level::Workspace, two),
            (Level::System, &system),
        ]);
        let names = |layers: &Layers| {
            let config = resolve(layers, NonZeroUsize::MIN).unwrap().config;
            let order = order(&config);
            let inner = |text: &str| text.trim_matches(['t', 'e', 's', '(', ')']).to_owned();
            let names = order.iter().map(|(text, _)| inner(text));
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&layers), ["F1", "F2", "U1", "U2", "S1", "S2"]);
        layers.profile = Some("ci".to_owned());
        assert_eq!(
            names(&layers),
            ["P1", "Up1", "Sp1", "F1", "F2", "U1", "U2", "S1", "S2"]
        );
    }

    #[test]
    fn an_override_may_be_written_in_each_way_that_toml_has() {
        let expected = [("test(a)", Some("slow")), ("", None)];
        for text in [
            "[[overrides]]\nfilter = 'test(a)'\nlimits = 'slow'\n[[overrides]]\nplatform = 'cfg(unix)'\nlimits = 'none'",
            "overrides = [{ filter = 'test(a)', limits = 'slow' }, { platform = 'cfg(unix)', limits = 'none' }]",
        ] {
            assert_eq!(order(&config(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        let text = "[[overrides]]\nfilter = \"test(/a\\\\.b/) & package(x)\"\nplatform = 'x86_64-unknown-linux-gnu'\nlimits = 'slow'\nports = [9000, 80]\nretries = { backoff = 'exponential', count = 2, delay = '1s' }";
        let first = config(text);
        let Ok(first) = first else {
            panic!("{}", first.unwrap_err());
        };
        let again = config(&format!("[[overrides]]\n{}", first.overrides[0])).unwrap();
        let bare = |one: &Override| {
            let filter = one.filter.as_ref().map(|filter| filter.text.clone());
            let (limits, ports) = (one.limits.clone(), one.ports.clone());
            (
                filter,
                one.platform.clone(),
                limits,
                ports,
                one.retries.clone(),
            )
        };
        assert_eq!(bare(&again.overrides[0]), bare(&first.overrides[0]));
    }

    /// A text, the place of its mistake, what is wrong, and what would be right.
    type Mistake = (&'static str, &'static str, &'static str, &'static str);

    fn assert_named(cases: &[Mistake]) {
        for (text, place, message, expected) in cases {
            for header in ["[[overrides]]", "[[profile.ci.overrides]]"] {
                let shown = config(&format!("{header}\n{text}"))
                    .unwrap_err()
                    .to_string();
                assert_eq!(shown.matches("-->").count(), 1, "{text}: {shown}");
                for part in [format!("stt.toml:{place}").as_str(), message, expected] {
                    assert!(shown.contains(part), "{text}: {shown}");
                }
            }
        }
        let shown = config("[overrides]\nlimits = 'slow'")
            .unwrap_err()
            .to_string();
        assert!(shown.contains("each begins with [[overrides]]"), "{shown}");
    }

    #[test]
    fn mistakes_in_times_are_named_where_they_are() {
        assert_named(&[
            (
                "filter = 'all()'\nslow-timeout = 'soon'",
                "3:16",
                "`slow-timeout` can't be `soon`",
                "expected a time from \"1ms\" to \"365d\"",
            ),
            (
                "filter = 'all()'\nslow-timeout = { period = '1s', terminate-after = -1 }",
                "3:51",
                "`terminate-after` can't be `-1`",
                "expected a number; 0 for never",
            ),
            (
                "filter = 'all()'\nslow-timeout = { terminate-after = 1 }",
                "3:36",
                "`slow-timeout` does not say after which time",
                "it needs `period`",
            ),
            (
                "filter = 'all()'\nslow-timeout = { perod = '1s', period = '1s' }",
                "3:18",
                "`slow-timeout` has no key `perod`",
                "did you mean `period`?",
            ),
            (
                "filter = 'all()'\nleak-timeout = '2h'",
                "3:16",
                "`leak-timeout` can't be `2h`",
                "expected a time from \"0s\" to \"1h\"",
            ),
        ]);
    }

    #[test]
    fn mistakes_are_named_where_they_are() {
        let cases = [
            (
                "limits = 'slow'",
                "1:1",
                "does not say for which tests",
                "it needs `filter`, `platform` or both",
            ),
            (
                "filter = 'all()'",
                "1:1",
                "this override sets nothing",
                "what it may set is limits, ports, retries, slow-timeout",
            ),
            (
                "filter = 'all('\nlimits = 'slow'",
                "2:15",
                "can't be understood",
                "missing `)`",
            ),
            (
                "filter = 7\nlimits = 'slow'",
                "2:10",
                "`filter` can't be `7`",
                "expected an expression",
            ),
            (
                "platform = 'cfg('\nlimits = 'slow'",
                "2:12",
                "`platform` can't be `cfg(`",
                "expected a target triple",
            ),
            (
                "filter = 'all()'\nlimits = 'solw'",
                "3:10",
                "there is no set of limits `solw`",
                "did you mean `slow`?",
            ),
            (
                "filter = 'all()'\nlimits = true",
                "3:10",
                "`limits` can't be `true`",
                "expected the name",
            ),
            (
                "flter = 'all()'\nlimits = 'slow'",
                "2:1",
                "an override has no key `flter`",
                "did you mean `filter`?",
            ),
            (
                "timeout-of = '1s'\nlimits = 'slow'",
                "2:1",
                "an override has no key",
                "its keys are filter, platform, limits, ports, retries, slow-timeout",
            ),
        ];
        assert_named(&cases);
    }

    #[test]
    fn a_profile_may_name_its_own_sets() {
        let text =
            "[profile.ci.limits.mine]\n[[profile.ci.overrides]]\nfilter = 'all()'\nlimits = 'mine'";
        assert!(config(text).is_ok());
        let other = text.replace("[profile.ci.limits", "[profile.other.limits");
        let shown = config(&other).unwrap_err().to_string();
        assert!(
            shown.contains("there is no set of limits `mine`"),
            "{shown}"
        );
        let mut layers = layers(&[(
            Level::Workspace,
            "[[overrides]]\nfilter = 'all()'\nlimits = 'mine'\n[profile.ci.limits.mine]",
        )]);
        assert!(resolve(&layers, NonZeroUsize::MIN).is_err());
        layers.profile = Some("ci".to_owned());
        assert!(resolve(&layers, NonZeroUsize::MIN).is_ok());
    }
}
