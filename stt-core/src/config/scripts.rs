//! `[scripts]`, and what overrides say of them. Pure.

use std::ops::Range;
use std::sync::Arc;

use toml_edit::Item;
use toml_edit::TableLike;

use super::document::Reader;
use super::document::given;
use super::document::key_span;
use super::keys;
use super::limits::NAME_RULE;
use super::limits::is_name;
use super::problem::Problem;
use super::source::Origin;
use super::source::Source;
use super::times;
use super::times::TIMES;
use super::wrappers;
use super::wrappers::LIST_WRAPPER;
use super::wrappers::RUN_WRAPPER;
use super::wrappers::WRAPPER;
use crate::script::RelativeTo;
use crate::script::Script;
use crate::script::ScriptCommand;
use crate::script::ScriptKind;
use crate::script::Scripts;
use crate::script::TestScripts;
use crate::script::split_words;
use crate::times::TestTimes;

/// The section.
pub(super) const SCRIPTS: &str = "scripts";

/// The keys of an override.
pub(super) const KINDS: [&str; 4] = ["setup", "teardown", RUN_WRAPPER, LIST_WRAPPER];

/// The tables of the section.
const TABLES: [&str; 3] = [KINDS[0], KINDS[1], WRAPPER];

/// The keys of a script.
const KEYS: [&str; 7] = [
    COMMAND,
    TIMES[0],
    TIMES[1],
    TIMES[2],
    TIMES[3],
    CAPTURE_STDOUT,
    CAPTURE_STDERR,
];
pub(super) const COMMAND: &str = "command";
const CAPTURE_STDOUT: &str = "capture-stdout";
const CAPTURE_STDERR: &str = "capture-stderr";

/// The keys of a command that is a table.
const OF_COMMAND: [&str; 3] = [COMMAND_LINE, RELATIVE_TO, ENV];
const COMMAND_LINE: &str = "command-line";
const RELATIVE_TO: &str = "relative-to";
const ENV: &str = "env";

const A_COMMAND: &str = r#"a command such as "./up.sh --fast" or ["./up.sh", "--fast"]"#;
const EXAMPLE: &str = "a script is a table such as [scripts.setup.db]";

/// The scripts that an override names.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    names: Vec<(ScriptKind, String, Origin)>,
    wrappers: wrappers::Named,
}

impl Named {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.wrappers.is_empty()
    }

    /// The names of which there is no script among the `known`.
    pub(super) fn problems(&self, known: &Scripts, whose: &str) -> Vec<Problem> {
        let wrong = self
            .names
            .iter()
            .filter(|(kind, name, _)| !known.of(*kind).iter().any(|script| *script.name == **name));
        let problems = wrong.map(|(kind, name, origin)| {
            let kind_name = kind.name();
            let names = known.of(*kind).iter().map(|script| &*script.name);
            let expected = match keys::nearest_of(name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("a table [{SCRIPTS}.{kind_name}.{name}] makes one"),
            };
            Problem {
                source: origin.source,
                place: origin.place.clone(),
                key: Some(format!("{whose}.{kind_name}")),
                message: format!("there is no {kind_name} script `{name}`"),
                expected: Some(expected),
            }
        });
        let wrappers = self.wrappers.problems(known, whose);
        problems.chain(wrappers).collect()
    }

    /// The scripts, in the order in which they are defined.
    pub(super) fn resolve(&self, scripts: &Scripts) -> TestScripts {
        let of = |kind: ScriptKind| {
            let is_named = |script: &&Arc<Script>| {
                let mut names = self.names.iter();
                names.any(|(of, name, _)| *of == kind && *script.name == **name)
            };
            scripts.of(kind).iter().filter(is_named).cloned().collect()
        };
        let [run_wrapper, list_wrapper] = self.wrappers.resolve(scripts);
        TestScripts {
            setup: of(ScriptKind::Setup),
            teardown: of(ScriptKind::Teardown),
            run_wrapper,
            list_wrapper,
        }
    }
}

fn kind_of(name: &str) -> Option<ScriptKind> {
    let kinds = [ScriptKind::Setup, ScriptKind::Teardown];
    kinds.into_iter().find(|kind| kind.name() == name)
}

