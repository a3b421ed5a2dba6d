//! What the files of a control group say, and what is written into them (`cgroup-v2.rst` of the
//! kernel). `None` is unknown and never zero. Pure.

use std::str::FromStr;
use std::time::Duration;

use crate::id::RunId;
use crate::limits::MilliCores;
use crate::units::Bytes;

/// The controllers that we have a use for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Controllers {
    pub(super) memory: bool,
    pub(super) pids: bool,
    pub(super) cpu: bool,
    pub(super) io: bool,
}

impl Controllers {
    /// Their names, as the kernel has them.
    pub(super) fn names(self) -> Vec<&'static str> {
        let all = [
            (self.memory, "memory"),
            (self.pids, "pids"),
            (self.cpu, "cpu"),
            (self.io, "io"),
        ];
        all.into_iter()
            .filter_map(|(there, name)| there.then_some(name))
            .collect()
    }

    /// Whether there is any.
    pub(super) fn any(self) -> bool {
        self != Self::default()
    }
}

/// The names of all of them.
pub(super) const EVERY: [&str; 4] = ["memory", "pids", "cpu", "io"];

/// Reads `cgroup.controllers` or `cgroup.subtree_control`: names with blanks between them.
pub(super) fn controllers(text: &str) -> Controllers {
    let has = |name| text.split_ascii_whitespace().any(|word| word == name);
    Controllers {
        memory: has("memory"),
        pids: has("pids"),
        cpu: has("cpu"),
        io: has("io"),
    }
}

/// Whether `cgroup.events` says that somebody in the group or below it is alive.
pub(super) fn populated(events: &[u8]) -> Option<bool> {
    field(events, b"populated").map(|value| value != 0)
}

/// Finds the number behind a name, in a file of lines `name number`.
pub(super) fn field(text: &[u8], name: &[u8]) -> Option<u64> {
    whole_lines(text).find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(b" ")?;
        number(value)
    })
}

/// Reads a file that holds one number.
pub(super) fn single(text: &[u8]) -> Option<u64> {
    number(whole_lines(text).next()?)
}

/// Reads the CPU time of `cpu.stat`, which is there without any controller.
pub(super) fn cpu_time(stat: &[u8]) -> Option<Duration> {
    field(stat, b"usage_usec").map(Duration::from_micros)
}

/// Sums up `io.stat`, over all devices: bytes read, bytes written. An empty file is no traffic.
pub(super) fn io_traffic(stat: &[u8]) -> (Bytes, Bytes) {
    let sum = |name: &[u8]| {
        let words = whole_lines(stat).flat_map(|line| line.split(|&byte| byte == b' '));
        let values = words.filter_map(|word| number::<u64>(word.strip_prefix(name)?));
        Bytes(values.fold(0, u64::saturating_add))
    };
    (sum(b"rbytes="), sum(b"wbytes="))
}

/// The process or thread ids of `cgroup.procs` or `cgroup.threads`. Who is in another namespace shows
/// as 0, and is left out.
pub(super) fn ids(text: &[u8]) -> impl Iterator<Item = i32> {
    whole_lines(text)
        .filter_map(number::<i32>)
        .filter(|&id| id > 1)
}

/// Finds the path of the version 2 group in `/proc/<pid>/cgroup`.
pub(super) fn unified_path(text: &[u8]) -> Option<&[u8]> {
    whole_lines(text).find_map(|line| line.strip_prefix(b"0::"))
}

/// Whether a group is `group`, or below it.
pub(super) fn is_within(path: &[u8], group: &[u8]) -> bool {
    path.strip_prefix(group)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Finds the process of a thread in `/proc/<tid>/status`.
pub(super) fn process_of_thread(status: &[u8]) -> Option<i32> {
    whole_lines(status).find_map(|line| number(line.strip_prefix(b"Tgid:")?.trim_ascii()))
}

/// What `cpu.max` takes: microseconds of CPU time in each period of 100 ms.
pub(super) fn cpu_max(cores: MilliCores) -> String {
    const PERIOD: u64 = 100_000;
    // The kernel takes no quota under a millisecond.
    let quota = (u64::from(cores.0) * PERIOD / 1000).max(1000);
    format!("{quota} {PERIOD}")
}

/// What `pids.max` takes: one more than is allowed. Who reaches it is over the limit, and is seen and ended
/// for that; one that is held just at the limit could try again for ever.
pub(super) fn pids_max(most: u32) -> String {
    most.saturating_add(1).to_string()
}

/// The name of a run's group.
pub(super) fn run_group(run: &RunId) -> String {
    format!("stt-{run}")
}

/// Whether that is the name of a run's group.
pub(super) fn is_run_group(name: &str) -> bool {
    name.strip_prefix("stt-")
        .is_some_and(|run| RunId::from_str(run).is_ok())
}

/// The name of the group into which a runner moves itself, so that its own group may give controllers
/// to the run's.
pub(super) fn runner_group(run: &RunId) -> String {
    runner_beside(&run_group(run))
}

/// The same, by the name of the run's group.
pub(super) fn runner_beside(run_group: &str) -> String {
    format!("{run_group}.runner")
}

/// Whether that is the name of such a group.
pub(super) fn is_runner_group(name: &str) -> bool {
    name.strip_suffix(".runner").is_some_and(is_run_group)
}

/// The lines that are whole: one that a buffer's end has cut off would be read as another number.
fn whole_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n')
        .filter_map(|line| line.strip_suffix(b"\n"))
}

