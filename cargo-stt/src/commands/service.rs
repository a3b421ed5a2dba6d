//! `cargo stt service`: has the system call `cargo stt reap` from time to time.

use std::fmt::Write as _;
use std::io;

use camino::Utf8Path;
use fs_err as fs;
use stt_core::command::CommandLine;
use stt_core::fs::write_atomic;
use stt_core::report::Warning;
use stt_core::run::Answer;
use stt_core::run::RunError;
use stt_core::run::Session;
use stt_core::service;
use stt_core::service::Failing;
use stt_core::service::Manager;
use stt_core::service::Plan;
use stt_core::service::Step;
use stt_core::service::Wanted;

use crate::commands::failure::Failure;
use crate::commands::finish;
use crate::env;
use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::render::list_warnings;
use crate::settings::ServiceAction;
use crate::settings::ServiceRequest;

/// Shows, installs or uninstalls it.
pub(super) fn service(
    request: &ServiceRequest,
    surroundings: &Surroundings,
    printer: &Printer,
) -> Result<Exit, Error> {
    let plan = plan(request)?;
    match request.action {
        ServiceAction::Show => Ok(finish(printer.out(&shown(&plan)), printer)),
        ServiceAction::Install { start } => {
            let text = write_files(&plan)?;
            printed(printer, &text)?;
            if start {
                return take_up(&plan, surroundings, printer);
            }
            let text = format!("it does not run yet: {}\n", to_be_called(&plan.start));
            Ok(finish(printer.out(&text), printer))
        }
        ServiceAction::Uninstall => uninstall(&plan, surroundings, printer),
    }
}

fn plan(request: &ServiceRequest) -> Result<Plan, Error> {
    let manager = Manager::here().ok_or_else(|| {
        Error::new(
            Kind::Setup,
            "on this system we know of nobody who looks after services",
        )
        .hint("have `cargo stt reap` called by cron, or let `cargo stt reap --watch` run")
    })?;
    let program = env::own_program()?;
    let wanted = Wanted {
        program: &program,
        interval: request.interval,
        config_home: &request.config_home,
        home: &request.home,
        uid: nix::unistd::getuid().as_raw(),
    };
    service::plan(manager, &wanted).map_err(|error| Error::from_source(Kind::Setup, &error))
}

/// All files, each below its path.
fn shown(plan: &Plan) -> String {
    let texts: Vec<_> = plan
        .files
        .iter()
        .map(|file| format!("# {}\n{}", file.path, file.text))
        .collect();
    texts.join("\n")
}

/// What there is under a path where a file of ours may be.
enum There {
    Nothing,
    Ours,
}

/// Looks before anything is changed.
fn look(path: &Utf8Path) -> Result<There, Error> {
    let foreign = |what: &str| {
        let message = format!("`{path}` is {what}, and is left as it is");
        let hint = "move it away, or remove it, and do this again";
        Err(Error::new(Kind::Setup, message).hint(hint))
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(There::Nothing),
        Err(error) => return Err(unusable(&error)),
        Ok(meta) if meta.is_symlink() => return foreign("a symbolic link"),
        Ok(meta) if !meta.is_file() => return foreign("no file"),
        Ok(_) => {}
    }
    let text = fs::read(path).map_err(|error| unusable(&error))?;
    if service::is_ours(&String::from_utf8_lossy(&text)) {
        Ok(There::Ours)
    } else {
        foreign("not written by `cargo stt service install`")
    }
}

fn unusable(error: &io::Error) -> Error {
    Error::new(
        Kind::Setup,
        "the service can't be installed here, or removed",
    )
    .caused_by(error)
}

/// Writes all files or, where one of them is somebody else's, none. Returns what is to be said.
fn write_files(plan: &Plan) -> Result<String, Error> {
    for file in &plan.files {
        look(&file.path)?;
    }
    let mut text = String::new();
    for file in &plan.files {
        let directory = file.path.parent().unwrap_or(&file.path);
        fs::create_dir_all(directory)
            .and_then(|()| write_atomic(&file.path, file.text.as_bytes()))
            .map_err(|error| unusable(&error))?;
        let _ = writeln!(text, "installed {}", file.path);
    }
    Ok(text)
}

