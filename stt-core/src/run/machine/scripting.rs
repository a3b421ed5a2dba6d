//! The scripts around the tests: setup scripts before the first one, teardown scripts after the last, one at a time.
//!
//! Whatever becomes of the run, teardown scripts follow once something of it has begun. After a stop or an interrupt
//! they have the grace period together; when nobody watches over us any more, none.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;
use crate::outcome::EndReason;
use crate::outcome::ScriptOutcome;
use crate::outcome::Unfinished;
use crate::report::Warning;
use crate::run::event::Action;
use crate::run::event::Notice;
use crate::run::event::ScriptAction;
use crate::run::event::ScriptEnd;
use crate::run::event::ScriptNotice;
use crate::script::ScriptKind;

use super::Machine;
use super::Phase;
use super::Times;
use super::timing::passed;

/// What is known of a script beforehand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScriptTimes {
    /// When it runs.
    pub(crate) kind: ScriptKind,
    /// The limits of time that hold for it.
    pub(crate) times: Times,
}

/// How far the scripts of a run are.
#[derive(Debug)]
pub(super) struct Scripting {
    scripts: Vec<ScriptTimes>,
    setup: VecDeque<usize>,
    teardown: VecDeque<usize>,
    running: Option<Running>,
    /// Whether a script or a test has been started: before that there is nothing to tear down.
    begun: bool,
    /// Whether a script has failed.
    failed: bool,
    /// When the teardown scripts of a run that is ended must be through, and how long that is.
    until: Option<(Moment, Duration)>,
}

/// The script that runs.
#[derive(Clone, Debug)]
struct Running {
    script: usize,
    started: Moment,
    times: Times,
    /// How many slow timeouts it has passed.
    slow: u32,
    /// Why it is being ended.
    ending: Option<EndReason>,
}

impl Scripting {
    /// None has run.
    pub(super) fn new(scripts: Vec<ScriptTimes>) -> Self {
        let of = |kind| {
            let numbers = (0..scripts.len()).filter(|&script| scripts[script].kind == kind);
            numbers.collect::<VecDeque<_>>()
        };
        Self {
            setup: of(ScriptKind::Setup),
            teardown: of(ScriptKind::Teardown),
            scripts,
            running: None,
            begun: false,
            failed: false,
            until: None,
        }
    }

    /// Whether none runs and none will.
    pub(super) fn is_over(&self) -> bool {
        self.running.is_none() && (self.teardown.is_empty() || !self.begun)
    }

    /// Whether one runs.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether one has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Something has been started.
    pub(super) fn has_begun(&mut self) {
        self.begun = true;
    }

    /// How many of the guard's to end: the teardown of a run that is ended has its time, and no more.
    pub(super) fn at_stake(&self) -> usize {
        usize::from(self.running.is_some() && self.until.is_none())
    }

    /// The script that runs, and for how long.
    pub(super) fn progress(&self, now: Moment) -> Option<(usize, Duration)> {
        let running = self.running.as_ref()?;
        Some((running.script, now.saturating_sub(running.started)))
    }

    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Moment> {
        let running = self.running.as_ref()?;
        let until = self.until.map(|(until, _)| until);
        let due = running.next_slow().into_iter().chain(until);
        due.filter(|_| running.ending.is_none()).min()
    }

    /// Moves everything on by the time for which the run was suspended.
    pub(super) fn pause(&mut self, pause: Duration) {
        if let Some(running) = &mut self.running {
            running.started += pause;
        }
        if let Some((until, _)) = &mut self.until {
            *until += pause;
        }
    }

    /// What follows from the time.
    pub(super) fn pass_time(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let Some(running) = self.running.as_mut().filter(|one| one.ending.is_none()) else {
            return;
        };
        if let Some((_, grace)) = self.until.filter(|(until, _)| *until <= now) {
            running.end(EndReason::Timeout(grace), Duration::ZERO, actions);
        } else if running.next_slow().is_some_and(|due| due <= now) {
            running.call_slow(now, actions);
        }
    }

    fn start(&mut self, script: usize, now: Moment, actions: &mut Vec<Action>) {
        self.begun = true;
        self.running = Some(Running {
            script,
            started: now,
            times: self.scripts[script].times,
            slow: 0,
            ending: None,
        });
        let notice = Notice::Script(script, ScriptNotice::Started);
        actions.push(Action::Show(notice));
        actions.push(Action::Script(ScriptAction::Start(script)));
    }
}

