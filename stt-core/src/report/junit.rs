//! A run as JUnit XML: a suite for each binary, a case for each test of the selection, whether it has a
//! result or not. Pure.
//!
//! What happens is collected as it happens, because earlier legs have told their results already and
//! nobody else keeps them; the text is made at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::NonSuccessKind;
use quick_junit::Property;
use quick_junit::Report;
use quick_junit::SerializeError;
use quick_junit::TestCase;
use quick_junit::TestCaseStatus;
use quick_junit::TestRerun;
use quick_junit::TestSuite;

use crate::command::quoted;
use crate::id::RunId;
use crate::id::TestId;
use crate::limits::Resources;
use crate::outcome::Failure;
use crate::outcome::RunOutcome;
use crate::outcome::ScriptOutcome;
use crate::outcome::TestOutcome;
use crate::outcome::Unfinished;
use crate::outcome::signal_name;
use crate::report::Captured;
use crate::report::Event;
use crate::report::Leak;
use crate::report::ScriptFinished;
use crate::report::Stream;
use crate::report::Summary;
use crate::report::TestFinished;
use crate::units::Bytes;

/// How much of a stream a report shows, half from its head and half from its tail: as much as a
/// checkpoint keeps, so that a report over several legs is of one piece.
const MOST: usize = 16 << 10;

/// What is known of each test of a run.
#[derive(Clone, Debug)]
pub struct Junit {
    run: RunId,
    tests: BTreeMap<TestId, State>,
    /// The attempts that failed before.
    tries: BTreeMap<TestId, Vec<Done>>,
    /// The scripts of this leg.
    scripts: Vec<ScriptFinished>,
}

/// How far a test is.
#[derive(Clone, Debug)]
enum State {
    /// It has not run.
    Outstanding,
    /// It was ended without a result.
    Unfinished(Unfinished, Duration),
    /// It has its result.
    Done(Box<Done>),
}

/// The result of a test.
#[derive(Clone, Debug)]
pub struct Done {
    /// Its result.
    pub outcome: TestOutcome,
    /// From its start to its exit.
    pub duration: Duration,
    /// What it used.
    pub resources: Resources,
    /// Its standard output, as [`excerpt`] has it.
    pub stdout: Option<String>,
    /// Its standard error.
    pub stderr: Option<String>,
    /// What it left behind, a line for each thing.
    pub leaks: Vec<String>,
}

impl Junit {
    /// A report of these tests, of which none has run.
    pub fn new(run: RunId, tests: impl IntoIterator<Item = TestId>) -> Self {
        let outstanding = tests.into_iter().map(|test| (test, State::Outstanding));
        Self {
            run,
            tests: outstanding.collect(),
            tries: BTreeMap::new(),
            scripts: Vec::new(),
        }
    }

    /// Takes in a result.
    pub fn done(&mut self, test: TestId, done: Done) {
        self.tests.insert(test, State::Done(Box::new(done)));
    }

    /// Takes in an attempt that failed, and was not the last.
    pub fn tried(&mut self, test: TestId, done: Done) {
        self.tries.entry(test).or_default().push(done);
    }

    /// Takes in that a test is ignored.
    pub fn ignored(&mut self, test: TestId) {
        self.done(
            test,
            Done {
                outcome: TestOutcome::Ignored,
                duration: Duration::ZERO,
                resources: Resources::default(),
                stdout: None,
                stderr: None,
                leaks: Vec::new(),
            },
        );
    }

