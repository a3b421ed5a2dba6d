//! The sampler of Linux.

use std::thread;
use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use nix::sys::statvfs::statvfs;

use crate::clock::Clock;
use crate::clock::Moment;
use crate::guard::parse;
use crate::guard::sample::Around;
use crate::guard::sample::Family;
use crate::guard::sample::Sample;
use crate::guard::sampler::Missing;
use crate::guard::sampler::SamplerConfig;
use crate::guard::sampler::linux::cpu::CpuMeter;
use crate::guard::sampler::linux::cpu::Usable;
use crate::guard::sampler::linux::groups::Groups;
use crate::guard::sampler::linux::memory;
use crate::guard::sampler::linux::memory::MemoryMeter;
use crate::guard::sampler::linux::source::Source;
use crate::guard::sampler::linux::tasks::TaskMeter;
use crate::units::Bytes;
use crate::units::Percent;

/// The longest time between two looks at the disk.
const DISK_EVERY: Duration = Duration::from_secs(1);

/// The head of `/proc/stat` has a line for each CPU, ten numbers long.
const STAT_LINE: usize = 160;

/// Enough for every other file: `memory.stat` has about 1.5 KiB.
const OTHER_FILES: usize = 8 << 10;

/// Takes samples. Its files stay open and are read into one buffer, so that a sample allocates
/// nothing and costs microseconds.
#[derive(Debug)]
pub struct Sampler {
    clock: Clock,
    buffer: Box<[u8]>,
    memory: MemoryMeter,
    cpu: CpuMeter,
    tasks: TaskMeter,
    /// Whether the run may use the whole machine: the queue of runnable tasks is the machine's, and says
    /// nothing about a part of it.
    whole_machine: bool,
    cpu_pressure: Pressure,
    memory_pressure: Pressure,
    disk: Disk,
    missing: Vec<Missing>,
}

/// A pressure file and what it said at the end of the last window: the kernel itself brings these
/// averages up to date only every two seconds.
#[derive(Debug)]
struct Pressure {
    source: Option<Source>,
    last: Option<Percent>,
}

/// The file system of the target directory.
#[derive(Debug)]
struct Disk {
    dir: Utf8PathBuf,
    read: Option<Moment>,
    free: Option<Bytes>,
}

impl Sampler {
    /// Opens what there is. What is not there is named by [`Sampler::missing`] and unknown in every
    /// sample.
    pub fn new(config: SamplerConfig, clock: Clock) -> Self {
        Self::with_cpus(config, clock, Usable::of_this_process())
    }

    fn with_cpus(config: SamplerConfig, clock: Clock, usable: Usable) -> Self {
        let SamplerConfig { target_dir, root } = config;
        let groups = Groups::find(&root);
        let mut missing = Vec::new();
        let stat = fs::read(root.join("proc/stat")).unwrap_or_default();
        let cpus = parse::cpu_count(&stat);
        let mut buffer = vec![0; OTHER_FILES + STAT_LINE * cpus].into_boxed_slice();
        let mut open = |reading, path: Utf8PathBuf| {
            let opened = Source::open(path.clone());
            // Pressure files open where the kernel was told not to fill them, and fail when read.
            let opened =
                opened.and_then(|source| source.read(&mut buffer).map(drop).map(|()| source));
            opened
                .map_err(|source| {
                    missing.push(Missing::Unreadable {
                        reading,
                        path,
                        source,
                    });
                })
                .ok()
        };
        let meminfo = open("memory", memory::meminfo_path(&root));
        let stat = open("CPU use", root.join("proc/stat"));
        let loadavg = open("the number of tasks", root.join("proc/loadavg"));
        let cpu_pressure = open("CPU pressure", root.join("proc/pressure/cpu"));
        let memory_pressure = open("memory pressure", root.join("proc/pressure/memory"));
        if let Some(meminfo) = &meminfo
            && memory::lacks_available(meminfo, &mut buffer)
        {
            missing.push(Missing::NotThere {
                reading: "available memory",
                path: meminfo.path().to_owned(),
            });
        }
        let memory = MemoryMeter::open(meminfo, &groups);
        let memory = if root == "/" {
            memory.of_this_machine()
        } else {
            memory
        };
        let cpu = CpuMeter::open(stat, usable, &groups);
        let whole_machine =
            usable.count().is_none_or(|count| count >= cpus) && cpu.quota(&mut buffer).is_none();
        Self {
            clock,
            memory,
            cpu,
            tasks: TaskMeter::open(loadavg, &root, &groups),
            whole_machine,
            cpu_pressure: Pressure::new(cpu_pressure),
            memory_pressure: Pressure::new(memory_pressure),
            disk: Disk {
                dir: target_dir,
                read: None,
                free: None,
            },
            buffer,
            missing,
        }
    }

