//! The end of what is shown of a run.

use std::sync::Arc;
use std::time::Duration;

use stt_core::outcome::RunOutcome;
use stt_core::report::Summary;

use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::render::Drained;
use crate::render::RenderThread;

/// How long a terminal has to take what is left of a run that was ended early.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);

/// Waits until everything is shown, and says how to exit.
pub(super) fn conclude(summary: &Summary, render: Arc<RenderThread>, printer: &Printer) -> Exit {
    let deadline = match summary.outcome {
        RunOutcome::Passed | RunOutcome::NoTests | RunOutcome::Failed => None,
        RunOutcome::Stopped | RunOutcome::Interrupted(_) => Some(LAST_WORDS),
    };
    outcome(summary).and(finish(render, deadline, printer))
}

/// How to exit. That every test has passed can't be said of a run that has left some to a later leg.
fn outcome(summary: &Summary) -> Exit {
    if summary.outcome == RunOutcome::Passed && summary.outstanding > 0 {
        Exit::Stopped
    } else {
        Exit::from_outcome(summary.outcome)
    }
}

/// Waits until everything is shown, and says whether that was possible.
pub(super) fn finish(
    render: Arc<RenderThread>,
    deadline: Option<Duration>,
    printer: &Printer,
) -> Exit {
    // The threads of the run are gone, and with them every other handle on the renderer.
    let drained = Arc::into_inner(render).map(|render| render.finish(deadline));
    match drained {
        Some(Drained::Failed(error)) => {
            let error =
                Error::new(Kind::Setup, "the run could not be shown to its end").caused_by(&error);
            printer.err(&error.render(printer.err_colour()));
            error.exit()
        }
        Some(Drained::All | Drained::TimedOut) | None => Exit::Passed,
    }
}
