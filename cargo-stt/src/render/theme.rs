//! Colours, and what they mean. Without colour every style is empty and leaves no byte behind.

use std::fmt;

use anstyle::AnsiColor;
use anstyle::Style;

/// What a word says about how things go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// All is well.
    Good,
    /// Worth a look.
    Warn,
    /// Something failed.
    Bad,
    /// It did not take place.
    Idle,
    /// Plain news.
    News,
}

/// The styles of everything that is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    colour: bool,
}

impl Theme {
    /// The theme of a terminal with colours, or of anything else.
    pub(super) fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// Whether escape sequences for colours may be written at all.
    pub(super) fn colour(self) -> bool {
        self.colour
    }

    /// A status word.
    pub(super) fn word(self, tone: Tone) -> Style {
        let colour = match tone {
            Tone::Good => AnsiColor::Green,
            Tone::Warn => AnsiColor::Yellow,
            Tone::Bad => AnsiColor::Red,
            Tone::Idle => AnsiColor::Blue,
            Tone::News => AnsiColor::Cyan,
        };
        self.style(colour.on_default().bold())
    }

    /// The id of a test binary.
    pub(super) fn binary(self) -> Style {
        self.style(AnsiColor::Magenta.on_default())
    }

    /// What must be there and need not be read.
    pub(super) fn dim(self) -> Style {
        self.style(Style::new().dimmed())
    }

    /// What the eye should find.
    pub(super) fn strong(self) -> Style {
        self.style(Style::new().bold())
    }

    fn style(self, style: Style) -> Style {
        if self.colour { style } else { Style::new() }
    }
}

/// A value in a style, with the style ended behind it.
pub(super) struct Painted<T>(pub(super) Style, pub(super) T);

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.render())?;
        self.1.fmt(f)?;
        write!(f, "{}", self.0.render_reset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_style_is_always_ended_and_without_colour_there_is_none() {
        let word = Painted(Theme::new(true).word(Tone::Bad), format_args!("FAIL"));
        assert_eq!(word.to_string(), "\u{1b}[1m\u{1b}[31mFAIL\u{1b}[0m");
        for tone in [Tone::Good, Tone::Warn, Tone::Bad, Tone::Idle, Tone::News] {
            let word = Painted(Theme::new(false).word(tone), "x").to_string();
            assert_eq!(word, "x");
        }
    }

    #[test]
    fn padding_counts_the_text_and_not_the_colour() {
        let word = format!("{:>6}", Painted(Theme::new(false).dim(), "x"));
        assert_eq!(word, "     x");
        let word = format!("{:>3}", Painted(Theme::new(true).dim(), "x"));
        assert_eq!(word, "\u{1b}[2m  x\u{1b}[0m");
    }
}
