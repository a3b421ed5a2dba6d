//! `cargo stt list`.

use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::settings::ListRequest;

/// Lists tests. The integrator's room: nothing is listed yet.
pub(super) fn list(
    request: &ListRequest,
    surroundings: &Surroundings,
    _printer: &Printer,
) -> Result<Exit, Error> {
    request.configuration.of_workspace(&surroundings.cwd)?;
    Err(Error::new(Kind::Bug, "`list` is not there yet"))
}
