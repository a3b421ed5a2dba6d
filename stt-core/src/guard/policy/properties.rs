//! The guard's promises, held against random histories.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::clock::Moment;
use crate::config::CpuAction;
use crate::config::GuardConfig;
use crate::config::OnBreach;
use crate::guard::policy::Act;
use crate::guard::policy::Company;
use crate::guard::policy::Note;
use crate::guard::policy::Policy;
use crate::guard::policy::Situation;
use crate::guard::policy::Verdict;
use crate::guard::policy::fixtures::config;
use crate::guard::policy::fixtures::machine;
use crate::guard::policy::fixtures::memory;
use crate::guard::policy::fixtures::running;
use crate::guard::sample::Family;
use crate::guard::sample::Sample;
use crate::units::Bytes;
use crate::units::Percent;
use crate::units::Threshold;

/// One moment of a history: the time since the last one, what was read, what ran.
#[derive(Clone, Debug)]
struct Tick {
    after: Duration,
    sample: Sample,
    situation: Situation,
}

prop_compose! {
    fn samples(memory_below: u64, family_below: u64, cpu_below: u32)(
        used in option::weighted(0.9, 0..memory_below),
        family in option::weighted(0.7, 0..family_below),
        busy in option::weighted(0.9, 0..cpu_below),
        pressure in option::weighted(0.7, 0..1000_u32),
        runnable in option::weighted(0.7, 1..20_u32),
    ) -> Sample {
        Sample {
            memory: used.map(machine),
            family: family.map(|memory| Family { memory: Bytes(memory), ..Family::default() }),
            cpu_busy: busy.map(Percent),
            cpu_pressure: pressure.map(Percent),
            runnable,
            ..Sample::default()
        }
    }
}

prop_compose! {
    fn situations()(running in 0..6_usize, wanted in 1..9_usize, alone in any::<bool>()) -> Situation {
        Situation { running, wanted, alone: alone && running == 1, company: Company::default() }
    }
}

fn ticks(samples: impl Strategy<Value = Sample>) -> impl Strategy<Value = Vec<Tick>> {
    let tick = (1..3000_u64, samples, situations()).prop_map(|(millis, sample, situation)| Tick {
        after: Duration::from_millis(millis),
        sample,
        situation,
    });
    vec(tick, 1..40)
}

prop_compose! {
    fn configs()(
        size in option::of(1..1000_u64),
        action in prop_oneof![
            Just(CpuAction::Govern), Just(CpuAction::Stop), Just(CpuAction::Cap), Just(CpuAction::Off),
        ],
        shed in any::<bool>(),
        grace in 0..10_000_u64,
        sustain in 1..20_u64,
    ) -> GuardConfig {
        let config = config();
        GuardConfig {
            memory_threshold: size.map_or(config.memory_threshold, |size| Threshold::Run(Bytes(size))),
            cpu_action: action,
            cpu_sustain: Duration::from_secs(sustain),
            on_breach: if shed { OnBreach::Shed } else { OnBreach::Stop },
            grace_period: Duration::from_millis(grace),
            ..config
        }
    }
}

/// Runs a history and returns every verdict with its moment.
fn play(policy: &mut Policy, ticks: &[Tick]) -> Vec<(Moment, Verdict)> {
    let mut now = Moment::ZERO;
    ticks
        .iter()
        .map(|tick| {
            now += tick.after;
            (now, policy.step(&tick.sample, tick.situation, now))
        })
        .collect()
}

/// How severe a verdict is.
fn severity(verdict: &Verdict) -> u32 {
    match verdict.act {
        Some(Act::Stop { grace: false, .. }) => 5,
        Some(Act::Stop { grace: true, .. }) => 4,
        Some(Act::Shed { .. } | Act::BreachAlone { .. }) => 3,
        None if verdict.blocked => 2,
        None => u32::from(verdict.hold),
    }
}

