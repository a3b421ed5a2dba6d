//! Scripts around the tests.

use super::tests::SECOND;
use super::tests::ends;
use super::tests::failed as failed_test;
use super::tests::passed;
use super::tests::recorded_unfinished;
use super::tests::sample;
use super::tests::setup;
use super::tests::started;
use super::tests::unfinished;
use super::*;
use crate::outcome::Failure;
use crate::outcome::ScriptOutcome;
use crate::run::event::ScriptAction;
use crate::run::event::ScriptEnd;
use crate::run::event::ScriptNotice;
use crate::script::ScriptKind;

const SETUP: ScriptKind = ScriptKind::Setup;
const TEARDOWN: ScriptKind = ScriptKind::Teardown;

/// One place for so many tests, and these scripts.
fn with(tests: usize, scripts: &[ScriptKind], change: impl FnOnce(&mut Setup)) -> Machine {
    let mut setup = setup(1, tests, &[]);
    let times = setup.times;
    let script = |&kind: &ScriptKind| ScriptTimes { kind, times };
    setup.scripts = scripts.iter().map(script).collect();
    change(&mut setup);
    Machine::new(setup)
}

fn machine(tests: usize, scripts: &[ScriptKind]) -> Machine {
    with(tests, scripts, |_| {})
}

fn ended(script: usize, outcome: ScriptOutcome) -> Event {
    Event::ScriptEnded {
        script,
        end: Box::new(ScriptEnd {
            outcome,
            duration: SECOND,
            output: None,
            variables: Vec::new(),
            output_open: false,
        }),
    }
}

fn passes(script: usize) -> Event {
    ended(script, ScriptOutcome::Passed)
}

fn fails(script: usize) -> Event {
    ended(script, ScriptOutcome::Failed(Failure::Exit(1)))
}

/// The script that starts, or how the one that runs is ended.
#[derive(Debug, PartialEq, Eq)]
enum Does {
    Start(usize),
    End(EndReason, Duration),
    Pause(bool),
}

fn does(actions: &[Action]) -> Vec<Does> {
    let does = actions.iter().filter_map(|action| match action {
        Action::Script(action) => Some(action),
        Action::Start { .. }
        | Action::End { .. }
        | Action::Claim { .. }
        | Action::GiveBack { .. }
        | Action::Pause { .. }
        | Action::EndEverybody
        | Action::LookAway
        | Action::SuspendSelf
        | Action::RecordStarted { .. }
        | Action::RecordUnfinished { .. }
        | Action::Show(_) => None,
    });
    let does = does.map(|action| match action {
        ScriptAction::Start(script) => Does::Start(*script),
        ScriptAction::End { reason, grace } => Does::End(reason.clone(), *grace),
        ScriptAction::Pause { go_on } => Does::Pause(*go_on),
    });
    does.collect()
}

fn warned(actions: &[Action]) -> Vec<&str> {
    let warned = actions.iter().filter_map(|action| {
        let Action::Show(Notice::Warning(warning)) = action else {
            return None;
        };
        Some(&*warning.message)
    });
    warned.collect()
}

fn interrupt() -> Event {
    Event::Signal(Signal::Interrupt(2))
}

fn end_by(why: Unfinished, grace: Duration) -> Does {
    Does::End(EndReason::Unfinished(why), grace)
}

#[test]
fn setup_comes_first_and_teardown_last_each_in_its_order() {
    let mut machine = machine(2, &[SETUP, SETUP, TEARDOWN, TEARDOWN]);
    let actions = machine.handle(Event::Tick, SECOND);
    assert_eq!(
        (does(&actions), started(&actions)),
        (vec![Does::Start(0)], vec![])
    );
    assert_eq!(machine.outline().running, 1);
    assert_eq!(does(&machine.handle(Event::Tick, SECOND)), []);
    assert_eq!(does(&machine.handle(passes(0), SECOND)), [Does::Start(1)]);
    assert_eq!(started(&machine.handle(passes(1), SECOND)), [(0, 0)]);
    assert_eq!(started(&machine.handle(passed(0), SECOND)), [(0, 1)]);
    let actions = machine.handle(passed(0), SECOND);
    assert_eq!(does(&actions), [Does::Start(2)]);
    assert!(!machine.is_over());
    assert_eq!(does(&machine.handle(passes(2), SECOND)), [Does::Start(3)]);
    assert!(!machine.is_over());
    assert_eq!(does(&machine.handle(passes(3), SECOND)), []);
    assert!(machine.is_over());
    assert_eq!(machine.outcome(), RunOutcome::Passed);
}

