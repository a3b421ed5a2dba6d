//! What is known of a binary from an earlier run: its tests, and the hash of its contents.
//!
//! One JSON file in the target directory, written and read by the same version only. Whatever is
//! wrong with it, nothing is lost but time.

use std::collections::BTreeMap;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use serde::Deserialize;
use serde::Serialize;
use twox_hash::XxHash3_128;

use super::binary::TestBinary;
use super::kept;
use super::list::Listing;

/// The version of the file's format, and of what a listing means.
const FORMAT: &str = concat!("2/", env!("CARGO_PKG_VERSION"));
/// How much of a file is hashed at once.
const PIECE: usize = 128 << 10;

/// Which contents a path stands for: a rebuilt binary has another key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheKey {
    path: Utf8PathBuf,
    stamp: Stamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    /// Since the epoch.
    mtime_ns: i64,
    inode: u64,
}

impl CacheKey {
    /// The key of the file that is at `path` now.
    ///
    /// # Errors
    /// The file's metadata can't be read; the error names it.
    pub fn of(path: &Utf8Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let seconds = metadata.mtime().saturating_mul(1_000_000_000);
        Ok(Self {
            path: path.to_owned(),
            stamp: Stamp {
                size: metadata.size(),
                mtime_ns: seconds.saturating_add(metadata.mtime_nsec()),
                inode: metadata.ino(),
            },
        })
    }

    /// The file's size in bytes.
    pub fn size(&self) -> u64 {
        self.stamp.size
    }

    /// When the file was last written, in nanoseconds since the epoch.
    pub fn mtime_ns(&self) -> i64 {
        self.stamp.mtime_ns
    }
}

/// What is known of binaries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    entries: BTreeMap<Utf8PathBuf, Entry>,
    changed: bool,
}

/// What is known of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    stamp: Stamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listing: Option<Listed>,
    /// In hexadecimal digits: JSON's numbers are smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
}

/// A listing, and on what it depends beside the binary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    call: String,
    listing: Listing,
}

impl Cache {
    /// What the file at `path` knows: nothing when it is absent, damaged or of another version.
    pub fn read(path: &Utf8Path) -> Self {
        Self {
            entries: kept::read(path, FORMAT),
            changed: false,
        }
    }

    /// Writes what is known to `path`, whose folder is made if need be, and leaves out what is known of
    /// files that have gone. Does nothing when nothing was learned.
    ///
    /// # Errors
    /// The file can't be written; the error names it.
    pub fn write(&mut self, path: &Utf8Path) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        self.entries.retain(|path, _| path.exists());
        kept::write(path, FORMAT, &self.entries)?;
        self.changed = false;
        Ok(())
    }

    /// The tests of `binary`, whose file has the key `key`.
    pub fn listing(&self, key: &CacheKey, binary: &TestBinary) -> Option<&Listing> {
        let listed = self.entry(key)?.listing.as_ref()?;
        (listed.call == call(binary)).then_some(&listed.listing)
    }

    /// Keeps a listing, if the same binary would give it again. `key` is from before the listing.
    pub fn keep_listing(&mut self, key: &CacheKey, binary: &TestBinary, listing: &Listing) {
        if listing.lasting {
            self.entry_mut(key).listing = Some(Listed {
                call: call(binary),
                listing: listing.clone(),
            });
        }
    }

    /// The hash of the contents that `key` stands for.
    pub fn hash(&self, key: &CacheKey) -> Option<u128> {
        u128::from_str_radix(self.entry(key)?.hash.as_ref()?, 16).ok()
    }

    /// Keeps a hash. `key` is from before the hashing.
    pub fn keep_hash(&mut self, key: &CacheKey, hash: u128) {
        self.entry_mut(key).hash = Some(format!("{hash:032x}"));
    }

    fn entry(&self, key: &CacheKey) -> Option<&Entry> {
        self.entries
            .get(&key.path)
            .filter(|entry| entry.stamp == key.stamp)
    }

    fn entry_mut(&mut self, key: &CacheKey) -> &mut Entry {
        self.changed = true;
        let fresh = || Entry {
            stamp: key.stamp,
            listing: None,
            hash: None,
        };
        let entry = self.entries.entry(key.path.clone()).or_insert_with(fresh);
        if entry.stamp != key.stamp {
            *entry = fresh();
        }
        entry
    }
}

/// How a binary is asked, as far as its file doesn't say.
fn call(binary: &TestBinary) -> String {
    format!(
        "{:?} {:?} {:?}",
        binary.harness, binary.target, binary.runner
    )
}

