//! The line of one test, and what stands below it.
//!
//! The layout is nextest's, because people read it already: a status word in twelve columns, the
//! time, a counter, the binary, the name.

use std::fmt::Write as _;
use std::time::Duration;

use stt_core::config::StatusLevel;
use stt_core::container::Kind;
use stt_core::container::Thing;
use stt_core::id::TestId;
use stt_core::limits::Resources;
use stt_core::outcome::Failure;
use stt_core::outcome::TestOutcome;
use stt_core::outcome::Unfinished;
use stt_core::outcome::signal_name;
use stt_core::report::Leak;
use stt_core::report::LeakedProcess;
use stt_core::report::TestFinished;
use stt_core::retry::Attempt;
use stt_core::units::Bytes;
use stt_core::units::show_duration;

use crate::render::text::plain;
use crate::render::text::plain_lines;
use crate::render::theme::Painted;
use crate::render::theme::Theme;
use crate::render::theme::Tone;

/// Where everything after the status word begins.
pub(super) const INDENT: usize = 13;
/// What libtest exits with when a test failed: no news to anybody.
const LIBTEST_FAILED: i32 = 101;

/// How long something took, as a column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Time {
    /// So long.
    Took(Duration),
    /// So long until now.
    Over(Duration),
    /// Not known, or not begun.
    Unknown,
}

/// The column that counts the tests.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counter {
    /// This test is the so-manieth of so many.
    Of(usize, usize),
    /// Empty, as wide as a counter up to this number.
    Blank(usize),
    /// No such column.
    None,
}

/// Which readings of a finished test stand behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readings {
    /// None.
    None,
    /// Its memory.
    Memory,
    /// Its memory and its CPU time.
    All,
}

/// The line of one test.
pub(super) struct Line<'a> {
    /// The status word.
    pub(super) word: &'a str,
    /// What it means.
    pub(super) tone: Tone,
    /// The time column.
    pub(super) time: Time,
    /// The counter column.
    pub(super) counter: Counter,
    /// The test.
    pub(super) test: &'a TestId,
}