proptest! {
    #[test]
    fn nothing_is_ended_while_every_reading_is_below_its_threshold(
        config in configs(), ticks in ticks(samples(800, 1000, 800)),
    ) {
        let ticks: Vec<_> = ticks.into_iter().map(|mut tick| {
            if let (Threshold::Run(Bytes(size)), Some(family)) =
                (config.memory_threshold, &mut tick.sample.family)
            {
                family.memory.0 %= size;
            }
            tick
        }).collect();
        for (now, verdict) in play(&mut Policy::new(&config, 2), &ticks) {
            prop_assert_eq!(verdict.act, None, "at {:?}", now);
            prop_assert!(!verdict.blocked);
        }
    }

    #[test]
    fn pure_cpu_load_ends_nothing_under_govern(
        ticks in ticks(samples(800, 1000, 2000)),
    ) {
        for (_, verdict) in play(&mut Policy::new(&config(), 2), &ticks) {
            prop_assert_eq!(verdict.act, None);
        }
    }

    #[test]
    fn at_least_one_test_and_at_most_the_wanted_number_may_run(
        config in configs(), ticks in ticks(samples(1100, 1000, 1500)),
    ) {
        let verdicts = play(&mut Policy::new(&config, 2), &ticks);
        for (tick, (_, verdict)) in ticks.iter().zip(verdicts) {
            prop_assert!((1..=tick.situation.wanted).contains(&verdict.allowed), "{:?}", verdict);
        }
    }

    #[test]
    fn below_the_threshold_one_test_may_always_run(
        ticks in ticks(samples(800, 800, 1500)),
    ) {
        for (_, verdict) in play(&mut Policy::new(&config(), 2), &ticks) {
            prop_assert!(verdict.may_start(0));
        }
    }

    #[test]
    fn the_same_history_gives_the_same_verdicts(
        config in configs(), ticks in ticks(samples(1100, 1000, 1500)),
    ) {
        let policy = Policy::new(&config, 2);
        let (mut one, mut other) = (policy.clone(), policy);
        prop_assert_eq!(play(&mut one, &ticks), play(&mut other, &ticks));
    }

    #[test]
    fn a_sample_that_says_nothing_changes_nothing(
        config in configs(), ticks in ticks(samples(1100, 1000, 1500)),
        at in 0..40_usize, situation in situations(),
    ) {
        let at = at % ticks.len();
        let mut policy = Policy::new(&config, 2);
        let before = play(&mut policy, &ticks[..at]);
        let now = ticks[..at].iter().map(|tick| tick.after).sum::<Duration>();
        let mut blinked = policy.clone();
        let blink = blinked.step(&Sample::default(), situation, now);
        prop_assert_eq!(&blink.act, &None);
        if let Some((_, last)) = before.last() {
            prop_assert_eq!((blink.hold, blink.blocked), (last.hold, last.blocked));
        }
        // What comes after it is as if it had not been, but for what is said about blindness.
        let spoken = |policy: &mut Policy| -> Vec<(Moment, Verdict)> {
            let mut verdicts = play(policy, &ticks[at..]);
            for (_, verdict) in &mut verdicts {
                verdict.notes.retain(|note| {
                    !matches!(note, Note::Blind { .. } | Note::Sees { .. })
                });
            }
            verdicts
        };
        prop_assert_eq!(spoken(&mut blinked), spoken(&mut policy));
    }

    #[test]
    fn a_suspect_that_runs_alone_never_ends_the_run_for_what_it_holds_itself(
        config in configs(), ticks in ticks(samples(1100, 1000, 800)),
    ) {
        // Everything that is used is the run's own, so that nothing can be the fault of others.
        let ticks: Vec<_> = ticks.into_iter().map(|mut tick| {
            let used = tick.sample.memory.map_or(500, |memory| memory.used.0).max(60);
            tick.sample.family = Some(Family { memory: Bytes(used), ..Family::default() });
            tick.situation = Situation { running: 1, alone: true, ..tick.situation };
            tick
        }).collect();
        for (now, verdict) in play(&mut Policy::new(&config, 2), &ticks) {
            let stops = matches!(verdict.act, Some(Act::Stop { .. }));
            prop_assert!(!stops, "{:?} at {:?}", verdict, now);
        }
    }

    #[test]
    fn hold_does_not_flap_within_its_hysteresis(used in vec(680..700_u64, 1..50), high in any::<bool>()) {
        let mut policy = Policy::new(&config(), 2);
        let first = if high { 700 } else { 679 };
        policy.step(&memory(first, first), running(1), Moment::ZERO);
        for (tick, used) in used.into_iter().enumerate() {
            let now = Moment::from_secs(tick as u64 + 1);
            let verdict = policy.step(&memory(used, used), running(1), now);
            prop_assert_eq!(verdict.hold, high);
        }
    }

    #[test]
    fn what_is_critical_is_answered_in_the_same_step(
        config in configs(), ticks in ticks(samples(820, 50, 700)),
        used in 920..2000_u64, family in option::of(0..2000_u64), situation in situations(),
    ) {
        // With nothing running, nothing can be ended.
        let situation = Situation { running: situation.running.max(1), ..situation };
        let mut policy = Policy::new(&config, 2);
        let before = play(&mut policy, &ticks);
        let last = before.last().map_or(Moment::ZERO, |(now, _)| *now);
        let answered = before.iter().any(|(_, verdict)| {
            matches!(verdict.act, Some(Act::Stop { grace: false, .. }))
        });
        let being_failed = before.iter().any(|(_, verdict)| {
            matches!(verdict.act, Some(Act::BreachAlone { .. }))
        });
        prop_assume!(!answered && !being_failed);
        let mut sample = memory(used, 0);
        sample.family = family.map(|memory| Family { memory: Bytes(memory), ..Family::default() });
        let verdict = policy.step(&sample, situation, last + Duration::from_millis(5));
        let at_once = verdict.act.as_ref().is_some_and(|act| act.breach().critical.is_some());
        prop_assert!(at_once, "{:?}", verdict);
        prop_assert!(!verdict.may_start(0));
    }

    #[test]
    fn a_stop_for_the_cpu_needs_its_time_over_the_threshold(
        ticks in ticks(samples(100, 50, 1500)), sustain in 1..20_u64,
    ) {
        let mut config = config();
        config.cpu_action = CpuAction::Stop;
        config.cpu_sustain = Duration::from_secs(sustain);
        let verdicts = play(&mut Policy::new(&config, 2), &ticks);
        // Counted generously: all time between two readings of which the later one is over.
        let mut over = Duration::ZERO;
        let mut last = None;
        for (tick, (now, verdict)) in ticks.iter().zip(verdicts) {
            if let Some(busy) = tick.sample.cpu_busy {
                if busy.0 >= 800 {
                    over += now.saturating_sub(last.unwrap_or(now));
                }
                last = Some(now);
            }
            if verdict.act.is_some() {
                prop_assert!(over >= config.cpu_sustain, "{:?} at {:?}", over, now);
                over = Duration::ZERO;
            }
        }
    }

    #[test]
    fn more_memory_never_makes_it_milder(
        config in configs(), used in 0..1100_u64, more in 0..500_u64,
        family in 0..1000_u64, grown in 0..500_u64, situation in situations(),
    ) {
        // Below five percent it may be others who hold the memory, and more of theirs is milder.
        let family = family.max(50);
        let step = |used, family| {
            let mut policy = Policy::new(&config, 2);
            severity(&policy.step(&memory(used, family), situation, Moment::ZERO))
        };
        prop_assert!(step(used + more, family) >= step(used, family));
        prop_assert!(step(used, family + grown) >= step(used, family));
    }
}
