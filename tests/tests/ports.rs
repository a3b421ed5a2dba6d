//! Ports of tests: nobody else has them, whoever dies frees them, and strangers are named and left alone.

use std::net::TcpListener;

use fs_err as fs;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use stt_tests::DEADLINE;
use stt_tests::Lab;
use stt_tests::Stt;
use stt_tests::Town;
use stt_tests::until;

/// A run of the fixture whose tests leave their claims in this town.
fn porter<'lab>(town: &Town, stt: Stt<'lab>) -> Stt<'lab> {
    let claims = town.path("porter");
    fs::create_dir_all(&claims).expect("it is writable");
    town.join(stt, 1).env("PORTER_DIR", claims)
}

fn only<'lab>(town: &Town, lab: &'lab Lab, tests: &[&str]) -> Stt<'lab> {
    porter(town, lab.json(["--exact"]).args(tests))
}

/// Waits for a file that a test writes, and returns what is in it.
fn claimed(town: &Town, name: &str) -> String {
    let path = town.path("porter").join(name);
    until(&format!("{path} is there"), DEADLINE, || {
        fs::read_to_string(&path)
            .ok()
            .filter(|text| !text.is_empty())
    })
}

fn claimed_port(town: &Town) -> u16 {
    claimed(town, "port").parse().expect("a port")
}

#[test]
fn two_thousand_tests_of_eight_runs_never_meet() {
    let town = Town::new();
    let labs: Vec<Lab> = (0..8).map(|_| Lab::shared("porter")).collect();
    // Without a coordinator nothing but the kernel keeps them apart, and more of them run at once.
    let args = [
        "--no-coordinator",
        "--no-guard",
        "-j",
        "3",
        "--test",
        "porter",
    ];
    let runs: Vec<_> = labs
        .iter()
        .map(|lab| porter(&town, lab.json(args)).spawn())
        .collect();
    for (run, lab) in runs.into_iter().zip(&labs) {
        let finished = run.finish().code(0);
        assert_eq!(finished.results(), lab.expected().results(&[]));
        lab.assert_clean();
    }
    let left = fs::read_dir(town.path("porter")).expect("it is there");
    assert_eq!(left.count(), 0, "each claim was taken back");
}

#[test]
fn as_many_ports_as_were_asked_for_and_none_for_others() {
    let (town, lab) = (Town::new(), Lab::shared("porter"));
    let tests = ["too_many_for_the_machine", "without_ports"];
    // What a runner around us has for itself is not our tests'.
    let run = only(&town, &lab, &tests)
        .env("STT_PORTS", "1,2")
        .env("STT_PORT_0", "1");
    drop(run.run().code(0));
}

#[test]
fn a_listener_that_is_left_behind_is_named_and_ended() {
    let (town, lab) = (Town::new(), Lab::shared("porter"));
    let finished = only(&town, &lab, &["alone_leaves_a_listener"])
        .run()
        .code(0);
    let report = finished.report();
    let result = report.finished("alone_leaves_a_listener");
    let leaked = &result["leak"]["processes"][0];
    assert_eq!(leaked["command"], "sleep 600", "{result:#}");
    let port = leaked["ports"][0]["port"].as_u64().expect("a port");
    assert!((20_000..32_000).contains(&port), "{result:#}");
    assert!(
        leaked
            .get("still-held")
            .is_none_or(|held| held.as_array().is_none_or(Vec::is_empty))
    );
    lab.assert_clean();
    let port = u16::try_from(port).expect("a port");
    drop(TcpListener::bind(("0.0.0.0", port)).expect("it is free"));
}

#[test]
fn a_stranger_on_a_leased_port_is_named_and_left_alone() {
    let (town, lab) = (Town::new(), Lab::shared("porter"));
    let run = only(&town, &lab, &["alone_meets_a_stranger"]).spawn();
    let port = claimed_port(&town);
    let stranger = TcpListener::bind(("127.0.0.1", port)).expect("it sets SO_REUSEADDR");
    fs::write(town.path("porter").join("stranger"), "").expect("it is writable");
    let finished = run.finish().code(0);
    let warnings: Vec<_> = finished
        .report()
        .of("warning")
        .map(ToString::to_string)
        .collect();
    let told = warnings.iter().any(|warning| {
        warning.contains(&format!(
            "port {port} (127.0.0.1:{port}) is still held by {} ",
            std::process::id()
        )) && warning.contains("left alone")
    });
    assert!(told, "{warnings:?}");
    drop(stranger);
}

#[test]
fn a_port_is_free_at_once_when_its_runner_is_killed() {
    let (town, lab) = (Town::new(), Lab::shared("porter"));
    let mut run = only(&town, &lab, &["alone_hangs"]).spawn();
    let port = claimed_port(&town);
    claimed(&town, "alone-hangs");
    let refused = TcpListener::bind(("0.0.0.0", port));
    assert!(refused.is_err(), "its test listens");
    let worker = Pid::from_raw(run.worker());
    kill(worker, Signal::SIGKILL).expect("it is ours");
    drop(run.finish().code(42));
    // The supervisor has ended the test before it ended itself.
    drop(TcpListener::bind(("0.0.0.0", port)).expect("it is free"));
    lab.assert_clean();
}

#[test]
fn a_wrong_number_of_ports_is_named_in_its_file() {
    let lab = Lab::shared("porter");
    let file = lab.path("ports.toml");
    fs::write(&file, "[[overrides]]\nfilter = 'all()'\nports = [80, 0]\n").expect("writable");
    let checked = lab.stt(["config", "check", "--config-file", file.as_str()]);
    let finished = checked.default_checkpoint().run();
    assert_eq!(finished.code, Some(96), "{}", finished.transcript());
    let finished = finished.says("a port can't be `0`").says("ports.toml:3:14");
    drop(finished.says("from 1 to 65535"));
}
