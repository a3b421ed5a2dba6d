//! Why the runs of a machine can't know of each other.

use std::io;

use camino::Utf8PathBuf;

/// Why the runs of a machine can't know of each other. A run goes on alone then.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The system refuses the thread that knows the other runs.
    #[error("the thread that knows the other runs can't be started")]
    Thread(#[source] io::Error),
    /// The platform does not tell what a record needs.
    #[error("on this platform runs don't know of each other")]
    Unsupported,
    /// The directory can't be made or opened.
    #[error("the directory of the runs, `{path}`, can't be used")]
    Directory {
        /// The directory.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else is in its place.
    #[error("`{path}`, where the runs are kept, is {what} of {owner}, and no directory")]
    NoDirectory {
        /// The place.
        path: Utf8PathBuf,
        /// What is there.
        what: &'static str,
        /// The user to whom it belongs.
        owner: String,
    },
    /// It belongs to somebody else.
    #[error("the directory of the runs, `{path}`, belongs to {owner}")]
    Foreign {
        /// The directory.
        path: Utf8PathBuf,
        /// The user to whom it belongs.
        owner: String,
    },
    /// Others may read or write it.
    #[error(
        "the directory of the runs, `{path}`, is open to others (mode {mode:03o}); it must have 700"
    )]
    Open {
        /// The directory.
        path: Utf8PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A lock can't be had, although nobody holds it.
    #[error("`{path}` can't be locked")]
    Lock {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The record can't be written.
    #[error("the record `{path}` can't be written")]
    Write {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that nobody wants any more can't be removed.
    #[error("`{path}` can't be removed")]
    Remove {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
