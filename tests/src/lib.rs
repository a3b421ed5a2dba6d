//! What the end-to-end tests share: a laboratory that runs the built `cargo-stt` against a fixture, apart
//! from everything else on the machine.

mod built;
mod exit;
mod expected;
mod finished;
mod lab;
mod log;
mod outside;
mod proc;
mod record;
mod report;
mod running;
pub mod siege;
mod skipped;
mod stt;
mod town;
mod wait;

pub use built::cargo;
pub use built::cargo_stt;
pub use built::target_dir;
pub use built::workspace_root;
pub use expected::Expected;
pub use expected::Want;
pub use finished::Finished;
pub use lab::Lab;
pub use log::Log;
pub use outside::outside;
pub use proc::Identity;
pub use proc::Process;
pub use proc::is_alive;
pub use proc::marked;
pub use proc::state;
pub use proc::status;
pub use proc::worker_of;
pub use record::Record;
pub use report::Report;
pub use report::Results;
pub use report::id_of;
pub use running::Running;
pub use skipped::skipped;
pub use stt::Stt;
pub use town::Town;
pub use wait::DEADLINE;
pub use wait::until;
