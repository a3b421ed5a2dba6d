//! From what was typed, and what surrounds us, to what is meant.
//!
//! It takes two steps, because the workspace's configuration can be read only when cargo has said
//! where the workspace is: [`resolve`] makes a request of the command line, and
//! [`Configuration::of_workspace`] lays the files below it afterwards.

mod around;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use stt_core::config;
use stt_core::config::Config;
use stt_core::config::Flag;
use stt_core::config::Layers;
use stt_core::config::Locations;
use stt_core::config::Resolved;
use stt_core::config::WorkspaceFile;
use stt_core::selection::BuildPlace;
use stt_core::selection::BuildSelection;
use stt_core::selection::Selection;
use stt_core::service;
use stt_core::units::parse_duration;

use crate::cli::Cli;
use crate::cli::Command;
use crate::cli::ConfigCommand;
use crate::cli::LayerArgs;
use crate::cli::ListArgs;
use crate::cli::ListFormat;
use crate::cli::MergeArgs;
use crate::cli::MessageFormat;
use crate::cli::PortsCommand;
use crate::cli::ReuseArgs;
use crate::cli::RunArgs;
use crate::cli::ServiceCommand;
use crate::cli::ShowProgress;
use crate::cli::TestArgs;
use crate::env;
use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::flags::flag;
use crate::flags::ignored_flag;
use crate::flags::limits_flag;
use crate::flags::run_flags;
use crate::importing::ImportRequest;
use crate::libtest;
use crate::libtest::LibtestArgs;
use crate::selecting::build_selection;
use crate::selecting::partition;
use crate::selecting::place;
use crate::selecting::selection;

pub(crate) use around::LeaseRequest;
pub(crate) use around::PortsRequest;
pub(crate) use around::ReapRequest;
pub(crate) use around::ServiceAction;
pub(crate) use around::ServiceRequest;
pub(crate) use around::StatusRequest;

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// `cargo stt run`.
    Run(Box<RunRequest>),
    /// `cargo stt list`.
    List(Box<ListRequest>),
    /// `cargo stt archive`.
    Archive(Box<ArchiveRequest>),
    /// `cargo stt merge`.
    Merge(MergeArgs),
    /// `cargo stt reap`.
    Reap(ReapRequest),
    /// `cargo stt ports`.
    Ports(PortsRequest),
    /// `cargo stt ports lease`.
    Lease(LeaseRequest),
    /// `cargo stt status`.
    Status(StatusRequest),
    /// `cargo stt service`.
    Service(ServiceRequest),
    /// `cargo stt config show`.
    ShowConfig(Box<Configuration>),
    /// `cargo stt config check`.
    CheckConfig(Box<Configuration>),
    /// `cargo stt config default`.
    DefaultConfig,
    /// `cargo stt config import-nextest`.
    ImportNextest(ImportRequest),
}

/// What is to be run, and how it is to be shown.
#[derive(Clone, Debug)]
pub(crate) struct RunRequest {
    /// Which tests; `None` for those of the checkpoint, which `resume` goes on with. Whether ignored
    /// tests run is the configuration's matter: [`chosen`] joins the two.
    pub(crate) selection: Option<Selection>,
    /// Where and how cargo builds.
    pub(crate) place: BuildPlace,
    /// What was built elsewhere.
    pub(crate) reuse: ReuseArgs,
    /// The cargo to call.
    pub(crate) cargo: OsString,
    /// The configuration, as far as it is known without the workspace.
    pub(crate) configuration: Configuration,
    /// Whether to go on with the recorded run.
    pub(crate) resume: bool,
    /// Whether what has failed in it runs again; without `resume` nothing else does.
    pub(crate) rerun_failed: bool,
    /// Whether to stop before the first test.
    pub(crate) no_run: bool,
    /// Whether tests write to the terminal themselves.
    pub(crate) no_capture: bool,
    /// For whom the run is shown.
    pub(crate) message_format: MessageFormat,
    /// How its progress is shown.
    pub(crate) show_progress: ShowProgress,
    /// Whether more is shown.
    pub(crate) verbose: bool,
}

