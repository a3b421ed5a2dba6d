//! The screen of a run: the thread that shows it, from its start to its last word.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use stt_core::checkpoint::ResumePlan;
use stt_core::checkpoint::Selected;
use stt_core::config::Config;
use stt_core::config::ShowOutput;
use stt_core::config::StatusLevel;
use stt_core::discovery::TestBinary;
use stt_core::id::BinaryId;
use stt_core::outcome::RunOutcome;
use stt_core::report::Summary;
use stt_core::run::Capturing;
use stt_core::run::Manner;
use stt_core::run::Session;
use stt_core::run::Sink;
use stt_core::run::Suite;

use crate::cli::MessageFormat;
use crate::cli::ShowProgress;
use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::render::Drained;
use crate::render::RenderOptions;
use crate::render::RenderThread;
use crate::render::SuiteOutline;
use crate::render::renderer;
use crate::settings::RunRequest;

/// How often a bar is told what is going on.
const PROGRESS: Duration = Duration::from_millis(100);

/// How long a terminal has to take what is left of a run that was ended early.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Starts the thread that shows what it is told through the sink.
pub(super) fn show(
    printer: &Printer,
    options: RenderOptions,
) -> Result<(Arc<RenderThread>, Sink), Error> {
    let render = RenderThread::start(renderer(options, printer.clone())).map_err(|error| {
        Error::new(Kind::Setup, "could not start the thread that shows the run").caused_by(&error)
    })?;
    let render = Arc::new(render);
    let sink: Sink = {
        let render = Arc::clone(&render);
        Arc::new(move |event| render.send(event))
    };
    Ok((render, sink))
}

/// How a run is to be shown; `resume_command` is what goes on with it.
pub(super) fn options(
    request: &RunRequest,
    config: &Config,
    surroundings: &Surroundings,
    printer: &Printer,
    resume_command: String,
) -> RenderOptions {
    RenderOptions {
        message_format: request.message_format,
        suites: Arc::default(),
        show_progress: match request.show_progress {
            // What is written to the terminal beside it would be written into the bar.
            ShowProgress::Auto | ShowProgress::Bar
                if request.no_capture || request.message_format.is_libtest() =>
            {
                ShowProgress::Counter
            }
            asked @ (ShowProgress::Auto
            | ShowProgress::None
            | ShowProgress::Bar
            | ShowProgress::Counter) => asked,
        },
        colour: printer.err_colour(),
        terminal: printer.err_is_terminal(),
        dumb: printer.is_dumb(),
        ci: surroundings.is_ci(),
        verbose: request.verbose,
        output: config.output.clone(),
        resume_command,
    }
}

/// What of a run is told, and how often.
pub(super) fn manner(request: &RunRequest, config: &Config, options: &RenderOptions) -> Manner {
    let json = options.message_format == MessageFormat::Json;
    let verbose_json = json && request.verbose;
    let libtest = options.message_format.is_libtest();
    Manner {
        capture: match request.no_capture {
            true => Capturing::Nothing,
            false if libtest => Capturing::Together,
            false => Capturing::Apart,
        },
        success_output: config.output.success_output != ShowOutput::Never,
        starts: json || libtest || config.output.status_level >= StatusLevel::All,
        own_stdout: json || libtest,
        progress: ((options.shows_bar() && !json) || verbose_json).then_some(PROGRESS),
    }
}

/// The binaries of a suite with what of them this leg runs, in the order of their ids.
pub(super) fn outlines(suite: &Suite, plan: &ResumePlan) -> Arc<[SuiteOutline]> {
    let kept: HashSet<_> = plan.kept.iter().map(|result| &result.test).collect();
    let mut tests: BTreeMap<BinaryId, usize> = BTreeMap::new();
    for Selected { test, .. } in suite.selected() {
        let now = usize::from(!kept.contains(&test));
        *tests.entry(test.binary).or_default() += now;
    }
    let outline = |(binary, listed): (&TestBinary, usize)| {
        let tests = *tests.get(&binary.id)?;
        Some(SuiteOutline {
            id: binary.id.clone(),
            package: binary.package.clone(),
            target: binary.target.clone(),
            kind: binary.kind.name(),
            tests,
            filtered_out: listed.saturating_sub(tests),
        })
    };
    let mut outlines: Vec<_> = suite.listed().filter_map(outline).collect();
    outlines.sort_by(|one, other| one.id.cmp(&other.id));
    outlines.into()
}

/// Waits until everything is shown, and says how to exit. Whoever does not read any more can be left with Ctrl-C.
pub(super) fn conclude(
    summary: &Summary,
    render: Arc<RenderThread>,
    session: &Session,
    printer: &Printer,
) -> Exit {
    let deadline = match summary.outcome {
        RunOutcome::Passed
        | RunOutcome::NoTests
        | RunOutcome::Failed
        | RunOutcome::ScriptFailed => None,
        RunOutcome::Stopped | RunOutcome::Interrupted(_) => Some(LAST_WORDS),
    };
    let shown = finish(render, deadline, printer, || session.interrupt().is_some());
    let was_interrupted = matches!(summary.outcome, RunOutcome::Interrupted(_));
    match (shown, session.interrupt().filter(|_| !was_interrupted)) {
        (Shown::Whole, _) | (Shown::Partly, None) => outcome(summary),
        (Shown::Partly, Some(signal)) => Exit::Signal(signal),
        (Shown::Failed(exit), _) => outcome(summary).and(exit),
    }
}

/// How to exit. That every test has passed can't be said of a run that has left some to a later leg.
pub(super) fn outcome(summary: &Summary) -> Exit {
    if summary.outcome == RunOutcome::Passed && summary.outstanding > 0 {
        Exit::Stopped
    } else {
        Exit::from_outcome(summary.outcome)
    }
}

/// Shows what is left of what ended early, as long as that takes no longer than it should.
pub(super) fn finish_early(render: Arc<RenderThread>, printer: &Printer) {
    finish(render, Some(LAST_WORDS), printer, || false);
}

/// What has been shown.
enum Shown {
    /// Everything.
    Whole,
    /// What somebody has read in time.
    Partly,
    /// It can't be shown, which has been told.
    Failed(Exit),
}

/// Waits until everything is shown, and says whether that was possible.
fn finish(
    render: Arc<RenderThread>,
    deadline: Option<Duration>,
    printer: &Printer,
    gives_up: impl Fn() -> bool,
) -> Shown {
    // The threads of the run are gone, and with them every other handle on the renderer.
    let drained = Arc::into_inner(render).map(|render| render.finish(deadline, gives_up));
    match drained {
        Some(Drained::Failed(error)) => {
            let error =
                Error::new(Kind::Setup, "the run could not be shown to its end").caused_by(&error);
            printer.err(&error.render(printer.err_colour()));
            Shown::Failed(error.exit())
        }
        Some(Drained::TimedOut) => Shown::Partly,
        Some(Drained::All) | None => Shown::Whole,
    }
}
