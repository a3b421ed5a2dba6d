//! nextest's configuration file becomes one of ours.

use camino::Utf8Path;
use camino::Utf8PathBuf;
use stt_tests::Lab;

const NEXTEST: &str = r#"nextest-version = { required = "0.9.50" }

[profile.default]
slow-timeout = { period = "1m 30s", terminate-after = 4 }
archive = { include = [] }

[test-groups]
serial = { max-threads = 1 }

# They share a directory.
[[profile.default.overrides]]
filter = 'test(/^c\d\d$/)'
test-group = 'serial'

[profile.ci]
fail-fast = false

[[profile.ci.overrides]]
filter = 'test(=fails_until_told)'
retries = { backoff = "exponential", count = 2, delay = "1 msec" }
success-output = "final"
"#;

/// nextest's file below this directory.
fn nextest(dir: &Utf8Path) -> Utf8PathBuf {
    let path = dir.join(".config/nextest.toml");
    fs_err::create_dir_all(dir.join(".config")).expect("the laboratory is writable");
    fs_err::write(&path, NEXTEST).expect("the laboratory is writable");
    path
}

#[test]
fn it_is_written_beside_nextests_and_what_is_left_out_is_named() {
    let lab = Lab::bare();
    drop(nextest(&lab.root));
    let below = lab.root.join("src");
    fs_err::create_dir(&below).expect("the laboratory is writable");
    let import = ["config", "import-nextest"];
    let printed = lab.stt(import).args(["--stdout"]).run().code(0).stdout;
    let path = lab.root.join(".config/stt.toml");
    assert!(!path.exists(), "--stdout writes nothing");
    let imported = lab.stt(import).cwd(&below).run().code(0);
    assert!(imported.stdout.starts_with("wrote "), "{}", imported.stdout);
    assert_eq!(imported.stderr.lines().count(), 2, "{}", imported.stderr);
    let imported = imported
        .says("nextest.toml:1:1: nextest-version: ")
        .says("nextest.toml:5:1: profile.default.archive: ");
    drop(imported);
    let text = fs_err::read_to_string(&path).expect("it is there");
    assert_eq!(text, printed);
    assert!(
        text.starts_with("# Made from .config/nextest.toml by"),
        "{text}"
    );
    drop(lab.stt(["config", "check"]).run().code(0));
    drop(lab.stt(["config", "check", "-P", "ci"]).run().code(0));

    let mine = "[run]\nretries = 1\n";
    fs_err::write(&path, mine).expect("the laboratory is writable");
    let refused = lab.stt(import).run().code(96);
    drop(
        refused
            .says(".config/stt.toml` is there already")
            .says("--force"),
    );
    assert_eq!(fs_err::read_to_string(&path).expect("it is there"), mine);
    drop(lab.stt(import).args(["--force"]).run().code(0));
    assert_eq!(fs_err::read_to_string(&path).expect("it is there"), text);
}

#[test]
fn what_can_not_be_imported_is_96() {
    let lab = Lab::bare();
    let import = ["config", "import-nextest"];
    let none = lab.stt(import).run().code(96);
    drop(none.says("there is no `.config/nextest.toml`"));
    let missing = lab.stt(import).args(["no.toml"]).run().code(96);
    drop(missing.says("no.toml"));
    fs_err::write(lab.root.join("bad.toml"), "[profile\n").expect("the laboratory is writable");
    let bad = lab.stt(import).args(["bad.toml"]).run().code(96);
    drop(bad.says("this is not TOML").says("bad.toml:1:"));
    assert!(!lab.root.join("stt.toml").exists(), "something was written");
}

#[test]
fn a_run_with_it_tries_tests_again_as_it_did_there() {
    let lab = Lab::shared("counting");
    let from = nextest(&lab.path("there"));
    let file = lab.path("stt.toml");
    let import = [
        "config",
        "import-nextest",
        from.as_str(),
        "-o",
        file.as_str(),
    ];
    drop(lab.stt(import).run().code(0));
    let log = lab.log();
    let run = lab.stt(["-P", "ci", "--config-file", file.as_str()]);
    let run = run.env("COUNTING_MENDED_AT", "3").log(&log).run().code(0);
    drop(run.says("FLAKY 3/3").says("1 flaky"));
    assert_eq!(log.count("fails_until_told"), 3);
    lab.assert_clean();
}

#[test]
fn a_run_with_it_keeps_its_groups() {
    let lab = Lab::shared("crowd");
    let from = nextest(&lab.path("there"));
    drop(
        lab.stt(["config", "import-nextest", from.as_str()])
            .run()
            .code(0),
    );
    let file = from.with_file_name("stt.toml");
    let dir = lab.path("crowd");
    fs_err::create_dir(&dir).expect("the laboratory is writable");
    let stt = lab.json(["-j", "4", "--no-coordinator", "--no-guard"]);
    let stt = stt.args(["--config-file", file.as_str()]);
    let stt = stt.env("CROWD_DIR", dir).env("CROWD_MOST", "1");
    assert_eq!(stt.run().code(0).results(), lab.expected().results(&[]));
    lab.assert_clean();
}
