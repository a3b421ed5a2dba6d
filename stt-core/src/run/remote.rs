//! An engine that no proxy can stand before: whether tests have used it, and what has come to be there meanwhile.

use std::io;
use std::io::Write as _;
use std::time::Duration;

use camino::Utf8Path;

use crate::clock::Clock;
use crate::command::CommandLine;
use crate::container::Kind;
use crate::containers::DIAL;
use crate::containers::New;
use crate::containers::REQUESTS;
use crate::containers::Reach;
use crate::containers::made_within;
use crate::containers::removal;
use crate::discovery::TestBinary;
use crate::process::Collected;
use crate::process::SpawnError;
use crate::process::Stdio;
use crate::report;
use crate::report::Warning;
use crate::run::RunError;
use crate::run::Session;
use crate::run::Sink;
use crate::run::alarm::Alarm;
use crate::run::child::ChildEnd;
use crate::run::error::chain;

#[cfg(target_os = "linux")]
use linux::Eye;
#[cfg(not(target_os = "linux"))]
use none::Eye;

/// The longest complaint of Docker's command that is told.
const LONGEST: usize = 300;

/// An engine that tests may use and that nobody stands before.
#[derive(Debug)]
pub(crate) struct Remote {
    reach: Reach,
    /// How long asking it may take.
    budget: Duration,
    /// Sees whether somebody uses it; `None` where nobody can see that.
    eye: Option<Eye>,
    /// When tests began, in milliseconds since the boot: the engine's clock goes on while this machine sleeps.
    since: u64,
}

/// Why nobody knows what has come to be.
enum Silence {
    /// There is no command by which the engine could be asked.
    NoCommand,
    /// It was not told, for this reason.
    Because(String),
}

impl From<io::Error> for Silence {
    fn from(error: io::Error) -> Self {
        Self::Because(chain(&error))
    }
}

impl Remote {
    /// Has an eye on whether tests use an engine that is out of reach. Nobody contacts it. Tests begin now.
    pub(crate) fn watch(reach: Reach, budget: Duration) -> Self {
        Self {
            eye: Eye::on(&reach.signs),
            reach,
            budget,
            since: Clock::since_boot(),
        }
    }
}

impl Session {
    /// Tests are over. If they have used the engine, tells what has come to be there meanwhile: whose it is nobody knows, so
    /// it is left. Whoever is in haste is told that nobody has asked.
    pub(crate) fn tell_remote(
        &self,
        remote: Option<Remote>,
        binaries: &[TestBinary],
        in_haste: bool,
        sink: &Sink,
    ) {
        let Some(mut remote) = remote else { return };
        if remote.eye.as_mut().is_some_and(|eye| !eye.has_seen()) {
            return;
        }
        let new = if in_haste {
            Err(Silence::Because("there was no time to ask".to_owned()))
        } else {
            self.new_at(&remote, binaries)
        };
        let warning = match new {
            Err(Silence::NoCommand) => return,
            Err(Silence::Because(why)) => unknown(&remote.reach, &why),
            Ok(new) if new.is_empty() => return,
            Ok(new) => came_to_be(&remote.reach, &new),
        };
        sink(report::Event::Warning(warning));
    }

    /// Asks the engine, with one login.
    fn new_at(&self, remote: &Remote, binaries: &[TestBinary]) -> Result<Vec<New>, Silence> {
        // Whoever interrupts us now wants no more of it.
        self.router.set_grace(Duration::ZERO);
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(REQUESTS.as_bytes())?;
        let alarm = Alarm::start(self.clock)?;
        let mut said = Collected::default();
        let limit = Some((&alarm, remote.budget));
        let command = self.dial(binaries);
        let input = Some(reader.into());
        let ended = self.feed_child(&command, input, Stdio::Capture, &mut said, limit);
        // An engine gives up a request whose client says that nothing more comes from it.
        drop(writer);
        match ended {
            Ok(ChildEnd::Exited(_)) => {}
            Ok(ChildEnd::TimedOut) => {
                let why = format!("it has not answered within {:?}", remote.budget);
                return Err(Silence::Because(why));
            }
            Err(RunError::Start {
                source: SpawnError::NotFound { .. },
                ..
            }) => return Err(Silence::NoCommand),
            Err(error) => return Err(Silence::Because(chain(&error))),
        }
        let span = Clock::since_boot().saturating_sub(remote.since);
        let new = made_within(Duration::from_millis(span), &said.stdout);
        new.ok_or_else(|| Silence::Because(complaint(&said.stderr)))
    }

    /// Docker's command as tests would call it. Nobody is there to be asked for a password.
    fn dial(&self, binaries: &[TestBinary]) -> CommandLine {
        const ASKS: &str = "SSH_ASKPASS";
        let first = binaries.first();
        let cwd = first.map_or(Utf8Path::new("/"), |first| &first.cwd);
        let env = first.map_or(&self.env, |first| &first.env);
        let command = CommandLine::new("docker", cwd.to_owned(), env.clone()).args(DIAL);
        // Never at the terminal, which is the run's (`ssh(1)`).
        let command = command.env("SSH_ASKPASS_REQUIRE", "force");
        if env.iter().any(|(name, _)| name == ASKS) {
            command
        } else {
            command.env(ASKS, "false")
        }
    }
}

/// The first thing that Docker's command has complained of; of what it tells of `ssh` only that one's own words.
fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let first = text.lines().find(|line| !line.trim().is_empty());
    let own = |line| str::rsplit_once(line, "stderr=").map(|(_, own)| own);
    first.map_or_else(
        || "what it has answered is of no use".to_owned(),
        |line| {
            let words = own(line).filter(|own| !own.is_empty()).unwrap_or(line);
            words.trim().chars().take(LONGEST).collect()
        },
    )
}

