//! Two processes that look like one: whatever happens to either of them, nothing of the run lives on, what
//! is known is kept, and signals and exit codes are those of one.

use std::io::Read as _;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use stt_tests::DEADLINE;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::cargo_stt;
use stt_tests::is_alive;
use stt_tests::state;
use stt_tests::status;
use stt_tests::until;

const QUICK_END: [&str; 2] = ["--config", "run.grace-period=300ms"];
const LONG_END: [&str; 2] = ["--config", "run.grace-period=10m"];

/// Tests that ignore TERM, that have left a daemon without environment, and that have 200 children.
const HOSTILE: [&str; 9] = [
    "--exact",
    "--no-guard",
    "-j",
    "4",
    "hangs",
    "ignores_term",
    "leaves_a_daemon_and_hangs",
    "forks_two_hundred_and_hangs",
    "--no-fail-fast",
];

/// Their traces.
const TRACES: [&str; 4] = ["hangs", "ignores_term", "daemon", "forked"];

/// How many kills are measured: two are enough for every day.
#[expect(
    clippy::disallowed_methods,
    reason = "the number of kills is the caller's choice"
)]
fn kills() -> usize {
    let set = std::env::var("STT_KILLS").ok();
    set.map_or(2, |text| text.parse().expect("STT_KILLS is a number"))
}

/// Everybody who has left a trace; a daemon's second number is its port.
fn traced(lab: &Lab) -> Vec<i32> {
    let of = |name: &&str| {
        let mut pids = lab.traced(name).expect("it is there");
        if *name == "daemon" {
            pids.truncate(1);
        }
        pids
    };
    TRACES.iter().flat_map(of).collect()
}

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("it is ours and alive");
}

/// Kills `victim`, and says how long it took until nobody lived who had left a trace.
#[expect(clippy::disallowed_methods, reason = "the time is the claim")]
fn time_to_die(lab: &Lab, victim: i32) -> Duration {
    let mut alive = traced(lab);
    assert!(alive.iter().all(|pid| is_alive(*pid)), "{alive:?}");
    let start = Instant::now();
    send(victim, Signal::SIGKILL);
    while !alive.is_empty() {
        alive.retain(|pid| is_alive(*pid));
        assert!(start.elapsed() < DEADLINE, "alive: {alive:?}");
        std::thread::yield_now();
    }
    start.elapsed()
}

#[expect(clippy::print_stderr, reason = "for a person who counts")]
fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    eprintln!(
        "{what}: {} kills, median {median:?}, at most {most:?}",
        times.len()
    );
    // The goal is 150 ms; a machine on which other tests run may be slower.
    assert!(most < Duration::from_secs(5), "{most:?}");
}

#[test]
fn a_killed_worker_leaves_nothing_and_says_so() {
    let mut times = Vec::new();
    for _ in 0..kills() {
        let lab = Lab::shared("hostile");
        let mut running = lab.stt(HOSTILE).spawn();
        lab.wait_for_traces(&mut running, &TRACES);
        // Its start is in the checkpoint after a second.
        running.wait_for("they are recorded as started", |_| {
            let text = std::fs::read_to_string(&lab.checkpoint).ok()?;
            (text.matches("\"started\"").count() == 4).then_some(())
        });
        let worker = running.worker();
        times.push(time_to_die(&lab, worker));
        let finished = running.finish().code(42);
        lab.assert_clean();
        let finished = finished.says("killed by SIGKILL").says("--resume goes on");
        drop(finished.says(lab.checkpoint.as_str()));
        let record = lab.record();
        let death = record.of("died").next().expect("it is written down");
        assert_eq!(death["exit"]["signal"], 9);
        assert_eq!(record.of("finished").count(), 0);
    }
    tell("SIGKILL of the worker", times);
}

#[test]
fn a_killed_supervisor_leaves_nothing() {
    let mut times = Vec::new();
    for _ in 0..kills() {
        let lab = Lab::shared("hostile");
        let mut running = lab.json(HOSTILE).args(LONG_END).spawn();
        lab.wait_for_traces(&mut running, &TRACES);
        let worker = running.worker();
        times.push(time_to_die(&lab, running.pid()));
        drop(running.finish().signal(9));
        until("the worker has ended", DEADLINE, || {
            (!is_alive(worker)).then_some(())
        });
        lab.assert_clean();
        let end = lab.record().of("finished").next().cloned();
        assert_eq!(end.expect("an orderly end")["outcome"]["interrupted"], 15);
    }
    tell("SIGKILL of the supervisor", times);
}

