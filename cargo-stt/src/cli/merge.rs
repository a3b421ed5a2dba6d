//! `cargo stt merge`.

use camino::Utf8PathBuf;
use clap::Args;

use crate::cli::ColourArgs;

/// One report of several parts.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The parts are runs of the same tests with --partition. Of two results of a test that of the later run \
    counts. The exit code is the one that a run of all of them would have: 42 also where parts are missing."
)]
pub(crate) struct MergeArgs {
    /// The checkpoints of the parts
    #[arg(required = true, value_name = "CHECKPOINT")]
    pub(crate) checkpoints: Vec<Utf8PathBuf>,
    /// Write the results of all parts as JUnit XML
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    pub(crate) junit: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) colour: ColourArgs,
}
