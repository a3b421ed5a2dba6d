//! Which set of limits and which ports a test gets, and how it is tried again: what the first override says of it
//! that holds for it and says something of it; else it has the limits and the retries of all tests, and no ports.
//!
//! Filter expressions are nextest's, compiled by its own crate against what cargo says of the workspace.
//! Without an override nothing of that happens. Pure.

use std::sync::Arc;

use camino::Utf8Path;
use cargo_metadata::cargo_platform::Platform;
use guppy::PackageId;
use guppy::graph::PackageGraph;
use guppy::graph::cargo::BuildPlatform;
use nextest_filtering::BinaryQuery;
use nextest_filtering::CompiledExpr;
use nextest_filtering::EvalContext;
use nextest_filtering::Filterset;
use nextest_filtering::FiltersetKind;
use nextest_filtering::KnownGroups;
use nextest_filtering::ParseContext;
use nextest_filtering::TestQuery;
use nextest_metadata::RustBinaryId;
use nextest_metadata::RustTestBinaryKind;
use nextest_metadata::TestCaseName;

use crate::config::ContainerChoice;
use crate::config::Filter;
use crate::config::LimitsChoice;
use crate::config::Origin;
use crate::config::Override;
use crate::config::Problem;
use crate::config::Problems;
use crate::config::TestOutput;
use crate::limits::Limits;
use crate::port::TestPorts;
use crate::retry::Retries;
use crate::scheduling::Scheduling;
use crate::script::TestScripts;
use crate::script::Wrapper;
use crate::times::TestTimes;

use super::binary::BinaryKind;
use super::binary::TestBinary;
use super::choice::Choice;

/// What decides about the limits, the ports and the retries of a test.
#[derive(Debug, Default)]
pub struct TestRules {
    /// The strongest first.
    rules: Vec<Rule>,
    /// The set of limits of a test of which no rule says anything.
    default: Option<Arc<Limits>>,
    /// The image of the container of a test of which no rule says anything.
    image: Option<Arc<str>>,
    /// What `default()` means in a filter; every test where there is none.
    default_filter: Option<CompiledExpr>,
}

/// An override that is ready to be asked.
#[derive(Debug)]
struct Rule {
    filter: Option<CompiledExpr>,
    platform: Option<Platform>,
    limits: Option<LimitsChoice>,
    ports: Option<Arc<TestPorts>>,
    retries: Option<Arc<Retries>>,
    times: TestTimes,
    scheduling: Scheduling,
    scripts: TestScripts,
    extra_args: Option<Arc<[String]>>,
    output: TestOutput,
    container: Option<ContainerChoice>,
    origin: Origin,
}

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub enum FiltersetError {
    /// Expressions that name what is not there; each is named at its place.
    #[error("a filter does not fit this workspace")]
    Filters(#[source] Problems),
    /// The packages of the workspace, as cargo tells them, make no graph.
    #[error("cannot read how the packages of the workspace depend on each other")]
    Graph(#[source] Box<guppy::Error>),
}

/// What the metadata of cargo must hold for these overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Nothing: there is no filter.
    Nothing,
    /// The packages of the workspace.
    Workspace,
    /// Also the packages on which they depend, since a filter asks for `deps` or `rdeps`.
    Dependencies,
}

impl Needs {
    /// What these overrides need.
    pub fn of(overrides: &[Override]) -> Self {
        let filters = overrides.iter().filter_map(|one| one.filter.as_ref());
        Self::of_texts(filters.map(|filter| filter.text.as_str()))
    }

    /// What these expressions need.
    pub(super) fn of_texts<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let needs = texts.map(Filterset::needs_deps);
        match needs.reduce(|one, other| one || other) {
            None => Self::Nothing,
            Some(false) => Self::Workspace,
            Some(true) => Self::Dependencies,
        }
    }
}

