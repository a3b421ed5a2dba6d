//! What `[test-groups]` and `[scripts]` define, for whoever wants to see it with where it comes from. Pure.

use toml_edit::Array;
use toml_edit::InlineTable;
use toml_edit::Item;
use toml_edit::TableLike;
use toml_edit::Value;

use super::document::Reader;
use super::document::key_span;
use super::groups::TEST_GROUPS;
use super::resolve::ResolvedValue;
use super::source::Origin;
use super::source::Source;

/// What a section of this name defines: each group, or each script of each kind.
pub(super) fn of_section(
    reader: &Reader<'_>,
    section: &str,
    item: &Item,
    source: Source,
) -> Vec<ResolvedValue> {
    let Some(table) = item.as_table_like() else {
        return Vec::new();
    };
    if section == TEST_GROUPS {
        return of_table(reader, section, table, source);
    }
    let kinds = table.iter().filter_map(|(kind, item)| {
        let kind = format!("{section}.{kind}");
        Some(of_table(reader, &kind, item.as_table_like()?, source))
    });
    kinds.flatten().collect()
}

fn of_table(
    reader: &Reader<'_>,
    whose: &str,
    table: &dyn TableLike,
    source: Source,
) -> Vec<ResolvedValue> {
    let defined = table.iter().filter_map(|(name, item)| {
        let place = reader.place(key_span(table, name, item));
        Some(ResolvedValue {
            key: format!("{whose}.{name}").into(),
            written: on_one_line(item)?,
            origin: Origin { source, place },
        })
    });
    defined.collect()
}

/// Of those with the same name the last one, where the first one stands.
pub(super) fn last_of_each(defined: Vec<ResolvedValue>) -> Vec<ResolvedValue> {
    let mut each: Vec<ResolvedValue> = Vec::new();
    for one in defined {
        match each.iter_mut().find(|known| known.key == one.key) {
            Some(known) => *known = one,
            None => each.push(one),
        }
    }
    each
}

/// A table as a value, without its comments.
fn on_one_line(item: &Item) -> Option<String> {
    let value = item.clone().into_value().ok()?;
    Some(bare(&value).to_string())
}

fn bare(value: &Value) -> Value {
    match value {
        Value::Array(array) => Value::Array(array.iter().map(bare).collect::<Array>()),
        Value::InlineTable(table) => {
            let entries = table.iter().map(|(key, value)| (key, bare(value)));
            Value::InlineTable(entries.collect::<InlineTable>())
        }
        Value::String(text) => text.value().as_str().into(),
        Value::Integer(number) => (*number.value()).into(),
        Value::Float(number) => (*number.value()).into(),
        Value::Boolean(flag) => (*flag.value()).into(),
        Value::Datetime(date) => (*date.value()).into(),
    }
}
