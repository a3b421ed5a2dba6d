//! The objects of a test's result.

use std::net::IpAddr;

use camino::Utf8Path;
use serde::Serialize;

use stt_core::config::ShowOutput;
use stt_core::container::Thing;
use stt_core::id::TestId;
use stt_core::limits::Exceeded;
use stt_core::outcome::Failure;
use stt_core::outcome::TestOutcome;
use stt_core::outcome::signal_name;
use stt_core::port::Port;
use stt_core::port::StillHeld;
use stt_core::report::Captured;
use stt_core::report::Leak;
use stt_core::report::LeakedProcess;
use stt_core::report::Stream;
use stt_core::report::TestFinished;
use stt_core::units::Bytes;

use crate::render::json::message::CountsMessage;
use crate::render::options::RenderOptions;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct FinishedMessage<'a> {
    test: &'a TestId,
    #[serde(flatten)]
    outcome: OutcomeMessage<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leak: Option<LeakMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<OutputMessage<'a>>,
    counts: CountsMessage,
    total: usize,
}

impl<'a> FinishedMessage<'a> {
    pub(super) fn of(result: &'a TestFinished, options: &RenderOptions) -> Self {
        let shown = result.shown(&options.output);
        let output = result
            .output
            .as_deref()
            .filter(|_| shown != ShowOutput::Never);
        let ran = result.outcome != TestOutcome::Ignored;
        Self {
            test: &result.test,
            outcome: (&result.outcome).into(),
            attempt: (ran && result.attempt.of > 1).then_some(result.attempt.number),
            attempts: (ran && result.attempt.of > 1).then_some(result.attempt.of),
            duration: ran.then_some(result.duration.as_secs_f64()),
            cpu: ran.then_some(result.resources.cpu.as_secs_f64()),
            // What was never started has used nothing that could be known.
            peak_memory: Some(result.resources.peak_memory).filter(|memory| *memory > Bytes(0)),
            processes: result.resources.processes,
            read: result.resources.read,
            written: result.resources.written,
            leak: result.leak.as_ref().map(LeakMessage::from),
            output: output.map(OutputMessage::from),
            counts: (&result.counts).into(),
            total: result.total,
        }
    }
}

#[derive(Serialize)]
pub(super) struct OutcomeMessage<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureMessage<'a>>,
}

impl<'a> From<&'a TestOutcome> for OutcomeMessage<'a> {
    fn from(outcome: &'a TestOutcome) -> Self {
        let (outcome, failure) = match outcome {
            TestOutcome::Passed => ("passed", None),
            TestOutcome::Ignored => ("ignored", None),
            TestOutcome::Failed(failure) => ("failed", Some(failure)),
        };
        Self {
            outcome,
            failure: failure.map(FailureMessage::from),
        }
    }
}

#[derive(Serialize)]
struct FailureMessage<'a> {
    #[serde(flatten)]
    kind: FailureKind<'a>,
    message: String,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum FailureKind<'a> {
    Exit {
        code: i32,
    },
    Signal {
        signal: i32,
        name: &'static str,
    },
    Timeout {
        after: f64,
    },
    Breach {
        reason: &'a str,
    },
    Limit {
        limits: &'a str,
        exceeded: &'a Exceeded,
    },
    OutOfMemory {
        used: Bytes,
    },
    Leak,
    Suspect {
        evidence: &'a str,
    },
    Start {
        reason: &'a str,
    },
    Output {
        reason: &'a str,
    },
}

