//! Linux: `/proc` and the control groups.

mod cpu;
mod groups;
mod memory;
mod oom;
mod sampling;
mod source;
mod tasks;

#[cfg(test)]
mod tree;

pub use oom::OomWatch;
pub use sampling::Sampler;
pub use sampling::cores;
