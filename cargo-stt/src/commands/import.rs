//! `cargo stt config import-nextest`: writes nextest's configuration file as ours.

use std::fmt::Write as _;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use stt_core::config::LeftOut;
use stt_core::config::NEXTEST_FILE;
use stt_core::config::find_nextest_file;
use stt_core::config::import_nextest;
use stt_core::config::read_nextest_file;
use stt_core::fs::write_atomic;

use crate::commands::finish;
use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;
use crate::importing::Destination;
use crate::importing::ImportRequest;
use crate::printer::Printer;

/// The name of our file where it lies beside nextest's.
const OURS: &str = "stt.toml";

/// Reads nextest's file, writes ours, and names what was left out.
pub(super) fn import(request: &ImportRequest, printer: &Printer) -> Result<Exit, Error> {
    let from = source(request)?;
    let to = destination(request, &from)?;
    let text = read_nextest_file(&from)?;
    let imported = import_nextest(shown(&from, request), &text)?;
    let Some(to) = to else {
        printer.err(&told(&imported.left_out));
        return Ok(finish(printer.out(&imported.text), printer));
    };
    let directory = to.parent().unwrap_or(&to);
    fs::create_dir_all(directory)
        .and_then(|()| write_atomic(&to, imported.text.as_bytes()))
        .map_err(|error| {
            let message = format!("could not write `{}`", shown(&to, request));
            Error::new(Kind::Setup, message).caused_by(&error)
        })?;
    printer.err(&told(&imported.left_out));
    let text = format!("wrote {}\n", shown(&to, request));
    Ok(finish(printer.out(&text), printer))
}

fn source(request: &ImportRequest) -> Result<Utf8PathBuf, Error> {
    if let Some(path) = &request.from {
        return Ok(path.clone());
    }
    find_nextest_file(&request.cwd).ok_or_else(|| {
        let message = format!("there is no `{NEXTEST_FILE}` in this directory or above it");
        let hint = "name the file: `cargo stt config import-nextest PATH`";
        Error::new(Kind::Setup, message).hint(hint)
    })
}

/// Where our file goes; `None` for standard output. A file that is there is in the way.
fn destination(request: &ImportRequest, from: &Utf8Path) -> Result<Option<Utf8PathBuf>, Error> {
    let path = match &request.to {
        Destination::Stdout => return Ok(None),
        Destination::File(path) => path.clone(),
        Destination::Beside => from.with_file_name(OURS),
    };
    if path == from {
        let message = format!("`{}` would replace itself", shown(from, request));
        return Err(Error::new(Kind::Setup, message).hint("name another file with `--output`"));
    }
    if !request.force && fs::symlink_metadata(&path).is_ok() {
        let message = format!("`{}` is there already", shown(&path, request));
        let hint = "`--force` replaces it, and `--stdout` only prints what would be written";
        return Err(Error::new(Kind::Setup, message).hint(hint));
    }
    Ok(Some(path))
}

/// A path as it is seen from here.
fn shown<'a>(path: &'a Utf8Path, request: &ImportRequest) -> &'a Utf8Path {
    path.strip_prefix(&request.cwd).unwrap_or(path)
}

/// What was left out, a line for each.
fn told(left_out: &[LeftOut]) -> String {
    let mut text = String::new();
    for one in left_out {
        writeln!(text, "{one}").expect("a string takes everything");
    }
    text
}
