//! `cargo stt run`: from the command line to the exit code of a run.

use camino::Utf8PathBuf;
use stt_core::checkpoint::BinaryRecord;
use stt_core::checkpoint::Loaded;
use stt_core::checkpoint::ResumePlan;
use stt_core::checkpoint::Selected;
use stt_core::checkpoint::plan;
use stt_core::clock::Clock;
use stt_core::command::Environment;
use stt_core::config::Config;
use stt_core::config::DEFAULT_FILTER;
use stt_core::config::Expressions;
use stt_core::config::Resolved;
use stt_core::config::TmpDir;
use stt_core::coordinator::Claims;
use stt_core::coordinator::CoordinatorError;
use stt_core::discovery::Answers;
use stt_core::discovery::Workspace;
use stt_core::id::RunId;
use stt_core::report::Event;
use stt_core::run::Job;
use stt_core::run::Leg;
use stt_core::run::Membership;
use stt_core::run::Note;
use stt_core::run::OwnDir;
use stt_core::run::Particulars;
use stt_core::run::RestartTerms;
use stt_core::run::RunError;
use stt_core::run::Session;
use stt_core::run::Suite;
use stt_core::run::Waited;
use stt_core::run::Worker;
use stt_core::run::alone;
use stt_core::run::claims;
use stt_core::run::config_hash;
use stt_core::run::finished_before;
use stt_core::run::reap;
use stt_core::selection::Selection;
use stt_core::units::Percent;

use crate::commands::failure::Failure;
use crate::commands::junit::JunitReport;
use crate::commands::place::Place;
use crate::commands::place::is_free;
use crate::commands::prepare::Search;
use crate::commands::prepare::reused;
use crate::commands::prepare::site;
use crate::commands::prepare::take_default_filter;
use crate::commands::prepare::test_rules;
use crate::commands::recorded;
use crate::commands::recorded::Recorded;
use crate::commands::recorded::warning;
use crate::commands::reports::GithubStep;
use crate::commands::reports::Reports;
use crate::commands::screen::conclude;
use crate::commands::screen::finish_early;
use crate::commands::screen::manner;
use crate::commands::screen::options;
use crate::commands::screen::outlines;
use crate::commands::screen::show;
use crate::env;
use crate::env::Surroundings;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::render::RenderOptions;
use crate::render::renderer;
use crate::settings::RunRequest;
use crate::settings::chosen;

/// Runs tests.
pub(super) fn run(
    mut request: RunRequest,
    surroundings: &Surroundings,
    printer: &Printer,
    worker: Option<Worker>,
) -> Result<Exit, Error> {
    let leg = worker.as_ref().map(|worker| worker.leg).unwrap_or_default();
    // What a restarted run has to do is in its checkpoint, whatever was typed.
    request.resume |= leg.restarts > 0;
    request.rerun_failed &= leg.restarts == 0;
    let command = Command::begin(&request, surroundings, printer, worker);
    command.and_then(Command::run).or_else(Failure::conclude)
}

/// What is known before the configuration is.
struct Command<'a> {
    request: &'a RunRequest,
    surroundings: &'a Surroundings,
    printer: &'a Printer,
    session: Session,
    /// What was built elsewhere.
    archive: Option<Answers>,
    workspace: Workspace,
    /// Which life of the worker this is.
    leg: Leg,
    /// Where its life before this one was recorded.
    before: Option<Utf8PathBuf>,
    /// The files that no other run may write to meanwhile.
    claims: Option<Claims>,
}

/// A run that is about to begin.
struct Begun {
    run: RunId,
    leg: u32,
    recorded: Recorded,
    selection: Selection,
    checkpoint: Utf8PathBuf,
    memory_before: Option<Percent>,
    tmpdir: Option<OwnDir>,
    env: Environment,
    membership: Option<Membership>,
}

