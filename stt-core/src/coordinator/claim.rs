//! Which run records into which file: one at a time.

use std::fs::File;
use std::fs::TryLockError;
use std::io;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use twox_hash::XxHash3_128;

use super::directory::Directory;
use super::lock::keep_trying;
use super::lock::lock_byte;

/// The file whose bytes are the claims.
const CLAIMS: &str = "checkpoints";

/// How often a path is tried that a run may have which is about to be over: two seconds.
const TRIES: u32 = 400;

/// The paths that this run records into. Each is a lock on the byte of a file that all runs know, whose number is
/// the path's hash (`F_OFD_SETLK`, `fcntl(2)`): nothing has to be removed, and the kernel frees it on any death. That two
/// paths have one hash costs one of the runs its file's usual name.
#[derive(Debug)]
pub struct Claims {
    file: File,
}

impl Claims {
    /// Opens the file; nothing is claimed.
    ///
    /// # Errors
    /// It can't be made, or it is not ours.
    pub fn open(directory: &Directory) -> io::Result<Self> {
        let file = directory.file_for_all(CLAIMS)?;
        Ok(Self { file })
    }

    /// Claims a path until this is dropped. Says whether that was possible: another run may have it.
    ///
    /// # Errors
    /// The file system knows no such locks.
    pub fn take(&self, path: &Utf8Path) -> io::Result<bool> {
        lock_byte(&self.file, number(path), libc::F_WRLCK)
    }

    /// The same, with some patience: a run whose supervisor was killed ends all of its tests before it frees the path.
    ///
    /// # Errors
    /// As for [`Claims::take`].
    pub fn take_in_time(&self, path: &Utf8Path) -> io::Result<bool> {
        let taken = keep_trying(TRIES, || match self.take(path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(TryLockError::WouldBlock),
            Err(error) => Err(TryLockError::Error(error)),
        });
        match taken {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The number of a path, however it is spelt: links in its directory are followed, if that exists.
fn number(path: &Utf8Path) -> u64 {
    let spelt = || {
        Some(
            path.parent()?
                .canonicalize_utf8()
                .ok()?
                .join(path.file_name()?),
        )
    };
    let path: Utf8PathBuf = spelt().unwrap_or_else(|| path.to_owned());
    // Offsets are signed, and the byte after the last one needs a number as well.
    u64::try_from(XxHash3_128::oneshot(path.as_str().as_bytes()) >> 66).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use crate::coordinator::Place;

    use super::*;

    #[test]
    fn a_path_has_one_owner_until_he_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let directory = Directory::open(&Place::inside(root)).unwrap();
        let (one, two) = (
            Claims::open(&directory).unwrap(),
            Claims::open(&directory).unwrap(),
        );
        let path = root.join("stt-checkpoint.json");
        assert!(one.take(&path).unwrap());
        assert!(one.take(&path).unwrap(), "it is ours already");
        assert!(!two.take(&path).unwrap());
        assert!(two.take(&root.join("another.json")).unwrap());

        let link = root.join("link");
        std::os::unix::fs::symlink(root, &link).unwrap();
        assert!(!two.take(&link.join("stt-checkpoint.json")).unwrap());

        // It is about to be over, and somebody waits for that.
        let (asks, asked) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                assert!(!two.take(&path).unwrap());
                asks.send(()).unwrap();
                two.take_in_time(&path).unwrap()
            });
            asked.recv().unwrap();
            drop(one);
            assert!(waits.join().unwrap());
        });
    }
}
