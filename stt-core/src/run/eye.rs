//! Sees when another run comes, tells something, or dies: a watch on the directory of the records (`inotify(7)`).
//!
//! A run that is alone needs none: whoever comes changes the directory, and to ask for its time is enough. That matters
//! at the end of the run, since the kernel takes some 20 ms to close a watch (it waits until no processor uses it).
//! Where there can be no watch the others are looked at from time to time.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use camino::Utf8Path;
use camino::Utf8PathBuf;

#[cfg(target_os = "linux")]
use linux::Eye;
#[cfg(not(target_os = "linux"))]
use none::Eye;

/// How often all are looked at whatever happens, in milliseconds.
pub(super) const BEAT: u64 = 1_000;

/// How often somebody looks who is not woken, in milliseconds.
const BLIND_BEAT: u64 = 50;

/// How the directory of the records is watched.
#[derive(Debug)]
pub(super) struct Watch {
    directory: Utf8PathBuf,
    means: Means,
}

#[derive(Debug)]
enum Means {
    /// By the time at which the directory has changed: nobody else is there.
    Time(Option<SystemTime>),
    /// By the kernel, which wakes us.
    Eye(Eye),
    /// Not at all.
    Nothing,
}

impl Watch {
    /// The watch of a run that may be alone.
    pub(super) fn on(directory: &Utf8Path) -> Self {
        Self {
            directory: directory.to_owned(),
            means: Means::Time(None),
        }
    }

    /// What has been seen since the last time.
    pub(super) fn look(&mut self) -> Seen {
        match &mut self.means {
            Means::Eye(eye) => eye.look(),
            Means::Nothing => Seen::Nothing,
            Means::Time(before) => {
                let now = changed(&self.directory).ok();
                let same = now.is_some() && now == *before;
                *before = now;
                if same { Seen::Nothing } else { Seen::Something }
            }
        }
    }

    /// Has the kernel wake us from now on: there is somebody else. Says whether that is new, so that something may have
    /// happened before.
    pub(super) fn open(&mut self) -> bool {
        if !matches!(self.means, Means::Time(_)) {
            return false;
        }
        self.means = Eye::on(&self.directory).map_or(Means::Nothing, Means::Eye);
        true
    }

    /// How often all the others are to be looked at whatever was seen, in milliseconds.
    pub(super) fn beat(&self) -> u64 {
        match self.means {
            Means::Eye(_) | Means::Time(_) => BEAT,
            Means::Nothing => BLIND_BEAT,
        }
    }

    /// For how long at most one may sleep, in milliseconds.
    pub(super) fn sleep(&self) -> u64 {
        match self.means {
            Means::Eye(_) => BEAT,
            Means::Time(_) | Means::Nothing => BLIND_BEAT,
        }
    }

    /// What is readable when something has been seen.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.means {
            Means::Eye(eye) => Some(eye.fd()),
            Means::Time(_) | Means::Nothing => None,
        }
    }
}

/// When something in a directory has come, gone or been renamed.
fn changed(directory: &Utf8Path) -> io::Result<SystemTime> {
    std::fs::metadata(directory)?.modified()
}

/// What was seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing.
    Nothing,
    /// These files are new, have changed, or have gone, or somebody who could write them has closed them.
    Files(Vec<String>),
    /// Nobody knows what.
    Something,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::AsFd as _;
    use std::os::fd::BorrowedFd;

    use camino::Utf8Path;
    use nix::errno::Errno;
    use nix::sys::inotify::AddWatchFlags;
    use nix::sys::inotify::InitFlags;
    use nix::sys::inotify::Inotify;

    use super::Seen;

    /// The watch.
    #[derive(Debug)]
    pub(super) struct Eye(Inotify);

    impl Eye {
        /// A watch on this directory; `None` where there can be none.
        pub(super) fn on(directory: &Utf8Path) -> Option<Self> {
            let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
            let inotify = Inotify::init(flags).ok()?;
            // Whoever holds a lock has its file open for writing until he dies.
            let what = AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_CLOSE_WRITE;
            inotify.add_watch(directory.as_std_path(), what).ok()?;
            Some(Self(inotify))
        }

        /// What has been seen since the last time.
        pub(super) fn look(&self) -> Seen {
            let mut files = Vec::new();
            loop {
                match self.0.read_events() {
                    Ok(events) => {
                        for event in events {
                            match event.name.map(std::ffi::OsString::into_string) {
                                Some(Ok(name)) => files.push(name),
                                Some(Err(_)) => {}
                                None => return Seen::Something,
                            }
                        }
                    }
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) if files.is_empty() => return Seen::Nothing,
                    Err(Errno::EAGAIN) => return Seen::Files(files),
                    Err(_) => return Seen::Something,
                }
            }
        }

        /// What is readable when something has been seen.
        pub(super) fn fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod none {
    use std::os::fd::BorrowedFd;

    use camino::Utf8Path;

    use super::Seen;

    /// There is none.
    #[derive(Debug)]
    pub(super) enum Eye {}

    impl Eye {
        pub(super) fn on(_directory: &Utf8Path) -> Option<Self> {
            None
        }

        pub(super) fn look(&self) -> Seen {
            match *self {}
        }

        pub(super) fn fd(&self) -> BorrowedFd<'_> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_alone_sees_whoever_comes_and_is_woken_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let mut watch = Watch::on(path);
        assert_eq!(watch.look(), Seen::Something, "nobody has looked yet");
        assert_eq!((watch.look(), watch.sleep()), (Seen::Nothing, BLIND_BEAT));
        assert!(watch.fd().is_none());
        // Times of files are those of the last tick of the clock, so that the first may come too soon to be told.
        let seen = (0..1_000_000).find(|number| {
            fs_err::write(path.join(format!("{number}.lock")), "").unwrap();
            watch.look() == Seen::Something
        });
        assert!(seen.is_some());
        assert!(watch.open() && !watch.open());
        assert_eq!(watch.beat(), BEAT);
    }
}
