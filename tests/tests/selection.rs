//! Which tests are selected: by expressions, and by the default filter.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use stt_tests::Lab;

/// The tests that `list` shows, as `binary name`.
fn listed(lab: &Lab, args: &[&str]) -> Vec<String> {
    let list = lab.stt(["list"]).args(args).run().code(0);
    let mut binary = String::new();
    let mut tests = Vec::new();
    for line in list.stdout.lines() {
        match line.strip_prefix("    ") {
            Some(test) => tests.push(format!("{binary} {}", test.trim_end_matches(" (ignored)"))),
            None => line.trim_end_matches(':').clone_into(&mut binary),
        }
    }
    tests
}

fn file(lab: &Lab, text: &str) -> Utf8PathBuf {
    let path = lab.path("stt.toml");
    fs_err::write(&path, text).expect("the laboratory is writable");
    path
}

#[test]
fn expressions_say_which_tests_run() {
    let lab = Lab::shared("counting");
    let counts: [(&[&str], usize); 10] = [
        (&[], 42),
        (&["-E", "all()"], 42),
        (&["-E", "binary(second)"], 20),
        (&["-E", "test(=t20)", "-E", "test(=t00)"], 2),
        (
            &["--filterset", "test(/^t[012]0$/) - binary_id(*::first)"],
            1,
        ),
        (&["--filter-expr", "package(counting) & test(ignored)"], 1),
        (&["-E", "binary(first)", "t0"], 10),
        (&["-E", "binary(first)", "--", "--skip", "t0"], 12),
        (&["-E", "rdeps(counting) & kind(test) & not test(/^t/)"], 2),
        (&["-E", "none()"], 0),
    ];
    for (args, expected) in counts {
        let found = listed(&lab, args);
        assert_eq!(found.len(), expected, "{args:?}: {found:?}");
    }
    let log = lab.log();
    let run = ["-E", "test(=t20) +\n test(=t00)"];
    drop(lab.stt(run).log(&log).run().code(0));
    assert_eq!(log.starts().values().sum::<usize>(), 2);
    drop(lab.stt(["-E", "none()"]).run().code(4));
    lab.assert_clean();
}

#[test]
fn a_mistake_in_an_expression_is_shown_where_it_is() {
    let lab = Lab::shared("counting");
    let broken = "1 | test(t00\n  |         ^ missing `)`";
    let nobody = "1 | all() - package(cuonting) | binary(x)\n  |                 ^^^^^^^^ no packages matched this";
    let text = "all() - package(cuonting) | binary(x)";
    for command in ["run", "list"] {
        let refused = lab.stt([command, "-E", "test(t00"]).run().code(2);
        drop(refused.says("--> --filterset").says(broken));
        let refused = lab.stt([command, "-E", text]).run().code(2).says(nobody);
        drop(refused.says("no binary names matched this"));
    }
    let deep = "(".repeat(50_000);
    let refused = lab.stt(["-E", &deep]).run().code(2);
    drop(refused.says("nested too deeply"));
    let config = file(&lab, "[run]\ndefault-filter = 'test(a'\n");
    let config = ["--config-file", config.as_str()];
    for command in [&["run"][..], &["list"], &["config", "check"]] {
        let refused = lab.stt(command).args(config).run().code(96);
        drop(refused.says("stt.toml:2:18").says("missing `)`"));
    }
    let text = "[run]\ndefault-filter = \"not binary(thrid)\"\n";
    let config = ["--config-file", file(&lab, text).as_str()].map(str::to_owned);
    let refused = lab.stt(["list"]).args(config).run().code(96);
    drop(
        refused
            .says("stt.toml:2:30")
            .says("no binary names matched"),
    );
    let stt = lab
        .stt(["list"])
        .env("STT_RUN_DEFAULT_FILTER", "package(x)");
    drop(stt.run().code(96).says("variable STT_RUN_DEFAULT_FILTER"));
    assert!(!lab.checkpoint.exists(), "something ran");
}