    /// Takes in what happened.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::TestFinished(finished) => self.done(finished.test.clone(), Done::of(finished)),
            Event::TestRetried { tried, .. } => self.tried(tried.test.clone(), Done::of(tried)),
            Event::TestUnfinished { test, why, elapsed } => {
                let state = State::Unfinished(*why, *elapsed);
                self.tests.insert(test.clone(), state);
            }
            Event::ScriptFinished(end) => self.scripts.push((**end).clone()),
            Event::RunStarted { .. }
            | Event::ScriptStarted(_)
            | Event::ScriptSlow { .. }
            | Event::TestStarted { .. }
            | Event::PortTaken { .. }
            | Event::TestSlow { .. }
            | Event::Guard(_)
            | Event::Warning(_)
            | Event::Waiting(_)
            | Event::Mechanism(_)
            | Event::Reaped(_)
            | Event::Progress(_)
            | Event::RunFinished(_) => {}
        }
    }

    /// The report of a run that ended so.
    ///
    /// # Errors
    /// The text could not be made.
    pub fn to_xml(&self, summary: &Summary) -> Result<String, SerializeError> {
        let mut report = Report::new("cargo-stt");
        report.set_time(summary.elapsed);
        if let Ok(uuid) = self.run.as_str().parse() {
            report.set_report_uuid(uuid);
        }
        for end in &self.scripts {
            report.add_test_suite(of_script(end));
        }
        let mut tests = self.tests.iter().peekable();
        while let Some((first, _)) = tests.peek() {
            let binary = first.binary.clone();
            let mut suite = TestSuite::new(clean(binary.as_str()));
            let mut time = Duration::ZERO;
            while let Some((test, state)) = tests.next_if(|(test, _)| test.binary == binary) {
                let tries = self.tries.get(test).map(Vec::as_slice);
                let case = case(test, state, tries.unwrap_or_default(), summary);
                time += case.time.unwrap_or_default();
                suite.add_test_case(case);
            }
            suite.set_time(time);
            report.add_test_suite(suite);
        }
        report.to_string()
    }
}

impl Done {
    fn of(finished: &TestFinished) -> Self {
        let shown = |stream: fn(&Captured) -> &Stream| {
            let stream = stream(finished.output.as_deref()?);
            excerpt(&stream.head, stream.omitted, &stream.tail)
        };
        Self {
            outcome: finished.outcome.clone(),
            duration: finished.duration,
            resources: finished.resources,
            stdout: shown(|output| &output.stdout),
            stderr: shown(|output| &output.stderr),
            leaks: finished.leak.as_ref().map(Leak::lines).unwrap_or_default(),
        }
    }
}

/// Takes a stream of which `omitted` bytes between `head` and `tail` are already missing, and keeps what a
/// report shows of it; `None` when there is nothing.
pub fn excerpt(head: &[u8], omitted: u64, tail: &[u8]) -> Option<String> {
    const HALF: usize = MOST / 2;
    let text = |bytes: &[u8]| clean(&String::from_utf8_lossy(bytes));
    let length = head.len() + tail.len();
    if omitted == 0 && length <= MOST {
        let shown = text(&[head, tail].concat());
        return Some(shown).filter(|shown| !shown.is_empty());
    }
    let whole;
    let (head, tail) = if omitted == 0 {
        // One text, of which either part may be the shorter one.
        whole = [head, tail].concat();
        (whole.as_slice(), whole.as_slice())
    } else {
        (head, tail)
    };
    let head = &head[..HALF.min(head.len())];
    let tail = &tail[tail.len().saturating_sub(HALF)..];
    let cut = omitted.saturating_add((length - head.len() - tail.len()) as u64);
    let (head, tail) = (text(head), text(tail));
    Some(format!("{head}\n[{cut} bytes are left out here]\n{tail}"))
}

fn case(test: &TestId, state: &State, tries: &[Done], summary: &Summary) -> TestCase {
    // Of a test that never passed the first attempt is the failure, and those after it are its reruns.
    let (main, reruns) = match (state, tries) {
        (State::Done(last), [first, between @ ..]) if last.outcome.is_failed() => {
            (Some(first), between.iter().chain(Some(&**last)))
        }
        (State::Done(done), tries) => (Some(&**done), tries.iter().chain(None)),
        (State::Outstanding | State::Unfinished(..), tries) => (None, tries.iter().chain(None)),
    };
    let (mut status, time) = match state {
        State::Outstanding => {
            let message = format!("not run: {}", reason(summary));
            (error("not-run", &message), None)
        }
        State::Unfinished(why, elapsed) => {
            let why = match why {
                Unfinished::Shed => "the guard ended it to free memory",
                Unfinished::Stopped => "the guard stopped the run",
                Unfinished::Interrupted => "the run was interrupted",
            };
            let message = format!("ended without a result: {why}");
            (error("unfinished", &message), Some(*elapsed))
        }
        State::Done(done) => {
            let done = main.unwrap_or(done);
            (status(&done.outcome), Some(done.duration))
        }
    };
    status.add_reruns(reruns.filter_map(rerun));
    let mut case = TestCase::new(clean(&test.name), status);
    case.set_classname(clean(test.binary.as_str()));
    if let Some(time) = time {
        case.set_time(time);
    }
    if let Some(done) = main {
        describe(&mut case, done);
    }
    case
}

