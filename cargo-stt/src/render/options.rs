//! How a run is to be shown.

use std::sync::Arc;

use stt_core::config::OutputConfig;

use crate::cli::MessageFormat;
use crate::cli::ShowProgress;
use crate::render::libtest::SuiteOutline;

/// Everything that decides how a run is shown.
#[derive(Clone, Debug)]
pub(crate) struct RenderOptions {
    /// `--message-format`.
    pub(crate) message_format: MessageFormat,
    /// The binaries that are run, in the order of their ids, where the format names them.
    pub(crate) suites: Arc<[SuiteOutline]>,
    /// `--show-progress`.
    pub(crate) show_progress: ShowProgress,
    /// Whether colours may be written.
    pub(crate) colour: bool,
    /// Whether standard error is a terminal.
    pub(crate) terminal: bool,
    /// Whether that terminal can't move its cursor (`TERM=dumb`, or no `TERM`).
    pub(crate) dumb: bool,
    /// Whether this is a job of a continuous integration (`CI`).
    pub(crate) ci: bool,
    /// `-v`: readings of every test for people, progress events for programs.
    pub(crate) verbose: bool,
    /// Which results and which output are shown, and when.
    pub(crate) output: OutputConfig,
    /// The command that goes on with this run, as a person would type it: `cargo stt --resume`, with
    /// `--checkpoint` where the checkpoint isn't in its usual place.
    pub(crate) resume_command: String,
}

impl RenderOptions {
    /// Whether a bar is drawn. Nothing but a terminal that moves its cursor ever gets one.
    pub(crate) fn shows_bar(&self) -> bool {
        let able = self.terminal && !self.dumb;
        match self.show_progress {
            ShowProgress::Auto => able && !self.ci,
            ShowProgress::Bar => able,
            ShowProgress::None | ShowProgress::Counter => false,
        }
    }

    /// Whether each result has a counter.
    pub(super) fn shows_counter(&self) -> bool {
        self.show_progress != ShowProgress::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::render::script::piped;

    #[test]
    fn a_bar_needs_a_terminal_that_moves_its_cursor() {
        use ShowProgress::*;
        for (show_progress, terminal, dumb, ci, bar) in [
            (Auto, true, false, false, true),
            (Auto, false, false, false, false),
            (Auto, true, true, false, false),
            (Auto, true, false, true, false),
            (Bar, true, false, true, true),
            (Bar, true, true, false, false),
            (Bar, false, false, false, false),
            (Counter, true, false, false, false),
            (None, true, false, false, false),
        ] {
            let options = RenderOptions {
                show_progress,
                terminal,
                dumb,
                ci,
                ..piped()
            };
            assert_eq!(options.shows_bar(), bar, "{options:?}");
            assert_eq!(options.shows_counter(), show_progress != None);
        }
    }
}
