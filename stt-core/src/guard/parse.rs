//! Reads the kernel's text files: pure functions from what they hold to what it means.
//!
//! Every parser takes bytes, because that is what a buffer holds, and answers `None` to what it does
//! not understand. None of them allocates, except those that run only once, at the start.

use crate::units::Bytes;
use crate::units::Percent;

/// What `/proc/meminfo` says (`proc_meminfo(5)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MemInfo {
    /// `MemTotal`.
    pub(super) total: Option<Bytes>,
    /// `MemAvailable`: what can be had without swapping. Kernels before 3.14 don't have it.
    pub(super) available: Option<Bytes>,
    /// `SwapTotal`.
    pub(super) swap_total: Option<Bytes>,
    /// `SwapFree`.
    pub(super) swap_free: Option<Bytes>,
    /// `AnonPages`.
    pub(super) anonymous: Option<Bytes>,
    /// `Shmem`.
    pub(super) shared: Option<Bytes>,
}

/// Reads `/proc/meminfo`.
pub(super) fn meminfo(text: &[u8]) -> MemInfo {
    let mut info = MemInfo::default();
    for line in lines(text) {
        let field = match line.split(|byte| *byte == b':').next() {
            Some(b"MemTotal") => &mut info.total,
            Some(b"MemAvailable") => &mut info.available,
            Some(b"SwapTotal") => &mut info.swap_total,
            Some(b"SwapFree") => &mut info.swap_free,
            Some(b"AnonPages") => &mut info.anonymous,
            Some(b"Shmem") => &mut info.shared,
            _ => continue,
        };
        *field = words(line).nth(1).and_then(kibibytes);
        // The last of them; thirty lines more are about something else.
        if line.starts_with(b"Shmem:") {
            break;
        }
    }
    info
}

/// CPU time since boot in ticks, of some cores together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CpuTimes {
    /// Spent on anything.
    pub(super) busy: u64,
    /// Busy and idle.
    pub(super) total: u64,
}

/// Adds up the lines of `/proc/stat` of those CPUs that may be used (`proc_stat(5)`); `None` when
/// there are none.
///
/// Waiting for a disk is idle: the core is free. Stolen time is busy: the hypervisor gave the core to
/// somebody else, so it was not there for us. Guest time is part of user time and not counted again.
pub(super) fn cpu_times(text: &[u8], usable: impl Fn(usize) -> bool) -> Option<CpuTimes> {
    let mut sum = None;
    for line in lines(text) {
        // The CPUs come first; what follows, the interrupts above all, can be long.
        let Some(rest) = line.strip_prefix(b"cpu") else {
            break;
        };
        let mut fields = words(rest);
        if rest.first() == Some(&b' ') {
            continue;
        }
        let index = usize::try_from(number(fields.next()?)?).ok()?;
        if !usable(index) {
            continue;
        }
        let mut times = [0_u64; 8];
        for time in &mut times {
            // Kernels before 2.6.11 have no stolen time.
            *time = fields.next().and_then(number).unwrap_or(0);
        }
        let [user, nice, system, idle, iowait, irq, softirq, steal] = times;
        let busy = user + nice + system + irq + softirq + steal;
        let sum = sum.get_or_insert_with(CpuTimes::default);
        sum.busy += busy;
        sum.total += busy + idle + iowait;
    }
    sum
}

/// How many CPUs `/proc/stat` has a line for: those that are online, whether we may use them or not.
pub(super) fn cpu_count(text: &[u8]) -> usize {
    let cpus = lines(text).take_while(|line| line.starts_with(b"cpu"));
    cpus.filter(|line| line.get(3).is_some_and(u8::is_ascii_digit))
        .count()
}

/// The number of runnable tasks of `/proc/loadavg` (`proc_loadavg(5)`). It is the `procs_running` of
/// `/proc/stat`, without the time that the kernel needs to write down every interrupt before it.
pub(super) fn runnable(text: &[u8]) -> Option<u32> {
    let tasks = words(text).nth(3)?;
    let running = tasks.split(|byte| *byte == b'/').next()?;
    u32::try_from(number(running)?).ok()
}

/// The number of processes and threads that exist, of `/proc/loadavg` (`proc_loadavg(5)`).
pub(super) fn tasks(text: &[u8]) -> Option<u64> {
    let tasks = words(text).nth(3)?;
    number(tasks.split(|byte| *byte == b'/').nth(1)?)
}

