//! What the tests of the fixture `env` have written of their environment.

use std::collections::BTreeMap;

use camino::Utf8Path;
use fs_err as fs;

/// The variables of a test, with what it says of its arguments and its directory under `(arguments)` and
/// `(current directory)`.
pub type Variables = BTreeMap<String, String>;

/// What the test of this name has written into `dir`, which `ENV_DUMP` has named. What is no text is escaped.
///
/// # Panics
/// The test has not run, or has written something else.
pub fn dumped(dir: &Utf8Path, name: &str) -> Variables {
    let bytes = fs::read(dir.join(format!("{name}.env"))).expect("the test wrote it");
    let all = bytes.strip_suffix(b"\0").expect("a NUL is behind each");
    let entries = all.split(|&byte| byte == 0);
    entries
        .map(|entry| {
            let entry = std::str::from_utf8(entry)
                .map_or_else(|_| entry.escape_ascii().to_string(), str::to_owned);
            let (name, value) = entry.split_once('=').expect("a name and a value");
            (name.to_owned(), value.to_owned())
        })
        .collect()
}
