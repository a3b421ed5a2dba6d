//! The progress display on a terminal, drawn by indicatif into memory: results and the display below
//! them leave in one write, so that a terminal never shows half of it.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressState;
use indicatif::ProgressStyle;
use indicatif::TermLike;

use crate::render::progress::Display;
use crate::render::screen::TerminalSize;

/// A display below the results of a run.
pub(super) struct Bar {
    drawing: ProgressBar,
    canvas: Arc<Mutex<Canvas>>,
    width: usize,
}

/// What indicatif draws on, and the text that it draws there.
#[derive(Debug)]
struct Canvas {
    drawn: String,
    size: TerminalSize,
    display: Display,
    /// A line has been drawn, and the next one stands below it.
    after_line: bool,
}

impl Bar {
    /// A display that shows nothing yet.
    pub(super) fn new(size: TerminalSize) -> Self {
        let canvas = Arc::new(Mutex::new(Canvas {
            drawn: String::new(),
            size,
            display: Display::default(),
            after_line: false,
        }));
        let target = ProgressDrawTarget::term_like(Box::new(Terminal(Arc::clone(&canvas))));
        let drawing = ProgressBar::with_draw_target(Some(0), target).with_style(style(0, &canvas));
        Self {
            drawing,
            canvas,
            width: 0,
        }
    }

    /// Puts `lines` above the display and draws it anew; returns what has to be written for it.
    /// Each of the lines is ended.
    pub(super) fn draw(
        &mut self,
        lines: &str,
        display: Display,
        size: TerminalSize,
        (done, of): (usize, usize),
    ) -> String {
        if display.bar != self.width {
            self.width = display.bar;
            self.drawing.set_style(style(self.width, &self.canvas));
        }
        {
            let mut canvas = lock(&self.canvas);
            canvas.size = size;
            canvas.display = display;
        }
        if !lines.is_empty() {
            self.drawing
                .suspend(|| lock(&self.canvas).drawn.push_str(lines));
        }
        self.drawing.update(|state| {
            state.set_pos(done as u64);
            state.set_len(of as u64);
        });
        std::mem::take(&mut lock(&self.canvas).drawn)
    }

    /// Takes the display down; returns what has to be written for it.
    pub(super) fn clear(&mut self) -> String {
        self.drawing.finish_and_clear();
        std::mem::take(&mut lock(&self.canvas).drawn)
    }
}

fn lock(canvas: &Mutex<Canvas>) -> MutexGuard<'_, Canvas> {
    canvas.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first line with a bar of this width, between what the display says before and after it.
fn style(width: usize, canvas: &Arc<Mutex<Canvas>>) -> ProgressStyle {
    let template = if width == 0 {
        "{before}{after}".to_owned()
    } else {
        format!("{{before}}{{bar:{width}}}{{after}}")
    };
    let before = Arc::clone(canvas);
    let after = Arc::clone(canvas);
    ProgressStyle::with_template(&template)
        .expect("the template is well-formed")
        .progress_chars("━╸─")
        .with_key(
            "before",
            move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = out.write_str(&lock(&before).display.before);
            },
        )
        .with_key(
            "after",
            move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = out.write_str(&lock(&after).display.after);
            },
        )
}

/// A terminal in memory. The sequences are ECMA-48's: CUU, CUD, CUF, CUB and EL.
#[derive(Debug)]
struct Terminal(Arc<Mutex<Canvas>>);

impl Terminal {
    fn push(&self, text: &str) {
        lock(&self.0).drawn.push_str(text);
    }

    fn steps(&self, count: usize, direction: char) {
        if count > 0 {
            let _ = write!(lock(&self.0).drawn, "\u{1b}[{count}{direction}");
        }
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        lock(&self.0).size.columns
    }

    fn height(&self) -> u16 {
        lock(&self.0).size.rows
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.steps(n, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.steps(n, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.steps(n, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.steps(n, 'D');
        Ok(())
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.push(s);
        self.push("\n");
        Ok(())
    }

    /// Draws one line of the display, or the space that fills it.
    ///
    /// indicatif fills each line up to the edge of the terminal, so that the next one wraps below it.
    /// A terminal that is made wider then joins such lines, and the next drawing, which counts them,
    /// would erase results above. So the space is left out, and lines are ended like any other.
    fn write_str(&self, s: &str) -> io::Result<()> {
        if s.bytes().all(|byte| byte == b' ') {
            return Ok(());
        }
        let mut canvas = lock(&self.0);
        if std::mem::replace(&mut canvas.after_line, true) {
            canvas.drawn.push('\n');
        }
        canvas.drawn.push_str(s);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.push("\r\u{1b}[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        lock(&self.0).after_line = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::render::terminal::Emulator;

    const SIZE: TerminalSize = TerminalSize {
        columns: 20,
        rows: 8,
    };

    fn display(bar: usize, after: &str) -> Display {
        Display {
            before: "Run ".to_owned(),
            bar,
            after: after.to_owned(),
        }
    }

    #[test]
    fn results_stand_above_the_display_and_nothing_of_an_old_one_stays() {
        let mut screen = Emulator::new(20, 8);
        let mut bar = Bar::new(SIZE);
        screen.feed(&bar.draw(
            "one\n",
            display(5, " 1/2\nrunning a\nrunning b"),
            SIZE,
            (1, 2),
        ));
        assert_eq!(
            screen.lines(),
            ["one", "Run ━━╸── 1/2", "running a", "running b"]
        );
        screen.feed(&bar.draw("two\nthree\n", display(5, " 2/2\nrunning b"), SIZE, (2, 2)));
        assert_eq!(
            screen.lines(),
            ["one", "two", "three", "Run ━━━━━ 2/2", "running b"]
        );
        screen.feed(&bar.draw("", display(0, "x"), SIZE, (2, 2)));
        assert_eq!(screen.lines(), ["one", "two", "three", "Run x"]);
        screen.feed(&bar.clear());
        screen.feed("end\n");
        assert_eq!(screen.lines(), ["one", "two", "three", "end"]);
    }

    #[test]
    fn a_terminal_that_changes_its_width_loses_no_result() {
        for width in [10, 19, 21, 40, 100] {
            let mut screen = Emulator::new(20, 8);
            let mut bar = Bar::new(SIZE);
            let shown = || display(5, " 1/2\nrunning a\nrunning b\nrunning c");
            screen.feed(&bar.draw("one\ntwo\n", shown(), SIZE, (1, 2)));
            screen.resize(width);
            let size = TerminalSize {
                columns: u16::try_from(width).unwrap(),
                rows: 8,
            };
            screen.feed(&bar.draw("three\n", display(0, "x"), size, (1, 2)));
            let lines = screen.lines();
            assert_eq!(lines[..2], ["one", "two"], "{width} columns: {lines:?}");
            assert!(
                lines.ends_with(&["three".to_owned(), "Run x".to_owned()]),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_line_as_wide_as_the_terminal_or_wider_does_not_disturb_it() {
        let mut screen = Emulator::new(20, 8);
        let mut bar = Bar::new(SIZE);
        let full = "0123456789abcdef";
        for round in 0..3 {
            let line = format!("{round}{}\n", "-".repeat(24));
            screen.feed(&bar.draw(&line, display(0, full), SIZE, (1, 2)));
        }
        assert_eq!(
            screen.lines(),
            [
                "0-------------------",
                "-----",
                "1-------------------",
                "-----",
                "2-------------------",
                "-----",
                "Run 0123456789abcdef",
            ]
        );
    }
}
