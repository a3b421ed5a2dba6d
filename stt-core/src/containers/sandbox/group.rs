//! The control group of a container of ours: who is in it, and what it has counted.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;

use crate::cgroup;
use crate::containers::group;
use crate::units::Bytes;

/// The files of a container's group, where they can be seen.
#[derive(Debug)]
pub(super) struct Group {
    members: Utf8PathBuf,
    /// With the most memory so far, which starts anew when something is written.
    peak: Option<File>,
    kills: Option<File>,
    cpu: Option<File>,
    tasks: Option<File>,
}

/// What a group has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// CPU time.
    pub cpu: Option<Duration>,
    /// The most memory at once, with files that the kernel could give up.
    pub peak_memory: Option<Bytes>,
    /// How many processes the kernel has killed because memory was full.
    pub oom_kills: Option<u64>,
    /// How often it has refused another process.
    pub refused: Option<u64>,
}

impl Group {
    /// The group of a container that runs; `None` where it can't be seen.
    pub(super) fn find(id: &str) -> Option<Self> {
        Self::below(id, "/".into())
    }

    fn below(id: &str, root: &Utf8Path) -> Option<Self> {
        let from_root = |path: &str| root.join(path.trim_start_matches('/'));
        let mounts = fs::read_to_string(from_root("proc/self/mountinfo")).ok()?;
        let mounts = cgroup::mounts(&mounts);
        let user = nix::unistd::geteuid().as_raw();
        let usual = group::usual(id, user)?;
        let dir = |controller: &str| {
            let mount = cgroup::hierarchy(&mounts, controller)?;
            let mut places = usual.iter().map(|path| from_root(&mount.point).join(path));
            Some((places.find(|place| place.is_dir())?, mount))
        };
        let (memory, mount) = dir("memory")?;
        let open = |dir: &Utf8Path, name: &str| File::open(dir.join(name)).ok();
        let [peak, kills] = if mount.unified {
            ["memory.peak", "memory.events"]
        } else {
            ["memory.max_usage_in_bytes", "memory.oom_control"]
        };
        let peak = memory.join(peak);
        let both = OpenOptions::new().read(true).write(true).open(&peak);
        let cpu = dir("cpuacct").and_then(|(dir, mount)| open(&dir, group::cpu_file(mount)));
        Some(Self {
            members: memory.join("cgroup.procs"),
            peak: both.or_else(|_| File::open(&peak)).ok(),
            kills: open(&memory, kills),
            cpu,
            tasks: dir("pids").and_then(|(dir, _)| open(&dir, "pids.events")),
        })
    }

    /// Whoever is in it; `None` where that can't be read, or somebody has no number here.
    pub(super) fn members(&self) -> Option<Vec<i32>> {
        let text = fs::read_to_string(&self.members).ok()?;
        let numbers: Option<Vec<i32>> = text.lines().map(|line| line.trim().parse().ok()).collect();
        numbers.filter(|numbers| !numbers.contains(&0))
    }

    /// Counts the most memory from now on. Says whether that is possible.
    pub(super) fn begin(&self) -> bool {
        let peak = self.peak.as_ref();
        peak.is_some_and(|mut file| file.write_all(b"0\n").is_ok())
    }

    /// What it has counted.
    pub(super) fn counted(&self) -> Counted {
        let mut buffer = [0; 4096];
        let mut read = |file: &Option<File>| {
            let count = file.as_ref()?.read_at(&mut buffer, 0).ok()?;
            Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
        };
        Counted {
            cpu: read(&self.cpu).and_then(|text| group::cpu(&text)),
            peak_memory: read(&self.peak).and_then(|text| Some(Bytes(text.trim().parse().ok()?))),
            oom_kills: read(&self.kills).and_then(|text| group::value(&text, "oom_kill")),
            refused: read(&self.tasks).and_then(|text| group::value(&text, "max")),
        }
    }
}

/// The command line of a process, its words with spaces between.
pub(super) fn command_line(pid: i32) -> Option<String> {
    const LONGEST: usize = 256;
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = bytes
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(|word| String::from_utf8_lossy(word)).collect();
    let text: String = words.join(" ").chars().take(LONGEST).collect();
    if text.is_empty() {
        // Somebody who is about to begin, or a thread that is all that is left.
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        return Some(format!("[{}]", name.trim()));
    }
    Some(text)
}

/// Whether a process is dead and only not buried yet.
pub(super) fn is_dead(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| {
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        matches!(state, None | Some(b'Z' | b'X'))
    })
}
