//! Reads one configuration file: which keys it sets, and everything that is wrong with it.

use std::fmt::Display;
use std::ops::Range;

use toml_edit::Document;
use toml_edit::Item;
use toml_edit::TableLike;
use toml_edit::Value;

use super::defined;
use super::given::Given;
use super::groups;
use super::keys;
use super::keys::Key;
use super::limits;
use super::limits::LimitEntry;
use super::limits::LimitKey;
use super::limits::SetTable;
use super::overrides;
use super::overrides::OverrideDraft;
use super::problem::Problem;
use super::resolve::ResolvedValue;
use super::retries;
use super::retries::RETRIES;
use super::scripts;
use super::source::ConfigFile;
use super::source::Origin;
use super::source::Place;
use super::source::Source;
use super::source::Spot;
use super::table::KEYS;
use crate::scheduling::TestGroup;
use crate::script::Scripts;

/// A key with the value that some layer gives it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: &'static Key,
    pub(super) given: Given,
    pub(super) origin: Origin,
}

/// What the tables of a file set, or those of a profile in it.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Keys that have a place in the table of keys.
    pub(super) entries: Vec<Entry>,
    /// Sets of limits.
    pub(super) sets: Vec<SetTable>,
    /// Overrides, in their order.
    pub(super) overrides: Vec<OverrideDraft>,
    /// Groups of tests; of one name the last one counts.
    pub(super) groups: Vec<TestGroup>,
    /// Scripts.
    pub(super) scripts: Scripts,
    /// The same groups and scripts as they are written.
    pub(super) defined: Vec<ResolvedValue>,
}

impl Said {
    /// Adds what another place says.
    pub(super) fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.sets.extend(other.sets);
        self.overrides.extend(other.overrides);
        self.groups.extend(other.groups);
        self.scripts.extend(other.scripts);
        self.defined.extend(other.defined);
    }
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// What its sections set.
    pub(super) plain: Said,
    /// Its profiles by name, with what their sections set.
    pub(super) profiles: Vec<(String, Said)>,
    /// Everything that is wrong with it.
    pub(super) problems: Vec<Problem>,
}

/// Reads a file.
pub(super) fn read(file: &ConfigFile) -> Contents {
    let mut reader = Reader {
        file,
        problems: Vec::new(),
    };
    let mut contents = Contents::default();
    match Document::parse(file.text.as_str()) {
        Ok(document) => {
            let root = document.as_table();
            contents.plain = reader.sections(root, Source::File(file.level), None);
            contents.profiles = reader.profiles(root);
        }
        Err(error) => {
            let end = file.text.len();
            let span = error.span().unwrap_or(end..end);
            let message = "this is not TOML".to_owned();
            reader.report(span, message, Some(single_line(error.message())));
        }
    }
    contents.problems = reader.problems;
    contents
}

/// The section whose `retries` may be a table.
const RUN: &str = "run";

/// The name of the table that holds the profiles.
const PROFILE: &str = "profile";

pub(super) struct Reader<'a> {
    pub(super) file: &'a ConfigFile,
    pub(super) problems: Vec<Problem>,
}

