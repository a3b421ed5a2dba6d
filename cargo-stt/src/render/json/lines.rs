//! Tests over whole runs: a script of events, and all that programs see of it.

use std::sync::Arc;
use std::time::Duration;

use stt_core::config::ShowOutput;
use stt_core::limits::Exceeded;
use stt_core::limits::LimitHit;
use stt_core::outcome::Failure;
use stt_core::outcome::RunOutcome;
use stt_core::outcome::TestOutcome;
use stt_core::port::Holder;
use stt_core::port::Port;
use stt_core::port::Protocol;
use stt_core::port::StillHeld;
use stt_core::report::Captured;
use stt_core::report::Counts;
use stt_core::report::Event;
use stt_core::report::Leak;
use stt_core::report::LeakedProcess;
use stt_core::report::Stream;
use stt_core::units::Bytes;

use crate::cli::MessageFormat;
use crate::render::options::RenderOptions;
use crate::render::script::Kept;
use crate::render::script::Script;
use crate::render::script::fail;
use crate::render::script::piped;
use crate::render::script::show;
use crate::render::script::stopped;
use crate::render::script::test;

fn json(options: RenderOptions, script: &[Event]) -> Vec<String> {
    let options = RenderOptions {
        message_format: MessageFormat::Json,
        ..options
    };
    let screen = Kept::new(80, 24);
    show(options, script, &screen);
    assert_eq!(screen.stderr(), "");
    let text = screen.stdout();
    assert!(text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

fn port() -> Port {
    Port {
        protocol: Protocol::Udp,
        address: "::1".parse().unwrap(),
        number: 53,
    }
}

#[test]
fn programs_get_one_object_a_line() {
    let mut script = Script::new(4, 0, Counts::default());
    script.event(Event::TestStarted {
        test: test("app", "a"),
    });
    script.passed("a");
    script.slow(&test("app", "b"), 60, true);
    script.finished(&test("app", "b\n\x1b"), 3, fail(), |result| {
        result.output = Some(Arc::new(Captured {
            stdout: Stream {
                head: b"he\xff".to_vec(),
                omitted: 7,
                tail: b"il".to_vec(),
                spilled: Some("out.txt".into()),
            },
            stderr: Stream {
                head: b"gr\xc3".to_vec(),
                tail: b"\xb6n".to_vec(),
                ..Stream::default()
            },
        }));
        result.leak = Some(Leak {
            containers: Vec::new(),
            output_open: true,
            processes: vec![LeakedProcess {
                pid: 42,
                command: "sleep 9".to_owned(),
                ports: vec![port()],
                still_held: vec![StillHeld {
                    port: port(),
                    by: vec![Holder {
                        pid: 43,
                        command: "nc".to_owned(),
                    }],
                }],
            }],
        });
    });
    script.progress(1, &[("c", 1)]);
    let expected = [
        r#"{"type":"run-started","format":1,"run":"07070707-0707-4707-8707-070707070707","total":4,"kept":0,"binaries":2,"threads":2,"counts":{"passed":0,"failed":0,"ignored":0,"leaky":0,"slow":0,"flaky":0}}"#,
        r#"{"type":"test-started","test":{"binary":"app","name":"a"}}"#,
        r#"{"type":"test-finished","test":{"binary":"app","name":"a"},"outcome":"passed","duration":0.012,"cpu":0.006,"peak-memory":5242880,"counts":{"passed":1,"failed":0,"ignored":0,"leaky":0,"slow":0,"flaky":0},"total":4}"#,
        r#"{"type":"test-slow","test":{"binary":"app","name":"b"},"elapsed":60.0,"ending":true}"#,
        r#"{"type":"test-finished","test":{"binary":"app","name":"b\n\u001b"},"outcome":"failed","failure":{"kind":"exit","code":101,"message":"exited with code 101"},"duration":0.003,"cpu":0.001,"peak-memory":5242880,"leak":{"output-open":true,"processes":[{"pid":42,"command":"sleep 9","ports":[{"protocol":"udp","address":"::1","port":53}],"still-held":[{"protocol":"udp","address":"::1","port":53,"by":[{"pid":43,"command":"nc"}]}]}],"containers":[]},"output":{"stdout":{"text":"he�","omitted":7,"tail":"il","spilled":"out.txt"},"stderr":{"text":"grön","omitted":0}},"counts":{"passed":1,"failed":1,"ignored":0,"leaky":0,"slow":0,"flaky":0},"total":4}"#,
    ];
    assert_eq!(json(piped(), &script.events), expected);
    let verbose = RenderOptions {
        verbose: true,
        ..piped()
    };
    assert_eq!(
        json(verbose, &script.events).last().unwrap(),
        r#"{"type":"progress","elapsed":1.0,"counts":{"passed":1,"failed":1,"ignored":0,"leaky":0,"slow":0,"flaky":0},"total":4,"running":[{"test":{"binary":"app","name":"c"},"elapsed":1.0,"memory":62914560}],"memory":43.7,"family-memory":125829120,"family":{"processes":3,"threads":7,"descriptors":21,"cpu":1.5},"memory-threshold":80.0,"cpu":97.0,"cpu-threshold":80.0,"allowed":2,"held":false}"#
    );
    let mut silent = piped();
    silent.output.failure_output = ShowOutput::Never;
    assert!(!json(silent, &script.events).concat().contains("\"output\""));
}

#[test]
fn programs_see_what_the_guard_does_and_how_a_run_ends() {
    let lines = json(piped(), &stopped().events);
    let expected = [
        r#"{"type":"guard","action":"hold","reason":"memory 71 % of the machine, hold at 70 %"}"#,
        r#"{"type":"guard","action":"release","reason":"memory 64 % of the machine"}"#,
        r#"{"type":"guard","action":"allowed","reason":"CPU 97 %, and tasks wait for it","tests":1}"#,
        r#"{"type":"guard","action":"shared","reason":"3 runs share the machine","tests":2}"#,
        r#"{"type":"guard","action":"shed","reason":"memory 82 % of the machine, threshold 80 %","test":{"binary":"app","name":"m::big"},"memory":3221225472}"#,
        r#"{"type":"test-unfinished","test":{"binary":"app","name":"m::big"},"why":"shed","elapsed":1.5}"#,
        r#"{"type":"warning","message":"the checkpoint could not be synced:\ndisk quota","hint":"free some space"}"#,
        r#"{"type":"guard","action":"stop","reason":"memory 85 % of the machine, threshold 80 %"}"#,
        r#"{"type":"test-unfinished","test":{"binary":"app","name":"m::bigger"},"why":"stopped","elapsed":1.5}"#,
        r#"{"type":"run-finished","run":"07070707-0707-4707-8707-070707070707","outcome":"stopped","counts":{"passed":1,"failed":0,"ignored":0,"leaky":0,"slow":0,"flaky":0},"total":5,"kept":0,"outstanding":4,"elapsed":12.345,"failed":[],"checkpoint":"target/stt-checkpoint.json","stop":{"reason":"memory 85 % of the machine, threshold 80 %","largest":[{"test":{"binary":"app","name":"m::bigger"},"memory":4294967296}],"ended":[{"binary":"app","name":"m::bigger"}],"took":0.42},"swept":[],"swept-containers":[],"cancelled":false}"#,
    ];
    assert_eq!(lines[2..], expected);
}

#[test]
fn every_kind_of_failure_has_its_words_for_programs() {
    let reason = || "why".to_owned();
    for (failure, expected) in [
        (
            Failure::Signal(6),
            r#"{"kind":"signal","signal":6,"name":"SIGABRT","message":"ended by signal 6 (SIGABRT)"}"#,
        ),
        (
            Failure::Timeout {
                after: Duration::from_millis(1500),
            },
            r#"{"kind":"timeout","after":1.5,"message":"ran longer than 1.5 s"}"#,
        ),
        (
            Failure::Breach { reason: reason() },
            r#"{"kind":"breach","reason":"why","message":"breached again while it ran alone: why"}"#,
        ),
        (
            Failure::Limit(LimitHit {
                limits: "fast".to_owned(),
                exceeded: Exceeded::Processes { limit: 5, used: 6 },
                container: None,
            }),
            r#"{"kind":"limit","limits":"fast","exceeded":{"processes":{"limit":5,"used":6}},"message":"had 6 processes and threads, over its limit of 5 (limits `fast`)"}"#,
        ),
        (
            Failure::OutOfMemory {
                peak: Bytes::mib(900),
            },
            r#"{"kind":"out-of-memory","used":943718400,"message":"killed by the kernel because memory was short, used 900 MiB"}"#,
        ),
        (
            Failure::Leak,
            r#"{"kind":"leak","message":"left something behind"}"#,
        ),
        (
            Failure::Suspect { evidence: reason() },
            r#"{"kind":"suspect","evidence":"why","message":"not run a third time: why"}"#,
        ),
        (
            Failure::Start { reason: reason() },
            r#"{"kind":"start","reason":"why","message":"could not be started: why"}"#,
        ),
        (
            Failure::Output { reason: reason() },
            r#"{"kind":"output","reason":"why","message":"its output could not be read: why"}"#,
        ),
    ] {
        let mut script = Script::new(1, 0, Counts::default());
        let outcome = TestOutcome::Failed(failure);
        script.finished(&test("app", "a"), 1, outcome.clone(), |result| {
            result.resources.peak_memory = Bytes(0);
        });
        script.end(RunOutcome::Interrupted(15), |summary| {
            summary.failed = vec![(test("app", "a"), outcome)];
        });
        let lines = json(piped(), &script.events);
        assert!(
            lines[1].contains(&format!(
                r#""outcome":"failed","failure":{expected},"duration""#
            )),
            "{lines:?}"
        );
        assert!(!lines[1].contains("peak-memory"), "{lines:?}");
        assert!(
            lines[2].contains(r#""outcome":"interrupted","signal":15,"#),
            "{lines:?}"
        );
        assert!(lines[2].contains(&format!(r#"{{"test":{{"binary":"app","name":"a"}},"outcome":"failed","failure":{expected}}}"#)), "{lines:?}");
    }
}
