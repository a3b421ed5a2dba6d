//! `ports` of an override: how many, or which. Pure.

use std::ops::Range;

use toml_edit::Item;
use toml_edit::TableLike;
use toml_edit::Value;

use super::document::Reader;
use super::document::given;
use super::document::key_span;
use crate::port::MOST_PORTS;
use crate::port::TestPorts;
use crate::port::Which;

/// The key.
pub(super) const PORTS: &str = "ports";

const COUNT: &str = "count";
const NUMBERS: &str = "numbers";
const LISTEN: &str = "listen";

const EXPECTED: &str = "how many, such as 2, or which, such as [8080]";

/// Reads the value; whatever it can't be is a problem at its place.
pub(super) fn read(reader: &mut Reader<'_>, item: &Item, span: Range<usize>) -> Option<TestPorts> {
    if let Some(table) = item.as_table_like() {
        return table_of(reader, table, span);
    }
    if let Some(list) = item.as_array() {
        return list_of(reader, list.iter(), span).map(TestPorts::from);
    }
    count_of(reader, item, span).map(TestPorts::from)
}

/// Reads the long form, which also says how the test gets its ports.
fn table_of(
    reader: &mut Reader<'_>,
    table: &dyn TableLike,
    span: Range<usize>,
) -> Option<TestPorts> {
    let before = reader.problems.len();
    let (mut which, mut listen, mut both) = (None, false, false);
    for (name, item) in table.iter() {
        let place = item.span().unwrap_or_else(|| key_span(table, name, item));
        let read = match name {
            COUNT => count_of(reader, item, place),
            NUMBERS => numbers_of(reader, item, place),
            LISTEN => {
                match item.as_bool() {
                    Some(value) => listen = value,
                    None => reader.refuse(place, LISTEN, &given(item), "true or false"),
                }
                None
            }
            other => {
                reader.no_such_key(table, other, item, PORTS, [COUNT, NUMBERS, LISTEN]);
                None
            }
        };
        both |= which.is_some() && read.is_some();
        which = which.or(read);
    }
    if reader.problems.len() == before && (which.is_none() || both) {
        let message = format!("`{PORTS}` says neither how many ports nor which, or both");
        let expected = format!("`{COUNT} = 2`, or `{NUMBERS} = [8080]`");
        reader.report(span, message, Some(expected));
    }
    let which = which.filter(|_| reader.problems.len() == before)?;
    Some(TestPorts { which, listen })
}

fn numbers_of(reader: &mut Reader<'_>, item: &Item, span: Range<usize>) -> Option<Which> {
    let Some(list) = item.as_array() else {
        let expected = "a list of ports, such as [8080]";
        reader.refuse(span, NUMBERS, &given(item), expected);
        return None;
    };
    list_of(reader, list.iter(), span)
}

fn count_of(reader: &mut Reader<'_>, item: &Item, span: Range<usize>) -> Option<Which> {
    let count = item
        .as_integer()
        .and_then(|count| usize::try_from(count).ok());
    if let Some(count) = count.filter(|&count| count <= MOST_PORTS) {
        return Some(Which::Any(count));
    }
    let message = format!("`{PORTS}` can't be {}", given(item).shown());
    let expected = match item.as_integer() {
        Some(_) => format!("a test may have 0 to {MOST_PORTS} of them; [8080] is the port 8080"),
        None => format!("expected {EXPECTED}"),
    };
    reader.report(span, message, Some(expected));
    None
}

fn list_of<'a>(
    reader: &mut Reader<'_>,
    list: impl Iterator<Item = &'a Value>,
    span: Range<usize>,
) -> Option<Which> {
    let before = reader.problems.len();
    let mut numbers = Vec::new();
    for value in list {
        let place = value.span().unwrap_or_else(|| span.clone());
        let number = value
            .as_integer()
            .and_then(|number| u16::try_from(number).ok());
        match number.filter(|&number| number != 0) {
            None => {
                let shown = given(&Item::Value(value.clone())).shown();
                let expected = "expected a number from 1 to 65535".to_owned();
                reader.report(place, format!("a port can't be {shown}"), Some(expected));
            }
            Some(number) if numbers.contains(&number) => {
                let message = format!("the port {number} is named twice");
                reader.report(place, message, Some("once is enough".to_owned()));
            }
            Some(number) => numbers.push(number),
        }
    }
    if numbers.len() > MOST_PORTS {
        let message = format!("`{PORTS}` names {} ports", numbers.len());
        reader.report(span, message, Some(format!("a test may have {MOST_PORTS}")));
    }
    // Who takes several takes them in this order, so that no two wait for each other.
    numbers.sort_unstable();
    (reader.problems.len() == before).then(|| Which::Fixed(numbers.into()))
}

#[cfg(test)]
mod tests {
    use crate::config::Problems;
    use crate::config::overrides::tests::config;

    /// The ports of an override, as they are shown.
    fn ports(value: &str) -> Result<String, Problems> {
        let text = format!("[[overrides]]\nfilter = 'all()'\nports = {value}");
        let ports = config(&text)?.overrides[0].ports.clone();
        Ok(ports.unwrap().to_string())
    }

    #[test]
    fn how_many_or_which() {
        for (value, read) in [
            ("2", "2"),
            ("0", "0"),
            ("64", "64"),
            ("[]", "[]"),
            ("[9000, 1, 65535]", "[1, 9000, 65535]"),
            ("{ count = 2 }", "2"),
            (
                "{ listen = true, count = 2 }",
                "{ count = 2, listen = true }",
            ),
            ("{ numbers = [80], listen = false }", "[80]"),
            (
                "{ numbers = [90, 80], listen = true }",
                "{ numbers = [80, 90], listen = true }",
            ),
        ] {
            assert_eq!(ports(value).unwrap(), read);
        }
    }

    #[test]
    fn mistakes_are_named_where_they_are() {
        let list: Vec<_> = (1..=65).collect();
        let list = format!("{list:?}");
        for (value, place, message, expected) in [
            ("65", "3:9", "`ports` can't be `65`", "0 to 64 of them"),
            (
                "8080",
                "3:9",
                "`ports` can't be `8080`",
                "[8080] is the port",
            ),
            ("-1", "3:9", "`ports` can't be `-1`", "0 to 64 of them"),
            ("'2'", "3:9", "`ports` can't be `2`", "expected how many"),
            ("[80, 65536]", "3:14", "can't be `65536`", "from 1 to 65535"),
            ("[0]", "3:10", "can't be `0`", "from 1 to 65535"),
            ("['a']", "3:10", "can't be `a`", "from 1 to 65535"),
            (
                "[80, 90, 80]",
                "3:18",
                "80 is named twice",
                "once is enough",
            ),
            (
                "{ listen = true }",
                "3:9",
                "neither how many ports nor which",
                "`numbers = [8080]`",
            ),
            (
                "{ count = 1, numbers = [80] }",
                "3:9",
                "or both",
                "`count = 2`",
            ),
            (
                "{ count = 1, listen = 1 }",
                "3:31",
                "`listen` can't be `1`",
                "true or false",
            ),
            (
                "{ count = 1, lisen = true }",
                "3:22",
                "lisen",
                "did you mean `listen`?",
            ),
            (
                "{ numbers = 80 }",
                "3:21",
                "`numbers` can't be `80`",
                "a list of ports",
            ),
            (&list, "3:9", "names 65 ports", "a test may have 64"),
        ] {
            let shown = ports(value).unwrap_err().to_string();
            for part in [&format!("stt.toml:{place}"), message, expected] {
                assert!(shown.contains(part), "{value}: {shown}");
            }
        }
    }
}
