//! What a child leaves behind, and what is found of it.

use std::io::Write as _;
use std::time::Duration;

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
use crate::outcome::Exit;
use crate::process::Exact;
use crate::process::Left;
use crate::process::Marker;
use crate::process::OutputSink;
use crate::process::Running;
use crate::process::Stdio;
use crate::process::Swept;
use crate::process::spawn;
use crate::units::Bytes;

const QUIET: &str = "</dev/null >/dev/null 2>&1";

/// A daemon that forks twice, leaves the session and clears its environment; its leader exits once it
/// has done so.
const DAEMON: &str = "(setsid env -i /bin/sh -c ': >daemon; exec sleep 1000.'$TAG </dev/null >/dev/null 2>&1 &); until [ -e daemon ]; do :; done";

#[test]
fn whoever_keeps_the_output_open_is_waited_for_named_and_ended() {
    let slot = Slot::new();
    let before = CLOCK.now();
    let (ended, _) = slot.run("sleep 1000.$TAG & exit 0");
    let took = CLOCK.now().saturating_sub(before);
    assert_eq!(ended.exit, Exit::Code(0));
    assert!(ended.left.output_open);
    assert_eq!(ended.left.processes.len(), 1, "{ended:?}");
    let command = &ended.left.processes[0].command;
    assert_eq!(*command, format!("sleep 1000.{}", slot.tag));
    assert!(
        took >= slot.terms.leak_timeout && took < PATIENCE,
        "{took:?}"
    );
    assert!(ended.duration < took, "the time until the exit counts");
}

