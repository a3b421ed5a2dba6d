//! The objects of a run.

use camino::Utf8Path;
use camino::Utf8PathBuf;
use serde::Serialize;

use stt_core::id::RunId;
use stt_core::id::TestId;
use stt_core::outcome::RunOutcome;
use stt_core::outcome::Unfinished;
use stt_core::report::Counts;
use stt_core::report::Event;
use stt_core::report::FamilyUse;
use stt_core::report::GuardNotice;
use stt_core::report::Progress;
use stt_core::report::Reaped;
use stt_core::report::StopReport;
use stt_core::report::Summary;
use stt_core::report::Waiting;
use stt_core::report::WaitingNext;
use stt_core::units::Bytes;
use stt_core::units::Percent;
use stt_core::units::Threshold;

use crate::render::json::result::FinishedMessage;
use crate::render::json::result::OutcomeMessage;
use crate::render::json::result::ProcessMessage;
use crate::render::json::result::ThingMessage;
use crate::render::json::scripts::ScriptFinishedMessage;
use crate::render::json::scripts::ScriptMessage;
use crate::render::json::scripts::ScriptSlowMessage;
use crate::render::options::RenderOptions;

/// The number of this format.
const FORMAT: u32 = 1;

/// The object of an event; `None` when it isn't shown.
pub(super) fn message<'a>(
    event: &'a Event,
    options: &RenderOptions,
) -> Option<impl Serialize + use<'a>> {
    Message::of(event, options)
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Message<'a> {
    RunStarted {
        format: u32,
        run: &'a RunId,
        total: usize,
        kept: usize,
        binaries: usize,
        threads: usize,
        counts: CountsMessage,
    },
    Mechanism {
        mechanism: &'a str,
    },
    ScriptStarted {
        script: ScriptMessage<'a>,
    },
    ScriptSlow(ScriptSlowMessage<'a>),
    ScriptFinished(Box<ScriptFinishedMessage<'a>>),
    TestStarted {
        test: &'a TestId,
    },
    PortTaken {
        test: &'a TestId,
        port: u16,
        holder: &'a str,
    },
    TestSlow {
        test: &'a TestId,
        elapsed: f64,
        ending: bool,
    },
    TestFinished(Box<FinishedMessage<'a>>),
    TestRetried {
        #[serde(flatten)]
        tried: Box<FinishedMessage<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        delay: Option<f64>,
    },
    TestUnfinished {
        test: &'a TestId,
        why: Unfinished,
        elapsed: f64,
    },
    Guard(GuardMessage<'a>),
    Reaped(ReapedMessage<'a>),
    Warning {
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<&'a str>,
    },
    Waiting(WaitingMessage<'a>),
    Progress(Box<ProgressMessage<'a>>),
    RunFinished(Box<SummaryMessage<'a>>),
}

impl<'a> Message<'a> {
    fn of(event: &'a Event, options: &RenderOptions) -> Option<Self> {
        Some(match event {
            Event::RunStarted {
                run,
                total,
                kept,
                binaries,
                threads,
                counts,
            } => Self::RunStarted {
                format: FORMAT,
                run,
                total: *total,
                kept: *kept,
                binaries: *binaries,
                threads: *threads,
                counts: counts.into(),
            },
            Event::Mechanism(mechanism) if options.verbose => Self::Mechanism { mechanism },
            Event::ScriptStarted(script) => Self::ScriptStarted {
                script: script.into(),
            },
            Event::ScriptSlow {
                script,
                elapsed,
                ending,
            } => Self::ScriptSlow(ScriptSlowMessage::of(script, *elapsed, *ending)),
            Event::ScriptFinished(end) => Self::ScriptFinished(Box::new(end.as_ref().into())),
            Event::TestStarted { test } => Self::TestStarted { test },
            Event::PortTaken { test, port, holder } => Self::PortTaken {
                test,
                port: *port,
                holder,
            },
            Event::TestSlow {
                test,
                elapsed,
                ending,
            } => Self::TestSlow {
                test,
                elapsed: elapsed.as_secs_f64(),
                ending: *ending,
            },
            Event::TestFinished(result) => {
                Self::TestFinished(Box::new(FinishedMessage::of(result, options)))
            }
            Event::TestRetried { tried, delay } => Self::TestRetried {
                tried: Box::new(FinishedMessage::of(tried, options)),
                delay: delay.map(|delay| delay.as_secs_f64()),
            },
            Event::TestUnfinished { test, why, elapsed } => Self::TestUnfinished {
                test,
                why: *why,
                elapsed: elapsed.as_secs_f64(),
            },
            Event::Guard(notice) => Self::Guard(notice.into()),
            Event::Waiting(waiting) => Self::Waiting(waiting.as_ref().into()),
            Event::Reaped(reaped) => Self::Reaped(reaped.as_ref().into()),
            Event::Warning(warning) => Self::Warning {
                message: &warning.message,
                hint: warning.hint.as_deref(),
            },
            Event::Progress(progress) if options.verbose => {
                Self::Progress(Box::new(progress.as_ref().into()))
            }
            Event::Mechanism(_) | Event::Progress(_) => return None,
            Event::RunFinished(summary) => Self::RunFinished(Box::new(summary.as_ref().into())),
        })
    }
}

#[derive(Serialize)]
pub(super) struct CountsMessage {
    passed: usize,
    failed: usize,
    ignored: usize,
    leaky: usize,
    slow: usize,
    flaky: usize,
}

impl From<&Counts> for CountsMessage {
    fn from(counts: &Counts) -> Self {
        Self {
            passed: counts.passed,
            failed: counts.failed,
            ignored: counts.ignored,
            leaky: counts.leaky,
            slow: counts.slow,
            flaky: counts.flaky,
        }
    }
}

#[derive(Serialize)]
struct GuardMessage<'a> {
    action: &'static str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tests: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<&'a TestId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Bytes>,
}

impl<'a> From<&'a GuardNotice> for GuardMessage<'a> {
    fn from(notice: &'a GuardNotice) -> Self {
        let plain = |action, reason: &'a str| Self {
            action,
            reason,
            tests: None,
            test: None,
            memory: None,
        };
        match notice {
            GuardNotice::Hold { reason } => plain("hold", reason),
            GuardNotice::Release { reason } => plain("release", reason),
            GuardNotice::Stop { reason } => plain("stop", reason),
            GuardNotice::Allowed { tests, reason } => Self {
                tests: Some(*tests),
                ..plain("allowed", reason)
            },
            GuardNotice::Shared { tests, reason } => Self {
                tests: Some(*tests),
                ..plain("shared", reason)
            },
            GuardNotice::Shed {
                test,
                memory,
                reason,
            } => Self {
                test: Some(test),
                memory: *memory,
                ..plain("shed", reason)
            },
        }
    }
}

#[derive(Serialize)]
struct ReapedMessage<'a> {
    run: &'a RunId,
    workspace: &'a Utf8Path,
    ended: Vec<ProcessMessage<'a>>,
    left: Vec<ProcessMessage<'a>>,
    more: usize,
    directories: &'a [Utf8PathBuf],
    containers: Vec<ThingMessage<'a>>,
}

impl<'a> From<&'a Reaped> for ReapedMessage<'a> {
    fn from(reaped: &'a Reaped) -> Self {
        Self {
            run: &reaped.run,
            workspace: &reaped.workspace,
            ended: reaped.ended.iter().map(ProcessMessage::from).collect(),
            left: reaped.left.iter().map(ProcessMessage::from).collect(),
            more: reaped.more,
            directories: &reaped.directories,
            containers: reaped.containers.iter().map(ThingMessage::from).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct WaitingMessage<'a> {
    next: &'static str,
    reading: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'a str>,
    stable: f64,
    waited: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    go_on_in: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gives_up_in: Option<f64>,
    restart: u32,
    max: u32,
}

impl<'a> From<&'a Waiting> for WaitingMessage<'a> {
    fn from(waiting: &'a Waiting) -> Self {
        let (next, go_on_in, gives_up_in) = match waiting.next {
            WaitingNext::Look {
                go_on_in,
                gives_up_in,
            } => ("look", go_on_in, Some(gives_up_in)),
            WaitingNext::GoOn => ("go-on", None, None),
            WaitingNext::GiveUp => ("give-up", None, None),
        };
        Self {
            next,
            reading: &waiting.reading,
            line: waiting.line.as_deref(),
            stable: waiting.stable.as_secs_f64(),
            waited: waiting.waited.as_secs_f64(),
            go_on_in: go_on_in.map(|time| time.as_secs_f64()),
            gives_up_in: gives_up_in.map(|time| time.as_secs_f64()),
            restart: waiting.restart,
            max: waiting.max,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ProgressMessage<'a> {
    elapsed: f64,
    counts: CountsMessage,
    total: usize,
    running: Vec<RunningMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<ScriptMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family_memory: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<FamilyMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_limit: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_threshold: Option<f64>,
    allowed: usize,
    held: bool,
}

#[derive(Serialize)]
struct FamilyMessage {
    processes: u32,
    threads: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    descriptors: Option<u64>,
    cpu: f64,
    #[serde(rename = "in-containers", skip_serializing_if = "Option::is_none")]
    in_containers: Option<Bytes>,
}

impl From<FamilyUse> for FamilyMessage {
    fn from(family: FamilyUse) -> Self {
        Self {
            processes: family.processes,
            threads: family.threads,
            descriptors: family.descriptors,
            cpu: family.cpu.as_secs_f64(),
            in_containers: Some(family.in_containers).filter(|&memory| memory > Bytes(0)),
        }
    }
}

#[derive(Serialize)]
struct RunningMessage<'a> {
    test: &'a TestId,
    elapsed: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Bytes>,
}

impl<'a> From<&'a Progress> for ProgressMessage<'a> {
    fn from(progress: &'a Progress) -> Self {
        let (share, limit) = match progress.memory_threshold {
            Some(Threshold::Machine(share)) => (Some(share), None),
            Some(Threshold::Run(limit)) => (None, Some(limit)),
            None => (None, None),
        };
        let running = progress.running.iter().map(|running| RunningMessage {
            test: &running.test,
            elapsed: running.elapsed.as_secs_f64(),
            memory: running.memory,
        });
        Self {
            elapsed: progress.elapsed.as_secs_f64(),
            counts: (&progress.counts).into(),
            total: progress.total,
            running: running.collect(),
            script: progress.script.as_ref().map(|(script, _)| script.into()),
            memory: progress.memory.map(percent),
            family_memory: progress.family_memory,
            family: progress.family.map(FamilyMessage::from),
            memory_threshold: share.map(percent),
            memory_limit: limit,
            cpu: progress.cpu.map(percent),
            cpu_threshold: progress.cpu_threshold.map(percent),
            allowed: progress.allowed,
            held: progress.held,
        }
    }
}

fn percent(share: Percent) -> f64 {
    f64::from(share.0) / 10.0
}

#[derive(Serialize)]
struct SummaryMessage<'a> {
    run: &'a RunId,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    counts: CountsMessage,
    total: usize,
    kept: usize,
    outstanding: usize,
    elapsed: f64,
    failed: Vec<FailedMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<&'a Utf8Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<StopMessage<'a>>,
    swept: Vec<ProcessMessage<'a>>,
    #[serde(rename = "swept-containers")]
    swept_containers: Vec<ThingMessage<'a>>,
    cancelled: bool,
}

#[derive(Serialize)]
struct FailedMessage<'a> {
    test: &'a TestId,
    #[serde(flatten)]
    outcome: OutcomeMessage<'a>,
}

impl<'a> From<&'a Summary> for SummaryMessage<'a> {
    fn from(summary: &'a Summary) -> Self {
        let (outcome, signal) = match summary.outcome {
            RunOutcome::Passed => ("passed", None),
            RunOutcome::NoTests => ("no-tests", None),
            RunOutcome::Failed => ("failed", None),
            RunOutcome::ScriptFailed => ("script-failed", None),
            RunOutcome::Stopped => ("stopped", None),
            RunOutcome::Interrupted(signal) => ("interrupted", Some(signal)),
        };
        let failed = summary.failed.iter().map(|(test, outcome)| FailedMessage {
            test,
            outcome: outcome.into(),
        });
        Self {
            run: &summary.run,
            outcome,
            signal,
            counts: (&summary.counts).into(),
            total: summary.total,
            kept: summary.kept,
            outstanding: summary.outstanding,
            elapsed: summary.elapsed.as_secs_f64(),
            failed: failed.collect(),
            checkpoint: summary.checkpoint.as_deref(),
            stop: summary.stop.as_ref().map(StopMessage::from),
            swept: summary.swept.iter().map(ProcessMessage::from).collect(),
            swept_containers: summary
                .swept_containers
                .iter()
                .map(ThingMessage::from)
                .collect(),
            cancelled: summary.cancelled,
        }
    }
}

#[derive(Serialize)]
struct StopMessage<'a> {
    reason: &'a str,
    largest: Vec<LargeMessage<'a>>,
    ended: Vec<&'a TestId>,
    took: f64,
}

#[derive(Serialize)]
struct LargeMessage<'a> {
    test: &'a TestId,
    memory: Bytes,
}

impl<'a> From<&'a StopReport> for StopMessage<'a> {
    fn from(stop: &'a StopReport) -> Self {
        let largest = stop.largest.iter().map(|(test, memory)| LargeMessage {
            test,
            memory: *memory,
        });
        Self {
            reason: &stop.reason,
            largest: largest.collect(),
            ended: stop.ended.iter().collect(),
            took: stop.took.as_secs_f64(),
        }
    }
}
