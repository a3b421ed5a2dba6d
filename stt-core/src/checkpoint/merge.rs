//! The checkpoints of the parts of one run (`--partition`), as one. Pure.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::btree_map::Entry;

use camino::Utf8PathBuf;

use crate::checkpoint::format::Header;
use crate::checkpoint::format::ResultRecord;
use crate::checkpoint::load::Loaded;
use crate::id::TestId;
use crate::outcome::RunOutcome;
use crate::outcome::TestOutcome;
use crate::partition::Partition;
use crate::selection::Selection;

/// So many missing parts are named.
const MOST_NAMED: usize = 20;

/// A checkpoint with its file.
#[derive(Clone, Debug)]
pub struct Given {
    /// The file.
    pub path: Utf8PathBuf,
    /// What it says.
    pub loaded: Loaded,
}

/// What the parts say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// One result a test, in the order of the tests.
    pub results: BTreeMap<TestId, ResultRecord>,
    /// Failed attempts that were tried again, of the same runs as the results.
    pub tries: Vec<ResultRecord>,
    /// The tests that no part has a result of.
    pub outstanding: BTreeSet<TestId>,
    /// The first twenty parts of which there is no checkpoint; none where no test is outstanding, since a part
    /// without a test leaves none.
    pub missing: Vec<Partition>,
    /// How many others are missing, too: nobody knows how many parts a file says that there are.
    pub more_missing: u64,
    /// The tests with two results that are not the same.
    pub twice: Vec<Twice>,
    /// Whether a part was stopped, was interrupted or has died.
    pub cut_off: bool,
}

/// A test that two runs came to different results of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twice {
    /// The test.
    pub test: TestId,
    /// The checkpoint whose result counts: that of the run that began later, or failed in the same second.
    pub counts: Utf8PathBuf,
    /// The other one.
    pub other: Utf8PathBuf,
}

/// The checkpoints are not of parts of one run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// One is of a whole run.
    #[error(
        "`{path}` is the checkpoint of a run without `--partition`: there is nothing to merge it with"
    )]
    Whole {
        /// The checkpoint.
        path: Utf8PathBuf,
    },
    /// Two runs had other options.
    #[error("`{one}` and `{other}` are of runs that selected different tests")]
    Selections {
        /// A checkpoint.
        one: Utf8PathBuf,
        /// Another one.
        other: Utf8PathBuf,
    },
    /// Two runs had the same options, and other tests: they were built from different sources.
    #[error(
        "`{one}` and `{other}` are of different suites: {only_one} tests are only in the first, {only_other} only in the second, such as `{example}`"
    )]
    Suites {
        /// A checkpoint.
        one: Utf8PathBuf,
        /// Another one.
        other: Utf8PathBuf,
        /// How many tests only the one has.
        only_one: usize,
        /// How many only the other has.
        only_other: usize,
        /// One of them.
        example: TestId,
    },
}

/// Makes one of several checkpoints. Of two results of a test the one counts whose leg began later; of two that began
/// within a second, the failure.
///
/// # Errors
/// They are not of parts of one run.
pub fn merge(given: &[Given]) -> Result<Merged, MergeError> {
    let mut order: Vec<&Given> = given.iter().collect();
    order.sort_by_key(|one| began(&one.loaded.header));
    let mut merged = Merged::default();
    let mut from: BTreeMap<&TestId, &Given> = BTreeMap::new();
    let mut parts = BTreeSet::new();
    for one in &order {
        let part = one.loaded.header.selection.tests.partition;
        let part = part.ok_or_else(|| MergeError::Whole {
            path: one.path.clone(),
        })?;
        alike(order[0], one)?;
        parts.insert(part.part);
        merged.cut_off |= !matches!(
            one.loaded.finished,
            Some(RunOutcome::Passed | RunOutcome::Failed | RunOutcome::NoTests)
        );
        for result in &one.loaded.results {
            merged.take(result, one, &mut from);
        }
    }
    let counts = |tried: &&ResultRecord, one: &Given| {
        from.get(&tried.test)
            .is_none_or(|counts| std::ptr::eq(*counts, one))
    };
    let tries = order.iter().flat_map(|one| {
        let tries = one.loaded.tries.iter();
        tries.filter(|tried| counts(tried, one)).cloned()
    });
    merged.tries = tries.collect();
    let suite = order.iter().flat_map(|one| &one.loaded.suite);
    let outstanding = suite.filter(|test| !merged.results.contains_key(*test));
    merged.outstanding = outstanding.cloned().collect();
    let partition = order
        .first()
        .and_then(|one| one.loaded.header.selection.tests.partition);
    if let Some(Partition { by, of, .. }) = partition.filter(|_| !merged.outstanding.is_empty()) {
        let all = (1..=of.get()).filter_map(|part| Partition::new(by, part, of.get()));
        let missing = all.filter(|one| !parts.contains(&one.part));
        merged.missing = missing.take(MOST_NAMED).collect();
        let known = parts.len() + merged.missing.len();
        merged.more_missing = of.get().saturating_sub(known as u64);
    }
    Ok(merged)
}

