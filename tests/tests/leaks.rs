//! What tests leave behind is named with the ports that it held, ended, and a failure where that is asked for.

use std::net::TcpListener;
use std::net::UdpSocket;

use serde_json::Value;
use stt_tests::Finished;
use stt_tests::Lab;
use stt_tests::is_alive;

const DAEMON: &str = "leaves_a_daemon_that_listens";
const FAILING: &str = "leaves_a_helper_that_listens_and_fails";
const OPEN: &str = "leaves_its_output_open";

/// The addresses that the listener has left, as people write them.
fn addresses(lab: &Lab) -> Vec<String> {
    let text = fs_err::read_to_string(lab.traces.join("ports")).expect("it listened");
    let mut addresses: Vec<_> = text.lines().map(str::to_owned).collect();
    addresses.sort();
    addresses
}

/// The ports of the only process that a test has left.
fn ports_of(finished: &Finished, test: &str) -> Vec<String> {
    let report = finished.report();
    let leak = &report.finished(test)["leak"];
    let processes = leak["processes"].as_array().expect("processes");
    assert_eq!(processes.len(), 1, "{leak}");
    assert_eq!(processes[0].get("still-held"), None, "{leak}");
    let ports = processes[0]["ports"].as_array().expect("ports");
    let mut shown: Vec<_> = ports.iter().map(shown).collect();
    shown.sort();
    shown
}

fn shown(port: &Value) -> String {
    let address = port["address"].as_str().expect("an address");
    let number = port["port"].as_u64().expect("a number");
    let address = if address.contains(':') {
        format!("[{address}]:{number}")
    } else {
        format!("{address}:{number}")
    };
    match port["protocol"].as_str() {
        Some("tcp") => address,
        Some("udp") => format!("{address}/udp"),
        other => panic!("{other:?}"),
    }
}

/// The ports are free: whoever binds them again gets them.
fn assert_free(addresses: &[String]) {
    for address in addresses {
        match address.strip_suffix("/udp") {
            Some(address) => drop(UdpSocket::bind(address).expect("it is free")),
            None => drop(TcpListener::bind(address.as_str()).expect("it is free")),
        }
    }
}

#[test]
fn a_leak_is_a_warning_and_names_its_ports() {
    let lab = Lab::shared("leaky");
    let finished = lab.json(["--exact", DAEMON]).run().code(0);
    let addresses = addresses(&lab);
    assert!(addresses.len() >= 2, "{addresses:?}");
    assert_eq!(ports_of(&finished, DAEMON), addresses);
    assert_free(&addresses);
    let daemon = lab.traced("daemon").expect("the daemon was there");
    assert!(!is_alive(daemon[0]), "the daemon lives");
    lab.assert_clean();
    let record = fs_err::read_to_string(&lab.checkpoint).expect("a checkpoint is kept");
    for address in addresses {
        assert!(record.contains(&address), "{address} in {record}");
    }
}

#[test]
fn people_read_the_ports_below_the_test() {
    let lab = Lab::shared("leaky");
    let finished = lab.stt(["--exact", DAEMON]).run().code(0);
    let finished = finished.says("LEAK [").says("left behind, and ended: pid ");
    let addresses = addresses(&lab);
    let udp = addresses.iter().find(|address| address.ends_with("/udp"));
    drop(
        finished
            .says(" (listening on 127.0.0.1:")
            .says(udp.expect("it was bound")),
    );
    lab.assert_clean();
}

#[test]
fn a_leak_fails_a_test_where_that_is_asked_for() {
    let lab = Lab::shared("leaky");
    for (test, says) in [(DAEMON, "listener"), (OPEN, "sleep 63")] {
        let finished = lab
            .json(["--leaks", "fail", "--exact", test])
            .run()
            .code(100);
        let report = finished.report();
        let result = report.finished(test);
        assert_eq!(result["failure"]["kind"], "leak", "{result}");
        assert!(result["leak"].to_string().contains(says), "{result}");
        assert_eq!((report.count("failed"), report.count("leaky")), (1, 1));
        let again = lab.stt(["--leaks", "fail", "--resume"]).run().code(100);
        drop(again.says("nothing to resume").says("LEAK-FAIL"));
        lab.assert_clean();
    }
    let finished = lab.stt(["--leaks=fail", "--exact", DAEMON]).run().code(100);
    drop(finished.says("LEAK-FAIL ["));
    let set = lab.stt(["--exact", DAEMON]).env("STT_RUN_LEAKS", "fail");
    drop(set.run().code(100));
    drop(
        lab.stt(["--leaks", "fail", "--exact", "leaves_nothing"])
            .run()
            .code(0),
    );
    drop(lab.stt(["--leaks", "often"]).run().code(2));
}

#[test]
fn a_test_that_fails_keeps_its_own_failure() {
    let lab = Lab::shared("leaky");
    let finished = lab
        .json(["--leaks", "fail", "--exact", FAILING])
        .run()
        .code(100);
    let report = finished.report();
    assert_eq!(report.finished(FAILING)["failure"]["kind"], "exit");
    assert_eq!(ports_of(&finished, FAILING), addresses(&lab));
    let shown = lab
        .stt(["--leaks", "fail", "--exact", FAILING])
        .run()
        .code(100);
    drop(shown.says("FAIL + LEAK ["));
    lab.assert_clean();
}

/// A server of somebody else's, which runs all the while: here, of this very program.
#[test]
fn a_strangers_port_is_never_named_and_never_closed() {
    let lab = Lab::shared("leaky");
    let stranger = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = stranger.local_addr().expect("bound");
    // One after the other: they share the directory for their traces.
    let finished = lab.json(["--no-fail-fast", "-j1"]).run().code(100);
    let report = finished.report();
    let processes = report
        .of("test-finished")
        .filter_map(|line| line["leak"]["processes"].as_array());
    let ports: Vec<_> = processes
        .flatten()
        .flat_map(|process| process["ports"].as_array().expect("ports"))
        .map(shown)
        .collect();
    assert!(ports.len() >= 4, "of two listeners: {ports:?}");
    assert!(!ports.contains(&address.to_string()), "{ports:?}");
    let client = std::net::TcpStream::connect(address);
    assert!(client.is_ok() && stranger.accept().is_ok(), "it is closed");
    lab.assert_clean();
}
