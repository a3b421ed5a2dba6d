//! What a run leaves whose runner was killed with everything that watched over it: the next run ends it,
//! and so does `cargo stt reap`, and nobody else loses a process.

use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::os::unix::fs::symlink;
use std::process::Child;
use std::time::Duration;
use std::time::Instant;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use stt_tests::DEADLINE;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::cargo_stt;
use stt_tests::is_alive;
use stt_tests::until;

const ORPHANS: [&str; 5] = ["orphans", "adopted", "deaf", "stopped", "headless"];

/// The processes with these traces.
fn traced(lab: &Lab, names: &[&str]) -> Vec<i32> {
    names
        .iter()
        .flat_map(|name| {
            lab.traced(name)
                .unwrap_or_else(|| panic!("no trace of {name}"))
        })
        .collect()
}

fn all_dead(pids: &[i32]) -> bool {
    // A process whose main thread has gone looks like a dead one, but has more threads.
    let threads =
        |pid: &i32| std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    pids.iter().all(|pid| !is_alive(*pid) && threads(pid) <= 1)
}

/// The parent of a process.
fn parent(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

/// Kills a runner with every `cargo-stt` below it, all at once.
fn kill_runners(lab: &Lab, running: Running) {
    let first = running.pid();
    let is_below =
        |pid: i32| std::iter::successors(Some(pid), |&pid| parent(pid)).any(|pid| pid == first);
    let is_runner = |pid: i32| {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == *cargo_stt())
    };
    let ours = lab.survivors().into_iter().map(|process| process.pid);
    let mut runners: Vec<i32> = ours
        .filter(|&pid| is_runner(pid) && is_below(pid))
        .collect();
    assert!(runners.contains(&first), "{runners:?}");
    runners.sort_unstable();
    // Who is killed first is missed by the other, who would end the tests within a millisecond. Children go
    // first: the kernel makes a stopped process go on when the last one above it in its session dies.
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        for &pid in runners.iter().rev() {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
    drop(running.finish().signal(9));
    until("every runner is dead", DEADLINE, || {
        all_dead(&runners).then_some(())
    });
}

/// Runs the test of this name until its last trace is there, then kills its runner.
fn killed(lab: &Lab, test: &str, last: &str) {
    for trace in fs::read_dir(&lab.traces).expect("it is ours") {
        fs::remove_file(trace.expect("readable").path()).expect("it is ours");
    }
    let stt = lab.json(["--exact", test]).env("NESTED_STT", cargo_stt());
    let mut running = stt.spawn();
    running.wait_for(last, |_| lab.traced(last));
    kill_runners(lab, running);
}

fn directory(lab: &Lab) -> Utf8PathBuf {
    lab.path("home").join("stt")
}

/// The files of single runs.
fn records(lab: &Lab) -> Vec<String> {
    files_of_runs(&directory(lab))
}

/// What is no run's stays: the shares of the cores, what was counted, and who went on last.
fn files_of_runs(directory: &Utf8PathBuf) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let names = entries.map(|entry| entry.expect("readable").file_name());
    let mut names: Vec<String> = names
        .map(|name| name.into_string().expect("text"))
        .filter(|name| name.contains('.'))
        .collect();
    names.sort();
    names
}

fn is_record(name: &str) -> bool {
    Utf8Path::new(name).extension() == Some("json")
}

/// The run id of the only record that is not in `known`.
fn run_id(lab: &Lab, known: &[String]) -> String {
    let names = records(lab);
    let new: Vec<_> = names
        .iter()
        .filter(|name| is_record(name) && !known.contains(name))
        .collect();
    assert_eq!(new.len(), 1, "{names:?}");
    new[0][..36].to_owned()
}

/// A process of the fixture's that hangs as our own child, with this run's marker.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn decoy(lab: &Lab, run: Option<&str>) -> Decoy {
    let mut command = lab.command(lab.target.join("debug/orphan"));
    command.arg("here").env("STT", "1");
    if let Some(run) = run {
        command.env("STT_RUN_ID", run);
    }
    Decoy(command.spawn().expect("the fixture is built"))
}

struct Decoy(Child);

impl Decoy {
    fn assert_alive(&mut self, what: &str) {
        let ended = self.0.try_wait().expect("it is our child");
        assert!(ended.is_none(), "{what} was ended: {ended:?}");
    }
}