#[test]
fn a_supervisor_that_is_killed_during_the_build_leaves_nothing() {
    let lab = Lab::copied("empty");
    lab.build_for_a_minute();
    for kill_worker in [false, true] {
        let mut running = lab.stt(["--no-fail-fast"]).spawn();
        lab.wait_for_traces(&mut running, &["build"]);
        let build = lab.traced("build").expect("it runs")[0];
        let worker = running.worker();
        if kill_worker {
            send(worker, Signal::SIGKILL);
            drop(running.finish().code(42).never_says("--resume goes on"));
        } else {
            running.signal(Signal::SIGKILL);
            drop(running.finish().signal(9));
        }
        until("nothing of it lives", DEADLINE, || {
            (!is_alive(worker) && !is_alive(build)).then_some(())
        });
        lab.assert_clean();
        assert!(!lab.checkpoint.exists(), "nothing ran");
        fs_err::remove_file(lab.traces.join("build.pid")).expect("it is ours");
    }
}

#[test]
fn what_a_killed_worker_knew_is_not_run_again() {
    let lab = Lab::shared("hostile");
    let names = ["--exact", "-j", "1", "calm_00", "calm_01", "waits_for_go"];
    let mut running = lab.json(names).spawn();
    lab.wait_for_traces(&mut running, &["waits_for_go"]);
    let worker = running.worker();
    send(worker, Signal::SIGKILL);
    drop(running.finish().code(42));
    assert_eq!(lab.record().recorded().len(), 2);
    lab.go();
    let resumed = lab.json(["--resume"]).run().code(0);
    assert!(
        resumed.stdout.contains("died by SIGKILL"),
        "{}",
        resumed.stdout
    );
    let report = resumed.report();
    assert_eq!(report.of("test-finished").count(), 1);
    assert_eq!(report.count("passed"), 3);
    lab.assert_clean();
}

#[test]
fn a_worker_that_crashes_is_a_bug_and_leaves_nothing() {
    let lab = Lab::shared("hostile");
    let mut running = lab.stt(HOSTILE).spawn();
    lab.wait_for_traces(&mut running, &TRACES);
    let worker = running.worker();
    // std looks first whether it is an overflow of the stack, and dies of the second one.
    until("it has crashed", DEADLINE, || {
        let _ = kill(Pid::from_raw(worker), Signal::SIGSEGV);
        (!is_alive(worker)).then_some(())
    });
    drop(
        running
            .finish()
            .code(70)
            .says("SIGSEGV")
            .says("--resume goes on"),
    );
    lab.assert_clean();
    assert!(!traced(&lab).iter().any(|pid| is_alive(*pid)));
}

/// By which way a signal comes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Supervisor,
    Worker,
    Group,
}

impl Way {
    const ALL: [Self; 3] = [Self::Supervisor, Self::Worker, Self::Group];

    fn send(self, running: &mut Running, signal: Signal) {
        match self {
            Self::Supervisor => running.signal(signal),
            Self::Worker => send(running.worker(), signal),
            Self::Group => running.signal_group(signal),
        }
    }
}

#[test]
fn one_signal_is_one_and_two_are_two_by_every_way() {
    for way in Way::ALL {
        let lab = Lab::shared("hostile");
        let mut running = lab.json(["--exact", "ignores_term"]).args(LONG_END).spawn();
        lab.wait_for_traces(&mut running, &["ignores_term"]);
        let test = lab.traced("ignores_term").expect("it runs")[0];
        way.send(&mut running, Signal::SIGINT);
        let sent = SystemTime::now();
        until("time for a twin to do harm", DEADLINE, || {
            (sent.elapsed().ok()? > Duration::from_millis(500)).then_some(())
        });
        assert!(is_alive(test), "one was taken for two: {way:?}");
        way.send(&mut running, Signal::SIGINT);
        drop(running.finish().signal(2));
        lab.assert_clean();
    }
}

