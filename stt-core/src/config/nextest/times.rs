//! Times as nextest reads them: one or more numbers with units, which add up. Pure.

use std::time::Duration;

const SECOND: u128 = 1_000_000_000;
const DAY: u128 = 86_400 * SECOND;

/// Each unit with its names and its nanoseconds. A year has 365.25 days, and a month is its twelfth part,
/// rounded to 30.44 days.
const UNITS: [(&[&str], u128); 10] = [
    (&["ns", "nsec", "nanos"], 1),
    (&["us", "µs", "usec"], 1_000),
    (&["ms", "msec", "millis"], 1_000_000),
    (&["s", "sec", "secs", "second", "seconds"], SECOND),
    (&["m", "min", "mins", "minute", "minutes"], 60 * SECOND),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600 * SECOND),
    (&["d", "day", "days"], DAY),
    (&["w", "wk", "wks", "week", "weeks"], 7 * DAY),
    (&["M", "month", "months"], 2_630_016 * SECOND),
    (
        &["y", "yr", "yrs", "year", "years"],
        365 * DAY + 21_600 * SECOND,
    ),
];

/// Reads a time such as `1m 30s` or `2hours`; `None` when it is none, or too long to be told.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].trim_start();
        let letters = unit
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(unit.len());
        let (name, after) = unit.split_at(letters);
        let (_, factor) = UNITS.iter().find(|(names, _)| names.contains(&name))?;
        nanos = nanos.checked_add(u128::from(number) * factor)?;
        rest = after.trim_start();
    }
    let seconds = u64::try_from(nanos / SECOND).ok()?;
    let part = u32::try_from(nanos % SECOND).ok()?;
    Some(Duration::new(seconds, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up() {
        for (text, millis) in [
            ("60s", 60_000),
            ("500 ms", 500),
            ("1m 30s", 90_000),
            ("1h30m", 5_400_000),
            ("2 hours 5min", 7_500_000),
            ("1w", 604_800_000),
            ("1M", 2_630_016_000),
            ("1year", 31_557_600_000),
            (" 3sec ", 3_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            " ",
            "5",
            "s",
            "1.5s",
            "1 parsec",
            "-1s",
            "1m30",
            "99999999999999999999s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("18446744073709551615y"), None);
    }
}
