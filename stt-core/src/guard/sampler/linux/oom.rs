//! How often the kernel has killed because memory was short.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use camino::Utf8Path;

use crate::clock::Moment;
use crate::guard::parse;
use crate::guard::sampler::linux::groups::Groups;
use crate::guard::sampler::linux::source::Source;
use crate::guard::toll::Toll;

/// The time between two looks while nobody dies.
const EVERY: Duration = Duration::from_secs(1);

/// `/proc/vmstat` has some 200 lines.
const LARGEST_FILE: usize = 16 << 10;

/// Counts the kills of the kernel: those of the machine (`oom_kill` of `/proc/vmstat`, since Linux 4.13), and
/// those in the control groups around us (`oom_kill` of `memory.events`, or of version 1's
/// `memory.oom_control`).
#[derive(Debug)]
pub struct OomWatch {
    sources: Vec<Source>,
    toll: Mutex<(Toll, Option<Moment>)>,
}

impl OomWatch {
    /// Opens what there is, and counts for the first time.
    pub fn open(now: Moment) -> Self {
        Self::below(Utf8Path::new("/"), now)
    }

    fn below(root: &Utf8Path, now: Moment) -> Self {
        let groups = Groups::find(root);
        let one = groups.of_controller("memory").into_iter();
        let one = one.map(|group| group.dir.join("memory.oom_control"));
        let two = groups.unified().into_iter();
        let two = two.map(|group| group.dir.join("memory.events"));
        let paths = std::iter::once(root.join("proc/vmstat"))
            .chain(one)
            .chain(two);
        let watch = Self {
            sources: paths.filter_map(|path| Source::open(path).ok()).collect(),
            toll: Mutex::default(),
        };
        watch.look(now);
        watch
    }

    /// Counts again, but not more than once a second, and not while somebody else does: the sampler calls
    /// this, and waits for nobody's files.
    pub fn look(&self, now: Moment) {
        let Ok(mut toll) = self.toll.try_lock() else {
            return;
        };
        let (toll, looked) = &mut *toll;
        if looked.is_none_or(|looked| now.saturating_sub(looked) >= EVERY) {
            *looked = Some(now);
            toll.take(self.count(), now);
        }
    }

    /// Counts now, and says whether the kernel has just killed somebody, so that a test which had started then
    /// and has died at this moment was probably the one.
    pub fn killed_just_before(&self, death: Moment, started: Moment) -> bool {
        let mut toll = self.lock();
        toll.0.take(self.count(), death);
        toll.0.grew_before(death, started)
    }

    /// All counts together: a kill in a group of ours is counted more than once, which does not matter.
    fn count(&self) -> Option<u64> {
        let mut buffer = vec![0; LARGEST_FILE];
        let mut counts = self.sources.iter().filter_map(|source| {
            let text = source.read_lines(&mut buffer).ok()?;
            parse::keyed(text, b"oom_kill")
        });
        let first = counts.next()?;
        Some(counts.fold(first, u64::saturating_add))
    }

    /// What is behind the lock is whole at every moment.
    fn lock(&self) -> MutexGuard<'_, (Toll, Option<Moment>)> {
        self.toll.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::sampler::linux::tree::Tree;

    #[test]
    fn kills_of_the_machine_and_of_groups_are_counted() {
        let at = Moment::from_secs;
        let tree = Tree::new();
        tree.file(
            "proc/vmstat",
            "nr_free_pages 7\noom_kill 3\ndrop_pagecache 0\n",
        );
        tree.v1("memory", "/", "/job");
        let control = "sys/fs/cgroup/memory/job/memory.oom_control";
        tree.file(control, "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
        let watch = OomWatch::below(tree.root(), at(0));
        assert!(!watch.killed_just_before(at(1), at(0)));
        tree.file(control, "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
        assert!(watch.killed_just_before(at(2), at(0)));
        assert!(!watch.killed_just_before(at(9), at(0)));
        tree.file("proc/vmstat", "oom_kill 4\n");
        watch.look(at(10));
        assert!(
            watch.killed_just_before(at(11), at(0)),
            "seen by a look before"
        );
        assert!(!watch.killed_just_before(at(11), at(11)));
    }

    #[test]
    fn a_look_waits_for_nobody() {
        let watch = OomWatch::below(Tree::new().root(), Moment::ZERO);
        let counting = watch.toll.lock().unwrap();
        watch.look(Moment::from_secs(2));
        drop(counting);
    }

    #[test]
    fn where_nothing_can_be_read_nobody_was_killed() {
        let watch = OomWatch::below(Tree::new().root(), Moment::ZERO);
        assert!(!watch.killed_just_before(Moment::ZERO, Moment::ZERO));
    }
}
