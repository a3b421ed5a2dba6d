//! What a person gets who asks for something that can't be done: an exit code, and what to do.

use stt_tests::Lab;

#[test]
fn all_passed_is_0() {
    let lab = Lab::shared("basic");
    drop(lab.stt(["passes"]).run().code(0));
    lab.assert_clean();
}

#[test]
fn the_command_also_runs_without_cargo() {
    let lab = Lab::shared("basic");
    let mut command = lab.command(stt_tests::cargo_stt());
    command.args(["--exact", "tests::passes", "--no-checkpoint"]);
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    let output = command.output().expect("it starts");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn what_can_not_be_understood_is_2() {
    let lab = Lab::shared("basic");
    for (args, named) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["--memory-threshold", "0"], "'0'"),
        (&["--memory-threshold", "0%"], "0%"),
        (&["--memory-threshold", "0GB"], "0GB"),
        (&["--memory-threshold", "-1"], "-1"),
        (&["--memory-threshold", ""], "--memory-threshold"),
        (&["--memory-threshold", "900%"], "900%"),
        (&["--memory-threshold", "6XB"], "6XB"),
        (&["--cpu-threshold", "101%"], "101%"),
        (&["--cpu-threshold", "6GB"], "6GB"),
        (&["--check-interval", "5"], "5"),
        (&["--run-ignored", "sometimes"], "sometimes"),
        (&["-j", "none"], "none"),
        (&["--on-breach", "panic"], "panic"),
        (&["--color", "mauve"], "mauve"),
        (
            &["--config", "guard.memroy-threshold=80%"],
            "memory-threshold",
        ),
        (&["--config", "guard.memory-threshold=900%"], "900%"),
        (&["--no-guard", "--memory-threshold", "80%"], "--no-guard"),
        (&["--resume", "--no-checkpoint"], "--no-checkpoint"),
        (&["--resume", "--no-run"], "--no-run"),
        (&["--fail-fast", "--no-fail-fast"], "--no-fail-fast"),
        (&["--no-fail-fast", "--max-fail", "2"], "--max-fail"),
        (&["--max-fail", "0"], "--max-fail"),
        (&["-j", "0"], "--test-threads"),
        (&["-j", "2", "--no-capture"], "--no-capture"),
        (&["-j", "2", "--", "--nocapture"], "--nocapture"),
        (&["-j", "2", "--", "--test-threads", "2"], "--test-threads"),
        (
            &["--run-ignored", "all", "--", "--ignored"],
            "--run-ignored",
        ),
        (&["--release", "--cargo-profile", "dev"], "--cargo-profile"),
        (&["--exclude", "basic"], "--workspace"),
        (&["--self-protect", "--no-guard"], "--no-guard"),
        (&["--cpu-action", "melt"], "melt"),
        (&["--status-level", "some"], "some"),
        (&["--message-format", "xml"], "xml"),
        (&["--checkpoint", ""], "--checkpoint"),
        (&["--", "--bogus"], "--bogus"),
        (&["-v", "list"], "`list` is a command"),
        (&["--profile", "no-such-profile"], "no-such-profile"),
    ] {
        let finished = lab.stt(args).run().code(2).says(named);
        assert_eq!(finished.stdout, "", "{args:?}");
        assert!(!lab.checkpoint.exists(), "{args:?}");
    }
}

#[test]
fn no_test_is_4() {
    let empty = Lab::shared("empty");
    drop(empty.stt(["--no-fail-fast"]).run().code(4));
    let basic = Lab::shared("basic");
    drop(basic.stt(["no_test_has_such_a_name"]).run().code(4));
}

