//! The record of a run, and what is still to be done after it.
//!
//! `format` says what the file holds and is pure, as is `resume`, which decides what a resumed run
//! still has to do. `file` keeps the file while a run goes on, on top of `tail`, which appends;
//! `death` adds the last word when that run died; `load` reads it back; `merge` makes one of those of several parts; `fingerprint` tells whether a binary is still the same.

mod death;
mod file;
mod fingerprint;
mod format;
mod load;
mod merge;
mod resume;
mod tail;
mod timestamp;
#[cfg(test)]
mod torture;

pub use death::mark_death;
pub use file::Appended;
pub use file::CheckpointError;
pub use file::Writer;
pub use file::set_aside;
pub use fingerprint::BinaryRecord;
pub use fingerprint::ContentHash;
pub use fingerprint::Fingerprint;
pub use format::FORMAT;
pub use format::Header;
pub use format::Large;
pub use format::Output;
pub use format::Record;
pub use format::ResultRecord;
pub use format::StopCause;
pub use format::StopNote;
pub use format::Text;
pub use format::UnfinishedRecord;
pub use load::LoadError;
pub use load::Loaded;
pub use load::Repair;
pub use load::SuspectRecord;
pub use load::load;
pub use load::load_any;
pub use merge::Given;
pub use merge::MergeError;
pub use merge::Merged;
pub use merge::Twice;
pub use merge::merge;
pub use resume::Condemned;
pub use resume::Dropped;
pub use resume::DroppedWhy;
pub use resume::ResumePlan;
pub use resume::Selected;
pub use resume::Suspect;
pub use resume::plan;
pub use timestamp::timestamp;
