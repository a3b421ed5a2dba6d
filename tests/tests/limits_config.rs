//! Which test gets which set of limits, and which tests a set selects.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use stt_tests::Finished;
use stt_tests::Lab;

/// A configuration file in the laboratory.
fn file(lab: &Lab, name: &str, text: &str) -> Utf8PathBuf {
    let path = lab.path(name);
    let dir = path.parent().expect("it lies somewhere");
    fs_err::create_dir_all(dir).expect("the laboratory is writable");
    fs_err::write(&path, text).expect("the laboratory is writable");
    path
}

/// How many tests have which set, as `list -v` tells; without one they are `none`.
fn sets(list: &Finished) -> BTreeMap<String, usize> {
    let mut sets = BTreeMap::new();
    for line in list.stdout.lines().filter(|line| line.starts_with(' ')) {
        let words: Vec<_> = line.split_whitespace().collect();
        let set = words.get(1).and_then(|word| word.strip_prefix('['));
        let set = set.and_then(|set| set.strip_suffix(']')).unwrap_or("none");
        *sets.entry(set.to_owned()).or_default() += 1;
    }
    sets
}

/// The sets of the tests of `counting`: 20, one that fails and one that is ignored in `first`, 20 in `second`.
fn listed(lab: &Lab, args: &[&str]) -> BTreeMap<String, usize> {
    let list = lab.stt(["list", "-v"]).args(args).run().code(0);
    sets(&list)
}

fn counted<const N: usize>(sets: [(&str, usize); N]) -> BTreeMap<String, usize> {
    sets.into_iter()
        .map(|(set, count)| (set.to_owned(), count))
        .collect()
}

#[test]
fn each_test_gets_the_set_of_the_first_override_that_holds_for_it() {
    let lab = Lab::shared("counting");
    assert_eq!(listed(&lab, &[]), counted([("none", 42)]));
    assert_eq!(listed(&lab, &["--limits", "slow"]), counted([("slow", 42)]));
    drop(file(
        &lab,
        "home/CONFIG/stt/config.toml",
        "[limits.mine]\ninherits = 'fast'\n\
         [[overrides]]\nfilter = 'test(=t20) | test(=t21)'\nlimits = 'mine'\n\
         [[overrides]]\nfilter = 'binary(second)'\nlimits = 'intensive'\n",
    ));
    let workspace = file(
        &lab,
        "stt.toml",
        "[run]\nlimits = 'standard'\n\
         [[overrides]]\nfilter = 'test(=t20)'\nlimits = 'slow'\n\
         [[overrides]]\nfilter = 'test(=t00)'\nplatform = 'cfg(windows)'\nlimits = 'slow'\n\
         [[overrides]]\nfilter = 'test(ignored)'\nplatform = 'cfg(unix)'\nlimits = 'none'\n\
         [[profile.ci.overrides]]\nfilter = 'rdeps(counting) & test(/^t[23]0$/)'\nlimits = 'critical'\n",
    );
    let args = ["--config-file", workspace.as_str()];
    let plain = counted([
        ("intensive", 18),
        ("mine", 1),
        ("none", 1),
        ("slow", 1),
        ("standard", 21),
    ]);
    assert_eq!(listed(&lab, &args), plain);
    let ci = [&args[..], &["-P", "ci"]].concat();
    let expected = counted([
        ("critical", 2),
        ("intensive", 17),
        ("mine", 1),
        ("none", 1),
        ("standard", 21),
    ]);
    assert_eq!(listed(&lab, &ci), expected);
    let typed = [&args[..], &["--limits", "fast"]].concat();
    let expected = counted([
        ("fast", 21),
        ("intensive", 18),
        ("mine", 1),
        ("none", 1),
        ("slow", 1),
    ]);
    assert_eq!(listed(&lab, &typed), expected, "an override wins");
    let only = [
        &args[..],
        &["--only-limits", "mine", "--only-limits", "none"],
    ]
    .concat();
    assert_eq!(listed(&lab, &only), counted([("mine", 1), ("none", 1)]));
    let quiet = lab.stt(["list"]).args(args).run().code(0);
    assert!(!quiet.stdout.contains('['), "{}", quiet.stdout);
}

