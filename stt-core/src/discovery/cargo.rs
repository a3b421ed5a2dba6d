//! The calls of cargo and rustc, as data.
//!
//! Every value is part of its flag's own word (`--flag=value`): nothing that was read from a
//! checkpoint can become an option of its own.

use std::ffi::OsStr;

use camino::Utf8Path;

use crate::command::CommandLine;
use crate::command::Environment;
use crate::selection::BuildPlace;
use crate::selection::BuildSelection;

use super::variables::CARGO_TARGET_DIR;

/// `cargo metadata`: the packages of the workspace, or with `with_dependencies` all packages that
/// the build can meet (cargo tests a dependency too, when `--package` names it).
///
/// `cargo metadata` has no `--target-dir`; the variable of the same meaning stands in for it.
pub fn metadata_command(
    cargo: &OsStr,
    place: &BuildPlace,
    with_dependencies: bool,
    cwd: &Utf8Path,
    env: &Environment,
) -> CommandLine {
    let mut command = CommandLine::new(cargo, cwd.to_owned(), env.clone())
        .args(["metadata", "--format-version=1"])
        .args((!with_dependencies).then_some("--no-deps"));
    if let Some(path) = &place.manifest_path {
        command = command.arg(format!("--manifest-path={path}"));
    }
    if let Some(dir) = &place.target_dir {
        command = command.env(CARGO_TARGET_DIR, dir.as_str());
    }
    command.args(lock_flags(place))
}

/// `cargo metadata` with every package on which the workspace may depend, whatever the features.
pub fn graph_command(
    cargo: &OsStr,
    place: &BuildPlace,
    cwd: &Utf8Path,
    env: &Environment,
) -> CommandLine {
    metadata_command(cargo, place, true, cwd, env).arg("--all-features")
}

