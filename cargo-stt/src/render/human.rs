//! A run as people see it: results as they come, progress below them on a terminal, and a summary.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use stt_core::config::ShowOutput;
use stt_core::config::StatusLevel;
use stt_core::id::TestId;
use stt_core::outcome::TestOutcome;
use stt_core::outcome::Unfinished;
use stt_core::report::Counts;
use stt_core::report::Event;
use stt_core::report::Progress;
use stt_core::report::ScriptFinished;
use stt_core::report::ScriptPlace;
use stt_core::report::Summary;
use stt_core::report::TestFinished;
use stt_core::report::Waiting;
use stt_core::report::WaitingNext;
use stt_core::report::Warning;

use crate::render::bar::Bar;
use crate::render::guarding::push_guard;
use crate::render::options::RenderOptions;
use crate::render::output::push_output;
use crate::render::progress::Around;
use crate::render::progress::Display;
use crate::render::progress::ECHO;
use crate::render::progress::display;
use crate::render::reaped::push_reaped;
use crate::render::screen::Renderer;
use crate::render::screen::Screen;
use crate::render::screen::TerminalSize;
use crate::render::scripts;
use crate::render::status;
use crate::render::status::Counter;
use crate::render::status::Readings;
use crate::render::status::Time;
use crate::render::summary;
use crate::render::summary::count;
use crate::render::summary::push_word;
use crate::render::text::plain_lines;
use crate::render::theme::Painted;
use crate::render::theme::Theme;
use crate::render::theme::Tone;
use crate::render::waiting;

/// Taken where a terminal doesn't tell its size.
const USUAL_SIZE: TerminalSize = TerminalSize {
    columns: 80,
    rows: 24,
};

/// The renderer for people.
pub(super) struct Human {
    options: RenderOptions,
    theme: Theme,
    screen: Box<dyn Screen>,
    /// What is to be written next.
    page: String,
    /// The progress display, once there is progress to show.
    bar: Option<Bar>,
    progress: Option<Box<Progress>>,
    /// The waiting that is shown where the progress will be.
    waiting: Option<Box<Waiting>>,
    pace: waiting::Pace,
    /// Whether a script that runs writes to the terminal itself.
    script_writes: bool,
    /// Whether the display is older than what it shows.
    stale: bool,
    threads: usize,
    counts: Counts,
    total: usize,
    /// The running tests, and those finished in this leg, that ran longer than their slow timeout.
    slow: HashSet<TestId>,
    /// Results that the summary shows again.
    again: Vec<TestFinished>,
}

impl Human {
    /// A renderer that has seen nothing yet.
    pub(super) fn new(options: RenderOptions, screen: Box<dyn Screen>) -> Self {
        Self {
            theme: Theme::new(options.colour),
            options,
            screen,
            page: String::new(),
            bar: None,
            progress: None,
            waiting: None,
            pace: waiting::Pace::default(),
            script_writes: false,
            stale: false,
            threads: 0,
            counts: Counts::default(),
            total: 0,
            slow: HashSet::new(),
            again: Vec::new(),
        }
    }

    fn shows(&self, level: StatusLevel) -> bool {
        self.options.output.status_level >= level
    }

    /// How many tests have run, and how many run in all.
    fn position(&self) -> (usize, usize) {
        let counts = self.counts;
        let of = self.total.saturating_sub(counts.ignored);
        (counts.passed + counts.failed, of)
    }

    fn blank_counter(&self) -> Counter {
        if self.options.shows_counter() {
            Counter::Blank(self.position().1)
        } else {
            Counter::None
        }
    }

    fn run_started(&mut self, kept: usize, binaries: usize, run: &str) {
        let resumed = kept > 0;
        let word = if resumed { "Resuming" } else { "Starting" };
        push_word(&mut self.page, self.theme, Tone::Good, word);
        let to_run = self.total.saturating_sub(self.counts.finished());
        let tests = count(to_run, "test", "tests");
        let binaries = count(binaries, "binary", "binaries");
        let _ = write!(self.page, "{tests} across {binaries} (");
        if resumed {
            let _ = write!(self.page, "{kept} kept from earlier legs, ");
        }
        if self.counts.ignored > 0 {
            let _ = write!(self.page, "{} ignored, ", self.counts.ignored);
        }
        let _ = writeln!(self.page, "{} at once, run {run})", self.threads);
    }

