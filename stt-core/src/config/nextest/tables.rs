//! The tables of nextest's file: profiles, overrides, groups of tests. Pure.

use toml_edit::Item;
use toml_edit::Key;
use toml_edit::TableLike;

use super::super::document::DEFAULT_PROFILE;
use super::super::document::key_span;
use super::super::groups::TEST_GROUPS;
use super::super::overrides::EXTRA_ARGS;
use super::super::overrides::OVERRIDES;
use super::super::scripts::SCRIPTS;
use super::OF_ALL;
use super::PROFILE;
use super::STORE;
use super::THREADS_REQUIRED;
use super::reading::Entry;
use super::reading::Home;
use super::reading::Listed;
use super::reading::Reading;
use super::reading::refusal;
use super::reading::tables;
use super::written::Line;
use super::written::Override;
use super::written::Profile;
use crate::scheduling::NO_GROUP;

pub(super) const NO_SUCH_KEY: &str = "stt has no such key";

/// Why a key of a profile is never carried over.
const NOT_OF_PROFILES: [(&str, &str); 2] = [
    (
        "archive",
        "of files an archive of stt holds what tests were built with, and no others",
    ),
    (
        "bench",
        "stt runs benchmarks as tests, with the same settings",
    ),
];

/// Why a key of an override is never carried over.
const NOT_OF_OVERRIDES: [(&str, &str); 1] = [("junit", "stt's report is the same for all tests")];

/// Where a key stands in ours that is only written there as it is.
const UNCHANGED: [(&str, Home); 4] = [
    ("default-filter", Home::Run),
    ("test-threads", Home::Run),
    ("success-output", Home::Output),
    ("failure-output", Home::Output),
];

