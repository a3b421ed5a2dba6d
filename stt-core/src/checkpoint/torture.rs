//! What only the kernel can show: writers that are killed, disks that are full, and what it costs.
//!
//! Each of these needs a process of its own, which is this test binary again, told by a variable of
//! its environment what to do.

#![expect(
    clippy::disallowed_methods,
    reason = "a test starts its own binary as a child and reads the variable that it has set for it"
)]

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use nix::sys::resource::Resource;
use nix::sys::resource::setrlimit;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::checkpoint::file::Appended;
use crate::checkpoint::file::CheckpointError;
use crate::checkpoint::file::Writer;
use crate::checkpoint::format::Output;
use crate::checkpoint::format::Record;
use crate::checkpoint::format::Text;
use crate::checkpoint::format::tests::header;
use crate::checkpoint::format::tests::result;
use crate::checkpoint::format::tests::test_id;
use crate::checkpoint::load::load;
use crate::clock::Clock;
use crate::outcome::Failure;
use crate::outcome::TestOutcome;

/// Where the child's checkpoint is.
const PATH: &str = "STT_TEST_CHECKPOINT";
const NONE: [Record; 0] = [];

/// Starts one of the ignored tests below in a process of its own.
fn child(test: &str, path: &Utf8Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg(format!("checkpoint::torture::{test}"))
        .env(PATH, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The path that [`child`] gave, or nothing when somebody runs all ignored tests.
fn path_for_child() -> Option<Utf8PathBuf> {
    std::env::var(PATH).ok().map(Utf8PathBuf::from)
}

/// A result: every third has failed, with as much output as there may be.
fn record(thread: usize, index: usize) -> Record {
    let test = test_id("app", &format!("{thread}::{index}"));
    if !index.is_multiple_of(3) {
        return Record::Result(result(test, TestOutcome::Passed));
    }
    let text = || Text::bounded("\"".repeat(40_000).as_bytes(), 0, b"");
    let mut failed = result(test, TestOutcome::Failed(Failure::Exit(101)));
    failed.output = Some(Arc::new(Output {
        stdout: text(),
        stderr: text(),
    }));
    Record::Result(failed)
}

#[test]
#[ignore = "the child of another test"]
fn child_appends_until_it_is_killed() {
    let Some(path) = path_for_child() else { return };
    let writer = Writer::create(&path, &header(), NONE).unwrap();
    let append = |thread: usize| {
        // The bound is for the case that nobody kills us: the reader is gone then.
        for index in 0..100_000 {
            let appended = writer.append(&record(thread, index)).unwrap();
            assert_eq!(appended, Appended::Written);
            let told = writeln!(std::io::stdout().lock(), "\nack {thread}::{index}");
            if told.is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| append(0));
        scope.spawn(|| append(1));
    });
}

#[test]
fn no_acknowledged_result_is_lost_over_forty_kills() {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let mut torn = 0;
    for round in 0..40 {
        let path = dir.join(format!("{round}.json"));
        let mut child = child("child_appends_until_it_is_killed", &path);
        let mut acknowledged = Vec::new();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            acknowledged.extend(line.strip_prefix("ack ").map(str::to_owned));
            // Somewhere else in each round; what the pipe still holds is read to its end.
            if acknowledged.len() == 1 + round * 7 % 60 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();

        assert!(acknowledged.len() > round * 7 % 60);
        let loaded = load(&path, "/work/space".into()).unwrap();
        torn += usize::from(loaded.repaired.is_some());
        for name in &acknowledged {
            let test = test_id("app", name);
            let result = loaded.results.iter().find(|result| result.test == test);
            let result = result.expect(name);
            let (thread, index) = name.split_once("::").unwrap();
            let written = record(thread.parse().unwrap(), index.parse().unwrap());
            assert_eq!(Record::Result(result.clone()), written);
        }
        // Each thread may have been killed between its write and its word, and not further.
        assert!(loaded.results.len() <= acknowledged.len() + 2);
    }
    assert!(
        torn < 40,
        "every file was torn, so that a write is no single one"
    );
}

#[test]
#[ignore = "the child of another test"]
fn child_meets_a_full_disk() {
    const LIMIT: u64 = 200_000;
    let Some(path) = path_for_child() else { return };
    let writer = Writer::create(&path, &header(), NONE).unwrap();
    // A write beyond the limit for files ends short, and the next fails with EFBIG (setrlimit(2)).
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    signals.thread_block().unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, LIMIT, LIMIT * 100).unwrap();

    let valid = || {
        let value: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
        value["results"].as_array().unwrap().len()
    };
    let (mut told, mut full_at) = (0, None);
    // Only failed tests, so that each is large while it has its output.
    for index in (0..).step_by(3).take(40) {
        match writer.append(&record(0, index)) {
            Ok(Appended::Written) => assert_eq!(told, 0),
            Ok(Appended::Waiting) => assert_eq!(told, 1),
            Err(CheckpointError::Write { .. }) => {
                told += 1;
                full_at = Some(valid());
            }
            Err(other) => panic!("{other}"),
        }
        if let Some(full_at) = full_at {
            assert_eq!(valid(), full_at);
        }
    }
    assert_eq!(told, 1);
    let full_at = full_at.unwrap();
    assert_eq!(writer.unwritten(), 40 - full_at);
    writer.sync().unwrap();
    assert_eq!(valid(), full_at);

    // The disk has room again.
    setrlimit(Resource::RLIMIT_FSIZE, LIMIT * 100, LIMIT * 100).unwrap();
    assert_eq!(writer.append(&record(1, 1)).unwrap(), Appended::Written);
    assert_eq!((valid(), writer.unwritten()), (41, 0));
    let loaded = load(&path, "/work/space".into()).unwrap();
    assert_eq!((loaded.results.len(), loaded.repaired), (41, None));
    writeln!(std::io::stdout().lock(), "\nall is well").unwrap();
}

#[test]
fn a_full_disk_spoils_nothing_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join("c.json");
    let output = child("child_meets_a_full_disk", &path)
        .wait_with_output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("\nall is well\n"), "{said}");
}

#[test]
#[ignore = "a measurement: prints what an append and a load cost"]
#[expect(clippy::print_stderr, reason = "a measurement is for a person")]
fn cost_of_ten_thousand_results() {
    const COUNT: u32 = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join("c.json");
    let writer = Writer::create(&path, &header(), NONE).unwrap();
    let passed = |index| {
        let test = test_id("app::integration", &format!("module::case_{index}"));
        Record::Result(result(test, TestOutcome::Passed))
    };
    let clock = Clock::start();
    for index in 0..COUNT {
        writer.append(&passed(index)).unwrap();
    }
    let appended = clock.now() / COUNT;
    let clock = Clock::start();
    writer.sync().unwrap();
    let synced = clock.now();
    let clock = Clock::start();
    let loaded = load(&path, "/work/space".into()).unwrap();
    let read = clock.now();
    assert_eq!(loaded.results.len(), COUNT as usize);
    eprintln!("append {appended:?} a record, sync {synced:?}, load {read:?}");
}
