//! The resolved configuration: what a run is told, whatever layer said it.
//!
//! [`read_files`] finds the files, [`resolve`] lays them, the environment and the command line over
//! the embedded [`DEFAULT_FILE`], and says of each value where it comes from.

mod bare;
mod container;
mod defaults;
mod defined;
mod document;
mod expression;
mod filter;
mod given;
mod groups;
mod keys;
mod limits;
mod nextest;
mod outputs;
mod overrides;
mod ports;
mod problem;
mod read;
mod resolve;
mod retries;
mod scripts;
mod source;
mod table;
mod times;
mod wrappers;

pub use bare::check_value;
pub use container::ContainerChoice;
pub use container::NO_CONTAINER;
pub use expression::DEFAULT_FILTER;
pub use expression::Expression;
pub use expression::Expressions;
pub use filter::Filter;
pub use keys::Key;
pub use limits::LIMIT_KEYS;
pub use limits::LimitKey;
pub use limits::LimitSets;
pub use limits::NO_LIMITS;
pub use limits::UnknownLimits;
pub use nextest::Imported;
pub use nextest::LeftOut;
pub use nextest::NEXTEST_FILE;
pub use nextest::import_nextest;
pub use outputs::TestOutput;
pub use overrides::LimitsChoice;
pub use overrides::Override;
pub use problem::Problem;
pub use problem::Problems;
pub use problem::ReadError;
pub use read::Locations;
pub use read::WORKSPACE_FILE;
pub use read::WorkspaceFile;
pub use read::find_nextest_file;
pub use read::find_workspace_file;
pub use read::read_files;
pub use read::read_nextest_file;
pub use resolve::DEFAULT_FILE;
pub use resolve::Resolved;
pub use resolve::ResolvedValue;
pub use resolve::resolve;
pub use source::ConfigFile;
pub use source::Flag;
pub use source::Layers;
pub use source::Level;
pub use source::Origin;
pub use source::Place;
pub use source::Source;
pub use source::Spot;
pub use table::KEYS;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::retry::Retries;
use crate::scheduling::TestGroup;
use crate::script::Scripts;
use crate::selection::RunIgnored;
use crate::units::Bytes;
use crate::units::Percent;
use crate::units::Threshold;

/// Every setting of a run, resolved over all layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of the profile that was chosen; `default` where none was.
    pub profile: Arc<str>,
    /// `[run]`: how tests are run.
    pub run: RunConfig,
    /// `[guard]`: what the guard watches, and what it does.
    pub guard: GuardConfig,
    /// `[restart]`: when a stopped run goes on by itself.
    pub restart: RestartConfig,
    /// `[checkpoint]`: what is kept of a run.
    pub checkpoint: CheckpointConfig,
    /// `[coordinator]`: what the runs of a machine know of each other.
    pub coordinator: CoordinatorConfig,
    /// `[container]`: tests that run in containers.
    pub container: ContainerConfig,
    /// `[containers]`: what tests make with a container engine.
    pub containers: ContainersConfig,
    /// `[output]`: what is captured and shown.
    pub output: OutputConfig,
    /// `[report]`: what is written for other programs.
    pub report: ReportConfig,
    /// `[limits.NAME]`: what tests may use, by name.
    pub limits: LimitSets,
    /// `[test-groups]`: groups of tests that share places.
    pub test_groups: Vec<TestGroup>,
    /// `[scripts]`: what runs around the tests.
    pub scripts: Scripts,
    /// `[[overrides]]`: other settings for some of the tests. Of each setting the first one counts that
    /// holds for a test and says something of it.
    pub overrides: Vec<Override>,
}

impl Config {
    /// Whether a run needs a directory of its own, whatever tests find in `TMPDIR`.
    pub fn needs_place(&self) -> bool {
        let choices = self
            .overrides
            .iter()
            .filter_map(|one| one.container.as_ref());
        let mut images = choices
            .map(|ContainerChoice(image)| image)
            .chain([&self.container.image]);
        self.containers.enabled || !self.scripts.is_empty() || images.any(Option::is_some)
    }
}

/// `[run]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunConfig {
    /// How many tests may run at once; `None` for as many as the run may use cores.
    pub test_threads: Option<NonZeroUsize>,
    /// After how many failures no further test starts; `None` for never.
    pub max_fail: Option<NonZeroUsize>,
    /// What happens to ignored tests.
    pub run_ignored: RunIgnored,
    /// Whether documentation tests run as well, where no kind of target is asked for.
    pub doctests: bool,
    /// An expression for the tests that run unless somebody says otherwise; `None` for all.
    pub default_filter: Option<String>,
    /// How failed tests are tried again.
    pub retries: Retries,
    /// After this time a running test is called slow, and again after each multiple.
    pub slow_timeout: Duration,
    /// After so many slow timeouts a test is ended and failed; `None` for never.
    pub terminate_after: Option<NonZeroUsize>,
    /// The time between TERM and KILL when a test is ended for its own sake or by a person.
    pub grace_period: Duration,
    /// How long a test's output may stay open after its process has exited.
    pub leak_timeout: Duration,
    /// What happens to a test that leaves something behind.
    pub leaks: Leaks,
    /// After this time the run is stopped; `None` for never.
    pub global_timeout: Option<Duration>,
    /// How long a test binary may take to list its tests.
    pub list_timeout: Duration,
    /// Whether each run has a temporary directory of its own.
    pub tmpdir: TmpDir,
    /// The set of limits for every test that no override gives another; `None` for no limits.
    pub limits: Option<Arc<str>>,
}

