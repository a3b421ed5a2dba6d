//! The checkpoint as a file: where it is, and what becomes of a run when it is not what it should be.

use camino::Utf8PathBuf;
use stt_tests::Lab;

/// A complete run of `counting`, and its checkpoint as text.
fn recorded() -> (Lab, String) {
    let lab = Lab::shared("counting");
    drop(lab.stt(["--no-fail-fast"]).run().code(100));
    let text = fs_err::read_to_string(&lab.checkpoint).expect("there is a checkpoint");
    (lab, text)
}

/// The files beside the checkpoint whose names begin like its own.
fn beside(lab: &Lab) -> Vec<Utf8PathBuf> {
    let dir = lab.checkpoint.parent().expect("it lies somewhere");
    let entries = dir.read_dir_utf8().expect("readable");
    let paths = entries.map(|entry| entry.expect("readable").into_path());
    let others = paths.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.contains("checkpoint"))
    });
    others.filter(|path| *path != lab.checkpoint).collect()
}

#[test]
fn it_lies_in_the_target_directory_unless_told_otherwise() {
    let lab = Lab::copied("counting");
    drop(
        lab.stt(["--no-fail-fast"])
            .default_checkpoint()
            .run()
            .code(100),
    );
    let place = lab.target.join("stt-checkpoint.json");
    let text = fs_err::read_to_string(&place).expect("it lies there");
    let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(json["format"], 1);
    fs_err::remove_file(&place).expect("it is ours");
    let elsewhere = lab.path("elsewhere.json");
    let stt = lab.stt(["--no-fail-fast", "--checkpoint", elsewhere.as_str()]);
    drop(stt.default_checkpoint().run().code(100));
    assert!(elsewhere.is_file() && !place.exists());
    let log = lab.log();
    let resume = lab
        .stt(["--resume", "--checkpoint", elsewhere.as_str()])
        .log(&log);
    drop(resume.default_checkpoint().run().code(100));
    assert!(log.starts().is_empty());
    fs_err::remove_file(&elsewhere).expect("it is ours");
    drop(
        lab.stt(["--no-fail-fast", "--no-checkpoint"])
            .default_checkpoint()
            .run()
            .code(100),
    );
    assert!(!elsewhere.exists() && !place.exists());
}

#[test]
fn it_is_valid_json_after_every_write() {
    let lab = Lab::shared("slow");
    let mut running = lab.json(["--no-fail-fast", "-j", "2"]).spawn();
    let mut seen = 0;
    running.wait_for("forty results", |_| {
        let text = fs_err::read_to_string(&lab.checkpoint).ok()?;
        let json: Result<serde_json::Value, _> = serde_json::from_str(&text);
        let json = json.unwrap_or_else(|error| panic!("{error} in\n{text}"));
        seen += 1;
        let results = json["results"].as_array().expect("an array").len();
        (results >= 40).then_some(())
    });
    assert!(seen > 40, "looked at {seen} times");
    drop(running.finish().code(100));
}

#[test]
fn a_torn_tail_costs_the_torn_record_and_no_other() {
    let (lab, text) = recorded();
    let whole = lab.record().of("result").count();
    let last_result = text
        .rfind("{\"kind\":\"result\"")
        .expect("there are results");
    fs_err::write(&lab.checkpoint, &text[..last_result + 40]).expect("writable");
    let log = lab.log();
    drop(
        lab.stt(["--resume", "--no-fail-fast"])
            .log(&log)
            .run()
            .code(100),
    );
    let again: usize = log.starts().values().sum();
    assert!(again <= 1, "{:?}", log.starts());
    assert_eq!(lab.record().of("result").count(), whole);
}

#[test]
fn what_is_no_checkpoint_is_kept_beside_and_everything_runs() {
    let (lab, text) = recorded();
    let middle = text.len() / 2;
    let header_end = text.find('\n').expect("a header line");
    for (what, bytes) in [
        ("empty", String::new()),
        ("foreign", "{\"hello\": [1, 2, 3]}\n".to_owned()),
        ("no JSON", "\u{0}\u{1}\u{2} garbage".repeat(100)),
        ("cut in the header", text[..header_end / 2].to_owned()),
        (
            "of the future",
            text.replacen("\"format\":1", "\"format\":99", 1),
        ),
        (
            "damaged in the middle",
            format!("{}@@@@@{}", &text[..middle], &text[middle + 5..]),
        ),
    ] {
        fs_err::write(&lab.checkpoint, &bytes).expect("writable");
        let log = lab.log();
        let finished = lab.stt(["--resume", "--no-fail-fast"]).log(&log).run();
        let finished = finished.never_says("panicked").says("checkpoint.json");
        assert_eq!(
            finished.code,
            Some(100),
            "{what}: {}",
            finished.transcript()
        );
        assert_eq!(log.starts().len(), 41, "{what}: everything runs");
        let kept = beside(&lab);
        let same = kept
            .iter()
            .any(|path| fs_err::read(path).is_ok_and(|kept| kept == bytes.as_bytes()));
        assert!(
            same || bytes.is_empty(),
            "{what}: the bad file is gone; beside it are {kept:?}"
        );
        assert_eq!(
            lab.record().results().len(),
            42,
            "{what}: a good one has its place"
        );
        for path in kept {
            fs_err::remove_file(path).expect("it is ours");
        }
    }
}

#[test]
fn that_of_another_workspace_is_not_taken() {
    let (counting, text) = recorded();
    let slow = Lab::shared("slow");
    fs_err::write(&slow.checkpoint, &text).expect("writable");
    let finished = slow.stt(["--resume", "t00"]).run();
    drop(finished.never_says("panicked").says(counting.root.as_str()));
}

#[test]
fn one_that_can_not_be_written_is_named() {
    let lab = Lab::shared("counting");
    fs_err::create_dir(&lab.checkpoint).expect("writable");
    let log = lab.log();
    let finished = lab.stt(["--no-fail-fast"]).log(&log).run();
    let finished = finished.never_says("panicked").says("checkpoint.json");
    match finished.code {
        Some(96) => assert!(log.starts().is_empty(), "it ran, and then failed"),
        Some(100) => assert_eq!(log.starts().len(), 41),
        _ => panic!("{}", finished.transcript()),
    }
}

#[test]
fn it_holds_no_command_to_run() {
    let (_lab, text) = recorded();
    let header = text.lines().next().expect("a header line");
    for word in ["argv", "args", "--no-fail-fast", "COUNTING_"] {
        assert!(!header.contains(word), "`{word}` in {header}");
    }
}
