//! Cargo's messages about a build, one JSON object a line.
//!
//! The format is described in The Cargo Book, "External tools", JSON messages.

use std::borrow::Cow;
use std::collections::BTreeSet;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use cargo_metadata::Artifact;
use cargo_metadata::BuildFinished;
use cargo_metadata::CrateType;
use cargo_metadata::Target;
use cargo_metadata::TargetKind;
use serde::Deserialize;

/// Collects what a build says.
#[derive(Debug, Default)]
pub struct Messages {
    built: Built,
}

/// What a build made, as far as tests need it.
#[derive(Clone, Debug, Default)]
pub struct Built {
    pub(super) tests: Vec<TestArtifact>,
    pub(super) bins: Vec<BinArtifact>,
    /// Libraries that are linked when a program runs.
    pub(super) libraries: Vec<LibraryArtifact>,
    pub(super) scripts: Vec<BuildScript>,
    /// Directories of dynamic libraries.
    pub(super) library_dirs: BTreeSet<Utf8PathBuf>,
    /// Whether cargo said that the build succeeded; `None` when it said nothing.
    pub success: Option<bool>,
}

/// A test binary.
#[derive(Clone, Debug)]
pub(super) struct TestArtifact {
    pub(super) package_id: String,
    pub(super) target: Target,
    pub(super) executable: Utf8PathBuf,
}

/// An executable of a binary target.
#[derive(Clone, Debug)]
pub(super) struct BinArtifact {
    pub(super) package_id: String,
    pub(super) name: String,
    pub(super) executable: Utf8PathBuf,
}

/// A file of a library that is linked when a program runs.
#[derive(Clone, Debug)]
pub(super) struct LibraryArtifact {
    pub(super) package_id: String,
    pub(super) name: String,
    pub(super) file: Utf8PathBuf,
}

/// A run of a build script.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct BuildScript {
    pub(super) package_id: String,
    /// As the script wrote them: mostly with a kind and `=` in front.
    #[serde(default)]
    pub(super) linked_paths: Vec<Utf8PathBuf>,
    #[serde(default)]
    pub(super) env: Vec<(String, String)>,
    #[serde(default)]
    pub(super) out_dir: Utf8PathBuf,
}

/// What a line of the build's output means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageEvent<'a> {
    /// It is no message: show it.
    Text(&'a str),
    /// A message; there is nothing to do.
    Noted,
    /// The last message: whether the build succeeded.
    Finished {
        /// Whether it did.
        success: bool,
    },
}

/// A message that says what was built, in a form that is not understood. To go on without it would
/// leave tests out in silence.
#[derive(Debug, thiserror::Error)]
#[error("cannot read cargo's message `{line}`")]
pub struct MessageError {
    line: String,
    #[source]
    source: serde_json::Error,
}

/// The kind of a message. Reading it alone skips everything else without recursion, however deep it
/// is nested.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    reason: Cow<'a, str>,
}

impl Messages {
    /// Takes one line of the build's standard output, without its line end.
    ///
    /// # Errors
    /// The line is a message about something built, and can't be read.
    pub fn line<'a>(&mut self, line: &'a str) -> Result<MessageEvent<'a>, MessageError> {
        if !line.trim_start().starts_with('{') {
            return Ok(MessageEvent::Text(line));
        }
        let Ok(Kind { reason }) = serde_json::from_str(line) else {
            return Ok(MessageEvent::Text(line));
        };
        match &*reason {
            "compiler-artifact" => self.artifact(read(line)?),
            "build-script-executed" => self.built.scripts.push(read(line)?),
            "build-finished" => {
                let BuildFinished { success, .. } = read(line)?;
                self.built.success = Some(success);
                return Ok(MessageEvent::Finished { success });
            }
            _ => {}
        }
        Ok(MessageEvent::Noted)
    }

    /// What was built.
    pub fn finish(self) -> Built {
        self.built
    }

    fn artifact(&mut self, artifact: Artifact) {
        if is_linked_at_run_time(&artifact.target) {
            self.built.library_dirs.extend(
                artifact
                    .filenames
                    .iter()
                    .filter_map(|file| file.parent())
                    .map(Utf8Path::to_owned),
            );
            let dynamic = artifact.filenames.iter().filter(|file| is_dynamic(file));
            let libraries = dynamic.map(|file| LibraryArtifact {
                package_id: artifact.package_id.repr.clone(),
                name: artifact.target.name.clone(),
                file: file.clone(),
            });
            self.built.libraries.extend(libraries);
        }
        let Some(executable) = artifact.executable else {
            return;
        };
        let package_id = artifact.package_id.repr;
        if artifact.profile.test {
            self.built.tests.push(TestArtifact {
                package_id,
                target: artifact.target,
                executable,
            });
        } else if artifact.target.kind.contains(&TargetKind::Bin) {
            self.built.bins.push(BinArtifact {
                package_id,
                name: artifact.target.name,
                executable,
            });
        }
    }
}

/// Whether a test may need this library when it starts. Examples are no libraries for anybody else.
fn is_linked_at_run_time(target: &Target) -> bool {
    !target.kind.contains(&TargetKind::Example)
        && (target.crate_types.contains(&CrateType::DyLib)
            || target.crate_types.contains(&CrateType::CDyLib))
}

/// Whether a file of such a library is what the loader looks for, and not an archive or metadata beside it.
fn is_dynamic(file: &Utf8Path) -> bool {
    matches!(file.extension(), Some("so" | "dylib" | "dll"))
}

