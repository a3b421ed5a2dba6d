//! Where a value comes from, and which of two sources wins.

use std::fmt;

use camino::Utf8PathBuf;

/// What said a value. The order is the precedence: the later one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A section of a file.
    File(Level),
    /// The chosen profile, in a file.
    Profile(Level),
    /// An environment variable.
    Environment,
    /// An option of the command line.
    CommandLine,
}

/// How near to the run a file is. The nearer one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The file that is part of the program.
    Default,
    /// The machine's: `/etc/stt/config.toml`.
    System,
    /// The person's: `~/.config/stt/config.toml`.
    User,
    /// The workspace's: `.config/stt.toml` beside its root manifest.
    Workspace,
}

/// A configuration file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Which of the files it is.
    pub level: Level,
    /// Where it is, for messages.
    pub path: Utf8PathBuf,
    /// What it says.
    pub text: String,
}

/// A value from an option of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The option as a person typed it, such as `--memory-threshold`.
    pub name: String,
    /// The key that it sets, such as `guard.memory-threshold`.
    pub key: String,
    /// The value, without TOML's quotes.
    pub value: String,
}

/// Everything that was said about the configuration, besides the embedded defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// The files, in any order.
    pub files: Vec<ConfigFile>,
    /// The chosen profile; `None` for `default`, which is the sections outside of any profile.
    pub profile: Option<String>,
    /// Environment variables; those that aren't ours are passed over.
    pub environment: Vec<(String, String)>,
    /// Options; of two that set the same key the later one wins.
    pub flags: Vec<Flag>,
}

/// Where exactly something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(Spot),
    /// In the environment variable of this name.
    Variable(String),
    /// In this option of the command line.
    Option(String),
    /// In a text of its own; its `path` is what said it, such as an option.
    Text(Spot),
}

/// A stretch of one line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The file.
    pub path: Utf8PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters of the line are meant; at least 1, also behind its end.
    pub width: usize,
    /// The whole line, without control characters other than tabs.
    pub text: String,
}

impl Spot {
    /// The place of the bytes `span` of `text`. A span that is not inside the text means its end.
    pub(super) fn new(path: Utf8PathBuf, text: &str, span: std::ops::Range<usize>) -> Self {
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |length| start + length);
        let end = floor(text, span.end).clamp(start, line_end);
        let line = text[line_start..line_end].trim_end_matches('\r');
        Self {
            path,
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            width: text[start..end].trim_end().chars().count().max(1),
            text: line.chars().map(visible).collect(),
        }
    }

    /// The line with marks below what is meant, and `label` beside the marks.
    pub fn snippet(&self, label: &str) -> String {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        // Tabs stay tabs, so that the marks stand below their text whatever a tab's width is.
        let before: String = self
            .text
            .chars()
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .chain(std::iter::repeat(' '))
            .take(self.column - 1)
            .collect();
        let marks = "^".repeat(self.width);
        let text = self.text.trim_end();
        let below = format!("{before}{marks} {label}");
        let below = below.trim_end();
        format!("{gutter} |\n{number} | {text}\n{gutter} | {below}")
    }
}

/// The nearest boundary of a character at or before `index`.
fn floor(text: &str, index: usize) -> usize {
    text.floor_char_boundary(index.min(text.len()))
}

/// What a file says must not be able to steer a terminal.
pub(super) fn visible(c: char) -> char {
    if c.is_control() && c != '\t' {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

/// What said a value, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What said it.
    pub source: Source,
    /// Where.
    pub place: Place,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(spot) => write!(f, "{}:{}", spot.path, spot.line),
            Self::Variable(name) | Self::Option(name) => f.write_str(name),
            Self::Text(spot) => f.write_str(spot.path.as_str()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::File(Level::Default) => f.write_str("default"),
            Source::Profile(_) => write!(f, "{} (profile)", self.place),
            Source::File(Level::System | Level::User | Level::Workspace)
            | Source::Environment
            | Source::CommandLine => self.place.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_sources_is_the_documented_one() {
        let documented = [
            Source::File(Level::Default),
            Source::File(Level::System),
            Source::File(Level::User),
            Source::File(Level::Workspace),
            Source::Profile(Level::System),
            Source::Profile(Level::User),
            Source::Profile(Level::Workspace),
            Source::Environment,
            Source::CommandLine,
        ];
        assert!(documented.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_spot_is_counted_in_characters_from_one() {
        let text = "a = 1\n\tkey = \"µ%\" # why\r\nlast";
        let spot = |span| Spot::new("f".into(), text, span);
        let value = text.find("\"µ").unwrap();
        let found = spot(value..value + 5);
        assert_eq!((found.line, found.column, found.width), (2, 8, 4));
        assert_eq!(found.text, "\tkey = \"µ%\" # why");
        let end = spot(usize::MAX..usize::MAX);
        assert_eq!((end.line, end.column, end.width), (3, 5, 1));
        assert_eq!(spot(0..text.len()).width, 5, "a mark stays on its line");
    }

    #[test]
    fn marks_stand_below_their_text() {
        let text = "[guard]\n\tmemory-threshold = \"900%\"\n";
        let start = text.find("\"900").unwrap();
        let spot = Spot::new("f".into(), text, start..start + 6);
        assert_eq!(
            spot.snippet("too much"),
            "  |\n2 | \tmemory-threshold = \"900%\"\n  | \t                   ^^^^^^ too much"
        );
    }

    #[test]
    fn a_line_cannot_steer_the_terminal() {
        let spot = Spot::new("f".into(), "a = \u{1b}[2J", 0..1);
        assert_eq!(spot.text, "a = \u{fffd}[2J");
    }
}
