//! The only file that writes to standard output and standard error.

use std::io;
use std::io::IsTerminal as _;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use clap::ColorChoice;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;

use crate::env;
use crate::env::Surroundings;

/// Standard output and standard error as they are, for the output of somebody else.
pub(crate) fn raw_streams() -> (impl io::Write, impl io::Write) {
    (io::stdout(), io::stderr())
}

/// Writes whole texts, each in one `write(2)` where the kernel takes it in one. Clones share their
/// streams, so that a thread that renders and the main thread don't write into each other's lines.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    out: Stream,
    err: Stream,
    dumb: bool,
}

#[derive(Clone, Debug)]
struct Stream {
    colour: bool,
    terminal: bool,
    /// Whether somebody still reads. The lock also keeps texts of several threads whole.
    open: Arc<Mutex<bool>>,
}

impl Printer {
    /// The printer of this process, with colours as `choice` and the environment say.
    pub(crate) fn new(choice: ColorChoice, surroundings: &Surroundings) -> Self {
        let stream = |terminal| Stream {
            colour: wants_colour(choice, surroundings, terminal),
            terminal,
            open: Arc::new(Mutex::new(true)),
        };
        Self {
            out: stream(io::stdout().is_terminal()),
            err: stream(io::stderr().is_terminal()),
            dumb: is_dumb(surroundings),
        }
    }

    /// Writes text to standard output, without its colours where none are wanted.
    ///
    /// # Errors
    /// It can't be written. That nobody reads any more is no error: what follows is dropped.
    pub(crate) fn out(&self, text: &str) -> io::Result<()> {
        if self.out.colour {
            self.out.write(&io::stdout(), text.as_bytes())
        } else {
            let plain = anstream::adapter::strip_str(text).to_string();
            self.out.write(&io::stdout(), plain.as_bytes())
        }
    }

    /// Writes bytes to standard output as they are.
    ///
    /// # Errors
    /// As for [`Printer::out`].
    pub(crate) fn out_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.out.write(&io::stdout(), bytes)
    }

    /// Writes bytes to standard error as they are.
    ///
    /// # Errors
    /// As for [`Printer::out`].
    pub(crate) fn err_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.err.write(&io::stderr(), bytes)
    }

    /// Writes text to standard error, without its colours where none are wanted. Where even that
    /// fails there is nobody to tell.
    pub(crate) fn err(&self, text: &str) {
        let written = if self.err.colour {
            self.err_bytes(text.as_bytes())
        } else {
            let plain = anstream::adapter::strip_str(text).to_string();
            self.err_bytes(plain.as_bytes())
        };
        drop(written);
    }

    /// Makes a terminal usable again whose writer died in the middle of a line: on a line of its own,
    /// with a cursor.
    pub(crate) fn recover(&self) {
        if self.err.terminal && !self.dumb {
            drop(self.err_bytes(b"\r\x1b[K\x1b[?25h"));
        }
    }

    /// Whether colours are wanted on standard output.
    pub(crate) fn out_colour(&self) -> bool {
        self.out.colour
    }

    /// Whether standard output is a terminal.
    pub(crate) fn out_is_terminal(&self) -> bool {
        self.out.terminal
    }

    /// The columns of the terminal behind standard output, as they are now; no end where it is none.
    #[expect(clippy::unused_self, reason = "the printer is who knows the terminal")]
    pub(crate) fn out_width(&self) -> usize {
        let size = terminal_size::terminal_size_of(io::stdout());
        size.map_or(usize::MAX, |(width, _)| usize::from(width.0))
    }

    /// Whether colours are wanted on standard error.
    pub(crate) fn err_colour(&self) -> bool {
        self.err.colour
    }

    /// Whether standard error is a terminal.
    pub(crate) fn err_is_terminal(&self) -> bool {
        self.err.terminal
    }

    /// Whether the terminal can't move its cursor.
    pub(crate) fn is_dumb(&self) -> bool {
        self.dumb
    }

    /// Columns and rows of the terminal behind standard error, as they are now.
    #[expect(clippy::unused_self, reason = "the printer is who knows the terminal")]
    pub(crate) fn err_size(&self) -> Option<(u16, u16)> {
        let (width, height) = terminal_size::terminal_size_of(io::stderr())?;
        Some((width.0, height.0))
    }

    /// Writes to standard error when nothing is known any more: in a panic, or before there is a
    /// printer. It takes no lock, for a thread may have panicked while it held one.
    pub(crate) fn emergency(text: &str) {
        let _ = write_all(io::stderr().as_fd(), text.as_bytes());
    }
}

