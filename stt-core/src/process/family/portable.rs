//! Families where the platform does not tell who descends from whom: process groups only.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use nix::sys::signal::Signal;

use super::member::Exact;
use super::member::FamilyError;
use super::member::GroupError;
use super::member::GroupUsage;
use super::member::Held;
use super::member::Identity;
use super::member::Kin;
use super::member::Running;
use super::member::SlotUsage;
use super::member::Spent;
use super::member::Survivor;
use super::member::Swept;
use super::member::Usage;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::id::RunId;
use crate::limits::Limits;
use crate::process::kernel;
use crate::units::Bytes;

/// The handle on all families of a run.
#[derive(Debug)]
pub struct Family {
    missing: FamilyError,
}

/// Nobody can be glanced at here.
#[derive(Debug)]
pub enum Glance {}

impl Glance {
    /// There is nothing to open.
    pub fn at(_usage: &Usage) -> Option<Self> {
        None
    }

    /// Never called: there is no glance.
    pub fn read(&self) -> Option<(Bytes, Vec<SlotUsage>)> {
        match *self {}
    }
}

/// There are no control groups here, so this has no value.
#[derive(Debug)]
pub enum SlotGroup {}

impl SlotGroup {
    pub(in crate::process) fn begin(
        &mut self,
        _limits: Option<&Limits>,
    ) -> Result<(Arc<Pen>, Held), GroupError> {
        match *self {}
    }
}

/// There are no control groups here, so this has no value.
#[derive(Debug)]
pub(in crate::process) enum Pen {}

impl Pen {
    pub(in crate::process) fn kill(&self) -> io::Result<()> {
        match *self {}
    }

    pub(in crate::process) fn events(&self) -> BorrowedFd<'_> {
        match *self {}
    }

    pub(in crate::process) fn is_populated(&self) -> bool {
        match *self {}
    }

    pub(in crate::process) fn members(&self) -> Vec<i32> {
        match *self {}
    }

    pub(in crate::process) fn take_in(&self, _pid: i32) -> io::Result<()> {
        match *self {}
    }

    pub(in crate::process) fn usage(&self) -> GroupUsage {
        match *self {}
    }
}

/// There are no control groups here, so this has no value.
#[derive(Debug)]
pub enum Doomed {}

impl Doomed {
    /// There are no control groups here.
    ///
    /// # Errors
    /// Always.
    pub fn open(_path: &Utf8Path) -> Result<Option<Self>, GroupError> {
        Err(GroupError::Unsupported)
    }

    /// The processes that are in it.
    pub fn members(&self) -> Vec<i32> {
        match *self {}
    }

    /// Kills everybody in it.
    ///
    /// # Errors
    /// Never: there is no such group.
    pub fn end(self, _clock: &Clock, _deadline: Moment) -> Result<Swept, GroupError> {
        match self {}
    }
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

    /// There are no control groups here.
    pub fn make_group(&self, _run: &RunId) {}

    /// There are no control groups here.
    pub fn remove_group(&self) {}

    /// There are no control groups here.
    pub fn group_path(&self) -> Option<Utf8PathBuf> {
        None
    }

    /// There are no control groups here.
    pub fn slot_group(&self, _number: usize) -> Option<SlotGroup> {
        None
    }

    /// There are no groups.
    pub fn shares_cpu(&self) -> bool {
        false
    }

    /// By what means families are known and ended.
    pub fn mechanism(&self) -> String {
        "process groups".to_owned()
    }

    /// Nobody is ended here who is in no test's group.
    pub fn spare_present(&self) {}

    /// Nobody need be spared here.
    pub fn spared(&self) -> Vec<(i32, u64)> {
        Vec::new()
    }

    /// Nobody need be spared here.
    pub fn spare(&self, _processes: &[(i32, u64)]) {}

    /// Orphans are not ours here.
    pub fn orphans(&self) -> Vec<i32> {
        Vec::new()
    }

    /// Nobody can be found here.
    pub fn sweep(&self, _clock: &Clock, _deadline: Moment) -> Swept {
        Swept::default()
    }

    /// Nobody can be found here.
    ///
    /// # Errors
    /// None: there are no control groups, and so none is asked for.
    pub fn end_orphaned(
        &self,
        _group: Option<&Utf8Path>,
        _clock: &Clock,
        _deadline: Moment,
    ) -> (Swept, Result<(), GroupError>) {
        (Swept::default(), Ok(()))
    }

    /// Slots see to their own tests here.
    pub fn give_up(&self) {}

    pub(in crate::process) fn is_given_up(&self) -> bool {
        false
    }

    /// Nobody can be found here.
    pub fn end_all(&self, _clock: &Clock, _deadline: Moment) {}

    /// Unknown here.
    pub fn usage(&self, _tests: &[Running<'_>], _exact: Exact) -> Option<Usage> {
        None
    }

    /// Nothing is counted here.
    pub fn has_files_in(&self, _dir: &camino::Utf8Path) {}

    /// Unknown here.
    pub(in crate::process) fn open_account(&self, _leader: i32, _exclusive: bool) {}

    /// Nobody need be known by it here.
    pub(in crate::process) fn remember(
        &self,
        _leader: i32,
        _seen: impl IntoIterator<Item = Identity>,
    ) {
    }

    /// Orphans are not ours here, and the dead among them nobody's that we could bury.
    pub fn bury(&self) -> bool {
        false
    }

    /// Nothing: orphans are nobody's here.
    pub(in crate::process) fn spent(&self, _leader: i32) -> Spent {
        Spent::default()
    }

    /// Unknown here.
    pub fn resident(&self, _pid: i32) -> Option<Resident> {
        None
    }

    pub(in crate::process) fn leftovers(&self, _kin: &Kin<'_>) -> Vec<i32> {
        Vec::new()
    }

    pub(in crate::process) fn end_leftovers(
        &self,
        kin: &Kin<'_>,
        _clock: &Clock,
        _deadline: Moment,
    ) -> Vec<Survivor> {
        drop(kernel::signal_group(kin.leader, Signal::SIGKILL));
        Vec::new()
    }
}

/// Who listens on a port is not seen here.
pub fn listeners(_numbers: &[u16]) -> Vec<crate::port::StillHeld> {
    Vec::new()
}

/// Who has a socket open is not seen here.
pub fn holders(_sockets: &[u64]) -> std::collections::HashMap<u64, Vec<crate::port::Holder>> {
    std::collections::HashMap::new()
}
