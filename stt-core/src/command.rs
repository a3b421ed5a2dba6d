//! What is to be started, as data. `process::spawn` is the one place that starts it.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use camino::Utf8PathBuf;

/// A complete environment: nothing is inherited beside it.
pub type Environment = Arc<[(OsString, OsString)]>;

/// A program with its arguments, its directory and its whole environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The program; without a slash it is looked up in the `PATH` of `env`.
    pub program: OsString,
    /// The arguments, without the program itself.
    pub args: Vec<OsString>,
    /// The directory in which it starts.
    pub cwd: Utf8PathBuf,
    /// The environment that many commands share.
    pub env: Environment,
    /// What this command has beside `env`; it wins over an equal name there.
    pub extra_env: Vec<(OsString, OsString)>,
}

impl CommandLine {
    /// A command without arguments and without an environment of its own.
    pub fn new(program: impl AsRef<OsStr>, cwd: Utf8PathBuf, env: Environment) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            cwd,
            env,
            extra_env: Vec::new(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets one variable for this command alone.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.extra_env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The command as a person would type it, for messages.
    pub fn shown(&self) -> String {
        let mut text = quoted(&self.program);
        for arg in &self.args {
            text.push(' ');
            text.push_str(&quoted(arg));
        }
        text
    }
}

/// One word of a shell command: in single quotes where a shell would read it otherwise.
pub(crate) fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c));
    if plain {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted_into_a_shell() {
        let command = CommandLine::new("/bin/x", "/".into(), Arc::default())
            .args(["--exact", "a b", "it's"])
            .arg("");
        assert_eq!(command.shown(), r"/bin/x --exact 'a b' 'it'\''s' ''");
    }
}
