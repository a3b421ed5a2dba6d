//! What a slot starts in the place of a test that runs in a container.

use std::process::ExitCode;

use stt_core::containers;
use stt_core::containers::Call;
use stt_core::outcome;

use crate::env;
use crate::exit_code::Exit;
use crate::printer::raw_streams;

/// Attends to a test in a container, and ends as it does; `None` where we were not started for that.
pub(crate) fn attend() -> Option<ExitCode> {
    let call = Call::of_words(&env::command_line())?;
    let (mut out, mut err) = raw_streams();
    Some(match containers::attend(&call, &mut out, &mut err) {
        outcome::Exit::Code(code) => u8::try_from(code).unwrap_or(u8::MAX).into(),
        outcome::Exit::Signal(signal) => Exit::Signal(signal).leave(),
    })
}