/// When a leg began. The form of the time is one that sorts.
fn began(header: &Header) -> (&str, u32) {
    (&header.created, header.leg)
}

impl Merged {
    fn take<'a>(
        &mut self,
        result: &'a ResultRecord,
        of: &'a Given,
        from: &mut BTreeMap<&'a TestId, &'a Given>,
    ) {
        match self.results.entry(result.test.clone()) {
            Entry::Vacant(place) => drop(place.insert(result.clone())),
            Entry::Occupied(mut place) => {
                let Some(other) = from.get(&result.test).copied() else {
                    return;
                };
                let before = &place.get().outcome;
                let differ = !is_same(before, &result.outcome);
                let tie = began(&other.loaded.header) == began(&of.loaded.header);
                let stays = differ && tie && before.is_failed();
                if differ {
                    let (counts, other) = if stays { (other, of) } else { (of, other) };
                    self.twice.push(Twice {
                        test: result.test.clone(),
                        counts: counts.path.clone(),
                        other: other.path.clone(),
                    });
                }
                if stays {
                    return;
                }
                place.insert(result.clone());
            }
        }
        from.insert(&result.test, of);
    }
}

/// Whether two results say the same, whatever the reason of a failure.
fn is_same(one: &TestOutcome, other: &TestOutcome) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// Sees to it that two checkpoints are of parts of the same.
fn alike(one: &Given, other: &Given) -> Result<(), MergeError> {
    let whole = |given: &Given| {
        let mut selection: Selection = given.loaded.header.selection.clone();
        let partition = selection.tests.partition.take();
        (
            selection,
            partition.map(|partition| (partition.by, partition.of)),
        )
    };
    let (paths, others) = (one.path.clone(), other.path.clone());
    if whole(one) != whole(other) {
        return Err(MergeError::Selections {
            one: paths,
            other: others,
        });
    }
    let (tests, other_tests) = (suite(one), suite(other));
    let only_one = tests.difference(&other_tests);
    let only_other = other_tests.difference(&tests);
    match only_one.clone().chain(only_other.clone()).next() {
        None => Ok(()),
        Some(example) => Err(MergeError::Suites {
            example: (*example).clone(),
            one: paths,
            other: others,
            only_one: only_one.count(),
            only_other: only_other.count(),
        }),
    }
}

