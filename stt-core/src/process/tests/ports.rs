//! The ports of what a child leaves behind, and its name.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::TcpListener;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use nix::fcntl::FcntlArg;
use nix::fcntl::FdFlag;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::helper::CLOCK;
use super::helper::FAMILY;
use super::helper::PATIENCE;
use super::helper::Printed;
use super::helper::Slot;
use super::helper::in_own_process;
use super::helper::stopped;
use super::helper::until;
use crate::outcome::EndReason;
use crate::outcome::Exit;
use crate::port::Port;
use crate::port::Protocol;
use crate::process::EndOrder;
use crate::process::Ended;
use crate::process::Left;
use crate::process::Stdio;
use crate::process::Survivor;
use crate::process::spawn;

/// Makes this program listen, in the directory in which it was started.
const LISTEN: &str = "STT_ROOM_TEST_LISTEN";

/// Where no IPv6 is, there is nothing to listen on.
fn has_v6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Not a test by itself: what the others leave behind. It writes its ports down and stays.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "it is how the helper knows that it is one"
)]
fn listener() {
    if std::env::var_os(LISTEN).is_none() {
        return;
    }
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok();
    let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let v6_port = v6.as_ref().map_or(0, |v6| v6.local_addr().unwrap().port());
    let [v4_port, udp_port] = [v4.local_addr(), udp.local_addr()].map(|at| at.unwrap().port());
    std::fs::write("draft", format!("{v4_port} {v6_port} {udp_port}")).unwrap();
    std::fs::rename("draft", "ports").unwrap();
    loop {
        std::thread::park();
    }
}

/// What starts the listener in a script; `$TAG` becomes part of its environment.
fn listen() -> String {
    let program = std::env::current_exe().unwrap();
    let program = program.to_str().unwrap();
    format!("{program} --exact process::tests::ports::listener </dev/null >/dev/null 2>&1")
}

const READY: &str = "until [ -e ports ]; do :; done";

/// The ports that the listener of this slot has written down.
fn ports(slot: &Slot) -> Vec<Port> {
    let text = std::fs::read_to_string(slot.dir.path().join("ports")).unwrap();
    let numbers: Vec<u16> = text
        .split(' ')
        .map(|number| number.parse().unwrap())
        .collect();
    let port = |protocol, address: &str, number| Port {
        protocol,
        address: address.parse().unwrap(),
        number,
    };
    let mut ports = vec![
        port(Protocol::Tcp, "127.0.0.1", numbers[0]),
        port(Protocol::Udp, "0.0.0.0", numbers[2]),
    ];
    if has_v6() {
        ports.insert(1, port(Protocol::Tcp, "::1", numbers[1]));
    }
    ports
}

fn with_ports(ended: &Ended) -> Vec<&Survivor> {
    let processes = ended.left.processes.iter();
    processes
        .filter(|process| !process.ports.is_empty())
        .collect()
}

#[test]
fn the_ports_of_what_is_left_are_named_and_free_afterwards() {
    let slot = Slot::new();
    let (ended, _) = slot.run(&format!("{LISTEN}=1 {} & {READY}; exit 0", listen()));
    assert_eq!(ended.exit, Exit::Code(0));
    let left = with_ports(&ended);
    assert_eq!(left.len(), 1, "{ended:?}");
    assert_eq!(left[0].ports, ports(&slot));
    assert_eq!(left[0].still_held, []);
    for port in &left[0].ports {
        let at = (port.address, port.number);
        match port.protocol {
            Protocol::Tcp => drop(TcpListener::bind(at).unwrap()),
            Protocol::Udp => drop(UdpSocket::bind(at).unwrap()),
        }
    }
}

#[test]
fn a_daemon_without_session_and_environment_is_named_with_its_ports() {
    if !in_own_process("ports::a_daemon_without_session_and_environment_is_named_with_its_ports") {
        return;
    }
    let mut slot = Slot::new();
    slot.terms.exclusive = true;
    let script = format!("(setsid env -i {LISTEN}=$TAG {} &); {READY}", listen());
    let (ended, _) = slot.run(&script);
    assert_eq!(ended.left.processes.len(), 1, "{:?}", ended.left);
    assert_eq!(ended.left.processes[0].ports, ports(&slot));
    assert!(!ended.left.processes[0].in_group);
}

