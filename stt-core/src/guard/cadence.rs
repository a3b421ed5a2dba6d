//! How long the guard may look away.

use std::time::Duration;

use crate::config::GuardConfig;
use crate::guard::lines::Lines;
use crate::guard::sample::Memory;
use crate::guard::sample::Sample;
use crate::guard::sample::Tasks;
use crate::units::Bytes;
use crate::units::Percent;
use crate::units::Threshold;

/// How fast memory can fill for each core: 2 to 20 GB a second were measured on two.
pub(super) const FILL_RATE: u64 = 10_000_000_000;

/// The shortest time between two samples. It bounds the overshoot to about 50 MB on two cores, and
/// costs less than a percent of one.
pub(super) const SHORTEST: Duration = Duration::from_millis(5);

/// The time between two samples while memory can't be read: often enough to see it come back.
const BLIND: Duration = Duration::from_millis(100);

/// The longest time between two readings of the family.
const FAMILY_EVERY: Duration = Duration::from_secs(1);

/// A family below this share of the memory is no reason to look more closely.
const SMALL_FAMILY: Percent = Percent::whole(5);

/// How fast processes can multiply for each core: some 4,000 a second were measured.
const FORK_RATE: u64 = 4_000;

/// The number of tasks is no reason to look more often than this.
const TASKS_EVERY: Duration = Duration::from_millis(100);

/// From so far below the threshold for tasks on it matters whose they are.
const TASKS_MARGIN: Percent = Percent::whole(10);

/// When the next sample is due, and what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// From this sample to the next.
    pub sleep: Duration,
    /// Whether the next sample needs the run's own family.
    pub read_family: bool,
}

/// Plans the next sample after this one. `cores` is how many cores can fill memory at once;
/// `family_age` is how long ago the family was read, `None` for never.
///
/// The guard sleeps for as long as memory needs at its fastest to reach the next line.
pub fn plan(
    config: &GuardConfig,
    cores: usize,
    sample: &Sample,
    family_age: Option<Duration>,
) -> Cadence {
    let lines = Lines::new(config);
    let sleep = match headroom(&lines, sample) {
        Some(headroom) => {
            let rate = u128::from(FILL_RATE) * cores.max(1) as u128;
            let nanos = u128::from(headroom.0) * 1_000_000_000 / rate;
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        }
        None => BLIND,
    };
    let sleep = sleep
        .min(until_tasks_run_out(config, cores, sample))
        .min(config.check_interval)
        .max(SHORTEST);
    let near = sample.memory.is_none_or(|memory| {
        let (hold, _) = lines.hold_and_threshold(memory.total);
        memory.used >= hold
    });
    let tasks = sample.tasks.and_then(Tasks::share);
    let near = near || tasks >= Some(config.process_threshold.saturating_sub(TASKS_MARGIN));
    let stale = family_age.is_none_or(|age| age + sleep >= FAMILY_EVERY);
    Cadence {
        sleep,
        read_family: lines.bounds_run() || near || stale,
    }
}

/// How long the tasks that are left last at the fastest pace; for ever where that is unknown.
fn until_tasks_run_out(config: &GuardConfig, cores: usize, sample: &Sample) -> Duration {
    let Some(Tasks { alive, limit, .. }) = sample.tasks else {
        return Duration::MAX;
    };
    let threshold = Bytes(limit).percent(config.process_threshold).0;
    let left = threshold.saturating_sub(alive);
    let millis = left * 1000 / (FORK_RATE * cores.max(1) as u64);
    Duration::from_millis(millis).max(TASKS_EVERY)
}

/// Whether a sample is under every line at which something is ended. One that says nothing is not.
pub fn is_calm(config: &GuardConfig, sample: &Sample) -> bool {
    let family = sample.family.as_ref().map(|family| family.memory);
    let (line, run) = match config.memory_threshold {
        Threshold::Machine(share) => (share.min(config.memory_critical), true),
        Threshold::Run(size) => (
            config.memory_critical,
            family.is_some_and(|used| used < size),
        ),
    };
    run && sample
        .memory
        .is_some_and(|memory| memory.used < memory.total.percent(line))
        && sample
            .tasks
            .and_then(Tasks::share)
            .is_none_or(|share| share < config.process_threshold)
}

