//! Scripted runs for tests, and a screen that keeps what it is told.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use stt_core::config::OutputConfig;
use stt_core::config::ShowOutput;
use stt_core::config::StatusLevel;
use stt_core::id::BinaryId;
use stt_core::id::RunId;
use stt_core::id::TestId;
use stt_core::limits::Resources;
use stt_core::outcome::Failure;
use stt_core::outcome::RunOutcome;
use stt_core::outcome::TestOutcome;
use stt_core::outcome::Unfinished;
use stt_core::report::Captured;
use stt_core::report::Counts;
use stt_core::report::Event;
use stt_core::report::FamilyUse;
use stt_core::report::GuardNotice;
use stt_core::report::Progress;
use stt_core::report::Running;
use stt_core::report::StopReport;
use stt_core::report::Stream;
use stt_core::report::Summary;
use stt_core::report::TestFinished;
use stt_core::report::Warning;
use stt_core::retry::Attempt;
use stt_core::units::Bytes;
use stt_core::units::Percent;
use stt_core::units::Threshold;

use crate::cli::MessageFormat;
use crate::cli::ShowProgress;
use crate::render::options::RenderOptions;
use crate::render::screen::Screen;
use crate::render::screen::TerminalSize;
use crate::render::screen::renderer;

/// A screen that keeps what is written to it.
#[derive(Clone)]
pub(super) struct Kept {
    written: Arc<Mutex<Written>>,
    size: TerminalSize,
}

#[derive(Default)]
struct Written {
    stdout: Vec<String>,
    stderr: Vec<String>,
}

impl Kept {
    /// Nothing written yet.
    pub(super) fn new(columns: u16, rows: u16) -> Self {
        Self {
            written: Arc::default(),
            size: TerminalSize { columns, rows },
        }
    }

    /// Everything on standard output.
    pub(super) fn stdout(&self) -> String {
        self.written.lock().unwrap().stdout.concat()
    }

    /// Everything on standard error.
    pub(super) fn stderr(&self) -> String {
        self.written.lock().unwrap().stderr.concat()
    }

    /// How often something was written.
    pub(super) fn writes(&self) -> usize {
        let written = self.written.lock().unwrap();
        written.stdout.len() + written.stderr.len()
    }
}

impl Screen for Kept {
    fn stdout(&mut self, text: &[u8]) -> io::Result<()> {
        let text = String::from_utf8(text.to_vec()).expect("only text is written");
        self.written.lock().unwrap().stdout.push(text);
        Ok(())
    }

    fn stderr(&mut self, text: &[u8]) -> io::Result<()> {
        let text = String::from_utf8(text.to_vec()).expect("only text is written");
        self.written.lock().unwrap().stderr.push(text);
        Ok(())
    }

    fn size(&self) -> Option<TerminalSize> {
        Some(self.size)
    }
}

/// A test by its binary and its name.
pub(super) fn test(binary: &str, name: &str) -> TestId {
    TestId::new(BinaryId::new(binary), name)
}

/// What a run on a pipe, without any setting, is shown with.
pub(super) fn piped() -> RenderOptions {
    RenderOptions {
        message_format: MessageFormat::Human,
        suites: Arc::default(),
        show_progress: ShowProgress::Auto,
        colour: false,
        terminal: false,
        dumb: false,
        ci: false,
        verbose: false,
        output: OutputConfig {
            status_level: StatusLevel::Pass,
            final_status_level: StatusLevel::Fail,
            success_output: ShowOutput::Never,
            failure_output: ShowOutput::Immediate,
            keep: Bytes::mib(1),
            spill: Bytes::mib(100),
        },
        resume_command: "cargo stt --resume".to_owned(),
    }
}

/// Renders the script, with a flush after each event, as when they come slowly.
pub(super) fn show(options: RenderOptions, script: &[Event], screen: &Kept) {
    let mut renderer = renderer(options, screen.clone());
    for event in script {
        renderer.event(event);
        renderer.flush().unwrap();
    }
    renderer.finish().unwrap();
}

/// A run as it happens: counts are kept as the engine keeps them.
pub(super) struct Script {
    pub(super) events: Vec<Event>,
    counts: Counts,
    total: usize,
    kept: usize,
}

