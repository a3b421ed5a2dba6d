//! What compilers have said of themselves, kept for the next run: to start one takes longer than a build that has
//! nothing to do.
//!
//! One JSON file in the target directory. Whatever is wrong with it, the compiler is asked again.

use std::env::split_paths;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use serde::Deserialize;
use serde::Serialize;

use super::cache::CacheKey;
use super::kept;
use super::rustc::Rustc;
use crate::command::CommandLine;

/// The version of the file's format, and of what an answer means.
const FORMAT: &str = concat!("2/", env!("CARGO_PKG_VERSION"));
/// How many answers are kept, the newest ones: a few targets for each of a few toolchains.
const MOST: usize = 16;
/// What an answer depends on beside the compiler: where targets are described, and what may be asked.
const VARIABLES: [&str; 2] = ["RUST_TARGET_PATH", "RUSTC_BOOTSTRAP"];

/// A question to a compiler whose answer is the same until another compiler is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    compiler: CacheKey,
    sysroot: Utf8PathBuf,
    words: Vec<String>,
}

impl Question {
    /// What `command` asks, of the compiler that it would start; `None` where that can't be known, or may say something
    /// else next time: a script, a target that is described in a file, rustup without its variables.
    ///
    /// Where rustup has chosen a toolchain it says so in `RUSTUP_HOME` and `RUSTUP_TOOLCHAIN`, and what `PATH` has is a
    /// link that starts the one in there (`rustup`, "Environment variables").
    pub fn of(command: &CommandLine) -> Option<Self> {
        let value = |name: &str| {
            let mut env = command.env.iter().rev();
            let (_, value) = env.find(|(known, _)| known == name)?;
            Some(value.as_os_str())
        };
        if VARIABLES.iter().any(|name| value(name).is_some()) {
            return None;
        }
        let words: Vec<String> = command
            .args
            .iter()
            .map(|word| word.to_str().map(str::to_owned))
            .collect::<Option<_>>()?;
        if words.iter().any(|word| has_extension(word, "json")) {
            return None;
        }
        let found = located(&command.program, command.cwd.as_std_path(), value("PATH")?)?;
        let own = toolchain(&found).map(|sysroot| (found, sysroot));
        let (program, sysroot) = own.or_else(|| {
            let toolchains = Path::new(value("RUSTUP_HOME")?).join("toolchains");
            let program = toolchains
                .join(value("RUSTUP_TOOLCHAIN")?)
                .join("bin/rustc");
            let program = program.canonicalize().ok()?;
            let sysroot = toolchain(&program)?;
            Some((program, sysroot))
        })?;
        Some(Self {
            compiler: CacheKey::of(&Utf8PathBuf::try_from(program).ok()?).ok()?,
            sysroot,
            words,
        })
    }
}

fn has_extension(word: &str, extension: &str) -> bool {
    Utf8Path::new(word).extension() == Some(extension)
}

/// The file that a program's name stands for (`execvp(3)`), with links followed.
fn located(program: &OsStr, cwd: &Path, path: &OsStr) -> Option<PathBuf> {
    let named = Path::new(program);
    let file = if named.components().count() > 1 {
        cwd.join(named)
    } else {
        let mut places = split_paths(path).map(|dir| cwd.join(dir).join(named));
        places.find(|file| file.is_file())?
    };
    file.canonicalize().ok()
}

/// The toolchain of which a file is the compiler.
fn toolchain(program: &Path) -> Option<Utf8PathBuf> {
    let sysroot = program.parent()?.parent()?;
    let is_one = program.file_name()? == "rustc" && sysroot.join("lib/rustlib").is_dir();
    is_one.then(|| Utf8PathBuf::try_from(sysroot.to_owned()).ok())?
}

/// The answers that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compilers {
    answers: Vec<Kept>,
    changed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    compiler: CacheKey,
    words: Vec<String>,
    answer: String,
}

impl Compilers {
    /// What the file at `path` knows: nothing when it is absent, damaged or of another version.
    pub fn read(path: &Utf8Path) -> Self {
        Self {
            answers: kept::read(path, FORMAT),
            changed: false,
        }
    }

    /// The answer to a question. One that speaks of another place than the toolchain's is none.
    pub fn answer(&self, question: &Question) -> Option<&str> {
        let kept = self.answers.iter().find(|kept| kept.answers(question))?;
        let rustc = Rustc::parse(&kept.answer).ok()?;
        rustc
            .libdir
            .starts_with(&question.sysroot)
            .then_some(kept.answer.as_str())
    }

    /// Keeps an answer.
    pub fn keep(&mut self, question: Question, answer: String) {
        self.answers.retain(|kept| !kept.answers(&question));
        self.answers.insert(
            0,
            Kept {
                compiler: question.compiler,
                words: question.words,
                answer,
            },
        );
        self.answers.truncate(MOST);
        self.changed = true;
    }

    /// Writes what is known to `path`, whose folder is made if need be. Does nothing when nothing was learned.
    ///
    /// # Errors
    /// The file can't be written; the error names it.
    pub fn write(&self, path: &Utf8Path) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        kept::write(path, FORMAT, &self.answers)
    }
}

