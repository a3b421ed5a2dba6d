//! Tests that are built on one machine and run on others.

use camino::Utf8PathBuf;
use clap::Args;

use crate::cli::BuildArgs;
use crate::cli::ColourArgs;

/// `cargo stt archive`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "`cargo stt run --archive-file PATH` runs them where the same sources are, and needs neither cargo nor \
    a compiler. Documentation tests are no part of an archive."
)]
pub(crate) struct ArchiveArgs {
    /// Where the archive is written, a tar file under zstd
    #[arg(long, value_name = "PATH")]
    pub(crate) archive_file: Utf8PathBuf,
    #[command(flatten)]
    pub(crate) build: BuildArgs,
    #[command(flatten)]
    pub(crate) colour: ColourArgs,
}

/// What was built elsewhere.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Archive")]
pub(crate) struct ReuseArgs {
    /// Build nothing: take the tests of this archive
    #[arg(long, value_name = "PATH", conflicts_with_all = ["packages", "workspace", "exclude", "lib", "bins",
        "bin", "tests", "test", "examples", "example", "benches", "bench", "all_targets", "doc", "features",
        "all_features", "no_default_features", "release", "cargo_profile", "target", "target_dir",
        "manifest_path", "build_jobs"])]
    pub(crate) archive_file: Option<Utf8PathBuf>,
    /// Where it is unpacked; target/stt/archive in the workspace where nobody says
    #[arg(long, value_name = "DIR", requires = "archive_file")]
    pub(crate) extract_to: Option<Utf8PathBuf>,
    /// Where the sources of the workspace are, if not where they were when the archive was made
    #[arg(long, value_name = "DIR", requires = "archive_file")]
    pub(crate) workspace_remap: Option<Utf8PathBuf>,
}
