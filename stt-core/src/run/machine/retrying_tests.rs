//! Failed tests that are tried again.

use super::tests::SECOND;
use super::tests::end;
use super::tests::failed;
use super::tests::passed;
use super::tests::setup;
use super::tests::unfinished;
use super::*;
use crate::outcome::Failure;
use crate::outcome::TestOutcome;
use crate::process::Settled;

/// A machine in which a failed test is tried again twice, after a second and then two.
fn retrying(threads: usize, tests: usize) -> Machine {
    let retries = Retries {
        count: 2,
        delay: SECOND,
        backoff: crate::retry::Backoff::Exponential,
        ..Retries::NONE
    };
    Machine::new(Setup {
        retries,
        max_fail: NonZeroUsize::new(1),
        ..setup(threads, tests, &[])
    })
}

/// The tests that start, each with the number of its attempt and whether there may be another.
fn attempts(actions: &[Action]) -> Vec<(usize, u32, bool)> {
    let starts = actions.iter().filter_map(|action| {
        if let Action::Start { test, attempt, .. } = action {
            return Some((*test, attempt.number, attempt.number < attempt.of));
        }
        None
    });
    starts.collect()
}

#[test]
fn a_failed_test_waits_without_a_slot_and_fails_once() {
    let mut machine = retrying(1, 2);
    let now = Moment::ZERO;
    assert_eq!(attempts(&machine.handle(Event::Tick, now)), [(0, 1, true)]);
    assert_eq!(attempts(&machine.handle(failed(0), now)), [(1, 1, true)]);
    assert_eq!(machine.counts().failed, 0);
    assert_eq!(attempts(&machine.handle(passed(0), now)), []);
    assert!(!machine.is_over());
    assert_eq!(machine.next_deadline(), Some(now + SECOND));
    let later = now + SECOND;
    assert_eq!(
        attempts(&machine.handle(Event::Tick, later)),
        [(0, 2, true)]
    );
    assert_eq!(attempts(&machine.handle(failed(0), later)), []);
    assert_eq!(machine.next_deadline(), Some(later + 2 * SECOND));
    // The time for which the run stands still does not count.
    drop(machine.handle(Event::Signal(Signal::Suspend), later));
    let on = later + 9 * SECOND;
    drop(machine.handle(Event::Signal(Signal::WentOn), on));
    assert_eq!(machine.next_deadline(), Some(on + 2 * SECOND));
    let last = on + 2 * SECOND;
    assert_eq!(
        attempts(&machine.handle(Event::Tick, last)),
        [(0, 3, false)]
    );
    drop(machine.handle(failed(0), last));
    assert!(machine.is_over());
    assert_eq!((machine.counts().failed, machine.counts().passed), (1, 1));
}

#[test]
fn what_was_shed_has_not_failed_and_is_no_attempt() {
    let mut machine = retrying(1, 1);
    drop(machine.handle(Event::Tick, Moment::ZERO));
    let shed = machine.handle(unfinished(0, Unfinished::Shed), Moment::ZERO);
    assert_eq!(attempts(&shed), [(0, 1, true)]);
    drop(machine.handle(failed(0), Moment::ZERO));
    let again = machine.handle(Event::Tick, Moment::ZERO + SECOND);
    assert_eq!(attempts(&again), [(0, 2, true)]);
    drop(machine.handle(passed(0), Moment::ZERO + SECOND));
    assert_eq!((machine.counts().passed, machine.counts().flaky), (1, 1));
}

#[test]
fn what_is_over_a_limit_is_not_tried_again() {
    let mut machine = retrying(1, 1);
    drop(machine.handle(Event::Tick, Moment::ZERO));
    let outcome = TestOutcome::Failed(Failure::OutOfMemory { peak: Bytes(1) });
    let end = end(Settled::Final(outcome));
    drop(machine.handle(Event::Ended { slot: 0, end }, Moment::ZERO));
    assert!(machine.is_over());
    assert_eq!(machine.counts().failed, 1);
}

