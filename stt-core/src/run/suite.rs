//! The tests of a run, by their numbers: many, so each costs a name and little else.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::Record;
use crate::checkpoint::Selected;
use crate::command::CommandLine;
use crate::config::TestOutput;
use crate::discovery::Chosen;
use crate::discovery::ListedTest;
use crate::discovery::Listing;
use crate::discovery::PerTest;
use crate::discovery::TestBinary;
use crate::discovery::TestRules;
use crate::discovery::Verdict;
use crate::discovery::has_wanted_limits;
use crate::discovery::per_test;
use crate::discovery::test_command;
use crate::discovery::verdict;
use crate::discovery::with_sockets;
use crate::guard::limited;
use crate::id::TestId;
use crate::limits::Limits;
use crate::partition::Dealer;
use crate::partition::Partition;
use crate::partition::sort_key;
use crate::port::TestPorts;
use crate::port::Which;
use crate::retry::Retries;
use crate::scheduling::Scheduling;
use crate::script::TestScripts;
use crate::selection::TestSelection;
use crate::times::TestTimes;

/// The selected tests and the binaries that hold them.
#[derive(Debug, Default)]
pub struct Suite {
    binaries: Vec<TestBinary>,
    /// How many tests each of them lists.
    listed: Vec<usize>,
    cases: Vec<Case>,
    /// The tests that there were before one part of them was taken: number of the binary, and name.
    whole: Vec<(usize, Arc<str>)>,
}

/// One test of a suite.
#[derive(Clone, Debug)]
struct Case {
    /// The number of its binary.
    binary: usize,
    test: ListedTest,
    /// Whether it is only counted.
    ignored: bool,
    /// What it may use; `None` for whatever it likes.
    limits: Option<Arc<Limits>>,
    /// The ports that it has for itself; `None` for none.
    ports: Option<Arc<TestPorts>>,
    /// How it is tried again; `None` for as every test.
    retries: Option<Arc<Retries>>,
    /// The times that it has for itself; `None` for none.
    times: Option<Box<TestTimes>>,
    /// When it runs; `None` where nothing is said of that.
    scheduling: Option<Box<Scheduling>>,
    /// What runs around it; `None` where that is nothing.
    scripts: Option<Box<TestScripts>>,
    /// What is added to its command line; `None` for nothing.
    extra_args: Option<Arc<[String]>>,
    /// When its output is shown, as far as that is its own.
    output: TestOutput,
    /// The image of its container; `None` where it runs outside.
    image: Option<Arc<str>>,
}

