//! What the commands around the runs of a machine are to do.

use std::ffi::OsString;
use std::time::Duration;

use camino::Utf8PathBuf;
use stt_core::command::Environment;
use stt_core::coordinator::Place;

/// What is to be done about dead runs.
#[derive(Clone, Debug)]
pub(crate) struct ReapRequest {
    /// Where the runs of this user keep their records.
    pub(crate) place: Place,
    /// Where what has to be called to clear up is found.
    pub(crate) env: Environment,
    /// Whether to say only what would be done.
    pub(crate) dry_run: bool,
    /// Whether to go on until interrupted.
    pub(crate) watch: bool,
}

/// What is to be shown of the runs of this machine.
#[derive(Clone, Debug)]
pub(crate) struct StatusRequest {
    /// Where the runs of this user keep their records.
    pub(crate) place: Place,
    /// The person's home, which paths are shortened by.
    pub(crate) home: Option<Utf8PathBuf>,
    /// Whether it is for a program.
    pub(crate) json: bool,
    /// Whether to go on until interrupted.
    pub(crate) watch: bool,
}

/// What is to be shown of ports.
#[derive(Clone, Debug)]
pub(crate) struct PortsRequest {
    /// Where the runs of this user keep their records.
    pub(crate) place: Place,
    /// The person's home, which paths are shortened by.
    pub(crate) home: Option<Utf8PathBuf>,
    /// Whether it is for a program.
    pub(crate) json: bool,
}

/// A command that is to have ports.
#[derive(Clone, Debug)]
pub(crate) struct LeaseRequest {
    /// Where the runs of this user keep their records.
    pub(crate) place: Place,
    /// How many.
    pub(crate) number: usize,
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
}

/// What is to be done about the service, and where.
#[derive(Clone, Debug)]
pub(crate) struct ServiceRequest {
    /// What.
    pub(crate) action: ServiceAction,
    /// The time between two looks.
    pub(crate) interval: Duration,
    /// The person's home.
    pub(crate) home: Utf8PathBuf,
    /// Where the person's configuration files are.
    pub(crate) config_home: Utf8PathBuf,
}

/// What is to be done about the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceAction {
    /// Its files are to be printed.
    Show,
    /// They are to be written, and taken up if `start`.
    Install {
        /// Whether the system is to take them up at once.
        start: bool,
    },
    /// They are to be removed.
    Uninstall,
}
