//! One reading of the machine and of the run. Whatever could not be read is `None`, and never zero.

use std::time::Duration;

use crate::clock::Moment;
use crate::container::Census;
use crate::container::InUse;
use crate::units::Bytes;
use crate::units::Percent;

/// What was read at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The memory whose limit is the nearest: the machine's, or that of a control group around us.
    pub memory: Option<Memory>,
    /// The memory with the fewest bytes left, which is the first to be full when something floods. It may
    /// be another one: half of a small container is less than a fifth of a large machine.
    pub scarcest: Option<Memory>,
    /// Swap space of the machine.
    pub swap: Option<Memory>,
    /// The share of the cores we may use that was busy during a window of at least a second.
    pub cpu_busy: Option<Percent>,
    /// PSI: the share of the last ten seconds in which some task waited for a CPU
    /// (`some avg10` of `/proc/pressure/cpu`, Documentation/accounting/psi.rst).
    pub cpu_pressure: Option<Percent>,
    /// PSI: the same for memory.
    pub memory_pressure: Option<Percent>,
    /// How many tasks of the machine are runnable now (`procs_running` of `/proc/stat`, `proc(5)`).
    pub runnable: Option<u32>,
    /// Processes and threads where the fewest are left: of the machine, or of a control group around us.
    pub tasks: Option<Tasks>,
    /// The run's own family; `None` when it was not read this time.
    pub family: Option<Family>,
    /// Free space of the file system that holds the target directory.
    pub disk_free: Option<Bytes>,
    /// When it was begun; what happened later is not in it. `None` when that is not known.
    pub taken: Option<Moment>,
    /// How much later than planned this sample was taken.
    pub late: Duration,
}

/// An amount of memory in use, and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// In use, without what the kernel could take back at once.
    pub used: Bytes,
    /// The limit.
    pub total: Bytes,
    /// Whose limit this is.
    pub bound: Bound,
}

/// How much of the machine is taken: what a family comes to have shows in one of these, whoever it belongs to.
///
/// What was used by somebody who has just died is kept ready for each core by the kernel, up to hundreds of
/// megabytes, and counts as used until it is given to the next: then only `pages` grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// What is in use of the memory whose limit is the nearest.
    pub used: Bytes,
    /// What all processes have that is in no file on a disk (`AnonPages` and `Shmem`, `proc_meminfo(5)`); `None`
    /// where that can't be read.
    pub pages: Option<Bytes>,
}

impl Level {
    /// By how much more is taken than then, in bytes; negative when it is less.
    pub fn growth_since(self, then: Self) -> i128 {
        let grown = |now: Bytes, then: Bytes| i128::from(now.0) - i128::from(then.0);
        let used = grown(self.used, then.used);
        let pages = self.pages.zip(then.pages);
        pages.map_or(used, |(now, then)| used.max(grown(now, then)))
    }
}

/// What was read of the machine before the family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// The memory whose limit is the nearest.
    pub memory: Option<Memory>,
    /// What all processes have that is in no file on a disk.
    pub pages: Option<Bytes>,
}

impl Around {
    /// How much is taken.
    pub fn level(self) -> Option<Level> {
        let used = self.memory?.used;
        let pages = self.pages;
        Some(Level { used, pages })
    }
}

/// Processes and threads that are there, and how many there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tasks {
    /// There now.
    pub alive: u64,
    /// The limit.
    pub limit: u64,
    /// Whose limit this is.
    pub bound: Bound,
}

impl Tasks {
    /// The share of the limit that is used; `None` where the limit is zero.
    pub fn share(self) -> Option<Percent> {
        Bytes(self.alive).share_of(Bytes(self.limit))
    }
}

/// Whose limit a reading is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The machine's.
    Machine,
    /// A control group that holds the runner, such as a container's.
    ControlGroup,
}

/// The processes of the run, together and by test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Family {
    /// Resident memory: the proportional share of the largest where the plain sum would mislead.
    pub memory: Bytes,
    /// How many processes.
    pub processes: u32,
    /// How many threads.
    pub threads: u32,
    /// How many open descriptors, of those processes that could be read; `None` when not read this time.
    pub descriptors: Option<u64>,
    /// CPU time so far of the processes alive now, and of all containers that there were.
    pub cpu: Duration,
    /// The containers of the running tests, which are in `memory` and in `cpu`, and in those of the slots.
    pub containers: Vec<InUse>,
    /// When it was seen which tests run: a test that has started since is none of `slots`.
    pub seen: Moment,
    /// The share of each slot that runs a test, by the slot's number.
    pub slots: Vec<SlotUse>,
}