impl<'a> Command<'a> {
    fn begin(
        request: &'a RunRequest,
        surroundings: &'a Surroundings,
        printer: &'a Printer,
        worker: Option<Worker>,
    ) -> Result<Self, Failure> {
        let (link, leg, before) = match worker {
            Some(worker) => (Some(worker.link), worker.leg, worker.checkpoint),
            None => (None, Leg::default(), None),
        };
        let session = Session::begin(surroundings.vars.clone(), link)?;
        let archive = reused(&request.reuse, &surroundings.cwd)?;
        let site = site(
            &request.cargo,
            &surroundings.cwd,
            &request.place,
            archive.as_ref(),
        );
        let workspace = session.workspace(&site, false)?;
        Ok(Self {
            request,
            surroundings,
            printer,
            session,
            archive,
            workspace,
            leg,
            before,
            claims: None,
        })
    }

    fn run(mut self) -> Result<Exit, Failure> {
        let request = self.request;
        let mut resolved = request.configuration.of_workspace(&self.workspace.root)?;
        let place = &request.place;
        let (cargo, cwd) = (&request.cargo, &self.surroundings.cwd);
        let at = site(cargo, cwd, place, self.archive.as_ref());
        let typed = request.selection.as_ref();
        take_default_filter(&self.session, &at, &self.workspace, typed, &mut resolved)?;
        let coordinated = resolved.config.coordinator.enabled && self.reap(&resolved.config);
        self.claims = coordinated
            .then(|| claims(&self.surroundings.coordinator()))
            .flatten();
        let mut begun = self.identify(&mut resolved)?;
        let tests = &begun.selection.tests;
        let resumed = begun.recorded.loaded.is_some();
        let expressions = Expressions::of(tests, resumed, resolved.origin(DEFAULT_FILTER));
        let config = resolved.config;
        self.session.enclose(&begun.run);
        if coordinated {
            // Dropped, with everything of the run, when nothing of it is alive any more.
            begun.membership = self.register(&begun, &config);
        }
        if self.wait(&begun, &config)? == Waited::GaveUp {
            return Ok(Exit::Stopped);
        }
        let site = site(cargo, cwd, place, self.archive.as_ref());
        let tests = &begun.selection.tests;
        let (session, workspace) = (&self.session, &mut self.workspace);
        let (rules, chosen) = test_rules(session, &site, workspace, &config, tests, &expressions)?;
        let search = Search {
            site,
            workspace: &self.workspace,
            config: &config,
            run: &begun.run,
            env: &begun.env,
            chosen: &chosen,
            rules: &rules,
        };
        let found = search.discover(session, &begun.selection.build, self.printer)?;
        let listings = found.listed.iter().map(|listed| &listed.listing);
        let suite = Suite::select(found.binaries, listings, tests, &rules, &chosen);
        let records = found
            .listed
            .into_iter()
            .map(|listed| listed.record)
            .collect();
        if self.request.no_run {
            return Ok(self.built(&suite));
        }
        self.execute(begun, suite, (records, found.script_env), &config)
    }

