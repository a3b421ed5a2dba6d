//! A `cargo stt` that runs.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;

use fs_err as fs;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::exit::exits_within;
use crate::finished::Finished;
use crate::proc::is_gone;
use crate::proc::looks_of;
use crate::proc::peak_rss;
use crate::proc::workers_of;
use crate::report::Report;
use crate::wait::DEADLINE;
use crate::wait::until;

/// A started `cargo stt`. It is killed when it is dropped before its end.
#[derive(Debug)]
pub struct Running {
    child: Child,
    streams: TempDir,
    shown: String,
    ended: bool,
}

impl Running {
    pub(crate) fn new(child: Child, streams: TempDir, shown: String) -> Self {
        Self {
            child,
            streams,
            shown,
            ended: false,
        }
    }

    /// The id of the process that was started, which is the supervisor's.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id is a positive pid_t")
    }

    /// The id of the process that runs the tests, once there is one.
    pub fn worker(&mut self) -> i32 {
        self.wait_for("there is a worker", Self::worker_now)
    }

    /// The same, or `None` when there is none at this moment.
    pub fn worker_now(&self) -> Option<i32> {
        workers_of(self.pid()).first().copied()
    }

    /// Kills both of its processes at once, so that neither can end what the other leaves, and waits for their ends.
    ///
    /// # Panics
    /// When one of them is already gone.
    pub fn kill_both(mut self) {
        let both = [self.pid(), self.worker()];
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for pid in both {
                kill(Pid::from_raw(pid), signal).expect("it is ours");
            }
        }
        drop(self.finish());
        until("the other one is gone, too", DEADLINE, || {
            is_gone(both[1]).then_some(())
        });
    }

    /// Sends a signal to its whole process group, as a terminal does.
    ///
    /// # Panics
    /// When it is already gone.
    pub fn signal_group(&self, signal: Signal) {
        killpg(Pid::from_raw(self.pid()), signal).expect("our own child leads its group");
    }

    /// Sends a signal to the process that was started, and to no other.
    ///
    /// # Panics
    /// When it is already gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("our own child can be signalled");
    }

    /// What it has said so far on standard output, as JSON lines.
    pub fn report(&self) -> Report {
        Report::parse(&self.read("out"))
    }

    /// What it has said so far on standard error.
    pub fn stderr(&self) -> String {
        self.read("err")
    }

    /// Waits until `reached` gives something, and fails early when the run ends before.
    ///
    /// # Panics
    /// With what the run said, when it has ended or the deadline has passed.
    pub fn wait_for<T>(&mut self, what: &str, mut reached: impl FnMut(&Self) -> Option<T>) -> T {
        until(&format!("{what} ({})", self.shown), DEADLINE, || {
            let ended = self
                .child
                .try_wait()
                .expect("our own child can be waited for");
            let state = reached(self);
            if state.is_none()
                && let Some(status) = ended
            {
                self.ended = true;
                panic!(
                    "`{}` ended ({status}) before: {what}\n{}\n{}",
                    self.shown,
                    self.read("out"),
                    self.read("err")
                );
            }
            state
        })
    }

    /// Waits until it has started the test of this name, as its JSON says.
    pub fn wait_for_start(&mut self, name: &str) {
        self.wait_for(&format!("{name} runs"), |running| {
            running.report().started(name).then_some(())
        });
    }

    /// Waits until its guard has looked so many times more.
    pub fn wait_for_looks(&mut self, count: u64) {
        let worker = self.worker();
        let before = looks_of(worker);
        self.wait_for("the guard has looked", |_| {
            (looks_of(worker) >= before + count).then_some(())
        });
    }

    /// Waits until it has ended, and returns as soon as it has: what it says is read later, by
    /// [`Running::finish`].
    ///
    /// # Panics
    /// When it has no end.
    pub fn wait_for_exit(&self) {
        let ended = exits_within(self.pid(), DEADLINE * 2);
        assert!(ended, "`{}` has no end\n{}", self.shown, self.read("err"));
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// With what the run said, when it has no end.
    pub fn finish(mut self) -> Finished {
        let pid = self.pid();
        let mut peak = 0;
        let status = until(
            &format!("the end of `{}`", self.shown),
            DEADLINE * 2,
            || {
                // A command that runs no tests has no worker.
                let worker = workers_of(pid).first().copied().unwrap_or(pid);
                peak = peak_rss(worker).unwrap_or(peak).max(peak);
                self.child
                    .try_wait()
                    .expect("our own child can be waited for")
            },
        );
        self.ended = true;
        Finished {
            shown: self.shown.clone(),
            code: status.code(),
            signal: status.signal(),
            stdout: self.read("out"),
            stderr: self.read("err"),
            peak_rss: peak,
        }
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.streams.path().join(name)).expect("the stream's file is ours");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            drop(self.child.kill());
            drop(self.child.wait());
            if std::thread::panicking() {
                // The harness shows it beside the message of the failure.
                let text = format!(
                    "{}\n{}\n{}\n",
                    self.shown,
                    self.read("out"),
                    self.read("err")
                );
                drop(std::io::Write::write_all(
                    &mut std::io::stderr(),
                    text.as_bytes(),
                ));
            }
        }
    }
}
