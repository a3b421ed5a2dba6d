//! Documentation tests: a package's are one binary, which is `rustdoc` with the arguments and the environment that
//! cargo would give it.
//!
//! Cargo tells them by itself: for `cargo test --doc` it calls whatever `RUSTDOC` names, and that is us, who write
//! down how we were called ([`RustdocCall`]). All of it is stable. Each test is a call of `rustdoc` of its own, which
//! compiles and runs this one: it is a process with a result, as any other test is.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;

use camino::Utf8PathBuf;

use crate::command::CommandLine;

use super::binary::BinaryError;
use super::binary::BinaryKind;
use super::binary::Setting;
use super::binary::TestBinary;
use super::doc_filter::singled_out;
use super::environment::loaders;
use super::environment::ours;
use super::environment::tells_of_ports;
use super::environment::value_of;
use super::list::ListAnswer;
use super::list::ListError;
use super::list::ListedTest;
use super::list::Listing;
use super::list::Protocol;
use super::list::read_listing;
use super::list::while_listing;
use super::manifest::Harness;
use super::variables;

/// The first word of a call as the runner of a documentation test, by `rustdoc`; the test's program follows.
pub const DOCTEST_RUNNER: &str = "__run-documentation-test";

/// The option of `rustdoc` for what runs its tests, and the first version that has it (1.89).
const RUNTOOL: &str = "--test-runtool";
const HAS_RUNTOOL: (u32, u32) = (1, 89);

/// A call of `rustdoc --test` by cargo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RustdocCall {
    /// Where it was called.
    pub cwd: Utf8PathBuf,
    /// With what.
    pub args: Vec<OsString>,
    /// With which environment.
    pub env: Vec<(OsString, OsString)>,
}

impl RustdocCall {
    /// The call as the bytes of a file: words that end with a NUL, as the kernel keeps them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut word = |word: &[u8]| {
            bytes.extend_from_slice(word);
            bytes.push(0);
        };
        word(self.cwd.as_str().as_bytes());
        word(self.args.len().to_string().as_bytes());
        for arg in &self.args {
            word(arg.as_bytes());
        }
        for (name, value) in &self.env {
            word(name.as_bytes());
            word(value.as_bytes());
        }
        bytes
    }

    /// Reads such a file; `None` when it is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut words = bytes.strip_suffix(&[0])?.split(|&byte| byte == 0);
        let text = |word: &[u8]| String::from_utf8(word.to_vec()).ok();
        let cwd = text(words.next()?)?.into();
        let count: usize = text(words.next()?)?.parse().ok()?;
        let words: Vec<_> = words
            .map(|word| OsString::from_vec(word.to_vec()))
            .collect();
        let (args, env) = words.split_at_checked(count)?;
        let pairs = env.chunks_exact(2);
        pairs.remainder().is_empty().then(|| Self {
            cwd,
            args: args.to_vec(),
            env: pairs
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
        })
    }

    fn variable(&self, name: &str) -> Option<&str> {
        value_of(&self.env, name)?.to_str()
    }

    /// The values of an option, which are one word with it (`--extern=x`) or the next one.
    fn option<'a>(&'a self, name: &str) -> Vec<&'a OsStr> {
        let mut args = self.args.iter();
        let mut values = Vec::new();
        while let Some(arg) = args.next() {
            if arg == name {
                values.extend(args.next().map(OsString::as_os_str));
            } else if let Some(value) = arg.as_bytes().strip_prefix(name.as_bytes())
                && let Some(value) = value.strip_prefix(b"=")
            {
                values.push(OsStr::from_bytes(value));
            }
        }
        values
    }
}

/// How the documentation tests of a package are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doctests {
    args: Vec<OsString>,
    /// What runs the tests, for `rustdoc`.
    runner: Option<OsString>,
    /// The folder of the package.
    dir: Utf8PathBuf,
    /// The libraries that the tests are linked with.
    libraries: Vec<Utf8PathBuf>,
    /// The names of all tests.
    names: Vec<Arc<str>>,
}

impl Doctests {
    /// These, of which now the names are known.
    #[must_use]
    pub fn with_names(&self, listing: &Listing) -> Self {
        let names = listing.tests.iter().map(|test| Arc::clone(&test.name));
        Self {
            names: names.collect(),
            ..self.clone()
        }
    }

    /// What the arguments are, for whoever compares two runs.
    pub fn args(&self) -> &[OsString] {
        &self.args
    }
}

/// The documentation tool, and what it can have its tests run by: ourselves.
#[derive(Clone, Debug)]
pub struct DocTool {
    /// `rustdoc`.
    pub rustdoc: OsString,
    /// Who runs a test so that its output does not go through `rustdoc`; `None` where that knows no such thing.
    pub runner: Option<OsString>,
}

/// Whether a `rustdoc` that says this of its version can have its tests run by another program.
pub fn has_runtool(version: &str) -> bool {
    let number = version.strip_prefix("rustdoc ").map(|rest| {
        let mut parts = rest.split('.').map(|part| part.parse::<u32>().ok());
        (parts.next().flatten(), parts.next().flatten())
    });
    matches!(number, Some((Some(major), Some(minor))) if (major, minor) >= HAS_RUNTOOL)
}