#[test]
fn a_sweep_names_ports_too() {
    if !in_own_process("ports::a_sweep_names_ports_too") {
        return;
    }
    let slot = Slot::new();
    let script = format!("(setsid env -i {LISTEN}=$TAG {} &); {READY}", listen());
    let (ended, _) = slot.run(&script);
    assert_eq!(ended.left, Left::default(), "other tests might run");
    let swept = FAMILY.sweep(&CLOCK, CLOCK.now() + PATIENCE);
    assert_eq!(swept.left, []);
    assert_eq!(swept.ended.len(), 1, "{swept:?}");
    assert_eq!(swept.ended[0].ports, ports(&slot));
    assert_eq!(swept.ended[0].still_held, []);
}

#[test]
fn after_a_timeout_ports_are_named_and_in_haste_they_are_not_asked_for() {
    for (order, asked) in [
        (stopped(20_000), false),
        (
            EndOrder {
                reason: EndReason::Timeout(std::time::Duration::from_secs(1)),
                ..stopped(20_000)
            },
            true,
        ),
    ] {
        let slot = Slot::new();
        let script = format!(
            "{LISTEN}=1 setsid {} & {READY}; echo ready; sleep 1000.$TAG",
            listen()
        );
        let (ended, _) = slot.run_and_end(&script, &[order]);
        assert_eq!(ended.exit, Exit::Signal(15));
        assert_eq!(ended.left.processes.len(), 1, "{:?}", ended.left);
        assert_eq!(!ended.left.processes[0].ports.is_empty(), asked);
    }
}

/// The one that inherits the socket is not known as the test's own: it carries no mark, and nobody saw it.
#[test]
fn a_port_that_somebody_else_has_inherited_is_named_with_him() {
    // What a child inherits here, the children of all tests of this process would.
    if !in_own_process("ports::a_port_that_somebody_else_has_inherited_is_named_with_him") {
        return;
    }
    let slot = Slot::new();
    let hidden =
        "setsid env -i /bin/sh -c ': >hidden; exec sleep 1000.'$TAG </dev/null >/dev/null 2>&1";
    let script = format!(
        "({hidden} &); until [ -e hidden ]; do :; done; sleep 2000.$TAG </dev/null >/dev/null 2>&1 & exit 0"
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let number = listener.local_addr().unwrap().port();
    nix::fcntl::fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let command = slot.script(&script);
    let child = spawn(&command, Stdio::Capture, &slot.control, &CLOCK).unwrap();
    let leader = format!("/proc/{}/fd/{}", child.pid(), listener.as_raw_fd());
    until("it has the socket", || {
        slot.is_there("hidden") || std::fs::read_link(&leader).is_ok()
    });
    drop(listener);
    let ended = slot.follow(child, &mut Printed::default());
    let left = with_ports(&ended);
    assert_eq!(left.len(), 1, "{ended:?}");
    assert_eq!(left[0].ports[0].number, number);
    let held = &left[0].still_held;
    assert_eq!(held.len(), 1, "{ended:?}");
    assert_eq!((held[0].port.number, held[0].by.len()), (number, 1));
    assert_eq!(held[0].by[0].command, format!("sleep 1000.{}", slot.tag));
    for pid in slot.alive() {
        nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
}

/// We have it ourselves, so it is no test's: it came with us.
#[test]
fn a_socket_that_was_inherited_from_us_is_no_leak() {
    if !in_own_process("ports::a_socket_that_was_inherited_from_us_is_no_leak") {
        return;
    }
    let slot = Slot::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    nix::fcntl::fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let (ended, _) = slot.run("sleep 1000.$TAG </dev/null >/dev/null 2>&1 & exit 0");
    assert_eq!(ended.left.processes.len(), 1, "{ended:?}");
    assert_eq!(ended.left.processes[0].ports, []);
}

#[test]
fn who_has_renamed_himself_is_named_by_both_names() {
    let slot = Slot::new();
    let script = "sh -c 'echo hidden >/proc/$$/comm; : >ready; while :; do sleep 1000.$TAG; done' \
        </dev/null >/dev/null 2>&1 & until [ -e ready ]; do :; done";
    let (ended, _) = slot.run(script);
    let commands: Vec<_> = ended
        .left
        .processes
        .iter()
        .map(|left| &left.command)
        .collect();
    let renamed = commands
        .iter()
        .find(|command| command.starts_with("sh -c echo hidden"));
    assert!(renamed.unwrap().ends_with(" [hidden]"), "{commands:?}");
}