/// The hash of a file's contents: 128 bits of XXH3, in pieces, whatever the file's size.
///
/// # Errors
/// The file can't be read; the error names it.
pub fn hash_file(path: &Utf8Path) -> io::Result<u128> {
    let mut file = fs::File::open(path)?;
    let mut hasher = XxHash3_128::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hasher.finish_128()),
            Ok(count) => hasher.write(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::binary::tests::binary;
    use crate::discovery::list::ListedTest;
    use crate::discovery::list::Protocol;
    use crate::discovery::manifest::Harness;
    use crate::fs::write_atomic;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            Self { dir }
        }

        fn path(&self, name: &str) -> Utf8PathBuf {
            Utf8Path::from_path(self.dir.path()).unwrap().join(name)
        }

        fn file(&self, name: &str, contents: &str) -> Utf8PathBuf {
            let path = self.path(name);
            write_atomic(&path, contents.as_bytes()).unwrap();
            path
        }
    }

    fn listing(lasting: bool) -> Listing {
        let test = |name: &str, ignored, protocol| ListedTest {
            name: name.into(),
            ignored,
            bench: false,
            protocol,
        };
        Listing {
            tests: vec![
                test("a \"b\"", false, Protocol::Libtest),
                test("ü", true, Protocol::Libtest),
                test("c", false, Protocol::Opaque),
            ],
            lasting,
        }
    }

    #[test]
    fn what_was_kept_is_known_again() {
        let place = Place::new();
        let key = CacheKey::of(&place.file("bin", "1")).unwrap();
        let store = place.path("stt/listings.json");
        let binary = binary(Harness::Libtest, None);
        let mut cache = Cache::read(&store);
        assert_eq!(cache, Cache::default());
        cache.keep_listing(&key, &binary, &listing(true));
        cache.keep_hash(&key, u128::MAX - 7);
        cache.write(&store).unwrap();

        let again = Cache::read(&store);
        assert_eq!(again.listing(&key, &binary), Some(&listing(true)));
        assert_eq!(again.hash(&key), Some(u128::MAX - 7));
    }

    #[test]
    fn a_changed_file_runner_or_harness_is_not_known() {
        let place = Place::new();
        let path = place.file("bin", "1");
        let old = CacheKey::of(&path).unwrap();
        let plain = binary(Harness::Libtest, None);
        let mut cache = Cache::default();
        cache.keep_listing(&old, &plain, &listing(true));
        cache.keep_hash(&old, 7);
        assert_eq!(cache.listing(&old, &binary(Harness::Custom, None)), None);
        assert_eq!(
            cache.listing(&old, &binary(Harness::Libtest, Some(&["r"]))),
            None
        );

        // The same size; the replaced file has another inode.
        place.file("bin", "2");
        let new = CacheKey::of(&path).unwrap();
        assert_ne!(old, new);
        assert_eq!(cache.listing(&new, &plain), None);
        assert_eq!(cache.hash(&new), None);
        cache.keep_hash(&new, 8);
        assert_eq!(cache.hash(&new), Some(8));
        assert_eq!(
            cache.listing(&new, &plain),
            None,
            "the old listing has gone"
        );
    }

    #[test]
    fn what_may_change_by_itself_is_not_kept() {
        let place = Place::new();
        let key = CacheKey::of(&place.file("bin", "1")).unwrap();
        let mut cache = Cache::default();
        cache.keep_listing(&key, &binary(Harness::Custom, None), &listing(false));
        assert_eq!(cache, Cache::default());
    }

    #[test]
    fn files_that_have_gone_are_forgotten_and_nothing_new_writes_nothing() {
        let place = Place::new();
        let store = place.path("listings.json");
        let path = place.file("bin", "1");
        let kept = CacheKey::of(&place.file("kept", "1")).unwrap();
        let key = CacheKey::of(&path).unwrap();
        let mut cache = Cache::default();
        cache.write(&store).unwrap();
        assert!(!store.exists());
        cache.keep_hash(&key, 1);
        cache.keep_hash(&kept, 2);
        fs::remove_file(&path).unwrap();
        cache.write(&store).unwrap();
        let again = Cache::read(&store);
        assert_eq!((again.hash(&key), again.hash(&kept)), (None, Some(2)));
    }

    #[test]
    fn a_damaged_file_or_one_of_another_version_is_no_cache() {
        let place = Place::new();
        let store = place.path("listings.json");
        let key = CacheKey::of(&place.file("bin", "1")).unwrap();
        let mut cache = Cache::default();
        cache.keep_hash(&key, 1);
        cache.write(&store).unwrap();
        let good = fs::read_to_string(&store).unwrap();
        assert_ne!(Cache::read(&store), Cache::default());
        let other = good.replace(FORMAT, "0/0");
        let no_number = good.replace(&format!("{:032x}", 1), "zz");
        for text in [&good[..good.len() - 2], "", "\0", "[]", "{}", &other] {
            write_atomic(&store, text.as_bytes()).unwrap();
            assert_eq!(Cache::read(&store), Cache::default(), "{text}");
        }
        write_atomic(&store, no_number.as_bytes()).unwrap();
        assert_eq!(Cache::read(&store).hash(&key), None);
    }

    #[test]
    fn a_hash_in_pieces_is_the_hash_of_the_whole() {
        let place = Place::new();
        let contents = "0123456789".repeat(PIECE / 4);
        let path = place.file("big", &contents);
        let whole = XxHash3_128::oneshot(contents.as_bytes());
        assert_eq!(hash_file(&path).unwrap(), whole);
        assert_ne!(
            hash_file(&place.file("other", &contents[1..])).unwrap(),
            whole
        );
        let error = hash_file(&place.path("gone")).unwrap_err().to_string();
        assert!(error.contains("gone"), "{error}");
    }
}
