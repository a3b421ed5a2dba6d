//! What a person typed. Only shapes and help texts: what it means is decided in `settings`.

mod archive;
mod around;
mod format;
mod import;
mod merge;

use camino::Utf8PathBuf;
use clap::Args;
use clap::ColorChoice;
use clap::Parser;
use clap::Subcommand;
use stt_core::config::Flag;

pub(crate) use archive::ArchiveArgs;
pub(crate) use archive::ReuseArgs;
pub(crate) use around::PortsArgs;
pub(crate) use around::PortsCommand;
pub(crate) use around::ReapArgs;
pub(crate) use around::ServiceArgs;
pub(crate) use around::ServiceCommand;
pub(crate) use around::StatusArgs;
pub(crate) use format::ListFormat;
pub(crate) use format::MessageFormat;
pub(crate) use format::ShowProgress;
pub(crate) use import::ImportArgs;
pub(crate) use merge::MergeArgs;

use crate::settings::assignment;
use crate::settings::value_of;
use crate::shard::Shard;
use crate::shard::shard;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "cargo-stt",
    bin_name = "cargo stt",
    version,
    about = "Runs a project's tests and never lets them take the machine down.\n\n\
        Each test is a process of its own. When memory or CPU get short, stt saves the results, ends \
        the tests and exits with 42; `cargo stt --resume` goes on from there.",
    after_help = "Without a command, `cargo stt` does what `cargo stt run` does.",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build and run tests (the default)
    Run(Box<RunArgs>),
    /// Show which tests would run
    List(Box<ListArgs>),
    /// Build tests into an archive, for machines that only run them
    Archive(Box<ArchiveArgs>),
    /// Make one report, and one exit code, of the checkpoints of several parts
    Merge(MergeArgs),
    /// Show the runs of this machine: their shares, their tests, who waits for what
    Status(StatusArgs),
    /// Show who has which port, or run a command with ports of its own
    Ports(PortsArgs),
    /// End what killed runs have left behind
    Reap(ReapArgs),
    /// Have the system do that from time to time
    Service(ServiceArgs),
    /// Show, check or explain the configuration
    Config(ConfigArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) tests: TestArgs,
    #[command(flatten)]
    pub(crate) build: BuildArgs,
    #[command(flatten)]
    pub(crate) reuse: ReuseArgs,
    #[command(flatten)]
    pub(crate) runner: RunnerArgs,
    #[command(flatten)]
    pub(crate) guard: GuardArgs,
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    #[command(flatten)]
    pub(crate) coordinator: CoordinatorArgs,
    #[command(flatten)]
    pub(crate) containers: ContainerArgs,
    #[command(flatten)]
    pub(crate) reporter: ReporterArgs,
    #[command(flatten)]
    pub(crate) colour: ColourArgs,
    #[command(flatten)]
    pub(crate) layers: LayerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) tests: TestArgs,
    #[command(flatten)]
    pub(crate) build: BuildArgs,
    #[command(flatten)]
    pub(crate) reuse: ReuseArgs,
    /// For people, or one JSON object in nextest's shape on standard output, on one line or on many
    #[arg(
        short = 'T',
        long,
        value_enum,
        value_name = "human|json|json-pretty",
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true,
        help_heading = "Output"
    )]
    pub(crate) message_format: ListFormat,
    /// Show more: the set of limits of each test that has one
    #[arg(short, long, help_heading = "Output")]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) colour: ColourArgs,
    #[command(flatten)]
    pub(crate) layers: LayerArgs,
}

