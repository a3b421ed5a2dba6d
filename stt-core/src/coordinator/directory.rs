//! The directory in which the runs of a user keep their records.
//!
//! It may lie in a place where everybody can write. So it is opened without following a link, what was
//! opened is looked at, and from then on files are reached through that descriptor only.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::Uid;
use nix::unistd::UnlinkatFlags;

use super::error::CoordinatorError;

/// The permissions of everybody else.
const OTHERS: u32 = 0o077;

/// A record has some hundred bytes; what has more is none.
const LONGEST: u64 = 64 << 10;

/// Where the directory may be, as the environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The user's directory for what lives as long as the machine runs (XDG Base Directory
    /// Specification); one that isn't there, or not the user's, says nothing.
    pub runtime: Option<Utf8PathBuf>,
    /// Where temporary files go.
    pub temporary: Utf8PathBuf,
}

impl Place {
    /// Inside the temporary directory of a run, where the runners that its tests have started kept
    /// their records when there was no other place.
    pub fn inside(tmpdir: &Utf8Path) -> Self {
        Self {
            runtime: None,
            temporary: tmpdir.to_owned(),
        }
    }

    /// The directory.
    fn path(&self) -> Utf8PathBuf {
        let own = |path: &&Utf8PathBuf| {
            let found = std::fs::metadata(path.as_std_path());
            found.is_ok_and(|meta| meta.is_dir() && meta.uid() == Uid::effective().as_raw())
        };
        match self.runtime.as_ref().filter(own) {
            Some(runtime) => runtime.join("stt"),
            None => self.temporary.join(format!("stt-{}", Uid::effective())),
        }
    }
}

/// The directory, opened and verified.
#[derive(Debug)]
pub struct Directory {
    path: Utf8PathBuf,
    opened: File,
}

impl Directory {
    /// Opens the directory, and makes it where there is none.
    ///
    /// # Errors
    /// It can't be made, or it is not ours alone.
    pub fn open(place: &Place) -> Result<Self, CoordinatorError> {
        let path = place.path();
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(CoordinatorError::Directory {
                    path,
                    source: error,
                })
            }
            Ok(()) | Err(_) => Self::verified(path),
        }
    }

    /// Opens the directory if there is one.
    ///
    /// # Errors
    /// It is not ours alone.
    pub fn find(place: &Place) -> Result<Option<Self>, CoordinatorError> {
        let path = place.path();
        match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Ok(_) | Err(_) => Self::verified(path).map(Some),
        }
    }

    fn verified(path: Utf8PathBuf) -> Result<Self, CoordinatorError> {
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&path);
        let opened = match opened {
            Ok(opened) => opened,
            Err(source) => return Err(unusable(path, source)),
        };
        let meta = match opened.metadata() {
            Ok(meta) => meta,
            Err(source) => return Err(CoordinatorError::Directory { path, source }),
        };
        if meta.uid() != Uid::effective().as_raw() {
            let owner = user(meta.uid());
            return Err(CoordinatorError::Foreign { path, owner });
        }
        let mode = meta.mode() & 0o777;
        if mode & OTHERS != 0 {
            return Err(CoordinatorError::Open { path, mode });
        }
        Ok(Self { path, opened })
    }

    /// Where it is.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// The names in it.
    pub(super) fn names(&self) -> Result<Vec<String>, CoordinatorError> {
        let failed = |source| CoordinatorError::Directory {
            path: self.path.clone(),
            source,
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            // Names that are no text are not ours.
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        Ok(names)
    }

    /// Opens a file in it: no link, and no waiting for whoever may be at the other end of a pipe.
    pub(super) fn open_file(&self, name: &str, flags: OFlag) -> io::Result<File> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        Ok(nix::fcntl::openat(&self.opened, name, flags, mode)?.into())
    }

    /// Opens a file that all runs share, and makes it where there is none.
    pub(super) fn file_for_all(&self, name: &str) -> io::Result<File> {
        let file = self.open_file(name, OFlag::O_RDWR | OFlag::O_CREAT)?;
        is_ours(&file)?;
        Ok(file)
    }

    /// Whether the file that was opened is still the one of that name: cleaners of temporary
    /// directories remove files that are in use.
    pub(super) fn still_holds(&self, name: &str, file: &File) -> io::Result<bool> {
        let opened = file.metadata()?;
        match self.open_file(name, OFlag::O_RDONLY) {
            Ok(now) => {
                let now = now.metadata()?;
                Ok((now.ino(), now.dev()) == (opened.ino(), opened.dev()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The contents of a file of ours in it; `None` when there is none.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open_file(name, OFlag::O_RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        is_ours(&file)?;
        let mut text = Vec::new();
        let length = file.take(LONGEST + 1).read_to_end(&mut text)?;
        if length as u64 > LONGEST {
            return Err(io::Error::other("it is too long for a record"));
        }
        Ok(Some(text))
    }

    /// Replaces a file in it in one step, so that it survives the machine.
    pub(super) fn write(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        self.put(name, contents, File::sync_data)
    }

    /// Replaces a file in it in one step, for those who read it soon.
    pub(super) fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        self.put(name, contents, |_| Ok(()))
    }

    fn put(
        &self,
        name: &str,
        contents: &[u8],
        sync: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let draft = draft_of(name);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
        let mut file = self.open_file(&draft, flags)?;
        let written = file
            .write_all(contents)
            .and_then(|()| sync(&file))
            .and_then(|()| {
                let (from, to) = (OsStr::new(&draft), OsStr::new(name));
                Ok(nix::fcntl::renameat(&self.opened, from, &self.opened, to)?)
            });
        if written.is_err() {
            drop(self.remove(&draft));
        }
        written
    }

    /// Removes a file in it; that there is none is no error.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match nix::unistd::unlinkat(&self.opened, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(nix::errno::Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a file is written to before it takes its name.
pub(super) fn draft_of(name: &str) -> String {
    format!("{name}.new")
}

/// Refuses what is no file, or somebody else's.
pub(super) fn is_ours(file: &File) -> io::Result<()> {
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if meta.uid() != Uid::effective().as_raw() {
        let owner = user(meta.uid());
        return Err(io::Error::other(format!("it belongs to {owner}")));
    }
    Ok(())
}

/// Why a path could not be opened as a directory.
fn unusable(path: Utf8PathBuf, source: io::Error) -> CoordinatorError {
    let what = match std::fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_symlink() => Some(("a symbolic link", meta.uid())),
        Ok(meta) if !meta.is_dir() => Some(("a file", meta.uid())),
        // Nobody but its owner may open a directory with the permissions that ours has.
        Ok(meta) if meta.uid() != Uid::effective().as_raw() => {
            let owner = user(meta.uid());
            return CoordinatorError::Foreign { path, owner };
        }
        Ok(_) | Err(_) => None,
    };
    match what {
        Some((what, uid)) => CoordinatorError::NoDirectory {
            path,
            what,
            owner: user(uid),
        },
        None => CoordinatorError::Directory { path, source },
    }
}

/// A user by name and number.
fn user(uid: u32) -> String {
    match nix::unistd::User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => format!("user {} ({uid})", user.name),
        Ok(None) | Err(_) => format!("user {uid}"),
    }
}
