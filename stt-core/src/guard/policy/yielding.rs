//! Which of several runs yields when the machine is in trouble: the youngest. The others hold, and see whether that
//! helps.

use std::time::Duration;

use crate::clock::Moment;
use crate::config::GuardConfig;
use crate::guard::lines::Lines;
use crate::guard::policy::Act;
use crate::guard::policy::Company;
use crate::guard::policy::Reading;
use crate::guard::sample::Memory;
use crate::guard::sample::Sample;
use crate::units::Bytes;

/// How long is waited for each younger run, and after the end of one.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long somebody younger who seems small has to show what he uses, and to yield: what he has told may be old.
const DOUBT: Duration = Duration::from_millis(500);

/// How long is waited when memory is critical and our end would not help much.
const HASTE: Duration = Duration::from_secs(1);

/// Since when the run would have acted, were it alone.
#[derive(Clone, Debug)]
pub(super) struct Yielding {
    lines: Lines,
    since: Option<Moment>,
}

impl Yielding {
    pub(super) fn new(config: &GuardConfig) -> Self {
        Self {
            lines: Lines::new(config),
            since: None,
        }
    }

    /// Lets an act through when it is our turn. Whoever is the youngest always has it.
    pub(super) fn step(
        &mut self,
        act: Option<Act>,
        sample: &Sample,
        company: Company,
        now: Moment,
    ) -> Option<Act> {
        let Some(act) = act else {
            self.since = None;
            return None;
        };
        if !is_everybodys(&act) {
            return Some(act);
        }
        let since = *self.since.get_or_insert(now);
        let turn = if act.breach().critical.is_none() {
            let doubt = DOUBT.saturating_mul(company.doubtful.min(1));
            let youngest = since + PATIENCE.saturating_mul(company.younger) + doubt;
            let after = company.yielded.map(|at| at.saturating_add(PATIENCE));
            youngest.max(after.unwrap_or_default())
        } else if company.younger == 0 || self.would_help(sample) {
            now
        } else {
            since + HASTE
        };
        (turn <= now).then_some(act)
    }

    /// How much more of this memory may be used until the hold line; `None` where it is not what is watched.
    pub(super) fn left_to_hold(&self, memory: Memory) -> Option<Bytes> {
        let (hold, _) = self.lines.hold_and_threshold(memory.total);
        (!self.lines.bounds_run()).then(|| hold.saturating_sub(memory.used))
    }

    /// Whether the end of this run would bring memory at least half of the way back to its threshold. Where
    /// something is not known, it would.
    fn would_help(&self, sample: &Sample) -> bool {
        let (Some(memory), Some(family)) = (sample.memory, &sample.family) else {
            return true;
        };
        let (_, threshold) = self.lines.hold_and_threshold(memory.total);
        let excess = memory.used.saturating_sub(threshold);
        family.memory.0 >= excess.0 / 2
    }
}

