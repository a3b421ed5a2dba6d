//! The screen of `cargo stt status`.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;
use camino::Utf8Path;
use stt_core::container::Thing;
use stt_core::coordinator::Counters;
use stt_core::coordinator::Live;
use stt_core::coordinator::State;
use stt_core::coordinator::Thresholds;
use stt_core::run::SeenRun;
use stt_core::run::Status;
use stt_core::run::TestPort;
use stt_core::units::Bytes;
use stt_core::units::Percent;
use stt_core::units::show_duration;

use crate::render::status::things;
use crate::render::summary::count;
use crate::render::text::Line;
use crate::render::text::plain;
use crate::render::theme::Theme;
use crate::render::theme::Tone;

/// The width of the words at the left, as everywhere.
const WORD: usize = 12;

/// How many cells a gauge has.
const CELLS: u64 = 20;

/// What is full, and nearly full.
const FULL: Percent = Percent::whole(80);
const FILLING: Percent = Percent::whole(70);

/// How things stand, for a terminal of this width.
pub(crate) fn show_status(
    status: &Status,
    home: Option<&Utf8Path>,
    width: usize,
    colour: bool,
) -> String {
    let theme = Theme::new(colour);
    let mut lines = machine(status, theme);
    for run in &status.runs {
        lines.push(Line::default());
        lines.extend(run_lines(run, status, home, theme));
    }
    if status.runs.is_empty() {
        lines.push(word(
            theme,
            Tone::Idle,
            "Idle",
            "no run of yours is on this machine",
        ));
    }
    let counted = counted(&status.since_boot);
    if !counted.is_empty() {
        lines.push(Line::default());
        lines.push(word(theme, Tone::Idle, "Since boot", &counted));
    }
    lines.iter().fold(String::new(), |mut page, line| {
        let _ = writeln!(page, "{}", line.fit(width));
        page
    })
}

fn machine(status: &Status, theme: Theme) -> Vec<Line> {
    let machine = &status.machine;
    let mut lines = Vec::new();
    if let (Some(used), Some(limit)) = (machine.memory, machine.memory_limit) {
        let share = used.share_of(limit).unwrap_or(Percent(0));
        let mut line = gauge(theme, "Memory", share);
        line.push(Style::new(), format!("  {used} of {limit}"));
        lines.push(line);
    }
    if let Some(busy) = machine.cpu {
        let mut line = gauge(theme, "CPU", busy);
        line.push(
            Style::new(),
            format!("  of {}", count(machine.cores, "core", "cores")),
        );
        lines.push(line);
    }
    let load = machine
        .load
        .map_or_else(|| "unknown".to_owned(), |load| format!("{load:.2}"));
    let mut text = format!("{load} on {}", count(machine.cores, "core", "cores"));
    if let Some(pressure) = machine.cpu_pressure {
        let _ = write!(
            text,
            ", tasks waited for a CPU in {pressure} of the last 10 s"
        );
    }
    lines.push(word(theme, Tone::News, "Load", &text));
    lines
}

fn gauge(theme: Theme, name: &str, share: Percent) -> Line {
    let tone = if share.0 >= FULL.0 {
        Tone::Bad
    } else if share.0 >= FILLING.0 {
        Tone::Warn
    } else {
        Tone::Good
    };
    let whole = u64::from(Percent::whole(100).0);
    let full = (u64::from(share.0) * CELLS).div_ceil(whole).min(CELLS);
    let cells = |count: u64, cell: &str| cell.repeat(usize::try_from(count).unwrap_or(0));
    let mut line = word(theme, Tone::News, name, "");
    line.push(theme.word(tone), cells(full, "█"));
    line.push(theme.dim(), cells(CELLS - full, "░"));
    line.push(theme.word(tone), format!(" {share}"));
    line
}

