//! `retries` of an override or of `[run]`: how often, or a table as nextest has it. Pure.

use std::ops::Range;
use std::time::Duration;

use toml_edit::Item;
use toml_edit::TableLike;

use super::document::Reader;
use super::document::given;
use super::document::key_span;
use super::given::Given;
use crate::retry::Backoff;
use crate::retry::LONGEST_DELAY;
use crate::retry::Retries;
use crate::units::write_duration;

/// The key.
pub(super) const RETRIES: &str = "retries";

/// What the keys of `[run]` begin with that the table stands for.
pub(super) const OF_TABLE: &str = "retry-";

/// The most retries.
const MOST: u32 = 1000;

const BACKOFF: &str = "backoff";
const COUNT: &str = "count";
const DELAY: &str = "delay";
const MAX_DELAY: &str = "max-delay";
const JITTER: &str = "jitter";
const NAMES: [&str; 5] = [BACKOFF, COUNT, DELAY, MAX_DELAY, JITTER];

const TABLE: &str = r#"a table such as { backoff = "fixed", count = 2, delay = "1s" }"#;

/// How often.
pub(super) fn count(given: &Given) -> Option<u32> {
    let count = u32::try_from(given.integer()?).ok();
    count.filter(|&count| count <= MOST)
}

/// A time before a retry.
pub(super) fn time(given: &Given) -> Option<Duration> {
    given.time(&(Duration::ZERO..=LONGEST_DELAY))
}

/// How that time grows.
pub(super) fn backoff(given: &Given) -> Option<Backoff> {
    given.choice(&[Backoff::Fixed, Backoff::Exponential].map(|one| (one.name(), one)))
}

/// Reads the value of an override; whatever it can't be is a problem at its place. A number is without a delay.
pub(super) fn read(reader: &mut Reader<'_>, item: &Item, span: Range<usize>) -> Option<Retries> {
    if let Some(table) = item.as_table_like() {
        return read_table(reader, table, span);
    }
    let given = given(item);
    let count = count(&given);
    if count.is_none() {
        let expected = format!("a number from 0 to {MOST}, or {TABLE}");
        reader.refuse(span, RETRIES, &given, expected);
    }
    count.map(|count| Retries {
        count,
        ..Retries::NONE
    })
}

