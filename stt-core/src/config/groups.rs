//! `[test-groups]`, and what overrides say of when tests run. Pure.

use std::num::NonZeroUsize;
use std::ops::Range;

use toml_edit::Item;
use toml_edit::TableLike;

use super::document::Reader;
use super::document::given;
use super::document::key_span;
use super::given::Given;
use super::limits::NAME_RULE;
use super::limits::is_name;
use crate::scheduling::NO_GROUP;
use crate::scheduling::Places;
use crate::scheduling::Scheduling;
use crate::scheduling::TestGroup;

/// The section.
pub(super) const TEST_GROUPS: &str = "test-groups";

/// The keys of an override.
pub(super) const SCHEDULING: [&str; 3] = [THREADS_REQUIRED, TEST_GROUP, PRIORITY];

/// The key that names a group.
pub(super) const TEST_GROUP: &str = "test-group";
const THREADS_REQUIRED: &str = "threads-required";
const PRIORITY: &str = "priority";
const MAX_THREADS: &str = "max-threads";

/// The most places that can be asked for.
const MOST: usize = 1_000_000;

/// Reads one of the keys of an override; whatever it can't be is a problem at its place.
pub(super) fn read(
    reader: &mut Reader<'_>,
    scheduling: &mut Scheduling,
    name: &str,
    item: &Item,
    span: Range<usize>,
) {
    let given = given(item);
    let expected = match name {
        THREADS_REQUIRED => {
            let words = [
                ("num-cpus", Places::Cpus),
                ("num-test-threads", Places::TestThreads),
            ];
            scheduling.threads_required = places(&given, &words);
            let expected = r#"a number from 1 on, "num-cpus" or "num-test-threads""#;
            scheduling.threads_required.is_none().then_some(expected)
        }
        TEST_GROUP => {
            let name = given
                .word()
                .filter(|name| is_name(name) || *name == NO_GROUP);
            scheduling.group = name.map(Into::into);
            let expected = "the name of a group of [test-groups], or \"@global\"";
            scheduling.group.is_none().then_some(expected)
        }
        _ => {
            let number = given.integer().and_then(|number| i8::try_from(number).ok());
            scheduling.priority = number.filter(|number| (-100..=100).contains(number));
            scheduling
                .priority
                .is_none()
                .then_some("a number from -100 to 100")
        }
    };
    if let Some(expected) = expected {
        reader.refuse(span, name, &given, expected);
    }
}

/// Reads the section.
pub(super) fn read_groups(
    reader: &mut Reader<'_>,
    table: &dyn TableLike,
    item: &Item,
) -> Vec<TestGroup> {
    let example = "a group is a line such as db = { max-threads = 1 }";
    let Some(section) = item.as_table_like() else {
        let message = format!("`{TEST_GROUPS}` holds groups of tests by their names");
        let span = key_span(table, TEST_GROUPS, item);
        reader.report(span, message, Some(example.to_owned()));
        return Vec::new();
    };
    let mut groups = Vec::new();
    for (name, item) in section.iter() {
        let span = key_span(section, name, item);
        let shown = name.escape_debug();
        if !is_name(name) {
            let message = format!("a group of tests can't be called `{shown}`");
            reader.report(span, message, Some(NAME_RULE.to_owned()));
            continue;
        }
        let Some(group) = item.as_table_like() else {
            reader.report(
                span,
                format!("`{shown}` is not a group of tests"),
                Some(example.to_owned()),
            );
            continue;
        };
        groups.extend(read_group(reader, name, group, span));
    }
    groups
}

fn read_group(
    reader: &mut Reader<'_>,
    name: &str,
    group: &dyn TableLike,
    span: Range<usize>,
) -> Option<TestGroup> {
    let before = reader.problems.len();
    for (key, item) in group.iter().filter(|(key, _)| *key != MAX_THREADS) {
        let message = format!("a group of tests has no key `{}`", key.escape_debug());
        let expected = format!("its only key is {MAX_THREADS}");
        reader.report(key_span(group, key, item), message, Some(expected));
    }
    let expected = r#"a number from 1 on, or "num-cpus""#;
    let Some(item) = group.get(MAX_THREADS) else {
        let message = format!("`{name}` does not say how many of its tests may run at once");
        reader.report(
            span,
            message,
            Some(format!("it needs `{MAX_THREADS}`: {expected}")),
        );
        return None;
    };
    let given = given(item);
    let max_threads = places(&given, &[("num-cpus", Places::Cpus)]);
    if max_threads.is_none() {
        reader.refuse(item.span().unwrap_or(span), MAX_THREADS, &given, expected);
    }
    let max_threads = max_threads.filter(|_| reader.problems.len() == before)?;
    Some(TestGroup {
        name: name.into(),
        max_threads,
    })
}

fn places(given: &Given, words: &[(&str, Places)]) -> Option<Places> {
    if given.word().is_some() {
        return given.choice(words);
    }
    let count = usize::try_from(given.integer()?).ok();
    let count = count
        .filter(|&count| count <= MOST)
        .and_then(NonZeroUsize::new);
    count.map(Places::Count)
}
