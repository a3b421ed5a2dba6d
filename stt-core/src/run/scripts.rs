//! The thread that runs setup and teardown scripts, and what they leave for the tests: variables.
//!
//! What a setup script has started and left running is for the tests. It lives until the run ends, and ends with it.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;

use crate::command::CommandLine;
use crate::command::Environment;
use crate::discovery::variables;
use crate::outcome::Failure;
use crate::outcome::ScriptOutcome;
use crate::outcome::TestOutcome;
use crate::process::Capture;
use crate::process::Control;
use crate::process::Marker;
use crate::process::Settled;
use crate::process::Stdio;
use crate::process::Terms;
use crate::process::drive;
use crate::process::settle;
use crate::process::spawn;
use crate::report;
use crate::run::RunError;
use crate::run::child::setup;
use crate::run::error::chain;
use crate::run::event::Event;
use crate::run::event::ScriptEnd;
use crate::run::execute::Capturing;
use crate::run::execute::Job;
use crate::run::execute::Manner;
use crate::run::settle as settling;
use crate::run::slot::Shared;
use crate::script::Script;
use crate::script::ScriptKind;
use crate::script::TestScripts;
use crate::script::parse_variables;

/// What setup scripts may write for their tests: more is a mistake.
const MOST: u64 = 1 << 20;

/// A script by its name, with what it has written.
type OfScript = (Arc<str>, Vec<(String, String)>);

/// What scripts have left for the tests: the variables that they have written, in the order in which they ran.
#[derive(Debug, Default)]
pub(crate) struct Written {
    of: Mutex<Vec<OfScript>>,
    /// Whether one has been started.
    begun: AtomicBool,
}

impl Written {
    /// Those for a test with these scripts.
    pub(crate) fn for_test(&self, scripts: &TestScripts) -> Vec<(OsString, OsString)> {
        let named = |name: &str| scripts.setup.iter().any(|script| *script.name == *name);
        self.of_those(named)
    }

