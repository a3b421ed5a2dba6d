//! `cargo stt run`.

use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::settings::RunRequest;

/// Runs tests. The integrator's room: nothing is run yet.
pub(super) fn run(
    request: &RunRequest,
    surroundings: &Surroundings,
    _printer: &Printer,
) -> Result<Exit, Error> {
    request.configuration.of_workspace(&surroundings.cwd)?;
    Err(Error::new(Kind::Bug, "`run` is not there yet"))
}
