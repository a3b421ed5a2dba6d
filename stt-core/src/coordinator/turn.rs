//! Who yields when the machine is in trouble, and who goes on first when it has recovered. Pure.
//!
//! All runs see the same readings at about the same time. The youngest yields; the others hold, and see whether that
//! has helped. Times are milliseconds since the boot.

use crate::coordinator::Live;
use crate::coordinator::State;
use crate::units::Bytes;

/// Who has not even so much of what a run has is not worth waiting for: its fourth part.
const WORTH: u64 = 4;

/// From one restart on the machine to the next, in milliseconds: the first one must show what it takes.
pub const RESTARTS_APART: u64 = 10_000;

/// The other runs as far as they matter when the machine is in trouble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// How many older ones there are.
    pub older: u32,
    /// How many younger ones run tests, and so can yield.
    pub younger: u32,
    /// How many younger ones run tests and have told of little memory so far: it may have become more since.
    pub doubtful: u32,
    /// When the last younger one yielded.
    pub yielded: Option<u64>,
    /// What all of them use. Who is part of another run, or has parts of his own among them, counts nothing twice.
    pub memory: Bytes,
}

impl Others {
    /// What one run sees of the others. Who watches another memory, such as that of a container of his own, can't
    /// help; nor does it help to wait for one who has much less than oneself.
    pub fn seen_by(me: &Live, others: &[Live], now: u64) -> Self {
        let mut seen = Self::default();
        for other in others {
            if !other.is_fresh(now) || other.limit != me.limit {
                continue;
            }
            if !me.nested && !other.nested {
                seen.memory.0 = seen.memory.0.saturating_add(other.memory.0);
            }
            if other.age() < me.age() {
                seen.older += u32::from(takes_part(other.state));
            } else if other.state == State::Stopping {
                seen.yielded = seen.yielded.max(Some(other.state_since));
            } else if other.state == State::Running && other.running_now > 0 {
                let worth = other.memory.0 >= me.memory.0 / WORTH;
                seen.younger += u32::from(worth);
                seen.doubtful += u32::from(!worth);
            }
        }
        seen
    }
}

fn takes_part(state: State) -> bool {
    match state {
        State::Building | State::Running | State::Stopping | State::Finishing => true,
        State::Waiting | State::Suspended => false,
    }
}

/// From when on a run of this age may go on that was stopped, and is ready for it since `ready`: the oldest first, one at a
/// time. `last` is when the last one on this machine went on. `None` while somebody else is first.
pub fn restarts_at(
    age: (u64, i32),
    others: &[Live],
    last: Option<u64>,
    ready: u64,
    now: u64,
) -> Option<u64> {
    let first =
        |other: &&Live| other.state == State::Waiting && other.is_fresh(now) && other.age() < age;
    let apart = last.map_or(0, |last| last.saturating_add(RESTARTS_APART));
    // A time that lies ahead is of no clock of ours.
    let apart = if last.is_some_and(|last| last > now) {
        0
    } else {
        apart
    };
    others
        .iter()
        .all(|other| !first(&other))
        .then_some(ready.max(apart))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::ProcessId;
    use crate::id::RunId;

    fn live(start: u64, state: State, since: u64) -> Live {
        let runner = ProcessId { pid: 9, start };
        let mut live = Live::new(RunId::from_random([3; 16]), runner, "/w".into(), 10_000);
        live.state = state;
        live.state_since = since;
        if state == State::Running {
            live.running_now = 1;
        }
        live
    }

    #[test]
    fn the_others_are_counted_by_age_and_by_what_they_can_do() {
        let mut stale = live(90, State::Running, 0);
        stale.told = 6_000;
        let mut elsewhere = live(90, State::Running, 0);
        elsewhere.limit = Bytes(7);
        let mut idle = live(90, State::Running, 0);
        idle.running_now = 0;
        let others = [
            live(10, State::Running, 0),
            live(20, State::Building, 0),
            live(30, State::Waiting, 0),
            live(70, State::Running, 0),
            live(80, State::Stopping, 9_000),
            live(85, State::Stopping, 8_000),
            live(90, State::Waiting, 0),
            stale,
            elsewhere,
            idle,
        ];
        let mut small = live(95, State::Running, 0);
        small.memory = Bytes(24);
        let mut me = live(50, State::Running, 0);
        me.memory = Bytes(100);
        let others: Vec<Live> = others
            .into_iter()
            .map(|mut other| {
                other.memory = Bytes(25);
                other
            })
            .chain([small])
            .collect();
        let seen = Others::seen_by(&me, &others, 10_000);
        let expected = Others {
            older: 2,
            younger: 1,
            doubtful: 1,
            yielded: Some(9_000),
            memory: Bytes(8 * 25 + 24),
        };
        assert_eq!(seen, expected);
        me.nested = true;
        assert_eq!(Others::seen_by(&me, &others, 10_000).memory, Bytes(0));
    }

    #[test]
    fn the_oldest_that_waits_goes_on_first_and_the_next_ten_seconds_later() {
        let older = live(10, State::Waiting, 0);
        let younger = live(90, State::Waiting, 0);
        let both = [older.clone(), younger];
        assert_eq!(restarts_at((50, 9), &both, None, 9_000, 10_000), None);
        assert_eq!(restarts_at((5, 9), &both, None, 9_000, 10_000), Some(9_000));
        assert_eq!(
            restarts_at((5, 9), &both, Some(4_000), 9_000, 10_000),
            Some(14_000)
        );
        // Who stands still is not waited for.
        assert_eq!(
            restarts_at((50, 9), &both, None, 9_000, 20_000),
            Some(9_000)
        );
        assert_eq!(
            restarts_at((50, 9), &[], Some(99_000), 9_000, 10_000),
            Some(9_000)
        );
    }

    proptest! {
        #[test]
        fn of_all_that_wait_exactly_one_is_first(starts in prop::collection::btree_set(0_u64..1_000, 1..9)) {
            let all: Vec<Live> = starts.iter().map(|&start| live(start, State::Waiting, 0)).collect();
            let first = all.iter().filter(|me| {
                let others: Vec<Live> = all.iter().filter(|other| other.age() != me.age()).cloned().collect();
                restarts_at(me.age(), &others, None, 0, 10_000).is_some()
            });
            prop_assert_eq!(first.map(Live::age).collect::<Vec<_>>(), vec![all[0].age()]);
        }

        #[test]
        fn of_all_that_run_exactly_one_is_the_youngest(starts in prop::collection::btree_set(0_u64..1_000, 1..9)) {
            let all: Vec<Live> = starts.iter().map(|&start| live(start, State::Running, 0)).collect();
            let ranks = all.iter().map(|me| {
                let others: Vec<Live> = all.iter().filter(|other| other.age() != me.age()).cloned().collect();
                Others::seen_by(me, &others, 10_000).younger
            });
            let mut ranks: Vec<u32> = ranks.collect();
            ranks.sort_unstable();
            let expected: Vec<u32> = (0..).take(all.len()).collect();
            prop_assert_eq!(ranks, expected, "each has his own turn");
        }
    }
}
