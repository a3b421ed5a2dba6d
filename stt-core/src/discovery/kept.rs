//! A file in the target directory in which one run keeps for the next what it has learned. Whatever is wrong with it,
//! nothing is lost but time.

use std::io;

use camino::Utf8Path;
use fs_err as fs;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The file.
#[derive(Serialize, Deserialize)]
struct File<E> {
    format: String,
    entries: E,
}

/// What the file at `path` holds: nothing when it is absent, damaged or of another format.
pub(super) fn read<E: DeserializeOwned + Default>(path: &Utf8Path, format: &str) -> E {
    let file = fs::read(path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .filter(|file: &File<_>| file.format == format);
    file.map(|file| file.entries).unwrap_or_default()
}

/// Writes the file at `path`, whose folder is made if need be.
///
/// # Errors
/// It can't be written; the error names it.
pub(super) fn write(path: &Utf8Path, format: &str, entries: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(&File {
        format: format.to_owned(),
        entries,
    })?;
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    crate::fs::write_atomic(path, &text)
}
