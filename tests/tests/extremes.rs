//! What is far from the ordinary: names as long as they can be, ten thousand tests, readers that have stopped reading.

use std::fs::File;
use std::io::ErrorKind;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::mpsc;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use nix::fcntl::FcntlArg;
use nix::fcntl::fcntl;
use nix::pty::OpenptyResult;
use nix::pty::Winsize;
use nix::pty::openpty;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use stt_tests::DEADLINE;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::Stt;
use stt_tests::is_gone;
use stt_tests::until;

/// The longest names are as long as a word of a command line can be.
#[test]
fn names_as_long_as_they_can_be_are_names() {
    let lab = Lab::shared("extremes");
    let junit = lab.path("long.xml");
    let long = ["--test", "long", "--no-fail-fast"];
    let stt = lab.json(long).args(["--junit", junit.as_str()]);
    let report = stt.run().code(100).report();
    let results = report.results();
    let lengths: Vec<_> = results.keys().map(|(_, name)| name.len()).collect();
    assert_eq!(lengths.len(), 10);
    assert_eq!(lengths.iter().max(), Some(&131_071));
    for ((_, name), outcome) in &results {
        let expected = if name.contains("fails") {
            "exit 101"
        } else {
            "passed"
        };
        assert_eq!(outcome, expected, "{} bytes", name.len());
    }
    assert_eq!(lab.record().results(), results);
    let junit = fs_err::read_to_string(&junit).expect("it was written");
    assert_eq!(junit.matches("<testcase ").count(), 10);
    assert!(results.keys().all(|(_, name)| junit.contains(name)));
    let resumed = lab.stt(["--resume"]).run().code(100);
    drop(resumed.says("nothing to resume"));
    let shown = lab.stt(long).run().code(100);
    assert!(results.keys().all(|(_, name)| {
        let (_, own) = name.rsplit_once("::").expect("it has a module");
        shown.stderr.contains(own)
    }));
    lab.assert_clean();
}

#[test]
fn ten_thousand_tests_cost_the_runner_little_more_memory_than_a_thousand() {
    let lab = Lab::shared("extremes");
    let run = |names: &[&str], all: &str| {
        let many = ["--test", "many", "--status-level", "fail"];
        let run = lab.stt(many).args(names).run().code(0);
        run.says(&format!("{all} tests run: {all} passed")).peak_rss
    };
    let few = run(&["many::t0"], "1000");
    let many = run(&[], "10000");
    // What is known of a test: its name and its result, a few hundred bytes of each.
    let each = many.saturating_sub(few) / 9_000;
    assert!(each < 1_500, "{each} bytes for each test: {few} and {many}");
    lab.assert_clean();
}

/// A pipe of one page that nobody reads.
struct Clogged {
    path: Utf8PathBuf,
    end: File,
}

impl Clogged {
    fn new(lab: &Lab) -> Self {
        let path = lab.path("clogged");
        // What has been clogged before would take not even cargo's words.
        drop(std::fs::remove_file(&path));
        nix::unistd::mkfifo(path.as_std_path(), Mode::S_IRWXU).expect("the laboratory is writable");
        let mut options = std::fs::OpenOptions::new();
        let options = options.read(true).write(true);
        let end = options.custom_flags(libc::O_NONBLOCK).open(&path);
        let end = end.expect("it is there");
        fcntl(&end, FcntlArg::F_SETPIPE_SZ(4096)).expect("it may be smaller");
        Self { path, end }
    }

    /// Takes the room that is left.
    fn fill(&self) {
        let full = loop {
            if let Err(error) = (&self.end).write(b".") {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }

    /// A run whose output goes there.
    fn of<'lab>(&self, stt: Stt<'lab>) -> Stt<'lab> {
        writing_to(&self.path, stt)
    }
}

/// A run whose output goes there.
fn writing_to<'lab>(path: &Utf8Path, stt: Stt<'lab>) -> Stt<'lab> {
    stt.after(&format!("exec >{path} 2>{path}"))
        .env("TERM", "xterm")
}

/// A terminal of this many columns: its two ends, and the path of the one that is written to.
fn terminal(columns: u16) -> (OpenptyResult, Utf8PathBuf) {
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let ends = openpty(Some(&size), None).expect("there are terminals");
    let path = nix::unistd::ttyname(&ends.slave).expect("it has a name");
    let path = Utf8PathBuf::try_from(path).expect("text");
    (ends, path)
}

/// What has been drawn, line by line, without the orders to the terminal.
fn lines(drawn: &str) -> Vec<String> {
    let mut text = String::new();
    let mut parts = drawn.split('\u{1b}');
    text.extend(parts.next());
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic());
        // A cursor that is moved begins another line.
        text.push('\n');
        text.push_str(end.map_or("", |end| &part[end + 1..]));
    }
    let lines = text
        .split(['\n', '\r'])
        .filter(|line| !line.trim().is_empty());
    lines.map(str::to_owned).collect()
}