impl Drop for Decoy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn reap_ends_what_a_killed_run_left_and_nobody_else() {
    let lab = Lab::shared("hostile");
    let live = Lab::shared("hostile");
    let stt = lab
        .json(["--exact", "waits_for_go"])
        .env("HOSTILE_DIR", &live.traces)
        .env("STT_CHECKPOINT_PATH", &live.checkpoint);
    let mut alive = stt.spawn();
    alive.wait_for_start("waits_for_go");
    let known = records(&lab);
    let alive_id = run_id(&lab, &[]);

    killed(&lab, "leaves_orphans_and_hangs", "orphans");
    let dead_id = run_id(&lab, &known);
    let orphans = traced(&lab, &ORPHANS);
    let mut decoys = [
        ("a process of the same name", decoy(&lab, None)),
        (
            "a forged marker below a stranger",
            decoy(&lab, Some(&dead_id)),
        ),
        ("the marker of a living run", decoy(&lab, Some(&alive_id))),
    ];
    assert!(!all_dead(&orphans));

    let finished = lab.stt(["reap"]).run().code(0);
    assert!(all_dead(&orphans), "{}", finished.transcript());
    for pid in &orphans {
        assert!(
            finished.stdout.contains(&format!("pid {pid} ")),
            "{pid} is not named: {}",
            finished.transcript()
        );
    }
    for (what, decoy) in &mut decoys {
        decoy.assert_alive(what);
    }
    assert_eq!(records(&lab), known, "only the dead run's record is gone");
    let nothing = lab.stt(["reap"]).run().code(0);
    assert!(
        nothing.stdout.contains("no killed run"),
        "{}",
        nothing.transcript()
    );
    drop(decoys);
    live.go();
    drop(alive.finish().code(0));
    lab.assert_clean();
    assert_eq!(records(&lab), Vec::<String>::new());
}

#[test]
fn the_next_run_ends_it_and_says_so() {
    let lab = Lab::shared("hostile");
    killed(&lab, "leaves_orphans_and_hangs", "orphans");
    let orphans = traced(&lab, &ORPHANS);
    let dead = run_id(&lab, &[]);
    let finished = lab.json(["--exact", "calm_00"]).run().code(0);
    assert!(all_dead(&orphans), "{}", finished.transcript());
    let report = finished.report();
    let reaped = report.one("reaped");
    assert_eq!(reaped["run"], *dead);
    let named = reaped["ended"].as_array().expect("a list");
    for pid in &orphans {
        assert!(named.iter().any(|one| one["pid"] == *pid), "{reaped}");
    }
    assert_eq!(reaped["left"].as_array().map(Vec::len), Some(0), "{reaped}");
    lab.assert_clean();

    killed(&lab, "leaves_orphans_and_hangs", "orphans");
    let text = lab.stt(["--exact", "calm_00"]).run().code(0);
    let text = text.says("Reaped 5 processes and 1 directory that run ");
    drop(text.says("fixtures/hostile had left behind"));
    lab.assert_clean();
}

#[test]
fn who_cleared_his_environment_is_known_by_his_group() {
    let lab = Lab::shared("hostile");
    killed(&lab, "forks_two_hundred_and_hangs", "forked");
    let forked = traced(&lab, &["forked"]);
    assert_eq!(forked.len(), 200);
    drop(lab.stt(["reap"]).run().code(0));
    assert!(all_dead(&forked));
    lab.assert_clean();
}

#[test]
fn a_killed_runs_runners_end_with_it() {
    let lab = Lab::shared("hostile");
    killed(&lab, "runs_a_runner", "hangs");
    let inner = traced(&lab, &["hangs", "nesting"]);
    assert!(!all_dead(&inner));
    assert_eq!(
        records(&lab).len(),
        6,
        "two records with their locks, and what they told"
    );
    drop(lab.stt(["reap"]).run().code(0));
    assert!(all_dead(&inner));
    assert_eq!(records(&lab), Vec::<String>::new());
    lab.assert_clean();
}

