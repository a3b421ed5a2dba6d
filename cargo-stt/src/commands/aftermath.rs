//! What the supervisor says after the end of its worker.

use std::fmt::Write as _;
use std::io;

use clap::ColorChoice;
use stt_core::outcome::Exit;
use stt_core::outcome::signal_name;
use stt_core::process::Survivor;
use stt_core::process::Swept;
use stt_core::run::Aftermath;
use stt_core::run::Ending;

use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::printer::Printer;
use crate::render::things;

/// How many processes are named.
const NAMED: usize = 5;

/// Says what happened, what was done, and how to go on. Says nothing when all is well.
pub(super) fn tell(aftermath: &Aftermath) {
    let printer = Surroundings::capture().map(|it| Printer::new(ColorChoice::Auto, &it));
    let colour = printer.as_ref().is_ok_and(Printer::err_colour);
    let text = text(aftermath, colour);
    if text.is_empty() {
        return;
    }
    match printer {
        Ok(printer) => {
            if aftermath.ending.is_death() {
                printer.recover();
            }
            printer.err(&text);
        }
        // The current directory is gone, for one: that is no reason to be silent.
        Err(_) => Printer::emergency(&text),
    }
}

/// Says that nobody will clean up should this process be killed.
pub(super) fn warn_of_no_supervisor(error: &io::Error) {
    Printer::emergency(&format!(
        "warning: there is no supervisor ({error}): were this process killed, its tests would live on\n"
    ));
}

fn text(aftermath: &Aftermath, colour: bool) -> String {
    let mut text = String::new();
    if aftermath.ending.is_death() {
        text.push_str(&death(aftermath).render(colour));
    } else {
        if aftermath.swept != Swept::default() {
            let left = processes(aftermath);
            writeln!(text, "warning: the run left something behind\n{left}")
                .expect("a string takes everything");
        }
        for failure in &aftermath.failures {
            writeln!(text, "warning: {failure}").expect("a string takes everything");
        }
    }
    if let Some((number, most)) = aftermath.restart {
        writeln!(
            text,
            "restarting: the run goes on without the tests that have a result ({number} of {most})"
        )
        .expect("a string takes everything");
    }
    text
}

fn death(aftermath: &Aftermath) -> Error {
    let (kind, message) = match aftermath.ending {
        Ending::Killed => (
            Kind::Killed,
            "the process that ran the tests was killed by SIGKILL: by the system, when it is out of \
             memory, or by somebody"
                .to_owned(),
        ),
        Ending::Crashed | Ending::Orderly | Ending::Stopped => (
            Kind::Bug,
            format!("the process that ran the tests {}", crashed(aftermath.exit)),
        ),
    };
    let mut details = vec![processes(aftermath)];
    details.extend(containers(aftermath));
    details.extend(aftermath.failures.iter().cloned());
    details.extend(
        aftermath
            .checkpoint
            .iter()
            .map(|path| format!("the checkpoint is `{path}`")),
    );
    let error = Error::new(kind, message).details(&details.join("\n"));
    match (&aftermath.checkpoint, aftermath.restart) {
        (Some(_), None) => error.hint("the same command with --resume goes on"),
        (Some(_) | None, _) => error,
    }
}

/// What was removed from a container engine.
fn containers(aftermath: &Aftermath) -> Option<String> {
    let found = &aftermath.containers;
    let names = found.iter().take(NAMED).map(ToString::to_string);
    let mut names: Vec<_> = names.collect();
    if found.len() > names.len() {
        names.push(format!("and {} more", found.len() - names.len()));
    }
    let what = things(found);
    (!found.is_empty()).then(|| format!("{what} of its tests removed: {}", names.join(", ")))
}

fn crashed(exit: Exit) -> String {
    match exit {
        Exit::Signal(signal) => format!("crashed: signal {signal} ({})", signal_name(signal)),
        Exit::Code(code) => format!("ended unexpectedly with code {code}"),
    }
}