/// What happens to a test that passes and leaves processes behind, or its output open. Either way what
/// it leaves is named, and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaks {
    /// It has passed, and is shown as leaky.
    Warn,
    /// It fails.
    Fail,
}

/// Where tests find their temporary directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TmpDir {
    /// In a directory of the run, removed at its end.
    Own,
    /// Where the runner's environment says.
    Inherit,
}

/// `[guard]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardConfig {
    /// Whether anything is watched at all.
    pub enabled: bool,
    /// The line that memory must not cross. From ten points (of a share) or a tenth (of a size) below it
    /// on no further test starts.
    pub memory_threshold: Threshold,
    /// From this share of the machine's memory on, everything is killed at once.
    pub memory_critical: Percent,
    /// The line for the number of processes and threads.
    pub process_threshold: Percent,
    /// The line for the machine's CPU.
    pub cpu_threshold: Percent,
    /// What happens over it.
    pub cpu_action: CpuAction,
    /// How long the CPU must be over its threshold before a test or the run is ended for it.
    pub cpu_sustain: Duration,
    /// The longest time between two readings.
    pub check_interval: Duration,
    /// What happens when memory crosses its threshold.
    pub on_breach: OnBreach,
    /// The time between TERM and KILL when the guard stops the run.
    pub grace_period: Duration,
}

/// What the guard does about a CPU over its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuAction {
    /// Fewer tests at once while others wait for the CPU.
    Govern,
    /// As few tests as it takes, and the run is stopped when one alone stays over the threshold.
    Stop,
    /// Fewer tests at once, so that the average stays under the threshold.
    Cap,
    /// Nothing.
    Off,
}

/// What the guard does about memory over its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBreach {
    /// The run is stopped.
    Stop,
    /// The youngest large tests are ended first; the run is stopped only if that does not help.
    Shed,
}

/// `[restart]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartConfig {
    /// Whether a run that was stopped goes on by itself.
    pub auto: bool,
    /// How often.
    pub max: u32,
    /// How long after the beginning of its first leg.
    pub within: Duration,
    /// Below this share of the machine's memory it counts as recovered.
    pub below: Percent,
    /// For how long it must have been recovered.
    pub stable: Duration,
}

/// `[checkpoint]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointConfig {
    /// Whether a checkpoint is kept.
    pub enabled: bool,
    /// Where; `None` for `stt-checkpoint.json` in the target directory.
    pub path: Option<Utf8PathBuf>,
}

/// `[coordinator]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorConfig {
    /// Whether a run keeps a record, and clears up after runs that were killed.
    pub enabled: bool,
}

/// `[container]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerConfig {
    /// The image for every test that no override gives another; `None` for none, which is outside.
    pub image: Option<Arc<str>>,
    /// The network that containers are in; `None` for the engine's default.
    pub network: Option<String>,
    /// Whether tests share containers.
    pub reuse: Reuse,
}

/// Whether tests share containers, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Each attempt of a test has one of its own.
    Test,
    /// Each slot keeps its own while its tests have the same image and limits.
    Run,
}

/// `[containers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainersConfig {
    /// Whether containers, networks and volumes of tests are known, and end with them.
    pub enabled: bool,
    /// How long removing what a test or a run has left may take.
    pub budget: Duration,
}

/// `[output]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputConfig {
    /// Which results are shown while the run goes on.
    pub status_level: StatusLevel,
    /// Which results are shown again at its end.
    pub final_status_level: StatusLevel,
    /// When the output of passed tests is shown.
    pub success_output: ShowOutput,
    /// When the output of failed tests is shown.
    pub failure_output: ShowOutput,
    /// How much of each of a test's two streams is kept in memory, half from its head and half from its tail.
    pub keep: Bytes,
    /// How much of what does not fit there is written to a file; what is beyond is only counted.
    pub spill: Bytes,
}

/// `[report]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportConfig {
    /// Where the results are written as JUnit XML; `None` for nowhere.
    pub junit: Option<Utf8PathBuf>,
    /// Whether GitHub Actions is told of failures.
    pub github: GithubReport,
}

/// When GitHub Actions is told of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GithubReport {
    /// Where it runs us.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// From which result on a line is shown. Each level holds the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusLevel {
    /// Nothing.
    None,
    /// Failed tests.
    Fail,
    /// Tests that are slow, or passed at a second attempt or later.
    Slow,
    /// Tests that left something behind.
    Leak,
    /// Passed tests.
    Pass,
    /// Ignored tests.
    Skip,
    /// Everything, also what is started.
    All,
}

/// When a test's output is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowOutput {
    /// As soon as the test has ended.
    Immediate,
    /// At the end of the run.
    Final,
    /// Both.
    ImmediateFinal,
    /// Never.
    Never,
}
