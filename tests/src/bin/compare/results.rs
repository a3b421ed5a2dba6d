//! What a runner said of every test, and where two runners differ.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use stt_tests::Spent;

/// How a test ended, as far as all runners have a word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Ignored,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Ignored => "ignored",
        })
    }
}

/// A test: the id of its binary in nextest's form, and its name.
pub(crate) type Test = (String, String);

/// The tests of a suite under one runner.
pub(crate) type Results = BTreeMap<Test, Verdict>;

/// How many tests ended so.
pub(crate) fn count(results: &Results, verdict: Verdict) -> usize {
    results.values().filter(|is| **is == verdict).count()
}

/// One suite under the three runners.
#[derive(Debug)]
pub(crate) struct Compared {
    /// In the order of the columns of a difference.
    pub(crate) runs: Vec<Run>,
    /// What the fastest round of a bare loop cost: the build, which has nothing to do, and then the start
    /// and the end of each test. No runner that gives each test a process can be faster.
    pub(crate) bare: Option<Spent>,
}

/// One runner over one suite.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it said, or why that is not known.
    pub(crate) results: Result<Results, String>,
    /// What its fastest round cost.
    pub(crate) spent: Option<Spent>,
    /// What else its reader should know.
    pub(crate) notes: Vec<String>,
}

/// A test that ended differently: a verdict for each run that is known, `None` where it has no such test.
pub(crate) type Difference<'a> = (&'a Test, Vec<Option<Verdict>>);

impl Compared {
    /// The runs whose results are known.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&'static str, &Results)> {
        self.runs
            .iter()
            .filter_map(|run| Some((run.name, run.results.as_ref().ok()?)))
    }

    /// The tests on which the known runs don't agree.
    pub(crate) fn differences(&self) -> Vec<Difference<'_>> {
        let tests: BTreeSet<&Test> = self.known().flat_map(|(_, run)| run.keys()).collect();
        let verdicts = |test| {
            self.known()
                .map(|(_, run)| run.get(test).copied())
                .collect()
        };
        tests
            .into_iter()
            .map(|test| (test, verdicts(test)))
            .filter(|(_, verdicts): &(_, Vec<_>)| verdicts.iter().any(|is| *is != verdicts[0]))
            .collect()
    }

    /// How many tests there are, the ignored ones among them.
    pub(crate) fn tests(&self) -> usize {
        let tests: BTreeSet<&Test> = self.known().flat_map(|(_, run)| run.keys()).collect();
        tests.len()
    }

    /// What a runner's fastest round cost.
    pub(crate) fn spent(&self, name: &str) -> Option<Spent> {
        self.runs.iter().find(|run| run.name == name)?.spent
    }

    /// Whether all runs are known and say the same.
    pub(crate) fn is_equal(&self) -> bool {
        self.known().count() == self.runs.len() && self.differences().is_empty()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn run(name: &'static str, results: &[(&str, Verdict)]) -> Run {
        let test = |name: &str| ("app".to_owned(), name.to_owned());
        Run {
            name,
            results: Ok(results.iter().map(|(name, is)| (test(name), *is)).collect()),
            spent: Some(Spent {
                wall: 2.0,
                cpu: 3.0,
            }),
            notes: Vec::new(),
        }
    }

    #[test]
    fn only_what_differs_is_a_difference() {
        use Verdict::Failed;
        use Verdict::Passed;
        let mut compared = Compared {
            runs: vec![
                run("x", &[("a", Passed), ("b", Passed)]),
                run("y", &[("a", Passed), ("b", Failed), ("c", Passed)]),
            ],
            bare: None,
        };
        let differences = compared.differences();
        let names: Vec<&str> = differences.iter().map(|((_, name), _)| &name[..]).collect();
        assert_eq!(names, ["b", "c"]);
        assert_eq!(differences[0].1, [Some(Passed), Some(Failed)]);
        assert_eq!(differences[1].1, [None, Some(Passed)]);
        assert!(!compared.is_equal());

        compared.runs[1] = run("y", &[("b", Passed), ("a", Passed)]);
        assert!(compared.is_equal());
        compared.runs[1].results = Err("it did not start".into());
        assert!(!compared.is_equal(), "what is not known is not equal");
    }
}
