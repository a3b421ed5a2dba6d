//! The checkpoint as a file: where it is, and what becomes of a run when it is not what it should be.

use std::process::Command;
use std::process::Stdio;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use stt_tests::Finished;
use stt_tests::Lab;
use stt_tests::Log;
use stt_tests::Record;

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
        if json.is_err() && fs_err::read_to_string(&lab.checkpoint).ok()? != text {
            // It was read in the middle of a write, which is not one step where it reaches into another page.
            return None;
        }
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

/// Resumes from what the checkpoint's place holds, with the failing test mended.
fn resume(lab: &Lab, log: &Log) -> Finished {
    let stt = lab.stt(["--resume", "--no-fail-fast"]);
    let finished = stt.env("COUNTING_MENDED", "1").log(log).run();
    // No test of the fixture panics when it is mended: whoever does is the runner.
    finished.never_says("panicked")
}

#[test]
fn what_is_no_checkpoint_is_kept_beside_and_everything_runs() {
    let (lab, text) = recorded();
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
            "of no version",
            text.replacen("\"format\":1", "\"format\":-1", 1),
        ),
        ("deep", nested(200_000)),
        ("one long line", "x".repeat(20 << 20)),
    ] {
        fs_err::write(&lab.checkpoint, &bytes).expect("writable");
        let log = lab.log();
        let finished = resume(&lab, &log).code(0);
        drop(
            finished
                .says("warning: ")
                .says("checkpoint.json")
                .says("every test runs")
                .says(".bad"),
        );
        assert_eq!(log.starts().len(), 41, "{what}: everything runs");
        let kept = beside(&lab);
        let [bad] = &kept[..] else {
            panic!("{what}: beside it are {kept:?}");
        };
        assert_eq!(bad.extension(), Some("bad"), "{what}");
        let same = fs_err::read(bad).expect("readable") == bytes.as_bytes();
        assert!(same, "{what}: the bad file has changed");
        let results = lab.record().results();
        assert_eq!(results.len(), 42, "{what}: a good one has its place");
        fs_err::remove_file(bad).expect("it is ours");
    }
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[test]
fn a_spoilt_line_costs_that_line_and_no_other() {
    let (lab, text) = recorded();
    let spoilt = text.match_indices("{\"kind\":\"result\"").nth(20);
    let spoilt = spoilt.expect("there are more").0;
    let end = spoilt + text[spoilt..].find('\n').expect("it has an end");
    let line = &text[spoilt..end];
    let stranger = line.replacen("\"name\":\"t", "\"name\":\"../t", 1);
    for (what, instead, again, kept) in [
        ("no JSON", line.replacen("kind", "@@@@@\"", 1), 1, 42),
        (
            "of no known kind",
            line.replacen("result", "gossip", 1),
            1,
            42,
        ),
        ("deep", nested(100_000), 1, 42),
        ("binary", "\u{0}\u{1}\u{2}".repeat(1000), 1, 42),
        // Nothing is left to run then, and so nothing is written.
        ("one more, of nobody", format!("{stranger}\n{line}"), 0, 43),
    ] {
        let bytes = format!("{}{instead}{}", &text[..spoilt], &text[end..]);
        fs_err::write(&lab.checkpoint, bytes).expect("writable");
        let log = lab.log();
        let finished = lab.stt(["--resume", "--no-fail-fast"]).log(&log).run();
        let finished = finished.code(100);
        if again > 0 {
            drop(finished.says("warning: the checkpoint was not whole: line 22"));
        }
        assert_eq!(log.starts().len(), again, "{what}");
        let results = lab.record().results();
        assert_eq!(results.len(), kept, "{what}");
    }
}