fn take_up(plan: &Plan, surroundings: &Surroundings, printer: &Printer) -> Result<Exit, Error> {
    let text = match call_all(&plan.start, surroundings) {
        Ok(None) => "it runs from now on\n".to_owned(),
        Ok(Some(failed)) => {
            let hint = to_be_called(&plan.start);
            if failed.step.failing == Failing::Refused {
                let error = Error::new(Kind::Setup, "the service is installed, and does not run");
                return Err(error.details(&failed.said).hint(hint));
            }
            let message = format!("it does not run yet: {}", failed.said);
            warn(printer, message, hint);
            String::new()
        }
        Err(failure) => return failure.conclude(),
    };
    Ok(finish(printer.out(&text), printer))
}

/// Lets the manager let go, and removes what is ours. Where there is nothing, that is all.
fn uninstall(plan: &Plan, surroundings: &Surroundings, printer: &Printer) -> Result<Exit, Error> {
    let mut ours = Vec::new();
    for file in &plan.files {
        if let There::Ours = look(&file.path)? {
            ours.push(&file.path);
        }
    }
    let links = plan.links.iter().filter(|link| link.is_symlink());
    if ours.is_empty() && links.clone().count() == 0 {
        return Ok(finish(printer.out("nothing is installed\n"), printer));
    }
    let mut text = String::new();
    let stopped = match call_all(&plan.stop, surroundings) {
        Ok(stopped) => stopped,
        Err(failure) => return failure.conclude(),
    };
    for path in ours.into_iter().chain(links) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&error)),
            Ok(()) | Err(_) => {
                let _ = writeln!(text, "removed {path}");
            }
        }
    }
    let settled = match call_all(&plan.settle, surroundings) {
        Ok(settled) => settled,
        Err(failure) => return failure.conclude(),
    };
    if let Some(failed) = stopped.or(settled) {
        let message = format!("it may run until you log out: {}", failed.said);
        let hint = to_be_called(&[&plan.stop[..], &plan.settle[..]].concat());
        warn(printer, message, hint);
    }
    Ok(finish(printer.out(&text), printer))
}

/// The command that did not do what it should, and why.
struct Failed<'a> {
    step: &'a Step,
    said: String,
}

/// Calls one after the other until one has failed, and that means something.
fn call_all<'a>(
    steps: &'a [Step],
    surroundings: &Surroundings,
) -> Result<Option<Failed<'a>>, Failure> {
    if steps.is_empty() {
        return Ok(None);
    }
    let session = Session::begin(surroundings.vars.clone(), None)?;
    for step in steps {
        let Some((program, args)) = step.words.split_first() else {
            continue;
        };
        let command = CommandLine::new(program, "/".into(), surroundings.vars.clone()).args(args);
        let said = match session.request(&command) {
            Ok(Answer::Done) => continue,
            Ok(Answer::Refused(said)) => said,
            Err(error @ RunError::Interrupted(_)) => return Err(error.into()),
            Err(error) => std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string),
        };
        if step.failing != Failing::Idle {
            return Ok(Some(Failed {
                step,
                said: format!("`{}`: {said}", command.shown()),
            }));
        }
    }
    Ok(None)
}

/// What a person has to type.
fn to_be_called(steps: &[Step]) -> String {
    let lines: Vec<_> = steps
        .iter()
        .filter(|step| step.failing != Failing::Idle)
        .map(|step| format!("`{}`", step.words.join(" ")))
        .collect();
    format!("call {}", lines.join(", then "))
}

fn warn(printer: &Printer, message: String, hint: String) {
    let warning = Warning {
        message,
        hint: Some(hint),
    };
    printer.err(&list_warnings(&[warning], printer.err_colour()));
}

fn printed(printer: &Printer, text: &str) -> Result<(), Error> {
    printer.out(text).map_err(|error| {
        Error::new(Kind::Setup, "could not write to standard output").caused_by(&error)
    })
}
