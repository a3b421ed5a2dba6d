//! A test sees what it sees under `cargo test`: the same variables, the same directory.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::os::unix::net::UnixListener;

use camino::Utf8Path;
use stt_tests::Lab;
use stt_tests::Variables;
use stt_tests::dumped;
use stt_tests::skipped;

/// All tests of the fixture: of a library, a program, an integration test, a bench, an example, the documentation, a
/// procedural macro, and a package without a build script.
const DUMPS: [&str; 8] = [
    "unit",
    "bin",
    "integration",
    "bench",
    "example",
    "doc",
    "macro",
    "plain",
];

/// What a runner tells every test of, and cargo none.
const ADDED: [&str; 26] = [
    "NEXTEST",
    "NEXTEST_ATTEMPT",
    "NEXTEST_ATTEMPT_ID",
    "NEXTEST_BINARY_ID",
    "NEXTEST_EXECUTION_MODE",
    "NEXTEST_LD_LIBRARY_PATH",
    "NEXTEST_PROFILE",
    "NEXTEST_RECOMMENDED_VERSION",
    "NEXTEST_REQUIRED_VERSION",
    "NEXTEST_RUN_ID",
    "NEXTEST_RUN_MODE",
    "NEXTEST_STRESS_CURRENT",
    "NEXTEST_STRESS_TOTAL",
    "NEXTEST_TEST_GLOBAL_SLOT",
    "NEXTEST_TEST_GROUP",
    "NEXTEST_TEST_GROUP_SLOT",
    "NEXTEST_TEST_NAME",
    "NEXTEST_TEST_PHASE",
    "NEXTEST_TEST_THREADS",
    "NEXTEST_TOTAL_ATTEMPTS",
    "NEXTEST_VERSION",
    "NEXTEST_WORKSPACE_ROOT",
    "STT",
    "STT_ATTEMPT",
    "STT_RUN_ID",
    "STT_TEST_ID",
];

/// What it adds for tests that cargo tells of their package's programs.
const ADDED_WHERE_PROGRAMS_ARE_KNOWN: [&str; 3] = [
    "CARGO_BIN_EXE_env_tool",
    "NEXTEST_BIN_EXE_env-tool",
    "NEXTEST_BIN_EXE_env_tool",
];

/// What has another value: a place of the run's own, the socket in front of the engine, and what Podman's command is to
/// write down.
const CHANGED: [&str; 3] = ["CONTAINERS_CONF", "DOCKER_HOST", "TMPDIR"];

/// The variables that both runs are given, which some of what the fixture says wins over and some does not.
#[expect(
    clippy::disallowed_methods,
    reason = "what finds the toolchain is inherited"
)]
fn given(lab: &Lab, engine: &Utf8Path) -> Variables {
    let path = std::env::var("PATH").expect("somebody runs us");
    let ours = stt_tests::cargo_stt().parent().expect("it lies somewhere");
    let (podman, conf) = (lab.path("podman"), lab.path("containers.conf"));
    fs_err::create_dir(&podman).expect("writable");
    fs_err::os::unix::fs::symlink("/bin/true", podman.join("podman")).expect("writable");
    fs_err::write(&conf, "").expect("writable");
    let given = [
        ("PATH", format!("{ours}:{podman}:{path}")),
        ("CONTAINERS_CONF", conf.to_string()),
        ("STT_CHECKPOINT_PATH", lab.checkpoint.to_string()),
        ("TMPDIR", lab.tmp.to_string()),
        ("DOCKER_HOST", format!("unix://{engine}")),
        ("NOT_FORCED_BY_CARGO_CONFIG", "inherited".to_owned()),
        ("FORCED_BY_CARGO_CONFIG", "inherited".to_owned()),
        ("FROM_BUILD_SCRIPT", "inherited".to_owned()),
    ];
    let given = given.into_iter();
    given
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// What the tests see under `cargo test` and under `cargo stt` when both are started with these variables.
fn both(lab: &Lab, given: &Variables) -> [BTreeMap<&'static str, Variables>; 2] {
    let dir = lab.path("dumps");
    let take = || {
        let dumps = DUMPS.map(|name| (name, dumped(&dir, name)));
        fs_err::remove_dir_all(&dir).expect("it is ours");
        dumps.into_iter().collect()
    };
    let given = given
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !name.starts_with('('))
        .chain([("ENV_DUMP", dir.as_str())]);

    fs_err::create_dir(&dir).expect("writable");
    let mut cargo = lab.command(stt_tests::cargo());
    cargo.args(["test", "--quiet", "--workspace"]);
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    let output = cargo.envs(given.clone()).output().expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let theirs = take();

    fs_err::create_dir(&dir).expect("writable");
    let args = ["--workspace", "--config", "run.doctests=true"];
    let stt = given.fold(lab.stt(args).through_cargo(), |stt, (name, value)| {
        stt.env(name, value)
    });
    drop(stt.run().code(0));
    [theirs, take()]
}

