//! Families on Linux.
//!
//! We are a child subreaper (`PR_SET_CHILD_SUBREAPER(2const)`): whoever loses his parent becomes our
//! child, more precisely a child of our main thread, which the kernel takes first among the threads
//! that live. Children that a slot thread has started are that thread's. So what
//! `/proc/self/task/<main>/children` lists is exactly the orphans, as long as the main thread starts
//! nothing while tests run, and nobody but this file reaps them.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::member::FamilyError;
use super::member::Identity;
use super::member::Kin;
use super::member::Survivor;
use super::member::Swept;
use super::proc;
use super::proc::Proc;
use super::proc::Stat;
use super::tree::Member;
use super::tree::Tree;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::process::kernel;

/// The handle on all families of a run.
#[derive(Debug)]
pub struct Family {
    /// The children of our main thread, kept open and read again from its start.
    children: Result<File, FamilyError>,
    /// Orphans are looked at, signalled and reaped under this lock only: while it is held, the number
    /// of an orphan can't become that of another process, because nobody else reaps it.
    proc: Mutex<Proc>,
    /// For the guard, who must not wait for the lock above.
    pub(super) readings: Mutex<Proc>,
    /// Who was below us before the first test, and is none of the tests' business.
    spared: Mutex<HashSet<Identity>>,
}

/// Frees a child that a stop signal caught before its `exec`, while `thread` waits for that.
///
/// CONT takes back a stop that is pending, too (`signal(7)`).
pub(in crate::process) fn free_started_by(thread: i32) {
    let mut children = Vec::new();
    Proc::default().children_of_thread(own_pid(), thread, &mut children);
    for child in children {
        let _ = nix::sys::signal::kill(Pid::from_raw(child), Signal::SIGCONT);
    }
}

/// Who is below a leader that still runs; of a very large family, only a part. Whoever has left the
/// leader's group and cleared his environment is known by this alone, once the leader is gone.
pub(in crate::process) fn below(leader: i32) -> Vec<Identity> {
    Tree::below(&mut Proc::default(), leader)
        .identities()
        .collect()
}

fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

impl Family {
    /// Takes over every process that loses its parent below us from now on. Called once, before the
    /// first test.
    pub fn adopt() -> Self {
        kernel::keep_ended_children();
        Self {
            children: take_over(),
            proc: Mutex::default(),
            readings: Mutex::default(),
            spared: Mutex::default(),
        }
    }

    /// Spares everybody who is below us now: a compile server that the build has started, or what a
    /// shell had started before it became us. They are no test's, and outlive the run.
    pub fn spare_present(&self) {
        let mut proc = self.lock();
        let roots = all_children(&mut proc);
        let trees = roots.into_iter().map(|root| Tree::below(&mut proc, root));
        let present: HashSet<_> = trees
            .flat_map(|tree| tree.identities().collect::<Vec<_>>())
            .collect();
        *self.spared.lock().unwrap_or_else(PoisonError::into_inner) = present;
    }

    /// Leaves out whom we spare. The dead are left in, for somebody has to reap them.
    fn without_spared(&self, processes: &mut Vec<i32>) {
        let spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
        if spared.is_empty() {
            return;
        }
        let mut proc = Proc::default();
        processes.retain(|&pid| {
            let stat = proc.stat(pid).filter(|stat| !stat.is_dead());
            stat.is_none_or(|Stat { start, .. }| !spared.contains(&Identity { pid, start }))
        });
    }

    /// Why families are known by their process groups only; `None` when all is well.
    pub fn missing(&self) -> Option<&FamilyError> {
        self.children.as_ref().err()
    }

    /// The processes that have lost their parent, dead ones included, but for those that are spared.
    /// Costs one system call when there are none.
    pub fn orphans(&self) -> Vec<i32> {
        let mut orphans = Vec::new();
        let Ok(file) = &self.children else {
            return orphans;
        };
        let mut text = Vec::new();
        let mut buffer = [0; 1024];
        let mut offset = 0;
        // A reading that fails midway leaves the rest for the next look.
        while let Ok(length @ 1..) = file.read_at(&mut buffer, offset) {
            text.extend_from_slice(&buffer[..length]);
            offset += length as u64;
        }
        proc::parse_children(&text, &mut orphans);
        self.without_spared(&mut orphans);
        orphans
    }

    /// The orphans that belong to a test and live. Those that are dead are reaped, whosever they are.
    pub(in crate::process) fn leftovers(&self, kin: &Kin<'_>) -> Vec<i32> {
        let orphans = self.orphans();
        if orphans.is_empty() {
            return orphans;
        }
        sort_out(&mut self.lock(), orphans, kin)
    }

    /// Ends what is left of a test's family: its group, and the orphans that belong to it with all
    /// below them. Returns whom it found, when all are dead or at the deadline.
    pub(in crate::process) fn end_leftovers(
        &self,
        kin: &mut Kin<'_>,
        clock: &Clock,
        deadline: Moment,
    ) -> Vec<Survivor> {
        let mut found = Found::default();
        self.until_empty(clock, deadline, |proc| {
            let roots = sort_out(proc, self.orphans(), kin);
            let tree = Tree::freeze(proc, &roots);
            found.note(proc, &tree, Some(kin.leader));
            kin.remembered.extend(tree.identities());
            // The leader is a zombie until we reap it, so its group's number is still its own.
            drop(kernel::signal_group(kin.leader, Signal::SIGKILL));
            tree
        });
        found.survivors
    }