    /// What this machine does not give.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Takes a sample that was planned for that moment. The family is read last, where it is wanted, and
    /// told what was read of memory: what grows in between then makes it look larger against the machine,
    /// never smaller.
    pub fn sample(
        &mut self,
        planned: Moment,
        read_family: Option<&mut dyn FnMut(Around) -> Option<Family>>,
    ) -> Sample {
        let now = self.clock.now();
        let buffer = &mut self.buffer;
        let memory = self.memory.read(now, read_family.is_some(), buffer);
        let around = Around {
            memory: memory.fullest,
            pages: memory.pages,
        };
        let (cpu_busy, window_ended) = self.cpu.read(now, buffer);
        let tasks = self.tasks.read(now, buffer);
        if window_ended {
            self.cpu_pressure.read(buffer);
            self.memory_pressure.read(buffer);
        }
        Sample {
            memory: memory.fullest,
            scarcest: memory.scarcest,
            swap: memory.swap,
            cpu_busy,
            cpu_pressure: self.cpu_pressure.last,
            memory_pressure: self.memory_pressure.last,
            runnable: tasks.runnable.filter(|_| self.whole_machine),
            tasks: tasks.tasks,
            family: read_family.and_then(|read| read(around)),
            disk_free: self.disk.read(now),
            taken: Some(now),
            late: now.saturating_sub(planned),
        }
    }
}

impl Pressure {
    fn new(source: Option<Source>) -> Self {
        Self { source, last: None }
    }

    fn read(&mut self, buffer: &mut [u8]) {
        let text = self.source.as_ref().and_then(|file| file.read(buffer).ok());
        self.last = text.and_then(parse::pressure);
    }
}

impl Disk {
    fn read(&mut self, now: Moment) -> Option<Bytes> {
        let due = self
            .read
            .is_none_or(|read| now.saturating_sub(read) >= DISK_EVERY);
        if due {
            self.read = Some(now);
            self.free = free_space(&self.dir);
        }
        self.free
    }
}

/// What a normal user may still write to the file system of a directory.
fn free_space(dir: &Utf8Path) -> Option<Bytes> {
    let stat = statvfs(dir.as_std_path()).ok()?;
    let blocks = u128::from(stat.blocks_available());
    let free = blocks.checked_mul(u128::from(stat.fragment_size()))?;
    u64::try_from(free).ok().map(Bytes)
}

/// How many cores this process may use: those of its affinity and cpuset, and no more than its
/// quota, rounded up, allows.
pub fn cores() -> usize {
    cores_below(Utf8Path::new("/"), Usable::of_this_process())
}

