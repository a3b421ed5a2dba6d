//! What can be wrong with a configuration.

use std::fmt;
use std::io;

use camino::Utf8PathBuf;

use super::source::Place;
use super::source::Source;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What said it.
    pub source: Source,
    /// Where.
    pub place: Place,
    /// The key that it is about, also one that does not exist; `None` when it is about no key.
    pub key: Option<String>,
    /// What is wrong, as a sentence that stands alone.
    pub message: String,
    /// What would be right, short enough to stand beside the marks.
    pub expected: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.message, self.details())
    }
}

impl Problem {
    /// Where it is and what would be right, for below the message.
    pub fn details(&self) -> String {
        let expected = self.expected.as_deref().unwrap_or_default();
        match &self.place {
            Place::File(spot) => {
                let gutter = " ".repeat(spot.line.to_string().len());
                let (path, line, column) = (&spot.path, spot.line, spot.column);
                let snippet = spot.snippet(expected);
                format!("{gutter}--> {path}:{line}:{column}\n{snippet}")
            }
            Place::Variable(name) => with_note(&format!("environment variable {name}"), expected),
            Place::Option(name) => with_note(name, expected),
            Place::Text(spot) => format!(" --> {}\n{}", spot.path, spot.snippet(expected)),
        }
    }
}

fn with_note(place: &str, expected: &str) -> String {
    if expected.is_empty() {
        format!(" --> {place}")
    } else {
        format!(" --> {place}\n  = {expected}")
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n\n"))]
pub struct Problems(pub(super) Vec<Problem>);

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl Problems {
    /// Whether nothing is wrong.
    ///
    /// # Errors
    /// Something is.
    pub(crate) fn none_of(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self(problems))
        }
    }

    /// The problems, those of one file together and in its order.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Whether nothing but the command line is wrong.
    pub fn only_of_the_command_line(&self) -> bool {
        self.iter()
            .all(|problem| problem.source == Source::CommandLine)
    }
}

/// A configuration file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file that was asked for by name is not there.
    #[error("there is no configuration file `{path}`")]
    Missing {
        /// Where it should be.
        path: Utf8PathBuf,
    },
    /// It is there, but can't be read.
    #[error("could not read the configuration file `{path}`")]
    Read {
        /// Where it is.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is no text.
    #[error("the configuration file `{path}` is not UTF-8 text: line {line} holds other bytes")]
    NotText {
        /// Where it is.
        path: Utf8PathBuf,
        /// The line with the first byte that is no text, from 1.
        line: usize,
    },
}
