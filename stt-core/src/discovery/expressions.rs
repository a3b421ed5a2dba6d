//! Which tests the expressions of a selection hold for: `--filterset` and `run.default-filter`. Pure.
//!
//! Without an expression nothing is read and nothing asked.

use std::collections::HashSet;

use guppy::graph::PackageGraph;
use nextest_filtering::CompiledExpr;
use nextest_filtering::EvalContext;
use nextest_filtering::Filterset;
use nextest_filtering::FiltersetKind;
use nextest_filtering::GroupLookup;
use nextest_filtering::KnownGroups;
use nextest_filtering::NameMatcher;
use nextest_filtering::ParseContext;
use nextest_filtering::TestQuery;
use nextest_metadata::GLOBAL_TEST_GROUP;
use nextest_metadata::TestCaseName;

use crate::config::Expression;
use crate::config::Expressions;
use crate::config::Problem;
use crate::config::Problems;

use super::binary::TestBinary;
use super::filterset::FiltersetError;
use super::filterset::Names;
use super::filterset::Needs;
use super::filterset::context;

/// The expressions of a selection, ready to be asked.
#[derive(Debug, Default)]
pub struct Chosen {
    /// One of them must hold; where there is none, none is needed.
    given: Vec<CompiledExpr>,
    /// What `default()` means; every test where there is none.
    default: Option<CompiledExpr>,
    /// Whether the default must hold as well.
    bound: bool,
}

impl Chosen {
    /// What the metadata of cargo must hold for these expressions.
    pub fn needs(expressions: &Expressions) -> Needs {
        Needs::of_texts(expressions.iter().map(|one| one.text.as_str()))
    }

    /// Makes the expressions ready. `metadata` is what cargo says of the workspace; without an expression it
    /// is not read.
    ///
    /// # Errors
    /// An expression has a wrong form, or names packages or binaries that the workspace does not have.
    pub fn new(expressions: &Expressions, metadata: &str) -> Result<Self, FiltersetError> {
        if Self::needs(expressions) == Needs::Nothing {
            return Ok(Self::default());
        }
        let graph = PackageGraph::from_json(metadata);
        let graph = graph.map_err(|error| FiltersetError::Graph(Box::new(error)))?;
        let context = ParseContext::new(&graph);
        let mut problems = Vec::new();
        let mut compiled = |one: &Expression, kind| {
            let compiled = compile(one, &context, kind);
            compiled.map_err(|found| problems.extend(found)).ok()
        };
        let given = expressions.given.iter();
        let given = given.filter_map(|one| compiled(one, FiltersetKind::Test));
        let given = given.collect();
        let default = expressions.default.as_ref();
        let default = default.and_then(|one| compiled(one, FiltersetKind::DefaultFilter));
        Problems::none_of(problems).map_err(FiltersetError::Filters)?;
        Ok(Self {
            given,
            default,
            bound: expressions.bound,
        })
    }

    /// What `default()` means; `None` for every test.
    pub fn default_filter(&self) -> Option<&CompiledExpr> {
        self.default.as_ref()
    }

    /// Whether no test of the binary is selected, whatever it holds.
    pub fn rules_out(&self, binary: &TestBinary) -> bool {
        self.of_names(&Names::of(binary)) == Some(false)
    }

