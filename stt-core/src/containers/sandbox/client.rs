//! What stands in the place of a test that runs in a container: a process of its own, through which the output flows, and
//! which ends as the test does. So whatever is done to a test can be done to it.

use std::ffi::OsString;
use std::io;
use std::io::PipeReader;
use std::io::Read as _;
use std::io::Write;
use std::os::fd::AsFd as _;

use camino::Utf8PathBuf;
use fs_err as fs;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::resource::Resource;
use nix::sys::resource::setrlimit;
use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGQUIT;
use signal_hook::consts::SIGTERM;

use super::engine::Caller;
use super::engine::PATIENCE;
use super::exit::Ending;
use super::exit::ending;
use super::frames::Frames;
use super::frames::Which;
use super::http::Connection;
use super::spec;
use crate::command::CommandLine;
use crate::command::Environment;
use crate::container::Address;
use crate::outcome::Exit;

/// The word by which our program knows that it is to be such a process.
pub const CLIENT: &str = "in-container";

/// Its exit code when there was no test: then it has written down why.
pub const NO_TEST: i32 = 125;

/// How much of the output is kept, for the words of an engine that could not start the program.
const KEPT: usize = 1024;

/// How long a program that was asked for may take until it can be sent a signal, in rounds of [`ROUND`].
const ROUNDS: u32 = 100;
/// Milliseconds.
const ROUND: u16 = 20;

/// What is to be started where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The engine.
    pub(super) engine: Address,
    /// The container.
    pub(super) container: String,
    /// The program in it, as the engine knows it.
    pub(super) exec: String,
    /// Process 1 of the container.
    pub(super) idle: Utf8PathBuf,
    /// Where it is written why there was no test.
    pub(super) complaint: Utf8PathBuf,
}

impl Call {
    /// The command of the process, given our own program.
    pub fn command(&self, program: &Utf8PathBuf, env: Environment) -> CommandLine {
        let engine = self.engine.to_string();
        let words = [CLIENT, &engine, &self.container, &self.exec];
        let paths = [self.idle.as_str(), self.complaint.as_str()];
        CommandLine::new(program, "/".into(), env).args(words.iter().chain(&paths))
    }

    /// What such a command says, the program first; `None` when it is another one.
    pub fn of_words(words: &[OsString]) -> Option<Self> {
        let words: Option<Vec<_>> = words.iter().skip(1).map(|word| word.to_str()).collect();
        match words?[..] {
            [CLIENT, engine, container, exec, idle, complaint] => Some(Self {
                engine: engine.parse().ok()?,
                container: container.to_owned(),
                exec: exec.to_owned(),
                idle: idle.into(),
                complaint: complaint.into(),
            }),
            _ => None,
        }
    }

    /// Why there was no test, if there was none.
    pub fn complaint(&self) -> Option<String> {
        let said = fs::read_to_string(&self.complaint).ok();
        drop(fs::remove_file(&self.complaint));
        said
    }
}

/// Starts the program of a call, passes on what it says, and the signals that it gets. Returns how it has ended.
pub fn attend(call: &Call, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    // It may end by a signal in the name of somebody else, and has nothing to say of that itself.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    attended(call, [out, err]).unwrap_or_else(|why| {
        // Without a place for it, the code says at least that there was no test.
        drop(fs::write(&call.complaint, why.as_bytes()));
        Exit::Code(NO_TEST)
    })
}

fn attended(call: &Call, to: [&mut dyn Write; 2]) -> Result<Exit, String> {
    let signals = watch().map_err(|error| format!("signals can't be watched: {error}"))?;
    let caller = Caller {
        address: call.engine.clone(),
    };
    let unreachable = |error| format!("the engine at {} has failed: {error}", call.engine);
    let mut connection = Connection::open(&call.engine, PATIENCE).map_err(unreachable)?;
    let target = format!("/exec/{}/start", call.exec);
    let body = r#"{"Detach":false,"Tty":false}"#;
    let come = connection.upgrade(&target, body).map_err(unreachable)?;
    let mut stream = Passing {
        frames: Frames::default(),
        to,
        kept: Vec::new(),
    };
    stream.pass(&come);
    let forward = || forward(&caller, call);
    // Whoever reads our output may be gone; the test is ended by others then.
    follow(&mut connection, &signals, forward, |bytes| {
        stream.pass(bytes);
    })
    .map_err(unreachable)?;
    drop(connection);
    let said = String::from_utf8_lossy(&stream.kept);
    let mut pause = 1;
    loop {
        let state = caller.exec_state(&call.exec);
        let state = state.map_err(|error| error.to_string())?;
        match ending(state, &said) {
            Ending::Running => {}
            Ending::Exited(exit) => return Ok(exit),
            Ending::NotStarted(why) => return Err(why),
        }
        // It has closed its output, or the engine is about to say.
        if wait(&signals, pause) {
            forward();
        }
        pause = (pause * 2).min(50);
    }
}

