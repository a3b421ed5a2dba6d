//! The environment of a test: what `cargo test` would give it, and what a runner adds.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::env::JoinPathsError;
use std::env::join_paths;
use std::env::split_paths;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::PathBuf;

use camino::Utf8Path;
use camino::Utf8PathBuf;

use crate::command::Environment;
use crate::id::BinaryId;
use crate::id::RunId;
use crate::id::TestId;
use crate::retry::Attempt;
use crate::scheduling::NO_GROUP;

use super::binary::Setting;
use super::binary::TestBinary;
use super::layout::OutputDirs;
use super::messages::BuildScript;
use super::messages::Built;
use super::metadata::Package;
use super::variables;

/// The nextest whose behaviour tests find: the one that this was compared with.
const NEXTEST_VERSION: &str = "0.9.143";
/// What nextest says of what there is none of.
const NONE: &str = "none";
/// The longest argument or variable that a program can be started with, its end included: `MAX_ARG_STRLEN` of Linux
/// (`execve(2)`).
const LONGEST_WORD: usize = 128 * 1024;
/// Tests run once, as tests: in nextest's words neither `stress` nor `benchmark`.
const RUN_MODE: &str = "test";

/// The value of a variable in a list of them.
pub(super) fn value_of<'a>(env: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    env.iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_os_str())
}

/// What the environment of one binary is made of, beside what all binaries share.
pub(super) struct Parts<'a> {
    pub(super) id: &'a BinaryId,
    pub(super) package: &'a Package,
    /// The run of the package's build script, if it has one.
    pub(super) script: Option<&'a BuildScript>,
    pub(super) dirs: &'a OutputDirs,
    /// Where the standard library of the binary's platform lies.
    pub(super) libdir: &'a Utf8Path,
    /// The executables of the package, for integration tests and benches; else empty.
    pub(super) executables: Vec<(&'a str, &'a Utf8Path)>,
}

/// The complete environment of the tests of one binary, but for what [`per_test`] adds.
///
/// The order is cargo's (its `Compilation::fill_env`, confirmed by comparing both): later wins.
pub(super) fn of_binary(
    setting: &Setting<'_>,
    built: &Built,
    parts: &Parts<'_>,
) -> Result<Environment, JoinPathsError> {
    let mut env: BTreeMap<OsString, OsString> = setting.inherited.iter().cloned().collect();
    env.retain(|name, _| !tells_of_ports(name));
    let mut set = |name: &str, value: &OsStr| {
        env.insert(name.into(), value.into());
    };
    for (name, value) in setting.config.variables(setting.inherited) {
        set(name, &value);
    }
    // Before the build script's variables: a script that sets this one replaces it, in cargo as well.
    set(
        variables::LIBRARY_PATH,
        &library_path(setting.inherited, built, parts)?,
    );
    if let Some(script) = parts.script {
        set(variables::OUT_DIR, script.out_dir.as_ref());
        for (name, value) in &script.env {
            set(name, value.as_ref());
        }
    }
    let cargo = value_of(setting.inherited, variables::CARGO).unwrap_or(setting.cargo);
    set(variables::CARGO, cargo);
    let package = parts.package;
    set(variables::CARGO_MANIFEST_DIR, package.dir().as_ref());
    set(
        variables::CARGO_MANIFEST_PATH,
        package.manifest_path.as_ref(),
    );
    for (name, value) in &package.variables {
        set(name, value.as_ref());
    }
    for (name, path) in &parts.executables {
        // Many shells drop variables with `-` in their names, hence the second form.
        for name in [(*name).to_owned(), name.replace('-', "_")] {
            for prefix in [
                variables::CARGO_BIN_EXE_PREFIX,
                variables::NEXTEST_BIN_EXE_PREFIX,
            ] {
                set(&format!("{prefix}{name}"), path.as_ref());
            }
        }
    }
    for (name, value) in ours(setting, parts.id) {
        set(name, value.as_ref());
    }
    env.extend(loaders(&env));
    Ok(env.into_iter().collect())
}

/// What tells the dynamic loader something, under the names of nextest: where the system keeps the loader's own from
/// a shell (macOS), a test can still hand them on.
pub(super) fn loaders<'a>(
    env: impl IntoIterator<Item = (&'a OsString, &'a OsString)>,
) -> Vec<(OsString, OsString)> {
    let told = env.into_iter().filter_map(|(name, value)| {
        let name = name.to_str()?;
        let is_loaders = name.starts_with("LD_") || name.starts_with("DYLD_");
        let copy = format!("{}{name}", variables::NEXTEST_PREFIX);
        is_loaders.then(|| (copy.into(), value.clone()))
    });
    told.collect()
}