/// The names of what is not the same.
fn differing<'a>(theirs: &'a Variables, ours: &'a Variables) -> BTreeSet<&'a str> {
    let names = theirs.keys().chain(ours.keys());
    names
        .filter(|name| theirs.get(*name) != ours.get(*name))
        .map(String::as_str)
        .collect()
}

/// What may be otherwise for this test.
fn expected(name: &str) -> BTreeSet<&'static str> {
    let knows_programs = ["integration", "bench"].contains(&name);
    let more = knows_programs.then_some(ADDED_WHERE_PROGRAMS_ARE_KNOWN);
    // A documentation test has no libtest in it that could be called in another way.
    let called = (name != "doc").then_some("(arguments)");
    let all = ADDED.into_iter().chain(CHANGED).chain(called);
    all.chain(more.into_iter().flatten()).collect()
}

#[test]
fn a_test_sees_what_it_sees_under_cargo_test_and_what_is_told_here() {
    let lab = Lab::shared("env");
    let engine = lab.path("engine");
    let _socket = UnixListener::bind(&engine).expect("the path is short");
    let [theirs, ours] = both(&lab, &given(&lab, &engine));
    for name in DUMPS {
        let (theirs, ours) = (&theirs[name], &ours[name]);
        let found = differing(theirs, ours);
        let differ: Vec<_> = found
            .symmetric_difference(&expected(name))
            .map(|variable| (*variable, theirs.get(*variable), ours.get(*variable)))
            .collect();
        assert!(differ.is_empty(), "`{name}`: {differ:#?}");
    }
    // The comparison is worth something only if cargo has set all this.
    let theirs = &theirs["integration"];
    for name in [
        "CARGO",
        "CARGO_BIN_EXE_env-tool",
        "LD_LIBRARY_PATH",
        "OUT_DIR",
        "RELATIVE_BY_CARGO_CONFIG",
    ] {
        assert!(theirs.contains_key(name), "{name}: {theirs:#?}");
    }
    assert_eq!(theirs["FROM_BUILD_SCRIPT"], "a value with spaces");
    assert_eq!(theirs["FORCED_BY_CARGO_CONFIG"], "forced value");
}

/// A run that a test starts has inherited what that test was told, under cargo and under us.
#[test]
fn a_test_of_a_run_inside_a_test_sees_what_it_sees_under_cargo_test() {
    let lab = Lab::shared("env");
    let engine = lab.path("engine");
    let _socket = UnixListener::bind(&engine).expect("the path is short");
    let given = given(&lab, &engine);
    for outer in both(&lab, &given) {
        for starter in ["integration", "plain"] {
            // What a run has made for its tests ends with it.
            let mut inherited = outer[starter].clone();
            inherited.extend(given.clone());
            let [theirs, ours] = both(&lab, &inherited);
            for name in DUMPS {
                let (theirs, ours) = (&theirs[name], &ours[name]);
                let differ: Vec<_> = differing(theirs, ours)
                    .difference(&expected(name))
                    .map(|variable| (*variable, theirs.get(*variable), ours.get(*variable)))
                    .collect();
                assert!(differ.is_empty(), "`{name}` in `{starter}`: {differ:#?}");
                assert_ne!(ours.get("NEXTEST_RUN_ID"), inherited.get("NEXTEST_RUN_ID"));
            }
        }
    }
}

