//! A laboratory: one fixture, and everything that its runs may read and write, apart from all others.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::process::Command;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::built::cargo;
use crate::built::target_dir;
use crate::built::workspace_root;
use crate::expected::Expected;
use crate::log::Log;
use crate::proc::Process;
use crate::proc::inside;
use crate::proc::is_alive;
use crate::proc::marked;
use crate::proc::of_programs_below;
use crate::record::Record;
use crate::running::Running;
use crate::skipped::skipped;
use crate::stt::Stt;

/// The variable whose value all processes of a laboratory inherit, and no other process has.
const MARK: &str = "E2E_MARK";

/// A fixture with a home, a checkpoint, a log and a directory for traces of its own. Whatever its runs
/// leave alive is ended when it is dropped.
#[derive(Debug)]
pub struct Lab {
    /// The root of the workspace under test.
    pub root: Utf8PathBuf,
    /// The target directory in which it is built.
    pub target: Utf8PathBuf,
    /// Where the runs keep their checkpoint.
    pub checkpoint: Utf8PathBuf,
    /// Where hostile tests leave their traces.
    pub traces: Utf8PathBuf,
    /// Where the runs find a place for temporary files; empty before and after.
    pub tmp: Utf8PathBuf,
    mark: String,
    home: Utf8PathBuf,
    /// Where cargo finds what it has fetched.
    cargo_home: Utf8PathBuf,
    dir: Utf8PathBuf,
    logs: AtomicUsize,
    _held: TempDir,
}

impl Lab {
    /// The fixture where it lies, built once for all tests in a target directory that they share. For
    /// tests that change neither its sources nor its binaries.
    pub fn shared(fixture: &str) -> Self {
        let root = workspace_root().join("fixtures").join(fixture);
        let lab = Self::new(root, Some(target_dir().join("fixtures").join(fixture)));
        lab.build_once();
        lab
    }

    /// The package with dependencies at this path below the repository's root, built like a fixture that is shared.
    /// `None`, with a word about it, where cargo has not fetched them: nothing is downloaded here.
    pub fn fetched(package: &str) -> Option<Self> {
        let root = workspace_root().join(package);
        let name = root.file_name().expect("a package lies somewhere");
        let target = target_dir().join("fixtures").join(name);
        let mut lab = Self::new(root, Some(target));
        lab.cargo_home = own_cargo_home();
        let manifest = lab.root.join("Cargo.toml");
        let fetched = lab.output(&["fetch", "--locked", "--manifest-path", manifest.as_str()]);
        if let Err(why) = fetched {
            skipped(&format!("what {package} depends on"), &why);
            return None;
        }
        lab.build_once();
        Some(lab)
    }

    /// A copy of the fixture, built for this test alone, in its own target directory.
    pub fn copied(fixture: &str) -> Self {
        let lab = Self::new(Utf8PathBuf::new(), None);
        copy_dir(&workspace_root().join("fixtures").join(fixture), &lab.root);
        lab
    }

    /// A directory with nothing in it.
    pub fn bare() -> Self {
        let lab = Self::new(Utf8PathBuf::new(), None);
        fs::create_dir(&lab.root).expect("a temporary directory is writable");
        lab
    }

    fn new(root: Utf8PathBuf, target: Option<Utf8PathBuf>) -> Self {
        let held = tempfile::Builder::new()
            .prefix("stt-lab-")
            .tempdir()
            .expect("a temporary directory");
        let dir =
            Utf8PathBuf::try_from(held.path().canonicalize().expect("it exists")).expect("text");
        let root = if target.is_some() {
            root
        } else {
            dir.join("workspace")
        };
        let place = |name: &str| {
            let place = dir.join(name);
            fs::create_dir(&place).expect("a temporary directory is writable");
            place
        };
        let name = dir.file_name().expect("a temporary directory has a name");
        Self {
            target: target.unwrap_or_else(|| root.join("target")),
            checkpoint: dir.join("checkpoint.json"),
            traces: place("traces"),
            tmp: place("tmp"),
            home: place("home"),
            cargo_home: dir.join("home/cargo"),
            mark: format!("{}-{name}", std::process::id()),
            logs: AtomicUsize::new(0),
            root,
            dir,
            _held: held,
        }
    }

