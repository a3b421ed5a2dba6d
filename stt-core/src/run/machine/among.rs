//! How the run stands among the other runs of the machine.

use std::time::Duration;

use crate::clock::Moment;
use crate::coordinator::RunningTest;
use crate::coordinator::State;
use crate::report::GuardNotice;
use crate::run::board::Details;
use crate::run::board::Outline;
use crate::run::event::Action;
use crate::run::event::Notice;
use crate::run::event::Standing;
use crate::units::Bytes;

use super::Machine;
use super::Phase;
use super::Running;

/// So many tests have to be known before more of them are expected to be alike.
const KNOWN: usize = 5;

/// So many of the last ones are remembered.
const REMEMBERED: usize = 200;

/// Tests that use less than this need no room.
const SMALL: Bytes = Bytes::mib(32);

/// So many tests are named to others.
const NAMED: usize = 8;

impl Machine {
    pub(super) fn stands(&mut self, standing: Standing, actions: &mut Vec<Action>) {
        let before = std::mem::replace(&mut self.standing, standing);
        let changed = (before.runs > 1) != (standing.runs > 1);
        if changed && self.phase == Phase::Running && self.left() > 0 {
            let reason = if standing.runs > 1 {
                format!("{} runs share the machine", standing.runs)
            } else {
                "no other run is left that wants to run tests".to_owned()
            };
            let tests = standing.may.min(self.threads);
            actions.push(Action::Show(Notice::Guard(GuardNotice::Shared {
                tests,
                reason,
            })));
        }
    }

    /// How the run stands, for the others.
    pub(crate) fn outline(&self) -> Outline {
        let running = self.places() + usize::from(self.scripting.is_running());
        let left = self.left();
        let counts = self.counts;
        let over = left == 0 && running == 0;
        Outline {
            state: match self.phase {
                _ if self.paused.is_some() => State::Suspended,
                Phase::Stopping => State::Stopping,
                Phase::Running | Phase::FailFast | Phase::Unprepared | Phase::Interrupted(_)
                    if over =>
                {
                    State::Finishing
                }
                Phase::Running | Phase::FailFast | Phase::Unprepared | Phase::Interrupted(_) => {
                    State::Running
                }
            },
            wanted: if self.paused.is_some() {
                0
            } else if self.phase == Phase::Running {
                let held = self
                    .held
                    .map_or(0, |next| self.room.places(next.test, self.threads));
                let others = self.order.len() + self.rights.ready();
                let waiting = self.retrying.not_due(self.looked);
                let asleep: usize = waiting
                    .map(|test| self.room.places(test, self.threads))
                    .sum();
                let due = self.kept().saturating_sub(asleep);
                let most = self.threads.saturating_sub(asleep);
                self.could_run((running + held + others + due).min(most))
            } else {
                running
            },
            running,
            done: counts.passed + counts.failed + counts.ignored,
            total: self.telling.base.total,
            failed: counts.failed,
            memory: self.telling.base.family_memory.unwrap_or_default(),
            limit: self.memory.map(|memory| memory.total).unwrap_or_default(),
        }
    }

    /// How many tests of so many the guard would let run.
    fn could_run(&self, tests: usize) -> usize {
        let allowed = match (self.verdict.blocked, self.verdict.hold) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => self.verdict.allowed,
        };
        tests.min(self.threads).min(allowed.max(self.places()))
    }

    /// The script that runs, and for how long.
    pub(crate) fn script(&self, now: Moment) -> Option<(usize, Duration)> {
        self.scripting.progress(now)
    }

    /// What others are told less often, but for the name of a script. `boot` is the time since the boot at `now`, in milliseconds.
    pub(crate) fn details(
        &self,
        now: Moment,
        boot: u64,
        name: impl Fn(usize) -> String,
    ) -> Details {
        let mut running: Vec<_> = self.slots.iter().map(|(_, running)| running).collect();
        running.sort_by_key(|running| std::cmp::Reverse(running.memory));
        let running = running.into_iter().take(NAMED).map(|running| {
            let since = now.saturating_sub(running.started).as_millis();
            RunningTest {
                test: name(running.test),
                since: boot.saturating_sub(u64::try_from(since).unwrap_or(u64::MAX)),
                memory: running.memory,
            }
        });
        let expected = self.expected();
        let missing = |running: &Running| {
            let used = running.memory.unwrap_or_default();
            expected.saturating_sub(used).0
        };
        let promised = self.slots.iter().map(|(_, running)| missing(running)).sum();
        let policy = self.policy.as_ref();
        Details {
            running: running.collect(),
            script: None,
            left: self.memory.and_then(|memory| policy?.left_to_hold(memory)),
            expected,
            promised: Bytes(promised),
            count: self.slots.taken(),
        }
    }

    /// Remembers what a test has used: of so many that others can be told from them.
    pub(super) fn remember_peak(&mut self, peak: Bytes) {
        if self.peaks.len() < REMEMBERED {
            self.peaks.push(peak);
        } else {
            let at = (self.counts.passed + self.counts.failed) % REMEMBERED;
            self.peaks[at] = peak;
        }
    }

    /// What one more test is expected to use: more than nine of ten have. Zero while too few are known, or all are
    /// small.
    fn expected(&self) -> Bytes {
        if self.peaks.len() < KNOWN {
            return Bytes(0);
        }
        let mut peaks = self.peaks.clone();
        let at = peaks.len() * 9 / 10;
        let (_, peak, _) = peaks.select_nth_unstable(at);
        if *peak < SMALL { Bytes(0) } else { *peak }
    }
}
