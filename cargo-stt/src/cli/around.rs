//! The commands around the runs of a machine: what there is, what is left, and who sees to it.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use clap::Subcommand;
use stt_core::port::MOST_PORTS;

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

/// Ports of other users are shown without their owners.
#[derive(Debug, Args)]
#[command(
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    after_help = "A test has ports for itself by the configuration: `ports = 2` or `ports = [8080]` in \
    [[overrides]]."
)]
pub(crate) struct PortsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PortsCommand>,
    /// One JSON object, for programs
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) colour: ColourArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PortsCommand {
    /// Run a command with ports that nobody else gets while it runs
    Lease(LeaseArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "The command finds its ports in STT_PORT_0, STT_PORT_1, … and all of them, with commas, in \
    STT_PORTS. They are its own, and those of every program that it starts, until the last of them has ended."
)]
pub(crate) struct LeaseArgs {
    /// How many ports
    #[arg(short, long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=i64::try_from(MOST_PORTS).unwrap_or(1)))]
    pub(crate) number: u8,
    /// The command and its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "COMMAND"
    )]
    pub(crate) command: Vec<OsString>,
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