#[test]
fn the_default_filter_bounds_what_is_said_beside_it() {
    let lab = Lab::shared("counting");
    let config = file(
        &lab,
        "[run]\ndefault-filter = 'not test(t0)'\n\
         [[overrides]]\nfilter = 'default()'\nlimits = 'slow'\n",
    );
    let config = ["--config-file", config.as_str()];
    let counts: [(&[&str], usize); 7] = [
        (&[], 32),
        (&["-E", "all()"], 32),
        (&["t0"], 0),
        (&["-E", "default() & binary(second)"], 20),
        (&["--ignore-default-filter"], 42),
        (&["--ignore-default-filter", "-E", "not default()"], 10),
        (&["--config", "run.default-filter="], 42),
    ];
    for (args, expected) in counts {
        let args = [&config[..], args].concat();
        assert_eq!(listed(&lab, &args).len(), expected, "{args:?}");
    }
    // An override that says `default()` means the same tests.
    let all = ["list", "-v", "--ignore-default-filter"];
    let shown = lab.stt(all).args(config).run().code(0).stdout;
    assert_eq!(shown.matches("[slow]").count(), 32, "{shown}");
}

#[test]
fn a_resumed_run_keeps_its_expressions() {
    let lab = Lab::shared("counting");
    let config = file(&lab, "[run]\ndefault-filter = 'not test(=t01)'\n");
    let config = ["--config-file", config.as_str()];
    let expression = ["-E", "binary(first) & not test(ignored)"];
    let (first_log, second_log) = (lab.log(), lab.log());
    let first = lab.stt(["-j1"]).args(config).args(expression);
    drop(first.log(&first_log).run().code(100));
    let tests = &lab.record().json["selection"]["tests"];
    assert_eq!(tests["filterset"][0], expression[1]);
    assert_eq!(tests["default-filter"], "not test(=t01)");
    for other in [
        &["-E", "binary(first)"][..],
        &["--ignore-default-filter"],
        &["t00"],
    ] {
        let refused = lab.stt(["--resume"]).args(config).args(other);
        drop(refused.run().code(2).says("selected other tests"));
    }
    // The file says something else by now: that is for the next run.
    drop(file(&lab, "[run]\ndefault-filter = 'all()'\n"));
    let resumed = lab.stt(["--resume", "--no-fail-fast"]).args(config);
    drop(
        resumed
            .log(&second_log)
            .run()
            .code(100)
            .never_says("dropped"),
    );
    let ran = [first_log.starts(), second_log.starts()];
    assert_eq!(ran.iter().flat_map(BTreeMap::values).sum::<usize>(), 20);
    assert!(!ran[1].is_empty(), "nothing was left: it shows nothing");
    assert_eq!(first_log.count("t01") + second_log.count("t01"), 0);
    lab.assert_clean();
}

/// As with nextest: of the overrides that are for the platform the first one that has a filter counts, and it is stronger
/// than that of all platforms.
#[test]
fn a_platform_has_a_default_filter_of_its_own_which_a_resumed_run_keeps() {
    let lab = Lab::shared("counting");
    let other = "cfg(windows)";
    let text = |first: &str| {
        format!(
            "[run]\ndefault-filter = 'all()'\n\
             [[overrides]]\nplatform = 'cfg(unix)'\nretries = 0\n\
             [[overrides]]\nplatform = '{other}'\ndefault-filter = 'none()'\n\
             [[overrides]]\nplatform = 'cfg(unix)'\ndefault-filter = '{first}'\n\
             [[overrides]]\nplatform = 'cfg(unix)'\ndefault-filter = 'none()'\n"
        )
    };
    let config = file(&lab, &text("not test(t0)"));
    let config = ["--config-file", config.as_str()];
    let counts: [(&[&str], usize); 4] = [
        (&[], 32),
        (&["--ignore-default-filter"], 42),
        (&["-E", "not default()", "--ignore-default-filter"], 10),
        (&["--config", "run.default-filter=test(t0)"], 10),
    ];
    for (args, expected) in counts {
        let args = [&config[..], args].concat();
        assert_eq!(listed(&lab, &args).len(), expected, "{args:?}");
    }
    let log = lab.log();
    drop(lab.stt(["-j1"]).args(config).log(&log).run().code(100));
    let tests = &lab.record().json["selection"]["tests"];
    assert_eq!(tests["default-filter"], "not test(t0)");
    drop(file(&lab, &text("all()")));
    let resumed = lab.stt(["--resume", "--no-fail-fast"]).args(config);
    drop(resumed.log(&log).run().code(100));
    assert_eq!(log.count("t01"), 0);

    drop(file(&lab, &text("not binary(thrid)")));
    let refused = lab.stt(["list"]).args(config).run().code(96);
    let place = "stt.toml:11:30";
    drop(refused.says(place).says("no binary names matched"));
}

