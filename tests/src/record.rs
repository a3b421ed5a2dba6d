//! What a checkpoint holds, read as any other program would read it: as JSON.

use std::collections::BTreeSet;

use camino::Utf8Path;
use fs_err as fs;
use serde_json::Value;

use crate::report::Results;
use crate::report::id_of;

/// A checkpoint.
#[derive(Clone, Debug)]
pub struct Record {
    /// The whole file.
    pub json: Value,
}

impl Record {
    /// Reads the file at `path`, which must be valid JSON.
    pub fn read(path: &Utf8Path) -> Self {
        let text = fs::read_to_string(path).expect("the checkpoint is a readable text");
        let json = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{path} is no JSON ({error}):\n{text}"));
        Self { json }
    }

    /// Reads the file as a SIGKILL may have left it: the last line may be torn or the closing missing.
    pub fn read_torn(path: &Utf8Path) -> Self {
        let text = fs::read_to_string(path).expect("the checkpoint is a readable text");
        let whole = || {
            let end = text.rfind('\n')?;
            let kept = text[..end].trim_end().trim_end_matches("]}").trim_end();
            serde_json::from_str(&format!("{}\n]}}", kept.trim_end_matches(','))).ok()
        };
        let json = serde_json::from_str(&text).ok().or_else(whole);
        Self {
            json: json.unwrap_or_else(|| panic!("{path} holds no whole line:\n{text}")),
        }
    }

    /// The entries of one kind.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        let entries = self.json["results"]
            .as_array()
            .expect("a checkpoint has results");
        entries.iter().filter(move |entry| entry["kind"] == kind)
    }

    /// The results.
    ///
    /// # Panics
    /// When a test has two.
    pub fn results(&self) -> Results {
        let mut results = Results::new();
        for entry in self.of("result").filter(|one| one["retried"] != true) {
            let id = id_of(entry);
            let before = results.insert(id.clone(), result_of(&entry["outcome"]));
            assert_eq!(before, None, "{id:?} has two results in the checkpoint");
        }
        results
    }

    /// The tests that have a result.
    pub fn recorded(&self) -> BTreeSet<(String, String)> {
        self.results().into_keys().collect()
    }
}

/// A recorded outcome in the words of `expected.toml`.
fn result_of(outcome: &Value) -> String {
    if let Some(word) = outcome.as_str() {
        return word.to_owned();
    }
    let failure = outcome["failed"]
        .as_object()
        .and_then(|failure| failure.iter().next());
    let (kind, detail) = failure.unwrap_or_else(|| panic!("no outcome: {outcome}"));
    match kind.as_str() {
        "exit" | "signal" => format!("{kind} {detail}"),
        other => other.to_owned(),
    }
}
