//! The lines of setup and teardown scripts, in the layout of those of tests.

use std::fmt::Write as _;
use std::time::Duration;

use stt_core::config::StatusLevel;
use stt_core::outcome::Failure;
use stt_core::outcome::ScriptOutcome;
use stt_core::report::ScriptFinished;
use stt_core::report::ScriptPlace;
use stt_core::script::ScriptKind;

use crate::render::output::push_output;
use crate::render::status::INDENT;
use crate::render::summary::push_word;
use crate::render::text::plain;
use crate::render::text::plain_lines;
use crate::render::theme::Painted;
use crate::render::theme::Theme;
use crate::render::theme::Tone;

/// Adds the line of a script that starts.
pub(super) fn push_started(page: &mut String, theme: Theme, place: &ScriptPlace) {
    let word = match place.script.kind {
        ScriptKind::Setup => "SETUP",
        ScriptKind::Teardown => "TEARDOWN",
    };
    let count = format!("{}/{}", place.number, place.of);
    push_line(
        page,
        theme,
        (word, Tone::News),
        &format!("[{count:>9}]"),
        place,
    );
    page.push('\n');
}

/// Adds the line of a script that takes long.
pub(super) fn push_slow(
    page: &mut String,
    theme: Theme,
    place: &ScriptPlace,
    elapsed: Duration,
    ending: bool,
) {
    let (word, tone) = if ending {
        ("TERMINATING".to_owned(), Tone::Bad)
    } else {
        (of_kind(place.script.kind, "SLOW"), Tone::Warn)
    };
    let time = format!("[>{:>7.3}s]", elapsed.as_secs_f64());
    push_line(page, theme, (&word, tone), &time, place);
    page.push('\n');
}

/// From which status level on its end is shown.
pub(super) fn level(end: &ScriptFinished) -> StatusLevel {
    match end.outcome {
        ScriptOutcome::Passed if end.output_open => StatusLevel::Leak,
        ScriptOutcome::Passed => StatusLevel::Pass,
        ScriptOutcome::Failed(_) | ScriptOutcome::Variables(_) | ScriptOutcome::Ended(_) => {
            StatusLevel::Fail
        }
    }
}

/// Adds the line of a script that has ended, and what went wrong with what it printed.
pub(super) fn push_finished(page: &mut String, theme: Theme, end: &ScriptFinished) {
    let (word, tone) = match &end.outcome {
        ScriptOutcome::Passed if end.output_open => ("LEAK", Tone::Warn),
        ScriptOutcome::Passed => ("PASS", Tone::Good),
        ScriptOutcome::Failed(Failure::Timeout { .. }) => ("TMT", Tone::Bad),
        ScriptOutcome::Failed(_) | ScriptOutcome::Variables(_) => ("FAIL", Tone::Bad),
        ScriptOutcome::Ended(_) => ("ENDED", Tone::Warn),
    };
    let word = of_kind(end.script.script.kind, word);
    let time = format!("[{:>8.3}s]", end.duration.as_secs_f64());
    push_line(page, theme, (&word, tone), &time, &end.script);
    page.push('\n');
    if end.outcome == ScriptOutcome::Passed {
        return;
    }
    let reason = end.outcome.to_string();
    let _ = writeln!(page, "{:INDENT$}{}", "", plain_lines(&reason, INDENT));
    if let Some(output) = &end.output {
        push_output(page, theme, output);
    }
}

/// A status word of twelve columns at most.
fn of_kind(kind: ScriptKind, word: &str) -> String {
    match kind {
        ScriptKind::Setup => format!("SETUP {word}"),
        ScriptKind::Teardown => format!("DOWN {word}"),
    }
}

fn push_line(
    page: &mut String,
    theme: Theme,
    (word, tone): (&str, Tone),
    time: &str,
    place: &ScriptPlace,
) {
    push_word(page, theme, tone, word);
    let name = Painted(theme.strong(), plain(&place.script.name));
    let command = place.script.command.to_string();
    let command = plain_lines(&command, INDENT);
    let _ = write!(page, "{time} {name}: {command}");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stt_core::outcome::Unfinished;
    use stt_core::script::RelativeTo;
    use stt_core::script::Script;
    use stt_core::script::ScriptCommand;
    use stt_core::times::TestTimes;

    use super::*;
    use crate::render::script::printed;

    fn place(kind: ScriptKind) -> ScriptPlace {
        let command = ScriptCommand {
            program: "./up.sh".to_owned(),
            args: vec!["a b\u{1b}[2J".to_owned()],
            relative_to: RelativeTo::None,
            env: Vec::new(),
        };
        ScriptPlace {
            script: Arc::new(Script {
                kind,
                name: "db".into(),
                command,
                times: TestTimes::default(),
                capture_stdout: true,
                capture_stderr: true,
            }),
            number: 2,
            of: 3,
            shown: false,
        }
    }

    fn end(kind: ScriptKind, outcome: ScriptOutcome, output_open: bool) -> String {
        let end = ScriptFinished {
            script: place(kind),
            outcome,
            duration: Duration::from_millis(1234),
            output: Some(printed("said\n", "")),
            variables: Vec::new(),
            output_open,
        };
        let mut page = String::new();
        push_finished(&mut page, Theme::new(false), &end);
        page.replace("db: ./up.sh 'a b\\u{1b}[2J'", "SCRIPT")
    }

    #[test]
    fn a_script_has_the_columns_of_a_test() {
        let theme = Theme::new(false);
        let mut page = String::new();
        push_started(&mut page, theme, &place(ScriptKind::Setup));
        push_started(&mut page, theme, &place(ScriptKind::Teardown));
        let slow = Duration::from_secs(60);
        push_slow(&mut page, theme, &place(ScriptKind::Setup), slow, false);
        push_slow(&mut page, theme, &place(ScriptKind::Teardown), slow, true);
        let page = page.replace("db: ./up.sh 'a b\\u{1b}[2J'", "SCRIPT");
        let expected = "       SETUP [      2/3] SCRIPT\n    TEARDOWN [      2/3] SCRIPT\n  \
             SETUP SLOW [> 60.000s] SCRIPT\n TERMINATING [> 60.000s] SCRIPT\n";
        assert_eq!(page, expected);
        let setup = ScriptKind::Setup;
        let passed = end(setup, ScriptOutcome::Passed, false);
        assert_eq!(passed, "  SETUP PASS [   1.234s] SCRIPT\n");
        let leaky = end(ScriptKind::Teardown, ScriptOutcome::Passed, true);
        assert_eq!(leaky, "   DOWN LEAK [   1.234s] SCRIPT\n");
    }

    #[test]
    fn of_a_failed_script_it_is_told_why_and_what_it_printed() {
        let failed = ScriptOutcome::Failed(Failure::Exit(3));
        assert_eq!(
            end(ScriptKind::Setup, failed, false),
            "  SETUP FAIL [   1.234s] SCRIPT\n             exited with code 3\n  stdout ───\n    said\n\n"
        );
        let ended = ScriptOutcome::Ended(Unfinished::Interrupted);
        let shown = end(ScriptKind::Teardown, ended, false);
        assert!(
            shown.starts_with("  DOWN ENDED [   1.234s] SCRIPT\n"),
            "{shown}"
        );
    }
}
