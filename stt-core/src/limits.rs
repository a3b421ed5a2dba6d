//! What one test may use, and what it used. Pure.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::Bytes;
use crate::units::UnitError;
use crate::units::parse_thousandths;
use crate::units::show_duration;

/// A named set of limits for one test with its whole family. What is `None` is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The name, as `--limits` takes it.
    pub name: Arc<str>,
    /// Memory of the whole family.
    pub memory: Option<Bytes>,
    /// How many cores the family may use at once, in thousandths.
    pub cpu: Option<MilliCores>,
    /// CPU time of the whole family, user and system.
    pub cpu_time: Option<Duration>,
    /// Time from start to exit.
    pub time: Option<Duration>,
    /// Processes and threads of the family that live at once.
    pub processes: Option<u32>,
    /// Descriptors that one process may have open (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// The largest file that may be written (`RLIMIT_FSIZE`).
    pub file_size: Option<Bytes>,
    /// The largest core file (`RLIMIT_CORE`).
    pub core: Option<Bytes>,
    /// What the family may write to disks.
    pub written: Option<Bytes>,
}

/// A share of the machine's cores: 1,000 is one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MilliCores(pub u32);

impl FromStr for MilliCores {
    type Err = UnitError;

    /// Reads a number of cores, such as `0.5` or `2`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_thousandths(text, "a number of cores, such as 0.5 or 2").map(Self)
    }
}

impl fmt::Display for MilliCores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1000.0)
    }
}

/// The limit that a test hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LimitHit {
    /// The name of the set.
    pub limits: String,
    /// Which of its limits, how much that is, and what the test had used.
    pub exceeded: Exceeded,
    /// The container that had most of its memory, if that is what it exceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// A limit with what was used of it. `used` is what was read, which can be a little more than the limit
/// where the limit is watched, and is the limit itself where the kernel enforces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Exceeded {
    /// Memory of the family.
    Memory {
        /// The limit.
        limit: Bytes,
        /// The peak.
        used: Bytes,
    },
    /// CPU time of the family.
    CpuTime {
        /// The limit.
        #[serde(with = "crate::units::seconds")]
        limit: Duration,
        /// The time used.
        #[serde(with = "crate::units::seconds")]
        used: Duration,
    },
    /// Time from start to exit.
    Time {
        /// The limit.
        #[serde(with = "crate::units::seconds")]
        limit: Duration,
    },
    /// Processes and threads alive at once.
    Processes {
        /// The limit.
        limit: u32,
        /// The peak.
        used: u32,
    },
    /// The size of one file.
    FileSize {
        /// The limit.
        limit: Bytes,
    },
    /// Bytes written to disks.
    Written {
        /// The limit.
        limit: Bytes,
        /// The bytes written.
        used: Bytes,
    },
}

impl fmt::Display for LimitHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.exceeded {
            Exceeded::Memory { limit, used } => {
                over(f, "used", "of memory", used, limit)?;
            }
            Exceeded::CpuTime { limit, used } => {
                let (used, limit) = (show_duration(*used), show_duration(*limit));
                over(f, "used", "of CPU time", &used, &limit)?;
            }
            Exceeded::Time { limit } => {
                write!(f, "ran longer than its limit of {}", show_duration(*limit))?;
            }
            Exceeded::Processes { limit, used } => {
                write!(
                    f,
                    "had {used} processes and threads, over its limit of {limit}"
                )?;
            }
            Exceeded::FileSize { limit } => {
                write!(f, "wrote a file larger than its limit of {limit}")?;
            }
            Exceeded::Written { limit, used } => {
                over(f, "wrote", "to disk", used, limit)?;
            }
        }
        if let Some(container) = &self.container {
            write!(f, ", most of it in {container}")?;
        }
        write!(f, " (limits `{}`)", self.limits)
    }
}

/// Writes what was used and what the limit is; as one amount where a person would see the same twice.
fn over(
    f: &mut fmt::Formatter<'_>,
    verb: &str,
    what: &str,
    used: &dyn fmt::Display,
    limit: &dyn fmt::Display,
) -> fmt::Result {
    let (used, limit) = (used.to_string(), limit.to_string());
    if used == limit {
        write!(f, "{verb} more than its limit of {limit} {what}")
    } else {
        write!(f, "{verb} {used} {what}, over its limit of {limit}")
    }
}

/// What a test used with its whole family. `None` is unknown and never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU time, user and system.
    pub cpu: Duration,
    /// The peak of its memory: of the family where that was read, else the largest resident set of one
    /// process of it.
    pub peak_memory: Bytes,
    /// The most processes and threads at once.
    pub processes: Option<u32>,
    /// Bytes read from disks.
    pub read: Option<Bytes>,
    /// Bytes written to disks.
    pub written: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_read_in_thousandths() {
        for (text, milli) in [("0.5", 500), ("2", 2000), ("0.001", 1), ("64.25", 64_250)] {
            let cores: MilliCores = text.parse().unwrap();
            assert_eq!(cores, MilliCores(milli));
            assert_eq!(cores.to_string(), text);
        }
        for text in ["", "-1", "1e3", "inf", "2 cores", ".5", "5000000"] {
            assert!(text.parse::<MilliCores>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_hit_says_what_and_by_how_much() {
        let hit = LimitHit {
            limits: "fast".to_owned(),
            exceeded: Exceeded::Memory {
                limit: Bytes::mib(128),
                used: Bytes::mib(140),
            },
            container: None,
        };
        assert_eq!(
            hit.to_string(),
            "used 140 MiB of memory, over its limit of 128 MiB (limits `fast`)"
        );
        let in_container = LimitHit {
            container: Some("container ab12 db".to_owned()),
            ..hit.clone()
        };
        assert_eq!(
            in_container.to_string(),
            "used 140 MiB of memory, over its limit of 128 MiB, most of it in container ab12 db (limits `fast`)"
        );
        let close = LimitHit {
            limits: "fast".to_owned(),
            exceeded: Exceeded::Written {
                limit: Bytes::mib(2),
                used: Bytes((2 << 20) + 1),
            },
            container: None,
        };
        assert_eq!(
            close.to_string(),
            "wrote more than its limit of 2 MiB to disk (limits `fast`)"
        );
        let text = serde_json::to_string(&hit).unwrap();
        assert_eq!(serde_json::from_str::<LimitHit>(&text).unwrap(), hit);
    }
}