#[test]
fn a_run_ends_by_the_signal_that_either_process_received() {
    for way in Way::ALL {
        for signal in [Signal::SIGTERM, Signal::SIGHUP] {
            let lab = Lab::shared("hostile");
            let mut running = lab.json(["--exact", "hangs"]).args(QUICK_END).spawn();
            lab.wait_for_traces(&mut running, &["hangs"]);
            way.send(&mut running, signal);
            drop(running.finish().signal(signal as i32));
            lab.assert_clean();
        }
    }
}

/// A supervisor, its worker and a test.
struct Job([i32; 3]);

impl Drop for Job {
    /// Says who does not do as the others when a test fails.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let states = self.0.map(state);
            drop(writeln!(
                std::io::stderr(),
                "supervisor, worker, test: {states:?}"
            ));
        }
    }
}

#[test]
fn both_stand_still_and_go_on_by_every_way() {
    for stop in Way::ALL {
        for go_on in Way::ALL {
            let lab = Lab::shared("hostile");
            let mut running = lab.json(["--exact", "waits_for_go"]).spawn();
            lab.wait_for_traces(&mut running, &["waits_for_go"]);
            let test = lab.traced("waits_for_go").expect("it runs")[0];
            let processes = Job([running.pid(), running.worker(), test]);
            // Twice, so that no signal of the first time counts for the second. The test waits for DEADLINE.
            for round in 1..=2 {
                let way = format!("{stop:?}, {go_on:?}, round {round}");
                stop.send(&mut running, Signal::SIGTSTP);
                until(&format!("all stand still: {way}"), DEADLINE / 2, || {
                    let still = |&process: &i32| state(process) == Some('T');
                    processes.0.iter().all(still).then_some(())
                });
                go_on.send(&mut running, Signal::SIGCONT);
                until(&format!("all go on: {way}"), DEADLINE / 2, || {
                    let still = |&process: &i32| state(process) == Some('T');
                    (!processes.0.iter().any(still)).then_some(())
                });
            }
            lab.go();
            drop(running.finish().code(0));
        }
    }
}

/// A shell with a terminal of its own, and all that it has shown.
struct Shell {
    child: std::process::Child,
    terminal: std::fs::File,
    shown: std::sync::mpsc::Receiver<Vec<u8>>,
    text: String,
}

impl Shell {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    fn start(lab: &Lab) -> Self {
        let pty = nix::pty::openpty(None, None).expect("there are terminals");
        let end = || Stdio::from(pty.slave.try_clone().expect("descriptors are left"));
        // `--ctty` makes the terminal the controlling one, so that the shell has job control.
        let mut command = lab.command("setsid");
        command
            .args(["--ctty", "sh", "-i"])
            .env("PS1", "")
            .env("TERM", "dumb")
            .env("STT_CHECKPOINT_PATH", &lab.checkpoint)
            .stdin(end())
            .stdout(end())
            .stderr(end());
        let child = command.spawn().expect("setsid(1) is there");
        drop(pty.slave);
        let mut reader = std::fs::File::from(pty.master.try_clone().expect("descriptors are left"));
        let (sender, shown) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            terminal: std::fs::File::from(pty.master),
            shown,
            text: String::new(),
        }
    }

    fn type_in(&mut self, keys: &str) {
        self.terminal
            .write_all(keys.as_bytes())
            .expect("the shell reads");
    }

    fn wait_for(&mut self, what: &str) {
        until(&format!("the terminal shows {what}"), DEADLINE, || {
            for bytes in self.shown.try_iter() {
                self.text.push_str(&String::from_utf8_lossy(&bytes));
            }
            self.text.contains(what).then_some(())
        });
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            drop(std::io::stderr().write_all(self.text.as_bytes()));
        }
    }
}

#[test]
fn a_shell_sees_one_job() {
    let lab = Lab::shared("hostile");
    let mut shell = Shell::start(&lab);
    let run = format!("{} stt --exact waits_for_go; echo code=$?\n", cargo_stt());
    shell.type_in(&run);
    let test = until("the test runs", DEADLINE, || lab.traced("waits_for_go"))[0];
    for _ in 0..2 {
        shell.text.clear();
        shell.type_in("\u{1a}");
        // The shell goes on with what follows the job: 128 and the number of STOP.
        shell.wait_for("code=147");
        assert_eq!(state(test), Some('T'));
        shell.type_in("fg; echo code=$?\n");
        until("the test goes on", DEADLINE, || {
            (state(test) != Some('T')).then_some(())
        });
    }
    shell.text.clear();
    lab.go();
    shell.wait_for("code=0");
    drop(shell);
    lab.assert_clean();
}

