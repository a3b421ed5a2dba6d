//! The tests of a run, by their numbers: many, so each costs a name and little else.

use std::sync::Arc;

use crate::command::CommandLine;
use crate::discovery::TestBinary;
use crate::discovery::per_test;
use crate::discovery::test_command;
use crate::id::TestId;

/// The tests of a run and the binaries that hold them.
#[derive(Debug)]
pub struct Suite {
    /// The binaries.
    pub binaries: Vec<TestBinary>,
    /// The selected tests, ignored ones included, in the order of their binaries and names.
    pub cases: Vec<Case>,
    /// How many tests may run at once, as tests are told.
    pub threads: usize,
}

/// One test of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The number of its binary.
    pub binary: usize,
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is marked `#[ignore]`.
    pub ignored: bool,
    /// Whether it runs; otherwise it is counted as ignored.
    pub runs: bool,
}

impl Suite {
    /// The name of the test with this number.
    pub fn id(&self, test: usize) -> TestId {
        let case = &self.cases[test];
        TestId::new(self.binaries[case.binary].id.clone(), Arc::clone(&case.name))
    }

    /// The command that runs a test in a slot.
    pub(crate) fn command(&self, test: usize, slot: usize) -> CommandLine {
        let case = &self.cases[test];
        let binary = &self.binaries[case.binary];
        let mut command = test_command(binary, &case.name, case.ignored);
        command.extra_env.extend(per_test(&self.id(test), slot, self.threads));
        command
    }
}
