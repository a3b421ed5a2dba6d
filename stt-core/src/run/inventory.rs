//! The tests of a workspace as programs are told them: those that run, and those that don't with the reason. Pure.

use nextest_metadata::RustBuildMetaSummary;
use nextest_metadata::TestListSummary;

use crate::discovery::Chosen;
use crate::discovery::Fate;
use crate::discovery::Listing;
use crate::discovery::TestBinary;
use crate::discovery::TestRules;
use crate::discovery::case_summary;
use crate::discovery::suite_summary;
use crate::run::suite::Suite;
use crate::selection::TestSelection;

/// What there is beside the suite.
#[derive(Clone, Copy, Debug)]
pub struct Surplus<'a> {
    /// What was built.
    pub build: &'a RustBuildMetaSummary,
    /// The binaries that the expressions rule out.
    pub skipped: &'a [TestBinary],
    /// What the selection is made of.
    pub selection: &'a TestSelection,
    /// What each test may use.
    pub rules: &'a TestRules,
    /// For which tests the expressions hold.
    pub chosen: &'a Chosen,
}

/// Everything that was listed: a listing for each binary of the suite, in their order.
pub fn inventory<'a>(
    suite: &Suite,
    listings: impl IntoIterator<Item = &'a Listing>,
    surplus: Surplus<'_>,
) -> TestListSummary {
    let Surplus {
        build,
        skipped,
        selection,
        rules,
        chosen,
    } = surplus;
    let mut summary = TestListSummary::new(build.clone());
    for (number, (binary, listing)) in suite.binaries().iter().zip(listings).enumerate() {
        let rules = rules.of_binary(binary);
        let of_binary = chosen.of_binary(binary);
        let selected = suite.names_in(number);
        let tests = listing.tests.iter().map(|test| {
            let fate = Fate {
                chosen: &of_binary,
                limits: rules.limits(&test.name).map(|limits| &*limits.name),
                is_in: selected.contains(&*test.name),
            };
            case_summary(selection, test, fate)
        });
        let tests = suite_summary(binary, Some(tests.collect()), chosen);
        summary.test_count += tests.test_cases.len();
        summary
            .rust_suites
            .insert(tests.binary.binary_id.clone(), tests);
    }
    for binary in skipped {
        let suite = suite_summary(binary, None, chosen);
        summary
            .rust_suites
            .insert(suite.binary.binary_id.clone(), suite);
    }
    summary
}