fn read<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, MessageError> {
    serde_json::from_str(line).map_err(|source| MessageError {
        line: line.chars().take(200).collect(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn artifact(kind: &str, crate_type: &str, test: bool, file: &str, executable: bool) -> String {
        let executable = if executable {
            format!("{file:?}")
        } else {
            "null".to_owned()
        };
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"p","manifest_path":"/w/Cargo.toml","target":{{"kind":["{kind}"],"crate_types":["{crate_type}"],"name":"n","src_path":"/w/x.rs","edition":"2024","doc":true,"doctest":true,"test":true}},"profile":{{"opt_level":"0","debuginfo":2,"debug_assertions":true,"overflow_checks":true,"test":{test}}},"features":[],"filenames":[{file:?}],"executable":{executable},"fresh":true}}"#
        )
    }

    fn take(lines: &[String]) -> Built {
        let mut messages = Messages::default();
        for line in lines {
            assert_eq!(messages.line(line).unwrap(), MessageEvent::Noted, "{line}");
        }
        messages.finish()
    }

    #[test]
    fn test_binaries_executables_and_libraries_are_told_apart() {
        let built = take(&[
            artifact("lib", "lib", false, "/t/debug/libn.rlib", false),
            artifact("lib", "lib", true, "/t/debug/deps/n-1", true),
            artifact("bin", "bin", true, "/t/debug/deps/n-2", true),
            artifact("bin", "bin", false, "/t/debug/n", true),
            artifact("example", "bin", false, "/t/debug/examples/ex", true),
            artifact(
                "example",
                "cdylib",
                false,
                "/t/debug/examples/libex.so",
                false,
            ),
            artifact("dylib", "dylib", false, "/t/debug/deps/libd.so", false),
            artifact("cdylib", "cdylib", false, "/t/debug/libc.so", false),
            artifact(
                "proc-macro",
                "proc-macro",
                false,
                "/t/debug/deps/libm.so",
                false,
            ),
            artifact(
                "custom-build",
                "bin",
                false,
                "/t/debug/build/p-1/build-script-build",
                false,
            ),
            artifact(
                "something-new",
                "something-new",
                true,
                "/t/debug/deps/n-3",
                true,
            ),
        ]);
        let tests: Vec<_> = built.tests.iter().map(|test| &test.executable).collect();
        assert_eq!(
            tests,
            [
                "/t/debug/deps/n-1",
                "/t/debug/deps/n-2",
                "/t/debug/deps/n-3"
            ]
        );
        assert_eq!(built.bins.len(), 1);
        assert_eq!(built.bins[0].executable, "/t/debug/n");
        let dirs: Vec<_> = built.library_dirs.iter().collect();
        assert_eq!(dirs, ["/t/debug", "/t/debug/deps"]);
        assert_eq!(built.success, None);
        let libraries: Vec<_> = built.libraries.iter().map(|one| &one.file).collect();
        assert_eq!(libraries, ["/t/debug/deps/libd.so", "/t/debug/libc.so"]);
    }

    #[test]
    fn a_build_script_gives_paths_variables_and_its_directory() {
        let line = r#"{"reason":"build-script-executed","package_id":"p","linked_libs":[],"linked_paths":["native=/t/lib","/x"],"cfgs":["a"],"env":[["K","v=1"]],"out_dir":"/t/out"}"#;
        let built = take(&[line.to_owned()]);
        let [script] = built.scripts.as_slice() else {
            panic!("one script, not {:?}", built.scripts);
        };
        assert_eq!(script.linked_paths, ["native=/t/lib", "/x"]);
        assert_eq!(script.env, [("K".to_owned(), "v=1".to_owned())]);
        assert_eq!(script.out_dir, "/t/out");
    }

    #[test]
    fn the_end_of_the_build_is_told() {
        for success in [true, false] {
            let line = format!(r#"{{"reason":"build-finished","success":{success}}}"#);
            let mut messages = Messages::default();
            let event = messages.line(&line).unwrap();
            assert_eq!(event, MessageEvent::Finished { success });
            assert_eq!(messages.finish().success, Some(success));
        }
    }

    #[test]
    fn what_is_no_message_is_text() {
        for line in [
            "",
            "   Compiling x v0.1.0",
            "{",
            "{}",
            r#"{"reason":7}"#,
            "{not json}",
            "[1,2]",
            "null",
        ] {
            let mut messages = Messages::default();
            assert_eq!(messages.line(line).unwrap(), MessageEvent::Text(line));
        }
    }

    #[test]
    fn messages_of_other_kinds_are_skipped_however_deep_they_are() {
        let deep = format!(
            r#"{{"reason":"compiler-message","message":{}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let mut messages = Messages::default();
        assert_eq!(messages.line(&deep).unwrap(), MessageEvent::Noted);
        let unknown = r#"{"reason":"from-the-future","x":{}}"#;
        assert_eq!(messages.line(unknown).unwrap(), MessageEvent::Noted);
    }

    #[test]
    fn a_message_about_something_built_that_cannot_be_read_is_an_error() {
        for line in [
            r#"{"reason":"compiler-artifact"}"#,
            r#"{"reason":"build-script-executed","package_id":7}"#,
            r#"{"reason":"build-finished","success":"yes"}"#,
        ] {
            let error = Messages::default().line(line).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("cannot read cargo's message `{line}`")
            );
        }
    }

    proptest! {
        #[test]
        fn no_line_breaks_the_parser(line in r#"(\{"reason":"[a-z-]{0,22}")?.{0,80}"#) {
            drop(Messages::default().line(&line));
        }
    }
}