impl TestRules {
    /// Makes rules of overrides, with `default` for tests for which none holds. `metadata` is what cargo says
    /// of the workspace; with [`Needs::Nothing`] it is not read.
    ///
    /// # Errors
    /// A filter names packages or binaries that the workspace does not have.
    pub fn new(
        overrides: &[Override],
        default: Option<Arc<Limits>>,
        metadata: &str,
    ) -> Result<Self, FiltersetError> {
        let graph = match Needs::of(overrides) {
            Needs::Nothing => None,
            Needs::Workspace | Needs::Dependencies => {
                let graph = PackageGraph::from_json(metadata);
                Some(graph.map_err(|error| FiltersetError::Graph(Box::new(error)))?)
            }
        };
        let context = graph.as_ref().map(ParseContext::new);
        let mut rules = Vec::new();
        let mut problems = Vec::new();
        for one in overrides {
            let filter = match (&one.filter, &context) {
                (Some(filter), Some(context)) => match compile(filter, context) {
                    Ok(compiled) => Some(compiled),
                    Err(found) => {
                        problems.extend(found);
                        continue;
                    }
                },
                (None, _) | (Some(_), None) => None,
            };
            rules.push(Rule {
                filter,
                platform: one.platform.clone(),
                limits: one.limits.clone(),
                ports: one.ports.clone(),
                retries: one.retries.clone(),
                times: one.times,
                scheduling: one.scheduling.clone(),
                scripts: one.scripts.clone(),
                extra_args: one.extra_args.clone(),
                output: one.output,
                container: one.container.clone(),
                origin: one.origin.clone(),
            });
        }
        Problems::none_of(problems).map_err(FiltersetError::Filters)?;
        Ok(Self {
            rules,
            default,
            image: None,
            default_filter: None,
        })
    }

    /// Says what `default()` means in a filter.
    #[must_use]
    pub fn with_default_filter(mut self, filter: Option<CompiledExpr>) -> Self {
        self.default_filter = filter;
        self
    }

    /// Says which image the container of a test has of which no override says anything.
    #[must_use]
    pub fn with_image(mut self, image: Option<Arc<str>>) -> Self {
        self.image = image;
        self
    }

    /// Spells out the paths of wrappers.
    #[must_use]
    pub fn in_workspace(mut self, root: &Utf8Path, target: &Utf8Path) -> Self {
        for rule in &mut self.rules {
            let scripts = &mut rule.scripts;
            for wrapper in [&mut scripts.run_wrapper, &mut scripts.list_wrapper] {
                let relative = wrapper.take();
                *wrapper = relative.map(|one| Arc::new(one.in_workspace(root, target)));
            }
        }
        self
    }

    /// What a binary is asked for its tests by.
    ///
    /// # Errors
    /// Only its tests could tell whether a rule with a wrapper holds.
    pub fn list_wrapper(
        &self,
        binary: &TestBinary,
    ) -> Result<Option<Arc<Wrapper>>, FiltersetError> {
        let names = Names::of(binary);
        let (query, context) = (names.query(), self.context());
        let target = &binary.platform;
        for rule in &self.rules {
            let Some(wrapper) = &rule.scripts.list_wrapper else {
                continue;
            };
            let platform = rule.platform.as_ref();
            if platform.is_some_and(|platform| !target.is_of(platform)) {
                continue;
            }
            let filter = rule.filter.as_ref();
            match filter.map_or(Some(true), |one| one.matches_binary(&query, &context)) {
                Some(true) => return Ok(Some(Arc::clone(wrapper))),
                Some(false) => {}
                None => return Err(FiltersetError::Filters(of_tests(&rule.origin, binary))),
            }
        }
        Ok(None)
    }

    fn context(&self) -> EvalContext<'_> {
        context(self.default_filter.as_ref())
    }

    /// What the rules say of one binary.
    pub fn of_binary<'a>(&'a self, binary: &TestBinary) -> BinaryRules<'a> {
        let names = Names::of(binary);
        let query = names.query();
        let context = self.context();
        let mut limits = Choice::new();
        let mut ports = Choice::new();
        let mut retries = Choice::new();
        let (mut times, mut scheduling) = (Vec::new(), Vec::new());
        let (mut scripts, mut extra_args) = (Vec::new(), Vec::new());
        let (mut output, mut images) = (Vec::new(), Vec::new());
        for rule in &self.rules {
            let platform = rule.platform.as_ref();
            let target = &binary.platform;
            if platform.is_some_and(|platform| !target.is_of(platform)) {
                continue;
            }
            let filter = rule.filter.as_ref();
            let filter = match filter.map_or(Some(true), |one| one.matches_binary(&query, &context))
            {
                Some(false) => continue,
                Some(true) => None,
                None => filter,
            };
            if let Some(LimitsChoice(set)) = &rule.limits {
                limits.add(filter, set.as_ref());
            }
            if let Some(one) = &rule.ports {
                ports.add(filter, Some(one).filter(|ports| !ports.is_empty()));
            }
            if let Some(one) = &rule.retries {
                retries.add(filter, Some(one));
            }
            if !rule.times.is_empty() {
                times.push((filter, rule.times));
            }
            if !rule.scheduling.is_empty() {
                scheduling.push((filter, &rule.scheduling));
            }
            if !rule.scripts.is_empty() {
                scripts.push((filter, &rule.scripts));
            }
            if let Some(args) = &rule.extra_args {
                extra_args.push((filter, args));
            }
            if !rule.output.is_empty() {
                output.push((filter, rule.output));
            }
            if let Some(ContainerChoice(image)) = &rule.container {
                images.push((filter, image.as_ref()));
            }
        }
        limits.add(None, self.default.as_ref());
        images.push((None, self.image.as_ref()));
        BinaryRules {
            names,
            context,
            limits,
            ports,
            retries,
            times,
            scheduling,
            scripts,
            extra_args,
            output,
            images,
        }
    }
}

