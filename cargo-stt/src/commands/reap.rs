//! `cargo stt reap`: ends what killed runs have left behind.

use std::time::Duration;

use stt_core::clock::Clock;
use stt_core::run;
use stt_core::run::Reaping;

use crate::commands::finish;
use crate::commands::repeat::Interrupts;
use crate::commands::repeat::unseen;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::render::list_reaped;
use crate::render::list_warnings;
use crate::settings::ReapRequest;

/// The time between two looks with `--watch`.
const INTERVAL: Duration = Duration::from_secs(2);

/// Looks once, or until interrupted.
pub(super) fn reap(request: &ReapRequest, printer: &Printer) -> Result<Exit, Error> {
    if !request.watch {
        let found = look(request)?;
        let exit = show(&found, request, printer);
        if found == Reaping::default() {
            let nothing = "no killed run has left anything behind\n";
            return Ok(finish(printer.out(nothing), printer));
        }
        return Ok(exit);
    }
    let interrupts = Interrupts::listen()?;
    let mut last = Reaping::default();
    loop {
        let found = look(request)?;
        // What can't be changed is said once.
        if found != last {
            let shown = show(&found, request, printer);
            if shown > Exit::Setup {
                return Ok(shown);
            }
        }
        last = found;
        if let Some(signal) = interrupts.within(INTERVAL) {
            return Ok(Exit::Signal(signal));
        }
    }
}

fn look(request: &ReapRequest) -> Result<Reaping, Error> {
    let found = run::reap(
        &request.place,
        &request.env,
        &Clock::start(),
        request.dry_run,
    );
    found.map_err(|error| unseen(&error))
}

fn show(found: &Reaping, request: &ReapRequest, printer: &Printer) -> Exit {
    printer.err(&list_warnings(&found.warnings, printer.err_colour()));
    let list = printer.out(&list_reaped(found, request.dry_run, true));
    let complete = if found.is_complete() {
        Exit::Passed
    } else {
        Exit::Setup
    };
    complete.and(finish(list, printer))
}
