//! The containers that the running tests have made, as the proxy has seen them.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::figures::Said;
use crate::container::Thing;

/// A container that a test has made.
#[derive(Debug)]
pub struct Made {
    /// The slot of the test.
    pub(super) slot: usize,
    /// What the engine calls it.
    pub(super) container: Arc<Thing>,
    /// What of its CPU time is not of this test, since it was there before.
    pub(super) cpu_before: Duration,
    /// What the engine has said of it, when it was asked last.
    said: Mutex<Said>,
}

impl Made {
    /// The container.
    pub fn container(&self) -> &Thing {
        &self.container
    }

    /// The engine says this of it.
    pub fn say(&self, said: Said) {
        *self.lock() = said;
    }

    /// What the engine has said of it, when it was asked last.
    pub(super) fn said(&self) -> Said {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which containers there are: the proxy adds them, the start of a test takes those of the one before it away, and
/// the guard reads.
#[derive(Debug, Default)]
pub struct Roster {
    made: Mutex<Vec<Arc<Made>>>,
    /// Changes with the list.
    version: AtomicU64,
}

impl Roster {
    /// A test in this slot has made it.
    pub(super) fn add(&self, slot: usize, container: Thing) {
        self.take_in(slot, container, Duration::ZERO);
    }

    /// The test in this slot has it, which may have used so much CPU time for others before.
    pub fn take_in(&self, slot: usize, container: Thing, cpu_before: Duration) {
        let container = Arc::new(container);
        self.lock().push(Arc::new(Made {
            slot,
            container,
            cpu_before,
            said: Mutex::default(),
        }));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The test in this slot is over.
    pub fn forget(&self, slot: usize) {
        let mut made = self.lock();
        let before = made.len();
        made.retain(|one| one.slot != slot);
        if made.len() != before {
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// The list, if it is another one than that of this version, with its own.
    pub(super) fn news(&self, version: u64) -> Option<(Vec<Arc<Made>>, u64)> {
        if self.version.load(Ordering::Acquire) == version {
            return None;
        }
        let made = self.lock();
        Some((made.clone(), self.version.load(Ordering::Acquire)))
    }

    /// What is behind the lock is whole at every moment.
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Made>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
