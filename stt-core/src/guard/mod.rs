//! The guard: what it reads, and what it decides.

pub mod sample;
