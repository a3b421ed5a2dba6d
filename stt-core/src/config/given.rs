//! A value as it was written, and how it becomes a typed one.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::source::visible;
use crate::units::Bytes;
use crate::units::parse_duration;

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// Text in quotes.
    Text(String),
    /// Text of an environment variable or an option, which have no quotes and no types.
    Bare(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction, in decimal.
    Fraction(String),
    /// `true` or `false`.
    Boolean(bool),
    /// Something that no key takes, such as "a list".
    Other(&'static str),
}

impl Given {
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Bare(text) => Some(text),
            Self::Integer(_) | Self::Fraction(_) | Self::Boolean(_) | Self::Other(_) => None,
        }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Bare(text) => text.parse().ok(),
            Self::Text(_) | Self::Fraction(_) | Self::Boolean(_) | Self::Other(_) => None,
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            Self::Bare(text) => text.parse().ok(),
            Self::Text(_) | Self::Integer(_) | Self::Fraction(_) | Self::Other(_) => None,
        }
    }

    /// A number that may have a fraction, read by its type.
    pub(super) fn number<T: FromStr>(&self) -> Option<T> {
        match self {
            Self::Integer(number) => number.to_string().parse().ok(),
            Self::Fraction(text) | Self::Bare(text) => text.parse().ok(),
            Self::Text(_) | Self::Boolean(_) | Self::Other(_) => None,
        }
    }

    pub(super) fn size(&self, allowed: &RangeInclusive<Bytes>) -> Option<Bytes> {
        self.parsed().filter(|size| allowed.contains(size))
    }

    /// Text that is read by its type.
    pub(super) fn parsed<T: FromStr>(&self) -> Option<T> {
        self.word()?.parse().ok()
    }

    pub(super) fn time(&self, allowed: &RangeInclusive<Duration>) -> Option<Duration> {
        let time = parse_duration(self.word()?).ok()?;
        allowed.contains(&time).then_some(time)
    }

    /// A count; `Some(None)` for `word`, which stands for "no such number".
    #[expect(clippy::option_option, reason = "not a count, no count, a count")]
    pub(super) fn count_or(&self, word: &str) -> Option<Option<NonZeroUsize>> {
        if self.word() == Some(word) {
            return Some(None);
        }
        let count = usize::try_from(self.integer()?).ok()?;
        NonZeroUsize::new(count).map(Some)
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let word = self.word()?;
        words
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, value)| *value)
    }

    /// The value as a file would have it.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Text(text) => toml_edit::Value::from(text.as_str()).to_string(),
            Self::Bare(text) => match (text.parse::<i64>(), text.parse::<bool>()) {
                (Ok(number), _) => number.to_string(),
                (_, Ok(value)) => value.to_string(),
                (Err(_), Err(_)) => toml_edit::Value::from(text.as_str()).to_string(),
            },
            Self::Integer(number) => number.to_string(),
            Self::Fraction(text) => text.clone(),
            Self::Boolean(value) => value.to_string(),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }

    /// The value as a message names it, in one short line.
    pub(super) fn shown(&self) -> String {
        const LONGEST: usize = 40;
        let text = match self {
            Self::Text(text) | Self::Bare(text) if text.is_empty() => return "empty".to_owned(),
            Self::Text(text) | Self::Bare(text) | Self::Fraction(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Boolean(value) => value.to_string(),
            Self::Other(kind) => return (*kind).to_owned(),
        };
        let mut shown: String = text.chars().take(LONGEST).map(visible).collect();
        if text.chars().nth(LONGEST).is_some() {
            shown.push('…');
        }
        format!("`{shown}`")
    }
}