#[test]
fn a_resumed_run_goes_on_with_the_attempt_that_it_had_reached() {
    let mut machine = Machine::new(Setup {
        retries: Retries {
            count: 2,
            ..Retries::NONE
        },
        tried: BTreeMap::from([(0, 2)]),
        ..setup(1, 1, &[])
    });
    let started = machine.handle(Event::Tick, Moment::ZERO);
    assert_eq!(attempts(&started), [(0, 3, false)]);
}

#[test]
fn who_has_retries_of_its_own_is_tried_again_by_these() {
    let own = Retries {
        count: 1,
        ..Retries::NONE
    };
    let mut machine = Machine::new(Setup {
        own_retries: vec![None, Some(Arc::new(own))],
        ..setup(2, 2, &[])
    });
    let now = Moment::ZERO;
    let started = machine.handle(Event::Tick, now);
    assert_eq!(attempts(&started), [(0, 1, false), (1, 1, true)]);
    assert_eq!(attempts(&machine.handle(failed(0), now)), []);
    assert_eq!(machine.counts().failed, 1);
    assert_eq!(attempts(&machine.handle(failed(1), now)), [(1, 2, false)]);
}

#[test]
fn the_ports_of_a_test_are_asked_for_again() {
    let ports = vec![Some([80].into())];
    let retries = Retries {
        count: 1,
        ..Retries::NONE
    };
    let mut machine = Machine::new(Setup {
        rights: Rights::new(ports, true),
        retries,
        ..setup(1, 1, &[])
    });
    let now = Moment::ZERO;
    let granted = Event::Claimed { test: 0 };
    drop(machine.handle(Event::Tick, now));
    assert_eq!(attempts(&machine.handle(granted, now)), [(0, 1, true)]);
    let between = machine.handle(failed(0), now);
    let of_ports: Vec<_> = between
        .iter()
        .filter(|action| !matches!(action, Action::Show(_)))
        .collect();
    assert!(
        matches!(
            of_ports[..],
            [Action::GiveBack { test: 0 }, Action::Claim { test: 0, .. }]
        ),
        "{between:?}"
    );
    let granted = Event::Claimed { test: 0 };
    assert_eq!(attempts(&machine.handle(granted, now)), [(0, 2, false)]);
}

#[test]
fn a_run_that_is_ended_leaves_the_next_attempt_to_a_later_leg() {
    let mut machine = retrying(1, 1);
    drop(machine.handle(Event::Tick, Moment::ZERO));
    drop(machine.handle(failed(0), Moment::ZERO));
    assert!(!machine.is_over());
    assert_eq!(
        machine.outline().wanted,
        0,
        "until then others may have its place"
    );
    drop(machine.handle(Event::Signal(Signal::Interrupt(2)), SECOND));
    assert!(machine.is_over());
    assert_eq!(machine.counts(), Counts::default());
}

#[test]
fn who_fails_while_the_run_ends_is_told_of_no_next_attempt() {
    let mut machine = retrying(2, 2);
    drop(machine.handle(Event::Tick, Moment::ZERO));
    let delays = |actions: &[Action]| {
        let delays = actions.iter().filter_map(|action| {
            if let Action::Show(Notice::Retried { delay, .. }) = action {
                return Some(*delay);
            }
            None
        });
        delays.collect::<Vec<_>>()
    };
    let actions = machine.handle(failed(0), Moment::ZERO);
    assert_eq!(delays(&actions), [Some(SECOND)]);
    let outcome = TestOutcome::Failed(Failure::OutOfMemory { peak: Bytes(1) });
    let end = end(Settled::Final(outcome));
    drop(machine.handle(Event::Tick, SECOND));
    drop(machine.handle(Event::Ended { slot: 0, end }, SECOND));
    assert_eq!(delays(&machine.handle(failed(1), SECOND)), [None]);
    assert!(machine.is_over() && machine.was_cancelled());
    assert_eq!(machine.counts().failed, 1);
}
