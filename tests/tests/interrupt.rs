//! A signal ends a run: everything that it started is gone, what is known is kept, and the signal is
//! passed on to whoever waits for the runner.

use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use stt_tests::DEADLINE;
use stt_tests::Lab;
use stt_tests::is_alive;
use stt_tests::state;
use stt_tests::until;

const QUICK_END: [&str; 2] = ["--config", "run.grace-period=300ms"];

#[test]
fn each_signal_ends_everything_and_is_raised_again() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let lab = Lab::shared("hostile");
        let names = [
            "--exact",
            "-j",
            "4",
            "hangs",
            "ignores_term",
            "leaves_a_daemon_and_hangs",
            "forks_two_hundred_and_hangs",
        ];
        let mut running = lab.json(names).args(QUICK_END).args(["--no-guard"]).spawn();
        lab.wait_for_traces(&mut running, &["hangs", "ignores_term", "daemon", "forked"]);
        running.signal(signal);
        let finished = running.finish().signal(signal as i32);
        lab.assert_clean();
        let end = finished.report().one("run-finished").clone();
        assert_eq!(end["outcome"], "interrupted", "{end}");
        assert_eq!(end["outstanding"], 4, "{end}");
        assert_eq!(finished.report().of("test-unfinished").count(), 4);
        assert!(lab.record().results().is_empty(), "nobody had a result");
    }
}

#[test]
fn what_was_interrupted_can_be_resumed() {
    let lab = Lab::shared("hostile");
    let names = ["--exact", "-j", "1", "calm_00", "calm_01", "waits_for_go"];
    let mut running = lab.json(names).args(QUICK_END).spawn();
    lab.wait_for_traces(&mut running, &["waits_for_go"]);
    running.signal(Signal::SIGTERM);
    let report = running.finish().signal(15).report();
    let before = report.of("test-finished").count();
    assert_eq!(before, 2, "the tests run in their order");
    assert_eq!(lab.record().recorded().len(), before);
    lab.go();
    let resumed = lab.json(["--resume"]).run().code(0);
    assert!(resumed.report().started("waits_for_go"));
    assert_eq!(resumed.report().of("test-finished").count(), 3 - before);
    assert_eq!(resumed.report().count("passed"), 3);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "that it does not wait for the grace is the claim"
)]
fn a_second_interrupt_waits_for_nobody() {
    let lab = Lab::shared("hostile");
    let mut running = lab
        .json([
            "--exact",
            "ignores_term",
            "--config",
            "run.grace-period=10m",
        ])
        .spawn();
    lab.wait_for_traces(&mut running, &["ignores_term"]);
    let start = Instant::now();
    running.signal(Signal::SIGINT);
    // Two signals of one number that are pending together are one (signal(7)): this one is another.
    running.signal(Signal::SIGTERM);
    let finished = running.finish();
    assert!(
        matches!(finished.signal, Some(2 | 15)),
        "{}",
        finished.transcript()
    );
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
    lab.assert_clean();
}

#[test]
fn a_build_is_ended_with_all_its_processes() {
    let lab = Lab::copied("empty");
    lab.build_for_a_minute();
    let mut running = lab.stt(["--no-fail-fast"]).args(QUICK_END).spawn();
    lab.wait_for_traces(&mut running, &["build"]);
    running.signal(Signal::SIGTERM);
    drop(running.finish().signal(15));
    lab.assert_clean();
    assert!(!is_alive(lab.traced("build").expect("it ran")[0]));
    assert!(!lab.checkpoint.exists(), "nothing ran");
}

#[test]
fn a_listing_is_ended_too() {
    for ignores_term in [false, true] {
        let lab = Lab::shared("unlistable");
        let mut stt = lab.stt(["--test", "mute"]);
        if ignores_term {
            stt = stt.env("MUTE_IGNORES_TERM", "1");
        }
        let mut running = stt.spawn();
        lab.wait_for_traces(&mut running, &["mute"]);
        running.signal(Signal::SIGINT);
        if ignores_term {
            // A listing has ten seconds to go, unless somebody asks twice.
            running.signal(Signal::SIGTERM);
            let signal = running.finish().signal;
            // Which of the two the runner sees first is the kernel's choice.
            assert!(matches!(signal, Some(2 | 15)), "{signal:?}");
        } else {
            drop(running.finish().signal(2));
        }
        lab.assert_clean();
        assert!(!lab.checkpoint.exists(), "nothing ran");
    }
}

#[test]
fn a_suspended_run_and_its_tests_stand_still_and_go_on() {
    let lab = Lab::shared("hostile");
    // The test is slow after a second and would be ended after two: the pause must not count.
    let limit = [
        "--config",
        "run.slow-timeout=2s",
        "--config",
        "run.terminate-after=1",
    ];
    let mut running = lab.json(["--exact", "waits_for_go"]).args(limit).spawn();
    lab.wait_for_traces(&mut running, &["waits_for_go"]);
    let test = lab.traced("waits_for_go").expect("it runs")[0];
    let processes = [running.pid(), running.worker(), test];
    running.signal(Signal::SIGTSTP);
    until("all stand still", DEADLINE, || {
        let still = |&process: &i32| state(process) == Some('T');
        processes.iter().all(still).then_some(())
    });
    let stopped = std::time::SystemTime::now();
    until("longer than the test may run", DEADLINE, || {
        (stopped.elapsed().ok()? > Duration::from_secs(3)).then_some(())
    });
    running.signal(Signal::SIGCONT);
    lab.go();
    let report = running.finish().code(0).report();
    assert_eq!(report.of("test-slow").count(), 0, "the pause was counted");
    lab.assert_clean();
}

#[test]
fn a_suspended_run_can_be_ended() {
    let lab = Lab::shared("hostile");
    let mut running = lab.json(["--exact", "hangs"]).args(QUICK_END).spawn();
    lab.wait_for_traces(&mut running, &["hangs"]);
    let test = lab.traced("hangs").expect("it runs")[0];
    let processes = [running.pid(), running.worker(), test];
    running.signal(Signal::SIGTSTP);
    until("all stand still", DEADLINE, || {
        let still = |&process: &i32| state(process) == Some('T');
        processes.iter().all(still).then_some(())
    });
    running.signal(Signal::SIGTERM);
    running.signal(Signal::SIGCONT);
    drop(running.finish().signal(15));
    lab.assert_clean();
}