/// Reads one of the [`KINDS`] of an override: a name, or for scripts also a list of names.
pub(super) fn read_names(
    reader: &mut Reader<'_>,
    named: &mut Named,
    key: &str,
    item: &Item,
    span: Range<usize>,
    source: Source,
) {
    let Some(kind) = kind_of(key) else {
        return wrappers::read_name(reader, &mut named.wrappers, key, item, span, source);
    };
    let names: Option<Vec<String>> = match (item.as_str(), item.as_array()) {
        (Some(name), _) => Some(vec![name.to_owned()]),
        (None, Some(list)) => {
            let names = list.iter().map(|value| value.as_str().map(str::to_owned));
            names.collect()
        }
        (None, None) => None,
    };
    let names = names.filter(|names| !names.is_empty() && names.iter().all(|name| is_name(name)));
    let Some(names) = names else {
        let expected = format!("the name of a script of [{SCRIPTS}.{key}], or a list of names");
        reader.refuse(span, key, &given(item), expected);
        return;
    };
    let place = reader.place(span);
    named.names.extend(names.into_iter().map(|name| {
        let place = place.clone();
        (kind, name, Origin { source, place })
    }));
}

/// Reads the section.
pub(super) fn read(reader: &mut Reader<'_>, table: &dyn TableLike, item: &Item) -> Scripts {
    let mut scripts = Scripts::default();
    let Some(section) = item.as_table_like() else {
        let message = format!("`{SCRIPTS}` holds scripts by their kinds and names");
        let span = key_span(table, SCRIPTS, item);
        reader.report(span, message, Some(EXAMPLE.to_owned()));
        return scripts;
    };
    for (name, item) in section.iter() {
        match kind_of(name) {
            Some(kind) => {
                let read = read_kind(reader, kind.name(), section, item, |reader, one| {
                    read_script(reader, kind, one)
                });
                match kind {
                    ScriptKind::Setup => scripts.setup = read,
                    ScriptKind::Teardown => scripts.teardown = read,
                }
            }
            None if name == WRAPPER => {
                scripts.wrapper = read_kind(reader, WRAPPER, section, item, wrappers::read);
            }
            None => reader.no_such_key(section, name, item, &format!("`{SCRIPTS}`"), TABLES),
        }
    }
    scripts
}

/// The table that defines a script.
pub(super) struct Defined<'a> {
    pub(super) name: &'a str,
    pub(super) table: &'a dyn TableLike,
    /// Where its name stands.
    pub(super) span: Range<usize>,
}

fn read_kind<T>(
    reader: &mut Reader<'_>,
    kind: &str,
    section: &dyn TableLike,
    item: &Item,
    mut read: impl FnMut(&mut Reader<'_>, Defined<'_>) -> Option<T>,
) -> Vec<Arc<T>> {
    let Some(table) = item.as_table_like() else {
        let message = format!("`{SCRIPTS}.{kind}` holds scripts by their names");
        let span = key_span(section, kind, item);
        reader.report(span, message, Some(EXAMPLE.to_owned()));
        return Vec::new();
    };
    let mut scripts = Vec::new();
    for (name, item) in table.iter() {
        let span = key_span(table, name, item);
        let shown = name.escape_debug();
        if !is_name(name) {
            let message = format!("a script can't be called `{shown}`");
            reader.report(span, message, Some(NAME_RULE.to_owned()));
            continue;
        }
        let Some(table) = item.as_table_like() else {
            let message = format!("`{shown}` is not a script");
            reader.report(span, message, Some(EXAMPLE.to_owned()));
            continue;
        };
        let one = Defined { name, table, span };
        scripts.extend(read(reader, one).map(Arc::new));
    }
    scripts
}

fn read_script(reader: &mut Reader<'_>, kind: ScriptKind, one: Defined<'_>) -> Option<Script> {
    let Defined { name, table, span } = one;
    let mut command = None;
    let mut times = TestTimes::default();
    let (mut capture_stdout, mut capture_stderr) = (false, false);
    for (key, item) in table.iter() {
        let value = item.span().unwrap_or_else(|| key_span(table, key, item));
        let flag = |reader: &mut Reader<'_>| {
            let read = item.as_bool();
            if read.is_none() {
                reader.refuse(value.clone(), key, &given(item), "true or false");
            }
            read.unwrap_or_default()
        };
        match key {
            COMMAND => command = Some(read_command(reader, item, value)),
            CAPTURE_STDOUT => capture_stdout = flag(reader),
            CAPTURE_STDERR => capture_stderr = flag(reader),
            key if TIMES.contains(&key) => times::read(reader, &mut times, key, item, value),
            other => reader.no_such_key(table, other, item, "a script", KEYS),
        }
    }
    let Some(command) = command else {
        reader.no_command(name, span);
        return None;
    };
    Some(Script {
        kind,
        name: name.into(),
        command: command?,
        times,
        capture_stdout,
        capture_stderr,
    })
}

