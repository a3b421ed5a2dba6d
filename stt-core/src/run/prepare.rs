//! From a directory to the tests in it: asks cargo, builds, lists. Every child is ours and can be
//! interrupted.

use std::ffi::OsStr;

use camino::Utf8Path;

use crate::command::CommandLine;
use crate::command::Environment;
use crate::discovery::Built;
use crate::discovery::CargoConfig;
use crate::discovery::MessageEvent;
use crate::discovery::Messages;
use crate::discovery::Rustc;
use crate::discovery::Toolchain;
use crate::discovery::Workspace;
use crate::discovery::build_command;
use crate::discovery::metadata_command;
use crate::discovery::rustc_command;
use crate::outcome::Exit;
use crate::process::Stdio;
use crate::run::RunError;
use crate::run::Session;
use crate::run::child::ChildEnd;
use crate::run::child::Collected;
use crate::run::child::Lines;
use crate::selection::BuildPlace;
use crate::selection::BuildSelection;

/// Where and with what a project is built.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The `cargo` to call.
    pub cargo: &'a OsStr,
    /// Where it is called.
    pub cwd: &'a Utf8Path,
    /// The options that say where.
    pub place: &'a BuildPlace,
}

impl Session {
    /// Asks cargo about the workspace; with the packages it depends on only if they are needed, since
    /// that takes longer and may need the network.
    ///
    /// # Errors
    /// There is no workspace, or cargo is not there.
    pub fn workspace(&self, site: &Site<'_>, dependencies: bool) -> Result<Workspace, RunError> {
        let env = self.environment();
        let command = metadata_command(site.cargo, site.place, dependencies, site.cwd, env);
        let (exit, answer) = self.ask(&command)?;
        if exit != Exit::Code(0) {
            let stderr = String::from_utf8_lossy(&answer.stderr).into_owned();
            return Err(RunError::MetadataFailed { stderr });
        }
        Workspace::parse(&answer.stdout).map_err(RunError::Metadata)
    }

    /// Reads cargo's own configuration.
    ///
    /// # Errors
    /// A file of it can't be read.
    pub fn cargo_config(&self, site: &Site<'_>) -> Result<CargoConfig, RunError> {
        CargoConfig::read(site.cwd, self.environment()).map_err(RunError::CargoConfig)
    }

    /// Asks the compiler about the host and the targets of the build.
    ///
    /// # Errors
    /// The compiler is not there, fails, or doesn't know a target.
    pub fn toolchain(
        &self,
        site: &Site<'_>,
        config: &CargoConfig,
        selection: &BuildSelection,
    ) -> Result<Toolchain, RunError> {
        let about = |target: Option<&str>| {
            let env = self.environment();
            let command = rustc_command(config.rustc(), target, site.cwd, env);
            let (exit, answer) = self.ask(&command)?;
            if exit != Exit::Code(0) {
                let stderr = String::from_utf8_lossy(&answer.stderr).into_owned();
                return Err(RunError::RustcFailed { stderr });
            }
            Rustc::parse(&String::from_utf8_lossy(&answer.stdout)).map_err(RunError::Rustc)
        };
        let host = about(None)?;
        let targets = config
            .targets(selection)
            .into_iter()
            .map(|target| about(Some(target)));
        Ok(Toolchain {
            host,
            targets: targets.collect::<Result<_, _>>()?,
        })
    }

    /// Builds the tests. Cargo's progress goes to our standard error; a line of its output that is no
    /// message is given to `text`.
    ///
    /// # Errors
    /// The build failed, and cargo has said why.
    pub fn build(
        &self,
        site: &Site<'_>,
        selection: &BuildSelection,
        colour: bool,
        mut text: impl FnMut(&str),
    ) -> Result<Built, RunError> {
        let env = self.environment();
        let command = build_command(site.cargo, selection, site.place, site.cwd, env, colour);
        let mut messages = Messages::default();
        let mut fault = None;
        let mut lines = Lines::new(|line: &str| match messages.line(line) {
            Ok(MessageEvent::Text(line)) => text(line),
            Ok(MessageEvent::Noted | MessageEvent::Finished { .. }) => {}
            Err(error) => drop(fault.get_or_insert(error)),
        });
        let end = self.run_child(&command, Stdio::CaptureStdout, &mut lines, None)?;
        lines.finish();
        let exit = exit_of(&end);
        if exit != Exit::Code(0) {
            return Err(RunError::BuildFailed { exit });
        }
        match fault {
            Some(error) => Err(RunError::Message(error)),
            None => Ok(messages.finish()),
        }
    }

    /// Runs a command and collects what it says.
    pub(crate) fn ask(&self, command: &CommandLine) -> Result<(Exit, Collected), RunError> {
        let mut answer = Collected::default();
        let end = self.run_child(command, Stdio::Capture, &mut answer, None)?;
        Ok((exit_of(&end), answer))
    }

    /// What the runner inherited.
    pub(crate) fn environment(&self) -> &Environment {
        &self.env
    }
}

/// Without a limit nothing times out.
fn exit_of(end: &ChildEnd) -> Exit {
    match end {
        ChildEnd::Exited(exit) => *exit,
        ChildEnd::TimedOut => Exit::Signal(libc::SIGKILL),
    }
}
