//! How busy the cores are that we may use.

use std::time::Duration;

use nix::sched::CpuSet;
use nix::sched::sched_getaffinity;
use nix::unistd::Pid;

use crate::clock::Moment;
use crate::guard::parse;
use crate::guard::parse::CpuTimes;
use crate::guard::parse::Quota;
use crate::guard::sampler::linux::groups::Group;
use crate::guard::sampler::linux::groups::Groups;
use crate::guard::sampler::linux::source::Source;
use crate::units::Percent;

/// The shortest time over which the CPU is read: ticks of 10 ms make anything shorter a guess.
const WINDOW: Duration = Duration::from_secs(1);

/// The CPUs that this process may run on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usable(Option<CpuSet>);

impl Usable {
    /// Asks the kernel (`sched_getaffinity(2)`, which knows the cpuset too).
    pub(super) fn of_this_process() -> Self {
        Self(sched_getaffinity(Pid::from_raw(0)).ok())
    }

    /// Every CPU there is.
    #[cfg(test)]
    pub(super) fn all() -> Self {
        Self(None)
    }

    /// How many; `None` when that is not known.
    pub(super) fn count(&self) -> Option<usize> {
        let set = self.0?;
        let count = (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true));
        Some(count.count())
    }

    fn contains(&self, cpu: usize) -> bool {
        self.0.is_none_or(|set| set.is_set(cpu) == Ok(true))
    }
}

/// Reads the share of the CPU that was busy.
#[derive(Debug)]
pub(super) struct CpuMeter {
    stat: Option<Source>,
    usable: Usable,
    quotas: Vec<QuotaGroup>,
    last: Option<(Moment, Option<CpuTimes>)>,
    busy: Option<Percent>,
}

/// The quota that binds, and how much of it was used, if that is known.
#[derive(Clone, Copy, Debug)]
struct QuotaUse {
    millicores: u64,
    share: Option<Percent>,
}

/// A control group that can have a share of the CPU time.
#[derive(Debug)]
struct QuotaGroup {
    files: QuotaFiles,
    used: Option<Duration>,
}

#[derive(Debug)]
enum QuotaFiles {
    /// `cpu.cfs_quota_us`, `cpu.cfs_period_us` and `cpuacct.usage`.
    One([Source; 3]),
    /// `cpu.max` and `cpu.stat`.
    Two([Source; 2]),
}

impl CpuMeter {
    /// Opens everything that has to do with the CPU.
    pub(super) fn open(stat: Option<Source>, usable: Usable, groups: &Groups) -> Self {
        let accounts = groups.of_controller("cpuacct");
        let one = groups.of_controller("cpu");
        let one = one
            .iter()
            .filter_map(|group| QuotaFiles::open_one(group, &accounts));
        let two = groups.unified();
        let two = two.iter().filter_map(QuotaFiles::open_two);
        Self {
            stat,
            usable,
            quotas: one
                .chain(two)
                .map(|files| QuotaGroup { files, used: None })
                .collect(),
            last: None,
            busy: None,
        }
    }

    /// The tightest quota of the groups around us, in thousandths of a core.
    pub(super) fn quota(&self, buffer: &mut [u8]) -> Option<u64> {
        let quotas = self
            .quotas
            .iter()
            .filter_map(|group| group.files.quota(buffer));
        quotas.map(Quota::millicores).min()
    }

    /// The share that was busy in the last whole window; `None` before the first has passed, and
    /// after one that could not be read. True when a window has just ended.
    pub(super) fn read(&mut self, now: Moment, buffer: &mut [u8]) -> (Option<Percent>, bool) {
        let passed = self.last.map(|(then, _)| now.saturating_sub(then));
        if passed.is_some_and(|passed| passed < WINDOW) {
            return (self.busy, false);
        }
        let stat = self.stat.as_ref().and_then(|file| file.read(buffer).ok());
        let times = stat.and_then(|text| parse::cpu_times(text, |cpu| self.usable.contains(cpu)));
        let of_cores = self.last.and_then(|(_, before)| share(before?, times?));
        let of_quota = self.read_quotas(passed, buffer);
        self.last = Some((now, times));
        self.busy = of_quota.map_or(of_cores, |quota| quota.share);
        (self.busy, true)
    }

    /// The use of the tightest quota, where one is tighter than the cores.
    fn read_quotas(&mut self, passed: Option<Duration>, buffer: &mut [u8]) -> Option<QuotaUse> {
        let cores = self.usable.count().map(|cores| cores as u64 * 1000);
        let mut tightest: Option<QuotaUse> = None;
        for group in &mut self.quotas {
            let used = group.files.used(buffer);
            let before = std::mem::replace(&mut group.used, used);
            let Some(quota) = group.files.quota(buffer).map(Quota::millicores) else {
                continue;
            };
            let limit = tightest.map(|tightest| tightest.millicores).or(cores);
            if limit.is_some_and(|limit| quota >= limit) {
                continue;
            }
            let share = used
                .zip(before)
                .zip(passed)
                .and_then(|((used, before), passed)| {
                    share_of_quota(used.checked_sub(before)?, passed, quota)
                });
            tightest = Some(QuotaUse {
                millicores: quota,
                share,
            });
        }
        tightest
    }
}

impl QuotaFiles {
    fn open_one(group: &Group, accounts: &[Group]) -> Option<Self> {
        let account = accounts.iter().find(|other| other.name == group.name)?;
        let open = |group: &Group, name: &str| Source::open(group.dir.join(name)).ok();
        Some(Self::One([
            open(group, "cpu.cfs_quota_us")?,
            open(group, "cpu.cfs_period_us")?,
            open(account, "cpuacct.usage")?,
        ]))
    }

