//! What the families of the running tests use, for the guard and for the limits of tests.
//!
//! One file for each process and one for its children: `stat` has everything that is summed up here.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use camino::Utf8Path;
use nix::unistd::SysconfVar;

use super::linux::Family;
use super::member::Exact;
use super::member::Identity;
use super::member::Member;
use super::member::Resident;
use super::member::Running;
use super::member::SlotUsage;
use super::member::Usage;
use super::proc::Proc;
use super::proc::Stat;
use super::shares;
use super::unmapped::Charges;
use super::unmapped::Holder;
use super::unmapped::Unmapped;
use crate::units::Bytes;

/// In how many processes descriptors are counted, which takes another call for each.
const COUNTED_PROCESSES: usize = 64;

/// Of how many processes it is told that they are the largest, and from what size on.
const LARGEST: usize = 16;
const LARGE: Bytes = Bytes::mib(4);

/// What one reading remembers for the next.
#[derive(Debug)]
pub(super) struct Readings {
    proc: Proc,
    unmapped: Unmapped,
    /// Whose test each process was seen in, by its leader: it stays that when it loses its parent.
    known: HashMap<Identity, i32>,
}

impl Readings {
    /// For a run that begins now.
    pub(super) fn begin() -> Self {
        Self {
            proc: Proc::default(),
            unmapped: Unmapped::begin(),
            known: HashMap::new(),
        }
    }
}

/// What was read of one process.
struct Reading {
    pid: i32,
    /// The index of its test in the list of tests.
    test: Option<usize>,
    memory: Bytes,
    threads: u32,
    /// CPU time of its own, in ticks.
    ticks: u64,
    /// The same of those for whom it has waited.
    waited_ticks: u64,
    written: Option<u64>,
}

impl Family {
    /// Reads what these tests use together with the orphans.
    ///
    /// `None` when families can't be walked: unknown is not zero. Who vanishes in between is skipped.
    pub fn usage(&self, tests: &[Running<'_>], exact: Exact) -> Option<Usage> {
        if self.missing().is_some() {
            return None;
        }
        // Each of the dead would be looked at, once for every test that is read exactly, while they grow more.
        self.bury();
        let mut readings = self.readings();
        let Readings {
            proc,
            unmapped,
            known,
        } = &mut *readings;
        let mut walk = Walk::new(tests, known)?;
        for (index, test) in tests.iter().enumerate() {
            walk.tree(proc, test.leader, Some(index));
        }
        for orphan in self.orphans() {
            walk.tree(proc, orphan, None);
        }
        let charges = unmapped.look(proc, &walk.holders());
        match exact {
            Exact::Nobody => {}
            Exact::All => walk.share_out(proc, |_| true),
            Exact::Slot(slot) => {
                let index = tests.iter().position(|test| test.slot == slot);
                walk.share_out(proc, |reading| reading.test == index);
            }
        }
        let (usage, seen) = walk.finish(&charges);
        *known = seen;
        Some(usage)
    }

    /// Counts the files in the run's temporary directory as its memory, where they are in memory.
    pub fn has_files_in(&self, dir: &Utf8Path) {
        self.readings().unmapped.include(dir.into());
    }

    /// The resident set of a process, and what of it is no file's; `None` when it has vanished.
    pub fn resident(&self, pid: i32) -> Option<Resident> {
        let (all, anonymous) = self.readings().proc.parts(pid)?;
        let page = constant(SysconfVar::PAGE_SIZE)?;
        let [all, anonymous] = [all, anonymous].map(|pages| Bytes(pages.saturating_mul(page)));
        Some(Resident {
            pid,
            all,
            anonymous,
        })
    }

    /// What is behind the lock is replaced as a whole.
    fn readings(&self) -> MutexGuard<'_, Readings> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Walk<'a> {
    tests: &'a [Running<'a>],
    /// Who was known at the last walk.
    known: &'a HashMap<Identity, i32>,
    /// Who is known now.
    seen: HashMap<Identity, i32>,
    visited: HashSet<i32>,
    queue: Vec<i32>,
    readings: Vec<Reading>,
    page: u64,
    ticks_per_second: u64,
}

impl<'a> Walk<'a> {
    fn new(tests: &'a [Running<'a>], known: &'a HashMap<Identity, i32>) -> Option<Self> {
        Some(Self {
            tests,
            known,
            seen: HashMap::new(),
            visited: HashSet::new(),
            queue: Vec::new(),
            readings: Vec::new(),
            page: constant(SysconfVar::PAGE_SIZE)?,
            ticks_per_second: constant(SysconfVar::CLK_TCK)?,
        })
    }

    fn tree(&mut self, proc: &mut Proc, root: i32, test: Option<usize>) {
        let mut test = test;
        self.queue.push(root);
        while let Some(pid) = self.queue.pop() {
            if pid <= 1 || !self.visited.insert(pid) {
                continue;
            }
            let Some(stat) = proc.stat(pid).filter(|stat| !stat.is_dead()) else {
                continue;
            };
            // Whoever is below an orphan of a test is that test's, too.
            test = test.or_else(|| self.test_of(proc, &stat));
            let running = test.map(|index| &self.tests[index]);
            if let Some(running) = running {
                self.seen.insert(stat.identity(), running.leader);
            }
            let written = running.filter(|running| running.written);
            self.readings.push(Reading {
                pid,
                test,
                memory: Bytes(stat.resident.saturating_mul(self.page)),
                threads: stat.threads,
                ticks: stat.ticks,
                waited_ticks: stat.waited_ticks,
                written: written.and_then(|_| proc.written(pid)),
            });
            proc.children(pid, stat.threads, &mut self.queue);
        }
    }

