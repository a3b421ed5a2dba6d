//! Where the built command, cargo and the target directory are.

use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::OnceLock;

use camino::Utf8Path;
use camino::Utf8PathBuf;

/// The root of this repository.
pub fn workspace_root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the workspace")
}

/// The target directory in which this very program was built.
pub fn target_dir() -> Utf8PathBuf {
    let program = std::env::current_exe().expect("a test knows its program");
    let target = program
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").exists())
        .expect("cargo marks its target directory");
    Utf8PathBuf::try_from(target.to_path_buf()).expect("the path is text")
}

/// The cargo that runs us, and no proxy of it.
#[expect(clippy::disallowed_methods, reason = "the tests are told by cargo")]
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| env!("CARGO").to_owned())
}

/// The path of the built `cargo-stt`, of the same profile as this program. Where `cargo test` has
/// built it, this costs one look by cargo.
pub fn cargo_stt() -> &'static Utf8Path {
    static BUILT: OnceLock<Utf8PathBuf> = OnceLock::new();
    BUILT.get_or_init(build)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn build() -> Utf8PathBuf {
    let target = target_dir();
    let program = std::env::current_exe().expect("a test knows its program");
    let profile = profile_of(&program, target.as_std_path());
    let mut command = Command::new(cargo());
    command
        .args([
            "build",
            "--quiet",
            "--package",
            "cargo-stt",
            "--bin",
            "cargo-stt",
        ])
        .args([
            "--profile",
            if profile == "debug" { "dev" } else { &profile },
        ])
        .args(["--message-format", "json-render-diagnostics"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(workspace_root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().expect("cargo starts");
    assert!(output.status.success(), "cargo-stt does not build");
    let messages = String::from_utf8(output.stdout).expect("cargo writes text");
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "cargo-stt")
        .find_map(|message| message["executable"].as_str().map(Utf8PathBuf::from))
        .expect("cargo names the executable that it built")
}

/// The directory of the profile: `target/[TRIPLE/]PROFILE/[deps/]PROGRAM`.
fn profile_of(program: &Path, target: &Path) -> String {
    let dir = program.parent().expect("a program lies somewhere");
    let dir = if dir.ends_with("deps") {
        dir.parent()
            .expect("deps lies in the directory of a profile")
    } else {
        dir
    };
    assert!(
        dir.starts_with(target),
        "{} is not below {}",
        dir.display(),
        target.display()
    );
    let name = dir.file_name().expect("a profile has a directory");
    name.to_str()
        .expect("the name of a profile is text")
        .to_owned()
}