/// What a runner adds for every test of a binary.
pub(super) fn ours<'a>(
    setting: &Setting<'a>,
    id: &'a BinaryId,
) -> impl Iterator<Item = (&'static str, &'a str)> {
    let ours = [
        (variables::NEXTEST_EXECUTION_MODE, "process-per-test"),
        (variables::NEXTEST_BINARY_ID, id.as_str()),
    ];
    of_run(setting).chain(ours)
}

/// The environment of scripts, but for what each of them has for itself: no package is theirs. They find the libraries
/// of the workspace where its tests do, the first of these binaries for instance.
pub fn script_environment(setting: &Setting<'_>, binaries: &[TestBinary]) -> Environment {
    let mut env: BTreeMap<OsString, OsString> = setting.inherited.iter().cloned().collect();
    env.retain(|name, _| !tells_of_ports(name));
    let configured = setting.config.variables(setting.inherited);
    env.extend(configured.map(|(name, value)| (name.into(), value)));
    let cargo = value_of(setting.inherited, variables::CARGO).unwrap_or(setting.cargo);
    env.insert(variables::CARGO.into(), cargo.into());
    let libraries = binaries.first();
    let libraries = libraries.and_then(|binary| value_of(&binary.env, variables::LIBRARY_PATH));
    env.extend(libraries.map(|path| (variables::LIBRARY_PATH.into(), path.to_owned())));
    env.extend(of_run(setting).map(|(name, value)| (name.into(), value.into())));
    env.insert(variables::NEXTEST_RUN_MODE.into(), RUN_MODE.into());
    env.extend(loaders(&env));
    env.into_iter().collect()
}

/// What tells of the run.
fn of_run<'a>(setting: &Setting<'a>) -> impl Iterator<Item = (&'static str, &'a str)> {
    let run = setting.run.as_str();
    let variables = [
        (variables::NEXTEST, "1"),
        (variables::NEXTEST_RUN_ID, run),
        (
            variables::NEXTEST_WORKSPACE_ROOT,
            setting.workspace.root.as_str(),
        ),
        (variables::NEXTEST_PROFILE, setting.profile),
        (variables::NEXTEST_VERSION, NEXTEST_VERSION),
        (variables::NEXTEST_REQUIRED_VERSION, NONE),
        (variables::NEXTEST_RECOMMENDED_VERSION, NONE),
        (variables::STT, "1"),
        (variables::STT_RUN_ID, run),
    ];
    variables.into_iter()
}

/// What is known only when a test starts.
#[derive(Clone, Copy, Debug)]
pub struct PerTest<'a> {
    /// The test.
    pub test: &'a TestId,
    /// The run.
    pub run: &'a RunId,
    /// Which attempt this is.
    pub attempt: Attempt,
    /// The slot in which it runs, from 0 on.
    pub slot: usize,
    /// How many tests may run at once.
    pub threads: usize,
    /// The ports that it has for itself.
    pub ports: &'a [u16],
    /// Its group, and its number among those of the group that run.
    pub group: Option<(&'a str, usize)>,
}

/// The variables of one test, beside those of its binary.
pub fn per_test(facts: PerTest<'_>) -> Vec<(OsString, OsString)> {
    let PerTest {
        test,
        run,
        attempt,
        slot,
        threads,
        ports,
        group,
    } = facts;
    let (group, group_slot) = match group {
        Some((name, slot)) => (name, slot.to_string()),
        None => (NO_GROUP, NONE.to_owned()),
    };
    let number = attempt.number.to_string();
    let again = match attempt.number {
        1 => String::new(),
        number => format!("#{number}"),
    };
    let attempt_id = format!("{run}:{}${}{again}", test.binary, test.name);
    let told = [
        (variables::NEXTEST_RUN_MODE, RUN_MODE.to_owned()),
        (variables::NEXTEST_TEST_PHASE, "run".to_owned()),
        (variables::NEXTEST_TEST_NAME, test.name.to_string()),
        (variables::NEXTEST_ATTEMPT, number.clone()),
        (variables::NEXTEST_TOTAL_ATTEMPTS, attempt.of.to_string()),
        (variables::NEXTEST_ATTEMPT_ID, attempt_id),
        (variables::NEXTEST_STRESS_CURRENT, NONE.to_owned()),
        (variables::NEXTEST_STRESS_TOTAL, NONE.to_owned()),
        (variables::NEXTEST_TEST_GLOBAL_SLOT, slot.to_string()),
        (variables::NEXTEST_TEST_GROUP, group.to_owned()),
        (variables::NEXTEST_TEST_GROUP_SLOT, group_slot),
        (variables::NEXTEST_TEST_THREADS, threads.to_string()),
        (variables::STT_TEST_ID, test.to_string()),
        (variables::STT_ATTEMPT, number),
    ];
    // A name of nearly that length can be run, and need not be told.
    let told = told
        .into_iter()
        .filter(|(name, value)| name.len() + value.len() + "=\0".len() <= LONGEST_WORD);
    let mut env: Vec<_> = told
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    env.extend(of_ports(ports));
    env
}

