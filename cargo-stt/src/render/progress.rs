//! What the progress display says, as lines that fit the terminal. It is drawn by [`super::bar`].

use std::collections::HashSet;
use std::time::Duration;

use anstyle::Style;

use stt_core::id::TestId;
use stt_core::report::Progress;
use stt_core::report::Running;
use stt_core::report::ScriptPlace;
use stt_core::units::Bytes;
use stt_core::units::Percent;
use stt_core::units::Threshold;

use crate::render::screen::TerminalSize;
use crate::render::status::INDENT;
use crate::render::status::split_name;
use crate::render::text::Line;
use crate::render::text::plain;
use crate::render::theme::Theme;
use crate::render::theme::Tone;

/// So many running tests are shown at most.
const MOST_RUNNING: usize = 8;
/// The terminal shows `^C` or `^Z` where the cursor is, behind the last line. Without room for it the
/// cursor would go to the next line, and a line of the display would stay on the screen.
pub(super) const ECHO: usize = 2;
/// Below this width the columns are given up, so that something of the names is left.
const NARROW: usize = 60;
/// The widest bar, and the steps in which a narrower one shrinks: a bar that changes its width with
/// each digit of a counter would flicker.
const BAR: usize = 30;
const BAR_STEP: usize = 5;

/// The display: a first line with a bar in it, and the lines below.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Display {
    /// The first line up to the bar.
    pub(super) before: String,
    /// How wide the bar is; 0 for none.
    pub(super) bar: usize,
    /// The first line behind the bar, and the lines below it.
    pub(super) after: String,
}

/// What is known beside the progress itself.
pub(super) struct Around<'a> {
    /// The colours.
    pub(super) theme: Theme,
    /// The terminal.
    pub(super) size: TerminalSize,
    /// The tests that are slow already.
    pub(super) slow: &'a HashSet<TestId>,
    /// How many tests may run at once when nothing keeps them back.
    pub(super) threads: usize,
}

/// The display of a state.
pub(super) fn display(progress: &Progress, around: &Around<'_>) -> Display {
    let width = usize::from(around.size.columns).saturating_sub(ECHO);
    let before = heading(progress, around.theme, width);
    let counts = counts(progress, around);
    let room = width.saturating_sub(before.width());
    let bar = room.saturating_sub(counts.width() + 1).min(BAR) / BAR_STEP * BAR_STEP;
    let gap = if bar == 0 { 0 } else { bar + 1 };
    let mut after = String::new();
    if bar > 0 {
        after.push(' ');
    }
    after.push_str(&counts.fit(room.saturating_sub(gap)));
    for line in below(progress, around, width) {
        after.push('\n');
        after.push_str(&line.fit(width));
    }
    Display {
        before: before.fit(width),
        bar,
        after,
    }
}

fn heading(progress: &Progress, theme: Theme, width: usize) -> Line {
    let (word, tone) = if progress.held {
        ("Holding", Tone::Warn)
    } else {
        ("Running", Tone::News)
    };
    let mut line = Line::default();
    if width < NARROW {
        line.push(theme.word(tone), word);
    } else {
        line.push(theme.word(tone), format!("{word:>12}"));
    }
    line.push(Style::new(), format!(" [ {}] ", clock(progress.elapsed)));
    line
}

fn counts(progress: &Progress, around: &Around<'_>) -> Line {
    let theme = around.theme;
    let counts = progress.counts;
    let done = counts.passed + counts.failed;
    let of = progress.total.saturating_sub(counts.ignored);
    let mut line = Line::default();
    line.push(Style::new(), format!("{done}/{of}: "));
    line.push(
        theme.strong(),
        format!("{} running", progress.running.len()),
    );
    line.push(
        theme.word(Tone::Good),
        format!(", {} passed", counts.passed),
    );
    if counts.failed > 0 {
        line.push(theme.word(Tone::Bad), format!(", {} failed", counts.failed));
    }
    if counts.ignored > 0 {
        line.push(
            theme.word(Tone::Idle),
            format!(", {} ignored", counts.ignored),
        );
    }
    line
}