/// `cargo test --no-run`: builds, and says on its standard output what it built. What people read
/// goes to its standard error, in colour if `colour` says so.
pub fn build_command(
    cargo: &OsStr,
    selection: &BuildSelection,
    place: &BuildPlace,
    cwd: &Utf8Path,
    env: &Environment,
    colour: bool,
) -> CommandLine {
    let command = CommandLine::new(cargo, cwd.to_owned(), env.clone())
        .args(["test", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .arg(colour_flag(colour))
        .args(selection_flags(selection));
    with_place(command, place)
}

fn colour_flag(colour: bool) -> &'static str {
    if colour {
        "--color=always"
    } else {
        "--color=never"
    }
}

/// Where and how cargo builds, in its own flags.
fn with_place(mut command: CommandLine, place: &BuildPlace) -> CommandLine {
    if let Some(path) = &place.manifest_path {
        command = command.arg(format!("--manifest-path={path}"));
    }
    if let Some(dir) = &place.target_dir {
        command = command.arg(format!("--target-dir={dir}"));
    }
    if let Some(jobs) = place.build_jobs {
        command = command.arg(format!("--jobs={jobs}"));
    }
    command
        .args(lock_flags(place))
        .args((0..place.cargo_verbose).map(|_| "--verbose"))
        .args(place.cargo_quiet.then_some("--quiet"))
}

/// `cargo test --doc`: builds what documentation tests need, and calls the documentation tool for each package.
pub fn doc_command(
    cargo: &OsStr,
    selection: &BuildSelection,
    place: &BuildPlace,
    cwd: &Utf8Path,
    env: &Environment,
    colour: bool,
) -> CommandLine {
    let selection = BuildSelection {
        doc: true,
        ..selection.clone()
    };
    let command = CommandLine::new(cargo, cwd.to_owned(), env.clone())
        .arg("test")
        .arg(colour_flag(colour))
        .args(selection_flags(&selection));
    with_place(command, place)
}

/// Asks the compiler for its library directory and the `cfg` of `target`, or of the host.
/// [`Rustc::parse`](super::Rustc::parse) reads the answer.
pub fn rustc_command(
    rustc: &OsStr,
    target: Option<&str>,
    cwd: &Utf8Path,
    env: &Environment,
) -> CommandLine {
    CommandLine::new(rustc, cwd.to_owned(), env.clone())
        .args(["--print=target-libdir", "--print=cfg"])
        .args(target.map(|target| format!("--target={target}")))
}

/// What is built, in cargo's own flags.
fn selection_flags(selection: &BuildSelection) -> Vec<String> {
    // Named one by one, so that a new field cannot be forgotten here.
    let BuildSelection {
        packages,
        workspace,
        exclude,
        lib,
        bins,
        bin,
        tests,
        test,
        examples,
        example,
        benches,
        bench,
        all_targets,
        doc,
        // Cargo is asked for these by themselves.
        doctests: _,
        features,
        all_features,
        no_default_features,
        release,
        cargo_profile,
        target,
    } = selection;
    let switches = [
        ("--workspace", *workspace),
        ("--lib", *lib),
        ("--bins", *bins),
        ("--tests", *tests),
        ("--examples", *examples),
        ("--benches", *benches),
        ("--all-targets", *all_targets),
        ("--doc", *doc),
        ("--all-features", *all_features),
        ("--no-default-features", *no_default_features),
        ("--release", *release),
    ];
    let values = [
        ("--package", packages.as_slice()),
        ("--exclude", exclude),
        ("--bin", bin),
        ("--test", test),
        ("--example", example),
        ("--bench", bench),
        ("--features", features),
        ("--profile", cargo_profile.as_slice()),
        ("--target", target.as_slice()),
    ];
    let switches = switches
        .into_iter()
        .filter(|(_, on)| *on)
        .map(|(flag, _)| flag.to_owned());
    let values = values
        .into_iter()
        .flat_map(|(flag, values)| values.iter().map(move |value| format!("{flag}={value}")));
    switches.chain(values).collect()
}

fn lock_flags(place: &BuildPlace) -> impl Iterator<Item = &'static str> {
    [
        ("--locked", place.locked),
        ("--offline", place.offline),
        ("--frozen", place.frozen),
    ]
    .into_iter()
    .filter_map(|(flag, on)| on.then_some(flag))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn words(command: &CommandLine) -> Vec<String> {
        command
            .args
            .iter()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect()
    }

    fn build(selection: &BuildSelection, place: &BuildPlace) -> Vec<String> {
        let env = Environment::from(Arc::from([]));
        let command = build_command("cargo".as_ref(), selection, place, "/w".into(), &env, false);
        assert_eq!(command.program, OsString::from("cargo"));
        assert_eq!(command.cwd, "/w");
        words(&command)
    }

    #[test]
    fn a_build_says_exactly_what_was_selected() {
        let bare = build(&BuildSelection::default(), &BuildPlace::default());
        assert_eq!(
            bare,
            [
                "test",
                "--no-run",
                "--message-format=json-render-diagnostics",
                "--color=never"
            ]
        );
        let selection = BuildSelection {
            packages: vec!["a".into(), "b@1.0.0".into()],
            workspace: true,
            exclude: vec!["c".into()],
            lib: true,
            bins: true,
            bin: vec!["d".into()],
            tests: true,
            test: vec!["e*".into()],
            examples: true,
            example: vec!["f".into()],
            benches: true,
            bench: vec!["g".into()],
            all_targets: true,
            doc: true,
            doctests: true,
            features: vec!["h,i".into()],
            all_features: true,
            no_default_features: true,
            release: true,
            cargo_profile: Some("ci".into()),
            target: Some("wasm32-wasip1".into()),
        };
        let place = BuildPlace {
            manifest_path: Some("sub/Cargo.toml".into()),
            target_dir: Some("/t".into()),
            build_jobs: Some(3),
            locked: true,
            offline: true,
            frozen: true,
            cargo_verbose: 2,
            cargo_quiet: true,
        };
        assert_eq!(
            build(&selection, &place)[4..],
            [
                "--workspace",
                "--lib",
                "--bins",
                "--tests",
                "--examples",
                "--benches",
                "--all-targets",
                "--doc",
                "--all-features",
                "--no-default-features",
                "--release",
                "--package=a",
                "--package=b@1.0.0",
                "--exclude=c",
                "--bin=d",
                "--test=e*",
                "--example=f",
                "--bench=g",
                "--features=h,i",
                "--profile=ci",
                "--target=wasm32-wasip1",
                "--manifest-path=sub/Cargo.toml",
                "--target-dir=/t",
                "--jobs=3",
                "--locked",
                "--offline",
                "--frozen",
                "--verbose",
                "--verbose",
                "--quiet",
            ]
        );
    }

    #[test]
    fn metadata_are_asked_for_in_the_same_place() {
        let place = BuildPlace {
            manifest_path: Some("sub/Cargo.toml".into()),
            target_dir: Some("other".into()),
            locked: true,
            ..BuildPlace::default()
        };
        let env = Environment::from(Arc::from([]));
        let command = metadata_command("cargo".as_ref(), &place, false, "/w".into(), &env);
        assert_eq!(
            words(&command),
            [
                "metadata",
                "--format-version=1",
                "--no-deps",
                "--manifest-path=sub/Cargo.toml",
                "--locked"
            ]
        );
        assert_eq!(
            command.extra_env,
            [("CARGO_TARGET_DIR".into(), "other".into())]
        );
        let command = metadata_command("cargo".as_ref(), &place, true, "/w".into(), &env);
        assert!(!words(&command).contains(&"--no-deps".to_owned()));
        let command = graph_command("cargo".as_ref(), &place, "/w".into(), &env);
        assert!(words(&command).contains(&"--all-features".to_owned()));
        assert!(!words(&command).contains(&"--no-deps".to_owned()));
    }

    proptest! {
        #[test]
        fn no_value_becomes_an_option(value in "(--?config|--|-Z|[^a]{0,8})[ =\n]?.{0,20}") {
            let list = vec![value.clone()];
            let selection = BuildSelection {
                packages: list.clone(),
                exclude: list.clone(),
                bin: list.clone(),
                test: list.clone(),
                example: list.clone(),
                bench: list.clone(),
                features: list,
                cargo_profile: Some(value.clone()),
                target: Some(value.clone()),
                ..BuildSelection::default()
            };
            let words = build(&selection, &BuildPlace::default());
            let hostile = words
                .iter()
                .filter(|word| word.ends_with(&format!("={value}")))
                .count();
            prop_assert_eq!(hostile, 9);
            prop_assert_eq!(words.len(), 4 + 9);
        }
    }
}
