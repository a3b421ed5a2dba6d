//! The end of everybody below us.

use std::sync::atomic::Ordering;

use camino::Utf8Path;

use super::Family;
use super::cgroup::Doomed;
use super::found::Found;
use super::linux::all_children;
use super::member::GroupError;
use super::member::Naming;
use super::member::Swept;
use super::proc::Proc;
use super::tree::Tree;
use crate::clock::Clock;
use crate::clock::Moment;

impl Family {
    /// Ends every process below us that is not spared, whatever its session, its group or its
    /// environment, and reaps what has no other parent than us. To be called when no slot runs a test any more.
    ///
    /// Everybody is named before he is killed. Two looks in a row must find nobody. At the deadline whoever is
    /// still alive is reported: that a signal is refused is a failure, not a success.
    pub fn sweep(&self, clock: &Clock, deadline: Moment) -> Swept {
        let mut found = Found::new(Naming::WithPorts);
        if let Some(group) = self.run_group().filter(|group| group.pen.is_populated()) {
            self.empty_pen(&group.pen, &mut found, None, clock, deadline);
        }
        self.sweep_into(found, clock, deadline)
    }

    /// Does the same after the death of a worker, whose control group is named by its path: kills first. Those
    /// few who are named are noted by what is quick to read. The group is removed.
    ///
    /// # Errors
    /// The group can't be used. Whoever was in it descends from us, and has been ended all the same.
    pub fn end_orphaned(
        &self,
        group: Option<&Utf8Path>,
        clock: &Clock,
        deadline: Moment,
    ) -> (Swept, Result<(), GroupError>) {
        let mut found = Found::new(Naming::AFew);
        let doomed = match group.map(Doomed::open).transpose() {
            Ok(doomed) => doomed,
            Err(error) => return (self.sweep_into(found, clock, deadline), Err(error)),
        };
        let mut removed = Ok(());
        if let Some(doomed) = doomed {
            doomed.kill(&mut self.lock(), &mut found);
            self.kill_others(&mut found);
            removed = doomed.see_off(clock, deadline).map(drop);
        }
        (self.sweep_into(found, clock, deadline), removed)
    }

    /// From now on slots leave to [`Family::end_all`] whatever their tests leave behind.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Whether slots need not look for what their tests leave behind.
    pub(in crate::process) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Ends everybody below us at once, running tests as well, and names nobody: nobody is there any more who
    /// could be told. To be called after [`Family::give_up`].
    pub fn end_all(&self, clock: &Clock, deadline: Moment) {
        let mut found = Found::new(Naming::Nobody);
        if let Some(group) = self.run_group() {
            found.count(&mut self.lock(), group.pen.members());
            // Who can't be killed so is found below us.
            drop(group.pen.kill());
            self.kill_others(&mut found);
            group.pen.empty(clock, deadline);
        }
        drop(self.sweep_into(found, clock, deadline));
    }

    /// Kills whoever is below us and was not in the group that is dying. Whoever dies is not looked at, for that
    /// would keep him from it; whom he has started elsewhere is found once he is dead.
    fn kill_others(&self, found: &mut Found) {
        let mut proc = self.lock();
        self.reap_dead();
        let mut roots = all_children(&mut proc);
        roots.retain(|pid| !found.is_counted(*pid));
        self.without_spared(&mut roots);
        let tree = Tree::freeze(&mut proc, &roots);
        found.note(&mut proc, &tree, None);
        tree.kill(&mut proc);
    }

    fn sweep_into(&self, mut found: Found, clock: &Clock, deadline: Moment) -> Swept {
        let last = self.until_empty(clock, deadline, |proc| {
            self.reap_dead();
            let mut roots = all_children(proc);
            self.without_spared(&mut roots);
            let tree = Tree::freeze(proc, &roots);
            found.note(proc, &tree, None);
            tree
        });
        found.check_ports();
        found.swept(&mut Proc::default(), &last.alive())
    }
}