impl Running {
    fn next_slow(&self) -> Option<Moment> {
        let due = self.times.next_slow(self.started, self.slow);
        self.ending.is_none().then_some(due)
    }

    fn call_slow(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let times = self.times;
        let elapsed = now.saturating_sub(self.started);
        self.slow = passed(elapsed, times.slow);
        let too_long = times.too_long(self.slow);
        let slow = ScriptNotice::Slow {
            elapsed,
            ending: too_long.is_some(),
        };
        actions.push(Action::Show(Notice::Script(self.script, slow)));
        if let Some(after) = too_long {
            self.end(EndReason::Timeout(after), times.grace, actions);
        }
    }

    /// Ends it. What it was ended for first stays the reason.
    fn end(&mut self, reason: EndReason, grace: Duration, actions: &mut Vec<Action>) {
        let reason = self.ending.get_or_insert(reason).clone();
        actions.push(Action::Script(ScriptAction::End { reason, grace }));
    }
}

impl Machine {
    /// Starts the script whose turn it is. Says whether it is the tests' turn.
    pub(super) fn script_turn(&mut self, now: Moment, actions: &mut Vec<Action>) -> bool {
        if self.scripting.is_running() {
            return false;
        }
        if self.phase == Phase::Running
            && self.left() > 0
            && let Some(&script) = self.scripting.setup.front()
        {
            if self.has_place(self.places()) {
                self.scripting.setup.pop_front();
                self.scripting.start(script, now, actions);
            }
            return false;
        }
        if !self.are_tests_over() || !self.scripting.begun {
            return true;
        }
        if self.phase >= Phase::Stopping && self.scripting.until.is_none() {
            let grace = self.times.grace;
            self.scripting.until = Some((now.saturating_add(grace), grace));
        }
        if self.scripting.until.is_some_and(|(until, _)| until <= now) {
            self.leave_the_rest("the grace period was over", actions);
        }
        if let Some(script) = self.scripting.teardown.pop_front() {
            self.scripting.start(script, now, actions);
        }
        false
    }

    /// What follows from the end of a script.
    pub(super) fn script_ended(
        &mut self,
        script: usize,
        end: Box<ScriptEnd>,
        actions: &mut Vec<Action>,
    ) {
        self.scripting.running = None;
        let is_setup = self.scripting.scripts[script].kind == ScriptKind::Setup;
        match end.outcome {
            ScriptOutcome::Failed(_) | ScriptOutcome::Variables(_) => {
                self.scripting.failed = true;
                if is_setup {
                    self.phase = self.phase.clone().max(Phase::Unprepared);
                }
            }
            // Who was ended was ended with the run.
            ScriptOutcome::Passed | ScriptOutcome::Ended(_) => {}
        }
        let finished = ScriptNotice::Finished(end);
        actions.push(Action::Show(Notice::Script(script, finished)));
    }

    /// The run is ended. A teardown script that runs may go on for a grace; without one nothing is left to be done.
    pub(super) fn end_script(
        &mut self,
        why: Unfinished,
        grace: Duration,
        actions: &mut Vec<Action>,
    ) {
        let hurry = grace.is_zero() && why == Unfinished::Interrupted;
        let Some(running) = &mut self.scripting.running else {
            if hurry {
                self.leave_the_rest("the run had to end at once", actions);
            }
            return;
        };
        let is_teardown = self.scripting.scripts[running.script].kind == ScriptKind::Teardown;
        if is_teardown && why == Unfinished::Interrupted && !hurry {
            let until = self.looked.saturating_add(grace);
            self.scripting.until.get_or_insert((until, grace));
            return;
        }
        running.end(EndReason::Unfinished(why), grace, actions);
        if hurry {
            self.leave_the_rest("the run had to end at once", actions);
        }
    }

    /// Runs no further teardown script, and says so.
    fn leave_the_rest(&mut self, why: &str, actions: &mut Vec<Action>) {
        let left = self.scripting.teardown.len();
        if !self.scripting.begun || left == 0 {
            return;
        }
        self.scripting.teardown.clear();
        let scripts = if left == 1 {
            "script was"
        } else {
            "scripts were"
        };
        actions.push(Action::Show(Notice::Warning(Warning {
            message: format!("{left} teardown {scripts} not run: {why}"),
            hint: None,
        })));
    }
}
