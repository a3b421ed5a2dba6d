//! A filter expression in a file: whether its form is right, and where in the file a part of it stands. Pure.
//!
//! The language is nextest's, read by its own crate. What an expression means for a workspace is found out
//! in `discovery`, which reports through this file, too.

use std::ops::Range;
use std::sync::Arc;

use camino::Utf8PathBuf;
use guppy::graph::PackageGraph;
use miette::Diagnostic as _;
use nextest_filtering::Filterset;
use nextest_filtering::FiltersetKind;
use nextest_filtering::KnownGroups;
use nextest_filtering::ParseContext;
use nextest_filtering::errors::ParseSingleError;

use super::problem::Problem;
use super::source::Place;
use super::source::Source;
use super::source::Spot;
use super::source::visible;

/// What cargo would say of a workspace without packages.
const NO_PACKAGES: &str = r#"{"packages":[],"workspace_members":[],"workspace_default_members":[],
    "resolve":null,"target_directory":"/","workspace_root":"/","metadata":null,"version":1}"#;

/// The parser calls itself for each part inside of a part: an expression that is nested deeper is refused, before
/// it can use up the stack.
const DEEPEST: usize = 100;

/// Whether parentheses and negations stand inside of each other too deeply. What is quoted inside of a pattern
/// counts as well; nobody writes that much of it.
fn too_deep(text: &str) -> bool {
    let mut around = vec![0_usize];
    let mut level = 0;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let outer = around.last().copied().unwrap_or(0);
        let mut taken = c.len_utf8();
        match c {
            '(' => {
                level += 1;
                around.push(level);
            }
            ')' => {
                around.pop();
                level = around.last().copied().unwrap_or(0);
            }
            '!' => level += 1,
            c if c.is_whitespace() => {}
            _ if rest.starts_with("not") => {
                level += 1;
                taken = 3;
            }
            _ => level = outer,
        }
        if level > DEEPEST {
            return true;
        }
        rest = &rest[taken..];
    }
    false
}

/// Says that an expression is nested too deeply.
pub(super) fn depth_fault(
    text: &str,
    source: Source,
    place: impl FnOnce() -> Place,
) -> Option<Problem> {
    too_deep(text).then(|| Problem {
        source,
        place: place(),
        key: None,
        message: "the filter can't be understood: its parts are nested too deeply".to_owned(),
        expected: Some(format!("{DEEPEST} inside of each other are the most")),
    })
}

/// Whether the error says that nothing in the workspace has such a name.
fn of_this_workspace(error: &ParseSingleError) -> bool {
    matches!(
        error,
        ParseSingleError::NoPackageMatch(_)
            | ParseSingleError::NoBinaryIdMatch(_)
            | ParseSingleError::NoBinaryNameMatch(_)
    )
}

/// A filter expression, with where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The expression.
    pub text: String,
    /// What said it.
    pub(super) source: Source,
    /// The file.
    pub(super) path: Utf8PathBuf,
    /// All of the file's text.
    pub(super) file: Arc<str>,
    /// Where in it the value stands, with its quotes.
    pub(super) span: Range<usize>,
}

impl Filter {
    /// What is wrong with the form of the expression. Whether there are such packages and binaries is
    /// another question.
    pub(super) fn faults(&self) -> Vec<Problem> {
        let place = || Place::File(Spot::new(self.path.clone(), &self.file, self.span.clone()));
        if let Some(deep) = depth_fault(&self.text, self.source, place) {
            return vec![deep];
        }
        self.problems(&faults(&self.text, FiltersetKind::OverrideFilter))
    }

    /// What the parser complains about, at its place in the file.
    pub(crate) fn problems(&self, errors: &[ParseSingleError]) -> Vec<Problem> {
        let place = |part: Option<Range<usize>>| {
            let span = part.map_or(self.span.clone(), |part| {
                self.written_at(part.start)..self.written_at(part.end)
            });
            Place::File(Spot::new(self.path.clone(), &self.file, span))
        };
        let errors = errors.iter();
        errors
            .map(|error| complaint(error, self.source, place))
            .collect()
    }

    /// Where in the file the byte `offset` of the expression is written.
    fn written_at(&self, offset: usize) -> usize {
        let raw = self.file.get(self.span.clone()).unwrap_or_default();
        self.span.start + written_at(raw, offset)
    }
}

/// What the parser complains about. `place` says where a part of the expression stands, or all of it.
pub(super) fn complaint(
    error: &ParseSingleError,
    source: Source,
    place: impl FnOnce(Option<Range<usize>>) -> Place,
) -> Problem {
    let label = error.labels().and_then(|mut labels| labels.next());
    let part = label.as_ref().map(|label| {
        let end = label.offset().saturating_add(label.len());
        label.offset()..end
    });
    let label = label.and_then(|label| Some(label.label()?.to_owned()));
    let plain = |text: String| text.chars().map(visible).collect::<String>();
    Problem {
        source,
        place: place(part),
        key: None,
        message: if of_this_workspace(error) {
            "the filter names what this workspace does not have".to_owned()
        } else {
            plain(format!("the filter can't be understood: {error}"))
        },
        expected: label.map(plain),
    }
}

/// What is wrong with the form of an expression. Whether there are such packages and binaries is another
/// question.
pub(super) fn faults(text: &str, kind: FiltersetKind) -> Vec<ParseSingleError> {
    let Ok(nothing) = PackageGraph::from_json(NO_PACKAGES) else {
        return Vec::new();
    };
    let context = ParseContext::new(&nothing);
    // `ParsedExpr::parse` would pass over what its parser could mend.
    let parsed = Filterset::parse(text.to_owned(), &context, kind, &KnownGroups::Unavailable);
    let mut errors = parsed.err().map(|all| all.errors).unwrap_or_default();
    errors.retain(|error| !of_this_workspace(error));
    errors
}

