//! The checkpoints of the parts of a run, made one.

use camino::Utf8PathBuf;
use stt_tests::Lab;

/// Runs a part of the tests of `counting`, and says where that is recorded.
fn part(lab: &Lab, part: &str, args: &[&str], code: i32) -> Utf8PathBuf {
    let path = lab.path(&format!("{}.json", part.replace([':', '/'], "-")));
    let run = lab.stt(["--partition", part, "--checkpoint", path.as_str()]);
    drop(run.args(args).run().code(code));
    path
}

#[test]
fn all_parts_are_one_run_with_one_report() {
    let lab = Lab::shared("counting");
    let parts: Vec<_> = ["hash:1/3", "hash:2/3", "hash:3/3"]
        .iter()
        .map(|name| {
            let path = lab.path(&format!("{}.json", name.replace([':', '/'], "-")));
            let run = lab.stt(["--partition", name, "--checkpoint", path.as_str()]);
            let run = run.args(["--no-fail-fast"]).run();
            assert!(matches!(run.code, Some(0 | 100)), "{}", run.transcript());
            path
        })
        .collect();
    let junit = lab.path("all.xml");
    let merge = |paths: &[Utf8PathBuf]| {
        let command = lab.stt(["merge", "--junit", junit.as_str()]);
        command.args(paths.iter().map(AsRef::<str>::as_ref)).run()
    };
    let merged = merge(&parts)
        .code(100)
        .says("41 tests")
        .says("1 failed, 1 ignored");
    drop(
        merged
            .says("nobody mended it")
            .never_says("not run")
            .never_says("missing"),
    );
    let text = fs_err::read_to_string(&junit).expect("the report is there");
    assert_eq!(text.matches("<testcase ").count(), 42);
    assert_eq!(text.matches("<failure").count(), 1);
    // The order makes no difference, and a part may be there twice.
    let again = [&parts[2], &parts[0], &parts[1], &parts[0]].map(Clone::clone);
    drop(
        merge(&again)
            .code(100)
            .says("41 tests")
            .never_says("different results"),
    );
    lab.assert_clean();
}

#[test]
fn of_a_part_that_was_run_again_the_later_run_counts() {
    let lab = Lab::shared("counting");
    let first = lab.path("first.json");
    let only = [
        "-E",
        "test(fails)",
        "--partition",
        "slice:1/1",
        "--checkpoint",
    ];
    drop(lab.stt(only).args([first.as_str()]).run().code(100));
    let second = lab.path("second.json");
    let mended = lab
        .stt(only)
        .args([second.as_str()])
        .env("COUNTING_MENDED", "1");
    drop(mended.run().code(0));
    // The time is to the second, and these two may have begun within one.
    let text = fs_err::read_to_string(&first).expect("it is there");
    let early = text.replacen("\"created\":\"20", "\"created\":\"19", 1);
    fs_err::write(&first, early).expect("the laboratory is writable");
    let merged = lab
        .stt(["merge", second.as_str(), first.as_str()])
        .run()
        .code(0);
    drop(
        merged
            .says("fails_until_told came to different results in")
            .says("second.json`: the latter"),
    );
}

#[test]
fn what_no_part_has_run_is_named() {
    let lab = Lab::shared("counting");
    let mended = ["--no-fail-fast", "-E", "binary(second)"];
    let half = part(&lab, "slice:1/2", &mended, 0);
    let merged = lab.stt(["merge", half.as_str()]).run().code(42);
    let merged = merged.says("missing: no checkpoint is of part slice:2/2");
    let not_run = merged.stderr.matches("not run: counting::second t").count();
    assert_eq!(not_run, 10, "{}", merged.transcript());
    // A part without a test leaves no checkpoint, and nobody misses it.
    let few = part(&lab, "slice:1/2", &["-E", "test(=t20)"], 0);
    drop(
        lab.stt(["merge", few.as_str()])
            .run()
            .code(0)
            .never_says("missing"),
    );
    // A part that has stopped at its first failure has failed; the rest of it was not run.
    let failed = part(&lab, "slice:1/1", &["-j1", "-E", "binary(first)"], 100);
    let merged = lab.stt(["merge", failed.as_str()]).run().code(100);
    drop(
        merged
            .says("not run: counting::first t")
            .never_says("missing"),
    );
}

#[test]
fn what_is_not_of_one_run_is_refused() {
    let lab = Lab::copied("counting");
    let one = part(&lab, "slice:1/2", &["--no-fail-fast"], 100);
    let merge = |other: &Utf8PathBuf| {
        lab.stt(["merge", one.as_str(), other.as_str()])
            .run()
            .code(96)
    };
    let other = part(&lab, "slice:2/3", &["t0", "--no-fail-fast"], 0);
    drop(merge(&other).says("selected different tests"));
    let whole = lab.path("whole.json");
    drop(
        lab.stt(["t00", "--checkpoint", whole.as_str()])
            .run()
            .code(0),
    );
    drop(merge(&whole).says("without `--partition`"));
    drop(merge(&lab.path("nothing.json")).says("there is no checkpoint at"));
    let source = lab.root.join("tests/second.rs");
    let text = fs_err::read_to_string(&source).expect("it is there");
    fs_err::write(&source, text + "\n#[test]\nfn added() {}\n").expect("it is writable");
    let grown = part(&lab, "slice:2/2", &["--no-fail-fast"], 0);
    let refused =
        merge(&grown).says("are of different suites: 0 tests are only in the first, 1 only");
    drop(refused.says("`counting::second added`"));
    drop(lab.stt(["merge"]).run().code(2));
}