/// A script, in nextest's form: a suite with one case. nextest knows no teardown scripts.
fn of_script(end: &ScriptFinished) -> TestSuite {
    let script = &end.script.script;
    let name = format!("@{}-script:{}", script.kind.name(), script.name);
    let mut suite = TestSuite::new(clean(&name));
    let args: Vec<_> = script
        .command
        .args
        .iter()
        .map(|arg| quoted(arg.as_ref()))
        .collect();
    suite.add_property(Property::new("command", clean(&script.command.program)));
    suite.add_property(Property::new("args", clean(&args.join(" "))));
    for (variable, value) in &end.variables {
        let name = format!("output-env:{variable}");
        suite.add_property(Property::new(name, clean(value)));
    }
    let message = end.outcome.to_string();
    let status = match &end.outcome {
        ScriptOutcome::Passed => TestCaseStatus::success(),
        ScriptOutcome::Failed(failure) => {
            let (kind, name) = kind_of(failure);
            non_success(kind, name, &message)
        }
        ScriptOutcome::Variables(_) => error("variables", &message),
        ScriptOutcome::Ended(_) => error("unfinished", &message),
    };
    let mut case = TestCase::new(clean(&script.name), status);
    case.set_classname(clean(&name));
    case.set_time(end.duration);
    let shown = |stream: &Stream| excerpt(&stream.head, stream.omitted, &stream.tail);
    if let Some(output) = &end.output {
        if let Some(text) = shown(&output.stdout) {
            case.set_system_out(text);
        }
        if let Some(text) = shown(&output.stderr) {
            case.set_system_err(text);
        }
    }
    suite.set_time(end.duration);
    suite.add_test_case(case);
    suite
}

/// Why tests were not run.
fn reason(summary: &Summary) -> String {
    match summary.outcome {
        RunOutcome::Stopped => match &summary.stop {
            Some(stop) if stop.timed_out => format!("the run was stopped: {}", stop.reason),
            Some(stop) => format!("the guard stopped the run ({})", stop.reason),
            None => "the guard stopped the run".to_owned(),
        },
        RunOutcome::Interrupted(signal) => {
            format!("signal {signal} ({}) ended the run", signal_name(signal))
        }
        RunOutcome::ScriptFailed => "a setup script failed".to_owned(),
        RunOutcome::Passed | RunOutcome::NoTests | RunOutcome::Failed => {
            let failures = match summary.counts.failed {
                0 => return "only tests that had failed were to run".to_owned(),
                1 => "1 failure".to_owned(),
                count => format!("{count} failures"),
            };
            format!("the run ended after {failures}")
        }
    }
}

fn status(outcome: &TestOutcome) -> TestCaseStatus {
    let failure = match outcome {
        TestOutcome::Passed => return TestCaseStatus::success(),
        TestOutcome::Ignored => {
            let mut status = TestCaseStatus::skipped();
            status.set_message("ignored");
            return status;
        }
        TestOutcome::Failed(failure) => failure,
    };
    let (kind, name) = kind_of(failure);
    non_success(kind, name, &failure.to_string())
}

/// An attempt that failed before; of a test that passed in the end quick-junit makes a flaky failure of it.
fn rerun(tried: &Done) -> Option<TestRerun> {
    let failure = tried.outcome.failure()?;
    let (kind, name) = kind_of(failure);
    let mut rerun = TestRerun::new(kind);
    rerun
        .set_type(name)
        .set_message(clean(&failure.to_string()));
    rerun.set_time(tried.duration);
    if let Some(stdout) = &tried.stdout {
        rerun.set_system_out(stdout);
    }
    if let Some(stderr) = &tried.stderr {
        rerun.set_system_err(stderr);
    }
    Some(rerun)
}

