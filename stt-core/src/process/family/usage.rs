//! What the families of the running tests use, for the guard.
//!
//! One file for each process and one for its children: `stat` has everything that is summed up here.

use std::collections::HashSet;
use std::sync::PoisonError;
use std::time::Duration;

use nix::unistd::SysconfVar;

use super::linux::Family;
use super::member::SlotUsage;
use super::member::Usage;
use super::proc::Proc;
use crate::units::Bytes;

/// Of how many processes, the largest first, an exact reading takes the proportional share. Reading it
/// takes up to 14 ms for a process of 1 GB.
const EXACT_PROCESSES: usize = 32;

/// A process that takes less than this is not worth an exact reading.
const EXACT_FROM: Bytes = Bytes::mib(4);

/// In how many processes descriptors are counted, which takes another call for each.
const COUNTED_PROCESSES: usize = 64;

/// What was read of one process.
struct Reading {
    pid: i32,
    /// The index of its slot in the list of slots.
    slot: Option<usize>,
    memory: Bytes,
}

impl Family {
    /// Reads what the tests in these slots, each given with its leader's process id, use together with
    /// the orphans. `exact` counts memory that the largest processes share in parts.
    ///
    /// `None` when families can't be walked: unknown is not zero. Who vanishes in between is skipped.
    pub fn usage(&self, slots: &[(usize, i32)], exact: bool) -> Option<Usage> {
        if self.missing().is_some() {
            return None;
        }
        let mut proc = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut walk = Walk::new(slots)?;
        for (index, &(_, leader)) in slots.iter().enumerate() {
            walk.tree(&mut proc, leader, Some(index));
        }
        for orphan in self.orphans() {
            walk.tree(&mut proc, orphan, None);
        }
        if exact {
            walk.share_out(&mut proc);
        }
        Some(walk.finish())
    }

    /// What of the resident set of a process is no file's; `None` when it has vanished.
    pub fn anonymous(&self, pid: i32) -> Option<Bytes> {
        let mut proc = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let pages = proc.anonymous(pid)?;
        Some(Bytes(
            pages.saturating_mul(constant(SysconfVar::PAGE_SIZE)?),
        ))
    }
}

struct Walk<'a> {
    slots: &'a [(usize, i32)],
    visited: HashSet<i32>,
    queue: Vec<i32>,
    readings: Vec<Reading>,
    threads: u32,
    ticks: u64,
    page: u64,
    ticks_per_second: u64,
}

impl<'a> Walk<'a> {
    fn new(slots: &'a [(usize, i32)]) -> Option<Self> {
        Some(Self {
            slots,
            visited: HashSet::new(),
            queue: Vec::new(),
            readings: Vec::new(),
            threads: 0,
            ticks: 0,
            page: constant(SysconfVar::PAGE_SIZE)?,
            ticks_per_second: constant(SysconfVar::CLK_TCK)?,
        })
    }

    fn tree(&mut self, proc: &mut Proc, root: i32, slot: Option<usize>) {
        let mut slot = slot;
        self.queue.push(root);
        while let Some(pid) = self.queue.pop() {
            if pid <= 1 || !self.visited.insert(pid) {
                continue;
            }
            let Some(stat) = proc.stat(pid).filter(|stat| !stat.is_dead()) else {
                continue;
            };
            // An orphan that stayed in its test's group is that test's, with all below it.
            slot = slot.or_else(|| {
                self.slots
                    .iter()
                    .position(|&(_, leader)| leader == stat.group)
            });
            self.threads += stat.threads;
            self.ticks += stat.ticks;
            self.readings.push(Reading {
                pid,
                slot,
                memory: Bytes(stat.resident.saturating_mul(self.page)),
            });
            proc.children(pid, stat.threads, &mut self.queue);
        }
    }

    /// Replaces the resident sizes of the largest processes by their proportional shares.
    fn share_out(&mut self, proc: &mut Proc) {
        self.readings
            .sort_unstable_by_key(|reading| std::cmp::Reverse(reading.memory));
        let largest = self.readings.iter_mut().take(EXACT_PROCESSES);
        for reading in largest.take_while(|reading| reading.memory >= EXACT_FROM) {
            reading.memory = if let Some(kilobytes) = proc.proportional_set(reading.pid) {
                Bytes(kilobytes.saturating_mul(1024))
            } else {
                // It may not be read, or it has just gone: whoever exits has nothing any more, and counting
                // all that it shared would cost the others their lives.
                let stat = proc.stat(reading.pid).filter(|stat| !stat.is_dead());
                let pages = stat.map_or(0, |stat| stat.resident);
                Bytes(pages.saturating_mul(self.page))
            };
        }
    }

    fn finish(self) -> Usage {
        let sum = |slot: Option<usize>| {
            let readings = self.readings.iter();
            let own = readings.filter(|reading| slot.is_none() || reading.slot == slot);
            Bytes(own.map(|reading| reading.memory.0).sum())
        };
        let slots = self
            .slots
            .iter()
            .enumerate()
            .map(|(index, &(slot, _))| SlotUsage {
                slot,
                memory: sum(Some(index)),
            });
        let largest = self.readings.iter().max_by_key(|reading| reading.memory);
        let micros = self.ticks.saturating_mul(1_000_000) / self.ticks_per_second;
        let counted = self.readings.len() <= COUNTED_PROCESSES;
        let counts = self
            .readings
            .iter()
            .map(|reading| Proc::descriptors(reading.pid));
        Usage {
            memory: sum(None),
            descriptors: if counted { counts.sum() } else { None },
            processes: u32::try_from(self.readings.len()).unwrap_or(u32::MAX),
            threads: self.threads,
            cpu: Duration::from_micros(micros),
            largest: largest.map(|reading| (reading.pid, reading.memory)),
            slots: slots.collect(),
        }
    }
}

/// A constant of the system, which is never zero.
fn constant(name: SysconfVar) -> Option<u64> {
    let value = nix::unistd::sysconf(name).ok()??;
    u64::try_from(value).ok().filter(|&value| value > 0)
}
