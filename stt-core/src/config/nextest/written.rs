//! Our file in the making: its tables line by line, and their text. Pure.

use std::fmt::Write as _;
use std::ops::Range;

use toml_edit::Key;

use super::super::document::DEFAULT_PROFILE;
use super::super::groups::TEST_GROUPS;
use super::super::overrides::OVERRIDES;
use super::PROFILE;

/// The comments that belong to a key or a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Note {
    /// Those above it.
    pub(super) above: Vec<String>,
    /// The one behind it.
    pub(super) beside: Option<String>,
}

/// A key with its value, both as TOML has them.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) note: Note,
}

impl Line {
    pub(super) fn new(key: &str, value: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            value: value.into(),
            note: Note::default(),
        }
    }

    #[must_use]
    pub(super) fn noted(self, note: &Note) -> Self {
        let note = note.clone();
        Self { note, ..self }
    }

    /// The same for another table, which does not repeat what is said about it.
    #[must_use]
    pub(super) fn without_note(self) -> Self {
        self.noted(&Note::default())
    }
}

/// An override.
#[derive(Clone, Debug)]
pub(super) struct Override {
    /// The comments above it.
    pub(super) above: Vec<String>,
    pub(super) lines: Vec<Line>,
}

impl Override {
    /// One for all tests.
    pub(super) fn of_all(line: Line) -> Self {
        Self {
            above: Vec::new(),
            lines: vec![Line::new("filter", "\"all()\""), line],
        }
    }
}

/// A script.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// The header of its table.
    pub(super) header: String,
    /// The comments above it.
    pub(super) above: Vec<String>,
    pub(super) lines: Vec<Line>,
}

/// A profile; the default one is the sections outside of any.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    pub(super) name: String,
    /// The comments above it.
    pub(super) above: Vec<String>,
    pub(super) run: Vec<Line>,
    pub(super) output: Vec<Line>,
    pub(super) report: Vec<Line>,
    pub(super) overrides: Vec<Override>,
    /// What every test takes unless an override says something else, and where that stands.
    pub(super) of_all: Vec<(Line, Range<usize>)>,
    /// The path of its report, as nextest's file has it.
    pub(super) junit: Option<Line>,
    /// From which profile it inherits, and where that stands.
    pub(super) inherits: Option<(String, Range<usize>)>,
}

impl Profile {
    /// Whether it says this of some of the tests, or of all.
    pub(super) fn says_of_tests(&self, key: &str) -> bool {
        let lines = self.overrides.iter().flat_map(|one| &one.lines);
        let mut lines = lines.chain(self.of_all.iter().map(|(line, _)| line));
        lines.any(|line| line.key == key)
    }

    /// Adds what another profile says and this one does not.
    pub(super) fn extend(&mut self, parent: &Self) {
        for (own, others) in [
            (&mut self.run, &parent.run),
            (&mut self.output, &parent.output),
        ] {
            let said: Vec<String> = own.iter().map(|line| line.key.clone()).collect();
            let new = others.iter().filter(|line| !said.contains(&line.key));
            own.extend(new.cloned().map(Line::without_note));
        }
        self.overrides.extend(parent.overrides.iter().cloned());
        for (line, span) in &parent.of_all {
            if !self.of_all.iter().any(|(own, _)| own.key == line.key) {
                self.of_all.push((line.clone(), span.clone()));
            }
        }
        let junit = || parent.junit.clone().map(Line::without_note);
        self.junit = self.junit.take().or_else(junit);
    }
}

/// The text of the file. `from` is the name of nextest's.
pub(super) fn file(
    from: &str,
    profiles: &[Profile],
    groups: &[Line],
    scripts: &[Script],
) -> String {
    let mut text = format!("# Made from {from} by `cargo stt config import-nextest`.\n");
    let default = profiles
        .iter()
        .find(|profile| profile.name == DEFAULT_PROFILE);
    let mut above: &[String] = &[];
    if let Some(profile) = default {
        above = sections(&mut text, profile, "");
    }
    table(&mut text, &format!("[{TEST_GROUPS}]"), &[], groups);
    for script in scripts {
        table(&mut text, &script.header, &script.above, &script.lines);
    }
    if let Some(profile) = default {
        overrides(&mut text, profile, "", above);
    }
    for profile in profiles {
        if profile.name == DEFAULT_PROFILE {
            continue;
        }
        let before = text.len();
        let name = Key::new(profile.name.as_str()).display_repr().into_owned();
        let prefix = format!("{PROFILE}.{name}.");
        let above = sections(&mut text, profile, &prefix);
        overrides(&mut text, profile, &prefix, above);
        if text.len() == before {
            // Whoever names it with `-P` must find it.
            add(&mut text, format_args!("\n[{PROFILE}.{name}]\n"));
        }
    }
    text
}

/// Adds the sections of a profile. Returns the comments above it, unless these stand above one of them.
fn sections<'a>(text: &mut String, profile: &'a Profile, prefix: &str) -> &'a [String] {
    let mut above = &profile.above[..];
    for (name, lines) in [
        ("run", &profile.run),
        ("output", &profile.output),
        ("report", &profile.report),
    ] {
        if !lines.is_empty() {
            table(text, &format!("[{prefix}{name}]"), above, lines);
            above = &[];
        }
    }
    above
}

/// Adds the overrides of a profile, with these comments above the first one's own.
fn overrides(text: &mut String, profile: &Profile, prefix: &str, mut above: &[String]) {
    let header = format!("[[{prefix}{OVERRIDES}]]");
    for one in &profile.overrides {
        let comments = [above, &one.above].concat();
        table(text, &header, &comments, &one.lines);
        above = &[];
    }
}

/// Adds a table, unless it would be empty.
fn table(text: &mut String, header: &str, above: &[String], lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    text.push('\n');
    for comment in above {
        add(text, format_args!("{comment}\n"));
    }
    add(text, format_args!("{header}\n"));
    for Line { key, value, note } in lines {
        for comment in &note.above {
            add(text, format_args!("{comment}\n"));
        }
        add(text, format_args!("{key} = {value}"));
        if let Some(comment) = &note.beside {
            add(text, format_args!("  {comment}"));
        }
        text.push('\n');
    }
}

fn add(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a string takes everything");
}
