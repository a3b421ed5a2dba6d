//! What a person asked to be built and run, as structured fields.
//!
//! A checkpoint stores these and never raw arguments: what is read back from a file must not be able
//! to smuggle an option into a command.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::partition::Partition;

/// Which targets cargo builds, with which features: the part of a selection that a resumed run
/// takes over from its checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BuildSelection {
    /// `--package`: package id specifications.
    pub packages: Vec<String>,
    /// `--workspace`.
    pub workspace: bool,
    /// `--exclude`: package id specifications.
    pub exclude: Vec<String>,
    /// `--lib`.
    pub lib: bool,
    /// `--bins`.
    pub bins: bool,
    /// `--bin`: names or patterns.
    pub bin: Vec<String>,
    /// `--tests`.
    pub tests: bool,
    /// `--test`: names or patterns.
    pub test: Vec<String>,
    /// `--examples`.
    pub examples: bool,
    /// `--example`: names or patterns.
    pub example: Vec<String>,
    /// `--benches`.
    pub benches: bool,
    /// `--bench`: names or patterns.
    pub bench: Vec<String>,
    /// `--all-targets`.
    pub all_targets: bool,
    /// `--doc`: nothing but documentation tests.
    pub doc: bool,
    /// `run.doctests`: documentation tests as well, where no target is named.
    pub doctests: bool,
    /// `--features`.
    pub features: Vec<String>,
    /// `--all-features`.
    pub all_features: bool,
    /// `--no-default-features`.
    pub no_default_features: bool,
    /// `--release`.
    pub release: bool,
    /// `--cargo-profile`, cargo's `--profile`.
    pub cargo_profile: Option<String>,
    /// `--target`: a target triple.
    pub target: Option<String>,
}

impl BuildSelection {
    /// Whether kinds of targets, or targets by name, are selected. Without that cargo tests documentation as well.
    pub fn names_targets(&self) -> bool {
        let kinds = [self.lib, self.bins, self.tests, self.examples, self.benches];
        let names = [&self.bin, &self.test, &self.example, &self.bench];
        self.all_targets || kinds.contains(&true) || names.iter().any(|names| !names.is_empty())
    }
}

/// Where and how cargo builds: always taken from the command line, never from a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildPlace {
    /// `--manifest-path`.
    pub manifest_path: Option<Utf8PathBuf>,
    /// `--target-dir`.
    pub target_dir: Option<Utf8PathBuf>,
    /// `--build-jobs`, cargo's `--jobs`.
    pub build_jobs: Option<u32>,
    /// `--locked`.
    pub locked: bool,
    /// `--offline`.
    pub offline: bool,
    /// `--frozen`.
    pub frozen: bool,
    /// `--cargo-verbose`: how often cargo is given `--verbose`.
    pub cargo_verbose: u8,
    /// `--cargo-quiet`.
    pub cargo_quiet: bool,
}

/// Which of the built tests run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TestSelection {
    /// Names: a test runs when one of them is part of its name, or when there are none.
    pub names: Vec<String>,
    /// `--exact`: a name must be the whole name of a test.
    pub exact: bool,
    /// `--skip`: a test does not run when one of these is part of its name (or is it, when exact).
    pub skip: Vec<String>,
    /// `--run-ignored`.
    pub run_ignored: RunIgnored,
    /// `--filterset`: expressions in nextest's language; a test runs when one of them holds for it, or
    /// when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filterset: Vec<String>,
    /// `run.default-filter`: an expression that must hold as well. It decides which tests are selected, so
    /// that a resumed run must not take another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_filter: Option<String>,
    /// `--ignore-default-filter`: it need not hold, and is only what `default()` means.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore_default_filter: bool,
    /// `--partition`: of the tests for which everything else holds, this part; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// `--only-limits`; `None` for all tests, whatever they may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_limits: Option<OnlyLimits>,
}

/// Only tests with certain sets of limits run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OnlyLimits {
    /// The names of the sets, in the order of the alphabet; `none` for tests without a set.
    pub sets: Vec<String>,
    /// The set of tests that no override names (`run.limits`). It decides which tests are selected, so that
    /// a resumed run must not take another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// What happens to tests that are marked `#[ignore]`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum RunIgnored {
    /// They are counted and don't run.
    #[default]
    Default,
    /// Only they run.
    Only,
    /// They run like the others.
    All,
}

/// The whole selection of a run. What follows `--` on the command line is not part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Selection {
    /// What is built.
    pub build: BuildSelection,
    /// What of it runs.
    pub tests: TestSelection,
}
