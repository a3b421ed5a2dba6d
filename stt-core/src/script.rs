//! Programs that run around the tests: setup and teardown scripts. Pure.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use camino::Utf8Path;
use serde::Serialize;

use crate::command::quoted;
use crate::times::TestTimes;

/// When a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptKind {
    /// Before the first test.
    Setup,
    /// After the last one.
    Teardown,
}

impl ScriptKind {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Teardown => "teardown",
        }
    }
}

/// A setup or teardown script: `[scripts.setup.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// When it runs.
    pub kind: ScriptKind,
    /// Its name, which no other script of its kind has.
    pub name: Arc<str>,
    /// What is started.
    pub command: ScriptCommand,
    /// Its times, as far as it has others than those of `[run]`.
    pub times: TestTimes,
    /// Whether its standard output is captured; else it is ours.
    pub capture_stdout: bool,
    /// The same of its standard error.
    pub capture_stderr: bool,
}

/// The command line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptCommand {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where a relative path of the program begins.
    pub relative_to: RelativeTo,
    /// What it has in its environment beside what all scripts have.
    pub env: Vec<(String, String)>,
}

/// Where the path of a script's program begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RelativeTo {
    /// A name without a slash is looked up in `PATH`, any other path begins at the root of the workspace.
    #[default]
    None,
    /// At the root of the workspace, also without a slash.
    WorkspaceRoot,
    /// In the target directory.
    Target,
}

impl ScriptCommand {
    /// The program as it is to be started.
    pub fn program(&self, root: &Utf8Path, target: &Utf8Path) -> String {
        match self.relative_to {
            RelativeTo::None if !self.program.contains('/') => self.program.clone(),
            RelativeTo::None | RelativeTo::WorkspaceRoot => root.join(&self.program).into_string(),
            RelativeTo::Target => target.join(&self.program).into_string(),
        }
    }
}

/// As a person would type it into a shell.
impl fmt::Display for ScriptCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(self.program.as_ref()))?;
        for arg in &self.args {
            write!(f, " {}", quoted(arg.as_ref()))?;
        }
        Ok(())
    }
}

/// A command around a test binary: `[scripts.wrapper.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapper {
    /// Its name.
    pub name: Arc<str>,
    /// What is started; the command that it wraps follows as arguments.
    pub command: ScriptCommand,
    /// What becomes of cargo's own runner for the target.
    pub target_runner: TargetRunner,
}

/// What becomes of cargo's runner for a target (`target.<triple>.runner`) where there is a wrapper, in nextest's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetRunner {
    /// It is left out.
    #[default]
    Ignore,
    /// The wrapper is left out.
    OverridesWrapper,
    /// The wrapper is called with the runner's command line.
    WithinWrapper,
    /// The runner is called with the wrapper's.
    AroundWrapper,
}

impl Wrapper {
    /// The same with the path of its program spelled out.
    #[must_use]
    pub fn in_workspace(&self, root: &Utf8Path, target: &Utf8Path) -> Self {
        let mut own = self.clone();
        own.command.program = self.command.program(root, target);
        own.command.relative_to = RelativeTo::None;
        own
    }

    /// The words before the path of a test binary, for a target with this runner.
    pub fn before<'a>(&'a self, runner: &'a [OsString]) -> Vec<&'a OsStr> {
        let runner = runner.iter().map(OsString::as_os_str);
        let command = &self.command;
        let wrapper = std::iter::once(&command.program).chain(&command.args);
        let wrapper = wrapper.map(|word| OsStr::new(word.as_str()));
        match self.target_runner {
            TargetRunner::OverridesWrapper if runner.len() > 0 => runner.collect(),
            TargetRunner::Ignore | TargetRunner::OverridesWrapper => wrapper.collect(),
            TargetRunner::WithinWrapper => wrapper.chain(runner).collect(),
            TargetRunner::AroundWrapper => runner.chain(wrapper).collect(),
        }
    }
}

/// What runs around one test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestScripts {
    /// Its setup scripts.
    pub setup: Vec<Arc<Script>>,
    /// Its teardown scripts.
    pub teardown: Vec<Arc<Script>>,
    /// What it is run by.
    pub run_wrapper: Option<Arc<Wrapper>>,
    /// What its binary is asked for its tests by.
    pub list_wrapper: Option<Arc<Wrapper>>,
}

impl TestScripts {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what a weaker place says.
    pub fn extend(&mut self, other: &Self) {
        add(&mut self.setup, &other.setup);
        add(&mut self.teardown, &other.teardown);
        let weaker = || other.run_wrapper.clone();
        self.run_wrapper = self.run_wrapper.take().or_else(weaker);
        let weaker = || other.list_wrapper.clone();
        self.list_wrapper = self.list_wrapper.take().or_else(weaker);
    }
}

