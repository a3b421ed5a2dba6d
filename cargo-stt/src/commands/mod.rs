//! One file for each command, and the way from the arguments to one of them.

mod aftermath;
mod archive;
mod attend;
mod config;
mod failure;
mod import;
mod junit;
mod list;
mod merge;
mod place;
mod ports;
mod prepare;
mod reap;
mod recorded;
mod repeat;
mod reports;
mod run;
mod screen;
mod service;
mod status;
mod supervised;

use std::ffi::OsStr;
use std::ffi::OsString;
use std::io;

use camino::Utf8Path;
use clap::ColorChoice;
use clap::Parser as _;
use clap::error::ContextKind;
use clap::error::ContextValue;
use stt_core::discovery::RustdocCall;
use stt_core::run::Side;
use stt_core::run::Worker;
use stt_core::run::become_doctest;
use stt_core::run::inherit_jobserver;
use stt_core::run::supervise;
use stt_core::run::write_rustdoc_call;

use crate::cli::Cli;
use crate::cli::Command;
use crate::cli::ConfigCommand;
use crate::cli::PortsCommand;
use crate::cli::ServiceCommand;
use crate::env;
use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::CODES;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::settings;
use crate::settings::Task;

pub(crate) use attend::attend;

/// Does what the arguments say. Where that may be to run tests a supervisor stays behind, and the
/// program begins in its child.
pub(crate) fn main() -> Exit {
    if let Some((dir, call)) = env::rustdoc_call() {
        return write_down(&dir, &call);
    }
    if let Some((program, args)) = env::doctest_call() {
        return cannot_become(&program, &become_doctest(&program, &args));
    }
    if !supervised::may_run_tests(&env::command_line()) {
        return work(None);
    }
    inherit_jobserver();
    match supervise(&CODES, env::variables, &mut aftermath::tell) {
        Ok(Side::Worker(worker)) => work(Some(worker)),
        Ok(Side::Supervisor(last)) => Exit::from_last(last),
        Err(error) => {
            aftermath::warn_of_no_supervisor(&error);
            work(None)
        }
    }
}

/// A documentation test that can't be started.
fn cannot_become(program: &OsStr, error: &io::Error) -> Exit {
    let program = program.display();
    Printer::emergency(&format!("error: `{program}` can't be started: {error}\n"));
    Exit::Setup
}

/// What cargo takes for its documentation tool tells us how it is called.
fn write_down(dir: &Utf8Path, call: &RustdocCall) -> Exit {
    match write_rustdoc_call(dir, call) {
        Ok(()) => Exit::Passed,
        Err(error) => {
            Printer::emergency(&format!(
                "error: a call of rustdoc can't be written: {error}\n"
            ));
            Exit::Setup
        }
    }
}

fn work(worker: Option<Worker>) -> Exit {
    let surroundings = match Surroundings::capture() {
        Ok(surroundings) => surroundings,
        Err(error) => {
            Printer::emergency(&error.render(false));
            return error.exit();
        }
    };
    let cli = match Cli::try_parse_from(arguments(&surroundings.args)) {
        Ok(cli) => cli,
        Err(error) => return explain(error, &Printer::new(ColorChoice::Auto, &surroundings)),
    };
    let printer = Printer::new(colour_choice(&cli), &surroundings);
    let done = settings::resolve(cli, &surroundings)
        .and_then(|task| perform(task, &surroundings, &printer, worker));
    done.unwrap_or_else(|error| {
        printer.err(&error.render(printer.err_colour()));
        error.exit()
    })
}

