//! The JUnit report: what it begins with, and its file.

use std::io;

use camino::Utf8Path;
use camino::Utf8PathBuf;

use crate::checkpoint::ResultRecord;
use crate::checkpoint::ResumePlan;
use crate::fs::write_atomic;
use crate::id::RunId;
use crate::limits::Resources;
use crate::report::Done;
use crate::report::Junit;
use crate::report::Summary;
use crate::report::excerpt;
use crate::run::Suite;

/// The report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum JunitError {
    /// Its text could not be made.
    #[error("the JUnit report could not be made")]
    Text(#[source] quick_junit::SerializeError),
    /// Its file, or the directory for it, could not be written.
    #[error("the JUnit report could not be written to `{path}`")]
    Write {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A report with what is known before the first test of a leg runs: every test, and the results of the
/// legs before.
pub fn begin_junit(run: &RunId, suite: &Suite, plan: &ResumePlan) -> Junit {
    let tests = (0..suite.len()).map(|test| suite.id(test));
    let mut junit = Junit::new(run.clone(), tests);
    for &test in &plan.ignored {
        junit.ignored(suite.id(test));
    }
    for tried in &plan.tries {
        junit.tried(tried.test.clone(), done(tried));
    }
    for result in &plan.kept {
        junit.done(result.test.clone(), done(result));
    }
    junit
}

/// A recorded result, as a report has it.
pub(super) fn done(result: &ResultRecord) -> Done {
    let output = result.output.as_deref();
    let shown = |text: &crate::checkpoint::Text| {
        excerpt(text.head.as_bytes(), text.omitted, text.tail.as_bytes())
    };
    Done {
        outcome: result.outcome.clone(),
        duration: result.duration,
        resources: resources(result),
        stdout: output.and_then(|output| shown(&output.stdout)),
        stderr: output.and_then(|output| shown(&output.stderr)),
        leaks: result.leaks.clone(),
    }
}

/// What a test used whose result was recorded.
pub(super) fn resources(result: &ResultRecord) -> Resources {
    Resources {
        cpu: result.cpu,
        peak_memory: result.peak_memory,
        processes: result.processes,
        read: result.read,
        written: result.written,
    }
}

/// Writes the report of a run that has ended so, and the directories above it where they are missing.
/// A reader sees the old file or the new one.
///
/// # Errors
/// The file or a directory can't be written.
pub fn write_junit(junit: &Junit, summary: &Summary, path: &Utf8Path) -> Result<(), JunitError> {
    let xml = junit.to_xml(summary).map_err(JunitError::Text)?;
    let parent = path.parent().filter(|parent| !parent.as_str().is_empty());
    let made = parent.map_or(Ok(()), fs_err::create_dir_all);
    let written = made.and_then(|()| write_atomic(path, xml.as_bytes()));
    written.map_err(|source| JunitError::Write {
        path: path.to_owned(),
        source,
    })
}
