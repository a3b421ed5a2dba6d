//! A test's limits against what its family was read to use, and how long nobody need look. Pure.

use std::time::Duration;

use crate::guard::cadence::FILL_RATE;
use crate::guard::cadence::SHORTEST;
use crate::guard::sample::SlotUse;
use crate::limits::Exceeded;
use crate::limits::Limits;
use crate::units::Bytes;

/// How many processes a core can start in a second: ten in a millisecond were measured of a small one.
const FORK_RATE: u64 = 10_000;

/// The longest time between two looks at a test whose processes are limited.
const PROCESSES_EVERY: Duration = Duration::from_millis(50);

/// The shortest time between two looks for the sake of CPU time, which the kernel counts in such ticks.
const TICK: Duration = Duration::from_millis(10);

/// How much a core can write in a second, into memory first.
const WRITE_RATE: u64 = 2_000_000_000;

/// The shortest time between two looks for the sake of what is written: a disk is not full in that.
const WRITTEN_EVERY: Duration = Duration::from_millis(20);

/// Whether one of these limits is held by looking at the family again and again.
pub fn is_watched(limits: &Limits) -> bool {
    let Limits {
        name: _,
        memory,
        cpu: _,
        cpu_time,
        time: _,
        processes,
        open_files: _,
        file_size: _,
        core: _,
        written,
    } = limits;
    memory.is_some() || cpu_time.is_some() || processes.is_some() || written.is_some()
}

/// The limit that a family exceeds by this reading; the one that is the most urgent, if several are.
pub fn exceeded(limits: &Limits, used: &SlotUse) -> Option<Exceeded> {
    let memory = watched_memory(limits, used).filter(|(limit, used)| used > limit);
    let memory = memory.map(|(limit, used)| Exceeded::Memory { limit, used });
    let processes = limits.processes.filter(|&limit| used.threads > limit);
    let processes = processes.map(|limit| Exceeded::Processes {
        limit,
        used: used.threads,
    });
    let cpu_time = limits.cpu_time.filter(|&limit| used.cpu > limit);
    let cpu_time = cpu_time.map(|limit| Exceeded::CpuTime {
        limit,
        used: used.cpu,
    });
    let written = limits.written.zip(used.written);
    let written = written.filter(|(limit, used)| used > limit);
    let written = written.map(|(limit, used)| Exceeded::Written { limit, used });
    memory.or(processes).or(cpu_time).or(written)
}

/// The limit of memory, and what is held against it by looking. The kernel holds processes only: what their
/// containers have is none of its business.
fn watched_memory(limits: &Limits, used: &SlotUse) -> Option<(Bytes, Bytes)> {
    let limit = limits.memory?;
    match (used.memory_is_held, used.in_containers) {
        (false, _) => Some((limit, used.memory)),
        (true, Bytes(0)) => None,
        (true, containers) => Some((limit, containers)),
    }
}

/// Whether a family is so far below its limit of memory that it may be taken for unchanged while the machine
/// has not lost any: what it takes, the machine no longer has.
pub fn is_far(limits: &Limits, used: &SlotUse) -> bool {
    watched_memory(limits, used).is_none_or(|(limit, used)| used.0 < limit.0 / 2)
}

/// How soon after this reading the memory of the family must be looked at again, so that its limit is not passed
/// by much: as long as it takes to get there at full speed. `None` where it has no such limit.
pub fn memory_within(limits: &Limits, used: &SlotUse, cores: usize) -> Option<Duration> {
    let (limit, used) = watched_memory(limits, used)?;
    let room = limit.saturating_sub(used);
    Some(time_for(room.0, FILL_RATE * cores.max(1) as u64).max(SHORTEST))
}

/// The same for everything else: that no memory has gone says nothing about it.
pub fn rest_within(limits: &Limits, used: &SlotUse, cores: usize) -> Option<Duration> {
    let cores = cores.max(1) as u64;
    let processes = limits.processes.map(|limit| {
        let room = limit.saturating_sub(used.threads);
        time_for(u64::from(room), FORK_RATE * cores).clamp(SHORTEST, PROCESSES_EVERY)
    });
    let cpu_time = limits.cpu_time.map(|limit| {
        let room = limit.saturating_sub(used.cpu);
        (room / u32::try_from(cores).unwrap_or(u32::MAX)).max(TICK)
    });
    let written = limits.written.map(|limit| {
        let room = limit.saturating_sub(used.written.unwrap_or_default());
        time_for(room.0, WRITE_RATE * cores).max(WRITTEN_EVERY)
    });
    [processes, cpu_time, written].into_iter().flatten().min()
}

