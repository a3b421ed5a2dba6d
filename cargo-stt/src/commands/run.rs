//! `cargo stt run`: from the command line to the exit code of a run.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use stt_core::checkpoint::ResumePlan;
use stt_core::checkpoint::plan;
use stt_core::command::Environment;
use stt_core::config::Config;
use stt_core::config::ShowOutput;
use stt_core::config::StatusLevel;
use stt_core::config::TmpDir;
use stt_core::discovery::Workspace;
use stt_core::id::RunId;
use stt_core::outcome::RunOutcome;
use stt_core::report::Event;
use stt_core::report::Summary;
use stt_core::run::Job;
use stt_core::run::Manner;
use stt_core::run::OwnDir;
use stt_core::run::RunError;
use stt_core::run::Session;
use stt_core::run::Sink;
use stt_core::run::Suite;
use stt_core::run::config_hash;
use stt_core::run::finished_before;
use stt_core::selection::Selection;

use crate::cli::MessageFormat;
use crate::cli::ShowProgress;
use crate::commands::failure::Failure;
use crate::commands::prepare::Search;
use crate::commands::prepare::site;
use crate::commands::recorded;
use crate::commands::recorded::Recorded;
use crate::commands::recorded::warning;
use crate::env;
use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::render::Drained;
use crate::render::RenderOptions;
use crate::render::RenderThread;
use crate::render::renderer;
use crate::settings::RunRequest;
use crate::settings::chosen;

/// How often a bar is told what is going on.
const PROGRESS: Duration = Duration::from_millis(100);

/// How long a terminal has to take what is left of a run that was ended early.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs tests.
pub(super) fn run(
    request: &RunRequest,
    surroundings: &Surroundings,
    printer: &Printer,
) -> Result<Exit, Error> {
    let command = Command::begin(request, surroundings, printer);
    command.and_then(Command::run).or_else(Failure::conclude)
}

/// What is known before the configuration is.
struct Command<'a> {
    request: &'a RunRequest,
    surroundings: &'a Surroundings,
    printer: &'a Printer,
    session: Session,
    workspace: Workspace,
}

/// A run that is about to begin.
struct Begun {
    run: RunId,
    leg: u32,
    recorded: Recorded,
    selection: Selection,
    checkpoint: Utf8PathBuf,
    tmpdir: Option<OwnDir>,
    env: Environment,
}

impl<'a> Command<'a> {
    fn begin(
        request: &'a RunRequest,
        surroundings: &'a Surroundings,
        printer: &'a Printer,
    ) -> Result<Self, Failure> {
        let session = Session::begin(surroundings.vars.clone())?;
        let site = site(&request.cargo, &surroundings.cwd, &request.place);
        let workspace = session.workspace(&site, false)?;
        Ok(Self {
            request,
            surroundings,
            printer,
            session,
            workspace,
        })
    }

    fn run(self) -> Result<Exit, Failure> {
        let config = self
            .request
            .configuration
            .of_workspace(&self.workspace.root)?
            .config;
        let begun = self.identify(&config)?;
        let search = Search {
            site: site(
                &self.request.cargo,
                &self.surroundings.cwd,
                &self.request.place,
            ),
            workspace: &self.workspace,
            config: &config,
            run: &begun.run,
            env: &begun.env,
        };
        let found = search.discover(&self.session, &begun.selection.build, self.printer)?;
        let listings = found.listed.iter().map(|listed| &listed.listing);
        let suite = Suite::select(found.binaries, listings, &begun.selection.tests);
        let records = found
            .listed
            .into_iter()
            .map(|listed| listed.record)
            .collect();
        if self.request.no_run {
            return Ok(self.built(&suite));
        }
        self.execute(begun, suite, records, &config)
    }

    /// Which run this is: the recorded one, or a new one.
    fn identify(&self, config: &Config) -> Result<Begun, Failure> {
        let configured = config.checkpoint.path.clone();
        let checkpoint = configured.unwrap_or_else(|| self.usual_checkpoint());
        let mut recorded = Recorded::default();
        if self.request.resume {
            recorded = recorded::find(&checkpoint, &self.workspace.root)?;
        }
        let typed = self
            .request
            .selection
            .clone()
            .map(|typed| chosen(typed, config));
        let selection = recorded.selection(typed)?;
        let selection = selection.unwrap_or_else(|| chosen(Selection::default(), config));
        let header = recorded.loaded.as_ref().map(|loaded| &loaded.header);
        let leg = header.map_or(1, |header| header.leg.saturating_add(1));
        let known = header.map(|header| header.run.clone());
        if header.is_some_and(|header| header.config_hash != config_hash(config)) {
            let message =
                "the limits of time have changed since the recorded results were obtained";
            recorded.warnings.push(warning(message.to_owned(), None));
        }
        let run = known.map_or_else(|| self.session.new_run(), Ok)?;
        let tmpdir = self.tmpdir(config, &run)?;
        let env = self.test_environment(tmpdir.as_ref());
        Ok(Begun {
            run,
            leg,
            recorded,
            selection,
            checkpoint,
            tmpdir,
            env,
        })
    }

    fn usual_checkpoint(&self) -> Utf8PathBuf {
        self.workspace.target_dir.join("stt-checkpoint.json")
    }