#[test]
fn a_terminal_that_nobody_reads_is_left_with_an_interrupt() {
    let lab = Lab::shared("extremes");
    let (_ends, path) = terminal(80);
    let args = ["--test", "many", "many::t0", "many::t1"];
    let mut running = writing_to(&path, lab.stt(args)).spawn();
    wait_for_record(&lab, &mut running, "finished");
    assert_eq!(lab.record().results().len(), 2000);
    running.signal(Signal::SIGINT);
    drop(running.finish().signal(2));
    lab.assert_clean();
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn a_bar_fits_into_a_terminal_that_has_become_smaller() {
    let lab = Lab::shared("hostile");
    let (ends, path) = terminal(100);
    let (sender, drawn) = mpsc::channel();
    let mut master = File::from(ends.master.try_clone().expect("descriptors are left"));
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = master.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut running = writing_to(&path, lab.stt(["--exact", "waits_for_go"])).spawn();
    lab.wait_for_traces(&mut running, &["waits_for_go"]);
    let drawn_until = |what: &str, reached: &dyn Fn(&[String]) -> bool| {
        let mut text = String::new();
        until(what, DEADLINE, || {
            for bytes in drawn.try_iter() {
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
            let lines = lines(&text);
            reached(&lines).then_some(lines)
        })
    };
    let shows = |lines: &[String]| lines.iter().any(|line| line.contains("waits_for_go"));
    let wide = drawn_until("the bar is drawn", &shows);
    let widest = |lines: &[String]| lines.iter().map(|line| line.chars().count()).max();
    assert!(widest(&wide) > Some(40), "{wide:?}");
    let mut stty = lab.command("stty");
    let set = stty.args(["-F", path.as_str(), "cols", "40"]).status();
    assert!(set.expect("stty(1) is there").success());
    // What was being drawn at that moment may still be wide.
    let narrow = |lines: &[String]| {
        let last = &lines[lines.len().saturating_sub(6)..];
        last.len() == 6 && shows(last) && widest(last) <= Some(40)
    };
    drawn_until("the bar is narrow", &narrow);
    lab.go();
    drop(running.finish().code(0));
    lab.assert_clean();
}

/// Waits until the checkpoint says this.
fn wait_for_record(lab: &Lab, running: &mut Running, kind: &str) {
    running.wait_for(&format!("the checkpoint has `{kind}`"), |_| {
        let text = std::fs::read_to_string(&lab.checkpoint).unwrap_or_default();
        text.contains(&format!("\"{kind}\"")).then_some(())
    });
}

#[test]
fn a_reader_who_has_stopped_reading_stops_no_test_and_is_left_with_an_interrupt() {
    let lab = Lab::shared("extremes");
    for (args, signal) in [
        (&["--test", "many", "many::t0"][..], Signal::SIGINT),
        (
            &["--test", "many", "many::t0", "--message-format", "json"],
            Signal::SIGTERM,
        ),
    ] {
        let clogged = Clogged::new(&lab);
        let mut running = clogged.of(lab.stt(args)).spawn();
        wait_for_record(&lab, &mut running, "finished");
        assert_eq!(lab.record().results().len(), 1000);
        running.signal(signal);
        drop(running.finish().signal(signal as i32));
        lab.assert_clean();
        fs_err::remove_file(&lab.checkpoint).expect("it is there");
    }
}

#[test]
fn a_run_that_waits_for_its_reader_ends_with_its_supervisor() {
    let lab = Lab::shared("extremes");
    let clogged = Clogged::new(&lab);
    let args = ["--test", "many", "many::t00"];
    let mut running = clogged.of(lab.stt(args)).spawn();
    let worker = running.worker();
    wait_for_record(&lab, &mut running, "finished");
    running.signal(Signal::SIGKILL);
    until("the worker is gone", DEADLINE, || {
        is_gone(worker).then_some(())
    });
    drop(running.finish().signal(9));
}

#[test]
fn the_guard_stops_a_run_that_nobody_reads() {
    let lab = Lab::shared("hostile");
    let clogged = Clogged::new(&lab);
    let args = ["--exact", "leaks_slowly", "--memory-threshold", "200MiB"];
    let mut running = clogged.of(lab.stt(args)).spawn();
    lab.wait_for_traces(&mut running, &["leaks_slowly"]);
    clogged.fill();
    wait_for_record(&lab, &mut running, "stopped");
    // Its last words have a time of their own, and no longer.
    drop(running.finish().code(42));
    lab.assert_clean();
}