fn run_lines(seen: &SeenRun, status: &Status, home: Option<&Utf8Path>, theme: Theme) -> Vec<Line> {
    let run = &seen.live;
    let (name, tone) = state(run, status.now);
    let since = |at: u64| show_duration(Duration::from_secs(status.now.saturating_sub(at) / 1_000));
    let mut first = word(theme, tone, name, "");
    first.push(theme.strong(), workspace(run.workspace.as_path(), home));
    first.push(
        theme.dim(),
        format!("  pid {} · {}", run.runner.pid, since(run.state_since)),
    );
    let mut second = word(theme, tone, "", &tests(run));
    if run.memory.0 > 0 {
        second.push(Style::new(), format!(" · {}", run.memory));
    }
    second.push(Style::new(), format!(" · {}", share(run)));
    let mut lines = vec![first, second];
    if let Some(Thresholds { memory, cpu }) = &run.thresholds {
        let mut line = word(theme, tone, "", "");
        let text = format!("stays below {memory} of memory and {cpu} of the CPU");
        line.push(theme.dim(), text);
        lines.push(line);
    }
    if let Some(script) = &run.script {
        let mut line = word(theme, tone, "", "");
        line.push(
            theme.dim(),
            format!("{:>9} {:>6}  ", "", since(script.since)),
        );
        let name = format!("{} script {}", script.kind, script.name);
        line.push(Style::new(), plain(&name).into_owned());
        lines.push(line);
    }
    for test in &run.running {
        let memory = test
            .memory
            .map_or_else(String::new, |memory: Bytes| memory.to_string());
        let mut line = word(theme, tone, "", "");
        line.push(
            theme.dim(),
            format!("{memory:>9} {:>6}  ", since(test.since)),
        );
        line.push(Style::new(), plain(&test.test).into_owned());
        line.push(theme.dim(), ports_of(&test.test, &seen.ports));
        lines.push(line);
    }
    if run.running_now as usize > run.running.len() && !run.running.is_empty() {
        let more = run.running_now as usize - run.running.len();
        lines.push(word(
            theme,
            tone,
            "",
            &format!("{:>9}        and {more} more", ""),
        ));
    }
    lines.extend(container_line(&seen.containers, theme));
    if let Some(waits) = &run.waits {
        lines.push(word(
            theme,
            tone,
            "",
            &format!("waits for {}", plain(waits)),
        ));
    }
    lines
}

/// What stands behind a test that has ports for itself.
fn ports_of(test: &str, ports: &[TestPort]) -> String {
    let own = ports.iter().filter(|port| port.test == test);
    let own: Vec<_> = own.map(|port| port.port.to_string()).collect();
    match own.as_slice() {
        [] => String::new(),
        [port] => format!("  port {port}"),
        [..] => format!("  ports {}", own.join(", ")),
    }
}

fn container_line(containers: &[Thing], theme: Theme) -> Option<Line> {
    if containers.is_empty() {
        return None;
    }
    let name = |thing: &Thing| match thing.name.as_str() {
        "" => thing.short_id().to_owned(),
        name => name.to_owned(),
    };
    let names: Vec<_> = containers.iter().map(name).collect();
    let mut line = word(theme, Tone::News, "", &things(containers));
    line.push(theme.dim(), format!("  {}", plain(&names.join(", "))));
    Some(line)
}

fn tests(run: &Live) -> String {
    if run.total == 0 {
        return "no tests yet".to_owned();
    }
    let failed = match run.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    format!("{} of {} tests done{failed}", run.done, run.total)
}

fn share(run: &Live) -> String {
    if run.nested {
        return "part of the run that started it".to_owned();
    }
    match (run.running_now, run.held) {
        (0, 0) => "no share of the cores".to_owned(),
        (running, held) => format!(
            "{running} running, holds {}",
            count(held as usize, "share", "shares")
        ),
    }
}

fn state(run: &Live, now: u64) -> (&'static str, Tone) {
    if !run.is_fresh(now) && run.state != State::Suspended {
        return ("Silent", Tone::Warn);
    }
    match run.state {
        State::Waiting => ("Waiting", Tone::Warn),
        State::Building => ("Building", Tone::News),
        State::Running if run.running_now == 0 && run.waits.is_some() => ("Queued", Tone::Warn),
        State::Running => ("Running", Tone::Good),
        State::Stopping => ("Stopping", Tone::Bad),
        State::Finishing => ("Finishing", Tone::Good),
        State::Suspended => ("Suspended", Tone::Idle),
    }
}