/// The documentation of a package as a test binary.
///
/// # Errors
/// The workspace does not have the package.
pub fn doc_binary(
    call: &RustdocCall,
    tool: &DocTool,
    setting: &Setting<'_>,
) -> Result<TestBinary, BinaryError> {
    let dir = call.variable(variables::CARGO_MANIFEST_DIR);
    let dir = Utf8PathBuf::from(dir.unwrap_or_default());
    let (package_id, package) = setting.workspace.package_in(&dir).ok_or_else(|| {
        let id = dir.to_string();
        BinaryError::UnknownPackage { id }
    })?;
    let name = call.option("--crate-name").pop().and_then(OsStr::to_str);
    let target = name.unwrap_or(&package.name).to_owned();
    let id = BinaryKind::Doc.id(&package.name, &target);
    let triple = call.option("--target").pop().and_then(OsStr::to_str);
    let restored = value_of(setting.inherited, variables::RUSTDOC);
    let restored = restored.map(|value| (variables::RUSTDOC.into(), value.to_owned()));
    let recorded = call.env.iter().filter(|(name, _)| {
        let hidden = [variables::RUSTDOC, variables::STT_DOCTEST_CALLS];
        !hidden.iter().any(|hidden| name == hidden) && !tells_of_ports(name)
    });
    let added = ours(setting, &id).map(|(name, value)| (name.into(), value.into()));
    let added: Vec<(OsString, OsString)> = added.collect();
    let mut env: Vec<(OsString, OsString)> = recorded.cloned().collect();
    env.retain(|(name, _)| !added.iter().any(|(added, _)| added == name));
    env.extend(restored);
    env.extend(added);
    let told = loaders(env.iter().map(|(name, value)| (name, value)));
    env.retain(|(name, _)| !told.iter().any(|(told, _)| told == name));
    env.extend(told);
    let libraries = call.option("--extern").into_iter().filter_map(|value| {
        let (_, path) = value.to_str()?.split_once('=')?;
        Some(path.into())
    });
    Ok(TestBinary {
        path: tool.rustdoc.to_string_lossy().into_owned().into(),
        kind: BinaryKind::Doc,
        package: package.name.clone(),
        package_id: package_id.to_owned(),
        platform: setting.toolchain.of(triple),
        target,
        cwd: call.cwd.clone(),
        harness: Harness::Libtest,
        env: env.into(),
        runner: None,
        list_wrapper: None,
        doctests: Some(Arc::new(Doctests {
            args: call.args.clone(),
            // Cargo's own runner for a target keeps its place.
            runner: tool
                .runner
                .clone()
                .filter(|_| call.option(RUNTOOL).is_empty()),
            libraries: libraries.collect(),
            names: Vec::new(),
            dir,
        })),
        id,
    })
}

/// A call of `rustdoc` with these arguments for the harness. Without `--show-output` all tests of an edition from 2024
/// on would be compiled into one program first, for each call.
fn call(binary: &TestBinary, words: &[&str]) -> CommandLine {
    let args = binary.doctests.as_deref().map(Doctests::args);
    CommandLine::new(&binary.path, binary.cwd.clone(), binary.env.clone())
        .args(args.unwrap_or_default())
        .arg("--test-args")
        .arg(words.join(" "))
}

/// The call that compiles and runs one test.
pub(super) fn doctest_command(binary: &TestBinary, test: &ListedTest) -> CommandLine {
    let mut words = vec!["--show-output", "--test-threads=1"];
    words.extend(test.ignored.then_some("--include-ignored"));
    let names = binary.doctests.iter().flat_map(|doc| &doc.names);
    words.extend(singled_out(&test.name, &names.map(AsRef::as_ref)));
    let runner = binary.doctests.as_ref().and_then(|doc| doc.runner.as_ref());
    let runner = runner.into_iter().flat_map(|runner| {
        let argument = ["--test-runtool-arg", DOCTEST_RUNNER].map(OsStr::new);
        [OsStr::new(RUNTOOL), runner].into_iter().chain(argument)
    });
    call(binary, &words).args(runner)
}

/// The two calls that list the tests of a package: all of them, and the ignored ones. As above nothing is compiled, and
/// `rustdoc` has no word of its own to say about that.
pub fn doc_list_commands(binary: &TestBinary) -> [CommandLine; 2] {
    let plain = ["--show-output", "--list", "--format", "terse"];
    [
        call(binary, &plain),
        call(binary, &[&plain[..], &["--ignored"]].concat()),
    ]
    .map(while_listing)
}

/// Reads the answers to [`doc_list_commands`], in their order.
///
/// # Errors
/// `rustdoc` has failed.
pub fn read_doc_listing(
    binary: &TestBinary,
    plain: &ListAnswer,
    ignored: &ListAnswer,
) -> Result<Listing, ListError> {
    let mut listing = read_listing(binary, plain, ignored)?;
    for test in &mut listing.tests {
        test.protocol = Protocol::Doctest;
    }
    Ok(listing)
}

