//! A test sees what it sees under `cargo test`: the same variables, the same directory.

use std::collections::BTreeMap;

use camino::Utf8Path;
use stt_tests::Lab;

type Variables = BTreeMap<String, String>;

/// What a runner may add or change, beside what begins with `NEXTEST`, `STT` or `__NEXTEST`.
const MAY_DIFFER: [&str; 7] = [
    "(arguments)",
    "TMPDIR",
    // Libraries' directories are compared on their own.
    "LD_LIBRARY_PATH",
    // The two runs write to different places.
    "ENV_DUMP",
    "CARGO",
    // That is how cargo finds us.
    "PATH",
    "STT_CHECKPOINT_PATH",
];

fn dumped(dir: &Utf8Path, name: &str) -> Variables {
    let text =
        std::fs::read_to_string(dir.join(format!("{name}.json"))).expect("the test wrote it");
    serde_json::from_str(&text).expect("the fixture writes JSON")
}

#[test]
fn a_test_sees_what_it_sees_under_cargo_test() {
    let lab = Lab::shared("env");
    let (theirs, ours) = (lab.path("theirs"), lab.path("ours"));
    for dir in [&theirs, &ours] {
        std::fs::create_dir(dir).expect("writable");
    }
    let inherited = [
        ("NOT_FORCED_BY_CARGO_CONFIG", "inherited"),
        ("FORCED_BY_CARGO_CONFIG", "inherited"),
    ];
    let mut cargo = lab.command(stt_tests::cargo());
    cargo
        .args(["test", "--quiet", "--workspace"])
        .envs(inherited)
        .env("ENV_DUMP", &theirs);
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    let output = cargo.output().expect("cargo starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut stt = lab
        .stt(["--workspace"])
        .env("ENV_DUMP", &ours)
        .through_cargo();
    for (name, value) in inherited {
        stt = stt.env(name, value);
    }
    drop(stt.run().code(0));

    for name in ["unit", "integration", "plain"] {
        let (theirs, ours) = (dumped(&theirs, name), dumped(&ours, name));
        for (key, value) in &theirs {
            if !MAY_DIFFER.contains(&key.as_str()) {
                assert_eq!(ours.get(key), Some(value), "{key} in `{name}`");
            }
        }
        for key in ours.keys().filter(|key| !theirs.contains_key(*key)) {
            let added = [
                "NEXTEST",
                "__NEXTEST",
                "STT",
                "TMPDIR",
                "DOCKER_HOST",
                "CONTAINER_HOST",
            ]
            .iter()
            .any(|ours| key.starts_with(ours));
            // nextest sets it for integration tests with `-` turned into `_` as well.
            assert!(
                added || key == "CARGO_BIN_EXE_env_tool",
                "{key} in `{name}` is new"
            );
        }
        let libraries = |variables: &Variables| -> Vec<String> {
            let list = variables.get("LD_LIBRARY_PATH").expect("cargo sets it");
            list.split(':')
                .filter(|dir| Utf8Path::new(dir).is_dir())
                .map(str::to_owned)
                .collect()
        };
        let ours_list = libraries(&ours);
        for dir in libraries(&theirs) {
            assert!(
                ours_list.contains(&dir),
                "{dir} is no library directory in `{name}`: {ours_list:?}"
            );
        }
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
