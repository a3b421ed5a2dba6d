//! What is read of nextest's file: its keys with their places and comments, and what is left out. Pure.

use std::ops::Range;

use camino::Utf8Path;
use toml_edit::Item;
use toml_edit::RawString;
use toml_edit::TableLike;

use super::super::document;
use super::super::document::key_span;
use super::super::overrides::OVERRIDES;
use super::super::source::ConfigFile;
use super::super::source::Level;
use super::super::source::Spot;
use super::LeftOut;
use super::PROFILE;
use super::written::Line;
use super::written::Note;

/// A key with its value.
pub(super) struct Entry<'a> {
    /// Its whole name, such as `profile.ci.retries`.
    pub(super) key: String,
    /// Where it stands.
    pub(super) span: Range<usize>,
    pub(super) item: &'a Item,
    pub(super) note: Note,
}

/// What some part of the file says. Where another part says nothing of it, ours must say what that means, since
/// it would be taken from the first one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Everywhere {
    /// What profiles say of times.
    run: SlowParts,
    /// What profiles or overrides say of them.
    any: SlowParts,
    /// Whether tests fail for leaks in a profile.
    pub(super) leaks_fail: bool,
    /// Whether a profile's retries are a table.
    pub(super) retries_table: bool,
}

/// Which parts of `slow-timeout` are said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlowParts {
    pub(super) terminate_after: bool,
    pub(super) grace_period: bool,
}

impl Everywhere {
    pub(super) fn of(root: &dyn TableLike) -> Self {
        let mut found = Self::default();
        let profiles = root.get(PROFILE).and_then(Item::as_table_like);
        for (_, item) in profiles.into_iter().flat_map(TableLike::iter) {
            let Some(profile) = item.as_table_like() else {
                continue;
            };
            found.run.look(profile);
            found.any.look(profile);
            let said = |key: &str| profile.get(key).and_then(Item::as_table_like);
            let leaks = said("leak-timeout").and_then(|table| table.get("result")?.as_str());
            found.leaks_fail |= leaks == Some("fail");
            found.retries_table |= said("retries").is_some();
            for one in profile
                .get(OVERRIDES)
                .and_then(tables)
                .into_iter()
                .flatten()
            {
                found.any.look(one.table);
            }
        }
        found
    }
}

impl SlowParts {
    fn look(&mut self, table: &dyn TableLike) {
        if let Some(slow) = table.get("slow-timeout").and_then(Item::as_table_like) {
            self.terminate_after |= slow.contains_key("terminate-after");
            self.grace_period |= slow.contains_key("grace-period");
        }
    }
}

/// A table of a list.
pub(super) struct Listed<'a> {
    pub(super) table: &'a dyn TableLike,
    pub(super) span: Range<usize>,
    above: Option<&'a RawString>,
}

/// The tables of a list; `None` for anything else.
pub(super) fn tables(item: &Item) -> Option<Vec<Listed<'_>>> {
    if let Some(list) = item.as_array_of_tables() {
        let tables = list.iter().map(|table| Listed {
            table,
            span: table.span().unwrap_or_default(),
            above: table.decor().prefix(),
        });
        return Some(tables.collect());
    }
    let tables = item.as_array()?.iter().map(|value| {
        Some(Listed {
            table: value.as_inline_table()?,
            span: value.span().unwrap_or_default(),
            above: value.decor().prefix(),
        })
    });
    tables.collect()
}

/// For which tables of our file a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// `[run]`.
    Run,
    /// `[output]`.
    Output,
    /// An override: what it sets.
    Setting,
    /// An override for a platform: what it sets.
    Platform,
    /// An override: for which tests it is.
    Scope,
}

