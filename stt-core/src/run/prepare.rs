//! From a directory to the tests in it: asks cargo, builds, lists. Every child is ours and can be
//! interrupted.

use std::ffi::OsStr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use camino::Utf8Path;
use nextest_metadata::RustBuildMetaSummary;

use crate::command::CommandLine;
use crate::command::Environment;
use crate::config::Config;
use crate::config::Expression;
use crate::config::Expressions;
use crate::config::Override;
use crate::discovery::Answers;
use crate::discovery::BinaryError;
use crate::discovery::Built;
use crate::discovery::CargoConfig;
use crate::discovery::Chosen;
use crate::discovery::Compilers;
use crate::discovery::MessageEvent;
use crate::discovery::Messages;
use crate::discovery::Needs;
use crate::discovery::Question;
use crate::discovery::Rustc;
use crate::discovery::Setting;
use crate::discovery::TestBinary;
use crate::discovery::TestRules;
use crate::discovery::Toolchain;
use crate::discovery::Workspace;
use crate::discovery::build_command;
use crate::discovery::build_summary;
use crate::discovery::doc_binary;
use crate::discovery::graph_command;
use crate::discovery::metadata_command;
use crate::discovery::rustc_command;
use crate::discovery::script_environment;
use crate::discovery::test_binaries;
use crate::id::BinaryId;
use crate::id::RunId;
use crate::outcome::Exit;
use crate::process::Collected;
use crate::process::Stdio;
use crate::run::RunError;
use crate::run::Session;
use crate::run::archive;
use crate::run::child::ChildEnd;
use crate::run::child::Lines;
use crate::run::doctests::rustdoc;
use crate::run::list::Asking;
use crate::run::list::Listed;
use crate::selection::BuildPlace;
use crate::selection::BuildSelection;

/// Where and with what a project is built.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The `cargo` to call.
    pub cargo: &'a OsStr,
    /// Where it is called.
    pub cwd: &'a Utf8Path,
    /// The options that say where.
    pub place: &'a BuildPlace,
    /// What was built and answered elsewhere: then nobody is asked here, and nothing is built.
    pub archive: Option<&'a Answers>,
}

/// What is to be found out.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// What is built.
    pub build: &'a BuildSelection,
    /// The run whose tests these are.
    pub run: &'a RunId,
    /// The name of its profile.
    pub profile: &'a str,
    /// What tests inherit.
    pub env: &'a Environment,
    /// Whether cargo may write colours.
    pub colour: bool,
    /// The time between TERM and KILL when the search is interrupted.
    pub grace: Duration,
    /// How binaries are asked for their tests.
    pub asking: Asking<'a>,
    /// What writes down how it is called as the documentation tool; `None` where documentation tests are not wanted.
    pub recorder: Option<&'a OsStr>,
    /// For which tests the expressions of the selection hold: a binary that they rule out is not asked.
    pub chosen: &'a Chosen,
    /// What the tests are asked for by.
    pub rules: &'a TestRules,
}

/// The test binaries of a workspace, and the tests in each of them.
#[derive(Debug)]
pub struct Discovered {
    /// What was built, as it is told to programs.
    pub build: RustBuildMetaSummary,
    /// The binaries.
    pub binaries: Vec<TestBinary>,
    /// Those that the expressions of the selection rule out.
    pub skipped: Vec<TestBinary>,
    /// What each of them has.
    pub listed: Vec<Listed>,
    /// What scripts find in their environment, but for what each has for itself.
    pub script_env: Environment,
}

impl Session {
    /// Asks cargo about the workspace; with the packages it depends on only if they are needed, since
    /// that takes longer and may need the network.
    ///
    /// # Errors
    /// There is no workspace, or cargo is not there.
    pub fn workspace(&self, site: &Site<'_>, dependencies: bool) -> Result<Workspace, RunError> {
        if let Some(archive) = site.archive {
            let answer = archive.metadata.clone().into_bytes();
            let workspace = Workspace::parse(&answer).map_err(RunError::Metadata)?;
            return Ok(workspace.with_answer(answer));
        }
        let env = &self.env;
        let command = metadata_command(site.cargo, site.place, dependencies, site.cwd, env);
        let (exit, answer) = self.ask(&command)?;
        if exit != Exit::Code(0) {
            let stderr = String::from_utf8_lossy(&answer.stderr).into_owned();
            return Err(RunError::MetadataFailed { stderr });
        }
        let workspace = Workspace::parse(&answer.stdout).map_err(RunError::Metadata)?;
        Ok(workspace.with_answer(answer.stdout))
    }

