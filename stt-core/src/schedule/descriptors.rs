//! How many tests at once the limit of open files allows.

use std::num::NonZeroUsize;

/// What a run has open beside its slots: the guard's files, the checkpoint, pipes to cargo, and some to spare.
const BASE: u64 = 48;

/// What a slot has open while its test runs: two streams and what they are spilled to, the way to wake it, its
/// process, those that may still leave, and where it finds its container engine.
const SLOT: u64 = 10;

/// What a port of a test has open.
const EACH_PORT: u64 = 2;

/// The fewest open files with which a run can begin: one test at a time.
pub const FEWEST_DESCRIPTORS: u64 = BASE + SLOT;

/// How many of the wanted slots a limit of open files leaves, where a test has at most so many ports.
pub fn affordable(limit: u64, wanted: usize, ports: usize) -> usize {
    let slots =
        limit.saturating_sub(BASE) / SLOT.saturating_add(EACH_PORT.saturating_mul(ports as u64));
    usize::try_from(slots)
        .unwrap_or(usize::MAX)
        .clamp(NonZeroUsize::MIN.get(), wanted.max(1))
}

/// How many clients of a container engine can be served beside so many slots: each takes two sockets and two pipes.
pub fn affordable_clients(limit: u64, slots: usize) -> usize {
    const CLIENT: u64 = 6;
    let slots = SLOT.saturating_mul(slots as u64);
    let clients = limit.saturating_sub(BASE).saturating_sub(slots) / CLIENT;
    usize::try_from(clients).unwrap_or(usize::MAX).clamp(2, 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_fit_into_the_limit_and_one_is_always_tried() {
        for (limit, wanted, ports, slots) in [
            (1024, 2, 0, 2),
            (1024, 200, 0, 97),
            (1024, 200, 10, 32),
            (FEWEST_DESCRIPTORS, 8, 0, 1),
            (FEWEST_DESCRIPTORS + SLOT, 8, 0, 2),
            (0, 8, 0, 1),
            (u64::MAX, 8, 64, 8),
        ] {
            assert_eq!(affordable(limit, wanted, ports), slots, "{limit} {wanted}");
        }
        for (limit, slots, clients) in [
            (1024, 2, 159),
            (FEWEST_DESCRIPTORS, 1, 2),
            (0, 8, 2),
            (u64::MAX, 8, 512),
        ] {
            assert_eq!(affordable_clients(limit, slots), clients, "{limit} {slots}");
        }
    }
}
