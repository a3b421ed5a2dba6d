//! Memory of the machine and of the control groups around us.

use std::time::Duration;

use camino::Utf8Path;

use crate::clock::Moment;
use crate::guard::parse;
use crate::guard::parse::MemInfo;
use crate::guard::sample::Bound;
use crate::guard::sample::Memory;
use crate::guard::sampler::linux::groups::Group;
use crate::guard::sampler::linux::groups::Groups;
use crate::guard::sampler::linux::source::Source;
use crate::units::Bytes;

/// Limits are changed by hand, if at all: they are read again this often.
const LIMITS_EVERY: Duration = Duration::from_secs(1);

/// Memory at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The fullest of the machine and the groups around us, by share.
    pub(super) fullest: Option<Memory>,
    /// The one with the fewest bytes left.
    pub(super) scarcest: Option<Memory>,
    /// Swap space.
    pub(super) swap: Option<Memory>,
    /// What all processes have that is in no file on a disk; `None` where a reading of before stands for this one.
    pub(super) pages: Option<Bytes>,
}

/// Reads the memory whose limit is the nearest.
#[derive(Debug)]
pub(super) struct MemoryMeter {
    meminfo: Option<Source>,
    groups: Vec<LimitedGroup>,
    limits_read: Option<Moment>,
    /// What makes reading the machine's memory again unnecessary; `None` where it may not be asked.
    gauge: Option<Gauge>,
}

/// The last reading of the machine, and how much was free at that moment.
///
/// `/proc/meminfo` has fifty lines, which the kernel puts into words for 12 µs; what is free alone is known in one
/// (`sysinfo(2)`). Whoever takes memory takes what is free, as long as the kernel need not take back page cache
/// for it. So while that has not become less, nothing has been taken that the long file would tell of.
#[derive(Debug, Default)]
struct Gauge {
    last: Option<(Moment, MemInfo, Free)>,
}

/// What is free of the machine.
#[derive(Clone, Copy, Debug)]
struct Free {
    bytes: u64,
    total: u64,
}

/// For so long what is free may stand for the rest: page cache that goes makes room for somebody unseen.
const GAUGED: Duration = Duration::from_millis(50);

/// So much less may be free.
const DROP: u64 = 1 << 20;

impl Gauge {
    /// The last reading, if it still holds at this moment, at which so much is free.
    fn holding(&self, now: Moment, free: Free) -> Option<MemInfo> {
        let (read, info, before) = self.last?;
        // The kernel begins to take back page cache at some two percent.
        let plenty = free.bytes > free.total / 16;
        let same = free.bytes.saturating_add(DROP) > before.bytes;
        // What others give back is news as well, and what grows in its place would not be seen.
        let same = same && free.bytes < before.bytes.saturating_add(DROP);
        (plenty && same && now.saturating_sub(read) < GAUGED).then_some(info)
    }
}

/// What is free now.
fn free_memory() -> Option<Free> {
    let info = nix::sys::sysinfo::sysinfo().ok()?;
    Some(Free {
        bytes: info.ram_unused(),
        total: info.ram_total(),
    })
}

/// A control group that can have a limit.
#[derive(Debug)]
struct LimitedGroup {
    version: Version,
    /// `memory.max` and `memory.high`, or `memory.limit_in_bytes`. Above `memory.high` a group is
    /// throttled to a crawl, so that is a limit as well.
    limits: Vec<Source>,
    usage: Source,
    stat: Source,
    limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Unlimited,
    Of(Bytes),
    /// It could be read at the start and can't now. That is not the same as no limit.
    Unknown,
}

impl MemoryMeter {
    /// Opens everything that has to do with memory.
    pub(super) fn open(meminfo: Option<Source>, groups: &Groups) -> Self {
        let two = groups.unified();
        let one = groups.of_controller("memory");
        let two = two
            .iter()
            .filter_map(|group| LimitedGroup::open(group, Version::Two));
        let one = one
            .iter()
            .filter_map(|group| LimitedGroup::open(group, Version::One));
        Self {
            meminfo,
            groups: two.chain(one).collect(),
            limits_read: None,
            gauge: None,
        }
    }

