//! A test's family: its process, and everything descended from it however it re-parented.

#[cfg(target_os = "linux")]
mod burial;
#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod everybody;
#[cfg(not(target_os = "linux"))]
#[path = "nobody.rs"]
mod everybody;
#[cfg(target_os = "linux")]
mod found;
#[cfg(target_os = "linux")]
mod glance;
#[cfg(target_os = "linux")]
mod ledger;
#[cfg(target_os = "linux")]
mod linux;
mod member;
#[cfg(not(target_os = "linux"))]
mod portable;
#[cfg(target_os = "linux")]
mod proc;
#[cfg(target_os = "linux")]
mod shares;
#[cfg(target_os = "linux")]
mod sock_diag;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod sweep;
#[cfg(target_os = "linux")]
mod tree;
#[cfg(target_os = "linux")]
mod unmapped;
#[cfg(target_os = "linux")]
mod usage;

#[cfg(target_os = "linux")]
pub use cgroup::Doomed;
#[cfg(target_os = "linux")]
pub use cgroup::SlotGroup;
pub use everybody::Everybody;
pub use everybody::boot;
pub use everybody::myself;
pub use everybody::pid_namespace;
#[cfg(target_os = "linux")]
pub use glance::Glance;
#[cfg(target_os = "linux")]
pub use linux::Family;
pub use member::Exact;
pub use member::FamilyError;
pub use member::GroupError;
pub use member::GroupUsage;
pub use member::Held;
pub use member::Marker;
pub use member::Member;
pub use member::NAMED_IN_HASTE;
pub use member::Resident;
pub use member::Running;
pub use member::SlotUsage;
pub use member::Survivor;
pub use member::Swept;
pub use member::Usage;
#[cfg(not(target_os = "linux"))]
pub use portable::Doomed;
#[cfg(not(target_os = "linux"))]
pub use portable::Family;
#[cfg(not(target_os = "linux"))]
pub use portable::Glance;
#[cfg(not(target_os = "linux"))]
pub use portable::SlotGroup;
#[cfg(not(target_os = "linux"))]
pub use portable::holders;
#[cfg(not(target_os = "linux"))]
pub use portable::listeners;
#[cfg(target_os = "linux")]
pub use sockets::holders;
#[cfg(target_os = "linux")]
pub use sockets::listeners;

#[cfg(target_os = "linux")]
pub(super) use cgroup::Pen;
#[cfg(target_os = "linux")]
pub(super) use linux::below;
#[cfg(target_os = "linux")]
pub(super) use linux::free_started_by;
pub(super) use member::Identity;
pub(super) use member::Kin;
pub(super) use member::Naming;
pub(super) use member::Spent;
#[cfg(not(target_os = "linux"))]
pub(super) use portable::Pen;
#[cfg(not(target_os = "linux"))]
pub(super) use portable::below;
#[cfg(not(target_os = "linux"))]
pub(super) use portable::free_started_by;