    fn tmpdir(&self, config: &Config, run: &RunId) -> Result<Option<OwnDir>, RunError> {
        match config.run.tmpdir {
            TmpDir::Inherit => Ok(None),
            TmpDir::Own => {
                let parent = self.surroundings.absolute_path(env::TMPDIR);
                let parent = parent.unwrap_or_else(|| "/tmp".into());
                OwnDir::create(&parent, run)
                    .map(Some)
                    .map_err(|source| RunError::Setup {
                        what: "the run's temporary directory".to_owned(),
                        source,
                    })
            }
        }
    }

    /// What tests inherit: what we did, with the temporary directory of the run.
    fn test_environment(&self, tmpdir: Option<&OwnDir>) -> Environment {
        let Some(tmpdir) = tmpdir else {
            return self.surroundings.vars.clone();
        };
        let others = self
            .surroundings
            .vars
            .iter()
            .filter(|(name, _)| name != env::TMPDIR);
        let own = (env::TMPDIR.into(), tmpdir.path().as_os_str().to_owned());
        others.cloned().chain([own]).collect()
    }

    fn execute(
        self,
        begun: Begun,
        suite: Suite,
        records: Vec<stt_core::checkpoint::BinaryRecord>,
        config: &Config,
    ) -> Result<Exit, Failure> {
        let plan = match &begun.recorded.loaded {
            Some(loaded) => plan(loaded, &suite.selected(), &records),
            None => ResumePlan::everything(&suite.selected()),
        };
        let options = self.render_options(config, &begun.checkpoint);
        let manner = self.manner(config, &options);
        let screen = Box::new(self.printer.clone());
        let render = RenderThread::start(renderer(options, screen)).map_err(|error| {
            Error::new(Kind::Setup, "could not start the thread that shows the run")
                .caused_by(&error)
        })?;
        let render = Arc::new(render);
        let sink: Sink = {
            let render = Arc::clone(&render);
            Arc::new(move |event| render.send(event))
        };
        for warning in begun
            .recorded
            .warnings
            .into_iter()
            .chain(recorded::dropped(&plan))
        {
            sink(Event::Warning(warning));
        }
        let resumed = begun.recorded.loaded.is_some();
        let job = Job {
            run: begun.run,
            leg: begun.leg,
            root: self.workspace.root,
            target_dir: self.workspace.target_dir,
            selection: begun.selection,
            suite,
            records,
            plan,
            checkpoint: begun.checkpoint,
            tmpdir: begun.tmpdir,
            manner,
        };
        let done = if job.suite.is_empty() || (resumed && job.plan.is_complete()) {
            if !job.suite.is_empty() {
                self.printer
                    .err("nothing to resume: every test of the recorded run has a result\n");
            }
            Ok(finished_before(job, &sink))
        } else {
            self.session.execute(job, config, &sink)
        };
        drop(sink);
        Ok(conclude(&done?, render, self.printer))
    }

    /// The end of `--no-run`.
    fn built(&self, suite: &Suite) -> Exit {
        let (tests, binaries) = (suite.len(), suite.used_binaries());
        self.printer.err(&format!(
            "built: {tests} tests in {binaries} binaries; none was run\n"
        ));
        Exit::Passed
    }

    fn render_options(&self, config: &Config, checkpoint: &Utf8PathBuf) -> RenderOptions {
        let elsewhere = *checkpoint != self.usual_checkpoint();
        let option = if elsewhere {
            format!(" --checkpoint {checkpoint}")
        } else {
            String::new()
        };
        RenderOptions {
            message_format: self.request.message_format,
            show_progress: match self.request.show_progress {
                // Tests that write to the terminal themselves would write into the bar.
                ShowProgress::Auto | ShowProgress::Bar if self.request.no_capture => {
                    ShowProgress::Counter
                }
                asked @ (ShowProgress::Auto
                | ShowProgress::None
                | ShowProgress::Bar
                | ShowProgress::Counter) => asked,
            },
            colour: self.printer.err_colour(),
            terminal: self.printer.err_is_terminal(),
            dumb: self.printer.is_dumb(),
            ci: self.surroundings.is_ci(),
            verbose: self.request.verbose,
            output: config.output.clone(),
            resume_command: format!("cargo stt --resume{option}"),
        }
    }

    fn manner(&self, config: &Config, options: &RenderOptions) -> Manner {
        let json = options.message_format == MessageFormat::Json;
        let verbose_json = json && self.request.verbose;
        Manner {
            capture: !self.request.no_capture,
            success_output: config.output.success_output != ShowOutput::Never,
            starts: json || config.output.status_level >= StatusLevel::All,
            progress: ((options.shows_bar() && !json) || verbose_json).then_some(PROGRESS),
        }
    }
}

/// Waits until everything is shown, and says how to exit.
fn conclude(summary: &Summary, render: Arc<RenderThread>, printer: &Printer) -> Exit {
    let deadline = match summary.outcome {
        RunOutcome::Passed | RunOutcome::NoTests | RunOutcome::Failed => None,
        RunOutcome::Stopped | RunOutcome::Interrupted(_) => Some(LAST_WORDS),
    };
    let exit = Exit::from_outcome(summary.outcome);
    // The threads of the run are gone, and with them every other handle on the renderer.
    let drained = Arc::into_inner(render).map(|render| render.finish(deadline));
    match drained {
        Some(Drained::Failed(error)) => {
            let error =
                Error::new(Kind::Setup, "the run could not be shown to its end").caused_by(&error);
            printer.err(&error.render(printer.err_colour()));
            exit.and(error.exit())
        }
        Some(Drained::All | Drained::TimedOut) | None => exit,
    }
}
