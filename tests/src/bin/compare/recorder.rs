//! Between `cargo test` and a test binary: cargo starts us as its runner, we start the binary and keep
//! what it writes on its standard output.
//!
//! cargo itself says only on its standard error which binary runs, where the tests write too. A runner
//! belongs to no fingerprint, so nothing is built again for it.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;

use camino::Utf8Path;
use fs_err as fs;

/// The first argument, when cargo starts us.
pub(crate) const WORD: &str = "record-a-binary";

/// What the name of a file ends in that says that a binary ended well.
const ENDED_WELL: &str = ".ended-well";

/// The configuration of cargo that makes it start every binary through us.
///
/// A runner in the environment would be seen by the tests; libraries look for one there.
pub(crate) fn configuration(own: &Utf8Path, into: &Utf8Path) -> String {
    let mut words = String::new();
    for word in [own.as_str(), WORD, into.as_str()] {
        let _ = write!(words, "{word:?},");
    }
    format!("target.'cfg(all())'.runner=[{words}]")
}

/// What a binary wrote on its standard output, and whether it ended well; `None` when cargo never
/// started it.
pub(crate) fn recorded(into: &Path, program: &Utf8Path) -> Option<(String, bool)> {
    let name = program.file_name()?;
    let output = fs::read(into.join(name)).ok()?;
    let ended_well = into.join(format!("{name}{ENDED_WELL}")).exists();
    Some((String::from_utf8_lossy(&output).into_owned(), ended_well))
}

/// Starts the binary, keeps its output, and ends as it ended.
#[expect(
    clippy::disallowed_methods,
    reason = "a runner starts what it is given"
)]
pub(crate) fn record(into: &Path, program: &str, args: &[String]) -> ExitCode {
    let path = Path::new(program);
    let name = path.file_name().expect("a program has a name");
    let file = File::create(into.join(name)).expect("the directory is ours");
    let status = Command::new(path)
        .args(args)
        .stdout(Stdio::from(file))
        .status()
        .expect("cargo has built it");
    if status.success() {
        let mut mark = name.to_owned();
        mark.push(ENDED_WELL);
        File::create(into.join(mark)).expect("the directory is ours");
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    // A signal has no exit code; any failure is as good.
    ExitCode::from(code.unwrap_or(1))
}
