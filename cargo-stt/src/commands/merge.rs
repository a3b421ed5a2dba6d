//! `cargo stt merge`: the parts of a run as one.

use std::fmt::Write as _;
use std::sync::Arc;

use camino::Utf8PathBuf;
use stt_core::checkpoint::Given;
use stt_core::checkpoint::Merged;
use stt_core::checkpoint::Twice;
use stt_core::checkpoint::load_any;
use stt_core::checkpoint::merge as merge_all;
use stt_core::config::Config;
use stt_core::config::OutputConfig;
use stt_core::config::StatusLevel;
use stt_core::report::Event;
use stt_core::report::Warning;
use stt_core::run::merged_junit;
use stt_core::run::merged_results;
use stt_core::run::merged_summary;
use stt_core::run::write_junit;

use crate::cli::MergeArgs;
use crate::cli::MessageFormat;
use crate::cli::ShowProgress;
use crate::commands::recorded::warning;
use crate::commands::screen::outcome;
use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::render::RenderOptions;
use crate::render::renderer;

/// How many tests are named that no part has run.
const NAMED: usize = 20;

/// Shows what the parts come to, and writes their report.
pub(super) fn merge(
    args: &MergeArgs,
    surroundings: &Surroundings,
    printer: &Printer,
) -> Result<Exit, Error> {
    let given = args.checkpoints.iter().map(read);
    let given: Vec<Given> = given.collect::<Result<_, _>>()?;
    let merged = merge_all(&given).map_err(|refused| {
        Error::from_source(Kind::Setup, &refused)
            .hint("give the checkpoints of runs of the same sources, which differ in `--partition M/N` only")
    })?;
    // The command line says that there is one.
    let run = &given[0].loaded.header.run;
    let summary = merged_summary(run, &merged);
    let mut screen = renderer(options(surroundings, printer), printer.clone());
    let warnings = given
        .iter()
        .filter_map(repaired)
        .chain(merged.twice.iter().map(twice));
    for warning in warnings {
        screen.event(&Event::Warning(warning));
    }
    for result in merged_results(&merged, &summary) {
        screen.event(&Event::TestFinished(Box::new(result)));
    }
    screen.event(&Event::RunFinished(Box::new(summary.clone())));
    let shown = screen.finish();
    printer.err(&not_run(&merged));
    let exit = outcome(&summary);
    if let Err(error) = shown {
        let error = Error::new(Kind::Setup, "the results could not be shown").caused_by(&error);
        printer.err(&error.render(printer.err_colour()));
        return Ok(exit.and(error.exit()));
    }
    let Some(path) = &args.junit else {
        return Ok(exit);
    };
    let path = surroundings.cwd.join(path);
    let written = write_junit(&merged_junit(run, &merged), &summary, &path);
    Ok(written.map_or_else(
        |error| {
            let error =
                Error::from_source(Kind::Report, &error).hint("name another place with --junit");
            printer.err(&error.render(printer.err_colour()));
            exit.and(error.exit())
        },
        |()| exit,
    ))
}

fn read(path: &Utf8PathBuf) -> Result<Given, Error> {
    let loaded = load_any(path).map_err(|failure| Error::from_source(Kind::Setup, &failure))?;
    Ok(Given {
        path: path.clone(),
        loaded,
    })
}

/// What of a checkpoint did not count.
fn repaired(given: &Given) -> Option<Warning> {
    let repair = given.loaded.repaired?;
    let message = format!("the checkpoint `{}` was not whole: {repair}", given.path);
    Some(warning(message, None))
}

fn twice(twice: &Twice) -> Warning {
    let Twice {
        test,
        counts,
        other,
    } = twice;
    let message = format!(
        "{test} came to different results in `{other}` and in `{counts}`: the latter counts"
    );
    warning(message, None)
}

/// The parts that are missing, and the tests that no part has run.
fn not_run(merged: &Merged) -> String {
    let mut text = String::new();
    for part in &merged.missing {
        writeln!(text, "missing: no checkpoint is of part {part}")
            .expect("a string takes everything");
    }
    if merged.more_missing > 0 {
        let more = merged.more_missing;
        writeln!(text, "missing: {more} more parts").expect("a string takes everything");
    }
    for test in merged.outstanding.iter().take(NAMED) {
        let test = test.to_string();
        writeln!(text, "not run: {}", test.escape_debug()).expect("a string takes everything");
    }
    let more = merged.outstanding.len().saturating_sub(NAMED);
    if more > 0 {
        writeln!(text, "not run: {more} more").expect("a string takes everything");
    }
    text
}

fn options(surroundings: &Surroundings, printer: &Printer) -> RenderOptions {
    RenderOptions {
        message_format: MessageFormat::Human,
        suites: Arc::default(),
        show_progress: ShowProgress::None,
        colour: printer.err_colour(),
        terminal: printer.err_is_terminal(),
        dumb: printer.is_dumb(),
        ci: surroundings.is_ci(),
        verbose: false,
        output: OutputConfig {
            status_level: StatusLevel::Fail,
            ..Config::default().output
        },
        resume_command: "cargo stt --resume".to_owned(),
    }
}
