//! One step of the guard: what memory says, what the CPU says, and the stricter of both.

use crate::clock::Moment;
use crate::config::GuardConfig;
use crate::guard::policy::Act;
use crate::guard::policy::Situation;
use crate::guard::policy::Verdict;
use crate::guard::policy::cpu::CpuPolicy;
use crate::guard::policy::memory::MemoryPolicy;
use crate::guard::policy::senses::Senses;
use crate::guard::policy::tasks::TaskPolicy;
use crate::guard::policy::yielding::Yielding;
use crate::guard::sample::Memory;
use crate::guard::sample::Sample;
use crate::units::Bytes;

/// The guard's decisions, and what of the past they depend on.
///
/// Pure: the same policy, sample and time give the same verdict. Three promises hold for any history,
/// and are tested as properties: nothing is ended while every reading is below its threshold, a
/// sample that says nothing changes nothing, and a critical one is answered in the same step.
#[derive(Clone, Debug)]
pub struct Policy {
    memory: MemoryPolicy,
    cpu: CpuPolicy,
    tasks: TaskPolicy,
    senses: Senses,
    yielding: Yielding,
    stopping: Option<Stopping>,
}

/// The run is being stopped: gently or at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    Gently,
    AtOnce,
}

impl Policy {
    /// The policy of a configuration on a machine where the run may use this many cores.
    pub fn new(config: &GuardConfig, cores: usize) -> Self {
        Self {
            memory: MemoryPolicy::new(config),
            cpu: CpuPolicy::new(config, cores),
            tasks: TaskPolicy::new(config),
            senses: Senses::new(config),
            yielding: Yielding::new(config),
            stopping: None,
        }
    }

    /// How much more of this memory may be used until no test starts beside one that runs; `None` where another amount
    /// is watched.
    pub fn left_to_hold(&self, memory: Memory) -> Option<Bytes> {
        self.yielding.left_to_hold(memory)
    }

    /// Decides about one sample, taken at `now`.
    pub fn step(&mut self, sample: &Sample, situation: Situation, now: Moment) -> Verdict {
        let mut notes = Vec::new();
        self.senses.step(sample, now, &mut notes);
        let memory = self.memory.step(sample, situation, now, &mut notes);
        let cpu = self.cpu.step(sample, situation, now, &mut notes);
        let tasks = self.tasks.step(sample, situation, &mut notes);
        let act = memory.act.or(tasks.act).or(cpu);
        let withheld = act.is_some();
        let company = situation.company;
        let act = self.yielding.step(act, sample, company, now);
        let withheld = withheld && act.is_none();
        let act = act.and_then(|act| self.news(act));
        let allowed = if memory.one_at_a_time || tasks.one_at_a_time {
            1
        } else {
            self.cpu.allowed(situation.wanted)
        };
        let stopping = self.stopping.is_some();
        Verdict {
            hold: memory.hold || tasks.hold || stopping || withheld,
            blocked: memory.blocked || stopping,
            allowed,
            act,
            notes,
        }
    }

