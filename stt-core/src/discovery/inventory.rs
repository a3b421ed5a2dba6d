//! What `list` tells programs: the shape is that of `cargo nextest list --message-format json`, as the crate
//! `nextest-metadata` has it. Pure.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use nextest_metadata::BuildPlatform;
use nextest_metadata::BuildPlatformsSummary;
use nextest_metadata::BuildScriptInfoSummary;
use nextest_metadata::FilterMatch;
use nextest_metadata::HostPlatformSummary;
use nextest_metadata::MismatchReason;
use nextest_metadata::PlatformLibdirSummary;
use nextest_metadata::RustBuildMetaSummary;
use nextest_metadata::RustNonTestBinaryKind;
use nextest_metadata::RustNonTestBinarySummary;
use nextest_metadata::RustTestBinarySummary;
use nextest_metadata::RustTestCaseSummary;
use nextest_metadata::RustTestKind;
use nextest_metadata::RustTestSuiteStatusSummary;
use nextest_metadata::RustTestSuiteSummary;
use nextest_metadata::TargetPlatformSummary;
use nextest_metadata::TestCaseName;
use target_spec::summaries::PlatformSummary;

use crate::selection::RunIgnored;
use crate::selection::TestSelection;

use super::binary::BinaryKind;
use super::binary::Setting;
use super::binary::TestBinary;
use super::environment::linked_dirs;
use super::expressions::BinaryChosen;
use super::expressions::Chosen;
use super::filter::Verdict;
use super::filter::has_wanted_limits;
use super::filter::verdict;
use super::filterset::Names;
use super::layout::OutputDirs;
use super::list::ListedTest;
use super::messages::Built;
use super::rustc::Rustc;

/// What there is to say of the build.
pub fn build_summary(
    built: &Built,
    setting: &Setting<'_>,
    binaries: &[TestBinary],
) -> RustBuildMetaSummary {
    let (target_dir, build_dir) = (&setting.workspace.target_dir, &setting.workspace.build_dir);
    let inside = |path: &Utf8Path| {
        let inside = path.strip_prefix(build_dir);
        let inside = inside.or_else(|_| path.strip_prefix(target_dir));
        inside.unwrap_or(path).to_owned()
    };
    let outputs = binaries.iter().map(|binary| {
        let dirs = OutputDirs::of(&binary.path, target_dir, build_dir);
        inside(&dirs.build)
    });
    let linked = linked_dirs(&built.scripts, build_dir);
    let out_dirs = built.scripts.iter();
    let out_dirs = out_dirs.filter(|script| !script.out_dir.as_str().is_empty());
    let infos = built.scripts.iter().map(|script| {
        let envs = script.env.iter().cloned().collect();
        (script.package_id.clone(), BuildScriptInfoSummary { envs })
    });
    let host = &setting.toolchain.host;
    let targets = &setting.toolchain.targets;
    RustBuildMetaSummary {
        target_directory: target_dir.clone(),
        build_directory: Some(build_dir.clone()),
        base_output_directories: outputs.collect(),
        non_test_binaries: non_test_binaries(built, inside),
        build_script_out_dirs: out_dirs
            .map(|script| (script.package_id.clone(), inside(&script.out_dir)))
            .collect(),
        build_script_info: Some(infos.collect()),
        linked_paths: linked.iter().map(|path| inside(path)).collect(),
        platforms: Some(BuildPlatformsSummary {
            host: HostPlatformSummary {
                platform: platform(host),
                libdir: libdir(host),
            },
            targets: targets
                .iter()
                .map(|target| target_platform(target))
                .collect(),
        }),
        target_platforms: if targets.is_empty() {
            vec![platform(host)]
        } else {
            targets.iter().map(|target| platform(target)).collect()
        },
        target_platform: targets.first().map(|target| target.triple.clone()),
    }
}

/// What was built that is no test and is used by tests, by package, with paths as [`build_summary`] tells them.
fn non_test_binaries(
    built: &Built,
    inside: impl Fn(&Utf8Path) -> Utf8PathBuf,
) -> BTreeMap<String, BTreeSet<RustNonTestBinarySummary>> {
    let bins = built.bins.iter().map(|bin| {
        let kind = RustNonTestBinaryKind::BIN_EXE;
        (&bin.package_id, &bin.name, kind, &bin.executable)
    });
    let libraries = built.libraries.iter().map(|library| {
        let kind = RustNonTestBinaryKind::DYLIB;
        (&library.package_id, &library.name, kind, &library.file)
    });
    let mut binaries = BTreeMap::<_, BTreeSet<_>>::new();
    for (package, name, kind, path) in bins.chain(libraries) {
        let of_package = binaries.entry(package.clone()).or_default();
        of_package.insert(RustNonTestBinarySummary {
            name: name.clone(),
            kind,
            path: inside(path),
            build_platform: Some(BuildPlatform::Target),
        });
    }
    binaries
}

fn platform(rustc: &Rustc) -> PlatformSummary {
    PlatformSummary::new(rustc.triple.clone())
}

fn libdir(rustc: &Rustc) -> PlatformLibdirSummary {
    let path = rustc.libdir.clone();
    PlatformLibdirSummary::Available { path }
}

fn target_platform(rustc: &Rustc) -> TargetPlatformSummary {
    TargetPlatformSummary {
        platform: platform(rustc),
        libdir: libdir(rustc),
    }
}

