//! What a person sees of a run, and the options that say what that is.

use stt_tests::Finished;
use stt_tests::Lab;

/// Three tests that pass, and two that fail.
const TESTS: [&str; 4] = ["passes", "fails", "plain_name", "--no-fail-fast"];

/// The words at the beginning of the lines that tell results: those of the run, and those at its end.
fn told(finished: &Finished) -> [Vec<String>; 2] {
    let mut parts = finished.stderr.split("Summary");
    let results = |part: Option<&str>| {
        let lines = part.expect("the run has its part").lines();
        let words = lines.filter_map(|line| line.split_whitespace().next());
        let mut words: Vec<_> = words
            .filter(|word| ["PASS", "FAIL", "IGNORED", "SLOW"].contains(word))
            .map(str::to_owned)
            .collect();
        words.sort();
        words
    };
    [results(parts.next()), results(parts.next())]
}

#[test]
fn levels_choose_which_results_are_shown() {
    let lab = Lab::shared("basic");
    let (pass, fail) = (["PASS"; 3].as_slice(), ["FAIL"; 2].as_slice());
    let all = [fail, pass].concat();
    for (args, during, at_the_end) in [
        (&[][..], &all[..], fail),
        (&["--status-level", "none"], &[], fail),
        (&["--status-level", "fail"], fail, fail),
        (&["--status-level", "slow"], fail, fail),
        (&["--status-level", "pass"], &all, fail),
        (&["--final-status-level", "none"], &all, &[]),
        (&["--final-status-level", "pass"], &all, &all),
        (
            &["--status-level", "none", "--final-status-level", "none"],
            &[],
            &[],
        ),
    ] {
        let stt = lab.stt(TESTS).args(["--failure-output", "never"]);
        let finished = stt.args(args).run().code(100);
        let shown = finished.transcript();
        assert_eq!(told(&finished), [during, at_the_end], "{args:?}\n{shown}");
        // The levels are about lines: the summary counts everything.
        drop(finished.says("5 tests run: 3 passed, 2 failed"));
    }
}

#[test]
fn an_ignored_test_is_shown_at_its_level() {
    let lab = Lab::shared("counting");
    let stt = lab.stt(["ignored", "t00"]);
    let shown = stt.args(["--status-level", "skip"]).run().code(0);
    assert_eq!(
        told(&shown)[0],
        ["IGNORED", "PASS"],
        "{}",
        shown.transcript()
    );
    let hidden = lab.stt(["ignored", "t00"]).run().code(0);
    assert_eq!(told(&hidden)[0], ["PASS"], "{}", hidden.transcript());
}

#[test]
fn verbose_shows_the_readings_of_each_test() {
    let lab = Lab::shared("basic");
    let short = lab.stt(["passes"]).run().code(0);
    drop(short.never_says("peak memory").never_says("CPU 0"));
    for flag in ["-v", "--verbose"] {
        let long = lab.stt(["passes", flag]).run().code(0);
        drop(long.says("peak memory").says("CPU 0"));
    }
}

#[test]
fn colours_are_where_they_were_asked_for() {
    let lab = Lab::shared("basic");
    let colourful = |finished: Finished| finished.transcript().contains('\u{1b}');
    let stt = |args: &[&str]| lab.stt(["passes"]).args(args);
    // The streams are files here.
    assert!(!colourful(stt(&[]).run().code(0)));
    assert!(!colourful(stt(&["--color", "never"]).run().code(0)));
    assert!(colourful(stt(&["--color", "always"]).run().code(0)));
    let forced = stt(&[]).env("CARGO_TERM_COLOR", "always");
    assert!(colourful(forced.run().code(0)));
    let refused = stt(&["--color", "never"]).env("CARGO_TERM_COLOR", "always");
    let refused = refused.run().code(0);
    assert!(!refused.stdout.contains('\u{1b}'));
    for color in ["always", "never"] {
        let list = lab.stt(["list", "--color", color]).run().code(0);
        assert_eq!(list.stdout.contains('\u{1b}'), color == "always");
        let unknown = lab.stt(["--no-such-flag", "--color", color]).run().code(2);
        assert!(!unknown.transcript().contains('\u{1b}'));
    }
}

/// Whatever a test prints or is called, the terminal does not take it for an order of the runner's.
#[test]
fn json_lines_are_never_coloured() {
    let lab = Lab::shared("basic");
    let finished = lab.json(["passes", "--color", "always"]).run().code(0);
    assert!(!finished.stdout.contains('\u{1b}'));
    assert_eq!(finished.results().len(), 2);
}

#[test]
fn a_profile_is_a_set_of_values() {
    let lab = Lab::shared("counting");
    let file = lab.path("stt.toml");
    let text = "[run]\nmax-fail = 1\ntest-threads = 1\n\n[profile.ci.run]\nmax-fail = \"all\"\n\n\
        [profile.ci.output]\nstatus-level = \"none\"\nfailure-output = \"never\"\n";
    fs_err::write(&file, text).expect("writable");
    let run = |args: &[&str]| {
        let stt = lab.stt(["--config-file", file.as_str()]);
        let finished = stt.args(args).run().code(100);
        (lab.record().results().len(), finished)
    };
    let (plain, _) = run(&[]);
    assert!(plain < 42, "{plain} results, and the first failure ends it");
    for flag in ["-P", "--profile"] {
        let (all, finished) = run(&[flag, "ci"]);
        assert_eq!(all, 42);
        assert_eq!(told(&finished)[0].len(), 0, "{}", finished.transcript());
    }
    // A flag is laid over the profile, and the environment is not.
    let (less, _) = run(&["-P", "ci", "--fail-fast"]);
    assert_eq!(less, plain);
    let show = lab.stt(["config", "show", "--config-file", file.as_str()]);
    let show = show.args(["-P", "ci"]).run().code(0).stdout;
    let line = show
        .lines()
        .find(|line| line.contains("max-fail"))
        .expect("it is shown");
    assert!(line.contains("all") && line.contains("(profile)"), "{line}");
}

#[test]
fn what_stands_behind_two_dashes_is_what_cargo_test_takes() {
    let lab = Lab::shared("basic");
    let names = |args: &[&str]| -> Vec<String> {
        let finished = lab.json(["--no-fail-fast"]).args(args).run();
        let results = finished.results().into_iter();
        results
            .filter(|(_, result)| result != "ignored")
            .map(|((_, name), _)| name)
            .collect()
    };
    assert_eq!(
        names(&["--", "--exact", "tests::passes"]),
        ["tests::passes"]
    );
    assert_eq!(names(&["passes", "--", "--skip", "too"]), ["tests::passes"]);
    assert_eq!(
        names(&["plain_name", "--", "greets"]),
        ["tests::greets", "plain_name"]
    );
    assert_eq!(
        names(&["--", "--ignored"]),
        [
            "tests::ignored_and_would_fail",
            "tests::ignored_and_would_pass",
            "never asked for"
        ]
    );
    assert_eq!(
        names(&["--", "--include-ignored", "ignored", "never"]).len(),
        3
    );
    let threads = |args: &[&str]| -> serde_json::Value {
        let finished = lab.json(["passes"]).args(args).run().code(0);
        finished.report().one("run-started")["threads"].clone()
    };
    assert_eq!(threads(&["--", "--test-threads", "1"]), 1);
    assert_eq!(threads(&["--", "--test-threads=3"]), 3);
    let free = lab.stt(["--", "--nocapture", "--exact", "tests::fails"]);
    let free = free.run().code(100);
    assert!(free.stdout.contains("this line is on standard output"));
}
