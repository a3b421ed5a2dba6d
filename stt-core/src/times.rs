//! Times that some of the tests have instead of those of all. Pure.

use std::fmt;
use std::time::Duration;

use crate::units::write_duration;

/// The times of a test, as far as it has others than those of `[run]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestTimes {
    /// After this time it is called slow, and again after each multiple.
    pub slow_timeout: Option<Duration>,
    /// After so many slow timeouts it is ended and failed; 0 for never.
    pub terminate_after: Option<usize>,
    /// The time between TERM and KILL when it is ended.
    pub grace_period: Option<Duration>,
    /// How long its output may stay open after its process has exited.
    pub leak_timeout: Option<Duration>,
}

impl TestTimes {
    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, and what they don't say of those.
    #[must_use]
    pub fn or(self, those: Self) -> Self {
        Self {
            slow_timeout: self.slow_timeout.or(those.slow_timeout),
            terminate_after: self.terminate_after.or(those.terminate_after),
            grace_period: self.grace_period.or(those.grace_period),
            leak_timeout: self.leak_timeout.or(those.leak_timeout),
        }
    }
}

/// As a file has them, a key a line.
impl fmt::Display for TestTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = [
            ("slow-timeout", self.slow_timeout),
            ("grace-period", self.grace_period),
            ("leak-timeout", self.leak_timeout),
        ];
        for (name, time) in times {
            if let Some(time) = time {
                writeln!(f, "{name} = \"{}\"", write_duration(time))?;
            }
        }
        match self.terminate_after {
            None => Ok(()),
            Some(count) => writeln!(f, "terminate-after = {count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_taken_from_the_weaker() {
        let strong = TestTimes {
            slow_timeout: Some(Duration::from_secs(5)),
            terminate_after: Some(0),
            ..TestTimes::default()
        };
        let weak = TestTimes {
            slow_timeout: Some(Duration::from_secs(9)),
            terminate_after: Some(2),
            leak_timeout: Some(Duration::ZERO),
            ..TestTimes::default()
        };
        let both = strong.or(weak);
        assert_eq!(both.slow_timeout, strong.slow_timeout);
        assert_eq!(both.terminate_after, Some(0));
        assert_eq!(both.leak_timeout, Some(Duration::ZERO));
        assert_eq!(both.grace_period, None);
        let text = "slow-timeout = \"5s\"\nleak-timeout = \"0s\"\nterminate-after = 0\n";
        assert_eq!(both.to_string(), text);
        assert!(TestTimes::default().is_empty() && !both.is_empty());
    }
}