/// The readings and the tests that have run longest, as many as leave room for results above.
fn below(progress: &Progress, around: &Around<'_>, width: usize) -> Vec<Line> {
    let rows = usize::from(around.size.rows);
    let mut lines = Vec::new();
    if rows < 4 {
        return lines;
    }
    if let Some(gauges) = gauges(progress, around, width) {
        lines.push(gauges);
    }
    let mut room = rows - 3;
    if let Some((place, elapsed)) = &progress.script {
        lines.push(script_line(place, *elapsed, around, width));
    }
    if room > 1
        && let Some(line) = awaited(progress, around, width)
    {
        lines.push(line);
        room -= 1;
    }
    let room = room.min(MOST_RUNNING);
    let shown = if progress.running.len() > room {
        room - 1
    } else {
        progress.running.len()
    };
    for running in &progress.running[..shown] {
        lines.push(running_line(running, around, width));
    }
    let more = progress.running.len() - shown;
    if more > 0 {
        let mut line = Line::default();
        let indent = if width < NARROW { 1 } else { INDENT };
        line.push(around.theme.dim(), format!("{:indent$}and {more} more", ""));
        lines.push(line);
    }
    lines
}

/// The script that runs, with no test beside it.
fn script_line(place: &ScriptPlace, elapsed: Duration, around: &Around<'_>, width: usize) -> Line {
    let indent = if width < NARROW { 1 } else { INDENT };
    let mut line = Line::default();
    line.push(Style::new(), " ".repeat(indent));
    let ScriptPlace {
        script, number, of, ..
    } = place;
    let what = format!("{} script {number}/{of} ", script.kind.name());
    line.push(around.theme.dim(), what);
    line.push(around.theme.strong(), plain(&script.name));
    line.push(around.theme.dim(), format!(" {}", clock(elapsed)));
    line
}

/// For which ports how many tests wait.
fn awaited(progress: &Progress, around: &Around<'_>, width: usize) -> Option<Line> {
    let first = progress.awaited.first()?;
    let indent = if width < NARROW { 1 } else { INDENT };
    let mut line = Line::default();
    line.push(Style::new(), " ".repeat(indent));
    let waits = match progress.awaited.len() {
        1 => "1 test waits".to_owned(),
        tests => format!("{tests} tests wait"),
    };
    line.push(around.theme.word(Tone::Warn), waits);
    let text = format!(
        " for port {}, in use by {}",
        first.port,
        plain(&first.holder)
    );
    line.push(around.theme.dim(), text);
    Some(line)
}

/// What of the memory of the tests is in containers, where there is some.
fn containers(progress: &Progress) -> Option<(Style, String)> {
    let memory = progress.family?.in_containers;
    let text = format!("in containers {memory}");
    (memory > Bytes(0)).then_some((Style::new(), text))
}

fn gauges(progress: &Progress, around: &Around<'_>, width: usize) -> Option<Line> {
    let theme = around.theme;
    let mut gauges = Vec::new();
    match progress.memory_threshold {
        Some(Threshold::Machine(line)) => {
            gauges.push(share("mem", progress.memory, Some(line), theme));
            if let Some(family) = progress.family_memory {
                gauges.push((Style::new(), format!("tests {family}")));
            }
            gauges.extend(containers(progress));
        }
        Some(Threshold::Run(line)) => {
            gauges.extend(
                progress
                    .memory
                    .map(|memory| share("mem", Some(memory), None, theme)),
            );
            gauges.push(amount("tests", progress.family_memory, line, theme));
            gauges.extend(containers(progress));
        }
        None => {
            gauges.extend(
                progress
                    .memory
                    .map(|memory| share("mem", Some(memory), None, theme)),
            );
        }
    }
    if progress.cpu.is_some() || progress.cpu_threshold.is_some() {
        let (style, text) = share("cpu", progress.cpu, progress.cpu_threshold, theme);
        // Tests use the CPU by design: a busy one is worth a look, and no alarm.
        let busy = style != Style::new();
        gauges.push((if busy { theme.word(Tone::Warn) } else { style }, text));
    }
    if progress.allowed < around.threads {
        let text = format!("{} of {} at once", progress.allowed, around.threads);
        gauges.push((theme.word(Tone::Warn), text));
    }
    if gauges.is_empty() {
        return None;
    }
    let indent = if width < NARROW { 1 } else { INDENT };
    let mut line = Line::default();
    line.push(Style::new(), " ".repeat(indent));
    for (index, (style, text)) in gauges.into_iter().enumerate() {
        if index > 0 {
            line.push(theme.dim(), " · ");
        }
        line.push(style, text);
    }
    Some(line)
}

/// A reading against its line: `mem 43 % of 80 %`, and `mem ?` while it can't be read.
fn share(name: &str, now: Option<Percent>, line: Option<Percent>, theme: Theme) -> (Style, String) {
    let mut text = match now {
        Some(now) => format!("{name} {} %", now.0 / 10),
        None => format!("{name} ?"),
    };
    if let Some(line) = line {
        text = format!("{text} of {line}");
    }
    let near = line.map(|line| line.saturating_sub(Percent::whole(10)));
    (reached(now, near, line, theme), text)
}

