//! Does what the machine wants. Nothing here decides, and nothing here waits: not for a disk, which
//! is the recorder's, and not for a terminal, which is the sink's.

use std::sync::Arc;

use nix::sys::signal::Signal as Kill;

use crate::checkpoint::Record;
use crate::checkpoint::UnfinishedRecord;
use crate::id::TestId;
use crate::outcome::TestOutcome;
use crate::process::EndOrder;
use crate::report;
use crate::report::GuardNotice;
use crate::report::TestFinished;
use crate::run::Sink;
use crate::run::event::Action;
use crate::run::event::Notice;
use crate::run::event::Progress;
use crate::run::event::TestEnd;
use crate::run::recorder::Recorder;
use crate::run::slot::Order;
use crate::run::slot::Slot;
use crate::run::suite::Suite;
use crate::signal;

/// The hands of a run.
pub(crate) struct Performer {
    /// The tests.
    pub(crate) suite: Arc<Suite>,
    /// The places where they run.
    pub(crate) slots: Vec<Slot>,
    /// Who writes what need not be written at once; `None` when no checkpoint is kept.
    pub(crate) recorder: Option<Recorder>,
    /// Who is told.
    pub(crate) sink: Sink,
    /// The failed tests of this leg.
    pub(crate) failed: Vec<(TestId, TestOutcome)>,
}

impl Performer {
    /// Does one thing.
    pub(crate) fn perform(&mut self, action: Action) {
        match action {
            Action::Start { slot, test, alone } => self.slots[slot].start(Order { test, alone }),
            Action::End {
                slot,
                reason,
                grace,
            } => {
                // A signal that is refused is a process that may not be ended: the sweep reports it.
                drop(self.slots[slot].control.end(EndOrder { reason, grace }));
            }
            Action::Pause { slot, go_on } => {
                let signal = if go_on { Kill::SIGCONT } else { Kill::SIGSTOP };
                // A test that has just ended needs no signal.
                drop(self.slots[slot].control.signal(signal));
            }
            Action::SuspendSelf => signal::suspend(),
            Action::RecordStarted { test } => {
                self.record(Record::Started {
                    test: self.suite.id(test),
                });
            }
            Action::RecordUnfinished {
                test,
                why,
                breaches,
            } => {
                self.record(Record::Unfinished(UnfinishedRecord {
                    test: self.suite.id(test),
                    why: Some(why),
                    breaches: breaches.unwrap_or(0),
                }));
            }
            Action::Show(notice) => self.show(notice),
        }
    }

    fn record(&self, record: Record) {
        if let Some(recorder) = &self.recorder {
            recorder.record(record);
        }
    }

    fn show(&mut self, notice: Notice) {
        let event = match notice {
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
            Notice::Finished {
                test,
                outcome,
                end,
                counts,
            } => self.finished(test, outcome, *end, counts),
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
            Notice::Progress(progress) => report::Event::Progress(self.progress(progress)),
        };
        (self.sink)(event);
    }

    fn finished(
        &mut self,
        test: usize,
        outcome: TestOutcome,
        end: TestEnd,
        counts: report::Counts,
    ) -> report::Event {
        let test = self.suite.id(test);
        if outcome.is_failed() {
            self.failed.push((test.clone(), outcome.clone()));
        }
        report::Event::TestFinished(Box::new(TestFinished {
            test,
            outcome,
            duration: end.duration,
            cpu: end.cpu,
            peak_memory: end.peak_memory,
            output: end.output.map(Arc::new),
            leak: end.leak,
            counts,
            total: self.suite.len(),
        }))
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
        Box::new(report::Progress {
            running: running.collect(),
            ..progress.state
        })
    }
}