/// Who was left, a line for each kind of end.
fn processes(aftermath: &Aftermath) -> String {
    let swept = &aftermath.swept;
    let list = |what: &str, found: &[Survivor], more: usize| {
        let total = found.len() + more;
        let names = found.iter().take(NAMED);
        let mut names: Vec<_> = names
            .map(|one| format!("{} ({})", one.pid, one.command))
            .collect();
        if total > names.len() {
            names.push(format!("and {} more", total - names.len()));
        }
        let count = match total {
            1 => "1 process".to_owned(),
            count => format!("{count} processes"),
        };
        format!("{count} of its tests {what}: {}", names.join(", "))
    };
    match (&*swept.ended, &*swept.left) {
        ([], []) => "no process was left".to_owned(),
        (ended, []) => list("ended with it", ended, swept.more),
        ([], left) => list("could not be ended", left, 0),
        (ended, left) => {
            let ended = list("ended with it", ended, swept.more);
            format!("{ended}\n{}", list("could not be ended", left, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aftermath(exit: Exit, ending: Ending) -> Aftermath {
        Aftermath {
            exit,
            ending,
            swept: Swept::default(),
            containers: Vec::new(),
            checkpoint: Some("target/stt-checkpoint.json".into()),
            failures: Vec::new(),
            restart: None,
        }
    }

    fn survivors(count: i32) -> Vec<Survivor> {
        let survivor = |pid| Survivor {
            pid,
            command: "sleep 9".to_owned(),
            ports: Vec::new(),
            still_held: Vec::new(),
            in_group: false,
        };
        (100..100 + count).map(survivor).collect()
    }

    #[test]
    fn an_orderly_end_needs_no_words() {
        let orderly = aftermath(Exit::Code(0), Ending::Orderly);
        assert_eq!(text(&orderly, false), "");
    }

    #[test]
    fn a_killed_worker_is_explained() {
        let mut killed = aftermath(Exit::Signal(9), Ending::Killed);
        killed.swept.ended = survivors(6);
        assert_eq!(
            text(&killed, false),
            "error: the process that ran the tests was killed by SIGKILL: by the system, when it is \
             out of memory, or by somebody\n\
             6 processes of its tests ended with it: 100 (sleep 9), 101 (sleep 9), 102 (sleep 9), \
             103 (sleep 9), 104 (sleep 9), and 1 more\n\
             the checkpoint is `target/stt-checkpoint.json`\n\n\
             hint: the same command with --resume goes on\n"
        );
    }

    #[test]
    fn those_who_were_not_named_are_counted() {
        let mut killed = aftermath(Exit::Signal(9), Ending::Killed);
        killed.swept.ended = survivors(5);
        killed.swept.more = 834;
        let text = text(&killed, false);
        assert!(
            text.contains("839 processes of its tests ended with it: 100 "),
            "{text}"
        );
        assert!(text.contains(", and 834 more\n"), "{text}");
    }

    #[test]
    fn a_restart_is_announced_instead_of_explained() {
        let mut crashed = aftermath(Exit::Signal(11), Ending::Crashed);
        crashed.restart = Some((2, 3));
        let text = text(&crashed, false);
        assert!(
            text.starts_with("error: the process that ran the tests crashed: signal 11 (SIGSEGV)")
        );
        assert!(
            text.ends_with("tests that have a result (2 of 3)\n"),
            "{text}"
        );
        assert!(!text.contains("--resume"), "{text}");
    }

    #[test]
    fn what_failed_after_an_orderly_end_is_told() {
        let mut orderly = aftermath(Exit::Code(42), Ending::Orderly);
        orderly.failures = vec!["the run can't go on by itself".to_owned()];
        assert_eq!(
            text(&orderly, false),
            "warning: the run can't go on by itself\n"
        );
    }

    #[test]
    fn what_lives_on_is_named() {
        let mut orderly = aftermath(Exit::Code(0), Ending::Orderly);
        orderly.swept.left = survivors(1);
        assert_eq!(
            text(&orderly, false),
            "warning: the run left something behind\n\
             1 process of its tests could not be ended: 100 (sleep 9)\n"
        );
    }
}