fn amount(name: &str, now: Option<Bytes>, line: Bytes, theme: Theme) -> (Style, String) {
    let text = match now {
        Some(now) => format!("{name} {now} of {line}"),
        None => format!("{name} ? of {line}"),
    };
    let near = line.percent(Percent::whole(90));
    (reached(now, Some(near), Some(line), theme), text)
}

fn reached<T: PartialOrd + Copy>(
    now: Option<T>,
    near: Option<T>,
    line: Option<T>,
    theme: Theme,
) -> Style {
    let at = |line: Option<T>| now.zip(line).is_some_and(|(now, line)| now >= line);
    if at(line) {
        theme.word(Tone::Bad)
    } else if at(near) {
        theme.word(Tone::Warn)
    } else {
        Style::new()
    }
}

fn running_line(running: &Running, around: &Around<'_>, width: usize) -> Line {
    let theme = around.theme;
    let slow = around.slow.contains(&running.test);
    let name = plain(&running.test.name);
    let (path, own) = split_name(&name);
    let mut line = Line::default();
    let elapsed = clock(running.elapsed);
    if width < NARROW {
        let style = if slow {
            theme.word(Tone::Warn)
        } else {
            theme.dim()
        };
        line.push(style, format!(" {elapsed} "));
    } else {
        let word = if slow { "SLOW" } else { "" };
        line.push(theme.word(Tone::Warn), format!("{word:>12}"));
        line.push(Style::new(), format!(" [ {elapsed}] "));
        let memory = running.memory.map(|memory| memory.to_string());
        line.push(theme.dim(), format!("{:>9} ", memory.unwrap_or_default()));
    }
    let binary = plain(running.test.binary.as_str());
    line.push(theme.binary(), binary.into_owned());
    line.push(theme.dim(), format!(" {path}"));
    line.push(theme.strong(), own);
    line
}

