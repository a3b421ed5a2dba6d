//! Asking a test binary for its tests, and reading the answer.
//!
//! The protocol is libtest's: `--list --format terse` prints a line for each test or bench, and
//! with `--ignored` only for those that are ignored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::command::CommandLine;
use crate::id::BinaryId;
use crate::outcome::Exit;

use super::binary::TestBinary;
use super::manifest::Harness;
use super::variables;

/// How much of a binary's standard error an error carries, from its end.
const SHOWN_STDERR: usize = 4096;
/// How many characters of a line an error carries.
const SHOWN_LINE: usize = 200;

/// A test as its binary lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedTest {
    /// Its name inside the binary.
    pub name: Arc<str>,
    /// Whether it is marked `#[ignore]`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignored: bool,
    /// Whether it is a benchmark, which runs as a test.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bench: bool,
    /// How it is called.
    #[serde(default, skip_serializing_if = "Protocol::is_libtest")]
    pub protocol: Protocol,
}

/// How a test is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// By its name, in libtest's protocol.
    #[default]
    Libtest,
    /// The binary is one test as a whole, and is started bare, as `cargo test` does.
    Opaque,
    /// By what tells its name from those of the others, through `rustdoc`.
    Doctest,
}

impl Protocol {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_libtest(&self) -> bool {
        *self == Self::Libtest
    }
}

/// The tests of one binary, in the order of their names, each name once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The tests.
    pub tests: Vec<ListedTest>,
    /// Whether the same binary would give the same listing again. A harness of the project's own may
    /// list whatever it finds, such as files.
    #[serde(skip, default = "yes")]
    pub lasting: bool,
}

fn yes() -> bool {
    true
}

/// How a binary answered to one of the two [`list_commands`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListAnswer {
    /// It ended.
    Ended {
        /// How.
        exit: Exit,
        /// What it printed.
        stdout: Vec<u8>,
        /// What it printed on the other stream.
        stderr: Vec<u8>,
    },
    /// It was ended because it took longer than this.
    TimedOut {
        /// The limit.
        after: Duration,
    },
}

/// Why the tests of a binary are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A line of the listing names no test.
    #[error(
        "`{binary}` lists its tests with a line that ends in neither `: test` nor `: benchmark`: `{line}`"
    )]
    Line {
        /// The binary.
        binary: BinaryId,
        /// The line, cut where it is long.
        line: String,
    },
    /// The binary failed.
    #[error("`{binary}` did not list its tests: `{command}` {}{}", ended(*exit), said(stderr))]
    Failed {
        /// The binary.
        binary: BinaryId,
        /// What was started.
        command: String,
        /// How it ended.
        exit: Exit,
        /// The end of what it printed on its standard error.
        stderr: String,
    },
    /// The binary took too long.
    #[error("`{binary}` did not list its tests: `{command}` was ended after {}", crate::units::show_duration(*after))]
    TimedOut {
        /// The binary.
        binary: BinaryId,
        /// What was started.
        command: String,
        /// The limit.
        after: Duration,
    },
}

fn ended(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Signal(signal) => {
            let name = crate::outcome::signal_name(signal);
            format!("was ended by signal {signal} ({name})")
        }
    }
}

fn said(stderr: &str) -> String {
    match stderr.trim_end() {
        "" => String::new(),
        said => format!(", and said:\n{said}"),
    }
}

/// The two calls that list the tests of a binary: all of them, and the ignored ones.
pub fn list_commands(binary: &TestBinary) -> [CommandLine; 2] {
    let plain = ["--list", "--format", "terse"];
    let wrapper = binary.list_wrapper.as_deref();
    [
        binary.command(wrapper, plain),
        binary.command(wrapper, plain.into_iter().chain(["--ignored"])),
    ]
    .map(while_listing)
}

/// A command that asks for tests, which knows that it does.
pub(super) fn while_listing(command: CommandLine) -> CommandLine {
    command.env(variables::NEXTEST_TEST_PHASE, "list")
}

/// Reads the answers to [`list_commands`], in their order.
///
/// # Errors
/// A binary with libtest did not answer in its protocol. Without libtest it is one test instead.
pub fn read_listing(
    binary: &TestBinary,
    plain: &ListAnswer,
    ignored: &ListAnswer,
) -> Result<Listing, ListError> {
    let tests = answers(binary, plain, ignored);
    match (binary.harness, tests) {
        (Harness::Libtest, tests) => tests.map(|tests| Listing {
            tests,
            lasting: true,
        }),
        (Harness::Custom, Ok(tests)) if !tests.is_empty() => Ok(Listing {
            tests,
            lasting: false,
        }),
        (Harness::Custom, answer) => Ok(Listing {
            tests: vec![ListedTest {
                name: binary.target.as_str().into(),
                ignored: false,
                bench: false,
                protocol: Protocol::Opaque,
            }],
            // A failure, or nothing to list, may have its cause outside of the binary.
            lasting: matches!(
                answer,
                Err(ListError::Line { .. } | ListError::TimedOut { .. })
            ),
        }),
    }
}

