//! Memory that is in no process's resident set: what tests have written into files in memory without mapping
//! them, be it a file that never had a name (`memfd_create(2)`) or one on a tmpfs (`tmpfs(5)`).
//!
//! The kernel charges such a page to nobody who could be asked. What is known is who can reach it: a file that a
//! process of the family holds open, or that lies in the run's temporary directory. A stranger's file can be open
//! here as well, so it counts only if it was born after the run began, and can be written here or by nobody who
//! has to look for its name. What is mapped is in the resident sets already and is taken off.
//!
//! What is written to a tmpfs by name, elsewhere, and closed again is nobody's: anybody could have made it.

use std::collections::HashMap;
use std::fs::DirEntry;
use std::fs::File;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use super::proc::Proc;
use crate::clock::Clock;
use crate::units::Bytes;

/// Nobody looks while the machine's shared memory has not grown by this much.
const NOTICEABLE: Bytes = Bytes::mib(16);

/// While it moves by less than this, and the processes stay the same, what was found is taken to be there still.
const TREMOR: Bytes = Bytes::mib(1);

/// But for no more than so many readings.
const READINGS: u32 = 20;

/// In how many processes descriptors are looked at.
const MOST_PROCESSES: usize = 256;

/// How many descriptors are looked at in all: a microsecond each.
const MOST_DESCRIPTORS: usize = 4096;

/// How many entries of the run's temporary directory are looked at.
const MOST_FILES: usize = 2048;

/// Files are dated by the last tick of the kernel's clock, of which there are at least a hundred a second.
const TICK: Duration = Duration::from_millis(10);

/// Long enough for `/proc/meminfo`.
const MEMINFO: usize = 4096;

/// A process, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: i32,
    /// The index of its test.
    pub(super) test: Option<usize>,
    /// Its resident set.
    pub(super) resident: Bytes,
}

/// What nobody has mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Charges {
    /// Of the whole run.
    pub(super) all: Bytes,
    /// Of single tests, by their index.
    pub(super) tests: HashMap<usize, Bytes>,
}

/// Looks for it, as rarely as possible.
#[derive(Debug)]
pub(super) struct Unmapped {
    meminfo: Option<File>,
    /// When the run began, by the clock that dates files. Nothing is measured by it: where it is set back, new
    /// files look old and are not charged.
    began: SystemTime,
    /// The run's temporary directory.
    dir: Option<PathBuf>,
    /// The least shared memory that the machine has had since the run began.
    least: Option<Bytes>,
    /// Where tmpfs are mounted, and their devices. Read when it is first needed.
    mounts: Option<Vec<(PathBuf, u64)>>,
    last: Option<Last>,
}

/// What was found, and what there was when it was found.
#[derive(Debug)]
struct Last {
    shared: Bytes,
    holders: Vec<(i32, Option<usize>)>,
    readings: u32,
    charges: Charges,
}

/// A file in memory, and who can reach it.
#[derive(Clone, Copy, Debug)]
struct Reached {
    /// Whether it has a name in some directory.
    named: bool,
    /// Whether it is open for writing here.
    writable: bool,
    /// Whether it was born after the run began; `None` where the kernel does not tell (`statx(2)`).
    young: Option<bool>,
}

impl Reached {
    /// Whether the family has made it, for all that is known.
    fn is_ours(self) -> bool {
        match self.young {
            Some(young) => young && (self.writable || !self.named),
            // Without a name it can't be found, only handed over.
            None => !self.named,
        }
    }
}

impl Unmapped {
    /// For a run that begins now.
    pub(super) fn begin() -> Self {
        let meminfo = File::open("/proc/meminfo").ok();
        Self {
            least: meminfo.as_ref().and_then(shared_memory),
            meminfo,
            began: Clock::wall() - TICK,
            dir: None,
            mounts: None,
            last: None,
        }
    }

    /// The files in this directory are the run's.
    pub(super) fn include(&mut self, dir: PathBuf) {
        self.dir = Some(dir);
    }

    /// What these processes and the directory have without its being mapped.
    pub(super) fn look(&mut self, proc: &mut Proc, holders: &[Holder]) -> Charges {
        let Some(shared) = self.meminfo.as_ref().and_then(shared_memory) else {
            return Charges::default();
        };
        let least = self.least.map_or(shared, |least| least.min(shared));
        self.least = Some(least);
        let grown = shared.saturating_sub(least);
        if grown < NOTICEABLE {
            self.last = None;
            return Charges::default();
        }
        let ids: Vec<_> = holders
            .iter()
            .map(|holder| (holder.pid, holder.test))
            .collect();
        if let Some(last) = &mut self.last
            && last.shared.0.abs_diff(shared.0) < TREMOR.0
            && last.readings < READINGS
            && last.holders == ids
        {
            last.readings += 1;
            return last.charges.clone();
        }
        let charges = self.charges(proc, holders, grown);
        self.last = Some(Last {
            shared,
            holders: ids,
            readings: 0,
            charges: charges.clone(),
        });
        charges
    }