#[test]
fn where_there_is_no_runtime_directory_the_temporary_one_serves() {
    let lab = Lab::shared("hostile");
    let place = lab.tmp.join(format!("stt-{}", nix::unistd::geteuid()));
    let stt = lab
        .json(["--exact", "runs_a_runner"])
        .env("NESTED_STT", cargo_stt())
        .without("XDG_RUNTIME_DIR");
    let mut running = stt.spawn();
    running.wait_for("the inner test runs", |_| lab.traced("hangs"));
    kill_runners(&lab, running);
    let inner = traced(&lab, &["hangs", "nesting"]);
    assert!(place.exists() && !directory(&lab).exists());
    drop(lab.stt(["reap"]).without("XDG_RUNTIME_DIR").run().code(0));
    assert!(all_dead(&inner));
    assert_eq!(files_of_runs(&place), Vec::<String>::new());
    fs::remove_dir_all(&place).expect("it is ours");
    lab.assert_clean();
}

#[test]
fn a_dry_run_touches_nothing() {
    let lab = Lab::shared("hostile");
    killed(&lab, "leaves_orphans_and_hangs", "orphans");
    let orphans = traced(&lab, &ORPHANS);
    let before = records(&lab);
    let tmp = || fs::read_dir(&lab.tmp).expect("it is ours").count();
    assert_eq!(tmp(), 1);
    let finished = lab.stt(["reap", "--dry-run"]).run().code(0);
    for pid in &orphans {
        let named = finished.stdout.matches(&format!("pid {pid} ")).count();
        assert_eq!(named, 1, "{}", finished.transcript());
        assert!(!all_dead(&[*pid]), "{pid} was ended");
    }
    assert!(finished.stdout.contains("stt-"), "the directory is named");
    assert_eq!((records(&lab), tmp()), (before, 1));
    drop(lab.stt(["reap"]).run().code(0));
    assert!(all_dead(&orphans));
    lab.assert_clean();
}

#[test]
fn resuming_ends_what_the_killed_leg_left() {
    let lab = Lab::shared("hostile");
    let stt = lab.json(["--exact", "calm_00", "waits_for_go", "-j", "2"]);
    let mut running = stt.spawn();
    running.wait_for_start("waits_for_go");
    running.wait_for("calm_00 has its result", |running| {
        (running.report().results().len() == 1).then_some(())
    });
    let waiting = running.wait_for("it waits", |_| lab.traced("waits_for_go"));
    kill_runners(&lab, running);
    lab.go();
    // Whoever is told to go ends by itself, too: what counts is that the run knows of the leg.
    let resumed = lab.json(["--resume"]).run().code(0);
    assert!(all_dead(&waiting));
    assert_eq!(resumed.results().len(), 1);
    assert_eq!(records(&lab), Vec::<String>::new());
    lab.assert_clean();
}

#[test]
fn watching_ends_what_is_left_later() {
    let lab = Lab::shared("hostile");
    let mut watch = lab.stt(["reap", "--watch"]).spawn();
    let stt = lab.json(["--exact", "leaves_orphans_and_hangs"]);
    let mut running = stt.spawn();
    running.wait_for("it runs", |_| lab.traced("orphans"));
    let orphans = traced(&lab, &ORPHANS);
    assert!(!all_dead(&orphans));
    // The one that watches is a `cargo-stt`, too, and is to live.
    kill_runners(&lab, running);
    watch.wait_for("they are ended", |_| all_dead(&orphans).then_some(()));
    watch.signal(Signal::SIGINT);
    drop(watch.finish().signal(2));
    lab.assert_clean();
}

#[test]
fn alone_on_purpose_leaves_no_trace() {
    let lab = Lab::shared("hostile");
    for option in [
        "--no-coordinator",
        "--no-daemon",
        "--config=coordinator.enabled=false",
    ] {
        let finished = lab.stt([option, "--exact", "calm_00"]).run().code(0);
        drop(finished.never_says("warning"));
        assert!(!directory(&lab).exists(), "{option}");
    }
}