    /// Which run this is: the recorded one, or a new one.
    fn identify(&self, resolved: &mut Resolved) -> Result<Begun, Failure> {
        let config = &resolved.config;
        let configured = config.checkpoint.path.as_ref();
        let resumes = self.request.resume || self.request.rerun_failed;
        let place = Place {
            given: self.before.as_ref().or(configured),
            usual: self.usual_checkpoint(),
            resumes,
        };
        let claims = self.claims.as_ref().filter(|_| config.checkpoint.enabled);
        let (checkpoint, elsewhere) = place.choose(|path, waits| is_free(claims, path, waits))?;
        let mut recorded = Recorded::default();
        if resumes {
            recorded = recorded::find(&checkpoint, &self.workspace.root)?;
        }
        recorded.warnings.extend(elsewhere);
        if self.request.rerun_failed {
            recorded.must_be()?;
        }
        let typed = self
            .request
            .selection
            .clone()
            .map(|typed| chosen(typed, config));
        let selection = recorded.selection(typed)?;
        let selection = selection.unwrap_or_else(|| chosen(Selection::default(), config));
        recorded::take_limits(&selection, resolved)?;
        let config = &resolved.config;
        let header = recorded.loaded.as_ref().map(|loaded| &loaded.header);
        let leg = header.map_or(1, |header| header.leg.saturating_add(1));
        let known = header.map(|header| header.run.clone());
        if header.is_some_and(|header| header.config_hash != config_hash(config)) {
            let message = "settings that can change a result, such as limits, have changed since the recorded results";
            recorded.warnings.push(warning(message.to_owned(), None));
        }
        let run = known.map_or_else(|| self.session.new_run(), Ok)?;
        let memory_before = match header {
            Some(header) => header.memory_before,
            None => self
                .session
                .memory_in_use(config, &self.workspace.target_dir),
        };
        self.session.tell(&Note::Run {
            run: run.clone(),
            leg,
            restart: RestartTerms {
                // The next leg could not tell what this one was to leave out.
                auto: config.restart.auto && !self.request.rerun_failed,
                max: config.restart.max,
                within: config.restart.within,
            },
        });
        if recorded.loaded.is_some() {
            let path = checkpoint.clone();
            self.session.tell(&Note::Checkpoint { path });
        }
        let tmpdir = self.tmpdir(config, &run)?;
        if let Some(tmpdir) = &tmpdir {
            let path = tmpdir.path().to_owned();
            self.session.tell(&Note::TmpDir { path });
        }
        let own = tmpdir.as_ref().filter(|_| config.run.tmpdir == TmpDir::Own);
        let env = self.test_environment(own);
        Ok(Begun {
            run,
            leg,
            recorded,
            selection,
            checkpoint,
            memory_before,
            tmpdir,
            env,
            membership: None,
        })
    }

    /// Before anything is built: a restarted run has to wait until the machine has recovered.
    fn wait(&self, begun: &Begun, config: &Config) -> Result<Waited, Failure> {
        if self.leg.restarts == 0 {
            return Ok(Waited::Recovered);
        }
        let options = self.render_options(config, &begun.checkpoint);
        let (render, sink) = show(self.printer, options)?;
        let waited = self.session.wait_for_recovery(
            self.leg,
            begun.recorded.loaded.as_deref(),
            config,
            &self.workspace.target_dir,
            begun.membership.as_ref(),
            &sink,
        );
        drop(sink);
        finish_early(render, self.printer);
        Ok(waited?)
    }

    /// Ends what killed runs have left, before any of ours is there. Says whether runs can know of each
    /// other here.
    fn reap(&self, config: &Config) -> bool {
        let (place, env) = (self.surroundings.coordinator(), &self.surroundings.vars);
        match reap(&place, env, &Clock::start(), false) {
            Ok(found) => {
                let reaped = found.reaped.into_iter().map(Box::new).map(Event::Reaped);
                let warnings = found.warnings.into_iter().map(Event::Warning);
                self.tell(config, reaped.chain(warnings));
                true
            }
            Err(error) => {
                self.goes_on_alone(config, &error);
                false
            }
        }
    }

    /// Makes the run known to others, and to whoever clears up after it.
    fn register(&self, begun: &Begun, config: &Config) -> Option<Membership> {
        let recorded = config.checkpoint.enabled;
        let cgroup = self.session.group_path();
        let particulars = Particulars {
            run: &begun.run,
            workspace: &self.workspace.root,
            tmpdir: begun.tmpdir.as_ref().map(OwnDir::path),
            checkpoint: recorded.then_some(begun.checkpoint.as_path()),
            target: &self.workspace.target_dir,
            cgroup: cgroup.as_deref(),
            guard: &config.guard,
        };
        let place = self.surroundings.coordinator();
        let registered = self.session.register(&place, &particulars);
        if let Ok(membership) = &registered {
            let lock = membership.lock_path();
            self.session.tell(&Note::Registration { lock });
        }
        registered
            .inspect_err(|error| self.goes_on_alone(config, error))
            .ok()
    }

    fn goes_on_alone(&self, config: &Config, error: &CoordinatorError) {
        self.tell(config, [Event::Warning(alone(error))]);
    }

    /// Shows what happened before there is a run to show.
    fn tell(&self, config: &Config, events: impl IntoIterator<Item = Event>) {
        let options = self.render_options(config, &self.usual_checkpoint());
        let mut renderer = renderer(options, self.printer.clone());
        for event in events {
            renderer.event(&event);
        }
        // Where nothing can be shown, the run itself says so at its end.
        drop(renderer.finish());
    }

