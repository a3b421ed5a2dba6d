//! Which of the listed tests run.

use crate::config::NO_LIMITS;
use crate::selection::RunIgnored;
use crate::selection::TestSelection;

use super::list::ListedTest;

/// What becomes of a listed test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It runs.
    Run,
    /// It is part of the selection, ignored, and was not asked for: it is counted.
    Ignored,
    /// It is no part of the selection.
    FilteredOut,
}

/// What becomes of `test` under `selection`. The names are libtest's filters: one of several is enough,
/// a skip wins over them, and `exact` is meant for both.
pub fn verdict(selection: &TestSelection, test: &ListedTest) -> Verdict {
    let matches = |pattern: &String| {
        if selection.exact {
            **pattern == *test.name
        } else {
            test.name.contains(pattern.as_str())
        }
    };
    let named = selection.names.is_empty() || selection.names.iter().any(matches);
    if !named || selection.skip.iter().any(matches) {
        return Verdict::FilteredOut;
    }
    match (selection.run_ignored, test.ignored) {
        (RunIgnored::Default, true) => Verdict::Ignored,
        (RunIgnored::Only, false) => Verdict::FilteredOut,
        (RunIgnored::Default, false) | (RunIgnored::Only, true) | (RunIgnored::All, _) => {
            Verdict::Run
        }
    }
}

/// Whether a test with this set of limits is part of `selection`.
pub fn has_wanted_limits(selection: &TestSelection, limits: Option<&str>) -> bool {
    let name = limits.unwrap_or(NO_LIMITS);
    selection
        .only_limits
        .as_ref()
        .is_none_or(|only| only.sets.iter().any(|wanted| wanted == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::list::Protocol;

    fn test(name: &str, ignored: bool) -> ListedTest {
        ListedTest {
            name: name.into(),
            ignored,
            bench: false,
            protocol: Protocol::Libtest,
        }
    }

    fn selection(names: &[&str], exact: bool, skip: &[&str]) -> TestSelection {
        TestSelection {
            names: names.iter().map(ToString::to_string).collect(),
            exact,
            skip: skip.iter().map(ToString::to_string).collect(),
            ..TestSelection::default()
        }
    }

    #[test]
    fn names_are_united_and_skips_win() {
        type Case<'a> = (&'a [&'a str], bool, &'a [&'a str], &'a str, bool);
        let cases: [Case<'_>; 13] = [
            (&[], false, &[], "a::b", true),
            (&["b"], false, &[], "a::b", true),
            (&["x", "a::"], false, &[], "a::b", true),
            (&["x"], false, &[], "a::b", false),
            (&["A"], false, &[], "a::b", false),
            (&[""], false, &[], "a::b", true),
            (&["b"], true, &[], "a::b", false),
            (&["a::b"], true, &[], "a::b", true),
            (&[], false, &["b"], "a::b", false),
            (&["a::b"], false, &["b"], "a::b", false),
            (&[], true, &["b"], "a::b", true),
            (&[], true, &["a::b"], "a::b", false),
            (&[], false, &["x"], "a::b", true),
        ];
        for (names, exact, skip, name, runs) in cases {
            let expected = if runs {
                Verdict::Run
            } else {
                Verdict::FilteredOut
            };
            let found = verdict(&selection(names, exact, skip), &test(name, false));
            assert_eq!(
                found, expected,
                "{names:?} exact={exact} skip={skip:?} on {name}"
            );
        }
    }

    #[test]
    fn ignored_tests_count_only_when_they_are_selected() {
        let cases = [
            (RunIgnored::Default, false, Verdict::Run),
            (RunIgnored::Default, true, Verdict::Ignored),
            (RunIgnored::Only, false, Verdict::FilteredOut),
            (RunIgnored::Only, true, Verdict::Run),
            (RunIgnored::All, false, Verdict::Run),
            (RunIgnored::All, true, Verdict::Run),
        ];
        for (run_ignored, ignored, expected) in cases {
            let mut selection = selection(&["a"], false, &[]);
            selection.run_ignored = run_ignored;
            assert_eq!(verdict(&selection, &test("a", ignored)), expected);
            assert_eq!(
                verdict(&selection, &test("b", ignored)),
                Verdict::FilteredOut
            );
        }
    }
}