/// The `some avg10` of a pressure file (Documentation/accounting/psi.rst).
pub(super) fn pressure(text: &[u8]) -> Option<Percent> {
    let some = lines(text).find(|line| line.starts_with(b"some "))?;
    let average = words(some).find_map(|word| word.strip_prefix(b"avg10="))?;
    let mut parts = average.splitn(2, |byte| *byte == b'.');
    let whole = u32::try_from(number(parts.next()?)?).ok()?;
    let tenth = match parts.next().and_then(|fraction| fraction.first()) {
        Some(digit @ b'0'..=b'9') => u32::from(digit - b'0'),
        Some(_) => return None,
        None => 0,
    };
    whole.checked_mul(10)?.checked_add(tenth).map(Percent)
}

/// A file with one number.
pub(super) fn single(text: &[u8]) -> Option<u64> {
    number(words(text).next()?)
}

/// The number of one key in a file of `key number` lines, such as `memory.stat`.
pub(super) fn keyed(text: &[u8], key: &[u8]) -> Option<u64> {
    lines(text).find_map(|line| {
        let mut words = words(line);
        (words.next() == Some(key)).then_some(())?;
        number(words.next()?)
    })
}

/// What the kernel would take back before it lets the group hit its limit, from the `memory.stat` of
/// control groups version 2: the page cache without shared memory (which has no other home), and
/// slabs that it calls reclaimable, such as the inodes that a `find` leaves behind.
pub(super) fn reclaimable_v2(stat: &[u8]) -> Option<Bytes> {
    let cache = keyed(stat, b"file")?.saturating_sub(keyed(stat, b"shmem")?);
    let slabs = keyed(stat, b"slab_reclaimable").unwrap_or(0);
    Some(Bytes(cache.saturating_add(slabs)))
}

/// The same from version 1, where the numbers with the groups below are called `total_`.
pub(super) fn reclaimable_v1(stat: &[u8]) -> Option<Bytes> {
    let cache = keyed(stat, b"total_cache")?;
    Some(Bytes(
        cache.saturating_sub(keyed(stat, b"total_shmem").unwrap_or(0)),
    ))
}

/// A share of the CPU time, as time in each period, both in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// How much may be used,
    pub(super) quota: u64,
    /// in each so much.
    pub(super) period: u64,
}

impl Quota {
    /// From the two numbers; `None` where there is no limit.
    pub(super) fn new(quota: u64, period: u64) -> Option<Self> {
        (quota > 0 && period > 0).then_some(Self { quota, period })
    }

    /// As a number of cores, in thousandths.
    pub(super) fn millicores(self) -> u64 {
        let millicores = u128::from(self.quota) * 1000 / u128::from(self.period);
        u64::try_from(millicores).unwrap_or(u64::MAX)
    }
}

/// The `cpu.max` of control groups version 2: `max 100000` or `200000 100000`.
pub(super) fn cpu_max(text: &[u8]) -> Option<Quota> {
    let mut words = words(text);
    let quota = number(words.next()?)?;
    Quota::new(quota, number(words.next()?)?)
}

/// The whole lines of a buffer. What comes after the last line break was cut off by the buffer's end,
/// and half a number is a wrong number.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last + 1);
    text[..end].split(|byte| *byte == b'\n')
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word)
        .ok()
        .filter(|word| word.starts_with(|first: char| first.is_ascii_digit()))?
        .parse()
        .ok()
}

