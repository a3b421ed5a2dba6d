//! `[scripts.wrapper]`, and what overrides say of wrappers. Pure.

use std::ops::Range;
use std::sync::Arc;

use toml_edit::Item;

use super::document::Reader;
use super::document::given;
use super::document::key_span;
use super::keys;
use super::limits::is_name;
use super::overrides::EXTRA_ARGS;
use super::problem::Problem;
use super::scripts::COMMAND;
use super::scripts::Defined;
use super::scripts::SCRIPTS;
use super::scripts::read_command;
use super::source::Origin;
use super::source::Source;
use crate::script::Scripts;
use crate::script::TargetRunner;
use crate::script::Wrapper;

/// What tests are run by.
pub(super) const RUN_WRAPPER: &str = "run-wrapper";
/// What binaries are asked for their tests by.
pub(super) const LIST_WRAPPER: &str = "list-wrapper";

/// The table of the section.
pub(super) const WRAPPER: &str = "wrapper";

const TARGET_RUNNER: &str = "target-runner";

/// The wrappers that an override names, each with where it does.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    run: Option<(String, Origin)>,
    list: Option<(String, Origin)>,
}

impl Named {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.run.is_none() && self.list.is_none()
    }

    /// The names of which there is no wrapper among the `known`.
    pub(super) fn problems(&self, known: &Scripts, whose: &str) -> Vec<Problem> {
        let named = [(RUN_WRAPPER, &self.run), (LIST_WRAPPER, &self.list)];
        let problems = named.into_iter().filter_map(|(key, named)| {
            let (name, origin) = named.as_ref()?;
            let names = || known.wrapper.iter().map(|wrapper| &*wrapper.name);
            if names().any(|known| known == name) {
                return None;
            }
            let expected = match keys::nearest_of(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("a table [{SCRIPTS}.{WRAPPER}.{name}] makes one"),
            };
            Some(Problem {
                source: origin.source,
                place: origin.place.clone(),
                key: Some(format!("{whose}.{key}")),
                message: format!("there is no {WRAPPER} `{name}`"),
                expected: Some(expected),
            })
        });
        problems.collect()
    }

    /// The wrapper that tests are run by, and the one that lists them.
    pub(super) fn resolve(&self, scripts: &Scripts) -> [Option<Arc<Wrapper>>; 2] {
        [&self.run, &self.list].map(|named| {
            let (name, _) = named.as_ref()?;
            let mut wrappers = scripts.wrapper.iter();
            wrappers.find(|wrapper| *wrapper.name == **name).cloned()
        })
    }
}

/// Reads one of the two keys of an override.
pub(super) fn read_name(
    reader: &mut Reader<'_>,
    named: &mut Named,
    key: &str,
    item: &Item,
    span: Range<usize>,
    source: Source,
) {
    let Some(name) = item.as_str().filter(|name| is_name(name)) else {
        let expected = format!("the name of a wrapper of [{SCRIPTS}.{WRAPPER}]");
        reader.refuse(span, key, &given(item), expected);
        return;
    };
    let place = reader.place(span);
    let wrapper = Some((name.to_owned(), Origin { source, place }));
    if key == RUN_WRAPPER {
        named.run = wrapper;
    } else {
        named.list = wrapper;
    }
}

/// A list of arguments.
pub(super) fn extra_args(
    reader: &mut Reader<'_>,
    item: &Item,
    span: Range<usize>,
) -> Option<Arc<[String]>> {
    let words = item.as_array().and_then(|list| {
        let words = list.iter().map(|value| value.as_str().map(str::to_owned));
        words.collect::<Option<Vec<_>>>()
    });
    let words = words.filter(|words| !words.iter().any(|word| word.contains('\0')));
    if words.is_none() {
        let expected = r#"a list of arguments such as ["--test-threads", "1"]"#;
        reader.refuse(span, EXTRA_ARGS, &given(item), expected);
    }
    words.map(Arc::from)
}

/// Reads a wrapper.
pub(super) fn read(reader: &mut Reader<'_>, one: Defined<'_>) -> Option<Wrapper> {
    let Defined { name, table, span } = one;
    let mut command = None;
    let mut target_runner = Some(TargetRunner::Ignore);
    for (key, item) in table.iter() {
        let value = item.span().unwrap_or_else(|| key_span(table, key, item));
        match key {
            COMMAND => command = Some(read_command(reader, item, value)),
            TARGET_RUNNER => {
                let given = given(item);
                target_runner = given.choice(&[
                    ("ignore", TargetRunner::Ignore),
                    ("overrides-wrapper", TargetRunner::OverridesWrapper),
                    ("within-wrapper", TargetRunner::WithinWrapper),
                    ("around-wrapper", TargetRunner::AroundWrapper),
                ]);
                if target_runner.is_none() {
                    let expected =
                        r#""ignore", "overrides-wrapper", "within-wrapper" or "around-wrapper""#;
                    reader.refuse(value, key, &given, expected);
                }
            }
            other => {
                reader.no_such_key(table, other, item, "a wrapper", [COMMAND, TARGET_RUNNER]);
            }
        }
    }
    let Some(command) = command else {
        reader.no_command(name, span);
        return None;
    };
    Some(Wrapper {
        name: name.into(),
        command: command?,
        target_runner: target_runner?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::overrides::tests::config;

    #[test]
    fn wrappers_are_read_and_bound() {
        let text = "[scripts.wrapper.valgrind]\ncommand = 'valgrind -q'\n\
            target-runner = 'within-wrapper'\n[scripts.wrapper.list]\ncommand = ['ls']\n\
            [[overrides]]\nfilter = 'all()'\nrun-wrapper = 'valgrind'\nlist-wrapper = 'list'\n";
        let read = config(text).unwrap();
        let [valgrind, list] = &read.scripts.wrapper[..] else {
            panic!("{:?}", read.scripts);
        };
        assert_eq!(valgrind.target_runner, TargetRunner::WithinWrapper);
        assert_eq!(valgrind.command.to_string(), "valgrind -q");
        let one = &read.overrides[0];
        assert_eq!(one.scripts.run_wrapper.as_ref(), Some(valgrind));
        assert_eq!(one.scripts.list_wrapper.as_ref(), Some(list));
        let shown = "filter = \"all()\"\nrun-wrapper = \"valgrind\"\nlist-wrapper = \"list\"\n";
        assert_eq!(one.to_string(), shown);
    }

    #[test]
    fn what_is_wrong_with_a_wrapper_is_named() {
        for (text, words) in [
            (
                "[scripts.wrapper.w]\ncommand = 'x'\ntarget-runner = 'no'",
                &["`target-runner` can't be `no`", "\"around-wrapper\""][..],
            ),
            (
                "[scripts.wrapper.w]\ncommand = 'x'\ncapture-stdout = true",
                &["a wrapper has no key `capture-stdout`"],
            ),
            (
                "[scripts.wrapper.w]",
                &["`w` does not say what is to be run"],
            ),
            (
                "[scripts.wrapper.w]\ncommand = 'x'\n[[overrides]]\nfilter = 'all()'\nrun-wrapper = 'v'",
                &["there is no wrapper `v`", "stt.toml:5:15"],
            ),
            (
                "[[overrides]]\nfilter = 'all()'\nlist-wrapper = ['v']",
                &["`list-wrapper` can't be a list", "[scripts.wrapper]"],
            ),
        ] {
            let shown = config(text).unwrap_err().to_string();
            for word in words {
                assert!(shown.contains(word), "{text}: {shown}");
            }
        }
    }
}