    /// The default filter of the platform that is built for, of several targets the first: what the first override says
    /// that is for that platform and has one. `None` where `run.default-filter` holds; without such an override the
    /// compiler is not asked.
    ///
    /// # Errors
    /// The compiler, or cargo's configuration, does not tell what that platform is.
    pub fn default_filter(
        &self,
        site: &Site<'_>,
        workspace: &Workspace,
        build: &BuildSelection,
        overrides: &[Override],
    ) -> Result<Option<Expression>, RunError> {
        let said = |one: &Override| one.default_filter.is_some();
        if !overrides.iter().any(said) {
            return Ok(None);
        }
        let config = CargoConfig::read(site.cwd, &self.env).map_err(RunError::CargoConfig)?;
        let toolchain = self.toolchain(site, &config, build, workspace)?;
        let built_for = toolchain.targets.first().unwrap_or(&toolchain.host);
        let holds = |one: &&Override| {
            let platform = one.platform.as_ref();
            platform.is_none_or(|platform| built_for.is_of(platform))
        };
        let mut holding = overrides.iter().filter(holds);
        Ok(holding.find_map(|one| one.default_filter.clone()))
    }

    /// What each test may use. Cargo is asked again only if a filter asks for dependencies: to know them may
    /// need the network.
    ///
    /// # Errors
    /// A filter does not fit the workspace, `run.limits` names no set, or cargo does not know the
    /// dependencies.
    pub fn test_rules(
        &self,
        site: &Site<'_>,
        workspace: &mut Workspace,
        config: &Config,
    ) -> Result<TestRules, RunError> {
        let default = config.run.limits.as_deref().unwrap_or_default();
        let default = config.limits.choose(default).map_err(RunError::Limits)?;
        if Needs::of(&config.overrides) == Needs::Dependencies {
            self.learn_dependencies(site, workspace)?;
        }
        let metadata = workspace.take_answer();
        let rules = TestRules::new(&config.overrides, default, &metadata);
        let rules = rules.map_err(RunError::Filters)?;
        let rules = rules.with_image(config.container.image.clone());
        Ok(rules.in_workspace(&workspace.root, &workspace.target_dir))
    }

    /// For which tests the expressions of a selection hold. It comes before [`Session::test_rules`], which
    /// takes the answer of cargo away.
    ///
    /// # Errors
    /// An expression is wrong or does not fit the workspace, or cargo does not know the dependencies.
    pub fn chosen(
        &self,
        site: &Site<'_>,
        workspace: &mut Workspace,
        expressions: &Expressions,
    ) -> Result<Chosen, RunError> {
        if Chosen::needs(expressions) == Needs::Dependencies {
            self.learn_dependencies(site, workspace)?;
        }
        Chosen::new(expressions, workspace.answer()).map_err(RunError::Filters)
    }

    /// Asks cargo also for the packages on which those of the workspace depend, once.
    fn learn_dependencies(
        &self,
        site: &Site<'_>,
        workspace: &mut Workspace,
    ) -> Result<(), RunError> {
        if workspace.knows_dependencies() {
            return Ok(());
        }
        if let Some(archive) = site.archive {
            let graph = archive
                .graph
                .clone()
                .ok_or_else(|| RunError::MetadataFailed {
                    stderr: "the archive knows no dependencies: cargo did not where it was made"
                        .to_owned(),
                })?;
            workspace.know_dependencies(graph);
            return Ok(());
        }
        let (exit, answer) = self.ask_for_graph(site)?;
        if exit != Exit::Code(0) {
            let stderr = String::from_utf8_lossy(&answer.stderr).into_owned();
            return Err(RunError::MetadataFailed { stderr });
        }
        workspace.know_dependencies(String::from_utf8_lossy(&answer.stdout).into_owned());
        Ok(())
    }

    /// Asks cargo for all packages.
    pub(crate) fn ask_for_graph(&self, site: &Site<'_>) -> Result<(Exit, Collected), RunError> {
        self.ask(&graph_command(site.cargo, site.place, site.cwd, &self.env))
    }