    /// Whose an orphan is: by its group, by where it was seen before, or by what it carries.
    fn test_of(&self, proc: &mut Proc, orphan: &Stat) -> Option<usize> {
        let seen_below = self.known.get(&orphan.identity());
        self.tests
            .iter()
            .position(|test| test.leader == orphan.group || seen_below == Some(&test.leader))
            .or_else(|| {
                self.tests.iter().position(|test| {
                    proc.carries_now(orphan.pid, orphan.threads, &test.marker.entries)
                })
            })
    }

    /// Replaces the resident sizes of those that are wanted by their proportional shares.
    fn share_out(&mut self, proc: &mut Proc, wanted: impl Fn(&Reading) -> bool) {
        self.readings
            .sort_unstable_by_key(|reading| (std::cmp::Reverse(reading.memory), reading.pid));
        let mut wanted: Vec<_> = self
            .readings
            .iter_mut()
            .filter(|reading| wanted(reading))
            .collect();
        let sizes: Vec<_> = wanted.iter().map(|reading| reading.memory).collect();
        for stratum in shares::strata(&sizes) {
            let spokesman = shares::spokesman(&stratum);
            let share = share(proc, wanted[spokesman].pid, self.page);
            for (reading, size) in wanted[stratum.clone()].iter_mut().zip(&sizes[stratum]) {
                reading.memory = shares::as_shared(*size, (sizes[spokesman], share));
            }
            // It may have grown since.
            wanted[spokesman].memory = share;
        }
    }

    fn holders(&self) -> Vec<Holder> {
        let holders = self.readings.iter().map(|reading| Holder {
            pid: reading.pid,
            test: reading.test,
            resident: reading.memory,
        });
        holders.collect()
    }

    fn members(&self) -> Vec<Member> {
        let members = self.readings.iter().map(|reading| Member {
            pid: reading.pid,
            slot: reading
                .test
                .and_then(|index| Some(self.tests.get(index)?.slot)),
        });
        members.collect()
    }

    /// The largest processes, the largest first.
    fn largest(&self) -> Vec<(i32, Bytes)> {
        let large = self
            .readings
            .iter()
            .filter(|reading| reading.memory >= LARGE);
        let mut large: Vec<_> = large.map(|reading| (reading.pid, reading.memory)).collect();
        large.sort_unstable_by_key(|&(pid, memory)| (std::cmp::Reverse(memory), pid));
        large.truncate(LARGEST);
        large
    }

    /// The sums, and whose each process is.
    fn finish(self, charges: &Charges) -> (Usage, HashMap<Identity, i32>) {
        let tests = self.tests.iter().enumerate();
        let slots = tests
            .map(|(index, test)| self.sum(index, test, charges))
            .collect();
        let resident: u64 = self.readings.iter().map(|reading| reading.memory.0).sum();
        let counted = self.readings.len() <= COUNTED_PROCESSES;
        let counts = self
            .readings
            .iter()
            .map(|reading| Proc::descriptors(reading.pid));
        let usage = Usage {
            memory: Bytes(resident.saturating_add(charges.all.0)),
            unmapped: charges.all,
            descriptors: if counted { counts.sum() } else { None },
            processes: u32::try_from(self.readings.len()).unwrap_or(u32::MAX),
            threads: self.readings.iter().map(|reading| reading.threads).sum(),
            cpu: self.time(self.readings.iter().map(|reading| reading.ticks).sum()),
            members: self.members(),
            largest: self.largest(),
            slots,
        };
        (usage, self.seen)
    }

    fn sum(&self, index: usize, test: &Running<'_>, charges: &Charges) -> SlotUsage {
        let unmapped = charges.tests.get(&index).copied().unwrap_or_default();
        let mut sum = SlotUsage {
            slot: test.slot,
            memory: unmapped,
            unmapped,
            ..SlotUsage::default()
        };
        let mut ticks = 0;
        let own = |reading: &&Reading| reading.test == Some(index);
        for reading in self.readings.iter().filter(own) {
            sum.memory = Bytes(sum.memory.0.saturating_add(reading.memory.0));
            sum.processes += 1;
            sum.threads += reading.threads;
            ticks += reading.ticks + reading.waited_ticks;
            // Who can't be read has written something or nothing: the sum is what is known.
            if let Some(written) = reading.written {
                let before = sum.written.unwrap_or_default();
                sum.written = Some(Bytes(before.0.saturating_add(written)));
            }
            if sum
                .largest
                .is_none_or(|(_, memory)| memory < reading.memory)
            {
                sum.largest = Some((reading.pid, reading.memory));
            }
        }
        sum.cpu = self.time(ticks);
        sum
    }

    fn time(&self, ticks: u64) -> Duration {
        Duration::from_micros(ticks.saturating_mul(1_000_000) / self.ticks_per_second)
    }
}

/// The proportional share of a process.
fn share(proc: &mut Proc, pid: i32, page: u64) -> Bytes {
    if let Some(kilobytes) = proc.proportional_set(pid) {
        return Bytes(kilobytes.saturating_mul(1024));
    }
    // It may not be read, or it has just gone: whoever exits has nothing any more, and counting
    // all that it shared would cost the others their lives.
    let stat = proc.stat(pid).filter(|stat| !stat.is_dead());
    Bytes(stat.map_or(0, |stat| stat.resident).saturating_mul(page))
}

/// A constant of the system, which is never zero.
pub(super) fn constant(name: SysconfVar) -> Option<u64> {
    let value = nix::unistd::sysconf(name).ok()??;
    u64::try_from(value).ok().filter(|&value| value > 0)
}
