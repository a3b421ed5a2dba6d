//! Runs one child of the preparation to its end: cargo, rustc, a binary that lists its tests.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::command::CommandLine;
use crate::outcome::EndReason;
use crate::outcome::Exit;
use crate::process::Control;
use crate::process::Marker;
use crate::process::OutputSink;
use crate::process::SpawnError;
use crate::process::Stdio;
use crate::process::Terms;
use crate::process::drive;
use crate::process::spawn;
use crate::run::RunError;
use crate::run::Session;
use crate::run::alarm::Alarm;

/// How long the output of such a child may stay open after it.
const LEAK_TIMEOUT: Duration = Duration::from_millis(200);

/// How such a child ended.
#[derive(Debug)]
pub(crate) enum ChildEnd {
    /// By itself.
    Exited(Exit),
    /// It was ended because it took longer than it may.
    TimedOut,
}

impl Session {
    /// Runs a child to its end, with what it prints going to `sink`.
    ///
    /// # Errors
    /// It can't be started, what came of it can't be learned, or the runner was interrupted: then it
    /// was ended.
    pub(crate) fn run_child(
        &self,
        command: &CommandLine,
        stdio: Stdio,
        sink: &mut dyn OutputSink,
        limit: Option<(&Alarm, Duration)>,
    ) -> Result<ChildEnd, RunError> {
        self.feed_child(command, None, stdio, sink, limit)
    }

    /// The same for a child that reads something.
    ///
    /// # Errors
    /// As [`Session::run_child`].
    pub(crate) fn feed_child(
        &self,
        command: &CommandLine,
        input: Option<OwnedFd>,
        stdio: Stdio,
        sink: &mut dyn OutputSink,
        limit: Option<(&Alarm, Duration)>,
    ) -> Result<ChildEnd, RunError> {
        let control = Arc::new(Control::new().map_err(|source| setup("a pipe", source))?);
        control.reserve();
        if let Some(input) = input {
            control.feed(input);
        }
        self.router.register(&control);
        let guarded = limit.map(|(alarm, after)| alarm.set(&control, after));
        let ended = spawn(command, stdio, &control, &self.clock).map(|child| {
            let terms = Terms {
                leak_timeout: LEAK_TIMEOUT,
                marker: Marker::default(),
                exclusive: false,
                leaves: false,
            };
            drive(child, &control, sink, &terms, &self.family, &self.clock)
        });
        drop(guarded);
        self.router.forget(&control);
        let ended = ended.map_err(|source| match source {
            SpawnError::CalledOff { .. } => self.interrupted(),
            source @ (SpawnError::WorkingDirectory { .. }
            | SpawnError::NotFound { .. }
            | SpawnError::Loader { .. }
            | SpawnError::Start { .. }) => RunError::Start {
                program: command.shown(),
                source,
            },
        })?;
        if let Some(source) = ended.error {
            return Err(RunError::Lost {
                program: command.shown(),
                source,
            });
        }
        match ended.ended {
            Some(EndReason::Timeout(_)) => Ok(ChildEnd::TimedOut),
            Some(EndReason::Unfinished(_) | EndReason::Breach(_) | EndReason::Limit(_)) => {
                Err(self.interrupted())
            }
            None => Ok(ChildEnd::Exited(ended.exit)),
        }
    }

    fn interrupted(&self) -> RunError {
        RunError::Interrupted(self.router.interrupt().unwrap_or(libc::SIGTERM))
    }

    /// The signal that has asked the runner to end while no tests ran, if one did: before the first, or after the last.
    pub fn interrupt(&self) -> Option<i32> {
        self.router.interrupt()
    }

    /// An error when the runner was asked to end while no child ran that could have been told.
    ///
    /// # Errors
    /// It was.
    pub(crate) fn check_interrupt(&self) -> Result<(), RunError> {
        self.router
            .interrupt()
            .map_or(Ok(()), |signal| Err(RunError::Interrupted(signal)))
    }
}

/// The error for something that a run needs and that could not be made.
pub(crate) fn setup(what: &str, source: io::Error) -> RunError {
    RunError::Setup {
        what: what.to_owned(),
        source,
    }
}

/// Splits what comes into lines.
pub(crate) struct Lines<F> {
    partial: Vec<u8>,
    line: F,
}

impl<F: FnMut(&str)> Lines<F> {
    /// Calls `line` for each line, without its end.
    pub(crate) fn new(line: F) -> Self {
        Self {
            partial: Vec::new(),
            line,
        }
    }

    /// Gives out a last line that has no end.
    pub(crate) fn finish(mut self) {
        if !self.partial.is_empty() {
            (self.line)(&String::from_utf8_lossy(&self.partial));
        }
    }
}

impl<F: FnMut(&str)> OutputSink for Lines<F> {
    fn stdout(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if self.partial.pop_if(|last| *last == b'\n').is_some() {
                (self.line)(&String::from_utf8_lossy(&self.partial));
                self.partial.clear();
            }
        }
    }

    /// Not captured here: cargo writes for people, and they read it as it comes.
    fn stderr(&mut self, _bytes: &[u8]) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_the_bytes_come() {
        let mut seen = Vec::new();
        let mut lines = Lines::new(|line: &str| seen.push(line.to_owned()));
        for bytes in [&b"a\nb"[..], b"c", b"\n\nlast"] {
            lines.stdout(bytes);
        }
        lines.finish();
        assert_eq!(seen, ["a", "bc", "", "last"]);
    }
}