impl<'a> From<&'a Failure> for FailureMessage<'a> {
    fn from(failure: &'a Failure) -> Self {
        let kind = match failure {
            Failure::Exit(code) => FailureKind::Exit { code: *code },
            Failure::Signal(signal) => FailureKind::Signal {
                signal: *signal,
                name: signal_name(*signal),
            },
            Failure::Timeout { after } => FailureKind::Timeout {
                after: after.as_secs_f64(),
            },
            Failure::Breach { reason } => FailureKind::Breach { reason },
            Failure::Limit(hit) => FailureKind::Limit {
                limits: &hit.limits,
                exceeded: &hit.exceeded,
            },
            Failure::OutOfMemory { peak } => FailureKind::OutOfMemory { used: *peak },
            Failure::Leak => FailureKind::Leak,
            Failure::Suspect { evidence } => FailureKind::Suspect { evidence },
            Failure::Start { reason } => FailureKind::Start { reason },
            Failure::Output { reason } => FailureKind::Output { reason },
        };
        Self {
            kind,
            message: failure.to_string(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct LeakMessage<'a> {
    output_open: bool,
    processes: Vec<ProcessMessage<'a>>,
    containers: Vec<ThingMessage<'a>>,
}

/// What was made with a container engine.
#[derive(Serialize)]
pub(super) struct ThingMessage<'a> {
    kind: &'static str,
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    image: &'a str,
}

impl<'a> From<&'a Thing> for ThingMessage<'a> {
    fn from(thing: &'a Thing) -> Self {
        Self {
            kind: thing.kind.name(),
            id: &thing.id,
            name: &thing.name,
            image: &thing.image,
        }
    }
}

impl<'a> From<&'a Leak> for LeakMessage<'a> {
    fn from(leak: &'a Leak) -> Self {
        Self {
            output_open: leak.output_open,
            processes: leak.processes.iter().map(ProcessMessage::from).collect(),
            containers: leak.containers.iter().map(ThingMessage::from).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ProcessMessage<'a> {
    pid: i32,
    command: &'a str,
    ports: Vec<PortMessage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    still_held: Vec<HeldMessage<'a>>,
}

#[derive(Serialize)]
struct PortMessage {
    protocol: &'static str,
    address: IpAddr,
    port: u16,
}

#[derive(Serialize)]
struct HeldMessage<'a> {
    #[serde(flatten)]
    port: PortMessage,
    by: Vec<HolderMessage<'a>>,
}

#[derive(Serialize)]
struct HolderMessage<'a> {
    pid: i32,
    command: &'a str,
}

impl<'a> From<&'a LeakedProcess> for ProcessMessage<'a> {
    fn from(process: &'a LeakedProcess) -> Self {
        Self {
            pid: process.pid,
            command: &process.command,
            ports: process.ports.iter().map(PortMessage::from).collect(),
            still_held: process.still_held.iter().map(HeldMessage::from).collect(),
        }
    }
}

impl From<&Port> for PortMessage {
    fn from(port: &Port) -> Self {
        Self {
            protocol: port.protocol.name(),
            address: port.address,
            port: port.number,
        }
    }
}

impl<'a> From<&'a StillHeld> for HeldMessage<'a> {
    fn from(held: &'a StillHeld) -> Self {
        let by = held.by.iter().map(|holder| HolderMessage {
            pid: holder.pid,
            command: &holder.command,
        });
        Self {
            port: (&held.port).into(),
            by: by.collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct OutputMessage<'a> {
    stdout: StreamMessage<'a>,
    stderr: StreamMessage<'a>,
}

impl<'a> From<&'a Captured> for OutputMessage<'a> {
    fn from(output: &'a Captured) -> Self {
        Self {
            stdout: (&output.stdout).into(),
            stderr: (&output.stderr).into(),
        }
    }
}

#[derive(Serialize)]
struct StreamMessage<'a> {
    text: String,
    omitted: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spilled: Option<&'a Utf8Path>,
}

impl<'a> From<&'a Stream> for StreamMessage<'a> {
    fn from(stream: &'a Stream) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (head, tail) = if stream.omitted == 0 {
            // One text, and a character may lie across the border of head and tail.
            (text(&[&stream.head[..], &stream.tail[..]].concat()), None)
        } else {
            (text(&stream.head), Some(text(&stream.tail)))
        };
        Self {
            text: head,
            omitted: stream.omitted,
            tail,
            spilled: stream.spilled.as_deref(),
        }
    }
}