#[test]
fn no_test_runs_after_a_setup_script_that_failed_but_the_teardown_does() {
    for end in [fails(0), ended(0, ScriptOutcome::Variables("x".to_owned()))] {
        let mut machine = machine(1, &[SETUP, SETUP, TEARDOWN]);
        machine.handle(Event::Tick, SECOND);
        let actions = machine.handle(end, SECOND);
        assert_eq!(
            (does(&actions), started(&actions)),
            (vec![Does::Start(2)], vec![])
        );
        assert!(!machine.is_over());
        machine.handle(passes(2), SECOND);
        assert!(machine.is_over());
        assert_eq!(machine.outcome(), RunOutcome::ScriptFailed);
    }
}

#[test]
fn a_teardown_script_that_fails_is_weaker_than_a_test_that_does() {
    for (event, outcome) in [
        (passed(0), RunOutcome::ScriptFailed),
        (failed_test(0), RunOutcome::Failed),
    ] {
        let mut machine = with(2, &[TEARDOWN, TEARDOWN], |setup| {
            setup.max_fail = NonZeroUsize::new(1);
        });
        assert_eq!(started(&machine.handle(Event::Tick, SECOND)), [(0, 0)]);
        let mut actions = machine.handle(event, SECOND);
        if outcome == RunOutcome::ScriptFailed {
            actions = machine.handle(passed(0), SECOND);
        }
        assert_eq!(does(&actions), [Does::Start(0)]);
        let next = does(&machine.handle(fails(0), SECOND));
        assert_eq!(next, [Does::Start(1)], "each has its own work");
        machine.handle(passes(1), SECOND);
        assert!(machine.is_over());
        assert_eq!(machine.outcome(), outcome);
    }
}

#[test]
fn a_script_that_takes_too_long_is_ended_when_it_says_so() {
    let mut machine = with(1, &[SETUP], |setup| {
        setup.scripts[0].times.slow = 5 * SECOND;
        setup.scripts[0].times.terminate_after = NonZeroUsize::new(2);
    });
    machine.handle(Event::Tick, SECOND);
    assert_eq!(machine.next_deadline(), Some(6 * SECOND));
    let actions = machine.handle(Event::Tick, 6 * SECOND);
    let slow = |action: &Action| {
        let Action::Show(Notice::Script(0, notice)) = action else {
            return false;
        };
        matches!(notice, ScriptNotice::Slow { ending: false, .. })
    };
    assert!(actions.iter().any(slow), "{actions:?}");
    assert_eq!(machine.next_deadline(), Some(11 * SECOND));
    let timeout = EndReason::Timeout(10 * SECOND);
    let expected = Does::End(timeout, 10 * SECOND);
    assert_eq!(does(&machine.handle(Event::Tick, 11 * SECOND)), [expected]);
    assert_eq!(machine.next_deadline(), None, "the slot sees to the grace");
    assert_eq!(does(&machine.handle(Event::Tick, 99 * SECOND)), []);
}

#[test]
fn an_interrupt_ends_setup_and_gives_teardown_the_grace_once() {
    let mut machine = machine(1, &[SETUP, TEARDOWN, TEARDOWN, TEARDOWN]);
    machine.handle(Event::Tick, SECOND);
    let interrupted = Unfinished::Interrupted;
    let actions = machine.handle(interrupt(), 2 * SECOND);
    assert_eq!(does(&actions), [end_by(interrupted, 10 * SECOND)]);
    let next = machine.handle(ended(0, ScriptOutcome::Ended(interrupted)), 5 * SECOND);
    assert_eq!(does(&next), [Does::Start(1)]);
    assert_eq!(machine.next_deadline(), Some(15 * SECOND));
    assert_eq!(
        does(&machine.handle(passes(1), 9 * SECOND)),
        [Does::Start(2)]
    );
    let late = does(&machine.handle(Event::Tick, 15 * SECOND));
    let timeout = EndReason::Timeout(10 * SECOND);
    assert_eq!(late, [Does::End(timeout, Duration::ZERO)]);
    let actions = machine.handle(fails(2), 15 * SECOND);
    assert_eq!(does(&actions), []);
    assert_eq!(
        warned(&actions),
        ["1 teardown script was not run: the grace period was over"]
    );
    assert!(machine.is_over());
    assert_eq!(machine.outcome(), RunOutcome::Interrupted(2));
}

#[test]
fn a_second_interrupt_and_a_dead_supervisor_leave_nothing_to_be_done() {
    for hurry in [interrupt(), Event::Signal(Signal::Abandoned)] {
        let mut machine = machine(1, &[TEARDOWN, TEARDOWN]);
        machine.handle(Event::Tick, SECOND);
        machine.handle(interrupt(), SECOND);
        let gone = unfinished(0, Unfinished::Interrupted);
        assert_eq!(does(&machine.handle(gone, SECOND)), [Does::Start(0)]);
        let actions = machine.handle(hurry, SECOND);
        let now = end_by(Unfinished::Interrupted, Duration::ZERO);
        assert_eq!(does(&actions), [now]);
        let words = "1 teardown script was not run: the run had to end at once";
        assert!(warned(&actions).contains(&words), "{actions:?}");
        let ended = ended(0, ScriptOutcome::Ended(Unfinished::Interrupted));
        machine.handle(ended, SECOND);
        assert!(machine.is_over());
    }
}