/// The files on which the tests of a package depend, but for what these include: what they are linked with, the sources
/// that hold them, and what is written about the package.
pub fn doc_sources(binary: &TestBinary, listing: &Listing) -> BTreeSet<Utf8PathBuf> {
    let Some(doc) = binary.doctests.as_deref() else {
        return BTreeSet::new();
    };
    let named = listing.tests.iter().filter_map(|test| {
        let (file, _) = test.name.split_once(" - ")?;
        Some(binary.cwd.join(file))
    });
    let written = [doc.dir.join("README.md")];
    named
        .chain(written)
        .chain(doc.libraries.iter().cloned())
        .collect()
}

/// Whether a call for one test has found none: its source has changed since it was listed.
pub fn finds_nothing(stdout: &[u8]) -> bool {
    stdout.starts_with(b"\nrunning 0 tests\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::binary::tests::binary;

    fn recorded() -> RustdocCall {
        RustdocCall {
            cwd: "/w".into(),
            args: [
                "--test",
                "src/lib.rs",
                "--crate-name",
                "p",
                "--extern=a=/t/a.rlib",
                "--extern",
                "b=/t/b.rlib",
                "",
            ]
            .map(OsString::from)
            .into(),
            env: vec![("A".into(), "1\n2".into()), ("B".into(), "".into())],
        }
    }

    #[test]
    fn a_call_is_read_back() {
        let call = recorded();
        assert_eq!(
            RustdocCall::from_bytes(&call.to_bytes()),
            Some(call.clone())
        );
        assert_eq!(call.option("--extern"), ["a=/t/a.rlib", "b=/t/b.rlib"]);
        assert_eq!(call.option("--crate-name"), ["p"]);
        let bytes = call.to_bytes();
        for end in 0..bytes.len() {
            let read = RustdocCall::from_bytes(&bytes[..end]);
            assert_ne!(read.as_ref(), Some(&call), "{end}");
        }
    }

    #[test]
    fn a_rustdoc_from_1_89_on_has_its_tests_run_by_others() {
        for (version, has) in [
            ("rustdoc 1.95.0 (59807616e 2026-04-14)\n", true),
            ("rustdoc 1.89.0", true),
            ("rustdoc 2.0.0-nightly (0 0)", true),
            ("rustdoc 1.88.0 (0 0)", false),
            ("rustdoc", false),
            ("clippy 1.95.0", false),
            ("rustdoc 1.x", false),
        ] {
            assert_eq!(has_runtool(version), has, "{version}");
        }
    }

    fn doc_tests(names: &[&str]) -> TestBinary {
        TestBinary {
            path: "/s/bin/rustdoc".into(),
            list_wrapper: None,
            doctests: Some(Arc::new(Doctests {
                args: vec!["--test".into(), "src/lib.rs".into()],
                runner: Some("/bin/stt".into()),
                dir: "/w/p".into(),
                libraries: vec!["/t/libp.rlib".into()],
                names: names.iter().map(|&name| name.into()).collect(),
            })),
            ..binary(Harness::Libtest, None)
        }
    }

    #[test]
    fn one_test_is_one_call_and_is_compiled_by_itself() {
        let names = ["src/lib.rs - a (line 5)", "src/lib.rs - b (line 15)"];
        let answer = |stdout: &str| ListAnswer::Ended {
            exit: crate::outcome::Exit::Code(0),
            stdout: stdout.into(),
            stderr: Vec::new(),
        };
        let binary = doc_tests(&names);
        let [plain, ignored] = doc_list_commands(&binary);
        let start = "/s/bin/rustdoc --test src/lib.rs --test-args";
        assert_eq!(
            plain.shown(),
            format!("{start} '--show-output --list --format terse'")
        );
        assert_eq!(
            ignored.shown(),
            format!("{start} '--show-output --list --format terse --ignored'")
        );
        let all = names.map(|name| format!("{name}: test\n")).concat();
        let ignored = format!("{}: test\n", names[1]);
        let listing = read_doc_listing(&binary, &answer(&all), &answer(&ignored)).unwrap();
        let runner = " --test-runtool /bin/stt --test-runtool-arg __run-documentation-test";
        let commands = listing
            .tests
            .iter()
            .map(|test| doctest_command(&binary, test).shown());
        assert_eq!(
            commands.collect::<Vec<_>>(),
            [
                format!("{start} '--show-output --test-threads=1 a'{runner}"),
                format!("{start} '--show-output --test-threads=1 --include-ignored 15)'{runner}"),
            ]
        );
        let sources: Vec<_> = doc_sources(&binary, &listing).into_iter().collect();
        assert_eq!(
            sources,
            ["/t/libp.rlib", "/w/p/README.md", "/w/p/src/lib.rs"]
        );
        assert!(finds_nothing(b"\nrunning 0 tests\n\n") && !finds_nothing(b"\nrunning 1 test\n"));
    }
}