/// Every byte is tried in the room's own tests; here the whole way is taken for a few of them.
#[test]
fn one_that_is_cut_anywhere_costs_at_most_what_was_cut_away() {
    let (lab, text) = recorded();
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let (first, last) = (ends[1], ends[ends.len() - 2]);
    let cuts = (0..10).map(|step| first + (last - first) * step / 9 + step * 7);
    for cut in cuts.chain([text.len() - 1, text.len() - 2, text.len() - 3]) {
        let cut = cut.min(text.len() - 1);
        // The tests whose whole record lies before the cut.
        let kept = text[..cut].matches("{\"kind\":\"result\"").count() - 1;
        fs_err::write(&lab.checkpoint, &text[..cut]).expect("writable");
        let log = lab.log();
        let finished = lab.stt(["--resume", "--no-fail-fast"]).log(&log).run();
        drop(finished.code(100));
        let again = log.starts();
        assert!(again.values().all(|count| *count == 1), "{again:?}");
        let again = again.len();
        assert!(
            again <= 42 - kept,
            "cut at {cut}: {kept} were whole, {again} ran again"
        );
        // Where nothing was left to run, nothing was written.
        let results = Record::read_torn(&lab.checkpoint).results();
        assert_eq!(results.len(), 42, "cut at {cut}");
        assert!(beside(&lab).is_empty(), "cut at {cut}");
    }
}

/// What it holds is shown to a person, but never as an order to the terminal.
#[test]
fn what_it_says_gives_the_terminal_no_orders() {
    let (lab, text) = recorded();
    let hostile = text
        .replace("nobody mended it", "\\u001b]0;gotcha\\u0007\\u001b[2J")
        .replace("fails_until_told", "fails_\\u001b[31muntil_told");
    assert!(hostile != text, "nothing was replaced");
    fs_err::write(&lab.checkpoint, &hostile).expect("writable");
    let log = lab.log();
    let finished = resume(&lab, &log).code(0);
    assert!(
        !finished.transcript().contains('\u{1b}'),
        "{}",
        finished.transcript()
    );
    // The test of that name is not there; the one that is has no result.
    assert_eq!(log.count("fails_until_told"), 1);
    assert_eq!(log.starts().len(), 1);
}

#[test]
fn that_of_another_workspace_is_kept_beside_and_everything_runs() {
    let (counting, text) = recorded();
    let slow = Lab::shared("slow");
    fs_err::write(&slow.checkpoint, &text).expect("writable");
    let log = slow.log();
    let finished = slow.stt(["--resume", "t00"]).log(&log).run().code(0);
    drop(
        finished
            .says("warning: ")
            .says(counting.root.as_str())
            .says(".bad"),
    );
    assert_eq!(log.starts().len(), 1, "the tests that were asked for");
    let kept = beside(&slow);
    assert_eq!(kept.len(), 1);
    assert_eq!(
        fs_err::read_to_string(&kept[0]).expect("readable"),
        text,
        "it is not ours to change"
    );
}

#[test]
fn one_that_can_not_be_read_is_96() {
    let lab = Lab::shared("counting");
    let fifo = lab.path("fifo");
    nix::unistd::mkfifo(fifo.as_std_path(), nix::sys::stat::Mode::S_IRWXU).expect("writable");
    let dir = lab.path("dir");
    fs_err::create_dir(&dir).expect("writable");
    for place in [fifo.as_str(), dir.as_str(), "/dev/zero"] {
        let log = lab.log();
        let stt = lab.stt(["--resume", "--checkpoint", place]).log(&log);
        drop(stt.run().code(96).says(place).says("no regular file"));
        assert!(log.starts().is_empty(), "something ran");
    }
}

#[test]
fn one_that_can_not_be_written_is_a_warning() {
    let lab = Lab::shared("counting");
    let dir = lab.path("dir");
    fs_err::create_dir(&dir).expect("writable");
    let file = lab.path("file");
    fs_err::write(&file, "a file").expect("writable");
    for place in [dir.clone(), file.join("checkpoint.json")] {
        let log = lab.log();
        let stt = lab.stt(["--no-fail-fast", "--checkpoint", place.as_str()]);
        let finished = stt.env("COUNTING_MENDED", "1").log(&log).run().code(0);
        drop(
            finished
                .says("warning: this run can't be resumed: ")
                .says(place.as_str())
                .never_says("panicked"),
        );
        assert_eq!(log.starts().len(), 41);
    }
    assert_eq!(fs_err::read_to_string(&file).expect("there"), "a file");
}

