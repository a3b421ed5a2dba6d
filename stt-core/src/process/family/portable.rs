//! Families where the platform does not tell who descends from whom: process groups only.

use nix::sys::signal::Signal;

use super::member::FamilyError;
use super::member::Identity;
use super::member::Kin;
use super::member::Survivor;
use super::member::Swept;
use super::member::Usage;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::process::kernel;
use crate::units::Bytes;

/// The handle on all families of a run.
#[derive(Debug)]
pub struct Family {
    missing: FamilyError,
}

/// Nothing is known here of a child that has not been started yet.
pub(in crate::process) fn free_started_by(_thread: i32) {}

/// Nobody can be seen here.
pub(in crate::process) fn below(_leader: i32) -> Vec<Identity> {
    Vec::new()
}

impl Family {
    /// Nothing can be taken over here.
    pub fn adopt() -> Self {
        kernel::keep_ended_children();
        Self {
            missing: FamilyError::Unsupported,
        }
    }

    /// Why families are known by their process groups only.
    pub fn missing(&self) -> Option<&FamilyError> {
        Some(&self.missing)
    }

    /// Nobody is ended here who is in no test's group.
    pub fn spare_present(&self) {}

    /// Orphans are not ours here.
    pub fn orphans(&self) -> Vec<i32> {
        Vec::new()
    }

    /// Nobody can be found here.
    pub fn sweep(&self, _clock: &Clock, _deadline: Moment) -> Swept {
        Swept::default()
    }

    /// Unknown here.
    pub fn usage(&self, _slots: &[(usize, i32)], _exact: bool) -> Option<Usage> {
        None
    }

    /// Unknown here.
    pub fn anonymous(&self, _pid: i32) -> Option<Bytes> {
        None
    }

    pub(in crate::process) fn leftovers(&self, _kin: &Kin<'_>) -> Vec<i32> {
        Vec::new()
    }

    pub(in crate::process) fn end_leftovers(
        &self,
        kin: &mut Kin<'_>,
        _clock: &Clock,
        _deadline: Moment,
    ) -> Vec<Survivor> {
        drop(kernel::signal_group(kin.leader, Signal::SIGKILL));
        Vec::new()
    }
}
