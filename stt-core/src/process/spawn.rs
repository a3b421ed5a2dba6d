//! The one place that starts children.
//!
//! It is the hot path of a run. Where the kernel offers it, [`launch`](super::launch) starts them:
//! as fast as `posix_spawn(3)` however much memory we use, where fork costs more with every megabyte.
//! Elsewhere std does, in its `posix_spawn` way: any `pre_exec` would end that, and so does a program
//! without a slash beside a `PATH` of its own, which only commands have that are started once
//! (`cargo`).
//!
//! Signals. The child has our thread's signal mask: every signal is blocked until just before the
//! `exec`, then that mask is restored. So a slot thread must block no signal: its tests would be born
//! with it blocked. That holds for TSTP too, although a TSTP of the terminal that hits the child before
//! it has left our group stops it before its `exec`, with our thread waiting for it. A test whose shells
//! can't be stopped would fail every time, while the stop can be undone: [`Control::signal`] does.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use camino::Utf8PathBuf;
use nix::poll::PollTimeout;

use super::control::Bounds;
use super::control::Control;
use super::family::Held;
use super::family::Pen;
use super::handover;
use super::kernel;
use super::launch;
use super::launch::LaunchError;
use super::oom;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::command::CommandLine;
use crate::outcome::EndReason;

/// Where a child's output goes. Its standard input is empty, but for [`Control::feed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdio {
    /// Both streams to us.
    Capture,
    /// Both streams to us through one pipe, as standard output: what is written first comes first.
    CaptureTogether,
    /// Standard output to us; standard error is ours.
    CaptureStdout,
    /// The other way round.
    CaptureStderr,
    /// Both streams are ours.
    Inherit,
}

impl Stdio {
    /// Standard output, standard error, or both to us.
    pub fn capturing(stdout: bool, stderr: bool) -> Self {
        match (stdout, stderr) {
            (true, true) => Self::Capture,
            (true, false) => Self::CaptureStdout,
            (false, true) => Self::CaptureStderr,
            (false, false) => Self::Inherit,
        }
    }

    fn captures_stdout(self) -> bool {
        matches!(
            self,
            Self::Capture | Self::CaptureTogether | Self::CaptureStdout
        )
    }

    fn captures_stderr(self) -> bool {
        matches!(self, Self::Capture | Self::CaptureStderr)
    }
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
    /// The control group that it was born in.
    pub(super) pen: Option<Arc<Pen>>,
}

