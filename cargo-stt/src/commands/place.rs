//! Which file a run is recorded in: never one that another run is writing to.

use camino::Utf8Path;
use camino::Utf8PathBuf;
use stt_core::coordinator::Claims;
use stt_core::report::Warning;

use crate::commands::recorded::warning;
use crate::error::Error;
use crate::error::Kind;

/// How many runs of one workspace find a file each.
const MOST: u32 = 64;

/// Whether a file that somebody has is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waits(bool);

/// What was asked for.
pub(super) struct Place<'a> {
    /// The file that was named, if one was.
    pub(super) given: Option<&'a Utf8PathBuf>,
    /// The file where none was.
    pub(super) usual: Utf8PathBuf,
    /// Whether the run goes on with what is in it.
    pub(super) resumes: bool,
}

impl Place<'_> {
    /// Chooses the file. A new run whose usual file is taken gets another, and says so; who was told which file to take,
    /// or goes on with it, can't.
    ///
    /// # Errors
    /// Another run writes to the file.
    pub(super) fn choose(
        self,
        mut is_free: impl FnMut(&Utf8Path, Waits) -> bool,
    ) -> Result<(Utf8PathBuf, Option<Warning>), Error> {
        let wanted = self.given.unwrap_or(&self.usual);
        // Nothing else will do, and a run that was killed a moment ago is about to be over.
        let waits = Waits(self.resumes || self.given.is_some());
        if is_free(wanted, waits) {
            return Ok((wanted.clone(), None));
        }
        if self.resumes {
            let message = format!("the run that is recorded in `{wanted}` is still going on");
            return Err(Error::new(Kind::Setup, message)
                .hint("`cargo stt status` shows it; resume it when it has ended, or begin a run without --resume"));
        }
        let others = (2..=MOST).map(|number| numbered(wanted, number));
        let other = others
            .filter(|_| self.given.is_none())
            .find(|path| is_free(path, Waits(false)));
        let Some(other) = other else {
            let message = format!("another run is being recorded in `{wanted}`");
            return Err(Error::new(Kind::Setup, message)
                .hint("name another file with --checkpoint, or wait until it has ended (`cargo stt status`)"));
        };
        let elsewhere = warning(
            format!("another run is being recorded in `{wanted}`; this one goes to `{other}`"),
            Some(format!(
                "its results: `cargo stt --resume --checkpoint {other}`"
            )),
        );
        Ok((other, Some(elsewhere)))
    }
}

/// Whether no other run writes to a file; from now on it is ours. Where that can't be known, it is taken to be free.
pub(super) fn is_free(claims: Option<&Claims>, path: &Utf8Path, waits: Waits) -> bool {
    let take = |claims: &Claims| {
        if waits.0 {
            claims.take_in_time(path)
        } else {
            claims.take(path)
        }
    };
    claims.is_none_or(|claims| take(claims).unwrap_or(true))
}

/// The file of this number beside the usual one.
fn numbered(usual: &Utf8Path, number: u32) -> Utf8PathBuf {
    let stem = usual.file_stem().unwrap_or("stt-checkpoint");
    usual.with_file_name(format!("{stem}-{number}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(given: Option<&Utf8PathBuf>, resumes: bool) -> Place<'_> {
        Place {
            given,
            usual: "target/stt-checkpoint.json".into(),
            resumes,
        }
    }

    #[test]
    fn a_new_run_takes_the_first_file_that_is_free() {
        let (path, said) = place(None, false).choose(|_, _| true).unwrap();
        assert_eq!(path, "target/stt-checkpoint.json");
        assert_eq!(said, None);

        let taken = ["target/stt-checkpoint.json", "target/stt-checkpoint-2.json"];
        let free = |path: &Utf8Path, _| !taken.contains(&path.as_str());
        let (path, said) = place(None, false).choose(free).unwrap();
        assert_eq!(path, "target/stt-checkpoint-3.json");
        assert!(said.unwrap().message.contains("stt-checkpoint-3.json"));

        assert!(place(None, false).choose(|_, _| false).is_err());
    }

    #[test]
    fn who_was_told_which_file_gets_no_other() {
        let given = Utf8PathBuf::from("here.json");
        let only = |path: &Utf8Path, _| path == "here.json";
        assert_eq!(place(Some(&given), false).choose(only).unwrap().0, given);
        assert_eq!(place(Some(&given), true).choose(only).unwrap().0, given);
        let other = |path: &Utf8Path, _| path != "here.json";
        assert!(place(Some(&given), false).choose(other).is_err());
        assert!(place(Some(&given), true).choose(other).is_err());
        let usual_is_taken = |path: &Utf8Path, _| path != "target/stt-checkpoint.json";
        assert!(place(None, true).choose(usual_is_taken).is_err());
    }
    #[test]
    fn only_who_has_no_choice_waits() {
        let given = Utf8PathBuf::from("here.json");
        for (place, expected) in [
            (place(None, false), false),
            (place(None, true), true),
            (place(Some(&given), false), true),
        ] {
            let first = place.choose(|_, waits| waits == Waits(expected));
            assert!(first.unwrap().1.is_none());
        }
    }
}