    /// Reads the machine's memory only where what is free has changed. That is the machine's on which this runs.
    pub(super) fn of_this_machine(self) -> Self {
        Self {
            gauge: Some(Gauge::default()),
            ..self
        }
    }

    fn machine_info(&mut self, now: Moment, exact: bool, buffer: &mut [u8]) -> MemInfo {
        // Before the long reading: what is taken in between is seen next time.
        let free = self.gauge.as_ref().and_then(|_| free_memory());
        if !exact
            && let (Some(gauge), Some(free)) = (&self.gauge, free)
            && let Some(info) = gauge.holding(now, free)
        {
            return info;
        }
        let text = self
            .meminfo
            .as_ref()
            .and_then(|file| file.read(buffer).ok());
        let info = text.map(parse::meminfo).unwrap_or_default();
        if let Some(gauge) = &mut self.gauge {
            gauge.last = free.map(|free| (now, info, free));
        }
        info
    }

    /// The memory as it is now. What is `exact` is read in any case: what is free says nothing of pages that the
    /// kernel keeps ready for each core.
    pub(super) fn read(&mut self, now: Moment, exact: bool, buffer: &mut [u8]) -> Reading {
        let info = self.machine_info(now, exact, buffer);
        let due = self
            .limits_read
            .is_none_or(|read| now.saturating_sub(read) >= LIMITS_EVERY);
        if due {
            self.limits_read = Some(now);
            for group in &mut self.groups {
                group.limit = group.read_limit(buffer);
            }
        }
        let nearest = machine(info).and_then(|machine| self.nearest(machine, buffer));
        Reading {
            fullest: nearest.map(|(fullest, _)| fullest),
            scarcest: nearest.map(|(_, scarcest)| scarcest),
            swap: swap(info),
            pages: pages(info).filter(|_| exact),
        }
    }

    /// The memory that is the fullest by share and the one with the fewest bytes left; `None` when
    /// one of them can't be read, for that one may be it.
    fn nearest(&self, machine: Memory, buffer: &mut [u8]) -> Option<(Memory, Memory)> {
        let (mut fullest, mut scarcest) = (machine, machine);
        for group in &self.groups {
            let limit = match group.limit {
                Limit::Of(limit) if limit < machine.total => limit,
                Limit::Of(_) | Limit::Unlimited => continue,
                Limit::Unknown => return None,
            };
            let with_cache = Memory {
                used: Bytes(parse::single(group.usage.read(buffer).ok()?)?),
                total: limit,
                bound: Bound::ControlGroup,
            };
            // `memory.stat` is the expensive file, and what it says only makes the use smaller.
            if !is_fuller(with_cache, fullest) && !is_scarcer(with_cache, scarcest) {
                continue;
            }
            let used = with_cache.used.saturating_sub(group.reclaimable(buffer)?);
            let without_cache = Memory { used, ..with_cache };
            if is_fuller(without_cache, fullest) {
                fullest = without_cache;
            }
            if is_scarcer(without_cache, scarcest) {
                scarcest = without_cache;
            }
        }
        Some((fullest, scarcest))
    }
}

impl LimitedGroup {
    /// `None` when this group has no files about memory, as the root of version 2.
    fn open(group: &Group, version: Version) -> Option<Self> {
        let (limits, usage): (&[&str], &str) = match version {
            Version::One => (&["memory.limit_in_bytes"], "memory.usage_in_bytes"),
            Version::Two => (&["memory.max", "memory.high"], "memory.current"),
        };
        let open = |name: &str| Source::open(group.dir.join(name)).ok();
        Some(Self {
            version,
            limits: limits.iter().filter_map(|name| open(name)).collect(),
            usage: open(usage)?,
            stat: open("memory.stat")?,
            limit: Limit::Unknown,
        })
    }