    /// Ends every process below us that is not spared, whatever its session, its group or its
    /// environment, and reaps what has no other parent than us. To be called when no slot runs a test any more.
    ///
    /// Two looks in a row must find nobody. At the deadline whoever is still alive is reported: that a
    /// signal is refused is a failure, not a success.
    pub fn sweep(&self, clock: &Clock, deadline: Moment) -> Swept {
        let mut found = Found::default();
        let last = self.until_empty(clock, deadline, |proc| {
            self.reap_dead(proc);
            let mut roots = all_children(proc);
            self.without_spared(&mut roots);
            let tree = Tree::freeze(proc, &roots);
            found.note(proc, &tree, None);
            tree
        });
        found.swept(&last)
    }

    /// Looks, and kills whom the look finds, until two looks in a row find nobody: one alone may miss
    /// who is just being born. Returns what the last look found.
    fn until_empty(
        &self,
        clock: &Clock,
        deadline: Moment,
        mut look: impl FnMut(&mut Proc) -> Tree,
    ) -> Tree {
        let mut empty_looks = 0;
        loop {
            let mut proc = self.lock();
            let tree = look(&mut proc);
            tree.kill(&mut proc);
            // Others may look while these die.
            drop(proc);
            if tree.members.is_empty() {
                empty_looks += 1;
            } else {
                empty_looks = 0;
            }
            let left = deadline.saturating_sub(clock.now());
            if empty_looks == 2 || left.is_zero() {
                return tree;
            }
            tree.wait(left);
        }
    }

    fn reap_dead(&self, proc: &mut Proc) {
        for orphan in self.orphans() {
            if proc.stat(orphan).is_some_and(|stat| stat.is_dead()) {
                drop(kernel::reap(orphan, false));
            }
        }
    }

    /// A panic elsewhere leaves nothing half-done behind this lock: the buffers are cleared before use.
    fn lock(&self) -> MutexGuard<'_, Proc> {
        self.proc.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_over() -> Result<File, FamilyError> {
    nix::sys::prctl::set_child_subreaper(true)
        .map_err(|error| FamilyError::Subreaper(error.into()))?;
    let own = own_pid();
    let path = format!("/proc/{own}/task/{own}/children");
    let opened = File::open(&path).and_then(|file| file.read_at(&mut [0; 1], 0).map(|_| file));
    opened.map_err(|source| FamilyError::Children { path, source })
}

/// The children of all our threads: the orphans, and what slots have started.
fn all_children(proc: &mut Proc) -> Vec<i32> {
    let mut children = Vec::new();
    for thread in proc::threads_of(own_pid()) {
        proc.children_of_thread(own_pid(), thread, &mut children);
    }
    children
}

/// Keeps those orphans that belong to a test and live, and reaps the dead.
fn sort_out(proc: &mut Proc, orphans: Vec<i32>, kin: &Kin<'_>) -> Vec<i32> {
    let leader_start = proc.stat(kin.leader).map(|stat| stat.start);
    let mut own = orphans;
    own.retain(|&orphan| {
        // Where tests run on the main thread, as with one test thread of libtest, it starts leaders.
        if orphan == kin.leader {
            return false;
        }
        let Some(stat) = proc.stat(orphan) else {
            return false;
        };
        if stat.is_dead() {
            drop(kernel::reap(orphan, false));
            return false;
        }
        belongs(proc, &stat, kin, leader_start)
    });
    own
}

fn belongs(proc: &mut Proc, stat: &Stat, kin: &Kin<'_>, leader_start: Option<u64>) -> bool {
    let identity = Identity {
        pid: stat.pid,
        start: stat.start,
    };
    stat.group == kin.leader
        || kin.remembered.contains(&identity)
        || (kin.exclusive && leader_start.is_some_and(|start| start <= stat.start))
        || proc.carries(stat.pid, stat.threads, &kin.marker.entries)
}

/// Whom a search has found so far, each of them once.
#[derive(Debug, Default)]
struct Found {
    known: HashSet<Identity>,
    survivors: Vec<Survivor>,
}

impl Found {
    fn note(&mut self, proc: &mut Proc, tree: &Tree, test_group: Option<i32>) {
        for &Member { identity, group } in &tree.members {
            if self.known.insert(identity) {
                self.survivors.push(Survivor {
                    pid: identity.pid,
                    command: proc.command(identity.pid),
                    in_group: test_group == Some(group),
                });
            }
        }
    }

    /// Tells those who are alive after all from the others.
    fn swept(self, last: &Tree) -> Swept {
        let alive = last.alive();
        let is_alive = |survivor: &Survivor| alive.contains(&survivor.pid);
        let (left, ended) = self.survivors.into_iter().partition(is_alive);
        Swept { ended, left }
    }
}