/// Where it matters what of the family's memory is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stakes {
    /// From this sum on somebody may be ended for it.
    pub from: Bytes,
    /// A family that has this has it whatever it shares.
    pub clear: Bytes,
}

impl Stakes {
    /// Those of a size that must not be exceeded.
    pub fn of(size: Bytes) -> Self {
        Self {
            from: size,
            clear: size,
        }
    }

    /// What is left of them beside so much that is not shared.
    #[must_use]
    pub fn beside(self, other: Bytes) -> Self {
        Self {
            from: self.from.saturating_sub(other),
            clear: self.clear.saturating_sub(other),
        }
    }
}

/// Where it matters what of the family's memory is shared; `None` while it does not.
pub fn stakes(config: &GuardConfig, memory: Option<Memory>) -> Option<Stakes> {
    let lines = Lines::new(config);
    match (config.memory_threshold, memory) {
        (Threshold::Run(size), _) => Some(Stakes::of(size)),
        (Threshold::Machine(_), Some(memory)) => {
            let (_, threshold) = lines.hold_and_threshold(memory.total);
            let excess = memory.used.0.checked_sub(threshold.0).map(Bytes)?;
            // The same lines as those of blame: a family below both is not what fills the memory, and one that
            // is not small is.
            let clear = memory.total.percent(SMALL_FAMILY);
            let from = clear.min(excess);
            Some(Stakes { from, clear })
        }
        (Threshold::Machine(_), None) => None,
    }
}

/// How much memory can be filled before something has to be decided; `None` when that is unknown.
fn headroom(lines: &Lines, sample: &Sample) -> Option<Bytes> {
    let family = sample.family.as_ref().map(|family| family.memory);
    let fullest = headroom_of(lines, sample.memory?, family)?;
    let scarcest = sample
        .scarcest
        .and_then(|memory| headroom_of(lines, memory, family));
    Some(fullest.min(scarcest.unwrap_or(fullest)))
}

