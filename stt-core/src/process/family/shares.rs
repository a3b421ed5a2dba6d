//! Which processes to ask for their proportional share, and what to take the others for.
//!
//! The kernel goes through every page of a process that is asked, so not all can be. The largest are asked each by
//! itself; the rest, by size and number, fall into strata of neighbours, and one of each speaks for it: forks of
//! one program are alike in size, and follow each other in number.

use std::ops::Range;

use crate::units::Bytes;

/// How many processes, the largest first, are asked each by itself. Asking takes up to 14 ms for one of 1 GB.
const ALONE: usize = 32;

/// A process that takes less than this is not asked for itself where there are many.
const ALONE_FROM: Bytes = Bytes::mib(4);

/// Into how many strata the rest falls at most. Asking a small process takes some 30 µs.
const MOST_STRATA: u64 = 64;

/// And at least, however large they are.
const FEWEST_STRATA: u64 = 8;

/// Those who speak for others take no more than this together, as far as the fewest strata allow: some 7 ms.
const SPOKESMEN: Bytes = Bytes::mib(512);

/// The strata of processes of these resident sizes, the largest first. Together they are all of them.
pub(super) fn strata(sizes: &[Bytes]) -> Vec<Range<usize>> {
    let large = sizes.iter().take(ALONE);
    let alone = large.take_while(|size| **size >= ALONE_FROM).count();
    let rest = &sizes[alone..];
    let mut strata: Vec<_> = (0..alone).map(|index| index..index + 1).collect();
    let sum = rest
        .iter()
        .fold(0_u64, |sum, size| sum.saturating_add(size.0));
    let count = rest.len() as u64;
    let mean = sum / count.max(1);
    let affordable = SPOKESMEN.0 / mean.max(1);
    let strata_of_rest = affordable.clamp(FEWEST_STRATA, MOST_STRATA).min(count);
    let edge = |number: u64| {
        // No more than there are processes.
        let index = usize::try_from(number * count / strata_of_rest.max(1));
        alone + index.unwrap_or(rest.len())
    };
    strata.extend((0..strata_of_rest).map(|number| edge(number)..edge(number + 1)));
    strata
}

/// Who speaks for a stratum.
pub(super) fn spokesman(stratum: &Range<usize>) -> usize {
    stratum.start + (stratum.end - stratum.start) / 2
}

/// What a process of this size is taken for, in whose stratum one of that size has that share.
pub(super) fn as_shared(size: Bytes, (other, share): (Bytes, Bytes)) -> Bytes {
    let scaled = u128::from(size.0) * u128::from(share.0) / u128::from(other.0.max(1));
    Bytes(u64::try_from(scaled).unwrap_or(u64::MAX)).min(size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What processes of these sizes and shares are taken for together, and how much had to be read for it.
    fn estimate(processes: &[(u64, u64)]) -> (u64, u64) {
        let sizes: Vec<_> = processes.iter().map(|(size, _)| Bytes(*size)).collect();
        let (mut sum, mut read) = (0, 0);
        for stratum in strata(&sizes) {
            let (size, share) = processes[spokesman(&stratum)];
            read += size;
            let taken = stratum.map(|index| as_shared(sizes[index], (Bytes(size), Bytes(share))).0);
            sum += taken.sum::<u64>();
        }
        (sum, read)
    }

    fn sorted(mut processes: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
        processes.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
        processes
    }

    #[test]
    fn a_thousand_small_ones_that_share_nearly_all_are_little() {
        let (sum, read) = estimate(&vec![(1_250_000, 48_000); 1000]);
        assert_eq!((sum, read), (48_000_000, 64 * 1_250_000));
    }

    #[test]
    fn few_are_all_asked() {
        for count in 0..=64 {
            let sizes = vec![Bytes(3_000_000); count];
            let strata = strata(&sizes);
            assert_eq!(strata.len(), count);
            assert!(strata.iter().all(|stratum| stratum.len() == 1));
        }
        let mixed: Vec<_> = (0..96)
            .map(|i| Bytes::mib(if i < 32 { 8 } else { 1 }))
            .collect();
        assert_eq!(strata(&mixed).len(), 96);
    }

    #[test]
    fn who_has_much_for_himself_is_seen_beside_a_thousand() {
        let mut processes = vec![(1_250_000, 48_000); 1000];
        processes.push((900_000_000, 899_000_000));
        assert_eq!(estimate(&sorted(processes)).0, 899_000_000 + 48_000_000);
    }

    proptest! {
        #[test]
        fn strata_are_all_in_order_and_bounded(sizes in prop::collection::vec(0..3_000_000_000_u64, 0..3000)) {
            let sizes = sorted(sizes.into_iter().map(|size| (size, 0)).collect());
            let sizes: Vec<_> = sizes.into_iter().map(|(size, _)| Bytes(size)).collect();
            let strata = strata(&sizes);
            prop_assert!(strata.len() <= 96);
            let mut next = 0;
            for stratum in &strata {
                prop_assert_eq!(stratum.start, next);
                prop_assert!(stratum.contains(&spokesman(stratum)));
                next = stratum.end;
            }
            prop_assert_eq!(next, sizes.len());
        }

        /// Programs that each have their size, and share as they share.
        #[test]
        fn the_estimate_is_near_and_never_over_the_plain_sum(
            programs in prop::collection::vec((100_000..200_000_000_u64, 0..=100_u64, 1..400_usize), 1..5),
        ) {
            let of = |&(size, percent, count): &(u64, u64, usize)| vec![(size, size * percent / 100); count];
            let processes = sorted(programs.iter().flat_map(of).collect());
            let plain: u64 = processes.iter().map(|(size, _)| size).sum();
            let truth: u64 = processes.iter().map(|(_, share)| share).sum();
            let (sum, read) = estimate(&processes);
            prop_assert!(sum <= plain);
            // Wrong is at most who is in a stratum with another program's spokesman.
            let sizes: Vec<_> = processes.iter().map(|(size, _)| Bytes(*size)).collect();
            let mixed = strata(&sizes).into_iter().filter(|stratum| {
                let of = &processes[stratum.clone()];
                of.iter().any(|process| process != &of[0])
            });
            let at_most: u64 = mixed.map(|stratum| processes[stratum].iter().map(|(size, _)| size).sum::<u64>()).sum();
            prop_assert!(sum.abs_diff(truth) <= at_most, "{} for {}", sum, truth);
            let largest: u64 = processes.iter().take(32 + 8).map(|(size, _)| size).sum();
            prop_assert!(read <= largest + 2 * SPOKESMEN.0);
        }
    }
}
