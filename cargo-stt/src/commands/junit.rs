//! `--junit`: listens to a run, and writes its report when it is over.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use camino::Utf8PathBuf;
use stt_core::checkpoint::ResumePlan;
use stt_core::config::Config;
use stt_core::id::RunId;
use stt_core::report::Junit;
use stt_core::report::Summary;
use stt_core::run::Sink;
use stt_core::run::Suite;
use stt_core::run::begin_junit;
use stt_core::run::write_junit;

use crate::error::Error;
use crate::error::Kind;

/// The report of a run, while the run goes on.
pub(super) struct JunitReport {
    path: Utf8PathBuf,
    junit: Arc<Mutex<Junit>>,
}

impl JunitReport {
    /// The report of a run that is about to begin; `None` when none is wanted.
    pub(super) fn begin(
        config: &Config,
        run: &RunId,
        suite: &Suite,
        plan: &ResumePlan,
    ) -> Option<Self> {
        let path = config.report.junit.clone()?;
        let junit = Arc::new(Mutex::new(begin_junit(run, suite, plan)));
        Some(Self { path, junit })
    }

    /// Listens to what is told to `sink`.
    pub(super) fn listen(&self, sink: Sink) -> Sink {
        let junit = Arc::clone(&self.junit);
        Arc::new(move |event| {
            // What is behind the lock is whole at every moment, also after a panic. Nobody else takes it
            // while tests run.
            junit
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .note(&event);
            sink(event);
        })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn write(&self, summary: &Summary) -> Result<(), Error> {
        let junit = self.junit.lock().unwrap_or_else(PoisonError::into_inner);
        write_junit(&junit, summary, &self.path).map_err(|error| {
            Error::from_source(Kind::Report, &error)
                .hint("name another place with --junit; the results are not affected")
        })
    }
}
