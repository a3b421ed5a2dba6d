//! The machine against a model: slots and tests are only numbers, so thousands of runs cost nothing.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::config::CpuAction;
use crate::config::GuardConfig;
use crate::config::OnBreach;
use crate::container::Kind;
use crate::container::Thing;
use crate::guard::Bound;
use crate::guard::Family;
use crate::guard::Memory;
use crate::guard::Sample;
use crate::guard::SlotUse;
use crate::limits::Resources;
use crate::outcome::Failure;
use crate::outcome::TestOutcome;
use crate::process::Settled;
use crate::report::GuardNotice;
use crate::run::event::Standing;
use crate::run::event::TestEnd;
use crate::schedule::Need;
use crate::units::Percent;
use crate::units::Threshold;

pub(super) const SECOND: Duration = Duration::from_secs(1);

fn guard(on_breach: OnBreach) -> GuardConfig {
    GuardConfig {
        enabled: true,
        memory_threshold: Threshold::Machine(Percent::whole(80)),
        memory_critical: Percent::whole(92),
        process_threshold: Percent::whole(80),
        cpu_threshold: Percent::whole(80),
        cpu_action: CpuAction::Govern,
        cpu_sustain: 30 * SECOND,
        check_interval: SECOND,
        on_breach,
        grace_period: 2 * SECOND,
    }
}

pub(super) fn setup(threads: usize, tests: usize, suspects: &[usize]) -> Setup {
    Setup {
        threads,
        together: (0..tests).collect(),
        suspects: suspects.iter().map(|&test| (test, 1)).collect(),
        counts: Counts::default(),
        limits: Vec::new(),
        rights: Rights::default(),
        failures: 0,
        times: Times {
            slow: 60 * SECOND,
            terminate_after: None,
            grace: 10 * SECOND,
            guard_grace: 2 * SECOND,
            record_started: SECOND,
        },
        max_fail: None,
        policy: Some(Policy::new(&guard(OnBreach::Stop), 2)),
        telling: Telling {
            starts: false,
            progress: None,
            base: ProgressState::default(),
        },
        standing: Standing::default(),
        retries: Retries::NONE,
        own_retries: Vec::new(),
        own_times: Vec::new(),
        room: Room::default(),
        tried: BTreeMap::new(),
        seed: 7,
        scripts: Vec::new(),
        time: None,
    }
}

pub(super) fn end(settled: Settled) -> Box<TestEnd> {
    Box::new(TestEnd {
        settled,
        duration: SECOND,
        resources: Resources::default(),
        output: None,
        leak: None,
    })
}

pub(super) fn passed(slot: usize) -> Event {
    Event::Ended {
        slot,
        end: end(Settled::Final(TestOutcome::Passed)),
    }
}

pub(super) fn failed(slot: usize) -> Event {
    let outcome = TestOutcome::Failed(Failure::Exit(101));
    Event::Ended {
        slot,
        end: end(Settled::Final(outcome)),
    }
}

pub(super) fn unfinished(slot: usize, why: Unfinished) -> Event {
    Event::Ended {
        slot,
        end: end(Settled::Unfinished(why)),
    }
}

/// A machine of 100 GB of which so many percent are used, by the tests in these slots.
pub(super) fn sample(percent: u64, slots: &[(usize, u64)]) -> Event {
    let gigabytes = |count: u64| Bytes(count * 1_000_000_000);
    Event::Sample(Box::new(Sample {
        memory: Some(Memory {
            used: gigabytes(percent),
            total: gigabytes(100),
            bound: Bound::Machine,
        }),
        cpu_busy: Some(Percent::whole(50)),
        cpu_pressure: Some(Percent::whole(0)),
        family: Some(Family {
            memory: gigabytes(slots.iter().map(|&(_, memory)| memory).sum()),
            seen: Moment::MAX,
            slots: slots
                .iter()
                .map(|&(slot, memory)| SlotUse {
                    slot,
                    memory: gigabytes(memory),
                    ..SlotUse::default()
                })
                .collect(),
            ..Family::default()
        }),
        ..Sample::default()
    }))
}

