//! Whether a test binary is still the one whose results were recorded.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::str::FromStr;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use crate::id::BinaryId;

/// A hash of some content, 128 bits of XXH3: it tells builds apart, and is no protection against
/// somebody who forges one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash(u128);

impl ContentHash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(XxHash3_128::oneshot(bytes))
    }

    /// The hash of all that `reader` yields, with bounded memory.
    fn of_reader(mut reader: impl io::Read) -> io::Result<Self> {
        let mut hasher = XxHash3_128::new();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(Self(hasher.finish_128())),
                Ok(count) => hasher.write(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The text is no hash as this file writes them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 32 lower-case hexadecimal digits")]
pub struct ContentHashError;

impl FromStr for ContentHash {
    type Err = ContentHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(digits) {
            return Err(ContentHashError);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| ContentHashError)
    }
}

impl TryFrom<String> for ContentHash {
    type Error = ContentHashError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.to_string()
    }
}

/// What is known of a binary's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written: seconds since 1970 and nanoseconds, as `stat(2)` has them.
    pub mtime: (i64, i64),
    /// The hash of its content.
    pub hash: ContentHash,
}

impl Fingerprint {
    /// Takes the fingerprint of a file. With a `known` one of the same size and time its hash is
    /// taken over, and the content is not read.
    ///
    /// # Errors
    /// The file can't be read. The error does not name it.
    pub fn read(path: &Utf8Path, known: Option<&Self>) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let size = metadata.len();
        let mtime = (metadata.mtime(), metadata.mtime_nsec());
        let hash = match known {
            Some(known) if known.size == size && known.mtime == mtime => known.hash,
            Some(_) | None => ContentHash::of_reader(file)?,
        };
        Ok(Self { size, mtime, hash })
    }

    /// Whether both are of the same content. Size and time don't count: a rebuilt binary that came
    /// out identical is the same.
    pub fn same_content(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

/// A test binary of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinaryRecord {
    /// Its id.
    pub id: BinaryId,
    /// What its results were obtained with.
    pub fingerprint: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err as fs;

    #[test]
    fn a_hash_is_kept_as_32_digits() {
        let hash = ContentHash::of(b"");
        // The published XXH3 value of no input, seed 0: it holds the format fixed over versions.
        assert_eq!(hash.to_string(), "99aa06d3014798d86001c324468d497f");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for text in [
            "",
            "0",
            "99AA06D3014798D86001C324468D497F",
            "+".repeat(32).as_str(),
        ] {
            assert_eq!(text.parse::<ContentHash>(), Err(ContentHashError), "{text}");
        }
    }

    #[test]
    fn a_rebuilt_but_identical_file_has_the_same_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("binary");
        let content = vec![7; 600_000];
        fs::write(&path, &content).unwrap();
        let first = Fingerprint::read(&path, None).unwrap();
        assert_eq!(first.hash, ContentHash::of(&content));

        fs::remove_file(&path).unwrap();
        fs::write(&path, &content).unwrap();
        let again = Fingerprint::read(&path, Some(&first)).unwrap();
        assert!(first.same_content(&again));

        fs::write(&path, b"other").unwrap();
        let other = Fingerprint::read(&path, Some(&first)).unwrap();
        assert!(!first.same_content(&other));
    }

    #[test]
    fn the_content_is_read_only_when_size_or_time_differ() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("binary");
        fs::write(&path, b"content").unwrap();
        let real = Fingerprint::read(&path, None).unwrap();
        let marked = Fingerprint {
            hash: ContentHash::of(b"a mark"),
            ..real
        };
        assert_eq!(Fingerprint::read(&path, Some(&marked)).unwrap(), marked);
        for stale in [
            Fingerprint {
                size: real.size + 1,
                ..marked
            },
            Fingerprint {
                mtime: (real.mtime.0 - 1, real.mtime.1),
                ..marked
            },
        ] {
            assert_eq!(Fingerprint::read(&path, Some(&stale)).unwrap(), real);
        }
    }
}