/// Both answers, as tests in the order of their names.
fn answers(
    binary: &TestBinary,
    plain: &ListAnswer,
    ignored: &ListAnswer,
) -> Result<Vec<ListedTest>, ListError> {
    let [plain_command, ignored_command] = list_commands(binary);
    let plain = output(binary, &plain_command, plain)?;
    let ignored = output(binary, &ignored_command, ignored)?;
    parse_listing(plain, ignored).map_err(|line| ListError::Line {
        binary: binary.id.clone(),
        line: String::from_utf8_lossy(line)
            .chars()
            .take(SHOWN_LINE)
            .collect(),
    })
}

/// The standard output of a call that succeeded.
fn output<'a>(
    binary: &TestBinary,
    command: &CommandLine,
    answer: &'a ListAnswer,
) -> Result<&'a [u8], ListError> {
    match answer {
        ListAnswer::Ended {
            exit: Exit::Code(0),
            stdout,
            ..
        } => Ok(stdout),
        ListAnswer::Ended { exit, stderr, .. } => Err(ListError::Failed {
            binary: binary.id.clone(),
            command: command.shown(),
            exit: *exit,
            stderr: String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(SHOWN_STDERR)..])
                .into_owned(),
        }),
        ListAnswer::TimedOut { after } => Err(ListError::TimedOut {
            binary: binary.id.clone(),
            command: command.shown(),
            after: *after,
        }),
    }
}

/// The tests of two listings; the error is the first line that names none. What the second one lists is
/// ignored, whatever the first one says.
fn parse_listing<'a>(plain: &'a [u8], ignored: &'a [u8]) -> Result<Vec<ListedTest>, &'a [u8]> {
    let mut tests: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    for (listing, is_ignored) in [(plain, false), (ignored, true)] {
        for line in lines(listing) {
            let (name, is_bench) = test_name(line).ok_or(line)?;
            tests.insert(name, (is_ignored, is_bench));
        }
    }
    Ok(tests
        .into_iter()
        .map(|(name, (ignored, bench))| ListedTest {
            name: name.into(),
            ignored,
            bench,
            protocol: Protocol::Libtest,
        })
        .collect())
}

