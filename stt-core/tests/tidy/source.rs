//! A source file as the rules see it: its text with comments and literals blanked out.

/// Which crate a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crate {
    /// The engine.
    Core,
    /// The command.
    Command,
}

impl Crate {
    /// Its directory in the workspace.
    pub(crate) fn dir(self) -> &'static str {
        match self {
            Self::Core => "stt-core",
            Self::Command => "cargo-stt",
        }
    }
}

/// One source file.
pub(crate) struct Source {
    /// The crate that holds it.
    pub(crate) krate: Crate,
    /// Its path below `src/`, with slashes.
    pub(crate) path: String,
    /// Its lines as they are.
    pub(crate) lines: Vec<String>,
    /// Its lines with a space for every character of a comment or a literal.
    pub(crate) code: Vec<String>,
    /// How many lines come before its unit tests.
    pub(crate) production: usize,
}

/// Something that breaks a rule.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The line, from 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) what: String,
}

impl Source {
    /// Reads a file of `krate`.
    pub(crate) fn new(krate: Crate, path: String, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let code: Vec<String> = blanked(text).lines().map(str::to_owned).collect();
        let production = unit_tests(&code).unwrap_or(code.len());
        Self {
            krate,
            path,
            lines,
            code,
            production,
        }
    }

    /// The files below `src/` of which one is the module of each `#[cfg(test)] mod name;` in this file, and
    /// the directories that hold their children.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let dir = match stem.strip_suffix("/mod") {
            Some(dir) => format!("{dir}/"),
            None if matches!(stem, "lib" | "main" | "mod") => String::new(),
            None => format!("{stem}/"),
        };
        let declared = |at: usize| {
            let (_, name) = self
                .code
                .get(at)?
                .trim_end()
                .strip_suffix(';')?
                .split_once("mod ")?;
            Some(format!("{dir}{name}"))
        };
        let marked = (0..self.code.len()).filter(|at| self.code[*at].trim() == "#[cfg(test)]");
        marked.filter_map(|at| declared(at + 1)).collect()
    }

    /// Says that the whole file is compiled for tests only.
    pub(crate) fn set_test(&mut self) {
        self.production = 0;
    }

    /// An example: `stt-core/guard/policy.rs` is the file `guard/policy.rs` of `stt-core`.
    pub(crate) fn example(path: &str, text: &str) -> Self {
        let (krate, path) = path.split_once('/').expect("an example names its crate");
        let krate = match krate {
            "stt-core" => Crate::Core,
            "cargo-stt" => Crate::Command,
            other => panic!("no such crate: {other}"),
        };
        Self::new(krate, path.to_owned(), text)
    }

    /// Its path as an editor opens it.
    pub(crate) fn shown(&self) -> String {
        format!("{}/src/{}", self.krate.dir(), self.path)
    }

    /// The code before the unit tests, with the number of each line.
    pub(crate) fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        self.all().take(self.production)
    }

    /// All code, with the number of each line.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.iter().map(String::as_str))
    }

    /// Where one of `words` stands in the production code, as a whole word.
    pub(crate) fn words(&self, words: &[&str], why: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (line, code) in self.production() {
            for word in words {
                if holds_word(code, word) {
                    findings.push(Finding {
                        line,
                        what: format!("`{word}` {why}"),
                    });
                }
            }
        }
        findings
    }
}

/// Where the unit tests of a file begin: at the last line `#[cfg(test)]` before a module with a body.
fn unit_tests(code: &[String]) -> Option<usize> {
    let has_body = |at: usize| {
        let next = code
            .get(at + 1)
            .is_some_and(|line| line.contains("mod ") && line.contains('{'));
        code[at] == "#[cfg(test)]" && next
    };
    (0..code.len()).rev().find(|at| has_body(*at))
}

/// Whether `word` stands in `code` and is not part of a longer name on either side. A word that begins
/// or ends with a sign, such as `nix::`, needs no border there. A method's name is no word of its own.
pub(crate) fn holds_word(code: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let before = before.is_some_and(|c| is_name(c) || c == '.');
        let after = code[at + word.len()..].chars().next().is_some_and(is_name);
        let free_left = !before || !word.starts_with(is_name);
        let free_right = !after || !word.ends_with(is_name);
        free_left && free_right
    })
}

/// The text with each character of a comment, a string or a character literal replaced by a space. Lines
/// stay lines.
pub(crate) fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let is = |index: usize, c: char| chars.get(index) == Some(&c);
    let inside_name = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if is(at + 1, '/') => until(chars, at, |i| is(i, '\n')),
        '/' if is(at + 1, '*') => block_comment_end(chars, at),
        '"' => quoted_end(chars, at + 1, '"'),
        'r' if !inside_name || is(at.wrapping_sub(1), 'b') || is(at.wrapping_sub(1), 'c') => {
            raw_string_end(chars, at)
        }
        // A lifetime has no quote two characters on; a character literal has, or begins with a backslash.
        '\'' if is(at + 1, '\\') => quoted_end(chars, at + 1, '\''),
        '\'' if is(at + 2, '\'') => at + 3,
        _ => at,
    }
}

fn until(chars: &[char], from: usize, stop: impl Fn(usize) -> bool) -> usize {
    (from..chars.len())
        .find(|i| stop(*i))
        .unwrap_or(chars.len())
}

fn quoted_end(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let pair = |i: usize, first: char, second: char| {
        chars.get(i) == Some(&first) && chars.get(i + 1) == Some(&second)
    };
    let (mut depth, mut i) = (1, at + 2);
    while i < chars.len() && depth > 0 {
        if pair(i, '/', '*') {
            depth += 1;
            i += 2;
        } else if pair(i, '*', '/') {
            depth -= 1;
            i += 2;
        } else {
            i += 1;
        }
    }
    i.min(chars.len())
}

fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let closes = |i: usize| {
        chars[i] == '"'
            && chars[i + 1..]
                .iter()
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
    };
    let body = at + hashes + 2;
    (until(chars, body, closes) + 1 + hashes).min(chars.len())
}

#[test]
fn comments_and_literals_are_blanked() {
    for (text, wanted) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"f("x \" y", 'z')"#, "f(        ,    )"),
        ("r#\"a \" b\"# c", "           c"),
        ("&'a str, '\\'', 'b'", "&'a str,     ,    "),
        ("br\"x\" r#match", "b     r#match"),
        ("let var = \"a\nb\";", "let var =   \n  ;"),
    ] {
        assert_eq!(blanked(text), wanted, "{text}");
    }
}

#[test]
fn words_have_borders() {
    assert!(holds_word("use std::fs;", "std::fs"));
    assert!(!holds_word("use std::fsx;", "std::fs"));
    assert!(holds_word("nix::unistd::getpid()", "nix::"));
    assert!(!holds_word("unix::x", "nix::"));
    assert!(!holds_word("eprintln!()", "println!"));
}

#[test]
fn unit_tests_are_found_and_other_test_modules_named() {
    let text = "//! X.\n#[cfg(test)]\nmod torture;\nmod format;\nfn f() {}\n#[cfg(test)]\npub(crate) mod tests {\n}\n";
    let source = Source::example("stt-core/room/mod.rs", text);
    assert_eq!(source.production, 5);
    assert_eq!(source.test_modules(), ["room/torture"]);
    assert_eq!(
        Source::example("stt-core/room/a.rs", text).test_modules(),
        ["room/a/torture"]
    );
    assert_eq!(
        Source::example("stt-core/lib.rs", text).test_modules(),
        ["torture"]
    );
}