/// What is to be listed.
#[derive(Clone, Debug)]
pub(crate) struct ListRequest {
    /// Which tests; as for a run, [`chosen`] says whether ignored ones are among them.
    pub(crate) selection: Selection,
    /// Where and how cargo builds.
    pub(crate) place: BuildPlace,
    /// The cargo to call.
    pub(crate) cargo: OsString,
    /// What was built elsewhere.
    pub(crate) reuse: ReuseArgs,
    /// The configuration, as far as it is known without the workspace.
    pub(crate) configuration: Configuration,
    /// For whom they are shown.
    pub(crate) message_format: ListFormat,
    /// Whether more is shown.
    pub(crate) verbose: bool,
}

/// What is to be built for other machines.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveRequest {
    /// What.
    pub(crate) build: BuildSelection,
    /// Where and how cargo builds.
    pub(crate) place: BuildPlace,
    /// The cargo to call.
    pub(crate) cargo: OsString,
    /// The file.
    pub(crate) path: Utf8PathBuf,
}

/// Every layer of the configuration except for the files, which are read when the workspace is known.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    layers: Layers,
    user: Option<Utf8PathBuf>,
    named: Option<Utf8PathBuf>,
    cwd: Utf8PathBuf,
}

/// The key of `--limits`.
pub(crate) const RUN_LIMITS: &str = "run.limits";

/// The machine's file. It has no other place: who may write there decides for everybody.
const SYSTEM_FILE: &str = "/etc/stt/config.toml";

/// What the command line means.
///
/// # Errors
/// What was typed contradicts itself, or the environment is no text.
pub(crate) fn resolve(cli: Cli, surroundings: &Surroundings) -> Result<Task, Error> {
    match cli.command {
        None => {
            beware_of_commands(&cli.run.tests.names)?;
            run(cli.run, surroundings)
        }
        Some(Command::Run(args)) => run(*args, surroundings),
        Some(Command::List(args)) => list(*args, surroundings),
        Some(Command::Archive(args)) => Ok(Task::Archive(Box::new(ArchiveRequest {
            build: build_selection(&args.build),
            path: surroundings.cwd.join(&args.archive_file),
            place: place(args.build),
            cargo: cargo(surroundings),
        }))),
        Some(Command::Merge(args)) => Ok(Task::Merge(args)),
        Some(Command::Reap(args)) => Ok(Task::Reap(ReapRequest {
            place: surroundings.coordinator(),
            env: Arc::clone(&surroundings.vars),
            dry_run: args.dry_run,
            watch: args.watch,
        })),
        Some(Command::Status(args)) => Ok(Task::Status(StatusRequest {
            place: surroundings.coordinator(),
            home: surroundings.absolute_path(env::HOME),
            json: args.json,
            watch: args.watch,
        })),
        Some(Command::Ports(args)) => Ok(match args.command {
            None => Task::Ports(PortsRequest {
                place: surroundings.coordinator(),
                home: surroundings.absolute_path(env::HOME),
                json: args.json,
            }),
            Some(PortsCommand::Lease(args)) => Task::Lease(LeaseRequest {
                place: surroundings.coordinator(),
                number: usize::from(args.number),
                command: args.command,
            }),
        }),
        Some(Command::Service(args)) => Ok(Task::Service(service(&args.command, surroundings)?)),
        Some(Command::Config(args)) => match args.command {
            ConfigCommand::Show(args) => {
                let configuration = Configuration::new(args.layers, Vec::new(), surroundings)?;
                Ok(Task::ShowConfig(Box::new(configuration)))
            }
            ConfigCommand::Check(args) => {
                let configuration = Configuration::new(args.layers, Vec::new(), surroundings)?;
                Ok(Task::CheckConfig(Box::new(configuration)))
            }
            ConfigCommand::Default => Ok(Task::DefaultConfig),
            ConfigCommand::ImportNextest(args) => {
                Ok(Task::ImportNextest(ImportRequest::new(args, surroundings)))
            }
        },
    }
}