    /// What the expressions say of one binary.
    pub fn of_binary(&self, binary: &TestBinary) -> BinaryChosen<'_> {
        let names = Names::of(binary);
        BinaryChosen {
            known: self.of_names(&names),
            names,
            chosen: self,
        }
    }

    /// Whether every test of a binary is selected, or none; `None` where it depends on the test.
    fn of_names(&self, names: &Names) -> Option<bool> {
        let (query, context) = (names.query(), self.context());
        let holds = |one: &CompiledExpr| one.matches_binary(&query, &context);
        match (
            self.given_of(names),
            self.bounds().map_or(Some(true), holds),
        ) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            (None, _) | (_, None) => None,
        }
    }

    /// The same for the given expressions alone, without the default.
    fn given_of(&self, names: &Names) -> Option<bool> {
        let (query, context) = (names.query(), self.context());
        let holds = |one: &CompiledExpr| one.matches_binary(&query, &context);
        let answers: Vec<_> = self.given.iter().map(holds).collect();
        if answers.is_empty() || answers.contains(&Some(true)) {
            Some(true)
        } else if answers.contains(&None) {
            None
        } else {
            Some(false)
        }
    }

    /// Whether the given expressions alone may hold for a test of the binary.
    pub fn is_given(&self, binary: &TestBinary) -> bool {
        self.given_of(&Names::of(binary)) != Some(false)
    }

    /// The default, where it must hold.
    fn bounds(&self) -> Option<&CompiledExpr> {
        self.default.as_ref().filter(|_| self.bound)
    }

    fn context(&self) -> EvalContext<'_> {
        context(self.default.as_ref())
    }
}

/// What the expressions say of the tests of one binary.
#[derive(Debug)]
pub struct BinaryChosen<'a> {
    names: Names,
    /// The answer for every test, where there is one.
    known: Option<bool>,
    chosen: &'a Chosen,
}

impl BinaryChosen<'_> {
    /// Whether the test is selected.
    pub fn holds(&self, test: &str) -> bool {
        self.known.unwrap_or_else(|| {
            let bounds = self.chosen.bounds();
            self.is_given(test) && bounds.is_none_or(|one| self.is_in(one, test))
        })
    }

    /// Whether one of the given expressions holds for the test, whatever the default says.
    pub fn is_given(&self, test: &str) -> bool {
        let given = &self.chosen.given;
        given.is_empty() || given.iter().any(|one| self.is_in(one, test))
    }

    fn is_in(&self, expression: &CompiledExpr, test: &str) -> bool {
        let query = TestQuery {
            binary_query: self.names.query(),
            test_name: &TestCaseName::new(test),
        };
        expression.matches_test_with_groups(&query, &self.chosen.context(), &NoGroups)
    }
}

/// Every test is in the group that nextest calls `@global`: there are no others.
#[derive(Debug)]
struct NoGroups;

impl GroupLookup for NoGroups {
    fn is_member_test(&self, _: &TestQuery<'_>, matcher: &NameMatcher) -> bool {
        matcher.is_match(GLOBAL_TEST_GROUP)
    }
}

