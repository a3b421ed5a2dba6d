//! What a slot and the sampler tell each other of the test that runs there: which limits it has, and how
//! much of everything it was seen to use.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use crate::guard::SlotUse;
use crate::limits::Limits;
use crate::units::Bytes;

/// The desk of one slot.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    test: Mutex<Option<Test>>,
}

/// A running test.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    /// Its leader.
    pub(crate) leader: i32,
    /// What it may use.
    pub(crate) limits: Option<Arc<Limits>>,
    /// Whether the kernel holds it to its limit of memory.
    pub(crate) memory_is_held: bool,
    /// The most that it was seen to use.
    pub(crate) peak: Option<Peak>,
}

/// The most that a test was seen to use with its whole family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peak {
    /// Memory.
    pub(crate) memory: Bytes,
    /// Processes and threads at once.
    pub(crate) threads: u32,
    /// Bytes written to disks.
    pub(crate) written: Option<Bytes>,
    /// Memory of its containers alone.
    pub(crate) in_containers: Bytes,
    /// CPU time in containers.
    pub(crate) cpu_in_containers: Duration,
}

impl Desk {
    /// A test begins.
    pub(crate) fn begin(&self, test: Test) {
        *self.lock() = Some(test);
    }

    /// The test is over. Returns the most that it was seen to use; `None` when nobody looked.
    pub(crate) fn end(&self) -> Option<Peak> {
        self.lock().take()?.peak
    }

    /// The test that runs.
    pub(crate) fn test(&self) -> Option<Test> {
        self.lock().clone()
    }

    /// Notes what the test of this leader uses, if it still runs.
    pub(crate) fn note(&self, leader: i32, used: &SlotUse) {
        let mut test = self.lock();
        if let Some(test) = test.as_mut().filter(|test| test.leader == leader) {
            test.peak.get_or_insert_default().raise(used);
        }
    }

    /// What is behind the lock is whole at every moment.
    fn lock(&self) -> MutexGuard<'_, Option<Test>> {
        self.test.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peak {
    fn raise(&mut self, used: &SlotUse) {
        self.memory = self.memory.max(used.memory);
        self.threads = self.threads.max(used.threads);
        self.written = self.written.max(used.written);
        self.in_containers = self.in_containers.max(used.in_containers);
        self.cpu_in_containers = self.cpu_in_containers.max(used.cpu_in_containers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_that_of_the_test_that_was_seen() {
        let desk = Desk::default();
        assert_eq!(desk.end(), None);
        let test = Test {
            leader: 7,
            limits: None,
            memory_is_held: false,
            peak: None,
        };
        desk.begin(test.clone());
        let used = |memory, threads| SlotUse {
            memory: Bytes(memory),
            threads,
            ..SlotUse::default()
        };
        desk.note(7, &used(5, 1));
        desk.note(7, &used(3, 4));
        desk.note(8, &used(900, 900));
        let peak = Peak {
            memory: Bytes(5),
            threads: 4,
            ..Peak::default()
        };
        assert_eq!(desk.end(), Some(peak));
        desk.note(7, &used(1, 1));
        desk.begin(test);
        assert_eq!(desk.end(), None);
    }
}