/// `cargo stt -v list` would run the tests with `list` in their names, and nobody means that.
fn beware_of_commands(names: &[String]) -> Result<(), Error> {
    let command = names.iter().find(|name| {
        matches!(
            name.as_str(),
            "run"
                | "list"
                | "archive"
                | "merge"
                | "status"
                | "ports"
                | "reap"
                | "service"
                | "config"
        )
    });
    match command {
        None => Ok(()),
        Some(name) => {
            let message = format!("`{name}` is a command, and commands stand first");
            let hint = format!(
                "write `cargo stt {name} …`; or `cargo stt run … {name}` for tests with that name"
            );
            Err(Error::new(Kind::Usage, message).hint(hint))
        }
    }
}

fn run(args: RunArgs, surroundings: &Surroundings) -> Result<Task, Error> {
    let libtest = libtest_args(&args.tests)?;
    let no_capture = args.runner.no_capture || libtest.no_capture;
    let flags = run_flags(&args, &libtest, &surroundings.cwd)?;
    let given_ignored = args.tests.run_ignored.is_some() || libtest.run_ignored.is_some();
    let partition = partition(args.tests.partition, surroundings)?;
    let selection = selection(&args.build, args.tests, libtest, partition);
    let given = given_ignored || selection != Selection::default();
    let (resume, rerun_failed) = (args.checkpoint.resume, args.checkpoint.rerun_failed);
    Ok(Task::Run(Box::new(RunRequest {
        selection: (given || !(resume || rerun_failed)).then_some(selection),
        place: place(args.build),
        reuse: args.reuse,
        cargo: cargo(surroundings),
        configuration: Configuration::new(args.layers, flags, surroundings)?,
        resume,
        rerun_failed,
        no_run: args.runner.no_run,
        no_capture,
        message_format: args.reporter.message_format,
        show_progress: args.reporter.show_progress,
        verbose: args.reporter.verbose,
    })))
}

fn list(args: ListArgs, surroundings: &Surroundings) -> Result<Task, Error> {
    let libtest = libtest_args(&args.tests)?;
    if libtest.no_capture || libtest.test_threads.is_some() {
        let message = "`--nocapture` and `--test-threads` mean nothing for a list";
        let hint = "leave them out, or use `cargo stt run`";
        return Err(Error::new(Kind::Usage, message).hint(hint));
    }
    let mut flags = Vec::new();
    flags.extend(ignored_flag(&args.tests, &libtest)?);
    flags.extend(limits_flag(&args.tests));
    let partition = partition(args.tests.partition, surroundings)?;
    let selection = selection(&args.build, args.tests, libtest, partition);
    Ok(Task::List(Box::new(ListRequest {
        selection,
        place: place(args.build),
        reuse: args.reuse,
        cargo: cargo(surroundings),
        configuration: Configuration::new(args.layers, flags, surroundings)?,
        message_format: args.message_format,
        verbose: args.verbose,
    })))
}

fn service(command: &ServiceCommand, surroundings: &Surroundings) -> Result<ServiceRequest, Error> {
    let (action, interval) = match command {
        ServiceCommand::Show(args) => (ServiceAction::Show, args.interval),
        ServiceCommand::Install(args) => {
            let start = !args.no_start;
            (ServiceAction::Install { start }, args.file.interval)
        }
        // Which files those are does not depend on it.
        ServiceCommand::Uninstall(_) => (ServiceAction::Uninstall, service::SHORTEST),
    };
    let home = surroundings.absolute_path(env::HOME).ok_or_else(|| {
        Error::new(
            Kind::Setup,
            "a user's services lie in his home, and `HOME` names none",
        )
    })?;
    Ok(ServiceRequest {
        action,
        interval,
        config_home: surroundings
            .absolute_path(env::XDG_CONFIG_HOME)
            .unwrap_or_else(|| home.join(".config")),
        home,
    })
}

