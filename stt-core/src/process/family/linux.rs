//! Families on Linux.
//!
//! We are a child subreaper (`PR_SET_CHILD_SUBREAPER(2const)`): whoever loses his parent becomes our
//! child, more precisely a child of our main thread, which the kernel takes first among the threads
//! that live. Children that a slot thread has started are that thread's. So what
//! `/proc/self/task/<main>/children` lists is exactly the orphans, as long as the main thread starts
//! nothing while tests run, and nobody but this file and `burial` reaps them.

use std::collections::HashSet;
use std::error::Error as _;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;

use camino::Utf8PathBuf;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::cgroup::Pen;
use super::cgroup::RunGroup;
use super::cgroup::SlotGroup;
use super::found::Found;
use super::ledger::Ledger;
use super::member::FamilyError;
use super::member::GroupError;
use super::member::Identity;
use super::member::Kin;
use super::member::Spent;
use super::member::Survivor;
use super::proc;
use super::proc::Proc;
use super::proc::Stat;
use super::tree::Tree;
use super::usage::Readings;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::id::RunId;
use crate::process::kernel;

/// The handle on all families of a run.
#[derive(Debug)]
pub struct Family {
    /// The children of our main thread, kept open and read again from its start.
    children: Result<File, FamilyError>,
    /// Orphans are looked at, signalled and reaped under this lock only: while it is held, the number
    /// of an orphan can't become that of another process, because nobody else reaps it.
    pub(super) proc: Mutex<Proc>,
    /// For the guard, who must not wait for the lock above.
    pub(super) readings: Mutex<Readings>,
    /// What the orphans had used that were reaped.
    ledger: Mutex<Ledger>,
    /// Who was below us before the first test, and is none of the tests' business.
    spared: Mutex<HashSet<Identity>>,
    /// The run's control group, once it was tried to make one.
    group: Mutex<Option<Result<Arc<RunGroup>, GroupError>>>,
    /// Whether everybody is being ended at once: then no slot looks for what is left of its test.
    pub(super) given_up: AtomicBool,
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
            readings: Mutex::new(Readings::begin()),
            ledger: Mutex::default(),
            spared: Mutex::default(),
            group: Mutex::default(),
            given_up: AtomicBool::new(false),
        }
    }

    /// Makes a control group for the run, where that is possible. Called once, before the first test.
    pub fn make_group(&self, run: &RunId) {
        *self.group() = Some(RunGroup::make(run).map(Arc::new));
    }

    /// Removes the run's control group, if nobody lives in it. To be called when the slots are closed.
    pub fn remove_group(&self) {
        if let Some(Ok(group)) = self.group().take() {
            group.remove();
        }
    }

    /// The directory of the run's control group.
    pub fn group_path(&self) -> Option<Utf8PathBuf> {
        self.run_group().map(|group| group.path().to_owned())
    }

    /// A control group for the tests of a slot, below the run's.
    pub fn slot_group(&self, number: usize) -> Option<SlotGroup> {
        self.run_group().map(|group| SlotGroup::new(group, number))
    }

    /// Whether the groups of slots hold tests to a share of the CPU.
    pub fn shares_cpu(&self) -> bool {
        self.run_group().is_some_and(|group| group.shares_cpu())
    }

    /// By what means families are known and ended, for people.
    pub fn mechanism(&self) -> String {
        let others = match self.missing() {
            None => "process groups and descendants",
            Some(_) => "process groups",
        };
        match &*self.group() {
            None => others.to_owned(),
            Some(Ok(group)) => format!("{}; {others}", group.describe()),
            Some(Err(error)) => {
                let why = error.source().map(|why| format!(": {why}"));
                format!(
                    "{others}; no control group: {error}{}",
                    why.unwrap_or_default()
                )
            }
        }
    }

    pub(super) fn run_group(&self) -> Option<Arc<RunGroup>> {
        let group = self.group();
        group.as_ref()?.as_ref().ok().map(Arc::clone)
    }

    fn group(&self) -> MutexGuard<'_, Option<Result<Arc<RunGroup>, GroupError>>> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Whom we spare, by pid and start time.
    pub fn spared(&self) -> Vec<(i32, u64)> {
        let spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
        spared.iter().map(|one| (one.pid, one.start)).collect()
    }

    /// Spares these, too: another process of ours has found out that they are no test's.
    pub fn spare(&self, processes: &[(i32, u64)]) {
        let found = processes
            .iter()
            .map(|&(pid, start)| Identity { pid, start });
        let mut spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
        spared.extend(found);
    }

    /// Leaves out whom we spare. The dead are left in, for somebody has to reap them.
    pub(super) fn without_spared(&self, processes: &mut Vec<i32>) {
        let spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
        if spared.is_empty() {
            return;
        }
        let mut proc = Proc::default();
        processes.retain(|&pid| {
            let stat = proc.stat(pid).filter(|stat| !stat.is_dead());
            stat.is_none_or(|stat| !spared.contains(&stat.identity()))
        });
    }

    /// Why families are known by their process groups only; `None` when all is well.
    pub fn missing(&self) -> Option<&FamilyError> {
        self.children.as_ref().err()
    }

    /// The processes that have lost their parent, dead ones included, but for those that are spared.
    /// Costs one system call when there are none.
    pub fn orphans(&self) -> Vec<i32> {
        let mut orphans = self.listed();
        if !orphans.is_empty() {
            // Who is reaped while the kernel lists him takes his neighbour off the list
            // (proc_tid_children(5)); that the second list lacks the same one is unlikely.
            orphans.extend(self.listed());
            orphans.sort_unstable();
            orphans.dedup();
            self.without_spared(&mut orphans);
        }
        orphans
    }

    /// The children of our main thread, as the kernel lists them once.
    pub(super) fn listed(&self) -> Vec<i32> {
        let mut listed = Vec::new();
        let Ok(file) = &self.children else {
            return listed;
        };
        let mut text = Vec::new();
        let mut buffer = [0; 1024];
        let mut offset = 0;
        // A reading that fails midway leaves the rest for the next look.
        while let Ok(length @ 1..) = file.read_at(&mut buffer, offset) {
            text.extend_from_slice(&buffer[..length]);
            offset += length as u64;
        }
        proc::parse_children(&text, &mut listed);
        listed
    }

    /// The orphans that belong to a test and live. Those that are dead are reaped, whosever they are.
    pub(in crate::process) fn leftovers(&self, kin: &Kin<'_>) -> Vec<i32> {
        if self.listed().is_empty() {
            return Vec::new();
        }
        // What was listed without the lock may have been buried since, and its number be another's.
        let mut proc = self.lock();
        let orphans = self.orphans();
        self.sort_out(&mut proc, orphans, kin)
    }

    /// Ends what is left of a test's family: its group, and the orphans that belong to it with all
    /// below them. Returns whom it found, when all are dead or at the deadline.
    pub(in crate::process) fn end_leftovers(
        &self,
        kin: &Kin<'_>,
        clock: &Clock,
        deadline: Moment,
    ) -> Vec<Survivor> {
        let mut found = Found::new(kin.naming);
        if let Some(pen) = kin.pen.as_deref().filter(|pen| pen.is_populated()) {
            let seen = self.empty_pen(pen, &mut found, Some(kin.leader), clock, deadline);
            self.remember(kin.leader, seen);
        }
        self.until_empty(clock, deadline, |proc| {
            let roots = self.sort_out(proc, self.orphans(), kin);
            let tree = Tree::freeze(proc, &roots);
            found.note(proc, &tree, Some(kin.leader));
            self.remember(kin.leader, tree.identities());
            // The leader is a zombie until we reap it, so its group's number is still its own.
            drop(kernel::signal_group(kin.leader, Signal::SIGKILL));
            tree
        });
        found.check_ports();
        found.survivors
    }

    /// Notes who is in a control group, or was started by such a one and has left it, and kills all who
    /// are in it. Returns whom it noted.
    ///
    /// Nobody is stopped for that, since one write kills faster than a bomb grows, unless whoever is listed
    /// has always gone on as somebody else by the time he is looked at.
    pub(super) fn empty_pen(
        &self,
        pen: &Pen,
        found: &mut Found,
        test_group: Option<i32>,
        clock: &Clock,
        deadline: Moment,
    ) -> Vec<Identity> {
        let mut proc = self.lock();
        let mut tree = Tree::glance(&mut proc, &pen.members());
        if tree.members.is_empty() && pen.freeze(clock) {
            tree = Tree::glance(&mut proc, &pen.members());
        }
        found.note(&mut proc, &tree, test_group);
        // Others may look while these die.
        drop(proc);
        pen.empty(clock, deadline);
        tree.identities().collect()
    }

    /// Looks, and kills whom the look finds, until two looks in a row find nobody: one alone may miss
    /// who is just being born. Returns what the last look found.
    pub(super) fn until_empty(
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

    /// Opens the account of a test that begins; `exclusive` as in [`Kin`]. What is in it was entered for whoever
    /// had its leader's number before: a number is not given away again while a group has it.
    pub(in crate::process) fn open_account(&self, leader: i32, exclusive: bool) {
        self.ledger().open(leader, exclusive);
    }

    /// Notes who was seen below a leader, until its account is closed.
    pub(in crate::process) fn remember(
        &self,
        leader: i32,
        seen: impl IntoIterator<Item = Identity>,
    ) {
        self.ledger().remember(leader, seen);
    }

    /// What those orphans had used that belonged to the test of this leader and were reaped. Closes its account;
    /// to be called before the leader is reaped, for its number is another's afterwards.
    pub(in crate::process) fn spent(&self, leader: i32) -> Spent {
        self.ledger().close(leader)
    }

    /// Keeps those orphans that belong to a test and live, and reaps the dead.
    fn sort_out(&self, proc: &mut Proc, orphans: Vec<i32>, kin: &Kin<'_>) -> Vec<i32> {
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
            let is_own = self.belongs(proc, &stat, kin, leader_start);
            if stat.is_dead() {
                let account = if is_own { kin.leader } else { stat.group };
                self.reap_into(orphan, account);
                return false;
            }
            is_own
        });
        own
    }

    fn belongs(
        &self,
        proc: &mut Proc,
        stat: &Stat,
        kin: &Kin<'_>,
        leader_start: Option<u64>,
    ) -> bool {
        stat.group == kin.leader
            || self.ledger().has_seen(kin.leader, stat.identity())
            || (kin.exclusive && leader_start.is_some_and(|start| start <= stat.start))
            || proc.carries(stat.pid, stat.threads, &kin.marker.entries)
    }

    /// Reaps an orphan that is dead, and enters what it had used.
    pub(super) fn reap_into(&self, orphan: i32, account: i32) {
        if let Ok(Some(reaped)) = kernel::reap(orphan, false) {
            self.ledger().enter(orphan, account, reaped.spent());
        }
    }

    /// Entries are whole at every moment.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps the orphans that are dead, with one call each: a test may have left thousands.
    pub(super) fn reap_dead(&self) {
        for orphan in self.listed() {
            // Who lives is not waited for.
            drop(kernel::reap(orphan, false));
        }
    }

    /// A panic elsewhere leaves nothing half-done behind this lock: the buffers are cleared before use.
    pub(super) fn lock(&self) -> MutexGuard<'_, Proc> {
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
pub(super) fn all_children(proc: &mut Proc) -> Vec<i32> {
    let mut children = Vec::new();
    for thread in proc::threads_of(own_pid()) {
        proc.children_of_thread(own_pid(), thread, &mut children);
    }
    children
}
