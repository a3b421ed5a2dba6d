//! What a supervisor knows of its worker, and what follows from the worker's end. Pure.

use std::time::Duration;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::container::Address;
use crate::id::RunId;
use crate::outcome::Exit;

/// The longest line of a note, so that one write puts all of it into the pipe (`PIPE_BUF`, `pipe(7)`).
pub(crate) const NOTE: usize = 4096;

/// How many processes one note names: each takes 34 bytes at most.
const NAMED: usize = 100;

/// The signals by which a worker ends in an orderly way: it cleans up, then raises them again. Their
/// numbers are the same everywhere (`signal(7)`): HUP, INT, QUIT, TERM.
const RAISED_AGAIN: [i32; 4] = [1, 2, 3, 15];

/// `signal(7)`.
const SIGKILL: i32 = 9;

/// One life of a worker, as it is told when it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leg {
    /// How often the run was restarted before.
    pub restarts: u32,
    /// The time since the first leg began.
    pub since: Duration,
}

/// Something that the worker tells its supervisor, so that the supervisor knows what to do should the
/// worker die.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub enum Note {
    /// Which run this is.
    Run {
        /// The run.
        run: RunId,
        /// Its leg, as the checkpoint counts them.
        leg: u32,
        /// Whether and how often it may be restarted.
        restart: RestartTerms,
    },
    /// The temporary directory of the run's own.
    TmpDir {
        /// Where it is.
        path: Utf8PathBuf,
    },
    /// The run can be resumed from this file.
    Checkpoint {
        /// Where it is.
        path: Utf8PathBuf,
    },
    /// The control group that all tests are born in.
    Group {
        /// Its directory.
        path: Utf8PathBuf,
    },
    /// Tests are about to make something at a container engine.
    Engine {
        /// Where it listens.
        address: Address,
        /// How long removing it may take.
        budget: Duration,
    },
    /// Tests may make something with Podman's command, which writes it down in the temporary directory.
    Podman {
        /// How long removing it may take.
        budget: Duration,
    },
    /// The run is known to others by a record.
    Registration {
        /// The lock that says that it lives.
        lock: Utf8PathBuf,
    },
    /// Tests run from now on, and these processes are none of theirs.
    Spared {
        /// Process ids, each with its start time.
        processes: Vec<(i32, u64)>,
    },
}

/// On what terms a run is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartTerms {
    /// Whether it is.
    pub auto: bool,
    /// How often at most.
    pub max: u32,
    /// How long after the beginning of its first leg at most.
    pub within: Duration,
}

impl Note {
    /// The note as lines, each with its end and at most [`NOTE`] bytes long. What can't be said so
    /// shortly is not said: that is a path of thousands of bytes.
    pub(crate) fn lines(&self) -> Vec<Vec<u8>> {
        let parts = match self {
            Self::Spared { processes } if processes.len() > NAMED => processes
                .chunks(NAMED)
                .map(|some| Self::Spared {
                    processes: some.to_vec(),
                })
                .collect(),
            Self::Run { .. }
            | Self::TmpDir { .. }
            | Self::Checkpoint { .. }
            | Self::Group { .. }
            | Self::Engine { .. }
            | Self::Podman { .. }
            | Self::Registration { .. }
            | Self::Spared { .. } => vec![self.clone()],
        };
        let lines = parts.iter().filter_map(|part| {
            let mut line = serde_json::to_vec(part).ok()?;
            line.push(b'\n');
            Some(line).filter(|line| line.len() <= NOTE)
        });
        lines.collect()
    }
}

/// What a worker has told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The run and its leg.
    pub(crate) run: Option<(RunId, u32)>,
    /// Whether it may be restarted.
    pub(crate) restart: Option<RestartTerms>,
    /// The run's temporary directory.
    pub(crate) tmpdir: Option<Utf8PathBuf>,
    /// From which file the run can be resumed.
    pub(crate) checkpoint: Option<Utf8PathBuf>,
    /// The control group of its tests.
    pub(crate) group: Option<Utf8PathBuf>,
    /// The container engine at which its tests have made something, and how long removing that may take.
    pub(crate) engine: Option<(Address, Duration)>,
    /// How long removing what its tests have made with Podman's command may take, if they may have.
    pub(crate) podman: Option<Duration>,
    /// The lock of its record.
    pub(crate) lock: Option<Utf8PathBuf>,
    /// Whether tests have run.
    pub(crate) testing: bool,
    /// Who is none of the tests'.
    pub(crate) spared: Vec<(i32, u64)>,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
}