#[test]
fn output_that_keeps_coming_moves_no_deadline() {
    let slot = Slot::new();
    let before = CLOCK.now();
    let (ended, printed) = slot.run("(while :; do echo $TAG; done) & exit 0");
    let took = CLOCK.now().saturating_sub(before);
    assert!(
        ended.left.output_open && !ended.left.processes.is_empty(),
        "{:?}",
        ended.left
    );
    assert!(!printed.stdout.is_empty());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_helper_that_leaves_in_time_is_no_leak() {
    let slot = Slot::new();
    let (ended, _) = slot.run(&format!("(sleep 0.05) {QUIET} & exit 0"));
    assert_eq!(ended.left, Left::default());
    let (ended, printed) = slot.run("(sleep 0.05; echo late) & exit 0");
    assert_eq!(ended.left, Left::default());
    assert_eq!(printed.stdout, b"late\n");
}

#[test]
fn silent_children_in_and_out_of_the_group_are_found() {
    let slot = Slot::new();
    let script = format!("sleep 1000.$TAG {QUIET} & setsid sleep 2000.$TAG {QUIET} & exit 0");
    let (ended, _) = slot.run(&script);
    assert!(!ended.left.output_open);
    let mut commands: Vec<_> = ended
        .left
        .processes
        .iter()
        .map(|left| left.command.clone())
        .collect();
    commands.sort();
    let expected = ["1000", "2000"].map(|time| format!("sleep {time}.{}", slot.tag));
    assert_eq!(commands, expected);
}

#[test]
fn who_left_the_group_is_found_after_an_order_and_its_whole_tree_with_it() {
    let slot = Slot::new();
    // The environment is cleared: it is known because it was seen below the leader.
    let tree = "sleep 1000.$0 & sleep 2000.$0 & echo ready; wait";
    let script = format!("setsid env -i /bin/sh -c '{tree}' $TAG; true");
    let (ended, _) = slot.run_and_end(&script, &[stopped(20_000)]);
    assert_eq!(ended.exit, Exit::Signal(15));
    assert_eq!(ended.left.processes.len(), 3, "{:?}", ended.left);
    assert!(ended.left.processes.iter().all(|left| !left.in_group));
}

#[test]
fn a_strangers_orphan_is_left_alone() {
    let (slot, other) = (Slot::new(), Slot::new());
    // The other slot's test still runs, and has a daemon.
    let script = format!("{DAEMON}; echo ready; sleep 1000.$TAG");
    let running = spawn(
        &other.script(&script),
        Stdio::Capture,
        &other.control,
        &CLOCK,
    )
    .unwrap();
    until("the daemon runs", || other.is_there("daemon"));
    for _ in 0..10 {
        let (ended, _) = slot.run("exit 0");
        assert_eq!(ended.left, Left::default());
    }
    let (ended, _) = slot.run(&format!("setsid sleep 1000.$TAG {QUIET} & exit 0"));
    assert_eq!(ended.left.processes.len(), 1);
    let daemon = other.alive();
    assert_eq!(
        daemon.len(),
        3,
        "shell, its sleep, and the daemon: {daemon:?}"
    );
    assert!(other.control.end(stopped(0)).unwrap());
    other.follow(running, &mut Printed::default());
    // Its environment is cleared and it was not seen below the leader: the end of the run finds it.
    for pid in other.alive() {
        nix::sys::signal::kill(Pid::from_raw(pid), nix::sys::signal::SIGKILL).unwrap();
    }
}

#[test]
fn orphans_come_to_the_main_thread_and_the_list_can_be_read_again() {
    let slot = Slot::new();
    let mut printed = Printed::default();
    let command = slot.script(&format!("setsid sleep 1000.$TAG {QUIET} & echo $!; exit 0"));
    let child = spawn(&command, Stdio::Capture, &slot.control, &CLOCK).unwrap();
    // This is not the main thread, so the leader is not in the list, and its orphan is.
    let main = nix::unistd::getpid() == nix::unistd::gettid();
    until("it is ours", || {
        let orphans = FAMILY.orphans();
        assert!(main || !orphans.contains(&child.pid()));
        orphans.iter().any(|orphan| slot.alive().contains(orphan))
    });
    let ended = slot.follow(child, &mut printed);
    let pid: i32 = String::from_utf8(printed.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert_eq!(ended.left.processes.len(), 1);
    assert!(!FAMILY.orphans().contains(&pid), "it is reaped");
}

#[test]
fn a_daemon_without_any_mark_is_found_when_nothing_else_ran() {
    if !in_own_process("family::a_daemon_without_any_mark_is_found_when_nothing_else_ran") {
        return;
    }
    let mut slot = Slot::new();
    slot.terms.exclusive = true;
    let (ended, _) = slot.run(DAEMON);
    assert_eq!(ended.exit, Exit::Code(0));
    assert_eq!(ended.left.processes.len(), 1, "{:?}", ended.left);
}

#[test]
fn a_sweep_finds_a_daemon_without_any_mark_and_spares_a_decoy() {
    let decoy_slot = Slot::new();
    let decoy = decoy_slot.script("exec sleep 1000.$TAG");
    let decoy = spawn(&decoy, Stdio::Capture, &decoy_slot.control, &CLOCK).unwrap();
    if in_own_process("family::a_sweep_finds_a_daemon_without_any_mark_and_spares_a_decoy") {
        // Here the decoy is a child of ours like any other, of which no thread says that it is a test.
        let slot = Slot::new();
        let (ended, _) = slot.run(DAEMON);
        assert_eq!(ended.left, Left::default());
        let swept = FAMILY.sweep(&CLOCK, CLOCK.now() + PATIENCE);
        assert_eq!(swept.left, []);
        assert_eq!(swept.ended.len(), 2, "{swept:?}");
        until("all are dead", || slot.alive().is_empty());
    } else {
        assert_eq!(decoy_slot.alive(), [decoy.pid()]);
    }
    decoy_slot.control.end(stopped(0)).unwrap();
    decoy_slot.follow(decoy, &mut Printed::default());
}

#[test]
fn who_was_there_before_the_first_test_is_spared_and_counted_to_nobody() {
    if !in_own_process(
        "family::who_was_there_before_the_first_test_is_spared_and_counted_to_nobody",
    ) {
        return;
    }
    // A compile server, as a build leaves one behind.
    let server = Slot::new();
    server.run(DAEMON);
    until("the server is ours", || !FAMILY.orphans().is_empty());
    FAMILY.spare_present();
    assert!(FAMILY.orphans().is_empty());
    let mut slot = Slot::new();
    slot.terms.exclusive = true;
    let (ended, _) = slot.run("true");
    assert_eq!(ended.left, Left::default());
    let swept = FAMILY.sweep(&CLOCK, CLOCK.now() + PATIENCE);
    assert_eq!(swept, Swept::default());
    assert_eq!(server.alive().len(), 1);
    // What the tests leave is found as before.
    let (ended, _) = slot.run(DAEMON);
    assert_eq!(ended.left.processes.len(), 1, "{:?}", ended.left);
    for pid in server.alive() {
        nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    until("the server is reaped", || {
        FAMILY.sweep(&CLOCK, CLOCK.now() + PATIENCE);
        server.alive().is_empty()
    });
}

/// Each process starts two, ignores TERM, stops itself, and has a session of its own.
#[test]
fn a_sweep_ends_a_fork_bomb_the_stopped_and_the_stubborn() {
    if !in_own_process("family::a_sweep_ends_a_fork_bomb_the_stopped_and_the_stubborn") {
        return;
    }
    let slot = Slot::new();
    let script = "echo 'trap \"\" TERM; [ $1 -gt 6 ] || { setsid sh bomb $(($1+1)) & \
        setsid sh bomb $(($1+1)) & }; kill -STOP $$; wait' >bomb; sh bomb 0 & wait";
    let command = slot.script(script);
    let child = spawn(&command, Stdio::Inherit, &slot.control, &CLOCK).unwrap();
    until("it has grown", || slot.alive().len() > 200);
    let before = CLOCK.now();
    let swept = FAMILY.sweep(&CLOCK, before + PATIENCE);
    let took = CLOCK.now().saturating_sub(before);
    assert_eq!(swept.left, []);
    assert!(swept.ended.len() >= 200, "{}", swept.ended.len());
    until("all are dead", || slot.alive().is_empty());
    assert!(took < Duration::from_secs(10), "{took:?}");
    let ended = slot.follow(child, &mut Printed::default());
    assert_eq!(
        ended.exit,
        Exit::Signal(9),
        "its slot reaps it, not the sweep"
    );
    let again = FAMILY.sweep(&CLOCK, CLOCK.now() + PATIENCE);
    assert_eq!(again, Swept::default());
    assert_eq!(FAMILY.orphans(), Vec::<i32>::new(), "zombies are reaped");
}

/// Ends the thread that it interrupts, and nothing else.
#[expect(unsafe_code, reason = "std offers no way to end the main thread alone")]
extern "C" fn end_this_thread(_signal: libc::c_int) {
    // SAFETY: the thread runs no code after this, and what it owns is leaked.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// Ends the main thread of this process, and no other.
#[expect(unsafe_code, reason = "std offers no way to end the main thread alone")]
pub(super) fn end_main_thread() {
    let handler: extern "C" fn(libc::c_int) = end_this_thread;
    let main = nix::unistd::getpid().as_raw();
    // SAFETY: the handler only makes a system call, and the main thread only waits for this test.
    unsafe {
        libc::signal(libc::SIGUSR1, handler as libc::sighandler_t);
        libc::syscall(libc::SYS_tgkill, main, main, libc::SIGUSR1);
    }
}

/// Its main thread exits and another one stays: the kernel shows a zombie.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "it is how the helper knows that it is one"
)]
fn a_process_whose_main_thread_is_gone_is_alive() {
    const HELPER: &str = "STT_ROOM_TEST_HELPER";
    const NAME: &str = "family::a_process_whose_main_thread_is_gone_is_alive";
    if std::env::var_os(HELPER).is_some() {
        end_main_thread();
        loop {
            std::thread::park();
        }
    }
    if !in_own_process(NAME) {
        return;
    }
    let slot = Slot::new();
    let mut command = slot.script("").env(HELPER, "1");
    command.program = std::env::current_exe().unwrap().into();
    command.args = [
        "--test-threads=1",
        "--exact",
        &format!("process::tests::{NAME}"),
    ]
    .map(Into::into)
    .into();
    let child = spawn(&command, Stdio::Capture, &slot.control, &CLOCK).unwrap();
    let status = format!("/proc/{}/status", child.pid());
    until("its main thread is gone", || {
        let status = std::fs::read_to_string(&status).unwrap();
        status.contains("State:\tZ") && !status.contains("Threads:\t1\n")
    });
    assert!(!crate::process::kernel::has_exited(child.pid()));
    let swept = FAMILY.sweep(&CLOCK, CLOCK.now() + PATIENCE);
    assert_eq!((swept.ended.len(), swept.left.len()), (1, 0), "{swept:?}");
    let ended = slot.follow(child, &mut Printed::default());
    assert_eq!(ended.exit, Exit::Signal(9));
}

#[test]
fn dead_orphans_are_reaped_although_nobody_leaks() {
    if !in_own_process("family::dead_orphans_are_reaped_although_nobody_leaks") {
        return;
    }
    let slot = Slot::new();
    for _ in 0..20 {
        // The grandchild dies as the leader's orphan.
        let (ended, _) = slot.run(&format!("(setsid sleep 0.01 {QUIET} &) ; exit 0"));
        assert_eq!(ended.left, Left::default());
    }
    slot.run("exit 0");
    assert_eq!(FAMILY.orphans(), Vec::<i32>::new());
}

/// How many orphans are dead and not reaped.
fn dead() -> usize {
    let orphans = FAMILY.orphans().into_iter();
    orphans
        .filter(|&pid| crate::process::kernel::has_exited(pid))
        .count()
}

/// A thousand are dead, one of whom had left the group and had worked.
#[test]
fn the_dead_are_buried_while_tests_run_and_nobody_else_is() {
    if in_own_process("family::the_dead_are_buried_while_tests_run_and_nobody_else_is") {
        // As a slot does, and never the main thread, whose children are taken for orphans.
        std::thread::spawn(bury_beside_tests).join().unwrap();
    }
}

fn bury_beside_tests() {
    let beside = Slot::new();
    let other = spawn(
        &beside.script("exit 3"),
        Stdio::Capture,
        &beside.control,
        &CLOCK,
    )
    .unwrap();
    until("the other test is a zombie that its slot will reap", || {
        crate::process::kernel::has_exited(other.pid())
    });
    let mut slot = Slot::new();
    slot.terms.exclusive = true;
    // The kernel ends it after a second of CPU time.
    let worker = "ulimit -t 1; while :; do :; done";
    let script = format!(
        "(setsid sh -c '{worker}' {QUIET} &)
        (setsid sleep 1000.$TAG {QUIET} &)
        i=0; while [ $i -lt 999 ]; do (true &); i=$((i+1)); done
        echo ready; read x <&3; exit 7"
    );
    let script = format!("mkfifo go; exec 3<>go; {script}");
    let go = slot.dir.path().join("go");
    let mut lists = [Vec::new(), Vec::new()];
    let mut measure = || {
        until("a thousand are dead", || dead() == 1000);
        lists[0] = slot.alive();
        // A walk buries them before it looks.
        let usage = FAMILY.usage(&[], Exact::Nobody).unwrap();
        assert_eq!((dead(), usage.processes), (0, 1), "{usage:?}");
        assert!(!FAMILY.bury());
        lists[1] = slot.alive();
        let mut go = std::fs::File::options().write(true).open(&go).unwrap();
        go.write_all(b"go\n").unwrap();
    };
    let ended = slot.drive(&slot.script(&script), &mut Measured(&mut measure));
    assert_eq!(ended.exit, Exit::Code(7));
    assert_eq!(lists[0], lists[1], "the living live");
    assert_eq!(ended.left.processes.len(), 1, "{:?}", ended.left);
    assert!(
        ended.cpu >= Duration::from_secs(1),
        "the work of the one who had left the group is not counted: {:?}",
        ended.cpu
    );
    let ended = beside.follow(other, &mut Printed::default());
    assert_eq!(ended.exit, Exit::Code(3));
}

#[test]
fn a_few_dead_wait_for_the_end_of_a_test() {
    if !in_own_process("family::a_few_dead_wait_for_the_end_of_a_test") {
        return;
    }
    let slot = Slot::new();
    let mut seen = Vec::new();
    let mut measure = || {
        until("ten are dead", || dead() == 10);
        seen.push((FAMILY.bury(), dead()));
        slot.control.end(stopped(0)).unwrap();
    };
    let script =
        "i=0; while [ $i -lt 10 ]; do (true &); i=$((i+1)); done; echo ready; sleep 1000.$TAG";
    slot.drive(&slot.script(script), &mut Measured(&mut measure));
    assert_eq!(seen, [(false, 10)]);
}

/// Prints a line, then waits to be measured.
struct Measured<'a>(&'a mut dyn FnMut());

impl OutputSink for Measured<'_> {
    fn stdout(&mut self, _bytes: &[u8]) {
        (self.0)();
    }

    fn stderr(&mut self, _bytes: &[u8]) {}
}