fn headroom_of(lines: &Lines, memory: Memory, family: Option<Bytes>) -> Option<Bytes> {
    let to_critical = lines.critical(memory.total).saturating_sub(memory.used);
    let (_, threshold) = lines.hold_and_threshold(memory.total);
    if lines.bounds_run() {
        return family.map(|family| threshold.saturating_sub(family).min(to_critical));
    }
    if memory.used < threshold {
        return Some(threshold.saturating_sub(memory.used));
    }
    // Over the threshold and still running: others hold the memory, and what matters is how far the
    // family is from being to blame. Without a reading of it the next look is due at once.
    let small = memory.total.percent(SMALL_FAMILY);
    let to_blame = family.map_or(Bytes(0), |family| small.saturating_sub(family));
    Some(to_critical.min(to_blame))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guard::policy::fixtures::config;
    use crate::guard::policy::fixtures::memory;
    use crate::guard::sample::Bound;
    use crate::guard::sample::Family;

    /// So many of 100 GB are used, and so many of them by the run.
    fn gigabytes(used: u64, family: Option<u64>) -> Sample {
        let gigabytes = |count| Bytes(count * 1_000_000_000);
        Sample {
            memory: Some(Memory {
                used: gigabytes(used),
                total: gigabytes(100),
                bound: Bound::Machine,
            }),
            family: family.map(|count| Family {
                memory: gigabytes(count),
                ..Family::default()
            }),
            ..Sample::default()
        }
    }

    #[test]
    fn it_is_calm_under_every_line_and_never_in_the_dark() {
        let mut config = config();
        for (sample, calm) in [
            (gigabytes(79, None), true),
            (gigabytes(80, None), false),
            (Sample::default(), false),
        ] {
            assert_eq!(is_calm(&config, &sample), calm, "{sample:?}");
        }
        config.memory_threshold = Threshold::Run(Bytes(6_000_000_000));
        for (sample, calm) in [
            (gigabytes(85, Some(5)), true),
            (gigabytes(85, Some(6)), false),
            (gigabytes(85, None), false),
            (gigabytes(92, Some(5)), false),
        ] {
            assert_eq!(is_calm(&config, &sample), calm, "{sample:?}");
        }
    }

    #[test]
    fn an_exact_reading_is_for_a_family_that_may_be_to_blame() {
        let share = |used| stakes(&config(), gigabytes(used, None).memory);
        let from = |from| {
            Some(Stakes {
                from: Bytes(from),
                clear: Bytes(5_000_000_000),
            })
        };
        assert_eq!(share(79), None);
        assert_eq!(share(80), from(0));
        assert_eq!(share(83), from(3_000_000_000));
        assert_eq!(share(90), from(5_000_000_000));
        assert_eq!(stakes(&config(), None), None);
        let mut config = config();
        config.memory_threshold = Threshold::Run(Bytes(7));
        assert_eq!(stakes(&config, None), Some(Stakes::of(Bytes(7))));
    }

    #[test]
    fn the_nearer_the_threshold_the_shorter_the_sleep() {
        for (used, family, millis) in [
            (10, Some(1), 1000),
            (60, Some(1), 1000),
            (70, Some(1), 500),
            (78, Some(1), 100),
            (79, Some(1), 50),
            // Over it because of others: four gigabytes until the run is to blame.
            (80, Some(1), 200),
            (90, Some(1), 100),
            (91, Some(1), 50),
            (99, Some(1), 5),
            (85, Some(5), 5),
            (85, None, 5),
        ] {
            let plan = plan(&config(), 2, &gigabytes(used, family), None);
            assert_eq!(plan.sleep.as_millis(), millis, "{used} GB, {family:?}");
        }
    }

    #[test]
    fn the_family_is_read_when_it_matters_and_else_once_a_second() {
        let read = |used, age| plan(&config(), 64, &gigabytes(used, Some(1)), age).read_family;
        let recently = Some(Duration::from_millis(100));
        assert!(read(70, recently));
        assert!(!read(69, recently));
        assert!(read(69, None));
        // The sleep of 17 ms counts.
        assert!(read(69, Some(Duration::from_millis(990))));
        assert!(!read(69, Some(Duration::from_millis(980))));
        let unknown = Sample::default();
        assert!(plan(&config(), 2, &unknown, recently).read_family);
    }

    #[test]
    fn a_size_is_measured_from_the_family() {
        let mut config = config();
        config.memory_threshold = Threshold::Run(Bytes(4_000_000_000));
        let plan_for = |used, family| plan(&config, 2, &gigabytes(used, family), None);
        assert_eq!(plan_for(10, Some(3)).sleep.as_millis(), 50);
        assert_eq!(plan_for(91, Some(1)).sleep.as_millis(), 50);
        assert_eq!(plan_for(10, None).sleep, BLIND);
        assert!(plan(&config, 2, &gigabytes(1, Some(0)), Some(Duration::ZERO)).read_family);
    }

    #[test]
    fn a_small_container_on_a_large_machine_is_watched_closely() {
        let mut sample = gigabytes(50, Some(0));
        sample.scarcest = Some(Memory {
            used: Bytes(1_000_000_000),
            total: Bytes(2_000_000_000),
            bound: Bound::ControlGroup,
        });
        assert_eq!(plan(&config(), 2, &sample, None).sleep.as_millis(), 30);
    }

    #[test]
    fn a_blind_guard_keeps_looking() {
        let plan = plan(&config(), 2, &Sample::default(), None);
        assert_eq!(plan.sleep, BLIND);
    }

    proptest! {
        #[test]
        fn the_sleep_keeps_its_bounds_and_no_line_is_reached_in_it(
            used in 0..1000_u64, cores in 0..300_usize, interval in 0..5_000_u64,
        ) {
            let mut config = config();
            config.check_interval = Duration::from_millis(interval);
            let sample = gigabytes(used / 10, Some(0));
            let plan = plan(&config, cores, &sample, None);
            prop_assert!(plan.sleep >= SHORTEST);
            prop_assert!(plan.sleep <= config.check_interval.max(SHORTEST));
            if plan.sleep > SHORTEST && used < 800 {
                let rate = 10 * cores.max(1) as u128;
                let filled = rate * plan.sleep.as_nanos();
                prop_assert!(u128::from(used / 10) * 1_000_000_000 + filled <= 80_000_000_000);
            }
            let tiny = super::plan(&config, cores, &memory(1, 1), None);
            prop_assert_eq!(tiny.sleep, SHORTEST);
        }
    }
}
