//! Where the output of tests goes that does not fit into memory: a directory for each run, below the
//! target directory and so on a disk. It stays, since failures point to it, and goes with a later run.

use std::time::Duration;
use std::time::SystemTime;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;

use crate::id::RunId;

/// How long the files of a run are kept for whoever wants to read them.
const KEPT: Duration = Duration::from_hours(24);

/// The directory of a run's files. It is made when there is something to put there.
pub(crate) fn directory(target: &Utf8Path, run: &RunId) -> Utf8PathBuf {
    parent(target).join(run.short())
}

/// Removes the files of runs that nobody has added to for a day. What can't be removed is tried again
/// by the next run.
pub(crate) fn forget_old(target: &Utf8Path, now: SystemTime) {
    let entries = fs::read_dir(parent(target).as_std_path())
        .into_iter()
        .flatten()
        .flatten();
    for entry in entries {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified
            .ok()
            .and_then(|modified| now.duration_since(modified).ok());
        if age.is_some_and(|age| age > KEPT) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

fn parent(target: &Utf8Path) -> Utf8PathBuf {
    target.join("stt/output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_old_is_forgotten() {
        let target = tempfile::tempdir().unwrap();
        let target = Utf8Path::from_path(target.path()).unwrap();
        let dir = directory(target, &RunId::from_random([1; 16]));
        fs::create_dir_all(&dir).unwrap();
        let now = SystemTime::now();
        forget_old(target, now);
        assert!(dir.is_dir());
        forget_old(target, now + Duration::from_hours(25));
        assert!(!dir.exists());
        forget_old(target.join("absent").as_path(), now);
    }
}
