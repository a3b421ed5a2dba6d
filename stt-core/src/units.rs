//! Sizes, shares and times with their units, as people write and read them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An amount of memory or disk, in bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// So many binary megabytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The difference, zero when `other` is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This many percent of the amount, rounded down.
    #[must_use]
    pub fn percent(self, share: Percent) -> Self {
        let part = u128::from(self.0) * u128::from(share.0) / 1000;
        Self(u64::try_from(part).unwrap_or(u64::MAX))
    }

    /// How much of `whole` this is; `None` of nothing.
    pub fn share_of(self, whole: Self) -> Option<Percent> {
        let parts = (u128::from(self.0) * 1000).checked_div(u128::from(whole.0))?;
        Some(Percent(u32::try_from(parts).unwrap_or(u32::MAX)))
    }
}

/// The units a size may have, with their factors. `GB` is a decimal unit and `GiB` a binary one.
const SIZE_UNITS: [(&str, u64); 12] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
];

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || UnitError {
            text: text.to_owned(),
            expected: "a size with its unit, such as 512MiB, 1.5GiB or 6GB",
        };
        let (number, unit) = split_number(text).ok_or_else(error)?;
        let unit = unit.to_ascii_lowercase();
        let factor = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(error)?
            .1;
        scale(number, factor).map(Self).ok_or_else(error)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEPS: [(&str, u64); 4] = [
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ];
        for (unit, factor) in STEPS {
            if self.0 >= factor {
                let tenths = u128::from(self.0) * 10 / u128::from(factor);
                let (whole, tenth) = (tenths / 10, tenths % 10);
                return if whole >= 100 || tenth == 0 {
                    write!(f, "{whole} {unit}")
                } else {
                    write!(f, "{whole}.{tenth} {unit}")
                };
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// A share in tenths of a percent: `Percent(800)` is 80 %. Readings may exceed 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub u32);

impl Percent {
    /// So many whole percent.
    pub const fn whole(percent: u32) -> Self {
        Self(percent * 10)
    }

    /// The difference, zero when `other` is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl FromStr for Percent {
    type Err = UnitError;

    /// Reads a threshold: more than 0 and at most 100, with or without the sign.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || UnitError {
            text: text.to_owned(),
            expected: "a share of more than 0% and at most 100%, such as 80%",
        };
        let (number, unit) = split_number(text).ok_or_else(error)?;
        if !matches!(unit, "" | "%") {
            return Err(error());
        }
        let tenths = scale(number, 10)
            .and_then(|n| u32::try_from(n).ok())
            .ok_or_else(error)?;
        if (1..=1000).contains(&tenths) {
            Ok(Self(tenths))
        } else {
            Err(error())
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (whole, 0) => write!(f, "{whole} %"),
            (whole, tenth) => write!(f, "{whole}.{tenth} %"),
        }
    }
}

/// A line that a reading must not cross: a share of the machine, or an absolute amount that the
/// run's own family may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Threshold {
    /// A share of the machine, or of the container that limits it.
    Machine(Percent),
    /// An amount for the run's own processes.
    Run(Bytes),
}

impl FromStr for Threshold {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(share) = text.parse() {
            return Ok(Self::Machine(share));
        }
        match text.parse() {
            Ok(Bytes(1..)) if !text.trim_end().ends_with('%') => Ok(Self::Run(text.parse()?)),
            _ => Err(UnitError {
                text: text.to_owned(),
                expected: "a share such as 80% (more than 0%, at most 100%) or a size such as 6GB",
            }),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(share) => share.fmt(f),
            Self::Run(size) => size.fmt(f),
        }
    }
}

/// Reads a time such as `1.5s`, `200ms`, `30 s`, `2m` or `1h`.
///
/// # Errors
/// The text is no number with one of those units.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    const UNITS: [(&[&str], u64); 7] = [
        (&["ns"], 1),
        (&["us", "µs"], 1_000),
        (&["ms"], 1_000_000),
        (&["s", "sec", "secs"], 1_000_000_000),
        (&["m", "min", "mins"], 60_000_000_000),
        (&["h", "hour", "hours"], 3_600_000_000_000),
        (&["d", "day", "days"], 86_400_000_000_000),
    ];
    let error = || UnitError {
        text: text.to_owned(),
        expected: "a time with its unit, such as 200ms, 1.5s, 2m or 1h",
    };
    let (number, unit) = split_number(text).ok_or_else(error)?;
    let factor = UNITS
        .iter()
        .find(|(names, _)| names.contains(&unit))
        .ok_or_else(error)?
        .1;
    scale(number, factor)
        .map(Duration::from_nanos)
        .ok_or_else(error)
}

/// Reads a number without a unit, in thousandths and rounded down: `0.5` is 500.
///
/// # Errors
/// The text is no number, or a number from 4,294,967.296 on. `expected` is what it should be.
pub fn parse_thousandths(text: &str, expected: &'static str) -> Result<u32, UnitError> {
    split_number(text)
        .filter(|(_, unit)| unit.is_empty())
        .and_then(|(number, _)| u32::try_from(scale(number, 1000)?).ok())
        .ok_or_else(|| UnitError {
            text: text.to_owned(),
            expected,
        })
}

