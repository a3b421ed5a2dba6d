//! The objects, as libtest writes them. nextest's names for suites and tests.

use serde::Serialize;
use stt_core::config::OutputConfig;
use stt_core::config::ShowOutput;
use stt_core::id::BinaryId;
use stt_core::outcome::Failure;
use stt_core::outcome::TestOutcome;
use stt_core::report::Captured;
use stt_core::report::Stream;
use stt_core::report::TestFinished;

use super::own::own_output;

/// A binary with its tests, as it is told before the first of them runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SuiteOutline {
    /// The binary.
    pub(crate) id: BinaryId,
    /// The name of its package.
    pub(crate) package: String,
    /// The name of its target.
    pub(crate) target: String,
    /// What it is, in nextest's words.
    pub(crate) kind: &'static str,
    /// How many of its tests get a result in this leg.
    pub(crate) tests: usize,
    /// How many it has beside these.
    pub(crate) filtered_out: usize,
}

/// How the tests of a suite have gone so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) ignored: usize,
    /// The times of its tests together.
    pub(super) seconds: f64,
}

impl Tally {
    pub(super) fn finished(&self) -> usize {
        self.passed + self.failed + self.ignored
    }

    pub(super) fn count(&mut self, result: &TestFinished) {
        match result.outcome {
            TestOutcome::Passed => self.passed += 1,
            TestOutcome::Failed(_) => self.failed += 1,
            TestOutcome::Ignored => self.ignored += 1,
        }
        self.seconds += result.duration.as_secs_f64();
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Message<'a> {
    Suite(SuiteMessage<'a>),
    Test(TestMessage),
}

#[derive(Serialize)]
pub(super) struct SuiteMessage<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_count: Option<usize>,
    #[serde(flatten)]
    end: Option<SuiteEnd>,
    /// The one key that libtest does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    stt: Option<Whose<'a>>,
}

#[derive(Serialize)]
struct SuiteEnd {
    passed: usize,
    failed: usize,
    ignored: usize,
    measured: usize,
    filtered_out: usize,
    exec_time: f64,
}

#[derive(Serialize)]
struct Whose<'a> {
    #[serde(rename = "crate")]
    package: &'a str,
    test_binary: &'a str,
    kind: &'a str,
}

#[derive(Serialize)]
pub(super) struct TestMessage {
    event: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exec_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<String>,
}

impl<'a> SuiteMessage<'a> {
    /// The first test of a suite is about to start. With `plus` it says whose the suite is.
    pub(super) fn started(suite: &'a SuiteOutline, plus: bool) -> Self {
        Self {
            event: "started",
            test_count: Some(suite.tests),
            end: None,
            stt: plus.then(|| Whose::of(suite)),
        }
    }

    /// The last test of a suite is over, or the run is. A suite of which tests have no result has not passed.
    pub(super) fn ended(suite: &'a SuiteOutline, tally: Tally, plus: bool) -> Self {
        let passed = tally.failed == 0 && tally.finished() >= suite.tests;
        Self {
            event: if passed { "ok" } else { "failed" },
            test_count: None,
            end: Some(SuiteEnd {
                passed: tally.passed,
                failed: tally.failed,
                ignored: tally.ignored,
                measured: 0,
                filtered_out: suite.filtered_out,
                exec_time: tally.seconds,
            }),
            stt: plus.then(|| Whose::of(suite)),
        }
    }
}

impl<'a> Whose<'a> {
    fn of(suite: &'a SuiteOutline) -> Self {
        Self {
            package: &suite.package,
            test_binary: &suite.target,
            kind: suite.kind,
        }
    }
}

impl TestMessage {
    fn plain(event: &'static str, name: String) -> Self {
        Self {
            event,
            name,
            exec_time: None,
            reason: None,
            message: None,
            stdout: None,
        }
    }

    /// A test starts.
    pub(super) fn started(suite: &SuiteOutline, test: &str) -> Self {
        Self::plain("started", name(suite, test))
    }

    /// A test takes long. The word is libtest's, which ends no test for that.
    pub(super) fn slow(suite: &SuiteOutline, test: &str) -> Self {
        Self::plain("timeout", name(suite, test))
    }

    /// A test has its result.
    pub(super) fn finished(
        suite: &SuiteOutline,
        result: &TestFinished,
        config: &OutputConfig,
    ) -> Self {
        let test = &*result.test.name;
        let mut name = name(suite, test);
        if result.attempt.number > 1 {
            name = format!("{name}#{}", result.attempt.number);
        }
        let shown = result.shown(config);
        let (event, failure) = match &result.outcome {
            TestOutcome::Ignored => return Self::plain("ignored", name),
            TestOutcome::Passed => ("ok", None),
            TestOutcome::Failed(failure) => ("failed", Some(failure)),
        };
        let stdout = result.output.as_deref().map(|output| said(output, test));
        let ran_too_long = matches!(failure, Some(Failure::Timeout { .. }));
        let by_itself = matches!(failure, None | Some(Failure::Exit(_)));
        Self {
            exec_time: Some(result.duration.as_secs_f64()),
            reason: ran_too_long.then_some("time limit exceeded"),
            message: failure.filter(|_| !by_itself).map(ToString::to_string),
            stdout: stdout.filter(|_| shown != ShowOutput::Never),
            ..Self::plain(event, name)
        }
    }
}

fn name(suite: &SuiteOutline, test: &str) -> String {
    format!("{}::{}${test}", suite.package, suite.target)
}

/// What a test said itself. Its two streams are one, the first.
fn said(output: &Captured, test: &str) -> String {
    own_output(&text(&output.stdout), test).to_owned() + &text(&output.stderr)
}

fn text(stream: &Stream) -> String {
    let whole = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match stream.omitted {
        // A character may lie across the border.
        0 => whole(&[&stream.head[..], &stream.tail[..]].concat()),
        omitted => {
            let (head, tail) = (whole(&stream.head), whole(&stream.tail));
            format!("{head}\n[{omitted} bytes left out]\n{tail}")
        }
    }
}
