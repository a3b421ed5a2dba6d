//! What the guard decides about a sample: pure, and the same for the same history.

mod cpu;
mod memory;
mod senses;
mod shed;
mod slope;
mod step;
mod verdict;

#[cfg(test)]
pub(super) mod fixtures;
#[cfg(test)]
mod properties;

pub use shed::Candidate;
pub use shed::pick_shed;
pub use step::Policy;
pub use verdict::Act;
pub use verdict::Breach;
pub use verdict::Critical;
pub use verdict::Note;
pub use verdict::Reading;
pub use verdict::Sense;
pub use verdict::Situation;
pub use verdict::Verdict;
