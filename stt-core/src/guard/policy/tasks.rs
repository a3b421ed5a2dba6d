//! Decisions about the number of processes and threads: where the kernel gives out no more of them,
//! nobody can start anything, not even what would help.

use crate::config::GuardConfig;
use crate::guard::policy::Act;
use crate::guard::policy::Breach;
use crate::guard::policy::Critical;
use crate::guard::policy::Note;
use crate::guard::policy::OwnPart;
use crate::guard::policy::Reading;
use crate::guard::policy::Situation;
use crate::guard::sample::Sample;
use crate::guard::sample::Tasks;
use crate::units::Percent;
use crate::units::Threshold;

/// How far under the threshold no further test starts.
const HOLD_MARGIN: Percent = Percent::whole(10);

/// How far under the threshold tests start again.
const RELEASE_MARGIN: Percent = Percent::whole(12);

/// How far over it there is no time left to end anything gently.
const CRITICAL_MARGIN: Percent = Percent::whole(12);

/// A run below this share of the limit is not what uses it up.
const SMALL_RUN: Percent = Percent::whole(5);

/// What is remembered between two samples.
#[derive(Clone, Debug)]
pub(super) struct TaskPolicy {
    threshold: Percent,
    held: bool,
    /// Others use them up.
    crowded: bool,
}

/// What the number of tasks allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TaskVerdict {
    pub(super) hold: bool,
    pub(super) one_at_a_time: bool,
    pub(super) act: Option<Act>,
}

impl TaskPolicy {
    pub(super) fn new(config: &GuardConfig) -> Self {
        Self {
            threshold: config.process_threshold,
            held: false,
            crowded: false,
        }
    }

    /// One step. A sample without the reading changes nothing.
    pub(super) fn step(
        &mut self,
        sample: &Sample,
        situation: Situation,
        notes: &mut Vec<Note>,
    ) -> TaskVerdict {
        // Those of a moment ago say nothing: a bomb doubles within milliseconds. The next look brings them.
        let own = sample
            .family
            .as_ref()
            .map(|family| u64::from(family.threads));
        let own = own.or((situation.running == 0).then_some(0));
        let act = sample
            .tasks
            .and_then(|tasks| Some((tasks, tasks.share()?)))
            .and_then(|(tasks, share)| self.judge(tasks, share, own, situation, notes));
        TaskVerdict {
            hold: self.held,
            one_at_a_time: self.crowded,
            act,
        }
    }

    fn judge(
        &mut self,
        tasks: Tasks,
        share: Percent,
        own: Option<u64>,
        situation: Situation,
        notes: &mut Vec<Note>,
    ) -> Option<Act> {
        let reading = Reading::Tasks(tasks);
        if share < self.threshold.saturating_sub(RELEASE_MARGIN) {
            if std::mem::take(&mut self.held) {
                notes.push(Note::Release { reading });
            }
            self.crowded = false;
        } else if share >= self.threshold.saturating_sub(HOLD_MARGIN)
            && !std::mem::replace(&mut self.held, true)
        {
            notes.push(Note::Hold { reading });
        }
        // Who uses them must be known before anybody is ended for it.
        let own = own.filter(|_| share >= self.threshold)?;
        self.over(tasks, share, own, situation, notes)
    }

    fn over(
        &mut self,
        tasks: Tasks,
        share: Percent,
        own: u64,
        situation: Situation,
        notes: &mut Vec<Note>,
    ) -> Option<Act> {
        let line = Percent(self.threshold.0 + CRITICAL_MARGIN.0).min(Percent::whole(99));
        let critical = (share >= line).then_some(Critical::Reached { line });
        let mut breach = Breach {
            reading: Reading::Tasks(tasks),
            threshold: Threshold::Machine(self.threshold),
            critical,
            lasted: None,
            others: None,
        };
        let small = Tasks {
            alive: own,
            ..tasks
        }
        .share()
            < Some(SMALL_RUN);
        if small {
            let own = OwnPart::Tasks(own);
            if critical.is_some() {
                breach.others = Some(own);
                return Some(Act::Stop {
                    breach,
                    grace: false,
                });
            }
            if !std::mem::replace(&mut self.crowded, true) {
                notes.push(Note::Others {
                    reading: breach.reading,
                    own,
                    threshold: breach.threshold,
                });
            }
            return None;
        }
        Some(if situation.alone {
            Act::BreachAlone { breach }
        } else {
            Act::Stop {
                breach,
                grace: critical.is_none(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::policy::fixtures::alone;
    use crate::guard::policy::fixtures::config;
    use crate::guard::policy::fixtures::running;
    use crate::guard::sample::Bound;
    use crate::guard::sample::Family;

    /// So many of 1000 tasks are there, and so many of them are the run's.
    fn sample(alive: u64, own: Option<u32>) -> Sample {
        Sample {
            tasks: Some(Tasks {
                alive,
                limit: 1000,
                bound: Bound::Machine,
            }),
            family: own.map(|threads| Family {
                threads,
                ..Family::default()
            }),
            ..Sample::default()
        }
    }

    fn policy() -> TaskPolicy {
        TaskPolicy::new(&config())
    }

    #[test]
    fn a_bomb_is_held_stopped_and_killed() {
        let mut policy = policy();
        let mut notes = Vec::new();
        let mut step = |alive| policy.step(&sample(alive, Some(500)), running(2), &mut notes);
        assert!(!step(690).hold);
        assert!(step(700).hold);
        assert_eq!(step(799).act, None);
        let grace = |verdict: TaskVerdict| match verdict.act {
            Some(Act::Stop { grace, .. }) => Some(grace),
            Some(Act::Shed { .. } | Act::BreachAlone { .. }) | None => None,
        };
        assert_eq!(grace(step(800)), Some(true));
        assert_eq!(grace(step(920)), Some(false));
        assert!(step(680).hold, "within the hysteresis");
        assert!(!step(679).hold);
    }

    #[test]
    fn who_runs_alone_fails_alone() {
        let verdict = policy().step(&sample(850, Some(500)), alone(), &mut Vec::new());
        assert!(matches!(verdict.act, Some(Act::BreachAlone { .. })));
    }

    #[test]
    fn others_cost_no_test_its_life_until_nothing_can_start() {
        let mut policy = policy();
        let mut notes = Vec::new();
        let verdict = policy.step(&sample(900, Some(49)), running(2), &mut notes);
        assert_eq!((verdict.act, verdict.one_at_a_time), (None, true));
        assert!(matches!(
            notes[..],
            [
                Note::Hold { .. },
                Note::Others {
                    own: OwnPart::Tasks(49),
                    ..
                }
            ]
        ));
        let verdict = policy.step(&sample(920, Some(49)), running(1), &mut notes);
        let breach = verdict.act.as_ref().map(Act::breach).copied();
        assert_eq!(breach.unwrap().others, Some(OwnPart::Tasks(49)));
    }

    #[test]
    fn nobody_is_ended_before_it_is_known_whose_they_are() {
        let mut policy = policy();
        let verdict = policy.step(&sample(990, None), running(2), &mut Vec::new());
        assert_eq!(verdict.act, None);
        let verdict = policy.step(&sample(990, Some(600)), running(2), &mut Vec::new());
        assert!(verdict.act.is_some());
        let unknown = policy.step(&Sample::default(), running(2), &mut Vec::new());
        assert_eq!(unknown.act, None);
    }
}
