//! What a test printed, shown as indented blocks that can do no harm to the terminal.
//!
//! The output of a test is a stranger's text. Of its escape sequences only those that set colours
//! and weights pass (SGR, ECMA-48 8.3.117), and only where colours are shown at all; everything else
//! that a terminal would act on is dropped or written out.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use stt_core::report::Captured;
use stt_core::report::Stream;
use stt_core::units::Bytes;

use crate::render::text::plain;
use crate::render::theme::Painted;
use crate::render::theme::Theme;

const INDENT: &str = "    ";
/// Ends every colour and weight.
const RESET: &str = "\u{1b}[0m";

/// Adds the blocks of both streams; a stream without a byte has none.
pub(super) fn push_output(page: &mut String, theme: Theme, output: &Captured) {
    for (name, stream) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if stream.head.is_empty() && stream.tail.is_empty() && stream.omitted == 0 {
            continue;
        }
        let heading = Painted(theme.strong(), format_args!("{name} ───"));
        let _ = writeln!(page, "  {heading}");
        push_stream(page, theme, stream);
        page.push('\n');
    }
}

fn push_stream(page: &mut String, theme: Theme, stream: &Stream) {
    if stream.omitted == 0 {
        // Head and tail are one text here, and a character may lie across their border.
        push_text(page, theme, &[&stream.head[..], &stream.tail[..]].concat());
        return;
    }
    push_text(page, theme, &stream.head);
    let size = Bytes(stream.omitted);
    let _ = write!(page, "{INDENT}");
    let note = match &stream.spilled {
        Some(path) => {
            let path = plain(path.as_str());
            format!("[{size} are left out here; the output is in {path}]")
        }
        None => format!("[{size} are left out here, and were not kept]"),
    };
    let _ = writeln!(page, "{}", Painted(theme.strong(), note));
    push_text(page, theme, &stream.tail);
}

/// Adds the text, each line indented, the last one ended, and all its colours too.
fn push_text(page: &mut String, theme: Theme, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut writer = Writer {
        page,
        colour: theme.colour(),
        coloured: false,
        at_start: true,
    };
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => writer.escape(&mut chars),
            // The same commands as single characters (C1, ECMA-48 5.3).
            '\u{9b}' => writer.control_sequence(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(&mut chars),
            '\r' if chars.peek() == Some(&'\n') => {}
            // A lone carriage return would let the text overwrite itself: what it hides is shown.
            '\n' | '\r' => writer.end_line(),
            '\t' => writer.push('\t'),
            c if c.is_control() => writer.written_out(c),
            c => writer.push(c),
        }
    }
    writer.finish();
}

struct Writer<'a> {
    page: &'a mut String,
    colour: bool,
    coloured: bool,
    at_start: bool,
}

impl Writer<'_> {
    fn start_line(&mut self) {
        if self.at_start {
            self.page.push_str(INDENT);
            self.at_start = false;
        }
    }

    fn push(&mut self, c: char) {
        self.start_line();
        self.page.push(c);
    }

    fn written_out(&mut self, c: char) {
        self.start_line();
        let _ = write!(self.page, "\\x{:02x}", u32::from(c));
    }

    fn end_line(&mut self) {
        self.page.push('\n');
        self.at_start = true;
    }

    /// What follows an ESC: a control sequence, a string for the terminal, or a short command.
    fn escape(&mut self, chars: &mut Peekable<Chars<'_>>) {
        match chars.peek() {
            Some('[') => {
                chars.next();
                self.control_sequence(chars);
            }
            Some('P' | 'X' | ']' | '^' | '_') => {
                chars.next();
                skip_string(chars);
            }
            _ => {
                while chars.next_if(|c| matches!(c, ' '..='/')).is_some() {}
                chars.next_if(|c| matches!(c, '0'..='~'));
            }
        }
    }

    /// Parameters, intermediate characters and a final one (ECMA-48 5.4).
    fn control_sequence(&mut self, chars: &mut Peekable<Chars<'_>>) {
        let mut parameters = String::new();
        while let Some(c) = chars.next_if(|c| matches!(c, ' '..='?')) {
            parameters.push(c);
        }
        let last = chars.next_if(|c| matches!(c, '@'..='~'));
        let sets_style = last == Some('m')
            && parameters
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, ';' | ':'));
        if sets_style && self.colour {
            // Before the indent where a line begins: a line with nothing else in it stays empty.
            let _ = write!(self.page, "\u{1b}[{parameters}m");
            self.coloured = !parameters.bytes().all(|byte| byte == b'0');
        }
    }

    fn finish(mut self) {
        if self.coloured {
            self.page.push_str(RESET);
        }
        if !self.at_start {
            self.end_line();
        }
    }
}

