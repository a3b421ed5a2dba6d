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