fn compile(
    expression: &Expression,
    context: &ParseContext<'_>,
    kind: FiltersetKind,
) -> Result<CompiledExpr, Vec<Problem>> {
    if let Some(deep) = expression.too_deep() {
        return Err(vec![deep]);
    }
    let groups = KnownGroups::Known {
        custom_groups: HashSet::new(),
    };
    Filterset::parse(expression.text.clone(), context, kind, &groups)
        .map(|filterset| filterset.compiled)
        .map_err(|error| expression.problems(&error.errors))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::discovery::binary::tests::binary;
    use crate::discovery::filterset::tests::METADATA;
    use crate::discovery::manifest::Harness;
    use crate::selection::TestSelection;

    fn chosen(given: &[&str], default: &str, bound: bool) -> Result<Chosen, FiltersetError> {
        let selection = TestSelection {
            filterset: given.iter().map(ToString::to_string).collect(),
            default_filter: (!default.is_empty()).then(|| default.to_owned()),
            ignore_default_filter: !bound,
            ..TestSelection::default()
        };
        Chosen::new(&Expressions::of(&selection, false, None), METADATA)
    }

    /// Whether the test `a::slow` of the integration test `it` of `p` is selected.
    fn holds(given: &[&str], default: &str, bound: bool) -> bool {
        let chosen = chosen(given, default, bound).unwrap();
        let binary = binary(Harness::Libtest, None);
        let holds = chosen.of_binary(&binary).holds("a::slow");
        assert!(!(holds && chosen.rules_out(&binary)), "{given:?}");
        holds
    }

    #[test]
    fn expressions_are_united_and_the_default_bounds_them() {
        type Case<'a> = (&'a [&'a str], &'a str, bool, bool);
        let cases: [Case<'_>; 16] = [
            (&[], "", true, true),
            (&["test(slow)"], "", true, true),
            (&["test(fast)"], "", true, false),
            (&["test(fast)", "package(p)"], "", true, true),
            (&["test(fast)", "package(q)"], "", true, false),
            (&["package(q)"], "", true, false),
            (&[], "not test(slow)", true, false),
            (&[], "not test(slow)", false, true),
            (&["test(slow)"], "not test(slow)", true, false),
            (&["test(slow)"], "package(q)", true, false),
            (&["default()"], "not test(slow)", false, false),
            (&["not default()"], "not test(slow)", false, true),
            (&["not default()"], "not test(slow)", true, false),
            (&["default()"], "", true, true),
            (&["group(@global)"], "", true, true),
            (&["not group(@global)"], "", true, false),
        ];
        for (given, default, bound, expected) in cases {
            let found = holds(given, default, bound);
            assert_eq!(found, expected, "{given:?}, {default}, {bound}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_at_its_place() {
        let error = chosen(
            &["all() - package(pq)", "test(", "group(x)"],
            "binary(x)",
            true,
        );
        let Err(FiltersetError::Filters(problems)) = error else {
            panic!("{error:?}");
        };
        let shown = problems.to_string();
        for part in [
            "names what this workspace does not have",
            "1 | all() - package(pq)\n  |                 ^^ no packages matched this",
            "1 | test(\n  |      ^ missing `)`",
            "--> --filterset\n",
            "run.default-filter of the recorded run",
            "no binary names matched this",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    #[test]
    fn the_metadata_are_read_only_for_an_expression() {
        for (given, default, needs) in [
            (&[][..], "", Needs::Nothing),
            (&["test(a)"], "", Needs::Workspace),
            (&[], "test(a)", Needs::Workspace),
            (&["test(a)", "deps(p)"], "", Needs::Dependencies),
        ] {
            let selection = TestSelection {
                filterset: given.iter().map(ToString::to_string).collect(),
                default_filter: Some(default.to_owned()).filter(|text| !text.is_empty()),
                ..TestSelection::default()
            };
            let expressions = Expressions::of(&selection, false, None);
            assert_eq!(Chosen::needs(&expressions), needs);
            let read = Chosen::new(&expressions, "no metadata").is_err();
            assert_eq!(read, needs != Needs::Nothing);
        }
    }

    proptest! {
        #[test]
        fn what_is_known_of_a_binary_holds_for_its_tests(
            terms in prop::collection::vec((0_usize..6, any::<bool>()), 0..5),
            default in prop::option::of((0_usize..6, any::<bool>())),
            name in "[a-c]{1,3}",
        ) {
            let leaf = ["test(a)", "package(p)", "package(q)", "kind(lib)", "all()", "test(=b)"];
            let truth = [name.contains('a'), true, false, false, true, name == "b"];
            let text = |&(leaf_index, not): &(usize, bool)| {
                format!("{}{}", if not { "not " } else { "" }, leaf[leaf_index])
            };
            let true_of = |&(leaf_index, not): &(usize, bool)| truth[leaf_index] != not;
            let texts: Vec<_> = terms.iter().map(text).collect();
            let texts: Vec<_> = texts.iter().map(String::as_str).collect();
            let bound = default.as_ref().map(text).unwrap_or_default();
            let chosen = chosen(&texts, &bound, true).unwrap();
            let united = terms.is_empty() || terms.iter().any(true_of);
            let expected = united && default.as_ref().is_none_or(true_of);
            let binary = binary(Harness::Libtest, None);
            prop_assert_eq!(chosen.of_binary(&binary).holds(&name), expected);
            prop_assert!(!(expected && chosen.rules_out(&binary)));
        }
    }
}