#[test]
fn a_wrong_configuration_is_96_and_named() {
    let lab = Lab::shared("basic");
    let file = lab.path("wrong.toml");
    let text = "[run]\nslow-timeout = \"1s\"\ntest-thraeds = 2\n";
    fs_err::write(&file, text).expect("writable");
    let finished = lab.stt(["--config-file", file.as_str()]).run().code(96);
    drop(
        finished
            .says("wrong.toml:3")
            .says("test-thraeds")
            .says("test-threads"),
    );
    fs_err::write(&file, "[guard]\nmemory-threshold = 80\n").expect("writable");
    let finished = lab.stt(["--config-file", file.as_str()]).run().code(96);
    drop(finished.says("wrong.toml:2").says("memory-threshold"));
    let missing = lab.path("missing.toml");
    drop(
        lab.stt(["--config-file", missing.as_str()])
            .run()
            .code(96)
            .says("missing.toml"),
    );
    let stt = lab
        .stt(["passes"])
        .env("STT_GUARD_MEMORY_THRESHOLD", "a lot");
    drop(
        stt.run()
            .code(96)
            .says("a lot")
            .says("STT_GUARD_MEMORY_THRESHOLD"),
    );
    assert!(!lab.checkpoint.exists(), "something ran");
}

#[test]
fn failed_tests_are_100() {
    let lab = Lab::shared("basic");
    drop(
        lab.stt(["--exact", "tests::fails"])
            .run()
            .code(100)
            .says("tests::fails"),
    );
}

#[test]
fn a_failed_build_is_101_and_cargo_says_why() {
    let lab = Lab::copied("broken");
    let finished = lab.json(["--no-fail-fast"]).run().code(101);
    drop(
        finished
            .says("this fixture is broken on purpose")
            .says("src/lib.rs"),
    );
    assert!(!lab.checkpoint.exists(), "nothing ran");
    lab.assert_clean();
}

#[test]
fn no_project_is_102() {
    let lab = Lab::bare();
    drop(
        lab.stt(["--no-fail-fast"])
            .run()
            .code(102)
            .says("Cargo.toml"),
    );
    lab.assert_clean();
}

#[test]
fn a_broken_manifest_is_102() {
    let lab = Lab::bare();
    fs_err::write(lab.root.join("Cargo.toml"), "[package\n").expect("writable");
    drop(
        lab.stt(["--no-fail-fast"])
            .run()
            .code(102)
            .says("Cargo.toml"),
    );
}

#[test]
fn a_binary_that_can_not_be_listed_is_104() {
    let lab = Lab::shared("unlistable");
    let stt = lab.stt(["--test", "mute", "--config", "run.list-timeout=1s"]);
    drop(
        stt.env("MUTE_IGNORES_TERM", "1")
            .run()
            .code(104)
            .says("unlistable::mute")
            .says("was ended after 1 s"),
    );
    assert!(lab.traced("mute").is_some(), "it was never asked");
    lab.assert_clean();
    let dead = lab.stt(["--test", "mute"]).env("MUTE_DIES", "1");
    drop(
        dead.run()
            .code(104)
            .says("unlistable::mute")
            .says("exited with code 3")
            .says("dead before main"),
    );
    assert!(!lab.checkpoint.exists(), "something ran");
}

/// People are told what they wait for; a binary that answers at once is not worth a word.
#[test]
fn a_binary_that_takes_long_to_list_its_tests_is_named_meanwhile() {
    let lab = Lab::shared("unlistable");
    let mut running = lab.stt(["--test", "mute"]).spawn();
    running.wait_for("it is named", |running| {
        let said = running.stderr();
        said.contains("Waiting for the list of tests of unlistable::mute, for")
            .then_some(())
    });
    running.signal(nix::sys::signal::Signal::SIGINT);
    drop(running.finish().signal(2));
    let quick = lab.stt(["list", "--test", "opaque"]).run().code(0);
    drop(quick.never_says("Waiting"));
    lab.assert_clean();
}

