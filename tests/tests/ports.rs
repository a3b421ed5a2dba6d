//! Ports of tests: nobody else has them, whoever dies frees them, and strangers are named and left alone.

use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::PoisonError;

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

/// What `cargo stt ports` says.
fn listed(town: &Town, lab: &Lab) -> serde_json::Value {
    let asked = porter(town, lab.stt(["ports", "--json"]).default_checkpoint());
    serde_json::from_str(&asked.run().code(0).stdout).expect("JSON")
}

fn entry(list: &serde_json::Value, port: u16) -> Option<&serde_json::Value> {
    let mut ports = list["ports"].as_array()?.iter();
    ports.find(|entry| entry["port"] == port)
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
fn who_cannot_bind_over_ours_gets_sockets_that_listen() {
    let (town, lab) = (Town::new(), Lab::shared("porter"));
    let tests = [
        "finds_sockets_that_listen",
        "finds_a_fixed_socket_that_listens",
    ];
    let finished = only(&town, &lab, &tests).run().code(0);
    // They are the tests' alone: we don't listen ourselves.
    drop(finished.never_says("which had it for itself"));
    lab.assert_clean();
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
    let list = listed(&town, &lab);
    let leased = entry(&list, port).expect("it is listed");
    let owner = &leased["owner"];
    assert_eq!(owner["what"], "porter::others alone_hangs", "{leased:#}");
    let listener = &leased["listening"][0];
    assert_eq!(listener["pid"], owner["pid"], "{leased:#}");
    let worker = Pid::from_raw(run.worker());
    kill(worker, Signal::SIGKILL).expect("it is ours");
    drop(run.finish().code(42));
    // The supervisor has ended the test before it ended itself.
    drop(TcpListener::bind(("0.0.0.0", port)).expect("it is free"));
    lab.assert_clean();
}

#[test]
fn a_command_has_its_ports_until_the_last_of_its_processes_has_ended() {
    let (town, lab) = (Town::new(), Lab::bare());
    let (told, go) = (lab.path("told"), lab.path("go"));
    let script = r#"echo "$STT_PORT_0 $STT_PORT_1 $STT_PORTS ${STT_PORT_2-none}" >"$0"
        (until test -e "$1"; do sleep 0.01; done) </dev/null >/dev/null 2>&1 &
        exit 7"#;
    let command = ["ports", "lease", "-n", "2", "--", "sh", "-c", script];
    // What a runner around us has for itself is not this command's.
    let leasing = lab
        .stt(command)
        .args([&told, &go])
        .env("STT_PORT_2", "1")
        .default_checkpoint();
    drop(porter(&town, leasing).run().code(7));
    let text = fs::read_to_string(&told).expect("it has run");
    let words: Vec<_> = text.split_whitespace().collect();
    let [one, other, both, "none"] = words[..] else {
        panic!("{text}");
    };
    assert_eq!(both, format!("{one},{other}"));
    let ports = [one, other].map(|port| port.parse::<u16>().expect("a port"));
    let list = listed(&town, &lab);
    for port in ports {
        let owner = &entry(&list, port).expect("a child of it lives")["owner"];
        assert!(owner["run"].is_null() && owner["pid"].is_u64(), "{owner:#}");
        let what = owner["what"].as_str().expect("text");
        assert!(what.starts_with("sh -c"), "{what}");
    }
    fs::write(&go, "").expect("it is writable");
    until("the ports are free", DEADLINE, || {
        let list = listed(&town, &lab);
        let held = ports.iter().any(|port| entry(&list, *port).is_some());
        (!held).then_some(())
    });
}

#[test]
fn a_command_that_is_not_there_is_named() {
    let lab = Lab::bare();
    let leasing = lab.stt(["ports", "lease", "--", "/nowhere/at-all"]);
    let finished = leasing.default_checkpoint().run().code(96);
    drop(finished.says("`/nowhere/at-all` can't be run"));
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

/// Runs of different towns don't know of each other, so only one test at a time may have the ports of the fixture.
static ONE_TOWN: Mutex<()> = Mutex::new(());

/// The tests with fixed ports of one run, by the names that they have in the log of the fixture.
const FIXED: [&str; 5] = ["fixed_0", "fixed_1", "fixed_2", "fixed_3", "fixed_4"];

/// One at a time, in one run as in two, and none of the two has them all before the other has one.
#[test]
fn tests_that_want_the_same_ports_take_turns_over_all_runs() {
    let _one = ONE_TOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let town = Town::new();
    let holder = Lab::shared("porter");
    let held = only(&town, &holder, &["fixed_waits_for_go"]).spawn();
    claimed(&town, "fixed-runs");
    let labs = [Lab::shared("porter"), Lab::shared("porter")];
    let mut runs: Vec<_> = labs
        .iter()
        .map(|lab| only(&town, lab, &FIXED).args(["-j", "3", "-v"]).spawn())
        .collect();
    for run in &mut runs {
        run.wait_for("it waits", |run| {
            let report = run.report();
            let waits = report.of("port-taken").next()?.clone();
            assert_eq!(waits["port"], 18080);
            let holder = waits["holder"].as_str().expect("text");
            assert!(
                holder.contains("porter::others fixed_waits_for_go"),
                "{holder}"
            );
            Some(())
        });
    }
    let asked = porter(&town, holder.stt(["status", "--json"]).default_checkpoint());
    let shown = asked.run().code(0).stdout;
    assert!(shown.contains("port 18080, which pid"), "{shown}");
    let status: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let has_it = |run: &serde_json::Value| run["ports"][0]["port"] == 18080;
    let seen = status["runs"].as_array().expect("a list");
    let guarded = |run: &serde_json::Value| run["thresholds"]["cpu"] == "80 %";
    assert_eq!(seen.iter().filter(|run| has_it(run)).count(), 1, "{shown}");
    assert!(seen.iter().all(guarded), "{shown}");
    let list = listed(&town, &holder);
    let port = entry(&list, 18080).expect("it is listed");
    assert_eq!(port["owner"]["what"], "porter::others fixed_waits_for_go");
    assert!(port["owner"]["workspace"].is_string(), "{port:#}");
    let waiting = port["waiting"].as_array().expect("two wait");
    assert_eq!(waiting.len(), 2, "{port:#}");
    fs::write(town.path("porter").join("go"), "").expect("it is writable");
    drop(held.finish().code(0));
    for run in runs {
        assert_eq!(run.finish().code(0).results().len(), FIXED.len());
    }
    let order = fs::read_to_string(town.path("porter").join("order")).expect("they have run");
    let runs: Vec<_> = order
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(runs.len(), 2 * FIXED.len());
    let changes = runs.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes >= 5, "they take turns: {order}");
    let left = |name: &str| {
        fs::read_dir(town.path("stt"))
            .expect("it is there")
            .filter(|entry| {
                entry
                    .as_ref()
                    .is_ok_and(|entry| entry.file_name().to_string_lossy().contains(name))
            })
            .count()
    };
    assert_eq!((left(".port"), left(".waits")), (0, 0));
}

#[test]
fn without_a_coordinator_tests_of_one_run_take_turns() {
    let _one = ONE_TOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let (town, lab) = (Town::new(), Lab::shared("porter"));
    let run = only(&town, &lab, &FIXED).args(["--no-coordinator", "-j", "4"]);
    assert_eq!(run.run().code(0).results().len(), FIXED.len());
}

#[test]
fn a_killed_run_gives_its_fixed_ports_back_at_once() {
    let _one = ONE_TOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let (town, dead, next) = (Town::new(), Lab::shared("porter"), Lab::shared("porter"));
    let mut killed = only(&town, &dead, &["fixed_waits_for_go"]).spawn();
    claimed(&town, "fixed-runs");
    let mut waiting = only(&town, &next, &["fixed_0"]).spawn();
    waiting.wait_for("it waits", |run| {
        run.report().of("port-taken").next().map(|_| ())
    });
    let worker = Pid::from_raw(killed.worker());
    kill(worker, Signal::SIGKILL).expect("it is ours");
    drop(killed.finish().code(42));
    drop(waiting.finish().code(0));
}

#[test]
fn a_fixed_port_that_a_stranger_has_fails_its_test_and_names_him() {
    let (town, lab) = (Town::new(), Lab::shared("porter"));
    let file = lab.path("ports.toml");
    let stranger = TcpListener::bind("127.0.0.1:0").expect("one is free");
    let port = stranger.local_addr().expect("it is bound").port();
    let text = format!("[[overrides]]\nfilter = 'test(=without_ports_too)'\nports = [{port}]\n");
    fs::write(&file, text).expect("writable");
    let run = only(&town, &lab, &["without_ports_too"]).args(["--config-file", file.as_str()]);
    let report = run.run().code(100).report();
    let failure = report.finished("without_ports_too")["failure"].to_string();
    let expected = format!(
        "port {port} (127.0.0.1:{port}) is held by {} ",
        std::process::id()
    );
    assert!(failure.contains(&expected), "{failure}");
    drop(stranger);
}
