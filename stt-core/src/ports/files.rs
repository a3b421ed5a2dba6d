//! Ports that runs of one user keep from each other by locked files, where a socket can't: the kernels of BSD
//! descent let nobody bind over a socket that was bound without `SO_REUSEADDR`, whatever it is given later. A
//! stranger may take such a port in between; he is looked for before it is given out.

use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::net::TcpListener;
use std::os::fd::IntoRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8PathBuf;
use nix::fcntl::FcntlArg;
use nix::fcntl::FdFlag;
use nix::fcntl::fcntl;

/// Keeps a port until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    /// Its lock; none for a port to which the right is kept elsewhere.
    lock: Option<(File, Utf8PathBuf)>,
}

impl Held {
    /// Lets programs that we execute have the lock, too: it is held until the last has ended.
    pub(super) fn keep_over_exec(mut self) -> io::Result<()> {
        let Some((lock, _path)) = self.lock.take() else {
            return Ok(());
        };
        fcntl(&lock, FcntlArg::F_SETFD(FdFlag::empty()))?;
        // It is open from now on, for good.
        let _ = lock.into_raw_fd();
        Ok(())
    }
}

/// Locks files in a directory.
#[derive(Debug)]
pub(super) struct Means {
    directory: Utf8PathBuf,
}

impl Means {
    pub(super) fn new(directory: Utf8PathBuf) -> Self {
        Self { directory }
    }

    /// Takes a port; `None` when somebody has it.
    pub(super) fn take(&self, number: u16) -> io::Result<Option<Held>> {
        let path = self.directory.join(format!("{number}.lease"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever gave it back has removed it before he unlocked it.
        let opened = file.metadata()?;
        let same = std::fs::symlink_metadata(&path)
            .is_ok_and(|now| (now.ino(), now.dev()) == (opened.ino(), opened.dev()));
        let held = Held {
            lock: same.then_some((file, path)),
        };
        Ok(self.guard(number)?.filter(|_| same).map(|_| held))
    }

    /// Whether nobody listens on a port.
    #[expect(clippy::unused_self, reason = "the means of Linux need it")]
    pub(super) fn guard(&self, number: u16) -> io::Result<Option<Held>> {
        match TcpListener::bind(("::", number)).or_else(|_| TcpListener::bind(("0.0.0.0", number)))
        {
            Ok(_) => Ok(Some(Held { lock: None })),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((file, path)) = &self.lock {
            // What can't be removed is taken by the next who wants it: its lock is free.
            drop(std::fs::remove_file(path));
            drop(file.unlock());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_file_keeps_a_port_from_others_of_our_kind() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::try_from(dir.path().to_owned()).unwrap();
        let (one, other) = (Means::new(path.clone()), Means::new(path.clone()));
        let free = (30_000..31_000).find_map(|number| Some((number, one.take(number).unwrap()?)));
        let (number, held) = free.expect("one of a thousand is free");
        assert!(other.take(number).unwrap().is_none());
        drop(held);
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        let held = other.take(number).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", number)).unwrap();
        assert!(held.is_some() && one.guard(number).unwrap().is_none());
        drop(held);
        assert!(one.take(number).unwrap().is_none());
        drop(listener);
        let kept = one.take(number).unwrap().unwrap();
        kept.keep_over_exec().unwrap();
        assert!(other.take(number).unwrap().is_none());
    }
}
