//! A `cargo stt` that has ended.

use crate::report::Report;
use crate::report::Results;

/// How a call of `cargo stt` ended, and what it said.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The command, for messages.
    pub shown: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// The largest resident set of the process that runs the tests, in bytes, as of the last look before
    /// its end.
    pub peak_rss: u64,
}

impl Finished {
    /// Requires an exit code.
    ///
    /// # Panics
    /// With what the run said.
    #[must_use]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(
            (self.code, self.signal),
            (Some(code), None),
            "{}",
            self.transcript()
        );
        self
    }

    /// Requires that a signal ended it.
    ///
    /// # Panics
    /// With what the run said.
    #[must_use]
    pub fn signal(self, signal: i32) -> Self {
        assert_eq!(
            (self.code, self.signal),
            (None, Some(signal)),
            "{}",
            self.transcript()
        );
        self
    }

    /// Requires a text in what it said.
    ///
    /// # Panics
    /// With what the run said.
    #[must_use]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "no `{text}` in\n{}",
            self.transcript()
        );
        self
    }

    /// Requires that a text is not in what it said.
    ///
    /// # Panics
    /// With what the run said.
    #[must_use]
    pub fn never_says(self, text: &str) -> Self {
        assert!(
            !self.stderr.contains(text),
            "`{text}` in\n{}",
            self.transcript()
        );
        self
    }

    /// Its JSON lines.
    pub fn report(&self) -> Report {
        Report::parse(&self.stdout)
    }

    /// The results of its JSON lines.
    pub fn results(&self) -> Results {
        self.report().results()
    }

    /// Everything that it said.
    pub fn transcript(&self) -> String {
        format!(
            "$ {}\n--- standard output\n{}--- standard error\n{}---",
            self.shown,
            tail(&self.stdout),
            tail(&self.stderr)
        )
    }
}

/// The last part of a text, which may be long.
fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(20_000);
    let start = (start..=text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    &text[start..]
}
