//! What killed runs had left behind: a line at the start of a run, and the list of `cargo stt reap`.

use std::fmt::Write as _;

use stt_core::report::Reaped;
use stt_core::report::Warning;
use stt_core::run::Reaping;

use crate::render::human::push_warning;
use crate::render::status::INDENT;
use crate::render::status::push_process;
use crate::render::status::push_thing;
use crate::render::status::things;
use crate::render::summary::count;
use crate::render::summary::push_word;
use crate::render::text::plain;
use crate::render::theme::Theme;
use crate::render::theme::Tone;

/// Adds the line that tells it at the start of a run; with those who are still alive, where there are
/// any.
pub(super) fn push_reaped(page: &mut String, theme: Theme, reaped: &Reaped) {
    let gone =
        !reaped.ended.is_empty() || !reaped.directories.is_empty() || !reaped.containers.is_empty();
    if gone {
        push_line(page, theme, "Reaped", reaped);
    }
    push_left(page, theme, reaped);
}

/// The list of `cargo stt reap`: each dead run with what it had left.
pub(crate) fn list_reaped(found: &Reaping, dry_run: bool, colour: bool) -> String {
    let theme = Theme::new(colour);
    let mut page = String::new();
    for reaped in &found.reaped {
        let word = if dry_run { "Found" } else { "Reaped" };
        push_line(&mut page, theme, word, reaped);
        for process in &reaped.ended {
            push_process(&mut page, "", process);
        }
        if reaped.more > 0 {
            let _ = writeln!(page, "{:INDENT$}and {} more", "", reaped.more);
        }
        for directory in &reaped.directories {
            let _ = writeln!(page, "{:INDENT$}{}", "", plain(directory.as_str()));
        }
        for thing in &reaped.containers {
            push_thing(&mut page, "", thing);
        }
        push_left(&mut page, theme, reaped);
    }
    page
}

/// What could not be done, as warnings.
pub(crate) fn list_warnings(warnings: &[Warning], colour: bool) -> String {
    let mut page = String::new();
    for warning in warnings {
        push_warning(&mut page, Theme::new(colour), warning);
    }
    page
}

fn push_line(page: &mut String, theme: Theme, word: &str, reaped: &Reaped) {
    push_word(page, theme, Tone::News, word);
    let processes = reaped.ended.len() + reaped.more;
    let directories = reaped.directories.len();
    let processes = (processes > 0).then(|| count(processes, "process", "processes"));
    let directories = (directories > 0).then(|| count(directories, "directory", "directories"));
    let containers = reaped.containers.len();
    let containers = (containers > 0).then(|| things(&reaped.containers));
    let what = processes.into_iter().chain(containers).chain(directories);
    let what: Vec<_> = what.collect();
    let what = match what.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    };
    let (run, workspace) = (reaped.run.short(), plain(reaped.workspace.as_str()));
    let _ = writeln!(page, "{what} that run {run} of {workspace} had left behind");
}

fn push_left(page: &mut String, theme: Theme, reaped: &Reaped) {
    if reaped.left.is_empty() {
        return;
    }
    push_word(page, theme, Tone::Bad, "Alive");
    let number = count(reaped.left.len(), "process", "processes");
    let run = reaped.run.short();
    let _ = writeln!(page, "{number} of run {run} could not be ended:");
    for process in &reaped.left {
        push_process(page, "", process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use stt_core::id::RunId;
    use stt_core::report::Event;
    use stt_core::report::LeakedProcess;

    use crate::cli::MessageFormat;
    use crate::render::options::RenderOptions;
    use crate::render::script::Kept;
    use crate::render::script::piped;
    use crate::render::script::show;

    fn process(pid: i32, command: &str) -> LeakedProcess {
        let command = command.to_owned();
        LeakedProcess {
            pid,
            command,
            ports: Vec::new(),
            still_held: Vec::new(),
        }
    }

    fn reaped() -> Reaped {
        Reaped {
            run: RunId::from_random([7; 16]),
            workspace: "/home/me/app".into(),
            ended: vec![process(5, "sleep 60"), process(7, "a\nb")],
            left: Vec::new(),
            more: 0,
            directories: vec!["/tmp/stt-07070707".into()],
            containers: Vec::new(),
        }
    }

    #[test]
    fn a_run_tells_it_in_a_line() {
        let mut left = reaped();
        left.left = vec![process(9, "[stuck]")];
        let events = [reaped(), left].map(|reaped| Event::Reaped(Box::new(reaped)));
        let line = "      Reaped 2 processes and 1 directory that run 07070707 of /home/me/app had left behind\n";
        let alive = "       Alive 1 process of run 07070707 could not be ended:\n";
        let screen = Kept::new(80, 24);
        show(piped(), &events, &screen);
        let expected = format!("{line}{line}{alive}{:INDENT$}pid 9 [stuck]\n", "");
        assert_eq!(screen.stderr(), expected);
        let json = RenderOptions {
            message_format: MessageFormat::Json,
            ..piped()
        };
        let screen = Kept::new(80, 24);
        show(json, &events[..1], &screen);
        assert_eq!(
            screen.stdout().trim_end(),
            r#"{"type":"reaped","run":"07070707-0707-4707-8707-070707070707","workspace":"/home/me/app","ended":[{"pid":5,"command":"sleep 60","ports":[]},{"pid":7,"command":"a\nb","ports":[]}],"left":[],"more":0,"directories":["/tmp/stt-07070707"],"containers":[]}"#
        );
    }

    #[test]
    fn the_list_names_everybody() {
        let found = Reaping {
            reaped: vec![reaped()],
            warnings: vec![Warning {
                message: "`x` is not acted on".to_owned(),
                hint: None,
            }],
        };
        let text = list_reaped(&found, true, false);
        let expected = format!(
            "       Found 2 processes and 1 directory that run 07070707 of /home/me/app had left behind\n\
             {0:INDENT$}pid 5 sleep 60\n{0:INDENT$}pid 7 a\\nb\n{0:INDENT$}/tmp/stt-07070707\n",
            ""
        );
        assert_eq!(text, expected);
        assert_eq!(
            list_warnings(&found.warnings, false),
            "warning: `x` is not acted on\n"
        );
        assert!(!found.is_complete());
    }
}