/// Which of the built tests.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tests")]
pub(crate) struct TestArgs {
    /// Run tests with one of these in their name; all where none is given
    #[arg(value_name = "NAMES", help_heading = None::<&str>)]
    pub(crate) names: Vec<String>,
    /// Run tests only if a NAME is their whole name
    #[arg(long)]
    pub(crate) exact: bool,
    /// Don't run tests with this in their name (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) skip: Vec<String>,
    /// Run only tests for which this expression in nextest's language holds (may be repeated: one that
    /// holds is enough)
    #[arg(short = 'E', long, alias = "filter-expr", value_name = "EXPR",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) filterset: Vec<String>,
    /// Run also tests for which run.default-filter does not hold
    #[arg(long)]
    pub(crate) ignore_default_filter: bool,
    /// Run only part M of N: by hash of the names, or dealt out one by one over all binaries (slice) or in
    /// each (count). auto is the slice that the CI service says, auto/N of N
    #[arg(long, value_name = "hash:M/N|slice:M/N|count:M/N|auto", value_parser = shard)]
    pub(crate) partition: Option<Shard>,
    /// Which tests run: those that are not ignored, only those that are, or all
    #[arg(long, value_name = "default|only|all", value_parser = value_of("run.run-ignored"))]
    pub(crate) run_ignored: Option<String>,
    /// The set of limits for every test that no override gives another
    #[arg(long, value_name = "NAME", value_parser = value_of("run.limits"))]
    pub(crate) limits: Option<String>,
    /// Run only tests with this set of limits, or `none` for those without one (may be repeated)
    #[arg(long, value_name = "NAME", value_parser = value_of("run.limits"))]
    pub(crate) only_limits: Vec<String>,
    /// What `cargo test` takes here: names, --skip, --exact, --ignored, --include-ignored,
    /// --nocapture, --test-threads
    #[arg(last = true, value_name = "LIBTEST ARGUMENTS", help_heading = None::<&str>)]
    pub(crate) libtest: Vec<String>,
}

/// What cargo builds, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) packages: PackageArgs,
    #[command(flatten)]
    pub(crate) targets: TargetArgs,
    #[command(flatten)]
    pub(crate) features: FeatureArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Packages")]
pub(crate) struct PackageArgs {
    /// Test this package (may be repeated)
    #[arg(short, long = "package", value_name = "SPEC")]
    pub(crate) packages: Vec<String>,
    /// Test all packages of the workspace
    #[arg(long)]
    pub(crate) workspace: bool,
    /// Don't test this package; with --workspace (may be repeated)
    #[arg(long, value_name = "SPEC", requires = "workspace")]
    pub(crate) exclude: Vec<String>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Targets")]
pub(crate) struct TargetArgs {
    /// Test the packages' libraries
    #[arg(long)]
    pub(crate) lib: bool,
    /// Test all binaries
    #[arg(long)]
    pub(crate) bins: bool,
    /// Test this binary (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) bin: Vec<String>,
    /// Test all targets that have `test = true`
    #[arg(long)]
    pub(crate) tests: bool,
    /// Test this integration test (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) test: Vec<String>,
    /// Test all examples
    #[arg(long)]
    pub(crate) examples: bool,
    /// Test this example (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) example: Vec<String>,
    /// Test all targets that have `bench = true`
    #[arg(long)]
    pub(crate) benches: bool,
    /// Test this benchmark (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) bench: Vec<String>,
    /// Test all targets
    #[arg(long)]
    pub(crate) all_targets: bool,
    /// Test the documentation of the libraries, and nothing else
    #[arg(long, conflicts_with_all = ["lib", "bins", "bin", "tests", "test", "examples", "example",
        "benches", "bench", "all_targets"])]
    pub(crate) doc: bool,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Features")]
