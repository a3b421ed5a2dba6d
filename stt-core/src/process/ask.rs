//! Programs that are asked something, beside the tests: they say it, and end.

use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::signal::Signal;

use super::control::Control;
use super::exit::exit_of;
use super::kernel;
use super::output::Collected;
use super::source::Source;
use super::spawn::Child;
use super::spawn::SpawnError;
use super::spawn::Stdio;
use super::spawn::spawn;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::command::CommandLine;
use crate::outcome::Exit;

/// The most that is kept of each stream.
const MOST: usize = 16 << 20;

/// How long the output may stay open after the program.
const LINGER: Duration = Duration::from_millis(100);

/// How often its end is looked for where no descriptor tells it.
const LOOK: Duration = Duration::from_millis(10);

/// What a program has said, and how it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it has ended.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Answer {
    /// Whether it has ended well.
    pub fn is_good(&self) -> bool {
        self.exit == Exit::Code(0)
    }
}

/// A program has not answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It could not be started.
    #[error("{0}")]
    Start(SpawnError),
    /// The system has failed.
    #[error("{0}")]
    System(io::Error),
    /// It has taken too long, and was ended.
    #[error("it has said nothing for {} ms", .0.as_millis())]
    Late(Duration),
}

/// Asks a program, which is ended, with its process group, when it takes longer than `budget`. It is a child of the
/// calling thread's, and none of a run's.
///
/// # Errors
/// It can't be started, or does not end in time.
pub fn ask(command: &CommandLine, budget: Duration, clock: &Clock) -> Result<Answer, AskError> {
    let control = Control::new().map_err(AskError::System)?;
    let child = spawn(command, Stdio::Capture, &control, clock).map_err(AskError::Start)?;
    let deadline = clock.now().saturating_add(budget);
    let mut asked = Asked::of(child);
    let in_time = asked.listen(deadline, clock);
    // Until it is reaped its number is that of its group and of nobody else.
    drop(kernel::signal_group(asked.pid, Signal::SIGKILL));
    let reaped = kernel::reap(asked.pid, true);
    drop(control.finish());
    let reaped = reaped.map_err(AskError::System)?;
    if !in_time.map_err(AskError::System)? {
        return Err(AskError::Late(budget));
    }
    let gone = || AskError::System(io::Error::from(Errno::ECHILD));
    Ok(Answer {
        exit: exit_of(reaped.ok_or_else(gone)?.status),
        stdout: asked.said.stdout,
        stderr: asked.said.stderr,
    })
}

struct Asked {
    pid: i32,
    exited: Option<OwnedFd>,
    stdout: Source,
    stderr: Source,
    said: Collected,
}

impl Asked {
    fn of(child: Child) -> Self {
        Self {
            pid: child.pid,
            exited: child.exited,
            stdout: Source::new(child.stdout, |sink, bytes| sink.stdout(bytes)),
            stderr: Source::new(child.stderr, |sink, bytes| sink.stderr(bytes)),
            said: Collected::up_to(MOST),
        }
    }

    /// Takes what it says, until it has ended. Says whether it has by then.
    fn listen(&mut self, deadline: Moment, clock: &Clock) -> io::Result<bool> {
        let mut ended = None;
        loop {
            let now = clock.now();
            if ended.is_none() && kernel::has_exited(self.pid) {
                ended = Some(now);
            }
            let is_silent = self.stdout.pipe.is_none() && self.stderr.pipe.is_none();
            let until = match ended {
                Some(_) if is_silent => return Ok(true),
                Some(then) => then.saturating_add(LINGER),
                None => deadline,
            };
            if now >= until {
                return Ok(ended.is_some());
            }
            self.wait(until.saturating_sub(now), ended.is_some())?;
        }
    }

    /// Waits until there is something to do, and reads what there is.
    fn wait(&mut self, most: Duration, has_ended: bool) -> io::Result<()> {
        let exited = self.exited.as_ref().filter(|_| !has_ended);
        let tells = has_ended || exited.is_some();
        let most = if tells { most } else { most.min(LOOK) };
        let streams = [&self.stdout, &self.stderr].map(|stream| stream.pipe.as_ref());
        let fds = [exited, streams[0], streams[1]];
        let mut polled: Vec<_> = fds
            .iter()
            .flatten()
            .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN))
            .collect();
        // A part of a millisecond is one: nobody turns in circles for it.
        let timeout = PollTimeout::try_from(most + Duration::from_millis(1));
        match poll(&mut polled, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut events = polled
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let found = fds.map(|fd| fd.and_then(|_| events.next()).unwrap_or(PollFlags::empty()));
        self.stdout.read(found[1], &mut self.said)?;
        self.stderr.read(found[2], &mut self.said)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn shell(script: &str, budget: Duration) -> Result<Answer, AskError> {
        let command = CommandLine::new("/bin/sh", "/".into(), Arc::default());
        ask(&command.args(["-c", script]), budget, &Clock::start())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_said_and_how_it_ends_is_told() {
        let answer = shell("echo out; echo err >&2; exit 3", LONG).unwrap();
        let expected = Answer {
            exit: Exit::Code(3),
            stdout: b"out\n".to_vec(),
            stderr: b"err\n".to_vec(),
        };
        assert_eq!(answer, expected);
        assert!(!answer.is_good() && shell("", LONG).unwrap().is_good());
    }

    #[test]
    fn much_is_read_while_it_comes() {
        let answer = shell(
            "exec 2>&1; i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done",
            LONG,
        );
        assert_eq!(answer.unwrap().stdout.len(), 220_000);
    }

    #[test]
    fn who_takes_too_long_is_ended_with_his_group() {
        let pid = tempfile::NamedTempFile::new().unwrap();
        let path = pid.path().display();
        let script = format!("sleep 600 & echo $! >{path}; wait");
        let error = shell(&script, Duration::from_millis(300)).unwrap_err();
        assert!(matches!(error, AskError::Late(_)), "{error}");
        let text = fs_err::read_to_string(pid.path()).unwrap();
        let stat = format!("/proc/{}/stat", text.trim());
        let is_alive = || {
            let stat = fs_err::read_to_string(&stat).unwrap_or_default();
            stat.contains("(sleep)") && !stat.contains(") Z ")
        };
        let deadline = Duration::from_secs(10);
        let clock = Clock::start();
        while is_alive() {
            assert!(clock.now() < deadline, "{stat} is still there");
            std::thread::yield_now();
        }
    }

    /// Nobody waits for what somebody else holds open.
    #[test]
    fn what_a_program_leaves_open_delays_nobody() {
        let answer = shell("sleep 600 & echo said", LONG).unwrap();
        assert_eq!(answer.stdout, b"said\n");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let command = CommandLine::new("/no/such/program", "/".into(), Arc::default());
        let error = ask(&command, LONG, &Clock::start()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "program `/no/such/program` was not found"
        );
    }
}
