//! Where the output of tests goes that does not fit into memory: a directory for each run, below the
//! target directory and so on a disk. It stays, since failures point to it, and goes with a later run; that of
//! a run that was killed goes when the run is cleared up after, for nothing that is recorded points to it.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;
use std::time::SystemTime;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::UnlinkatFlags;

use crate::id::RunId;

/// How long the files of a run are kept for whoever wants to read them.
const KEPT: Duration = Duration::from_hours(24);

/// What leads from the target directory to the directories of the runs.
const WAY: [&str; 2] = ["stt", "output"];

/// The directory of a run's files. It is made when there is something to put there.
pub(crate) fn directory(target: &Utf8Path, run: &RunId) -> Utf8PathBuf {
    parent(target).join(run.short())
}

/// What the files of a slot are called after.
pub(crate) fn name_of(slot: usize) -> String {
    format!("slot-{slot}")
}

/// Whether a file is called as those of the slots are.
fn is_slots(name: &str) -> bool {
    let numbers = name
        .strip_prefix("slot-")
        .and_then(|rest| rest.strip_suffix(".out")?.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    numbers.is_some_and(|(slot, count)| is_number(slot) && is_number(count))
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
        if age.is_some_and(|age| age > KEPT)
            && let Ok(name) = entry.file_name().into_string()
            && let Some(left) = Left::open(target, &name)
        {
            drop(left.remove());
        }
    }
}

fn parent(target: &Utf8Path) -> Utf8PathBuf {
    target.join(WAY[0]).join(WAY[1])
}

/// A directory that a run has made for such files, reached without following a link below the target
/// directory.
#[derive(Debug)]
pub(crate) struct Left {
    path: Utf8PathBuf,
    name: String,
    parent: File,
    opened: File,
}

impl Left {
    /// The directory at `path`, if it is one of this run.
    pub(crate) fn find(path: &Utf8Path, run: &RunId) -> Option<Self> {
        let target = path.ancestors().nth(WAY.len() + 1)?;
        (path == directory(target, run)).then(|| Self::open(target, run.short()))?
    }

    fn open(target: &Utf8Path, name: &str) -> Option<Self> {
        let is_short = name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut parent = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(target)
            .ok()
            .filter(|_| is_short)?;
        for step in WAY {
            parent = enter(&parent, step)?;
        }
        Some(Self {
            opened: enter(&parent, name)?,
            path: self::parent(target).join(name),
            name: name.to_owned(),
            parent,
        })
    }

    /// Removes the files of slots in it, and it, unless there is something else. Says whether it is gone.
    ///
    /// # Errors
    /// Something can't be removed.
    pub(crate) fn remove(self) -> io::Result<bool> {
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if name.to_str().is_some_and(is_slots) {
                nix::unistd::unlinkat(&self.opened, name.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
            }
        }
        let name = self.name.as_str();
        match nix::unistd::unlinkat(&self.parent, name, UnlinkatFlags::RemoveDir) {
            Ok(()) => Ok(true),
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// A directory of ours in another one, and no link.
fn enter(parent: &File, name: &str) -> Option<File> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let opened: File = nix::fcntl::openat(parent, name, flags, Mode::empty())
        .ok()?
        .into();
    let owner = opened.metadata().ok()?.uid();
    (owner == nix::unistd::geteuid().as_raw()).then_some(opened)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_is_old_is_forgotten() {
        let target = tempfile::tempdir().unwrap();
        let target = Utf8Path::from_path(target.path()).unwrap();
        let dir = directory(target, &RunId::from_random([1; 16]));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("slot-0-1.out"), "").unwrap();
        let now = SystemTime::now();
        forget_old(target, now);
        assert!(dir.is_dir());
        forget_old(target, now + Duration::from_hours(25));
        assert!(!dir.exists());
        forget_old(target.join("absent").as_path(), now);
    }

    #[test]
    fn only_the_files_of_slots_are_removed() {
        let target = tempfile::tempdir().unwrap();
        let target = Utf8Path::from_path(target.path()).unwrap();
        let run = RunId::from_random([1; 16]);
        let dir = directory(target, &run);
        fs::create_dir_all(&dir).unwrap();
        let kept = ["slot-1.out", "slot-x-1.out", "slot-1-2.out.old", "notes"];
        for name in ["slot-0-1.out", "slot-12-345.out"].iter().chain(&kept) {
            fs::write(dir.join(name), "x").unwrap();
        }
        assert!(!Left::find(&dir, &run).unwrap().remove().unwrap());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), kept.len());
        for name in kept {
            fs::remove_file(dir.join(name)).unwrap();
        }
        // A link with the right name goes, and not what it leads to.
        let precious = target.join("precious");
        fs::write(&precious, "x").unwrap();
        symlink(&precious, dir.join("slot-1-1.out")).unwrap();
        assert!(Left::find(&dir, &run).unwrap().remove().unwrap());
        assert!(precious.exists() && !dir.exists());
    }

    #[test]
    fn no_link_is_followed_and_no_other_directory_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(home.path()).unwrap();
        let run = RunId::from_random([1; 16]);
        let elsewhere = home.join("elsewhere");
        let victim = elsewhere.join("stt/output/01010101/slot-0-1.out");
        fs::create_dir_all(victim.parent().unwrap()).unwrap();
        fs::write(&victim, "x").unwrap();
        let late = SystemTime::now() + Duration::from_hours(25);
        let steps = ["stt", "stt/output", "stt/output/01010101"];
        for (number, step) in steps.into_iter().enumerate() {
            let target = home.join(format!("target-{number}"));
            let link = target.join(step);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(elsewhere.join(step), &link).unwrap();
            assert!(
                Left::find(&directory(&target, &run), &run).is_none(),
                "{step}"
            );
            forget_old(&target, late);
            assert!(victim.exists(), "{step}");
        }
        let other = RunId::from_random([2; 16]);
        let dir = victim.parent().unwrap();
        assert!(Left::find(dir, &other).is_none());
        assert!(Left::find(&elsewhere.join("01010101"), &run).is_none());
        assert!(Left::find(Utf8Path::new("/"), &run).is_none());
        assert!(Left::find(dir, &run).is_some());
    }
}