    fn open_two(group: &Group) -> Option<Self> {
        let open = |name: &str| Source::open(group.dir.join(name)).ok();
        Some(Self::Two([open("cpu.max")?, open("cpu.stat")?]))
    }

    fn quota(&self, buffer: &mut [u8]) -> Option<Quota> {
        match self {
            Self::One([quota, period, _]) => {
                // Without a limit the quota is -1, which is not a number here.
                let quota = parse::single(quota.read(buffer).ok()?)?;
                Quota::new(quota, parse::single(period.read(buffer).ok()?)?)
            }
            Self::Two([max, _]) => parse::cpu_max(max.read(buffer).ok()?),
        }
    }

    fn used(&self, buffer: &mut [u8]) -> Option<Duration> {
        match self {
            Self::One([.., usage]) => {
                parse::single(usage.read(buffer).ok()?).map(Duration::from_nanos)
            }
            Self::Two([_, stat]) => {
                parse::keyed(stat.read(buffer).ok()?, b"usage_usec").map(Duration::from_micros)
            }
        }
    }
}

/// The busy share of the time between two readings. Counters may step back a little, as when a CPU
/// comes and goes; that makes a window unknown, not idle.
fn share(before: CpuTimes, after: CpuTimes) -> Option<Percent> {
    let total = after.total.checked_sub(before.total)?;
    let busy = after.busy.checked_sub(before.busy)?;
    let tenths = (u128::from(busy) * 1000).checked_div(u128::from(total))?;
    u32::try_from(tenths).ok().map(Percent)
}

fn share_of_quota(used: Duration, passed: Duration, millicores: u64) -> Option<Percent> {
    let may = passed.as_micros() * u128::from(millicores);
    let tenths = (used.as_micros() * 1_000_000).checked_div(may)?;
    u32::try_from(tenths).ok().map(Percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::sampler::linux::tree::Tree;

    fn meter(tree: &Tree) -> CpuMeter {
        let stat = Source::open(tree.root().join("proc/stat")).ok();
        CpuMeter::open(stat, Usable::all(), &Groups::find(tree.root()))
    }

    fn read(meter: &mut CpuMeter, millis: u64) -> Option<u32> {
        let busy = meter.read(Moment::from_millis(millis), &mut [0; 4096]).0;
        busy.map(|share| share.0)
    }

    #[test]
    fn the_cpu_is_read_over_whole_windows() {
        let tree = Tree::new();
        tree.file(
            "proc/stat",
            "cpu  0 0\ncpu0 100 0 0 100 0\ncpu1 100 0 0 100 0\nintr 1\n",
        );
        let mut meter = meter(&tree);
        assert_eq!(read(&mut meter, 0), None, "one reading is no window");
        tree.file(
            "proc/stat",
            "cpu  0 0\ncpu0 150 0 0 120 30\ncpu1 200 0 0 100 0\nintr 1\n",
        );
        assert_eq!(read(&mut meter, 999), None);
        assert_eq!(
            read(&mut meter, 1000),
            Some(750),
            "waiting for a disk is idle"
        );
        tree.file(
            "proc/stat",
            "cpu  0 0\ncpu0 150 0 0 220 30\ncpu1 200 0 0 200 0\nintr 1\n",
        );
        assert_eq!(read(&mut meter, 1999), Some(750), "the last whole window");
        assert_eq!(read(&mut meter, 2500), Some(0));
        assert_eq!(
            read(&mut meter, 3500),
            None,
            "clocks that stand say nothing"
        );
        tree.file("proc/stat", "garbage\n");
        assert_eq!(read(&mut meter, 4500), None);
    }

    #[test]
    fn a_quota_of_version_2_is_what_the_use_is_held_against() {
        let tree = Tree::new();
        tree.file("proc/stat", "cpu  0 0\ncpu0 100 0 0 100 0\n");
        tree.v2("/", "/slice/unit");
        tree.file("sys/fs/cgroup/slice/cpu.max", "150000 100000\n");
        tree.file(
            "sys/fs/cgroup/slice/cpu.stat",
            "usage_usec 1000000\nuser_usec 5\n",
        );
        tree.file("sys/fs/cgroup/slice/unit/cpu.max", "max 100000\n");
        tree.file("sys/fs/cgroup/slice/unit/cpu.stat", "usage_usec 10\n");
        let mut meter = meter(&tree);
        assert_eq!(meter.quota(&mut [0; 4096]), Some(1500));
        assert_eq!(read(&mut meter, 0), None);
        tree.file(
            "sys/fs/cgroup/slice/cpu.stat",
            "usage_usec 4000000\nuser_usec 5\n",
        );
        assert_eq!(read(&mut meter, 2000), Some(1000), "3 s of 2 times 1.5 s");
    }

    #[test]
    fn a_quota_of_version_1_takes_its_use_from_the_accounts() {
        let tree = Tree::new();
        tree.v1("cpu", "/docker/x", "/docker/x");
        tree.v1("cpuacct", "/docker/x", "/docker/x");
        tree.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
        tree.file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
        tree.file("sys/fs/cgroup/cpuacct/cpuacct.usage", "1000000000\n");
        let mut meter = meter(&tree);
        assert_eq!(meter.quota(&mut [0; 4096]), Some(500));
        assert_eq!(read(&mut meter, 0), None);
        tree.file("sys/fs/cgroup/cpuacct/cpuacct.usage", "1250000000\n");
        assert_eq!(read(&mut meter, 1000), Some(500));
        tree.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
        assert_eq!(meter.quota(&mut [0; 4096]), None);
        assert_eq!(
            read(&mut meter, 2000),
            None,
            "no quota, and no /proc/stat either"
        );
    }
}