/// Whether it is about something that all runs of the machine share.
fn is_everybodys(act: &Act) -> bool {
    match act.breach().reading {
        Reading::Memory(_) | Reading::Tasks(_) | Reading::Cpu { .. } => true,
        Reading::Run(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::policy::Policy;
    use crate::guard::policy::Situation;
    use crate::guard::policy::fixtures::config;
    use crate::guard::policy::fixtures::memory;
    use crate::guard::policy::fixtures::running;
    use crate::units::Threshold;

    fn ms(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    /// When a run acts that sees this use of the memory, with so many younger ones, the last of which yields at a
    /// time. It sees it first after a second.
    fn acts_at(used: u64, own: u64, younger: u32, yields: Option<u64>) -> Option<u64> {
        let mut guard = Policy::new(&config(), 4);
        guard.step(&memory(795, own), running(2), ms(0));
        (0..2_000).map(|tick| 1_000 + tick * 10).find(|&at| {
            let gone = yields.filter(|&yields| at >= yields);
            let company = Company {
                older: 1,
                younger: younger - u32::from(gone.is_some()),
                doubtful: 0,
                yielded: gone.map(ms),
                memory: Bytes(0),
            };
            let situation = Situation {
                company,
                ..running(2)
            };
            let verdict = guard.step(&memory(used, own), situation, ms(at));
            assert!(!verdict.may_start(1), "nothing starts meanwhile");
            verdict.act.is_some()
        })
    }

    #[test]
    fn the_youngest_yields_at_once_and_the_others_wait_to_see_whether_it_helps() {
        assert_eq!(acts_at(810, 500, 0, None), Some(1_000));
        assert_eq!(acts_at(810, 500, 1, None), Some(4_000));
        assert_eq!(acts_at(810, 500, 3, None), Some(10_000));
        // The younger one has yielded, and it has not helped.
        assert_eq!(acts_at(810, 500, 1, Some(1_100)), Some(4_100));
        assert_eq!(acts_at(810, 500, 2, Some(1_100)), Some(4_100));
    }

    #[test]
    fn when_memory_is_critical_whoever_can_help_acts() {
        assert_eq!(acts_at(930, 500, 1, None), Some(1_000));
        assert_eq!(acts_at(930, 10, 0, None), Some(1_000));
        assert_eq!(acts_at(930, 60, 3, None), Some(2_000));
    }

    #[test]
    fn a_younger_one_that_seems_small_may_yield_before_us() {
        let mut guard = Policy::new(&config(), 4);
        let company = Company {
            older: 1,
            doubtful: 2,
            ..Company::default()
        };
        let beside = |company| Situation {
            company,
            ..running(2)
        };
        guard.step(&memory(795, 500), beside(company), ms(0));
        let mut act = |company, at| guard.step(&memory(810, 500), beside(company), ms(at)).act;
        assert_eq!(act(company, 1_000), None);
        assert_eq!(act(company, 1_490), None);
        // He has yielded, and does not help.
        let yielded = Company {
            doubtful: 1,
            yielded: Some(ms(1_495)),
            ..company
        };
        assert_eq!(act(yielded, 1_500), None);
        assert_eq!(act(yielded, 4_490), None);
        assert!(act(yielded, 4_495).is_some());
    }

    /// When a run acts that uses 12 of 1000 itself, and the other runs together this much. Memory is over its line
    /// by 10 after a second, grown by 15.
    fn small_one_acts_at(runs: u64, younger: u32) -> Option<u64> {
        let mut guard = Policy::new(&config(), 4);
        let company = |memory| Company {
            older: 1,
            younger,
            memory: Bytes(memory),
            ..Company::default()
        };
        let beside = |memory| Situation {
            company: company(memory),
            ..running(2)
        };
        guard.step(&memory(795, 12), beside(runs), ms(0));
        (0..2_000).map(|tick| 1_000 + tick * 10).find(|&at| {
            let verdict = guard.step(&memory(810, 12), beside(runs), ms(at));
            assert!(!verdict.may_start(1), "nothing starts beside what runs");
            verdict.act.is_some()
        })
    }

    #[test]
    fn other_runs_are_no_strangers_however_small_each_is() {
        assert_eq!(small_one_acts_at(600, 0), Some(1_000));
        assert_eq!(small_one_acts_at(600, 1), Some(4_000));
        // All runs together are small, and it was strangers who have grown.
        assert_eq!(small_one_acts_at(2, 0), None);
        assert_eq!(small_one_acts_at(0, 0), None);
    }

    #[test]
    fn who_is_to_blame_may_be_told_a_moment_later() {
        let mut guard = Policy::new(&config(), 4);
        let beside = |memory: u64| Situation {
            company: Company {
                memory: Bytes(memory),
                ..Company::default()
            },
            ..running(2)
        };
        guard.step(&memory(790, 5), beside(6), ms(0));
        // Another run has grown by 12, and tells it after a second.
        let act =
            |guard: &mut Policy, runs, at| guard.step(&memory(802, 5), beside(runs), ms(at)).act;
        assert_eq!(act(&mut guard, 6, 1_000), None);
        assert_eq!(act(&mut guard, 6, 1_900), None);
        assert!(act(&mut guard, 18, 2_000).is_some());
    }

    #[test]
    fn a_limit_of_the_run_alone_is_nobody_elses_business() {
        let mut config = config();
        config.memory_threshold = Threshold::Run(Bytes(400));
        let mut guard = Policy::new(&config, 4);
        let situation = Situation {
            company: Company {
                younger: 2,
                ..Company::default()
            },
            ..running(2)
        };
        let verdict = guard.step(&memory(500, 410), situation, ms(0));
        assert!(verdict.act.is_some());
    }
}
