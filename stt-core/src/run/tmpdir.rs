//! The temporary directory of a run: files that tests leave in a tmpfs stay charged to memory after
//! their writer is dead, so they go with the run.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;

use crate::id::RunId;

/// A directory that is removed, with all that is in it, when this is dropped.
#[derive(Debug)]
pub struct OwnDir {
    path: Utf8PathBuf,
}

impl OwnDir {
    /// Makes a directory for the run below `parent`. Its name is short, since the path of a Unix
    /// socket in it must fit into 108 bytes (`unix(7)`).
    ///
    /// # Errors
    /// The directory can't be made; the error names it.
    pub fn create(parent: &Utf8Path, run: &RunId) -> io::Result<Self> {
        let path = parent.join(format!("stt-{}", run.short()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Removes it.
    ///
    /// # Errors
    /// Something in it can't be removed; the error names it.
    pub(crate) fn remove(mut self) -> io::Result<()> {
        let path = std::mem::take(&mut self.path);
        fs::remove_dir_all(path)
    }
}

impl Drop for OwnDir {
    fn drop(&mut self) {
        if !self.path.as_str().is_empty() {
            // Only reached when the run ended in an error, which is what is reported.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_all_that_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let parent = Utf8Path::from_path(parent.path()).unwrap();
        let run = RunId::from_random([7; 16]);
        let own = OwnDir::create(parent, &run).unwrap();
        assert!(
            OwnDir::create(parent, &run).is_err(),
            "somebody else's is never taken over"
        );
        fs::create_dir(own.path().join("sub")).unwrap();
        own.remove().unwrap();
        assert_eq!(fs::read_dir(parent).unwrap().count(), 0);
        drop(OwnDir::create(parent, &run).unwrap());
        assert_eq!(fs::read_dir(parent).unwrap().count(), 0);
    }
}