/// Reads the time between two looks of the service.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| error.to_string())?;
    let possible = service::SHORTEST..=service::LONGEST;
    if interval.subsec_nanos() > 0 || !possible.contains(&interval) {
        return Err("it takes whole seconds, from 10s to 24h".to_owned());
    }
    Ok(interval)
}

/// The cargo that called us, else the one that is found.
fn cargo(surroundings: &Surroundings) -> OsString {
    let known = surroundings.filled(env::CARGO);
    known.map_or_else(|| "cargo".into(), OsString::from)
}

fn libtest_args(tests: &TestArgs) -> Result<LibtestArgs, Error> {
    libtest::parse(&tests.libtest)
        .map_err(|refused| Error::new(Kind::Usage, refused.message).hint(refused.hint))
}

/// The selection with what the configuration says about ignored and documentation tests, about those that run where nobody says
/// otherwise, and about the limits of all tests where these select. Not for the selection of a checkpoint, which holds what was said when the run began.
pub(crate) fn chosen(mut selection: Selection, config: &Config) -> Selection {
    selection.tests.run_ignored = config.run.run_ignored;
    let build = &mut selection.build;
    build.doctests = config.run.doctests && !build.doc && !build.names_targets();
    selection
        .tests
        .default_filter
        .clone_from(&config.run.default_filter);
    if let Some(only) = &mut selection.tests.only_limits {
        only.default = config.run.limits.as_deref().map(str::to_owned);
    }
    selection
}

impl Configuration {
    fn new(
        layers: LayerArgs,
        flags: Vec<Flag>,
        surroundings: &Surroundings,
    ) -> Result<Self, Error> {
        let config_home = surroundings
            .absolute_path(env::XDG_CONFIG_HOME)
            .or_else(|| Some(surroundings.absolute_path(env::HOME)?.join(".config")));
        Ok(Self {
            layers: Layers {
                files: Vec::new(),
                profile: layers.profile,
                environment: surroundings.own_variables()?,
                // An option of its own is more specific than `--config`: it is laid over it.
                flags: [layers.config, flags].concat(),
            },
            user: config_home.map(|dir| dir.join("stt/config.toml")),
            named: layers.config_file.map(|path| surroundings.cwd.join(path)),
            cwd: surroundings.cwd.clone(),
        })
    }

    /// The configuration of a run in the workspace with this root.
    ///
    /// # Errors
    /// A file can't be read, or anything in any layer is wrong.
    pub(crate) fn of_workspace(&self, root: &Utf8Path) -> Result<Resolved, Error> {
        let usual = WorkspaceFile::Usual(root.join(config::WORKSPACE_FILE));
        let mut resolved = self.with(usual)?;
        let checkpoint = &mut resolved.config.checkpoint;
        checkpoint.path = checkpoint.path.take().map(|path| root.join(path));
        let report = &mut resolved.config.report;
        report.junit = report.junit.take().map(|path| root.join(path));
        Ok(resolved)
    }

    /// The configuration as it is seen from the current directory, without asking cargo: the
    /// workspace's file is the nearest one upwards.
    ///
    /// # Errors
    /// As for [`Configuration::of_workspace`].
    pub(crate) fn of_directory(&self) -> Result<Resolved, Error> {
        let found = config::find_workspace_file(&self.cwd);
        self.with(found.map_or(WorkspaceFile::None, WorkspaceFile::Usual))
    }