/// What is wrong where only its tests could tell who lists them.
fn of_tests(origin: &Origin, binary: &TestBinary) -> Problems {
    let expected = "`list-wrapper` needs a filter without test(), which holds for whole binaries";
    Problems::from(Problem {
        source: origin.source,
        place: origin.place.clone(),
        key: Some("overrides.list-wrapper".to_owned()),
        message: format!(
            "whether a wrapper lists `{}` depends on its tests",
            binary.id
        ),
        expected: Some(expected.to_owned()),
    })
}

/// What the rules say of the tests of one binary.
#[derive(Debug)]
pub struct BinaryRules<'a> {
    names: Names,
    context: EvalContext<'a>,
    limits: Choice<'a, Limits>,
    ports: Choice<'a, TestPorts>,
    retries: Choice<'a, Retries>,
    /// What some of the tests have, the strongest first; a filter holds for some tests, none for all.
    times: Vec<(Option<&'a CompiledExpr>, TestTimes)>,
    /// The same of when they run.
    scheduling: Vec<(Option<&'a CompiledExpr>, &'a Scheduling)>,
    /// The same of what runs around them.
    scripts: Vec<(Option<&'a CompiledExpr>, &'a TestScripts)>,
    /// The same of what is added to their command lines.
    extra_args: Vec<(Option<&'a CompiledExpr>, &'a Arc<[String]>)>,
    /// The same of when their output is shown.
    output: Vec<(Option<&'a CompiledExpr>, TestOutput)>,
    /// The same of the images of their containers.
    images: Vec<(Option<&'a CompiledExpr>, Option<&'a Arc<str>>)>,
}

impl<'a> BinaryRules<'a> {
    /// The set of limits of a test; `None` when it is not limited.
    pub fn limits(&self, test: &str) -> Option<&'a Arc<Limits>> {
        self.limits.of(&self.names, self.context, test)
    }

    /// The ports that a test has for itself; `None` when it has none.
    pub fn ports(&self, test: &str) -> Option<&'a Arc<TestPorts>> {
        self.ports.of(&self.names, self.context, test)
    }

    /// How a test is tried again; `None` when it is as every test.
    pub fn retries(&self, test: &str) -> Option<&'a Arc<Retries>> {
        self.retries.of(&self.names, self.context, test)
    }

    /// The times that a test has for itself; `None` when it has none.
    pub fn times(&self, test: &str) -> Option<TestTimes> {
        let held = self.held(&self.times, test);
        let times = held.fold(TestTimes::default(), |times, weaker| times.or(*weaker));
        (!times.is_empty()).then_some(times)
    }

    /// When a test runs; `None` when nothing is said of that.
    pub fn scheduling(&self, test: &str) -> Option<Scheduling> {
        let held = self.held(&self.scheduling, test);
        let scheduling = held.fold(Scheduling::default(), |scheduling, weaker| {
            scheduling.or(weaker)
        });
        (!scheduling.is_empty()).then_some(scheduling)
    }

    /// What runs around a test: what all rules say that hold for it; `None` where that is nothing.
    pub fn scripts(&self, test: &str) -> Option<TestScripts> {
        let mut scripts = TestScripts::default();
        for held in self.held(&self.scripts, test) {
            scripts.extend(held);
        }
        (!scripts.is_empty()).then_some(scripts)
    }

    /// What is added to the command line of a test's binary; `None` where nothing is said of that.
    pub fn extra_args(&self, test: &str) -> Option<&'a Arc<[String]>> {
        self.held(&self.extra_args, test).next().copied()
    }

    /// The image of the container of a test; `None` where it runs outside.
    pub fn image(&self, test: &str) -> Option<&'a Arc<str>> {
        self.held(&self.images, test).next().copied().flatten()
    }

    /// When the output of a test is shown, as far as that is its own.
    pub fn output(&self, test: &str) -> TestOutput {
        let held = self.held(&self.output, test);
        held.fold(TestOutput::default(), |output, weaker| output.or(*weaker))
    }

    /// What of these holds for a test, the strongest first.
    fn held<'s, T>(
        &'s self,
        said: &'s [(Option<&'a CompiledExpr>, T)],
        test: &'s str,
    ) -> impl Iterator<Item = &'s T> {
        let holds = |filter: &CompiledExpr| self.names.is_in(filter, self.context, test);
        let held = said
            .iter()
            .filter(move |(filter, _)| filter.is_none_or(holds));
        held.map(|(_, value)| value)
    }
}