pub(crate) struct FeatureArgs {
    /// Features to build with, separated by commas or spaces (may be repeated)
    #[arg(short = 'F', long)]
    pub(crate) features: Vec<String>,
    /// Build with all features
    #[arg(long)]
    pub(crate) all_features: bool,
    /// Build without the default features
    #[arg(long)]
    pub(crate) no_default_features: bool,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Build")]
pub(crate) struct PlaceArgs {
    /// Build with optimisations: the profile `release`
    #[arg(short, long, conflicts_with = "cargo_profile")]
    pub(crate) release: bool,
    /// Build with this profile of cargo's
    #[arg(long, value_name = "NAME")]
    pub(crate) cargo_profile: Option<String>,
    /// Build for this target triple
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// Where cargo puts what it builds
    #[arg(long, value_name = "DIR")]
    pub(crate) target_dir: Option<Utf8PathBuf>,
    /// The manifest of the package or workspace to test
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest_path: Option<Utf8PathBuf>,
    /// How many jobs cargo may build with
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) build_jobs: Option<u32>,
    /// Fail when Cargo.lock would change
    #[arg(long)]
    pub(crate) locked: bool,
    /// Don't use the network
    #[arg(long)]
    pub(crate) offline: bool,
    /// --locked and --offline
    #[arg(long)]
    pub(crate) frozen: bool,
    /// Don't show what cargo does
    #[arg(long, conflicts_with = "cargo_verbose")]
    pub(crate) cargo_quiet: bool,
    /// Show more of what cargo does (may be repeated)
    #[arg(long, action = clap::ArgAction::Count)]
    pub(crate) cargo_verbose: u8,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct RunnerArgs {
    /// How many tests may run at once: a number, `num-cpus`, or -N for N fewer than the cores
    #[arg(short = 'j', long, value_name = "N", allow_hyphen_values = true,
        value_parser = value_of("run.test-threads"))]
    pub(crate) test_threads: Option<String>,
    /// Stop starting tests at the first failure (the default)
    #[arg(long, conflicts_with_all = ["no_fail_fast", "max_fail"])]
    pub(crate) fail_fast: bool,
    /// Run every test, whatever fails
    #[arg(long, conflicts_with = "max_fail")]
    pub(crate) no_fail_fast: bool,
    /// Stop starting tests after this many failures
    #[arg(long, value_name = "N|all", value_parser = value_of("run.max-fail"))]
    pub(crate) max_fail: Option<String>,
    /// Try failed tests again, this often, whatever overrides say
    #[arg(long, value_name = "N", value_parser = value_of("run.retries"))]
    pub(crate) retries: Option<String>,
    /// End the tests after this time, with exit code 42; --resume goes on
    #[arg(long, value_name = "TIME", value_parser = value_of("run.global-timeout"))]
    pub(crate) global_timeout: Option<String>,
    /// What happens to a test that passes and leaves processes behind
    #[arg(long, value_name = "warn|fail", value_parser = value_of("run.leaks"))]
    pub(crate) leaks: Option<String>,
    /// Let tests write to the terminal; they run one at a time
    #[arg(long, visible_alias = "nocapture",
        conflicts_with_all = ["test_threads", "success_output", "failure_output"])]
    pub(crate) no_capture: bool,
    /// Build and list the tests, but don't run them
    #[arg(long, conflicts_with_all = ["resume", "no_capture"])]
    pub(crate) no_run: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Guard")]
pub(crate) struct GuardArgs {
    /// Where memory must stay below: a share of the machine, or a size for the tests themselves
    #[arg(long, value_name = "80%|6GB", value_parser = value_of("guard.memory-threshold"))]
    pub(crate) memory_threshold: Option<String>,
    /// Where the CPU must stay below
    #[arg(long, value_name = "80%", value_parser = value_of("guard.cpu-threshold"))]
    pub(crate) cpu_threshold: Option<String>,
    /// The longest time between two readings
    #[arg(long, value_name = "TIME", value_parser = value_of("guard.check-interval"))]
    pub(crate) check_interval: Option<String>,
    /// What happens when memory crosses its threshold
    #[arg(long, value_name = "stop|shed", value_parser = value_of("guard.on-breach"))]
    pub(crate) on_breach: Option<String>,
    /// What happens when the CPU is over its threshold
    #[arg(long, value_name = "govern|stop|cap|off", value_parser = value_of("guard.cpu-action"))]
    pub(crate) cpu_action: Option<String>,
    /// Watch memory and CPU (the default)
    #[arg(long, conflicts_with = "no_guard")]
    pub(crate) self_protect: bool,
    /// Watch nothing
    #[arg(long, conflicts_with_all =
        ["memory_threshold", "cpu_threshold", "check_interval", "on_breach", "cpu_action"])]
    pub(crate) no_guard: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Checkpoint")]