impl Reader<'_> {
    /// Reports a script without a command.
    pub(super) fn no_command(&mut self, name: &str, span: Range<usize>) {
        let message = format!("`{name}` does not say what is to be run");
        let expected = format!("it needs `{COMMAND}`: {A_COMMAND}");
        self.report(span, message, Some(expected));
    }
}

/// Reads a command: a line, a list of words, or a table that says more.
pub(super) fn read_command(
    reader: &mut Reader<'_>,
    item: &Item,
    span: Range<usize>,
) -> Option<ScriptCommand> {
    let Some(table) = item.as_table_like() else {
        return words(reader, COMMAND, item, span);
    };
    let before = reader.problems.len();
    let mut command = None;
    let mut relative_to = RelativeTo::None;
    let mut env = Vec::new();
    for (key, item) in table.iter() {
        let span = item.span().unwrap_or_else(|| key_span(table, key, item));
        match key {
            COMMAND_LINE => command = words(reader, key, item, span),
            RELATIVE_TO => {
                let given = given(item);
                let choices = [
                    ("none", RelativeTo::None),
                    ("workspace-root", RelativeTo::WorkspaceRoot),
                    ("target", RelativeTo::Target),
                ];
                if let Some(chosen) = given.choice(&choices) {
                    relative_to = chosen;
                } else {
                    let expected = r#""none", "workspace-root" or "target""#;
                    reader.refuse(span, key, &given, expected);
                }
            }
            ENV => env = variables(reader, item, span),
            other => reader.no_such_key(table, other, item, &format!("`{COMMAND}`"), OF_COMMAND),
        }
    }
    if table.get(COMMAND_LINE).is_none() {
        let message = format!("`{COMMAND}` does not say what is to be run");
        let expected = format!("it needs `{COMMAND_LINE}`: {A_COMMAND}");
        reader.report(span, message, Some(expected));
    }
    let command = command.filter(|_| reader.problems.len() == before)?;
    Some(ScriptCommand {
        relative_to,
        env,
        ..command
    })
}

/// A command line as one text or as a list of words.
fn words(
    reader: &mut Reader<'_>,
    key: &str,
    item: &Item,
    span: Range<usize>,
) -> Option<ScriptCommand> {
    let words: Option<Vec<String>> = match (item.as_str(), item.as_array()) {
        (Some(line), _) => split_words(line),
        (None, Some(list)) => {
            let words = list.iter().map(|value| value.as_str().map(str::to_owned));
            words.collect()
        }
        (None, None) => None,
    };
    let mut words = words.unwrap_or_default().into_iter();
    let Some(program) = words.next().filter(|program| !program.is_empty()) else {
        reader.refuse(span, key, &given(item), A_COMMAND);
        return None;
    };
    Some(ScriptCommand {
        program,
        args: words.collect(),
        relative_to: RelativeTo::None,
        env: Vec::new(),
    })
}

