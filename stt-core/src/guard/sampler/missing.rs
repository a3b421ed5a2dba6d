//! Readings that this machine does not give.

use std::io;

use camino::Utf8PathBuf;

/// A reading that will stay unknown, and why.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// Its file can't be opened or read.
    #[error("{reading} can't be read from {path}")]
    Unreadable {
        /// What is missing.
        reading: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its file says something else than expected.
    #[error("{reading} can't be found in {path}")]
    NotThere {
        /// What is missing.
        reading: &'static str,
        /// The file.
        path: Utf8PathBuf,
    },
    /// This platform has nothing like it.
    #[error("{reading} can't be read on this platform")]
    Unsupported {
        /// What is missing.
        reading: &'static str,
    },
}
