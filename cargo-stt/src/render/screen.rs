//! Where text goes, and who makes it.

use std::io;

use stt_core::report::Event;

use crate::cli::MessageFormat;
use crate::render::human::Human;
use crate::render::json::Json;
use crate::render::libtest::Libtest;
use crate::render::options::RenderOptions;

/// Where the text of a run goes. The printer is the real one.
pub(crate) trait Screen: Send {
    /// Writes all of the text to standard output.
    ///
    /// # Errors
    /// It can't be written, for instance because nobody reads any more.
    fn stdout(&mut self, text: &[u8]) -> io::Result<()>;

    /// Writes all of the text to standard error.
    ///
    /// # Errors
    /// As above.
    fn stderr(&mut self, text: &[u8]) -> io::Result<()>;

    /// The size of the terminal behind standard error as it is now; `None` when that can't be told.
    fn size(&self) -> Option<TerminalSize>;
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TerminalSize {
    /// Its width in columns.
    pub(crate) columns: u16,
    /// Its height in rows.
    pub(crate) rows: u16,
}

/// Turns events into text.
pub(crate) trait Renderer: Send {
    /// Takes an event up. Nothing is written yet.
    fn event(&mut self, event: &Event);

    /// Writes what the events so far made visible, in at most one write.
    ///
    /// # Errors
    /// The screen failed.
    fn flush(&mut self) -> io::Result<()>;

    /// Takes down what is on the terminal only for a time, and writes the rest.
    ///
    /// # Errors
    /// The screen failed.
    fn finish(&mut self) -> io::Result<()>;
}

/// The renderer that the options ask for.
pub(crate) fn renderer(
    options: RenderOptions,
    screen: impl Screen + Clone + 'static,
) -> Box<dyn Renderer> {
    let people = Box::new(screen.clone());
    match options.message_format {
        MessageFormat::Human => Box::new(Human::new(options, people)),
        MessageFormat::Json => Box::new(Json::new(options, people)),
        MessageFormat::LibtestJson => {
            Box::new(Libtest::new(options, false, Box::new(screen), people))
        }
        MessageFormat::LibtestJsonPlus => {
            Box::new(Libtest::new(options, true, Box::new(screen), people))
        }
    }
}
