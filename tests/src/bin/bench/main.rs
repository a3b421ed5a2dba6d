//! How long the runner takes for tests that do nothing, side by side with a bare spawn loop and with
//! nextest, in one go: `cargo run --release -p stt-tests --bin bench -- [--tests N] [--rounds N]`.
//!
//! Absolute times drift between runs and machines, so the rounds are interleaved, each figure is a
//! median, and what counts are the ratios.

mod bare;
mod engine;
mod inside;
mod measure;
mod table;
mod workspace;

use std::process::ExitCode;

use measure::Figures;
use measure::Measured;
use measure::Runner;
use table::Row;
use workspace::Workspace;

/// The flags of the `cargo stt` runs that are compared.
const VARIANTS: [(&str, &[&str]); 6] = [
    ("cargo stt", &[]),
    ("  --no-guard", &["--no-guard"]),
    ("  --no-coordinator", &["--no-coordinator"]),
    ("  --no-checkpoint", &["--no-checkpoint"]),
    (
        "  --no-guard --no-checkpoint",
        &["--no-guard", "--no-checkpoint"],
    ),
    ("  --message-format json", &["--message-format", "json"]),
];

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is what it is for"
)]
fn main() -> ExitCode {
    if let Some(code) = engine::client() {
        return code;
    }
    let first = std::env::args().nth(1);
    let kind = first.filter(|first| ["inside", "engine"].contains(&&**first));
    let args = std::env::args().skip(1 + usize::from(kind.is_some()));
    let (tests, rounds) = match options(args) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\nusage: bench [inside|engine] [--tests N] [--rounds N]");
            return ExitCode::from(2);
        }
    };
    if kind.as_deref() == Some("engine") {
        return engine::run(rounds);
    }
    eprintln!("building {tests} tests in 4 binaries, and cargo-stt");
    let workspace = Workspace::build(tests);
    if kind.is_some() {
        return in_containers(&workspace, rounds);
    }
    let nextest = workspace.has_nextest();
    if !nextest {
        eprintln!("SKIPPED: cargo-nextest is not installed, nothing to compare with");
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut rows = vec![Row::new(&format!("bare spawn loop, {threads} threads"))];
    rows.extend(VARIANTS.iter().map(|(name, _)| Row::new(name)));
    rows.extend(nextest.then(|| Row::new("cargo nextest run")));
    // The first round only warms the page cache.
    for round in 0..=rounds {
        eprintln!("round {round} of {rounds}");
        let mut figures = vec![bare::run(&workspace)];
        figures.extend(VARIANTS.iter().map(|(_, flags)| stt(&workspace, flags)));
        figures
            .extend(nextest.then(|| measure::command(workspace.nextest(), Runner::Alone).figures));
        if round > 0 {
            for (row, figures) in rows.iter_mut().zip(figures) {
                row.add(figures);
            }
        }
    }
    println!("{}", table::render(&rows, tests));
    ExitCode::SUCCESS
}

/// What tests cost in a container that is used again.
#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn in_containers(workspace: &Workspace, rounds: usize) -> ExitCode {
    let Some(mut costs) = inside::run(workspace, rounds) else {
        return ExitCode::FAILURE;
    };
    let engine = inside::median(&mut costs.engine);
    println!("in a container that is used again, for each test (medians of {rounds} rounds)");
    for (name, values) in [
        ("docker exec", &mut vec![engine]),
        ("cargo stt, the whole run", &mut costs.ours),
        ("cargo stt, a test alone", &mut costs.ours_alone),
        ("  with one container each", &mut costs.own),
    ] {
        let cost = inside::median(values);
        println!("{name:<26} {:7.1} ms {:5.2} ×", cost * 1e3, cost / engine);
    }
    ExitCode::SUCCESS
}

/// One run of `cargo stt`; with JSON, also how long its tests alone took.
fn stt(workspace: &Workspace, flags: &[&str]) -> Figures {
    let Measured {
        mut figures,
        stdout,
    } = measure::command(workspace.stt(flags), Runner::WithWorker);
    let end = stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|line| line["type"] == "run-finished");
    figures.tests_alone = end.and_then(|end| end["elapsed"].as_f64());
    figures
}

fn options(mut args: impl Iterator<Item = String>) -> Result<(usize, usize), String> {
    let (mut tests, mut rounds) = (2000, 5);
    while let Some(arg) = args.next() {
        let mut number = || {
            let value = args.next().and_then(|value| value.parse::<usize>().ok());
            value
                .filter(|value| *value > 0)
                .ok_or(format!("{arg} needs a number"))
        };
        match arg.as_str() {
            "--tests" => tests = number()?,
            "--rounds" => rounds = number()?,
            _ => return Err(format!("no such option: {arg}")),
        }
    }
    Ok((tests, rounds))
}
