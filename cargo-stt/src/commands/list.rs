//! `cargo stt list`: what would run.

use std::fmt::Write as _;

use anstyle::Style;
use stt_core::checkpoint::Selected;
use stt_core::run::RunError;
use stt_core::run::Session;
use stt_core::run::Suite;

use crate::commands::failure;
use crate::commands::finish;
use crate::commands::prepare::Search;
use crate::commands::prepare::site;
use crate::env::Surroundings;
use crate::error::Error;
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
    match find(request, surroundings, printer)? {
        Ok(text) => Ok(finish(printer.out(&text), printer)),
        Err(failure) => failure::conclude(&failure),
    }
}

/// The outer error is of the configuration, the inner one of the search.
fn find(
    request: &ListRequest,
    surroundings: &Surroundings,
    printer: &Printer,
) -> Result<Result<String, RunError>, Error> {
    let site = site(&request.cargo, &surroundings.cwd, &request.place);
    let begun = Session::begin(surroundings.vars.clone()).and_then(|session| {
        Ok((
            session.workspace(&site, false)?,
            session.new_run()?,
            session,
        ))
    });
    let (workspace, run, session) = match begun {
        Ok(begun) => begun,
        Err(failure) => return Ok(Err(failure)),
    };
    let config = request.configuration.of_workspace(&workspace.root)?.config;
    let selection = chosen(request.selection.clone(), &config);
    let search = Search {
        site,
        workspace: &workspace,
        config: &config,
        run: &run,
        env: &surroundings.vars,
    };
    Ok(search
        .discover(&session, &selection.build, printer)
        .map(|found| {
            let listings = found.listed.iter().map(|listed| &listed.listing);
            let suite = Suite::select(found.binaries, listings, &selection.tests);
            shown(&suite.selected())
        }))
}

/// The tests below their binaries.
fn shown(tests: &[Selected]) -> String {
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    let mut text = String::new();
    for tests in tests.chunk_by(|one, next| one.test.binary == next.test.binary) {
        let binary = &tests[0].test.binary;
        writeln!(text, "{bold}{binary}{bold:#}:").expect("a string takes everything");
        for Selected { test, ignored } in tests {
            let name = test.name.escape_debug();
            let mark = if *ignored {
                format!(" {dim}(ignored){dim:#}")
            } else {
                String::new()
            };
            writeln!(text, "    {name}{mark}").expect("a string takes everything");
        }
    }
    text
}
