//! `cargo stt config`: show, check, default.

use std::fmt::Write as _;

use anstyle::Style;
use stt_core::config::DEFAULT_FILE;
use stt_core::config::Level;
use stt_core::config::ResolvedValue;
use stt_core::config::Source;

use crate::commands::finish;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::settings::Configuration;

/// Prints every key with its value, and where that comes from. It is TOML, so that lines of it can be
/// put into a file.
pub(super) fn show(configuration: &Configuration, printer: &Printer) -> Result<Exit, Error> {
    let resolved = configuration.of_directory()?;
    Ok(finish(printer.out(&table(resolved.values())), printer))
}

/// Says that everything is right; what is not right is an error.
pub(super) fn check(configuration: &Configuration, printer: &Printer) -> Result<Exit, Error> {
    configuration.of_directory()?;
    Ok(finish(printer.out("the configuration is right\n"), printer))
}

/// Prints the embedded defaults.
pub(super) fn default(printer: &Printer) -> Exit {
    finish(printer.out(DEFAULT_FILE), printer)
}

/// One aligned line for each value. What isn't the default stands out.
fn table(values: &[ResolvedValue]) -> String {
    let width_of = |column: fn(&ResolvedValue) -> &str| {
        let widths = values.iter().map(|value| column(value).chars().count());
        // One very long value must not push every origin out of sight.
        widths.filter(|&width| width <= 40).max().unwrap_or(0)
    };
    let keys = width_of(|value| value.key);
    let texts = width_of(|value| &value.written);
    let mut text = String::new();
    for value in values {
        let is_default = value.origin.source == Source::File(Level::Default);
        let style = if is_default {
            Style::new()
        } else {
            Style::new().bold()
        };
        let dim = Style::new().dimmed();
        let (key, written, origin) = (value.key, &value.written, &value.origin);
        writeln!(
            text,
            "{style}{key:keys$} = {written:texts$}{style:#}  {dim}# {origin}{dim:#}"
        )
        .expect("a string takes everything");
    }
    text
}
