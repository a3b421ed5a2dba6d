//! The temporary directory of a run: files that tests leave in a tmpfs stay charged to memory after
//! their writer is dead, so they go with the run.

use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;

use crate::id::RunId;

/// How many names are tried. Only the first is ever taken, unless two runners resume the same run.
const NAMES: u32 = 10;

/// The permissions of everybody else.
const OTHERS: u32 = 0o077;

/// A directory that is removed, with all that is in it, when this is dropped.
#[derive(Debug)]
pub struct OwnDir {
    path: Utf8PathBuf,
    /// Locked for as long as this lives, so that a later leg of the run can tell a directory that a
    /// killed leg has left from one that is in use: the kernel frees the lock on any death.
    _held: File,
}

impl OwnDir {
    /// Makes a directory for the run below `parent`, or takes over the one that a killed leg of the
    /// same run has left there, without what is in it. Its name is short, since the path of a Unix
    /// socket in it must fit into 108 bytes (`unix(7)`).
    ///
    /// # Errors
    /// The directory can't be made; the error names it.
    pub fn create(parent: &Utf8Path, run: &RunId) -> io::Result<Self> {
        let usual = parent.join(format!("stt-{}", run.short()));
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{usual}: {error}"));
        for number in 1..=NAMES {
            let path = match number {
                1 => usual.clone(),
                _ => parent.join(format!("stt-{}-{number}", run.short())),
            };
            if let Some(held) = make_or_take(&path).map_err(named)? {
                return Ok(Self { path, _held: held });
            }
        }
        Err(named(io::ErrorKind::AlreadyExists.into()))
    }