/// Where in `raw`, a TOML string with its quotes, the byte `offset` of its value is written.
pub(super) fn written_at(raw: &str, offset: usize) -> usize {
    let literal = raw.starts_with('\'');
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") {
        3
    } else {
        1
    };
    let mut at = quotes;
    if quotes == 3 {
        // A line end right behind the quotes is no part of the value.
        let rest = raw.get(at..).unwrap_or_default();
        at += line_end(rest);
    }
    let last = raw.len().saturating_sub(quotes);
    let mut value = 0;
    while at < last {
        let rest = raw.get(at..last).unwrap_or_default();
        let (written, meant) = step(rest, literal);
        if meant > 0 && value + meant > offset {
            break;
        }
        at += written;
        value += meant;
    }
    at.min(last)
}

/// How long a line end in front of `text` is.
fn line_end(text: &str) -> usize {
    match text.as_bytes() {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => 0,
    }
}

/// How many bytes the first character of `rest` takes where it is written, and how many in the value.
fn step(rest: &str, literal: bool) -> (usize, usize) {
    let mut chars = rest.chars();
    let first = chars.next().map_or(1, char::len_utf8);
    if literal || !rest.starts_with('\\') {
        return (first, first);
    }
    let digits = match chars.next() {
        Some('x') => 2,
        Some('u') => 4,
        Some('U') => 8,
        // The backslash at the end of a line takes all the white space that follows with it.
        Some(' ' | '\t' | '\r' | '\n') => {
            let blank = rest[1..].trim_start_matches([' ', '\t', '\r', '\n']);
            return (rest.len() - blank.len(), 0);
        }
        Some(other) => return (1 + other.len_utf8(), 1),
        None => return (1, 1),
    };
    let code = rest.get(2..2 + digits);
    let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
    let meant = code.and_then(char::from_u32).map_or(1, char::len_utf8);
    ((2 + digits).min(rest.len()), meant)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml_edit::Document;

    use super::*;
    use crate::config::Level;

    /// What is wrong with the value of `filter`, as it is shown.
    fn shown(file: &str) -> Vec<String> {
        let document = Document::parse(file).unwrap();
        let item = document.get("filter").unwrap();
        let filter = Filter {
            text: item.as_str().unwrap().to_owned(),
            source: Source::File(Level::Workspace),
            path: "stt.toml".into(),
            file: file.into(),
            span: item.span().unwrap(),
        };
        filter.faults().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_good_expression_has_no_faults() {
        for text in [
            "all()",
            "test(=a::b) & not package(app)",
            "rdeps(app) - binary_id(#app::*)",
            "test(/^slow_/)",
        ] {
            assert_eq!(shown(&format!("filter = '{text}'")), [""; 0], "{text}");
        }
    }

    #[test]
    fn marks_stand_below_the_fault_however_the_text_is_quoted() {
        let platform = "expected \"target\" or \"host\"";
        let cases = [
            ("filter = 'test(a'", 1, 17, "missing `)`"),
            ("filter = \"test(a\"", 1, 17, "missing `)`"),
            ("\n\tfilter = \"test(\\u00e9\"", 2, 23, "missing `)`"),
            ("filter = '''\ntest(a) &\n  platform(b)'''", 3, 12, platform),
            (
                "filter = \"\"\"\\\n   test(a) & \\\n  platform(b)\"\"\"",
                3,
                12,
                platform,
            ),
            ("filter = 'group(a)'", 1, 17, "circular dependency"),
        ];
        for (file, line, column, label) in cases {
            let all = shown(file).join("\n");
            assert!(all.contains(label), "{file}: {all}");
            assert!(
                all.contains(&format!("stt.toml:{line}:{column}")),
                "{file}: {all}"
            );
        }
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused_before_it_is_parsed() {
        for (text, deep) in [
            ("not test(a) & ".repeat(5_000) + "all()", false),
            ("(".repeat(90) + "all()" + &")".repeat(90), false),
            ("(".repeat(32_000), true),
            ("!".repeat(32_000), true),
            ("not ".repeat(10_000), true),
            ("!(not (".repeat(9_000), true),
        ] {
            let all = shown(&format!("filter = '{text}'")).join("\n");
            assert_eq!(
                all.contains("nested too deeply"),
                deep,
                "{text:.40}: {all:.200}"
            );
        }
    }

    #[test]
    fn what_an_expression_says_cannot_steer_the_terminal() {
        let all = shown("filter = \"test(/(\\u001b[2J/)\"").join("\n");
        assert!(!all.is_empty() && !all.contains('\u{1b}'), "{all:?}");
    }

    proptest! {
        #[test]
        fn each_character_is_found_where_it_is_written(text in "\\PC{0,12}|[a\\\\\"'\n\té\u{1b}]{0,12}") {
            let raw = toml_edit::Value::from(text.as_str()).to_string();
            for (offset, c) in text.char_indices() {
                let rest = &raw[written_at(&raw, offset)..];
                let verbatim = rest.starts_with(c) && c != '\\';
                prop_assert!(verbatim || rest.starts_with('\\'), "{raw:?} at {offset}: {rest:?}");
            }
            let end = &raw[written_at(&raw, text.len())..];
            prop_assert!(matches!(end, "\"" | "'" | "\"\"\"" | "'''"), "{raw:?} ends at {end:?}");
        }
    }
}