/// The variables that tell a program of ports that it has for itself; none where it has none.
pub fn of_ports(ports: &[u16]) -> impl Iterator<Item = (OsString, OsString)> {
    let texts: Vec<_> = ports.iter().map(u16::to_string).collect();
    let all = (!ports.is_empty()).then(|| (variables::STT_PORTS.into(), texts.join(",").into()));
    let each = (0..).zip(texts).map(|(index, port): (usize, _)| {
        let name = format!("{}{index}", variables::STT_PORT_PREFIX);
        (name.into(), port.into())
    });
    all.into_iter().chain(each)
}

/// Whether a variable tells of ports: those of whoever has started us are not our tests'.
pub fn tells_of_ports(name: &OsStr) -> bool {
    let name = name.to_str().unwrap_or_default();
    let index = name.strip_prefix(variables::STT_PORT_PREFIX);
    name == variables::STT_PORTS || index.is_some_and(|index| index.parse::<usize>().is_ok())
}

/// Where the loader looks: the paths that build scripts link from, cargo's two output directories,
/// the standard library, and what was inherited.
fn library_path(
    inherited: &[(OsString, OsString)],
    built: &Built,
    parts: &Parts<'_>,
) -> Result<OsString, JoinPathsError> {
    let mut own = linked_dirs(&built.scripts, &parts.dirs.artifacts);
    own.push(parts.dirs.artifacts.clone());
    own.push(parts.dirs.deps());
    // In cargo's usual layout these are the two directories above. In the newer one, in which each
    // library has a directory of its own, they are needed.
    for dir in &built.library_dirs {
        if dir.starts_with(&parts.dirs.build) && !own.contains(dir) {
            own.push(dir.clone());
        }
    }
    own.push(parts.libdir.to_owned());
    let own: Vec<PathBuf> = own
        .into_iter()
        .map(Utf8PathBuf::into_std_path_buf)
        .collect();

    let value = value_of(inherited, variables::LIBRARY_PATH);
    let before: Vec<PathBuf> = value
        .map(|value| split_paths(value).collect())
        .unwrap_or_default();
    // A runner inside a runner would otherwise make the path longer at each level.
    let mut all = if before.starts_with(&own) {
        before
    } else {
        own.into_iter().chain(before).collect()
    };
    if cfg!(target_os = "macos") && value.is_none_or(OsStr::is_empty) {
        // What dyld would take if the variable weren't set (`dyld(1)`).
        let home = value_of(inherited, variables::HOME);
        all.extend(home.map(|home| PathBuf::from(home).join("lib")));
        all.extend(["/usr/local/lib".into(), "/usr/lib".into()]);
    }
    join_paths(all)
}

