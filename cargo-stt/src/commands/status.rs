//! `cargo stt status`: the runs of this machine, and how it stands.

use std::time::Duration;

use stt_core::run::Observer;
use stt_core::run::Status;

use crate::commands::finish;
use crate::commands::repeat::Interrupts;
use crate::commands::repeat::unseen;
use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::render::show_status;
use crate::settings::StatusRequest;

/// The time between two looks with `--watch`.
const INTERVAL: Duration = Duration::from_secs(1);

/// Back to the upper left, and everything below it is gone.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Looks once, or until interrupted.
pub(super) fn status(request: &StatusRequest, printer: &Printer) -> Result<Exit, Error> {
    let mut observer = Observer::new(request.place.clone());
    if !request.watch {
        let status = look(&mut observer)?;
        return Ok(finish(
            printer.out(&text(&status, request, printer)?),
            printer,
        ));
    }
    let interrupts = Interrupts::listen()?;
    loop {
        let status = look(&mut observer)?;
        let mut page = text(&status, request, printer)?;
        if !request.json && printer.out_is_terminal() {
            page.insert_str(0, CLEAR);
        }
        let shown = finish(printer.out(&page), printer);
        if shown != Exit::Passed {
            return Ok(shown);
        }
        if let Some(signal) = interrupts.within(INTERVAL) {
            return Ok(Exit::Signal(signal));
        }
    }
}

fn look(observer: &mut Observer) -> Result<Status, Error> {
    observer.look().map_err(|error| unseen(&error))
}

fn text(status: &Status, request: &StatusRequest, printer: &Printer) -> Result<String, Error> {
    if request.json {
        let json = serde_json::to_string(status);
        let json = json.map_err(|error| Error::from_source(Kind::Bug, &error))?;
        return Ok(format!("{json}\n"));
    }
    let width = printer.out_width();
    Ok(show_status(
        status,
        request.home.as_deref(),
        width,
        printer.out_colour(),
    ))
}
