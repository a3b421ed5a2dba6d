//! The model of a fixture's results: its `expected.toml`.

use std::collections::BTreeMap;

use camino::Utf8Path;
use fs_err as fs;
use toml_edit::DocumentMut;
use toml_edit::Item;

use crate::report::Results;

/// What a fixture's tests must come to.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Each test by `(binary, name)`.
    pub tests: BTreeMap<(String, String), Want>,
}

/// What one test must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// `passed`, `exit CODE`, `signal NUMBER`, `ignored` or `hangs`.
    pub result: String,
    /// What it comes to when ignored tests run.
    pub when_run: Option<String>,
    /// What it leaves behind.
    pub leak: Option<String>,
    /// The build flag without which its binary is no part of a run.
    pub only: Option<String>,
}

impl Expected {
    /// Reads the model of the fixture at `root`.
    pub fn read(root: &Utf8Path) -> Self {
        let path = root.join("expected.toml");
        let text = fs::read_to_string(&path).expect("every fixture has a model");
        let model: DocumentMut = text
            .parse()
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut tests = BTreeMap::new();
        let binaries = model.get("binary").and_then(Item::as_table_like);
        for (binary, names) in binaries.into_iter().flat_map(|table| table.iter()) {
            let names = names.as_table_like().expect("a binary is a table of tests");
            for (name, want) in names.iter() {
                tests.insert((binary.to_owned(), name.to_owned()), Want::read(want));
            }
        }
        Self { tests }
    }

    /// The results of a run with all flags of `flags` given.
    pub fn results(&self, flags: &[&str]) -> Results {
        self.pick(flags, |want| want.result.clone())
    }

    /// The results of such a run that also runs ignored tests.
    pub fn results_with_ignored(&self, flags: &[&str]) -> Results {
        self.pick(flags, |want| {
            want.when_run.clone().unwrap_or_else(|| want.result.clone())
        })
    }

    fn pick(&self, flags: &[&str], result: impl Fn(&Want) -> String) -> Results {
        let chosen = |want: &Want| {
            want.only
                .as_deref()
                .is_none_or(|flag| flags.contains(&flag))
        };
        let picked = self.tests.iter().filter(|(_, want)| chosen(want));
        picked
            .map(|(id, want)| (id.clone(), result(want)))
            .collect()
    }
}

impl Want {
    fn read(item: &Item) -> Self {
        let table = item.as_table_like().expect("a test is a table");
        let text = |key: &str| table.get(key).and_then(Item::as_str).map(str::to_owned);
        for (key, _) in table.iter() {
            assert!(
                ["result", "when-run", "leak", "only"].contains(&key),
                "no such key in a model: {key}"
            );
        }
        Self {
            result: text("result").expect("a test has a result"),
            when_run: text("when-run"),
            leak: text("leak"),
            only: text("only"),
        }
    }
}
