//! Dates as engines write them. Pure.

use std::time::Duration;

/// The time since 1970 of a date in the head of an answer (RFC 9110, 5.6.7): `Thu, 01 Jan 2026 10:00:00 GMT`.
pub(super) fn http(text: &str) -> Option<Duration> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.strip_suffix(" GMT")?.split(' ').skip(1);
    let day = number(words.next()?)?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)?;
    let year = number(words.next()?)?;
    let time = clock(words.next()?)?;
    let days = days(year, u64::try_from(month).ok()? + 1, day)?;
    let is_all = words.next().is_none();
    is_all.then(|| Duration::from_secs(days * DAY + time))
}

/// The same of a date in a body (RFC 3339): `2026-01-01T11:00:00.123456789+01:00`.
pub(super) fn rfc3339(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once('T')?;
    let mut parts = date.split('-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let zone = time.find(['Z', '+', '-'])?;
    let (time, zone) = time.split_at(zone);
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let nanos = number(&format!("{fraction:0<9.9}"))?;
    let local = days(year, month, day)? * DAY + clock(whole)?;
    let seconds = if zone == "Z" {
        local
    } else {
        let offset = clock(&format!("{}:00", &zone[1..]))?;
        if zone.starts_with('+') {
            local.checked_sub(offset)?
        } else {
            local + offset
        }
    };
    Some(Duration::new(seconds, u32::try_from(nanos).ok()?))
}

/// Seconds.
const DAY: u64 = 24 * 60 * 60;

fn number(text: &str) -> Option<u64> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// The seconds since midnight of `10:00:00`.
fn clock(text: &str) -> Option<u64> {
    let mut parts = text.split(':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // A minute may have 61 seconds.
    let sound = hour < 24 && minute < 60 && second <= 60 && parts.next().is_none();
    sound.then_some((hour * 60 + minute) * 60 + second)
}

/// The days from 1970-01-01 to a date in the Gregorian calendar; `None` before, and of no such date. Years are counted
/// from March on, so that the leap day is the last of its year: then the months before it have 153 days for every five.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year / 4 - year / 100 + year / 400;
    let since_0000_03_01 = 365 * year + leaps + (153 * month + 2) / 5 + day - 1;
    since_0000_03_01.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_moment_is_the_same_in_every_form() {
        for (seconds, http_text, texts) in [
            (
                0,
                "Thu, 01 Jan 1970 00:00:00 GMT",
                ["1970-01-01T00:00:00Z", "1970-01-01T02:00:00+02:00"],
            ),
            (
                951_782_400,
                "Tue, 29 Feb 2000 00:00:00 GMT",
                ["2000-02-29T00:00:00Z", "2000-02-28T18:30:00-05:30"],
            ),
            (
                1_767_225_599,
                "Wed, 31 Dec 2025 23:59:59 GMT",
                ["2025-12-31T23:59:59.000Z", "2026-01-01T00:59:59+01:00"],
            ),
        ] {
            let expected = Some(Duration::from_secs(seconds));
            assert_eq!(http(http_text), expected, "{http_text}");
            for text in texts {
                assert_eq!(rfc3339(text), expected, "{text}");
            }
        }
        let fine = Some(Duration::new(1, 120_000_000));
        assert_eq!(rfc3339("1970-01-01T00:00:01.12Z"), fine);
        let finest = Some(Duration::new(1, 123_456_789));
        assert_eq!(rfc3339("1970-01-01T00:00:01.123456789Z"), finest);
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "now",
            "Thu, 01 Foo 2026 10:00:00 GMT",
            "Thu, 01 Jan 2026 10:00:00",
            "Thu, 32 Jan 2026 10:00:00 GMT",
            "Thu, 01 Jan 2026 24:00:00 GMT",
            "Thu, 01 Jan 2026 10:00:00 CET GMT",
        ] {
            assert_eq!(http(text), None, "{text}");
        }
        for text in [
            "",
            "0001-01-01T00:00:00Z",
            "2026-01-01",
            "2026-01-01T10:00:00",
            "2026-13-01T10:00:00Z",
            "2026-01-01T10:00:00.x1Z",
            "2026-01-01T10:00:00+é",
            "2026-01-01T10:00Z",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