/// The directories that build scripts link from, of those that they made themselves. Cargo takes a
/// path outside of its output directory for one of the system, and leaves it to the system's loader.
pub(super) fn linked_dirs(scripts: &[BuildScript], output: &Utf8Path) -> Vec<Utf8PathBuf> {
    // In the order of what the scripts wrote, kinds included, as cargo has it.
    let written: BTreeSet<&Utf8PathBuf> = scripts
        .iter()
        .flat_map(|script| &script.linked_paths)
        .collect();
    written
        .into_iter()
        .map(|path| match path.as_str().split_once('=') {
            Some(("native" | "crate" | "dependency" | "framework" | "all", path)) => path.into(),
            _ => path.clone(),
        })
        .filter(|path: &Utf8PathBuf| path.starts_with(output))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::cargo_config::CargoConfig;
    use crate::discovery::metadata::Workspace;
    use crate::discovery::rustc::Rustc;
    use crate::discovery::rustc::Toolchain;

    fn script(linked_paths: &[&str], env: &[(&str, &str)]) -> BuildScript {
        BuildScript {
            package_id: "p".into(),
            linked_paths: linked_paths.iter().map(Into::into).collect(),
            env: env
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            out_dir: "/t/debug/build/p-1/out".into(),
        }
    }

    /// Builds the environment of a binary of package `p`, with `inherited` and the given scripts.
    fn build(
        inherited: &[(&str, &str)],
        scripts: Vec<BuildScript>,
        executables: Vec<(&str, &Utf8Path)>,
    ) -> Environment {
        let inherited: Environment = inherited
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let package = Package {
            name: "p".into(),
            manifest_path: "/w/p/Cargo.toml".into(),
            variables: vec![("CARGO_PKG_NAME", "p".into())],
        };
        let workspace = Workspace::parse(
            br#"{"packages":[],"workspace_members":[],"resolve":null,"target_directory":"/t","version":1,"workspace_root":"/w"}"#,
        )
        .unwrap();
        let host = Rustc::parse("/s/lib/rustlib/h/lib\n").unwrap();
        let setting = Setting {
            workspace: &workspace,
            config: &CargoConfig::default(),
            toolchain: &Toolchain {
                host: host.into(),
                targets: Vec::new(),
            },
            inherited: &inherited,
            cargo: "cargo".as_ref(),
            run: &RunId::from_random([0; 16]),
            profile: "default",
        };
        let mut built = Built {
            scripts,
            ..Built::default()
        };
        built.library_dirs.extend([
            "/t/debug/deps".into(),
            "/t/debug/build/d/1/out".into(),
            "/t/arm/debug".into(),
        ]);
        let script = built.scripts.first().cloned();
        let parts = Parts {
            id: &BinaryId::new("p::it"),
            package: &package,
            script: script.as_ref(),
            dirs: &OutputDirs::of("/t/debug/deps/x".into(), "/t".into(), "/t".into()),
            libdir: "/s/lib/rustlib/h/lib".into(),
            executables,
        };
        of_binary(&setting, &built, &parts).unwrap()
    }

    fn get<'a>(env: &'a Environment, name: &str) -> Option<&'a str> {
        value_of(env, name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn the_library_path_has_cargos_order() {
        let scripts = vec![
            script(
                &["native=/t/debug/build/p-1/out/b", "native=/usr/lib", "/usr"],
                &[],
            ),
            script(
                &[
                    "/t/debug/build/q/z",
                    "all=/t/debug/build/q/a",
                    "native=/t/debug/build/p-1/out/b",
                    "odd=/t/debug/x",
                ],
                &[],
            ),
        ];
        let own = "/t/debug/build/q/z:/t/debug/build/q/a:/t/debug/build/p-1/out/b:\
                   /t/debug:/t/debug/deps:/t/debug/build/d/1/out:/s/lib/rustlib/h/lib";
        let env = build(
            &[(variables::LIBRARY_PATH, "/inherited")],
            scripts.clone(),
            Vec::new(),
        );
        let expected = format!("{own}:/inherited");
        assert_eq!(get(&env, variables::LIBRARY_PATH), Some(expected.as_str()));

        let again = build(&[(variables::LIBRARY_PATH, &expected)], scripts, Vec::new());
        assert_eq!(
            get(&again, variables::LIBRARY_PATH),
            Some(expected.as_str())
        );
    }

    #[test]
    fn what_cargo_sets_wins_over_scripts_and_scripts_over_what_is_inherited() {
        let inherited = [
            ("KEPT", "yes"),
            ("FROM_SCRIPT", "old"),
            ("OUT_DIR", "/old"),
            ("CARGO_PKG_NAME", "old"),
            ("CARGO", "/bin/cargo"),
            ("NEXTEST_BINARY_ID", "outer"),
            ("LD_PRELOAD", "/shim.so"),
            ("NEXTEST_LD_PRELOAD", "/outer.so"),
        ];
        let env = [
            ("FROM_SCRIPT", "new"),
            ("CARGO_PKG_NAME", "script"),
            ("CARGO", "script"),
            ("STT", "script"),
        ];
        let found = build(&inherited, vec![script(&[], &env)], Vec::new());
        for (name, value) in [
            ("KEPT", "yes"),
            ("FROM_SCRIPT", "new"),
            ("OUT_DIR", "/t/debug/build/p-1/out"),
            ("CARGO_PKG_NAME", "p"),
            ("CARGO", "/bin/cargo"),
            ("CARGO_MANIFEST_DIR", "/w/p"),
            ("CARGO_MANIFEST_PATH", "/w/p/Cargo.toml"),
            ("NEXTEST", "1"),
            ("NEXTEST_BINARY_ID", "p::it"),
            ("NEXTEST_WORKSPACE_ROOT", "/w"),
            ("NEXTEST_RUN_ID", "00000000-0000-4000-8000-000000000000"),
            ("STT_RUN_ID", "00000000-0000-4000-8000-000000000000"),
            ("NEXTEST_VERSION", "0.9.143"),
            ("NEXTEST_REQUIRED_VERSION", "none"),
            ("NEXTEST_RECOMMENDED_VERSION", "none"),
            ("NEXTEST_LD_PRELOAD", "/shim.so"),
            ("STT", "1"),
        ] {
            assert_eq!(get(&found, name), Some(value), "{name}");
        }
        let names: BTreeSet<_> = found.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), found.len(), "each name once");
        assert_eq!(get(&found, "CARGO_TARGET_TMPDIR"), None);
    }

    #[test]
    fn without_a_script_there_is_no_out_dir_and_without_cargo_its_program() {
        let env = build(&[], Vec::new(), Vec::new());
        assert_eq!(get(&env, variables::OUT_DIR), None);
        assert_eq!(get(&env, variables::CARGO), Some("cargo"));
    }

    #[test]
    fn executables_are_named_in_both_forms() {
        let env = build(&[], Vec::new(), vec![("a-b", "/t/debug/a-b".into())]);
        for name in [
            "CARGO_BIN_EXE_a-b",
            "CARGO_BIN_EXE_a_b",
            "NEXTEST_BIN_EXE_a-b",
            "NEXTEST_BIN_EXE_a_b",
        ] {
            assert_eq!(get(&env, name), Some("/t/debug/a-b"), "{name}");
        }
    }

    #[test]
    fn what_no_program_can_be_started_with_is_left_out() {
        let told = |length: usize| {
            let test = TestId::new(BinaryId::new("p::it"), &*"n".repeat(length));
            let env = per_test(PerTest {
                test: &test,
                run: &RunId::from_random([0; 16]),
                attempt: Attempt::ONLY,
                slot: 0,
                threads: 4,
                ports: &[],
                group: None,
            });
            let long = env.iter().filter(|(_, value)| value.len() >= length);
            long.map(|(name, _)| name.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let all = ["NEXTEST_TEST_NAME", "NEXTEST_ATTEMPT_ID", "STT_TEST_ID"];
        assert_eq!(told(LONGEST_WORD - 100), all);
        assert_eq!(
            told(LONGEST_WORD - 19),
            ["NEXTEST_TEST_NAME", "STT_TEST_ID"]
        );
        assert_eq!(told(LONGEST_WORD - 1), [""; 0]);
    }

    #[test]
    fn a_test_finds_its_name_attempt_and_slot() {
        let test = TestId::new(BinaryId::new("p::it"), "mod::a b");
        let env = per_test(PerTest {
            test: &test,
            run: &RunId::from_random([0; 16]),
            attempt: Attempt { number: 2, of: 3 },
            slot: 0,
            threads: 4,
            ports: &[20_001, 8080],
            group: Some(("db", 1)),
        });
        let shown: Vec<_> = env
            .iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect();
        assert_eq!(
            shown,
            [
                "NEXTEST_RUN_MODE=test",
                "NEXTEST_TEST_PHASE=run",
                "NEXTEST_TEST_NAME=mod::a b",
                "NEXTEST_ATTEMPT=2",
                "NEXTEST_TOTAL_ATTEMPTS=3",
                "NEXTEST_ATTEMPT_ID=00000000-0000-4000-8000-000000000000:p::it$mod::a b#2",
                "NEXTEST_STRESS_CURRENT=none",
                "NEXTEST_STRESS_TOTAL=none",
                "NEXTEST_TEST_GLOBAL_SLOT=0",
                "NEXTEST_TEST_GROUP=db",
                "NEXTEST_TEST_GROUP_SLOT=1",
                "NEXTEST_TEST_THREADS=4",
                "STT_TEST_ID=p::it mod::a b",
                "STT_ATTEMPT=2",
                "STT_PORTS=20001,8080",
                "STT_PORT_0=20001",
                "STT_PORT_1=8080",
            ]
        );
    }
}
