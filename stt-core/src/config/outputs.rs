//! When the output of some of the tests is shown: what overrides say of that. Pure.

use std::fmt;
use std::ops::Range;

use toml_edit::Item;

use super::ShowOutput;
use super::StatusLevel;
use super::document::Reader;
use super::document::given;

pub(super) const STATUS_LEVELS: [(&str, StatusLevel); 7] = [
    ("none", StatusLevel::None),
    ("fail", StatusLevel::Fail),
    ("slow", StatusLevel::Slow),
    ("leak", StatusLevel::Leak),
    ("pass", StatusLevel::Pass),
    ("skip", StatusLevel::Skip),
    ("all", StatusLevel::All),
];
pub(super) const STATUS_WORDS: &str = r#""none", "fail", "slow", "leak", "pass", "skip" or "all""#;

pub(super) const SHOW_OUTPUT: [(&str, ShowOutput); 4] = [
    ("immediate", ShowOutput::Immediate),
    ("final", ShowOutput::Final),
    ("immediate-final", ShowOutput::ImmediateFinal),
    ("never", ShowOutput::Never),
];
pub(super) const SHOW_OUTPUT_WORDS: &str = r#""immediate", "final", "immediate-final" or "never""#;

/// The keys of an override.
pub(super) const OUTPUTS: [&str; 2] = ["success-output", "failure-output"];

/// When the output of a test is shown, where that is its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestOutput {
    /// When it has passed.
    pub success: Option<ShowOutput>,
    /// When it has failed.
    pub failure: Option<ShowOutput>,
}

impl TestOutput {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// This, and what it doesn't say of that.
    #[must_use]
    pub fn or(self, that: Self) -> Self {
        Self {
            success: self.success.or(that.success),
            failure: self.failure.or(that.failure),
        }
    }
}

/// As a file has it, a key a line.
impl fmt::Display for TestOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, shown) in OUTPUTS.into_iter().zip([self.success, self.failure]) {
            let words = SHOW_OUTPUT.iter();
            let word = shown.and_then(|shown| words.clone().find(|(_, one)| *one == shown));
            if let Some((word, _)) = word {
                writeln!(f, "{key} = \"{word}\"")?;
            }
        }
        Ok(())
    }
}

/// Reads one of the [`OUTPUTS`]; whatever it can't be is a problem at its place.
pub(super) fn read(
    reader: &mut Reader<'_>,
    output: &mut TestOutput,
    name: &str,
    item: &Item,
    span: Range<usize>,
) {
    let given = given(item);
    let shown = given.choice(&SHOW_OUTPUT);
    if shown.is_none() {
        reader.refuse(span, name, &given, SHOW_OUTPUT_WORDS);
    }
    if name == OUTPUTS[0] {
        output.success = shown;
    } else {
        output.failure = shown;
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::config::ConfigFile;
    use crate::config::Flag;
    use crate::config::Layers;
    use crate::config::Level;
    use crate::config::overrides::tests::config;
    use crate::config::resolve;

    const TEXT: &str = "[[overrides]]\nfilter = 'all()'\nsuccess-output = 'final'\n\
        failure-output = 'immediate-final'\n";

    #[test]
    fn an_override_says_when_output_is_shown() {
        let read = config(TEXT).unwrap();
        let output = read.overrides[0].output;
        assert_eq!(output.success, Some(ShowOutput::Final));
        let shown = "success-output = \"final\"\nfailure-output = \"immediate-final\"\n";
        assert_eq!(output.to_string(), shown);
        let weaker = TestOutput {
            success: Some(ShowOutput::Never),
            ..output
        };
        let own = TestOutput {
            failure: None,
            ..output
        };
        assert_eq!(own.or(weaker), output);
        let wrong = config("[[overrides]]\nfilter = 'all()'\nfailure-output = 'later'\n");
        let wrong = wrong.unwrap_err().to_string();
        assert!(
            wrong.contains("`failure-output` can't be `later`"),
            "{wrong}"
        );
    }

    #[test]
    fn what_is_typed_wins_over_overrides() {
        let layers = Layers {
            files: vec![ConfigFile {
                level: Level::Workspace,
                path: "stt.toml".into(),
                text: TEXT.to_owned(),
            }],
            flags: vec![Flag {
                name: "--failure-output".into(),
                key: "output.failure-output".into(),
                value: "never".to_owned(),
            }],
            ..Layers::default()
        };
        let resolved = resolve(&layers, NonZeroUsize::MIN).unwrap();
        let output = resolved.config.overrides[0].output;
        assert_eq!(
            (output.success, output.failure),
            (Some(ShowOutput::Final), None)
        );
    }
}
