//! Children that have to be ended.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::helper::CLOCK;
use super::helper::PATIENCE;
use super::helper::Printed;
use super::helper::Slot;
use super::helper::stopped;
use super::helper::until;
use crate::outcome::EndReason;
use crate::outcome::Exit;
use crate::outcome::Unfinished;
use crate::process::EndOrder;
use crate::process::Left;
use crate::process::Stdio;
use crate::process::kernel;
use crate::process::spawn;

const SLEEP: &str = "sleep 1000.$TAG";

const UNFINISHED: Option<EndReason> = Some(EndReason::Unfinished(Unfinished::Stopped));

#[test]
fn term_comes_first() {
    let slot = Slot::new();
    let script = format!("trap 'echo caught; exit 5' TERM; echo ready; {SLEEP} & wait");
    let (ended, printed) = slot.run_and_end(&script, &[stopped(20_000)]);
    assert_eq!(printed.stdout, b"ready\ncaught\n");
    assert_eq!((ended.exit, ended.ended), (Exit::Code(5), UNFINISHED));
    assert_eq!(ended.left, Left::default());
}

#[test]
fn who_ignores_term_is_killed_after_the_grace() {
    let slot = Slot::new();
    let script = format!("trap '' TERM; echo ready; {SLEEP}; {SLEEP}");
    let (ended, _) = slot.run_and_end(&script, &[stopped(150)]);
    assert_eq!((ended.exit, &ended.ended), (Exit::Signal(9), &UNFINISHED));
    assert!(ended.duration >= Duration::from_millis(150), "{ended:?}");
    assert!(ended.duration < PATIENCE, "{ended:?}");
}

#[test]
fn without_grace_there_is_no_term() {
    let slot = Slot::new();
    let script = format!("trap 'echo caught' TERM; echo ready; {SLEEP} & wait; {SLEEP}");
    let (ended, printed) = slot.run_and_end(&script, &[stopped(0)]);
    assert_eq!(ended.exit, Exit::Signal(9));
    assert_eq!(printed.stdout, b"ready\n");
}

#[test]
fn only_the_dying_give_back_their_memory() {
    let own = kernel::pidfd_open(std::process::id().cast_signed()).unwrap();
    assert!(kernel::release_memory(&own).is_err());
    let slot = Slot::new();
    let script =
        "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ready; sleep 1000.$TAG; echo $x";
    let (ended, _) = slot.run_and_end(script, &[stopped(0)]);
    assert_eq!(ended.exit, Exit::Signal(9));
}

#[test]
fn a_second_order_only_hurries_and_the_first_reason_stays() {
    let slot = Slot::new();
    let timeout = EndReason::Timeout(Duration::from_secs(9));
    let first = EndOrder {
        reason: timeout.clone(),
        grace: PATIENCE * 10,
    };
    let script = format!("trap '' TERM; echo ready; {SLEEP}");
    let (ended, _) = slot.run_and_end(&script, &[first, stopped(600_000), stopped(50)]);
    assert_eq!(
        (ended.exit, &ended.ended),
        (Exit::Signal(9), &Some(timeout))
    );
    assert!(ended.duration < PATIENCE, "{ended:?}");
}

#[test]
fn a_stopped_child_is_ended_too() {
    let slot = Slot::new();
    let child = spawn(
        &slot.script("kill -STOP $$"),
        Stdio::Capture,
        &slot.control,
        &CLOCK,
    )
    .unwrap();
    until("it is stopped", || state_of(child.pid()) == Some('T'));
    assert!(slot.control.end(stopped(20_000)).unwrap());
    let mut printed = Printed::default();
    let ended = slot.follow(child, &mut printed);
    assert_eq!((ended.exit, ended.ended), (Exit::Signal(15), UNFINISHED));
}

#[test]
fn the_whole_group_goes_with_its_leader() {
    let slot = Slot::new();
    let script =
        format!("(trap '' TERM; {SLEEP}; {SLEEP}) & (trap '' TERM; {SLEEP}) & echo ready; wait");
    let (ended, _) = slot.run_and_end(&script, &[stopped(20_000)]);
    assert_eq!(ended.exit, Exit::Signal(15));
    assert_eq!(
        ended.left,
        Left::default(),
        "whoever was in the group is no leak"
    );
}