/// The variables that nextest has brought up, those of a run without its number.
fn nextests(variables: &Variables) -> Variables {
    let run = variables["NEXTEST_RUN_ID"].as_str();
    let brought_up = variables
        .iter()
        .filter(|(name, _)| name.starts_with("NEXTEST"));
    brought_up
        .map(|(name, value)| (name.clone(), value.replace(run, "RUN")))
        .collect()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn a_test_finds_the_variables_that_nextest_gives_it() {
    let lab = Lab::shared("env");
    let dirs = ["theirs", "ours"].map(|name| lab.path(name));
    for dir in &dirs {
        fs_err::create_dir(dir).expect("writable");
    }
    let mut nextest = lab.command(stt_tests::cargo());
    let args = ["nextest", "run", "--workspace", "--all-targets"];
    nextest.args(args).env("ENV_DUMP", &dirs[0]);
    let output = nextest.output().expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("no such command") {
        return skipped("nextest", &said);
    }
    assert!(output.status.success(), "{said}");
    let stt = lab.stt(&args[2..]).through_cargo();
    drop(stt.env("ENV_DUMP", &dirs[1]).run().code(0));
    for name in DUMPS.into_iter().filter(|name| *name != "doc") {
        let [mut theirs, mut ours] = dirs.each_ref().map(|dir| nextests(&dumped(dir, name)));
        assert!(
            ours.contains_key("NEXTEST_BIN_EXE_env-tool")
                == ["integration", "bench"].contains(&name)
        );
        for variables in [&mut theirs, &mut ours] {
            // Who gets which slot is chance.
            variables
                .remove("NEXTEST_TEST_GLOBAL_SLOT")
                .expect("each has one");
        }
        // What cargo has and nextest has not.
        let libraries = "NEXTEST_LD_LIBRARY_PATH";
        assert!(ours.remove(libraries).is_some() && theirs.remove(libraries).is_some());
        // Another nextest may be installed than the one that this was compared with.
        assert!(
            ours.remove("NEXTEST_VERSION").is_some() && theirs.remove("NEXTEST_VERSION").is_some()
        );
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn libraries_that_know_nextest_find_what_they_look_for() {
    let lab = Lab::shared("env");
    let dir = lab.path("dump");
    std::fs::create_dir(&dir).expect("writable");
    let config = lab.path("stt.toml");
    fs_err::write(&config, "[profile.ci]\n").expect("writable");
    let run = lab.stt(["--workspace", "--profile", "ci"]);
    let run = run.args(["--config-file", config.as_str()]);
    drop(run.env("ENV_DUMP", &dir).run().code(0));
    let unit = dumped(&dir, "unit");
    for (key, value) in [
        ("NEXTEST", "1"),
        ("NEXTEST_EXECUTION_MODE", "process-per-test"),
        ("NEXTEST_PROFILE", "ci"),
        ("STT", "1"),
        ("CARGO_PKG_VERSION_PRE", "beta.4"),
        ("CARGO_PKG_AUTHORS", "Ann Author <ann@example.org>:Bob"),
        ("CARGO_PKG_README", "ABOUT.md"),
        ("FROM_BUILD_SCRIPT", "a value with spaces"),
    ] {
        assert_eq!(unit.get(key).map(String::as_str), Some(value), "{key}");
    }
    for key in [
        "NEXTEST_RUN_ID",
        "NEXTEST_TEST_GLOBAL_SLOT",
        "STT_RUN_ID",
        "STT_TEST_ID",
        "STT_ATTEMPT",
    ] {
        assert!(
            unit.get(key).is_some_and(|value| !value.is_empty()),
            "{key}"
        );
    }
    let tmp = Utf8Path::new(&unit["TMPDIR"]);
    assert!(tmp.starts_with(&lab.tmp) && tmp != lab.tmp, "{tmp}");
    assert!(
        tmp.as_str().len() < lab.tmp.as_str().len() + 40,
        "long for a socket: {tmp}"
    );
    assert!(!tmp.exists(), "{tmp} is still there");
    assert!(!unit.keys().any(|key| key.starts_with("CARGO_BIN_EXE_")));
    let integration = dumped(&dir, "integration");
    assert!(Utf8Path::new(&integration["CARGO_BIN_EXE_env-tool"]).is_file());
    assert!(!dumped(&dir, "plain").contains_key("OUT_DIR"));
    assert_ne!(unit["STT_TEST_ID"], integration["STT_TEST_ID"]);
    assert_eq!(unit["STT_RUN_ID"], integration["STT_RUN_ID"]);
}

#[test]
fn the_temporary_directory_can_be_inherited() {
    let lab = Lab::shared("env");
    let dir = lab.path("dump");
    std::fs::create_dir(&dir).expect("writable");
    let stt = lab.stt(["--workspace", "--config", "run.tmpdir=inherit"]);
    drop(stt.env("ENV_DUMP", &dir).run().code(0));
    assert_eq!(dumped(&dir, "unit")["TMPDIR"], lab.tmp.as_str());
}
