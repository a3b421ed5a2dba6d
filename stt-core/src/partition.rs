//! A part of the selected tests, for several machines that run one part each. Pure.
//!
//! The parts are nextest's (<https://nexte.st/docs/ci-features/partitioning/>), so that both runners put a test
//! into the same one.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use crate::id::BinaryId;

/// One of several parts of the selected tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Partition {
    /// How tests are divided.
    pub by: PartitionBy,
    /// Which of the parts, from 1.
    pub part: NonZeroU64,
    /// How many parts there are.
    pub of: NonZeroU64,
}

/// How tests are divided into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartitionBy {
    /// By the test's name alone: a test stays in its part whatever else there is.
    Hash,
    /// One after the other, over all binaries.
    Slice,
    /// One after the other, in each binary from the beginning.
    Count,
}

const KINDS: [(&str, PartitionBy); 3] = [
    ("hash", PartitionBy::Hash),
    ("slice", PartitionBy::Slice),
    ("count", PartitionBy::Count),
];

/// The text names no part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; expected hash:M/N, slice:M/N or count:M/N for part M of N, such as slice:1/3")]
pub struct PartitionError(String);

impl Partition {
    /// A part by its number from 1; `None` where there is no such part.
    pub fn new(by: PartitionBy, part: u64, of: u64) -> Option<Self> {
        let (part, of) = (NonZeroU64::new(part)?, NonZeroU64::new(of)?);
        (part <= of).then_some(Self { by, part, of })
    }
}

impl FromStr for Partition {
    type Err = PartitionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |what: &str| PartitionError(what.to_owned());
        let (kind, shard) = text
            .split_once(':')
            .ok_or_else(|| wrong("there is no `:` in it"))?;
        let known = KINDS.iter().find(|(name, _)| *name == kind);
        let &(_, by) = known.ok_or_else(|| wrong("tests can't be divided like that"))?;
        let (part, of) = shard
            .split_once('/')
            .ok_or_else(|| wrong("there is no `/` in it"))?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.then(|| text.parse().ok()).flatten();
            number.ok_or_else(|| wrong("M and N are numbers"))
        };
        let (part, of) = (number(part)?, number(of)?);
        Self::new(by, part, of).ok_or_else(|| wrong("M is between 1 and N"))
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = KINDS.iter().find(|(_, by)| *by == self.by);
        let kind = known.map_or("", |(name, _)| name);
        write!(f, "{kind}:{}/{}", self.part, self.of)
    }
}

impl TryFrom<String> for Partition {
    type Error = PartitionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Partition> for String {
    fn from(partition: Partition) -> Self {
        partition.to_string()
    }
}

/// Deals tests out, one after the other, in the order of their binaries' ids and of their names. Ignored ones are
/// dealt out by themselves, so that it makes no difference to the others whether they run.
#[derive(Debug)]
pub struct Dealer {
    partition: Partition,
    /// How many tests were dealt out, and how many ignored ones.
    dealt: [u64; 2],
}

impl Dealer {
    /// Nothing is dealt out yet.
    pub fn new(partition: Partition) -> Self {
        Self {
            partition,
            dealt: [0; 2],
        }
    }

    /// The tests that follow are those of another binary.
    pub fn next_binary(&mut self) {
        match self.partition.by {
            PartitionBy::Count => self.dealt = [0; 2],
            PartitionBy::Hash | PartitionBy::Slice => {}
        }
    }

    /// Whether the next test is in our part.
    pub fn is_ours(&mut self, name: &str, ignored: bool) -> bool {
        let number = match self.partition.by {
            PartitionBy::Hash => hash(name),
            PartitionBy::Slice | PartitionBy::Count => {
                let dealt = &mut self.dealt[usize::from(ignored)];
                let number = *dealt;
                *dealt += 1;
                number
            }
        };
        number % self.partition.of == self.partition.part.get() - 1
    }
}

/// The order of binaries: the package, then its library, what has a name only, and what has a kind.
pub fn sort_key(id: &BinaryId) -> (&str, u8, &str, &str) {
    match id.as_str().split_once("::") {
        None => (id.as_str(), 0, "", ""),
        Some((package, rest)) => match rest.split_once('/') {
            None => (package, 1, "", rest),
            Some((kind, name)) => (package, 2, kind, name),
        },
    }
}

/// The number of a name: XXH64 with the seed 0, as nextest 0.9.143 has it (older ones had hashed a byte 0xff more).
fn hash(name: &str) -> u64 {
    XxHash64::oneshot(0, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition(text: &str) -> Partition {
        text.parse().unwrap()
    }

    #[test]
    fn a_partition_is_read_as_it_is_shown() {
        for text in ["hash:1/1", "slice:2/3", "count:10/10"] {
            assert_eq!(partition(text).to_string(), text);
            let json = format!("\"{text}\"");
            assert_eq!(serde_json::to_string(&partition(text)).unwrap(), json);
            assert_eq!(
                serde_json::from_str::<Partition>(&json).unwrap(),
                partition(text)
            );
        }
    }

    #[test]
    fn what_is_no_partition_is_refused() {
        for (text, why) in [
            ("", "no `:`"),
            ("1/3", "no `:`"),
            ("hash", "no `:`"),
            ("md5:1/3", "can't be divided"),
            ("Hash:1/3", "can't be divided"),
            ("hash:1", "no `/`"),
            ("hash:/", "are numbers"),
            ("hash:+1/3", "are numbers"),
            ("hash:1/3/4", "are numbers"),
            ("hash:1/99999999999999999999", "are numbers"),
            ("hash:0/3", "between 1 and N"),
            ("hash:4/3", "between 1 and N"),
            ("hash:0/0", "between 1 and N"),
        ] {
            let refused = text.parse::<Partition>().unwrap_err().to_string();
            assert!(refused.contains(why), "{text}: {refused}");
            let json = format!("\"{text}\"");
            assert!(serde_json::from_str::<Partition>(&json).is_err(), "{text}");
        }
    }

    #[test]
    fn tests_are_dealt_out_one_after_the_other() {
        let ours = |text: &str| {
            let mut dealer = Dealer::new(partition(text));
            let mut ours = Vec::new();
            for binary in 0..2 {
                dealer.next_binary();
                for test in 0..5 {
                    let ignored = test == 1;
                    if dealer.is_ours("t", ignored) {
                        ours.push((binary, test));
                    }
                }
            }
            ours
        };
        assert_eq!(ours("slice:1/3"), [(0, 0), (0, 1), (0, 4), (1, 3)]);
        assert_eq!(ours("slice:2/3"), [(0, 2), (1, 0), (1, 1), (1, 4)]);
        assert_eq!(
            ours("count:1/3"),
            [(0, 0), (0, 1), (0, 4), (1, 0), (1, 1), (1, 4)]
        );
        assert_eq!(ours("count:2/3"), [(0, 2), (1, 2)]);
    }

    proptest! {
        #[test]
        fn each_test_is_in_exactly_one_part(
            kind in 0_usize..3,
            of in 1_u64..8,
            tests in prop::collection::vec(("[a-c:]{1,4}", any::<bool>(), any::<bool>()), 0..40),
        ) {
            let mut dealers: Vec<_> = (1..=of)
                .map(|part| Dealer::new(Partition::new(KINDS[kind].1, part, of).unwrap()))
                .collect();
            for (name, ignored, other_binary) in tests {
                let mut owners = 0;
                for dealer in &mut dealers {
                    if other_binary {
                        dealer.next_binary();
                    }
                    owners += u32::from(dealer.is_ours(&name, ignored));
                }
                prop_assert_eq!(owners, 1);
            }
        }
    }
}
