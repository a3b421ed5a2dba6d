//! The runs of this machine and user, known to each other by files: who lives, and what the dead have
//! left behind.
//!
//! A run keeps a record, and holds a lock on the file beside it for as long as it lives. The kernel
//! frees the lock on any death, so a record whose lock is free is that of a dead run. [`Heirloom`] says
//! which processes are a dead run's; `run` ends them.

mod claim;
mod counters;
mod directory;
mod error;
mod live;
mod lock;
mod neighbours;
mod ownership;
mod record;
mod registration;
mod registry;
mod rights;
pub mod share;
pub mod turn;

pub use claim::Claims;
pub use counters::Counters;
pub use directory::Directory;
pub use directory::Place;
pub use error::CoordinatorError;
pub use live::Live;
pub use live::RunningScript;
pub use live::RunningTest;
pub use live::State;
pub use live::Thresholds;
pub use live::step_of;
pub use lock::Held;
pub use lock::hold_shared;
pub use neighbours::Shares;
pub use ownership::Heirloom;
pub use ownership::Processes;
pub use ownership::Verdict;
pub use record::Owner;
pub use record::Record;
pub use record::RecordFault;
pub use registration::Registration;
pub use registry::BadRecord;
pub use registry::Dead;
pub use registry::Found;
pub use registry::Name;
pub use rights::Right;
pub use rights::RightClaim;
pub use rights::RightHolder;