pub(crate) struct CheckpointArgs {
    /// Go on with the run that is recorded: its selection, without the tests that have a result
    #[arg(long)]
    pub(crate) resume: bool,
    /// Run again what has failed in the recorded run, and nothing else; with --resume also what has no result
    #[arg(long, conflicts_with = "no_run")]
    pub(crate) rerun_failed: bool,
    /// Where the run is recorded
    #[arg(long, value_name = "PATH", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) checkpoint: Option<String>,
    /// Don't record the run
    #[arg(long, conflicts_with_all = ["resume", "rerun_failed", "checkpoint", "auto_restart"])]
    pub(crate) no_checkpoint: bool,
    /// Go on by itself after a stop of the guard, or when the process that runs the tests was killed
    #[arg(long)]
    pub(crate) auto_restart: bool,
    /// How often a run goes on by itself
    #[arg(long, value_name = "N", value_parser = value_of("restart.max"))]
    pub(crate) max_restarts: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Other runs")]
pub(crate) struct CoordinatorArgs {
    /// Keep no record of this run, and don't clear up after killed ones
    #[arg(long, visible_alias = "no-daemon")]
    pub(crate) no_coordinator: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Containers")]
pub(crate) struct ContainerArgs {
    /// Run each test in a container of this image, or none in any; an override may name another one
    #[arg(long, value_name = "IMAGE|none", value_parser = value_of("container.image"))]
    pub(crate) container: Option<String>,
    /// Let tests talk to the container engine themselves, and don't remove what they leave there
    #[arg(long)]
    pub(crate) no_containers: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct ReporterArgs {
    /// Which results are shown: none, fail, slow, leak, pass, skip or all
    #[arg(long, value_name = "LEVEL", value_parser = value_of("output.status-level"))]
    pub(crate) status_level: Option<String>,
    /// Which results are shown again at the end
    #[arg(long, value_name = "LEVEL", value_parser = value_of("output.final-status-level"))]
    pub(crate) final_status_level: Option<String>,
    /// When the output of passed tests is shown: immediate, final, immediate-final or never
    #[arg(long, value_name = "WHEN", value_parser = value_of("output.success-output"))]
    pub(crate) success_output: Option<String>,
    /// When the output of failed tests is shown
    #[arg(long, value_name = "WHEN", value_parser = value_of("output.failure-output"))]
    pub(crate) failure_output: Option<String>,
    /// How progress is shown
    #[arg(
        long,
        value_enum,
        value_name = "auto|none|bar|counter",
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub(crate) show_progress: ShowProgress,
    /// For people, or one JSON object a line on standard output: in our words, or in libtest's (plus says also
    /// whose each suite is)
    #[arg(
        long,
        value_enum,
        value_name = "human|json|libtest-json|libtest-json-plus",
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub(crate) message_format: MessageFormat,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "PATH", conflicts_with = "no_run",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) junit: Option<String>,
    /// Show more: readings of each test, and by what means families are ended
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct ColourArgs {
    /// Whether to use colours
    #[arg(
        long,
        value_enum,
        value_name = "auto|always|never",
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub(crate) color: ColorChoice,
}

/// What the configuration is made of, beside the usual files.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct LayerArgs {
    /// Use this profile of the configuration
    #[arg(short = 'P', long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Set a key, such as guard.memory-threshold=70% (may be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) config: Vec<Flag>,
    /// Read this file instead of the workspace's .config/stt.toml
    #[arg(long, value_name = "PATH")]
    pub(crate) config_file: Option<Utf8PathBuf>,
}

#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every key with its value, and where that comes from
    Show(ConfigLayerArgs),
    /// Say whether everything in the files and the environment is right
    Check(ConfigLayerArgs),
    /// Print the defaults: every key, with what it means
    Default,
    /// Write nextest's configuration as stt's
    ImportNextest(ImportArgs),
}

/// cargo is not asked: a broken workspace must not keep anybody from looking at its configuration.
#[derive(Debug, Args)]
#[command(
    after_help = "The workspace's file is the nearest .config/stt.toml in this directory and \
    those above it."
)]
pub(crate) struct ConfigLayerArgs {
    #[command(flatten)]
    pub(crate) layers: LayerArgs,
    #[command(flatten)]
    pub(crate) colour: ColourArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_shapes_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_choice_that_the_help_names_is_a_value_of_its_key() {
        for (key, words) in [
            ("run.run-ignored", "default|only|all"),
            ("run.leaks", "warn|fail"),
            ("guard.on-breach", "stop|shed"),
            ("guard.cpu-action", "govern|stop|cap|off"),
            ("guard.memory-threshold", "80%|6GB"),
            ("guard.cpu-threshold", "80%"),
        ] {
            let shown = Cli::command()
                .get_arguments()
                .filter_map(|arg| arg.get_value_names()?.first().map(ToString::to_string))
                .any(|name| name == words);
            assert!(shown, "{words} is in the help");
            for word in words.split('|') {
                assert_eq!(stt_core::config::check_value(key, word), Ok(()));
            }
        }
    }
}
