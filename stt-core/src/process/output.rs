//! What a child prints: kept within bounds in memory, and whole in a file as far as that may grow.

use std::io;
use std::io::Write as _;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;

use crate::units::Bytes;

/// Takes a child's output as it comes.
pub trait OutputSink {
    /// The next bytes of standard output.
    fn stdout(&mut self, bytes: &[u8]);
    /// The next bytes of standard error.
    fn stderr(&mut self, bytes: &[u8]);
}

/// Both streams in memory, as far as they are of use.
#[derive(Debug)]
pub struct Collected {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// The most bytes that are kept of each.
    most: usize,
}

impl Collected {
    /// Keeps so many bytes of each stream.
    pub(super) fn up_to(most: usize) -> Self {
        Self {
            stdout: Vec::new(),
            stderr: Vec::new(),
            most,
        }
    }
}

impl Default for Collected {
    /// Keeps more than any listing or metadata has, and less than would hurt.
    fn default() -> Self {
        Self::up_to(256 << 20)
    }
}

impl OutputSink for Collected {
    fn stdout(&mut self, bytes: &[u8]) {
        append(&mut self.stdout, bytes, self.most);
    }

    fn stderr(&mut self, bytes: &[u8]) {
        append(&mut self.stderr, bytes, self.most);
    }
}

fn append(kept: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let room = most.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// How much of each of the two streams is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In memory, half from the head and half from the tail.
    pub keep: Bytes,
    /// In a file, once memory does not hold it; zero for no file.
    pub spill: Bytes,
}

/// One stream as it was kept: all of it, or its head and its tail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The first bytes, as they came.
    pub head: Vec<u8>,
    /// How many bytes between head and tail are not here.
    pub omitted: u64,
    /// The last bytes.
    pub tail: Vec<u8>,
    /// The file that holds the whole stream, up to the limit for such files. It belongs to whoever
    /// took this.
    pub spilled: Option<Utf8PathBuf>,
}

/// Both streams as they were kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Kept,
    /// Standard error.
    pub stderr: Kept,
    /// What went wrong with a spill file; the test is not affected.
    pub note: Option<String>,
}

/// Keeps the output of one child after the other, within [`Limits`].
///
/// Memory is taken as output comes, and used again for the next child. A spill file that was not
/// taken is removed with the output it belongs to.
#[derive(Debug)]
pub struct Capture {
    stdout: Stream,
    stderr: Stream,
    files: Files,
    note: Option<String>,
}

/// Where spill files go, and how they are called.
#[derive(Debug)]
struct Files {
    dir: Utf8PathBuf,
    name: String,
    limit: Bytes,
    count: u64,
}

impl Capture {
    /// A capture whose spill files are called after `name` in the directory `dir`, which is made when
    /// the first of them is needed. Two captures of one directory need two names.
    pub fn new(limits: Limits, dir: Utf8PathBuf, name: impl Into<String>) -> Self {
        Self {
            stdout: Stream::new(limits.keep),
            stderr: Stream::new(limits.keep),
            files: Files {
                dir,
                name: name.into(),
                limit: limits.spill,
                count: 0,
            },
            note: None,
        }
    }

    /// Hands out what was kept, and is ready for the next child.
    pub fn take(&mut self) -> Output {
        Output {
            stdout: self.stdout.take(),
            stderr: self.stderr.take(),
            note: self.note.take(),
        }
    }

    /// What was printed first on standard output.
    pub fn first_of_stdout(&self) -> &[u8] {
        &self.stdout.head
    }

    /// Forgets what was kept, removes its spill files, and is ready for the next child.
    pub fn reset(&mut self) {
        self.stdout.reset();
        self.stderr.reset();
        self.note = None;
    }

    /// Keeps the first thing that went wrong.
    fn note(&mut self, pushed: io::Result<()>) {
        if let Err(error) = pushed {
            self.note.get_or_insert_with(|| {
                format!("the output was not written to a file as a whole: {error}")
            });
        }
    }
}

impl OutputSink for Capture {
    fn stdout(&mut self, bytes: &[u8]) {
        let pushed = self.stdout.push(bytes, &mut self.files);
        self.note(pushed);
    }

    fn stderr(&mut self, bytes: &[u8]) {
        let pushed = self.stderr.push(bytes, &mut self.files);
        self.note(pushed);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.reset();
    }
}

impl Files {
    /// Makes the next file. It is new, and for its owner only: what a test prints may be secret, and
    /// a link that somebody else has put in its place must not be followed.
    fn create(&mut self) -> io::Result<SpillFile> {
        fs::create_dir_all(&self.dir)?;
        loop {
            self.count += 1;
            let path = self.dir.join(format!("{}-{}.out", self.name, self.count));
            let opened = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path);
            match opened {
                // An earlier leg of the run has written it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => {
                    return Ok(SpillFile {
                        file: opened?,
                        path,
                        room: self.limit.0,
                    });
                }
            }
        }
    }
}