#[test]
fn a_binary_that_is_ruled_out_is_not_asked_for_its_tests() {
    // Some of these hang when they are asked, and all would be an error.
    let lab = Lab::shared("unlistable");
    drop(lab.stt(["list", "-E", "none()"]).run().code(0));
}

/// The parts of `--partition KIND:M/N`.
fn parts(lab: &Lab, kind: &str, of: usize, more: &[&str]) -> Vec<Vec<String>> {
    let part = |part: usize| {
        let partition = format!("{kind}:{part}/{of}");
        listed(lab, &[&["--partition", &partition], more].concat())
    };
    (1..=of).map(part).collect()
}

#[test]
fn the_parts_of_a_selection_are_the_selection() {
    let lab = Lab::shared("counting");
    for kind in ["hash", "slice", "count"] {
        for more in [
            &[][..],
            &["--run-ignored", "all", "-E", "test(t1) | test(ignored)"],
        ] {
            let parts = parts(&lab, kind, 3, more);
            let mut united = parts.concat();
            united.sort();
            let mut whole = listed(&lab, more);
            whole.sort();
            assert_eq!(united, whole, "{kind} {more:?}");
            if kind != "hash" {
                let sizes: Vec<_> = parts.iter().map(Vec::len).collect();
                let (least, most) = (sizes.iter().min(), sizes.iter().max());
                assert!(most.unwrap() - least.unwrap() <= 2, "{kind}: {sizes:?}");
            }
        }
    }
    // What nextest 0.9.143 puts there.
    let third = |kind: &str| {
        let only = ["-E", "test(/^t[0-3]1$/) | test(/^t[13]2/) | test(fails)"];
        parts(&lab, kind, 3, &only)[0]
            .join(", ")
            .replace("counting::", "")
    };
    assert_eq!(
        third("slice"),
        "first fails_until_told, first t12, second t32"
    );
    assert_eq!(
        third("count"),
        "first fails_until_told, first t12, second t21"
    );
    assert_eq!(third("hash"), "first t01, first t12, second t31");
}

#[test]
fn a_resumed_run_keeps_its_part() {
    let lab = Lab::shared("counting");
    let (first_log, second_log) = (lab.log(), lab.log());
    let first = lab.stt(["-j1", "--partition", "auto"]);
    let gitlab = [
        ("GITLAB_CI", "true"),
        ("CI_NODE_INDEX", "1"),
        ("CI_NODE_TOTAL", "2"),
    ];
    let first = gitlab
        .iter()
        .fold(first, |stt, (name, value)| stt.env(name, value));
    drop(first.log(&first_log).run().code(100));
    let part = &lab.record().json["selection"]["tests"]["partition"];
    assert_eq!(part, "slice:1/2");
    let other = lab.stt(["--resume", "--partition", "slice:2/2"]);
    drop(other.run().code(2).says("selected other tests"));
    let resumed = lab.stt(["--resume", "--no-fail-fast"]).log(&second_log);
    drop(resumed.run().code(100).never_says("dropped"));
    let ran = [first_log.starts(), second_log.starts()];
    assert_eq!(ran.iter().flat_map(BTreeMap::values).sum::<usize>(), 21);
    assert!(!ran[1].is_empty(), "nothing was left: it shows nothing");
    let refused = lab
        .stt(["list", "--partition", "auto"])
        .env("JOB_COMPLETION_INDEX", "0");
    drop(refused.run().code(2).says("--partition auto/N"));
    lab.assert_clean();
}
