//! How a program in a container has ended, by what its engine says. Pure.

use super::engine::ExecState;
use crate::outcome::Exit;

/// What has become of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Running,
    Exited(Exit),
    /// There was none, for this reason.
    NotStarted(String),
}

/// The signals that end a process which does nothing about them (`signal(7)`): all of 1 to 31 but those that are ignored
/// or stop. A container's are those of Linux.
const HARMLESS: [i32; 8] = [17, 18, 19, 20, 21, 22, 23, 28];

/// What has become of a program that stands so and has begun to say this. Engines have no word for a signal: their code
/// is 128 and its number then, as a shell's, and a program that exits with such a number by itself is taken for one that
/// was killed.
pub(super) fn ending(state: ExecState, said: &str) -> Ending {
    if state.running {
        return Ending::Running;
    }
    let Some(code) = state.code else {
        // A container that has ended takes its programs along.
        return Ending::Exited(Exit::Signal(9));
    };
    // Podman names no process of one that has ended, so what it says has to do.
    let engines_words = ["OCI runtime", "cannot exec in a stopped"];
    let never = !state.started && (125..=127).contains(&code);
    if never && engines_words.iter().any(|words| said.contains(words)) {
        let first = said.lines().next().unwrap_or_default();
        return Ending::NotStarted(first.trim().to_owned());
    }
    let signal = code - 128;
    Ending::Exited(
        if (1..32).contains(&signal) && !HARMLESS.contains(&signal) {
            Exit::Signal(signal)
        } else {
            Exit::Code(code)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(code: Option<i32>, started: bool) -> ExecState {
        ExecState {
            running: false,
            started,
            code,
        }
    }

    #[test]
    fn a_code_is_a_code_and_above_128_a_signal() {
        for (code, exit) in [
            (0, Exit::Code(0)),
            (101, Exit::Code(101)),
            (127, Exit::Code(127)),
            (128, Exit::Code(128)),
            (134, Exit::Signal(6)),
            (137, Exit::Signal(9)),
            (143, Exit::Signal(15)),
            (153, Exit::Signal(25)),
            (145, Exit::Code(145)),
            (255, Exit::Code(255)),
        ] {
            for started in [true, false] {
                let ended = ending(state(Some(code), started), "output");
                assert_eq!(ended, Ending::Exited(exit), "{code}");
            }
        }
        assert_eq!(
            ending(state(None, true), ""),
            Ending::Exited(Exit::Signal(9))
        );
        let running = ExecState {
            running: true,
            ..state(Some(0), true)
        };
        assert_eq!(ending(running, ""), Ending::Running);
    }

    #[test]
    fn what_could_not_be_started_is_told_in_the_engines_words() {
        let docker = "OCI runtime exec failed: exec: \"/x\": no such file\r\nmore";
        let expected = "OCI runtime exec failed: exec: \"/x\": no such file".to_owned();
        assert_eq!(
            ending(state(Some(126), false), docker),
            Ending::NotStarted(expected)
        );
        let podman = "Error: runc: exec failed: OCI runtime attempted to invoke a command";
        assert_eq!(
            ending(state(Some(127), false), podman),
            Ending::NotStarted(podman.to_owned())
        );
        // A test may say so, too, and is one.
        assert_eq!(
            ending(state(Some(126), true), docker),
            Ending::Exited(Exit::Code(126))
        );
    }
}
