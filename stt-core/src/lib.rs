//! The engine of cargo-stt.
//!
//! This library discovers a project's tests, runs each of them as a process of its own under a
//! resource guard, and keeps a checkpoint after every test. It never prints and never reads the
//! environment: what a person sees and what a person set are the command's business.
//!
//! Imports go down only: [`run`] sees every room, the rooms see [`config`] and the words below it,
//! and rooms of one row never see each other.

#[cfg(not(unix))]
compile_error!(
    "cargo-stt ends families of processes by the means of Unix; other systems are not supported"
);

#[cfg(target_os = "linux")]
pub(crate) mod cgroup;
pub mod clock;
pub mod command;
pub mod container;
pub mod fs;
pub mod id;
pub mod limits;
pub mod outcome;
pub mod partition;
pub mod port;
pub mod retry;
pub mod script;
pub mod selection;
pub mod times;
pub mod units;

pub mod config;

pub mod checkpoint;
pub mod containers;
pub mod coordinator;
pub mod discovery;
pub mod guard;
pub mod ports;
pub mod process;
pub mod report;
pub mod schedule;
pub mod scheduling;
pub mod service;
pub mod signal;

pub mod run;
