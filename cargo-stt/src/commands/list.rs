//! `cargo stt list`: what would run.

use std::fmt::Write as _;

use anstyle::Style;
use stt_core::checkpoint::Selected;
use stt_core::config::DEFAULT_FILTER;
use stt_core::config::Expressions;
use stt_core::run::Session;
use stt_core::run::Suite;
use stt_core::run::Surplus;
use stt_core::run::inventory;

use crate::cli::ListFormat;
use crate::commands::failure::Failure;
use crate::commands::finish;
use crate::commands::prepare::Search;
use crate::commands::prepare::reused;
use crate::commands::prepare::site;
use crate::commands::prepare::take_default_filter;
use crate::commands::prepare::test_rules;
use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::settings::ListRequest;
use crate::settings::chosen;

/// Builds, and lists the tests of the selection.
pub(super) fn list(
    request: &ListRequest,
    surroundings: &Surroundings,
    printer: &Printer,
) -> Result<Exit, Error> {
    match find(request, surroundings, printer) {
        Ok(text) => Ok(finish(printer.out(&text), printer)),
        Err(failure) => failure.conclude(),
    }
}

fn find(
    request: &ListRequest,
    surroundings: &Surroundings,
    printer: &Printer,
) -> Result<String, Failure> {
    let archive = reused(&request.reuse, &surroundings.cwd)?;
    let site = site(
        &request.cargo,
        &surroundings.cwd,
        &request.place,
        archive.as_ref(),
    );
    let session = Session::begin(surroundings.vars.clone(), None)?;
    let mut workspace = session.workspace(&site, false)?;
    let mut resolved = request.configuration.of_workspace(&workspace.root)?;
    take_default_filter(
        &session,
        &site,
        &workspace,
        Some(&request.selection),
        &mut resolved,
    )?;
    let selection = chosen(request.selection.clone(), &resolved.config);
    let tests = &selection.tests;
    let expressions = Expressions::of(tests, false, resolved.origin(DEFAULT_FILTER));
    let config = resolved.config;
    let (rules, chosen) = test_rules(
        &session,
        &site,
        &mut workspace,
        &config,
        tests,
        &expressions,
    )?;
    let search = Search {
        site,
        workspace: &workspace,
        config: &config,
        run: &session.new_run()?,
        env: &surroundings.vars,
        chosen: &chosen,
        rules: &rules,
    };
    let found = search.discover(&session, &selection.build, printer)?;
    let listings = || found.listed.iter().map(|listed| &listed.listing);
    let suite = Suite::select(found.binaries, listings(), tests, &rules, &chosen);
    let all = || {
        let surplus = Surplus {
            build: &found.build,
            skipped: &found.skipped,
            selection: tests,
            rules: &rules,
            chosen: &chosen,
        };
        inventory(&suite, listings(), surplus)
    };
    let text = match request.message_format {
        ListFormat::Human => return Ok(shown(&suite, request.verbose)),
        ListFormat::Json => serde_json::to_string(&all()),
        ListFormat::JsonPretty => serde_json::to_string_pretty(&all()),
    };
    let text = text.map_err(|error| {
        Error::new(Kind::Bug, "the list of tests can't be written as JSON").caused_by(&error)
    })?;
    Ok(text + "\n")
}

/// The tests below their binaries; with `verbose` beside each its set of limits, if it has one.
fn shown(suite: &Suite, verbose: bool) -> String {
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    let mut text = String::new();
    let tests = suite.selected();
    let mut numbers = 0..;
    for tests in tests.chunk_by(|one, next| one.test.binary == next.test.binary) {
        let binary = &tests[0].test.binary;
        writeln!(text, "{bold}{binary}{bold:#}:").expect("a string takes everything");
        for Selected { test, ignored } in tests {
            let name = test.name.escape_debug();
            let limits = numbers
                .next()
                .filter(|_| verbose)
                .and_then(|number| suite.limits(number))
                .map(|limits| format!(" {dim}[{}]{dim:#}", limits.name))
                .unwrap_or_default();
            let mark = if *ignored {
                format!(" {dim}(ignored){dim:#}")
            } else {
                String::new()
            };
            writeln!(text, "    {name}{limits}{mark}").expect("a string takes everything");
        }
    }
    text
}
