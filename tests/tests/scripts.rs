//! Setup scripts before the tests, teardown scripts after them, and what they have to do with each other.

use nix::sys::signal::Signal;
use stt_tests::Finished;
use stt_tests::Lab;
use stt_tests::Stt;
use stt_tests::dumped;

/// A run of these tests with this text in a configuration file. Scripts find a directory for traces in `HOSTILE_DIR`.
fn stt<'lab>(lab: &'lab Lab, text: &str, args: &[&str]) -> Stt<'lab> {
    let path = lab.path("scripts.toml");
    fs_err::write(&path, text).expect("the laboratory is writable");
    lab.json(args).args(["--config-file", path.as_str()])
}

/// A script of a shell.
fn script(kind: &str, name: &str, line: &str, more: &str) -> String {
    format!("[scripts.{kind}.{name}]\ncommand = ['sh', '-c', '''{line}''']\n{more}\n")
}

/// A script that leaves its name among the traces.
fn notes(kind: &str, name: &str) -> String {
    let line = format!("echo {kind}:{name} >> $HOSTILE_DIR/order");
    script(kind, name, &line, "")
}

/// Which scripts have left their names, in this order.
fn order(lab: &Lab) -> Vec<String> {
    let text = fs_err::read_to_string(lab.traces.join("order")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn of_all(what: &str) -> String {
    format!("[[overrides]]\nfilter = 'all()'\n{what}\n")
}

/// Name and outcome of each script, as it ended.
fn outcomes(finished: &Finished) -> Vec<(String, String)> {
    let report = finished.report();
    let ends = report.of("script-finished").map(|end| {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        (text(&end["script"]["name"]), text(&end["outcome"]))
    });
    ends.collect()
}

#[test]
fn scripts_run_around_the_tests_that_they_are_for_and_hand_variables_on() {
    let lab = Lab::shared("env");
    let dir = lab.path("dumped");
    fs_err::create_dir(&dir).expect("writable");
    let first = "pwd > $HOSTILE_DIR/cwd; env > $HOSTILE_DIR/env; echo A=1 >> $STT_ENV; \
        echo 'B= x y' >> $NEXTEST_ENV; echo setup:first >> $HOSTILE_DIR/order";
    let second = "echo A=2 >> $STT_ENV; echo setup:second >> $HOSTILE_DIR/order; echo $OWN";
    let last = "echo teardown:last $A $B >> $HOSTILE_DIR/order";
    let text = [
        script("setup", "first", first, ""),
        script("setup", "second", second, "capture-stdout = true")
            .replace(
                "command = [",
                "command = { env = { OWN = 'mine' }, command-line = [",
            )
            .replace("''']", "'''] }"),
        notes("setup", "unused"),
        script("teardown", "last", last, ""),
        "[[overrides]]\nfilter = 'test(=dump)'\nsetup = ['second', 'first']\nteardown = 'last'\n"
            .to_owned(),
        "[[overrides]]\nfilter = 'package(env-plain)'\nsetup = 'first'\n".to_owned(),
        "[[overrides]]\nfilter = 'test(nobody)'\nsetup = 'unused'\n".to_owned(),
    ]
    .concat();
    let finished = stt(
        &lab,
        &text,
        &["--workspace", "--junit", lab.path("junit.xml").as_str()],
    )
    .env("ENV_DUMP", &dir)
    .run()
    .code(0);
    assert_eq!(
        order(&lab),
        ["setup:first", "setup:second", "teardown:last 2 x y"]
    );
    let of = |name: &str| {
        let variables = dumped(&dir, name);
        ["A", "B"].map(|key| variables.get(key).cloned().unwrap_or_default())
    };
    assert_eq!(of("integration"), ["2", " x y"]);
    assert_eq!(of("plain"), ["1", " x y"]);
    let trace = |name: &str| fs_err::read_to_string(lab.traces.join(name)).expect("it was left");
    assert_eq!(trace("cwd").trim_end(), lab.root);
    for line in [
        "NEXTEST=1",
        "NEXTEST_PROFILE=default",
        "NEXTEST_VERSION=0.9.143",
        "NEXTEST_RUN_MODE=test",
        "STT=1",
        "STT_SCRIPT=setup:first",
        &format!("NEXTEST_WORKSPACE_ROOT={}", lab.root),
    ] {
        assert!(trace("env").lines().any(|found| found == line), "{line}");
    }
    // Programs of the workspace may need its libraries.
    let deps = lab.target.join("debug/deps");
    let libraries = trace("env");
    let libraries = libraries
        .lines()
        .find_map(|line| line.strip_prefix("LD_LIBRARY_PATH="));
    assert!(libraries.is_some_and(|path| path.split(':').any(|dir| dir == deps)));
    let report = finished.report();
    let started: Vec<_> = report.of("script-started").collect();
    assert_eq!(started[1]["script"]["number"], 2);
    assert_eq!(started[1]["script"]["of"], 2);
    let ends: Vec<_> = report.of("script-finished").collect();
    assert_eq!(ends[0]["variables"]["A"], "1");
    assert_eq!(ends[1]["output"]["stdout"]["text"], "mine\n");
    let junit = fs_err::read_to_string(lab.path("junit.xml")).expect("it was written");
    for part in [
        "<testsuite name=\"@setup-script:second\" tests=\"1\"",
        "<property name=\"output-env:A\" value=\"2\"/>",
        "<testcase name=\"last\" classname=\"@teardown-script:last\"",
    ] {
        assert!(junit.contains(part), "{part} in\n{junit}");
    }
    lab.assert_clean();
}

#[test]
fn after_a_setup_script_that_fails_no_test_runs_until_it_is_resumed() {
    let lab = Lab::shared("counting");
    let text = [
        notes("setup", "fine"),
        script("setup", "bad", "test -e $HOSTILE_DIR/mended", ""),
        notes("setup", "later"),
        notes("teardown", "down"),
        of_all("setup = ['fine', 'bad', 'later']\nteardown = 'down'"),
    ]
    .concat();
    let run = |args: &[&str]| stt(&lab, &text, args);
    let failed = run(&["--exact", "t00", "t01"]).run().code(105);
    assert_eq!(order(&lab), ["setup:fine", "teardown:down"]);
    let report = failed.report();
    assert_eq!(report.of("test-started").count(), 0);
    assert_eq!(report.one("run-finished")["outcome"], "script-failed");
    assert_eq!(report.one("run-finished")["outstanding"], 2);
    let bad = report.of("script-finished").nth(1).expect("three have run");
    assert_eq!(bad["reason"], "exited with code 1");
    fs_err::write(lab.traces.join("mended"), "").expect("writable");
    let resumed = run(&["--resume"]).run().code(0);
    assert_eq!(resumed.report().count("passed"), 2);
    assert_eq!(
        order(&lab)[2..],
        ["setup:fine", "setup:later", "teardown:down"]
    );
    let nothing = run(&["--resume"]).run().code(0);
    assert_eq!(
        outcomes(&nothing),
        [],
        "nothing is left that they would be for"
    );
    lab.assert_clean();
}

#[test]
fn people_see_what_runs_and_why_it_failed() {
    let lab = Lab::shared("counting");
    let bad = "echo it broke >&2; echo 'NEXTEST_X=1' > $STT_ENV";
    let text = [
        script("setup", "bad", bad, "capture-stderr = true"),
        script("teardown", "down", "exit 3", "capture-stderr = true"),
        of_all("setup = 'bad'\nteardown = 'down'"),
    ]
    .concat();
    let path = lab.path("scripts.toml");
    fs_err::write(&path, &text).expect("the laboratory is writable");
    let shown = lab.stt(["--exact", "t00", "--config-file", path.as_str()]);
    let shown = shown
        .run()
        .code(105)
        .says("SETUP [      1/1] bad: sh -c 'echo it broke")
        .says("SETUP FAIL")
        .says("line 1: `NEXTEST_X` begins with `NEXTEST`, which is the runner's own")
        .says("    it broke")
        .says("DOWN FAIL")
        .says("exited with code 3")
        .says("Failed a setup script: 1 test was not run");
    drop(shown);
    let text = text.replace("NEXTEST_X", "X");
    fs_err::write(&path, text).expect("the laboratory is writable");
    let shown = lab.stt(["--exact", "t00", "--config-file", path.as_str()]);
    let shown = shown.run().code(105);
    drop(shown.says("Failed a teardown script: every test has passed"));
    let resumed = lab.stt(["--resume", "--config-file", path.as_str()]);
    drop(resumed.run().code(105).says("nothing to resume"));
    lab.assert_clean();
}

#[test]
fn what_a_setup_script_leaves_running_is_for_the_tests_and_ends_with_the_run() {
    let lab = Lab::shared("counting");
    let server = "sleep 1000 > /dev/null 2>&1 & echo $! > $HOSTILE_DIR/server.pid";
    let down = "kill -0 $(cat $HOSTILE_DIR/server.pid) && echo alive > $HOSTILE_DIR/seen";
    let text = [
        script("setup", "server", server, ""),
        script("teardown", "down", down, ""),
        of_all("setup = 'server'\nteardown = 'down'"),
    ]
    .concat();
    let args = ["--exact", "t00", "t01", "--leaks", "fail"];
    for threads in ["1", "2"] {
        let finished = stt(&lab, &text, &args).args(["-j", threads]).run().code(0);
        assert_eq!(lab.is_there("seen"), Some(()));
        fs_err::remove_file(lab.traces.join("seen")).expect("it is there");
        let report = finished.report();
        assert_eq!(report.count("leaky"), 0);
        let swept = &report.one("run-finished")["swept"];
        assert_eq!(swept[0]["command"], "sleep 1000", "{swept}");
        lab.assert_clean();
    }
}

#[test]
fn a_script_that_takes_too_long_is_ended_with_all_that_it_started() {
    let lab = Lab::shared("counting");
    let slow = "slow-timeout = { period = '200ms', terminate-after = 1 }\ngrace-period = '50ms'";
    let line = "trap '' TERM; sleep 1000 & wait; sleep 1000";
    let text = [
        script("setup", "slow", line, slow),
        of_all("setup = 'slow'"),
    ]
    .concat();
    let finished = stt(&lab, &text, &["--exact", "t00"]).run().code(105);
    let report = finished.report();
    assert_eq!(report.one("script-slow")["ending"], true);
    assert_eq!(
        report.one("script-finished")["reason"],
        "ran longer than 200 ms"
    );
    assert_eq!(report.one("run-finished")["swept"], serde_json::json!([]));
    lab.assert_clean();
}

#[test]
fn an_interrupt_is_followed_by_the_teardown() {
    let lab = Lab::shared("hostile");
    let text = [
        script("setup", "up", "echo A=1 > $STT_ENV", ""),
        script("teardown", "down", "echo down $A >> $HOSTILE_DIR/order", ""),
        of_all("setup = 'up'\nteardown = 'down'"),
    ]
    .concat();
    let mut running = stt(&lab, &text, &["--exact", "hangs"]).spawn();
    running.wait_for_start("hangs");
    running.signal(Signal::SIGINT);
    let finished = running.finish().signal(2);
    assert_eq!(order(&lab), ["down 1"]);
    assert_eq!(outcomes(&finished).len(), 2);
    lab.assert_clean();
}

#[test]
fn a_teardown_that_hangs_after_an_interrupt_has_the_grace_period_and_no_longer() {
    let lab = Lab::shared("hostile");
    let text = [
        "[run]\ngrace-period = '300ms'\n".to_owned(),
        script(
            "teardown",
            "stuck",
            "trap '' TERM; sleep 1000; sleep 1000",
            "",
        ),
        notes("teardown", "never"),
        of_all("teardown = ['stuck', 'never']"),
    ]
    .concat();
    let mut running = stt(&lab, &text, &["--exact", "hangs"]).spawn();
    running.wait_for_start("hangs");
    running.signal(Signal::SIGINT);
    let finished = running.finish().signal(2);
    assert_eq!(
        outcomes(&finished),
        [("stuck".to_owned(), "failed".to_owned())]
    );
    let warnings = finished.report();
    let warned = |line: &serde_json::Value| {
        line["message"] == "1 teardown script was not run: the grace period was over"
    };
    assert!(
        warnings.of("warning").any(warned),
        "{}",
        finished.transcript()
    );
    lab.assert_clean();
}

#[test]
fn the_guard_watches_scripts_and_a_stop_is_followed_by_the_teardown() {
    let lab = Lab::shared("counting");
    let text = [
        script("setup", "hog", "head -c 2000000000 /dev/zero | tail", ""),
        notes("teardown", "down"),
        of_all("setup = 'hog'\nteardown = 'down'"),
    ]
    .concat();
    let args = [
        "--exact",
        "t00",
        "--memory-threshold",
        "200MB",
        "--no-coordinator",
    ];
    let finished = stt(&lab, &text, &args).run().code(42);
    assert_eq!(order(&lab), ["teardown:down"]);
    let outcomes = outcomes(&finished);
    assert_eq!(outcomes[0], ("hog".to_owned(), "ended".to_owned()));
    assert_eq!(finished.report().one("run-finished")["outstanding"], 1);
    lab.assert_clean();
}

#[test]
fn when_the_worker_is_killed_what_setup_has_started_ends_with_it() {
    let lab = Lab::shared("hostile");
    let server = "setsid sleep 1000 > /dev/null 2>&1 & echo up";
    let text = [
        script("setup", "server", server, "capture-stdout = true"),
        of_all("setup = 'server'"),
    ]
    .concat();
    let mut running = stt(&lab, &text, &["--exact", "hangs"]).spawn();
    running.wait_for_start("hangs");
    let worker = running.worker();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), Signal::SIGKILL).expect("ours");
    drop(running.finish().code(42));
    lab.assert_clean();
}

