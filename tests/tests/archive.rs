//! Tests that are built on one machine and run on others, which have the sources and no cargo.

use std::collections::BTreeMap;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use stt_tests::Lab;
use stt_tests::Stt;
use stt_tests::cargo;
use stt_tests::skipped;

/// Builds the archive, and moves the sources to where nothing was built.
fn moved(lab: &Lab, args: &[&str]) -> (Utf8PathBuf, Utf8PathBuf) {
    let archive = lab.path("tests.tar.zst");
    let build = lab.stt(["archive", "--archive-file", archive.as_str()]);
    drop(build.args(args).run().code(0).says("archived: "));
    let there = lab.path("there");
    fs::rename(&lab.root, &there).expect("the laboratory is writable");
    fs::remove_dir_all(there.join("target")).expect("it was built there");
    fs::create_dir(&lab.root).expect("the laboratory is writable");
    (archive, there)
}

/// A call that finds neither cargo nor a compiler.
fn without_cargo<'lab>(lab: &'lab Lab, archive: &Utf8Path, there: &Utf8Path) -> Stt<'lab> {
    let reuse = [
        "--archive-file",
        archive.as_str(),
        "--workspace-remap",
        there.as_str(),
    ];
    let stt = lab.json(reuse).env("CARGO", "/nowhere/cargo");
    stt.env("RUSTC", "/nowhere/rustc")
        .env("PATH", "/usr/bin:/bin")
}

/// nextest's archive of the same tests; `None`, with a word about it, where there is no nextest.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn by_nextest(lab: &Lab, args: &[&str]) -> Option<Utf8PathBuf> {
    let archive = lab.path("nextest.tar.zst");
    let mut command = lab.command(cargo());
    command.args(["nextest", "archive", "--archive-file", archive.as_str()]);
    let output = command.args(args).output().expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("no such command") {
        skipped("nextest", &said);
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(archive)
}

/// Which tests pass when nextest runs them from its archive.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn run_by_nextest(lab: &Lab, archive: &Utf8Path, there: &Utf8Path) -> BTreeMap<String, bool> {
    let mut command = lab.command(cargo());
    command.args([
        "nextest",
        "run",
        "--no-fail-fast",
        "--archive-file",
        archive.as_str(),
    ]);
    command.args([
        "--workspace-remap",
        there.as_str(),
        "--message-format",
        "libtest-json",
    ]);
    let command = command
        .env("NEXTEST_EXPERIMENTAL_LIBTEST_JSON", "1")
        .current_dir(there);
    let output = command.output().expect("cargo starts");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let results = text.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
        let event = line["event"].as_str()?;
        let is_result = line["type"] == "test" && matches!(event, "ok" | "failed");
        let name = line["name"].as_str()?.split_once('$')?.1;
        is_result.then(|| (name.to_owned(), event == "ok"))
    });
    results.collect()
}

#[test]
fn what_runs_from_an_archive_comes_to_what_it_does_with_nextest() {
    let lab = Lab::copied("basic");
    let args = ["-p", "basic", "--lib", "--bins", "--test", "cli"];
    let theirs = by_nextest(&lab, &args);
    let (archive, there) = moved(&lab, &args);
    let into = lab.path("unpacked");
    let run = without_cargo(&lab, &archive, &there).args([
        "--extract-to",
        into.as_str(),
        "--no-fail-fast",
    ]);
    let run = run.run().code(100);
    let results = run.results();
    assert_eq!(results.len(), 17);
    let tests = results.iter().filter(|(_, outcome)| *outcome != "ignored");
    let ours: BTreeMap<_, _> = tests
        .map(|((_, name), outcome)| (name.clone(), outcome == "passed"))
        .collect();
    // Those that compare with what they knew when they were compiled fail, here and there.
    assert!(ours["tests::passes_too"], "{ours:?}");
    assert!(into.join("target/debug").is_dir() && !there.join("target").exists());
    if let Some(theirs) = theirs {
        assert_eq!(ours, run_by_nextest(&lab, &theirs, &there));
    }
    lab.assert_clean();
}

#[test]
fn machines_run_parts_of_an_archive_and_one_report_is_made_of_them() {
    let lab = Lab::copied("counting");
    let (archive, there) = moved(&lab, &[]);
    let parts = ["1/2", "2/2"].map(|part| {
        let path = lab.path(&format!("{}.json", part.replace('/', "-")));
        let part = format!("slice:{part}");
        let run =
            without_cargo(&lab, &archive, &there).args(["--partition", &part, "--no-fail-fast"]);
        let run = run.args(["--checkpoint", path.as_str()]).run();
        assert!(matches!(run.code, Some(0 | 100)), "{}", run.transcript());
        path
    });
    let merged = lab.stt(["merge"]).args(parts).run().code(100);
    drop(
        merged
            .says("41 tests run: 40 passed, 1 failed, 1 ignored")
            .never_says("not run"),
    );
    // It stays unpacked in the workspace, and a run of it can be resumed and chosen from as any other.
    assert!(there.join("target/stt/archive/target/debug/deps").is_dir());
    let first = without_cargo(&lab, &archive, &there)
        .args(["-j1"])
        .run()
        .code(100);
    assert!(first.report().count("outstanding") > 0);
    let rest = without_cargo(&lab, &archive, &there).args(["--resume", "--no-fail-fast"]);
    assert_eq!(rest.run().code(100).report().count("passed"), 40);
    let chosen = without_cargo(&lab, &archive, &there).args(["-E", "rdeps(counting) & test(=t00)"]);
    assert_eq!(chosen.run().code(0).report().count("total"), 1);
    lab.assert_clean();
}

#[test]
fn what_is_no_archive_or_has_no_sources_is_an_error() {
    let lab = Lab::copied("counting");
    let (archive, there) = moved(&lab, &["--test", "second"]);
    let run = |archive: &str| {
        lab.stt([
            "list",
            "--archive-file",
            archive,
            "--workspace-remap",
            there.as_str(),
        ])
    };
    let list = run(archive.as_str()).run().code(0).stdout;
    assert_eq!(list.lines().count(), 21);
    let part = lab.path("part.tar.zst");
    let bytes = fs::read(&archive).expect("it is there");
    fs::write(&part, &bytes[..bytes.len() / 2]).expect("the laboratory is writable");
    drop(run(part.as_str()).run().code(96).says("can't be unpacked"));
    let other = there.join("Cargo.toml");
    drop(
        run(other.as_str())
            .run()
            .code(96)
            .says("Cargo.toml` is no archive of cargo-stt"),
    );
    drop(
        run("nothing")
            .run()
            .code(96)
            .says("nothing` can't be unpacked"),
    );
    drop(run(archive.as_str()).args(["--release"]).run().code(2));
    fs::remove_dir(&lab.root).expect("it is empty");
    let nowhere = lab
        .stt(["list", "--archive-file", archive.as_str()])
        .cwd(&there);
    drop(
        nowhere
            .run()
            .code(96)
            .says("of the archive is not there")
            .says("--workspace-remap"),
    );
}
