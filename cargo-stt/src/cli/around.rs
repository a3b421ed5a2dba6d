//! The commands around the runs of a machine: what there is, what is left, and who sees to it.

use std::time::Duration;

use clap::Args;
use clap::Subcommand;

use crate::cli::ColourArgs;
use crate::settings::interval;

/// Runs of other users, and of other machines and containers, are not seen.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// One JSON object, for programs; a line each second with --watch
    #[arg(long)]
    pub(crate) json: bool,
    /// Look again every second until interrupted
    #[arg(long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) colour: ColourArgs,
}

/// A run does the same when it starts.
#[derive(Debug, Args)]
#[command(
    after_help = "Only processes and directories of your own runs whose runner is dead are touched. \
    Exits with 96 when something of them could not be ended."
)]
pub(crate) struct ReapArgs {
    /// Say what would be ended, and end nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Look again every two seconds until interrupted
    #[arg(long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) colour: ColourArgs,
}

#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct ServiceArgs {
    #[command(subcommand)]
    pub(crate) command: ServiceCommand,
}

/// On Linux a timer of the user's systemd, on macOS an agent of launchd.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Print the files that `install` would write
    Show(ServiceFileArgs),
    /// Write them, and have the system take them up
    Install(ServiceInstallArgs),
    /// Take back what `install` did
    Uninstall(ColourArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServiceFileArgs {
    /// The time between two looks
    #[arg(long, value_name = "TIME", default_value = "1min", value_parser = interval)]
    pub(crate) interval: Duration,
    #[command(flatten)]
    pub(crate) colour: ColourArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Files that somebody else has written are never replaced. The service calls this very \
    program: install it again when that moves. A user's systemd ends with his last session unless \
    `loginctl enable-linger` says otherwise."
)]
pub(crate) struct ServiceInstallArgs {
    #[command(flatten)]
    pub(crate) file: ServiceFileArgs,
    /// Only write the files
    #[arg(long)]
    pub(crate) no_start: bool,
}
