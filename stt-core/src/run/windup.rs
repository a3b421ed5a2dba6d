//! The end of a run: nothing alive, everything written, one summary.

use std::thread::JoinHandle;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::checkpoint::Large;
use crate::checkpoint::Record;
use crate::checkpoint::ResultRecord;
use crate::checkpoint::StopNote;
use crate::checkpoint::Writer;
use crate::id::RunId;
use crate::id::TestId;
use crate::outcome::RunOutcome;
use crate::outcome::TestOutcome;
use crate::process::Survivor;
use crate::report;
use crate::report::StopReport;
use crate::report::Summary;
use crate::report::Warning;
use crate::run::Session;
use crate::run::Sink;
use crate::run::error::chain;
use crate::run::execute::Job;
use crate::run::execute::Stage;
use crate::run::machine::Stopped;
use crate::run::sandbox;
use crate::run::scripts::ScriptRunner;
use crate::run::session::SWEEP;
use crate::run::settle;
use crate::run::setup::counts;
use crate::run::slot::Slot;
use crate::run::suite::Suite;
use crate::run::tmpdir::OwnDir;

/// What of a job its summary needs.
#[derive(Debug)]
pub(crate) struct Outline {
    run: RunId,
    total: usize,
    kept: usize,
    failed: Vec<(TestId, TestOutcome)>,
    checkpoint: Option<Utf8PathBuf>,
}

impl Outline {
    /// The outline of a job that is about to begin.
    pub(crate) fn of(job: &Job, known: &[ResultRecord], writer: Option<&Writer>) -> Self {
        let failed = job
            .plan
            .kept
            .iter()
            .chain(known)
            .filter(|result| result.outcome.is_failed());
        Self {
            run: job.run.clone(),
            total: job.suite.len(),
            kept: job.plan.kept.len(),
            failed: failed
                .map(|result| (result.test.clone(), result.outcome.clone()))
                .collect(),
            checkpoint: writer.map(|writer| writer.path().to_owned()),
        }
    }
}

/// The summary of a run of which nothing is left to do, told as if it had just ended. `before` is how it has ended, as
/// far as that is known: what a teardown script has left is there still.
pub fn finished_before(job: Job, before: Option<RunOutcome>, sink: &Sink) -> Summary {
    let counts = counts(&job.plan);
    let outline = Outline::of(&job, &[], None);
    if let Some(Err(error)) = job.tmpdir.map(OwnDir::remove) {
        sink(report::Event::Warning(left_behind(&error)));
    }
    let summary = Summary {
        run: outline.run,
        outcome: match outline.total {
            0 => RunOutcome::NoTests,
            _ if counts.failed > 0 => RunOutcome::Failed,
            _ if before == Some(RunOutcome::ScriptFailed) => RunOutcome::ScriptFailed,
            _ => RunOutcome::Passed,
        },
        counts,
        total: outline.total,
        kept: outline.kept,
        outstanding: outline.total.saturating_sub(counts.finished()),
        elapsed: Duration::ZERO,
        failed: outline.failed,
        checkpoint: None,
        stop: None,
        swept: Vec::new(),
        swept_containers: Vec::new(),
        cancelled: false,
    };
    sink(report::Event::RunFinished(Box::new(summary.clone())));
    summary
}

fn left_behind(error: &std::io::Error) -> Warning {
    let message = format!("the run's temporary directory is left: {}", chain(error));
    Warning {
        message,
        hint: None,
    }
}

impl Session {
    /// Ends what is left, writes what is left, tells what is left.
    pub(crate) fn wind_up(
        &self,
        stage: Stage,
        outline: Outline,
        tmpdir: Option<OwnDir>,
        sink: &Sink,
    ) -> Summary {
        let Stage {
            shared,
            queue,
            writer,
            watcher,
            remote,
            performer,
            machine,
            began,
        } = stage;
        close(performer.slots, performer.scripts);
        // A panic in there was reported by the panic hook; the sweep below does its work.
        drop(performer.sweeper.map(JoinHandle::join));
        let swept = self
            .family
            .sweep(&self.clock, self.clock.now().saturating_add(SWEEP));
        let swept_containers = sandbox::finish(&shared);
        let gone = self.clock.now();
        if let Some(watcher) = watcher {
            watcher.finish();
        }
        self.family.remove_group();
        let outcome = machine.outcome();
        if let Some(recorder) = performer.recorder {
            if let Some(stopped) = machine.stopped() {
                recorder.record(Record::Stopped(stop_note(stopped, &performer.suite)));
            }
            recorder.record(Record::Finished { outcome });
            recorder.finish();
        }
        drop(writer);
        self.tell_remote(remote, shared.suite.binaries(), machine.is_in_haste(), sink);
        if !swept.left.is_empty() {
            sink(report::Event::Warning(survivors(swept.left)));
        }
        if let Some(Err(error)) = tmpdir.map(OwnDir::remove) {
            sink(report::Event::Warning(left_behind(&error)));
        }
        for warning in queue.warnings() {
            sink(report::Event::Warning(warning));
        }
        let mut failed = outline.failed;
        failed.extend(performer.failed);
        failed.sort_by(|(one, _), (other, _)| one.cmp(other));
        let counts = machine.counts();
        let summary = Summary {
            run: outline.run,
            outcome,
            counts,
            total: outline.total,
            kept: outline.kept,
            outstanding: outline.total.saturating_sub(counts.finished()),
            elapsed: self.clock.now().saturating_sub(began),
            failed,
            checkpoint: outline.checkpoint,
            stop: machine.stopped().map(|stopped| StopReport {
                reason: stopped.reason.clone(),
                largest: named(stopped, &performer.suite),
                ended: stopped
                    .ended
                    .iter()
                    .map(|&test| performer.suite.id(test))
                    .collect(),
                took: gone.saturating_sub(stopped.at),
                timed_out: machine.is_out_of_time(),
            }),
            swept: swept.ended.into_iter().map(settle::leaked).collect(),
            swept_containers,
            cancelled: machine.was_cancelled(),
        };
        sink(report::Event::RunFinished(Box::new(summary.clone())));
        summary
    }
}

/// Ends the threads on which tests and scripts have run.
fn close(slots: Vec<Slot>, scripts: Option<ScriptRunner>) {
    for slot in slots {
        slot.close();
    }
    if let Some(scripts) = scripts {
        scripts.close();
    }
}

fn named(stopped: &Stopped, suite: &Suite) -> Vec<(TestId, crate::units::Bytes)> {
    stopped
        .largest
        .iter()
        .map(|&(test, memory)| (suite.id(test), memory))
        .collect()
}

fn stop_note(stopped: &Stopped, suite: &Suite) -> StopNote {
    let largest = named(stopped, suite).into_iter();
    StopNote {
        reason: stopped.reason.clone(),
        cause: Some(stopped.cause),
        largest: largest
            .map(|(test, memory)| Large { test, memory })
            .collect(),
    }
}

/// Processes that could not be ended are the one thing that must not be silent.
fn survivors(left: Vec<Survivor>) -> Warning {
    let names: Vec<String> = left
        .into_iter()
        .map(|survivor| settle::leaked(survivor).to_string())
        .collect();
    Warning {
        message: format!(
            "processes of the tests are still alive: {}",
            names.join(", ")
        ),
        hint: Some(
            "they may not be signalled, or did not die in 10 s: end them by hand".to_owned(),
        ),
    }
}