impl Script {
    pub(super) fn new(total: usize, kept: usize, counts: Counts) -> Self {
        let started = Event::RunStarted {
            run: RunId::from_random([7; 16]),
            total,
            kept,
            binaries: 2,
            threads: 2,
            counts,
        };
        Self {
            events: vec![started],
            counts,
            total,
            kept,
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(super) fn slow(&mut self, test: &TestId, seconds: u64, ending: bool) {
        self.event(Event::TestSlow {
            test: test.clone(),
            elapsed: Duration::from_secs(seconds),
            ending,
        });
    }

    pub(super) fn finished(
        &mut self,
        test: &TestId,
        millis: u64,
        outcome: TestOutcome,
        more: impl FnOnce(&mut TestFinished),
    ) {
        match outcome {
            TestOutcome::Passed => self.counts.passed += 1,
            TestOutcome::Failed(_) => self.counts.failed += 1,
            TestOutcome::Ignored => {}
        }
        let mut result = TestFinished {
            test: test.clone(),
            outcome,
            attempt: Attempt::ONLY,
            duration: Duration::from_millis(millis),
            resources: Resources {
                cpu: Duration::from_millis(millis / 2),
                peak_memory: Bytes::mib(5),
                ..Resources::default()
            },
            output: None,
            own_shown: None,
            leak: None,
            counts: self.counts,
            total: self.total,
        };
        more(&mut result);
        self.event(Event::TestFinished(Box::new(result)));
    }

    pub(super) fn passed(&mut self, name: &str) {
        self.finished(&test("app", name), 12, TestOutcome::Passed, |_| {});
    }

    pub(super) fn unfinished(&mut self, name: &str, why: Unfinished) {
        self.event(Event::TestUnfinished {
            test: test("app", name),
            why,
            elapsed: Duration::from_millis(1500),
        });
    }

    pub(super) fn progress(&mut self, seconds: u64, running: &[(&str, u64)]) {
        let running = running.iter().map(|(name, elapsed)| Running {
            test: test("app", name),
            elapsed: Duration::from_secs(*elapsed),
            memory: Some(Bytes::mib(60)),
        });
        self.event(Event::Progress(Box::new(Progress {
            elapsed: Duration::from_secs(seconds),
            counts: self.counts,
            total: self.total,
            awaited: Vec::new(),
            script: None,
            running: running.collect(),
            memory: Some(Percent(437)),
            family_memory: Some(Bytes::mib(120)),
            family: Some(FamilyUse {
                processes: 3,
                threads: 7,
                descriptors: Some(21),
                cpu: Duration::from_millis(1500),
                in_containers: Bytes::mib(0),
            }),
            memory_threshold: Some(Threshold::Machine(Percent::whole(80))),
            cpu: Some(Percent::whole(97)),
            cpu_threshold: Some(Percent::whole(80)),
            allowed: 2,
            held: false,
        })));
    }

    pub(super) fn end(&mut self, outcome: RunOutcome, more: impl FnOnce(&mut Summary)) {
        let mut summary = Summary {
            run: RunId::from_random([7; 16]),
            outcome,
            counts: self.counts,
            total: self.total,
            kept: self.kept,
            outstanding: self.total - self.counts.finished(),
            elapsed: Duration::from_millis(12_345),
            failed: Vec::new(),
            checkpoint: Some("target/stt-checkpoint.json".into()),
            stop: None,
            swept: Vec::new(),
            swept_containers: Vec::new(),
            cancelled: false,
        };
        more(&mut summary);
        self.event(Event::RunFinished(Box::new(summary)));
    }
}

/// Output in two streams.
pub(super) fn printed(stdout: &str, stderr: &str) -> Arc<Captured> {
    let stream = |text: &str| Stream {
        head: text.as_bytes().to_vec(),
        ..Stream::default()
    };
    Arc::new(Captured {
        stdout: stream(stdout),
        stderr: stream(stderr),
    })
}

/// A failed assertion.
pub(super) fn fail() -> TestOutcome {
    TestOutcome::Failed(Failure::Exit(101))
}

/// A run that uses every word of the guard, and is stopped by it.
pub(super) fn stopped() -> Script {
    let mut script = Script::new(5, 0, Counts::default());
    script.passed("a");
    script.event(Event::Guard(GuardNotice::Hold {
        reason: "memory 71 % of the machine, hold at 70 %".to_owned(),
    }));
    script.event(Event::Guard(GuardNotice::Release {
        reason: "memory 64 % of the machine".to_owned(),
    }));
    script.event(Event::Guard(GuardNotice::Allowed {
        tests: 1,
        reason: "CPU 97 %, and tasks wait for it".to_owned(),
    }));
    script.event(Event::Guard(GuardNotice::Shared {
        tests: 2,
        reason: "3 runs share the machine".to_owned(),
    }));
    script.event(Event::Guard(GuardNotice::Shed {
        test: test("app", "m::big"),
        memory: Some(Bytes::mib(3072)),
        reason: "memory 82 % of the machine, threshold 80 %".to_owned(),
    }));
    script.unfinished("m::big", Unfinished::Shed);
    script.event(Event::Warning(Warning {
        message: "the checkpoint could not be synced:\ndisk quota".to_owned(),
        hint: Some("free some space".to_owned()),
    }));
    let reason = "memory 85 % of the machine, threshold 80 %";
    script.event(Event::Guard(GuardNotice::Stop {
        reason: reason.to_owned(),
    }));
    script.unfinished("m::bigger", Unfinished::Stopped);
    script.end(RunOutcome::Stopped, |summary| {
        summary.stop = Some(StopReport {
            reason: reason.to_owned(),
            largest: vec![(test("app", "m::bigger"), Bytes::mib(4096))],
            ended: vec![test("app", "m::bigger")],
            took: Duration::from_millis(420),
            timed_out: false,
        });
    });
    script
}
