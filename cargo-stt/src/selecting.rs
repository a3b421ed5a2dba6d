//! What of the command line says what is built, and which of it runs.

use stt_core::config::NO_LIMITS;
use stt_core::partition::Partition;
use stt_core::selection::BuildPlace;
use stt_core::selection::BuildSelection;
use stt_core::selection::OnlyLimits;
use stt_core::selection::RunIgnored;
use stt_core::selection::Selection;
use stt_core::selection::TestSelection;

use crate::cli::BuildArgs;
use crate::cli::TestArgs;
use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::libtest::LibtestArgs;
use crate::shard;
use crate::shard::Shard;

/// `--only-limits`; which tests those are is known with the configuration. The order means nothing.
fn only_limits(mut sets: Vec<String>) -> Option<OnlyLimits> {
    for name in sets.iter_mut().filter(|name| name.is_empty()) {
        NO_LIMITS.clone_into(name);
    }
    sets.sort();
    sets.dedup();
    (!sets.is_empty()).then_some(OnlyLimits {
        sets,
        default: None,
    })
}

/// `--partition`, as the CI service says it if it is to.
pub(crate) fn partition(
    shard: Option<Shard>,
    surroundings: &Surroundings,
) -> Result<Option<Partition>, Error> {
    let lookup = |name: &str| Some(surroundings.var(name)?.to_str()?.to_owned());
    match shard {
        None => Ok(None),
        Some(Shard::Part(part)) => Ok(Some(part)),
        Some(Shard::Auto(count)) => shard::of_service(count, lookup)
            .map(Some)
            .map_err(|refused| Error::new(Kind::Usage, refused.message).hint(refused.hint)),
    }
}

/// What is built.
pub(crate) fn build_selection(build: &BuildArgs) -> BuildSelection {
    let (packages, targets, features) = (&build.packages, &build.targets, &build.features);
    BuildSelection {
        packages: packages.packages.clone(),
        workspace: packages.workspace,
        exclude: packages.exclude.clone(),
        lib: targets.lib,
        bins: targets.bins,
        bin: targets.bin.clone(),
        tests: targets.tests,
        test: targets.test.clone(),
        examples: targets.examples,
        example: targets.example.clone(),
        benches: targets.benches,
        bench: targets.bench.clone(),
        all_targets: targets.all_targets,
        doc: targets.doc,
        // What the configuration says of it, `chosen` takes.
        doctests: false,
        features: features.features.clone(),
        all_features: features.all_features,
        no_default_features: features.no_default_features,
        release: build.place.release,
        cargo_profile: build.place.cargo_profile.clone(),
        target: build.place.target.clone(),
    }
}

/// The selection, without what the configuration says of it.
pub(crate) fn selection(
    build: &BuildArgs,
    tests: TestArgs,
    libtest: LibtestArgs,
    partition: Option<Partition>,
) -> Selection {
    Selection {
        build: build_selection(build),
        tests: TestSelection {
            names: [tests.names, libtest.names].concat(),
            exact: tests.exact || libtest.exact,
            skip: [tests.skip, libtest.skip].concat(),
            run_ignored: RunIgnored::Default,
            filterset: tests.filterset,
            default_filter: None,
            ignore_default_filter: tests.ignore_default_filter,
            partition,
            only_limits: only_limits(tests.only_limits),
        },
    }
}

/// Where and how cargo builds.
pub(crate) fn place(build: BuildArgs) -> BuildPlace {
    let place = build.place;
    BuildPlace {
        manifest_path: place.manifest_path,
        target_dir: place.target_dir,
        build_jobs: place.build_jobs,
        locked: place.locked,
        offline: place.offline,
        frozen: place.frozen,
        cargo_verbose: place.cargo_verbose,
        cargo_quiet: place.cargo_quiet,
    }
}
