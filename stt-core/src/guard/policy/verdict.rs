//! What goes into a decision and what comes out of it, and how it reads.

use std::fmt;
use std::time::Duration;

use crate::clock::Moment;
use crate::guard::sample::Bound;
use crate::guard::sample::Memory;
use crate::guard::sample::Tasks;
use crate::units::Bytes;
use crate::units::Percent;
use crate::units::Threshold;
use crate::units::show_duration;

/// What the run is doing at the moment of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// How many tests run.
    pub running: usize,
    /// How many may run at once when nothing is in the way.
    pub wanted: usize,
    /// Whether the one test that runs is a suspect that was started by itself.
    pub alone: bool,
    /// The other runs of the machine.
    pub company: Company,
}

/// The other runs of the machine, as far as they matter when it is in trouble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Company {
    /// How many are older.
    pub older: u32,
    /// How many are younger and run tests. They yield first.
    pub younger: u32,
    /// How many younger ones run tests, and seem to use too little to be waited for.
    pub doubtful: u32,
    /// When the last younger one has yielded.
    pub yielded: Option<Moment>,
    /// What all of them use, as they have told it: up to a second ago.
    pub memory: Bytes,
}

/// What holds until the next verdict, and what is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// No test starts beside one that runs.
    pub hold: bool,
    /// No test starts at all: the run's own memory is over its threshold and has to be freed first.
    pub blocked: bool,
    /// How many tests may run at once; at least one and at most the wanted number.
    pub allowed: usize,
    /// What is to be done now, once.
    pub act: Option<Act>,
    /// What a person should know of.
    pub notes: Vec<Note>,
}

impl Verdict {
    /// What holds while no guard has said anything: everything that is wanted.
    pub fn open(wanted: usize) -> Self {
        Self {
            hold: false,
            blocked: false,
            allowed: wanted,
            act: None,
            notes: Vec::new(),
        }
    }

    /// Whether one more test may start beside so many that run. Unless all is blocked for now, one may: a
    /// run that never goes on is worth less than a slow one.
    pub fn may_start(&self, running: usize) -> bool {
        !self.blocked && running < self.allowed && !(self.hold && running >= 1)
    }
}

/// What the guard wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// End the run. Said again, without grace, when memory becomes critical while it is being ended.
    Stop {
        /// Why.
        breach: Breach,
        /// Whether tests get the time between TERM and KILL; without it they are killed at once.
        grace: bool,
    },
    /// End one running test, which stays outstanding; [`pick_shed`](super::pick_shed) says which.
    Shed {
        /// Why.
        breach: Breach,
    },
    /// The suspect that runs alone breached: it has failed, and the run goes on. Said again, when
    /// memory becomes critical while the test is being ended.
    BreachAlone {
        /// Why. A critical one leaves no time between TERM and KILL.
        breach: Breach,
    },
}

impl Act {
    /// Why.
    pub fn breach(&self) -> &Breach {
        match self {
            Self::Stop { breach, .. } | Self::Shed { breach } | Self::BreachAlone { breach } => {
                breach
            }
        }
    }
}

/// A reading at or over its threshold. Displayed, it is a sentence without its full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// What was read.
    pub reading: Reading,
    /// The line it crossed.
    pub threshold: Threshold,
    /// Set when there is no time left to end anything gently.
    pub critical: Option<Critical>,
    /// For how long the CPU was over its threshold; `None` for memory, which is not waited for.
    pub lasted: Option<Duration>,
    /// What the run itself uses, when it is others who use up the rest.
    pub others: Option<OwnPart>,
}

/// What the run itself uses of something that others have used up. Displayed, it is a clause that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnPart {
    /// Of memory.
    Memory(Bytes),
    /// Of the processes and threads.
    Tasks(u64),
}

/// Why there is no time left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Critical {
    /// The critical line is reached.
    Reached {
        /// The line.
        line: Percent,
    },
    /// At this pace it is reached before the grace period is over.
    Ahead {
        /// The line.
        line: Percent,
        /// The growth of the machine's used memory, in bytes a second.
        rate: Bytes,
    },
}

/// What a decision was made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Memory of the machine, or of the control group that limits us.
    Memory(Memory),
    /// Memory of the run's own family.
    Run(Bytes),
    /// The number of processes and threads of the machine, or of the control group that limits us.
    Tasks(Tasks),
    /// The share of our cores that was busy.
    Cpu {
        /// Busy, of what we may use.
        busy: Percent,
        /// PSI: in which share of the last ten seconds some task waited for a CPU.
        pressure: Option<Percent>,
    },
}

/// Something that a person should know of. Displayed, it is a sentence without its full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// No test starts beside one that runs, from now on.
    Hold {
        /// The reading that is over the hold line.
        reading: Reading,
    },
    /// Tests start again.
    Release {
        /// The reading that allows it.
        reading: Reading,
    },
    /// Another number of tests may run at once.
    Allowed {
        /// How many.
        tests: usize,
        /// The reading that it follows from.
        reading: Reading,
        /// The CPU threshold.
        threshold: Percent,
    },
    /// A reading is over its threshold because of others: a warning.
    Others {
        /// What they use up.
        reading: Reading,
        /// What the run itself uses.
        own: OwnPart,
        /// The line.
        threshold: Threshold,
    },
    /// A reading is missing for so long that nobody is watching it: a warning.
    Blind {
        /// Which.
        sense: Sense,
        /// For how long.
        lasted: Duration,
    },
    /// A reading is back.
    Sees {
        /// Which.
        sense: Sense,
    },
    /// The guard was late, so that memory may have overshot: a warning.
    Late {
        /// By how much.
        late: Duration,
    },
}

