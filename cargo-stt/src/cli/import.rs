//! `cargo stt config import-nextest`.

use camino::Utf8PathBuf;
use clap::Args;

use crate::cli::ColourArgs;

/// What can't be carried over is named on standard error, line by line.
#[derive(Debug, Args)]
#[command(
    after_help = "The new file, stt.toml, lies beside nextest's. What can't be carried over is named on standard \
    error with its place. nextest's file is only read."
)]
pub(crate) struct ImportArgs {
    /// nextest's file; the nearest .config/nextest.toml in this directory and those above it where none
    /// is given
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<Utf8PathBuf>,
    /// Write this file instead; `-` for standard output
    #[arg(short, long, value_name = "PATH",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) output: Option<String>,
    /// Print the new file, and write none
    #[arg(long, conflicts_with_all = ["output", "force"])]
    pub(crate) stdout: bool,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) colour: ColourArgs,
}