/// One stream: a head that fills first, then a ring that always holds the last bytes.
#[derive(Debug)]
struct Stream {
    head: Vec<u8>,
    head_limit: usize,
    ring: Vec<u8>,
    ring_limit: usize,
    /// Where the oldest byte of a full ring is.
    oldest: usize,
    total: u64,
    spill: Spill,
}

#[derive(Debug)]
enum Spill {
    /// Memory still holds everything.
    NotNeeded,
    /// The file has everything so far, up to its limit.
    Open(SpillFile),
    /// There is no file for this output, because none is wanted or because it failed.
    Without,
}

#[derive(Debug)]
struct SpillFile {
    file: fs::File,
    path: Utf8PathBuf,
    room: u64,
}

impl SpillFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fits = usize::try_from(self.room).map_or(bytes.len(), |room| room.min(bytes.len()));
        self.room -= fits as u64;
        self.file.write_all(&bytes[..fits])
    }
}

impl Stream {
    fn new(keep: Bytes) -> Self {
        let keep = usize::try_from(keep.0).unwrap_or(usize::MAX);
        Self {
            head: Vec::new(),
            head_limit: keep / 2,
            ring: Vec::new(),
            ring_limit: keep - keep / 2,
            oldest: 0,
            total: 0,
            spill: Spill::NotNeeded,
        }
    }

    fn push(&mut self, bytes: &[u8], files: &mut Files) -> io::Result<()> {
        let spilled = self.spill(bytes, files);
        self.total += bytes.len() as u64;
        let to_head = bytes.len().min(self.head_limit - self.head.len());
        self.head.extend_from_slice(&bytes[..to_head]);
        self.push_ring(&bytes[to_head..]);
        if let Err(error) = spilled {
            // A part of the output would pass for the whole of it, and a full disk needs the room.
            self.remove_file();
            self.spill = Spill::Without;
            return Err(error);
        }
        Ok(())
    }

    /// Writes the bytes to the file, if there is one or has to be one now.
    fn spill(&mut self, bytes: &[u8], files: &mut Files) -> io::Result<()> {
        match &mut self.spill {
            Spill::Open(file) => file.write(bytes),
            Spill::Without => Ok(()),
            Spill::NotNeeded => {
                let held = self.head.len() + self.ring.len();
                if held + bytes.len() <= self.head_limit.saturating_add(self.ring_limit) {
                    return Ok(());
                }
                self.spill = Spill::Without;
                if files.limit.0 == 0 {
                    return Ok(());
                }
                let mut file = files.create()?;
                let written = file
                    .write(&self.head)
                    .and_then(|()| file.write(&self.ring))
                    .and_then(|()| file.write(bytes));
                self.spill = Spill::Open(file);
                written
            }
        }
    }

    fn push_ring(&mut self, bytes: &[u8]) {
        // What would be overwritten within this call need not be written at all.
        let bytes = &bytes[bytes.len().saturating_sub(self.ring_limit)..];
        let to_end = bytes.len().min(self.ring_limit - self.ring.len());
        let (appended, mut rest) = bytes.split_at(to_end);
        self.ring.extend_from_slice(appended);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.ring_limit - self.oldest));
            self.ring[self.oldest..self.oldest + now.len()].copy_from_slice(now);
            self.oldest = (self.oldest + now.len()) % self.ring_limit;
            rest = later;
        }
    }

    fn take(&mut self) -> Kept {
        let mut head = std::mem::take(&mut self.head);
        let mut tail = std::mem::take(&mut self.ring);
        tail.rotate_left(self.oldest);
        let omitted = self.total - (head.len() + tail.len()) as u64;
        if omitted == 0 {
            head.append(&mut tail);
        }
        let spill = std::mem::replace(&mut self.spill, Spill::NotNeeded);
        let spilled = match spill {
            Spill::Open(file) => Some(file.path),
            Spill::NotNeeded | Spill::Without => None,
        };
        self.reset();
        Kept {
            head,
            omitted,
            tail,
            spilled,
        }
    }

    fn reset(&mut self) {
        self.remove_file();
        self.head.clear();
        self.ring.clear();
        self.oldest = 0;
        self.total = 0;
        self.spill = Spill::NotNeeded;
    }

    fn remove_file(&self) {
        if let Spill::Open(SpillFile { path, .. }) = &self.spill {
            remove(path);
        }
    }
}