pub(super) struct Reading<'a> {
    path: &'a Utf8Path,
    text: &'a str,
    pub(super) everywhere: Everywhere,
    /// Whether this is the default profile, to which no other one says anything.
    pub(super) in_default: bool,
    /// The groups of tests that were carried over.
    pub(super) groups: Vec<String>,
    /// The scripts and wrappers that were, each with its kind.
    pub(super) scripts: Vec<(&'static str, String)>,
    pub(super) left_out: Vec<LeftOut>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(path: &'a Utf8Path, text: &'a str, everywhere: Everywhere) -> Self {
        Self {
            path,
            text,
            everywhere,
            in_default: false,
            groups: Vec::new(),
            scripts: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The keys of a table, whose own name is `path`.
    pub(super) fn entries<'t>(
        &self,
        table: &'t dyn TableLike,
        path: &str,
    ) -> Vec<(&'t str, Entry<'t>)> {
        let entries = table.iter().map(|(name, item)| {
            let shown = name.escape_debug();
            let key = match path {
                "" => shown.to_string(),
                path => format!("{path}.{shown}"),
            };
            let entry = Entry {
                key,
                span: key_span(table, name, item),
                item,
                note: self.note(table, name, item),
            };
            (name, entry)
        });
        entries.collect()
    }

    /// The comments of a key.
    fn note(&self, table: &dyn TableLike, name: &str, item: &Item) -> Note {
        if let Some(table) = item.as_table() {
            return Note {
                above: self.comments(table.decor().prefix()),
                beside: None,
            };
        }
        let key = table.key(name);
        let above = key.and_then(|key| key.leaf_decor().prefix());
        let beside = item.as_value().and_then(|value| value.decor().suffix());
        Note {
            above: self.comments(above),
            beside: self.comments(beside).pop(),
        }
    }

    /// The comments above a table of a list.
    pub(super) fn above(&self, listed: &Listed<'_>) -> Vec<String> {
        self.comments(listed.above)
    }

    fn comments(&self, decor: Option<&RawString>) -> Vec<String> {
        let text = decor.and_then(|raw| raw.as_str().or_else(|| self.text.get(raw.span()?)));
        let lines = text.unwrap_or_default().lines().map(str::trim);
        let comments = lines.filter(|line| line.starts_with('#'));
        comments.map(str::to_owned).collect()
    }

    /// A value as the file has it, quotes included.
    pub(super) fn raw(&self, item: &Item) -> String {
        let span = item.as_value().and_then(toml_edit::Value::span);
        let raw = span.and_then(|span| self.text.get(span));
        // Our reader will say that this can't be a table.
        raw.unwrap_or("{}").to_owned()
    }

    /// Which parts of `slow-timeout` must be said there, since others do.
    pub(super) fn said_elsewhere(&self, home: Home) -> SlowParts {
        match home {
            Home::Setting => self.everywhere.any,
            Home::Run if !self.in_default => self.everywhere.run,
            Home::Run | Home::Output | Home::Platform | Home::Scope => SlowParts::default(),
        }
    }

    pub(super) fn leave(&mut self, entry: &Entry<'_>, why: impl Into<String>) {
        self.leave_at(entry.span.clone(), entry.key.clone(), why);
    }

    pub(super) fn leave_at(&mut self, span: Range<usize>, key: String, why: impl Into<String>) {
        let spot = Spot::new(self.path.to_owned(), self.text, span);
        let why = why.into();
        let one = LeftOut { spot, key, why };
        // A profile that others inherit from is settled several times.
        if !self.left_out.contains(&one) {
            self.left_out.push(one);
        }
    }

    /// A line for our file. What our reader does not take is left out.
    pub(super) fn line(
        &mut self,
        entry: &Entry<'_>,
        home: Home,
        key: &str,
        value: String,
    ) -> Option<Line> {
        let sample = match home {
            Home::Run => format!("[run]\n{key} = {value}\n"),
            Home::Output => format!("[output]\n{key} = {value}\n"),
            Home::Setting => format!("[[overrides]]\nfilter = 'all()'\n{key} = {value}\n"),
            Home::Platform => {
                format!("[[overrides]]\nplatform = 'cfg(unix)'\n{key} = {value}\n")
            }
            Home::Scope => format!("[[overrides]]\n{key} = {value}\npriority = 0\n"),
        };
        match refusal(sample) {
            None => Some(Line::new(key, value).noted(&entry.note)),
            Some(why) if home == Home::Scope => {
                self.leave(entry, format!("{why}; the whole override is left out"));
                None
            }
            Some(why) => {
                self.leave(entry, why);
                None
            }
        }
    }
}

/// Why our reader would not take such a file; `None` when it would.
pub(super) fn refusal(text: String) -> Option<String> {
    let file = ConfigFile {
        level: Level::Workspace,
        path: "stt.toml".into(),
        text,
    };
    let problem = document::read(&file).problems.into_iter().next()?;
    let why = match problem.expected {
        Some(expected) => format!("{}; {expected}", problem.message),
        None => problem.message,
    };
    Some(why.lines().collect::<Vec<_>>().join(", "))
}