    fn mechanism(&mut self, mechanism: &str) {
        if self.options.verbose {
            push_word(&mut self.page, self.theme, Tone::Good, "Families");
            let _ = writeln!(self.page, "{mechanism}");
        }
    }

    /// A line of a test that has no result.
    fn test_line(&mut self, word: &str, tone: Tone, time: Time, test: &TestId) {
        let line = status::Line {
            word,
            tone,
            time,
            counter: self.blank_counter(),
            test,
        };
        status::push_line(&mut self.page, self.theme, &line);
    }

    fn test_started(&mut self, test: &TestId) {
        if self.shows(StatusLevel::All) {
            self.test_line("START", Tone::News, Time::Unknown, test);
            self.page.push('\n');
        }
    }

    fn port_taken(&mut self, test: &TestId, port: u16, holder: &str) {
        if self.options.verbose {
            push_word(&mut self.page, self.theme, Tone::News, "Waiting");
            status::push_test(&mut self.page, self.theme, test);
            let _ = writeln!(self.page, ": port {port} is in use by {holder}");
        }
    }

    fn test_slow(&mut self, test: &TestId, elapsed: Duration, ending: bool) {
        self.slow.insert(test.clone());
        if !self.shows(StatusLevel::Slow) {
            return;
        }
        let (word, tone) = if ending {
            ("TERMINATING", Tone::Bad)
        } else {
            ("SLOW", Tone::Warn)
        };
        self.test_line(word, tone, Time::Over(elapsed), test);
        let memory = self.running_memory(test);
        status::push_remark(&mut self.page, self.theme, &memory);
        self.page.push('\n');
    }

    fn running_memory(&self, test: &TestId) -> String {
        self.progress
            .iter()
            .flat_map(|progress| &progress.running)
            .find(|running| running.test == *test)
            .and_then(|running| running.memory)
            .map(|memory| format!("memory {memory}"))
            .unwrap_or_default()
    }

    fn test_finished(&mut self, result: &TestFinished) {
        self.counts = result.counts;
        self.total = result.total;
        self.stale = true;
        let slow = self.slow.contains(&result.test);
        let level = self.level(result);
        let output = result.shown(&self.options.output);
        if self.shows(level) {
            let counter = if !self.options.shows_counter() {
                Counter::None
            } else if matches!(result.outcome, TestOutcome::Ignored) {
                self.blank_counter()
            } else {
                let (at, of) = self.position();
                Counter::Of(at, of)
            };
            let readings = self.readings(result, slow);
            status::push_finished(&mut self.page, self.theme, result, counter, readings);
            if matches!(output, ShowOutput::Immediate | ShowOutput::ImmediateFinal) {
                self.push_output(result);
            }
        }
        if self.options.output.final_status_level >= level {
            let mut result = result.clone();
            if matches!(output, ShowOutput::Immediate | ShowOutput::Never) {
                // It isn't shown again, and a thousand failures would keep a gigabyte.
                result.output = None;
            }
            self.again.push(result);
        }
    }

    fn script_started(&mut self, place: &ScriptPlace) {
        self.script_writes = place.shown;
        if self.shows(StatusLevel::Pass) {
            scripts::push_started(&mut self.page, self.theme, place);
        }
    }

    fn script_slow(&mut self, place: &ScriptPlace, elapsed: Duration, ending: bool) {
        if self.shows(StatusLevel::Slow) {
            scripts::push_slow(&mut self.page, self.theme, place, elapsed, ending);
        }
    }

    fn script_finished(&mut self, end: &ScriptFinished) {
        self.script_writes = false;
        self.stale = true;
        if self.shows(scripts::level(end)) {
            scripts::push_finished(&mut self.page, self.theme, end);
        }
    }

