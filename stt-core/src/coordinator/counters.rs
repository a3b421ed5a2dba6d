//! What runs have done to this machine's peace since it was started: for `cargo stt status`.

use std::io;

use serde::Deserialize;
use serde::Serialize;

use super::directory::Directory;
use super::lock::keep_trying;

/// The file.
const COUNTERS: &str = "counters";

/// How often its lock is tried.
const TRIES: u32 = 20;

/// Counts since the boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Counters {
    /// Runs that the guard has ended.
    pub stops: u64,
    /// Runs that went on by themselves.
    pub restarts: u64,
    /// Runs whose runner was killed, and that were cleared up after.
    pub reaped_runs: u64,
    /// Processes that tests, or killed runs, had left behind.
    pub processes: u64,
    /// Ports that they held.
    pub ports: u64,
}

impl Counters {
    /// Both together.
    fn with(self, more: Self) -> Self {
        Self {
            stops: self.stops.saturating_add(more.stops),
            restarts: self.restarts.saturating_add(more.restarts),
            reaped_runs: self.reaped_runs.saturating_add(more.reaped_runs),
            processes: self.processes.saturating_add(more.processes),
            ports: self.ports.saturating_add(more.ports),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    boot: String,
    #[serde(flatten)]
    counters: Counters,
}

impl Directory {
    /// What has been counted since this boot. Nothing where nothing can be read.
    pub fn counters(&self, boot: &str) -> Counters {
        let text = self.read(COUNTERS).ok().flatten().unwrap_or_default();
        let document: Option<Document> = serde_json::from_slice(&text).ok();
        let document = document.filter(|document| document.boot == boot);
        document.map_or_else(Counters::default, |document| document.counters)
    }

    /// Counts.
    ///
    /// # Errors
    /// It can't be written, or somebody else has been counting for a tenth of a second.
    pub fn count(&self, boot: &str, more: Counters) -> io::Result<()> {
        if more == Counters::default() {
            return Ok(());
        }
        let gate = self.file_for_all("counting")?;
        keep_trying(TRIES, || gate.try_lock())?;
        let document = Document {
            boot: boot.to_owned(),
            counters: self.counters(boot).with(more),
        };
        self.replace(COUNTERS, &serde_json::to_vec(&document)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::Place;

    #[test]
    fn counts_add_up_and_end_with_the_boot() {
        let home = tempfile::tempdir().unwrap();
        let place = Place {
            runtime: None,
            temporary: home.path().to_path_buf().try_into().unwrap(),
        };
        let directory = Directory::open(&place).unwrap();
        assert_eq!(directory.counters("one"), Counters::default());
        let stop = Counters {
            stops: 1,
            ..Counters::default()
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| directory.count("one", stop).unwrap());
            }
        });
        assert_eq!(directory.counters("one").stops, 4);
        assert_eq!(directory.counters("two"), Counters::default());
        directory.count("two", stop).unwrap();
        assert_eq!(directory.counters("two").stops, 1);
    }
}
