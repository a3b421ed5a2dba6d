//! The recorded run that `--resume` goes on with, or why there is none.

use camino::Utf8Path;
use stt_core::checkpoint;
use stt_core::checkpoint::DroppedWhy;
use stt_core::checkpoint::LoadError;
use stt_core::checkpoint::Loaded;
use stt_core::checkpoint::ResumePlan;
use stt_core::report::Warning;
use stt_core::selection::Selection;

use crate::error::Error;
use crate::error::Kind;

/// What was found, and what a person should know of it.
#[derive(Default)]
pub(super) struct Recorded {
    /// The run to go on with; `None` to begin a new one.
    pub(super) loaded: Option<Box<Loaded>>,
    /// What is said before the first test.
    pub(super) warnings: Vec<Warning>,
}

/// Reads the checkpoint. One that is of no use is put aside, never overwritten: everything runs again,
/// but what it held is still there for whoever wants to look.
///
/// # Errors
/// Something is there that can be neither read nor put aside.
pub(super) fn find(path: &Utf8Path, root: &Utf8Path) -> Result<Recorded, Error> {
    let failure = match checkpoint::load(path, root) {
        Ok(loaded) => return Ok(Recorded::of(loaded)),
        Err(failure) => failure,
    };
    match failure {
        LoadError::NotFound { .. } => Ok(Recorded {
            loaded: None,
            warnings: vec![warning(format!("{failure}: every test runs"), None)],
        }),
        LoadError::Io { .. } | LoadError::NotAFile { .. } => {
            Err(Error::from_source(Kind::Setup, &failure)
                .hint("begin without --resume, or name another file with --checkpoint"))
        }
        LoadError::TooLarge { .. }
        | LoadError::Damaged { .. }
        | LoadError::FutureVersion { .. }
        | LoadError::OtherWorkspace { .. } => put_aside(path, &failure),
    }
}

fn put_aside(path: &Utf8Path, failure: &LoadError) -> Result<Recorded, Error> {
    let aside = checkpoint::set_aside(path).map_err(|error| {
        Error::from_source(Kind::Setup, failure)
            .caused_by(&error)
            .hint(format!(
                "move `{path}` away, or name another file with --checkpoint"
            ))
    })?;
    Ok(Recorded {
        loaded: None,
        warnings: vec![warning(
            format!("{failure}: every test runs"),
            Some(format!("the old file is now `{aside}`")),
        )],
    })
}

impl Recorded {
    fn of(loaded: Loaded) -> Self {
        let repaired = loaded
            .repaired
            .as_ref()
            .map(|repair| warning(format!("the checkpoint was not whole: {repair}"), None));
        Self {
            loaded: Some(Box::new(loaded)),
            warnings: repaired.into_iter().collect(),
        }
    }

    /// The selection to go on with. One that was typed must be the recorded one: another would drop
    /// results that nobody wanted to lose.
    ///
    /// # Errors
    /// It is another.
    pub(super) fn selection(&self, typed: Option<Selection>) -> Result<Option<Selection>, Error> {
        let recorded = self
            .loaded
            .as_ref()
            .map(|loaded| loaded.header.selection.clone());
        match (recorded, typed) {
            (Some(recorded), Some(typed)) if recorded != typed => Err(Error::new(
                Kind::Usage,
                "the recorded run selected other tests than this command line",
            )
            .hint(
                "`cargo stt --resume` alone goes on with the recorded selection; without \
                 --resume a new run begins",
            )),
            (Some(recorded), _) => Ok(Some(recorded)),
            (None, typed) => Ok(typed),
        }
    }
}

/// What a person should know of a plan: results that were dropped, by binary.
pub(super) fn dropped(plan: &ResumePlan) -> impl Iterator<Item = Warning> {
    plan.dropped.iter().map(|dropped| {
        let results = match dropped.results {
            1 => "1 result".to_owned(),
            count => format!("{count} results"),
        };
        let binary = &dropped.binary;
        let message = match dropped.why {
            DroppedWhy::Changed => {
                format!(
                    "{results} of {binary} dropped: the binary has changed, its tests run again"
                )
            }
            DroppedWhy::Gone => {
                format!("{results} of {binary} dropped: the binary is not built any more")
            }
            DroppedWhy::NotSelected => {
                format!("{results} of {binary} dropped: the tests are not there any more")
            }
        };
        warning(message, None)
    })
}

/// Something to say before the first test.
pub(super) fn warning(message: String, hint: Option<String>) -> Warning {
    Warning { message, hint }
}