/// Reads the stream until it ends.
fn follow(
    connection: &mut Connection,
    signals: &PipeReader,
    forward: impl Fn(),
    mut pass: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut fds = [
            PollFd::new(connection.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            done => done?,
        };
        let ready = |index: usize| fds[index].revents().is_some_and(|found| !found.is_empty());
        let (stream, signalled) = (ready(0), ready(1));
        if signalled && wait(signals, 0) {
            forward();
        }
        if stream {
            match connection.read(&mut buffer)? {
                0 => return Ok(()),
                count => pass(&buffer[..count]),
            }
        }
    }
}

/// Where the pieces of the stream go.
struct Passing<'a> {
    frames: Frames,
    to: [&'a mut dyn Write; 2],
    kept: Vec<u8>,
}

impl Passing<'_> {
    fn pass(&mut self, mut come: &[u8]) {
        while let Some((which, piece)) = self.frames.next(&mut come) {
            let room = KEPT.saturating_sub(self.kept.len());
            self.kept.extend(&piece[..piece.len().min(room)]);
            let to = &mut self.to[usize::from(which == Which::Stderr)];
            drop(to.write_all(piece).and_then(|()| to.flush()));
        }
    }
}

/// Asks everybody in the container to end. A signal that comes before the program would reach nobody.
fn forward(caller: &Caller, call: &Call) {
    for _ in 0..ROUNDS {
        match caller.exec_state(&call.exec) {
            Ok(state) if state.running && !state.started => {}
            Ok(_) | Err(_) => break,
        }
        let _ = poll(&mut [], PollTimeout::from(ROUND));
    }
    let body = spec::signal(SIGTERM, &call.idle);
    // Who can't be reached so is killed when his grace is over.
    let sent = caller.exec(&call.container, &body);
    drop(sent.and_then(|exec| caller.start_detached(&exec)));
}

/// Has the signals by which somebody is asked to end written into a pipe.
fn watch() -> io::Result<PipeReader> {
    let (reader, writer) = io::pipe()?;
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
        let writer = writer.try_clone()?;
        signal_hook::low_level::pipe::register(signal, writer)?;
    }
    Ok(reader)
}

/// Waits for a signal for so many milliseconds, and says whether there was one. Which does not matter to whoever is to
/// end.
fn wait(mut signals: &PipeReader, milliseconds: u16) -> bool {
    let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    let count = poll(&mut fds, PollTimeout::from(milliseconds)).unwrap_or(0);
    count > 0 && signals.read(&mut [0; 64]).is_ok_and(|read| read > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_says_what_a_call_is() {
        let call = Call {
            engine: "unix:///run/x.sock".parse().unwrap(),
            container: "c".to_owned(),
            exec: "e".to_owned(),
            idle: "/t/idle".into(),
            complaint: "/t/why".into(),
        };
        let command = call.command(&"/bin/cargo-stt".into(), Environment::default());
        let words: Vec<_> = [command.program].into_iter().chain(command.args).collect();
        assert_eq!(Call::of_words(&words), Some(call));
        for words in [
            &["cargo-stt"][..],
            &["cargo-stt", CLIENT],
            &["cargo-stt", CLIENT, "ssh://a", "c", "e", "i", "w"],
            &["cargo-stt", "run", "unix:///a", "c", "e", "i", "w"],
        ] {
            let words: Vec<_> = words.iter().map(OsString::from).collect();
            assert_eq!(Call::of_words(&words), None, "{words:?}");
        }
    }
}