/// The keys of `[run]` that say the same as a table.
pub(super) fn as_keys(retries: &Retries) -> [(&'static str, Given); 5] {
    let time = |time| Given::Text(write_duration(time));
    [
        ("run.retries", Given::Integer(retries.count.into())),
        ("run.retry-delay", time(retries.delay)),
        (
            "run.retry-backoff",
            Given::Text(retries.backoff.name().to_owned()),
        ),
        ("run.retry-jitter", Given::Boolean(retries.jitter)),
        ("run.retry-max-delay", time(retries.max_delay)),
    ]
}

/// The value of a key of the table and its place, where it is there and right.
type Found<T> = Option<(T, Range<usize>)>;

/// What a table says, before it is known whether that goes together.
struct Draft {
    backoff: Found<Backoff>,
    count: Found<u32>,
    delay: Found<Duration>,
    max_delay: Found<Duration>,
    jitter: Found<bool>,
}

/// What does not go together: where, what it is, and what it should be.
type Fault = (Range<usize>, String, String);

/// Reads a table; `span` is where it is.
pub(super) fn read_table(
    reader: &mut Reader<'_>,
    table: &dyn TableLike,
    span: Range<usize>,
) -> Option<Retries> {
    let before = reader.problems.len();
    for (name, item) in table.iter().filter(|(name, _)| !NAMES.contains(name)) {
        reader.no_such_key(table, name, item, &format!("`{RETRIES}`"), NAMES);
    }
    let draft = Draft {
        backoff: find(reader, table, BACKOFF, backoff),
        count: find(reader, table, COUNT, count),
        delay: find(reader, table, DELAY, time),
        max_delay: find(reader, table, MAX_DELAY, time),
        jitter: find(reader, table, JITTER, Given::boolean),
    };
    if reader.problems.len() > before {
        return None;
    }
    match draft.finish(span) {
        Ok(retries) => Some(retries),
        Err((span, message, expected)) => {
            reader.report(span, message, Some(expected));
            None
        }
    }
}

/// Reads one key of the table, when it is there.
fn find<T>(
    reader: &mut Reader<'_>,
    table: &dyn TableLike,
    name: &str,
    read: fn(&Given) -> Option<T>,
) -> Found<T> {
    let item = table.get(name)?;
    let span = item.span().unwrap_or_else(|| key_span(table, name, item));
    let given = given(item);
    let Some(value) = read(&given) else {
        let message = format!("`{name}` of `{RETRIES}` can't be {}", given.shown());
        let expected = match name {
            BACKOFF => r#"expected "fixed" or "exponential""#,
            COUNT => "expected a number from 0 to 1000",
            JITTER => "expected true or false",
            _ => r#"expected a time from "0s" to "1h", such as "1s""#,
        };
        reader.report(span, message, Some(expected.to_owned()));
        return None;
    };
    Some((value, span))
}

impl Draft {
    /// The table as a whole; `span` is where it is.
    fn finish(self, span: Range<usize>) -> Result<Retries, Fault> {
        let Some((backoff, _)) = self.backoff else {
            let message = format!("`{RETRIES}` does not say how the delay grows");
            let expected =
                format!(r#"it needs `{BACKOFF} = "fixed"` or `{BACKOFF} = "exponential"`"#);
            return Err((span, message, expected));
        };
        let Some((count, at_count)) = self.count else {
            let message = format!("`{RETRIES}` does not say how often");
            return Err((
                span,
                message,
                format!("it needs `{COUNT}`, such as `{COUNT} = 2`"),
            ));
        };
        let (delay, at_delay) = self.delay.unwrap_or((Duration::ZERO, span));
        let (jitter, at_jitter) = self.jitter.unwrap_or((false, 0..0));
        let needs_delay =
            || format!(r#"it needs a `{DELAY}` above zero, such as `{DELAY} = "1s"`"#);
        match (backoff, &self.max_delay) {
            (Backoff::Exponential, _) if count == 0 => {
                let message = format!("`{COUNT}` can't be `0` where the delay grows");
                let expected = format!("write `{RETRIES} = 0` where nothing is tried again");
                return Err((at_count, message, expected));
            }
            (Backoff::Exponential, _) if delay.is_zero() => {
                let message = "an exponential backoff has nothing that grows".to_owned();
                return Err((at_delay, message, needs_delay()));
            }
            (Backoff::Exponential, Some((most, at))) if *most < delay => {
                let message = format!("`{MAX_DELAY}` is below `{DELAY}`");
                let expected = format!("at least {}", write_duration(delay));
                return Err((at.clone(), message, expected));
            }
            (Backoff::Fixed, Some((_, at))) => {
                let message =
                    format!("`{MAX_DELAY}` bounds nothing, since a fixed delay stays the same");
                let expected = format!(r#"leave it out, or write `{BACKOFF} = "exponential"`"#);
                return Err((at.clone(), message, expected));
            }
            (Backoff::Fixed, None) if jitter && delay.is_zero() => {
                let message = format!("`{JITTER}` has no delay to shorten");
                return Err((at_jitter, message, needs_delay()));
            }
            (Backoff::Exponential | Backoff::Fixed, _) => {}
        }
        let max_delay = self.max_delay.map_or(LONGEST_DELAY, |(most, _)| most);
        Ok(Retries {
            count,
            delay,
            backoff,
            jitter,
            max_delay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Problems;
    use crate::config::overrides::tests::config;

    /// The retries of an override.
    fn retries(value: &str) -> Result<Retries, Problems> {
        let text = format!("[[overrides]]\nfilter = 'all()'\nretries = {value}");
        let retries = config(&text)?.overrides[0].retries.clone();
        Ok(*retries.unwrap())
    }

    const FULL: &str =
        r#"{ backoff = "exponential", count = 3, delay = "1s", max-delay = "10s", jitter = true }"#;

    #[test]
    fn how_often_or_a_table() {
        let fixed = Retries {
            count: 2,
            ..Retries::NONE
        };
        let full = Retries {
            count: 3,
            delay: Duration::from_secs(1),
            backoff: Backoff::Exponential,
            jitter: true,
            max_delay: Duration::from_secs(10),
        };
        let delayed = Retries {
            delay: Duration::from_millis(1500),
            ..fixed
        };
        for (value, expected) in [
            ("2", fixed),
            ("0", Retries::NONE),
            ("{ backoff = 'fixed', count = 2 }", fixed),
            ("{ backoff = 'fixed', count = 2, delay = '1.5s' }", delayed),
            (FULL, full),
        ] {
            assert_eq!(retries(value).unwrap(), expected, "{value}");
            assert_eq!(retries(&expected.to_string()).unwrap(), expected, "{value}");
        }
    }

    #[test]
    fn the_table_of_a_section_is_its_keys() {
        for text in [
            format!("[run]\nretries = {FULL}"),
            format!(
                "[run.retries]\n{}",
                FULL.trim_matches(['{', '}', ' ']).replace(", ", "\n")
            ),
            "[run]\nretries = 3\nretry-delay = '1s'\nretry-backoff = 'exponential'\n\
             retry-max-delay = '10s'\nretry-jitter = true"
                .to_owned(),
        ] {
            let expected = retries(FULL).unwrap();
            assert_eq!(config(&text).unwrap().run.retries, expected, "{text}");
        }
        // What a table leaves out is not taken from elsewhere.
        let text = "[run]\nretries = { backoff = 'fixed', count = 1 }";
        let shorter = config(text).unwrap().run.retries;
        assert_eq!((shorter.count, shorter.delay), (1, Duration::ZERO));
    }

    /// A value, and of its mistake the column, the message and the fix.
    type Mistake<'a> = (&'a str, usize, &'a str, &'a str);

    fn are_mistakes(mistakes: &[Mistake<'_>]) {
        for (value, column, message, expected) in mistakes {
            let place = format!("stt.toml:3:{column}");
            let shown = retries(value).unwrap_err().to_string();
            assert_eq!(shown.matches("-->").count(), 1, "{value}: {shown}");
            for part in [&place, *message, *expected] {
                assert!(shown.contains(part), "{value}: {shown}");
            }
        }
    }

    #[test]
    fn wrong_values_are_named_where_they_are() {
        let whole = "from 0 to 1000, or a table such as";
        are_mistakes(&[
            ("1001", 11, "`retries` can't be `1001`", whole),
            ("-1", 11, "`retries` can't be `-1`", whole),
            ("'2'", 11, "`retries` can't be `2`", whole),
        ]);
        let cases = [
            ("backoff = 'linear'", 13, "`linear`", "\"exponential\""),
            ("count = -1", 11, "`-1`", "from 0 to 1000"),
            ("delay = 1", 11, "`1`", "such as \"1s\""),
            ("max-delay = '2h'", 15, "`2h`", "to \"1h\""),
            ("jitter = 1", 12, "`1`", "true or false"),
        ];
        for (text, column, shown, expected) in cases {
            let key = text.split(' ').next().unwrap();
            let message = format!("`{key}` of `retries` can't be {shown}");
            let value = format!("{{ {text} }}");
            are_mistakes(&[(&value, column + 10, &message, expected)]);
        }
        let (message, expected) = ("no key `max_delay`", "did you mean `max-delay`?");
        are_mistakes(&[("{ max_delay = '1s' }", 13, message, expected)]);
    }

    #[test]
    fn what_does_not_go_together_is_named_where_it_is() {
        let cases = [
            (
                "count = 2",
                11,
                "how the delay grows",
                "backoff = \"fixed\"",
            ),
            (
                "backoff = 'fixed'",
                11,
                "does not say how often",
                "count = 2",
            ),
        ];
        for (text, column, message, expected) in cases {
            are_mistakes(&[(&format!("{{ {text} }}"), column, message, expected)]);
        }
        let fixed = [
            ("jitter = true", 9, "no delay to shorten", "delay = \"1s\""),
            ("max-delay = '1s'", 12, "bounds nothing", "leave it out"),
        ];
        for (text, column, message, expected) in fixed {
            let value = format!("{{ backoff = 'fixed', count = 1, {text} }}");
            are_mistakes(&[(&value, column + 43, message, expected)]);
        }
        let growing = [
            ("count = 1", 11, "nothing that grows", "delay = \"1s\""),
            (
                "count = 1, delay = '0s'",
                57,
                "nothing that grows",
                "above zero",
            ),
            ("count = 0, delay = '1s'", 46, "can't be `0`", "retries = 0"),
            (
                "count = 1, delay = '2s', max-delay = '1s'",
                75,
                "`max-delay` is below `delay`",
                "at least 2s",
            ),
        ];
        for (text, column, message, expected) in growing {
            let value = format!("{{ backoff = 'exponential', {text} }}");
            are_mistakes(&[(&value, column, message, expected)]);
        }
    }

    #[test]
    fn a_section_says_it_in_one_way() {
        let text = "[run]\nretry-delay = '1s'\nretries = { backoff = 'fixed', count = 1 }";
        let shown = config(text).unwrap_err().to_string();
        for part in [
            "stt.toml:2:1",
            "`retry-delay` stands beside a table",
            "`retries`",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
    }
}