fn add(scripts: &mut Vec<Arc<Script>>, others: &[Arc<Script>]) {
    for other in others {
        if !scripts.iter().any(|known| known.name == other.name) {
            scripts.push(Arc::clone(other));
        }
    }
}

/// The scripts that a file defines, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scripts {
    /// `[scripts.setup]`.
    pub setup: Vec<Arc<Script>>,
    /// `[scripts.teardown]`.
    pub teardown: Vec<Arc<Script>>,
    /// `[scripts.wrapper]`.
    pub wrapper: Vec<Arc<Wrapper>>,
}

impl Scripts {
    /// Those of a kind.
    pub fn of(&self, kind: ScriptKind) -> &[Arc<Script>] {
        match kind {
            ScriptKind::Setup => &self.setup,
            ScriptKind::Teardown => &self.teardown,
        }
    }

    /// Whether nothing runs before and after tests.
    pub fn is_empty(&self) -> bool {
        self.setup.is_empty() && self.teardown.is_empty()
    }

    /// Adds those of a stronger place: they replace others of their names, where these stand.
    pub fn extend(&mut self, stronger: Self) {
        replace(&mut self.setup, stronger.setup, |script| &script.name);
        replace(&mut self.teardown, stronger.teardown, |script| &script.name);
        replace(&mut self.wrapper, stronger.wrapper, |wrapper| &wrapper.name);
    }
}

fn replace<T>(scripts: &mut Vec<Arc<T>>, stronger: Vec<Arc<T>>, name: fn(&T) -> &Arc<str>) {
    for script in stronger {
        match scripts
            .iter_mut()
            .find(|known| name(known) == name(&script))
        {
            Some(known) => *known = script,
            None => scripts.push(script),
        }
    }
}

/// Splits a command line into words as a shell does, but for what a shell would replace: `$`, `*` and the like
/// stand for themselves. `None` where a quote has no end.
pub fn split_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match letter {
            '\\' => word.push(letters.next()?),
            '\'' => loop {
                match letters.next()? {
                    '\'' => break,
                    other => word.push(other),
                }
            },
            '"' => loop {
                match letters.next()? {
                    '"' => break,
                    '\\' => match letters.next()? {
                        escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                        other => word.extend(['\\', other]),
                    },
                    other => word.push(other),
                }
            },
            other => word.push(other),
        }
    }
    words.extend(word);
    Some(words)
}

/// Why the variables that a setup script has written can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// A line has no `=`.
    #[error("line {line} is not KEY=VALUE: `{text}`")]
    NoAssignment {
        /// Its number, from 1.
        line: usize,
        /// Its text.
        text: String,
    },
    /// A name can't be that of a variable.
    #[error(
        "line {line}: `{name}` can't be the name of a variable: a letter or `_`, then letters, digits and `_`"
    )]
    Name {
        /// The line's number, from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// A name is one of ours, or of nextest's.
    #[error("line {line}: `{name}` begins with `{prefix}`, which is the runner's own")]
    Reserved {
        /// The line's number, from 1.
        line: usize,
        /// The name.
        name: String,
        /// What it begins with.
        prefix: &'static str,
    },
}

/// What variables of the runner begin with.
const RESERVED: [&str; 2] = ["NEXTEST", "STT"];