impl Stream {
    /// The standard streams' own buffers are passed by: they split a text at its newlines.
    fn write(&self, to: &impl AsFd, bytes: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !*open {
            return Ok(());
        }
        match write_all(to.as_fd(), bytes) {
            Err(Errno::EPIPE) => {
                *open = false;
                Ok(())
            }
            result => Ok(result?),
        }
    }
}

/// Writes everything. A descriptor that somebody else made non-blocking, as some parents do with a
/// terminal that they share with us, is waited for.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match nix::unistd::write(to, bytes) {
            Ok(0) => return Err(Errno::EIO),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut ready = [PollFd::new(to, PollFlags::POLLOUT)];
                match nix::poll::poll(&mut ready, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether colours are wanted: what was typed, else what cargo was told, else what the environment
/// says to everybody, else whether a terminal shows them.
fn wants_colour(choice: ColorChoice, surroundings: &Surroundings, terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => return true,
        ColorChoice::Never => return false,
        ColorChoice::Auto => {}
    }
    match surroundings
        .var(env::CARGO_TERM_COLOR)
        .and_then(|value| value.to_str())
    {
        Some("always") => return true,
        Some("never") => return false,
        Some(_) | None => {}
    }
    if surroundings.filled(env::NO_COLOR).is_some() {
        return false;
    }
    if surroundings
        .filled(env::CLICOLOR_FORCE)
        .is_some_and(|value| value != "0")
    {
        return true;
    }
    terminal && !is_dumb(surroundings)
}

fn is_dumb(surroundings: &Surroundings) -> bool {
    surroundings
        .filled(env::TERM)
        .is_none_or(|term| term == "dumb")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use nix::fcntl::FcntlArg;
    use nix::fcntl::OFlag;

    use super::*;

    fn surroundings(vars: &[(&str, &str)]) -> Surroundings {
        Surroundings {
            args: Vec::new(),
            vars: vars
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            cwd: "/".into(),
        }
    }

    fn stream() -> Stream {
        Stream {
            colour: false,
            terminal: false,
            open: Arc::new(Mutex::new(true)),
        }
    }

    /// What was typed, whether there is a terminal, the variables, and whether colours are wanted.
    type Case<'a> = (ColorChoice, bool, &'a [(&'a str, &'a str)], bool);

    #[test]
    fn colours_follow_the_first_that_says_something() {
        use ColorChoice::Always;
        use ColorChoice::Auto;
        use ColorChoice::Never;
        let xterm = ("TERM", "xterm");
        let cases: [Case<'_>; 14] = [
            (Always, false, &[("NO_COLOR", "1")], true),
            (Never, true, &[("CLICOLOR_FORCE", "1"), xterm], false),
            (Auto, true, &[xterm], true),
            (Auto, true, &[("TERM", "dumb")], false),
            (Auto, true, &[], false),
            (Auto, false, &[xterm], false),
            (Auto, true, &[("NO_COLOR", "1"), xterm], false),
            (Auto, true, &[("NO_COLOR", ""), xterm], true),
            (Auto, false, &[("CLICOLOR_FORCE", "1")], true),
            (Auto, false, &[("CLICOLOR_FORCE", "0")], false),
            (
                Auto,
                false,
                &[("CARGO_TERM_COLOR", "always"), ("NO_COLOR", "1")],
                true,
            ),
            (Auto, true, &[("CARGO_TERM_COLOR", "never"), xterm], false),
            (Auto, true, &[("CARGO_TERM_COLOR", "auto"), xterm], true),
            (
                Auto,
                true,
                &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1"), xterm],
                false,
            ),
        ];
        for (choice, terminal, vars, expected) in cases {
            let found = wants_colour(choice, &surroundings(vars), terminal);
            assert_eq!(found, expected, "{choice:?} {terminal} {vars:?}");
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error() {
        let (reader, writer) = io::pipe().unwrap();
        let stream = stream();
        stream.write(&writer, b"one").unwrap();
        drop(reader);
        stream.write(&writer, b"two").unwrap();
        assert!(!*stream.open.lock().unwrap(), "it is noticed");
        stream.write(&writer, b"three").unwrap();
    }

    #[test]
    fn other_failures_are_errors() {
        let full = fs_err::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let error = stream().write(full.file(), b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ENOSPC as i32));
    }

    #[test]
    fn a_full_pipe_that_does_not_block_is_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        nix::fcntl::fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        // More than a pipe holds (64 KiB unless it was changed, pipe(7)).
        let text = vec![b'x'; 1 << 20];
        let sent = text.clone();
        let writing = std::thread::spawn(move || stream().write(&writer, &sent));
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        writing.join().unwrap().unwrap();
        assert_eq!(received, text);
    }
}
