//! Files that decide and never act: no I/O, no clock, no environment, no process, no thread.

use super::source::Crate;
use super::source::Finding;
use super::source::Source;

/// The pure files of `stt-core`, by room. A name stands for the file and for the directory of its name.
pub(crate) const PURE: [(&str, &[&str]); 8] = [
    ("discovery", &["messages", "listing", "filter"]),
    ("schedule", &["order", "slots", "admission"]),
    ("process", &["life", "exit"]),
    ("guard", &["sample"]),
    ("guard", &["policy", "parse"]),
    ("report", &["event"]),
    ("checkpoint", &["format", "resume"]),
    ("run", &["machine", "event"]),
];

/// What a decision has no use for.
const IMPURE: [&str; 24] = [
    "std::fs",
    "fs_err",
    "crate::fs",
    "std::env",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::sync::mpsc",
    "std::thread",
    "thread::",
    "crate::clock::Clock",
    "Clock::",
    "Instant",
    "SystemTime",
    "File::",
    "nix::",
    "libc::",
    "rustix::",
    "signal_hook",
    "sysinfo",
    "RandomState",
    "static mut",
    "unsafe",
];

/// Whether the file at `path` goes under the pure name `room/name`.
pub(crate) fn fits(path: &str, name: &str) -> bool {
    path.strip_prefix(name)
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Pure files name nothing impure.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let pure = PURE.iter().any(|(room, names)| {
        names
            .iter()
            .any(|name| fits(&source.path, &format!("{room}/{name}")))
    });
    if source.krate == Crate::Core && pure {
        source.words(&IMPURE, "in a pure file")
    } else {
        Vec::new()
    }
}