fn kibibytes(word: &[u8]) -> Option<Bytes> {
    number(word)?.checked_mul(1024).map(Bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn meminfo_is_read_and_what_is_missing_stays_unknown() {
        let text = b"MemTotal:       24682416 kB\nMemFree:  1 kB\nMemAvailable:   24213360 kB\n\
            SwapCached:            7 kB\nSwapTotal:      0 kB\nSwapFree:       0 kB\n\
            Dirty: 9 kB\nAnonPages:   300 kB\nMapped: 8 kB\nShmem:  20 kB\nShmem: 21 kB\n";
        let info = MemInfo {
            total: Some(Bytes(24_682_416 << 10)),
            available: Some(Bytes(24_213_360 << 10)),
            swap_total: Some(Bytes(0)),
            swap_free: Some(Bytes(0)),
            anonymous: Some(Bytes(300 << 10)),
            shared: Some(Bytes(20 << 10)),
        };
        assert_eq!(meminfo(text), info);
        let old = MemInfo {
            total: Some(Bytes(5 << 10)),
            ..MemInfo::default()
        };
        assert_eq!(meminfo(b"MemTotal: 5 kB\nMemAvailable: soon\n"), old);
        // A buffer that ends within a number has not got that number.
        assert_eq!(meminfo(b"MemTotal: 5 kB\nMemAvailable: 2421"), old);
        assert_eq!(meminfo(b""), MemInfo::default());
    }

    #[test]
    fn cpu_times_are_those_of_the_usable_cores() {
        let text = b"cpu  99 99 99 99 99 99 99 99 0 0\ncpu0 1 2 3 40 50 6 7 8 1000 1000\n\
            cpu1 10 0 0 100 0 0 0 0 0 0\ncpu10 5 0 0 5 0 0 0 0 0 0\nintr 5 0 0\nctxt 7\n";
        let times = |busy, total| Some(CpuTimes { busy, total });
        assert_eq!(cpu_times(text, |cpu| cpu == 0), times(27, 117));
        assert_eq!(cpu_times(text, |cpu| cpu == 1), times(10, 110));
        assert_eq!(cpu_times(text, |_| true), times(42, 237));
        assert_eq!(cpu_times(text, |cpu| cpu == 7), None);
        assert_eq!(cpu_times(b"cpu0 1 0 0 1\n", |_| true), times(1, 2), "old");
        assert_eq!((cpu_count(text), cpu_count(b"intr 1\n")), (3, 0));
        for garbage in [&b""[..], b"cpux 1 2 3\n", b"cpu0 1 2 3", b"intr 1\n"] {
            assert_eq!(cpu_times(garbage, |_| true), None);
        }
    }

    #[test]
    fn small_files_are_read() {
        assert_eq!(runnable(b"0.20 0.18 0.12 3/180 11206\n"), Some(3));
        assert_eq!(runnable(b"0.20 0.18 0.12\n"), None);
        assert_eq!(tasks(b"0.20 0.18 0.12 3/180 11206\n"), Some(180));
        assert_eq!(tasks(b"0.20 0.18 0.12 3 11206\n"), None);
        assert_eq!(single(b"7925760\n"), Some(7_925_760));
        assert_eq!(single(b"max\n"), None);
        assert_eq!(single(b"-1\n"), None);
        assert_eq!(single(b""), None);
        assert_eq!(cpu_max(b"max 100000\n"), None);
        let quota = cpu_max(b"150000 100000\n").unwrap();
        assert_eq!(quota.millicores(), 1500);
        assert_eq!(cpu_max(b"150000 0\n"), None);
    }

    #[test]
    fn pressure_is_the_share_in_which_some_task_waited() {
        let text = b"some avg10=23.47 avg60=1.41 avg300=0.97 total=18753588\nfull avg10=99.00\n";
        assert_eq!(pressure(text), Some(Percent(234)));
        assert_eq!(pressure(b"some avg10=100\n"), Some(Percent(1000)));
        for garbage in [
            &b""[..],
            b"full avg10=1.00\n",
            b"some avg10=x\n",
            b"some avg10=1.x\n",
        ] {
            assert_eq!(pressure(garbage), None);
        }
    }

    #[test]
    fn reclaimable_memory_is_cache_that_has_another_home() {
        let v2 = b"anon 5\nfile 1000\nkernel 3\nshmem 300\nslab_reclaimable 20\nfile_mapped 9\n";
        assert_eq!(reclaimable_v2(v2), Some(Bytes(720)));
        assert_eq!(reclaimable_v2(b"anon 5\n"), None);
        let v1 = b"cache 1\nshmem 1\ntotal_cache 1000\ntotal_shmem 300\n";
        assert_eq!(reclaimable_v1(v1), Some(Bytes(700)));
        assert_eq!(reclaimable_v1(b"cache 1\n"), None);
        assert_eq!(keyed(v1, b"total_shmem"), Some(300));
        assert_eq!(keyed(v1, b"total"), None);
    }

    proptest! {
        #[test]
        fn garbage_is_never_taken_for_more_than_it_is(bytes in any::<Vec<u8>>()) {
            meminfo(&bytes);
            cpu_times(&bytes, |_| true);
            runnable(&bytes);
            tasks(&bytes);
            pressure(&bytes);
            cpu_max(&bytes);
            reclaimable_v1(&bytes);
            reclaimable_v2(&bytes);
        }
    }
}
