//! Not tests of what is right, but looks at it: scripted runs on the real terminal, and what a result
//! costs. They are run by hand:
//! `cargo test -p cargo-stt play:: -- --ignored --nocapture --test-threads 1`

use std::io;
use std::io::Write as _;
use std::sync::mpsc;
use std::time::Duration;

use stt_core::clock::Clock;
use stt_core::outcome::Failure;
use stt_core::outcome::RunOutcome;
use stt_core::outcome::TestOutcome;
use stt_core::report::Counts;
use stt_core::report::Event;

use crate::render::options::RenderOptions;
use crate::render::screen::Screen;
use crate::render::screen::TerminalSize;
use crate::render::screen::renderer;
use crate::render::script::Kept;
use crate::render::script::Script;
use crate::render::script::piped;
use crate::render::script::printed;
use crate::render::script::stopped;
use crate::render::script::test;
use crate::render::thread::Drained;
use crate::render::thread::RenderThread;

/// The terminal that the tests run on.
#[derive(Clone)]
struct Real;

impl Screen for Real {
    fn stdout(&mut self, text: &[u8]) -> io::Result<()> {
        io::stdout().write_all(text)
    }

    fn stderr(&mut self, text: &[u8]) -> io::Result<()> {
        io::stderr().write_all(text)
    }

    fn size(&self) -> Option<TerminalSize> {
        let (width, height) = terminal_size::terminal_size_of(io::stderr())?;
        Some(TerminalSize {
            columns: width.0,
            rows: height.0,
        })
    }
}

fn watched() -> RenderOptions {
    RenderOptions {
        terminal: true,
        colour: true,
        ..piped()
    }
}

/// Sends the events so far, then lets some time pass.
fn play(thread: &RenderThread, script: &mut Script, millis: u64) {
    for event in script.events.drain(..) {
        thread.send(event);
    }
    let (_open, never) = mpsc::channel::<()>();
    let passed = never.recv_timeout(Duration::from_millis(millis));
    assert_eq!(passed, Err(mpsc::RecvTimeoutError::Timeout));
}

fn failing(script: &mut Script) {
    let panicked = "\nthread 'main' panicked at src/lib.rs:7:\n\u{1b}[31massertion failed\u{1b}[0m: left == right\n";
    let outcome = TestOutcome::Failed(Failure::Exit(101));
    script.finished(&test("app::api", "money::adds_up"), 31, outcome, |result| {
        result.output = Some(printed("\nrunning 1 test\n", panicked));
    });
}

#[test]
#[ignore = "plays on the terminal, for eyes"]
fn a_run_to_its_end() {
    let thread = RenderThread::start(renderer(watched(), Real)).unwrap();
    let mut script = Script::new(
        60,
        0,
        Counts {
            ignored: 4,
            ..Counts::default()
        },
    );
    for step in 0..55_u64 {
        script.passed(&format!("module::case_{step}"));
        if step == 20 {
            failing(&mut script);
        }
        if step == 30 {
            script.slow(&test("app", "import::日本語の大きなファイル"), 60, false);
        }
        let name = format!("module::sub::a_test_with_a_rather_long_name_number_{step}");
        let running = [
            ("import::日本語の大きなファイル", 30 + step),
            (name.as_str(), 1),
        ];
        script.progress(30 + step, &running);
        play(&thread, &mut script, 100);
    }
    script.end(RunOutcome::Failed, |summary| {
        let outcome = TestOutcome::Failed(Failure::Exit(101));
        summary.failed = vec![(test("app::api", "money::adds_up"), outcome)];
    });
    play(&thread, &mut script, 0);
    assert!(matches!(thread.finish(None, || false), Drained::All));
}

#[test]
#[ignore = "plays on the terminal, for eyes"]
fn a_run_that_is_stopped() {
    let thread = RenderThread::start(renderer(watched(), Real)).unwrap();
    for event in stopped().events {
        let mut script = Script::new(5, 0, Counts::default());
        script.events = vec![event];
        script.progress(1, &[("m::big", 1), ("m::bigger", 1)]);
        if matches!(script.events[0], Event::RunFinished(_)) {
            script.events.pop();
        }
        play(&thread, &mut script, 300);
    }
    assert!(matches!(thread.finish(None, || false), Drained::All));
}

#[test]
#[ignore = "a measurement: run it alone, and in a release build"]
fn what_a_result_costs() {
    const RESULTS: u32 = 100_000;
    for (name, terminal) in [("pipe", false), ("terminal", true)] {
        let mut script = Script::new(RESULTS as usize, 0, Counts::default());
        script.progress(1, &[("a", 1), ("b", 1)]);
        for number in 0..RESULTS {
            script.passed(&format!("module::some_test_{number}"));
        }
        let options = RenderOptions {
            terminal,
            colour: terminal,
            ..piped()
        };
        let mut renderer = renderer(options, Kept::new(120, 40));
        let clock = Clock::start();
        // 20 ms of a run of 0.75 ms a test on two cores: fifty results a write.
        for batch in script.events.chunks(50) {
            for event in batch {
                renderer.event(event);
            }
            renderer.flush().unwrap();
        }
        renderer.finish().unwrap();
        let cost = clock.now() / RESULTS;
        io::stderr()
            .write_all(format!("{name}: {cost:?} a result\n").as_bytes())
            .unwrap();
        assert!(cost < Duration::from_micros(15), "{name}: {cost:?}");
    }
}

#[test]
#[ignore = "a measurement: run it alone, and in a release build"]
fn what_sending_costs() {
    const RESULTS: u32 = 100_000;
    let mut script = Script::new(RESULTS as usize, 0, Counts::default());
    for number in 0..RESULTS {
        script.passed(&format!("module::some_test_{number}"));
    }
    let thread = RenderThread::start(renderer(piped(), Kept::new(80, 24))).unwrap();
    let clock = Clock::start();
    for event in script.events {
        thread.send(event);
    }
    let cost = clock.now() / RESULTS;
    assert!(matches!(thread.finish(None, || false), Drained::All));
    io::stderr()
        .write_all(format!("sending: {cost:?} an event\n").as_bytes())
        .unwrap();
    assert!(cost < Duration::from_micros(5), "{cost:?}");
}
