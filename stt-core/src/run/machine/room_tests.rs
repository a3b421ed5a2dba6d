//! Tests that need more than one place, or share a group with others.

use super::tests::SECOND;
use super::tests::passed;
use super::tests::sample;
use super::tests::setup;
use super::tests::started;
use super::tests::unfinished;
use super::*;
use crate::schedule::Need;

/// What each test needs: places, and whether it is in the group, whose tests may take so many places together.
fn machine(threads: usize, most: usize, needs: &[(usize, bool)]) -> Machine {
    let mut setup = setup(threads, needs.len(), &[]);
    let need = |&(places, grouped): &(usize, bool)| {
        let group = grouped.then_some(0);
        Some(Need { places, group })
    };
    setup.room = Room::new(needs.iter().map(need).collect(), &[most]);
    Machine::new(setup)
}

#[test]
fn tests_of_a_full_group_let_others_go_first_and_ask_for_no_share() {
    let mut machine = machine(3, 1, &[(1, true), (1, true), (1, true), (1, false)]);
    let actions = machine.handle(sample(10, &[]), SECOND);
    assert_eq!(started(&actions), [(0, 0), (1, 3)]);
    assert_eq!(machine.outline().wanted, 2);
    assert_eq!(started(&machine.handle(passed(1), SECOND)), []);
    assert!(!machine.is_over());
    for test in [1, 2] {
        assert_eq!(started(&machine.handle(passed(0), SECOND)), [(0, test)]);
    }
    machine.handle(passed(0), SECOND);
    assert!(machine.is_over());
}

#[test]
fn who_needs_more_places_than_are_free_is_passed_by_nobody() {
    let mut machine = machine(3, 1, &[(1, false), (3, false), (1, false)]);
    let actions = machine.handle(sample(10, &[]), SECOND);
    assert_eq!(started(&actions), [(0, 0)]);
    assert_eq!(machine.outline().wanted, 3, "as many as there are");
    assert_eq!(started(&machine.handle(passed(0), SECOND)), [(0, 1)]);
    assert_eq!(machine.outline().running, 3);
    assert_eq!(started(&machine.handle(passed(0), SECOND)), [(0, 2)]);
    machine.handle(passed(0), SECOND);
    assert!(machine.is_over());
}

#[test]
fn who_needs_more_places_than_there_are_runs_alone() {
    let mut machine = machine(2, 1, &[(9, true), (1, false)]);
    let actions = machine.handle(sample(10, &[]), SECOND);
    assert_eq!(started(&actions), [(0, 0)]);
    assert_eq!(started(&machine.handle(passed(0), SECOND)), [(0, 1)]);
}

#[test]
fn a_test_of_a_group_that_was_shed_leaves_it_to_the_others() {
    let mut machine = machine(2, 1, &[(1, true), (1, true)]);
    machine.handle(sample(10, &[]), SECOND);
    let shed = machine.handle(unfinished(0, Unfinished::Shed), SECOND);
    assert_eq!(started(&shed), [(0, 1)]);
    let actions = machine.handle(passed(0), SECOND);
    assert_eq!(started(&actions), [(0, 0)]);
    machine.handle(passed(0), SECOND);
    assert!(machine.is_over());
}
