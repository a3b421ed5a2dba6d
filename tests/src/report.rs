//! What a run said with `--message-format json`.

use std::collections::BTreeMap;

use serde_json::Value;

/// Results by `(binary, name)`, in the words of `expected.toml`.
pub type Results = BTreeMap<(String, String), String>;

/// The lines of a run, parsed.
#[derive(Clone, Debug)]
pub struct Report {
    /// Every line, in its order.
    pub lines: Vec<Value>,
}

impl Report {
    /// Parses whole lines; the last one may be half written while the run goes on.
    ///
    /// # Panics
    /// On a line that is no JSON object with a `type`.
    pub fn parse(text: &str) -> Self {
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parse = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| {
                panic!("standard output holds a line that is no JSON ({error}): {line}")
            });
            assert!(value["type"].is_string(), "a line without a type: {line}");
            value
        };
        Self {
            lines: whole.lines().map(parse).collect(),
        }
    }

    /// The lines of one type.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.lines.iter().filter(move |line| line["type"] == kind)
    }

    /// The only line of a type.
    ///
    /// # Panics
    /// When there is none, or more than one.
    pub fn one(&self, kind: &str) -> &Value {
        let lines: Vec<&Value> = self.of(kind).collect();
        assert_eq!(lines.len(), 1, "lines of type {kind} in {:#?}", self.lines);
        lines[0]
    }

    /// The results of this leg.
    ///
    /// # Panics
    /// When a test has two.
    pub fn results(&self) -> Results {
        let mut results = Results::new();
        for line in self.of("test-finished") {
            let id = id_of(line);
            let before = results.insert(id.clone(), told(line));
            assert_eq!(before, None, "{id:?} has two results in one leg");
        }
        results
    }

    /// The line that finished a test.
    ///
    /// # Panics
    /// When there is none.
    pub fn finished(&self, name: &str) -> &Value {
        self.of("test-finished")
            .find(|line| line["test"]["name"] == name)
            .unwrap_or_else(|| panic!("{name} has no result in {:#?}", self.lines))
    }

    /// Whether a test was started in this leg.
    pub fn started(&self, name: &str) -> bool {
        self.of("test-started")
            .any(|line| line["test"]["name"] == name)
    }

    /// One of the counts of the end of the run, such as `passed`.
    ///
    /// # Panics
    /// When the run has no end or the count isn't there.
    pub fn count(&self, name: &str) -> u64 {
        let end = self.one("run-finished");
        let count = end["counts"].get(name).or_else(|| end.get(name));
        count
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no count `{name}` in {end}"))
    }
}

/// The `(binary, name)` of the test that a line is about.
pub fn id_of(line: &Value) -> (String, String) {
    let text = |key: &str| {
        let value = line["test"][key].as_str();
        value
            .unwrap_or_else(|| panic!("no test in {line}"))
            .to_owned()
    };
    (text("binary"), text("name"))
}

/// The outcome of a finished test in the words of `expected.toml`.
fn told(line: &Value) -> String {
    let failure = &line["failure"];
    let word = |value: &Value| {
        value
            .as_str()
            .unwrap_or_else(|| panic!("no outcome: {line}"))
            .to_owned()
    };
    match failure["kind"].as_str() {
        None => word(&line["outcome"]),
        Some("exit") => format!("exit {}", failure["code"]),
        Some("signal") => format!("signal {}", failure["signal"]),
        Some(kind) => kind.to_owned(),
    }
}