/// Below the home of its owner, a path is short.
pub(super) fn workspace(path: &Utf8Path, home: Option<&Utf8Path>) -> String {
    let below = home.and_then(|home| path.strip_prefix(home).ok());
    let shown = below.map_or_else(|| path.to_string(), |below| format!("~/{below}"));
    plain(&shown).into_owned()
}

fn counted(counters: &Counters) -> String {
    let counts = [
        (counters.stops, "stop", "stops"),
        (counters.restarts, "restart", "restarts"),
        (
            counters.reaped_runs,
            "killed run cleared up after",
            "killed runs cleared up after",
        ),
        (counters.ports, "port freed", "ports freed"),
        (
            counters.processes,
            "process ended that was left behind",
            "processes ended that were left behind",
        ),
    ];
    let counts = counts.into_iter().filter(|(number, ..)| *number > 0);
    let words = counts
        .map(|(number, one, many)| count(usize::try_from(number).unwrap_or(usize::MAX), one, many));
    words.collect::<Vec<_>>().join(" · ")
}

/// A line with a word at its left.
pub(super) fn word(theme: Theme, tone: Tone, name: &str, text: &str) -> Line {
    let mut line = Line::default();
    line.push(theme.word(tone), format!("{name:>WORD$} "));
    line.push(Style::new(), text.to_owned());
    line
}

#[cfg(test)]
mod tests {
    use stt_core::container::Kind;
    use stt_core::coordinator::RunningScript;
    use stt_core::coordinator::RunningTest;
    use stt_core::id::ProcessId;
    use stt_core::id::RunId;
    use stt_core::run::Machine;

    use super::*;

    fn run() -> SeenRun {
        let runner = ProcessId { pid: 7, start: 90 };
        let mut live = Live::new(
            RunId::from_random([3; 16]),
            runner,
            "/home/me/api".into(),
            0,
        );
        live.state = State::Running;
        (live.done, live.total, live.failed) = (3, 20, 1);
        (live.running_now, live.held) = (2, 2);
        live.memory = Bytes::mib(300);
        live.thresholds = Some(Thresholds {
            memory: "6 GiB".to_owned(),
            cpu: "80 %".to_owned(),
        });
        let test = |test: &str, memory| RunningTest {
            test: test.to_owned(),
            since: 1_000,
            memory,
        };
        live.script = Some(RunningScript {
            kind: "setup".to_owned(),
            name: "db".to_owned(),
            since: 2_000,
        });
        live.running = vec![
            test("api serves", Some(Bytes::mib(256))),
            test("api parses", None),
        ];
        let port = |port| TestPort {
            port,
            test: "api serves".to_owned(),
        };
        let container = |name: &str| Thing {
            kind: Kind::Container,
            id: "4b".repeat(32),
            name: name.to_owned(),
            image: "postgres:16".to_owned(),
        };
        SeenRun {
            live,
            ports: vec![port(20_001), port(20_002)],
            containers: vec![container("db"), container("")],
        }
    }

    #[test]
    fn a_run_shows_its_lines_its_tests_their_ports_and_its_containers() {
        let status = Status {
            now: 3_000,
            machine: Machine {
                cores: 2,
                memory: Some(Bytes::mib(6_144)),
                memory_limit: Some(Bytes::mib(24_576)),
                cpu: None,
                cpu_pressure: None,
                load: Some(1.5),
            },
            runs: vec![run()],
            since_boot: Counters {
                stops: 1,
                ..Counters::default()
            },
        };
        let expected = "      Memory █████░░░░░░░░░░░░░░░ 25 %  6 GiB of 24 GiB
        Load 1.50 on 2 cores

     Running ~/api  pid 7 · 3 s
             3 of 20 tests done, 1 failed · 300 MiB · 2 running, holds 2 shares
             stays below 6 GiB of memory and 80 % of the CPU
                          1 s  setup script db
               256 MiB    2 s  api serves  ports 20001, 20002
                          2 s  api parses
             2 containers  db, 4b4b4b4b4b4b

  Since boot 1 stop
";
        let shown = show_status(&status, Some(Utf8Path::new("/home/me")), 200, false);
        assert_eq!(shown, expected);
    }
}
