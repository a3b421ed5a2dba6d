//! Errors as people see them: what is wrong, why, and what to do next.

use std::fmt::Write as _;

use anstyle::AnsiColor;
use anstyle::Style;
use stt_core::config::Problems;
use stt_core::config::ReadError;

use crate::exit_code::Exit;
use crate::printer::Printer;

/// What kind of thing went wrong; it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command line can't be understood.
    Usage,
    /// The configuration is wrong, or something that a run needs is not there.
    Setup,
    /// cargo could not describe the workspace.
    Metadata,
    /// cargo could not build the tests.
    Build,
    /// A test binary could not list its tests.
    Listing,
    /// The process that ran the tests was killed; the run can be resumed.
    Killed,
    /// The tests ran, and a report of them could not be written.
    Report,
    /// A bug in stt.
    Bug,
}

/// An error that ends the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    kind: Kind,
    reports: Vec<Report>,
    hint: Option<String>,
}

/// One thing that is wrong. Nearly every error has one; a configuration may have many.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Report {
    message: String,
    /// Lines for below the message, such as the place in a file.
    details: Option<String>,
    causes: Vec<String>,
}

impl Error {
    /// An error with a message that says what could not be done, or what is wrong.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        let report = Report {
            message: message.into(),
            details: None,
            causes: Vec::new(),
        };
        Self {
            kind,
            reports: vec![report],
            hint: None,
        }
    }

    /// An error of a room: its message, and those of its sources as causes.
    pub(crate) fn from_source(kind: Kind, error: &dyn std::error::Error) -> Self {
        let new = Self::new(kind, error.to_string());
        match error.source() {
            Some(source) => new.caused_by(source),
            None => new,
        }
    }

    /// Adds why it went wrong, with everything below that.
    #[must_use]
    pub(crate) fn caused_by(mut self, source: &dyn std::error::Error) -> Self {
        if let Some(report) = self.reports.last_mut() {
            let chain = std::iter::successors(Some(source), |error| error.source());
            report.causes.extend(chain.map(ToString::to_string));
        }
        self
    }

    /// Adds what somebody else said about it, as it is.
    #[must_use]
    pub(crate) fn details(mut self, text: &str) -> Self {
        if let Some(report) = self.reports.last_mut() {
            report.details = Some(text.trim_end().to_owned()).filter(|text| !text.is_empty());
        }
        self
    }

    /// Says what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// How the command exits with it.
    pub(crate) fn exit(&self) -> Exit {
        match self.kind {
            Kind::Usage => Exit::Usage,
            Kind::Setup => Exit::Setup,
            Kind::Metadata => Exit::Metadata,
            Kind::Build => Exit::Build,
            Kind::Listing => Exit::Listing,
            Kind::Killed => Exit::Stopped,
            Kind::Report => Exit::Report,
            Kind::Bug => Exit::Bug,
        }
    }

    /// The whole error as text, ending with a newline.
    pub(crate) fn render(&self, colour: bool) -> String {
        let paint = |style: Style| if colour { style } else { Style::new() };
        let bad = paint(AnsiColor::Red.on_default().bold());
        let note = paint(AnsiColor::Cyan.on_default().bold());
        let mut text = String::new();
        for (index, report) in self.reports.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            line(&mut text, bad, "error", &report.message);
            if let Some(details) = &report.details {
                text.push_str(details);
                text.push('\n');
            }
            for cause in &report.causes {
                line(&mut text, Style::new(), "  caused by", cause);
            }
        }
        if let Some(hint) = &self.hint {
            if self.reports.len() > 1 || self.reports.iter().any(|one| one.details.is_some()) {
                text.push('\n');
            }
            line(&mut text, note, "hint", hint);
        }
        text
    }
}

fn line(text: &mut String, style: Style, word: &str, message: &str) {
    // The causes of foreign errors may have several lines: they stay below their first word.
    let indent = " ".repeat(word.len() + 2);
    let message = message.trim_end().replace('\n', &format!("\n{indent}"));
    writeln!(text, "{style}{word}:{style:#} {message}").expect("a string takes everything");
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        let reports: Vec<_> = problems
            .iter()
            .map(|problem| Report {
                message: problem.message.clone(),
                details: Some(problem.details()),
                causes: Vec::new(),
            })
            .collect();
        let kind = if problems.only_of_the_command_line() {
            Kind::Usage
        } else {
            Kind::Setup
        };
        let error = Self {
            kind,
            reports,
            hint: None,
        };
        if problems.iter().any(|problem| problem.key.is_some()) {
            error.hint("`cargo stt config default` prints every key with what it means")
        } else {
            error
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::from_source(Kind::Setup, &error)
    }
}

/// Makes a panic, in whichever thread, look like the error that it is.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let backtrace = std::backtrace::Backtrace::capture();
        let what = info.payload_as_str().unwrap_or("something unexpected");
        let place = info.location().map(|place| format!(" (at {place})"));
        let mut text = bug(what, &place.unwrap_or_default()).render(false);
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            writeln!(text, "{backtrace}").expect("a string takes everything");
        }
        Printer::emergency(&text);
    }));
}

fn bug(what: &str, place: &str) -> Error {
    Error::new(Kind::Bug, format!("internal error: {what}{place}")).hint(
        "this is a bug in stt: please report it with the command that led to it; \
         with RUST_BACKTRACE=1 it shows where it comes from",
    )
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::num::NonZeroUsize;

    use stt_core::config;

    use super::*;

    #[test]
    fn an_error_has_its_causes_and_a_hint() {
        let error = Error::new(Kind::Setup, "could not read `x`")
            .caused_by(&io::Error::other("the disk\nis gone"))
            .hint("look for it");
        let plain = "error: could not read `x`\n  caused by: the disk\n             is gone\nhint: look for it\n";
        assert_eq!(error.render(false), plain);
        let coloured = error.render(true);
        assert!(coloured.starts_with("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m could"));
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    }

    #[test]
    fn the_source_of_an_error_is_its_cause() {
        let error = ReadError::Read {
            path: "/x".into(),
            source: io::Error::other("why"),
        };
        let text = Error::from(error).render(false);
        assert_eq!(
            text,
            "error: could not read the configuration file `/x`\n  caused by: why\n"
        );
    }

    #[test]
    fn a_panic_is_told_as_a_bug() {
        let error = bug("the sky fell", " (at src/sky.rs:3:5)");
        assert_eq!(error.exit(), Exit::Bug);
        let text = error.render(false);
        let first =
            "error: internal error: the sky fell (at src/sky.rs:3:5)\nhint: this is a bug in stt";
        assert!(text.starts_with(first), "{text}");
    }

    #[test]
    fn a_wrong_option_is_a_matter_of_usage_and_a_wrong_file_of_setup() {
        let flag = config::Flag {
            name: "--memory-threshold".to_owned(),
            key: "guard.memory-threshold".to_owned(),
            value: "900%".to_owned(),
        };
        let mut layers = config::Layers {
            flags: vec![flag],
            ..config::Layers::default()
        };
        let resolve = |layers: &config::Layers| {
            let problems = config::resolve(layers, NonZeroUsize::MIN).unwrap_err();
            Error::from(problems)
        };
        let error = resolve(&layers);
        assert_eq!(error.exit(), Exit::Usage);
        let text = error.render(false);
        assert!(text.contains("--> --memory-threshold"), "{text}");
        layers.environment = vec![("STT_RUN_TMPDIR".to_owned(), "x".to_owned())];
        assert_eq!(resolve(&layers).exit(), Exit::Setup);
    }
}