/// Adds a line up to the test's name, without its end.
pub(super) fn push_line(page: &mut String, theme: Theme, line: &Line<'_>) {
    let word = Painted(theme.word(line.tone), line.word);
    let _ = write!(page, "{word:>12} ");
    push_time(page, line.time);
    match line.counter {
        Counter::Of(at, of) => {
            let digits = digits(of);
            let _ = write!(page, " ({at:>digits$}/{of})");
        }
        Counter::Blank(of) => {
            let columns = 2 * digits(of) + 4;
            let _ = write!(page, "{:columns$}", "");
        }
        Counter::None => {}
    }
    page.push(' ');
    push_test(page, theme, line.test);
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn push_time(page: &mut String, time: Time) {
    let _ = match time {
        Time::Took(time) => write!(page, "[{:>8.3}s]", time.as_secs_f64()),
        Time::Over(time) => write!(page, "[>{:>7.3}s]", time.as_secs_f64()),
        Time::Unknown => write!(page, "[{:9}]", ""),
    };
}

/// Adds a test: its binary, its module path, and its own name, which is what people look for.
pub(super) fn push_test(page: &mut String, theme: Theme, test: &TestId) {
    let binary = plain(test.binary.as_str());
    let name = plain(&test.name);
    let (path, own) = split_name(&name);
    let _ = write!(page, "{} ", Painted(theme.binary(), binary));
    if !path.is_empty() {
        let _ = write!(page, "{}", Painted(theme.dim(), path));
    }
    let _ = write!(page, "{}", Painted(theme.strong(), own));
}

/// Splits a name behind its last `::`.
pub(super) fn split_name(name: &str) -> (&str, &str) {
    name.split_at(name.rfind("::").map_or(0, |at| at + 2))
}

/// Adds a remark at the end of a line.
pub(super) fn push_remark(page: &mut String, theme: Theme, remark: &str) {
    if !remark.is_empty() {
        let remark = Painted(theme.dim(), format_args!("({remark})"));
        let _ = write!(page, " {remark}");
    }
}

/// The status word of a result or of an attempt, in nextest's words where there was more than one.
fn word_of(result: &TestFinished) -> (String, Tone) {
    let Attempt { number, of } = result.attempt;
    match result.outcome {
        TestOutcome::Passed if number > 1 => (format!("FLAKY {number}/{of}"), Tone::Warn),
        TestOutcome::Failed(_) if of > 1 => {
            let (word, tone) = word(&result.outcome, result.leak.is_some());
            (format!("TRY {number} {word}"), tone)
        }
        TestOutcome::Passed | TestOutcome::Failed(_) | TestOutcome::Ignored => {
            word(&result.outcome, result.leak.is_some())
        }
    }
}

/// The status word of a result.
pub(super) fn word(outcome: &TestOutcome, leaky: bool) -> (String, Tone) {
    let (word, tone) = match outcome {
        TestOutcome::Passed if leaky => return ("LEAK".to_owned(), Tone::Warn),
        TestOutcome::Passed => ("PASS", Tone::Good),
        TestOutcome::Ignored => ("IGNORED", Tone::Idle),
        TestOutcome::Failed(failure) => match failure {
            Failure::Exit(_) if leaky => ("FAIL + LEAK", Tone::Bad),
            Failure::Exit(_) | Failure::Output { .. } => ("FAIL", Tone::Bad),
            Failure::Signal(signal) => match signal_name(*signal) {
                "unknown" => return (format!("SIGNAL {signal}"), Tone::Bad),
                name => (name, Tone::Bad),
            },
            Failure::Timeout { .. } => ("TIMEOUT", Tone::Bad),
            Failure::Breach { .. } => ("BREACH", Tone::Bad),
            Failure::Limit(_) => ("LIMIT", Tone::Bad),
            Failure::OutOfMemory { .. } => ("OOM", Tone::Bad),
            Failure::Leak => ("LEAK-FAIL", Tone::Bad),
            Failure::Suspect { .. } => ("SUSPECT", Tone::Bad),
            Failure::Start { .. } => ("NOT STARTED", Tone::Bad),
        },
    };
    (word.to_owned(), tone)
}

/// From which status level on a result is shown.
pub(super) fn level(outcome: &TestOutcome, slow: bool, leaky: bool) -> StatusLevel {
    match outcome {
        TestOutcome::Failed(_) => StatusLevel::Fail,
        TestOutcome::Passed if slow => StatusLevel::Slow,
        TestOutcome::Passed if leaky => StatusLevel::Leak,
        TestOutcome::Passed => StatusLevel::Pass,
        TestOutcome::Ignored => StatusLevel::Skip,
    }
}

/// Adds the line of a finished test, and below it what went wrong in words and what it left behind.
pub(super) fn push_finished(
    page: &mut String,
    theme: Theme,
    result: &TestFinished,
    counter: Counter,
    readings: Readings,
) {
    let (word, tone) = word_of(result);
    let time = if matches!(result.outcome, TestOutcome::Ignored) {
        Time::Unknown
    } else {
        Time::Took(result.duration)
    };
    let line = Line {
        word: &word,
        tone,
        time,
        counter,
        test: &result.test,
    };
    push_line(page, theme, &line);
    push_remark(page, theme, &remark(result, readings));
    page.push('\n');
    push_reason(page, &result.outcome);
    if let Some(leak) = &result.leak {
        push_leak(page, leak);
    }
}

/// Adds when a test is tried again, unless that is at once or in a later run.
pub(super) fn push_delay(page: &mut String, delay: Option<Duration>) {
    if let Some(delay) = delay.filter(|delay| !delay.is_zero()) {
        let delay = show_duration(delay);
        let _ = writeln!(page, "{:INDENT$}tried again in {delay}", "");
    }
}

fn remark(result: &TestFinished, readings: Readings) -> String {
    let mut parts = Vec::new();
    if let TestOutcome::Failed(Failure::Exit(code)) = result.outcome
        && code != LIBTEST_FAILED
    {
        parts.push(format!("exit code {code}"));
    }
    // A test that never ran has no readings, and a zero would be taken for one.
    if readings != Readings::None && result.resources.peak_memory > Bytes(0) {
        parts.push(format!("peak memory {}", result.resources.peak_memory));
        if readings == Readings::All {
            parts.push(format!("CPU {:.3}s", result.resources.cpu.as_secs_f64()));
            parts.extend(traffic(&result.resources));
        }
    }
    parts.join(", ")
}

/// What else a test used, as far as it is worth a word: more than one thread, and whatever went to disks.
fn traffic(resources: &Resources) -> Vec<String> {
    let some = |bytes: Option<Bytes>| bytes.filter(|bytes| *bytes > Bytes(0));
    let processes = resources.processes.filter(|&count| count > 2);
    let processes = processes.map(|count| format!("{count} processes and threads"));
    let read = some(resources.read).map(|bytes| format!("read {bytes}"));
    let written = some(resources.written).map(|bytes| format!("wrote {bytes}"));
    [processes, read, written].into_iter().flatten().collect()
}

/// Adds the reason of a failure that its status word doesn't tell.
pub(super) fn push_reason(page: &mut String, outcome: &TestOutcome) {
    match outcome {
        TestOutcome::Failed(
            failure @ (Failure::Breach { .. }
            | Failure::Limit(_)
            | Failure::OutOfMemory { .. }
            | Failure::Suspect { .. }
            | Failure::Start { .. }
            | Failure::Output { .. }),
        ) => {
            let reason = plain_lines(&failure.to_string(), INDENT);
            let _ = writeln!(page, "{:INDENT$}{reason}", "");
        }
        TestOutcome::Failed(
            Failure::Exit(_) | Failure::Signal(_) | Failure::Timeout { .. } | Failure::Leak,
        )
        | TestOutcome::Passed
        | TestOutcome::Ignored => {}
    }
}

fn push_leak(page: &mut String, leak: &Leak) {
    for process in &leak.processes {
        push_process(page, "left behind, and ended: ", process);
    }
    for thing in &leak.containers {
        push_thing(page, "left behind, and removed: ", thing);
    }
    if leak.output_open {
        let _ = writeln!(page, "{:INDENT$}left behind: its output, still open", "");
    }
}

/// How many of what there are: `2 containers and 1 network`.
pub(crate) fn things(things: &[Thing]) -> String {
    let parts = [Kind::Pod, Kind::Container, Kind::Network, Kind::Volume].map(|kind| {
        let number = things.iter().filter(|thing| thing.kind == kind).count();
        let ending = if number == 1 { "" } else { "s" };
        (number > 0).then(|| format!("{number} {}{ending}", kind.name()))
    });
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    parts.join(" and ")
}

/// Adds something that was removed from a container engine, on a line of its own.
pub(super) fn push_thing(page: &mut String, what: &str, thing: &Thing) {
    let _ = writeln!(page, "{:INDENT$}{what}{}", "", plain(&thing.to_string()));
}

/// Adds a process that was ended, on a line of its own, and below it the ports that it did not give back.
pub(super) fn push_process(page: &mut String, what: &str, process: &LeakedProcess) {
    let named = process.to_string();
    let _ = writeln!(page, "{:INDENT$}{what}pid {}", "", plain(&named));
    for held in &process.still_held {
        let _ = writeln!(page, "{:INDENT$}{}", "", plain(&held.to_string()));
    }
}

/// The status word of a test that has no result.
pub(super) fn unfinished_word(why: Unfinished) -> &'static str {
    match why {
        Unfinished::Shed => "SHED",
        Unfinished::Stopped => "STOPPED",
        Unfinished::Interrupted => "INTERRUPTED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use stt_core::limits::Exceeded;
    use stt_core::limits::LimitHit;
    use stt_core::limits::Resources;
    use stt_core::port::Holder;
    use stt_core::port::Port;
    use stt_core::port::Protocol;
    use stt_core::port::StillHeld;
    use stt_core::report::Counts;

    use crate::render::script::test;

    fn finished(outcome: TestOutcome) -> TestFinished {
        TestFinished {
            test: test("app::api", "login::works"),
            outcome,
            attempt: Attempt::ONLY,
            duration: Duration::from_millis(12),
            resources: Resources {
                cpu: Duration::from_micros(3500),
                peak_memory: Bytes::mib(128),
                ..Resources::default()
            },
            output: None,
            own_shown: None,
            leak: None,
            counts: Counts::default(),
            total: 200,
        }
    }

    fn shown(result: &TestFinished, counter: Counter, readings: Readings) -> String {
        let mut page = String::new();
        push_finished(&mut page, Theme::new(false), result, counter, readings);
        page
    }

    #[test]
    fn every_result_has_its_word_and_its_reason() {
        let reason = || "memory 85 % of 80 %".to_owned();
        for (outcome, line) in [
            (
                TestOutcome::Passed,
                "        PASS [   0.012s] ( 12/200) app::api login::works\n",
            ),
            (
                TestOutcome::Ignored,
                "     IGNORED [         ] ( 12/200) app::api login::works\n",
            ),
            (
                TestOutcome::Failed(Failure::Exit(101)),
                "        FAIL [   0.012s] ( 12/200) app::api login::works\n",
            ),
            (
                TestOutcome::Failed(Failure::Exit(3)),
                "        FAIL [   0.012s] ( 12/200) app::api login::works (exit code 3)\n",
            ),
            (
                TestOutcome::Failed(Failure::Signal(6)),
                "     SIGABRT [   0.012s] ( 12/200) app::api login::works\n",
            ),
            (
                TestOutcome::Failed(Failure::Signal(11)),
                "     SIGSEGV [   0.012s] ( 12/200) app::api login::works\n",
            ),
            (
                TestOutcome::Failed(Failure::Signal(40)),
                "   SIGNAL 40 [   0.012s] ( 12/200) app::api login::works\n",
            ),
            (
                TestOutcome::Failed(Failure::Timeout {
                    after: Duration::from_secs(60),
                }),
                "     TIMEOUT [   0.012s] ( 12/200) app::api login::works\n",
            ),
            (
                TestOutcome::Failed(Failure::Breach { reason: reason() }),
                "      BREACH [   0.012s] ( 12/200) app::api login::works\n             \
                 breached again while it ran alone: memory 85 % of 80 %\n",
            ),
            (
                TestOutcome::Failed(Failure::Start {
                    reason: "no such file\n/x".to_owned(),
                }),
                " NOT STARTED [   0.012s] ( 12/200) app::api login::works\n             \
                 could not be started: no such file\n             /x\n",
            ),
            (
                TestOutcome::Failed(Failure::Output {
                    reason: "EIO".to_owned(),
                }),
                "        FAIL [   0.012s] ( 12/200) app::api login::works\n             \
                 its output could not be read: EIO\n",
            ),
        ] {
            assert_eq!(
                shown(&finished(outcome), Counter::Of(12, 200), Readings::None),
                line
            );
        }
    }

    fn port(protocol: Protocol, number: u16) -> Port {
        Port {
            protocol,
            address: "127.0.0.1".parse().unwrap(),
            number,
        }
    }

    #[test]
    fn a_limit_and_an_oom_kill_say_what_was_used() {
        for (outcome, line) in [
            (
                TestOutcome::Failed(Failure::Limit(LimitHit {
                    limits: "fast".to_owned(),
                    exceeded: Exceeded::Memory {
                        limit: Bytes::mib(128),
                        used: Bytes::mib(131),
                    },
                    container: None,
                })),
                "       LIMIT [   0.012s] ( 12/200) app::api login::works\n             \
                 used 131 MiB of memory, over its limit of 128 MiB (limits `fast`)\n",
            ),
            (
                TestOutcome::Failed(Failure::OutOfMemory {
                    peak: Bytes::mib(900),
                }),
                "         OOM [   0.012s] ( 12/200) app::api login::works\n             \
                 killed by the kernel because memory was short, used 900 MiB\n",
            ),
        ] {
            assert_eq!(
                shown(&finished(outcome), Counter::Of(12, 200), Readings::None),
                line
            );
        }
    }

    #[test]
    fn what_was_left_behind_is_named_below_the_test() {
        let mut result = finished(TestOutcome::Passed);
        result.leak = Some(Leak {
            containers: Vec::new(),
            output_open: true,
            processes: vec![
                LeakedProcess {
                    pid: 4321,
                    command: "sleep 1000".to_owned(),
                    ports: vec![port(Protocol::Tcp, 8080), port(Protocol::Udp, 53)],
                    still_held: vec![StillHeld {
                        port: port(Protocol::Tcp, 8080),
                        by: vec![Holder {
                            pid: 9,
                            command: "nc\n-l".to_owned(),
                        }],
                    }],
                },
                LeakedProcess {
                    pid: 4322,
                    command: "sh -c 'a\nb'".to_owned(),
                    ports: Vec::new(),
                    still_held: Vec::new(),
                },
            ],
        });
        let below = "             left behind, and ended: pid 4321 sleep 1000 \
                     (listening on 127.0.0.1:8080, bound to 127.0.0.1:53/udp)\n             \
                     port 8080 (127.0.0.1:8080) is still held by 9 nc\\n-l\n             \
                     left behind, and ended: pid 4322 sh -c 'a\\nb'\n             \
                     left behind: its output, still open\n";
        assert_eq!(
            shown(&result, Counter::None, Readings::None),
            format!("        LEAK [   0.012s] app::api login::works\n{below}")
        );
        result.outcome = TestOutcome::Failed(Failure::Exit(101));
        assert_eq!(
            shown(&result, Counter::None, Readings::None),
            format!(" FAIL + LEAK [   0.012s] app::api login::works\n{below}")
        );
        result.outcome = TestOutcome::Failed(Failure::Leak);
        assert_eq!(
            shown(&result, Counter::None, Readings::None),
            format!("   LEAK-FAIL [   0.012s] app::api login::works\n{below}")
        );
    }

    #[test]
    fn readings_are_shown_when_they_matter_and_are_known() {
        let mut result = finished(TestOutcome::Failed(Failure::Exit(1)));
        assert_eq!(
            shown(&result, Counter::None, Readings::Memory),
            "        FAIL [   0.012s] app::api login::works (exit code 1, peak memory 128 MiB)\n"
        );
        assert_eq!(
            shown(&result, Counter::None, Readings::All),
            "        FAIL [   0.012s] app::api login::works (exit code 1, peak memory 128 MiB, CPU 0.004s)\n"
        );
        result.resources.processes = Some(9);
        result.resources.read = Some(Bytes(0));
        result.resources.written = Some(Bytes::mib(3));
        assert_eq!(
            shown(&result, Counter::None, Readings::All),
            "        FAIL [   0.012s] app::api login::works (exit code 1, peak memory 128 MiB, CPU 0.004s, 9 processes and threads, wrote 3 MiB)\n"
        );
        result.resources.peak_memory = Bytes(0);
        assert_eq!(
            shown(&result, Counter::None, Readings::All),
            "        FAIL [   0.012s] app::api login::works (exit code 1)\n"
        );
    }

    #[test]
    fn names_stand_below_each_other_whatever_the_counter() {
        let column = |counter, time| {
            let mut page = String::new();
            let id = test("b", "n");
            let line = Line {
                word: "SLOW",
                tone: Tone::Warn,
                time,
                counter,
                test: &id,
            };
            push_line(&mut page, Theme::new(false), &line);
            page.find("b n").expect("the test is shown")
        };
        let took = Time::Took(Duration::from_secs(60));
        assert_eq!(
            column(Counter::Of(7, 2000), took),
            column(Counter::Blank(2000), Time::Unknown)
        );
        assert_eq!(
            column(Counter::Of(7, 9), took),
            column(Counter::Blank(9), Time::Over(Duration::ZERO))
        );
        assert_eq!(
            column(Counter::Of(0, 0), took),
            column(Counter::Blank(0), took)
        );
    }

    #[test]
    fn the_end_of_a_name_stands_out_and_a_hostile_name_stays_on_its_line() {
        let mut page = String::new();
        push_test(&mut page, Theme::new(true), &test("app", "a::b::c"));
        assert_eq!(
            page,
            "\x1b[35mapp\x1b[0m \x1b[2ma::b::\x1b[0m\x1b[1mc\x1b[0m"
        );
        page.clear();
        push_test(
            &mut page,
            Theme::new(false),
            &test("app\x1b[2J", "x\n        PASS y"),
        );
        assert_eq!(page, "app\\u{1b}[2J x\\n        PASS y");
    }

    #[test]
    fn a_result_is_shown_from_its_first_reason_on() {
        let failed = TestOutcome::Failed(Failure::Exit(1));
        for (outcome, slow, leaky, expected) in [
            (&failed, true, true, StatusLevel::Fail),
            (&TestOutcome::Passed, true, true, StatusLevel::Slow),
            (&TestOutcome::Passed, false, true, StatusLevel::Leak),
            (&TestOutcome::Passed, false, false, StatusLevel::Pass),
            (&TestOutcome::Ignored, false, false, StatusLevel::Skip),
        ] {
            assert_eq!(level(outcome, slow, leaky), expected);
        }
    }
}