impl Reader<'_> {
    /// The sections of a table, which is the root or, with its name, a profile.
    fn sections(&mut self, table: &dyn TableLike, source: Source, profile: Option<&str>) -> Said {
        let mut said = Said::default();
        for (name, item) in table.iter() {
            if profile.is_none() && name == PROFILE {
                continue;
            }
            if name == overrides::OVERRIDES {
                said.overrides = overrides::read(self, table, item, source);
            } else if name == groups::TEST_GROUPS {
                said.groups = groups::read_groups(self, table, item);
                said.defined
                    .extend(defined::of_section(self, name, item, source));
            } else if name == scripts::SCRIPTS {
                said.scripts = scripts::read(self, table, item);
                said.defined
                    .extend(defined::of_section(self, name, item, source));
            } else if name == limits::LIMITS {
                said.sets = self.sets(table, item, source, profile);
            } else if !keys::is_section(name) {
                self.unknown_section(table, name, item, profile);
            } else if let Some(section) = item.as_table_like() {
                self.keys(section, name, source, &mut said.entries);
            } else {
                let message = format!("`{name}` is a section, not a key");
                self.report(
                    key_span(table, name, item),
                    message,
                    Some(format!(
                        "its keys stand below a line {}",
                        header(profile, name)
                    )),
                );
            }
        }
        said
    }

    /// The tables below `[limits]`.
    fn sets(
        &mut self,
        table: &dyn TableLike,
        item: &Item,
        source: Source,
        profile: Option<&str>,
    ) -> Vec<SetTable> {
        let example = header(profile, "limits.mine");
        let expected = format!("a set is a table such as {example}");
        let Some(sets) = item.as_table_like() else {
            let message = format!("`{}` holds sets of limits by their names", limits::LIMITS);
            self.report(
                key_span(table, limits::LIMITS, item),
                message,
                Some(expected),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (name, item) in sets.iter() {
            let span = key_span(sets, name, item);
            let shown = name.escape_debug();
            let Some(set) = item.as_table_like() else {
                let message = format!("`{shown}` is not a set of limits");
                self.report(span, message, Some(expected.clone()));
                continue;
            };
            if !limits::is_name(name) {
                let message = format!("a set of limits can't be called `{shown}`");
                self.report(span, message, Some(limits::NAME_RULE.to_owned()));
                continue;
            }
            tables.push(SetTable {
                name: name.to_owned(),
                values: self.limits(set, name, source),
            });
        }
        tables
    }

    /// The keys of one set.
    fn limits(&mut self, set: &dyn TableLike, name: &str, source: Source) -> Vec<LimitEntry> {
        let mut values = Vec::new();
        for (leaf, item) in set.iter() {
            let full = format!("{}.{name}.{leaf}", limits::LIMITS);
            let Some(key) = LimitKey::find(leaf) else {
                let message = format!("there is no key `{}`", full.escape_debug());
                let expected = LimitKey::instead_of(leaf);
                self.report_key(key_span(set, leaf, item), &full, message, expected);
                continue;
            };
            let span = item.span().unwrap_or_else(|| key_span(set, leaf, item));
            let given = given(item);
            if key.accepts(&given) {
                let place = self.place(span);
                let origin = Origin { source, place };
                values.push(LimitEntry { key, given, origin });
            } else {
                let message = format!("`{full}` can't be {}", given.shown());
                self.report_key(span, &full, message, key.expectation());
            }
        }
        values
    }

    fn keys(
        &mut self,
        section: &dyn TableLike,
        section_name: &str,
        source: Source,
        entries: &mut Vec<Entry>,
    ) {
        for (leaf, item) in section.iter() {
            let name = format!("{section_name}.{leaf}");
            if section_name == RUN && self.is_retries(section, leaf, item, source, entries) {
                continue;
            }
            let Some(key) = keys::find(&name) else {
                let message = format!("there is no key `{}`", name.escape_debug());
                let expected = suggestion(&name, section_name);
                self.report_key(key_span(section, leaf, item), &name, message, expected);
                continue;
            };
            let span = item.span().unwrap_or_else(|| key_span(section, leaf, item));
            let given = given(item);
            if key.accepts(&given) {
                let place = self.place(span);
                entries.push(Entry {
                    key,
                    given,
                    origin: Origin { source, place },
                });
            } else {
                self.report_key(span, &name, key.refusal(&given), key.expectation(&given));
            }
        }
    }

    /// Reads `retries` of `[run]` where it is a table, and refuses the keys that say the same beside it. Returns
    /// whether it was one of these.
    fn is_retries(
        &mut self,
        run: &dyn TableLike,
        leaf: &str,
        item: &Item,
        source: Source,
        entries: &mut Vec<Entry>,
    ) -> bool {
        let Some(table) = run.get(RETRIES).and_then(Item::as_table_like) else {
            return false;
        };
        if leaf.starts_with(retries::OF_TABLE) {
            let message = format!(
                "`{}` stands beside a table `{RETRIES}`",
                leaf.escape_debug()
            );
            let expected = format!("write it into the table, or `{RETRIES}` as a number");
            self.report(key_span(run, leaf, item), message, Some(expected));
            return true;
        }
        if leaf != RETRIES {
            return false;
        }
        let span = item.span().unwrap_or_else(|| key_span(run, leaf, item));
        if let Some(read) = retries::read_table(self, table, span.clone()) {
            let place = self.place(span);
            entries.extend(
                retries::as_keys(&read)
                    .into_iter()
                    .filter_map(|(name, given)| {
                        let place = place.clone();
                        let origin = Origin { source, place };
                        let key = keys::find(name)?;
                        Some(Entry { key, given, origin })
                    }),
            );
        }
        true
    }

    /// The tables below `[profile]`.
    fn profiles(&mut self, root: &dyn TableLike) -> Vec<(String, Said)> {
        let Some(item) = root.get(PROFILE) else {
            return Vec::new();
        };
        let Some(table) = item.as_table_like() else {
            self.no_profile(key_span(root, PROFILE, item));
            return Vec::new();
        };
        let mut profiles = Vec::new();
        for (name, item) in table.iter() {
            let span = key_span(table, name, item);
            let Some(profile) = item.as_table_like() else {
                self.no_profile(span);
                continue;
            };
            if name == DEFAULT_PROFILE {
                self.report(
                    span,
                    "the profile `default` is the sections outside of any profile".to_owned(),
                    Some("write [run] for [profile.default.run]".to_owned()),
                );
            }
            let source = Source::Profile(self.file.level);
            let said = self.sections(profile, source, Some(name));
            profiles.push((name.to_owned(), said));
        }
        profiles
    }

    fn no_profile(&mut self, span: Range<usize>) {
        self.report(
            span,
            "this is not a profile".to_owned(),
            Some("a profile is tables such as [profile.ci.run]".to_owned()),
        );
    }

    fn unknown_section(
        &mut self,
        table: &dyn TableLike,
        name: &str,
        item: &Item,
        profile: Option<&str>,
    ) {
        let shown = name.escape_debug();
        let span = key_span(table, name, item);
        let is_section = item.as_table_like().is_some() || item.is_array_of_tables();
        let sections = KEYS.iter().map(Key::section);
        let own = [
            limits::LIMITS,
            groups::TEST_GROUPS,
            scripts::SCRIPTS,
            overrides::OVERRIDES,
        ];
        let sections = sections.chain(own);
        let top = profile.is_none().then_some(PROFILE);
        let near = keys::nearest_of(name, sections.chain(top));
        if let Some(near) = near.filter(|_| is_section) {
            let expected = format!("did you mean `{near}`?");
            self.report(
                span,
                format!("there is no section `{shown}`"),
                Some(expected),
            );
        } else if let Some(near) = keys::nearest(name) {
            let (section, leaf) = near.split_once('.').unwrap_or(("", near));
            let header = header(profile, section);
            let expected = if leaf == name {
                format!("it belongs below {header}")
            } else {
                format!("did you mean `{leaf}` below {header}?")
            };
            self.report(
                span,
                format!("`{shown}` stands outside of any section"),
                Some(expected),
            );
        } else {
            let message = format!("there is no section `{shown}`");
            self.report(span, message, Some(keys::all_sections()));
        }
    }

    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place::File(Spot::new(self.file.path.clone(), &self.file.text, span))
    }

    pub(super) fn report(&mut self, span: Range<usize>, message: String, expected: Option<String>) {
        let place = self.place(span);
        self.problems.push(Problem {
            source: Source::File(self.file.level),
            place,
            key: None,
            message,
            expected,
        });
    }

    /// Reports a value that a key can't have, and what it may be.
    pub(super) fn refuse(
        &mut self,
        span: Range<usize>,
        name: &str,
        given: &Given,
        expected: impl Display,
    ) {
        let message = format!("`{name}` can't be {}", given.shown());
        self.report(span, message, Some(format!("expected {expected}")));
    }

    /// Reports a key that is none of the `known` ones of what is `whose`.
    pub(super) fn no_such_key<const N: usize>(
        &mut self,
        table: &dyn TableLike,
        name: &str,
        item: &Item,
        whose: &str,
        known: [&'static str; N],
    ) {
        let message = format!("{whose} has no key `{}`", name.escape_debug());
        let expected = match keys::nearest_of(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its keys are {}", known.join(", ")),
        };
        self.report(key_span(table, name, item), message, Some(expected));
    }

    fn report_key(&mut self, span: Range<usize>, key: &str, message: String, expected: String) {
        let place = self.place(span);
        self.problems.push(Problem {
            source: Source::File(self.file.level),
            place,
            key: Some(key.to_owned()),
            message,
            expected: Some(expected),
        });
    }
}

/// The profile that always exists.
pub(super) const DEFAULT_PROFILE: &str = "default";

fn suggestion(name: &str, section: &str) -> String {
    match keys::nearest(name) {
        Some(near) => match near.split_once('.') {
            Some((same, leaf)) if same == section => format!("did you mean `{leaf}`?"),
            _ => format!("did you mean `{near}`?"),
        },
        None => keys::of_section(section),
    }
}

pub(super) fn given(item: &Item) -> Given {
    match item.as_value() {
        Some(Value::String(text)) => Given::Text(text.value().clone()),
        Some(Value::Integer(number)) => Given::Integer(*number.value()),
        Some(Value::Boolean(value)) => Given::Boolean(*value.value()),
        Some(Value::Float(number)) => Given::Fraction(number.value().to_string()),
        Some(Value::Datetime(_)) => Given::Other("a date"),
        Some(Value::Array(_)) => Given::Other("a list"),
        Some(Value::InlineTable(_)) | None => Given::Other("a table"),
    }
}

/// Where a key stands. Every key that was parsed has a place; should one have none, its value has.
pub(super) fn key_span(table: &dyn TableLike, name: &str, item: &Item) -> Range<usize> {
    table
        .key(name)
        .and_then(toml_edit::Key::span)
        .or_else(|| item.span())
        .unwrap_or_default()
}

fn header(profile: Option<&str>, section: &str) -> String {
    match profile {
        Some(profile) => format!("[{PROFILE}.{}.{section}]", profile.escape_debug()),
        None => format!("[{section}]"),
    }
}

pub(super) fn single_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(", ")
}