/// Removes a spill file. That it can't be removed is no reason to fail a test for it: it is in the
/// run's own directory, which is removed as a whole.
fn remove(path: &Utf8Path) {
    drop(fs::remove_file(path));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn capture(dir: &tempfile::TempDir, keep: u64, spill: u64) -> Capture {
        let dir = Utf8Path::from_path(dir.path()).unwrap().join("spill");
        let limits = Limits {
            keep: Bytes(keep),
            spill: Bytes(spill),
        };
        Capture::new(limits, dir, "slot-0")
    }

    fn files(dir: &tempfile::TempDir) -> usize {
        fs::read_dir(dir.path().join("spill")).map_or(0, Iterator::count)
    }

    #[test]
    fn what_fits_is_kept_as_it_came_and_no_file_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let mut capture = capture(&dir, 8, 100);
        capture.stdout(b"abc");
        capture.stdout(b"\xff\0fgh");
        let output = capture.take();
        assert_eq!(output.stdout.head, b"abc\xff\0fgh");
        assert_eq!((output.stdout.omitted, files(&dir)), (0, 0));
        assert_eq!(output.stderr, Kept::default());
        assert_eq!(capture.take(), Output::default());
    }

    #[test]
    fn what_does_not_fit_is_whole_in_a_file_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let mut capture = capture(&dir, 8, 11);
        for chunk in [&b"01234"[..], b"56789abcdef", b"g"] {
            capture.stderr(chunk);
        }
        let kept = capture.take().stderr;
        assert_eq!(
            (&kept.head[..], &kept.tail[..]),
            (&b"0123"[..], &b"defg"[..])
        );
        assert_eq!(kept.omitted, 9);
        let path = kept.spilled.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"0123456789a");
        capture.reset();
        assert!(path.exists(), "what was taken belongs to the taker");
    }

    #[test]
    fn what_an_earlier_leg_has_written_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let spilled = |bytes: &[u8]| {
            // A leg counts from the beginning.
            let mut capture = capture(&dir, 2, 100);
            capture.stdout(bytes);
            let output = capture.take();
            assert_eq!(output.note, None);
            output.stdout.spilled.unwrap()
        };
        let (first, second) = (spilled(b"first"), spilled(b"second"));
        assert_eq!(fs::read(first).unwrap(), b"first");
        assert_eq!(fs::read(second).unwrap(), b"second");
    }

    #[test]
    fn discarded_output_takes_its_file_along() {
        let dir = tempfile::tempdir().unwrap();
        let mut capture = capture(&dir, 4, 100);
        capture.stdout(b"0123456789");
        assert_eq!(files(&dir), 1);
        capture.reset();
        assert_eq!(files(&dir), 0);
        capture.stdout(b"0123456789");
        assert_eq!(files(&dir), 1);
        drop(capture);
        assert_eq!(files(&dir), 0);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_a_note_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("spill"),
            "a file where the directory should be",
        )
        .unwrap();
        let mut capture = capture(&dir, 4, 100);
        capture.stdout(b"0123456789");
        capture.stdout(b"ab");
        let output = capture.take();
        assert_eq!(output.stdout.head, b"01");
        assert_eq!(output.stdout.tail, b"ab");
        assert_eq!((output.stdout.omitted, output.stdout.spilled), (8, None));
        let note = output.note.unwrap();
        assert!(note.contains("spill"), "{note}");
    }

    #[test]
    fn a_full_disk_is_a_note_and_leaves_no_part_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut capture = capture(&dir, 4, 100);
        capture.stdout(b"0123456789");
        // /dev/full answers every write with ENOSPC (full(4)).
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        match &mut capture.stdout.spill {
            Spill::Open(file) => file.file = full,
            other @ (Spill::NotNeeded | Spill::Without) => panic!("{other:?}"),
        }
        capture.stdout(b"ab");
        assert_eq!(files(&dir), 0);
        let output = capture.take();
        assert_eq!(
            (output.stdout.tail, output.stdout.omitted),
            (b"ab".to_vec(), 8)
        );
        assert!(output.note.is_some() && output.stdout.spilled.is_none());
    }

    proptest! {
        /// Head, tail and the count between them always add up to what was printed, and the file is
        /// its beginning.
        #[test]
        fn nothing_is_lost_or_made_up(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..12),
            keep in 0..40_u64,
            spill in 0..80_u64,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut capture = capture(&dir, keep, spill);
            for chunk in &chunks {
                capture.stdout(chunk);
            }
            let all = chunks.concat();
            let kept = capture.take().stdout;
            let omitted = usize::try_from(kept.omitted).unwrap();
            prop_assert_eq!(kept.head.len() + omitted + kept.tail.len(), all.len());
            prop_assert!(all.starts_with(&kept.head) && all.ends_with(&kept.tail));
            prop_assert!((kept.head.len() + kept.tail.len()) as u64 <= keep);
            prop_assert_eq!(omitted == 0, all.len() as u64 <= keep);
            match kept.spilled {
                Some(path) => {
                    let size = all.len().min(usize::try_from(spill).unwrap());
                    prop_assert_eq!(fs::read(path).unwrap(), &all[..size]);
                }
                None => prop_assert!(spill == 0 || omitted == 0),
            }
        }
    }
}