/// An error is where the test itself could not say whether it passes.
fn kind_of(failure: &Failure) -> (NonSuccessKind, &'static str) {
    match failure {
        Failure::Exit(_) => (NonSuccessKind::Failure, "exit"),
        Failure::Signal(_) => (NonSuccessKind::Failure, "signal"),
        Failure::Timeout { .. } => (NonSuccessKind::Failure, "timeout"),
        Failure::Breach { .. } => (NonSuccessKind::Failure, "breach"),
        Failure::Limit(_) => (NonSuccessKind::Failure, "limit"),
        Failure::OutOfMemory { .. } => (NonSuccessKind::Failure, "out-of-memory"),
        Failure::Leak => (NonSuccessKind::Failure, "leak"),
        Failure::Suspect { .. } => (NonSuccessKind::Error, "suspect"),
        Failure::Start { .. } => (NonSuccessKind::Error, "start"),
        Failure::Output { .. } => (NonSuccessKind::Error, "output"),
    }
}

fn error(kind: &str, message: &str) -> TestCaseStatus {
    non_success(NonSuccessKind::Error, kind, message)
}

fn non_success(kind: NonSuccessKind, name: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(name).set_message(clean(message));
    status
}

/// Adds what a test used, what it left behind and what it printed. What is unknown is not there.
fn describe(case: &mut TestCase, done: &Done) {
    let resources = &done.resources;
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            case.add_property(Property::new(name, value));
        }
    };
    let bytes = |bytes: Bytes| bytes.0.to_string();
    // What was never started has used nothing that could be known.
    let ran = resources.peak_memory > Bytes(0);
    let cpu = format!("{:.6}", resources.cpu.as_secs_f64());
    add("peak-memory", ran.then(|| bytes(resources.peak_memory)));
    add("cpu", ran.then_some(cpu));
    add(
        "processes",
        resources.processes.map(|count| count.to_string()),
    );
    add("read", resources.read.map(bytes));
    add("written", resources.written.map(bytes));
    for leak in &done.leaks {
        add("leak", Some(clean(leak)));
    }
    if let Some(stdout) = &done.stdout {
        case.set_system_out(stdout);
    }
    if let Some(stderr) = &done.stderr {
        case.set_system_err(stderr);
    }
}

/// The text without what XML can't hold: colours go, tabs become spaces (quick-junit would drop them), and
/// every other character that may not be there is replaced by U+FFFD.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let length = sequence(rest).unwrap_or_else(|| {
            match character {
                '\n' => clean.push('\n'),
                '\r' => {}
                '\t' => clean.push_str("    "),
                '\u{fffe}' | '\u{ffff}' => clean.push('\u{fffd}'),
                _ if character.is_control() => clean.push('\u{fffd}'),
                _ => clean.push(character),
            }
            character.len_utf8()
        });
        rest = &rest[length..];
    }
    clean
}