fn perform(
    task: Task,
    surroundings: &Surroundings,
    printer: &Printer,
    worker: Option<Worker>,
) -> Result<Exit, Error> {
    match task {
        Task::Run(request) => run::run(*request, surroundings, printer, worker),
        Task::List(request) => list::list(&request, surroundings, printer),
        Task::Archive(request) => archive::archive(&request, surroundings, printer),
        Task::Merge(args) => merge::merge(&args, surroundings, printer),
        Task::Reap(request) => reap::reap(&request, printer),
        Task::Ports(request) => ports::list(&request, printer),
        Task::Lease(request) => Err(ports::lease(&request, surroundings)),
        Task::Status(request) => status::status(&request, printer),
        Task::Service(request) => service::service(&request, surroundings, printer),
        Task::ShowConfig(configuration) => config::show(&configuration, printer),
        Task::CheckConfig(configuration) => config::check(&configuration, printer),
        Task::DefaultConfig => Ok(config::default(printer)),
        Task::ImportNextest(request) => import::import(&request, printer),
    }
}

/// The arguments without the `stt` that cargo puts first: `cargo stt ARGS` runs `cargo-stt stt ARGS`.
fn arguments(args: &[OsString]) -> Vec<OsString> {
    let called_by_cargo = args.get(1).is_some_and(|first| first == "stt");
    let mut args = args.to_vec();
    if called_by_cargo {
        args.remove(1);
    }
    args
}

fn colour_choice(cli: &Cli) -> ColorChoice {
    match &cli.command {
        None => cli.run.colour.color,
        Some(Command::Run(args)) => args.colour.color,
        Some(Command::List(args)) => args.colour.color,
        Some(Command::Archive(args)) => args.colour.color,
        Some(Command::Merge(args)) => args.colour.color,
        Some(Command::Reap(args)) => args.colour.color,
        Some(Command::Status(args)) => args.colour.color,
        Some(Command::Ports(args)) => match &args.command {
            None => args.colour.color,
            Some(PortsCommand::Lease(args)) => args.colour.color,
        },
        Some(Command::Service(args)) => match &args.command {
            ServiceCommand::Show(args) => args.colour.color,
            ServiceCommand::Install(args) => args.file.colour.color,
            ServiceCommand::Uninstall(colour) => colour.color,
        },
        Some(Command::Config(args)) => match &args.command {
            ConfigCommand::Show(args) | ConfigCommand::Check(args) => args.colour.color,
            ConfigCommand::Default => ColorChoice::Auto,
            ConfigCommand::ImportNextest(args) => args.colour.color,
        },
    }
}

/// Prints the help, the version or what is wrong with the arguments.
fn explain(mut error: clap::Error, printer: &Printer) -> Exit {
    // clap advises to put what it doesn't know behind `--`, where we would refuse it, too.
    if let Some(ContextValue::StyledStrs(tips)) = error.remove(ContextKind::Suggested) {
        let good = tips
            .into_iter()
            .filter(|tip| !tip.to_string().contains("use '--"));
        let good: Vec<_> = good.collect();
        if !good.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(good));
        }
    }
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        printer.err(&text);
        return Exit::Usage;
    }
    finish(printer.out(&text), printer)
}

/// The end of a command that only prints.
fn finish(written: io::Result<()>, printer: &Printer) -> Exit {
    let Err(error) = written else {
        return Exit::Passed;
    };
    let error = Error::new(Kind::Setup, "could not write to standard output").caused_by(&error);
    printer.err(&error.render(printer.err_colour()));
    error.exit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_cargo_adds_is_taken_away_once() {
        let cases: [(&[&str], &[&str]); 5] = [
            (&["cargo-stt"], &["cargo-stt"]),
            (&["cargo-stt", "stt"], &["cargo-stt"]),
            (&["cargo-stt", "stt", "list"], &["cargo-stt", "list"]),
            (&["cargo-stt", "list", "stt"], &["cargo-stt", "list", "stt"]),
            // `cargo stt stt`: the tests with `stt` in their names.
            (&["cargo-stt", "stt", "stt"], &["cargo-stt", "stt"]),
        ];
        for (given, expected) in cases {
            let given: Vec<_> = given.iter().map(OsString::from).collect();
            assert_eq!(arguments(&given), expected);
        }
    }
}
