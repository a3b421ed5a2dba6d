//! The one place that reads a clock. Everything else is told the time.

use std::time::{Duration, Instant, SystemTime};

/// A point in time, as the time since the run's clock was made.
pub type Moment = Duration;

/// The run's clock: monotonic, and without the time that the machine was suspended
/// (`CLOCK_MONOTONIC`, `clock_gettime(2)`), so that a laptop's lid costs no test its deadline.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that shows zero now.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The time since [`Clock::start`].
    pub fn now(&self) -> Moment {
        self.start.elapsed()
    }

    /// The `Instant` of a moment, for waiting on it.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.start + moment
    }

    /// The wall clock, for what people read. Never for deadlines: it may jump.
    pub fn wall() -> SystemTime {
        SystemTime::now()
    }

    /// The milliseconds since the machine was started, with the time that it was suspended (`CLOCK_BOOTTIME`,
    /// `clock_gettime(2)`): all processes read the same. Zero where there is no such clock.
    pub fn since_boot() -> u64 {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let id = nix::time::ClockId::CLOCK_BOOTTIME;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let id = nix::time::ClockId::CLOCK_MONOTONIC;
        let now = nix::time::clock_gettime(id).map_or(Duration::ZERO, Duration::from);
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }
}
