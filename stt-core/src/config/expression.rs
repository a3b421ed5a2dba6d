//! A filter expression that stands alone: typed, said by a key of the configuration, or recorded. Pure.

use std::ops::Range;

use miette::Diagnostic as _;
use nextest_filtering::FiltersetKind;
use nextest_filtering::errors::ParseSingleError;
use toml_edit::Item;

use super::document;
use super::document::Reader;
use super::filter::complaint;
use super::filter::depth_fault;
use super::filter::faults;
use super::filter::written_at;
use super::given::Given;
use super::problem::Problem;
use super::source::Origin;
use super::source::Place;
use super::source::Source;
use super::source::Spot;
use super::source::visible;
use crate::selection::TestSelection;

/// The key of the expression for tests that run unless somebody says otherwise.
pub const DEFAULT_FILTER: &str = "run.default-filter";
/// Its name in an override, where it is for one platform.
pub(super) const OF_PLATFORM: &str = "default-filter";

/// A filter expression, with what said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// The expression.
    pub text: String,
    /// What said it, and where.
    pub origin: Origin,
}

/// Every expression that decides which tests are selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expressions {
    /// One of them must hold; where there is none, none is needed.
    pub given: Vec<Expression>,
    /// What `default()` means; every test where there is none.
    pub default: Option<Expression>,
    /// Whether tests for which the default does not hold are left out.
    pub bound: bool,
}

impl Expressions {
    /// Those of a selection. `resumed` is for one that comes from a checkpoint; `default` is where
    /// `run.default-filter` was said.
    pub fn of(selection: &TestSelection, resumed: bool, default: Option<&Origin>) -> Self {
        let from = |what: &str| Origin {
            source: Source::CommandLine,
            place: Place::Option(what.to_owned()),
        };
        let given = from(if resumed {
            "--filterset of the recorded run"
        } else {
            "--filterset"
        });
        let default = match default {
            Some(origin) if !resumed => origin.clone(),
            Some(_) | None => from("run.default-filter of the recorded run"),
        };
        let expression = |text: &String, origin: &Origin| Expression {
            text: text.clone(),
            origin: origin.clone(),
        };
        let texts = selection.filterset.iter();
        let of_default = selection.default_filter.as_ref();
        Self {
            given: texts.map(|text| expression(text, &given)).collect(),
            default: of_default.map(|text| expression(text, &default)),
            bound: !selection.ignore_default_filter,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Expression> {
        self.given.iter().chain(&self.default)
    }
}

impl Expression {
    /// What keeps the expression from being parsed at all.
    pub(crate) fn too_deep(&self) -> Option<Problem> {
        depth_fault(&self.text, self.origin.source, || self.place(None))
    }

    /// What the parser complains about, with marks below its place.
    pub(crate) fn problems(&self, errors: &[ParseSingleError]) -> Vec<Problem> {
        let errors = errors.iter();
        let source = self.origin.source;
        errors
            .map(|error| complaint(error, source, |part| self.place(part)))
            .collect()
    }

    /// Where a part of the expression stands: in its file if it can be told there, else in its own text.
    fn place(&self, part: Option<Range<usize>>) -> Place {
        let part = part.unwrap_or(0..self.text.len());
        let said = match &self.origin.place {
            Place::File(spot) => return Place::File(within(spot, part)),
            Place::Variable(name) => format!("environment variable {name}"),
            Place::Option(name) => name.clone(),
            Place::Text(spot) => spot.path.to_string(),
        };
        Place::Text(Spot::new(said.into(), &self.text, part))
    }
}

/// The `part` of a value that stands at `spot`. Of a value over several lines all that is known is where it
/// begins.
fn within(spot: &Spot, part: Range<usize>) -> Spot {
    let raw: String = spot
        .text
        .chars()
        .skip(spot.column - 1)
        .take(spot.width)
        .collect();
    let quoted = |quote: char| raw.len() > 1 && raw.starts_with(quote) && raw.ends_with(quote);
    let several = ["\"\"\"", "'''"]
        .iter()
        .any(|quotes| raw.starts_with(quotes));
    if several || !(quoted('"') || quoted('\'')) {
        return spot.clone();
    }
    let start = written_at(&raw, part.start);
    let end = written_at(&raw, part.end).max(start);
    let count = |text: &str| text.chars().count();
    Spot {
        column: spot.column + count(raw.get(..start).unwrap_or_default()),
        width: count(raw.get(start..end).unwrap_or_default()).max(1),
        ..spot.clone()
    }
}

/// What an override says of its platform, with its place; what is no such expression is a problem. An empty one holds for
/// every test.
pub(super) fn read(
    reader: &mut Reader<'_>,
    item: &Item,
    span: Range<usize>,
    source: Source,
) -> Option<Expression> {
    let given = document::given(item);
    let Some(text) = default_filter(&given) else {
        let fault = default_filter_fault(&given);
        let expected =
            fault.unwrap_or_else(|| "an expression such as \"not test(slow)\"".to_owned());
        reader.refuse(span, OF_PLATFORM, &given, expected);
        return None;
    };
    let place = reader.place(span);
    Some(Expression {
        text: text.unwrap_or_default(),
        origin: Origin { source, place },
    })
}

/// The text of `run.default-filter`: nothing where it is empty. `None` for what is no expression.
#[expect(
    clippy::option_option,
    reason = "no expression, nothing, an expression"
)]
pub(super) fn default_filter(given: &Given) -> Option<Option<String>> {
    let text = given.word()?;
    if text.is_empty() {
        return Some(None);
    }
    let right =
        depth_of_text(text).is_none() && faults(text, FiltersetKind::DefaultFilter).is_empty();
    right.then(|| Some(text.to_owned()))
}