    fn charges(&mut self, proc: &mut Proc, holders: &[Holder], grown: Bytes) -> Charges {
        let mounts = self.mounts.get_or_insert_with(tmpfs_mounts);
        let search = Search {
            mounts,
            began: self.began,
        };
        let mut files = HashMap::new();
        let mut descriptors = MOST_DESCRIPTORS;
        for holder in holders.iter().take(MOST_PROCESSES) {
            search.descriptors_of(holder, &mut descriptors, &mut files);
        }
        if let Some(dir) = &self.dir {
            search.files_below(dir, &mut files);
        }
        if files.is_empty() {
            return Charges::default();
        }
        let mut mapped = Vec::with_capacity(holders.len());
        for (index, holder) in holders.iter().enumerate() {
            let known = (index < MOST_PROCESSES).then(|| proc.shared_memory(holder.pid));
            // Of whom that is not known, all may be mapped.
            let size = known.flatten().map_or(holder.resident, kilobytes);
            mapped.push((holder.test, size));
        }
        charge(files.values(), &mapped, grown)
    }
}

/// Charges files, each with the test that reaches it and its size, without what is mapped of them, and never more
/// than the machine's shared memory has grown by.
fn charge<'a>(
    files: impl Iterator<Item = &'a (Option<usize>, Bytes)>,
    mapped: &[(Option<usize>, Bytes)],
    grown: Bytes,
) -> Charges {
    let mut charges = Charges::default();
    for (test, size) in files {
        charges.all.0 = charges.all.0.saturating_add(size.0);
        if let Some(test) = test {
            let sum = charges.tests.entry(*test).or_default();
            sum.0 = sum.0.saturating_add(size.0);
        }
    }
    for (test, size) in mapped {
        charges.all = charges.all.saturating_sub(*size);
        if let Some(sum) = test.and_then(|test| charges.tests.get_mut(&test)) {
            *sum = sum.saturating_sub(*size);
        }
    }
    charges.all = charges.all.min(grown);
    for sum in charges.tests.values_mut() {
        *sum = (*sum).min(grown);
    }
    charges
}

/// The files that were found, by device and number: who reaches each, and its size.
type Files = HashMap<(u64, u64), (Option<usize>, Bytes)>;

struct Search<'a> {
    mounts: &'a [(PathBuf, u64)],
    began: SystemTime,
}

impl Search<'_> {
    fn descriptors_of(&self, holder: &Holder, left: &mut usize, files: &mut Files) {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", holder.pid));
        for entry in entries.into_iter().flatten().flatten() {
            let Some(fewer) = left.checked_sub(1) else {
                return;
            };
            *left = fewer;
            if let Some((key, size)) = self.descriptor(&entry) {
                files.entry(key).or_insert((holder.test, size));
            }
        }
    }

    /// The file that a descriptor of somebody leads to, if it is ours and in memory. Nothing is asked of it unless
    /// its name says that it is in memory: asking a file on a network may take for ever.
    fn descriptor(&self, entry: &DirEntry) -> Option<((u64, u64), Bytes)> {
        const WRITABLE: u32 = 0o200;
        let path = entry.path();
        let target = std::fs::read_link(&path).ok()?;
        let nameless = target.as_os_str().as_bytes().starts_with(b"/memfd:");
        if !nameless && !self.mounts.iter().any(|(dir, _)| target.starts_with(dir)) {
            return None;
        }
        // Follows the link to the file itself, whatever has become of its name.
        let file = std::fs::metadata(&path).ok()?;
        let in_memory = nameless || self.is_in_memory(&file);
        let reached = Reached {
            named: file.nlink() > 0,
            // The permissions of the link are those of the descriptor (`proc_pid_fd(5)`).
            writable: entry.metadata().ok()?.mode() & WRITABLE != 0,
            young: self.is_young(&file),
        };
        (in_memory && file.is_file() && reached.is_ours()).then(|| of(&file))
    }

    /// What lies in a directory of our own, if that is in memory.
    fn files_below(&self, dir: &Path, files: &mut Files) {
        let is_ours = std::fs::symlink_metadata(dir).is_ok_and(|dir| self.is_in_memory(&dir));
        let mut left = if is_ours { MOST_FILES } else { 0 };
        let mut dirs = vec![dir.to_owned()];
        while let Some(dir) = dirs.pop().filter(|_| left > 0) {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            for entry in entries.take(left) {
                left -= 1;
                // Of a link, not of what it leads to.
                let Ok(file) = entry.metadata() else { continue };
                if file.is_dir() {
                    dirs.push(entry.path());
                } else if file.is_file() && self.is_in_memory(&file) {
                    let (key, size) = of(&file);
                    files.entry(key).or_insert((None, size));
                }
            }
        }
    }

    fn is_in_memory(&self, file: &Metadata) -> bool {
        self.mounts.iter().any(|(_, device)| *device == file.dev())
    }

    fn is_young(&self, file: &Metadata) -> Option<bool> {
        Some(file.created().ok()? >= self.began)
    }
}

