//! What decides when a test runs, and beside how many others. Pure.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// The name of the group of tests that are in none, as nextest has it.
pub const NO_GROUP: &str = "@global";

/// A number of places for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// So many.
    Count(NonZeroUsize),
    /// As many as the run may use cores.
    Cpus,
    /// As many as tests may run at once.
    TestThreads,
}

impl Places {
    /// How many they are.
    pub fn count(self, cpus: usize, threads: usize) -> usize {
        match self {
            Self::Count(count) => count.get(),
            Self::Cpus => cpus.max(1),
            Self::TestThreads => threads.max(1),
        }
    }
}

/// As a file has it.
impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Cpus => f.write_str("\"num-cpus\""),
            Self::TestThreads => f.write_str("\"num-test-threads\""),
        }
    }
}

/// What an override says of when tests run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// How many places each takes.
    pub threads_required: Option<Places>,
    /// Their group, or [`NO_GROUP`].
    pub group: Option<Arc<str>>,
    /// Whoever has a higher one starts earlier; 0 where nothing is said.
    pub priority: Option<i8>,
}

impl Scheduling {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// This, and what it doesn't say of that.
    #[must_use]
    pub fn or(self, that: &Self) -> Self {
        Self {
            threads_required: self.threads_required.or(that.threads_required),
            group: self.group.or_else(|| that.group.clone()),
            priority: self.priority.or(that.priority),
        }
    }
}

/// As a file has it, a key a line.
impl fmt::Display for Scheduling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(places) = self.threads_required {
            writeln!(f, "threads-required = {places}")?;
        }
        if let Some(group) = &self.group {
            writeln!(f, "test-group = \"{group}\"")?;
        }
        match self.priority {
            None => Ok(()),
            Some(priority) => writeln!(f, "priority = {priority}"),
        }
    }
}

/// A group of tests that share some places: `[test-groups]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestGroup {
    /// Its name.
    pub name: Arc<str>,
    /// How many places its tests may take together.
    pub max_threads: Places,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_taken_from_the_weaker() {
        let strong = Scheduling {
            priority: Some(-5),
            group: Some("db".into()),
            ..Scheduling::default()
        };
        let weak = Scheduling {
            threads_required: Some(Places::Cpus),
            group: Some(NO_GROUP.into()),
            priority: Some(9),
        };
        let both = strong.or(&weak);
        let text = "threads-required = \"num-cpus\"\ntest-group = \"db\"\npriority = -5\n";
        assert_eq!(both.to_string(), text);
        assert!(!both.is_empty() && Scheduling::default().is_empty());
    }

    #[test]
    fn places_are_counted_when_the_machine_is_known() {
        let count = |places: Places| places.count(4, 9);
        assert_eq!(count(Places::Cpus), 4);
        assert_eq!(count(Places::TestThreads), 9);
        assert_eq!(count(Places::Count(NonZeroUsize::MIN)), 1);
        assert_eq!(Places::Cpus.count(0, 0), 1);
    }
}
