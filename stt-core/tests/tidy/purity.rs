//! Files that decide and never act: no I/O, no clock, no environment, no process, no thread.

use super::source::Crate;
use super::source::Finding;
use super::source::Source;

/// The pure files of `stt-core`. A name stands for the file and for the directory of its name.
pub(crate) const PURE: [&str; 93] = [
    "cgroup",
    "checkpoint/format",
    "checkpoint/merge",
    "checkpoint/resume",
    "config/bare",
    "config/container",
    "config/expression",
    "config/filter",
    "config/groups",
    "config/limits",
    "config/nextest",
    "config/outputs",
    "config/overrides",
    "config/ports",
    "config/resolve",
    "config/retries",
    "config/scripts",
    "config/times",
    "config/wrappers",
    "container",
    "containers/answer",
    "containers/conmon",
    "containers/date",
    "containers/discovery",
    "containers/errand",
    "containers/figures",
    "containers/group",
    "containers/label",
    "containers/naming",
    "containers/podman/conf",
    "containers/podman/ledger",
    "containers/podman/said",
    "containers/podman/setup",
    "containers/remote",
    "containers/request",
    "containers/sandbox/elf",
    "containers/sandbox/exit",
    "containers/sandbox/frames",
    "containers/sandbox/idle",
    "containers/sandbox/spec",
    "containers/volume",
    "coordinator/live",
    "coordinator/ownership",
    "coordinator/record",
    "coordinator/share",
    "coordinator/turn",
    "discovery/archive",
    "discovery/choice",
    "discovery/doc_filter",
    "discovery/environment",
    "discovery/expressions",
    "discovery/filter",
    "discovery/filterset",
    "discovery/inventory",
    "discovery/messages",
    "discovery/run_command",
    "discovery/variables",
    "guard/cadence",
    "guard/limited",
    "guard/lines",
    "guard/pace",
    "guard/parse",
    "guard/policy",
    "guard/recovery",
    "guard/sample",
    "guard/toll",
    "limits",
    "partition",
    "port",
    "ports/table",
    "process/exit",
    "process/family/shares",
    "process/family/sock_diag",
    "process/family/cgroup/parse",
    "process/life",
    "report/event",
    "report/junit",
    "retry",
    "run/event",
    "run/inventory",
    "run/machine",
    "run/news",
    "run/settle",
    "run/sharing",
    "run/supervision",
    "run/unchanged",
    "run/unenforced",
    "schedule",
    "scheduling",
    "script",
    "service",
    "signal/tally",
    "times",
];

/// What a decision has no use for.
const IMPURE: [&str; 28] = [
    "std::fs",
    "fs_err",
    "crate::fs",
    "env::var",
    "env::vars",
    "env::args",
    "env::current_dir",
    "env::temp_dir",
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
    "SystemTime::now",
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
    let listed = PURE.iter().any(|name| fits(&source.path, name));
    if source.krate == Crate::Core && (listed || says_so(source)) {
        source.words(&IMPURE, "in a pure file")
    } else {
        Vec::new()
    }
}

/// Whether a file's opening says that it is pure: what it says, it is held to.
fn says_so(source: &Source) -> bool {
    let opening = source
        .lines
        .iter()
        .take_while(|line| line.starts_with("//!"));
    !source.path.ends_with("/mod.rs") && opening.into_iter().any(|line| line.ends_with(" Pure."))
}
