//! The sampler of every other platform: what `sysinfo` knows.

use std::thread;
use std::time::Duration;

use sysinfo::System;

use crate::clock::Clock;
use crate::clock::Moment;
use crate::guard::sample::Around;
use crate::guard::sample::Bound;
use crate::guard::sample::Family;
use crate::guard::sample::Memory;
use crate::guard::sample::Sample;
use crate::guard::sampler::Missing;
use crate::guard::sampler::SamplerConfig;
use crate::units::Bytes;
use crate::units::Percent;

/// The time over which the CPU is read.
const WINDOW: Duration = Duration::from_secs(1);

/// Takes samples.
#[derive(Debug)]
pub struct Sampler {
    clock: Clock,
    /// `None` where `sysinfo` does not know the platform.
    system: Option<System>,
    cpu_read: Option<Moment>,
    cpu_busy: Option<Percent>,
    missing: Vec<Missing>,
}

impl Sampler {
    /// A sampler of memory, swap and CPU. The rest is named by [`Sampler::missing`].
    pub fn new(_: SamplerConfig, clock: Clock) -> Self {
        let system = System::new().ok();
        let unknown: &[&str] = match system {
            Some(_) => &[],
            None => &["memory", "CPU use"],
        };
        let missing = [
            "CPU pressure",
            "memory pressure",
            "the number of runnable tasks",
            "limits of a container",
            "free disk space",
        ];
        Self {
            clock,
            system,
            cpu_read: None,
            cpu_busy: None,
            missing: unknown
                .iter()
                .copied()
                .chain(missing)
                .map(|reading| Missing::Unsupported { reading })
                .collect(),
        }
    }

    /// What this machine does not give.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Takes a sample that was planned for that moment.
    pub fn sample(
        &mut self,
        planned: Moment,
        read_family: Option<&mut dyn FnMut(Around) -> Option<Family>>,
    ) -> Sample {
        let now = self.clock.now();
        let (memory, swap) = self.read_memory();
        self.read_cpu(now);
        let around = Around {
            memory,
            pages: None,
        };
        Sample {
            memory,
            scarcest: memory,
            swap,
            cpu_busy: self.cpu_busy,
            family: read_family.and_then(|read| read(around)),
            taken: Some(now),
            late: now.saturating_sub(planned),
            ..Sample::default()
        }
    }

    fn read_memory(&mut self) -> (Option<Memory>, Option<Memory>) {
        let Some(system) = &mut self.system else {
            return (None, None);
        };
        system.refresh_memory();
        let memory = amount(system.total_memory(), system.available_memory());
        (memory, amount(system.total_swap(), system.free_swap()))
    }

    fn read_cpu(&mut self, now: Moment) {
        let due = self
            .cpu_read
            .is_none_or(|read| now.saturating_sub(read) >= WINDOW);
        let Some(system) = self.system.as_mut().filter(|_| due) else {
            return;
        };
        system.refresh_cpu_usage();
        // The first reading has nothing to be compared with.
        let usage = system.global_cpu_usage();
        self.cpu_busy = self.cpu_read.and_then(|_| tenths(usage)).map(Percent);
        self.cpu_read = Some(now);
    }
}

/// `None` where the system could not tell: sysinfo says zero then.
fn amount(total: u64, free: u64) -> Option<Memory> {
    (total > 0).then_some(Memory {
        used: Bytes(total.saturating_sub(free)),
        total: Bytes(total),
        bound: Bound::Machine,
    })
}

fn tenths(percent: f32) -> Option<u32> {
    let tenths = f64::from(percent) * 10.0;
    if !(0.0..=1000.0).contains(&tenths) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000"
    )]
    let tenths = tenths as u32;
    Some(tenths)
}

/// Nothing counts the kills of the kernel here.
#[derive(Debug)]
pub struct OomWatch {
    known: bool,
}

impl OomWatch {
    /// There is nothing to open.
    pub fn open(_now: Moment) -> Self {
        Self { known: false }
    }

    /// There is nothing to look at.
    pub fn look(&self, _now: Moment) {
        debug_assert!(!self.known, "nothing is counted here");
    }

    /// Unknown here, and so nobody's death is put down to it.
    pub fn killed_just_before(&self, _death: Moment, _started: Moment) -> bool {
        self.known
    }
}

/// How many cores this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_plausible_and_what_it_lacks_is_named() {
        let mut sampler = Sampler::new(SamplerConfig::new(".".into()), Clock::start());
        let sample = sampler.sample(Moment::ZERO, None);
        let memory = sample.memory.unwrap();
        assert!(
            memory.used > Bytes::mib(1) && memory.used < memory.total,
            "{memory:?}"
        );
        assert_eq!(sample.cpu_busy, None, "no window has passed");
        assert!(!sampler.missing().is_empty() && cores() >= 1);
        let shown = sampler.missing()[0].to_string();
        assert_eq!(shown, "CPU pressure can't be read on this platform");
    }

    #[test]
    fn a_share_becomes_tenths_of_a_percent() {
        assert_eq!(tenths(12.34), Some(123));
        assert_eq!(
            (tenths(f32::NAN), tenths(-1.0), tenths(101.0)),
            (None, None, None)
        );
        assert_eq!(amount(0, 0), None);
        let watch = OomWatch::open(Moment::ZERO);
        watch.look(Moment::ZERO);
        assert!(!watch.killed_just_before(Moment::ZERO, Moment::ZERO));
    }
}