/// What `default()` means: every test where there is no default filter.
pub(super) fn context(default: Option<&CompiledExpr>) -> EvalContext<'_> {
    EvalContext {
        default_filter: default.unwrap_or(const { &CompiledExpr::ALL }),
    }
}

/// The kind of documentation tests, for which nextest has no word: it does not run them.
const DOC: RustTestBinaryKind = RustTestBinaryKind::new_const("doc");

/// A binary as the filters name it.
#[derive(Debug)]
pub(super) struct Names {
    package: PackageId,
    id: RustBinaryId,
    name: String,
    kind: RustTestBinaryKind,
    platform: BuildPlatform,
}

impl Names {
    pub(super) fn of(binary: &TestBinary) -> Self {
        let (kind, platform) = match binary.kind {
            BinaryKind::Lib => (RustTestBinaryKind::LIB, BuildPlatform::Target),
            BinaryKind::ProcMacro => (RustTestBinaryKind::PROC_MACRO, BuildPlatform::Host),
            BinaryKind::Bin => (RustTestBinaryKind::BIN, BuildPlatform::Target),
            BinaryKind::Test => (RustTestBinaryKind::TEST, BuildPlatform::Target),
            BinaryKind::Example => (RustTestBinaryKind::EXAMPLE, BuildPlatform::Target),
            BinaryKind::Bench => (RustTestBinaryKind::BENCH, BuildPlatform::Target),
            BinaryKind::Doc => (DOC, BuildPlatform::Target),
        };
        Self {
            package: PackageId::new(binary.package_id.as_str()),
            id: RustBinaryId::new(binary.id.as_str()),
            name: binary.target.clone(),
            kind,
            platform,
        }
    }

    /// Whether a filter holds for one of its tests.
    pub(super) fn is_in(
        &self,
        filter: &CompiledExpr,
        context: EvalContext<'_>,
        test: &str,
    ) -> bool {
        let query = TestQuery {
            binary_query: self.query(),
            test_name: &TestCaseName::new(test),
        };
        filter.matches_test(&query, &context)
    }

    pub(super) fn query(&self) -> BinaryQuery<'_> {
        BinaryQuery {
            package_id: &self.package,
            binary_id: &self.id,
            binary_name: &self.name,
            kind: &self.kind,
            platform: self.platform,
        }
    }
}