/// Hours, minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    use stt_core::report::FamilyUse;

    use stt_core::report::Awaited;
    use stt_core::report::Counts;

    use crate::render::script::test;

    fn progress() -> Progress {
        let running = |name, seconds, memory| Running {
            test: test("app::api", name),
            elapsed: Duration::from_secs(seconds),
            memory,
        };
        Progress {
            elapsed: Duration::from_secs(3723),
            counts: Counts {
                passed: 117,
                failed: 3,
                ignored: 4,
                leaky: 1,
                slow: 1,
                flaky: 0,
            },
            total: 204,
            script: None,
            running: vec![
                running("import::large", 65, Some(Bytes::mib(1228))),
                running("日本語::速い", 2, None),
            ],
            memory: Some(Percent(437)),
            family_memory: Some(Bytes::mib(2048)),
            family: None,
            memory_threshold: Some(Threshold::Machine(Percent::whole(80))),
            cpu: Some(Percent::whole(97)),
            cpu_threshold: Some(Percent::whole(80)),
            allowed: 2,
            held: false,
            awaited: Vec::new(),
        }
    }

    fn lines(progress: &Progress, columns: u16, rows: u16, slow: &[&str]) -> Vec<String> {
        let slow = slow.iter().map(|name| test("app::api", name)).collect();
        let around = Around {
            theme: Theme::new(false),
            size: TerminalSize { columns, rows },
            slow: &slow,
            threads: 2,
        };
        let display = display(progress, &around);
        let bar = "=".repeat(display.bar);
        let text = format!("{}{bar}{}", display.before, display.after);
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_display_fits_narrow_usual_and_wide_terminals() {
        assert_eq!(
            lines(&progress(), 40, 24, &[]),
            [
                "Running [ 01:02:03] 120/200: 2 runnin…",
                " mem 43 % of 80 % · tests 2 GiB · cpu…",
                " 00:01:05 app::api import::large",
                " 00:00:02 app::api 日本語::速い",
            ]
        );
        assert_eq!(
            lines(&progress(), 80, 24, &["import::large"]),
            [
                "     Running [ 01:02:03] 120/200: 2 running, 117 passed, 3 failed, 4 ignored",
                "             mem 43 % of 80 % · tests 2 GiB · cpu 97 % of 80 %",
                "        SLOW [ 00:01:05]   1.1 GiB app::api import::large",
                "             [ 00:00:02]           app::api 日本語::速い",
            ]
        );
        assert_eq!(
            lines(&progress(), 200, 24, &[])[0],
            "     Running [ 01:02:03] ============================== 120/200: 2 running, 117 passed, 3 failed, 4 ignored"
        );
        let mut first = progress();
        first.counts = Counts::default();
        assert_eq!(
            lines(&first, 80, 24, &[])[0],
            "     Running [ 01:02:03] ========================= 0/204: 2 running, 0 passed"
        );
    }

    #[test]
    fn wide_characters_are_cut_by_their_columns() {
        let mut progress = progress();
        progress.running[1].test = test("app", &"語".repeat(30));
        assert_eq!(
            lines(&progress, 40, 24, &[])[3],
            format!(" 00:00:02 app {}…", "語".repeat(11))
        );
    }

    #[test]
    fn a_low_terminal_shows_fewer_tests_and_says_so() {
        let mut progress = progress();
        progress.running = vec![progress.running[0].clone(); 20];
        for (rows, shown) in [(2, 1), (3, 1), (4, 3), (6, 5), (24, 10), (200, 10)] {
            assert_eq!(lines(&progress, 80, rows, &[]).len(), shown, "{rows} rows");
        }
        assert_eq!(lines(&progress, 80, 24, &[])[9], "             and 13 more");
    }

    #[test]
    fn who_waits_for_a_port_is_told_who_has_it() {
        let mut progress = progress();
        let awaited = |port| Awaited {
            test: test("app::api", "serves"),
            port,
            holder: "pid 7 (web login)".to_owned(),
        };
        progress.awaited = vec![awaited(8080)];
        let one = "             1 test waits for port 8080, in use by pid 7 (web login)";
        assert_eq!(lines(&progress, 80, 24, &[])[2], one);
        assert_eq!(lines(&progress, 80, 4, &[]).len(), 3);
        assert_eq!(lines(&progress, 80, 5, &[]).len(), 4);
        progress.awaited.push(awaited(9000));
        let two = " 2 tests wait for port 8080, in use b…";
        assert_eq!(lines(&progress, 40, 24, &[])[2], two);
    }

    #[test]
    fn what_containers_hold_of_it_is_shown_where_they_hold_something() {
        let mut progress = progress();
        let used = |in_containers| FamilyUse {
            processes: 1,
            threads: 1,
            descriptors: None,
            cpu: Duration::ZERO,
            in_containers,
        };
        progress.family = Some(used(Bytes(0)));
        let shown = |progress: &Progress| lines(progress, 80, 24, &[])[1].clone();
        assert!(
            !shown(&progress).contains("container"),
            "{}",
            shown(&progress)
        );
        progress.family = Some(used(Bytes::mib(1536)));
        let line = shown(&progress);
        assert!(
            line.contains(" · tests 2 GiB · in containers 1.5 GiB · "),
            "{line}"
        );
    }

    #[test]
    fn what_is_unknown_is_no_zero_and_what_is_kept_back_is_said() {
        let mut progress = progress();
        progress.memory = None;
        progress.family_memory = None;
        progress.cpu = None;
        progress.allowed = 1;
        progress.held = true;
        let shown = lines(&progress, 80, 24, &[]);
        assert!(shown[0].starts_with("     Holding ["), "{shown:?}");
        assert_eq!(
            shown[1],
            "             mem ? of 80 % · cpu ? of 80 % · 1 of 2 at once"
        );
        progress.memory_threshold = Some(Threshold::Run(Bytes::mib(1024)));
        progress.family_memory = Some(Bytes::mib(512));
        assert_eq!(
            lines(&progress, 80, 24, &[])[1],
            "             tests 512 MiB of 1 GiB · cpu ? of 80 % · 1 of 2 at once"
        );
        progress.memory_threshold = None;
        progress.cpu_threshold = None;
        progress.allowed = 2;
        assert!(
            lines(&progress, 80, 24, &[])[1].contains("[ 00:01:05]"),
            "no guard, no gauges"
        );
    }

    #[test]
    fn a_gauge_turns_yellow_near_its_line_and_red_on_it() {
        let theme = Theme::new(true);
        let line = Some(Percent::whole(80));
        for (now, style) in [
            (None, Style::new()),
            (Some(699), Style::new()),
            (Some(700), theme.word(Tone::Warn)),
            (Some(799), theme.word(Tone::Warn)),
            (Some(800), theme.word(Tone::Bad)),
            (Some(1900), theme.word(Tone::Bad)),
        ] {
            assert_eq!(
                share("mem", now.map(Percent), line, theme).0,
                style,
                "{now:?}"
            );
        }
    }
}
