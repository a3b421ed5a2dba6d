//! Sees at once when another run tells something, or dies: a watch on the directory of the records (`inotify(7)`).
//! Without it the others are looked at from time to time.

#[cfg(target_os = "linux")]
pub(super) use linux::Eye;
#[cfg(not(target_os = "linux"))]
pub(super) use none::Eye;

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
    pub(in crate::run) struct Eye(Inotify);

    impl Eye {
        /// A watch on this directory; `None` where there can be none.
        pub(in crate::run) fn on(directory: &Utf8Path) -> Option<Self> {
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
        pub(in crate::run) fn look(&self) -> Seen {
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
        pub(in crate::run) fn fd(&self) -> BorrowedFd<'_> {
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
    pub(in crate::run) enum Eye {}

    impl Eye {
        pub(in crate::run) fn on(_directory: &Utf8Path) -> Option<Self> {
            None
        }

        pub(in crate::run) fn look(&self) -> Seen {
            match *self {}
        }

        pub(in crate::run) fn fd(&self) -> BorrowedFd<'_> {
            match *self {}
        }
    }
}
