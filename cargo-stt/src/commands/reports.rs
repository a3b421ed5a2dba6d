//! The reports of a run: they listen to it, and are written when it is over.

use std::io;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use stt_core::config::Config;
use stt_core::config::GithubReport;
use stt_core::report::Summary;
use stt_core::run::Sink;

use crate::cli::MessageFormat;
use crate::commands::junit::JunitReport;
use crate::env;
use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::printer::Printer;
use crate::render::Github;

/// All reports of one run.
pub(super) struct Reports {
    /// The JUnit file, if one is wanted.
    pub(super) junit: Option<JunitReport>,
    /// What GitHub Actions shows, where that runs us.
    pub(super) github: Option<GithubStep>,
}

impl Reports {
    /// Listens to what is told to `sink`.
    pub(super) fn listen(&self, mut sink: Sink) -> Sink {
        if let Some(junit) = &self.junit {
            sink = junit.listen(sink);
        }
        if let Some(github) = &self.github {
            sink = github.listen(sink);
        }
        sink
    }

    /// Writes them.
    ///
    /// # Errors
    /// One that was asked for can't be written.
    pub(super) fn write(self, summary: &Summary, printer: &Printer) -> Result<(), Error> {
        let told = self
            .github
            .map_or(Ok(()), |github| github.tell(summary, printer));
        self.junit
            .map_or(Ok(()), |junit| junit.write(summary))
            .and(told)
    }
}

/// A step of GitHub Actions, in which a run goes on.
pub(super) struct GithubStep {
    github: Arc<Mutex<Github>>,
    /// Where the step's summary is collected.
    summary: Option<Utf8PathBuf>,
    /// Whether standard output is for people.
    annotates: bool,
}

impl GithubStep {
    /// The step around us; `None` when there is none, or it is to be told nothing.
    pub(super) fn around(
        config: &Config,
        root: &Utf8Path,
        format: MessageFormat,
        surroundings: &Surroundings,
    ) -> Option<Self> {
        let there = surroundings
            .filled(env::GITHUB_ACTIONS)
            .is_some_and(|value| value == "true");
        let wanted = match config.report.github {
            GithubReport::Auto => there,
            GithubReport::Always => true,
            GithubReport::Never => false,
        };
        let path = |name| surroundings.absolute_path(name);
        let github = Github::new(root.to_owned(), path(env::GITHUB_WORKSPACE));
        wanted.then(|| Self {
            github: Arc::new(Mutex::new(github)),
            summary: path(env::GITHUB_STEP_SUMMARY),
            annotates: format == MessageFormat::Human,
        })
    }

    fn listen(&self, sink: Sink) -> Sink {
        let github = Arc::clone(&self.github);
        Arc::new(move |event| {
            // What is behind the lock is whole at every moment, also after a panic.
            let mut noted = github.lock().unwrap_or_else(PoisonError::into_inner);
            noted.note(&event);
            drop(noted);
            sink(event);
        })
    }

    fn tell(self, summary: &Summary, printer: &Printer) -> Result<(), Error> {
        let github = self.github.lock().unwrap_or_else(PoisonError::into_inner);
        let annotations = github.annotations(summary);
        if self.annotates && !annotations.is_empty() {
            // Nobody reads: the results are on standard error.
            drop(printer.out_bytes(annotations.as_bytes()));
        }
        let Some(path) = &self.summary else {
            return Ok(());
        };
        append(path, &github.summary(summary)).map_err(|error| {
            let message = "the summary of this step of GitHub Actions can't be written";
            Error::new(Kind::Report, message)
                .caused_by(&error)
                .hint("`report.github = \"never\"` does without; the results are not affected")
        })
    }
}

fn append(path: &Utf8Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)?;
    file.write_all(text.as_bytes())
}
