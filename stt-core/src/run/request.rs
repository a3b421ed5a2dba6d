//! Asks a program of the system to do something that takes a moment.

use std::time::Duration;

use crate::command::CommandLine;
use crate::outcome::Exit;
use crate::process::Collected;
use crate::process::Stdio;
use crate::run::RunError;
use crate::run::Session;
use crate::run::alarm::Alarm;
use crate::run::child::ChildEnd;
use crate::run::child::setup;

/// How long it may take: who asks waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Done,
    /// It was not done, and this is what the program said.
    Refused(String),
}

impl Session {
    /// Runs a program to its end, and ends it when it takes half a minute.
    ///
    /// # Errors
    /// It can't be started, or the runner was interrupted.
    pub fn request(&self, command: &CommandLine) -> Result<Answer, RunError> {
        self.check_interrupt()?;
        let alarm = Alarm::start(self.clock).map_err(|source| setup("a thread", source))?;
        let mut said = Collected::default();
        let limit = Some((&alarm, PATIENCE));
        let end = self.run_child(command, Stdio::Capture, &mut said, limit)?;
        Ok(match end {
            ChildEnd::Exited(Exit::Code(0)) => Answer::Done,
            ChildEnd::TimedOut => {
                Answer::Refused(format!("it did not answer within {} s", PATIENCE.as_secs()))
            }
            ChildEnd::Exited(exit) => {
                let text = String::from_utf8_lossy(&said.stderr).trim().to_owned();
                Answer::Refused(match exit {
                    Exit::Code(code) if text.is_empty() => format!("it exited with code {code}"),
                    Exit::Signal(signal) if text.is_empty() => format!("signal {signal} ended it"),
                    Exit::Code(_) | Exit::Signal(_) => text,
                })
            }
        })
    }
}