    /// The tightest of the group's limits. In version 1 the group also says what the groups above it
    /// allow, which matters where those can't be seen.
    fn read_limit(&self, buffer: &mut [u8]) -> Limit {
        let mut tightest = Limit::Unlimited;
        for source in &self.limits {
            let Ok(text) = source.read(buffer) else {
                return Limit::Unknown;
            };
            match parse::single(text) {
                Some(limit) => tightest = tightest.and(limit),
                None if text.trim_ascii() == b"max" => {}
                None => return Limit::Unknown,
            }
        }
        match self.version {
            Version::Two => tightest,
            Version::One => {
                let stat = self.stat.read(buffer).ok();
                stat.and_then(|stat| parse::keyed(stat, b"hierarchical_memory_limit"))
                    .map_or(tightest, |limit| tightest.and(limit))
            }
        }
    }

    fn reclaimable(&self, buffer: &mut [u8]) -> Option<Bytes> {
        let stat = self.stat.read(buffer).ok()?;
        match self.version {
            Version::One => parse::reclaimable_v1(stat),
            Version::Two => parse::reclaimable_v2(stat),
        }
    }
}

impl Limit {
    fn and(self, limit: u64) -> Self {
        match self {
            Self::Of(Bytes(other)) => Self::Of(Bytes(limit.min(other))),
            Self::Unlimited => Self::Of(Bytes(limit)),
            Self::Unknown => Self::Unknown,
        }
    }
}

/// The machine's own memory.
fn machine(info: MemInfo) -> Option<Memory> {
    let total = info.total?;
    Some(Memory {
        used: total.saturating_sub(info.available?),
        total,
        bound: Bound::Machine,
    })
}

/// What all processes have that is in no file on a disk.
fn pages(info: MemInfo) -> Option<Bytes> {
    Some(Bytes(info.anonymous?.0.saturating_add(info.shared?.0)))
}

fn swap(info: MemInfo) -> Option<Memory> {
    let total = info.swap_total?;
    Some(Memory {
        used: total.saturating_sub(info.swap_free?),
        total,
        bound: Bound::Machine,
    })
}

/// Whether one memory has fewer bytes left than the other.
fn is_scarcer(one: Memory, other: Memory) -> bool {
    one.total.saturating_sub(one.used) < other.total.saturating_sub(other.used)
}

/// Whether one memory is fuller than the other, by share.
fn is_fuller(one: Memory, other: Memory) -> bool {
    let cross = |a: Memory, b: Memory| u128::from(a.used.0) * u128::from(b.total.0);
    cross(one, other) > cross(other, one)
}

/// What the file that tells the machine's memory lacks, if anything.
pub(super) fn lacks_available(meminfo: &Source, buffer: &mut [u8]) -> bool {
    let info = meminfo.read(buffer).map(parse::meminfo).unwrap_or_default();
    machine(info).is_none()
}