/// A time as a file has it, which [`parse_duration`] reads again: `1s`, `1500ms`, `90s`, `2m`.
pub fn write_duration(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let unit = UNITS.iter().find(|(unit, _)| nanos.is_multiple_of(*unit));
    let (unit, name) = unit.copied().unwrap_or((1, "ns"));
    format!("{}{name}", nanos / unit)
}

/// A time as people read it: `12 ms`, `1.5 s`, `2 m 05 s`, `1 h 00 m`.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    match seconds {
        0 if millis == 0 && !duration.is_zero() => format!("{} µs", duration.as_micros()),
        0 if millis > 0 => format!("{millis} ms"),
        0..=59 if millis % 1000 < 100 => format!("{seconds} s"),
        0..=59 => format!("{seconds}.{} s", millis % 1000 / 100),
        60..=3599 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Text that should have been a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct UnitError {
    text: String,
    expected: &'static str,
}

/// Splits `1.5 GB` into its number, as whole part and digits of the fraction, and its unit.
fn split_number(text: &str) -> Option<(Decimal<'_>, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || fraction.len() > 9 || number.ends_with('.') {
        return None;
    }
    Some((
        Decimal {
            whole: whole.parse().ok()?,
            fraction,
        },
        unit.trim_start(),
    ))
}

/// A decimal number as it was written: binary fractions would turn `0.1` into something else.
#[derive(Clone, Copy)]
struct Decimal<'a> {
    whole: u64,
    fraction: &'a str,
}

/// `number × factor`, rounded down; `None` when it is too large.
fn scale(number: Decimal<'_>, factor: u64) -> Option<u64> {
    let whole = number.whole.checked_mul(factor)?;
    if number.fraction.is_empty() {
        return Some(whole);
    }
    let digits: u128 = number.fraction.parse().ok()?;
    let places = u32::try_from(number.fraction.len()).ok()?;
    let part = digits * u128::from(factor) / 10_u128.pow(places);
    whole.checked_add(u64::try_from(part).ok()?)
}

/// Durations in files, as seconds with a fraction.
pub mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes whole microseconds, as seconds.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact up to 285 years of microseconds"
        )]
        let micros = duration.as_micros() as f64;
        serializer.serialize_f64(micros / 1e6)
    }

    /// Reads seconds; a negative, infinite or absurd number is an error.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        let duration = Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)?;
        let micros = (duration + Duration::from_nanos(500)).as_micros();
        let micros = u64::try_from(micros).map_err(serde::de::Error::custom)?;
        Ok(Duration::from_micros(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in ["0s", "1s", "1500ms", "90s", "2m", "1h", "61us", "7ns"] {
            let time = parse_duration(text).unwrap();
            assert_eq!(write_duration(time), text);
        }
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        let cases = [
            ("6GB", 6_000_000_000),
            ("512MiB", 512 << 20),
            ("1.5 GiB", 3 << 29),
            ("0.1kb", 100),
            ("7g", 7 << 30),
            ("12 B", 12),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in [
            "",
            "6XB",
            "GB",
            "-1GB",
            "1..5GB",
            "1.GB",
            "99999999999TB",
            "6",
            "1e3MB",
        ] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_threshold_is_a_possible_share_or_a_size() {
        assert_eq!("80%".parse(), Ok(Threshold::Machine(Percent(800))));
        assert_eq!("70".parse(), Ok(Threshold::Machine(Percent::whole(70))));
        assert_eq!("99.5 %".parse(), Ok(Threshold::Machine(Percent(995))));
        assert_eq!("6GB".parse(), Ok(Threshold::Run(Bytes(6_000_000_000))));
        for text in [
            "0",
            "0%",
            "900%",
            "6XB",
            "",
            "%",
            "-5%",
            "0GB",
            "80 percent",
        ] {
            let error = text.parse::<Threshold>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{text}` is not a share")),
                "{error}"
            );
        }
    }

    #[test]
    fn times_are_read_and_shown() {
        let cases = [
            ("200ms", Duration::from_millis(200), "200 ms"),
            ("1.5s", Duration::from_millis(1500), "1.5 s"),
            ("2m", Duration::from_secs(120), "2 m 00 s"),
            ("1 h", Duration::from_secs(3600), "1 h 00 m"),
            ("0s", Duration::ZERO, "0 s"),
        ];
        for (text, duration, shown) in cases {
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
            assert_eq!(show_duration(duration), shown);
        }
        for text in ["5", "", "s", "1.5 parsecs", "-1s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_binary_units() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (123 << 20, "123 MiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), shown);
        }
        assert_eq!(Percent(805).to_string(), "80.5 %");
    }

    #[test]
    fn shares_are_taken_and_found() {
        assert_eq!(Bytes(1000).percent(Percent::whole(80)), Bytes(800));
        assert_eq!(Bytes(800).share_of(Bytes(1000)), Some(Percent::whole(80)));
        assert_eq!(Bytes(800).share_of(Bytes(0)), None);
    }
}
