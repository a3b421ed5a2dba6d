//! Whether a test binary is still the one whose results were recorded.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use crate::id::BinaryId;

/// A hash of some content, 128 bits of XXH3: it tells builds apart, and is no protection against
/// somebody who forges one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash(u128);

impl ContentHash {
    /// A hash that was computed elsewhere.
    pub fn new(hash: u128) -> Self {
        Self(hash)
    }

    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(XxHash3_128::oneshot(bytes))
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
    /// When it was last written, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// The hash of its content.
    pub hash: ContentHash,
}

impl Fingerprint {
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
    fn only_the_content_counts() {
        let first = Fingerprint {
            size: 7,
            mtime_ns: 1,
            hash: ContentHash::new(5),
        };
        let rebuilt = Fingerprint {
            mtime_ns: 2,
            ..first
        };
        assert!(first.same_content(&rebuilt));
        let other = Fingerprint {
            hash: ContentHash::new(6),
            ..first
        };
        assert!(!first.same_content(&other));
    }
}