fn unknown(reach: &Reach, why: &str) -> Warning {
    Warning {
        message: format!(
            "tests may have left containers at the engine, and nobody knows which: {why}"
        ),
        hint: Some(format!("`{}` shows them", reach.way.command("ps -a"))),
    }
}

fn came_to_be(reach: &Reach, new: &[New]) -> Warning {
    let names: Vec<_> = new.iter().map(ToString::to_string).collect();
    let commands = removal(&reach.way, new);
    let commands: Vec<_> = commands.iter().map(|one| format!("`{one}`")).collect();
    let hint = match (&commands[..], new) {
        ([], _) => {
            let volumes = new.iter().all(|new| new.thing.kind == Kind::Volume);
            let what = if volumes { "volume ls" } else { "ps -a" };
            format!("`{}` shows all that is there", reach.way.command(what))
        }
        ([_], [_]) => format!("{} removes it", commands.join(", ")),
        _ => format!("{} removes what is of no more use", commands.join(", ")),
    };
    Warning {
        message: format!(
            "at the engine this has come to be during the run, by its tests or by others who use the engine, and is left \
             there: {}",
            names.join(", ")
        ),
        hint: Some(hint),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use camino::Utf8Path;
    use nix::errno::Errno;
    use nix::sys::inotify::AddWatchFlags;
    use nix::sys::inotify::InitFlags;
    use nix::sys::inotify::Inotify;

    use crate::containers::Signs;

    /// Sees that a file is opened (`inotify(7)`).
    #[derive(Debug)]
    pub(super) struct Eye(Inotify);

    impl Eye {
        /// An eye on these signs; `None` where there can be none, or nothing is there to be seen.
        pub(super) fn on(signs: &Signs) -> Option<Self> {
            let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
            let inotify = Inotify::init(flags).ok()?;
            let mut watched = 0;
            let mut watch = |path: &Utf8Path, more| {
                match inotify.add_watch(path.as_std_path(), AddWatchFlags::IN_OPEN | more) {
                    Ok(_) => watched += 1,
                    // What we can't see nobody of us can open.
                    Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {}
                    Err(_) => return None,
                }
                Some(())
            };
            for file in &signs.files {
                watch(file, AddWatchFlags::empty())?;
            }
            for directory in &signs.directories {
                watch(directory, AddWatchFlags::IN_ONLYDIR)?;
            }
            (watched > 0).then_some(Self(inotify))
        }

        /// Whether one of them was opened. That a directory was looked at tells nothing.
        pub(super) fn has_seen(&mut self) -> bool {
            loop {
                match self.0.read_events() {
                    Ok(events) => {
                        let told = |mask: AddWatchFlags| {
                            let opened = mask.contains(AddWatchFlags::IN_OPEN)
                                && !mask.contains(AddWatchFlags::IN_ISDIR);
                            opened || mask.contains(AddWatchFlags::IN_Q_OVERFLOW)
                        };
                        if events.iter().any(|event| told(event.mask)) {
                            return true;
                        }
                    }
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => return false,
                    Err(_) => return true,
                }
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use camino::Utf8PathBuf;
        use fs_err as fs;

        use super::*;

        #[test]
        fn what_is_opened_is_seen_and_nothing_else() {
            let dir = tempfile::tempdir().unwrap();
            let dir = Utf8PathBuf::try_from(dir.path().canonicalize().unwrap()).unwrap();
            let (inner, missing, program) = (dir.join("in"), dir.join("missing"), dir.join("ssh"));
            fs::create_dir(&inner).unwrap();
            fs::write(dir.join("target"), "").unwrap();
            fs::write(&program, "").unwrap();
            let link = inner.join("link");
            fs::os::unix::fs::symlink(dir.join("target"), &link).unwrap();
            let signs = Signs {
                files: vec![missing.clone(), missing.join("x"), link, program.clone()],
                directories: vec![inner.clone(), missing.clone()],
            };
            let mut eye = Eye::on(&signs).unwrap();
            drop((fs::metadata(&program), fs::read_dir(&inner).unwrap()));
            drop(fs::read(dir.join("in/none")));
            assert!(!eye.has_seen());
            for opened in [program, dir.join("target")] {
                drop(fs::read(opened).unwrap());
                assert!(eye.has_seen());
                assert!(!eye.has_seen(), "it is told once");
            }
            fs::write(inner.join("late"), "").unwrap();
            assert!(eye.has_seen());
            let nothing = Signs {
                files: vec![missing.clone()],
                directories: vec![missing],
            };
            assert!(Eye::on(&nothing).is_none());
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod none {
    use crate::containers::Signs;

    /// There is none.
    #[derive(Debug)]
    pub(super) enum Eye {}

    impl Eye {
        pub(super) fn on(_signs: &Signs) -> Option<Self> {
            None
        }

        pub(super) fn has_seen(&mut self) -> bool {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_the_first_word_of_whoever_knows_most() {
        for (stderr, expected) in [
            ("", "what it has answered is of no use"),
            ("\n unknown command\nUsage:", "unknown command"),
            (
                "error: command [ssh x] has exited with 255, stderr=Host key is not known\r\nfailed",
                "Host key is not known",
            ),
            ("it has exited, stderr=", "it has exited, stderr="),
        ] {
            assert_eq!(complaint(stderr.as_bytes()), expected, "{stderr:?}");
        }
        assert_eq!(complaint(&[b'x'; 999]).len(), LONGEST);
    }
}