fn number<N: FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_files_of_a_group_are_read() {
        assert_eq!(populated(b"populated 1\nfrozen 0\n"), Some(true));
        assert_eq!(populated(b"frozen 1\npopulated 0\n"), Some(false));
        assert_eq!(populated(b"frozen 1\n"), None);
        let events = b"low 0\nhigh 3\nmax 7\noom 1\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(field(events, b"oom_kill"), Some(2));
        assert_eq!(field(events, b"oom"), Some(1));
        assert_eq!(field(events, b"none"), None);
        assert_eq!(single(b"1048576\n"), Some(1 << 20));
        assert_eq!(single(b"max\n"), None);
        assert_eq!(single(b"12"), None, "cut off");
        let stat = b"usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n";
        assert_eq!(cpu_time(stat), Some(Duration::from_micros(1500)));
        let stat = b"8:0 rbytes=4096 wbytes=100 rios=1 wios=1 dbytes=9 dios=0\n\
            253:1 rbytes=1 wbytes=2 rios=1 wios=1 dbytes=0 dios=0\n8:16 \n";
        assert_eq!(io_traffic(stat), (Bytes(4097), Bytes(102)));
        assert_eq!(io_traffic(b""), (Bytes(0), Bytes(0)));
        assert_eq!(ids(b"12\n0\n1\n345\nx\n67").collect::<Vec<_>>(), [12, 345]);
        assert_eq!(process_of_thread(b"Name:\tx\nTgid:\t42\n"), Some(42));
    }

    #[test]
    fn controllers_have_names() {
        let some = controllers("cpuset cpu memory hugetlb pids rdma\n");
        assert_eq!(some.names(), ["memory", "pids", "cpu"]);
        assert!(some.any() && !controllers("hugetlb\n").any());
    }

    #[test]
    fn a_group_holds_what_is_below_it_and_nobody_else() {
        let text = b"4:memory:/elsewhere\n0::/a/stt-x/slot-1/inner\n";
        let path = unified_path(text).unwrap();
        let cases: [(&[u8], bool); 5] = [
            (b"/a/stt-x/slot-1", true),
            (b"/a/stt-x/slot-1/inner", true),
            (b"/a/stt-x/slot-1/inner/more", false),
            (b"/a/stt-x/slot-", false),
            (b"/a/stt-x/slot-11", false),
        ];
        for (group, within) in cases {
            assert_eq!(is_within(path, group), within, "{group:?}");
        }
        assert_eq!(unified_path(b"4:memory:/x\n"), None);
    }

    #[test]
    fn only_a_runs_group_has_a_runs_name() {
        let run = RunId::from_random([7; 16]);
        assert!(is_run_group(&run_group(&run)));
        assert!(is_runner_group(&runner_group(&run)));
        assert!(!is_run_group(&runner_group(&run)));
        let names = ["stt-", "stt-x", "system.slice", "..", "", ".runner"];
        for name in names {
            assert!(!is_run_group(name) && !is_runner_group(name), "{name}");
        }
    }

    #[test]
    fn a_share_of_the_cores_is_a_quota() {
        assert_eq!(cpu_max(MilliCores(500)), "50000 100000");
        assert_eq!(cpu_max(MilliCores(8000)), "800000 100000");
        assert_eq!(cpu_max(MilliCores(1)), "1000 100000");
    }

    #[test]
    fn who_reaches_the_kernels_bound_of_processes_is_over_the_limit() {
        assert_eq!(pids_max(50), "51");
        assert_eq!(pids_max(u32::MAX), u32::MAX.to_string());
    }

    #[test]
    fn every_controller_has_its_name() {
        let all = controllers(&EVERY.join(" "));
        assert_eq!(all.names(), EVERY);
    }

    proptest! {
        #[test]
        fn garbage_is_never_taken_for_a_process(bytes in any::<Vec<u8>>(), text in ".*") {
            populated(&bytes);
            cpu_time(&bytes);
            io_traffic(&bytes);
            controllers(&text);
            prop_assert!(ids(&bytes).all(|id| id > 1));
        }
    }
}
