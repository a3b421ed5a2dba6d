//! What the guard decides about a sample: pure, and the same for the same history.

mod blame;
mod cpu;
mod memory;
mod senses;
mod shed;
mod slope;
mod step;
mod tasks;
mod verdict;
mod yielding;

#[cfg(test)]
pub(super) mod fixtures;
#[cfg(test)]
mod properties;

pub(super) use cpu::Contention;
pub use shed::Candidate;
pub use shed::pick_shed;
pub use step::Policy;
pub use verdict::Act;
pub use verdict::Breach;
pub use verdict::Company;
pub use verdict::Critical;
pub use verdict::Note;
pub use verdict::OwnPart;
pub use verdict::Reading;
pub use verdict::Sense;
pub use verdict::Situation;
pub use verdict::Verdict;