/// By what a file is known, and how much memory it takes (`stat(2)`: blocks of 512 bytes).
fn of(file: &Metadata) -> ((u64, u64), Bytes) {
    let size = Bytes(file.blocks().saturating_mul(512));
    ((file.dev(), file.ino()), size)
}

fn kilobytes(count: u64) -> Bytes {
    Bytes(count.saturating_mul(1024))
}

/// The shared memory of the machine, files on tmpfs included.
fn shared_memory(meminfo: &File) -> Option<Bytes> {
    let mut text = [0; MEMINFO];
    let length = meminfo.read_at(&mut text, 0).ok()?;
    super::proc::parse_kilobytes(&text[..length], b"Shmem:").map(kilobytes)
}

/// Where this process sees a tmpfs.
fn tmpfs_mounts() -> Vec<(PathBuf, u64)> {
    let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let lines = text.split(|&byte| byte == b'\n');
    let points = lines.filter_map(tmpfs_at);
    points
        .filter_map(|point| {
            let device = std::fs::symlink_metadata(&point).ok()?.dev();
            Some((point, device))
        })
        .collect()
}

/// The mount point, if this line of `mountinfo` is about a tmpfs (`proc_pid_mountinfo(5)`). One with a space
/// in its name is left out.
fn tmpfs_at(line: &[u8]) -> Option<PathBuf> {
    let line = std::str::from_utf8(line).ok()?;
    let (mount, kind) = line.split_once(" - ")?;
    let point = mount.split(' ').nth(4)?;
    let is_tmpfs = kind.split(' ').next() == Some("tmpfs");
    (is_tmpfs && !point.contains('\\')).then(|| PathBuf::from(point))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_tmpfs_is_found_among_the_mounts() {
        let at = |line: &str| tmpfs_at(line.as_bytes());
        let line = "25 30 0:22 / /dev/shm rw,nosuid shared:4 master:1 - tmpfs tmpfs rw,size=1k";
        assert_eq!(at(line), Some(PathBuf::from("/dev/shm")));
        assert_eq!(at(&line.replace("- tmpfs", "- ext4")), None);
        assert_eq!(at(&line.replace("/dev/shm", r"/dev/a\040b")), None);
        assert_eq!(at(""), None);
    }

    #[test]
    fn what_a_stranger_can_have_made_is_not_ours() {
        for (named, writable, young, ours) in [
            (true, true, Some(true), true),
            (true, false, Some(true), false),
            (true, true, Some(false), false),
            (true, true, None, false),
            (false, false, Some(true), true),
            (false, true, Some(false), false),
            (false, false, None, true),
        ] {
            let reached = Reached {
                named,
                writable,
                young,
            };
            assert_eq!(reached.is_ours(), ours, "{reached:?}");
        }
    }

    #[test]
    fn what_is_mapped_or_was_there_before_is_charged_once_or_never() {
        let mib = Bytes::mib;
        let files = [
            (Some(0), mib(300)),
            (Some(1), mib(100)),
            (None, mib(50)),
            (Some(0), mib(10)),
        ];
        let charged =
            |mapped: &[(Option<usize>, Bytes)], grown| charge(files.iter(), mapped, mib(grown));
        let plain = charged(&[], 1000);
        assert_eq!(plain.all, mib(460));
        assert_eq!(plain.tests, [(0, mib(310)), (1, mib(100))].into());
        let mapped = charged(&[(Some(0), mib(300)), (Some(2), mib(60))], 1000);
        assert_eq!(mapped.all, mib(100));
        assert_eq!(mapped.tests, [(0, mib(10)), (1, mib(100))].into());
        let bounded = charged(&[], 200);
        assert_eq!((bounded.all, bounded.tests[&0]), (mib(200), mib(200)));
        let all = charged(&[(None, mib(500))], 1000);
        assert_eq!((all.all, all.tests[&0]), (mib(0), mib(310)));
    }

    /// With this process as the one that holds it. Others use the machine's shared memory, too.
    #[test]
    fn a_file_without_a_name_is_found_where_it_is_open() {
        let pid = std::process::id().cast_signed();
        let mut unmapped = Unmapped::begin();
        let name = c"stt-unmapped";
        let fd = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::empty());
        let mut file = File::from(fd.unwrap());
        file.write_all(&vec![1; 64 << 20]).unwrap();
        let holder = Holder {
            pid,
            test: Some(3),
            resident: Bytes(0),
        };
        unmapped.least = Some(Bytes(0));
        let mut proc = Proc::default();
        let charges = unmapped.charges(&mut proc, &[holder], Bytes::mib(64));
        assert_eq!(charges.tests[&3], charges.all);
        assert!(
            (Bytes::mib(32)..=Bytes::mib(64)).contains(&charges.all),
            "{charges:?}"
        );
        drop(file);
        let charges = unmapped.charges(&mut proc, &[holder], Bytes::mib(64));
        assert!(charges.all < Bytes::mib(32), "{charges:?}");
    }
}
