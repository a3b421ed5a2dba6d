//! Files without half-states.

use std::io::{self, Write as _};

use camino::Utf8Path;
use fs_err as fs;

/// Replaces `path` by `contents` in one step: a reader, also one after a crash, sees the old file or
/// the new one. The new file is synced before it takes the name.
///
/// # Errors
/// The error names the path; the old file is then as it was.
pub fn write_atomic(path: &Utf8Path, contents: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{path}` names no file"),
        )
    })?;
    // The process id keeps two writers apart; a name that a crash left behind is simply taken over.
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_synced(&temporary, contents).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        drop(fs::remove_file(&temporary));
    }
    written
}

fn write_synced(path: &Utf8Path, contents: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(contents)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_stays_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let path = dir.join("state.json");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let error = write_atomic(&dir.join("missing/state.json"), b"x").unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