    fn with(&self, usual: WorkspaceFile) -> Result<Resolved, Error> {
        let workspace = match &self.named {
            Some(path) => WorkspaceFile::Named(path.clone()),
            None => usual,
        };
        let mut layers = self.layers.clone();
        layers.files = config::read_files(&Locations {
            system: SYSTEM_FILE.into(),
            user: self.user.clone(),
            workspace,
        })?;
        for file in &mut layers.files {
            // Messages are shorter with a path from here.
            if let Ok(path) = file.path.strip_prefix(&self.cwd) {
                file.path = path.to_owned();
            }
        }
        // A container's share of the cores and a CPU set are taken into account by this.
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Ok(config::resolve(&layers, cores)?)
    }
}

/// Reads `KEY=VALUE` of `--config`.
pub(crate) fn assignment(text: &str) -> Result<Flag, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("expected KEY=VALUE, such as guard.memory-threshold=70%")?;
    let (key, value) = (key.trim(), value.trim());
    // A shell keeps quotes that are quoted, as in `'run.tmpdir="own"'`.
    let value = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    config::check_value(key, value)?;
    Ok(flag("--config", key, value.to_owned()))
}

/// Checks a value as its key does, so that a wrong one is refused before anything is built.
pub(crate) fn value_of(
    key: &'static str,
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |text| config::check_value(key, text).map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use clap::Parser as _;
    use fs_err as fs;
    use stt_core::config::CpuAction;
    use stt_core::config::Source;
    use stt_core::selection::RunIgnored;
    use stt_core::units::Bytes;
    use stt_core::units::Threshold;

    use super::*;
    use crate::exit_code::Exit;

    fn surroundings(vars: &[(&str, &str)], cwd: &Utf8Path) -> Surroundings {
        Surroundings {
            args: Vec::new(),
            vars: vars
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            cwd: cwd.to_owned(),
        }
    }

    fn task(line: &str) -> Result<Task, Error> {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| {
            panic!("`{line}` has a good shape: {error}");
        });
        resolve(cli, &surroundings(&[], Utf8Path::new("/here")))
    }

    fn run_of(line: &str) -> RunRequest {
        match task(line) {
            Ok(Task::Run(request)) => *request,
            other => panic!("`{line}` is a run, not {other:?}"),
        }
    }

    fn config_of(line: &str) -> Config {
        let configuration = run_of(line).configuration;
        configuration
            .of_workspace(Utf8Path::new("/nowhere"))
            .unwrap()
            .config
    }

    fn refused(line: &str) -> String {
        let error = task(line).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage, "{line}");
        error.render(false)
    }

    fn bad_shape(line: &str) -> String {
        Cli::try_parse_from(line.split_whitespace())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn run_is_what_happens_without_a_command() {
        for line in ["stt -p x name --release", "stt run -p x name --release"] {
            let selection = run_of(line).selection.unwrap();
            assert_eq!(selection.build.packages, ["x"]);
            assert_eq!(selection.tests.names, ["name"]);
            assert!(selection.build.release);
        }
        assert_eq!(
            run_of("stt run list").selection.unwrap().tests.names,
            ["list"]
        );
        let text = refused("stt -v list");
        assert!(text.contains("write `cargo stt list …`"), "{text}");
        assert!(matches!(task("stt list -p x"), Ok(Task::List(_))));
    }

    #[test]
    fn only_a_resumed_run_without_a_selection_takes_the_recorded_one() {
        let cases = [
            ("stt", true),
            ("stt --resume", false),
            ("stt --resume --no-capture --memory-threshold 70%", false),
            ("stt --resume --target-dir t --locked --cargo-quiet", false),
            ("stt --resume -- --nocapture", false),
            ("stt --resume name", true),
            ("stt --resume --rerun-failed", false),
            ("stt --resume -- name", true),
            ("stt --resume -- --ignored", true),
            ("stt --resume --run-ignored default", true),
            ("stt --resume -p x", true),
            ("stt --resume -F x", true),
            ("stt --resume --release", true),
            ("stt --resume --skip x", true),
            ("stt --resume -E test(x)", true),
            ("stt --resume --ignore-default-filter", true),
            ("stt --resume --partition hash:1/2", true),
            ("stt --resume --only-limits fast", true),
            ("stt --resume --limits fast", false),
        ];
        for (line, given) in cases {
            let request = run_of(line);
            assert_eq!(request.selection.is_some(), given, "{line}");
            assert_eq!(request.resume, line.contains("--resume"), "{line}");
        }
    }

    #[test]
    fn arguments_behind_the_dashes_mean_the_same_as_ours() {
        let ours = "stt a b --skip c --exact --run-ignored only -j 3";
        let libtest = "stt a -- b --skip c --exact --ignored --test-threads=3";
        let both = [ours, libtest].map(|line| {
            let request = run_of(line);
            let config = config_of(line);
            assert_eq!(config.run.test_threads, NonZeroUsize::new(3), "{line}");
            chosen(request.selection.unwrap(), &config)
        });
        assert_eq!(both[0], both[1]);
        assert_eq!(both[0].tests.run_ignored, RunIgnored::Only);
        for line in ["stt --no-capture", "stt --nocapture", "stt -- --nocapture"] {
            assert!(run_of(line).no_capture, "{line}");
            assert_eq!(config_of(line).run.test_threads, NonZeroUsize::new(1));
        }
    }

    #[test]
    fn each_option_sets_its_key() {
        let config = config_of(
            "stt --no-fail-fast --memory-threshold 6GB --cpu-threshold 70 --check-interval 50ms \
             --on-breach shed --checkpoint c.json --status-level all --failure-output final",
        );
        assert_eq!(config.run.max_fail, None);
        let threshold = Threshold::Run(Bytes(6_000_000_000));
        assert_eq!(config.guard.memory_threshold, threshold);
        assert_eq!(
            config.guard.cpu_action,
            CpuAction::Stop,
            "a threshold was set"
        );
        assert_eq!(config.checkpoint.path, Some("/here/c.json".into()));
        let limits = config_of("stt --limits slow").run.limits;
        assert_eq!(limits.as_deref(), Some("slow"));
        assert_eq!(config_of("stt --limits none").run.limits, None);
        assert!(!config_of("stt --no-guard").guard.enabled);
        assert!(!config_of("stt --no-checkpoint").checkpoint.enabled);
        assert_eq!(
            config_of("stt --max-fail 3").run.max_fail,
            NonZeroUsize::new(3)
        );
        // Of `--config` and an option of its own, the latter wins.
        let both = "stt --max-fail 3 --config run.max-fail=7";
        assert_eq!(config_of(both).run.max_fail, NonZeroUsize::new(3));
    }

    #[test]
    fn sets_select_in_any_order_together_with_the_set_of_all_tests() {
        let selection = |line: &str| {
            let selection = run_of(line).selection.unwrap();
            chosen(selection, &config_of(line)).tests.only_limits
        };
        let only = selection("stt --only-limits slow --only-limits fast --limits fast").unwrap();
        assert_eq!(only.sets, ["fast", "slow"]);
        assert_eq!(only.default.as_deref(), Some("fast"));
        let turned = "stt --limits fast --only-limits fast --only-limits slow --only-limits fast";
        assert_eq!(selection(turned), Some(only));
        assert_eq!(selection("stt --limits fast"), None);
    }

    #[test]
    fn contradictions_are_named() {
        for (line, words) in [
            ("stt --no-capture -j 2", ["--no-capture", "--test-threads"]),
            (
                "stt --no-guard --memory-threshold 70%",
                ["--no-guard", "--memory-threshold"],
            ),
            (
                "stt --no-guard --self-protect",
                ["--no-guard", "--self-protect"],
            ),
            (
                "stt --resume --no-checkpoint",
                ["--resume", "--no-checkpoint"],
            ),
            (
                "stt --rerun-failed --no-checkpoint",
                ["--rerun-failed", "--no-checkpoint"],
            ),
            (
                "stt --fail-fast --no-fail-fast",
                ["--fail-fast", "--no-fail-fast"],
            ),
            (
                "stt --max-fail 2 --no-fail-fast",
                ["--max-fail", "--no-fail-fast"],
            ),
            ("stt --exclude x", ["--workspace", "not provided"]),
            (
                "stt --memory-threshold 900%",
                ["--memory-threshold", "at most 100%"],
            ),
            (
                "stt --config guard.memory=1",
                ["guard.memory", "there is no key"],
            ),
            ("stt --config guard", ["--config", "expected KEY=VALUE"]),
            ("stt -E", ["--filterset", "a value is required"]),
            ("stt --partition 1/2", ["--partition", "slice:1/3"]),
            ("stt -E=", ["--filterset", "a value is required"]),
        ] {
            let text = bad_shape(line);
            for word in words {
                assert!(text.contains(word), "{line}: {text}");
            }
        }
        for (line, word) in [
            (
                "stt -- --nocapture --test-threads 2",
                "leave one of the two out",
            ),
            ("stt -j 2 -- --nocapture", "leave one of the two out"),
            ("stt -j 2 -- --test-threads 2", "both given"),
            ("stt --run-ignored all -- --ignored", "both given"),
            ("stt -- --format json", "--message-format json"),
            ("stt list -- --nocapture", "mean nothing for a list"),
        ] {
            let text = refused(line);
            assert!(text.contains(word), "{line}: {text}");
        }
    }

    #[test]
    fn a_value_of_config_may_be_quoted() {
        let value = |text| assignment(text).map(|flag| flag.value);
        assert_eq!(value("run.tmpdir=own").as_deref(), Ok("own"));
        assert_eq!(value("run.tmpdir = \"own\"").as_deref(), Ok("own"));
        assert_eq!(value("checkpoint.path=a=b").as_deref(), Ok("a=b"));
        assert!(value("run.tmpdir=\"own").is_err());
    }

    #[test]
    fn files_environment_and_options_are_laid_over_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            stt_core::fs::write_atomic(&path, text.as_bytes()).unwrap();
        };
        write(
            "home/.config/stt/config.toml",
            "[run]\ngrace-period = '3s'\nmax-fail = 3",
        );
        let workspace = "[run]\nmax-fail = 4\nleak-timeout = '4s'\n[checkpoint]\npath = 'c.json'";
        write("ws/.config/stt.toml", workspace);
        write("ws/named.toml", "[run]\nmax-fail = 9");
        fs::create_dir_all(dir.join("ws/member")).unwrap();
        let home = dir.join("home").into_string();
        let vars = [
            ("HOME", home.as_str()),
            ("STT_RUN_LEAK_TIMEOUT", "5s"),
            ("STT_RUN_SLOW_TIMEOUT", "5s"),
        ];
        let surroundings = surroundings(&vars, &dir.join("ws/member"));
        let resolved = |line: &str| {
            let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
            let Ok(Task::Run(request)) = resolve(cli, &surroundings) else {
                panic!("`{line}` is a run");
            };
            request.configuration.of_workspace(&dir.join("ws")).unwrap()
        };
        let found = resolved("stt --config run.slow-timeout=6s");
        for (key, source, written) in [
            (
                "run.grace-period",
                Source::File(config::Level::User),
                "\"3s\"",
            ),
            ("run.max-fail", Source::File(config::Level::Workspace), "4"),
            ("run.leak-timeout", Source::Environment, "\"5s\""),
            ("run.slow-timeout", Source::CommandLine, "\"6s\""),
        ] {
            let value = found
                .values()
                .iter()
                .find(|value| value.key == key)
                .unwrap();
            assert_eq!(
                (value.origin.source, value.written.as_str()),
                (source, written)
            );
        }
        assert_eq!(found.config.checkpoint.path, Some(dir.join("ws/c.json")));
        let named = resolved("stt --config-file ../named.toml").config.run;
        assert_eq!(named.max_fail, NonZeroUsize::new(9));
        assert_eq!(named.leak_timeout.as_secs(), 5);
    }
}