/// A binary with its tests: `None` for one that was not asked for them, because `chosen` rules it out.
pub fn suite_summary(
    binary: &TestBinary,
    tests: Option<BTreeMap<TestCaseName, RustTestCaseSummary>>,
    chosen: &Chosen,
) -> RustTestSuiteSummary {
    let names = Names::of(binary);
    let query = names.query();
    let status = match &tests {
        Some(_) => RustTestSuiteStatusSummary::LISTED,
        None if chosen.is_given(binary) => RustTestSuiteStatusSummary::SKIPPED_DEFAULT_FILTER,
        None => RustTestSuiteStatusSummary::SKIPPED,
    };
    RustTestSuiteSummary {
        package_name: binary.package.clone(),
        binary: RustTestBinarySummary {
            binary_id: query.binary_id.clone(),
            binary_name: binary.target.clone(),
            package_id: binary.package_id.clone(),
            kind: query.kind.clone(),
            binary_path: binary.path.clone(),
            build_platform: match binary.kind {
                BinaryKind::ProcMacro => BuildPlatform::Host,
                BinaryKind::Lib
                | BinaryKind::Bin
                | BinaryKind::Test
                | BinaryKind::Example
                | BinaryKind::Bench
                | BinaryKind::Doc => BuildPlatform::Target,
            },
        },
        cwd: binary.cwd.clone(),
        status,
        test_cases: tests.unwrap_or_default(),
    }
}

/// What is known of a test beside its name when it is to be told whether it runs.
#[derive(Clone, Copy, Debug)]
pub struct Fate<'a> {
    /// What the expressions say of its binary.
    pub chosen: &'a BinaryChosen<'a>,
    /// The name of its set of limits.
    pub limits: Option<&'a str>,
    /// Whether it is part of the suite.
    pub is_in: bool,
}

/// A test, with the first reason for which it does not run, in nextest's order. nextest has no word for
/// `--only-limits`, which is told as an expression.
pub fn case_summary(
    selection: &TestSelection,
    test: &ListedTest,
    fate: Fate<'_>,
) -> (TestCaseName, RustTestCaseSummary) {
    let unwanted = match selection.run_ignored {
        RunIgnored::Default => test.ignored,
        RunIgnored::Only => !test.ignored,
        RunIgnored::All => false,
    };
    let reason = if unwanted {
        Some(MismatchReason::Ignored)
    } else if fate.is_in {
        None
    } else if verdict(selection, test) == Verdict::FilteredOut {
        Some(MismatchReason::String)
    } else if !fate.chosen.is_given(&test.name) {
        Some(MismatchReason::Expression)
    } else if !fate.chosen.holds(&test.name) {
        Some(MismatchReason::DefaultFilter)
    } else if !has_wanted_limits(selection, fate.limits) {
        Some(MismatchReason::Expression)
    } else {
        Some(MismatchReason::Partition)
    };
    let kind = if test.bench {
        RustTestKind::BENCH
    } else {
        RustTestKind::TEST
    };
    let summary = RustTestCaseSummary {
        kind: Some(kind),
        ignored: test.ignored,
        filter_match: reason.map_or(FilterMatch::Matches, |reason| FilterMatch::Mismatch {
            reason,
        }),
    };
    (TestCaseName::new(&test.name), summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Expressions;
    use crate::discovery::binary::tests::binary;
    use crate::discovery::filterset::tests::METADATA;
    use crate::discovery::list::Protocol;
    use crate::discovery::manifest::Harness;

    fn test(name: &str, ignored: bool, bench: bool) -> ListedTest {
        ListedTest {
            name: name.into(),
            ignored,
            bench,
            protocol: Protocol::Libtest,
        }
    }

    fn chosen(selection: &TestSelection) -> Chosen {
        Chosen::new(&Expressions::of(selection, false, None), METADATA).unwrap()
    }

    #[test]
    fn a_test_that_does_not_run_says_why_not() {
        let selection = TestSelection {
            names: vec!["a".to_owned()],
            filterset: vec!["not test(ab)".to_owned()],
            default_filter: Some("not test(ac)".to_owned()),
            ..TestSelection::default()
        };
        let chosen = chosen(&selection);
        let binary = binary(Harness::Libtest, None);
        let of_binary = chosen.of_binary(&binary);
        for (name, ignored, is_in, reason) in [
            ("a", false, true, None),
            ("x", true, false, Some(MismatchReason::Ignored)),
            ("x", false, false, Some(MismatchReason::String)),
            ("ab", false, false, Some(MismatchReason::Expression)),
            ("ac", false, false, Some(MismatchReason::DefaultFilter)),
            ("a", false, false, Some(MismatchReason::Partition)),
        ] {
            let fate = Fate {
                chosen: &of_binary,
                limits: None,
                is_in,
            };
            let (found, summary) = case_summary(&selection, &test(name, ignored, true), fate);
            let expected = reason.map_or(FilterMatch::Matches, |reason| FilterMatch::Mismatch {
                reason,
            });
            assert_eq!((found.as_str(), summary.filter_match), (name, expected));
            assert_eq!(summary.kind, Some(RustTestKind::BENCH));
        }
    }

    #[test]
    fn a_binary_that_was_not_asked_says_why_not() {
        let status = |given: &[&str], default: &str| {
            let selection = TestSelection {
                filterset: given.iter().map(ToString::to_string).collect(),
                default_filter: Some(default.to_owned()),
                ..TestSelection::default()
            };
            let binary = binary(Harness::Libtest, None);
            suite_summary(&binary, None, &chosen(&selection)).status
        };
        let (skipped, by_default) = (
            RustTestSuiteStatusSummary::SKIPPED,
            RustTestSuiteStatusSummary::SKIPPED_DEFAULT_FILTER,
        );
        assert_eq!(status(&["none()"], "all()"), skipped);
        assert_eq!(status(&["all()"], "none()"), by_default);
        assert_eq!(status(&[], "none()"), by_default);
    }
}
