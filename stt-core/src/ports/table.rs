//! Which ports are tried, and in which order. Pure.

use twox_hash::XxHash64;

/// The first port for leases. They lie below those that the kernel gives out by itself (`ip(7)`,
/// `ip_local_port_range`: 32768 and up), and above those that services have by custom.
pub(super) const FIRST: u16 = 20_000;

/// How many there are.
const COUNT: u16 = 12_000;

/// The last of them.
pub(super) const fn last() -> u16 {
    FIRST + COUNT - 1
}

/// How many are tried for so many that are wanted: each once, beside those that are taken on the way.
pub(super) fn tries(count: usize) -> usize {
    usize::from(COUNT).saturating_add(count)
}

/// Where a run with this name begins.
pub(super) fn seed(name: &str) -> u64 {
    XxHash64::oneshot(0, name.as_bytes())
}

/// The port that is tried in this turn. One after the other, so that what was given back is not given out again
/// while old connections to it may still be around.
pub(super) fn candidate(seed: u64, turn: u64) -> u16 {
    let count = u64::from(COUNT);
    let offset = (seed % count + turn % count) % count;
    u16::try_from(offset).map_or(FIRST, |offset| FIRST + offset)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_port_comes_once_before_one_comes_again() {
        for seed in [0, 1, 11_999, u64::MAX, seed("run")] {
            for start in [0, u64::MAX - 12_000] {
                let round = start..start + 12_000;
                let ports: HashSet<_> = round.map(|turn| candidate(seed, turn)).collect();
                assert_eq!(ports.len(), 12_000);
                assert!(ports.iter().all(|port| (20_000..32_000).contains(port)));
            }
            assert_eq!(candidate(seed, 3), candidate(seed, 12_003));
        }
        assert_eq!(last(), 31_999);
    }

    #[test]
    fn runs_begin_at_different_ports() {
        let starts: HashSet<_> = (0..100)
            .map(|run| candidate(seed(&format!("run {run}")), 0))
            .collect();
        assert!(starts.len() > 90, "{}", starts.len());
    }
}