/// What keeps such a text from being parsed at all.
fn depth_of_text(text: &str) -> Option<Problem> {
    let place = || Place::Option(DEFAULT_FILTER.to_owned());
    depth_fault(text, Source::CommandLine, place)
}

/// What is wrong with the first part of such a text that is wrong.
pub(super) fn default_filter_fault(given: &Given) -> Option<String> {
    if let Some(deep) = depth_of_text(given.word()?) {
        return deep.expected;
    }
    let faults = faults(given.word()?, FiltersetKind::DefaultFilter);
    let first = faults.first()?;
    let label = first.labels().and_then(|mut labels| labels.next());
    let label = label.and_then(|label| Some(label.label()?.to_owned()));
    let text = label.map_or_else(|| first.to_string(), |label| format!("{first}: {label}"));
    Some(text.chars().map(visible).collect())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::config::ConfigFile;
    use crate::config::Layers;
    use crate::config::Level;
    use crate::config::resolve;

    fn typed(text: &str) -> Expression {
        Expression {
            text: text.to_owned(),
            origin: Origin {
                source: Source::CommandLine,
                place: Place::Option("--filterset".to_owned()),
            },
        }
    }

    fn shown(expression: &Expression) -> String {
        let errors = faults(&expression.text, FiltersetKind::DefaultFilter);
        let problems = expression.problems(&errors);
        let shown: Vec<_> = problems.iter().map(Problem::to_string).collect();
        shown.join("\n")
    }

    #[test]
    fn marks_stand_below_what_was_typed() {
        let shown = shown(&typed("test(a) &\n test(ü"));
        let expected = "the filter can't be understood: expected close parenthesis\n --> --filterset\n  \
            |\n2 |  test(ü\n  |        ^ missing `)`";
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_typed_cannot_steer_the_terminal() {
        let shown = shown(&typed("test(/(\u{1b}[2J/)"));
        assert!(!shown.is_empty() && !shown.contains('\u{1b}'), "{shown:?}");
    }

    fn configured(text: &str) -> Result<(Expression, String), String> {
        let layers = Layers {
            files: vec![ConfigFile {
                level: Level::Workspace,
                path: "stt.toml".into(),
                text: text.to_owned(),
            }],
            ..Layers::default()
        };
        let resolved = resolve(&layers, NonZeroUsize::MIN).map_err(|wrong| wrong.to_string())?;
        let expression = Expression {
            text: resolved
                .config
                .run
                .default_filter
                .clone()
                .unwrap_or_default(),
            origin: resolved.origin(DEFAULT_FILTER).unwrap().clone(),
        };
        let place = format!("{}", resolved.origin(DEFAULT_FILTER).unwrap());
        Ok((expression, place))
    }

    #[test]
    fn the_part_of_a_value_is_found_in_its_file() {
        let cases = [
            ("[run]\ndefault-filter = 'all() - package(x)'", 2, 34, 1),
            (
                "[run]\ndefault-filter = \"all()\\u0020- package(x)\"",
                2,
                39,
                1,
            ),
            (
                "[run]\ndefault-filter = '''\nall() - package(x)'''",
                2,
                18,
                3,
            ),
        ];
        for (text, line, column, width) in cases {
            let (expression, _) = configured(text).unwrap();
            let at = expression.text.find('x').unwrap();
            let Place::File(spot) = expression.place(Some(at - 1..at)) else {
                panic!("{text}");
            };
            assert_eq!(
                (spot.line, spot.column, spot.width),
                (line, column, width),
                "{text}"
            );
        }
    }

    #[test]
    fn a_default_filter_is_checked_when_it_is_read() {
        assert_eq!(configured("").unwrap().0.text, "");
        for (text, word) in [
            ("test(a", "expected close parenthesis: missing `)`"),
            ("default()", "predicate not allowed"),
            ("group(x)", "predicate not allowed"),
        ] {
            let shown = configured(&format!("[run]\ndefault-filter = '{text}'")).unwrap_err();
            for part in ["stt.toml:2:18", "`run.default-filter` can't be", word] {
                assert!(shown.contains(part), "{text}: {shown}");
            }
        }
    }
}