pub(super) fn started(actions: &[Action]) -> Vec<(usize, usize)> {
    let starts = actions.iter().filter_map(|action| match action {
        Action::Start { slot, test, .. } => Some((*slot, *test)),
        Action::End { .. }
        | Action::Script(_)
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
    starts.collect()
}

pub(super) fn ends(actions: &[Action]) -> Vec<(usize, EndReason, Duration)> {
    let ends = actions.iter().filter_map(|action| match action {
        Action::End {
            slot,
            reason,
            grace,
        } => Some((*slot, reason.clone(), *grace)),
        Action::Start { .. }
        | Action::Script(_)
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
    ends.collect()
}

pub(super) fn recorded_unfinished(actions: &[Action]) -> Vec<(usize, Unfinished, Option<u32>)> {
    let records = actions.iter().filter_map(|action| match action {
        Action::RecordUnfinished {
            test,
            why,
            breaches,
            ..
        } => Some((*test, *why, *breaches)),
        Action::Start { .. }
        | Action::End { .. }
        | Action::Script(_)
        | Action::Claim { .. }
        | Action::GiveBack { .. }
        | Action::Pause { .. }
        | Action::EndEverybody
        | Action::LookAway
        | Action::SuspendSelf
        | Action::RecordStarted { .. }
        | Action::Show(_) => None,
    });
    records.collect()
}

#[test]
fn tests_start_in_order_and_the_next_one_when_a_slot_is_free() {
    let mut machine = Machine::new(setup(2, 3, &[]));
    assert_eq!(
        started(&machine.handle(Event::Tick, SECOND)),
        [(0, 0), (1, 1)]
    );
    assert_eq!(started(&machine.handle(passed(1), SECOND)), [(1, 2)]);
    machine.handle(passed(0), SECOND);
    machine.handle(passed(1), SECOND);
    assert!(machine.is_over());
    assert_eq!(machine.outcome(), RunOutcome::Passed);
    assert_eq!(machine.counts().passed, 3);
}

#[test]
fn after_enough_failures_nothing_starts_and_what_runs_may_end() {
    let mut setup = setup(2, 4, &[]);
    setup.max_fail = NonZeroUsize::new(1);
    let mut machine = Machine::new(setup);
    machine.handle(Event::Tick, SECOND);
    let actions = machine.handle(failed(0), SECOND);
    assert_eq!(started(&actions), []);
    assert_eq!(ends(&actions), []);
    assert!(!machine.is_over());
    machine.handle(passed(1), SECOND);
    assert!(machine.is_over() && machine.was_cancelled());
    assert_eq!(machine.outcome(), RunOutcome::Failed);
}

#[test]
fn a_breach_ends_all_and_blames_the_large() {
    let mut machine = Machine::new(setup(3, 5, &[]));
    machine.handle(Event::Tick, SECOND);
    let actions = machine.handle(sample(85, &[(0, 1), (1, 50), (2, 30)]), 2 * SECOND);
    let stopped = EndReason::Unfinished(Unfinished::Stopped);
    assert_eq!(
        ends(&actions)
            .iter()
            .filter(|(_, reason, _)| *reason == stopped)
            .count(),
        3
    );
    let records: Vec<_> = (0..3)
        .flat_map(|slot| {
            let event = unfinished(slot, Unfinished::Stopped);
            recorded_unfinished(&machine.handle(event, 3 * SECOND))
        })
        .collect();
    let stop = Unfinished::Stopped;
    assert_eq!(
        records,
        [(0, stop, None), (1, stop, Some(1)), (2, stop, Some(1))]
    );
    assert!(machine.is_over());
    assert_eq!(machine.outcome(), RunOutcome::Stopped);
    let stopped = machine.stopped().expect("the guard stopped the run");
    assert_eq!(stopped.largest[0], (1, Bytes(50_000_000_000)));
    assert_eq!(stopped.ended, [0, 1, 2]);
}

#[test]
fn a_container_that_holds_most_of_a_tests_memory_is_named_with_it() {
    for (gigabytes, named) in [(26, true), (25, false)] {
        let mut machine = Machine::new(setup(2, 2, &[]));
        machine.handle(Event::Tick, SECOND);
        let mut event = sample(85, &[(0, 1), (1, 50)]);
        let Event::Sample(sample) = &mut event else {
            panic!()
        };
        let container = Thing {
            kind: Kind::Container,
            id: "ab12".to_owned(),
            name: "db".to_owned(),
            image: "pg".to_owned(),
        };
        sample.family.as_mut().expect("it is there").containers = vec![InUse {
            slot: 1,
            container: Arc::new(container),
            memory: Bytes(gigabytes * 1_000_000_000),
            cpu: Duration::ZERO,
        }];
        let actions = machine.handle(event, 2 * SECOND);
        let stopped = machine.stopped().expect("the guard stopped the run");
        let tells = |action: &Action| matches!(action, Action::Show(Notice::Guard(GuardNotice::Stop { reason })) if *reason == stopped.reason);
        assert!(actions.iter().any(tells), "{actions:?}");
        let end = "; container ab12 db (pg) has 24.2 GiB";
        assert_eq!(stopped.reason.ends_with(end), named, "{}", stopped.reason);
    }
}

#[test]
fn nobody_is_blamed_for_memory_that_others_hold() {
    let mut machine = Machine::new(setup(1, 2, &[]));
    machine.handle(Event::Tick, SECOND);
    let actions = machine.handle(sample(95, &[(0, 1)]), 2 * SECOND);
    assert_eq!(
        ends(&actions).len(),
        1,
        "from critical on nothing runs: {actions:?}"
    );
    let actions = machine.handle(unfinished(0, Unfinished::Stopped), 3 * SECOND);
    assert_eq!(
        recorded_unfinished(&actions),
        [(0, Unfinished::Stopped, None)]
    );
    assert_eq!(machine.outcome(), RunOutcome::Stopped);
}

#[test]
fn critical_memory_kills_at_once_also_when_the_grace_goes_on() {
    let mut machine = Machine::new(setup(1, 1, &[]));
    machine.handle(Event::Tick, SECOND);
    let first = ends(&machine.handle(sample(85, &[(0, 60)]), 2 * SECOND));
    assert_eq!(first[0].2, 2 * SECOND);
    let second = ends(&machine.handle(sample(95, &[(0, 70)]), 3 * SECOND));
    assert_eq!(second[0].2, Duration::ZERO);
}

#[test]
fn a_suspect_that_breaches_alone_fails_and_the_run_goes_on() {
    let mut machine = Machine::new(setup(2, 1, &[7, 8]));
    assert_eq!(started(&machine.handle(Event::Tick, SECOND)), [(0, 0)]);
    assert_eq!(started(&machine.handle(passed(0), SECOND)), [(0, 7)]);
    let actions = machine.handle(sample(85, &[(0, 60)]), 2 * SECOND);
    let ended = ends(&actions);
    assert!(
        matches!(ended[..], [(0, EndReason::Breach(_), _)]),
        "{ended:?}"
    );
    let failure = Failure::Breach {
        reason: "memory".to_owned(),
    };
    let event = Event::Ended {
        slot: 0,
        end: end(Settled::Final(TestOutcome::Failed(failure))),
    };
    // Its memory has to be seen free before the next one starts.
    assert_eq!(started(&machine.handle(event, 3 * SECOND)), []);
    assert!(!machine.is_over());
    assert_eq!(
        started(&machine.handle(sample(20, &[]), 4 * SECOND)),
        [(0, 8)]
    );
    machine.handle(passed(0), 10 * SECOND);
    assert!(machine.is_over());
    assert_eq!(machine.outcome(), RunOutcome::Failed);
}

#[test]
fn a_reading_from_before_a_suspect_began_is_not_held_against_it() {
    let mut machine = Machine::new(setup(2, 0, &[7, 8]));
    assert_eq!(started(&machine.handle(Event::Tick, SECOND)), [(0, 7)]);
    machine.handle(passed(0), 10 * SECOND);
    // Read while the first one ran, and heard of when the second one does.
    let taken_at = |taken, event| {
        let Event::Sample(mut sample) = event else {
            unreachable!("`sample` makes samples");
        };
        sample.taken = Some(taken);
        Event::Sample(sample)
    };
    let late = taken_at(9 * SECOND, sample(95, &[(0, 60)]));
    assert_eq!(ends(&machine.handle(late, 11 * SECOND)), []);
    let own = taken_at(11 * SECOND, sample(85, &[(0, 60)]));
    let ended = ends(&machine.handle(own, 11 * SECOND));
    assert!(
        matches!(ended[..], [(0, EndReason::Breach(_), _)]),
        "{ended:?}"
    );
}

#[test]
fn a_suspect_that_takes_long_to_die_does_not_end_the_run() {
    let mut machine = Machine::new(setup(1, 0, &[7, 8]));
    machine.handle(Event::Tick, SECOND);
    assert_eq!(
        ends(&machine.handle(sample(85, &[(0, 60)]), 2 * SECOND)).len(),
        1
    );
    // Killed, and still there half a minute later, for others keep the cores busy.
    for second in 3..33 {
        let actions = machine.handle(sample(85, &[(0, 60)]), second * SECOND);
        assert_eq!(ends(&actions), [], "after {second} s");
    }
    let failure = Failure::Breach {
        reason: "memory".to_owned(),
    };
    let event = Event::Ended {
        slot: 0,
        end: end(Settled::Final(TestOutcome::Failed(failure))),
    };
    machine.handle(event, 33 * SECOND);
    // A reading that is older than this end.
    let actions = machine.handle(sample(85, &[(0, 60)]), 33 * SECOND);
    assert!(actions.is_empty(), "{actions:?}");
    let actions = machine.handle(sample(10, &[]), 34 * SECOND);
    assert_eq!(started(&actions), [(0, 8)]);
    machine.handle(passed(0), 35 * SECOND);
    assert_eq!(machine.outcome(), RunOutcome::Failed);
}

#[test]
fn a_run_whose_memory_nobody_can_read_any_more_goes_on_one_test_at_a_time() {
    let mut setup = setup(2, 6, &[]);
    setup.policy = Some(Policy::new(&guard(OnBreach::Shed), 2));
    let mut machine = Machine::new(setup);
    machine.handle(Event::Tick, SECOND);
    let shed = ends(&machine.handle(sample(85, &[(0, 30), (1, 40)]), 2 * SECOND));
    machine.handle(unfinished(shed[0].0, Unfinished::Shed), 2 * SECOND);
    machine.handle(passed(1 - shed[0].0), 2 * SECOND);
    let mut begun = Vec::new();
    for second in 3..20 {
        let actions = machine.handle(Event::Sample(Box::default()), second * SECOND);
        begun.extend(
            started(&actions)
                .into_iter()
                .map(|(slot, _)| (second, slot)),
        );
    }
    assert_eq!(begun, [(7, 0)], "five seconds after the last reading");
    for second in 20..23 {
        let next = started(&machine.handle(passed(0), second * SECOND));
        assert_eq!(next.len(), 1, "{next:?}");
    }
    // And side by side as soon as there is one again.
    let actions = machine.handle(sample(10, &[]), 23 * SECOND);
    assert_eq!(started(&actions).len(), 0, "a suspect waits for its turn");
    assert_eq!(machine.verdict.allowed, 2);
}

#[test]
fn who_is_blamed_is_told_for_what() {
    let evidence = |event, policy: OnBreach| {
        let mut setup = setup(1, 1, &[]);
        setup.policy = Some(Policy::new(&guard(policy), 2));
        let mut machine = Machine::new(setup);
        machine.handle(Event::Tick, SECOND);
        let actions = machine.handle(event, 2 * SECOND);
        let (slot, reason, _) = ends(&actions).remove(0);
        let EndReason::Unfinished(why) = reason else {
            panic!("{reason:?}")
        };
        let actions = machine.handle(unfinished(slot, why), 3 * SECOND);
        actions.into_iter().find_map(|action| match action {
            Action::RecordUnfinished { evidence, .. } => evidence,
            Action::Start { .. }
            | Action::End { .. }
            | Action::Script(_)
            | Action::Claim { .. }
            | Action::GiveBack { .. }
            | Action::Pause { .. }
            | Action::EndEverybody
            | Action::LookAway
            | Action::SuspendSelf
            | Action::RecordStarted { .. }
            | Action::Show(_) => None,
        })
    };
    for policy in [OnBreach::Stop, OnBreach::Shed] {
        assert_eq!(
            evidence(sample(85, &[(0, 60)]), policy).as_deref(),
            Some(
                "memory at 85 % of the machine (79.1 GiB of 93.1 GiB), threshold 80 %, it used 55.8 GiB"
            )
        );
    }
}

#[test]
fn failures_that_are_known_before_the_first_test_count_towards_the_limit() {
    let mut setup = setup(2, 4, &[]);
    setup.failures = 1;
    setup.counts.failed = 1;
    setup.max_fail = NonZeroUsize::new(1);
    let mut machine = Machine::new(setup);
    assert_eq!(started(&machine.handle(Event::Tick, SECOND)), []);
    assert!(machine.is_over() && machine.was_cancelled());
    assert_eq!(machine.outcome(), RunOutcome::Failed);
}

#[test]
fn a_shed_test_runs_again_at_the_end_of_the_same_run() {
    let mut setup = setup(2, 3, &[]);
    setup.policy = Some(Policy::new(&guard(OnBreach::Shed), 2));
    let mut machine = Machine::new(setup);
    machine.handle(Event::Tick, SECOND);
    let actions = machine.handle(sample(85, &[(0, 30), (1, 40)]), 2 * SECOND);
    let shed = ends(&actions);
    assert_eq!(shed.len(), 1, "{shed:?}");
    let slot = shed[0].0;
    let actions = machine.handle(unfinished(slot, Unfinished::Shed), 2 * SECOND);
    let records = recorded_unfinished(&actions);
    assert_eq!(records, [(slot, Unfinished::Shed, Some(1))]);
    machine.handle(sample(40, &[(1 - slot, 10)]), 3 * SECOND);
    machine.handle(passed(1 - slot), 4 * SECOND);
    machine.handle(sample(20, &[]), 5 * SECOND);
    let mut at = 6 * SECOND;
    while !machine.is_over() {
        let running: Vec<usize> = machine.slots.iter().map(|(slot, _)| slot).collect();
        assert!(!running.is_empty(), "the run stands still");
        machine.handle(passed(running[0]), at);
        at += SECOND;
    }
    assert_eq!(machine.counts().passed, 3);
}

#[test]
fn an_interrupt_ends_with_grace_and_the_second_at_once() {
    let mut machine = Machine::new(setup(1, 2, &[]));
    machine.handle(Event::Tick, SECOND);
    let first = machine.handle(Event::Signal(Signal::Interrupt(2)), SECOND);
    let why = EndReason::Unfinished(Unfinished::Interrupted);
    assert_eq!(ends(&first), [(0, why.clone(), 10 * SECOND)]);
    assert!(!machine.is_in_haste());
    let second = machine.handle(Event::Signal(Signal::Interrupt(15)), SECOND);
    assert_eq!(ends(&second), [(0, why, Duration::ZERO)]);
    assert!(machine.is_in_haste());
    machine.handle(unfinished(0, Unfinished::Interrupted), SECOND);
    assert!(machine.is_over());
    assert_eq!(machine.outcome(), RunOutcome::Interrupted(2));
}

#[test]
fn the_death_of_the_supervisor_leaves_no_grace() {
    let mut machine = Machine::new(setup(1, 2, &[]));
    machine.handle(Event::Tick, SECOND);
    let actions = machine.handle(Event::Signal(Signal::Abandoned), SECOND);
    let why = EndReason::Unfinished(Unfinished::Interrupted);
    assert_eq!(ends(&actions), [(0, why, Duration::ZERO)]);
    assert!(machine.is_in_haste());
    assert!(
        matches!(actions.last(), Some(Action::Show(Notice::Warning(_)))),
        "nothing waits for what is told: {actions:?}"
    );
    machine.handle(unfinished(0, Unfinished::Interrupted), SECOND);
    assert!(machine.is_over());
    assert_eq!(machine.outcome(), RunOutcome::Interrupted(15));
}

#[test]
fn a_suspended_run_is_no_late_guard() {
    let late = |seconds: u32| {
        let Event::Sample(mut sample) = sample(10, &[]) else {
            unreachable!("`sample` makes samples");
        };
        sample.late = SECOND * seconds;
        Event::Sample(sample)
    };
    let warns = |actions: &[Action]| {
        let warning = |action: &Action| matches!(action, Action::Show(Notice::Warning(_)));
        actions.iter().any(warning)
    };
    let mut machine = Machine::new(setup(1, 1, &[]));
    machine.handle(Event::Tick, SECOND);
    machine.handle(Event::Signal(Signal::Suspend), 10 * SECOND);
    // The sampler may wake up before the signal is taken.
    assert!(!warns(&machine.handle(late(490), 500 * SECOND)));
    machine.handle(Event::Signal(Signal::WentOn), 500 * SECOND);
    assert!(!warns(&machine.handle(late(490), 500 * SECOND)));
    assert!(warns(&machine.handle(late(2), 510 * SECOND)));
}

#[test]
fn a_suspended_run_loses_no_time() {
    let mut setup = setup(1, 1, &[]);
    setup.times.terminate_after = NonZeroUsize::new(1);
    let mut machine = Machine::new(setup);
    machine.handle(Event::Tick, SECOND);
    let actions = machine.handle(Event::Signal(Signal::Suspend), 10 * SECOND);
    let order = actions
        .iter()
        .map(std::mem::discriminant)
        .collect::<Vec<_>>();
    let wanted = [
        Action::Pause {
            slot: 0,
            go_on: false,
        },
        Action::SuspendSelf,
    ];
    assert_eq!(
        order,
        wanted
            .iter()
            .map(std::mem::discriminant)
            .collect::<Vec<_>>()
    );
    assert_eq!(machine.next_deadline(), None);
    let actions = machine.handle(Event::Signal(Signal::WentOn), 1000 * SECOND);
    assert_eq!(ends(&actions), []);
    assert_eq!(ends(&machine.handle(Event::Tick, 1050 * SECOND)), []);
    let ended = ends(&machine.handle(Event::Tick, 1051 * SECOND));
    assert!(matches!(ended[..], [(0, EndReason::Timeout(limit), _)] if limit == 60 * SECOND));
}

#[test]
fn a_test_with_times_of_its_own_is_held_to_these() {
    let mut setup = setup(2, 2, &[]);
    setup.times.terminate_after = NonZeroUsize::new(1);
    let own = TestTimes {
        slow_timeout: Some(5 * SECOND),
        grace_period: Some(SECOND),
        ..TestTimes::default()
    };
    setup.own_times = vec![None, Some(own)];
    let mut machine = Machine::new(setup);
    machine.handle(Event::Tick, Duration::ZERO);
    let ended = ends(&machine.handle(Event::Tick, 5 * SECOND));
    assert!(
        matches!(ended[..], [(1, EndReason::Timeout(limit), grace)] if (limit, grace) == (5 * SECOND, SECOND)),
        "{ended:?}"
    );
    assert_eq!(ends(&machine.handle(Event::Tick, 59 * SECOND)), []);
    let ended = ends(&machine.handle(Event::Tick, 60 * SECOND));
    assert!(matches!(ended[..], [(0, EndReason::Timeout(limit), _)] if limit == 60 * SECOND));
}

#[test]
fn what_was_received_before_a_stop_neither_ends_nor_repeats_it() {
    let mut machine = Machine::new(setup(1, 1, &[]));
    machine.handle(Event::Tick, SECOND);
    let stops = machine.handle(Event::Signal(Signal::Suspend), 2 * SECOND);
    assert!(matches!(stops.last(), Some(Action::SuspendSelf)));
    // They were on their way when the process stood still.
    for stale in [Signal::Continue, Signal::Suspend] {
        let actions = machine.handle(Event::Signal(stale), 3 * SECOND);
        assert!(actions.is_empty(), "{stale:?}: {actions:?}");
    }
    let actions = machine.handle(Event::Signal(Signal::WentOn), 4 * SECOND);
    assert!(matches!(
        actions.first(),
        Some(Action::Pause { go_on: true, .. })
    ));
    let stops = machine.handle(Event::Signal(Signal::Suspend), 5 * SECOND);
    assert!(matches!(stops.last(), Some(Action::SuspendSelf)));
}

#[test]
fn a_start_that_is_to_be_recorded_at_once_is_recorded_by_who_starts_it() {
    for (record_started, at_once) in [(Duration::ZERO, true), (SECOND, false)] {
        let mut setup = setup(1, 1, &[]);
        setup.times.record_started = record_started;
        let actions = Machine::new(setup).handle(Event::Tick, Duration::ZERO);
        assert!(
            matches!(actions[..], [Action::Start { record, .. }] if record == at_once),
            "{actions:?}"
        );
    }
}

#[test]
fn a_long_test_is_recorded_then_called_slow_each_time() {
    let mut machine = Machine::new(setup(1, 1, &[]));
    machine.handle(Event::Tick, Duration::ZERO);
    assert_eq!(machine.next_deadline(), Some(SECOND));
    let actions = machine.handle(Event::Tick, SECOND);
    assert!(matches!(actions[..], [Action::RecordStarted { test: 0 }]));
    for due in [60 * SECOND, 120 * SECOND] {
        assert_eq!(machine.next_deadline(), Some(due));
        let actions = machine.handle(Event::Tick, due);
        assert!(
            matches!(
                actions[..],
                [Action::Show(Notice::Slow { ending: false, .. })]
            ),
            "{actions:?}"
        );
    }
    machine.handle(passed(0), 130 * SECOND);
    assert_eq!(machine.counts().slow, 1);
}

/// One step of a random run.
#[derive(Clone, Debug)]
enum Step {
    End { pick: usize, passes: bool },
    Sample { percent: u64, memory: u64 },
    Blind,
    Wait(u64),
    Interrupt,
    Suspend,
    Continue,
    WentOn,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<usize>(), any::<bool>()).prop_map(|(pick, passes)| Step::End { pick, passes }),
        4 => (0..100_u64, 0..60_u64)
            .prop_map(|(percent, memory)| Step::Sample { percent, memory }),
        1 => Just(Step::Blind),
        4 => (0..5_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Interrupt),
        1 => Just(Step::Suspend),
        1 => Just(Step::Continue),
        1 => Just(Step::WentOn),
    ]
}

/// What must hold whatever happens, checked from outside by following the actions.
#[derive(Default)]
struct Model {
    /// The test in each slot, and the order to end it, if there was one.
    running: BTreeMap<usize, (usize, Option<EndReason>, Duration)>,
    /// The tests that have a result.
    done: BTreeSet<usize>,
    /// The tests that must be alone.
    alone: BTreeSet<usize>,
    /// How often tests have failed that are tried again.
    failed: BTreeMap<usize, u32>,
    /// The last attempt of each test.
    attempts: BTreeMap<usize, Attempt>,
    /// The tests that come back to a slot.
    kept: BTreeMap<usize, usize>,
}

impl Model {
    fn follow(&mut self, actions: &[Action], threads: usize) {
        for (slot, test) in started(actions) {
            assert!(!self.done.contains(&test), "a finished test starts again");
            let beside = self.running.insert(slot, (test, None, Duration::MAX));
            assert!(beside.is_none(), "a slot is taken twice");
            let kept = self.kept.remove(&slot);
            assert!(
                kept.is_none_or(|kept| kept == test),
                "a slot that was kept is given to another test"
            );
            let elsewhere = self.kept.values().any(|kept| *kept == test);
            assert!(!elsewhere, "a test comes back to another slot");
            let lonely = self
                .running
                .values()
                .any(|(test, ..)| self.alone.contains(test));
            assert!(!lonely || self.running.len() == 1, "a suspect has company");
        }
        assert!(self.running.len() <= threads);
        for action in actions {
            if let Action::Start { test, attempt, .. } = action {
                let failed = self.failed.get(test).copied().unwrap_or(0);
                assert_eq!(
                    attempt.number,
                    failed + 1,
                    "an attempt is left out or repeated"
                );
                assert!(attempt.number <= attempt.of, "one attempt too many");
                self.attempts.insert(*test, *attempt);
            }
        }
        for (slot, reason, grace) in ends(actions) {
            let (_, known, longest) = self.running.get_mut(&slot).expect("somebody is ended");
            assert!(
                known.as_ref().is_none_or(|known| *known == reason),
                "a reason changes"
            );
            *known = Some(reason);
            *longest = grace.min(*longest);
        }
        for (test, why, _) in recorded_unfinished(actions) {
            if why == Unfinished::Shed {
                self.alone.insert(test);
            }
        }
    }

    /// The end of the test in one of the slots, as its process would have it.
    fn end(&mut self, pick: usize, passes: bool) -> Option<Event> {
        let slot = *self.running.keys().nth(pick % self.running.len().max(1))?;
        let (test, reason, _) = self.running.remove(&slot)?;
        let settled = match reason {
            Some(EndReason::Unfinished(why)) => Settled::Unfinished(why),
            Some(EndReason::Limit(hit)) => Settled::Final(TestOutcome::Failed(Failure::Limit(hit))),
            Some(EndReason::Timeout(after)) => {
                Settled::Final(TestOutcome::Failed(Failure::Timeout { after }))
            }
            Some(EndReason::Breach(reason)) => {
                Settled::Final(TestOutcome::Failed(Failure::Breach { reason }))
            }
            None if passes => Settled::Final(TestOutcome::Passed),
            None => Settled::Final(TestOutcome::Failed(Failure::Exit(1))),
        };
        if let Settled::Final(outcome) = &settled {
            if self.attempts[&test].is_followed(outcome) {
                *self.failed.entry(test).or_default() += 1;
                self.kept.insert(slot, test);
            } else {
                assert!(self.done.insert(test), "a test finishes twice");
            }
        }
        Some(Event::Ended {
            slot,
            end: end(settled),
        })
    }
}

/// What so many tests need: some take two places, some are in a group of one, and some want the same port.
fn tightness(tests: usize) -> (Room, Rights) {
    let need = |test: usize| Need {
        places: 1 + usize::from(test.is_multiple_of(5)),
        group: test.is_multiple_of(3).then_some(0),
    };
    let needs = (0..tests).map(|test| Some(need(test)));
    let ports = (0..tests).map(|test| test.is_multiple_of(4).then(|| [80].into()));
    (
        Room::new(needs.collect(), &[1]),
        Rights::new(ports.collect(), false),
    )
}

proptest! {
    #[test]
    fn whatever_happens_the_run_ends_and_no_finished_test_starts_again(
        threads in 1..5_usize,
        tests in 0..30_usize,
        suspects in 0..3_usize,
        shed in any::<bool>(),
        max_fail in 0..4_usize,
        retries in 0..3_u32,
        limit in prop::option::of(1..40_u64),
        tight in any::<bool>(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let blamed: Vec<usize> = (tests..tests + suspects).collect();
        let mut setup = setup(threads, tests, &blamed);
        let on_breach = if shed { OnBreach::Shed } else { OnBreach::Stop };
        setup.policy = Some(Policy::new(&guard(on_breach), 2));
        setup.max_fail = NonZeroUsize::new(max_fail);
        setup.retries = Retries { count: retries, delay: SECOND, ..Retries::NONE };
        let limits = Limits {
            memory: limit.map(|limit| Bytes(limit * 1_000_000_000)),
            time: limit.map(Duration::from_secs),
            ..Limits::default()
        };
        // Every other test has limits.
        setup.limits = (0..tests + suspects)
            .map(|test| (test % 2 == 0).then(|| Arc::new(limits.clone())))
            .collect();
        if tight {
            (setup.room, setup.rights) = tightness(tests + suspects);
        }
        let mut machine = Machine::new(setup);
        let mut model = Model { alone: blamed.into_iter().collect(), ..Model::default() };
        let mut now = Duration::ZERO;
        model.follow(&machine.handle(Event::Tick, now), threads);
        for step in steps {
            now += Duration::from_millis(1);
            let event = match step {
                Step::End { pick, passes } => model.end(pick, passes),
                Step::Sample { percent, memory } => {
                    let uses: Vec<_> = model.running.keys().map(|&slot| (slot, memory)).collect();
                    Some(sample(percent, &uses))
                }
                Step::Blind => Some(Event::Sample(Box::default())),
                Step::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    Some(Event::Tick)
                }
                Step::Interrupt => Some(Event::Signal(Signal::Interrupt(2))),
                Step::Suspend => Some(Event::Signal(Signal::Suspend)),
                Step::Continue => Some(Event::Signal(Signal::Continue)),
                Step::WentOn => Some(Event::Signal(Signal::WentOn)),
            };
            if let Some(event) = event {
                model.follow(&machine.handle(event, now), threads);
            }
        }
        // From here on every process exits and the machine is calm: the run must come to its end.
        model.follow(&machine.handle(Event::Signal(Signal::WentOn), now), threads);
        for _ in 0..1000 {
            if machine.is_over() {
                break;
            }
            now += SECOND;
            model.follow(&machine.handle(sample(10, &[]), now), threads);
            if let Some(event) = model.end(0, true) {
                model.follow(&machine.handle(event, now), threads);
            }
        }
        prop_assert!(machine.is_over());
        prop_assert!(model.running.is_empty());
        let counts = machine.counts();
        prop_assert_eq!(counts.passed + counts.failed, model.done.len());
        if machine.outcome() == RunOutcome::Passed {
            prop_assert_eq!(model.done.len(), tests + suspects);
        }
    }
}
