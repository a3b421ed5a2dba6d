//! The times of `[run]` and of overrides: `slow-timeout` and what belongs to it. Pure.

use std::ops::Range;
use std::time::Duration;

use toml_edit::Item;
use toml_edit::TableLike;

use super::document::Reader;
use super::document::given;
use super::document::key_span;
use super::given::Given;
use crate::times::TestTimes;

/// The keys of an override.
pub(super) const TIMES: [&str; 4] = [SLOW_TIMEOUT, TERMINATE_AFTER, GRACE_PERIOD, LEAK_TIMEOUT];

const SLOW_TIMEOUT: &str = "slow-timeout";
const TERMINATE_AFTER: &str = "terminate-after";
const GRACE_PERIOD: &str = "grace-period";
const LEAK_TIMEOUT: &str = "leak-timeout";

/// The keys of `slow-timeout` where it is a table, as nextest has it.
const NAMES: [&str; 3] = [PERIOD, TERMINATE_AFTER, GRACE_PERIOD];
const PERIOD: &str = "period";

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// What a key of an override may be.
const A_SLOW_TIMEOUT: &str = r#"a time from "1ms" to "365d", such as "60s", or a table such as { period = "60s", terminate-after = 2 }"#;
const A_COUNT: &str = "a number; 0 for never";
const A_TIME: &str = r#"a time from "0s" to "1h", such as "10s""#;

/// After which time a test is slow.
pub(super) fn slow_timeout(given: &Given) -> Option<Duration> {
    given.time(&(MILLISECOND..=YEAR))
}

/// After how many slow timeouts a test is ended; 0 for never.
pub(super) fn terminate_after(given: &Given) -> Option<usize> {
    let count = usize::try_from(given.integer()?).ok();
    count.filter(|&n| n <= 1_000_000)
}

/// How long a test that is ended may take, or its output may stay open.
pub(super) fn short(given: &Given) -> Option<Duration> {
    given.time(&(Duration::ZERO..=HOUR))
}

/// Reads one of the [`TIMES`]; whatever it can't be is a problem at its place.
pub(super) fn read(
    reader: &mut Reader<'_>,
    times: &mut TestTimes,
    name: &str,
    item: &Item,
    span: Range<usize>,
) {
    if name == SLOW_TIMEOUT
        && let Some(table) = item.as_table_like()
    {
        return read_table(reader, times, table);
    }
    let given = given(item);
    let expected = match name {
        SLOW_TIMEOUT => {
            times.slow_timeout = slow_timeout(&given);
            times.slow_timeout.is_none().then_some(A_SLOW_TIMEOUT)
        }
        TERMINATE_AFTER => {
            times.terminate_after = terminate_after(&given);
            times.terminate_after.is_none().then_some(A_COUNT)
        }
        GRACE_PERIOD => {
            times.grace_period = short(&given);
            times.grace_period.is_none().then_some(A_TIME)
        }
        _ => {
            times.leak_timeout = short(&given);
            times.leak_timeout.is_none().then_some(A_TIME)
        }
    };
    if let Some(expected) = expected {
        reader.refuse(span, name, &given, expected);
    }
}

/// A table says all of it: without a count the test is never ended for its time.
fn read_table(reader: &mut Reader<'_>, times: &mut TestTimes, table: &dyn TableLike) {
    times.terminate_after = Some(0);
    for (name, item) in table.iter() {
        let span = item.span().unwrap_or_else(|| key_span(table, name, item));
        match name {
            PERIOD => read(reader, times, SLOW_TIMEOUT, item, span),
            TERMINATE_AFTER | GRACE_PERIOD => read(reader, times, name, item, span),
            other => {
                reader.no_such_key(table, other, item, &format!("`{SLOW_TIMEOUT}`"), NAMES);
            }
        }
    }
    if table.get(PERIOD).is_none() {
        let span = table.iter().next().and_then(|(_, item)| item.span());
        let message = format!("`{SLOW_TIMEOUT}` does not say after which time");
        let expected = format!("it needs `{PERIOD}`, such as \"60s\"");
        reader.report(span.unwrap_or_default(), message, Some(expected));
    }
}
