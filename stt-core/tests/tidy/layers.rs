//! Imports go down only, and rooms of one row never see each other.

use super::source::Crate;
use super::source::Finding;
use super::source::Source;

/// The rows of `stt-core`, the lowest first. A module may name what lies below it.
const ROWS: [(&[&str], Row); 4] = [
    (
        &[
            "cgroup",
            "clock",
            "command",
            "container",
            "fs",
            "id",
            "limits",
            "outcome",
            "partition",
            "port",
            "retry",
            "scheduling",
            "script",
            "selection",
            "times",
            "units",
        ],
        Row::Words,
    ),
    (&["config"], Row::Rooms),
    (
        &[
            "checkpoint",
            "containers",
            "coordinator",
            "discovery",
            "guard",
            "ports",
            "process",
            "report",
            "schedule",
            "service",
            "signal",
        ],
        Row::Rooms,
    ),
    (&["run"], Row::Rooms),
];

/// What the modules of one row may know of each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    /// They are one vocabulary.
    Words,
    /// Nothing.
    Rooms,
}

/// Every path that begins at the crate's root leads to a lower row, or stays in its module.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    if source.krate != Crate::Core || source.path == "lib.rs" {
        return Vec::new();
    }
    let own = own_module(&source.path);
    let Some(own_row) = row_of(own) else {
        return vec![Finding {
            line: 1,
            what: format!("`{own}` has no row in the table of layers"),
        }];
    };
    let mut findings = Vec::new();
    let depth = source.path.split('/').count() - usize::from(source.path.ends_with("/mod.rs"));
    for (line, code) in source.all() {
        // Unit tests are a module of their own, one step further from the root.
        let depth = depth + usize::from(line > source.production && source.production > 0);
        for target in root_paths(depth, code) {
            if let Some(what) = complaint(own, own_row, &target) {
                findings.push(Finding { line, what });
            }
        }
    }
    findings
}

fn complaint(own: &str, own_row: usize, target: &str) -> Option<String> {
    if target == own {
        return None;
    }
    let Some(row) = row_of(target) else {
        return Some(format!("`{target}` has no row in the table of layers"));
    };
    let words = ROWS[row].1 == Row::Words;
    if row < own_row || (row == own_row && words) {
        return None;
    }
    Some(if row == own_row {
        format!("the room `{own}` names the room `{target}` beside it")
    } else {
        format!("`{own}` names `{target}`, which lies above it")
    })
}

/// The module at the crate's root that holds the file.
fn own_module(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|(names, _)| names.contains(&module))
}

/// The modules at the crate's root that a line names, through `crate::` or through as many `super::` as
/// lead there from a module `depth` steps below. A brace group after it is found by the rule on imports.
fn root_paths(depth: usize, code: &str) -> Vec<String> {
    let supers = "super::".repeat(depth);
    let mut found = Vec::new();
    for prefix in ["crate::", supers.as_str()] {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let name: String = code[at + prefix.len()..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if !name.is_empty() && name != "super" && name != "self" {
                found.push(name);
            }
        }
    }
    found
}
