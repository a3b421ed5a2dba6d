//! How many processes and threads there are, and how many there can be.

use std::time::Duration;

use camino::Utf8Path;

use crate::clock::Moment;
use crate::guard::parse;
use crate::guard::sample::Bound;
use crate::guard::sample::Tasks;
use crate::guard::sampler::linux::groups::Group;
use crate::guard::sampler::linux::groups::Groups;
use crate::guard::sampler::linux::source::Source;

/// The longest time between two counts. A core starts some 4,000 processes in a second.
const EVERY: Duration = Duration::from_millis(100);

/// Counts the tasks of the machine and of the control groups around us.
#[derive(Debug)]
pub(super) struct TaskMeter {
    loadavg: Option<Source>,
    /// The machine's limits: whichever is reached first (`proc_sys_kernel(5)`).
    limits: Vec<Source>,
    groups: Vec<LimitedGroup>,
    read: Option<Moment>,
    last: Reading,
}

/// One look at the queue and at the number of tasks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// How many tasks of the machine are runnable.
    pub(super) runnable: Option<u32>,
    /// How many there are, where the fewest are left.
    pub(super) tasks: Option<Tasks>,
}

/// A control group that may limit them; `pids.max` has this name in both versions.
#[derive(Debug)]
struct LimitedGroup {
    limit: Source,
    alive: Source,
}

impl TaskMeter {
    /// `loadavg` is the open `/proc/loadavg`.
    pub(super) fn open(loadavg: Option<Source>, root: &Utf8Path, groups: &Groups) -> Self {
        let limits = ["threads-max", "pid_max"];
        let limits = limits.map(|name| Source::open(root.join("proc/sys/kernel").join(name)));
        let around = [groups.unified(), groups.of_controller("pids")].concat();
        Self {
            loadavg,
            limits: limits.into_iter().flatten().collect(),
            groups: around.iter().filter_map(LimitedGroup::open).collect(),
            read: None,
            last: Reading::default(),
        }
    }

    /// The last count, or a new one when that is due.
    pub(super) fn read(&mut self, now: Moment, buffer: &mut [u8]) -> Reading {
        let due = self
            .read
            .is_none_or(|read| now.saturating_sub(read) >= EVERY);
        if due {
            self.read = Some(now);
            self.last = self.look(buffer);
        }
        self.last
    }

    fn look(&self, buffer: &mut [u8]) -> Reading {
        let (mut runnable, mut alive) = (None, None);
        if let Some(text) = self
            .loadavg
            .as_ref()
            .and_then(|file| file.read(buffer).ok())
        {
            runnable = parse::runnable(text);
            alive = parse::tasks(text);
        }
        let single = |file: &Source, buffer: &mut [u8]| parse::single(file.read(buffer).ok()?);
        let limits = self.limits.iter().filter_map(|file| single(file, buffer));
        let machine = alive.zip(limits.min()).map(|(alive, limit)| Tasks {
            alive,
            limit,
            bound: Bound::Machine,
        });
        let mut tightest = machine;
        for group in &self.groups {
            let tasks = single(&group.alive, buffer)
                .zip(single(&group.limit, buffer))
                .map(|(alive, limit)| Tasks {
                    alive,
                    limit,
                    bound: Bound::ControlGroup,
                });
            if tasks.and_then(Tasks::share) > tightest.and_then(Tasks::share) {
                tightest = tasks;
            }
        }
        Reading {
            runnable,
            tasks: tightest,
        }
    }
}

impl LimitedGroup {
    fn open(group: &Group) -> Option<Self> {
        let open = |name: &str| Source::open(group.dir.join(name)).ok();
        Some(Self {
            limit: open("pids.max")?,
            alive: open("pids.current")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::sampler::linux::tree::Tree;

    fn meter(tree: &Tree) -> TaskMeter {
        let loadavg = Source::open(tree.root().join("proc/loadavg")).ok();
        TaskMeter::open(loadavg, tree.root(), &Groups::find(tree.root()))
    }

    #[test]
    fn the_machine_has_the_smaller_of_its_two_limits() {
        let tree = Tree::new();
        tree.file("proc/loadavg", "0.00 0.00 0.00 5/180 11206\n");
        tree.file("proc/sys/kernel/threads-max", "1000\n");
        tree.file("proc/sys/kernel/pid_max", "400\n");
        let reading = meter(&tree).read(Moment::ZERO, &mut [0; 4096]);
        let tasks = Tasks {
            alive: 180,
            limit: 400,
            bound: Bound::Machine,
        };
        assert_eq!((reading.runnable, reading.tasks), (Some(5), Some(tasks)));
    }

    #[test]
    fn a_group_counts_when_it_is_fuller_and_is_limited() {
        let tree = Tree::new();
        tree.file("proc/loadavg", "0.00 0.00 0.00 5/180 11206\n");
        tree.file("proc/sys/kernel/pid_max", "32768\n");
        tree.v2("/", "/job/step");
        let group = |path: &str, max: &str, current: &str| {
            tree.file(&format!("sys/fs/cgroup/{path}/pids.max"), max);
            tree.file(&format!("sys/fs/cgroup/{path}/pids.current"), current);
        };
        group("job", "100\n", "60\n");
        group("job/step", "max\n", "20\n");
        let reading = meter(&tree).read(Moment::ZERO, &mut [0; 4096]);
        let tasks = Tasks {
            alive: 60,
            limit: 100,
            bound: Bound::ControlGroup,
        };
        assert_eq!(reading.tasks, Some(tasks));
    }

    #[test]
    fn what_can_not_be_read_is_unknown() {
        let tree = Tree::new();
        let reading = meter(&tree).read(Moment::ZERO, &mut [0; 4096]);
        assert_eq!((reading.runnable, reading.tasks), (None, None));
    }
}
