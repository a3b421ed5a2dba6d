//! The three runners over one suite: first their results, then their times, side by side.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use tempfile::TempDir;

use stt_tests::Spent;
use stt_tests::Stopwatch;
use stt_tests::bare_loop;
use stt_tests::cargo;
use stt_tests::cargo_stt;
use stt_tests::outside;

use crate::build;
use crate::build::Binary;
use crate::options::Options;
use crate::read;
use crate::recorder;
use crate::results::Compared;
use crate::results::Results;
use crate::results::Run;
use crate::results::Test;
use crate::results::Verdict;

/// Runs the suite in `dir` under each runner.
///
/// # Errors
/// It does not build.
pub(crate) fn compare(dir: &Utf8Path, options: &Options) -> Result<Compared, String> {
    let suite = Suite { dir, options };
    let binaries = suite.build()?;
    let (stt, notes) = suite.results_of_stt();
    let started = stt
        .as_ref()
        .map_or_else(|_| Vec::new(), |results| starts(&binaries, results));
    let mut runs = vec![
        Run::new("cargo test", suite.results_of_cargo(&binaries)),
        Run::new("nextest", suite.results_of_nextest()),
        Run {
            notes,
            ..Run::new("stt", stt)
        },
    ];
    let mut bare = None;
    for _ in 0..options.rounds {
        let commands = [suite.cargo_test(), suite.nextest(), suite.stt()];
        for (run, command) in runs.iter_mut().zip(commands) {
            let watch = Stopwatch::start();
            silently(command);
            run.spent = Some(fastest(run.spent, watch.stop()));
        }
        let watch = Stopwatch::start();
        silently(suite.build_alone());
        bare_loop(&started, bare_start, |_, _| ());
        bare = Some(fastest(bare, watch.stop()));
    }
    Ok(Compared { runs, bare })
}

fn fastest(best: Option<Spent>, spent: Spent) -> Spent {
    best.filter(|best| best.wall <= spent.wall).unwrap_or(spent)
}

/// The tests that were run, each with its binary.
fn starts<'a>(binaries: &'a [Binary], results: &Results) -> Vec<(&'a Binary, String)> {
    let by_id: BTreeMap<&str, &Binary> = binaries.iter().map(|one| (&one.id[..], one)).collect();
    let run = |((id, name), verdict): (&Test, &Verdict)| {
        let binary = by_id.get(&id[..])?;
        (*verdict != Verdict::Ignored).then(|| (*binary, name.clone()))
    };
    results.iter().filter_map(run).collect()
}

fn bare_start((binary, name): &(&Binary, String)) -> Command {
    let mut command = outside(&binary.program, &binary.dir);
    command
        .args(["--exact", name, "--nocapture"])
        .env("CARGO_MANIFEST_DIR", &binary.dir);
    command
}

impl Run {
    fn new(name: &'static str, results: Result<Results, String>) -> Self {
        Self {
            name,
            results,
            spent: None,
            notes: Vec::new(),
        }
    }
}

struct Suite<'a> {
    dir: &'a Utf8Path,
    options: &'a Options,
}