#[test]
fn an_interrupt_during_the_teardown_lets_it_end() {
    let mut machine = machine(1, &[TEARDOWN]);
    machine.handle(Event::Tick, SECOND);
    machine.handle(passed(0), 2 * SECOND);
    assert_eq!(does(&machine.handle(interrupt(), 3 * SECOND)), []);
    assert_eq!(machine.next_deadline(), Some(13 * SECOND));
    machine.handle(passes(0), 4 * SECOND);
    assert!(machine.is_over());
    assert_eq!(machine.outcome(), RunOutcome::Interrupted(2));
}

#[test]
fn nothing_is_torn_down_where_nothing_has_begun() {
    let mut machine = with(1, &[SETUP, TEARDOWN], |setup| {
        setup.standing.may = 0;
    });
    assert_eq!(does(&machine.handle(Event::Tick, SECOND)), []);
    assert!(!machine.is_over());
    assert_eq!(does(&machine.handle(interrupt(), SECOND)), []);
    assert!(machine.is_over());
}

#[test]
fn a_stop_of_the_guard_ends_a_script_and_is_followed_by_the_teardown() {
    let mut machine = machine(1, &[SETUP, TEARDOWN]);
    machine.handle(Event::Tick, SECOND);
    let actions = machine.handle(sample(95, &[]), 2 * SECOND);
    assert_eq!(
        does(&actions),
        [end_by(Unfinished::Stopped, Duration::ZERO)]
    );
    let end = ended(0, ScriptOutcome::Ended(Unfinished::Stopped));
    assert_eq!(does(&machine.handle(end, 3 * SECOND)), [Does::Start(1)]);
    // What the dying have not given back yet is no reason to end the teardown.
    let actions = machine.handle(sample(95, &[]), 4 * SECOND);
    assert_eq!((does(&actions), ends(&actions)), (vec![], vec![]));
    machine.handle(passes(1), 5 * SECOND);
    assert!(machine.is_over());
    assert_eq!(machine.outcome(), RunOutcome::Stopped);
}

#[test]
fn a_run_whose_time_is_over_is_stopped_and_torn_down_and_nobody_is_blamed() {
    let mut machine = with(2, &[TEARDOWN], |setup| setup.time = Some(20 * SECOND));
    machine.handle(Event::Tick, SECOND);
    machine.handle(Event::Signal(Signal::Suspend), 2 * SECOND);
    machine.handle(Event::Signal(Signal::WentOn), 7 * SECOND);
    assert_eq!(machine.next_deadline(), Some(26 * SECOND));
    let actions = machine.handle(Event::Tick, 26 * SECOND);
    let stopped = EndReason::Unfinished(Unfinished::Stopped);
    assert_eq!(ends(&actions), [(0, stopped, 10 * SECOND)]);
    let actions = machine.handle(unfinished(0, Unfinished::Stopped), 27 * SECOND);
    assert_eq!(
        recorded_unfinished(&actions),
        [(0, Unfinished::Stopped, None)]
    );
    assert_eq!(does(&actions), [Does::Start(0)]);
    machine.handle(passes(0), 28 * SECOND);
    assert!(machine.is_over());
    assert_eq!(machine.outcome(), RunOutcome::Stopped);
    assert_eq!(
        machine.stopped().unwrap().reason,
        "the run took longer than 20 s"
    );
}

#[test]
fn the_time_of_a_run_ends_with_its_last_test() {
    let mut machine = with(1, &[TEARDOWN], |setup| setup.time = Some(20 * SECOND));
    machine.handle(Event::Tick, SECOND);
    machine.handle(passed(0), 2 * SECOND);
    assert_eq!(does(&machine.handle(Event::Tick, 30 * SECOND)), []);
    machine.handle(passes(0), 31 * SECOND);
    assert_eq!(machine.outcome(), RunOutcome::Passed);
}

#[test]
fn a_script_stands_still_with_the_run_and_loses_no_time() {
    let mut machine = machine(1, &[SETUP]);
    machine.handle(Event::Tick, SECOND);
    let actions = machine.handle(Event::Signal(Signal::Suspend), 2 * SECOND);
    assert_eq!(does(&actions), [Does::Pause(false)]);
    let actions = machine.handle(Event::Signal(Signal::WentOn), 102 * SECOND);
    assert_eq!(does(&actions), [Does::Pause(true)]);
    assert_eq!(machine.next_deadline(), Some(161 * SECOND));
}
