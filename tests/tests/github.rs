//! A step of GitHub Actions: failures at their places on standard output, and a summary of the step.

use camino::Utf8PathBuf;
use stt_tests::Lab;
use stt_tests::Stt;

/// A step in which one test fails, that is collected in this file.
fn step<'lab>(lab: &'lab Lab, args: &[&str]) -> (Stt<'lab>, Utf8PathBuf) {
    let summary = lab.path("summary.md");
    let stt = lab
        .stt(["--exact", "tests::fails", "--no-fail-fast"])
        .args(args)
        .env("GITHUB_ACTIONS", "true")
        .env(
            "GITHUB_WORKSPACE",
            lab.root.parent().expect("it is in a directory"),
        )
        .env("GITHUB_STEP_SUMMARY", &summary);
    (stt, summary)
}

#[test]
fn a_step_shows_each_failure_at_its_place_and_a_summary() {
    let lab = Lab::shared("basic");
    let (stt, summary) = step(&lab, &[]);
    fs_err::write(&summary, "of another command\n").expect("it is writable");
    let finished = stt.run().code(100);
    let start = format!(
        "::error file={}/app/src/lib.rs,line=",
        lab.root.file_name().expect("it has a name")
    );
    let annotation = finished.stdout.lines().next().unwrap_or_default();
    assert!(annotation.starts_with(&start), "{}", finished.stdout);
    assert!(
        annotation.contains(",title=basic tests%3A%3Afails::exited with code 101%0A"),
        "{annotation}"
    );
    let text = fs_err::read_to_string(&summary).expect("it is there");
    assert!(
        text.starts_with("of another command\n### cargo stt: 1 of 1 test failed\n"),
        "{text}"
    );
    assert!(
        text.contains("<code>basic tests::fails</code>: exited with code 101"),
        "{text}"
    );
}

#[test]
fn what_is_for_programs_holds_no_annotations_and_who_wants_none_gets_none() {
    let lab = Lab::shared("basic");
    let (stt, summary) = step(&lab, &["--message-format", "json"]);
    assert!(!stt.run().code(100).stdout.contains("::error"));
    assert!(summary.exists());
    fs_err::remove_file(&summary).expect("it is there");
    let (stt, _) = step(&lab, &["--config", "report.github=never"]);
    assert_eq!(stt.run().code(100).stdout, "");
    assert!(!summary.exists());
}

#[test]
fn a_summary_that_cant_be_written_is_told_and_takes_no_result_away() {
    let lab = Lab::shared("basic");
    let (stt, summary) = step(&lab, &[]);
    fs_err::create_dir(&summary).expect("it is writable");
    let finished = stt.run().code(100);
    let finished = finished.says("the summary of this step of GitHub Actions can't be written");
    drop(finished.says(summary.as_str()));
}
