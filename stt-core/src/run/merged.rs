//! What merged checkpoints come to: the events, the summary and the report of a run that was one.

use std::sync::Arc;

use crate::checkpoint::Merged;
use crate::checkpoint::ResultRecord;
use crate::checkpoint::Text;
use crate::id::RunId;
use crate::outcome::RunOutcome;
use crate::outcome::TestOutcome;
use crate::report::Captured;
use crate::report::Counts;
use crate::report::Junit;
use crate::report::Stream;
use crate::report::Summary;
use crate::report::TestFinished;
use crate::retry::Attempt;
use crate::run::junit::done;
use crate::run::junit::resources;

/// The summary of the whole. Its time is that of all tests together.
pub fn merged_summary(run: &RunId, merged: &Merged) -> Summary {
    let results = merged.results.values();
    let counts = results
        .clone()
        .fold(Counts::default(), |mut counts, result| {
            match result.outcome {
                TestOutcome::Passed => counts.passed += 1,
                TestOutcome::Failed(_) => counts.failed += 1,
                TestOutcome::Ignored => counts.ignored += 1,
            }
            counts.leaky += usize::from(!result.leaks.is_empty());
            counts.flaky +=
                usize::from(result.attempt > 1 && result.outcome == TestOutcome::Passed);
            counts
        });
    let failed = results.clone().filter(|result| result.outcome.is_failed());
    let outstanding = merged.outstanding.len();
    Summary {
        run: run.clone(),
        outcome: outcome(merged, counts),
        counts,
        total: counts.finished() + outstanding,
        kept: 0,
        outstanding,
        elapsed: results.clone().map(|result| result.duration).sum(),
        failed: failed
            .map(|result| (result.test.clone(), result.outcome.clone()))
            .collect(),
        checkpoint: None,
        stop: None,
        swept: Vec::new(),
        swept_containers: Vec::new(),
        cancelled: false,
    }
}

/// Who was cut off can go on; who has stopped because of failures has failed.
fn outcome(merged: &Merged, counts: Counts) -> RunOutcome {
    let complete = merged.outstanding.is_empty();
    let can_go_on = merged.cut_off || !merged.missing.is_empty() || counts.failed == 0;
    match counts {
        _ if !complete && can_go_on => RunOutcome::Stopped,
        counts if counts.failed > 0 => RunOutcome::Failed,
        counts if counts.finished() == 0 => RunOutcome::NoTests,
        _ => RunOutcome::Passed,
    }
}

/// The report of the whole.
pub fn merged_junit(run: &RunId, merged: &Merged) -> Junit {
    let mut junit = Junit::new(run.clone(), merged.outstanding.iter().cloned());
    for tried in &merged.tries {
        junit.tried(tried.test.clone(), done(tried));
    }
    for (test, result) in &merged.results {
        junit.done(test.clone(), done(result));
    }
    junit
}

/// The results that a run would have told, in the order of the tests.
pub fn merged_results<'a>(
    merged: &'a Merged,
    summary: &'a Summary,
) -> impl Iterator<Item = TestFinished> + 'a {
    merged.results.values().map(|result| TestFinished {
        test: result.test.clone(),
        outcome: result.outcome.clone(),
        attempt: Attempt {
            number: result.attempt,
            of: result.attempt,
        },
        duration: result.duration,
        resources: resources(result),
        output: output(result),
        own_shown: None,
        leak: None,
        counts: summary.counts,
        total: summary.total,
    })
}

fn output(result: &ResultRecord) -> Option<Arc<Captured>> {
    let output = result.output.as_deref()?;
    let stream = |text: &Text| Stream {
        head: text.head.clone().into_bytes(),
        omitted: text.omitted,
        tail: text.tail.clone().into_bytes(),
        spilled: None,
    };
    let captured = Captured {
        stdout: stream(&output.stdout),
        stderr: stream(&output.stderr),
    };
    Some(captured.into())
}
