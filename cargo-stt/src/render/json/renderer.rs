//! The renderer for programs.

use std::io;

use stt_core::report::Event;

use crate::render::json::message::message;
use crate::render::options::RenderOptions;
use crate::render::screen::Renderer;
use crate::render::screen::Screen;
use crate::render::waiting::Pace;

/// The renderer for programs.
pub(in crate::render) struct Json {
    options: RenderOptions,
    screen: Box<dyn Screen>,
    lines: Vec<u8>,
    pace: Pace,
    failed: Option<serde_json::Error>,
}

impl Json {
    /// A renderer that has seen nothing yet.
    pub(in crate::render) fn new(options: RenderOptions, screen: Box<dyn Screen>) -> Self {
        Self {
            options,
            screen,
            lines: Vec::new(),
            pace: Pace::default(),
            failed: None,
        }
    }
}

impl Renderer for Json {
    fn event(&mut self, event: &Event) {
        if let Event::Waiting(waiting) = event
            && !self.pace.says(waiting)
            && !self.options.verbose
        {
            return;
        }
        let Some(message) = message(event, &self.options) else {
            return;
        };
        let start = self.lines.len();
        if let Err(error) = serde_json::to_writer(&mut self.lines, &message) {
            // Half an object would spoil the lines around it.
            self.lines.truncate(start);
            self.failed.get_or_insert(error);
        } else {
            self.lines.push(b'\n');
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.lines.is_empty() {
            let written = self.screen.stdout(&self.lines);
            self.lines.clear();
            written?;
        }
        self.failed.take().map_or(Ok(()), |error| Err(error.into()))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }
}