    fn usual_checkpoint(&self) -> Utf8PathBuf {
        self.workspace.target_dir.join("stt-checkpoint.json")
    }

    fn tmpdir(&self, config: &Config, run: &RunId) -> Result<Option<OwnDir>, RunError> {
        match config.run.tmpdir {
            TmpDir::Inherit if !config.needs_place() => Ok(None),
            // The sockets for containers and the files of scripts need a place of their own in any case.
            TmpDir::Inherit | TmpDir::Own => OwnDir::create(&self.surroundings.temporary(), run)
                .map(Some)
                .map_err(|source| RunError::Setup {
                    what: "the run's temporary directory".to_owned(),
                    source,
                }),
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

    /// What of a recorded run is to be done.
    fn plan(&self, loaded: &Loaded, tests: &[Selected], records: &[BinaryRecord]) -> ResumePlan {
        let plan = plan(loaded, tests, records);
        if self.request.rerun_failed {
            plan.rerun_failed(loaded, tests, self.request.resume)
        } else {
            plan
        }
    }

    fn execute(
        self,
        begun: Begun,
        suite: Suite,
        (records, script_env): (Vec<BinaryRecord>, Environment),
        config: &Config,
    ) -> Result<Exit, Failure> {
        let plan = match &begun.recorded.loaded {
            Some(loaded) => self.plan(loaded, &suite.selected(), &records),
            None => ResumePlan::everything(&suite.selected()),
        };
        let mut options = self.render_options(config, &begun.checkpoint);
        if options.message_format.is_libtest() {
            options.suites = outlines(&suite, &plan);
        }
        let manner = manner(self.request, config, &options);
        let format = options.message_format;
        let (render, sink) = show(self.printer, options)?;
        let root = &self.workspace.root;
        let reports = Reports {
            junit: JunitReport::begin(config, &begun.run, &suite, &plan),
            github: GithubStep::around(config, root, format, self.surroundings),
        };
        let sink = reports.listen(sink);
        for warning in begun
            .recorded
            .warnings
            .into_iter()
            .chain(recorded::dropped(&plan))
        {
            sink(Event::Warning(warning));
        }
        let loaded = begun.recorded.loaded.as_ref();
        let resumed = loaded.is_some();
        let before = loaded.and_then(|loaded| loaded.finished);
        let died = resumed && before.is_none();
        let job = Job {
            run: begun.run,
            leg: begun.leg,
            root: self.workspace.root,
            target_dir: self.workspace.target_dir,
            selection: begun.selection,
            program: suite.uses_containers().then(env::own_program).transpose()?,
            suite,
            records,
            plan,
            checkpoint: begun.checkpoint,
            record_starts: config.restart.auto || died,
            memory_before: begun.memory_before,
            tmpdir: begun.tmpdir,
            manner,
            membership: begun.membership,
            script_env,
        };
        let done = if job.suite.is_empty() || (resumed && job.plan.is_complete()) {
            if !job.suite.is_empty() {
                self.printer.err(if self.request.rerun_failed {
                    "nothing to run again: no test of the recorded run has failed\n"
                } else {
                    "nothing to resume: every test of the recorded run has a result\n"
                });
            }
            Ok(finished_before(job, before, &sink))
        } else {
            self.session.execute(job, config, &sink)
        };
        drop(sink);
        let summary = done?;
        // Before a terminal is waited for that may not read any more.
        let reported = reports.write(&summary, self.printer);
        let exit = conclude(&summary, render, &self.session, self.printer);
        Ok(match reported {
            Ok(()) => exit,
            Err(error) => {
                let colour = self.printer.err_colour();
                self.printer.err(&error.render(colour));
                exit.and(error.exit())
            }
        })
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
        let option = elsewhere.then(|| format!(" --checkpoint {checkpoint}"));
        let option = option.unwrap_or_default();
        let resume_command = format!("cargo stt --resume{option}");
        options(
            self.request,
            config,
            self.surroundings,
            self.printer,
            resume_command,
        )
    }
}