impl Suite<'_> {
    /// Builds for all three, which build the same, and says what the test binaries are.
    fn build(&self) -> Result<Vec<Binary>, String> {
        let metadata = ["metadata", "--no-deps", "--format-version=1"];
        let metadata = output(self.cargo(&metadata, false))?;
        let messages = output(self.build_alone())?;
        if !messages.status.success() {
            return Err(format!("the build failed:\n{}", end_of(&messages.stderr)));
        }
        build::binaries(&text(&metadata.stdout), &text(&messages.stdout))
            .ok_or_else(|| "cargo's messages can't be read".to_owned())
    }

    fn build_alone(&self) -> Command {
        let build = [
            "test",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ];
        self.cargo(&build, true)
    }

    fn results_of_cargo(&self, binaries: &[Binary]) -> Result<Results, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let own = Utf8PathBuf::try_from(own).map_err(|error| error.to_string())?;
        let record = |more: &[&str]| {
            let into = tempfile::tempdir().map_err(|error| error.to_string())?;
            let path = Utf8Path::from_path(into.path()).ok_or("the path is no text")?;
            let mut command = self.cargo_test();
            command
                .args(["--config", &recorder::configuration(&own, path)])
                .args(more);
            let said = output(command)?;
            Ok::<_, String>((into, said))
        };
        let (listings, _) = record(&["--", "--list", "--format=terse"])?;
        let (outputs, said) = record(&[])?;
        let mut results = Results::new();
        for binary in binaries {
            let recorded = |into: &TempDir| recorder::recorded(into.path(), &binary.program);
            let (listing, _) = recorded(&listings).unwrap_or_default();
            let (output, ended_well) = recorded(&outputs)
                .ok_or_else(|| format!("{} was not run:\n{}", binary.id, end_of(&said.stderr)))?;
            let listed = read::listing(&listing);
            results.extend(read::libtest(binary, &listed, &output, ended_well)?);
        }
        Ok(results)
    }

    fn results_of_nextest(&self) -> Result<Results, String> {
        let mut command = self.nextest();
        command.args(["--status-level=all", "--final-status-level=none"]);
        command.args(["--success-output=never", "--failure-output=never"]);
        let said = output(command)?;
        completed(&said)?;
        Ok(read::nextest(&text(&said.stderr)))
    }

    fn results_of_stt(&self) -> (Result<Results, String>, Vec<String>) {
        let said = match output(self.stt()) {
            Ok(said) => said,
            Err(why) => return (Err(why), Vec::new()),
        };
        let (results, notes) = read::stt(&text(&said.stdout));
        (completed(&said).map(|()| results), notes)
    }

    fn cargo_test(&self) -> Command {
        let mut command = self.cargo(&["test", "--no-fail-fast"], true);
        // These are the targets that are tested anyway, without the doctests.
        if !self.options.choose_targets() {
            command.arg("--tests");
        }
        command
    }

    fn nextest(&self) -> Command {
        self.cargo(
            &[
                "nextest",
                "run",
                "--no-fail-fast",
                "--color=never",
                "--show-progress=none",
            ],
            true,
        )
    }

    /// As a person calls it: through cargo, as nextest is.
    fn stt(&self) -> Command {
        let mut command = self.cargo(&["stt", "--no-fail-fast", "--message-format=json"], true);
        command.env("PATH", path_with(cargo_stt()));
        command
    }

    fn cargo(&self, args: &[&str], with_flags: bool) -> Command {
        let mut command = outside(cargo(), self.dir);
        command.args(args);
        if with_flags {
            command.args(&self.options.flags);
        }
        command
    }
}

/// Where programs are looked for, first of all beside this one.
#[expect(clippy::disallowed_methods, reason = "whoever calls has the path")]
fn path_with(program: &Utf8Path) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = program.parent().map(|dir| dir.as_std_path().to_owned());
    let places = beside.into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(places).expect("the target directory's path has no colon")
}

/// nextest and stt have the same words for a run that went to its end: passed, no tests, tests failed
/// (`nextest-metadata`, `NextestExitCode`).
fn completed(said: &Output) -> Result<(), String> {
    match said.status.code() {
        Some(0 | 4 | 100) => Ok(()),
        Some(_) | None => Err(format!("{}:\n{}", said.status, end_of(&said.stderr))),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "other runners are no children of stt's"
)]
fn output(mut command: Command) -> Result<Output, String> {
    let output = command.stdin(Stdio::null()).output();
    output.map_err(|error| format!("{command:?}: {error}"))
}

/// Runs a command; nobody reads what it says.
#[expect(
    clippy::disallowed_methods,
    reason = "other runners are no children of stt's"
)]
fn silently(mut command: Command) {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.expect("it has started before");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The last lines of what a command said.
fn end_of(bytes: &[u8]) -> String {
    let text = text(bytes);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
