//! What these tests share: a way to run a script as a slot would, and a way to see who is alive.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use camino::Utf8Path;
use nix::poll::PollTimeout;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::clock::Clock;
use crate::command::CommandLine;
use crate::command::Environment;
use crate::outcome::EndReason;
use crate::outcome::Unfinished;
use crate::process::Child;
use crate::process::Control;
use crate::process::EndOrder;
use crate::process::Ended;
use crate::process::Family;
use crate::process::Marker;
use crate::process::OutputSink;
use crate::process::Stdio;
use crate::process::Terms;
use crate::process::drive;
use crate::process::spawn;

/// These tests share a process, so they share its family handle.
pub(super) static FAMILY: LazyLock<Family> = LazyLock::new(Family::adopt);
pub(super) static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::start);

/// How long anything may take that has to happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A test's own slot. Dropping it fails the test if anything of it is still alive.
pub(super) struct Slot {
    /// A number that names everything started here: part of its environment, or of its arguments.
    pub(super) tag: String,
    pub(super) control: Arc<Control>,
    pub(super) terms: Terms,
    pub(super) dir: tempfile::TempDir,
}

impl Slot {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Before anything is started: who is orphaned earlier is not ours.
        LazyLock::force(&FAMILY);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let tag = format!("7{:07}{number:04}", std::process::id());
        Self {
            control: Arc::new(Control::new().unwrap()),
            terms: Terms {
                leak_timeout: Duration::from_millis(200),
                marker: Marker::new([("STT_ROOM_TEST", tag.as_str())]),
                exclusive: false,
                leaves: false,
            },
            dir: tempfile::tempdir().unwrap(),
            tag,
        }
    }

    /// A shell script, in this slot's directory. `$TAG` in it is this slot's tag.
    pub(super) fn script(&self, script: &str) -> CommandLine {
        let path = ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into());
        let cwd = Utf8Path::from_path(self.dir.path()).unwrap().to_owned();
        CommandLine::new("/bin/sh", cwd, Environment::from([path]))
            .args(["-c", script])
            .env("TAG", &self.tag)
            .env("STT_ROOM_TEST", &self.tag)
    }

    pub(super) fn drive(&self, command: &CommandLine, sink: &mut dyn OutputSink) -> Ended {
        let child = spawn(command, Stdio::Capture, &self.control, &CLOCK).unwrap();
        self.follow(child, sink)
    }

    /// Follows a child of this slot that was started before, to its end.
    pub(super) fn follow(&self, child: Child, sink: &mut dyn OutputSink) -> Ended {
        drive(child, &self.control, sink, &self.terms, &FAMILY, &CLOCK)
    }

    /// Runs a script without a word to it, and returns what it printed.
    pub(super) fn run(&self, script: &str) -> (Ended, Printed) {
        let mut printed = Printed::default();
        let ended = self.drive(&self.script(script), &mut printed);
        (ended, printed)
    }

    /// Runs a script, and gives the orders once it has printed something.
    pub(super) fn run_and_end(&self, script: &str, orders: &[EndOrder]) -> (Ended, Printed) {
        let mut printed = Printed::default();
        let command = self.script(script);
        let mut sink = OnOutput {
            printed: &mut printed,
            act: &mut || {
                for order in orders {
                    assert!(self.control.end(order.clone()).unwrap());
                }
            },
        };
        let ended = self.drive(&command, &mut sink);
        (ended, printed)
    }

    pub(super) fn alive(&self) -> Vec<i32> {
        alive(&self.tag)
    }

    pub(super) fn is_there(&self, file: &str) -> bool {
        self.dir.path().join(file).exists()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The tag is this slot's alone, so these are too.
            for pid in self.alive() {
                let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            return;
        }
        assert_eq!(self.control.leader(), None);
        assert!(!self.control.signal(Signal::SIGKILL).unwrap());
        until("nobody is alive", || self.alive().is_empty());
    }
}

/// Everything that was printed.
#[derive(Default)]
pub(super) struct Printed {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

impl OutputSink for Printed {
    fn stdout(&mut self, bytes: &[u8]) {
        self.stdout.extend_from_slice(bytes);
    }

    fn stderr(&mut self, bytes: &[u8]) {
        self.stderr.extend_from_slice(bytes);
    }
}

/// Does something once, at the first output.
struct OnOutput<'a> {
    printed: &'a mut Printed,
    act: &'a mut dyn FnMut(),
}

impl OutputSink for OnOutput<'_> {
    fn stdout(&mut self, bytes: &[u8]) {
        if self.printed.stdout.is_empty() {
            (self.act)();
        }
        self.printed.stdout(bytes);
    }

    fn stderr(&mut self, bytes: &[u8]) {
        self.printed.stderr(bytes);
    }
}

pub(super) fn stopped(grace: u64) -> EndOrder {
    EndOrder {
        reason: EndReason::Unfinished(Unfinished::Stopped),
        grace: Duration::from_millis(grace),
    }
}

/// Waits for a state, and fails when it does not come.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = CLOCK.now() + PATIENCE;
    while !holds() {
        assert!(CLOCK.now() < deadline, "not in time: {what}");
        // Looking all the time would keep from a core what is waited for.
        let _ = nix::poll::poll(&mut [], PollTimeout::from(1_u8));
    }
}

/// The processes whose environment or arguments hold the tag, except ourselves and the dead.
pub(super) fn alive(tag: &str) -> Vec<i32> {
    let holds = |path: String| {
        std::fs::read(path).is_ok_and(|text| {
            text.windows(tag.len())
                .any(|window| window == tag.as_bytes())
        })
    };
    let own = std::process::id().cast_signed();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| pid != own)
        .filter(|pid| {
            holds(format!("/proc/{pid}/cmdline")) || holds(format!("/proc/{pid}/environ"))
        })
        .collect()
}

/// Runs the rest of a test in a process of its own, where it may sweep: the first call starts this
/// test again, and returns false once it has passed there; in the new process it returns true.
#[expect(clippy::disallowed_methods, reason = "it is how the new process knows")]
pub(super) fn in_own_process(test: &str) -> bool {
    const INSIDE: &str = "STT_ROOM_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let slot = Slot::new();
    let program = std::env::current_exe().unwrap();
    let command = CommandLine::new(program, "/".into(), slot.script("").env)
        .args(["--exact", "--nocapture", &format!("process::tests::{test}")])
        .env(INSIDE, "1")
        .env("STT_ROOM_TEST", &slot.tag);
    let mut printed = Printed::default();
    let ended = slot.drive(&command, &mut printed);
    let stdout = String::from_utf8_lossy(&printed.stdout);
    let stderr = String::from_utf8_lossy(&printed.stderr);
    assert!(
        ended.exit == crate::outcome::Exit::Code(0) && stdout.contains("1 passed"),
        "{ended:?}\n{stdout}\n{stderr}"
    );
    assert_eq!(ended.left, crate::process::Left::default());
    false
}
