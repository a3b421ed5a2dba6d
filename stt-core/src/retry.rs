//! Whether and when a failed test is tried again. Pure.

use std::fmt;
use std::time::Duration;

use crate::outcome::Failure;
use crate::outcome::TestOutcome;
use crate::units::write_duration;

/// The longest time before a retry that anybody can ask for.
pub const LONGEST_DELAY: Duration = Duration::from_secs(60 * 60);

/// How failed tests are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often.
    pub count: u32,
    /// The time before the first retry.
    pub delay: Duration,
    /// How that time grows.
    pub backoff: Backoff,
    /// Whether each time is shortened by chance, to half of it at most.
    pub jitter: bool,
    /// The longest time.
    pub max_delay: Duration,
}

/// How the time before a retry grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// It stays the same.
    Fixed,
    /// It doubles.
    Exponential,
}

impl Backoff {
    /// The name, as a file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Exponential => "exponential",
        }
    }
}

impl fmt::Display for Retries {
    /// As a file has it: `2`, or `{ backoff = "fixed", count = 2, delay = "1s" }`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.delay.is_zero() {
            return self.count.fmt(f);
        }
        let (backoff, delay) = (self.backoff.name(), write_duration(self.delay));
        write!(
            f,
            "{{ backoff = \"{backoff}\", count = {}, delay = \"{delay}\"",
            self.count
        )?;
        if self.backoff == Backoff::Exponential {
            write!(f, ", max-delay = \"{}\"", write_duration(self.max_delay))?;
        }
        if self.jitter {
            f.write_str(", jitter = true")?;
        }
        f.write_str(" }")
    }
}

/// Which attempt of a test, and of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// How many there are at most.
    pub of: u32,
}

impl Attempt {
    /// The only one.
    pub const ONLY: Self = Self { number: 1, of: 1 };

    /// Whether the test runs another time when this attempt ends so.
    pub fn is_followed(self, outcome: &TestOutcome) -> bool {
        self.number < self.of && outcome.failure().is_some_and(is_worth)
    }
}

impl Retries {
    /// No test is tried again.
    pub const NONE: Self = Self {
        count: 0,
        delay: Duration::ZERO,
        backoff: Backoff::Fixed,
        jitter: false,
        max_delay: LONGEST_DELAY,
    };

    /// The attempt of this number, from 1. One that was made under other settings may be beyond the last.
    pub fn attempt(&self, number: u32) -> Attempt {
        let of = self.count.saturating_add(1).max(number);
        Attempt { number, of }
    }

    /// The time between the failed attempt of this number, from 1, and the next. `chance` is from 0 to 1.
    pub fn delay(&self, attempt: u32, chance: f64) -> Duration {
        let doublings = match self.backoff {
            Backoff::Fixed => 0,
            Backoff::Exponential => attempt.saturating_sub(1).min(31),
        };
        let delay = self.delay.saturating_mul(1 << doublings);
        let delay = delay.min(self.max_delay);
        if self.jitter {
            delay.mul_f64(1.0 - 0.5 * chance.clamp(0.0, 1.0))
        } else {
            delay
        }
    }
}

/// Whether a test that failed like this may pass another time. What went beyond a limit, or has cost the machine its
/// memory, is not tried again.
fn is_worth(failure: &Failure) -> bool {
    match failure {
        Failure::Exit(_)
        | Failure::Signal(_)
        | Failure::Timeout { .. }
        | Failure::Leak
        | Failure::Start { .. }
        | Failure::Output { .. } => true,
        Failure::Breach { .. }
        | Failure::Limit(_)
        | Failure::OutOfMemory { .. }
        | Failure::Suspect { .. } => false,
    }
}

/// A number from 0 to 1 that differs from test to test and from attempt to attempt (`SplitMix64`).
pub fn chance(seed: u64, test: usize, attempt: u32) -> f64 {
    let step = (test as u64) << 16 | u64::from(attempt & 0xffff);
    let mut mixed = seed.wrapping_add(step.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    f64::from((mixed >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_as_they_are_told() {
        let second = Duration::from_secs(1);
        let mut retries = Retries {
            count: 5,
            delay: second,
            ..Retries::NONE
        };
        let delays = |retries: Retries| [1, 2, 3, 4].map(|n| retries.delay(n, 1.0).as_millis());
        assert_eq!(delays(Retries::NONE), [0; 4]);
        assert_eq!(delays(retries), [1000; 4]);
        retries.backoff = Backoff::Exponential;
        assert_eq!(delays(retries), [1000, 2000, 4000, 8000]);
        retries.max_delay = 3 * second;
        assert_eq!(delays(retries), [1000, 2000, 3000, 3000]);
        retries.jitter = true;
        assert_eq!(delays(retries), [500, 1000, 1500, 1500]);
        assert_eq!(retries.delay(2, 0.0), 2 * second);
        assert_eq!(retries.delay(u32::MAX, 0.0), 3 * second);
    }

    #[test]
    fn chances_differ_and_stay_in_their_range() {
        let chances: Vec<_> = (0..50).map(|test| chance(7, test, 1)).collect();
        assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert!(chances.iter().any(|chance| *chance < 0.3));
        assert!(chances.iter().any(|chance| *chance > 0.7));
        assert!((chance(7, 0, 1) - chance(7, 0, 2)).abs() > f64::EPSILON);
    }
}
