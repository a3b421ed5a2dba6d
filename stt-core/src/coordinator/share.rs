//! How something that all runners of the machine want is divided among them: cores, memory. Pure.
//!
//! It is filled in like water into vessels of different height: all get the same until they have enough, and what
//! one can't use goes to the others. Where the same for all is not possible in whole units, the oldest get more.

/// Divides `total` units among claims, which are given from the oldest runner to the youngest. Nobody gets more
/// than he claims; who gets less than that gets at most one unit less than anybody else, and not more than
/// anybody older than him.
pub fn divide(total: u64, claims: &[u64]) -> Vec<u64> {
    let mut shares = vec![0; claims.len()];
    let mut left = total;
    let mut hungry: Vec<usize> = (0..claims.len()).collect();
    hungry.retain(|&one| claims[one] > 0);
    while !hungry.is_empty() {
        let each = left / hungry.len() as u64;
        if each == 0 {
            break;
        }
        for &one in &hungry {
            let more = each.min(claims[one] - shares[one]);
            shares[one] += more;
            left -= more;
        }
        hungry.retain(|&one| shares[one] < claims[one]);
    }
    for one in hungry {
        if left == 0 {
            break;
        }
        shares[one] += 1;
        left -= 1;
    }
    shares
}

/// For how long, in milliseconds, a share is kept when there are more runs than cores, before it goes to the one that
/// has waited longest. A handover takes a few milliseconds in which a core may be idle.
pub const TURN: u64 = 500;

/// After this time in milliseconds without any share a run takes one of the spare ones: those that hold the shares
/// run tests that take long.
pub const PATIENCE: u64 = 10_000;

/// How many spare shares there are.
pub const SPARE: u64 = 2;

/// What a run wants of the cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// How many tests it would run at once.
    pub wanted: u64,
    /// How many shares it holds.
    pub held: u64,
    /// Since when it waits for its first one, in milliseconds.
    pub queued: Option<u64>,
    /// Since when it holds shares without having been without any, in milliseconds.
    pub holds_since: Option<u64>,
}

/// How many shares one run may hold now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// So many. What it holds more it gives back as its tests end.
    pub target: u64,
    /// Whether it may take a spare one, if it has none.
    pub spare: bool,
}

/// How many shares there are: as many as cores, and as many as it wants for one that is alone.
pub fn capacity(cores: u64, claims: &[Claim]) -> u64 {
    let mut wanting = claims.iter().filter(|claim| claim.wanted > 0);
    match (wanting.next(), wanting.next()) {
        (Some(only), None) => only.wanted,
        _ => cores.max(1),
    }
}

/// What the run `me` may hold. The claims are given from the oldest run to the youngest, and all runs come to the same
/// result from the same claims.
///
/// With no more runs than cores each gets its part by [`divide`]. With more, each holds one share for a [`TURN`] while
/// others wait, and who has waited longest is next.
pub fn part(cores: u64, claims: &[Claim], me: usize, now: u64) -> Part {
    let own = claims[me];
    let none = Part {
        target: 0,
        spare: false,
    };
    if own.wanted == 0 {
        return none;
    }
    let capacity = capacity(cores, claims);
    let spare = own
        .queued
        .is_some_and(|since| now.saturating_sub(since) >= PATIENCE);
    let runs = claims.iter().filter(|claim| claim.wanted > 0).count() as u64;
    if runs <= capacity {
        let wanted: Vec<u64> = claims.iter().map(|claim| claim.wanted).collect();
        let target = divide(capacity, &wanted)[me];
        return Part { target, spare };
    }
    let waits = |claim: &&Claim| claim.wanted > 0 && claim.held == 0 && claim.queued.is_some();
    let target = if own.held > 0 {
        let had = own.holds_since.map_or(0, |since| now.saturating_sub(since));
        let others_wait = claims.iter().filter(waits).count() > 0;
        u64::from(had < TURN || !others_wait)
    } else {
        // Only as many try at once as there are shares, so that the one who has waited longest gets the next.
        let rank = |index: usize, claim: &Claim| (claim.queued, index);
        let mine = rank(me, &own);
        let before = claims.iter().enumerate();
        let before = before
            .filter(|(index, claim)| *index != me && waits(claim) && rank(*index, claim) < mine);
        u64::from((before.count() as u64) < capacity)
    };
    Part { target, spare }
}

