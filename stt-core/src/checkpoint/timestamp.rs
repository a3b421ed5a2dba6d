//! A time as people read it in a checkpoint. Pure.

use std::time::SystemTime;

/// A time as RFC 3339 text in UTC, to the second; a time before 1970 becomes 1970.
pub fn timestamp(time: SystemTime) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of so many days after 1970-01-01, in the Gregorian calendar. Years are
/// counted from March on, so that the leap day is the last of its year: then the months before it
/// all have the same lengths, 153 days for every five.
pub(super) fn civil(days: u64) -> (u64, u64, u64) {
    const CENTURIES: u64 = 146_097; // days in 400 years
    let days = days + 719_468; // since 0000-03-01
    let (era, day) = (days / CENTURIES, days % CENTURIES);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next_year, month, of_month)
}
