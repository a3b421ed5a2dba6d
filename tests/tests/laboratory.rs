//! The tests' own instruments: a survivor is seen, also one that hides; a model is what its fixture holds.

use std::process::Stdio;

use stt_tests::DEADLINE;
use stt_tests::Lab;
use stt_tests::is_alive;
use stt_tests::until;
use stt_tests::workspace_root;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn a_survivor_is_seen_and_ended() {
    let lab = Lab::bare();
    assert!(lab.survivors().is_empty());
    let mut child = lab
        .command("sleep")
        .arg("60")
        .spawn()
        .expect("sleep starts");
    // Until it has executed `sleep`, it still has our environment.
    let seen = until("it is seen", DEADLINE, || lab.survivors().pop());
    assert_eq!(u32::try_from(seen.pid), Ok(child.id()));
    assert!(std::panic::catch_unwind(|| lab.assert_clean()).is_err());
    drop(lab);
    let status = child.wait().expect("our own child");
    assert!(!status.success(), "it was not ended");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn a_survivor_without_environment_is_seen_and_ended() {
    let lab = Lab::shared("hostile");
    let mut daemon = lab.command(lab.target.join("debug/daemon"));
    daemon
        .arg(&lab.traces)
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    assert!(daemon.status().expect("it starts").success());
    let pid = until("it leaves its trace", DEADLINE, || lab.traced("daemon"))[0];
    assert_eq!(
        lab.survivors()
            .iter()
            .map(|process| process.pid)
            .collect::<Vec<_>>(),
        [pid]
    );
    drop(lab);
    until("it is ended", DEADLINE, || (!is_alive(pid)).then_some(()));
}

#[test]
fn a_forgotten_file_is_seen() {
    let lab = Lab::bare();
    lab.assert_clean();
    fs_err::write(lab.tmp.join("forgotten"), "").expect("writable");
    assert!(std::panic::catch_unwind(|| lab.assert_clean()).is_err());
}

/// A model lists exactly the tests of its fixture, held against what the harness itself lists.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn models_name_the_tests_that_there_are() {
    for fixture in [
        "adversary",
        "basic",
        "boxed",
        "counting",
        "env",
        "hostile",
        "leaky",
        "slow",
    ] {
        let lab = Lab::shared(fixture);
        // Cargo sets the library path that the test binary of a procedural macro needs.
        let mut list = lab.command(stt_tests::cargo());
        list.args([
            "test",
            "--quiet",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
        ]);
        let output = list
            .args(["--", "--list", "--format", "terse"])
            .output()
            .expect("cargo starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        // A program without a harness knows no list: it says something else.
        let name = |line: &'_ str| match line {
            "a plain program ran" => Some("plain".to_owned()),
            _ => line.strip_suffix(": test").map(str::to_owned),
        };
        let mut listed: Vec<String> = text.lines().filter_map(name).collect();
        let mut modelled: Vec<String> = lab
            .expected()
            .results(&[])
            .into_keys()
            .map(|(_, name)| name)
            .collect();
        listed.sort();
        modelled.sort();
        assert_eq!(modelled, listed, "{fixture}");
    }
}

#[test]
fn every_fixture_is_a_workspace_of_its_own_without_dependencies() {
    let fixtures = workspace_root().join("fixtures");
    let mut count = 0;
    for entry in fixtures.read_dir_utf8().expect("readable") {
        let root = entry.expect("readable").into_path();
        let read =
            |name: &str| fs_err::read_to_string(root.join(name)).expect("every fixture has one");
        assert!(read("Cargo.toml").contains("[workspace]"), "{root}");
        assert!(
            !read("Cargo.lock").contains("checksum"),
            "{root} depends on a registry"
        );
        drop(read("expected.toml"));
        count += 1;
    }
    assert!(count >= 8, "{count} fixtures");
}
