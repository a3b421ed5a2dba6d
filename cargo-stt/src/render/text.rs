//! Text from outside made fit to be shown: names on one line, and lines that fit a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::UnicodeWidthChar;

use crate::render::theme::Painted;

/// The text with everything that could move a cursor, change a terminal or break a line written as
/// an escape: control characters, and the marks that turn the direction of writing.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// The same for a message of several lines: its lines stay, each made plain, and those after the
/// first are indented.
pub(super) fn plain_lines(text: &str, indent: usize) -> String {
    let mut shown = String::with_capacity(text.len());
    for (index, line) in text.trim_end().lines().enumerate() {
        if index > 0 {
            let _ = write!(shown, "\n{:indent$}", "");
        }
        shown.push_str(&plain(line));
    }
    shown
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// A line made of pieces, which is cut where the terminal ends. Cutting pieces rather than finished
/// text keeps the end of every style in place.
#[derive(Default)]
pub(super) struct Line {
    pieces: Vec<(Style, String)>,
}

impl Line {
    /// Adds text in a style.
    pub(super) fn push(&mut self, style: Style, text: impl Into<String>) {
        self.pieces.push((style, text.into()));
    }

    /// How many columns the whole line takes.
    pub(super) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| columns(text)).sum()
    }

    /// The line in at most `width` columns; what was cut is marked with `…`.
    pub(super) fn fit(&self, width: usize) -> String {
        let cut = self.width() > width;
        let mut room = if cut { width.saturating_sub(1) } else { width };
        let mut shown = String::new();
        for (style, text) in &self.pieces {
            let piece = prefix(text, room);
            if !piece.is_empty() {
                let _ = write!(shown, "{}", Painted(*style, piece));
            }
            if piece.len() < text.len() {
                break;
            }
            room -= columns(piece);
        }
        if cut && width > 0 {
            shown.push('…');
        }
        shown
    }
}

/// How many columns a text takes on a terminal.
fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The longest beginning of `text` that takes at most `room` columns.
fn prefix(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > room {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn a_name_can_neither_leave_its_line_nor_move_the_cursor() {
        for (name, shown) in [
            ("login::works", "login::works"),
            ("größe::日本 語", "größe::日本 語"),
            ("a\nb\r\u{1b}[2Jc", r"a\nb\r\u{1b}[2Jc"),
            ("x\u{9b}31m\u{7f}\u{0}", r"x\u{9b}31m\u{7f}\u{0}"),
            ("abc\u{202e}fed", r"abc\u{202e}fed"),
        ] {
            assert_eq!(plain(name), shown);
        }
    }

    #[test]
    fn a_message_keeps_its_lines_indented() {
        assert_eq!(plain_lines("one\ntwo\u{7}\n\n", 2), "one\n  two\\u{7}");
    }

    #[test]
    fn a_line_is_cut_by_columns_and_says_so() {
        let mut line = Line::default();
        line.push(Style::new(), "ab");
        line.push(Style::new().bold(), "日本語");
        for (width, shown) in [
            (0, ""),
            (1, "…"),
            (2, "a…"),
            (3, "ab…"),
            (4, "ab…"),
            (5, "ab\u{1b}[1m日\u{1b}[0m…"),
            (8, "ab\u{1b}[1m日本語\u{1b}[0m"),
            (80, "ab\u{1b}[1m日本語\u{1b}[0m"),
        ] {
            assert_eq!(line.fit(width), shown, "{width} columns");
        }
    }

    proptest! {
        #[test]
        fn a_cut_line_never_takes_more_than_its_width(
            pieces in proptest::collection::vec("\\PC{0,12}", 0..5), width in 0_usize..40
        ) {
            let mut line = Line::default();
            for piece in &pieces {
                line.push(Style::new(), piece.clone());
            }
            let shown = line.fit(width);
            prop_assert!(columns(&shown) <= width);
            if line.width() <= width {
                prop_assert_eq!(shown, pieces.concat());
            }
        }

        #[test]
        fn whatever_comes_in_is_printable_afterwards(text in any::<String>()) {
            prop_assert!(!plain(&text).chars().any(is_unsafe));
        }
    }
}