    /// The directory that a dead leg has left at `path`, to be removed; `None` when there is none, or
    /// somebody has taken it over.
    pub(crate) fn left_at(path: &Utf8Path) -> io::Result<Option<Self>> {
        if fs::symlink_metadata(path).is_err() {
            return Ok(None);
        }
        let held = make_or_take(path)?;
        Ok(held.map(|held| Self {
            path: path.to_owned(),
            _held: held,
        }))
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

/// What there is where a dead leg of a run kept its temporary files.
#[derive(Debug)]
pub(crate) enum Remains {
    /// Nothing, or a directory that somebody has taken over.
    Nothing,
    /// What it has left.
    Left(LeftDir),
    /// Something else, and why it is that.
    Foreign(&'static str),
}

/// The directory that a dead leg of a run has left. Nobody can take it over while this lives.
#[derive(Debug)]
pub(crate) struct LeftDir {
    path: Utf8PathBuf,
    _held: File,
}

impl LeftDir {
    /// The directory at `path`, if it is one that a leg of this run has made and that nobody uses.
    pub(crate) fn find(path: &Utf8Path, run: &RunId) -> Remains {
        let Ok(meta) = fs::symlink_metadata(path) else {
            return Remains::Nothing;
        };
        let foreign = if !is_named(path, run) {
            Some("it has no name of a run's temporary directory")
        } else if meta.is_symlink() {
            Some("it is a symbolic link")
        } else if !meta.is_dir() {
            Some("it is no directory")
        } else if meta.uid() != nix::unistd::geteuid().as_raw() {
            Some("it belongs to somebody else")
        } else if meta.mode() & OTHERS != 0 {
            Some("it is open to others")
        } else {
            None
        };
        if let Some(why) = foreign {
            return Remains::Foreign(why);
        }
        take(path).ok().flatten().map_or(Remains::Nothing, |held| {
            let path = path.to_owned();
            Remains::Left(Self { path, _held: held })
        })
    }

    /// Removes it.
    ///
    /// # Errors
    /// Something in it can't be removed; the error names it.
    pub(crate) fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
    }
}

/// Whether a path has a name that a leg of this run would give its directory.
fn is_named(path: &Utf8Path, run: &RunId) -> bool {
    let usual = format!("stt-{}", run.short());
    let rest = path.file_name().and_then(|name| name.strip_prefix(&usual));
    rest.is_some_and(|rest| {
        let number = rest.strip_prefix('-').and_then(|rest| rest.parse().ok());
        rest.is_empty() || number.is_some_and(|n: u32| (2..=NAMES).contains(&n))
    })
}

/// An empty directory at `path` that nobody else uses, held by its lock; `None` when somebody uses
/// what is there, or may: it is no directory, or another user's.
fn make_or_take(path: &Utf8Path) -> io::Result<Option<File>> {
    let made = DirBuilder::new().mode(0o700).create(path);
    match &made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return made.map(|()| None),
        Ok(()) | Err(_) => {}
    }
    let Some(held) = take(path)? else {
        return Ok(None);
    };
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(Some(held))
}

/// Holds a directory that is ours and that nobody uses.
fn take(path: &Utf8Path) -> io::Result<Option<File>> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let Ok(held) = opened else {
        return Ok(None);
    };
    let meta = held.metadata()?;
    let own = meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & OTHERS == 0;
    if !own || matches!(held.try_lock(), Err(TryLockError::WouldBlock)) {
        return Ok(None);
    }
    // Whoever held it until now may have removed it between our two looks.
    if fs::symlink_metadata(path).map_or(true, |now| now.ino() != meta.ino()) {
        return Ok(None);
    }
    Ok(Some(held))
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
        fs::create_dir(own.path().join("sub")).unwrap();
        own.remove().unwrap();
        assert_eq!(fs::read_dir(parent).unwrap().count(), 0);
        drop(OwnDir::create(parent, &run).unwrap());
        assert_eq!(fs::read_dir(parent).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_leg_left_is_taken_over_empty() {
        let parent = tempfile::tempdir().unwrap();
        let parent = Utf8Path::from_path(parent.path()).unwrap();
        let run = RunId::from_random([7; 16]);
        let path = OwnDir::create(parent, &run).unwrap().path().to_owned();
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        fs::create_dir(path.join("sub")).unwrap();
        for file in ["file", "sub/file"] {
            File::create(path.join(file)).unwrap();
        }
        std::os::unix::fs::symlink("/", path.join("root")).unwrap();
        let own = OwnDir::create(parent, &run).unwrap();
        assert_eq!(own.path(), path);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }

    #[test]
    fn what_somebody_uses_is_never_taken_over() {
        let parent = tempfile::tempdir().unwrap();
        let parent = Utf8Path::from_path(parent.path()).unwrap();
        let run = RunId::from_random([7; 16]);
        let first = OwnDir::create(parent, &run).unwrap();
        File::create(first.path().join("file")).unwrap();
        let second = OwnDir::create(parent, &run).unwrap();
        assert_ne!(first.path(), second.path());
        assert!(first.path().join("file").exists());
        drop((first, second));
        assert_eq!(fs::read_dir(parent).unwrap().count(), 0);
    }

    #[test]
    fn only_what_a_dead_leg_made_is_removed_for_it() {
        let parent = tempfile::tempdir().unwrap();
        let parent = Utf8Path::from_path(parent.path()).unwrap();
        let run = RunId::from_random([7; 16]);
        let alive = OwnDir::create(parent, &run).unwrap();
        assert!(matches!(
            LeftDir::find(alive.path(), &run),
            Remains::Nothing
        ));
        let (usual, second) = (parent.join("stt-07070707"), parent.join("stt-07070707-2"));
        drop(alive);
        let make = |path: &Utf8Path| DirBuilder::new().mode(0o700).create(path).unwrap();
        for name in [
            "precious",
            "stt-07070707x",
            "stt-07070707-1",
            "stt-07070707-2x",
        ] {
            make(&parent.join(name));
            let found = LeftDir::find(&parent.join(name), &run);
            assert!(matches!(found, Remains::Foreign(_)), "{name}: {found:?}");
        }
        for path in [&usual, &second] {
            make(path);
            File::create(path.join("file")).unwrap();
            let Remains::Left(left) = LeftDir::find(path, &run) else {
                panic!("{path}");
            };
            left.remove().unwrap();
            assert!(!path.exists());
        }
        std::os::unix::fs::symlink(parent.join("precious"), &usual).unwrap();
        let foreign = |path: &Utf8Path| match LeftDir::find(path, &run) {
            Remains::Foreign(why) => why,
            Remains::Nothing | Remains::Left(_) => panic!("{path}"),
        };
        assert_eq!(foreign(&usual), "it is a symbolic link");
        fs::remove_file(&usual).unwrap();
        File::create(&usual).unwrap();
        assert_eq!(foreign(&usual), "it is no directory");
        fs::remove_file(&usual).unwrap();
        assert!(matches!(LeftDir::find(&usual, &run), Remains::Nothing));
        make(&usual);
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&usual, open).unwrap();
        assert_eq!(foreign(&usual), "it is open to others");
        let nameless = "it has no name of a run's temporary directory";
        assert_eq!(foreign(Utf8Path::new("/")), nameless);
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(&usual, Some(12345), None).unwrap();
            assert_eq!(foreign(&usual), "it belongs to somebody else");
        }
    }

    #[test]
    fn a_trap_is_walked_around() {
        let parent = tempfile::tempdir().unwrap();
        let parent = Utf8Path::from_path(parent.path()).unwrap();
        let run = RunId::from_random([7; 16]);
        let usual = OwnDir::create(parent, &run).unwrap().path().to_owned();
        let victim = parent.join("victim");
        DirBuilder::new().mode(0o700).create(&victim).unwrap();
        File::create(victim.join("file")).unwrap();
        std::os::unix::fs::symlink(&victim, &usual).unwrap();
        let own = OwnDir::create(parent, &run).unwrap();
        assert_ne!(own.path(), usual);
        fs::remove_file(&usual).unwrap();
        drop(own);
        // Open to others: it may be theirs.
        fs::create_dir(&usual).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&usual, open).unwrap();
        let own = OwnDir::create(parent, &run).unwrap();
        assert_ne!(own.path(), usual);
        assert!(victim.join("file").exists());
    }
}