/// What one running test's family uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotUse {
    /// The slot in which the test runs.
    pub slot: usize,
    /// Its family's memory: the proportional shares where the plain sum would cost the test its life.
    pub memory: Bytes,
    /// How many processes live.
    pub processes: u32,
    /// How many threads live; each process has at least one.
    pub threads: u32,
    /// CPU time so far, of those who live and of those for whom they have waited.
    pub cpu: Duration,
    /// Bytes written to disks so far, by the same; `None` when that was not read.
    pub written: Option<Bytes>,
    /// What of `memory` is in containers.
    pub in_containers: Bytes,
    /// What of `cpu` was used in containers.
    pub cpu_in_containers: Duration,
    /// Whether the kernel holds the processes of the test to its limit of memory. It counts what is charged to the test, where a
    /// look sees what is resident: of a file that is mapped, for instance.
    pub memory_is_held: bool,
}

impl Family {
    /// Takes in what the containers of the tests use, which counts as what the tests use themselves. Their processes
    /// are not counted: they are the engine's.
    pub fn take_in(&mut self, census: Census) {
        self.cpu += census.past;
        for used in &census.containers {
            self.memory.0 = self.memory.0.saturating_add(used.memory.0);
            self.cpu += used.cpu;
            if let Some(slot) = self.slots.iter_mut().find(|slot| slot.slot == used.slot) {
                slot.take_in(used.memory, used.cpu);
            }
        }
        self.containers = census.containers;
    }

    /// What of the memory is in containers.
    pub fn in_containers(&self) -> Bytes {
        let all = self.containers.iter().map(|used| used.memory.0);
        Bytes(all.fold(0, u64::saturating_add))
    }

    /// The largest container of the test in this slot.
    pub fn largest_container(&self, slot: usize) -> Option<&InUse> {
        let own = self.containers.iter().filter(|used| used.slot == slot);
        own.max_by_key(|used| used.memory)
    }
}

impl SlotUse {
    fn take_in(&mut self, memory: Bytes, cpu: Duration) {
        self.memory.0 = self.memory.0.saturating_add(memory.0);
        self.in_containers.0 = self.in_containers.0.saturating_add(memory.0);
        self.cpu += cpu;
        self.cpu_in_containers += cpu;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::container::Kind;
    use crate::container::Thing;

    #[test]
    fn what_a_container_uses_is_the_tests_and_the_runs() {
        let secs = Duration::from_secs;
        let slot = |slot, memory| SlotUse {
            slot,
            memory: Bytes(memory),
            cpu: secs(1),
            ..SlotUse::default()
        };
        let mut family = Family {
            memory: Bytes(30),
            cpu: secs(2),
            slots: vec![slot(0, 10), slot(2, 20)],
            ..Family::default()
        };
        let used = |slot, name: &str, memory| InUse {
            slot,
            container: Arc::new(Thing {
                kind: Kind::Container,
                id: String::new(),
                name: name.to_owned(),
                image: String::new(),
            }),
            memory: Bytes(memory),
            cpu: secs(5),
        };
        // That of slot 1 belongs to a test that was not seen yet.
        let containers = vec![
            used(2, "small", 100),
            used(2, "large", 200),
            used(1, "other", 400),
        ];
        family.take_in(Census {
            containers,
            past: secs(7),
        });
        assert_eq!((family.memory, family.cpu), (Bytes(730), secs(24)));
        assert_eq!(family.slots[0], slot(0, 10));
        let [_, second] = &family.slots[..] else {
            panic!()
        };
        assert_eq!(
            (second.memory, second.in_containers),
            (Bytes(320), Bytes(300))
        );
        assert_eq!((second.cpu, second.cpu_in_containers), (secs(11), secs(10)));
        let name = family
            .largest_container(2)
            .map(|used| used.container.name.as_str());
        assert_eq!((name, family.largest_container(0)), (Some("large"), None));
    }
}