    /// `cargo stt ARGS` in this laboratory.
    pub fn stt<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Stt<'_> {
        Stt::new(self, args)
    }

    /// `cargo stt --message-format json ARGS` in this laboratory.
    pub fn json<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Stt<'_> {
        Stt::new(self, ["--message-format", "json"]).args(args)
    }

    /// A command that knows nothing of the world around the laboratory.
    #[expect(
        clippy::disallowed_methods,
        reason = "what finds the toolchain is inherited"
    )]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .current_dir(&self.root)
            .stdin(Stdio::null());
        for inherited in ["PATH", "RUSTUP_TOOLCHAIN", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(inherited) {
                command.env(inherited, value);
            }
        }
        let own_home = std::env::var_os("HOME")
            .map(|home| Utf8Path::from_path(home.as_ref()).map(|home| home.join(".rustup")));
        match (std::env::var_os("RUSTUP_HOME"), own_home.flatten()) {
            (Some(rustup), _) => command.env("RUSTUP_HOME", rustup),
            (None, Some(rustup)) if rustup.exists() => command.env("RUSTUP_HOME", rustup),
            (None, _) => &mut command,
        };
        for xdg in ["CONFIG", "STATE", "CACHE", "DATA"] {
            command.env(format!("XDG_{xdg}_HOME"), self.home.join(xdg));
        }
        command
            .env("HOME", &self.home)
            .env("CARGO_HOME", &self.cargo_home)
            .env("XDG_RUNTIME_DIR", &self.home)
            .env("TMPDIR", &self.tmp)
            .env("LANG", "C.UTF-8")
            .env("RUST_BACKTRACE", "0")
            .env("CARGO", cargo())
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", &self.target)
            .env("HOSTILE_DIR", &self.traces)
            .env(MARK, &self.mark);
        command
    }

    /// Gives everything in it to another user.
    ///
    /// # Panics
    /// We can't.
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    pub fn give_to(&self, user: u32) {
        let owner = format!("{user}:{user}");
        let mut chown = self.command("chown");
        let given = chown.args(["-R", &owner]).arg(&self.dir).status();
        assert!(given.is_ok_and(|status| status.success()), "{}", self.dir);
    }

    /// The model of the fixture's results.
    pub fn expected(&self) -> Expected {
        Expected::read(&self.root)
    }

    /// What the checkpoint holds.
    pub fn record(&self) -> Record {
        Record::read(&self.checkpoint)
    }

    /// A new log, for one leg.
    pub fn log(&self) -> Log {
        let number = self.logs.fetch_add(1, Ordering::Relaxed);
        Log {
            path: self.dir.join(format!("log-{number}")),
        }
    }

    /// A path in the laboratory at which there is nothing yet.
    pub fn path(&self, name: &str) -> Utf8PathBuf {
        self.dir.join(name)
    }

    /// The process ids that a hostile test left as `NAME.pid`; `None` while there is no such trace.
    pub fn traced(&self, name: &str) -> Option<Vec<i32>> {
        let text = std::fs::read_to_string(self.traces.join(format!("{name}.pid"))).ok()?;
        Some(
            text.split(' ')
                .map(|pid| pid.trim().parse().expect("a number"))
                .collect(),
        )
    }

    /// Waits until a run has left all of these traces.
    ///
    /// # Panics
    /// When the run has ended or the deadline has passed before.
    pub fn wait_for_traces(&self, running: &mut Running, names: &[&str]) {
        running.wait_for(&format!("traces of {names:?}"), |_| {
            let mut traced = names.iter().map(|name| self.traced(name));
            traced.all(|pids| pids.is_some()).then_some(())
        });
    }

    /// Gives the package, which must be a copy, a build script that leaves a trace, `build`, and takes a minute.
    ///
    /// # Panics
    /// It can't be written.
    pub fn build_for_a_minute(&self) {
        let script = "fn main() {\n    let dir = std::env::var(\"HOSTILE_DIR\").unwrap();\n    \
            std::fs::write(format!(\"{dir}/build.draft\"), std::process::id().to_string()).unwrap();\n    \
            std::fs::rename(format!(\"{dir}/build.draft\"), format!(\"{dir}/build.pid\")).unwrap();\n    \
            std::thread::sleep(std::time::Duration::from_secs(60));\n}\n";
        fs::write(self.root.join("build.rs"), script).expect("writable");
    }

    /// Something when a test has left a trace of this name.
    pub fn is_there(&self, name: &str) -> Option<()> {
        self.traces.join(name).exists().then_some(())
    }

    /// Whether this attacker's family is complete.
    pub fn is_up(&self, name: &str) -> bool {
        self.traces.join(format!("{name}.up")).exists()
    }

    /// Lets the tests go that wait for it.
    pub fn go(&self) {
        fs::File::create(self.traces.join("go")).expect("the traces are writable");
    }

    /// Lets those go that hold their families until then.
    pub fn release(&self) {
        fs::File::create(self.traces.join("release")).expect("the traces are writable");
    }

    /// What is alive of this laboratory: by its mark, by the traces of those who dropped theirs, and by where
    /// they are.
    pub fn survivors(&self) -> Vec<Process> {
        let mut survivors = marked(&format!("{MARK}={}", self.mark));
        let ours = of_programs_below(self.target.as_str());
        for name in ["daemon", "forked"] {
            let pids: BTreeSet<i32> = self.traced(name).into_iter().flatten().collect();
            survivors.extend(
                ours.iter()
                    .filter(|process| pids.contains(&process.pid) && is_alive(process.pid))
                    .cloned(),
            );
        }
        let known: BTreeSet<i32> = survivors.iter().map(|process| process.pid).collect();
        let hiding = inside(&self.traces).into_iter();
        survivors.extend(hiding.filter(|process| !known.contains(&process.pid)));
        survivors
    }

    /// Nothing of a run is alive, and none of its temporary files is there.
    ///
    /// # Panics
    /// With the processes or files that are.
    pub fn assert_clean(&self) {
        let survivors = self.survivors();
        assert!(survivors.is_empty(), "alive after the run: {survivors:#?}");
        let files: Vec<_> = fs::read_dir(&self.tmp).expect("it is ours").collect();
        assert!(files.is_empty(), "temporary files after the run: {files:?}");
    }

    /// Builds the fixture unless this program has done so, so that no test's deadline pays for it.
    fn build_once(&self) {
        static BUILT: Mutex<BTreeSet<Utf8PathBuf>> = Mutex::new(BTreeSet::new());
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        if built.insert(self.root.clone()) {
            let output = self.output(&["test", "--no-run", "--workspace", "--quiet"]);
            output.unwrap_or_else(|why| panic!("{} does not build:\n{why}", self.root));
        }
    }

    /// Calls cargo; its complaints, where it has some.
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    fn output(&self, args: &[&str]) -> Result<(), String> {
        let output = self.command(cargo()).args(args).output();
        let output = output.expect("cargo starts");
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Some start each other again while they are ended.
        for _ in 0..100 {
            let survivors = self.survivors();
            if survivors.is_empty() {
                break;
            }
            for process in survivors {
                // It carries our mark, left its id with us and runs our fixture's program, or is where only we send
                // somebody to.
                let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
        }
    }
}

/// Where the cargo that runs us keeps what it has fetched.
#[expect(clippy::disallowed_methods, reason = "cargo finds it in the same way")]
fn own_cargo_home() -> Utf8PathBuf {
    let given = std::env::var("CARGO_HOME").map(Utf8PathBuf::from);
    given.unwrap_or_else(|_| {
        let home = std::env::var("HOME").expect("somebody runs us");
        Utf8PathBuf::from(home).join(".cargo")
    })
}

/// Copies a directory without its `target`.
fn copy_dir(from: &Utf8Path, to: &Utf8Path) {
    fs::create_dir(to).expect("a temporary directory is writable");
    for entry in from.read_dir_utf8().expect("a fixture is readable") {
        let entry = entry.expect("a fixture is readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("it exists").is_file() {
            fs::copy(entry.path(), &target).expect("a temporary directory is writable");
        } else if entry.file_name() != "target" {
            copy_dir(entry.path(), &target);
        }
    }
}
