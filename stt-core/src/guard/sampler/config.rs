//! Where a sampler looks.

use camino::Utf8PathBuf;

/// The places that a sampler reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplerConfig {
    /// The target directory: its file system is watched for free space.
    pub target_dir: Utf8PathBuf,
    /// The root below which `/proc` and the control groups are found.
    pub(super) root: Utf8PathBuf,
}

impl SamplerConfig {
    /// Reads this machine.
    pub fn new(target_dir: Utf8PathBuf) -> Self {
        Self {
            target_dir,
            root: Utf8PathBuf::from("/"),
        }
    }
}