#[test]
fn ctrl_c_at_a_terminal_is_one_interrupt() {
    let lab = Lab::shared("hostile");
    let mut shell = Shell::start(&lab);
    let run = format!(
        "{} stt --exact ignores_term --config run.grace-period=10m\n",
        cargo_stt()
    );
    shell.type_in(&run);
    let test = until("the test runs", DEADLINE, || lab.traced("ignores_term"))[0];
    shell.type_in("\u{3}");
    let sent = SystemTime::now();
    until("time for a twin to do harm", DEADLINE, || {
        (sent.elapsed().ok()? > Duration::from_millis(500)).then_some(())
    });
    assert!(is_alive(test), "one was taken for two");
    shell.type_in("\u{3}");
    until("the second one ends it", DEADLINE, || {
        (!is_alive(test)).then_some(())
    });
    // A shell ends its line, too, when its job ended by INT.
    shell.type_in("echo code=$?\n");
    shell.wait_for("code=130");
    drop(shell);
    lab.assert_clean();
}

#[test]
fn who_is_to_ignore_hangups_ignores_them() {
    let lab = Lab::shared("hostile");
    let mut running = lab
        .json(["--exact", "waits_for_go"])
        .after("trap '' HUP")
        .spawn();
    lab.wait_for_traces(&mut running, &["waits_for_go"]);
    let test = lab.traced("waits_for_go").expect("it runs")[0];
    for process in [running.pid(), running.worker(), test] {
        let ignored = status(process, "SigIgn").expect("it lives");
        assert!(ignored.ends_with('1'), "{process}: {ignored}");
        send(process, Signal::SIGHUP);
    }
    lab.go();
    drop(running.finish().code(0));
}

#[test]
fn tests_inherit_signals_as_if_there_were_no_supervisor() {
    let lab = Lab::shared("hostile");
    // The tests' main thread is a Rust program's, as ours is, and has set nothing itself.
    let own = i32::try_from(std::process::id()).expect("a process id");
    let mut running = lab
        .json(["--exact", "waits_for_go", "--auto-restart"])
        .spawn();
    lab.wait_for_traces(&mut running, &["waits_for_go"]);
    for leg in 1..=2 {
        let test = lab.traced("waits_for_go").expect("it runs")[0];
        for field in ["SigBlk", "SigIgn"] {
            // While it starts its thread for the test, the C library blocks all of them for a moment.
            until(&format!("{field} in leg {leg}"), DEADLINE, || {
                (status(test, field) == status(own, field)).then_some(())
            });
        }
        if leg == 1 {
            let worker = running.worker();
            send(worker, Signal::SIGKILL);
            running.wait_for("it runs again", |_| {
                let now = lab.traced("waits_for_go")?[0];
                (now != test && is_alive(now)).then_some(())
            });
        }
    }
    lab.go();
    drop(running.finish().code(0));
}

#[test]
fn a_run_goes_on_by_itself() {
    let lab = Lab::shared("slow");
    let log = lab.log();
    let mut running = lab
        .json(["--auto-restart", "--no-fail-fast", "-j", "2"])
        .log(&log)
        .spawn();
    let mut ended = Vec::new();
    for results in [10, 30] {
        running.wait_for("some have ended", |_| {
            let text = std::fs::read_to_string(&lab.checkpoint).ok()?;
            (text.matches("\"result\"").count() >= results).then_some(())
        });
        let worker = running.worker();
        send(worker, Signal::SIGKILL);
        until("it is dead", DEADLINE, || (!is_alive(worker)).then_some(()));
        ended.push(worker);
    }
    let finished = running.finish().code(100);
    let finished = finished.says("(1 of 3)").says("(2 of 3)");
    assert_eq!(lab.record().results(), lab.expected().results(&[]));
    // Two ran at each kill, and nobody else starts twice.
    let again: usize = log.starts().values().map(|count| count - 1).sum();
    assert!(again <= 4, "{:?}", log.starts());
    assert_eq!(finished.report().of("run-finished").count(), 1);
    lab.assert_clean();
}