/// Without a harness there may be no list: the program is one test then, as it is for cargo.
#[test]
fn a_program_without_a_harness_that_lists_nothing_is_one_test() {
    let lab = Lab::shared("unlistable");
    let limits = [
        "run.list-timeout=300ms",
        "run.slow-timeout=300ms",
        "run.terminate-after=1",
    ];
    let limits = limits.iter().flat_map(|limit| ["--config", limit]);
    let stt = lab.json(["--test", "opaque"]).args(limits);
    let results = stt.run().code(100).results();
    let id = ("unlistable::opaque".to_owned(), "opaque".to_owned());
    assert_eq!(results, [(id, "timeout".to_owned())].into());
    lab.assert_clean();
}

#[test]
fn a_target_directory_that_is_a_file_is_101_and_cargo_says_why() {
    let lab = Lab::copied("empty");
    fs_err::write(&lab.target, "not a directory").expect("writable");
    let finished = lab.stt(["--no-fail-fast"]).run().code(101);
    drop(
        finished
            .says("failed to create directory")
            .never_says("panicked"),
    );
}

#[test]
fn no_cargo_is_96() {
    let lab = Lab::shared("basic");
    let missing = lab.stt(["passes"]).env("CARGO", "/nonexistent");
    drop(
        missing
            .run()
            .code(96)
            .says("`/nonexistent` was not found")
            .says("hint: "),
    );
    let nowhere = lab.stt(["passes"]).without("CARGO").env("PATH", "");
    drop(nowhere.run().code(96).says("`cargo` was not found"));
    let file = lab.path("no-program");
    fs_err::write(&file, "this is no program\n").expect("writable");
    drop(
        lab.stt(["passes"])
            .env("CARGO", &file)
            .run()
            .code(96)
            .says("no-program"),
    );
    assert!(!lab.checkpoint.exists(), "something ran");
}

#[test]
fn nothing_runs_where_only_a_build_was_asked_for() {
    let lab = Lab::shared("counting");
    let log = lab.log();
    drop(lab.stt(["--no-run"]).log(&log).run().code(0));
    assert!(log.starts().is_empty());
    assert!(!lab.checkpoint.exists());
}

#[test]
fn help_and_version_are_there() {
    let lab = Lab::bare();
    let help = lab.stt(["--help"]).run().code(0).stdout;
    for flag in [
        "--resume",
        "--memory-threshold",
        "--no-guard",
        "--message-format",
    ] {
        assert!(help.contains(flag), "{flag} is not in the help:\n{help}");
    }
    let version = lab.stt(["--version"]).run().code(0).stdout;
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

#[test]
fn the_configuration_can_be_seen() {
    let lab = Lab::copied("counting");
    let default = lab.stt(["config", "default"]).run().code(0).stdout;
    for key in [
        "[run]",
        "[guard]",
        "memory-threshold",
        "[checkpoint]",
        "[output]",
    ] {
        assert!(default.contains(key), "{key} is not in:\n{default}");
    }
    std::fs::create_dir(lab.root.join(".config")).expect("writable");
    fs_err::write(
        lab.root.join(".config/stt.toml"),
        "[run]\nslow-timeout = \"7s\"\n",
    )
    .expect("writable");
    let show = lab
        .stt(["config", "show"])
        .env("STT_GUARD_CHECK_INTERVAL", "333ms")
        .run()
        .code(0)
        .stdout;
    let line = |key: &str| {
        let found = show.lines().find(|line| line.trim_start().starts_with(key));
        found
            .unwrap_or_else(|| panic!("no {key} in:\n{show}"))
            .to_owned()
    };
    assert!(
        line("run.slow-timeout").contains("7s") && line("run.slow-timeout").contains("stt.toml"),
        "{show}"
    );
    assert!(
        line("guard.check-interval").contains("333ms")
            && line("guard.check-interval").contains("STT_"),
        "{show}"
    );
    drop(lab.stt(["config", "check"]).run().code(0));
    fs_err::write(
        lab.root.join(".config/stt.toml"),
        "[run]\nslow-timeout = 7\n",
    )
    .expect("writable");
    drop(
        lab.stt(["config", "check"])
            .run()
            .code(96)
            .says("stt.toml")
            .says("slow-timeout"),
    );
}