    /// Asks the compiler about the host and the targets of the build.
    ///
    /// # Errors
    /// The compiler is not there, fails, or doesn't know a target.
    fn toolchain(
        &self,
        site: &Site<'_>,
        config: &CargoConfig,
        build: &BuildSelection,
        workspace: &Workspace,
    ) -> Result<Toolchain, RunError> {
        let (host, targets) = match site.archive {
            Some(archive) => (archive.host.clone(), archive.targets.clone()),
            None => self.known_answers(site, config, build, workspace)?,
        };
        let parse = |answer: &String| Rustc::parse(answer).map(Arc::new).map_err(RunError::Rustc);
        Ok(Toolchain {
            host: parse(&host)?,
            targets: targets.iter().map(parse).collect::<Result<_, _>>()?,
        })
    }

    /// What the compiler says, or has said to an earlier run.
    fn known_answers(
        &self,
        site: &Site<'_>,
        config: &CargoConfig,
        build: &BuildSelection,
        workspace: &Workspace,
    ) -> Result<(String, Vec<String>), RunError> {
        let store = workspace.target_dir.join("stt/compilers.json");
        let mut known = Compilers::read(&store);
        let answers = self.compiler_answers(site, config, build, &mut known);
        // The next run asks again; that is all it costs.
        drop(known.write(&store));
        answers
    }

    /// What the compiler says about the host, and about the targets of the build, as far as it is not known already.
    pub(crate) fn compiler_answers(
        &self,
        site: &Site<'_>,
        config: &CargoConfig,
        selection: &BuildSelection,
        known: &mut Compilers,
    ) -> Result<(String, Vec<String>), RunError> {
        let mut about = |target: Option<&str>| {
            let env = &self.env;
            let command = rustc_command(config.rustc(), target, site.cwd, env);
            let question = Question::of(&command);
            let said = question
                .as_ref()
                .and_then(|question| known.answer(question));
            if let Some(answer) = said {
                return Ok(answer.to_owned());
            }
            let (exit, answer) = self.ask(&command)?;
            if exit != Exit::Code(0) {
                let stderr = String::from_utf8_lossy(&answer.stderr).into_owned();
                return Err(RunError::RustcFailed { stderr });
            }
            let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
            if let Some(question) = question {
                known.keep(question, answer.clone());
            }
            Ok(answer)
        };
        let host = about(None)?;
        let targets = config.targets(selection).into_iter();
        let targets = targets.map(|target| about(Some(target)));
        Ok((host, targets.collect::<Result<_, _>>()?))
    }

    /// Builds the tests. Cargo's progress goes to our standard error; a line of its output that is no
    /// message is given to `text`, and what is one to `message`.
    ///
    /// # Errors
    /// The build failed, and cargo has said why.
    pub(crate) fn build(
        &self,
        site: &Site<'_>,
        selection: &BuildSelection,
        colour: bool,
        mut text: impl FnMut(&str),
        mut message: impl FnMut(&str),
    ) -> Result<Built, RunError> {
        if let Some(archive) = site.archive {
            return archive::built(archive);
        }
        let env = &self.env;
        let command = build_command(site.cargo, selection, site.place, site.cwd, env, colour);
        let mut messages = Messages::default();
        let mut fault = None;
        let mut lines = Lines::new(|line: &str| match messages.line(line) {
            Ok(MessageEvent::Text(line)) => text(line),
            Ok(MessageEvent::Noted | MessageEvent::Finished { .. }) => message(line),
            Err(error) => drop(fault.get_or_insert(error)),
        });
        let end = self.run_child(&command, Stdio::CaptureStdout, &mut lines, None)?;
        lines.finish();
        let exit = exit_of(&end);
        if exit != Exit::Code(0) {
            return Err(RunError::BuildFailed { exit });
        }
        match fault {
            Some(error) => Err(RunError::Message(error)),
            None => Ok(messages.finish()),
        }
    }

