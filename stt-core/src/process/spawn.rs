//! The one place that starts children.
//!
//! It is the hot path of a run, and what keeps it fast is that std takes its `posix_spawn` way: that
//! costs the same however much memory we use, where fork costs more with every megabyte. Any
//! `pre_exec` would end that, and so does a program without a slash beside a `PATH` of its own, which
//! only commands have that are started once (`cargo`).
//!
//! Signals. The child has our thread's signal mask: `posix_spawn(3)` blocks every signal until just
//! before the `exec`, then restores that mask, and std sets no other. So a slot thread must block no
//! signal: its tests would be born with it blocked. That holds for TSTP too, although a TSTP of the
//! terminal that hits the child before it has left our group stops it before its `exec`, with our
//! thread waiting for it. A test whose shells can't be stopped would fail every time, while the stop
//! can be undone: [`Control::signal`] does.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use camino::Utf8PathBuf;
use nix::poll::PollTimeout;

use super::control::Control;
use super::kernel;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::command::CommandLine;

/// Where a child's output goes. Its standard input is always empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdio {
    /// Both streams to us.
    Capture,
    /// Standard output to us; standard error is ours.
    CaptureStdout,
    /// Both streams are ours.
    Inherit,
}

/// A child that runs, and leads a process group of its own. It is to be given to
/// [`drive`](super::drive), which alone reaps it.
#[derive(Debug)]
#[must_use = "a child that nobody drives is never reaped"]
pub struct Child {
    pub(super) pid: i32,
    /// Readable once the child has exited; `None` where the kernel has no such descriptor, or none is
    /// left.
    pub(super) exited: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    pub(super) started: Moment,
}

impl Child {
    /// Its process id, which is its group's number too.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

/// A child could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Its directory is not there.
    #[error("working directory `{cwd}` of `{program}` does not exist")]
    WorkingDirectory {
        /// The program.
        program: String,
        /// The directory.
        cwd: Utf8PathBuf,
    },
    /// The program is not there.
    #[error("program `{program}` was not found")]
    NotFound {
        /// The program.
        program: String,
    },
    /// The program is there, and what the kernel needs to run it is not.
    #[error("`{program}` exists, but its interpreter or its dynamic loader does not")]
    Loader {
        /// The program.
        program: String,
    },
    /// Anything else.
    #[error("could not start `{program}` in `{cwd}`")]
    Start {
        /// The program.
        program: String,
        /// The directory.
        cwd: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// How often a start is tried while the program is still being written (`ETXTBSY`).
const BUSY_TRIES: u32 = 10;
/// The time between two such tries, in milliseconds.
const BUSY_PAUSE: u8 = 10;

/// Starts a child in a process group of its own, with exactly the given environment, and makes it
/// the current child of `control`.
///
/// # Errors
/// The error tells a missing directory from a missing program, and names both.
pub fn spawn(
    command: &CommandLine,
    stdio: Stdio,
    control: &Control,
    clock: &Clock,
) -> Result<Child, SpawnError> {
    let mut prepared = prepare(command, stdio);
    let started = clock.now();
    control.starting();
    let mut child = start(&mut prepared).map_err(|source| {
        control.finish();
        explain(command, source)
    })?;
    // The kernel's process ids are positive and fit (`pid_max` is at most 2^22, proc_sys_kernel(5)).
    let pid = child.id().cast_signed();
    // An early order's signal that can't be sent is sent again by `drive`, as a KILL.
    drop(control.started(pid));
    Ok(Child {
        pid,
        exited: kernel::pidfd_open(pid).ok(),
        stdout: child.stdout.take().map(OwnedFd::from),
        stderr: child.stderr.take().map(OwnedFd::from),
        started,
    })
}

fn prepare(command: &CommandLine, stdio: Stdio) -> Command {
    let piped_or_ours = |piped| {
        if piped {
            std::process::Stdio::piped()
        } else {
            std::process::Stdio::inherit()
        }
    };
    let shared = command.env.iter().map(|(name, value)| (name, value));
    let own = command.extra_env.iter().map(|(name, value)| (name, value));
    let mut prepared = Command::new(&command.program);
    prepared
        .args(&command.args)
        .current_dir(&command.cwd)
        .env_clear()
        .envs(shared.chain(own))
        .process_group(0)
        .stdin(std::process::Stdio::null())
        .stdout(piped_or_ours(stdio != Stdio::Inherit))
        .stderr(piped_or_ours(stdio == Stdio::Capture));
    prepared
}

/// Starts it, again and again while somebody has the program open for writing: in a process with
/// several threads that may be a descriptor which another thread's child has just inherited.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
fn start(prepared: &mut Command) -> io::Result<std::process::Child> {
    let mut tries = 1;
    loop {
        match prepared.spawn() {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES =>
            {
                tries += 1;
                // A poll of nothing is a pause, and a signal may well cut it short.
                let _ = nix::poll::poll(&mut [], PollTimeout::from(BUSY_PAUSE));
            }
            result => return result,
        }
    }
}

/// Finds out what "no such file or directory" is about: the kernel says it of the directory, of the
/// program and of the program's loader alike.
fn explain(command: &CommandLine, source: io::Error) -> SpawnError {
    let program = command.program.to_string_lossy().into_owned();
    let cwd = command.cwd.clone();
    if source.kind() == io::ErrorKind::NotFound {
        if !cwd.is_dir() {
            return SpawnError::WorkingDirectory { program, cwd };
        }
        let is_path = program.contains('/');
        return if is_path && cwd.as_std_path().join(Path::new(&command.program)).exists() {
            SpawnError::Loader { program }
        } else {
            SpawnError::NotFound { program }
        };
    }
    SpawnError::Start {
        program,
        cwd,
        source,
    }
}
