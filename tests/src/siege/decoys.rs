//! Strangers that look like members of a run's families, and come to no harm.

use std::os::unix::process::CommandExt as _;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use camino::Utf8PathBuf;
use fs_err as fs;
use nix::sys::signal::SigSet;
use nix::sys::signal::SigmaskHow;
use nix::sys::signal::sigprocmask;
use nix::unistd::Pid;
use nix::unistd::setpgid;

use super::family::Families;
use super::family::program;
use super::recycled::Recycled;
use crate::lab::Lab;
use crate::proc::Identity;
use crate::proc::state;
use crate::wait::DEADLINE;
use crate::wait::until;

/// The family one of whose numbers is given to a stranger, when it is there.
const LEAVES_ITS_NUMBER: &str = "leaves_its_number";

/// One stranger. Each has the program and the command line of a test, and writes down the signals that it gets.
struct Decoy {
    what: &'static str,
    process: Started,
    identity: Identity,
    diary: Utf8PathBuf,
}

/// Whoever has to be waited for.
enum Started {
    Child(Child),
    Recycled(Recycled),
}

/// All strangers of one attack. They end with this.
pub(super) struct Decoys {
    all: Vec<Decoy>,
    program: Utf8PathBuf,
    lookalike: String,
}

impl Decoys {
    /// Starts them beside a run that has begun.
    pub(super) fn start(lab: &Lab, run: &str, runner: i32, fixtures: &[&str]) -> Self {
        let mut decoys = Self {
            all: Vec::new(),
            program: program(lab, "families"),
            lookalike: lookalike(fixtures).to_owned(),
        };
        decoys.add(lab, "in our group, with a test's command line", |_| {});
        let test = format!("adversary::families {}", decoys.lookalike);
        decoys.add(lab, "with the markers of the run", |command| {
            command
                .env("STT", "1")
                .env("STT_RUN_ID", run)
                .env("STT_TEST_ID", test);
        });
        decoys.add(lab, "with the marker of another run", |command| {
            command.env("STT_RUN_ID", "00000000-0000-4000-8000-000000000001");
        });
        decoys.add(
            lab,
            "in the runner's own group, as in a pipeline",
            |command| {
                in_group(command, runner);
            },
        );
        decoys
    }

    /// Starts one with the number of a process of a family that has died, where we have the right to.
    pub(super) fn take_number(&mut self, lab: &Lab, families: &Families) {
        let Some(gone) = families.members(LEAVES_ITS_NUMBER).first().copied() else {
            return;
        };
        until("its number is free of its owner", DEADLINE, || {
            (!gone.lives()).then_some(())
        });
        let diary = lab.path("decoy-recycled");
        let args = [
            self.program.as_str(),
            "--exact",
            LEAVES_ITS_NUMBER,
            "--nocapture",
        ];
        let vars = [
            format!("ADVERSARY_DECOY={diary}"),
            "RUST_TEST_THREADS=1".to_owned(),
        ];
        // As long as the runner has not waited for it, the number stays its own: then nobody can take it.
        if let Some(process) = Recycled::start(gone.pid, &args, &vars) {
            let process = Started::Recycled(process);
            self.all
                .push(Decoy::up("with the number of a dead one", process, diary));
        }
    }

    /// What befell them.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.all.iter().filter_map(Decoy::complaint).collect()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    fn add(&mut self, lab: &Lab, what: &'static str, as_such: impl FnOnce(&mut Command)) {
        let diary = lab.path(&format!("decoy-{}", self.all.len()));
        let mut command = Command::new(&self.program);
        command
            .args(["--exact", &self.lookalike, "--nocapture"])
            .env_clear()
            .env("ADVERSARY_DECOY", &diary)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        as_such(&mut command);
        deaf(&mut command);
        let child = command.spawn().expect("a decoy starts");
        self.all.push(Decoy::up(what, Started::Child(child), diary));
    }
}

impl Decoy {
    /// Waits until it writes its diary.
    fn up(what: &'static str, process: Started, diary: Utf8PathBuf) -> Self {
        until("a decoy is up", DEADLINE, || {
            let text = std::fs::read_to_string(&diary).ok()?;
            text.starts_with("up\n").then_some(())
        });
        let identity = Identity::of(process.pid()).expect("it runs");
        Self {
            what,
            process,
            identity,
            diary,
        }
    }

    fn complaint(&self) -> Option<String> {
        let what = self.what;
        if !self.identity.lives() {
            return Some(format!("{what}: it is dead"));
        }
        let state = state(self.identity.pid);
        if matches!(state, Some('T' | 't')) {
            return Some(format!("{what}: it stands still"));
        }
        let diary = fs::read_to_string(&self.diary).expect("it has written before");
        (diary != "up\n")
            .then(|| format!("{what}: it got the signals {}", diary.replace('\n', " ")))
    }
}

impl Started {
    fn pid(&self) -> i32 {
        match self {
            Self::Child(child) => i32::try_from(child.id()).expect("a process id"),
            Self::Recycled(process) => process.pid(),
        }
    }
}

impl Drop for Decoy {
    fn drop(&mut self) {
        match &mut self.process {
            Started::Child(child) => {
                drop(child.kill());
                drop(child.wait());
            }
            // It does so itself.
            Started::Recycled(_) => {}
        }
    }
}

/// The test whose command line strangers have: one of those in their program.
fn lookalike<'a>(fixtures: &[&'a str]) -> &'a str {
    let mut theirs = fixtures.iter().filter(|name| !name.starts_with("memory_"));
    theirs.next().unwrap_or(&"plain_children")
}

/// Has a command start with all signals blocked, so that it can wait for them and write them down.
#[expect(unsafe_code, reason = "a mask is set between fork and exec")]
fn deaf(command: &mut Command) {
    let block = || {
        Ok(sigprocmask(
            SigmaskHow::SIG_SETMASK,
            Some(&SigSet::all()),
            None,
        )?)
    };
    // SAFETY: the closure calls sigprocmask(2) only, which is safe between fork and exec.
    unsafe { command.pre_exec(block) };
}

/// Has a command start in this process group.
#[expect(
    unsafe_code,
    reason = "a foreign group is joined between fork and exec"
)]
fn in_group(command: &mut Command, group: i32) {
    let join = move || Ok(setpgid(Pid::from_raw(0), Pid::from_raw(group))?);
    // SAFETY: the closure calls setpgid(2) only, which is safe between fork and exec.
    unsafe { command.pre_exec(join) };
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;
    use nix::sys::signal::kill;

    use super::*;

    /// Each harm is seen, and none is made up.
    #[test]
    fn a_stranger_tells_what_befell_it() {
        let lab = Lab::shared("adversary");
        let group = nix::unistd::getpgrp().as_raw();
        let decoys = Decoys::start(&lab, "a run", group, &["plain_children"]);
        assert_eq!(decoys.complaints(), [""; 0]);
        let harms = [
            Signal::SIGTERM,
            Signal::SIGSTOP,
            Signal::SIGKILL,
            Signal::SIGHUP,
        ];
        for (decoy, signal) in decoys.all.iter().zip(harms) {
            kill(Pid::from_raw(decoy.identity.pid), signal).expect("our own child");
        }
        until("each of them complains", DEADLINE, || {
            (decoys.complaints().len() == harms.len()).then_some(())
        });
        let told = decoys.complaints().join("\n");
        for words in ["signals up 15", "stands still", "is dead", "signals up 1 "] {
            assert!(told.contains(words), "{told}");
        }
    }
}
