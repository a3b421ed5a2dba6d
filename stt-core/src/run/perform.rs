//! Does what the machine wants. Nothing here decides, and nothing here waits: not for a disk, which
//! is the recorder's, and not for a terminal, which is the sink's.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal as Kill;

use crate::checkpoint::Record;
use crate::checkpoint::UnfinishedRecord;
use crate::clock::Clock;
use crate::coordinator::Counters;
use crate::coordinator::RunningScript;
use crate::id::TestId;
use crate::outcome::TestOutcome;
use crate::process::Control;
use crate::process::EndOrder;
use crate::process::Family;
use crate::report;
use crate::report::GuardNotice;
use crate::report::TestFinished;
use crate::retry::Attempt;
use crate::run::Sink;
use crate::run::board::Board;
use crate::run::claims::Claims;
use crate::run::event::Action;
use crate::run::event::Notice;
use crate::run::event::Progress;
use crate::run::event::ScriptAction;
use crate::run::event::ScriptNotice;
use crate::run::event::TestEnd;
use crate::run::recorder::Recorder;
use crate::run::scripts::ScriptRunner;
use crate::run::session::SWEEP;
use crate::run::slot::Order;
use crate::run::slot::Slot;
use crate::run::suite::Suite;
use crate::run::watcher::Lookout;
use crate::signal::Standstill;

/// The hands of a run.
pub(crate) struct Performer {
    /// The tests.
    pub(crate) suite: Arc<Suite>,
    /// Which leg of the run this is.
    pub(crate) leg: u32,
    /// The places where they run.
    pub(crate) slots: Vec<Slot>,
    /// Who runs the scripts around them; `None` where there is none.
    pub(crate) scripts: Option<ScriptRunner>,
    /// Who writes what need not be written at once; `None` when no checkpoint is kept.
    pub(crate) recorder: Option<Recorder>,
    /// Who is told.
    pub(crate) sink: Sink,
    /// Who gets the rights to ports; `None` when no other run has to be asked.
    pub(crate) claims: Option<Claims>,
    /// All descendants.
    pub(crate) family: Arc<Family>,
    /// Where the sampler waits; `None` when nobody watches.
    pub(crate) lookout: Option<Arc<Lookout>>,
    /// The clock.
    pub(crate) clock: Clock,
    /// How we stand still.
    pub(crate) standstill: Standstill,
    /// Where the run says how it stands, for other runs.
    pub(crate) board: Option<Arc<Board>>,
    /// Who ends everybody, once nobody watches over us.
    pub(crate) sweeper: Option<thread::JoinHandle<()>>,
    /// What the tests of this leg have left behind.
    pub(crate) left: Counters,
    /// The failed tests of this leg.
    pub(crate) failed: Vec<(TestId, TestOutcome)>,
}

impl Performer {
    /// Does one thing.
    pub(crate) fn perform(&mut self, action: Action) {
        match action {
            Action::Start {
                slot,
                test,
                alone,
                record,
                attempt,
                group,
            } => self.slots[slot].start(Order {
                test,
                alone,
                record,
                attempt,
                group,
            }),
            Action::Claim { test, ports } => {
                if let Some(claims) = &self.claims {
                    claims.claim(test, ports);
                }
            }
            Action::GiveBack { test } => {
                if let Some(claims) = &self.claims {
                    claims.give_back(test);
                }
            }
            Action::End {
                slot,
                reason,
                grace,
            } => {
                // A signal that is refused is a process that may not be ended: the sweep reports it.
                drop(self.slots[slot].control.end(EndOrder { reason, grace }));
            }
            Action::Script(action) => self.do_script(action),
            Action::EndEverybody => self.end_everybody(),
            Action::LookAway => {
                if let Some(lookout) = &self.lookout {
                    lookout.end();
                }
            }
            Action::Pause { slot, go_on } => pause(&self.slots[slot].control, go_on),
            Action::SuspendSelf => {
                if let Some(board) = &self.board {
                    board.stand_still();
                }
                self.standstill.enter();
            }
            Action::RecordStarted { test } => {
                self.record(Record::Started {
                    test: self.suite.id(test),
                });
            }
            Action::RecordUnfinished {
                test,
                why,
                breaches,
                evidence,
            } => {
                let evidence = evidence.map(|sentence| format!("leg {}: {sentence}", self.leg));
                self.record(Record::Unfinished(UnfinishedRecord {
                    test: self.suite.id(test),
                    why: Some(why),
                    breaches: breaches.unwrap_or(0),
                    evidence: evidence.into_iter().collect(),
                }));
            }
            Action::Show(notice) => self.show(notice),
        }
    }

    /// The script of this number as others are told of it, which has run for so long. `boot` is the time since the boot,
    /// in milliseconds.
    pub(crate) fn script(
        &self,
        script: usize,
        elapsed: Duration,
        boot: u64,
    ) -> Option<RunningScript> {
        let script = &self.scripts.as_ref()?.scripts.get(script)?.script;
        let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        Some(RunningScript {
            kind: script.kind.name().to_owned(),
            name: script.name.to_string(),
            since: boot.saturating_sub(elapsed),
        })
    }