#[test]
fn a_set_that_is_not_there_is_named_with_those_that_are() {
    let lab = Lab::shared("counting");
    let all = "there are `fast`, `standard`, `slow`, `intensive`, `critical`";
    for option in ["--limits", "--only-limits"] {
        for command in ["run", "list"] {
            let finished = lab.stt([command, option, "zebra"]).run().code(2);
            drop(finished.says("there is no set of limits `zebra`").says(all));
            let finished = lab.stt([command, option, "fsat"]).run().code(2);
            drop(finished.says("did you mean `fast`?"));
        }
    }
    let stt = lab.stt(["list"]).env("STT_RUN_LIMITS", "fsat");
    drop(stt.run().code(96).says("STT_RUN_LIMITS").says("`fast`"));
    let wrong = file(&lab, "a.toml", "[run]\n\nlimits = 'fsat'\n");
    let stt = lab.stt(["--config-file", wrong.as_str()]);
    drop(stt.run().code(96).says("a.toml:3").says("`fast`"));
    assert!(!lab.checkpoint.exists(), "something ran");
}

#[test]
fn a_broken_expression_is_shown_where_it_is() {
    let lab = Lab::shared("counting");
    let broken = file(
        &lab,
        "a.toml",
        "[[overrides]]\nfilter = 'test(t00'\nlimits = 'slow'\n",
    );
    let shown = "2 | filter = 'test(t00'\n  |                   ^ missing `)`";
    for command in [&["run"][..], &["list"], &["config", "check"]] {
        let stt = lab.stt(command).args(["--config-file", broken.as_str()]);
        let finished = stt.run().code(96).says("a.toml:2:19").says(shown);
        drop(finished.says("expected close parenthesis"));
    }
    let nobody = file(
        &lab,
        "a.toml",
        "[[overrides]]\nfilter = \"all() - package(cuonting)\"\nlimits = 'slow'\n",
    );
    let args = ["--config-file", nobody.as_str()];
    let finished = lab.stt(args).run().code(96).says("a.toml:2:27");
    drop(finished.says("no packages matched this"));
    // Which packages there are, only cargo knows, and it is not asked for this.
    drop(lab.stt(["config", "check"]).args(args).run().code(0));
    assert!(!lab.checkpoint.exists(), "something ran");
}

