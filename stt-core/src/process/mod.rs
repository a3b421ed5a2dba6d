//! Children: started, watched, ended with their whole family.
//!
//! A slot thread takes a test, starts it with [`spawn`], sees it through with [`drive`], and reports.
//! Other threads reach the running child through the slot's [`Control`]. The main thread, which starts
//! nothing while tests run, inherits every orphan: [`Family`] knows whose they are.

mod adopter;
mod ask;
mod bounds;
mod control;
mod drive;
mod exit;
mod family;
mod handover;
mod kernel;
mod launch;
mod life;
mod oom;
mod output;
mod pipe;
mod source;
mod spawn;
#[cfg(test)]
mod tests;

pub use adopter::adopter;
pub use ask::Answer;
pub use ask::AskError;
pub use ask::ask;
pub use bounds::carried;
pub use control::Control;
pub use control::EndOrder;
pub use drive::DriveError;
pub use drive::Ended;
pub use drive::Left;
pub use drive::Terms;
pub use drive::drive;
pub use exit::Settled;
pub use exit::settle;
pub use family::Doomed;
pub use family::Everybody;
pub use family::Exact;
pub use family::Family;
pub use family::FamilyError;
pub use family::Glance;
pub use family::GroupError;
pub use family::GroupUsage;
pub use family::Held;
pub use family::Marker;
pub use family::Member;
pub use family::NAMED_IN_HASTE;
pub use family::Resident;
pub use family::Running;
pub use family::SlotGroup;
pub use family::SlotUsage;
pub use family::Survivor;
pub use family::Swept;
pub use family::Usage;
pub use family::boot;
pub use family::holders;
pub use family::listeners;
pub use family::myself;
pub use family::pid_namespace;
pub use kernel::own_peak_memory;
pub use output::Capture;
pub use output::Collected;
pub use output::Kept;
pub use output::Limits;
pub use output::Output;
pub use output::OutputSink;
pub use pipe::nonblocking_pipe;
pub use spawn::Child;
pub use spawn::SpawnError;
pub use spawn::Stdio;
pub use spawn::spawn;
