//! Which running test makes room.

use std::cmp::Reverse;
use std::time::Duration;

use crate::units::Bytes;

/// A running test that could be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The slot in which it runs.
    pub slot: usize,
    /// For how long it has run.
    pub age: Duration,
    /// What its family uses; `None` when that is not known.
    pub memory: Option<Bytes>,
}

/// The slot of the test to end: the youngest of the large ones, because the least work is lost with
/// it and much memory is gained. Large is what uses at least half as much as the largest; when no
/// test's memory is known, all count as large. `None` only when nothing runs.
pub fn pick_shed(candidates: &[Candidate]) -> Option<usize> {
    let largest = candidates.iter().filter_map(|test| test.memory).max();
    candidates
        .iter()
        .filter(|test| match (test.memory, largest) {
            (Some(memory), Some(largest)) => memory.0 >= largest.0.div_ceil(2),
            (None, Some(_)) => false,
            (_, None) => true,
        })
        .min_by_key(|test| (test.age, Reverse(test.memory), test.slot))
        .map(|test| test.slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(slot: usize, age: u64, memory: Option<u64>) -> Candidate {
        Candidate {
            slot,
            age: Duration::from_secs(age),
            memory: memory.map(Bytes::mib),
        }
    }

    #[test]
    fn the_youngest_of_the_large_tests_makes_room() {
        let cases: [(&[Candidate], Option<usize>); 6] = [
            (&[], None),
            (&[test(4, 9, None)], Some(4)),
            (&[test(0, 9, None), test(1, 2, None)], Some(1)),
            // The youngest is small, and the largest is old.
            (
                &[
                    test(0, 60, Some(900)),
                    test(1, 5, Some(500)),
                    test(2, 1, Some(10)),
                ],
                Some(1),
            ),
            // A test whose memory is unknown isn't called large beside one that is known to be.
            (&[test(0, 60, Some(900)), test(1, 1, None)], Some(0)),
            (&[test(0, 5, Some(1)), test(1, 5, Some(2))], Some(1)),
        ];
        for (candidates, slot) in cases {
            assert_eq!(pick_shed(candidates), slot, "{candidates:?}");
        }
    }
}