#[test]
fn a_wrapper_runs_the_tests_and_lists_the_binaries_that_it_is_for() {
    let lab = Lab::shared("env");
    let dir = lab.path("dumped");
    fs_err::create_dir(&dir).expect("writable");
    let wrap = |trace: &str| {
        format!(
            "command = {{ env = {{ WRAPPED = '{trace}' }}, command-line = ['sh', '-c', \
             'echo $NEXTEST_TEST_PHASE \"$@\" >> $HOSTILE_DIR/{trace}; exec \"$@\"', 'wrap'] }}\n"
        )
    };
    let text = [
        "[scripts.wrapper.runs]\n".to_owned(),
        wrap("runs"),
        "[scripts.wrapper.lists]\n".to_owned(),
        wrap("lists"),
        "[[overrides]]\nfilter = 'binary(integration)'\nlist-wrapper = 'lists'\n".to_owned(),
        "[[overrides]]\nfilter = 'test(=dump) & binary(integration)'\nrun-wrapper = 'runs'\n\
         run-extra-args = ['--color', 'never']\n"
            .to_owned(),
    ]
    .concat();
    for _ in 0..2 {
        let finished = stt(&lab, &text, &["--workspace"]).env("ENV_DUMP", &dir);
        drop(finished.run().code(0));
    }
    let variables = dumped(&dir, "integration");
    assert_eq!(variables.get("WRAPPED").map(String::as_str), Some("runs"));
    let args = "--exact\u{1f}dump\u{1f}--nocapture\u{1f}--color\u{1f}never";
    assert_eq!(variables.get("(arguments)").map(String::as_str), Some(args));
    assert_eq!(dumped(&dir, "plain").get("WRAPPED"), None);
    let trace = |name: &str| fs_err::read_to_string(lab.traces.join(name)).expect("it was left");
    let runs = trace("runs");
    assert_eq!(runs.lines().count(), 2);
    assert!(runs.lines().all(|line| line.starts_with("run ")), "{runs}");
    let lists = trace("lists");
    let lists: Vec<_> = lists.lines().collect();
    assert_eq!(
        lists.len(),
        4,
        "twice in each run, for the answer is not kept: {lists:?}"
    );
    assert!(
        lists.iter().all(|line| line.starts_with("list ")),
        "{lists:?}"
    );
    assert!(
        lists[1].ends_with("--list --format terse --ignored"),
        "{lists:?}"
    );
    let text = text.replace("binary(integration)'\nlist", "test(=dump)'\nlist");
    let refused = stt(&lab, &text, &["--workspace"]).run().code(96);
    drop(refused.says("needs a filter without test()"));
}

#[test]
fn a_run_that_is_out_of_time_can_be_resumed_and_does_not_go_on_by_itself() {
    let lab = Lab::shared("hostile");
    let text = [notes("teardown", "down"), of_all("teardown = 'down'")].concat();
    let args = ["--exact", "calm_00", "hangs", "-j1", "--no-fail-fast"];
    let timed = stt(&lab, &text, &args).args(["--auto-restart", "--global-timeout", "2s"]);
    let finished = timed.run().code(42);
    assert_eq!(order(&lab), ["teardown:down"]);
    let report = finished.report();
    assert_eq!(report.of("run-started").count(), 1);
    assert_eq!(report.one("run-finished")["outstanding"], 1);
    let reason = &report.one("run-finished")["stop"]["reason"];
    assert_eq!(reason, "the run took longer than 2 s");
    let limited = [
        "--resume",
        "--config",
        "run.slow-timeout=100ms",
        "--config",
        "run.terminate-after=1",
    ];
    let resumed = stt(&lab, &text, &limited).run().code(100);
    assert_eq!(resumed.report().count("passed"), 1);
    assert_eq!(resumed.report().count("failed"), 1);
    lab.assert_clean();
}
