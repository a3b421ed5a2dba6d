//! Has the system end from time to time what killed runs have left: the files that tell it so, and the commands
//! by which it takes them up and lays them down. All of this is text; the command writes it and calls them.

mod launchd;
mod systemd;

use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;

/// What is in the first lines of each file that is ours: one without it is somebody else's.
const MARK: &str = "Written by `cargo stt service install`";

/// The time between two looks may not be shorter: each is a process of its own.
pub const SHORTEST: Duration = Duration::from_secs(10);

/// Nor longer: by then nobody would wait for it.
pub const LONGEST: Duration = Duration::from_hours(24);

/// Who looks after a user's services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Linux: the user's systemd.
    Systemd,
    /// macOS: launchd, in the user's graphical session.
    Launchd,
}

impl Manager {
    /// The one of this system; `None` where we know of none.
    pub fn here() -> Option<Self> {
        if cfg!(target_os = "linux") {
            Some(Self::Systemd)
        } else if cfg!(target_os = "macos") {
            Some(Self::Launchd)
        } else {
            None
        }
    }
}

/// What is to be installed.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Our own program: an absolute path.
    pub program: &'a Utf8Path,
    /// The time between two looks, in whole seconds.
    pub interval: Duration,
    /// The user's configuration (`~/.config`), for systemd.
    pub config_home: &'a Utf8Path,
    /// The user's home, for launchd.
    pub home: &'a Utf8Path,
    /// The user.
    pub uid: u32,
}

/// What makes a service of it, and what ends that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The files, in the order in which they are written.
    pub files: Vec<UnitFile>,
    /// Links that the manager has made when it took the files up, and may leave where it doesn't answer.
    pub links: Vec<Utf8PathBuf>,
    /// How it takes the files up.
    pub start: Vec<Step>,
    /// How it lets go of them, before they are removed.
    pub stop: Vec<Step>,
    /// How it learns that they are gone.
    pub settle: Vec<Step>,
}

/// A file, and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitFile {
    /// Its path.
    pub path: Utf8PathBuf,
    /// What is in it.
    pub text: String,
}

/// A command for the manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The program, and its arguments.
    pub words: Vec<String>,
    /// What it means when it fails.
    pub failing: Failing,
}

/// What it means when a command fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// There is no manager that could be asked.
    Absent,
    /// There was nothing to do.
    Idle,
    /// What was asked for was not done.
    Refused,
}

/// What can't be installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The manager's files have no way of writing this path.
    #[error("the path `{0}` has characters that a launchd agent can't hold")]
    Unwritable(String),
}

/// What has to be written and called.
///
/// # Errors
/// The path of the program can't be written.
pub fn plan(manager: Manager, wanted: &Wanted<'_>) -> Result<Plan, ServiceError> {
    match manager {
        Manager::Systemd => Ok(systemd::plan(wanted)),
        Manager::Launchd => launchd::plan(wanted),
    }
}

/// Whether a file is one that we have written. In XML the first line is not free.
pub fn is_ours(text: &str) -> bool {
    text.lines().take(2).any(|line| line.contains(MARK))
}

/// A command of these words.
fn step(failing: Failing, words: &[&str]) -> Step {
    Step {
        words: words.iter().map(|&word| word.to_owned()).collect(),
        failing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_bears_our_mark_is_ours() {
        let wanted = Wanted {
            program: "/usr/bin/cargo-stt".into(),
            interval: Duration::from_secs(60),
            config_home: "/home/me/.config".into(),
            home: "/home/me".into(),
            uid: 1000,
        };
        for manager in [Manager::Systemd, Manager::Launchd] {
            for file in plan(manager, &wanted).unwrap().files {
                assert!(is_ours(&file.text), "{}", file.path);
                assert!(file.path.starts_with("/home/me"));
            }
        }
        let late = format!("[Unit]\n\n# {MARK}\n");
        for other in ["", "[Unit]\nDescription=mine\n", &late] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
