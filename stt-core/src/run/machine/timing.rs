//! What follows from the passing of time: slow tests, tests that ran too long, the progress, and the
//! time that does not count because the run was suspended.

use std::time::Duration;

use crate::checkpoint::StopCause;
use crate::clock::Moment;
use crate::outcome::EndReason;
use crate::outcome::Unfinished;
use crate::report::GuardNotice;
use crate::run::event::Action;
use crate::run::event::Notice;
use crate::run::event::Progress;
use crate::run::event::ScriptAction;
use crate::units::show_duration;

use super::Machine;
use super::Phase;
use super::Running;
use super::Stopped;

impl Machine {
    /// The next moment at which something is to be done although nothing happens.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        if self.paused.is_some() {
            return None;
        }
        let tests = self.slots.iter().filter_map(|(_, running)| running.next());
        let progress = self.telling.progress.map(|every| self.told + every);
        let retry = self.retrying.next_due(self.looked);
        let script = self.scripting.next_due();
        let end = self.time_up.filter(|_| self.may_run_out_of_time());
        let others = progress.into_iter().chain(retry).chain(script);
        tests.chain(others).chain(end).min()
    }

    pub(super) fn pass_time(&mut self, now: Moment, actions: &mut Vec<Action>) {
        for (slot, running) in self.slots.iter_mut() {
            if running.is_due_for_record(now) {
                running.recorded = true;
                actions.push(Action::RecordStarted { test: running.test });
            }
            running.hold_to_time(slot, now, actions);
            if running.next_slow().is_some_and(|due| due <= now) {
                running.call_slow(slot, now, actions);
            }
        }
        self.scripting.pass_time(now, actions);
        if self.may_run_out_of_time() && self.time_up.is_some_and(|due| due <= now) {
            self.out_of_time(now, actions);
        }
        if self
            .telling
            .progress
            .is_some_and(|every| now >= self.told + every)
        {
            self.told = now;
            actions.push(Action::Show(Notice::Progress(Box::new(self.progress(now)))));
        }
    }

    /// Whether tests or setup scripts could still be ended for the time of the run.
    fn may_run_out_of_time(&self) -> bool {
        self.phase < Phase::Unprepared && !self.are_tests_over()
    }

    /// Whether the run was stopped for its time.
    pub(crate) fn is_out_of_time(&self) -> bool {
        let stopped = self.stopped.as_ref();
        stopped.is_some_and(|stopped| stopped.cause == StopCause::Time)
    }

    /// The time of the run is over: it is stopped as the guard would stop it, and nobody is to blame.
    fn out_of_time(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let time = show_duration(self.time.unwrap_or_default());
        let reason = format!("the run took longer than {time}");
        self.phase = Phase::Stopping;
        let notice = GuardNotice::Stop {
            reason: reason.clone(),
        };
        actions.push(Action::Show(Notice::Guard(notice)));
        self.stopped = Some(Stopped {
            at: now,
            reason,
            cause: StopCause::Time,
            largest: Vec::new(),
            ended: self.slots.iter().map(|(_, running)| running.test).collect(),
        });
        self.end_all(Unfinished::Stopped, self.times.grace, actions);
    }

    /// The time of a test begins only now: before, its container was made.
    pub(super) fn entered(&mut self, slot: usize, now: Moment) {
        if let Some(running) = self.slots.get_mut(slot) {
            running.started = now;
        }
    }

    /// Stops the groups, every timer and then ourselves.
    pub(super) fn suspend(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if self.paused.is_none() {
            self.paused = Some(now);
            self.pause_all(false, actions);
            actions.push(Action::SuspendSelf);
        }
    }

    /// The reverse.
    pub(super) fn go_on(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if let Some(since) = self.paused.take() {
            let pause = now.saturating_sub(since);
            for (_, running) in self.slots.iter_mut() {
                running.started += pause;
            }
            self.retrying.pause(pause);
            self.scripting.pause(pause);
            self.time_up = self.time_up.map(|due| due + pause);
        }
        self.went_on = now;
        self.pause_all(true, actions);
    }

    /// A SIGCONT that nobody waited for: somebody may have stopped the groups from outside. One from before
    /// a stop is none that ends it.
    pub(super) fn pass_on(&self, actions: &mut Vec<Action>) {
        if self.paused.is_none() {
            self.pause_all(true, actions);
        }
    }

    /// How late a reading is without the time in which nobody could read: a suspended run is no guard
    /// that slept.
    pub(super) fn own_lateness(&self, late: Duration, now: Moment) -> Duration {
        if self.paused.is_some() {
            return Duration::ZERO;
        }
        late.min(now.saturating_sub(self.went_on))
    }

    fn pause_all(&self, go_on: bool, actions: &mut Vec<Action>) {
        actions.extend(
            self.slots
                .iter()
                .map(|(slot, _)| Action::Pause { slot, go_on }),
        );
        if self.scripting.is_running() {
            actions.push(Action::Script(ScriptAction::Pause { go_on }));
        }
    }

    fn progress(&self, now: Moment) -> Progress {
        let mut running: Vec<_> = self
            .slots
            .iter()
            .map(|(_, running)| {
                (
                    running.test,
                    now.saturating_sub(running.started),
                    running.memory,
                )
            })
            .collect();
        running.sort_by_key(|&(_, elapsed, _)| std::cmp::Reverse(elapsed));
        let mut state = self.telling.base.clone();
        state.elapsed = now;
        state.counts = self.counts;
        state.allowed = self.verdict.allowed;
        state.held = self.verdict.hold;
        Progress {
            state,
            running,
            awaited: self.awaited.clone(),
            script: self.scripting.progress(now),
        }
    }
}

impl Running {
    /// The next moment at which something about this test is due.
    fn next(&self) -> Option<Moment> {
        let record = (!self.recorded).then_some(self.started + self.times.record_started);
        let due = self.next_slow().into_iter().chain(self.time_limit());
        due.chain(record).min()
    }

    fn is_due_for_record(&self, now: Moment) -> bool {
        !self.recorded && now >= self.started + self.times.record_started
    }

    /// When it passes its next slow timeout. A test that is being ended passes none.
    fn next_slow(&self) -> Option<Moment> {
        let due = self.times.next_slow(self.started, self.slow);
        self.ending.is_none().then_some(due)
    }

    fn call_slow(&mut self, slot: usize, now: Moment, actions: &mut Vec<Action>) {
        let times = self.times;
        let elapsed = now.saturating_sub(self.started);
        self.slow = passed(elapsed, times.slow);
        let too_long = times.too_long(self.slow);
        actions.push(Action::Show(Notice::Slow {
            test: self.test,
            elapsed,
            ending: too_long.is_some(),
        }));
        if let Some(after) = too_long {
            let reason = EndReason::Timeout(after);
            self.ending = Some(reason.clone());
            actions.push(Action::End {
                slot,
                reason,
                grace: times.grace,
            });
        }
    }
}

/// How many whole periods have passed; at least one, since this is asked when one is due.
pub(super) fn passed(elapsed: Duration, period: Duration) -> u32 {
    let count = elapsed.as_nanos() / period.as_nanos().max(1);
    u32::try_from(count).unwrap_or(u32::MAX - 1).max(1)
}
