//! The run: the only room that sees the others.
//!
//! A [`Session`] stands from the first moment to the last. It finds the workspace, builds, lists, and
//! executes a [`Job`]; what happens is told to a [`Sink`].

mod alarm;
mod child;
mod dispatcher;
mod error;
mod event;
mod execute;
mod list;
mod machine;
mod news;
mod perform;
mod prepare;
mod queue;
mod recorder;
mod router;
mod session;
mod settle;
mod sharing;
mod slot;
mod spill;
mod suite;
mod tmpdir;
mod unchanged;
mod watcher;
mod windup;

use std::sync::Arc;

pub use error::RunError;
pub use execute::Job;
pub use execute::Manner;
pub use execute::config_hash;
pub use list::Asking;
pub use list::Listed;
pub use prepare::Discovered;
pub use prepare::Site;
pub use prepare::Wanted;
pub use session::Session;
pub use suite::Suite;
pub use tmpdir::OwnDir;
pub use windup::finished_before;

use crate::report::Event;

/// Who is told what happens. It must not wait: a terminal that stops reading must not stop the run.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;