/// How long so much takes at this rate a second.
fn time_for(amount: u64, rate: u64) -> Duration {
    let nanos = u128::from(amount) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> Limits {
        Limits {
            memory: Some(Bytes(1000)),
            cpu_time: Some(Duration::from_secs(10)),
            processes: Some(20),
            written: Some(Bytes(500)),
            ..Limits::default()
        }
    }

    fn used() -> SlotUse {
        SlotUse {
            slot: 0,
            memory: Bytes(1000),
            processes: 20,
            threads: 20,
            cpu: Duration::from_secs(10),
            written: Some(Bytes(500)),
            ..SlotUse::default()
        }
    }

    #[test]
    fn memory_that_the_kernel_holds_is_not_watched() {
        let held = SlotUse {
            memory: Bytes(5000),
            memory_is_held: true,
            ..used()
        };
        assert_eq!(exceeded(&limits(), &held), None);
        assert!(is_far(&limits(), &held));
        assert_eq!(memory_within(&limits(), &held, 2), None);
        assert!(rest_within(&limits(), &held, 2).is_some());
    }

    #[test]
    fn the_memory_of_containers_is_watched_whoever_holds_that_of_the_processes() {
        let held = |memory, in_containers| SlotUse {
            memory: Bytes(memory),
            in_containers: Bytes(in_containers),
            memory_is_held: true,
            ..used()
        };
        let limit = Bytes(1000);
        let over = Exceeded::Memory {
            limit,
            used: Bytes(1001),
        };
        assert_eq!(exceeded(&limits(), &held(5000, 1001)), Some(over));
        assert_eq!(exceeded(&limits(), &held(5000, 1000)), None);
        assert!(!is_far(&limits(), &held(5000, 500)) && is_far(&limits(), &held(5000, 499)));
        assert_eq!(
            memory_within(&limits(), &held(5000, 999), 2),
            Some(SHORTEST)
        );
    }

    #[test]
    fn what_is_used_up_is_not_exceeded_and_one_more_is() {
        let limits = limits();
        assert_eq!(exceeded(&limits, &used()), None);
        let over = |change: fn(&mut SlotUse)| {
            let mut used = used();
            change(&mut used);
            exceeded(&limits, &used)
        };
        assert_eq!(
            over(|used| used.memory.0 += 1),
            Some(Exceeded::Memory {
                limit: Bytes(1000),
                used: Bytes(1001)
            })
        );
        assert_eq!(
            over(|used| used.threads += 1),
            Some(Exceeded::Processes {
                limit: 20,
                used: 21
            })
        );
        assert!(matches!(
            over(|used| used.cpu += TICK),
            Some(Exceeded::CpuTime { .. })
        ));
        assert!(matches!(
            over(|used| used.written = Some(Bytes(501))),
            Some(Exceeded::Written { .. })
        ));
        assert_eq!(over(|used| used.written = None), None);
        assert!(matches!(
            over(|used| *used = SlotUse {
                memory: Bytes(5000),
                threads: 500,
                ..*used
            }),
            Some(Exceeded::Memory { .. })
        ));
        assert_eq!(exceeded(&Limits::default(), &used()), None);
    }

    #[test]
    fn only_what_is_watched_needs_a_look() {
        let kernels = Limits {
            time: Some(TICK),
            open_files: Some(1),
            file_size: Some(Bytes(1)),
            core: Some(Bytes(0)),
            ..Limits::default()
        };
        assert!(!is_watched(&kernels) && is_watched(&limits()));
        assert_eq!(memory_within(&kernels, &used(), 2), None);
        assert_eq!(rest_within(&kernels, &used(), 2), None);
    }

    #[test]
    fn the_nearer_a_limit_the_sooner_the_next_look() {
        let memory = |limit, used| {
            let limits = Limits {
                memory: Some(Bytes(limit)),
                ..Limits::default()
            };
            let used = SlotUse {
                memory: Bytes(used),
                ..SlotUse::default()
            };
            memory_within(&limits, &used, 2).unwrap()
        };
        assert_eq!(memory(4_000_000_000, 0), Duration::from_millis(200));
        assert_eq!(
            memory(4_000_000_000, 2_000_000_000),
            Duration::from_millis(100)
        );
        assert_eq!(memory(4_000_000_000, 3_990_000_000), SHORTEST);
        assert_eq!(memory(1, 2), SHORTEST);
        let processes = |limit| {
            let limits = Limits {
                processes: Some(limit),
                ..Limits::default()
            };
            rest_within(&limits, &SlotUse::default(), 2).unwrap()
        };
        assert_eq!(processes(u32::MAX), PROCESSES_EVERY);
        assert_eq!(processes(200), Duration::from_millis(10));
        let cpu = |seconds| {
            let used = SlotUse {
                cpu: Duration::from_secs(seconds),
                ..SlotUse::default()
            };
            let limits = Limits {
                cpu_time: Some(Duration::from_secs(10)),
                ..Limits::default()
            };
            rest_within(&limits, &used, 4).unwrap()
        };
        assert_eq!(cpu(0), Duration::from_millis(2500));
        assert_eq!(cpu(10), TICK);
    }

    #[test]
    fn half_of_the_memory_is_far() {
        let far = |memory| {
            let used = SlotUse {
                memory: Bytes(memory),
                ..SlotUse::default()
            };
            is_far(&limits(), &used)
        };
        assert!(far(499) && !far(500) && is_far(&Limits::default(), &used()));
    }

    proptest! {
        #[test]
        fn no_limit_of_memory_is_reached_before_the_next_look(
            limit in 1..u64::MAX / 2, used in 0..u64::MAX / 2, cores in 0..300_usize,
        ) {
            let limits = Limits { memory: Some(Bytes(limit)), ..Limits::default() };
            let used = SlotUse { memory: Bytes(used), ..SlotUse::default() };
            let look = memory_within(&limits, &used, cores).unwrap();
            prop_assert!(look >= SHORTEST);
            if look > SHORTEST {
                let filled = look.as_nanos() * u128::from(FILL_RATE) / 1_000_000_000;
                let filled = filled * cores.max(1) as u128;
                prop_assert!(u128::from(used.memory.0) + filled <= u128::from(limit));
            }
        }
    }
}
