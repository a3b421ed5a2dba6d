//! Other settings for some of the tests.

use stt_tests::Lab;

/// A file with these overrides.
fn file(lab: &Lab, text: &str) -> camino::Utf8PathBuf {
    let path = lab.path("overrides.toml");
    fs_err::write(&path, text).expect("the laboratory is writable");
    path
}

#[test]
fn each_test_has_the_times_of_the_first_override_that_says_something() {
    let lab = Lab::shared("hostile");
    let path = file(
        &lab,
        "[run]\ngrace-period = '10m'\n\
         [[overrides]]\nfilter = 'test(=ignores_term)'\ngrace-period = '100ms'\n\
         [[overrides]]\nfilter = 'test(=hangs) | test(=ignores_term)'\nslow-timeout = { period = '300ms', terminate-after = 1 }\n\
         [[overrides]]\nfilter = 'test(/./)'\nslow-timeout = '1h'\n",
    );
    let names = [
        "--exact",
        "hangs",
        "ignores_term",
        "calm_00",
        "--no-fail-fast",
    ];
    let stt = lab.json(names).args(["--config-file", path.as_str()]);
    let report = stt.run().code(100).report();
    for name in ["hangs", "ignores_term"] {
        let failure = &report.finished(name)["failure"];
        assert_eq!(failure["kind"], "timeout", "{failure}");
    }
    assert_eq!(report.finished("calm_00")["outcome"], "passed");
    lab.assert_clean();
}

#[test]
fn an_open_output_is_waited_for_as_long_as_its_test_may() {
    let lab = Lab::shared("leaky");
    let path = file(
        &lab,
        "[run]\nleak-timeout = '1h'\n\
         [[overrides]]\nfilter = 'test(leaves_its_output_open)'\nleak-timeout = '50ms'\n",
    );
    let stt = lab.json(["--exact", "leaves_its_output_open"]);
    let report = stt
        .args(["--config-file", path.as_str()])
        .run()
        .code(0)
        .report();
    assert_eq!(report.count("leaky"), 1);
    lab.assert_clean();
}

/// The fixture whose tests fail when more than one of them runs at once.
fn one_at_a_time<'lab>(lab: &'lab Lab, path: &camino::Utf8Path) -> stt_tests::Stt<'lab> {
    let dir = lab.path("crowd");
    fs_err::create_dir(&dir).expect("the laboratory is writable");
    let stt = lab.json(["-j", "4", "--no-coordinator", "--no-guard"]);
    let stt = stt.args(["--config-file", path.as_str()]);
    stt.env("CROWD_DIR", dir).env("CROWD_MOST", "1")
}

#[test]
fn tests_of_a_group_run_one_at_a_time() {
    let lab = Lab::shared("crowd");
    let path = file(
        &lab,
        "[test-groups]\nserial = { max-threads = 1 }\n\
         [[overrides]]\nfilter = 'all()'\ntest-group = 'serial'\n",
    );
    let stt = one_at_a_time(&lab, &path);
    assert_eq!(stt.run().code(0).results(), lab.expected().results(&[]));
}

#[test]
fn a_test_that_needs_every_place_runs_alone() {
    let lab = Lab::shared("crowd");
    let path = file(
        &lab,
        "[[overrides]]\nfilter = 'all()'\nthreads-required = 'num-test-threads'\n",
    );
    let stt = one_at_a_time(&lab, &path);
    assert_eq!(stt.run().code(0).results(), lab.expected().results(&[]));
}

#[test]
fn whoever_has_a_higher_priority_starts_earlier() {
    let lab = Lab::shared("counting");
    let path = file(
        &lab,
        "[[overrides]]\nfilter = 'test(=t07)'\npriority = 50\n\
         [[overrides]]\nfilter = 'test(=t00)'\npriority = -50\n",
    );
    let stt = lab.json(["-j", "1", "--exact", "t00", "t01", "t07"]);
    let report = stt
        .args(["--config-file", path.as_str()])
        .run()
        .code(0)
        .report();
    let order: Vec<_> = report
        .of("test-finished")
        .map(|result| {
            result["test"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert_eq!(order, ["t07", "t01", "t00"]);
}

#[test]
fn output_is_shown_as_the_overrides_of_its_test_say_unless_somebody_types_otherwise() {
    let lab = Lab::shared("counting");
    let path = file(
        &lab,
        "[[overrides]]\nfilter = 'test(=t00)'\nsuccess-output = 'final'\n\
         [[overrides]]\nfilter = 'test(=fails_until_told)'\nfailure-output = 'never'\n",
    );
    let names = [
        "--exact",
        "t00",
        "t01",
        "fails_until_told",
        "--no-fail-fast",
    ];
    let shown = |typed: &[&str]| {
        let stt = lab.json(names).args(["--config-file", path.as_str()]);
        let report = stt.args(typed).run().code(100).report();
        ["t00", "t01", "fails_until_told"].map(|name| report.finished(name)["output"].is_object())
    };
    assert_eq!(shown(&[]), [true, false, false]);
    let typed = ["--success-output", "never", "--failure-output", "immediate"];
    assert_eq!(shown(&typed), [false, false, true]);
}