impl Child {
    /// Its process id, which is its group's number too.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What of its limits is held for it: nothing, where it could not be brought into its control group.
    pub fn held(&self, held: Held) -> Held {
        if self.pen.is_some() {
            held
        } else {
            Held::default()
        }
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
    /// It was to be ended before it could be started.
    #[error("it was to be ended before it could be started")]
    CalledOff {
        /// Why.
        reason: EndReason,
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
/// How often it is tried while the machine has no process, no memory or no descriptor left for it: that is
/// no test's fault, and others give some back when they end.
const SHORT_TRIES: u32 = 300;
/// The time between two tries, in milliseconds.
const PAUSE: u8 = 10;

/// How often a start that fails so is tried.
fn tries_after(error: &io::Error) -> u32 {
    match error.raw_os_error() {
        Some(libc::ETXTBSY) => BUSY_TRIES,
        Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => SHORT_TRIES,
        Some(_) | None => 1,
    }
}

/// Starts a child in a process group of its own, with exactly the given environment, and makes it
/// the current child of `control`: with the limits and in the control group of [`Control::begin`].
///
/// # Errors
/// The error tells a missing directory from a missing program, and names both.
pub fn spawn(
    command: &CommandLine,
    stdio: Stdio,
    control: &Control,
    clock: &Clock,
) -> Result<Child, SpawnError> {
    let bounds = control.take_bounds();
    let expendable = bounds.expendable;
    let started = clock.now();
    control.starting();
    let born = start(command, stdio, bounds, control).map_err(|source| match control.finish() {
        Some(order) if tries_after(&source) > 1 => SpawnError::CalledOff {
            reason: order.reason,
        },
        Some(_) | None => explain(command, source),
    })?;
    if expendable {
        oom::expose(born.pid);
    }
    // An early order's signal that can't be sent is sent again by `drive`, as a KILL.
    drop(control.started(born.pid, born.pen.clone()));
    Ok(Child {
        pid: born.pid,
        exited: born.process,
        stdout: born.stdout,
        stderr: born.stderr,
        started,
        pen: born.pen,
    })
}

/// A child that has reached its `exec`.
struct Born {
    pid: i32,
    process: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    pen: Option<Arc<Pen>>,
}

/// Starts it, again and again while somebody has the program open for writing: in a process with
/// several threads that may be a descriptor which another thread's child has just inherited. So it does
/// while something has run out, until somebody wants the child to end.
fn start(
    command: &CommandLine,
    stdio: Stdio,
    mut bounds: Bounds,
    control: &Control,
) -> io::Result<Born> {
    let mut tries = 1;
    loop {
        match start_once(command, stdio, &mut bounds) {
            Err(error) if tries < tries_after(&error) && !control.is_ordered() => {
                tries += 1;
                // A poll of nothing is a pause, and a signal may well cut it short.
                let _ = nix::poll::poll(&mut [], PollTimeout::from(PAUSE));
            }
            result => return result,
        }
    }
}

fn start_once(command: &CommandLine, stdio: Stdio, bounds: &mut Bounds) -> io::Result<Born> {
    let pipe = |wanted: bool| wanted.then(io::pipe).transpose();
    // What std looks up in `PATH`, std starts.
    if command.program.to_string_lossy().contains('/') {
        let (stdout, stderr) = (
            pipe(stdio.captures_stdout())?,
            pipe(stdio.captures_stderr())?,
        );
        let together = stdio == Stdio::CaptureTogether;
        let errors = if together { &stdout } else { &stderr };
        let streams = [stdout.as_ref(), errors.as_ref()].map(|pipe| pipe.map(|(_, ours)| ours));
        match launch::start(command, streams, bounds) {
            Ok(launched) => {
                return Ok(Born {
                    pid: launched.pid,
                    process: Some(launched.process),
                    stdout: stdout.map(|(reader, _)| reader.into()),
                    stderr: stderr.map(|(reader, _)| reader.into()),
                    pen: bounds.pen.clone(),
                });
            }
            Err(LaunchError::Birth(error) | LaunchError::Exec(error)) => return Err(error),
            Err(LaunchError::Unavailable) => {}
        }
    }
    start_by_std(command, stdio, bounds)
}

#[expect(clippy::disallowed_methods, reason = "this is the place")]
fn start_by_std(command: &CommandLine, stdio: Stdio, bounds: &Bounds) -> io::Result<Born> {
    let mut prepared = prepare(command, stdio);
    let together = (stdio == Stdio::CaptureTogether)
        .then(|| share_a_pipe(&mut prepared))
        .transpose()?;
    if let Some(input) = &bounds.input {
        prepared.stdin(input.try_clone()?);
    }
    let reserved = handover::by_std(&mut prepared, &bounds.sockets)?;
    let mut child = prepared.spawn()?;
    drop(reserved);
    // The kernel's process ids are positive and fit (`pid_max` is at most 2^22, proc_sys_kernel(5)).
    let pid = child.id().cast_signed();
    kernel::limit(pid, &bounds.limits);
    let pen = bounds.pen.clone().filter(|pen| pen.take_in(pid).is_ok());
    Ok(Born {
        pid,
        process: kernel::pidfd_open(pid).ok(),
        stdout: together.or(child.stdout.take().map(OwnedFd::from)),
        stderr: child.stderr.take().map(OwnedFd::from),
        pen,
    })
}

/// Has both streams go into one pipe. What is to write holds it until it is dropped.
fn share_a_pipe(command: &mut Command) -> io::Result<OwnedFd> {
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    Ok(reader.into())
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
        .stdout(piped_or_ours(stdio.captures_stdout()))
        .stderr(piped_or_ours(stdio.captures_stderr()));
    prepared
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_what_can_not_is_not() {
        let tries = |number| tries_after(&io::Error::from_raw_os_error(number));
        assert_eq!(tries(libc::ENOENT), 1);
        assert_eq!(tries(libc::EACCES), 1);
        assert_eq!(tries_after(&io::Error::other("x")), 1);
        assert!(tries(libc::ETXTBSY) > 1);
        for short in [libc::EAGAIN, libc::ENOMEM, libc::EMFILE, libc::ENFILE] {
            assert!(tries(short) > tries(libc::ETXTBSY), "{short}");
        }
    }
}