#[test]
fn only_tests_of_a_set_run_and_a_resumed_run_keeps_to_them() {
    let lab = Lab::shared("counting");
    let text = "[[overrides]]\nfilter = 'binary(first)'\nlimits = 'slow'\n";
    let config = file(&lab, "a.toml", text);
    let config = ["--config-file", config.as_str()];
    let fast = ["--limits", "fast", "--only-limits", "slow"];
    let (first_log, second_log) = (lab.log(), lab.log());
    let first = lab.stt(["-j1"]).args(config).args(fast);
    drop(first.log(&first_log).run().code(100));
    let only = &lab.record().json["selection"]["tests"]["only-limits"];
    assert_eq!(only.to_string(), r#"{"default":"fast","sets":["slow"]}"#);
    let resumed = lab.stt(["--resume", "--no-fail-fast"]).args(config);
    let resumed = resumed.log(&second_log).run().code(100);
    drop(resumed.never_says("have changed").never_says("dropped"));
    let ran = [first_log.starts(), second_log.starts()];
    assert_eq!(ran.iter().flat_map(BTreeMap::values).sum::<usize>(), 21);
    assert!(
        !ran[1].is_empty(),
        "nothing was left: the test shows nothing"
    );
    let other = ["--resume", "--limits", "slow"];
    let refused = lab.stt(other).args(config).run().code(2);
    drop(refused.says("with `fast` for all tests"));
    let other = ["--resume", "--only-limits", "fast"];
    drop(lab.stt(other).args(config).run().code(2));
    let same = lab.stt(["--resume"]).args(fast).args(config);
    drop(same.run().code(100).says("nothing to resume"));
    lab.assert_clean();
}

#[test]
fn the_set_of_all_tests_selects_as_well() {
    let lab = Lab::shared("counting");
    let log = lab.log();
    let all = [
        "--limits",
        "fast",
        "--only-limits",
        "fast",
        "--no-fail-fast",
    ];
    drop(lab.stt(all).log(&log).run().code(100));
    assert_eq!(log.starts().values().sum::<usize>(), 41);
    let resumed = lab.stt(["--resume"]).run().code(100);
    drop(resumed.says("nothing to resume").never_says("have changed"));
    drop(lab.stt(["--only-limits", "fast"]).run().code(4));
}

#[test]
fn a_resumed_run_says_that_limits_have_changed() {
    let lab = Lab::shared("counting");
    let text = "[limits.fast]\nmemory = '1GiB'\n[[overrides]]\nfilter = 'all()'\nlimits = 'slow'\n";
    let config = file(&lab, "a.toml", text);
    let config = ["--config-file", config.as_str()];
    let changed = "settings that can change a result, such as limits, have changed";
    let first = lab.stt(["-j1"]).args(config).run().code(100);
    drop(first.never_says(changed));
    let memory = |set: &str| format!("limits.{set}.memory=3GiB");
    let resume = |more: &[&str]| {
        let checkpoint = fs_err::read(&lab.checkpoint).expect("there is a checkpoint");
        let stt = lab
            .stt(["--resume", "--max-fail=1"])
            .args(config)
            .args(more);
        let finished = stt.run().code(100);
        fs_err::write(&lab.checkpoint, checkpoint).expect("it is ours");
        finished
    };
    drop(resume(&[]).never_says(changed));
    // No test has this set.
    drop(resume(&["--config", &memory("fast")]).never_says(changed));
    drop(resume(&["--config", &memory("slow")]).says(changed));
    drop(resume(&["--limits", "fast"]).says(changed));
}

#[test]
fn what_holds_is_shown_with_where_it_comes_from() {
    let lab = Lab::shared("counting");
    let text = "[limits.mine]\ncpu = 0.25\n\n[[overrides]]\nfilter = 'test(a)'\nlimits = 'mine'\n";
    let config = file(&lab, "a.toml", text);
    let stt = lab.stt(["config", "show", "--config-file", config.as_str()]);
    let shown = stt.env("STT_LIMITS_FAST_TIME", "3s").run().code(0).stdout;
    let line = |start: &str| {
        let found = shown.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no `{start}` in\n{shown}"))
    };
    assert!(line("limits.fast.time").contains("\"3s\""), "{shown}");
    assert!(line("limits.fast.time").ends_with("# STT_LIMITS_FAST_TIME"));
    assert!(line("limits.mine.cpu").ends_with("a.toml:2"), "{shown}");
    assert!(line("[[overrides]]").ends_with("a.toml:4"), "{shown}");
    assert!(shown.contains("\nfilter = \"test(a)\"\nlimits = \"mine\"\n"));
}

#[test]
fn only_a_filter_that_asks_for_dependencies_has_cargo_look_for_them() {
    let lab = Lab::shared("counting");
    let (cargo, log) = (lab.path("cargo.sh"), lab.path("cargo.log"));
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> {log}\nexec {} \"$@\"\n",
        stt_tests::cargo()
    );
    fs_err::write(&cargo, script).expect("the laboratory is writable");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(&cargo, mode).expect("it is ours");
    for (filter, asked) in [
        ("", &["--no-deps"][..]),
        ("filter = 'package(counting)'", &["--no-deps"]),
        ("platform = 'cfg(unix)'", &["--no-deps"]),
        (
            "filter = 'rdeps(counting)'",
            &["--no-deps", "--all-features"],
        ),
    ] {
        let text = match filter {
            "" => String::new(),
            filter => format!("[[overrides]]\n{filter}\nlimits = 'slow'\n"),
        };
        let config = file(&lab, "a.toml", &text);
        let stt = lab.stt(["list", "--config-file", config.as_str()]);
        drop(stt.env("CARGO", &cargo).run().code(0));
        let calls = fs_err::read_to_string(&log).expect("cargo was called");
        fs_err::remove_file(&log).expect("it is ours");
        let metadata = calls.lines().filter(|call| call.starts_with("metadata "));
        let found: Vec<_> = metadata
            .map(|call| call.rsplit(' ').next().unwrap_or_default())
            .collect();
        assert_eq!(found, asked, "{filter}");
    }
}