impl Kept {
    fn answers(&self, question: &Question) -> bool {
        self.compiler == question.compiler && self.words == question.words
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    /// A machine with a toolchain, and another program of the compiler's name that is none.
    struct Machine {
        dir: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Self {
            let machine = Self {
                dir: tempfile::tempdir().unwrap(),
            };
            machine.file("rustup/toolchains/stable/bin/rustc", "1");
            machine.file("rustup/toolchains/stable/lib/rustlib/components", "");
            machine.file("cargo/bin/rustup", "proxy");
            let proxy = machine.path("cargo/bin/rustup");
            fs::os::unix::fs::symlink(proxy, machine.path("cargo/bin/rustc")).unwrap();
            machine
        }

        fn path(&self, name: &str) -> Utf8PathBuf {
            let root = Utf8Path::from_path(self.dir.path()).unwrap();
            root.canonicalize_utf8().unwrap().join(name)
        }

        fn file(&self, name: &str, text: &str) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            crate::fs::write_atomic(&path, text.as_bytes()).unwrap();
        }

        fn ask(&self, program: &str, env: &[(&str, &str)], words: &[&str]) -> Option<Question> {
            let env = env
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()));
            let command = CommandLine::new(program, self.path(""), env.collect());
            Question::of(&command.args(words))
        }

        /// As rustup starts us.
        fn asked(&self, more: &[(&str, &str)]) -> Option<Question> {
            let (path, home) = (self.path("cargo/bin"), self.path("rustup"));
            let mut env = vec![
                ("PATH", path.as_str()),
                ("RUSTUP_HOME", home.as_str()),
                ("RUSTUP_TOOLCHAIN", "stable"),
            ];
            env.extend(more);
            self.ask("rustc", &env, &["--print=cfg"])
        }

        fn answer(&self) -> String {
            let libdir = self.path("rustup/toolchains/stable/lib/rustlib/x86_64/lib");
            format!("{libdir}\nunix\n")
        }
    }

    #[test]
    fn an_answer_is_kept_until_another_compiler_is_there() {
        let machine = Machine::new();
        let store = machine.path("target/stt/compilers.json");
        let question = machine.asked(&[]).expect("rustup has told");
        let mut known = Compilers::read(&store);
        assert_eq!(known.answer(&question), None);
        known.keep(question.clone(), machine.answer());
        known.write(&store).unwrap();

        let known = Compilers::read(&store);
        assert_eq!(known.answer(&question), Some(machine.answer().as_str()));
        let other = Question {
            words: vec!["--print=cfg".into(), "--target=wasm32".into()],
            ..question
        };
        assert_eq!(known.answer(&other), None);
        machine.file("rustup/toolchains/stable/bin/rustc", "2");
        assert_eq!(known.answer(&machine.asked(&[]).unwrap()), None);
    }

    #[test]
    fn a_compiler_is_known_by_its_toolchain() {
        let machine = Machine::new();
        let rustup = machine.asked(&[]).unwrap();
        let path = machine.path("rustup/toolchains/stable/bin");
        let without_rustup = machine.ask("rustc", &[("PATH", path.as_str())], &["--print=cfg"]);
        assert_eq!(without_rustup, Some(rustup.clone()));
        let by_path = path.join("rustc");
        let named = machine.ask(by_path.as_str(), &[("PATH", "")], &["--print=cfg"]);
        assert_eq!(named, Some(rustup));
        // The one of a toolchain that is called by its path is not rustup's, whatever that has chosen.
        machine.file("own/bin/rustc", "own");
        machine.file("own/lib/rustlib/components", "");
        let own = machine.path("own/bin");
        let chosen = machine.asked(&[("PATH", own.as_str())]).unwrap();
        assert_eq!(chosen.sysroot, machine.path("own"));
    }

    #[test]
    fn what_may_answer_otherwise_is_asked_each_time() {
        let machine = Machine::new();
        assert_eq!(machine.asked(&[("RUSTC_BOOTSTRAP", "1")]), None);
        assert_eq!(machine.asked(&[("RUST_TARGET_PATH", "/targets")]), None);
        assert_eq!(machine.asked(&[("RUSTUP_TOOLCHAIN", "gone")]), None);
        let proxy = machine.path("cargo/bin");
        let path = [("PATH", proxy.as_str())];
        assert_eq!(machine.ask("rustc", &path, &[]), None, "rustup is silent");
        assert_eq!(machine.ask("clippy-driver", &path, &[]), None);
        machine.file("scripts/bin/rustc", "#!/bin/sh");
        let script = machine.path("scripts/bin/rustc");
        assert_eq!(machine.ask(script.as_str(), &path, &[]), None);
        let toolchain = machine.path("rustup/toolchains/stable/bin");
        let path = [("PATH", toolchain.as_str())];
        assert_eq!(machine.ask("rustc", &path, &["--target=own.json"]), None);
        assert!(machine.ask("rustc", &path, &["--target=own"]).is_some());
    }

    #[test]
    fn a_damaged_file_or_answer_is_none() {
        let machine = Machine::new();
        let store = machine.path("compilers.json");
        let question = machine.asked(&[]).unwrap();
        let mut known = Compilers::default();
        known.keep(question.clone(), "/elsewhere/lib/rustlib/x/lib\n".into());
        assert_eq!(known.answer(&question), None, "another toolchain's");
        known.keep(question.clone(), machine.answer());
        assert!(known.answer(&question).is_some());
        known.write(&store).unwrap();
        let good = fs::read_to_string(&store).unwrap();
        let other = good.replace(FORMAT, "0/0");
        for text in [&good[1..], "", "{}", &other] {
            crate::fs::write_atomic(&store, text.as_bytes()).unwrap();
            assert_eq!(Compilers::read(&store), Compilers::default(), "{text}");
        }
    }

    #[test]
    fn only_the_newest_are_kept() {
        let machine = Machine::new();
        let question = machine.asked(&[]).unwrap();
        let about = |number: usize| Question {
            words: vec![number.to_string()],
            ..question.clone()
        };
        let mut known = Compilers::default();
        for number in 0..=MOST {
            known.keep(about(number), machine.answer());
        }
        assert_eq!(known.answer(&about(0)), None);
        assert!(known.answer(&about(1)).is_some());
        assert_eq!(known.answers.len(), MOST);
    }
}
