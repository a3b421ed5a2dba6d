//! Tests that want ports, beside others.

use std::sync::Arc;

use super::tests::SECOND;
use super::tests::end;
use super::tests::sample;
use super::tests::setup;
use super::tests::started;
use super::*;
use crate::outcome::TestOutcome;
use crate::process::Settled;

/// What each test wants, in a run of so many slots.
fn machine(threads: usize, ports: &[&[u16]], shared: bool) -> Machine {
    let mut setup = setup(threads, ports.len(), &[]);
    let wanted = ports
        .iter()
        .map(|&ports| (!ports.is_empty()).then(|| ports.into()));
    setup.rights = Rights::new(wanted.collect(), shared);
    Machine::new(setup)
}

fn passed(slot: usize) -> Event {
    Event::Ended {
        slot,
        end: end(Settled::Final(TestOutcome::Passed)),
    }
}

fn claims(actions: &[Action]) -> Vec<(usize, Arc<[u16]>)> {
    let claims = actions.iter().filter_map(|action| {
        if let Action::Claim { test, ports } = action {
            return Some((*test, Arc::clone(ports)));
        }
        None
    });
    claims.collect()
}

fn given_back(actions: &[Action]) -> Vec<usize> {
    let tests = actions.iter().filter_map(|action| {
        if let Action::GiveBack { test } = action {
            return Some(*test);
        }
        None
    });
    tests.collect()
}

#[test]
fn tests_with_the_same_port_take_turns_and_others_run_beside_them() {
    let mut machine = machine(2, &[&[80], &[80], &[], &[80, 90], &[]], false);
    let actions = machine.handle(sample(10, &[]), SECOND);
    assert_eq!(started(&actions), [(0, 0), (1, 2)]);
    let actions = machine.handle(passed(1), 2 * SECOND);
    assert_eq!(started(&actions), [(1, 4)]);
    let actions = machine.handle(passed(1), 2 * SECOND);
    assert_eq!(started(&actions), []);
    assert_eq!(machine.outline().wanted, 1);
    for test in [1, 3] {
        let actions = machine.handle(passed(0), 3 * SECOND);
        assert_eq!(started(&actions), [(0, test)]);
        assert!(!machine.is_over());
    }
    machine.handle(passed(0), 4 * SECOND);
    assert!(machine.is_over());
    assert_eq!(machine.counts().passed, 5);
}

#[test]
fn who_waits_for_another_run_lets_others_go_first() {
    let mut machine = machine(2, &[&[80], &[], &[], &[]], true);
    let actions = machine.handle(sample(10, &[]), SECOND);
    assert_eq!(claims(&actions), [(0, [80].into())]);
    assert_eq!(started(&actions), [(0, 1)], "a place is kept for the first");
    let taken = Event::PortTaken {
        test: 0,
        port: 80,
        holder: "somebody".to_owned(),
    };
    let actions = machine.handle(taken, SECOND);
    assert_eq!(started(&actions), [(1, 2)]);
    assert_eq!(machine.awaited, [(0, 80, "somebody".to_owned())]);
    assert_eq!(machine.outline().wanted, 2);
    let actions = machine.handle(Event::Claimed { test: 0 }, SECOND);
    assert_eq!(started(&actions), [], "both slots are taken");
    let actions = machine.handle(passed(1), 2 * SECOND);
    assert_eq!(started(&actions), [(1, 0)]);
    assert_eq!(machine.awaited, []);
    let actions = machine.handle(passed(1), 2 * SECOND);
    assert_eq!(given_back(&actions), [0]);
    assert_eq!(started(&actions), [(1, 3)]);
}

#[test]
fn a_run_that_is_ended_waits_for_no_port() {
    let mut machine = machine(2, &[&[80], &[90]], true);
    machine.handle(sample(10, &[]), SECOND);
    machine.handle(Event::Claimed { test: 1 }, SECOND);
    let actions = machine.handle(Event::Signal(Signal::Interrupt(2)), SECOND);
    assert_eq!(given_back(&actions), [0]);
    let late = machine.handle(Event::Claimed { test: 0 }, SECOND);
    assert_eq!(started(&late), []);
    let actions = machine.handle(passed(0), SECOND);
    assert_eq!(given_back(&actions), [1]);
    assert!(machine.is_over());
    assert_eq!(machine.outline().done, 1);
}

#[test]
fn a_suspect_that_wants_a_port_runs_alone_all_the_same() {
    let mut setup = setup(2, 1, &[1, 2]);
    let wanted = [None, Some([80].into()), None];
    setup.rights = Rights::new(wanted.into(), true);
    let mut machine = Machine::new(setup);
    let actions = machine.handle(sample(10, &[]), SECOND);
    assert_eq!(started(&actions), [(0, 0)]);
    let actions = machine.handle(passed(0), SECOND);
    assert_eq!(claims(&actions), [(1, [80].into())]);
    assert_eq!(started(&actions), []);
    let actions = machine.handle(Event::Claimed { test: 1 }, SECOND);
    assert_eq!(started(&actions), [(0, 1)]);
    let actions = machine.handle(passed(0), SECOND);
    assert_eq!(started(&actions), [(0, 2)]);
}