    fn test_retried(&mut self, tried: &TestFinished, delay: Option<Duration>) {
        // The next attempt is as quick as any.
        let slow = self.slow.remove(&tried.test);
        if !self.shows(StatusLevel::Fail) {
            return;
        }
        let readings = self.readings(tried, slow);
        let counter = self.blank_counter();
        status::push_finished(&mut self.page, self.theme, tried, counter, readings);
        status::push_delay(&mut self.page, delay);
        let output = tried.shown(&self.options.output);
        if matches!(output, ShowOutput::Immediate | ShowOutput::ImmediateFinal) {
            self.push_output(tried);
        }
    }

    /// From which status level on a result is shown; a flaky one as a slow one.
    fn level(&self, result: &TestFinished) -> StatusLevel {
        let slow = self.slow.contains(&result.test) || result.attempt.number > 1;
        status::level(&result.outcome, slow, result.leak.is_some())
    }

    fn readings(&self, result: &TestFinished, slow: bool) -> Readings {
        if self.options.verbose {
            Readings::All
        } else if slow || result.outcome.is_failed() {
            Readings::Memory
        } else {
            Readings::None
        }
    }

    fn push_output(&mut self, result: &TestFinished) {
        if let Some(output) = &result.output {
            push_output(&mut self.page, self.theme, output);
        }
    }

    fn test_unfinished(&mut self, test: &TestId, why: Unfinished, elapsed: Duration) {
        // It will start anew: its slowness is forgotten with it.
        self.slow.remove(test);
        if self.shows(StatusLevel::Fail) {
            let word = status::unfinished_word(why);
            self.test_line(word, Tone::Warn, Time::Took(elapsed), test);
            self.page.push('\n');
        }
    }

    fn waiting(&mut self, waiting: &Waiting) {
        let looks = matches!(waiting.next, WaitingNext::Look { .. });
        let drawn = looks && self.options.shows_bar();
        self.waiting = drawn.then(|| Box::new(waiting.clone()));
        self.stale = true;
        if drawn || !self.pace.says(waiting) {
            return;
        }
        self.page
            .push_str(&waiting::line(waiting, self.theme).fit(usize::MAX));
        self.page.push('\n');
        if waiting.next == WaitingNext::GiveUp {
            push_word(&mut self.page, self.theme, Tone::News, "go on");
            let _ = writeln!(self.page, "with `{}`", self.options.resume_command);
        }
    }

    fn run_finished(&mut self, summary: &Summary) {
        self.progress = None;
        summary::push_numbers(&mut self.page, self.theme, summary);
        self.results_again(summary);
        let resume = &self.options.resume_command;
        summary::push_ending(&mut self.page, self.theme, summary, resume);
    }

    /// Shows results again, the worst last: that is where the eye is when the run has ended.
    fn results_again(&mut self, summary: &Summary) {
        let mut again = std::mem::take(&mut self.again);
        let worse = |a: &TestFinished, b: &TestFinished| self.level(b).cmp(&self.level(a));
        again.sort_by(|a, b| worse(a, b).then_with(|| a.test.cmp(&b.test)));
        for result in again.iter().filter(|result| !result.outcome.is_failed()) {
            self.result_again(result);
        }
        if self.options.output.final_status_level < StatusLevel::Fail {
            return;
        }
        let failed: HashMap<_, _> = again.iter().map(|result| (&result.test, result)).collect();
        for (test, outcome) in &summary.failed {
            if let Some(result) = failed.get(test) {
                self.result_again(result);
            } else {
                self.earlier_failure(test, outcome);
            }
        }
    }

    fn result_again(&mut self, result: &TestFinished) {
        let readings = self.readings(result, self.slow.contains(&result.test));
        status::push_finished(&mut self.page, self.theme, result, Counter::None, readings);
        self.push_output(result);
    }

    fn earlier_failure(&mut self, test: &TestId, outcome: &TestOutcome) {
        let (word, tone) = status::word(outcome, false);
        let line = status::Line {
            word: &word,
            tone,
            time: Time::Unknown,
            counter: Counter::None,
            test,
        };
        status::push_line(&mut self.page, self.theme, &line);
        status::push_remark(&mut self.page, self.theme, "in an earlier leg");
        self.page.push('\n');
        status::push_reason(&mut self.page, outcome);
    }