    /// Whether scripts may have left processes running, too.
    pub(crate) fn may_have_helpers(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    fn all(&self) -> Vec<(OsString, OsString)> {
        self.of_those(|_| true)
    }

    fn of_those(&self, wanted: impl Fn(&str) -> bool) -> Vec<(OsString, OsString)> {
        let written = self.lock();
        let wanted = written.iter().filter(|(name, _)| wanted(name));
        let mut variables: Vec<(OsString, OsString)> = Vec::new();
        for (name, value) in wanted.flat_map(|(_, variables)| variables) {
            variables.retain(|(known, _)| *known != **name);
            variables.push((name.into(), value.into()));
        }
        variables
    }

    fn add(&self, script: &Script, variables: &[(String, String)]) {
        let written = (Arc::clone(&script.name), variables.to_vec());
        self.lock().push(written);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<OfScript>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The scripts of a run, and what they need.
#[derive(Clone, Debug)]
pub(crate) struct Backstage {
    /// The scripts, by their numbers.
    pub(crate) scripts: Arc<[report::ScriptPlace]>,
    /// The root of the workspace, where they start.
    pub(crate) root: Utf8PathBuf,
    /// The target directory.
    pub(crate) target_dir: Utf8PathBuf,
    /// What all of them find in their environment.
    pub(crate) env: Environment,
    /// Where their files of variables are.
    pub(crate) dir: Utf8PathBuf,
    /// The number of their place, behind those of the slots.
    pub(crate) place: usize,
    /// What is captured.
    pub(crate) manner: Manner,
}

impl Backstage {
    /// What these scripts need; nothing where there is none. Their place is the one with this number.
    ///
    /// # Errors
    /// There is no place for their files.
    pub(crate) fn of(
        job: &Job,
        scripts: Vec<report::ScriptPlace>,
        place: usize,
    ) -> Result<Option<Self>, RunError> {
        if scripts.is_empty() {
            return Ok(None);
        }
        let dir = job.tmpdir.as_ref().ok_or_else(|| {
            let nowhere = io::Error::other("there is no temporary directory of the run");
            setup("a place for the files of scripts", nowhere)
        })?;
        Ok(Some(Self {
            scripts: scripts.into(),
            root: job.root.clone(),
            target_dir: job.target_dir.clone(),
            env: Arc::clone(&job.script_env),
            dir: dir.path().to_owned(),
            place,
            manner: job.manner,
        }))
    }
}

/// Where the output of a script goes: what it asks for. Standard output is never its own where programs read it.
pub(crate) fn stdio(manner: Manner, script: &Script) -> Stdio {
    let captured = manner.capture != Capturing::Nothing;
    Stdio::capturing(
        manner.own_stdout || (captured && script.capture_stdout),
        captured && script.capture_stderr,
    )
}

/// The thread, as the dispatcher sees it.
#[derive(Debug)]
pub(crate) struct ScriptRunner {
    /// The way to the process that runs.
    pub(crate) control: Arc<Control>,
    /// The scripts, by their numbers.
    pub(crate) scripts: Arc<[report::ScriptPlace]>,
    orders: mpsc::Sender<usize>,
    thread: thread::JoinHandle<()>,
}

impl ScriptRunner {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses a thread or a descriptor.
    pub(crate) fn open(
        backstage: Backstage,
        shared: Arc<Shared>,
        capture: Capture,
    ) -> io::Result<Self> {
        let group = shared.family.slot_group(backstage.place);
        let control = Arc::new(Control::in_group(group)?);
        let scripts = Arc::clone(&backstage.scripts);
        let (orders, received) = mpsc::channel();
        let worker = Worker {
            backstage,
            shared,
            control: Arc::clone(&control),
            capture,
        };
        let thread = thread::Builder::new()
            .name("stt-scripts".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || worker.work(&received))?;
        Ok(Self {
            control,
            scripts,
            orders,
            thread,
        })
    }

    /// Has a script started. None may be running.
    pub(crate) fn start(&self, script: usize) {
        // An order to end the script may come before its process does.
        self.control.reserve();
        // The receiver lives as long as this does, unless its thread has panicked, which was reported.
        let _ = self.orders.send(script);
    }

    /// Ends the thread, after the script that it may run.
    pub(crate) fn close(self) {
        drop(self.orders);
        drop(self.thread.join());
    }
}

struct Worker {
    backstage: Backstage,
    shared: Arc<Shared>,
    control: Arc<Control>,
    capture: Capture,
}

impl Worker {
    fn work(mut self, orders: &mpsc::Receiver<usize>) {
        while let Ok(script) = orders.recv() {
            let end = self.run(script);
            self.shared.queue.push(Event::ScriptEnded {
                script,
                end: Box::new(end),
            });
        }
    }

    fn run(&mut self, number: usize) -> ScriptEnd {
        let shared = Arc::clone(&self.shared);
        let script = Arc::clone(&self.backstage.scripts[number].script);
        let file = self.backstage.dir.join(format!("variables-{number}"));
        if script.kind == ScriptKind::Setup
            && let Err(error) = fs::write(&file, "")
        {
            self.control.release();
            return ended(failed(chain(&error)));
        }
        let label = format!("{}:{}", script.kind.name(), script.name);
        let command = self.command(&script, &file, &label);
        let stdio = stdio(self.backstage.manner, &script);
        self.capture.reset();
        // Where there is no group for it, its family is found by other means, as a test's is.
        drop(self.control.begin(None));
        shared.written.begun.store(true, Ordering::Relaxed);
        let child = match spawn(&command, stdio, &self.control, &shared.clock) {
            Ok(child) => child,
            Err(error) => {
                let outcome = match settling::not_started(&error) {
                    Settled::Unfinished(why) => ScriptOutcome::Ended(why),
                    Settled::Final(_) => failed(chain(&error)),
                };
                return ended(outcome);
            }
        };
        let terms = Terms {
            leak_timeout: script.times.leak_timeout.unwrap_or(shared.leak_timeout),
            marker: Marker::new([
                (variables::STT_RUN_ID, shared.run.as_str()),
                (variables::STT_SCRIPT, label.as_str()),
            ]),
            exclusive: false,
            leaves: true,
        };
        let (control, family) = (&self.control, &shared.family);
        let driven = drive(
            child,
            control,
            &mut self.capture,
            &terms,
            family,
            &shared.clock,
        );
        let mut end = ScriptEnd {
            outcome: match (&driven.error, settle(driven.exit, driven.ended)) {
                (_, Settled::Unfinished(why)) => ScriptOutcome::Ended(why),
                (Some(error), _) => {
                    let reason = chain(error);
                    ScriptOutcome::Failed(Failure::Output { reason })
                }
                (None, Settled::Final(TestOutcome::Failed(failure))) => {
                    ScriptOutcome::Failed(failure)
                }
                (None, Settled::Final(TestOutcome::Passed | TestOutcome::Ignored)) => {
                    ScriptOutcome::Passed
                }
            },
            duration: driven.duration,
            output: (stdio != Stdio::Inherit).then(|| settling::captured(self.capture.take())),
            variables: Vec::new(),
            output_open: driven.left.output_open,
        };
        if script.kind == ScriptKind::Setup && end.outcome == ScriptOutcome::Passed {
            match read_variables(&file) {
                Ok(variables) => {
                    shared.written.add(&script, &variables);
                    end.variables = variables;
                }
                Err(reason) => end.outcome = ScriptOutcome::Variables(reason),
            }
        }
        end
    }

    fn command(&self, script: &Script, file: &Utf8Path, label: &str) -> CommandLine {
        let Backstage {
            root,
            target_dir,
            env,
            place,
            ..
        } = &self.backstage;
        let program = script.command.program(root, target_dir);
        let mut command =
            CommandLine::new(program, root.clone(), Arc::clone(env)).args(&script.command.args);
        if script.kind == ScriptKind::Teardown {
            command.extra_env.extend(self.shared.written.all());
        }
        let own = script.command.env.iter();
        let own = own.map(|(name, value)| (name.into(), value.into()));
        command.extra_env.extend(own);
        if script.kind == ScriptKind::Setup {
            command = command
                .env(variables::STT_ENV, file)
                .env(variables::NEXTEST_ENV, file);
        }
        let threads = self.shared.threads.to_string();
        command = command
            .env(variables::NEXTEST_TEST_THREADS, threads)
            .env(variables::STT_SCRIPT, label);
        let found = self.shared.engines.begin(*place, label.to_owned());
        command.extra_env.extend(found);
        command
    }
}

/// What a setup script has written; or why it can't be used.
fn read_variables(file: &Utf8Path) -> Result<Vec<(String, String)>, String> {
    let size = fs::metadata(file).map_err(|error| chain(&error))?.len();
    if size > MOST {
        return Err(format!("it is longer than {MOST} bytes"));
    }
    let text = fs::read_to_string(file).map_err(|error| chain(&error))?;
    parse_variables(&text).map_err(|error| error.to_string())
}

fn failed(reason: String) -> ScriptOutcome {
    ScriptOutcome::Failed(Failure::Start { reason })
}

/// The end of a script that had no process.
fn ended(outcome: ScriptOutcome) -> ScriptEnd {
    ScriptEnd {
        outcome,
        duration: std::time::Duration::ZERO,
        output: None,
        variables: Vec::new(),
        output_open: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::RelativeTo;
    use crate::script::ScriptCommand;
    use crate::times::TestTimes;

    fn script(name: &str) -> Arc<Script> {
        Arc::new(Script {
            kind: ScriptKind::Setup,
            name: name.into(),
            command: ScriptCommand {
                program: "x".to_owned(),
                args: Vec::new(),
                relative_to: RelativeTo::None,
                env: Vec::new(),
            },
            times: TestTimes::default(),
            capture_stdout: false,
            capture_stderr: false,
        })
    }

    #[test]
    fn a_test_gets_what_its_scripts_have_written_and_of_one_name_the_last() {
        let written = Written::default();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let scripts = ["a", "b", "c"].map(script);
        written.add(&scripts[0], &[pair("X", "1"), pair("Y", "1")]);
        written.add(&scripts[1], &[pair("Z", "2")]);
        written.add(&scripts[2], &[pair("X", "3")]);
        let os = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let of = |setup: &[Arc<Script>]| {
            written.for_test(&TestScripts {
                setup: setup.to_vec(),
                ..TestScripts::default()
            })
        };
        assert_eq!(of(&scripts[1..2]), [os("Z", "2")]);
        let first_and_last = [scripts[0].clone(), scripts[2].clone()];
        assert_eq!(of(&first_and_last), [os("Y", "1"), os("X", "3")]);
        assert_eq!(written.all(), [os("Y", "1"), os("Z", "2"), os("X", "3")]);
    }

    #[test]
    fn a_file_that_is_no_text_or_too_long_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(dir.path()).unwrap().join("file");
        assert!(read_variables(&file).is_err());
        fs::write(&file, b"A=\xff").unwrap();
        assert!(read_variables(&file).is_err());
        fs::write(&file, vec![b'\n'; 1 + (1 << 20)]).unwrap();
        assert!(read_variables(&file).unwrap_err().contains("longer"));
        fs::write(&file, "A=1\nB").unwrap();
        assert_eq!(
            read_variables(&file).unwrap_err(),
            "line 2 is not KEY=VALUE: `B`"
        );
    }
}
