//! What the guard decides, as a line.

use std::fmt::Write as _;

use stt_core::report::GuardNotice;

use crate::render::status;
use crate::render::summary::count;
use crate::render::summary::push_word;
use crate::render::text::plain_lines;
use crate::render::theme::Theme;
use crate::render::theme::Tone;

/// Adds a decision with its reading.
pub(super) fn push_guard(page: &mut String, theme: Theme, notice: &GuardNotice) {
    let (word, tone, reason) = match notice {
        GuardNotice::Hold { reason } => ("Holding", Tone::Warn, reason),
        GuardNotice::Release { reason } => ("Releasing", Tone::Good, reason),
        GuardNotice::Allowed { reason, .. } => ("Governing", Tone::Warn, reason),
        GuardNotice::Shared { reason, .. } => ("Sharing", Tone::News, reason),
        GuardNotice::Shed { reason, .. } => ("Shedding", Tone::Warn, reason),
        GuardNotice::Stop { reason } => ("Stopping", Tone::Bad, reason),
    };
    push_word(page, theme, tone, word);
    match notice {
        GuardNotice::Hold { .. } => page.push_str("no test starts for now"),
        GuardNotice::Release { .. } => page.push_str("tests start again"),
        GuardNotice::Stop { .. } => page.push_str("the run"),
        GuardNotice::Allowed { tests, .. } => {
            let tests = count(*tests, "test", "tests");
            let _ = write!(page, "at most {tests} at once");
        }
        GuardNotice::Shared { tests: 0, .. } => {
            page.push_str("this run waits for its turn");
        }
        GuardNotice::Shared { tests, .. } => {
            let tests = count(*tests, "test", "tests");
            let _ = write!(page, "{tests} of this one at once");
        }
        GuardNotice::Shed { test, memory, .. } => {
            status::push_test(page, theme, test);
            if let Some(memory) = memory {
                let _ = write!(page, " ({memory})");
            }
        }
    }
    let reason = plain_lines(reason, status::INDENT);
    let _ = writeln!(page, ": {reason}");
}