#[test]
fn usage_is_summed_up_by_slot() {
    let slot = Slot::new();
    let script = "x=$(head -c 33554432 /dev/zero | tr '\\0' x); sleep 1000.$TAG & \
        until grep -q sleep /proc/$!/comm; do :; done; echo ready; wait";
    let mut usage = None;
    let mut measure = || {
        let leader = slot.control.leader().unwrap();
        let marker = Marker::default();
        let test = |slot, leader| Running {
            slot,
            leader,
            marker: &marker,
            written: slot == 7,
        };
        let tests = [test(7, leader), test(3, i32::MAX)];
        let exact = [Exact::Nobody, Exact::All, Exact::Slot(7)];
        usage = Some(exact.map(|exact| FAMILY.usage(&tests, exact).unwrap()));
        slot.control.end(stopped(0)).unwrap();
    };
    slot.drive(&slot.script(script), &mut Measured(&mut measure));
    let [plain, exact, slot_only] = usage.unwrap();
    for usage in [&plain, &exact, &slot_only] {
        assert_eq!(usage.slots.len(), 2);
        assert_eq!((usage.slots[0].slot, usage.slots[1].slot), (7, 3));
        assert!(usage.slots[0].memory >= Bytes::mib(32), "{usage:?}");
        assert!(usage.slots[0].memory <= usage.memory, "{usage:?}");
        assert_eq!(usage.slots[1].memory, Bytes(0), "nobody is there");
        assert!(
            usage.processes >= 2 && usage.threads >= usage.processes,
            "{usage:?}"
        );
        assert!(usage.cpu > Duration::ZERO, "{usage:?}");
        let own = usage.slots[0];
        assert!(own.processes >= 2 && own.threads >= 2, "{usage:?}");
        // The shell has waited for `head` and `tr`.
        assert!(own.cpu >= usage.cpu, "{usage:?}");
        assert!(own.written.is_some() && usage.slots[1].written.is_none());
        // Two processes with three standard streams each, where the kernel counts them.
        assert!(
            usage.descriptors.is_none_or(|count| count >= 6),
            "{usage:?}"
        );
    }
    assert!(
        exact.slots[0].memory <= plain.slots[0].memory
            && slot_only.slots[0].memory <= plain.slots[0].memory,
        "{plain:?} {exact:?}"
    );
}