#[test]
fn a_directory_that_is_not_ours_alone_is_refused() {
    let lab = Lab::shared("hostile");
    let (place, elsewhere) = (directory(&lab), lab.path("elsewhere"));
    let refused = |why: &str| {
        let finished = lab.stt(["--exact", "calm_00"]).run().code(0);
        let finished = finished.says("warning: this run goes on alone").says(why);
        drop(finished.says(place.as_str()));
        drop(lab.stt(["reap"]).run().code(96).says(why));
    };
    fs::create_dir(&elsewhere).expect("the laboratory is writable");
    symlink(&elsewhere, &place).expect("the laboratory is writable");
    refused("a symbolic link of user");
    assert_eq!(fs::read_dir(&elsewhere).expect("it is ours").count(), 0);
    fs::remove_file(&place).expect("it is ours");
    drop(fs::File::create(&place).expect("the laboratory is writable"));
    refused("a file of user");
    fs::remove_file(&place).expect("it is ours");
    fs::create_dir(&place).expect("the laboratory is writable");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&place, open).expect("it is ours");
    refused("open to others (mode 777)");
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&place, closed).expect("it is ours");
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&place, Some(12345), None).expect("root may");
        refused("belongs to user 12345");
    }
}

#[test]
fn a_record_that_no_runner_wrote_is_named_and_left_alone() {
    let lab = Lab::shared("hostile");
    killed(&lab, "leaves_orphans_and_hangs", "orphans");
    let orphans = traced(&lab, &ORPHANS);
    let (path, good) = record_text(&lab);
    let precious = lab.path("precious");
    fs::create_dir(&precious).expect("the laboratory is writable");
    drop(fs::File::create(precious.join("file")).expect("writable"));
    let change = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} is not in {good}");
        good.replacen(from, to, 1)
    };
    let tmpdir = fs::read_dir(&lab.tmp)
        .expect("it is ours")
        .next()
        .expect("the run's directory")
        .expect("readable")
        .path();
    let tmpdir = tmpdir.to_str().expect("text");
    let refused = [
        String::new(),
        "{".to_owned(),
        good[..good.len() / 2].to_owned(),
        change("\"format\":1", "\"format\":2"),
        change("\"pid\":", "\"pid\":1,\"was\":"),
        change(tmpdir, "../../precious"),
        change("\"uid\":", "\"uid\":4,\"was\":"),
    ];
    for record in refused {
        fs::write(&path, &record).expect("it is ours");
        let finished = lab.stt(["reap"]).run().code(96);
        drop(finished.says(path.as_str()));
        assert!(!all_dead(&orphans), "{record}");
        assert_eq!(fs::read_to_string(&path).expect("it stays"), record);
    }
    // A directory of somebody else's in it: the processes end, the directory stays.
    fs::write(&path, change(tmpdir, precious.as_str())).expect("it is ours");
    let finished = lab.stt(["reap"]).run().code(96).says(precious.as_str());
    drop(finished.says("stays: it has no name of a run's temporary directory"));
    assert!(all_dead(&orphans));
    assert!(precious.join("file").exists());
    fs::remove_dir_all(tmpdir).expect("it is ours");
    lab.assert_clean();
}

/// A killed run that left a process which has become another user's, and that process; `None` where nobody can
/// make such a one.
fn killed_with_a_stranger(lab: &Lab) -> Option<i32> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    killed(lab, "leaves_a_stranger_and_hangs", "orphans");
    let stranger = traced(lab, &["stranger"])[0];
    until("it is somebody else", DEADLINE, || {
        let status = fs::read_to_string(format!("/proc/{stranger}/status")).unwrap_or_default();
        status.contains("Uid:\t12345").then_some(())
    });
    Some(stranger)
}

/// The record of the only run as it is written, with its path.
fn record_text(lab: &Lab) -> (Utf8PathBuf, String) {
    let names = records(lab);
    let name = names.iter().find(|name| is_record(name));
    let path = directory(lab).join(name.expect("there is a record"));
    let text = fs::read_to_string(&path).expect("it is ours");
    (path, text)
}

/// The record of the only run, with its path.
fn record(lab: &Lab) -> (Utf8PathBuf, serde_json::Value) {
    let (path, text) = record_text(lab);
    (path, serde_json::from_str(&text).expect("it is a record"))
}