/// The length of the control sequence, such as a colour, with which a text begins (ECMA-48, 5.4).
fn sequence(text: &str) -> Option<usize> {
    let body = text.strip_prefix("\u{1b}[")?.as_bytes();
    let middle = body
        .iter()
        .take_while(|byte| (0x20..0x40).contains(*byte))
        .count();
    let last = body.get(middle)?;
    (0x40..0x7f).contains(last).then_some(2 + middle + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    use crate::id::BinaryId;
    use crate::port::Port;
    use crate::port::Protocol;
    use crate::report::Counts;
    use crate::report::LeakedProcess;
    use crate::report::StopReport;
    use crate::retry::Attempt;

    fn id(binary: &str, name: &str) -> TestId {
        TestId::new(BinaryId::new(binary), name)
    }

    fn run() -> RunId {
        RunId::from_random([7; 16])
    }

    fn summary(outcome: RunOutcome) -> Summary {
        Summary {
            run: run(),
            outcome,
            counts: Counts {
                failed: 2,
                ..Counts::default()
            },
            total: 9,
            kept: 0,
            outstanding: 1,
            elapsed: Duration::from_millis(1500),
            failed: Vec::new(),
            checkpoint: None,
            stop: None,
            swept: Vec::new(),
            swept_containers: Vec::new(),
            cancelled: false,
        }
    }

    fn finished(test: TestId, outcome: TestOutcome) -> TestFinished {
        TestFinished {
            test,
            outcome,
            attempt: Attempt::ONLY,
            duration: Duration::from_millis(12),
            resources: Resources {
                cpu: Duration::from_micros(3500),
                peak_memory: Bytes::mib(1),
                ..Resources::default()
            },
            output: None,
            own_shown: None,
            leak: None,
            counts: Counts::default(),
            total: 9,
        }
    }

    #[test]
    fn attempts_that_failed_before_are_flaky_failures_or_reruns() {
        let [flaky, broken] =
            ["flaky", "broken"].map(|name| TestId::new(BinaryId::new("app"), name));
        let mut junit = Junit::new(run(), [flaky.clone(), broken.clone()]);
        let exit = |code| TestOutcome::Failed(Failure::Exit(code));
        for (test, outcome) in [(flaky, TestOutcome::Passed), (broken, exit(3))] {
            for code in [1, 2] {
                junit.note(&Event::TestRetried {
                    tried: Box::new(finished(test.clone(), exit(code))),
                    delay: Some(Duration::ZERO),
                });
            }
            note(&mut junit, finished(test, outcome));
        }
        let xml = junit.to_xml(&summary(RunOutcome::Failed)).unwrap();
        let message = |element: &str| {
            let begin = format!("<{element} ");
            let parts = xml.split(&begin).skip(1);
            let code = |part: &str| part.split_once("code ")?.1.chars().next();
            parts.filter_map(code).collect::<String>()
        };
        assert_eq!(message("flakyFailure"), "12", "{xml}");
        assert_eq!(message("failure"), "1", "{xml}");
        assert_eq!(message("rerunFailure"), "23", "{xml}");
    }

    fn note(junit: &mut Junit, finished: TestFinished) {
        junit.note(&Event::TestFinished(Box::new(finished)));
    }

    /// The report as a reader of XML sees it.
    fn read(junit: &Junit, summary: &Summary) -> Report {
        let xml = junit.to_xml(summary).unwrap();
        Report::deserialize_from_str(&xml).unwrap_or_else(|error| panic!("{error}\n{xml}"))
    }

    fn properties(case: &TestCase) -> Vec<(&str, &str)> {
        let properties = case.properties.iter();
        properties
            .map(|property| (property.name.as_str(), property.value.as_str()))
            .collect()
    }

    fn told(case: &TestCase) -> (NonSuccessKind, &str, &str) {
        let TestCaseStatus::NonSuccess {
            kind, message, ty, ..
        } = &case.status
        else {
            panic!("{case:?}");
        };
        (*kind, ty.as_deref().unwrap(), message.as_deref().unwrap())
    }

    const NAMES: [&str; 5] = ["fails", "ignored", "later", "passes", "shed"];

    /// One test of each kind, and another binary.
    fn mixed() -> Junit {
        let mut junit = Junit::new(
            run(),
            NAMES
                .map(|name| id("app", name))
                .into_iter()
                .chain([id("app::api", "x")]),
        );
        junit.ignored(id("app", "ignored"));
        let mut passed = finished(id("app", "passes"), TestOutcome::Passed);
        passed.resources.processes = Some(3);
        passed.resources.written = Some(Bytes(17));
        let number = 8080;
        let address = "127.0.0.1".parse().unwrap();
        passed.leak = Some(Leak {
            containers: Vec::new(),
            output_open: true,
            processes: vec![LeakedProcess {
                pid: 4711,
                command: "server <dev>".to_owned(),
                ports: vec![Port {
                    protocol: Protocol::Tcp,
                    address,
                    number,
                }],
                still_held: Vec::new(),
            }],
        });
        note(&mut junit, passed);
        note(
            &mut junit,
            finished(id("app", "fails"), TestOutcome::Failed(Failure::Exit(101))),
        );
        junit.note(&Event::TestUnfinished {
            test: id("app", "shed"),
            why: Unfinished::Shed,
            elapsed: Duration::from_secs(2),
        });
        junit
    }

    #[test]
    fn every_test_has_its_case_in_the_suite_of_its_binary() {
        let junit = mixed();
        let mut stopped = summary(RunOutcome::Stopped);
        stopped.stop = Some(StopReport {
            reason: "memory 85 %".to_owned(),
            largest: Vec::new(),
            ended: Vec::new(),
            took: Duration::ZERO,
            timed_out: false,
        });
        let report = read(&junit, &stopped);
        assert_eq!(
            (report.tests, report.failures, report.errors, report.skipped),
            (6, 1, 3, 1)
        );
        assert_eq!(report.uuid.unwrap().to_string(), run().as_str());
        assert_eq!(report.time, Some(Duration::from_millis(1500)));
        let suites: Vec<_> = report
            .test_suites
            .iter()
            .map(|suite| (suite.name.as_str(), suite.test_cases.len()))
            .collect();
        assert_eq!(suites, [("app", 5), ("app::api", 1)]);
        let cases = &report.test_suites[0].test_cases;
        let shown: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(shown, NAMES);
        assert!(
            cases
                .iter()
                .all(|case| case.classname.as_deref() == Some("app"))
        );
        let (failure, error) = (NonSuccessKind::Failure, NonSuccessKind::Error);
        assert_eq!(told(&cases[0]), (failure, "exit", "exited with code 101"));
        assert!(matches!(cases[1].status, TestCaseStatus::Skipped { .. }));
        assert_eq!(
            told(&cases[2]),
            (
                error,
                "not-run",
                "not run: the guard stopped the run (memory 85 %)"
            )
        );
        assert_eq!(cases[3].status, TestCaseStatus::success());
        assert_eq!(cases[3].time, Some(Duration::from_millis(12)));
        let expected = [
            ("peak-memory", "1048576"),
            ("cpu", "0.003500"),
            ("processes", "3"),
            ("written", "17"),
            ("leak", "its output was still open"),
            ("leak", "4711 server <dev> (listening on 127.0.0.1:8080)"),
        ];
        assert_eq!(properties(&cases[3]), expected);
        assert_eq!(
            told(&cases[4]),
            (
                error,
                "unfinished",
                "ended without a result: the guard ended it to free memory"
            )
        );
        assert_eq!(cases[4].time, Some(Duration::from_secs(2)));
        assert!(cases[1].properties.is_empty() && cases[2].properties.is_empty());
    }

    #[test]
    fn why_a_test_was_not_run_is_said() {
        let junit = Junit::new(run(), [id("app", "a")]);
        for (outcome, expected) in [
            (RunOutcome::Stopped, "not run: the guard stopped the run"),
            (
                RunOutcome::Interrupted(2),
                "not run: signal 2 (SIGINT) ended the run",
            ),
            (
                RunOutcome::Failed,
                "not run: the run ended after 2 failures",
            ),
        ] {
            let report = read(&junit, &summary(outcome));
            assert_eq!(told(&report.test_suites[0].test_cases[0]).2, expected);
        }
        let empty = read(&Junit::new(run(), []), &summary(RunOutcome::NoTests));
        assert_eq!((empty.tests, empty.test_suites.len()), (0, 0));
    }

    #[test]
    fn a_result_takes_the_place_of_what_was_known_before() {
        let test = id("app", "a");
        let mut junit = Junit::new(run(), [test.clone()]);
        junit.note(&Event::TestUnfinished {
            test: test.clone(),
            why: Unfinished::Shed,
            elapsed: Duration::ZERO,
        });
        note(&mut junit, finished(test, TestOutcome::Passed));
        let report = read(&junit, &summary(RunOutcome::Passed));
        assert_eq!((report.tests, report.errors), (1, 0));
    }

    #[test]
    fn nasty_names_and_outputs_come_back_as_they_were() {
        let name = "a::<T>::\"q\" & ]]> größe 日本 🦀";
        let test = id("app::bin/ü", name);
        let mut junit = Junit::new(run(), [test.clone()]);
        let reason = "<![CDATA[ ]]> & \u{0} \u{ffff}".to_owned();
        let mut failed = finished(test, TestOutcome::Failed(Failure::Start { reason }));
        failed.output = Some(Arc::new(Captured {
            stdout: Stream {
                head: b"]]> <a>&amp;\r\n\ttab \x1b[1;31mred\x1b[0m \x1b]0;title\x00 gr\xc3"
                    .to_vec(),
                tail: b"\xb6n \xff end\n".to_vec(),
                ..Stream::default()
            },
            stderr: Stream::default(),
        }));
        note(&mut junit, failed);
        let report = read(&junit, &summary(RunOutcome::Failed));
        let suite = &report.test_suites[0];
        assert_eq!(suite.name.as_str(), "app::bin/ü");
        let case = &suite.test_cases[0];
        assert_eq!(case.name.as_str(), name);
        let message = "could not be started: <![CDATA[ ]]> & \u{fffd} \u{fffd}";
        assert_eq!(told(case), (NonSuccessKind::Error, "start", message));
        let stdout = "]]> <a>&amp;\n    tab red \u{fffd}]0;title\u{fffd} grön \u{fffd} end\n";
        // This reader takes white space at either end away.
        assert_eq!(case.system_out.as_deref(), Some(stdout.trim()));
        let xml = junit.to_xml(&summary(RunOutcome::Failed)).unwrap();
        assert!(xml.contains("end\n</system-out>"), "{xml}");
        assert_eq!(case.system_err, None);
    }

    #[test]
    fn of_a_flood_both_ends_are_kept() {
        assert_eq!(excerpt(b"", 0, b""), None);
        assert_eq!(excerpt(b"a", 0, b"b").as_deref(), Some("ab"));
        assert_eq!(
            excerpt(b"a", 5, b"b").as_deref(),
            Some("a\n[5 bytes are left out here]\nb")
        );
        let long = [b"first ".as_slice(), &vec![b'x'; 3 * MOST], b" last"].concat();
        for (head, tail) in [
            long.split_at(0),
            long.split_at(7),
            long.split_at(long.len()),
        ] {
            let shown = excerpt(head, 0, tail).unwrap();
            assert!(shown.starts_with("first x") && shown.ends_with("x last"));
            assert!(
                shown.len() < MOST + 100
                    && shown.contains(&format!("[{} bytes", long.len() - MOST))
            );
        }
        let shown = excerpt(&long, 9, b"tail").unwrap();
        assert!(
            shown.contains(&format!("[{} bytes", 9 + long.len() - MOST / 2)),
            "{}",
            shown.len()
        );
    }

    proptest! {
        /// Whatever tests are called and print: what is written is XML, and it holds each of them.
        #[test]
        fn whatever_is_written_can_be_read(
            names in prop::collection::vec(any::<String>(), 1..6),
            head in prop::collection::vec(any::<u8>(), 0..200),
            reason in any::<String>(),
        ) {
            let tests: std::collections::BTreeSet<_> = names.iter().map(|name| id(&reason, name)).collect();
            let mut junit = Junit::new(run(), tests.iter().cloned());
            for test in &tests {
                let reason = reason.clone();
                let mut failed = finished(test.clone(), TestOutcome::Failed(Failure::Breach { reason }));
                failed.output = Some(Arc::new(Captured {
                    stdout: Stream { head: head.clone(), ..Stream::default() },
                    stderr: Stream { tail: head.clone(), ..Stream::default() },
                }));
                note(&mut junit, failed);
            }
            let report = read(&junit, &summary(RunOutcome::Failed));
            prop_assert_eq!(report.tests, tests.len());
            for (case, test) in report.test_suites[0].test_cases.iter().zip(&tests) {
                // Attributes that hold line ends are read with spaces in their place.
                let name = clean(&test.name).replace('\n', " ");
                prop_assert_eq!(case.name.as_str().replace('\n', " "), name);
                let shown = excerpt(&head, 0, b"").unwrap_or_default();
                let read = case.system_out.as_deref().unwrap_or_default();
                prop_assert_eq!(read.trim(), shown.trim());
            }
        }
    }
}
