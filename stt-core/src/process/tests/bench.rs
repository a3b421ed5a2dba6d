//! What starting and driving a child costs, beside a bare loop over the same program in the same run.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use camino::Utf8Path;

use super::helper::CLOCK;
use super::helper::Slot;
use crate::process::Capture;
use crate::process::Limits;
use crate::units::Bytes;

const THREADS: u32 = 2;
const EACH: u32 = 100;
const ROUNDS: u32 = 25;

#[test]
#[ignore = "a measurement: run it alone, with --release and --nocapture"]
#[expect(clippy::print_stderr, reason = "the figures are the result")]
fn the_cost_of_a_child_beside_a_bare_loop() {
    // Pairs taken side by side, and the middle one: the machine's speed drifts, and others use it too.
    let mut pairs: Vec<_> = (0..ROUNDS)
        .map(|_| [bare, driven].map(|work| in_threads(work).as_secs_f64()))
        .collect();
    pairs.sort_by(|a, b| (a[1] / a[0]).total_cmp(&(b[1] / b[0])));
    let [bare, driven] = pairs[pairs.len() / 2].map(|time| time * 1e6 / f64::from(THREADS * EACH));
    let ratio = driven / bare;
    eprintln!("bare {bare:.0} us, driven {driven:.0} us a child: ratio {ratio:.3}");
    assert!(ratio < 1.25, "{ratio}");
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

fn driven() {
    let slot = Slot::new();
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
        let ended = slot.drive(&command, &mut capture);
        assert_eq!(ended.exit, crate::outcome::Exit::Code(0));
        capture.reset();
    }
}