impl Note {
    /// Whether it says how well the guard itself works, and not what tests may do.
    pub fn is_about_the_guard(&self) -> bool {
        match self {
            Self::Blind { .. } | Self::Sees { .. } | Self::Late { .. } => true,
            Self::Hold { .. }
            | Self::Release { .. }
            | Self::Allowed { .. }
            | Self::Others { .. } => false,
        }
    }
}

/// What the guard looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// The machine's memory.
    Memory,
    /// The memory of the run's own family.
    Family,
    /// The machine's CPU.
    Cpu,
}

fn whose(bound: Bound) -> &'static str {
    match bound {
        Bound::Machine => "machine",
        Bound::ControlGroup => "control group",
    }
}

impl fmt::Display for OwnPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(memory) => write!(
                f,
                "other processes hold it, the run itself uses only {memory}"
            ),
            Self::Tasks(count) => {
                write!(f, "most are of others, the run itself has only {count}")
            }
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(Memory { used, total, bound }) => {
                let whose = whose(*bound);
                match used.share_of(*total) {
                    Some(share) => {
                        write!(f, "memory at {share} of the {whose} ({used} of {total})")
                    }
                    None => write!(f, "memory of the {whose} at {used}"),
                }
            }
            Self::Run(memory) => write!(f, "memory of the run at {memory}"),
            Self::Tasks(tasks) => {
                let Tasks {
                    alive,
                    limit,
                    bound,
                } = tasks;
                let whose = whose(*bound);
                write!(
                    f,
                    "{alive} of the {limit} processes and threads that the {whose} can have"
                )
            }
            Self::Cpu { busy, pressure } => {
                write!(f, "CPU at {busy}")?;
                match pressure {
                    Some(share) => write!(f, " (waited for in {share} of the last 10 s)"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reading.fmt(f)?;
        match self.lasted {
            Some(lasted) => {
                let (lasted, threshold) = (show_duration(lasted), self.threshold);
                write!(f, ", for {lasted} not below the threshold of {threshold}")?;
            }
            None => write!(f, ", threshold {}", self.threshold)?,
        }
        match self.critical {
            Some(Critical::Reached { line }) => write!(f, ", critical from {line} on")?,
            Some(Critical::Ahead { line, rate }) => {
                write!(f, ", growing by {rate}/s towards the critical {line}")?;
            }
            None => {}
        }
        match self.others {
            Some(own) => write!(f, "; {own}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold { reading } | Self::Release { reading } => reading.fmt(f),
            Self::Allowed {
                reading, threshold, ..
            } => write!(f, "{reading}, threshold {threshold}"),
            Self::Others {
                reading,
                own,
                threshold,
            } => write!(
                f,
                "{reading}, threshold {threshold}; {own}: one test at a time"
            ),
            Self::Blind { sense, lasted } => write!(
                f,
                "the guard is blind: {sense} could not be read for {}",
                show_duration(*lasted)
            ),
            Self::Sees { sense } => write!(f, "the guard sees {sense} again"),
            Self::Late { late } => write!(
                f,
                "the guard was {} late, memory may have overshot its threshold",
                show_duration(*late)
            ),
        }
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Family => "the memory of the run's own processes",
            Self::Cpu => "the CPU",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_reads_as_a_sentence() {
        let reading = Reading::Memory(Memory {
            used: Bytes::mib(19_900),
            total: Bytes::mib(24_000),
            bound: Bound::Machine,
        });
        let breach = Breach {
            reading,
            threshold: Threshold::Machine(Percent::whole(80)),
            critical: None,
            lasted: None,
            others: None,
        };
        let sentence = "memory at 82.9 % of the machine (19.4 GiB of 23.4 GiB), threshold 80 %";
        assert_eq!(breach.to_string(), sentence);

        let line = Percent::whole(92);
        let ahead = Breach {
            critical: Some(Critical::Ahead {
                line,
                rate: Bytes::mib(9_728),
            }),
            others: Some(OwnPart::Memory(Bytes::mib(12))),
            ..breach
        };
        assert_eq!(
            ahead.to_string(),
            format!(
                "{sentence}, growing by 9.5 GiB/s towards the critical 92 %; other processes \
                 hold it, the run itself uses only 12 MiB"
            )
        );

        let run = Breach {
            reading: Reading::Run(Bytes::mib(6144)),
            threshold: Threshold::Run(Bytes::mib(5120)),
            ..breach
        };
        assert_eq!(
            run.to_string(),
            "memory of the run at 6 GiB, threshold 5 GiB"
        );

        let cpu = Breach {
            reading: Reading::Cpu {
                busy: Percent::whole(97),
                pressure: None,
            },
            threshold: Threshold::Machine(Percent::whole(70)),
            lasted: Some(Duration::from_secs(30)),
            ..breach
        };
        assert_eq!(
            cpu.to_string(),
            "CPU at 97 %, for 30 s not below the threshold of 70 %"
        );
    }

    #[test]
    fn a_test_starts_only_where_all_agree() {
        let verdict = |hold, blocked, allowed| Verdict {
            hold,
            blocked,
            allowed,
            act: None,
            notes: Vec::new(),
        };
        for (verdict, running, may) in [
            (verdict(false, false, 2), 0, true),
            (verdict(false, false, 2), 1, true),
            (verdict(false, false, 2), 2, false),
            (verdict(true, false, 2), 0, true),
            (verdict(true, false, 2), 1, false),
            (verdict(false, true, 2), 0, false),
        ] {
            assert_eq!(verdict.may_start(running), may, "{verdict:?}, {running}");
        }
    }
}
