//! Control groups of version 2: one for a run, and below it one for each slot.
//!
//! Nobody leaves such a group by `setsid`, a double fork or a cleared environment, only by a write into
//! another group, which takes rights that a user mostly does not have. So whoever is in a slot's group
//! belongs to the slot's test, and is ended with it in one write.

mod end;
mod parse;
mod pen;
mod place;
mod slot;

pub use end::Doomed;
pub use slot::SlotGroup;

pub(in crate::process) use pen::Pen;
pub(super) use place::RunGroup;