    /// The text that puts the page above the line about what is waited for.
    fn above_waiting(&mut self, waiting: &Waiting) -> String {
        let size = self.screen.size().unwrap_or(USUAL_SIZE);
        let width = usize::from(size.columns).saturating_sub(ECHO);
        let display = Display {
            before: waiting::line(waiting, self.theme).fit(width),
            ..Display::default()
        };
        let bar = self.bar.get_or_insert_with(|| Bar::new(size));
        bar.draw(&self.page, display, size, (0, 0))
    }

    /// The text that puts the page above the progress display.
    fn above_display(&mut self, progress: &Progress) -> String {
        let size = self.screen.size().unwrap_or(USUAL_SIZE);
        let around = Around {
            theme: self.theme,
            size,
            slow: &self.slow,
            threads: self.threads,
        };
        let display = display(progress, &around);
        let position = self.position();
        let bar = self.bar.get_or_insert_with(|| Bar::new(size));
        bar.draw(&self.page, display, size, position)
    }
}

impl Renderer for Human {
    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted {
                run,
                total,
                kept,
                binaries,
                threads,
                counts,
            } => {
                self.counts = *counts;
                self.total = *total;
                self.threads = *threads;
                self.run_started(*kept, *binaries, run.short());
            }
            Event::Mechanism(mechanism) => self.mechanism(mechanism),
            Event::TestStarted { test } => self.test_started(test),
            Event::PortTaken { test, port, holder } => self.port_taken(test, *port, holder),
            Event::TestSlow {
                test,
                elapsed,
                ending,
            } => self.test_slow(test, *elapsed, *ending),
            Event::TestFinished(result) => self.test_finished(result),
            Event::TestRetried { tried, delay } => self.test_retried(tried, *delay),
            Event::TestUnfinished { test, why, elapsed } => {
                self.test_unfinished(test, *why, *elapsed);
            }
            Event::Guard(notice) => push_guard(&mut self.page, self.theme, notice),
            Event::ScriptStarted(script) => self.script_started(script),
            Event::ScriptSlow {
                script,
                elapsed,
                ending,
            } => self.script_slow(script, *elapsed, *ending),
            Event::ScriptFinished(script) => self.script_finished(script),
            Event::Waiting(waiting) => self.waiting(waiting),
            Event::Reaped(reaped) => push_reaped(&mut self.page, self.theme, reaped),
            Event::Warning(warning) => push_warning(&mut self.page, self.theme, warning),
            Event::Progress(progress) => {
                self.progress = Some(progress.clone());
                self.stale = true;
            }
            Event::RunFinished(summary) => self.run_finished(summary),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let text = if let Some(waiting) = self.waiting.take() {
            let text = if self.stale || !self.page.is_empty() {
                self.above_waiting(&waiting)
            } else {
                String::new()
            };
            self.waiting = Some(waiting);
            text
        } else if !self.script_writes
            && let Some(mut progress) = self.progress.take()
        {
            let changed = self.stale || !self.page.is_empty();
            let text = if changed && self.options.shows_bar() {
                progress.counts = self.counts;
                self.above_display(&progress)
            } else {
                std::mem::take(&mut self.page)
            };
            self.progress = Some(progress);
            text
        } else {
            let cleared = self.bar.take().map(|mut bar| bar.clear());
            cleared.unwrap_or_default() + &self.page
        };
        self.stale = false;
        self.page.clear();
        if text.is_empty() {
            return Ok(());
        }
        self.screen.stderr(text.as_bytes())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.progress = None;
        self.waiting = None;
        self.flush()
    }
}

/// Adds something that did not work although the run goes on.
pub(super) fn push_warning(page: &mut String, theme: Theme, warning: &Warning) {
    let word = Painted(theme.word(Tone::Warn), "warning");
    let message = plain_lines(&warning.message, 9);
    let _ = writeln!(page, "{word}: {message}");
    if let Some(hint) = &warning.hint {
        let word = Painted(theme.word(Tone::News), "hint");
        let _ = writeln!(page, "   {word}: {}", plain_lines(hint, 9));
    }
}
