//! Starts a child in the fastest way that the platform has, or says that there is none.

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod clone;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod image;
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod missing;

use std::io;
use std::os::fd::OwnedFd;

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(super) use clone::can_be_born_in;
#[cfg(all(
    test,
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(super) use clone::refuse;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(super) use clone::start;
#[cfg(all(
    target_os = "linux",
    not(any(target_arch = "x86_64", target_arch = "aarch64"))
))]
pub(super) use missing::can_be_born_in;
#[cfg(all(
    test,
    not(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))
))]
pub(super) use missing::refuse;
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
pub(super) use missing::start;

/// A child that has reached its `exec`.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) pid: i32,
    /// Stands for the child, readable once it has exited.
    pub(super) process: OwnedFd,
}

/// Why a child was not started.
#[derive(Debug)]
pub(super) enum LaunchError {
    /// Nobody can start children in this way here: std can.
    Unavailable,
    /// No child was born.
    Birth(io::Error),
    /// It could not become what it was to be.
    Exec(io::Error),
}
