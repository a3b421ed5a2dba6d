//! A test's family: its process, and everything descended from it however it re-parented.

#[cfg(target_os = "linux")]
mod linux;
mod member;
#[cfg(not(target_os = "linux"))]
mod portable;
#[cfg(target_os = "linux")]
mod proc;
#[cfg(target_os = "linux")]
mod tree;
#[cfg(target_os = "linux")]
mod usage;

#[cfg(target_os = "linux")]
pub use linux::Family;
pub use member::FamilyError;
pub use member::Marker;
pub use member::SlotUsage;
pub use member::Survivor;
pub use member::Swept;
pub use member::Usage;
#[cfg(not(target_os = "linux"))]
pub use portable::Family;

#[cfg(target_os = "linux")]
pub(super) use linux::below;
#[cfg(target_os = "linux")]
pub(super) use linux::free_started_by;
pub(super) use member::Identity;
pub(super) use member::Kin;
#[cfg(not(target_os = "linux"))]
pub(super) use portable::below;
#[cfg(not(target_os = "linux"))]
pub(super) use portable::free_started_by;
