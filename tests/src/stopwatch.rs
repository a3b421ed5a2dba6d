//! What something costs, by the clock and by the kernel's account.

use std::time::Instant;

use nix::sys::resource::Usage;
use nix::sys::resource::UsageWho;
use nix::sys::resource::getrusage;

/// What passed between a start and a stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// By the clock, in seconds.
    pub wall: f64,
    /// CPU time, user and system, of ourselves and of all children that were waited for meanwhile, with
    /// theirs, in seconds (`getrusage(2)`).
    pub cpu: f64,
}

/// Measures what happens between its start and its stop.
#[derive(Debug)]
pub struct Stopwatch {
    start: Instant,
    cpu: f64,
}

impl Stopwatch {
    /// Starts.
    #[expect(clippy::disallowed_methods, reason = "time is what is measured")]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            cpu: cpu_so_far(),
        }
    }

    /// What has passed since the start.
    pub fn stop(self) -> Spent {
        Spent {
            wall: self.start.elapsed().as_secs_f64(),
            cpu: cpu_so_far() - self.cpu,
        }
    }
}

fn cpu_so_far() -> f64 {
    let of = |who| {
        let usage: Usage = getrusage(who).expect("getrusage knows both");
        [usage.user_time(), usage.system_time()]
            .map(seconds)
            .iter()
            .sum::<f64>()
    };
    of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a few hours of microseconds fit exactly"
)]
fn seconds(time: nix::sys::time::TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}
