//! Failed tests that are tried again.

use super::tests::SECOND;
use super::tests::end;
use super::tests::failed;
use super::tests::passed;
use super::tests::setup;
use super::tests::started;
use super::tests::unfinished;
use super::*;
use crate::outcome::Failure;
use crate::outcome::TestOutcome;
use crate::process::Settled;
use crate::schedule::Need;

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
fn a_suspect_that_waits_for_places_does_not_join_those_that_are_tried_again() {
    let need = |places| {
        Some(Need {
            places,
            group: None,
        })
    };
    let mut machine = Machine::new(Setup {
        retries: Retries {
            count: 1,
            delay: SECOND,
            ..Retries::NONE
        },
        room: Room::new([1, 1, 2].map(need).into(), &[]),
        ..setup(3, 2, &[2])
    });
    let now = Moment::ZERO;
    assert_eq!(started(&machine.handle(Event::Tick, now)), [(0, 0), (1, 1)]);
    assert_eq!(started(&machine.handle(failed(0), now)), []);
    assert_eq!(started(&machine.handle(failed(1), now)), []);
    let actions = machine.handle(Event::Tick, SECOND);
    assert_eq!(started(&actions), [(0, 0), (1, 1)]);
    assert_eq!(started(&machine.handle(passed(0), SECOND)), []);
    assert_eq!(started(&machine.handle(passed(1), SECOND)), [(0, 2)]);
}

#[test]
fn a_suspect_is_tried_again_though_another_waits_for_its_port() {
    let mut machine = Machine::new(Setup {
        retries: Retries {
            count: 1,
            delay: SECOND,
            ..Retries::NONE
        },
        rights: Rights::new(vec![Some([80].into()); 2], false),
        ..setup(2, 0, &[0, 1])
    });
    let now = Moment::ZERO;
    assert_eq!(started(&machine.handle(Event::Tick, now)), [(0, 0)]);
    assert_eq!(started(&machine.handle(failed(0), now)), []);
    assert_eq!(started(&machine.handle(Event::Tick, SECOND)), [(0, 0)]);
    assert_eq!(started(&machine.handle(passed(0), SECOND)), [(0, 1)]);
    machine.handle(passed(0), SECOND);
    assert!(machine.is_over());
}

#[test]
fn a_failed_test_keeps_its_slot_until_it_is_tried_again_and_fails_once() {
    let mut machine = retrying(2, 3);
    let now = Moment::ZERO;
    assert_eq!(started(&machine.handle(Event::Tick, now)), [(0, 0), (1, 1)]);
    assert_eq!(started(&machine.handle(failed(0), now)), []);
    assert_eq!(machine.counts().failed, 0);
    assert_eq!(started(&machine.handle(passed(1), now)), [(1, 2)]);
    assert_eq!(started(&machine.handle(passed(1), now)), []);
    assert!(!machine.is_over());
    assert_eq!(machine.next_deadline(), Some(now + SECOND));
    let later = now + SECOND;
    let actions = machine.handle(Event::Tick, later);
    assert_eq!(attempts(&actions), [(0, 2, true)]);
    assert_eq!(started(&actions), [(0, 0)]);
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
    assert_eq!((machine.counts().failed, machine.counts().passed), (1, 2));
}

#[test]
fn a_failed_test_keeps_its_place_in_its_group_and_all_that_it_takes() {
    let need = |places, group| Some(Need { places, group });
    let needs = vec![need(2, Some(0)), need(1, Some(0)), need(4, None)];
    let mut machine = retrying(4, 4);
    machine.room = Room::new(needs, &[2]);
    let now = Moment::ZERO;
    // The group is full, and who takes all places lets nobody pass.
    assert_eq!(started(&machine.handle(Event::Tick, now)), [(0, 0)]);
    assert_eq!(started(&machine.handle(failed(0), now)), []);
    assert_eq!(
        machine.outline().wanted,
        2,
        "two of four are kept, and who waits for them wants the rest"
    );
    let again = machine.handle(Event::Tick, now + SECOND);
    assert_eq!(started(&again), [(0, 0)]);
    assert_eq!(started(&machine.handle(passed(0), now + SECOND)), [(0, 2)]);
    let rest = machine.handle(passed(0), now + SECOND);
    assert_eq!(started(&rest), [(0, 1), (1, 3)]);
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

/// A machine with one test, which wants a port and is tried again after a second; it has started and failed.
fn waiting_with_a_port() -> Machine {
    let ports = vec![Some([80].into())];
    let mut machine = retrying(1, 1);
    machine.rights = Rights::new(ports, true);
    drop(machine.handle(Event::Tick, Moment::ZERO));
    let granted = machine.handle(Event::Claimed { test: 0 }, Moment::ZERO);
    assert_eq!(attempts(&granted), [(0, 1, true)]);
    let between = machine.handle(failed(0), Moment::ZERO);
    assert!(
        matches!(between[..], [Action::Show(_)]),
        "its ports stay its own: {between:?}"
    );
    machine
}

fn given_back(actions: &[Action]) -> bool {
    let is = |action: &Action| matches!(action, Action::GiveBack { test: 0 });
    actions.iter().any(is)
}

#[test]
fn the_ports_of_a_test_are_given_back_after_its_last_attempt() {
    let mut machine = waiting_with_a_port();
    let again = machine.handle(Event::Tick, SECOND);
    assert_eq!(attempts(&again), [(0, 2, true)]);
    assert!(given_back(&machine.handle(passed(0), SECOND)));
    assert!(machine.is_over());
}

#[test]
fn the_ports_of_who_waits_are_given_back_when_the_run_is_ended() {
    let mut machine = waiting_with_a_port();
    let interrupt = Event::Signal(Signal::Interrupt(2));
    assert!(given_back(&machine.handle(interrupt, Moment::ZERO)));
    assert!(machine.is_over());
    assert!(!given_back(&machine.handle(Event::Tick, SECOND)), "once");
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