/// What a run wants of the memory that is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appetite {
    /// How many more tests it would start.
    pub more: u64,
    /// What each of them is expected to use, in bytes; zero while nothing is known.
    pub expected: u64,
    /// What those that run are expected to come to use on top of what they do, in bytes.
    pub promised: u64,
}

/// How many more tests the run `me` may start, so that nobody starts into the memory that another's tests are going to
/// use. `left` is what is left until nothing more should start, in bytes. The appetites are given from the oldest run to
/// the youngest.
pub fn room(left: u64, appetites: &[Appetite], me: usize) -> u64 {
    let own = appetites[me];
    if own.expected == 0 {
        return own.more;
    }
    let promised = appetites.iter().map(|appetite| appetite.promised);
    let left = left.saturating_sub(promised.fold(0, u64::saturating_add));
    let claims = appetites
        .iter()
        .map(|appetite| appetite.more.saturating_mul(appetite.expected));
    let claims: Vec<u64> = claims.collect();
    (divide(left, &claims)[me] / own.expected).min(own.more)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_one_cannot_use_goes_to_the_others_and_the_rest_to_the_oldest() {
        for (total, claims, expected) in [
            (8, vec![8], vec![8]),
            (8, vec![8, 8], vec![4, 4]),
            (8, vec![8, 1, 8], vec![4, 1, 3]),
            (7, vec![8, 8, 8], vec![3, 2, 2]),
            (2, vec![2, 2, 2], vec![1, 1, 0]),
            (8, vec![0, 2, 0, 9], vec![0, 2, 0, 6]),
            (8, vec![1, 1], vec![1, 1]),
            (0, vec![1], vec![0]),
            (5, vec![], vec![]),
        ] {
            assert_eq!(divide(total, &claims), expected, "{total} among {claims:?}");
        }
    }

    fn claim(wanted: u64, held: u64, since: u64) -> Claim {
        Claim {
            wanted,
            held,
            queued: (held == 0).then_some(since),
            holds_since: (held > 0).then_some(since),
        }
    }

    fn target(claims: &[Claim], me: usize, now: u64) -> u64 {
        part(2, claims, me, now).target
    }

    #[test]
    fn alone_a_run_has_what_it_wants_and_with_others_its_part_of_the_cores() {
        assert_eq!(target(&[claim(16, 0, 0)], 0, 0), 16);
        let two = [claim(16, 16, 0), claim(2, 0, 0)];
        assert_eq!([target(&two, 0, 0), target(&two, 1, 0)], [1, 1]);
        let idle = [claim(16, 16, 0), claim(0, 0, 0)];
        assert_eq!([target(&idle, 0, 0), target(&idle, 1, 0)], [16, 0]);
    }

    #[test]
    fn with_more_runs_than_cores_they_take_turns_and_the_longest_waiting_is_next() {
        let four = [
            claim(2, 1, 1_000),
            claim(2, 0, 1_300),
            claim(2, 1, 1_400),
            claim(2, 0, 1_200),
        ];
        let targets = |now| [0, 1, 2, 3].map(|me| target(&four, me, now));
        assert_eq!(targets(1_499), [1, 1, 1, 1]);
        assert_eq!(targets(1_500), [0, 1, 1, 1]);
        assert_eq!(targets(1_900), [0, 1, 0, 1]);
        // Of those who wait only as many try as there are shares.
        let many = [4, 3, 2, 1, 0].map(|since| claim(2, 0, since));
        let targets = [0, 1, 2, 3, 4].map(|me| target(&many, me, 9));
        assert_eq!(targets, [0, 0, 0, 1, 1]);
        // Nobody gives up anything while nobody waits for it.
        let three = [claim(2, 1, 0), claim(2, 1, 0), claim(2, 1, 0)];
        assert_eq!([0, 1, 2].map(|me| target(&three, me, 9_999)), [1, 1, 1]);
    }

    #[test]
    fn whoever_has_waited_for_ten_seconds_may_take_a_spare_one() {
        let claims = [claim(2, 2, 0), claim(2, 0, 5_000)];
        assert!(!part(2, &claims, 1, 14_999).spare);
        assert!(part(2, &claims, 1, 15_000).spare);
        assert!(!part(2, &claims, 0, 15_000).spare);
    }

    fn appetite(more: u64, expected: u64, promised: u64) -> Appetite {
        Appetite {
            more,
            expected,
            promised,
        }
    }

    #[test]
    fn nobody_starts_into_the_memory_of_another() {
        let both = [appetite(4, 100, 0), appetite(4, 100, 0)];
        assert_eq!([room(500, &both, 0), room(500, &both, 1)], [2, 2]);
        // What the tests of one are going to use is gone for both.
        let both = [appetite(4, 100, 300), appetite(4, 100, 0)];
        assert_eq!([room(500, &both, 0), room(500, &both, 1)], [1, 1]);
        assert_eq!(room(100, &both, 1), 0);
        // What one doesn't want is left to the other; of whom nothing is known nothing is asked.
        let both = [appetite(1, 100, 0), appetite(9, 100, 0), appetite(3, 0, 0)];
        assert_eq!([0, 1, 2].map(|me| room(700, &both, me)), [1, 6, 3]);
    }

    proptest! {
        #[test]
        fn all_together_start_no_more_than_fits(
            left in 0_u64..10_000,
            runs in prop::collection::vec((0_u64..9, 1_u64..500, 0_u64..900), 1..9),
        ) {
            let all: Vec<Appetite> = runs.into_iter()
                .map(|(more, expected, promised)| appetite(more, expected, promised))
                .collect();
            let promised: u64 = all.iter().map(|one| one.promised).sum();
            let used: u64 = (0..all.len()).map(|me| room(left, &all, me) * all[me].expected).sum();
            prop_assert!(used <= left.saturating_sub(promised));
        }

        #[test]
        fn nobody_waits_for_ever_and_the_cores_are_enough(
            cores in 1_u64..9,
            wanted in prop::collection::vec(0_u64..5, 1..9),
            held in prop::collection::vec(0_u64..3, 9),
            since in prop::collection::vec(0_u64..2_000, 9),
        ) {
            let claims: Vec<Claim> = wanted.iter().zip(&held).zip(&since)
                .map(|((&wanted, &held), &since)| claim(wanted, held.min(wanted), since))
                .collect();
            // Everybody's turn is over by now.
            let parts: Vec<u64> = (0..claims.len()).map(|me| part(cores, &claims, me, 5_000).target).collect();
            let wanting = claims.iter().filter(|claim| claim.wanted > 0).count() as u64;
            let waiting: Vec<usize> = (0..claims.len())
                .filter(|&me| claims[me].wanted > 0 && claims[me].held == 0)
                .collect();
            prop_assert!(waiting.is_empty() || waiting.iter().any(|&me| parts[me] > 0));
            if wanting <= capacity(cores, &claims) {
                prop_assert!(parts.iter().sum::<u64>() <= capacity(cores, &claims));
            } else if !waiting.is_empty() {
                let keep = (0..claims.len()).filter(|&me| claims[me].held > 0 && parts[me] > 0);
                prop_assert_eq!(keep.count(), 0, "whose turn is over gives way");
            }
        }

        #[test]
        fn it_is_fair(total in 0_u64..100, claims in prop::collection::vec(0_u64..40, 0..12)) {
            let shares = divide(total, &claims);
            let (sum, wanted): (u64, u64) = (shares.iter().sum(), claims.iter().sum());
            prop_assert_eq!(sum, total.min(wanted), "nothing is left over that somebody wants");
            for (index, (&share, &claim)) in shares.iter().zip(&claims).enumerate() {
                prop_assert!(share <= claim);
                if share < claim {
                    let most = shares.iter().max().copied().unwrap_or(0);
                    prop_assert!(share + 1 >= most, "{shares:?} of {claims:?}");
                    // The oldest of those who don't get enough gets the most.
                    let older = shares.iter().zip(&claims).take(index);
                    for (&older, &wanted) in older {
                        prop_assert!(older >= share || older == wanted, "{shares:?} of {claims:?}");
                    }
                }
            }
        }

        #[test]
        fn more_for_all_is_less_for_nobody(
            total in 0_u64..100,
            claims in prop::collection::vec(0_u64..40, 0..12),
        ) {
            let (less, more) = (divide(total, &claims), divide(total + 1, &claims));
            prop_assert!(less.iter().zip(&more).all(|(less, more)| less <= more));
        }

        #[test]
        fn memory_is_divided_without_counting_bytes(claims in prop::collection::vec(any::<u32>(), 1..12)) {
            let claims: Vec<u64> = claims.into_iter().map(|claim| u64::from(claim) << 20).collect();
            let shares = divide(16 << 30, &claims);
            prop_assert_eq!(shares.len(), claims.len());
        }
    }
}
