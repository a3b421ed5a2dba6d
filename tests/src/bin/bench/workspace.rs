//! The workspace of empty tests that is measured, and the commands that run it.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::process::Command;
use std::process::Stdio;

use camino::Utf8PathBuf;
use fs_err as fs;

use stt_tests::cargo;
use stt_tests::cargo_stt;
use stt_tests::outside;
use stt_tests::target_dir;

const BINARIES: usize = 4;

/// A built workspace.
pub(crate) struct Workspace {
    /// Each test: its binary and its name.
    pub(crate) tests: Vec<(Utf8PathBuf, String)>,
    root: Utf8PathBuf,
}

impl Workspace {
    /// Writes and builds a workspace of `tests` empty tests, or takes the one of an earlier call.
    pub(crate) fn build(tests: usize) -> Self {
        let root = target_dir().join("bench").join(tests.to_string());
        fs::create_dir_all(root.join("src")).expect("the target directory is writable");
        fs::create_dir_all(root.join("tests")).expect("the target directory is writable");
        let manifest = "[workspace]\n\n[package]\nname = \"empty-tests\"\nedition = \"2024\"\n";
        write_changed(&root.join("Cargo.toml"), manifest);
        write_changed(&root.join("src/lib.rs"), "");
        for binary in 0..BINARIES {
            let mut source = String::new();
            for test in (binary..tests).step_by(BINARIES) {
                let _ = writeln!(source, "#[test]\nfn t{test:05}() {{}}");
            }
            write_changed(&root.join(format!("tests/b{binary}.rs")), &source);
        }
        let mut workspace = Self {
            tests: Vec::new(),
            root,
        };
        workspace.tests = workspace.list();
        assert_eq!(workspace.tests.len(), tests);
        workspace
    }

    /// Builds, and asks each binary for its tests.
    fn list(&self) -> Vec<(Utf8PathBuf, String)> {
        let mut cargo = self.command(cargo());
        let messages = output(cargo.args(["test", "--no-run", "--message-format", "json"]));
        let mut tests = Vec::new();
        for line in messages.lines() {
            let message: serde_json::Value = serde_json::from_str(line).expect("cargo writes JSON");
            let Some(binary) = message["executable"].as_str() else {
                continue;
            };
            let listed = output(self.command(binary).args(["--list", "--format", "terse"]));
            let names = listed
                .lines()
                .filter_map(|line| line.strip_suffix(": test"));
            tests.extend(names.map(|name| (Utf8PathBuf::from(binary), name.to_owned())));
        }
        tests
    }

    /// Where it lies.
    pub(crate) fn root(&self) -> &camino::Utf8Path {
        &self.root
    }

    /// A command in this workspace, as if from a shell.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        outside(program, &self.root)
    }

    /// `cargo stt` over everything.
    pub(crate) fn stt(&self, flags: &[&str]) -> Command {
        let mut command = self.command(cargo_stt());
        command.arg("stt").args(flags);
        command
    }

    /// `cargo nextest run` over everything.
    pub(crate) fn nextest(&self) -> Command {
        let mut command = self.command(cargo());
        command.args(["nextest", "run"]);
        command
    }

    /// Whether cargo finds nextest.
    #[expect(
        clippy::disallowed_methods,
        reason = "the bench starts its own children"
    )]
    pub(crate) fn has_nextest(&self) -> bool {
        let mut command = self.command(cargo());
        command
            .args(["nextest", "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

/// Leaves a file alone that is as it should be, so that cargo has nothing to do.
fn write_changed(path: &camino::Utf8Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).expect("the target directory is writable");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the bench starts its own children"
)]
fn output(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("it writes text")
}
