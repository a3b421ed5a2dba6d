//! The guard: what it reads, and what it decides.
//!
//! [`Sampler`] reads the machine, [`Policy`] decides about each [`Sample`], and [`cadence`] says when
//! the next one is due, [`recovery`] when a stopped run may go on. Only the sampler and [`priority`] touch the system; the rest is pure.

pub mod cadence;
pub mod limited;
mod lines;
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "only Linux has these files")
)]
mod pace;
mod parse;
mod policy;
pub mod priority;
pub mod recovery;
mod sample;
mod sampler;
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "only Linux counts these kills")
)]
mod toll;

#[cfg(target_os = "linux")]
#[cfg(test)]
mod attack;

pub use pace::Busy;
pub use pace::Pace;
pub use policy::Act;
pub use policy::Breach;
pub use policy::Candidate;
pub use policy::Company;
pub use policy::Critical;
pub use policy::Note;
pub use policy::OwnPart;
pub use policy::Policy;
pub use policy::Reading;
pub use policy::Sense;
pub use policy::Situation;
pub use policy::Verdict;
pub use policy::pick_shed;
pub use sample::Around;
pub use sample::Bound;
pub use sample::Family;
pub use sample::Level;
pub use sample::Memory;
pub use sample::Sample;
pub use sample::SlotUse;
pub use sample::Tasks;
pub use sampler::Missing;
pub use sampler::OomWatch;
pub use sampler::Sampler;
pub use sampler::SamplerConfig;
pub use sampler::cores;