fn cores_below(root: &Utf8Path, usable: Usable) -> usize {
    let cores = usable
        .count()
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into));
    let quota = CpuMeter::open(None, usable, &Groups::find(root)).quota(&mut [0; 256]);
    let allowed = quota.and_then(|millicores| usize::try_from(millicores.div_ceil(1000)).ok());
    cores.min(allowed.unwrap_or(cores)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::sampler::linux::tree::Tree;

    fn this_machine() -> Sampler {
        Sampler::new(SamplerConfig::new(".".into()), Clock::start())
    }

    fn below(tree: &Tree) -> SamplerConfig {
        SamplerConfig {
            target_dir: tree.root().to_owned(),
            root: tree.root().to_owned(),
        }
    }

    #[test]
    fn a_sample_of_this_machine_is_plausible() {
        let mut sampler = this_machine();
        let sample = sampler.sample(Moment::ZERO, None);
        let memory = sample.memory.unwrap();
        assert!(
            memory.used > Bytes::mib(1) && memory.used < memory.total,
            "{memory:?}"
        );
        assert!(sample.disk_free.unwrap() > Bytes(0));
        assert_eq!(sample.family, None);
        assert_eq!(sample.cpu_busy, None, "no window has passed");
        let unreadable = sampler.missing().iter().map(ToString::to_string);
        assert!(!unreadable.collect::<String>().contains("meminfo"));
        assert!((1..10_000).contains(&cores()));
    }

    #[test]
    fn the_cpu_is_known_after_a_window() {
        let mut sampler = this_machine();
        let clock = sampler.clock;
        sampler.sample(Moment::ZERO, None);
        // Busy itself, so that the reading can't be zero.
        while clock.now() < Duration::from_millis(1100) {}
        let busy = sampler.sample(Moment::ZERO, None).cpu_busy.unwrap();
        assert!((1..=1000).contains(&busy.0), "{busy:?}");
    }

    #[test]
    fn a_family_is_read_when_asked_and_lateness_is_measured() {
        let mut sampler = this_machine();
        let family = Family {
            memory: Bytes(7),
            ..Family::default()
        };
        let mut read = |_| Some(family.clone());
        let sample = sampler.sample(Moment::from_secs(1000), Some(&mut read));
        assert_eq!(
            (sample.family.as_ref(), sample.late),
            (Some(&family), Duration::ZERO)
        );
        let sample = sampler.sample(Moment::ZERO, None);
        assert!(sample.late > Duration::ZERO);
    }

    #[test]
    fn a_machine_without_anything_to_read_is_unknown_and_says_so() {
        let tree = Tree::new();
        let mut sampler = Sampler::with_cpus(below(&tree), Clock::start(), Usable::all());
        let sample = sampler.sample(Moment::MAX, None);
        let unknown = Sample {
            disk_free: sample.disk_free,
            taken: sample.taken,
            ..Sample::default()
        };
        assert_eq!(sample, unknown);
        let missing: Vec<String> = sampler.missing().iter().map(ToString::to_string).collect();
        assert_eq!(missing.len(), 5, "{missing:?}");
        let first = format!("memory can't be read from {}/proc/meminfo", tree.root());
        assert_eq!(missing[0], first);
    }

    #[test]
    fn a_machine_is_read_from_its_files() {
        let tree = Tree::new();
        tree.file(
            "proc/meminfo",
            "MemTotal: 1000 kB\nMemAvailable: 250 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB\n",
        );
        tree.file("proc/stat", "cpu  1 1 1 1\ncpu0 1 1 1 1\n");
        tree.file("proc/loadavg", "0.00 0.00 0.00 5/180 11206\n");
        tree.file(
            "proc/pressure/cpu",
            "some avg10=12.34 avg60=0.00 avg300=0.00 total=0\n",
        );
        let mut sampler = Sampler::with_cpus(below(&tree), Clock::start(), Usable::all());
        let sample = sampler.sample(Moment::ZERO, None);
        assert_eq!(sample.memory.unwrap().used, Bytes(750 << 10));
        assert_eq!(sample.swap.unwrap().used, Bytes(60 << 10));
        assert_eq!(sample.runnable, Some(5));
        assert_eq!(
            (sample.cpu_pressure, sample.memory_pressure),
            (Some(Percent(123)), None)
        );
        assert_eq!(sampler.missing().len(), 1, "{:?}", sampler.missing());
    }

    #[test]
    fn a_quota_hides_the_queue_of_the_whole_machine_and_bounds_the_cores() {
        let tree = Tree::new();
        tree.file("proc/loadavg", "0.00 0.00 0.00 5/180 11206\n");
        tree.v2("/", "/");
        tree.file("sys/fs/cgroup/cpu.max", "1 100000\n");
        tree.file("sys/fs/cgroup/cpu.stat", "usage_usec 1\n");
        let mut sampler = Sampler::with_cpus(below(&tree), Clock::start(), Usable::all());
        assert_eq!(sampler.sample(Moment::ZERO, None).runnable, None);
        assert_eq!(cores_below(tree.root(), Usable::of_this_process()), 1);
    }

    #[test]
    #[ignore = "a measurement"]
    fn cost_of_a_sample() {
        const SAMPLES: u32 = 20_000;
        let mut sampler = this_machine();
        let clock = sampler.clock;
        let start = clock.now();
        for _ in 0..SAMPLES {
            std::hint::black_box(sampler.sample(Moment::ZERO, None));
        }
        let each = clock.now().saturating_sub(start) / SAMPLES;
        #[expect(clippy::print_stdout, reason = "a measurement")]
        {
            println!("{each:?} a sample");
        }
    }
}
