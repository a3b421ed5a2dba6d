//! What an engine says a container uses. Pure.

use std::time::Duration;

use serde::Deserialize;

use crate::units::Bytes;

/// What a container uses, in its engine's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What the kernel can't take back at once: pages that are in no file, and files in memory.
    pub(super) memory: Bytes,
    /// CPU time since it was started.
    pub(super) cpu: Duration,
}

/// What an engine says of a container when it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Said {
    /// It was not asked, or has not answered.
    #[default]
    Nothing,
    /// The container does not run.
    Rests,
    /// It runs; with what it uses, where the engine tells that.
    Runs(Option<Figures>),
}

#[derive(Deserialize)]
struct Stats {
    cpu_stats: Cpu,
    memory_stats: Memory,
}

#[derive(Deserialize)]
struct Cpu {
    cpu_usage: Usage,
}

#[derive(Deserialize)]
struct Usage {
    /// Nanoseconds.
    total_usage: u64,
}

#[derive(Deserialize)]
struct Memory {
    stats: Option<Kinds>,
}

/// Kinds of pages, in bytes: version 2's, and version 1's with all groups below.
#[derive(Deserialize)]
struct Kinds {
    anon: Option<u64>,
    shmem: Option<u64>,
    total_active_anon: Option<u64>,
    total_inactive_anon: Option<u64>,
}

/// Reads an answer about a container that runs (Docker Engine API, `ContainerStats`). `None` where it does not tell one
/// kind of memory from another, as Podman's: the page cache counts in the sum of all, and can be taken back.
pub(super) fn figures(body: &[u8]) -> Option<Figures> {
    let stats: Stats = serde_json::from_slice(body).ok()?;
    let kinds = stats.memory_stats.stats?;
    // Version 1 has no number for files in memory; they are on the lists of what is in no file.
    let old = || Some(kinds.total_active_anon? + kinds.total_inactive_anon?);
    let new = || Some(kinds.anon? + kinds.shmem.unwrap_or_default());
    Some(Figures {
        memory: Bytes(new().or_else(old)?),
        cpu: Duration::from_nanos(stats.cpu_stats.cpu_usage.total_usage),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(memory: &str) -> Option<Figures> {
        let text = format!(
            r#"{{"read":"x","cpu_stats":{{"cpu_usage":{{"total_usage":7000}}}},"memory_stats":{memory}}}"#
        );
        figures(text.as_bytes())
    }

    #[test]
    fn what_can_not_be_taken_back_counts() {
        let expected = Figures {
            memory: Bytes(5),
            cpu: Duration::from_micros(7),
        };
        for memory in [
            r#"{"usage":90,"stats":{"anon":3,"shmem":2,"file":80}}"#,
            r#"{"usage":90,"stats":{"anon":5}}"#,
            r#"{"usage":90,"stats":{"total_active_anon":1,"total_inactive_anon":4,"total_rss":4,"rss":1}}"#,
        ] {
            assert_eq!(read(memory), Some(expected), "{memory}");
        }
    }

    #[test]
    fn what_does_not_tell_is_nothing() {
        for memory in [r#"{"usage":90}"#, "{}", r#"{"stats":{}}"#, "[]"] {
            assert_eq!(read(memory), None, "{memory}");
        }
        assert_eq!(figures(b"no container"), None);
    }
}
