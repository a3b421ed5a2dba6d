//! What follows from the end of a test.

use crate::clock::Moment;
use crate::outcome::TestOutcome;
use crate::outcome::Unfinished;
use crate::process::Settled;
use crate::run::event::Action;
use crate::run::event::Notice;
use crate::run::event::TestEnd;
use crate::schedule::Next;

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
        let is_followed = match &end.settled {
            Settled::Final(outcome) => running.attempt.is_followed(outcome),
            Settled::Unfinished(_) => false,
        };
        if is_followed && self.phase == Phase::Running {
            self.slots.keep(slot);
        } else {
            self.let_go(running.test, actions);
        }
        match end.settled {
            Settled::Final(ref outcome) if is_followed => {
                let outcome = outcome.clone();
                self.tried(&running, slot, outcome, end, now, actions);
            }
            Settled::Final(ref outcome) => {
                let outcome = outcome.clone();
                self.remember_peak(end.resources.peak_memory);
                self.count(&outcome, &end, running.slow > 0);
                let flaky = outcome == TestOutcome::Passed && running.attempt.number > 1;
                self.counts.flaky += usize::from(flaky);
                actions.push(Action::Show(Notice::Finished {
                    test: running.test,
                    attempt: running.attempt,
                    outcome,
                    end,
                    counts: self.counts,
                }));
            }
            Settled::Unfinished(why) => self.unfinished(&running, why, now, actions),
        }
    }

    /// A failed attempt that is not the last. Where no test starts any more the next one is for a resumed run.
    fn tried(
        &mut self,
        running: &Running,
        slot: usize,
        outcome: TestOutcome,
        end: Box<TestEnd>,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let next = Next {
            test: running.test,
            breaches: running.breaches,
        };
        let delay = self.retrying.later(next, slot, running.attempt, now);
        actions.push(Action::Show(Notice::Retried {
            test: running.test,
            attempt: running.attempt,
            outcome,
            end,
            counts: self.counts,
            delay: (self.phase == Phase::Running).then_some(delay),
        }));
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