impl Told {
    /// Takes what came through the pipe. A line that is no note says nothing.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                if let Ok(note) = serde_json::from_slice(&line) {
                    self.note(note);
                }
            } else if self.partial.len() > NOTE {
                self.partial.clear();
            }
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Run { run, leg, restart } => {
                self.run = Some((run, leg));
                self.restart = Some(restart);
            }
            Note::TmpDir { path } => self.tmpdir = Some(path),
            Note::Checkpoint { path } => self.checkpoint = Some(path),
            Note::Group { path } => self.group = Some(path),
            Note::Engine { address, budget } => self.engine = Some((address, budget)),
            Note::Podman { budget } => self.podman = Some(budget),
            Note::Registration { lock } => self.lock = Some(lock),
            Note::Spared { processes } => {
                self.testing = true;
                self.spared.extend(processes);
            }
        }
    }
}

/// What the exit codes of a worker mean.
#[derive(Clone, Copy, Debug)]
pub struct Codes {
    /// The guard stopped the run, which can be resumed.
    pub stopped: i32,
    /// A thread of the worker has panicked.
    pub bug: i32,
    /// Every code that a worker returns.
    pub returned: &'static [i32],
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// As it should, or by a signal that asked it to.
    Orderly,
    /// As it should, because the guard stopped the run.
    Stopped,
    /// SIGKILL ended it: the kernel was short of memory, or somebody wanted it to be gone.
    Killed,
    /// It crashed, or exited as no worker does.
    Crashed,
}

impl Ending {
    /// What an exit means.
    pub(crate) fn of(exit: Exit, codes: &Codes) -> Self {
        match exit {
            Exit::Code(code) if code == codes.stopped => Self::Stopped,
            Exit::Code(code) if code == codes.bug => Self::Crashed,
            Exit::Code(code) if codes.returned.contains(&code) => Self::Orderly,
            Exit::Signal(SIGKILL) => Self::Killed,
            Exit::Signal(signal) if RAISED_AGAIN.contains(&signal) => Self::Orderly,
            Exit::Code(_) | Exit::Signal(_) => Self::Crashed,
        }
    }

    /// Whether nobody has cleaned up.
    pub fn is_death(self) -> bool {
        match self {
            Self::Killed | Self::Crashed => true,
            Self::Orderly | Self::Stopped => false,
        }
    }
}

/// How the supervisor itself ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Last {
    /// As the worker did.
    As(Exit),
    /// The run was killed, and can be resumed.
    Killed,
    /// The worker crashed.
    Crashed,
}

/// What follows from the end of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// How it ended.
    pub(crate) ending: Ending,
    /// Whether whoever is left below us is ended.
    pub(crate) sweep: bool,
    /// Whether the run goes on with another worker.
    pub(crate) restart: bool,
    /// How to end if it does not.
    pub(crate) last: Last,
}

