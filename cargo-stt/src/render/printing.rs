//! The real screen: the printer.

use std::io;

use crate::printer::Printer;
use crate::render::screen::Screen;
use crate::render::screen::TerminalSize;

impl Screen for Printer {
    fn stdout(&mut self, text: &[u8]) -> io::Result<()> {
        self.out_bytes(text)
    }

    fn stderr(&mut self, text: &[u8]) -> io::Result<()> {
        self.err_bytes(text)
    }

    fn size(&self) -> Option<TerminalSize> {
        let (columns, rows) = self.err_size()?;
        Some(TerminalSize { columns, rows })
    }
}