/// The path of the machine's memory file.
pub(super) fn meminfo_path(root: &Utf8Path) -> camino::Utf8PathBuf {
    root.join("proc/meminfo")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::sampler::linux::tree::Tree;

    const UNLIMITED: &str = "9223372036854771712\n";

    fn read(tree: &Tree) -> Option<Memory> {
        meter(tree).read(Moment::ZERO, true, &mut [0; 4096]).fullest
    }

    fn meter(tree: &Tree) -> MemoryMeter {
        let meminfo = Source::open(meminfo_path(tree.root())).ok();
        MemoryMeter::open(meminfo, &Groups::find(tree.root()))
    }

    /// A machine of 1000 KiB with 500 in use.
    fn machine_tree() -> Tree {
        let tree = Tree::new();
        tree.file("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 500 kB\n");
        tree
    }

    fn kib(used: u64, total: u64, bound: Bound) -> Memory {
        Memory {
            used: Bytes(used << 10),
            total: Bytes(total << 10),
            bound,
        }
    }

    fn v1_group(tree: &Tree, dir: &str, limit: &str, usage: u64, cache: u64, shmem: u64) {
        tree.file(&format!("{dir}/memory.limit_in_bytes"), limit);
        let usage = format!("{}\n", usage << 10);
        tree.file(&format!("{dir}/memory.usage_in_bytes"), &usage);
        let stat = format!("total_cache {}\ntotal_shmem {}\n", cache << 10, shmem << 10);
        tree.file(&format!("{dir}/memory.stat"), &stat);
    }

    fn v2_group(tree: &Tree, dir: &str, max: &str, high: &str, usage: u64, file: u64) {
        tree.file(&format!("{dir}/memory.max"), max);
        tree.file(&format!("{dir}/memory.high"), high);
        tree.file(
            &format!("{dir}/memory.current"),
            &format!("{}\n", usage << 10),
        );
        let stat = format!("anon 1\nfile {}\nshmem 0\nslab_reclaimable 0\n", file << 10);
        tree.file(&format!("{dir}/memory.stat"), &stat);
    }

    #[test]
    fn a_reading_holds_while_as_much_is_free_and_not_for_long() {
        let ms = Moment::from_millis;
        let free = |mib: u64| Free {
            bytes: mib << 20,
            total: 16_000 << 20,
        };
        let info = MemInfo {
            available: Some(Bytes(7)),
            ..MemInfo::default()
        };
        let gauge = |mib| Gauge {
            last: Some((ms(100), info, free(mib))),
        };
        for (before, now, at, holds) in [
            (8000, 8000, 149, true),
            (8000, 8000, 150, false),
            (8000, 7999, 101, false),
            (8000, 8001, 101, false),
            // The kernel may be taking page cache back, and give it to somebody.
            (1000, 1000, 101, false),
            (1001, 1001, 101, true),
        ] {
            let held = gauge(before).holding(ms(at), free(now));
            assert_eq!(held, holds.then_some(info), "{before} {now} {at}");
        }
        assert_eq!(Gauge::default().holding(ms(0), free(8000)), None);
    }

    #[test]
    fn without_limits_it_is_the_machine() {
        let tree = machine_tree();
        assert_eq!(read(&tree), Some(kib(500, 1000, Bound::Machine)));
        tree.v1("memory", "/", "/job");
        v1_group(&tree, "sys/fs/cgroup/memory", UNLIMITED, 990, 0, 0);
        v1_group(&tree, "sys/fs/cgroup/memory/job", UNLIMITED, 400, 0, 0);
        assert_eq!(read(&tree), Some(kib(500, 1000, Bound::Machine)));
    }

    #[test]
    fn a_v1_limit_on_the_way_up_counts_without_its_cache() {
        let tree = machine_tree();
        tree.v1("memory", "/", "/job/step");
        v1_group(&tree, "sys/fs/cgroup/memory", UNLIMITED, 990, 0, 0);
        v1_group(&tree, "sys/fs/cgroup/memory/job", "204800\n", 190, 50, 20);
        v1_group(&tree, "sys/fs/cgroup/memory/job/step", UNLIMITED, 10, 0, 0);
        // 190 - (50 - 20) of 200.
        assert_eq!(read(&tree), Some(kib(160, 200, Bound::ControlGroup)));
        // Full of page cache, which the kernel takes back: the machine is nearer.
        v1_group(&tree, "sys/fs/cgroup/memory/job", "204800\n", 199, 150, 0);
        assert_eq!(read(&tree), Some(kib(500, 1000, Bound::Machine)));
    }

    #[test]
    fn a_v1_limit_of_a_group_that_cannot_be_seen_is_still_known() {
        let tree = machine_tree();
        tree.v1("memory", "/docker/x", "/docker/x");
        v1_group(&tree, "sys/fs/cgroup/memory", UNLIMITED, 190, 0, 0);
        let stat = "total_cache 0\ntotal_shmem 0\nhierarchical_memory_limit 204800\n";
        tree.file("sys/fs/cgroup/memory/memory.stat", stat);
        assert_eq!(read(&tree), Some(kib(190, 200, Bound::ControlGroup)));
    }

    #[test]
    fn the_tightest_v2_limit_counts() {
        let tree = machine_tree();
        tree.v2("/", "/slice/unit");
        v2_group(&tree, "sys/fs/cgroup/slice", "409600\n", "max\n", 300, 0);
        v2_group(&tree, "sys/fs/cgroup/slice/unit", "max\n", "max\n", 300, 0);
        assert_eq!(read(&tree), Some(kib(300, 400, Bound::ControlGroup)));
        v2_group(
            &tree,
            "sys/fs/cgroup/slice/unit",
            "max\n",
            "327680\n",
            310,
            10,
        );
        assert_eq!(read(&tree), Some(kib(300, 320, Bound::ControlGroup)));
        // A limit that the machine can't reach is none.
        v2_group(
            &tree,
            "sys/fs/cgroup/slice/unit",
            "2048000\n",
            "max\n",
            310,
            10,
        );
        assert_eq!(read(&tree), Some(kib(300, 400, Bound::ControlGroup)));
    }

    #[test]
    fn the_scarcest_memory_is_told_beside_the_fullest() {
        let tree = machine_tree();
        tree.v2("/", "/");
        v2_group(&tree, "sys/fs/cgroup", "204800\n", "max\n", 90, 10);
        let reading = meter(&tree).read(Moment::ZERO, true, &mut [0; 4096]);
        assert_eq!(reading.fullest, Some(kib(500, 1000, Bound::Machine)));
        assert_eq!(reading.scarcest, Some(kib(80, 200, Bound::ControlGroup)));
    }

    #[test]
    fn in_a_hybrid_the_version_with_the_controller_counts() {
        let tree = machine_tree();
        tree.v1("memory", "/", "/job");
        tree.v2_at("sys/fs/cgroup/unified", "/", "/job");
        v1_group(&tree, "sys/fs/cgroup/memory/job", "204800\n", 150, 0, 0);
        tree.file("sys/fs/cgroup/unified/job/cgroup.procs", "");
        assert_eq!(read(&tree), Some(kib(150, 200, Bound::ControlGroup)));
    }

    #[test]
    fn in_a_namespace_the_mount_is_the_group() {
        let tree = machine_tree();
        tree.v2("/", "/");
        v2_group(&tree, "sys/fs/cgroup", "204800\n", "max\n", 150, 0);
        assert_eq!(read(&tree), Some(kib(150, 200, Bound::ControlGroup)));
    }

    #[test]
    fn a_changed_limit_is_seen_after_a_second_and_an_unreadable_one_is_not_no_limit() {
        let tree = machine_tree();
        tree.v2("/", "/");
        v2_group(&tree, "sys/fs/cgroup", "max\n", "max\n", 150, 0);
        let mut meter = meter(&tree);
        let mut at = |millis| {
            let now = Moment::from_millis(millis);
            meter.read(now, true, &mut [0; 4096]).fullest
        };
        assert_eq!(at(0), Some(kib(500, 1000, Bound::Machine)));
        tree.file("sys/fs/cgroup/memory.max", "204800\n");
        assert_eq!(at(999), Some(kib(500, 1000, Bound::Machine)));
        assert_eq!(at(1000), Some(kib(150, 200, Bound::ControlGroup)));
        tree.file("sys/fs/cgroup/memory.max", "garbage\n");
        assert_eq!(at(2000), None);
        tree.file("sys/fs/cgroup/memory.max", "204800\n");
        tree.file("sys/fs/cgroup/memory.current", "");
        assert_eq!(at(3000), None);
    }

    #[test]
    fn nothing_readable_is_unknown() {
        assert_eq!(read(&Tree::new()), None);
        let tree = Tree::new();
        tree.file("proc/meminfo", "MemTotal: 1000 kB\n");
        assert_eq!(read(&tree), None, "no MemAvailable");
    }
}
