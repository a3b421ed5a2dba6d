//! Linux: `/proc` and the control groups.

mod cpu;
mod groups;
mod memory;
mod sampling;
mod source;

#[cfg(test)]
mod tree;

pub use sampling::Sampler;
pub use sampling::cores;