#[test]
fn who_has_become_somebody_else_is_ended_in_the_runs_control_group() {
    let lab = Lab::shared("hostile");
    let Some(stranger) = killed_with_a_stranger(&lab) else {
        return;
    };
    if record(&lab).1["cgroup"].is_null() {
        // The other test is about this.
        let _ = kill(Pid::from_raw(stranger), Signal::SIGKILL);
        drop(lab.stt(["reap"]).run());
        return;
    }
    let finished = lab.stt(["reap"]).run().code(0);
    let named = format!("pid {stranger} ");
    assert_eq!(
        finished.stdout.matches(&named).count(),
        1,
        "{}",
        finished.transcript()
    );
    assert!(all_dead(&[stranger]) && all_dead(&traced(&lab, &["orphans"])));
    assert_eq!(records(&lab), Vec::<String>::new());
    lab.assert_clean();
}

#[test]
fn who_has_become_somebody_else_is_named_and_not_ended_without_a_control_group() {
    let lab = Lab::shared("hostile");
    let Some(stranger) = killed_with_a_stranger(&lab) else {
        return;
    };
    let (path, mut without) = record(&lab);
    let group = without["cgroup"].take();
    fs::write(&path, without.to_string()).expect("it is ours");
    let finished = lab.stt(["reap"]).run().code(96);
    let named = format!("pid {stranger} ");
    assert!(
        finished.stdout.contains(&named),
        "{}",
        finished.transcript()
    );
    assert!(
        finished.stdout.contains("1 process of run"),
        "{}",
        finished.transcript()
    );
    assert!(is_alive(stranger) && all_dead(&traced(&lab, &["orphans"])));
    assert_eq!(records(&lab).len(), 3, "it is tried again");
    let _ = kill(Pid::from_raw(stranger), Signal::SIGKILL);
    until("it is dead", DEADLINE, || {
        all_dead(&[stranger]).then_some(())
    });
    without["cgroup"] = group;
    fs::write(&path, without.to_string()).expect("it is ours");
    drop(lab.stt(["reap"]).run().code(0));
    assert_eq!(records(&lab), Vec::<String>::new());
    lab.assert_clean();
}

#[test]
fn a_record_of_another_boot_names_nobody() {
    let lab = Lab::shared("hostile");
    killed(&lab, "leaves_orphans_and_hangs", "orphans");
    let orphans = traced(&lab, &ORPHANS);
    let (path, good) = record_text(&lab);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux");
    let other = good.replace(boot.trim(), "00000000-0000-4000-8000-000000000000");
    assert_ne!(good, other);
    fs::write(&path, other).expect("it is ours");
    drop(lab.stt(["reap"]).run().code(0));
    assert!(
        orphans.iter().all(|pid| !all_dead(&[*pid])),
        "some were ended"
    );
    assert_eq!(records(&lab), Vec::<String>::new());
    assert_eq!(fs::read_dir(&lab.tmp).expect("it is ours").count(), 0);
}

#[test]
fn output_in_files_goes_with_the_run() {
    let lab = Lab::shared("hostile");
    killed(&lab, "floods_and_hangs", "flooded");
    let output = record(&lab).1["output"].as_str().map(Utf8PathBuf::from);
    let output = output.expect("it is told");
    // Whoever reads it is the runner, who was killed when the test had written all.
    assert!(output.join("slot-0-1.out").exists(), "{output}");
    let notes = output.join("notes");
    fs::write(&notes, "mine").expect("it is ours");
    let dry = lab.stt(["reap", "-n"]).run().code(0);
    assert!(dry.stdout.contains(output.as_str()), "{}", dry.transcript());
    assert!(output.join("slot-0-1.out").exists());
    drop(lab.stt(["reap"]).run().code(0));
    let left: Vec<_> = fs::read_dir(&output).expect("it is there").collect();
    assert_eq!(left.len(), 1, "no run has written the notes: {left:?}");
    fs::remove_dir_all(&output).expect("it is ours");
    assert_eq!(records(&lab), Vec::<String>::new());
    lab.assert_clean();

    killed(&lab, "floods_and_hangs", "flooded");
    let output = record(&lab).1["output"].as_str().map(Utf8PathBuf::from);
    let output = output.expect("it is told");
    assert!(output.exists());
    let reaped = lab.stt(["reap"]).run().code(0);
    assert!(
        reaped.stdout.contains("2 directories"),
        "{}",
        reaped.transcript()
    );
    assert!(!output.exists());
    lab.assert_clean();
}

