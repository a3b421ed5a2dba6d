//! The run: the only room that sees the others.
//!
//! A [`Session`] stands from the first moment to the last. It finds the workspace, builds, lists, and
//! executes a [`Job`]; what happens is told to a [`Sink`].

mod alarm;
mod board;
mod child;
mod claims;
mod containers;
mod desk;
mod dispatcher;
mod error;
mod event;
mod execute;
mod eye;
mod inventory;
mod jobserver;
mod junit;
mod list;
mod machine;
mod neighbours;
mod news;
mod opening;
mod perform;
mod port_list;
mod ports;
mod prepare;
mod queue;
mod reader;
mod reap;
mod recorder;
mod register;
mod request;
mod router;
mod scripts;
mod session;
mod settle;
mod setup;
mod sharing;
mod slot;
mod spill;
mod status;
mod suite;
mod supervision;
mod supervisor;
mod tmpdir;
mod unchanged;
mod unenforced;
mod waiting;
mod watcher;
mod windup;

use std::sync::Arc;

pub use error::RunError;
pub use execute::Capturing;
pub use execute::Job;
pub use execute::Manner;
pub use inventory::Surplus;
pub use inventory::inventory;
pub use jobserver::inherit_jobserver;
pub use junit::JunitError;
pub use junit::begin_junit;
pub use junit::write_junit;
pub use list::Asking;
pub use list::Listed;
pub use neighbours::Membership;
pub use opening::config_hash;
pub use port_list::OwnedPort;
pub use port_list::PortList;
pub use port_list::PortListener;
pub use port_list::PortOwner;
pub use port_list::port_list;
pub use prepare::Discovered;
pub use prepare::Site;
pub use prepare::Wanted;
pub use reap::Reaping;
pub use reap::reap;
pub use register::Particulars;
pub use register::alone;
pub use register::claims;
pub use request::Answer;
pub use session::Session;
pub use status::Machine;
pub use status::Observer;
pub use status::SeenRun;
pub use status::Status;
pub use status::TestPort;
pub use suite::Suite;
pub use supervision::Codes;
pub use supervision::Ending;
pub use supervision::Last;
pub use supervision::Leg;
pub use supervision::Note;
pub use supervision::RestartTerms;
pub use supervisor::Aftermath;
pub use supervisor::Link;
pub use supervisor::Side;
pub use supervisor::Worker;
pub use supervisor::supervise;
pub use tmpdir::OwnDir;
pub use waiting::Waited;
pub use windup::finished_before;

use crate::report::Event;

/// Who is told what happens. It must not wait: a terminal that stops reading must not stop the run.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;