    fn do_script(&self, action: ScriptAction) {
        let Some(scripts) = &self.scripts else { return };
        match action {
            ScriptAction::Start(script) => scripts.start(script),
            ScriptAction::End { reason, grace } => {
                // As for a test.
                drop(scripts.control.end(EndOrder { reason, grace }));
            }
            ScriptAction::Pause { go_on } => pause(&scripts.control, go_on),
        }
    }

    /// Has everybody below us ended, on a thread of its own: here the ends of tests are waited for.
    fn end_everybody(&mut self) {
        let (family, clock) = (Arc::clone(&self.family), self.clock);
        let sweep = move || family.end_all(&clock, clock.now().saturating_add(SWEEP));
        let thread = thread::Builder::new().name("stt-sweep".to_owned());
        // Without a thread the sweep at the end does it.
        self.sweeper = thread.spawn(sweep).ok();
    }

    fn record(&self, record: Record) {
        if let Some(recorder) = &self.recorder {
            recorder.record(record);
        }
    }

    fn show(&mut self, notice: Notice) {
        let event = match notice {
            Notice::Script(script, notice) => {
                let mut scripts = self.scripts.iter().flat_map(|scripts| &*scripts.scripts);
                let Some(place) = scripts.nth(script).cloned() else {
                    return;
                };
                of_script(place, notice)
            }
            Notice::Started { test } => report::Event::TestStarted {
                test: self.suite.id(test),
            },
            Notice::Slow {
                test,
                elapsed,
                ending,
            } => report::Event::TestSlow {
                test: self.suite.id(test),
                elapsed,
                ending,
            },
            Notice::PortTaken { test, port, holder } => report::Event::PortTaken {
                test: self.suite.id(test),
                port,
                holder,
            },
            Notice::Retried {
                test,
                attempt,
                outcome,
                end,
                counts,
                delay,
            } => report::Event::TestRetried {
                tried: Box::new(self.ended(test, attempt, outcome, *end, counts)),
                delay,
            },
            Notice::Finished {
                test,
                attempt,
                outcome,
                end,
                counts,
            } => {
                if outcome.is_failed() {
                    self.failed.push((self.suite.id(test), outcome.clone()));
                }
                let finished = self.ended(test, attempt, outcome, *end, counts);
                report::Event::TestFinished(Box::new(finished))
            }
            Notice::Unfinished { test, why, elapsed } => report::Event::TestUnfinished {
                test: self.suite.id(test),
                why,
                elapsed,
            },
            Notice::Shed {
                test,
                memory,
                reason,
            } => report::Event::Guard(GuardNotice::Shed {
                test: self.suite.id(test),
                memory,
                reason,
            }),
            Notice::Guard(notice) => report::Event::Guard(notice),
            Notice::Warning(warning) => report::Event::Warning(warning),
            Notice::Progress(progress) => report::Event::Progress(self.progress(*progress)),
        };
        (self.sink)(event);
    }

    fn ended(
        &mut self,
        test: usize,
        attempt: Attempt,
        outcome: TestOutcome,
        end: TestEnd,
        counts: report::Counts,
    ) -> TestFinished {
        for process in end.leak.iter().flat_map(|leak| &leak.processes) {
            self.left.processes += 1;
            self.left.ports += process.ports.len() as u64;
        }
        let own = self.suite.output(test);
        TestFinished {
            own_shown: if outcome.is_failed() {
                own.failure
            } else {
                own.success
            },
            test: self.suite.id(test),
            outcome,
            attempt,
            duration: end.duration,
            resources: end.resources,
            output: end.output.map(Arc::new),
            leak: end.leak,
            counts,
            total: self.suite.len(),
        }
    }

    fn progress(&self, progress: Progress) -> Box<report::Progress> {
        let running = progress
            .running
            .into_iter()
            .map(|(test, elapsed, memory)| report::Running {
                test: self.suite.id(test),
                elapsed,
                memory,
            });
        let awaited = progress.awaited.into_iter();
        let awaited = awaited.map(|(test, port, holder)| report::Awaited {
            test: self.suite.id(test),
            port,
            holder,
        });
        Box::new(report::Progress {
            running: running.collect(),
            awaited: awaited.collect(),
            script: self.scripts.as_ref().and_then(|scripts| {
                let (script, elapsed) = progress.script?;
                Some((scripts.scripts.get(script)?.clone(), elapsed))
            }),
            ..progress.state
        })
    }
}

/// Stops or continues whoever runs there.
fn pause(control: &Control, go_on: bool) {
    // Who has just ended needs no signal.
    drop(if go_on {
        control.signal(Kill::SIGCONT)
    } else {
        control.suspend()
    });
}

/// What a notice of a script tells.
fn of_script(script: report::ScriptPlace, notice: ScriptNotice) -> report::Event {
    match notice {
        ScriptNotice::Started => report::Event::ScriptStarted(script),
        ScriptNotice::Slow { elapsed, ending } => report::Event::ScriptSlow {
            script,
            elapsed,
            ending,
        },
        ScriptNotice::Finished(end) => {
            report::Event::ScriptFinished(Box::new(report::ScriptFinished {
                script,
                outcome: end.outcome,
                duration: end.duration,
                output: end.output.map(Arc::new),
                variables: end.variables,
                output_open: end.output_open,
            }))
        }
    }
}