/// How often runners are killed: `STT_TORTURE` sets it.
#[expect(
    clippy::disallowed_methods,
    reason = "the number of kills is the caller's choice"
)]
fn kills() -> u64 {
    let set = std::env::var("STT_TORTURE").ok();
    set.map_or(30, |text| text.parse().expect("STT_TORTURE is a number"))
}

/// Kills the worker, the supervisor, or both at once.
fn kill_some(lab: &Lab, mut running: Running, whom: u64) {
    let worker = running.worker();
    match whom {
        0 => {
            // Its supervisor ends the rest, and says how it goes on.
            let _ = kill(Pid::from_raw(worker), Signal::SIGKILL);
            drop(running.finish().code(42));
        }
        1 => {
            running.signal(Signal::SIGKILL);
            drop(running.finish().signal(9));
            until("the worker is gone", DEADLINE, || {
                all_dead(&[worker]).then_some(())
            });
        }
        _ => kill_runners(lab, running),
    }
}

/// At any moment of a test's life: as it starts, while it leaves one orphan after the other, when all are there.
#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the time is measured, and shown when asked to"
)]
fn whoever_of_the_runners_is_killed_the_next_start_leaves_nothing() {
    const TRACES: [&str; 5] = ["adopted", "deaf", "stopped", "headless", "orphans"];
    let seed = RandomState::new().hash_one(0);
    eprintln!("seed {seed}");
    let lab = Lab::shared("hostile");
    let (mut slowest, mut both) = (Duration::ZERO, 0);
    for number in 0..kills() {
        let chance = seed
            .wrapping_add(number)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for trace in fs::read_dir(&lab.traces).expect("it is ours") {
            fs::remove_file(trace.expect("readable").path()).expect("it is ours");
        }
        let stt = lab.json(["--exact", "leaves_orphans_and_hangs"]);
        let mut running = stt.spawn();
        let moment = (chance >> 20) % 6;
        running.wait_for("the moment of the kill", |running| {
            let number = usize::try_from(moment).expect("it is small");
            match number.checked_sub(1) {
                None => running
                    .report()
                    .started("leaves_orphans_and_hangs")
                    .then_some(()),
                Some(number) => lab.traced(TRACES[number]).map(|_| ()),
            }
        });
        let whom = (chance >> 40) % 3;
        kill_some(&lab, running, whom);
        let killed = records(&lab);
        let start = Instant::now();
        let finished = lab.stt(["reap"]).run().code(0);
        let time = start.elapsed();
        let context = format!("kill {number}: whom {whom}, moment {moment}, seed {seed}");
        assert_eq!(records(&lab), Vec::<String>::new(), "{context}");
        let survivors = lab.survivors();
        let transcript = finished.transcript();
        assert!(
            survivors.is_empty(),
            "{context}: {survivors:#?}\n{transcript}"
        );
        lab.assert_clean();
        // A worker that is told of its supervisor's death ends in order; a supervisor leaves the record.
        let expected = if whom == 1 { 0 } else { 2 };
        // What it told while it lived may not have been there yet.
        let lasting = killed.iter().filter(|name| !name.contains(".live"));
        assert_eq!(lasting.count(), expected, "{context}: {killed:?}");
        both += u32::from(whom == 2);
        assert!(time < Duration::from_secs(1), "{context}: {time:?}");
        slowest = slowest.max(time);
    }
    eprintln!(
        "{} kills, {both} of both; the slowest sweep {slowest:?}",
        kills()
    );
}

#[test]
#[ignore = "a measurement: run it alone"]
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the time is measured, and shown"
)]
fn how_long_a_start_takes_to_end_it() {
    let lab = Lab::shared("hostile");
    for args in [&["reap"][..], &["--exact", "calm_00"][..]] {
        let mut times: Vec<Duration> = (0..20)
            .map(|_| {
                killed(&lab, "leaves_orphans_and_hangs", "orphans");
                let orphans = traced(&lab, &ORPHANS);
                let start = Instant::now();
                let running = lab.stt(args).spawn();
                let dead = until("they are dead", DEADLINE, || {
                    all_dead(&orphans).then(|| start.elapsed())
                });
                drop(running.finish().code(0));
                lab.assert_clean();
                dead
            })
            .collect();
        times.sort();
        println!("{args:?}: median {:?}, maximum {:?}", times[10], times[19]);
        assert!(times[19] < Duration::from_secs(1), "{times:?}");
    }
}