/// Decides what follows.
///
/// Whoever is left is ended when the worker has died, and after an orderly end once tests have run: a
/// build that failed may leave a compile server, as cargo's own would. A run is restarted only when it
/// can be resumed and nobody has asked it to end (`interrupted`).
pub(crate) fn decide(
    exit: Exit,
    codes: &Codes,
    told: &Told,
    leg: Leg,
    interrupted: Option<i32>,
) -> Decision {
    let ending = Ending::of(exit, codes);
    let terms = told
        .restart
        .filter(|_| told.checkpoint.is_some() && interrupted.is_none());
    let may = terms
        .is_some_and(|terms| terms.auto && leg.restarts < terms.max && leg.since < terms.within);
    Decision {
        ending,
        sweep: ending.is_death() || told.testing,
        restart: may && ending != Ending::Orderly,
        last: match ending {
            Ending::Orderly | Ending::Stopped => Last::As(exit),
            Ending::Killed => Last::Killed,
            Ending::Crashed => Last::Crashed,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CODES: Codes = Codes {
        stopped: 42,
        bug: 70,
        returned: &[0, 4, 42, 70, 100],
    };

    const TERMS: RestartTerms = RestartTerms {
        auto: true,
        max: 3,
        within: Duration::from_secs(60),
    };

    fn notes() -> Vec<Note> {
        vec![
            Note::Run {
                run: RunId::from_random([7; 16]),
                leg: 2,
                restart: TERMS,
            },
            Note::TmpDir {
                path: "/tmp/stt-07".into(),
            },
            Note::Checkpoint {
                path: "target/ü.json".into(),
            },
            Note::Engine {
                address: Address::Unix("/run/docker.sock".into()),
                budget: Duration::from_secs(7),
            },
            Note::Spared {
                processes: (1..1000).map(|pid| (pid, u64::MAX)).collect(),
            },
        ]
    }

    fn told() -> Told {
        let mut told = Told::default();
        for line in notes().iter().flat_map(Note::lines) {
            told.hear(&line);
        }
        told
    }

    #[test]
    fn every_note_arrives_in_short_lines() {
        let lines: Vec<_> = notes().iter().flat_map(Note::lines).collect();
        assert!(lines.iter().all(|line| line.len() <= NOTE));
        let told = told();
        assert_eq!(told.run, Some((RunId::from_random([7; 16]), 2)));
        assert_eq!(told.restart, Some(TERMS));
        assert_eq!(told.tmpdir, Some("/tmp/stt-07".into()));
        assert_eq!(told.checkpoint, Some("target/ü.json".into()));
        let engine = Address::Unix("/run/docker.sock".into());
        assert_eq!(told.engine, Some((engine, Duration::from_secs(7))));
        assert_eq!(told.spared.len(), 999);
        assert!(told.testing);
    }

    #[test]
    fn a_path_beyond_all_measure_is_not_told() {
        let path = Utf8PathBuf::from("x".repeat(NOTE));
        assert!(Note::TmpDir { path }.lines().is_empty());
    }

    #[test]
    fn an_ending_is_known_by_its_exit() {
        for (exit, ending, last) in [
            (Exit::Code(0), Ending::Orderly, Last::As(Exit::Code(0))),
            (Exit::Code(100), Ending::Orderly, Last::As(Exit::Code(100))),
            (Exit::Code(42), Ending::Stopped, Last::As(Exit::Code(42))),
            (
                Exit::Signal(15),
                Ending::Orderly,
                Last::As(Exit::Signal(15)),
            ),
            (Exit::Code(70), Ending::Crashed, Last::Crashed),
            (Exit::Code(1), Ending::Crashed, Last::Crashed),
            (Exit::Signal(11), Ending::Crashed, Last::Crashed),
            (Exit::Signal(9), Ending::Killed, Last::Killed),
        ] {
            let decision = decide(exit, &CODES, &Told::default(), Leg::default(), None);
            assert_eq!((decision.ending, decision.last), (ending, last), "{exit:?}");
            assert!(!decision.restart, "nothing is known of a run");
            assert_eq!(decision.sweep, ending.is_death());
        }
    }

    #[test]
    fn a_run_is_restarted_when_all_allows_it() {
        let leg = |restarts, seconds| Leg {
            restarts,
            since: Duration::from_secs(seconds),
        };
        let restarts = |told: &Told, leg, interrupted| {
            [Exit::Signal(9), Exit::Signal(6), Exit::Code(42)]
                .map(|exit| decide(exit, &CODES, told, leg, interrupted).restart)
        };
        let told = told();
        assert_eq!(restarts(&told, leg(2, 59), None), [true; 3]);
        assert_eq!(restarts(&told, leg(3, 59), None), [false; 3]);
        assert_eq!(restarts(&told, leg(0, 60), None), [false; 3]);
        assert_eq!(restarts(&told, leg(0, 0), Some(15)), [false; 3]);
        let no_checkpoint = Told {
            checkpoint: None,
            ..told.clone()
        };
        assert_eq!(restarts(&no_checkpoint, leg(0, 0), None), [false; 3]);
        let manual = Told {
            restart: Some(RestartTerms {
                auto: false,
                ..TERMS
            }),
            ..told
        };
        assert_eq!(restarts(&manual, leg(0, 0), None), [false; 3]);
    }

    proptest! {
        #[test]
        fn notes_come_whole_however_the_bytes_do(cuts in proptest::collection::vec(1_usize..5000, 0..30)) {
            let all: Vec<u8> = notes().iter().flat_map(Note::lines).flatten().collect();
            let (mut heard, mut rest) = (Told::default(), &*all);
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                heard.hear(piece);
                rest = after;
            }
            heard.hear(rest);
            prop_assert_eq!(heard, told());
        }

        #[test]
        fn foreign_bytes_say_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..20_000)) {
            let mut heard = Told::default();
            heard.hear(&bytes);
            heard.hear(b"\n");
            prop_assert_eq!(heard, Told::default());
        }

        #[test]
        fn an_orderly_end_is_passed_on_and_never_restarted(
            code in proptest::sample::select(vec![0, 4, 100]),
            restarts in 0_u32..5,
        ) {
            let leg = Leg { restarts, since: Duration::ZERO };
            let decision = decide(Exit::Code(code), &CODES, &told(), leg, None);
            prop_assert!(!decision.restart && decision.sweep);
            prop_assert_eq!(decision.last, Last::As(Exit::Code(code)));
        }

        #[test]
        fn a_crash_loop_ends(exits in proptest::collection::vec(
            prop_oneof![Just(Exit::Signal(9)), Just(Exit::Signal(11)), Just(Exit::Code(42))], 10,
        )) {
            let (told, mut leg) = (told(), Leg::default());
            for exit in exits {
                if !decide(exit, &CODES, &told, leg, None).restart {
                    break;
                }
                leg.restarts += 1;
            }
            prop_assert_eq!(leg.restarts, TERMS.max);
        }
    }
}