/// The lines of a listing, without their ends. The end of the last line may be absent.
fn lines(listing: &[u8]) -> impl Iterator<Item = &[u8]> {
    listing
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// The name in a line of a listing, and whether it is a benchmark's. Only the end of the line is fixed: a name may
/// contain `: test`.
fn test_name(line: &[u8]) -> Option<(&str, bool)> {
    let line = std::str::from_utf8(line).ok()?;
    let test = line.strip_suffix(": test").map(|name| (name, false));
    let bench = || Some((line.strip_suffix(": benchmark")?, true));
    // A NUL can't be part of an argument, so that such a test could never be called.
    test.or_else(bench)
        .filter(|(name, _)| !name.is_empty() && !name.contains('\0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::discovery::binary::tests::binary;

    fn answer(stdout: &str) -> ListAnswer {
        ListAnswer::Ended {
            exit: Exit::Code(0),
            stdout: stdout.into(),
            stderr: Vec::new(),
        }
    }

    fn failed(exit: Exit) -> ListAnswer {
        ListAnswer::Ended {
            exit,
            stdout: b"a: test\n".into(),
            stderr: b"no such option\n".into(),
        }
    }

    fn names(listing: &Listing) -> Vec<(&str, bool)> {
        listing
            .tests
            .iter()
            .map(|test| (&*test.name, test.ignored))
            .collect()
    }

    #[test]
    fn both_calls_have_libtests_form() {
        let [plain, ignored] = list_commands(&binary(Harness::Libtest, Some(&["r", "x"])));
        assert_eq!(
            plain.shown(),
            "r x /t/debug/deps/it-1 --list --format terse"
        );
        assert_eq!(
            ignored.shown(),
            "r x /t/debug/deps/it-1 --list --format terse --ignored"
        );
        assert_eq!(plain.env, binary(Harness::Libtest, None).env);
    }

    #[test]
    fn an_ignored_entry_overrides_the_plain_one() {
        let listing = read_listing(
            &binary(Harness::Libtest, None),
            &answer("b: test\na: test\nc: benchmark\nb: test"),
            &answer("a: test\nonly: test\n"),
        )
        .unwrap();
        assert_eq!(
            names(&listing),
            [("a", true), ("b", false), ("c", false), ("only", true)]
        );
        assert!(listing.lasting);
    }

    #[test]
    fn strange_names_are_whole() {
        for name in [
            "a b",
            "x::y::<a, b>",
            "x: test",
            "x: benchmark",
            "[0]",
            "grüße, 世界",
            " ",
            "--list",
            "x\r",
        ] {
            let listing = read_listing(
                &binary(Harness::Libtest, None),
                &answer(&format!("{name}: test\n")),
                &answer(""),
            )
            .unwrap();
            assert_eq!(names(&listing), [(name, false)]);
        }
    }

    #[test]
    fn any_other_line_is_an_error_that_names_binary_and_line() {
        for line in [
            "",
            "a",
            "a: tests",
            "a:test",
            ": test",
            "1 test, 0 benchmarks",
            "a: test ",
            "a\0b: test",
        ] {
            let binary = binary(Harness::Libtest, None);
            let plain = answer(&format!("ok: test\n{line}\n"));
            let error = read_listing(&binary, &plain, &answer("")).unwrap_err();
            let expected = ListError::Line {
                binary: binary.id,
                line: line.to_owned(),
            };
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn a_failure_says_how_it_ended_and_what_it_said() {
        let binary = binary(Harness::Libtest, None);
        let good = answer("a: test\n");
        let error = read_listing(&binary, &good, &failed(Exit::Code(3))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`p::it` did not list its tests: `/t/debug/deps/it-1 --list --format terse --ignored` \
             exited with code 3, and said:\nno such option"
        );
        let error = read_listing(&binary, &failed(Exit::Signal(11)), &good).unwrap_err();
        assert!(error.to_string().contains("signal 11 (SIGSEGV)"), "{error}");
        let late = ListAnswer::TimedOut {
            after: Duration::from_secs(30),
        };
        let error = read_listing(&binary, &late, &good).unwrap_err();
        assert!(
            error.to_string().ends_with("was ended after 30 s"),
            "{error}"
        );
    }

    #[test]
    fn a_harness_without_the_protocol_is_one_test() {
        let late = ListAnswer::TimedOut {
            after: Duration::from_secs(1),
        };
        let good = answer("a: test\n");
        let cases = [
            (answer(""), answer(""), false),
            (answer("running all of it\n"), answer(""), true),
            (good.clone(), answer("unknown option --ignored\n"), true),
            (failed(Exit::Code(1)), good.clone(), false),
            (good.clone(), failed(Exit::Signal(6)), false),
            (late.clone(), good.clone(), true),
        ];
        for (plain, ignored, lasting) in cases {
            let listing = read_listing(&binary(Harness::Custom, None), &plain, &ignored).unwrap();
            let whole = ListedTest {
                name: "it".into(),
                ignored: false,
                bench: false,
                protocol: Protocol::Opaque,
            };
            assert_eq!(listing.tests, [whole], "{plain:?} {ignored:?}");
            assert_eq!(listing.lasting, lasting, "{plain:?} {ignored:?}");
        }
        let custom = binary(Harness::Custom, None);
        let listing = read_listing(&custom, &good, &answer("b: test\n")).unwrap();
        assert_eq!(names(&listing), [("a", false), ("b", true)]);
        assert!(!listing.lasting, "it may list other tests tomorrow");
    }

    proptest! {
        #[test]
        fn every_listing_is_read_back(tests in proptest::collection::btree_map("[^\n\0]{1,20}", any::<(bool, bool)>(), 0..12)) {
            let mut plain = String::new();
            let mut ignored = String::new();
            for (name, (is_ignored, is_bench)) in &tests {
                let line = format!("{name}: {}\n", if *is_bench { "benchmark" } else { "test" });
                plain += &line;
                if *is_ignored {
                    ignored += &line;
                }
            }
            let found = parse_listing(plain.as_bytes(), ignored.as_bytes()).unwrap();
            let found: Vec<_> = found.iter().map(|test| (test.name.to_string(), (test.ignored, test.bench))).collect();
            let expected: Vec<_> = tests.into_iter().collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_bytes_break_the_parser(plain: Vec<u8>, ignored in ".{0,40}(: test\n)?") {
            drop(parse_listing(&plain, ignored.as_bytes()));
        }
    }
}