#[test]
fn a_crash_loop_ends() {
    let lab = Lab::shared("hostile");
    let mut running = lab
        .stt(["--exact", "waits_for_go", "--auto-restart"])
        .args(["--max-restarts", "1", "--config", "restart.stable=0s"])
        .spawn();
    let mut before = 0;
    for _ in 0..2 {
        running.wait_for("it runs", |_| {
            let test = lab.traced("waits_for_go")?[0];
            (test != before && is_alive(test)).then_some(())
        });
        before = lab.traced("waits_for_go").expect("it runs")[0];
        let worker = running.worker();
        send(worker, Signal::SIGKILL);
    }
    let finished = running.finish().code(42);
    drop(
        finished
            .says("(1 of 1)")
            .never_says("(2 of")
            .says("--resume goes on"),
    );
    lab.assert_clean();
}

#[test]
fn nothing_is_restarted_that_was_not_recorded_or_was_asked_to_end() {
    let lab = Lab::shared("hostile");
    let mut running = lab
        .stt(["--exact", "hangs", "--config", "restart.auto=true"])
        .args(["--no-checkpoint"])
        .spawn();
    lab.wait_for_traces(&mut running, &["hangs"]);
    let worker = running.worker();
    send(worker, Signal::SIGKILL);
    drop(running.finish().code(42).never_says("restarting"));
    lab.assert_clean();

    let mut running = lab
        .stt(["--exact", "ignores_term", "--auto-restart"])
        .args(LONG_END)
        .spawn();
    lab.wait_for_traces(&mut running, &["ignores_term"]);
    let worker = running.worker();
    running.signal(Signal::SIGTERM);
    until("the signal is taken", DEADLINE, || {
        // TERM was forwarded when the supervisor waits again, with nothing pending.
        let pending = status(running.pid(), "ShdPnd")?;
        (pending.chars().all(|c| c == '0') && state(running.pid()) == Some('S')).then_some(())
    });
    send(worker, Signal::SIGKILL);
    drop(running.finish().code(42).never_says("restarting"));
    lab.assert_clean();
}

#[test]
fn who_was_there_before_outlives_a_killed_worker() {
    let lab = Lab::shared("hostile");
    let script = format!(
        "sleep 61 & echo $! > {0}/before.draft; mv {0}/before.draft {0}/before.pid; exec {1} stt --exact hangs",
        lab.traces,
        cargo_stt()
    );
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    let mut shell = lab
        .command("sh")
        .args(["-c", &script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is a shell");
    until("it runs", DEADLINE, || lab.traced("hangs"));
    let before = lab.traced("before").expect("the shell has said so")[0];
    let pid = i32::try_from(shell.id()).expect("a process id");
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.expect("it is ours");
    let worker = children
        .split_ascii_whitespace()
        .map(|child| child.parse().expect("a number"))
        .find(|&child: &i32| child != before)
        .expect("there is a worker");
    send(worker, Signal::SIGKILL);
    assert_eq!(shell.wait().expect("our child").code(), Some(42));
    let hangs = lab.traced("hangs").expect("it ran")[0];
    assert!(is_alive(before) && !is_alive(hangs));
    send(before, Signal::SIGKILL);
}

#[test]
fn a_supervisor_needs_next_to_nothing() {
    let lab = Lab::shared("hostile");
    let mut running = lab.json(["--exact", "hangs"]).args(QUICK_END).spawn();
    lab.wait_for_traces(&mut running, &["hangs"]);
    // An unoptimised program is three times as large, and so is what it needs of itself, and what of it is relocated.
    let most = if cfg!(debug_assertions) {
        [8192, 1536]
    } else {
        [2560, 1024]
    };
    for (field, most) in [("VmRSS", most[0]), ("RssAnon", most[1])] {
        let size = status(running.pid(), field).expect("it lives");
        let kib: u64 = size.trim_end_matches(" kB").parse().expect("a number");
        assert!(kib <= most, "{field}: {kib} KiB");
    }
    assert_eq!(status(running.pid(), "Threads").as_deref(), Some("1"));
    running.signal(Signal::SIGTERM);
    drop(running.finish().signal(15));
}