/// Reads what a setup script has written for its tests: a `KEY=VALUE` a line, of which a later one wins. Nothing is
/// taken away from a value; empty lines are none.
///
/// # Errors
/// A line is something else, or its name is the runner's.
pub fn parse_variables(text: &str) -> Result<Vec<(String, String)>, VariableError> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.is_empty()) {
        let Some((name, value)) = text.split_once('=') else {
            let text = text.to_owned();
            return Err(VariableError::NoAssignment { line, text });
        };
        let name = name.to_owned();
        let mut letters = name.chars();
        let begins = letters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !begins || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(VariableError::Name { line, name });
        }
        if let Some(prefix) = RESERVED.into_iter().find(|own| name.starts_with(own)) {
            return Err(VariableError::Reserved { line, name, prefix });
        }
        variables.retain(|(known, _)| *known != name);
        variables.push((name, value.to_owned()));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(program: &str, relative_to: RelativeTo) -> ScriptCommand {
        ScriptCommand {
            program: program.to_owned(),
            args: vec!["-c".to_owned(), "it's".to_owned(), String::new()],
            relative_to,
            env: Vec::new(),
        }
    }

    #[test]
    fn a_program_is_found_where_its_path_begins() {
        let program = |program, relative_to| {
            command(program, relative_to).program("/w".into(), "/w/target".into())
        };
        assert_eq!(program("sh", RelativeTo::None), "sh");
        assert_eq!(program("./up", RelativeTo::None), "/w/./up");
        assert_eq!(program("/bin/sh", RelativeTo::None), "/bin/sh");
        assert_eq!(program("up", RelativeTo::WorkspaceRoot), "/w/up");
        assert_eq!(
            program("debug/up", RelativeTo::Target),
            "/w/target/debug/up"
        );
    }

    #[test]
    fn a_shown_command_can_be_pasted_into_a_shell() {
        let shown = command("sh", RelativeTo::None).to_string();
        assert_eq!(shown, r"sh -c 'it'\''s' ''");
    }

    #[test]
    fn words_are_those_of_a_shell() {
        let split = |text: &str| split_words(text).unwrap();
        assert_eq!(split("  a  b\tc "), ["a", "b", "c"]);
        assert_eq!(split(r#"'a b'"c $d"e\ f '' "#), ["a bc $de f", ""]);
        assert_eq!(split(r#""\"\\\x" '\'"#), [r#""\\x"#, r"\"]);
        assert!(split("").is_empty());
        for open in ["'a", "\"a", "a\\", r#""\""#] {
            assert_eq!(split_words(open), None, "{open}");
        }
    }

    #[test]
    fn variables_are_taken_as_they_are_and_the_last_one_wins() {
        let read = parse_variables("A=1\n\n_b2= x=y \nA=2\nC=\n").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read, [pair("_b2", " x=y "), pair("A", "2"), pair("C", "")]);
    }

    #[test]
    fn what_is_no_variable_is_named_with_its_line() {
        for (text, expected) in [
            ("A=1\nB", "line 2 is not KEY=VALUE: `B`"),
            (
                "A=1\n\n B=2",
                "line 3: ` B` can't be the name of a variable: a letter or `_`, then letters, digits and `_`",
            ),
            (
                "NEXTEST_X=1",
                "line 1: `NEXTEST_X` begins with `NEXTEST`, which is the runner's own",
            ),
            (
                "STT=",
                "line 1: `STT` begins with `STT`, which is the runner's own",
            ),
        ] {
            assert_eq!(parse_variables(text).unwrap_err().to_string(), expected);
        }
        assert!(parse_variables("1A=").is_err() && parse_variables("=x").is_err());
    }

    #[test]
    fn a_wrapper_and_the_runner_of_the_target_stand_as_they_are_told_to() {
        let runner = ["wine", "-x"].map(OsString::from);
        let before = |target_runner, runner: &[OsString]| {
            let wrapper = Wrapper {
                name: "w".into(),
                command: ScriptCommand {
                    args: vec!["-v".to_owned()],
                    ..command("./wrap", RelativeTo::None)
                },
                target_runner,
            };
            let wrapper = wrapper.in_workspace("/w".into(), "/t".into());
            let words = wrapper.before(runner).join(OsStr::new(" "));
            words.into_string().unwrap()
        };
        assert_eq!(before(TargetRunner::Ignore, &runner), "/w/./wrap -v");
        let overrides = TargetRunner::OverridesWrapper;
        assert_eq!(before(overrides, &runner), "wine -x");
        assert_eq!(before(overrides, &[]), "/w/./wrap -v");
        let within = TargetRunner::WithinWrapper;
        assert_eq!(before(within, &runner), "/w/./wrap -v wine -x");
        let around = TargetRunner::AroundWrapper;
        assert_eq!(before(around, &runner), "wine -x /w/./wrap -v");
    }

    fn script(name: &str, program: &str) -> Arc<Script> {
        Arc::new(Script {
            kind: ScriptKind::Setup,
            name: name.into(),
            command: command(program, RelativeTo::None),
            times: TestTimes::default(),
            capture_stdout: false,
            capture_stderr: false,
        })
    }

    #[test]
    fn a_stronger_script_stands_where_the_weaker_one_stood() {
        let file = |scripts: &[(&str, &str)]| Scripts {
            setup: scripts.iter().map(|(name, of)| script(name, of)).collect(),
            ..Scripts::default()
        };
        let mut scripts = file(&[("a", "x"), ("b", "x")]);
        scripts.extend(file(&[("c", "y"), ("a", "y")]));
        let shown: Vec<_> = scripts
            .of(ScriptKind::Setup)
            .iter()
            .map(|script| (&*script.name, script.command.program.as_str()))
            .collect();
        assert_eq!(shown, [("a", "y"), ("b", "x"), ("c", "y")]);
        assert!(!scripts.is_empty() && scripts.of(ScriptKind::Teardown).is_empty());
    }

    #[test]
    fn a_test_has_each_script_once() {
        let one = |names: &[&str]| TestScripts {
            setup: names.iter().map(|name| script(name, "x")).collect(),
            ..TestScripts::default()
        };
        let mut scripts = TestScripts::default();
        assert!(scripts.is_empty());
        scripts.extend(&one(&["b"]));
        scripts.extend(&one(&["a", "b"]));
        let names: Vec<_> = scripts.setup.iter().map(|script| &*script.name).collect();
        assert_eq!(names, ["b", "a"]);
    }
}
