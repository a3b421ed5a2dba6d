//! The scripts of nextest's file, and which tests they are for. Pure.

use toml_edit::Key;
use toml_edit::TableLike;

use super::super::scripts::SCRIPTS;
use super::super::wrappers::LIST_WRAPPER;
use super::super::wrappers::RUN_WRAPPER;
use super::super::wrappers::WRAPPER;
use super::reading::Entry;
use super::reading::Home;
use super::reading::Listed;
use super::reading::Reading;
use super::reading::refusal;
use super::reading::tables;
use super::tables::NO_SUCH_KEY;
use super::written::Line;
use super::written::Override;
use super::written::Script;

const SETUP: &str = "setup";

/// A table as a file has it.
fn text_of(header: &str, lines: &[Line]) -> String {
    let lines = lines
        .iter()
        .map(|line| format!("{} = {}\n", line.key, line.value));
    format!("{header}\n{}", lines.collect::<String>())
}

impl Reading<'_> {
    /// `[scripts]`. What is not carried over is named, and not asked for by any test.
    pub(super) fn scripts(&mut self, whole: &Entry<'_>) -> Vec<Script> {
        let mut scripts = Vec::new();
        let Some(kinds) = whole.item.as_table_like() else {
            self.leave(whole, "it is not a table");
            return scripts;
        };
        for (kind, entry) in self.entries(kinds, &whole.key) {
            match (kind, entry.item.as_table_like()) {
                (SETUP, Some(table)) => scripts.extend(self.setup_scripts(table, &entry.key)),
                (WRAPPER, Some(table)) => scripts.extend(self.wrappers(table, &entry.key)),
                _ => self.leave(&entry, NO_SUCH_KEY),
            }
        }
        scripts
    }

    /// The setup scripts below a table, which in older files is called `script`.
    pub(super) fn setup_scripts(&mut self, table: &dyn TableLike, path: &str) -> Vec<Script> {
        let mut scripts = Vec::new();
        for (name, entry) in self.entries(table, path) {
            let Some(table) = entry.item.as_table_like() else {
                self.leave(&entry, "it is not a script");
                continue;
            };
            let key = Key::new(name).display_repr().into_owned();
            let header = format!("[{SCRIPTS}.{SETUP}.{key}]");
            let lines = self.script(&header, table, &entry.key);
            if let Some(why) = refusal(text_of(&header, &lines)) {
                self.leave(&entry, why);
                continue;
            }
            self.scripts.push((SETUP, name.to_owned()));
            scripts.push(Script {
                header,
                above: entry.note.above,
                lines,
            });
        }
        scripts
    }

    /// `[scripts.wrapper]`, whose tables are ours.
    fn wrappers(&mut self, table: &dyn TableLike, path: &str) -> Vec<Script> {
        let mut wrappers = Vec::new();
        for (name, entry) in self.entries(table, path) {
            let Some(table) = entry.item.as_table_like() else {
                self.leave(&entry, "it is not a wrapper");
                continue;
            };
            let key = Key::new(name).display_repr().into_owned();
            let header = format!("[{SCRIPTS}.{WRAPPER}.{key}]");
            let entries = self.entries(table, &entry.key).into_iter();
            let lines: Vec<_> = entries
                .map(|(name, part)| Line::new(name, self.raw(part.item)).noted(&part.note))
                .collect();
            if let Some(why) = refusal(text_of(&header, &lines)) {
                self.leave(&entry, why);
                continue;
            }
            self.scripts.push((WRAPPER, name.to_owned()));
            wrappers.push(Script {
                header,
                above: entry.note.above,
                lines,
            });
        }
        wrappers
    }

    fn script(&mut self, header: &str, table: &dyn TableLike, path: &str) -> Vec<Line> {
        let mut lines = Vec::new();
        for (name, entry) in self.entries(table, path) {
            match name {
                "command" => {
                    let value = self.raw(entry.item);
                    // What is wrong with it is told of the whole script.
                    lines.push(Line::new(name, value).noted(&entry.note));
                }
                "capture-stdout" | "capture-stderr" => {
                    let value = self.raw(entry.item);
                    let sample = format!("{header}\ncommand = 'x'\n{name} = {value}\n");
                    match refusal(sample) {
                        None => lines.push(Line::new(name, value).noted(&entry.note)),
                        Some(why) => self.leave(&entry, why),
                    }
                }
                "slow-timeout" => lines.extend(self.slow_timeout(&entry, Home::Setting)),
                "leak-timeout" => lines.extend(self.leak_timeout(&entry, Home::Setting)),
                "junit" => self.junit_of_script(&entry),
                _ => self.leave(&entry, NO_SUCH_KEY),
            }
        }
        lines
    }

    /// What a report holds of a script: with us what was captured.
    fn junit_of_script(&mut self, whole: &Entry<'_>) {
        let entries = whole.item.as_table_like();
        let entries = entries.map(|table| self.entries(table, &whole.key));
        for (name, entry) in entries.unwrap_or_default() {
            let stores = matches!(name, "store-success-output" | "store-failure-output");
            if !stores || entry.item.as_bool() != Some(true) {
                self.leave(&entry, "stt's report holds what was captured of a script");
            }
        }
    }

    /// `[[profile.NAME.scripts]]`, as overrides.
    pub(super) fn scripts_of_tests(&mut self, entry: &Entry<'_>) -> Vec<Override> {
        let Some(list) = tables(entry.item) else {
            self.leave(entry, "it is not a list of tables");
            return Vec::new();
        };
        let overrides = list.iter().filter_map(|one| self.of_tests(one, &entry.key));
        overrides.collect()
    }

    fn of_tests(&mut self, one: &Listed<'_>, path: &str) -> Option<Override> {
        let before = self.left_out.len();
        let mut lines = Vec::new();
        let mut sets = 0;
        for (name, entry) in self.entries(one.table, path) {
            match name {
                "filter" | "platform" => lines.push(self.scope(&entry, name)?),
                SETUP | RUN_WRAPPER | LIST_WRAPPER => {
                    let kind = if name == SETUP { SETUP } else { WRAPPER };
                    let line = self.names(&entry, name, kind);
                    sets += usize::from(line.is_some());
                    lines.extend(line);
                }
                _ => self.leave(&entry, NO_SUCH_KEY),
            }
        }
        if sets == 0 {
            if self.left_out.len() == before {
                self.leave_at(one.span.clone(), path.to_owned(), "it names no script");
            }
            return None;
        }
        if lines.len() == sets {
            lines.insert(0, Line::new("filter", "\"all()\""));
        }
        let above = self.above(one);
        Some(Override { above, lines })
    }

    /// The names of scripts, of those that were carried over.
    fn names(&mut self, entry: &Entry<'_>, key: &str, kind: &str) -> Option<Line> {
        let line = self.line(entry, Home::Setting, key, self.raw(entry.item))?;
        let names: Vec<&str> = match entry.item.as_array() {
            Some(list) => list.iter().filter_map(|name| name.as_str()).collect(),
            None => entry.item.as_str().into_iter().collect(),
        };
        let is_there = |name: &&str| {
            let mut known = self.scripts.iter();
            known.any(|(of, known)| *of == kind && known == name)
        };
        let missing = names.iter().find(|name| !is_there(name));
        if let Some(name) = missing {
            let what = if kind == SETUP { "script" } else { kind };
            let why = format!("the new file has no {what} `{}`", name.escape_debug());
            self.leave(entry, why);
            return None;
        }
        Some(line)
    }
}

/// Scripts are named by profiles, wherever they stand themselves: both tables of them come first.
pub(super) const OF_SCRIPTS: [&str; 2] = ["script", SCRIPTS];

/// The scripts of a file.
pub(super) fn all(reading: &mut Reading<'_>, root: &dyn TableLike) -> Vec<Script> {
    let mut scripts = Vec::new();
    for (name, entry) in reading.entries(root, "") {
        if name == SCRIPTS {
            scripts.extend(reading.scripts(&entry));
        } else if name == OF_SCRIPTS[0] {
            match entry.item.as_table_like() {
                Some(table) => scripts.extend(reading.setup_scripts(table, &entry.key)),
                None => reading.leave(&entry, "it is not a table"),
            }
        }
    }
    scripts
}
