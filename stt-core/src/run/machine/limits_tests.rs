//! What becomes of tests that exceed their limits.

use super::tests::SECOND;
use super::tests::end;
use super::tests::ends;
use super::tests::recorded_unfinished;
use super::tests::sample;
use super::tests::setup;
use super::tests::started;
use super::*;
use crate::guard::Family;
use crate::guard::Sample;
use crate::guard::SlotUse;
use crate::limits::Exceeded;
use crate::limits::LimitHit;
use crate::outcome::Failure;
use crate::outcome::TestOutcome;
use crate::process::Settled;

/// Two slots, and every test with these limits.
fn limited(tests: usize, limits: &Limits) -> Machine {
    let limits = Some(Arc::new(limits.clone()));
    Machine::new(Setup {
        limits: vec![limits; tests],
        ..setup(2, tests, &[])
    })
}

fn hit(exceeded: Exceeded) -> EndReason {
    EndReason::Limit(LimitHit {
        limits: "fast".to_owned(),
        exceeded,
        container: None,
    })
}

fn memory(limit: u64) -> Limits {
    Limits {
        memory: Some(Bytes(limit)),
        ..fast()
    }
}

fn fast() -> Limits {
    Limits {
        name: "fast".into(),
        ..Limits::default()
    }
}

/// What the slots use, seen at this moment, of a machine that nobody can read.
fn seen(at: Moment, slots: &[SlotUse]) -> Event {
    Event::Sample(Box::new(Sample {
        family: Some(Family {
            seen: at,
            slots: slots.to_vec(),
            ..Family::default()
        }),
        ..Sample::default()
    }))
}

fn uses(slot: usize, memory: u64) -> SlotUse {
    SlotUse {
        slot,
        memory: Bytes(memory),
        ..SlotUse::default()
    }
}

#[test]
fn who_exceeds_its_memory_is_killed_at_once_and_has_failed() {
    let mut machine = limited(3, &memory(100));
    machine.handle(Event::Tick, SECOND);
    let reading = seen(2 * SECOND, &[uses(0, 100), uses(1, 101)]);
    let actions = machine.handle(reading, 2 * SECOND);
    let reason = hit(Exceeded::Memory {
        limit: Bytes(100),
        used: Bytes(101),
    });
    assert_eq!(ends(&actions), [(1, reason.clone(), Duration::ZERO)]);
    // It is not killed again for the same.
    let again = seen(2 * SECOND, &[uses(1, 200)]);
    assert_eq!(ends(&machine.handle(again, 2 * SECOND)), []);
    let EndReason::Limit(hit) = reason else {
        panic!("another reason")
    };
    let outcome = TestOutcome::Failed(Failure::Limit(hit));
    let ended = Event::Ended {
        slot: 1,
        end: end(Settled::Final(outcome)),
    };
    let actions = machine.handle(ended, 3 * SECOND);
    assert_eq!(started(&actions), [(1, 2)], "the run goes on");
    assert_eq!(recorded_unfinished(&actions), []);
    assert_eq!(machine.counts().failed, 1);
}

#[test]
fn what_was_read_of_the_test_before_is_nothing_to_the_next() {
    let mut machine = limited(3, &memory(100));
    machine.handle(Event::Tick, SECOND);
    let passed = Event::Ended {
        slot: 0,
        end: end(Settled::Final(TestOutcome::Passed)),
    };
    assert_eq!(started(&machine.handle(passed, 3 * SECOND)), [(0, 2)]);
    let late = seen(2 * SECOND, &[uses(0, 5000), uses(1, 5000)]);
    let ended = ends(&machine.handle(late, 3 * SECOND));
    assert_eq!(
        ended.iter().map(|(slot, ..)| *slot).collect::<Vec<_>>(),
        [1]
    );
    let own = seen(3 * SECOND, &[uses(0, 5000)]);
    assert_eq!(ends(&machine.handle(own, 3 * SECOND)).len(), 1);
}

#[test]
fn a_limit_of_time_is_a_deadline_which_a_pause_moves() {
    let limits = Limits {
        time: Some(5 * SECOND),
        ..fast()
    };
    let mut machine = limited(1, &limits);
    machine.handle(Event::Tick, SECOND);
    assert!(machine.next_deadline() <= Some(6 * SECOND));
    machine.handle(Event::Signal(Signal::Suspend), 2 * SECOND);
    machine.handle(Event::Signal(Signal::WentOn), 12 * SECOND);
    let early = Duration::from_millis(15_999);
    assert_eq!(ends(&machine.handle(Event::Tick, early)), []);
    assert_eq!(machine.next_deadline(), Some(16 * SECOND));
    let reason = hit(Exceeded::Time { limit: 5 * SECOND });
    let actions = machine.handle(Event::Tick, 16 * SECOND);
    assert_eq!(ends(&actions), [(0, reason, 10 * SECOND)]);
    assert_eq!(
        machine.next_deadline(),
        None,
        "it is being ended, and recorded"
    );
}

#[test]
fn the_time_of_a_test_in_a_container_begins_when_that_is_ready() {
    let limits = Limits {
        time: Some(5 * SECOND),
        ..fast()
    };
    let mut machine = limited(2, &limits);
    machine.handle(Event::Tick, SECOND);
    machine.handle(Event::Entered { slot: 0 }, 4 * SECOND);
    // Of the other slot's test it began at once.
    let reason = hit(Exceeded::Time { limit: 5 * SECOND });
    let ended = ends(&machine.handle(Event::Tick, 6 * SECOND));
    assert_eq!(ended, [(1, reason.clone(), 10 * SECOND)]);
    let ended = ends(&machine.handle(Event::Tick, 9 * SECOND));
    assert_eq!(ended, [(0, reason, 10 * SECOND)]);
    // Nobody is in a slot that is not there.
    machine.handle(Event::Entered { slot: 7 }, 9 * SECOND);
}

#[test]
fn who_is_being_ended_is_killed_for_what_cant_wait_and_keeps_its_reason() {
    let limits = Limits {
        time: Some(SECOND),
        processes: Some(10),
        cpu_time: Some(SECOND),
        ..fast()
    };
    let mut machine = limited(1, &limits);
    machine.handle(Event::Tick, SECOND);
    let reason = hit(Exceeded::Time { limit: SECOND });
    let ended = ends(&machine.handle(Event::Tick, 2 * SECOND));
    assert_eq!(ended, [(0, reason.clone(), 10 * SECOND)]);
    let burnt = SlotUse {
        cpu: 2 * SECOND,
        ..uses(0, 1)
    };
    let actions = machine.handle(seen(3 * SECOND, &[burnt]), 3 * SECOND);
    assert_eq!(ends(&actions), [], "it has its grace");
    let bomb = SlotUse {
        threads: 11,
        ..burnt
    };
    let actions = machine.handle(seen(3 * SECOND, &[bomb]), 3 * SECOND);
    assert_eq!(ends(&actions), [(0, reason, Duration::ZERO)]);
}

#[test]
fn a_guard_that_stops_makes_no_suspect_of_who_exceeded_a_limit() {
    let mut machine = limited(2, &memory(100));
    machine.handle(Event::Tick, SECOND);
    let reading = seen(2 * SECOND, &[uses(0, 101)]);
    machine.handle(reading, 2 * SECOND);
    let stop = ends(&machine.handle(sample(95, &[(0, 90)]), 3 * SECOND));
    assert!(matches!(stop[0], (0, EndReason::Limit(_), _)), "{stop:?}");
    assert!(stop[1..].iter().all(|(slot, reason, _)| {
        *slot == 1 && *reason == EndReason::Unfinished(Unfinished::Stopped)
    }));
}
