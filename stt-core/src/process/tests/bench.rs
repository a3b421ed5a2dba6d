//! What starting and driving a child costs, beside a bare loop over the same program in the same run.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use camino::Utf8Path;

use super::attackers;
use super::groups::Group;
use super::helper::CLOCK;
use super::helper::FAMILY;
use super::helper::PATIENCE;
use super::helper::Printed;
use super::helper::Slot;
use super::helper::until;
use crate::process::Capture;
use crate::process::Control;
use crate::process::Limits;
use crate::process::Stdio;
use crate::process::family::Kin;
use crate::process::family::Naming;
use crate::process::launch::refuse;
use crate::process::spawn;
use crate::units::Bytes;

const THREADS: u32 = 2;
const EACH: u32 = 100;
const ROUNDS: u32 = 25;

/// The ways that are compared, each with the most that it may take beside the bare loop.
const WAYS: [(&str, fn(), f64); 4] = [
    ("bare", bare, f64::INFINITY),
    ("by std", by_std, f64::INFINITY),
    ("driven", driven, 1.25),
    ("in a control group", in_a_group, 1.25),
];

#[test]
#[ignore = "a measurement: run it alone, with --release and --nocapture"]
#[expect(clippy::print_stderr, reason = "the figures are the result")]
fn the_cost_of_a_child_beside_a_bare_loop() {
    let group = Group::make();
    // Rounds taken side by side, and the middle one: the machine's speed drifts, and others use it too.
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| WAYS.map(|(_, work, _)| in_threads(work).as_secs_f64()))
        .collect();
    for (way, (name, _, most)) in WAYS.into_iter().enumerate() {
        let mut ratios: Vec<_> = rounds.iter().map(|times| times[way] / times[0]).collect();
        let mut times: Vec<_> = rounds.iter().map(|times| times[way]).collect();
        for values in [&mut ratios, &mut times] {
            values.sort_by(f64::total_cmp);
        }
        let [ratio, time] = [ratios, times].map(|values| values[values.len() / 2]);
        let time = time * 1e6 / f64::from(THREADS * EACH);
        eprintln!("{name}: {time:.0} us a child, ratio {ratio:.3}");
        assert!(ratio < most, "{ratio}");
    }
    drop(group);
}

/// What it takes until nobody is left, with a control group and without one.
#[test]
#[ignore = "a measurement: run it alone, with --release and --nocapture"]
#[expect(clippy::print_stderr, reason = "the figures are the result")]
fn the_time_until_a_bomb_is_gone() {
    for (role, size) in [("bomb_of_256", 256), ("bomb_of_2048", 2048)] {
        for grouped in [false, true] {
            let group = grouped.then(Group::make).flatten();
            let mut times: Vec<_> = (0..5)
                .map(|_| {
                    let slot = group.as_ref().map_or_else(Slot::new, |group| group.slot(0));
                    slot.control.begin(None).unwrap();
                    let script = format!("{} wait", attackers::command(&slot, role));
                    let child = spawn(&slot.script(&script), Stdio::Inherit, &slot.control, &CLOCK)
                        .unwrap();
                    until("it has grown", || slot.alive().len() > size);
                    let before = CLOCK.now();
                    let swept = FAMILY.sweep(&CLOCK, before + PATIENCE);
                    let took = CLOCK.now().saturating_sub(before);
                    assert_eq!(swept.left, []);
                    slot.follow(child, &mut Printed::default());
                    took
                })
                .collect();
            times.sort();
            eprintln!("{size} processes, group {grouped}: {times:.0?}");
        }
    }
}

fn in_threads(work: fn()) -> Duration {
    let before = CLOCK.now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    CLOCK.now().saturating_sub(before)
}

#[expect(clippy::disallowed_methods, reason = "this is what is compared with")]
fn bare() {
    for _ in 0..EACH {
        let child = Command::new("/bin/true")
            .process_group(0)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        assert!(child.wait_with_output().unwrap().status.success());
    }
}

fn by_std() {
    refuse(true);
    drive_all(&Slot::new());
    refuse(false);
}

fn driven() {
    drive_all(&Slot::new());
}

fn in_a_group() {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let mut slot = Slot::new();
    let group = FAMILY.slot_group(NEXT.fetch_add(1, Ordering::Relaxed));
    slot.control = Control::in_group(group).unwrap().into();
    drive_all(&slot);
}

fn drive_all(slot: &Slot) {
    let mut command = slot.script("");
    command.program = "/bin/true".into();
    command.args.clear();
    // As many variables as a shell and cargo set together.
    command.env = (0..80)
        .map(|number| {
            (
                format!("VARIABLE_{number}").into(),
                "a value of some length".into(),
            )
        })
        .collect();
    let limits = Limits {
        keep: Bytes(128 << 10),
        spill: Bytes::mib(64),
    };
    let dir = Utf8Path::from_path(slot.dir.path()).unwrap().join("spill");
    let mut capture = Capture::new(limits, dir, "0");
    for _ in 0..EACH {
        slot.control.begin(None).unwrap();
        let ended = slot.drive(&command, &mut capture);
        assert_eq!(ended.exit, crate::outcome::Exit::Code(0));
        capture.reset();
    }
}

/// What it costs to see that nothing is left, as after nearly every test.
#[test]
#[ignore = "a measurement: run it alone, with --release and --nocapture"]
#[expect(clippy::print_stderr, reason = "the figures are the result")]
fn the_cost_of_seeing_that_nothing_is_left() {
    const ROUNDS: u32 = 2000;
    let slot = Slot::new();
    let command = slot.script("exit 0");
    let family = &FAMILY;
    let marker = slot.terms.marker.clone();
    let kin = Kin {
        leader: nix::unistd::getpid().as_raw(),
        marker: &marker,
        exclusive: false,
        naming: Naming::WithPorts,
        pen: None,
    };
    let before = CLOCK.now();
    for _ in 0..ROUNDS {
        assert!(family.leftovers(&kin).is_empty());
    }
    let check = CLOCK.now().saturating_sub(before) / ROUNDS;
    let before = CLOCK.now();
    for _ in 0..ROUNDS / 10 {
        slot.drive(&command, &mut Printed::default());
    }
    let whole = CLOCK.now().saturating_sub(before) / (ROUNDS / 10);
    let before = CLOCK.now();
    for _ in 0..ROUNDS {
        assert!(!family.bury());
    }
    let look = CLOCK.now().saturating_sub(before) / ROUNDS;
    eprintln!("the check: {check:?} a test; a whole test: {whole:?}");
    eprintln!("whether there are dead to bury: {look:?} a sample");
    assert!(check.as_micros() <= 50, "{check:?}");
    assert!(look.as_micros() <= 20, "{look:?}");
}
