//! `cargo stt archive`: builds, and packs what was built.

use stt_core::run::Session;
use stt_core::units::Bytes;

use crate::commands::failure::Failure;
use crate::commands::prepare::site;
use crate::env::Surroundings;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::settings::ArchiveRequest;

/// Builds the tests into an archive.
pub(super) fn archive(
    request: &ArchiveRequest,
    surroundings: &Surroundings,
    printer: &Printer,
) -> Result<Exit, Error> {
    match pack(request, surroundings, printer) {
        Ok(()) => Ok(Exit::Passed),
        Err(failure) => failure.conclude(),
    }
}

fn pack(
    request: &ArchiveRequest,
    surroundings: &Surroundings,
    printer: &Printer,
) -> Result<(), Failure> {
    let site = site(&request.cargo, &surroundings.cwd, &request.place, None);
    let session = Session::begin(surroundings.vars.clone(), None)?;
    let workspace = session.workspace(&site, false)?;
    let (path, colour) = (&request.path, printer.err_colour());
    let packed = session.archive(&site, &workspace, &request.build, colour, path, |line| {
        printer.err(&format!("{line}\n"));
    })?;
    let (binaries, size) = (packed.binaries, Bytes(packed.size));
    printer.err(&format!(
        "archived: {binaries} test binaries in {path}, {size}\n"
    ));
    Ok(())
}
