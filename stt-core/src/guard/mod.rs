//! The guard: what it reads, and what it decides.
//!
//! [`Sampler`] reads the machine, [`Policy`] decides about each [`Sample`], and [`cadence`] says when
//! the next one is due. Only the sampler and [`priority`] touch the system; the rest is pure.

pub mod cadence;
mod lines;
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "only Linux has these files")
)]
mod parse;
mod policy;
pub mod priority;
mod sample;
mod sampler;

#[cfg(target_os = "linux")]
#[cfg(test)]
mod attack;

pub use policy::Act;
pub use policy::Breach;
pub use policy::Candidate;
pub use policy::Critical;
pub use policy::Note;
pub use policy::Policy;
pub use policy::Reading;
pub use policy::Sense;
pub use policy::Situation;
pub use policy::Verdict;
pub use policy::pick_shed;
pub use sample::Bound;
pub use sample::Family;
pub use sample::Memory;
pub use sample::Sample;
pub use sample::SlotUse;
pub use sampler::Missing;
pub use sampler::Sampler;
pub use sampler::SamplerConfig;
pub use sampler::cores;