fn variables(reader: &mut Reader<'_>, item: &Item, span: Range<usize>) -> Vec<(String, String)> {
    let expected = r#"a table of variables such as { RUST_LOG = "info" }"#;
    let table = item.as_table_like();
    let read: Option<Vec<_>> = table.and_then(|table| {
        let pairs = table.iter().map(|(name, item)| {
            let is_name = !name.is_empty() && !name.contains(['=', '\0']);
            let value = item
                .as_str()
                .filter(|value| is_name && !value.contains('\0'))?;
            Some((name.to_owned(), value.to_owned()))
        });
        pairs.collect()
    });
    if read.is_none() {
        reader.refuse(span, ENV, &given(item), expected);
    }
    read.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::overrides::tests::config;

    fn problem(text: &str) -> String {
        config(text).unwrap_err().to_string()
    }

    #[test]
    fn scripts_are_read_in_their_order() {
        let text = "[scripts.setup.two]\ncommand = \"sh -c 'a b'\"\n\
            slow-timeout = { period = '9s', terminate-after = 2 }\nleak-timeout = '1s'\n\
            [scripts.setup.one]\ncapture-stdout = true\n\
            command = { command-line = ['up', 'x y'], relative-to = 'target', env = { A = '1' } }\n\
            [scripts.teardown.two]\ncommand = './down'\ncapture-stderr = true\n\
            [[overrides]]\nfilter = 'all()'\nsetup = ['one', 'two']\nteardown = 'two'\n";
        let read = config(text).unwrap();
        let [two, one] = &read.scripts.setup[..] else {
            panic!("{:?}", read.scripts);
        };
        assert_eq!(two.command.to_string(), "sh -c 'a b'");
        assert_eq!(two.times.slow_timeout, Some(Duration::from_secs(9)));
        assert_eq!(two.times.terminate_after, Some(2));
        assert_eq!(one.command.to_string(), "up 'x y'");
        assert_eq!(one.command.relative_to, RelativeTo::Target);
        assert_eq!(one.command.env, [("A".to_owned(), "1".to_owned())]);
        assert!(one.capture_stdout && !one.capture_stderr);
        let down = &read.scripts.teardown[0];
        assert!(down.capture_stderr && down.kind == ScriptKind::Teardown);
        let of_tests = &read.overrides[0].scripts;
        assert_eq!(of_tests.setup, [two.clone(), one.clone()]);
        assert_eq!(of_tests.teardown, std::slice::from_ref(down));
        assert_eq!(
            read.overrides[0].to_string(),
            "filter = \"all()\"\nsetup = [\"two\", \"one\"]\nteardown = [\"two\"]\n"
        );
    }

    #[test]
    fn what_is_wrong_with_a_script_is_named() {
        for (text, words) in [
            (
                "scripts = 3",
                &["`scripts` holds scripts", "[scripts.setup.db]"][..],
            ),
            (
                "[scripts.setpu.db]\ncommand = 'x'",
                &["`scripts` has no key `setpu`", "did you mean `setup`?"],
            ),
            ("[scripts]\nsetup = 3", &["`scripts.setup` holds scripts"]),
            ("[scripts.setup]\ndb = 3", &["`db` is not a script"]),
            (
                "[scripts.setup.'a b']\ncommand = 'x'",
                &["a script can't be called `a b`"],
            ),
            (
                "[scripts.setup.db]\ncapture-stdout = true",
                &["`db` does not say what is to be run", "it needs `command`"],
            ),
            (
                "[scripts.setup.db]\ncommand = \"it's\"",
                &["`command` can't be `it's`", "expected a command such as"],
            ),
            (
                "[scripts.setup.db]\ncommand = []",
                &["`command` can't be a list"],
            ),
            (
                "[scripts.setup.db]\ncommand = { command = 'x' }",
                &["`command` has no key `command`", "it needs `command-line`"],
            ),
            (
                "[scripts.setup.db]\ncommand = { command-line = 'x', relative-to = 'here' }",
                &["`relative-to` can't be `here`", "\"workspace-root\""],
            ),
            (
                "[scripts.setup.db]\ncommand = { command-line = 'x', env = { A = 1 } }",
                &["`env` can't be a table", "RUST_LOG"],
            ),
            (
                "[scripts.setup.db]\ncommand = 'x'\ncapture-stderr = 'no'",
                &["`capture-stderr` can't be `no`", "true or false"],
            ),
            (
                "[scripts.setup.db]\ncommand = 'x'\nslow-timeout = 'soon'",
                &["`slow-timeout` can't be `soon`"],
            ),
            (
                "[scripts.setup.db]\ncommand = 'x'\njunit = true",
                &["a script has no key `junit`"],
            ),
        ] {
            let shown = problem(text);
            for word in words {
                assert!(shown.contains(word), "{text}: {shown}");
            }
        }
    }

    #[test]
    fn a_script_that_is_not_there_is_named_where_it_is_asked_for() {
        let text = "[scripts.setup.db]\ncommand = 'x'\n[profile.ci.scripts.teardown.down]\n\
            command = 'x'\n[[overrides]]\nfilter = 'all()'\nsetup = 'bd'\n\
            [[overrides]]\nfilter = 'all()'\nteardown = 'down'\n\
            [[profile.ci.overrides]]\nfilter = 'all()'\nteardown = 'down'\n";
        let shown = problem(text);
        for word in [
            "there is no setup script `bd`",
            "stt.toml:7:9",
            "did you mean `db`?",
            "there is no teardown script `down`",
            "a table [scripts.teardown.down] makes one",
        ] {
            assert!(shown.contains(word), "{shown}");
        }
        assert!(!shown.contains("stt.toml:13"), "{shown}");
        let names = problem("[[overrides]]\nfilter = 'all()'\nsetup = []\n");
        assert!(names.contains("`setup` can't be a list"), "{names}");
    }
}