#[test]
fn an_order_before_the_start_reaches_the_child() {
    let slot = Slot::new();
    slot.control.reserve();
    assert!(slot.control.end(stopped(0)).unwrap());
    let (ended, _) = slot.run(SLEEP);
    assert_eq!((ended.exit, ended.ended), (Exit::Signal(9), UNFINISHED));
    // What was taken back reaches nobody.
    slot.control.reserve();
    assert!(slot.control.end(stopped(0)).unwrap());
    slot.control.release();
    let (ended, _) = slot.run("exit 0");
    assert_eq!((ended.exit, ended.ended), (Exit::Code(0), None));
}

#[test]
fn an_order_without_a_child_reaches_nobody() {
    let slot = Slot::new();
    assert!(!slot.control.end(stopped(0)).unwrap());
    assert!(!slot.control.signal(Signal::SIGTERM).unwrap());
    let (ended, _) = slot.run("exit 0");
    assert_eq!((ended.exit, ended.ended), (Exit::Code(0), None));
    assert!(!slot.control.end(stopped(0)).unwrap());
    assert!(!slot.control.signal(Signal::SIGTERM).unwrap());
}

#[test]
fn an_order_after_the_exit_is_no_part_of_the_result() {
    let slot = Slot::new();
    let script = format!("{SLEEP} & exit 0");
    let child = spawn(&slot.script(&script), Stdio::Capture, &slot.control, &CLOCK).unwrap();
    until("it has exited", || kernel::has_exited(child.pid()));
    assert!(slot.control.end(stopped(30_000)).unwrap());
    let mut printed = Printed::default();
    let ended = slot.follow(child, &mut printed);
    assert_eq!((ended.exit, ended.ended), (Exit::Code(0), None));
}

/// The order comes before, at or after the exit. Whatever it was, the result is one of two, and the
/// signal reaches nobody else.
#[test]
fn an_order_that_races_with_the_exit_has_one_result() {
    let slot = Slot::new();
    let decoy_slot = Slot::new();
    let decoy = decoy_slot.script(SLEEP);
    let decoy = spawn(&decoy, Stdio::Capture, &decoy_slot.control, &CLOCK).unwrap();
    let mut command = slot.script("");
    command.program = "/bin/true".into();
    let (mut natural, mut ended_first) = (0, 0);
    for round in 0..500_u64 {
        slot.control.reserve();
        let at = CLOCK.now() + Duration::from_micros(round * 5);
        let ended = std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                while CLOCK.now() < at {
                    std::hint::spin_loop();
                }
                slot.control.end(stopped(round % 3 * 10_000)).unwrap()
            });
            let ended = slot.drive(&command, &mut Printed::default());
            other.join().unwrap();
            ended
        });
        match (&ended.ended, ended.exit) {
            (None, Exit::Code(0)) => natural += 1,
            (Some(_), Exit::Signal(9 | 15) | Exit::Code(0)) => ended_first += 1,
            other => panic!("round {round}: {other:?}"),
        }
        assert!(ended.duration < PATIENCE, "{ended:?}");
        assert!(!slot.control.signal(Signal::SIGKILL).unwrap());
    }
    assert_eq!(natural + ended_first, 500);
    assert!(ended_first > 0, "the orders never came in time");
    assert_ne!(
        decoy_slot.alive(),
        Vec::<i32>::new(),
        "a stranger was signalled"
    );
    assert!(decoy_slot.control.end(stopped(0)).unwrap());
    decoy_slot.follow(decoy, &mut Printed::default());
}

/// As a terminal's TSTP does when it hits a child before its `exec`.
#[test]
fn a_child_that_is_stopped_while_it_starts_is_freed() {
    let slot = Slot::new();
    let child = spawn(
        &slot.script("kill -STOP $$; exit 4"),
        Stdio::Capture,
        &slot.control,
        &CLOCK,
    )
    .unwrap();
    until("it is stopped", || state_of(child.pid()) == Some('T'));
    slot.control.starting();
    std::thread::scope(|scope| {
        let suspended = scope.spawn(|| slot.control.suspend().unwrap());
        until("it is freed", || state_of(child.pid()) != Some('T'));
        slot.control.started(child.pid(), None).unwrap();
        // Not before the start is over, and before anything else.
        let exited = || state_of(child.pid()) == Some('Z');
        until("it stands still", || {
            state_of(child.pid()) == Some('T') || exited()
        });
        assert!(suspended.join().unwrap() || exited());
    });
    let _ = slot.control.signal(Signal::SIGCONT).unwrap();
    let ended = slot.follow(child, &mut Printed::default());
    assert_eq!(ended.exit, Exit::Code(4));
}

fn state_of(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}