impl Suite {
    /// The tests of the binaries that `selection` holds, in the order of the binaries and of their
    /// listings. There is a listing for each binary, `rules` say what each test may use, which ports it has
    /// and how it is tried again, and `chosen` for which tests the expressions hold.
    pub fn select<'a>(
        binaries: Vec<TestBinary>,
        listings: impl IntoIterator<Item = &'a Listing>,
        selection: &TestSelection,
        rules: &TestRules,
        chosen: &Chosen,
    ) -> Self {
        let mut cases = Vec::new();
        let mut listed = Vec::with_capacity(binaries.len());
        for (binary, listing) in listings.into_iter().enumerate() {
            listed.push(listing.tests.len());
            let rules = rules.of_binary(&binaries[binary]);
            let chosen = chosen.of_binary(&binaries[binary]);
            for test in &listing.tests {
                let ignored = match verdict(selection, test) {
                    Verdict::Run => false,
                    Verdict::Ignored => true,
                    Verdict::FilteredOut => continue,
                };
                if !chosen.holds(&test.name) {
                    continue;
                }
                let limits = rules.limits(&test.name);
                if !has_wanted_limits(selection, limits.map(|set| &*set.name)) {
                    continue;
                }
                cases.push(Case {
                    binary,
                    test: test.clone(),
                    ignored,
                    limits: limits.cloned(),
                    ports: rules.ports(&test.name).cloned(),
                    retries: rules.retries(&test.name).cloned(),
                    times: rules.times(&test.name).map(Box::new),
                    scheduling: rules.scheduling(&test.name).map(Box::new),
                    scripts: rules.scripts(&test.name).map(Box::new),
                    extra_args: rules.extra_args(&test.name).cloned(),
                    output: rules.output(&test.name),
                    image: rules.image(&test.name).cloned(),
                });
            }
        }
        let mut suite = Self {
            binaries,
            listed,
            cases,
            whole: Vec::new(),
        };
        if let Some(partition) = selection.partition {
            suite.keep(partition);
        }
        suite
    }

    /// Leaves only the tests of one part. They are dealt out in nextest's order, whatever order they have here.
    fn keep(&mut self, partition: Partition) {
        let whole = self.cases.iter();
        let whole = whole.map(|case| (case.binary, Arc::clone(&case.test.name)));
        self.whole = whole.collect();
        let mut order: Vec<usize> = (0..self.cases.len()).collect();
        let key = |&test: &usize| {
            let case = &self.cases[test];
            (
                sort_key(&self.binaries[case.binary].id),
                &case.test.name,
                case.binary,
            )
        };
        order.sort_by(|one, other| key(one).cmp(&key(other)));
        let mut dealer = Dealer::new(partition);
        let mut ours = vec![false; order.len()];
        let mut before = None;
        for test in order {
            let case = &self.cases[test];
            if before.replace(case.binary) != Some(case.binary) {
                dealer.next_binary();
            }
            ours[test] = dealer.is_ours(&case.test.name, case.test.ignored);
        }
        let mut ours = ours.into_iter();
        self.cases.retain(|_| ours.next().unwrap_or(false));
    }

    /// All tests, those of the other parts among them, as a checkpoint keeps them; nothing where there are no parts.
    pub(crate) fn whole(&self) -> impl Iterator<Item = Record> {
        // A line of a checkpoint has a most of a mebibyte, and no test has so long a name.
        const AT_ONCE: usize = 256;
        let same = |one: &(usize, Arc<str>), next: &(usize, Arc<str>)| one.0 == next.0;
        let of_binary = self.whole.chunk_by(same);
        let chunks = of_binary.flat_map(|tests| tests.chunks(AT_ONCE));
        chunks.map(|tests| Record::Suite {
            binary: self.binaries[tests[0].0].id.clone(),
            tests: tests.iter().map(|(_, name)| Arc::clone(name)).collect(),
        })
    }

    /// Whether a test is to run in a container.
    pub fn uses_containers(&self) -> bool {
        (0..self.len()).any(|test| self.image(test).is_some())
    }

    /// How many tests are selected, ignored ones included.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether no test is selected.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// The binaries, those without a selected test included.
    pub fn binaries(&self) -> &[TestBinary] {
        &self.binaries
    }

    /// The binaries, and how many tests each of them lists.
    pub fn listed(&self) -> impl Iterator<Item = (&TestBinary, usize)> {
        self.binaries.iter().zip(self.listed.iter().copied())
    }

    /// The names of the selected tests of the binary with this number.
    pub(crate) fn names_in(&self, binary: usize) -> HashSet<&str> {
        let cases = self.cases.iter().filter(|case| case.binary == binary);
        cases.map(|case| &*case.test.name).collect()
    }

    /// In how many binaries the selected tests are.
    pub fn used_binaries(&self) -> usize {
        self.cases
            .chunk_by(|one, next| one.binary == next.binary)
            .count()
    }

    /// The tests, as a checkpoint compares them.
    pub fn selected(&self) -> Vec<Selected> {
        (0..self.len())
            .map(|test| Selected {
                test: self.id(test),
                ignored: self.cases[test].ignored,
            })
            .collect()
    }

    /// The name of the test with this number.
    pub fn id(&self, test: usize) -> TestId {
        let case = &self.cases[test];
        TestId::new(
            self.binaries[case.binary].id.clone(),
            Arc::clone(&case.test.name),
        )
    }

    /// What a test may use; `None` for whatever it likes.
    pub fn limits(&self, test: usize) -> Option<&Arc<Limits>> {
        self.cases[test].limits.as_ref()
    }

    /// The ports that a test has for itself; `None` for none.
    pub fn ports(&self, test: usize) -> Option<&Arc<TestPorts>> {
        self.cases[test].ports.as_ref()
    }

    /// Whether a test gets its ports as sockets that listen.
    pub(crate) fn listens(&self, test: usize) -> bool {
        self.ports(test).is_some_and(|ports| ports.listen)
    }

    /// The ports by their numbers that each test wants, by its own; empty when no test wants any.
    pub(crate) fn fixed_ports(&self) -> Vec<Option<Arc<[u16]>>> {
        let fixed = |case: &Case| match case.ports.as_deref().map(|ports| &ports.which) {
            Some(Which::Fixed(ports)) => Some(Arc::clone(ports)),
            Some(Which::Any(_)) | None => None,
        };
        self.of_each(fixed)
    }

    /// The most ports that a test has. One that is handed over as a socket takes as much of ours as two.
    pub(crate) fn most_ports(&self) -> usize {
        let ports = self.cases.iter().filter_map(|case| case.ports.as_deref());
        let places = ports.map(|ports| ports.count() * (1 + usize::from(ports.listen)));
        places.max().unwrap_or(0)
    }

    /// What each test may use, by its number; empty when no test has limits.
    pub(crate) fn all_limits(&self) -> Vec<Option<Arc<Limits>>> {
        self.of_each(|case| case.limits.clone())
    }

    /// How each test is tried again that is not as every test, by its number; empty when there is none.
    pub(crate) fn own_retries(&self) -> Vec<Option<Arc<Retries>>> {
        self.of_each(|case| case.retries.clone())
    }

    /// The times that each test has for itself, by its number; empty when none has any.
    pub(crate) fn own_times(&self) -> Vec<Option<TestTimes>> {
        self.of_each(|case| case.times.as_deref().copied())
    }

    /// What each test makes of what is said of when it runs, by its number; empty when of none anything is said.
    pub(crate) fn of_scheduling<T>(&self, make: impl Fn(&Scheduling) -> T) -> Vec<Option<T>> {
        self.of_each(|case| case.scheduling.as_deref().map(&make))
    }

    /// What is said of when a test runs.
    pub(crate) fn scheduling(&self, test: usize) -> Option<&Scheduling> {
        self.cases[test].scheduling.as_deref()
    }

    /// The scripts that run around a test.
    pub(crate) fn scripts(&self, test: usize) -> Option<&TestScripts> {
        self.cases[test].scripts.as_deref()
    }

    /// When the output of a test is shown, as far as that is its own.
    pub(crate) fn output(&self, test: usize) -> TestOutput {
        self.cases[test].output
    }

    /// How long the output of a test may stay open after its process has exited, where that is its own.
    pub(crate) fn leak_timeout(&self, test: usize) -> Option<Duration> {
        self.cases[test].times.as_ref()?.leak_timeout
    }

    /// What there is of each test, by its number; empty when no test has any of it.
    fn of_each<T>(&self, get: impl Fn(&Case) -> Option<T>) -> Vec<Option<T>> {
        let each: Vec<_> = self.cases.iter().map(get).collect();
        if each.iter().all(Option::is_none) {
            return Vec::new();
        }
        each
    }

    /// Whether a test has limits that somebody must watch.
    pub(crate) fn is_watched(&self) -> bool {
        let mut limits = self.cases.iter().filter_map(|case| case.limits.as_deref());
        limits.any(limited::is_watched)
    }

    /// The image of the container of a test; `None` where it runs outside. Documentation tests do: what runs them is a
    /// compiler.
    pub(crate) fn image(&self, test: usize) -> Option<&Arc<str>> {
        let image = self.cases[test].image.as_ref();
        image.filter(|_| self.binary(test).doctests.is_none())
    }

    /// Whether a container was wanted for a test that can't run in one.
    pub(crate) fn stays_outside(&self, test: usize) -> bool {
        self.cases[test].image.is_some() && self.image(test).is_none()
    }

    /// The binary of a test.
    pub(crate) fn binary(&self, test: usize) -> &TestBinary {
        &self.binaries[self.cases[test].binary]
    }

    /// Whether something else than its binary is started for a test.
    pub(crate) fn is_wrapped(&self, test: usize) -> bool {
        let scripts = self.cases[test].scripts.as_deref();
        let wrapper = scripts.is_some_and(|scripts| scripts.run_wrapper.is_some());
        wrapper || self.binary(test).runner.is_some()
    }

    /// The group of a test.
    pub(crate) fn group(&self, test: usize) -> Option<&str> {
        self.scheduling(test)?.group.as_deref()
    }

    /// The command that runs a test of which this is known.
    pub(crate) fn command(&self, test: usize, facts: PerTest<'_>) -> CommandLine {
        let case = &self.cases[test];
        let ports = facts.ports.len();
        let scripts = case.scripts.as_deref();
        let command = test_command(
            &self.binaries[case.binary],
            &case.test,
            scripts.and_then(|scripts| scripts.run_wrapper.as_deref()),
            case.extra_args.as_deref().unwrap_or_default(),
            per_test(facts),
        );
        if self.listens(test) && ports > 0 {
            with_sockets(command, ports)
        } else {
            command
        }
    }
}