impl Reading<'_> {
    /// `store`: where its reports go is part of their paths.
    pub(super) fn store(&mut self, item: &Item) {
        let Some(store) = item.as_table_like() else {
            return;
        };
        for (name, entry) in self.entries(store, "store") {
            if name != "dir" {
                self.leave(&entry, NO_SUCH_KEY);
            } else if entry.item.as_str() != Some(STORE) {
                let why = "only JUnit reports lie there, the rest in the target directory";
                self.leave(&entry, why);
            }
        }
    }

    /// `[test-groups]`.
    pub(super) fn groups(&mut self, root: &dyn TableLike, item: &Item) -> Vec<Line> {
        let Some(groups) = item.as_table_like() else {
            let why = "it holds groups of tests by their names";
            let span = key_span(root, TEST_GROUPS, item);
            self.leave_at(span, TEST_GROUPS.to_owned(), why);
            return Vec::new();
        };
        let mut lines = Vec::new();
        for (name, entry) in self.entries(groups, TEST_GROUPS) {
            let Some(group) = entry.item.as_table_like() else {
                self.leave(&entry, "it is not a group of tests");
                continue;
            };
            let mut most = None;
            for (key, entry) in self.entries(group, &entry.key) {
                if key == "max-threads" {
                    most = Some(self.raw(entry.item));
                } else {
                    self.leave(&entry, NO_SUCH_KEY);
                }
            }
            let key = Key::new(name).display_repr().into_owned();
            let value = match most {
                Some(most) => format!("{{ max-threads = {most} }}"),
                None => "{}".to_owned(),
            };
            if let Some(why) = refusal(format!("[{TEST_GROUPS}]\n{key} = {value}\n")) {
                self.leave(&entry, why);
            } else {
                self.groups.push(name.to_owned());
                lines.push(Line::new(&key, value).noted(&entry.note));
            }
        }
        lines
    }

    /// `[profile.*]`.
    pub(super) fn profiles(&mut self, item: &Item) -> Vec<Profile> {
        let Some(table) = item.as_table_like() else {
            return Vec::new();
        };
        let mut profiles = Vec::new();
        for (name, entry) in self.entries(table, PROFILE) {
            match entry.item.as_table_like() {
                Some(table) => profiles.push(self.profile(name, &entry, table)),
                None => self.leave(&entry, "it is not a profile"),
            }
        }
        profiles
    }

    fn profile(&mut self, name: &str, whole: &Entry<'_>, table: &dyn TableLike) -> Profile {
        self.in_default = name == DEFAULT_PROFILE;
        let mut profile = Profile {
            name: name.to_owned(),
            above: whole.note.above.clone(),
            ..Profile::default()
        };
        for (name, entry) in self.entries(table, &whole.key) {
            if let Some(&(_, why)) = NOT_OF_PROFILES.iter().find(|(key, _)| *key == name) {
                self.leave(&entry, why);
                continue;
            }
            if let Some(&(key, home)) = UNCHANGED.iter().find(|(key, _)| *key == name) {
                let line = self.line(&entry, home, key, self.raw(entry.item));
                match home {
                    Home::Output => profile.output.extend(line),
                    Home::Run | Home::Setting | Home::Platform | Home::Scope => {
                        profile.run.extend(line);
                    }
                }
                continue;
            }
            match name {
                "retries" => profile.run.extend(self.retries(&entry, Home::Run)),
                "slow-timeout" => profile.run.extend(self.slow_timeout(&entry, Home::Run)),
                "leak-timeout" => profile.run.extend(self.leak_timeout(&entry, Home::Run)),
                "fail-fast" => profile.run.extend(self.fail_fast(&entry)),
                "max-fail" if table.contains_key("fail-fast") => {
                    self.leave(&entry, "`fail-fast` says the same");
                }
                "max-fail" => {
                    let value = self.raw(entry.item);
                    profile
                        .run
                        .extend(self.line(&entry, Home::Run, name, value));
                }
                "global-timeout" => {
                    let value = self.time(entry.item);
                    let line = self.line(&entry, Home::Run, name, value);
                    profile.run.extend(line);
                }
                "run-ignored" => profile.run.extend(self.run_ignored(&entry)),
                "status-level" | "final-status-level" => {
                    profile.output.extend(self.status_level(&entry, name));
                }
                name if OF_ALL.contains(&name) => {
                    let value = self.raw(entry.item);
                    let line = self.line(&entry, Home::Setting, name, value);
                    profile
                        .of_all
                        .extend(line.map(|line| (line, entry.span.clone())));
                }
                "junit" => profile.junit = self.junit(&entry),
                "inherits" => match entry.item.as_str() {
                    Some(name) => profile.inherits = Some((name.to_owned(), entry.span.clone())),
                    None => self.leave(&entry, "it is not the name of a profile"),
                },
                OVERRIDES => profile.overrides.extend(self.overrides(&entry)),
                SCRIPTS => profile.overrides.extend(self.scripts_of_tests(&entry)),
                _ => self.leave(&entry, NO_SUCH_KEY),
            }
        }
        profile
    }

    fn overrides(&mut self, entry: &Entry<'_>) -> Vec<Override> {
        let Some(list) = tables(entry.item) else {
            self.leave(entry, "it is not a list of tables");
            return Vec::new();
        };
        let overrides = list
            .iter()
            .filter_map(|one| self.one_override(one, &entry.key));
        overrides.collect()
    }

    fn one_override(&mut self, one: &Listed<'_>, path: &str) -> Option<Override> {
        let before = self.left_out.len();
        let mut lines = Vec::new();
        let mut scopes = 0;
        for (name, entry) in self.entries(one.table, path) {
            if let Some(&(_, why)) = NOT_OF_OVERRIDES.iter().find(|(key, _)| *key == name) {
                self.leave(&entry, why);
                continue;
            }
            match name {
                "filter" | "platform" => {
                    lines.push(self.scope(&entry, name)?);
                    scopes += 1;
                }
                "retries" => lines.extend(self.retries(&entry, Home::Setting)),
                "slow-timeout" => lines.extend(self.slow_timeout(&entry, Home::Setting)),
                "leak-timeout" => lines.extend(self.leak_timeout(&entry, Home::Setting)),
                "test-group" => lines.extend(self.test_group(&entry)),
                "default-filter" if one.table.contains_key("filter") => {
                    self.leave(&entry, "nextest has it without `filter` only");
                }
                "default-filter" => {
                    let value = self.raw(entry.item);
                    lines.extend(self.line(&entry, Home::Platform, name, value));
                }
                THREADS_REQUIRED | "priority" | EXTRA_ARGS | "success-output"
                | "failure-output" => {
                    let value = self.raw(entry.item);
                    lines.extend(self.line(&entry, Home::Setting, name, value));
                }
                _ => self.leave(&entry, NO_SUCH_KEY),
            }
        }
        if scopes == 0 {
            let why = "the override does not say for which tests it is, and is left out";
            self.leave_at(one.span.clone(), path.to_owned(), why);
            return None;
        }
        if lines.len() == scopes {
            // Where everything that it sets was named, that is enough.
            if self.left_out.len() == before {
                self.leave_at(
                    one.span.clone(),
                    path.to_owned(),
                    "the override sets nothing",
                );
            }
            return None;
        }
        let above = self.above(one);
        Some(Override { above, lines })
    }

    /// `filter` or `platform`; `None` when it can't be said, and has been named.
    pub(super) fn scope(&mut self, entry: &Entry<'_>, name: &str) -> Option<Line> {
        let mut value = self.raw(entry.item);
        if let Some(table) = entry.item.as_table_like().filter(|_| name == "platform") {
            let target = table.get("target").filter(|_| table.iter().count() == 1);
            let Some(target) = target else {
                let why = "stt knows only the platform that a test was built for; the whole override is left out";
                self.leave(entry, why);
                return None;
            };
            value = self.raw(target);
        }
        self.line(entry, Home::Scope, name, value)
    }

    fn test_group(&mut self, entry: &Entry<'_>) -> Option<Line> {
        let line = self.line(entry, Home::Setting, "test-group", self.raw(entry.item))?;
        let name = entry.item.as_str().unwrap_or_default();
        if name != NO_GROUP && !self.groups.iter().any(|group| group == name) {
            let why = format!("[{TEST_GROUPS}] of the new file has no such group");
            self.leave(entry, why);
            return None;
        }
        Some(line)
    }

    /// `junit`: the path of the report, without its directory.
    fn junit(&mut self, whole: &Entry<'_>) -> Option<Line> {
        let Some(table) = whole.item.as_table_like() else {
            self.leave(whole, "it is not a table");
            return None;
        };
        let mut line = None;
        for (name, entry) in self.entries(table, &whole.key) {
            match (name, entry.item.as_bool()) {
                ("path", _) => match entry.item.as_str().filter(|path| !path.is_empty()) {
                    Some(path) => line = Some(Line::new("junit", path).noted(&entry.note)),
                    None => self.leave(&entry, "it is not a path"),
                },
                // As ours are.
                ("store-success-output", Some(false)) | ("store-failure-output", Some(true)) => {}
                ("store-success-output" | "store-failure-output", _) => {
                    self.leave(&entry, "stt's report holds the output of failed tests");
                }
                ("report-name", _) => self.leave(&entry, "stt names its report itself"),
                _ => self.leave(&entry, NO_SUCH_KEY),
            }
        }
        line
    }
}
