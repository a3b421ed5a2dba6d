//! The size and the form of files and functions, and who may speak to the outside.

use super::source::Crate;
use super::source::Finding;
use super::source::Source;
use super::source::holds_word;

/// How long a file may be before its unit tests.
const FILE_LINES: usize = 500;
/// How long a function may be, from the line with `fn` to that with its closing brace.
const FUNCTION_LINES: usize = 80;
/// What writes to the standard streams.
const PRINTS: [&str; 7] = [
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
    "dbg!",
    "stdout()",
    "stderr()",
];

/// What reads it, beside what cargo and the standard library offer as constants.
const READS_ENVIRONMENT: [&str; 7] = [
    "std::env",
    "env::var",
    "env::var_os",
    "env::vars",
    "env::vars_os",
    "env::args",
    "env::args_os",
];
/// What of `std::env` only puts text together.
const WITHOUT_READING: [&str; 4] = [
    "std::env::JoinPathsError",
    "std::env::join_paths",
    "std::env::split_paths",
    "std::env::consts",
];

/// A file opens with what it is for.
pub(crate) fn opens_with_its_purpose(source: &Source) -> Vec<Finding> {
    match source.lines.first() {
        Some(line) if line.starts_with("//! ") => Vec::new(),
        _ => vec![Finding {
            line: 1,
            what: "the first line does not tell what the file is for".to_owned(),
        }],
    }
}

/// A file can be held in the head.
pub(crate) fn file_is_short(source: &Source) -> Vec<Finding> {
    let lines = source.production;
    if lines <= FILE_LINES {
        return Vec::new();
    }
    vec![Finding {
        line: FILE_LINES + 1,
        what: format!("{lines} lines, and {FILE_LINES} are the most"),
    }]
}

/// A function can be seen at once.
pub(crate) fn functions_are_short(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, code) in source.all() {
        let Some(name) = function_name(code) else {
            continue;
        };
        let length = body_length(&source.code[line - 1..], code.find("fn ").unwrap_or(0));
        if length > FUNCTION_LINES {
            findings.push(Finding {
                line,
                what: format!("`{name}` has {length} lines, and {FUNCTION_LINES} are the most"),
            });
        }
    }
    findings
}

/// The name after the `fn` of a line that declares a function.
fn function_name(code: &str) -> Option<&str> {
    let at = code.match_indices("fn ").map(|(at, _)| at).find(|at| {
        let before = code[..*at].chars().next_back();
        before.is_none_or(|c| c == ' ' || c == '(')
    })?;
    let rest = code[at + 3..].trim_start();
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '#'))
        .unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

/// How many lines a function takes whose `fn` stands in the first line; 0 when it has no body.
fn body_length(code: &[String], from: usize) -> usize {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (number, line) in code.iter().enumerate() {
        let skip = if number == 0 { from } else { 0 };
        for c in line[skip..].chars() {
            match c {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                ';' if braces == 0 && brackets == 0 => return 0,
                '{' => braces += 1,
                '}' => {
                    braces = braces.saturating_sub(1);
                    if braces == 0 && brackets == 0 {
                        return number + 1;
                    }
                }
                _ => {}
            }
        }
    }
    0
}

/// One import of our own a line: moving a name shows as one line in a diff.
pub(crate) fn imports_stand_alone(source: &Source) -> Vec<Finding> {
    source
        .all()
        .filter(|(_, code)| {
            let code = code.trim_start();
            let own = code
                .find("use crate::")
                .or_else(|| code.find("use super::"))
                .or_else(|| code.find("use stt_core::"));
            own.is_some_and(|at| {
                let is_import = at == 0 || code.starts_with("pub");
                let grouped = !code.trim_end().ends_with(';') || code.contains('{');
                is_import && grouped
            })
        })
        .map(|(line, _)| Finding {
            line,
            what: "a group of imports".to_owned(),
        })
        .collect()
}

/// The engine is silent, and the command speaks through its printer alone.
pub(crate) fn only_the_printer_prints(source: &Source) -> Vec<Finding> {
    if source.krate == Crate::Command && source.path == "printer.rs" {
        return Vec::new();
    }
    source.words(&PRINTS, "writes past the printer")
}

/// The engine knows no environment, and the command reads it in one place.
pub(crate) fn only_env_reads_the_environment(source: &Source) -> Vec<Finding> {
    if source.krate == Crate::Command && source.path == "env.rs" {
        return Vec::new();
    }
    let reads = |code: &str| {
        let rest = WITHOUT_READING
            .iter()
            .fold(code.to_owned(), |rest, name| rest.replace(name, ""));
        READS_ENVIRONMENT.iter().any(|word| holds_word(&rest, word))
    };
    source
        .production()
        .filter(|(_, code)| reads(code))
        .map(|(line, code)| Finding {
            line,
            what: format!("`{}` reads the environment", code.trim()),
        })
        .collect()
}
