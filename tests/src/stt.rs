//! One call of `cargo stt`.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use camino::Utf8Path;
use fs_err as fs;

use crate::built::cargo;
use crate::built::cargo_stt;
use crate::finished::Finished;
use crate::lab::Lab;
use crate::log::Log;
use crate::rootless;
use crate::running::Running;

/// Who is called.
#[derive(Clone, Copy, Debug)]
enum Program {
    /// `cargo-stt stt`, as cargo would call it.
    Ours,
    /// `cargo stt`.
    Cargo,
}

/// What becomes the command, or holds it.
#[derive(Clone, Debug)]
enum Around {
    Nothing,
    /// A shell with this script.
    Shell(String),
    /// A container of Docker.
    Container {
        image: String,
        options: Vec<String>,
    },
}

impl Around {
    fn start(&self, lab: &Lab, program: &str) -> Command {
        match self {
            Self::Nothing => lab.command(program),
            Self::Shell(script) => {
                let mut shell = lab.command("sh");
                shell.args(["-c", &format!("{script} && exec \"$0\" \"$@\""), program]);
                shell
            }
            Self::Container { image, options } => {
                let mut docker = lab.command("docker");
                let names: Vec<_> = docker.get_envs().map(|(name, _)| name.to_owned()).collect();
                docker.args(["run", "--rm", "--network=none", "--env=STT_CHECKPOINT_PATH"]);
                docker.args(names.iter().flat_map(|name| [OsStr::new("--env"), name]));
                docker.args(our_files()).args(options);
                docker
                    .arg(format!("--workdir={}", lab.root))
                    .args([image, program]);
                docker
            }
        }
    }
}

/// Mounts everything into a container but what the kernel makes up.
fn our_files() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/").expect("the root is readable");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| !["dev", "proc", "sys", "run"].contains(&name.as_str()))
        .filter(|name| std::path::Path::new("/").join(name).is_dir())
        .map(|name| format!("--volume=/{name}:/{name}"))
}

/// A call of `cargo stt` that is being put together.
#[derive(Debug)]
pub struct Stt<'lab> {
    lab: &'lab Lab,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    program: Program,
    cwd: Option<OsString>,
    around: Around,
    own_checkpoint: bool,
}

impl<'lab> Stt<'lab> {
    pub(crate) fn new<A: AsRef<OsStr>>(lab: &'lab Lab, args: impl IntoIterator<Item = A>) -> Self {
        let stt = Self {
            lab,
            args: Vec::new(),
            env: Vec::new(),
            program: Program::Ours,
            cwd: None,
            around: Around::Nothing,
            own_checkpoint: true,
        };
        stt.args(args)
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let value = Some(value.as_ref().to_owned());
        self.env.push((name.as_ref().to_owned(), value));
        self
    }

    /// Does without a variable.
    #[must_use]
    pub fn without(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Has cargo find the command and call it, as a person does.
    #[must_use]
    pub fn through_cargo(mut self) -> Self {
        self.program = Program::Cargo;
        self
    }

    /// Has the tests write into a log.
    #[must_use]
    pub fn log(self, log: &Log) -> Self {
        self.env("TEST_LOG", &log.path)
    }

    /// Runs in another directory than the workspace's root.
    #[must_use]
    pub fn cwd(mut self, dir: &Utf8Path) -> Self {
        self.cwd = Some(dir.as_os_str().to_owned());
        self
    }

    /// Has a shell prepare what it inherits, by a script such as `ulimit -n 64`, and then become it.
    #[must_use]
    pub fn after(mut self, script: &str) -> Self {
        self.around = Around::Shell(script.to_owned());
        self
    }

    /// Has the user with a Podman of his own ([`rootless::USER`]) call this copy of the command.
    #[must_use]
    pub fn of_user(self, copy: &Utf8Path) -> Self {
        self.after(&format!("exec {} {copy} \"$@\"", rootless::becoming()))
    }

    /// Runs in a container of this image, with these options for `docker run`. It sees our files.
    #[must_use]
    pub fn in_container(mut self, image: &str, options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned());
        self.around = Around::Container {
            image: image.to_owned(),
            options: options.collect(),
        };
        self
    }

    /// Does not say where the checkpoint is to be.
    #[must_use]
    pub fn default_checkpoint(mut self) -> Self {
        self.own_checkpoint = false;
        self
    }

    /// Runs to the end.
    pub fn run(self) -> Finished {
        self.spawn().finish()
    }

    /// Starts, in a process group of its own. Its streams go to files, so that it never waits for us.
    ///
    /// # Panics
    /// When it does not start.
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    pub fn spawn(self) -> Running {
        let program = match self.program {
            Program::Ours => cargo_stt().to_string(),
            Program::Cargo => cargo(),
        };
        let mut command = self.around.start(self.lab, &program);
        if matches!(self.program, Program::Cargo) {
            let dir = cargo_stt().parent().expect("it lies somewhere");
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{dir}:{path}"));
        }
        command.arg("stt").args(&self.args).process_group(0);
        if self.own_checkpoint {
            command.env("STT_CHECKPOINT_PATH", &self.lab.checkpoint);
        }
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let streams = tempfile::Builder::new()
            .prefix("streams-")
            .tempdir_in(self.lab.path("home"))
            .expect("the laboratory is writable");
        let file = |name: &str| {
            let file =
                fs::File::create(streams.path().join(name)).expect("the laboratory is writable");
            file.into_parts().0
        };
        command.stdout(file("out")).stderr(file("err"));
        let child = command.spawn().expect("the built command starts");
        let shown: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        Running::new(child, streams, format!("cargo stt {}", shown.join(" ")))
    }
}
