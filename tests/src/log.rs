//! The log that the tests of some fixtures write: an oracle beside what the runner says of itself.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use fs_err as fs;

/// A log of one leg.
#[derive(Clone, Debug)]
pub struct Log {
    /// Where it is.
    pub path: Utf8PathBuf,
}

impl Log {
    /// How often each test was started, by `(binary, name)`, where the name is the function's.
    pub fn starts(&self) -> BTreeMap<(String, String), usize> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let mut starts = BTreeMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, binary, name, _pid] = words[..] else {
                panic!("a line of the log is broken: {line}");
            };
            if what == "start" {
                *starts
                    .entry((binary.to_owned(), name.to_owned()))
                    .or_default() += 1;
            }
        }
        starts
    }

    /// How often the test with this function name was started.
    pub fn count(&self, name: &str) -> usize {
        let starts = self.starts();
        starts
            .iter()
            .filter(|((_, test), _)| test == name)
            .map(|(_, count)| count)
            .sum()
    }
}