/// Drops a string meant for the terminal (a title, a link, a clipboard). It ends with BEL or ST; an
/// unfinished one ends with its line, so that it can't swallow the rest of the output.
fn skip_string(chars: &mut Peekable<Chars<'_>>) {
    while let Some(c) = chars.peek() {
        match c {
            '\n' | '\r' => return,
            '\u{7}' | '\u{9c}' => {
                chars.next();
                return;
            }
            // The first half of a two-character ST, or of another command that cuts the string off.
            '\u{1b}' => {
                if chars.clone().nth(1) == Some('\\') {
                    chars.nth(1);
                }
                return;
            }
            _ => {
                chars.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn stream(head: &[u8], omitted: u64, tail: &[u8], spilled: Option<&str>) -> Stream {
        Stream {
            head: head.to_vec(),
            omitted,
            tail: tail.to_vec(),
            spilled: spilled.map(Into::into),
        }
    }

    fn shown(colour: bool, bytes: &[u8]) -> String {
        let mut page = String::new();
        push_text(&mut page, Theme::new(colour), bytes);
        page
    }

    #[test]
    fn both_streams_are_indented_under_their_names() {
        let output = Captured {
            stdout: stream(b"\nrunning 1 test\n", 0, b"", None),
            stderr: stream(b"thread panicked\nno newline", 0, b"", None),
        };
        let mut page = String::new();
        push_output(&mut page, Theme::new(false), &output);
        assert_eq!(
            page,
            "  stdout ───\n\n    running 1 test\n\n  stderr ───\n    thread panicked\n    no newline\n\n"
        );
        page.clear();
        push_output(&mut page, Theme::new(false), &Captured::default());
        assert_eq!(page, "");
    }

    #[test]
    fn what_was_omitted_is_counted_and_its_file_named() {
        let mut page = String::new();
        let spilled = stream(b"head\n", 3 << 29, b"tail\n", Some("target/stt/out.txt"));
        push_stream(&mut page, Theme::new(false), &spilled);
        assert_eq!(
            page,
            "    head\n    [1.5 GiB are left out here; the output is in target/stt/out.txt]\n    tail\n"
        );
        page.clear();
        push_stream(
            &mut page,
            Theme::new(false),
            &stream(b"he", 10, b"il", None),
        );
        assert_eq!(
            page,
            "    he\n    [10 B are left out here, and were not kept]\n    il\n"
        );
    }

    #[test]
    fn a_character_across_the_border_of_head_and_tail_is_whole() {
        let mut page = String::new();
        push_stream(
            &mut page,
            Theme::new(false),
            &stream(b"gr\xc3", 0, b"\xb6n\n", None),
        );
        assert_eq!(page, "    gr\u{f6}n\n");
    }

    #[test]
    fn hostile_output_is_harmless_and_nothing_readable_is_lost() {
        for (bytes, plain_text, coloured) in [
            (&b"a\xff\xfeb"[..], "    a\u{fffd}\u{fffd}b\n", None),
            (
                b"red \x1b[31mtext",
                "    red text\n",
                Some("    red \x1b[31mtext\x1b[0m\n"),
            ),
            (
                b"\x1b[38;5;1mx\x1b[0m\n",
                "    x\n",
                Some("\x1b[38;5;1m    x\x1b[0m\n"),
            ),
            (b"x\x1b[2J\x1b[H\x1b[?1049hy", "    xy\n", None),
            (b"x\x1b[>4;1my", "    xy\n", None),
            (b"\x1bcx\x1b7\x1b(0y", "    xy\n", None),
            (
                b"\x1b]0;title\x07x\x1b]8;;http://e/\x1b\\y",
                "    xy\n",
                None,
            ),
            (b"\x1b]0;unfinished\nnext", "\n    next\n", None),
            (
                b"\x1b]0;cut\x1b[31mx",
                "    x\n",
                Some("\x1b[31m    x\x1b[0m\n"),
            ),
            (
                b"\xc2\x9b31mx\xc2\x9d0;t\xc2\x9cy",
                "    xy\n",
                Some("\x1b[31m    xy\x1b[0m\n"),
            ),
            (b"\x1b", "", None),
            (b"\x1b[", "", None),
            (b"x\x1b[31", "    x\n", None),
            (
                b"bell\x07 null\0 back\x08 del\x7f",
                "    bell\\x07 null\\x00 back\\x08 del\\x7f\n",
                None,
            ),
            (
                b"10%\r20%\r\ndone\r\n",
                "    10%\n    20%\n    done\n",
                None,
            ),
            (b"a\tb", "    a\tb\n", None),
        ] {
            assert_eq!(shown(false, bytes), plain_text, "{bytes:?}");
            assert_eq!(
                shown(true, bytes),
                coloured.unwrap_or(plain_text),
                "{bytes:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_byte_string_gets_a_command_through(bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(&b"\x1b[]m;0\r\n\x9b\xc2"[..])], 0..60
        )) {
            let text = shown(false, &bytes);
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
            prop_assert!(text.is_empty() || text.ends_with('\n'));
            // With colours, the same text is left when the style commands are taken out.
            let mut coloured = shown(true, &bytes);
            while let Some(start) = coloured.find('\u{1b}') {
                let end = start + coloured[start..].find('m').expect("a style command ends");
                coloured.replace_range(start..=end, "");
            }
            prop_assert_eq!(coloured, text);
        }
    }
}