fn suite(given: &Given) -> BTreeSet<&TestId> {
    given.loaded.suite.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::format::tests::header;
    use crate::checkpoint::format::tests::result;
    use crate::checkpoint::format::tests::test_id;
    use crate::outcome::Failure;

    const FAILED: TestOutcome = TestOutcome::Failed(Failure::Exit(1));

    /// The checkpoint of a part, of a suite of `a` to `d`.
    fn part(part: &str, created: &str, results: &[(&str, TestOutcome)]) -> Given {
        let mut header = header();
        header.selection.tests.partition = Some(part.parse().unwrap());
        created.clone_into(&mut header.created);
        let result =
            |(name, outcome): &(&str, TestOutcome)| result(test_id("app", name), outcome.clone());
        Given {
            path: format!("{part}@{created}").into(),
            loaded: Loaded {
                header,
                results: results.iter().map(result).collect(),
                tries: Vec::new(),
                started: Vec::new(),
                suspects: Vec::new(),
                suite: ["a", "b", "c", "d"].map(|name| test_id("app", name)).into(),
                stop: None,
                finished: Some(RunOutcome::Passed),
                died: None,
                repaired: None,
            },
        }
    }

    fn names<'a>(tests: impl IntoIterator<Item = &'a TestId>) -> Vec<&'a str> {
        tests.into_iter().map(|test| &*test.name).collect()
    }

    #[test]
    fn parts_are_one_run_and_what_none_has_run_is_named() {
        let one = part("slice:1/3", "1", &[("a", TestOutcome::Passed)]);
        let mut two = part("slice:2/3", "1", &[("b", FAILED)]);
        two.loaded.finished = None;
        let merged = merge(&[two, one]).unwrap();
        assert_eq!(names(merged.results.keys()), ["a", "b"]);
        assert_eq!(names(&merged.outstanding), ["c", "d"]);
        assert_eq!(merged.missing, ["slice:3/3".parse().unwrap()]);
        assert!(merged.cut_off && merged.twice.is_empty());
        let none = merge(&[]).unwrap();
        assert_eq!(none, Merged::default());
    }

    #[test]
    fn however_many_parts_there_are_said_to_be_only_some_are_named() {
        let one = part(&format!("slice:2/{}", u64::MAX), "1", &[]);
        let merged = merge(&[one]).unwrap();
        assert_eq!(merged.missing.len(), MOST_NAMED);
        assert_eq!(merged.missing[1].part.get(), 3);
        assert_eq!(merged.more_missing, u64::MAX - 21);
    }

    #[test]
    fn the_later_of_two_results_counts_and_a_contradiction_is_told() {
        let mut early = part(
            "hash:1/1",
            "2026-01-01",
            &[("a", FAILED), ("b", TestOutcome::Passed)],
        );
        early.loaded.tries = vec![result(test_id("app", "a"), FAILED)];
        let late = part(
            "hash:1/1",
            "2026-01-02",
            &[("a", TestOutcome::Passed), ("b", TestOutcome::Passed)],
        );
        for given in [[early.clone(), late.clone()], [late, early]] {
            let merged = merge(&given).unwrap();
            assert_eq!(
                merged.results[&test_id("app", "a")].outcome,
                TestOutcome::Passed
            );
            let [twice] = merged.twice.as_slice() else {
                panic!("{:?}", merged.twice)
            };
            assert_eq!(
                (&*twice.test.name, twice.counts.as_str()),
                ("a", "hash:1/1@2026-01-02")
            );
            assert!(
                merged.tries.is_empty(),
                "its attempts belong to the other run"
            );
        }
    }

    #[test]
    fn of_two_runs_that_began_within_a_second_the_failure_counts() {
        let failed = part("hash:1/1", "1", &[("a", FAILED)]);
        let mut passed = part("hash:1/1", "1", &[("a", TestOutcome::Passed)]);
        passed.path = "passed".into();
        for given in [[failed.clone(), passed.clone()], [passed, failed]] {
            let merged = merge(&given).unwrap();
            assert_eq!(merged.results[&test_id("app", "a")].outcome, FAILED);
            assert_eq!(merged.twice[0].other, "passed");
        }
    }

    #[test]
    fn what_is_not_of_one_run_is_refused() {
        let one = || part("slice:1/2", "1", &[]);
        let mut whole = one();
        whole.loaded.header.selection.tests.partition = None;
        assert!(matches!(merge(&[whole]), Err(MergeError::Whole { .. })));
        for other in ["slice:2/3", "hash:2/2"] {
            let refused = merge(&[one(), part(other, "2", &[])]);
            assert!(
                matches!(refused, Err(MergeError::Selections { .. })),
                "{other}"
            );
        }
        let mut release = part("slice:2/2", "2", &[]);
        release.loaded.header.selection.build.release = true;
        assert!(matches!(
            merge(&[one(), release]),
            Err(MergeError::Selections { .. })
        ));
        let mut grown = part("slice:2/2", "2", &[]);
        grown.loaded.suite.push(test_id("app", "e"));
        let refused = merge(&[one(), grown]).unwrap_err();
        let MergeError::Suites {
            only_one,
            only_other,
            example,
            ..
        } = refused
        else {
            panic!("{refused}")
        };
        assert_eq!((only_one, only_other, &*example.name), (0, 1, "e"));
    }
}