    /// Builds the tests of a workspace and lists them. Whoever takes long to list them is told to `slow`.
    ///
    /// # Errors
    /// The build failed, or the tests could not be found out.
    pub fn discover(
        &self,
        site: &Site<'_>,
        wanted: &Wanted<'_>,
        mut text: impl FnMut(&str) + Send,
        slow: &dyn Fn(&BinaryId),
    ) -> Result<Discovered, RunError> {
        self.router.set_grace(wanted.grace);
        let config = CargoConfig::read(site.cwd, &self.env).map_err(RunError::CargoConfig)?;
        // The compiler is asked, where it has to be, while cargo builds: its answer takes as long as a build of nothing. Both
        // are started from threads of their own, because whoever looks for orphans takes a child of the
        // main thread for one, and reaps it once it is dead.
        let (built, toolchain) = thread::scope(|scope| {
            let toolchain =
                scope.spawn(|| self.toolchain(site, &config, wanted.build, wanted.workspace));
            let built = scope.spawn(|| {
                if wanted.build.doc {
                    return Ok(Built::default());
                }
                self.build(site, wanted.build, wanted.colour, &mut text, |_| {})
            });
            (joined(built), joined(toolchain))
        });
        let (built, toolchain) = (built?, toolchain?);
        let setting = Setting {
            workspace: wanted.workspace,
            config: &config,
            toolchain: &toolchain,
            inherited: wanted.env,
            cargo: site.cargo,
            run: wanted.run,
            profile: wanted.profile,
        };
        let binaries = match test_binaries(&built, &setting) {
            // `--package` may name a dependency, which cargo tests as well.
            Err(BinaryError::UnknownPackage { .. }) => {
                let workspace = &self.workspace(site, true)?;
                test_binaries(
                    &built,
                    &Setting {
                        workspace,
                        ..setting
                    },
                )
            }
            binaries => binaries,
        };
        let binaries = binaries.map_err(RunError::Binary)?;
        let build = build_summary(&built, &setting, &binaries);
        let (skipped, mut binaries): (Vec<_>, Vec<_>) = binaries
            .into_iter()
            .partition(|binary| wanted.chosen.rules_out(binary));
        for binary in &mut binaries {
            let wrapper = wanted.rules.list_wrapper(binary);
            binary.list_wrapper = wrapper.map_err(RunError::Filters)?;
        }
        let listed = self.list(&binaries, wanted.asking, slow)?;
        let mut discovered = Discovered {
            build,
            script_env: script_environment(&setting, &binaries),
            binaries,
            skipped,
            listed,
        };
        thread::scope(|scope| {
            let found = scope.spawn(|| self.add_docs(&mut discovered, site, wanted, &setting));
            joined(found)
        })?;
        Ok(discovered)
    }

    /// Adds the documentation tests, where they are wanted.
    fn add_docs(
        &self,
        discovered: &mut Discovered,
        site: &Site<'_>,
        wanted: &Wanted<'_>,
        setting: &Setting<'_>,
    ) -> Result<(), RunError> {
        let calls = self.rustdoc_calls(site, wanted)?;
        let host = &setting.toolchain.host.libdir;
        let rustdoc = rustdoc(setting.config.rustdoc().map(OsStr::to_owned), host);
        let tool = match calls.first() {
            Some(first) => self.doc_tool(rustdoc, first, wanted)?,
            None => return Ok(()),
        };
        let binaries = calls.iter().map(|call| doc_binary(call, &tool, setting));
        let binaries = match binaries.collect() {
            Err(BinaryError::UnknownPackage { .. }) => {
                let workspace = &self.workspace(site, true)?;
                let setting = Setting {
                    workspace,
                    ..*setting
                };
                let binaries = calls.iter().map(|call| doc_binary(call, &tool, &setting));
                binaries.collect()
            }
            binaries => binaries,
        };
        let binaries: Vec<_> = binaries.map_err(RunError::Binary)?;
        let (skipped, binaries): (Vec<_>, Vec<_>) = binaries
            .into_iter()
            .partition(|binary| wanted.chosen.rules_out(binary));
        let listed = self.list_docs(&binaries, wanted)?;
        let named = binaries.into_iter().zip(&listed).map(|(binary, listed)| {
            let doctests = binary.doctests.as_deref();
            let doctests = doctests.map(|doc| Arc::new(doc.with_names(&listed.listing)));
            TestBinary { doctests, ..binary }
        });
        discovered.binaries.extend(named);
        discovered.skipped.extend(skipped);
        discovered.listed.extend(listed);
        Ok(())
    }

    /// Runs a command and collects what it says.
    pub(crate) fn ask(&self, command: &CommandLine) -> Result<(Exit, Collected), RunError> {
        let mut answer = Collected::default();
        let end = self.run_child(command, Stdio::Capture, &mut answer, None)?;
        Ok((exit_of(&end), answer))
    }
}

pub(crate) fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Without a limit nothing times out.
fn exit_of(end: &ChildEnd) -> Exit {
    match end {
        ChildEnd::Exited(exit) => *exit,
        ChildEnd::TimedOut => Exit::Signal(libc::SIGKILL),
    }
}
