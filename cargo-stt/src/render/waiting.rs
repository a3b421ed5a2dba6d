//! What a run says while it waits until the machine has recovered.

use std::time::Duration;

use anstyle::Style;
use stt_core::report::Waiting;
use stt_core::report::WaitingNext;
use stt_core::units::show_duration;

use crate::render::text::Line;
use crate::render::theme::Theme;
use crate::render::theme::Tone;

/// How often it is said where a line, once written, stays.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// Decides which moments of waiting are said where a line, once written, stays: the first, one a minute,
/// and the last.
#[derive(Debug, Default)]
pub(super) struct Pace {
    said: Option<Duration>,
}

impl Pace {
    /// Whether this one is said, which counts as said if so.
    pub(super) fn says(&mut self, waiting: &Waiting) -> bool {
        let due = self
            .said
            .is_none_or(|said| waiting.waited >= said + SAID_EVERY);
        match waiting.next {
            WaitingNext::GoOn | WaitingNext::GiveUp => {
                self.said = None;
                true
            }
            WaitingNext::Look { .. } if due => {
                self.said = Some(waiting.waited);
                true
            }
            WaitingNext::Look { .. } => false,
        }
    }
}

/// One moment of waiting as a line.
pub(super) fn line(waiting: &Waiting, theme: Theme) -> Line {
    let (word, tone) = match waiting.next {
        WaitingNext::Look { .. } => ("Waiting", Tone::Warn),
        WaitingNext::GoOn => ("Going on", Tone::Good),
        WaitingNext::GiveUp => ("Giving up", Tone::Bad),
    };
    let mut line = Line::default();
    line.push(theme.word(tone), format!("{word:>12} "));
    line.push(Style::new(), state(waiting));
    let restart = format!("restart {} of {}", waiting.restart, waiting.max);
    let gives_up = match waiting.next {
        WaitingNext::Look { gives_up_in, .. } => Some(gives_up_in),
        WaitingNext::GoOn | WaitingNext::GiveUp => None,
    };
    let gives_up = gives_up.map(|time| format!("gives up in {}", countdown(time)));
    for part in std::iter::once(restart).chain(gives_up) {
        line.push(theme.dim(), " · ");
        line.push(Style::new(), part);
    }
    line
}

fn state(waiting: &Waiting) -> String {
    let reading = &waiting.reading;
    let stable = show_duration(waiting.stable);
    let aim = |words: &str| match &waiting.line {
        Some(line) => format!("{reading}, {words} {line} for {stable}"),
        None => reading.clone(),
    };
    match waiting.next {
        WaitingNext::Look {
            go_on_in: Some(left),
            ..
        } => format!("{reading}, going on in {}", countdown(left)),
        WaitingNext::Look { go_on_in: None, .. } => aim("to be"),
        WaitingNext::GoOn => reading.clone(),
        WaitingNext::GiveUp => aim("and had to be"),
    }
}

/// The time that is left in whole seconds, rounded up: who reads "1 s" has up to a second to wait.
fn countdown(left: Duration) -> String {
    let whole = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    show_duration(Duration::from_secs(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::cli::MessageFormat;
    use crate::render::options::RenderOptions;
    use crate::render::script::Kept;
    use crate::render::script::piped;
    use crate::render::script::show;
    use crate::render::terminal::Emulator;
    use stt_core::report::Event;

    fn moment(seconds: u64, next: WaitingNext) -> Event {
        Event::Waiting(Box::new(Waiting {
            next,
            reading: "memory at 83 % of the machine (6.6 GiB of 8 GiB)".to_owned(),
            line: Some("below 70 %".to_owned()),
            stable: Duration::from_secs(5),
            waited: Duration::from_secs(seconds),
            restart: 1,
            max: 3,
        }))
    }

    fn look(seconds: u64, left: Option<u64>) -> Event {
        moment(
            seconds,
            WaitingNext::Look {
                go_on_in: left.map(Duration::from_millis),
                gives_up_in: Duration::from_secs(3480 - seconds),
            },
        )
    }

    const TO_BE: &str = "     Waiting memory at 83 % of the machine (6.6 GiB of 8 GiB), to be below \
                         70 % for 5 s · restart 1 of 3 · gives up in";

    #[test]
    fn on_a_pipe_a_line_stands_for_a_minute() {
        let mut script: Vec<Event> = (0..125).map(|second| look(second, None)).collect();
        script.push(moment(125, WaitingNext::GoOn));
        let screen = Kept::new(80, 24);
        show(piped(), &script, &screen);
        let expected = format!(
            "{TO_BE} 58 m 00 s\n{TO_BE} 57 m 00 s\n{TO_BE} 56 m 00 s\n    Going on memory at 83 % \
             of the machine (6.6 GiB of 8 GiB) · restart 1 of 3\n"
        );
        assert_eq!(screen.stderr(), expected);
    }

    #[test]
    fn on_a_terminal_one_line_is_kept_up_to_date_and_fits() {
        let options = RenderOptions {
            terminal: true,
            ..piped()
        };
        let screen = Kept::new(160, 24);
        let mut emulator = Emulator::new(160, 24);
        show(
            options.clone(),
            &[look(0, None), look(1, Some(4200))],
            &screen,
        );
        let drawn = screen.stderr();
        let last = drawn.rfind("     Waiting").expect("it is drawn");
        assert!(
            drawn[last..].contains("going on in 5 s · restart 1 of 3"),
            "{drawn:?}"
        );
        emulator.feed(&drawn);
        assert_eq!(emulator.lines(), Vec::<String>::new(), "cleared at the end");
        let narrow = Kept::new(40, 24);
        show(options, &[look(0, None)], &narrow);
        let mut emulator = Emulator::new(40, 24);
        let drawn = narrow.stderr();
        let shown = drawn.split('\r').next().expect("there is one");
        emulator.feed(shown);
        assert_eq!(emulator.lines(), ["     Waiting memory at 83 % of the ma…"]);
    }

    #[test]
    fn who_gives_up_says_what_it_waited_for_and_how_to_go_on() {
        let screen = Kept::new(80, 24);
        show(piped(), &[moment(3600, WaitingNext::GiveUp)], &screen);
        let said = screen.stderr();
        assert!(
            said.contains("6.6 GiB of 8 GiB), and had to be below 70 % for 5 s"),
            "{said}"
        );
        assert!(said.contains("cargo stt --resume"), "{said}");
    }

    #[test]
    fn programs_hear_it_as_often_as_a_pipe_and_every_time_when_verbose() {
        let script: Vec<Event> = (0..70).map(|second| look(second, Some(900))).collect();
        let lines = |verbose| {
            let options = RenderOptions {
                message_format: MessageFormat::Json,
                verbose,
                ..piped()
            };
            let screen = Kept::new(80, 24);
            show(options, &script, &screen);
            screen
                .stdout()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(true).len(), 70);
        let said = lines(false);
        assert_eq!(said.len(), 2);
        assert_eq!(
            said[0],
            r#"{"type":"waiting","next":"look","reading":"memory at 83 % of the machine (6.6 GiB of 8 GiB)","line":"below 70 %","stable":5.0,"waited":0.0,"go-on-in":0.9,"gives-up-in":3480.0,"restart":1,"max":3}"#
        );
    }
}