fn compile(filter: &Filter, context: &ParseContext<'_>) -> Result<CompiledExpr, Vec<Problem>> {
    let text = filter.text.clone();
    let kind = FiltersetKind::OverrideFilter;
    Filterset::parse(text, context, kind, &KnownGroups::Unavailable)
        .map(|filterset| filterset.compiled)
        .map_err(|error| filter.problems(&error.errors))
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt::Write as _;
    use std::num::NonZeroUsize;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::config::ConfigFile;
    use crate::config::Layers;
    use crate::config::Level;
    use crate::config::resolve;
    use crate::discovery::binary::tests::binary;
    use crate::discovery::manifest::Harness;

    /// A workspace of two packages without a dependency; `p` has an integration test.
    pub(in crate::discovery) const METADATA: &str = r#"{"packages":[
        {"name":"p","version":"0.1.0","id":"path+file:///w/p#0.1.0","license":null,"license_file":null,
         "description":null,"source":null,"dependencies":[],"features":{},"manifest_path":"/w/p/Cargo.toml",
         "targets":[{"kind":["test"],"crate_types":["bin"],"name":"it","src_path":"/w/p/tests/it.rs",
         "edition":"2024","doc":false,"doctest":false,"test":true}],"metadata":null,"publish":null,
         "authors":[],"categories":[],"keywords":[],"readme":null,"repository":null,"homepage":null,
         "documentation":null,"edition":"2024","links":null,"default_run":null,"rust_version":null},
        {"name":"q","version":"0.1.0","id":"path+file:///w/q#0.1.0","license":null,"license_file":null,
         "description":null,"source":null,"dependencies":[],"features":{},"manifest_path":"/w/q/Cargo.toml",
         "targets":[{"kind":["lib"],"crate_types":["lib"],"name":"q","src_path":"/w/q/src/lib.rs",
         "edition":"2024","doc":true,"doctest":true,"test":true}],"metadata":null,"publish":null,
         "authors":[],"categories":[],"keywords":[],"readme":null,"repository":null,"homepage":null,
         "documentation":null,"edition":"2024","links":null,"default_run":null,"rust_version":null}],
        "workspace_members":["path+file:///w/p#0.1.0","path+file:///w/q#0.1.0"],
        "workspace_default_members":[],"resolve":null,"target_directory":"/w/target","version":1,
        "workspace_root":"/w","metadata":null}"#;

    /// Filter, platform and limits of an override; an empty text is left out.
    type Table<'a> = (&'a str, &'a str, &'a str);

    fn config(overrides: &[Table<'_>]) -> Config {
        let mut text = String::new();
        for (filter, platform, limits) in overrides {
            text.push_str("[[overrides]]\n");
            for (key, value) in [
                ("filter", filter),
                ("platform", platform),
                ("limits", limits),
            ] {
                if !value.is_empty() {
                    writeln!(text, "{key} = '''{value}'''").unwrap();
                }
            }
        }
        config_of(text)
    }

    /// The configuration that this text of a workspace's file makes.
    fn config_of(text: String) -> Config {
        let file = ConfigFile {
            level: Level::Workspace,
            path: "stt.toml".into(),
            text,
        };
        let layers = Layers {
            files: vec![file],
            ..Layers::default()
        };
        resolve(&layers, NonZeroUsize::MIN).unwrap().config
    }

    fn rules(overrides: &[Table<'_>], default: &str) -> Result<TestRules, FiltersetError> {
        let config = config(overrides);
        let default = config.limits.choose(default).unwrap();
        TestRules::new(&config.overrides, default, METADATA)
    }

    /// Overrides, and the set that the test gets.
    type Case<'a> = (&'a [Table<'a>], &'a str);

    /// The set of the test `a::slow` of the integration test `it` of `p`.
    fn of_slow(overrides: &[Table<'_>]) -> String {
        let rules = rules(overrides, "standard").unwrap();
        let found = rules
            .of_binary(&binary(Harness::Libtest, None))
            .limits("a::slow");
        found.map_or_else(|| "none".to_owned(), |set| set.name.to_string())
    }

    #[test]
    fn the_first_override_that_holds_wins() {
        let cases: [Case<'_>; 13] = [
            (&[], "standard"),
            (&[("test(slow)", "", "slow")], "slow"),
            (&[("test(fast)", "", "slow")], "standard"),
            (&[("test(slow)", "", "none")], "none"),
            (
                &[("test(a)", "", "fast"), ("test(slow)", "", "slow")],
                "fast",
            ),
            (
                &[("test(x)", "", "fast"), ("package(p)", "", "slow")],
                "slow",
            ),
            (
                &[("package(q)", "", "fast"), ("kind(test)", "", "slow")],
                "slow",
            ),
            (
                &[("binary_id(p::it) - test(=a::slow)", "", "fast")],
                "standard",
            ),
            (&[("", "cfg(unix)", "slow")], "slow"),
            (&[("", "cfg(windows)", "slow")], "standard"),
            (&[("", "x86_64-unknown-linux-gnu", "slow")], "slow"),
            (
                &[
                    ("all()", "aarch64-apple-darwin", "fast"),
                    ("default()", "", "slow"),
                ],
                "slow",
            ),
            (
                &[
                    ("platform(host)", "", "fast"),
                    ("platform(target)", "", "slow"),
                ],
                "slow",
            ),
        ];
        for (overrides, expected) in cases {
            assert_eq!(of_slow(overrides), expected, "{overrides:?}");
        }
    }

    #[test]
    fn each_setting_comes_from_the_first_override_that_says_something_of_it() {
        let text = "[[overrides]]\nfilter = 'test(slow)'\nports = 2\nretries = 3\n\
                    [[overrides]]\nfilter = 'test(a)'\nlimits = 'fast'\n\
                    [[overrides]]\nfilter = 'test(fixed)'\nports = [9000, 80]\n\
                    [[overrides]]\nfilter = 'test(bare)'\nports = 0\n\
                    [[overrides]]\nfilter = 'package(p)'\nports = 1\nlimits = 'slow'\nretries = 0\n";
        let config = config_of(text.to_owned());
        let rules = TestRules::new(&config.overrides, None, METADATA).unwrap();
        let rules = rules.of_binary(&binary(Harness::Libtest, None));
        for (test, limits, ports, retries) in [
            ("a::slow", "fast", "2", 3),
            ("x::slow", "slow", "2", 3),
            ("x::fixed", "slow", "[80, 9000]", 0),
            ("bare", "fast", "", 0),
            ("x", "slow", "1", 0),
        ] {
            assert_eq!(rules.retries(test).unwrap().count, retries, "{test}");
            let ports_found = rules.ports(test).map(ToString::to_string);
            assert_eq!(ports_found.unwrap_or_default(), ports, "{test}");
            assert_eq!(&*rules.limits(test).unwrap().name, limits, "{test}");
        }
    }

    #[test]
    fn a_name_that_nobody_has_is_named_in_the_file() {
        let error = rules(
            &[
                ("test(a)", "", "fast"),
                ("package(pq) | binary(x)", "", "slow"),
            ],
            "",
        );
        let Err(FiltersetError::Filters(problems)) = error else {
            panic!("{error:?}");
        };
        let shown = problems.to_string();
        for part in [
            "names what this workspace does not have",
            "stt.toml:5:21",
            "no packages matched this",
            "no binary names matched this",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
    }

    #[test]
    fn the_metadata_are_read_only_for_a_filter() {
        for (overrides, needs) in [
            (&[][..], Needs::Nothing),
            (&[("", "cfg(unix)", "slow")], Needs::Nothing),
            (&[("test(a)", "", "slow")], Needs::Workspace),
            (
                &[("test(a)", "", "slow"), ("rdeps(p)", "", "slow")],
                Needs::Dependencies,
            ),
        ] {
            let config = config(overrides);
            assert_eq!(Needs::of(&config.overrides), needs);
            let read = TestRules::new(&config.overrides, None, "no metadata").is_err();
            assert_eq!(read, needs != Needs::Nothing);
        }
    }

    proptest! {
        #[test]
        fn what_holds_for_a_binary_holds_for_its_tests(
            terms in prop::collection::vec((0_usize..6, any::<bool>(), 0_usize..3), 1..6),
            name in "[a-c]{1,3}",
        ) {
            let leaf = ["test(a)", "package(p)", "package(q)", "kind(lib)", "all()", "test(=b)"];
            let holds = [name.contains('a'), true, false, false, true, name == "b"];
            let sets = ["fast", "slow", "none"];
            let texts: Vec<_> = terms
                .iter()
                .map(|&(leaf_index, not, _)| {
                    format!("{}{}", if not { "not " } else { "" }, leaf[leaf_index])
                })
                .collect();
            let overrides: Vec<_> = texts
                .iter()
                .zip(&terms)
                .map(|(text, &(_, _, set))| (text.as_str(), "", sets[set]))
                .collect();
            let first = terms.iter().find(|&&(leaf_index, not, _)| holds[leaf_index] != not);
            let expected = first.map_or("standard", |&(_, _, set)| sets[set]);
            let rules = rules(&overrides, "standard").unwrap();
            let found = rules.of_binary(&binary(Harness::Libtest, None)).limits(&name);
            prop_assert_eq!(found.map_or("none", |set| &*set.name), expected);
        }
    }
}
