//! What follows from the end of a test.

use crate::clock::Moment;
use crate::outcome::TestOutcome;
use crate::outcome::Unfinished;
use crate::process::Settled;
use crate::run::event::Action;
use crate::run::event::Notice;
use crate::run::event::TestEnd;

use super::Machine;
use super::Phase;
use super::Running;

impl Machine {
    pub(super) fn ended(
        &mut self,
        slot: usize,
        end: Box<TestEnd>,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let Some(running) = self.slots.free(slot) else {
            return;
        };
        if self.rights.ended(running.test) {
            actions.push(Action::GiveBack { test: running.test });
        }
        match end.settled {
            Settled::Final(ref outcome) => {
                let outcome = outcome.clone();
                self.remember_peak(end.resources.peak_memory);
                self.count(&outcome, &end, running.slow > 0);
                actions.push(Action::Show(Notice::Finished {
                    test: running.test,
                    outcome,
                    end,
                    counts: self.counts,
                }));
            }
            Settled::Unfinished(why) => self.unfinished(&running, why, now, actions),
        }
    }

    fn count(&mut self, outcome: &TestOutcome, end: &TestEnd, slow: bool) {
        match outcome {
            TestOutcome::Passed => self.counts.passed += 1,
            TestOutcome::Ignored => self.counts.ignored += 1,
            TestOutcome::Failed(_) => {
                self.counts.failed += 1;
                self.failures += 1;
            }
        }
        self.counts.leaky += usize::from(end.leak.is_some());
        self.counts.slow += usize::from(slow);
        self.fail_fast();
    }

    /// Starts no further test once enough have failed.
    pub(super) fn fail_fast(&mut self) {
        if self
            .max_fail
            .is_some_and(|limit| self.failures >= limit.get())
        {
            self.phase = self.phase.clone().max(Phase::FailFast);
        }
    }

    /// A test without a result stays outstanding. One that was shed runs again in this leg, after all
    /// others and alone; the rest is for a resumed run.
    fn unfinished(
        &mut self,
        running: &Running,
        why: Unfinished,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let breaches = match why {
            Unfinished::Shed => Some(running.breaches.unwrap_or(0) + 1),
            Unfinished::Stopped if running.blamed.is_some() => {
                Some(running.breaches.unwrap_or(0) + 1)
            }
            Unfinished::Stopped | Unfinished::Interrupted => running.breaches,
        };
        if why == Unfinished::Shed {
            self.order.suspect(running.test, breaches.unwrap_or(1));
        }
        actions.push(Action::RecordUnfinished {
            test: running.test,
            why,
            breaches,
            evidence: running.blamed.clone(),
        });
        actions.push(Action::Show(Notice::Unfinished {
            test: running.test,
            why,
            elapsed: now.saturating_sub(running.started),
        }));
    }
}