/// A file system of its own, of `size` bytes; `None` where that is not allowed.
#[expect(
    clippy::print_stderr,
    reason = "a test that did not happen must say so"
)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn small_disk(dir: &Utf8Path, size: u32) -> Option<SmallDisk> {
    fs_err::create_dir(dir).expect("writable");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]);
    let mounted = mount.arg(dir).stderr(Stdio::null()).status();
    if mounted.is_ok_and(|status| status.success()) {
        return Some(SmallDisk(dir.to_owned()));
    }
    eprintln!("SKIPPED: only root may mount a small file system");
    None
}

/// Unmounted when it is dropped.
struct SmallDisk(Utf8PathBuf);

impl Drop for SmallDisk {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

#[test]
fn a_disk_that_fills_up_in_mid_run_costs_what_does_not_fit() {
    let lab = Lab::shared("counting");
    let Some(disk) = small_disk(&lab.path("disk"), 8 << 10) else {
        return;
    };
    let place = disk.0.join("checkpoint.json");
    let filler = disk.0.join("filler");
    // One page is left, which the header and some of the results fill.
    fs_err::write(&filler, [0; 4096]).expect("it fits");
    let log = lab.log();
    let stt = lab.stt(["--no-fail-fast", "--checkpoint", place.as_str()]);
    let finished = stt.env("COUNTING_MENDED", "1").log(&log).run().code(0);
    let finished = finished
        .says("warning: ")
        .says("No space left on device")
        .never_says("panicked");
    let warnings = finished.stderr.matches("No space left on device").count();
    assert!(warnings <= 2, "{}", finished.transcript());
    assert_eq!(log.starts().len(), 41, "every test ran");
    let kept = Record::read(&place).recorded();
    assert!((2..42).contains(&kept.len()), "{} fitted", kept.len());

    fs_err::remove_file(&filler).expect("it is ours");
    let log = lab.log();
    let stt = lab.stt(["--resume", "--checkpoint", place.as_str()]);
    drop(stt.env("COUNTING_MENDED", "1").log(&log).run().code(0));
    let again = log.starts();
    let ignored = 1;
    assert_eq!(again.len(), 41 - (kept.len() - ignored), "{again:?}");
    for id in again.keys() {
        assert!(!kept.contains(id), "{id:?} had its result");
    }
}

#[test]
fn a_full_target_directory_is_101_and_cargo_says_why() {
    let lab = Lab::copied("counting");
    let Some(disk) = small_disk(&lab.target, 64 << 10) else {
        return;
    };
    let finished = lab.stt(["--no-fail-fast"]).run().code(101);
    drop(
        finished
            .says("No space left on device")
            .never_says("internal error"),
    );
    drop(disk);
}

#[test]
fn it_holds_no_command_to_run() {
    let (_lab, text) = recorded();
    let header = text.lines().next().expect("a header line");
    for word in ["argv", "args", "--no-fail-fast", "COUNTING_"] {
        assert!(!header.contains(word), "`{word}` in {header}");
    }
}

#[test]
fn a_run_that_cannot_be_recorded_sets_an_older_record_aside() {
    let lab = Lab::shared("hostile");
    drop(lab.stt(["--exact", "calm_00"]).run().code(0));
    let older = fs_err::read(&lab.checkpoint).expect("it was recorded");
    // A name that must not be in a file which is shown on terminals later.
    let other = lab.stt(["--exact", "calm_01", "no\u{1}such"]).run().code(0);
    let aside = format!("{}.old", lab.checkpoint);
    drop(other.says("this run can't be resumed").says(&aside));
    assert!(
        !lab.checkpoint.exists(),
        "a resumed run would go on with it"
    );
    assert_eq!(fs_err::read(aside).expect("it is kept"), older);
    let resumed = lab.stt(["--resume", "--exact", "calm_01"]).run().code(0);
    drop(resumed.says("there is no checkpoint"));
}
