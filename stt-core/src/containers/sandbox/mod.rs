//! Containers in which tests run: made, used, looked into and removed.
//!
//! Each has a process 1 of ours that only sleeps; a test is a further program in it. So one container can serve one test
//! after the other, and the image has to hold nothing but what the test itself needs.

mod client;
mod elf;
mod engine;
mod error;
mod exit;
mod frames;
mod group;
mod http;
mod idle;
mod images;
mod place;
mod spec;

pub use client::CLIENT;
pub use client::Call;
pub use client::NO_TEST;
pub use client::attend;
pub use engine::CallError;
pub use error::SandboxError;
pub use group::Counted;
pub use place::Sandbox;
pub use place::Sandboxes;
pub use place::Setting;
pub use spec::LeftOut;
pub use spec::Mount;
pub use spec::ProcessLimit;