    /// What an act adds to what is already being done. A run that is being stopped can only be
    /// stopped faster, whoever is to blame.
    fn news(&mut self, act: Act) -> Option<Act> {
        let act = match (self.stopping, act) {
            (None, act) => act,
            (Some(Stopping::AtOnce), _) => return None,
            (Some(Stopping::Gently), act) => {
                let breach = *act.breach();
                breach.critical?;
                Act::Stop {
                    breach,
                    grace: false,
                }
            }
        };
        match act {
            Act::Stop { grace: true, .. } => self.stopping = Some(Stopping::Gently),
            Act::Stop { grace: false, .. } => self.stopping = Some(Stopping::AtOnce),
            Act::Shed { .. } | Act::BreachAlone { .. } => {}
        }
        Some(act)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::CpuAction;
    use crate::config::OnBreach;
    use crate::guard::policy::Breach;
    use crate::guard::policy::Critical;
    use crate::guard::policy::Note;
    use crate::guard::policy::OwnPart;
    use crate::guard::policy::Reading;
    use crate::guard::policy::fixtures::alone;
    use crate::guard::policy::fixtures::config;
    use crate::guard::policy::fixtures::cpu;
    use crate::guard::policy::fixtures::machine;
    use crate::guard::policy::fixtures::memory;
    use crate::guard::policy::fixtures::running;
    use crate::units::Bytes;
    use crate::units::Percent;
    use crate::units::Threshold;

    fn ms(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn guard() -> Policy {
        Policy::new(&config(), 4)
    }

    fn shedding() -> Policy {
        let mut config = config();
        config.on_breach = OnBreach::Shed;
        Policy::new(&config, 4)
    }

    fn with_cpu(action: CpuAction) -> Policy {
        let mut config = config();
        config.cpu_action = action;
        Policy::new(&config, 4)
    }

    fn grace_of(act: Option<&Act>) -> Option<bool> {
        match act {
            Some(Act::Stop { grace, .. }) => Some(*grace),
            Some(Act::Shed { .. } | Act::BreachAlone { .. }) | None => None,
        }
    }

    #[test]
    fn holds_from_ten_points_below_and_releases_two_points_lower() {
        let mut guard = guard();
        let mut held = Vec::new();
        let mut notes = Vec::new();
        for (tick, used) in [500, 699, 700, 690, 700, 680, 679, 690, 700]
            .into_iter()
            .enumerate()
        {
            let now = Moment::from_secs(tick as u64);
            let verdict = guard.step(&memory(used, used), running(2), now);
            assert_eq!(verdict.act, None);
            held.push(verdict.hold);
            notes.extend(verdict.notes);
        }
        let expected = [false, false, true, true, true, true, false, false, true];
        assert_eq!(held, expected);
        let reading = |used| Reading::Memory(machine(used));
        assert!(notes.iter().all(|note| !matches!(note, Note::Late { .. })));
        let memory_notes: Vec<_> = notes
            .into_iter()
            .filter(|note| matches!(note, Note::Hold { .. } | Note::Release { .. }))
            .collect();
        let (hold, release) = (
            Note::Hold {
                reading: reading(700),
            },
            reading(679),
        );
        assert_eq!(
            memory_notes,
            [hold, Note::Release { reading: release }, hold]
        );
    }

    #[test]
    fn over_the_threshold_the_run_stops_once_and_faster_when_it_gets_critical() {
        let mut guard = guard();
        guard.step(&memory(795, 500), running(2), ms(0));
        let verdict = guard.step(&memory(800, 500), running(2), ms(1000));
        let breach = Breach {
            reading: Reading::Memory(machine(800)),
            threshold: Threshold::Machine(Percent::whole(80)),
            critical: None,
            lasted: None,
            others: None,
        };
        assert_eq!(
            verdict.act,
            Some(Act::Stop {
                breach,
                grace: true
            })
        );
        assert!(!verdict.may_start(0));
        let verdict = guard.step(&memory(805, 500), running(2), ms(2000));
        assert_eq!(verdict.act, None, "said already");
        let verdict = guard.step(&memory(920, 500), running(2), ms(3000));
        assert_eq!(grace_of(verdict.act.as_ref()), Some(false));
        let verdict = guard.step(&memory(960, 500), running(2), ms(3005));
        assert_eq!(verdict.act, None, "said already");
        let verdict = guard.step(&memory(100, 0), running(0), ms(4000));
        assert!(!verdict.may_start(0), "a stopped run starts nothing");
    }

    #[test]
    fn a_flood_that_reaches_the_critical_line_within_the_grace_gets_none() {
        let mut guard = guard();
        let mut acts = Vec::new();
        // 0.4 bytes a millisecond: 120 bytes from the threshold to the critical line take 300 ms.
        for tick in 0..=200_u64 {
            let used = 720 + tick * 5 * 4 / 10;
            let verdict = guard.step(&memory(used, used), running(2), ms(5 * tick));
            acts.extend(verdict.act.map(|act| (used, act)));
        }
        let (used, act) = &acts[0];
        assert_eq!(*used, 800);
        let line = Percent::whole(92);
        let rate = Bytes(400);
        assert_eq!(act.breach().critical, Some(Critical::Ahead { line, rate }));
        assert_eq!(grace_of(Some(act)), Some(false));
        assert_eq!(acts.len(), 1);
    }

    #[test]
    fn a_machine_that_others_have_filled_runs_one_test_at_a_time() {
        let mut guard = guard();
        let verdict = guard.step(&memory(850, 49), running(2), ms(0));
        assert_eq!(verdict.act, None);
        assert!(verdict.may_start(0) && !verdict.may_start(1));
        let reading = Reading::Memory(machine(850));
        let threshold = Threshold::Machine(Percent::whole(80));
        let own = OwnPart::Memory(Bytes(49));
        let others = Note::Others {
            reading,
            own,
            threshold,
        };
        assert_eq!(verdict.notes, [others]);
        // The others give a little back: that must not turn us into the culprit.
        let verdict = guard.step(&memory(801, 49), running(1), ms(1000));
        assert_eq!((verdict.act, verdict.notes), (None, vec![]));
        // But when the run grows, it is.
        let verdict = guard.step(&memory(852, 51), running(1), ms(2000));
        assert_eq!(grace_of(verdict.act.as_ref()), Some(true));
        assert_eq!(verdict.act.unwrap().breach().others, None);
    }

    #[test]
    fn who_has_grown_over_the_line_is_to_blame_and_not_who_is_small_beside_the_excess() {
        let act = |others: &[u64], own: &[u64]| {
            let mut guard = guard();
            let mut readings = others.iter().zip(own).zip(0..);
            readings.find_map(|((&others, &own), tick)| {
                let sample = memory(others + own, own);
                guard.step(&sample, running(2), ms(5 * tick)).act
            })
        };
        // A stranger's file grows slowly over the line: there, we have more than what is over it.
        let others: Vec<u64> = (600..810).collect();
        assert_eq!(act(&others, &[9; 210]), None);
        // Others stand still below it, and we grow.
        let own: Vec<u64> = (0..45).collect();
        assert!(act(&[770; 45], &own).is_some());
        // Both grow, and we have more than they have got.
        let others: Vec<u64> = (760..805).collect();
        let own: Vec<u64> = others.iter().map(|others| others / 26).collect();
        assert!(act(&others, &own).is_some());
    }

    #[test]
    fn a_machine_that_others_fill_to_the_brim_stops_the_run_and_says_who_it_was() {
        let mut guard = guard();
        let verdict = guard.step(&memory(920, 10), alone(), ms(0));
        let act = verdict.act.unwrap();
        assert_eq!(
            grace_of(Some(&act)),
            Some(false),
            "no suspect is blamed for it"
        );
        assert_eq!(act.breach().others, Some(OwnPart::Memory(Bytes(10))));
    }

    #[test]
    fn with_nothing_running_the_memory_is_that_of_others() {
        let mut sample = memory(850, 0);
        sample.family = None;
        let verdict = guard().step(&sample, running(0), ms(0));
        assert!(verdict.may_start(0) && !verdict.may_start(1));
        assert_eq!(verdict.act, None);
    }

    #[test]
    fn an_unknown_family_delays_a_stop_by_a_few_readings_only() {
        let mut sample = memory(820, 0);
        sample.family = None;
        let mut guard = guard();
        for millis in [0, 5, 19] {
            let verdict = guard.step(&sample, running(2), ms(millis));
            assert_eq!(verdict.act, None, "{millis}");
            assert!(!verdict.may_start(0));
        }
        let verdict = guard.step(&sample, running(2), ms(20));
        assert_eq!(grace_of(verdict.act.as_ref()), Some(true));

        sample.memory = Some(machine(930));
        let verdict = self::guard().step(&sample, running(2), ms(0));
        assert_eq!(
            grace_of(verdict.act.as_ref()),
            Some(false),
            "critical doesn't wait"
        );
    }

    #[test]
    fn shedding_ends_a_test_every_quarter_second_and_the_run_after_two() {
        let mut guard = shedding();
        let mut shed = Vec::new();
        let mut stopped = Vec::new();
        for tick in 0..=450 {
            let now = ms(5 * tick);
            let verdict = guard.step(&memory(850, 800), running(4), now);
            assert!(!verdict.may_start(0));
            match verdict.act {
                Some(Act::Shed { .. }) => shed.push(5 * tick),
                Some(Act::Stop { grace: true, .. }) => stopped.push(5 * tick),
                Some(act @ (Act::Stop { .. } | Act::BreachAlone { .. })) => panic!("{act:?}"),
                None => {}
            }
        }
        assert_eq!(shed, [0, 250, 500, 750, 1000, 1250, 1500, 1750]);
        assert_eq!(stopped, [2000]);
    }

    #[test]
    fn shedding_that_helps_lets_the_run_go_on() {
        let mut guard = shedding();
        let verdict = guard.step(&memory(850, 800), running(2), ms(0));
        assert!(matches!(verdict.act, Some(Act::Shed { .. })));
        // The test is dead, its memory is still being freed: no time to blame others.
        let verdict = guard.step(&memory(845, 40), running(1), ms(100));
        assert_eq!((verdict.act, verdict.notes), (None, vec![]));
        let verdict = guard.step(&memory(600, 40), running(1), ms(200));
        assert!(verdict.act.is_none() && verdict.may_start(1));
        let verdict = guard.step(&memory(850, 800), running(2), ms(5000));
        assert!(matches!(verdict.act, Some(Act::Shed { .. })), "anew");
        let verdict = guard.step(&memory(930, 800), running(2), ms(5005));
        assert_eq!(grace_of(verdict.act.as_ref()), Some(false));
    }

    #[test]
    fn a_suspect_that_breaches_alone_fails_and_the_run_goes_on() {
        for mut guard in [guard(), shedding()] {
            guard.step(&memory(790, 700), alone(), ms(0));
            let verdict = guard.step(&memory(810, 700), alone(), ms(1000));
            let act = verdict.act.unwrap();
            assert!(matches!(act, Act::BreachAlone { .. }), "{act:?}");
            assert_eq!(act.breach().critical, None);
            let verdict = guard.step(&memory(925, 800), alone(), ms(1100));
            let act = verdict.act.unwrap();
            assert!(matches!(act, Act::BreachAlone { .. }), "{act:?}");
            assert!(act.breach().critical.is_some(), "kill it now");
            let verdict = guard.step(&memory(925, 10), running(0), ms(1200));
            assert_eq!(verdict.act, None, "it is being freed");
            assert!(!verdict.may_start(0), "the next suspect waits for that");
            let verdict = guard.step(&memory(300, 10), running(0), ms(1300));
            assert!(verdict.may_start(0));
            let verdict = guard.step(&memory(850, 700), alone(), ms(9000));
            assert!(matches!(verdict.act, Some(Act::BreachAlone { .. })));
        }
    }

    #[test]
    fn a_failed_suspect_that_frees_nothing_ends_the_run_once_it_is_gone() {
        let mut guard = guard();
        guard.step(&memory(850, 700), alone(), ms(0));
        // However long it takes to die.
        for second in 1..100 {
            let verdict = guard.step(&memory(850, 700), alone(), Moment::from_secs(second));
            assert_eq!(verdict.act, None);
            assert!(!verdict.may_start(0));
        }
        let gone = Moment::from_secs(100);
        for millis in [0, 1999] {
            let verdict = guard.step(&memory(850, 700), running(0), gone + ms(millis));
            assert_eq!((verdict.act, verdict.blocked), (None, true));
        }
        let verdict = guard.step(&memory(850, 700), running(0), gone + ms(2000));
        assert_eq!(grace_of(verdict.act.as_ref()), Some(true));
    }

    #[test]
    fn what_others_hold_when_a_failed_suspect_is_gone_does_not_end_the_run() {
        let mut guard = guard();
        guard.step(&memory(860, 700), alone(), ms(0));
        guard.step(&memory(860, 5), running(0), ms(100));
        let verdict = guard.step(&memory(860, 5), running(0), ms(2099));
        assert_eq!((verdict.act, verdict.blocked), (None, true));
        let verdict = guard.step(&memory(860, 5), running(0), ms(2100));
        assert_eq!((verdict.act, verdict.blocked), (None, false));
        assert_eq!(verdict.allowed, 1);
    }

    #[test]
    fn a_reading_over_the_line_while_nothing_runs_ends_nothing_at_once() {
        for mut guard in [guard(), shedding()] {
            let verdict = guard.step(&memory(850, 700), running(0), ms(0));
            assert_eq!((verdict.act, verdict.blocked), (None, true));
            let verdict = guard.step(&memory(300, 0), running(0), ms(5));
            assert_eq!((verdict.act, verdict.blocked), (None, false));
        }
    }

    #[test]
    fn nobody_waits_for_ever_for_a_reading() {
        let mut guard = shedding();
        guard.step(&memory(850, 700), running(2), ms(0));
        let nothing = Sample::default();
        // Three check intervals and two windows of the CPU.
        let verdict = guard.step(&nothing, running(0), ms(4999));
        assert!(verdict.blocked);
        let verdict = guard.step(&nothing, running(0), ms(5000));
        assert_eq!((verdict.blocked, verdict.allowed), (false, 1));
        // Back, it is over the line anew: the two seconds are not over.
        let verdict = guard.step(&memory(850, 700), running(2), ms(9000));
        assert!(matches!(verdict.act, Some(Act::Shed { .. })));
        assert!(verdict.blocked);
    }

    #[test]
    fn a_size_bounds_the_family_alone() {
        let mut config = config();
        config.memory_threshold = Threshold::Run(Bytes(100));
        let mut guard = Policy::new(&config, 4);
        let verdict = guard.step(&memory(850, 89), running(2), ms(0));
        assert!(
            verdict.act.is_none() && !verdict.hold,
            "the machine is free to be full"
        );
        let verdict = guard.step(&memory(850, 90), running(2), ms(1000));
        assert!(verdict.act.is_none() && verdict.hold);
        let verdict = guard.step(&memory(850, 100), running(2), ms(2000));
        let act = verdict.act.unwrap();
        assert_eq!(act.breach().reading, Reading::Run(Bytes(100)));
        assert_eq!(grace_of(Some(&act)), Some(true));
    }

    #[test]
    fn govern_leaves_a_busy_machine_alone_on_which_nobody_waits() {
        let mut guard = guard();
        for second in 0..600 {
            let verdict = guard.step(&cpu(100, 19), running(8), Moment::from_secs(second));
            assert_eq!((verdict.allowed, verdict.act), (8, None));
        }
    }

    #[test]
    fn govern_halves_while_others_wait_and_gives_back_one_by_one() {
        let mut guard = guard();
        let mut allowed = Vec::new();
        for second in 0..5 {
            let now = Moment::from_secs(second);
            let verdict = guard.step(&cpu(95, 50), running(8 >> second), now);
            allowed.push(verdict.allowed);
            // The same window read again changes nothing.
            let again = guard.step(&cpu(95, 50), running(8), now + Duration::from_millis(999));
            assert_eq!(again.allowed, verdict.allowed);
        }
        assert_eq!(allowed, [4, 2, 1, 1, 1]);
        allowed.clear();
        for second in 5..15 {
            // Pressure falls slowly; in between nothing changes.
            let pressure = if second < 8 { 15 } else { 9 };
            let verdict = guard.step(&cpu(95, pressure), running(1), Moment::from_secs(second));
            allowed.push(verdict.allowed);
        }
        assert_eq!(allowed, [1, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn without_psi_the_queue_of_runnable_tasks_is_asked() {
        let with_queue = |runnable| {
            let mut sample = cpu(100, 0);
            sample.cpu_pressure = None;
            sample.runnable = Some(runnable);
            sample
        };
        let allowed_after_a_minute = |runnable| {
            let mut guard = guard();
            (0..60)
                .map(|second| {
                    let now = Moment::from_secs(second);
                    guard.step(&with_queue(runnable), running(8), now).allowed
                })
                .last()
        };
        // Four cores and the sampler.
        assert_eq!(allowed_after_a_minute(5), Some(8));
        assert_eq!(allowed_after_a_minute(6), Some(1));
        // PSI that nobody's queue confirms is noise.
        let mut sample = with_queue(5);
        sample.cpu_pressure = Some(Percent::whole(60));
        assert_eq!(guard().step(&sample, running(8), ms(0)).allowed, 8);
        sample.runnable = Some(6);
        assert_eq!(guard().step(&sample, running(8), ms(0)).allowed, 4);
    }

    #[test]
    fn stop_takes_the_cpu_threshold_literally() {
        let mut guard = with_cpu(CpuAction::Stop);
        let mut stops = Vec::new();
        let mut allowed = 8;
        for second in 0..40 {
            let verdict = guard.step(&cpu(80, 0), running(8), Moment::from_secs(second));
            allowed = verdict.allowed;
            stops.extend(verdict.act.map(|act| (second, act)));
        }
        assert_eq!(allowed, 1, "governed meanwhile");
        let [(second, act)] = stops.as_slice() else {
            panic!("{stops:?}")
        };
        assert_eq!(*second, 30);
        let sentence = "CPU at 80 % (waited for in 0 % of the last 10 s), for 30 s not below \
            the threshold of 80 %";
        assert_eq!(act.breach().to_string(), sentence);
        assert_eq!(grace_of(Some(act)), Some(true));
    }

    #[test]
    fn a_suspect_alone_over_the_cpu_threshold_fails_after_its_own_time() {
        let mut guard = with_cpu(CpuAction::Stop);
        let mut failed = Vec::new();
        for second in 0..70 {
            let verdict = guard.step(&cpu(90, 50), alone(), Moment::from_secs(second));
            if let Some(act) = verdict.act {
                assert!(matches!(act, Act::BreachAlone { .. }), "{act:?}");
                failed.push(second);
            }
        }
        assert_eq!(failed, [30, 61]);
    }

    #[test]
    fn a_short_dip_is_subtracted_and_a_long_one_starts_the_time_again() {
        let stop_at = |dip: std::ops::Range<u64>| {
            let mut guard = with_cpu(CpuAction::Stop);
            (0..100).find(|second| {
                let busy = if dip.contains(second) { 10 } else { 99 };
                let verdict = guard.step(&cpu(busy, 0), running(1), Moment::from_secs(*second));
                verdict.act.is_some()
            })
        };
        assert_eq!(stop_at(0..0), Some(30));
        assert_eq!(stop_at(10..11), Some(33), "one window");
        assert_eq!(stop_at(10..13), Some(43), "three windows");
    }

    #[test]
    fn spikes_that_come_and_go_end_nothing() {
        let mut guard = with_cpu(CpuAction::Stop);
        for second in 0..1000 {
            let busy = if second % 2 == 0 { 99 } else { 10 };
            let verdict = guard.step(&cpu(busy, 0), running(1), Moment::from_secs(second));
            assert_eq!(verdict.act, None);
        }
    }

    #[test]
    fn time_without_a_reading_does_not_count() {
        let mut guard = with_cpu(CpuAction::Stop);
        guard.step(&cpu(99, 0), running(1), ms(0));
        let verdict = guard.step(&cpu(99, 0), running(1), Moment::from_secs(60));
        assert_eq!(verdict.act, None);
    }

    #[test]
    fn cap_finds_the_number_of_tests_that_fits_and_stays_there() {
        let mut guard = with_cpu(CpuAction::Cap);
        let mut tests = 8_usize;
        let mut history = Vec::new();
        for second in 0..20 {
            // Eight cores, one for each test.
            let busy = u32::try_from(tests * 100 / 8).unwrap();
            let verdict = guard.step(&cpu(busy, 0), running(tests), Moment::from_secs(second));
            assert_eq!(verdict.act, None);
            tests = verdict.allowed;
            history.push(tests);
        }
        assert_eq!(history, [6; 20]);
    }

    #[test]
    fn cap_and_stop_give_room_back_when_one_more_fits() {
        for action in [CpuAction::Cap, CpuAction::Stop] {
            let mut guard = with_cpu(action);
            for second in 0..10 {
                guard.step(&cpu(100, 0), running(1), Moment::from_secs(second));
            }
            let verdict = guard.step(&cpu(50, 0), running(1), Moment::from_secs(10));
            assert_eq!(verdict.allowed, 1, "a second one would be too much");
            let verdict = guard.step(&cpu(30, 0), running(1), Moment::from_secs(11));
            assert_eq!(verdict.allowed, 2);
        }
    }

    #[test]
    fn off_is_off() {
        let mut guard = with_cpu(CpuAction::Off);
        for second in 0..100 {
            let verdict = guard.step(&cpu(100, 90), running(8), Moment::from_secs(second));
            assert_eq!((verdict.allowed, verdict.act), (8, None));
        }
    }
}
