//! When a run that was stopped may go on: as soon as the machine has recovered, and has stayed so for a
//! while. Pure.

use std::fmt;
use std::time::Duration;

use crate::clock::Moment;
use crate::config::GuardConfig;
use crate::config::RestartConfig;
use crate::guard::lines::Lines;
use crate::guard::policy::Contention;
use crate::guard::policy::Reading;
use crate::guard::policy::Sense;
use crate::guard::sample::Memory;
use crate::guard::sample::Sample;
use crate::units::Bytes;
use crate::units::Percent;
use crate::units::Threshold;

/// A machine that uses so much more than before the run is back where it was.
const BACK: Percent = Percent::whole(1);

/// Readings further apart than this say nothing about the time between them: the run was suspended, or
/// the machine was too busy to look.
const LONGEST_GAP: Duration = Duration::from_secs(3);

/// What a run waits for, and what of the past that depends on.
#[derive(Clone, Debug)]
pub struct Recovery {
    memory: MemoryLine,
    cpu: Option<CpuLine>,
    stable: Duration,
    gives_up_at: Moment,
    /// Since when every reading is where it has to be.
    since: Option<Moment>,
    /// When the last sample was taken.
    last: Option<Moment>,
}

/// What is known when a run begins to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// The share of memory in use before the first leg.
    pub memory_before: Option<Percent>,
    /// Whether it was the CPU that the run was stopped for.
    pub cpu: bool,
    /// When it is too late to go on.
    pub gives_up_at: Moment,
}

/// What to do after a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// To look again.
    Wait(Wait),
    /// To go on: so it stands.
    GoOn(Standing),
    /// To wait no longer: so it stands.
    GiveUp(Standing),
}

/// Why a run waits, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How it stands.
    pub because: Standing,
    /// When it may go on at the earliest; `None` while something is not where it has to be.
    pub go_on_at: Option<Moment>,
    /// When it is too late.
    pub gives_up_at: Moment,
}

/// A reading and the line for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This was read.
    Read {
        /// What.
        reading: Reading,
        /// Where it has to be.
        line: Line,
        /// Whether it is there.
        there: bool,
    },
    /// This can't be read, and what is unknown has not recovered.
    Unknown(Sense),
}

/// Where a reading has to be. Displayed, it follows "to be".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Below this share.
    Below(Percent),
    /// At most this share, which is about that from before the run.
    Back(Percent),
    /// Below this size.
    Size(Bytes),
    /// Below this share of busy time, or so that no task waits for a CPU.
    Calm(Percent),
}

#[derive(Clone, Copy, Debug)]
struct MemoryLine {
    below: Percent,
    before: Option<Percent>,
    lines: Lines,
}

#[derive(Clone, Debug)]
struct CpuLine {
    threshold: Percent,
    contention: Contention,
}

impl Recovery {
    /// What a run with this configuration waits for, on a machine where it may use this many cores.
    pub fn new(guard: &GuardConfig, restart: &RestartConfig, past: Past, cores: usize) -> Self {
        let lines = Lines::new(guard);
        // Above the line from which its tests are held a run would only be stopped again.
        let hold = lines.hold_share().unwrap_or(restart.below);
        Self {
            memory: MemoryLine {
                below: restart.below.min(hold),
                before: past.memory_before,
                lines,
            },
            cpu: past.cpu.then(|| CpuLine {
                threshold: guard.cpu_threshold,
                contention: Contention::new(cores),
            }),
            stable: restart.stable,
            gives_up_at: past.gives_up_at,
            since: None,
            last: None,
        }
    }

    /// Takes in a sample of `now`. Nothing of the run's own is alive meanwhile.
    pub fn step(&mut self, sample: &Sample, now: Moment) -> Advice {
        let gap = self.last.map(|last| now.saturating_sub(last));
        self.last = Some(now);
        if gap.is_some_and(|gap| gap > LONGEST_GAP) {
            self.since = None;
        }
        let because = self.standing(sample, now);
        self.since = because.is_there().then(|| self.since.unwrap_or(now));
        let go_on_at = self.since.map(|since| since.saturating_add(self.stable));
        if go_on_at.is_some_and(|at| at <= now) {
            Advice::GoOn(because)
        } else if now >= self.gives_up_at {
            Advice::GiveUp(because)
        } else {
            Advice::Wait(Wait {
                because,
                go_on_at,
                gives_up_at: self.gives_up_at,
            })
        }
    }

    /// The first reading that is not where it has to be; that of memory where all are.
    fn standing(&mut self, sample: &Sample, now: Moment) -> Standing {
        let memory = self.memory.standing(sample);
        let cpu = self.cpu.as_mut().map(|cpu| cpu.standing(sample, now));
        match cpu {
            Some(cpu) if memory.is_there() && !cpu.is_there() => cpu,
            Some(_) | None => memory,
        }
    }
}

impl MemoryLine {
    fn standing(&self, sample: &Sample) -> Standing {
        match self.lines.threshold() {
            Threshold::Machine(_) => self.machine(sample.memory),
            Threshold::Run(_) => self.family(sample),
        }
    }

    fn machine(&self, memory: Option<Memory>) -> Standing {
        let share = memory.and_then(|memory| Some((memory, memory.used.share_of(memory.total)?)));
        let Some((memory, share)) = share else {
            return Standing::Unknown(Sense::Memory);
        };
        let back = self.before.map(|before| Percent(before.0 + BACK.0));
        let (line, there) = match back {
            Some(back) if back >= self.below => (Line::Back(back), share <= back),
            Some(_) | None => (Line::Below(self.below), share < self.below),
        };
        Standing::Read {
            reading: Reading::Memory(memory),
            line,
            there,
        }
    }

    /// A size bounds the run's own processes, and the critical line of the machine holds all the same.
    fn family(&self, sample: &Sample) -> Standing {
        let critical = self.lines.critical_share();
        let full = sample
            .memory
            .filter(|memory| memory.used >= memory.total.percent(critical));
        if let Some(memory) = full {
            return Standing::Read {
                reading: Reading::Memory(memory),
                line: Line::Below(critical),
                there: false,
            };
        }
        let Some(family) = &sample.family else {
            return Standing::Unknown(Sense::Family);
        };
        let (hold, _) = self.lines.hold_and_threshold(Bytes(0));
        Standing::Read {
            reading: Reading::Run(family.memory),
            line: Line::Size(hold),
            there: family.memory < hold,
        }
    }
}

impl CpuLine {
    fn standing(&mut self, sample: &Sample, now: Moment) -> Standing {
        self.contention.note(sample, now);
        let Some(busy) = sample.cpu_busy else {
            return Standing::Unknown(Sense::Cpu);
        };
        let pressure = sample.cpu_pressure;
        Standing::Read {
            reading: Reading::Cpu { busy, pressure },
            line: Line::Calm(self.threshold),
            there: busy < self.threshold || !self.contention.is_there(pressure),
        }
    }
}

impl Standing {
    /// Whether the reading is where it has to be.
    pub fn is_there(&self) -> bool {
        match self {
            Self::Read { there, .. } => *there,
            Self::Unknown(_) => false,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(share) => write!(f, "below {share}"),
            Self::Back(share) => write!(f, "at most {share}, as before the run"),
            Self::Size(size) => write!(f, "below {size}"),
            Self::Calm(share) => write!(f, "below {share}, or waited for by nobody"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::policy::fixtures::config;
    use crate::guard::policy::fixtures::cpu;
    use crate::guard::policy::fixtures::memory;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    fn restart() -> RestartConfig {
        RestartConfig {
            auto: true,
            max: 3,
            within: Duration::from_secs(3600),
            below: Percent::whole(70),
            stable: Duration::from_secs(5),
        }
    }

    fn past(before: Option<u32>) -> Past {
        Past {
            memory_before: before.map(Percent),
            cpu: false,
            gives_up_at: Moment::from_secs(60),
        }
    }

    fn recovery(past: Past) -> Recovery {
        Recovery::new(&config(), &restart(), past, 4)
    }

    fn goes_on(recovery: &mut Recovery, sample: &Sample) -> Option<u64> {
        let mut advice =
            (0..60).map(|second| (second, recovery.step(sample, Moment::from_secs(second))));
        let went = advice.find(|(_, advice)| matches!(advice, Advice::GoOn(_)));
        went.map(|(second, _)| second)
    }

    #[test]
    fn a_machine_below_its_line_or_back_where_it_was_goes_on_after_a_while() {
        for (used, before, at) in [
            (699, None, Some(5)),
            (700, None, None),
            (760, Some(760), Some(5)),
            (770, Some(760), Some(5)),
            (771, Some(760), None),
            (699, Some(300), Some(5)),
            (700, Some(300), None),
        ] {
            let mut recovery = recovery(past(before));
            let sample = memory(used, 0);
            assert_eq!(goes_on(&mut recovery, &sample), at, "{used} {before:?}");
        }
    }

    #[test]
    fn a_low_threshold_is_not_waited_for_above_the_line_that_holds_tests() {
        let mut guard = config();
        guard.memory_threshold = Threshold::Machine(Percent::whole(50));
        for (used, at) in [(399, Some(5)), (401, None)] {
            let mut recovery = Recovery::new(&guard, &restart(), past(None), 4);
            assert_eq!(goes_on(&mut recovery, &memory(used, 0)), at, "{used}");
        }
        guard.memory_threshold = Threshold::Machine(Percent::whole(90));
        let mut recovery = Recovery::new(&guard, &restart(), past(None), 4);
        assert_eq!(goes_on(&mut recovery, &memory(699, 0)), Some(5));
    }

    #[test]
    fn it_says_what_it_waits_for_and_how_long() {
        let mut recovery = recovery(past(None));
        let Advice::Wait(wait) = recovery.step(&memory(830, 0), Moment::from_secs(1)) else {
            panic!("it waits");
        };
        let Standing::Read { line, there, .. } = wait.because else {
            panic!("it was read");
        };
        assert_eq!((line.to_string().as_str(), there), ("below 70 %", false));
        assert_eq!(
            (wait.go_on_at, wait.gives_up_at),
            (None, Moment::from_secs(60))
        );
        let Advice::Wait(wait) = recovery.step(&memory(600, 0), Moment::from_secs(2)) else {
            panic!("it waits");
        };
        assert_eq!(wait.go_on_at, Some(Moment::from_secs(7)));
        let late = recovery.step(&memory(830, 0), Moment::from_secs(60));
        assert!(matches!(late, Advice::GiveUp(_)), "{late:?}");
    }

    #[test]
    fn what_cannot_be_read_has_not_recovered() {
        assert_eq!(
            goes_on(&mut recovery(past(Some(990))), &Sample::default()),
            None
        );
        let mut recovery = recovery(past(None));
        for second in 0..4 {
            recovery.step(&memory(100, 0), Moment::from_secs(second));
        }
        recovery.step(&Sample::default(), Moment::from_secs(4));
        let advice = recovery.step(&memory(100, 0), Moment::from_secs(6));
        assert!(
            matches!(advice, Advice::Wait(wait) if wait.go_on_at == Some(Moment::from_secs(11)))
        );
    }

    #[test]
    fn a_size_is_about_the_run_and_nothing_of_it_is_alive() {
        let mut guard = config();
        guard.memory_threshold = Threshold::Run(Bytes(100));
        let recovery = || Recovery::new(&guard, &restart(), past(None), 4);
        assert_eq!(goes_on(&mut recovery(), &memory(900, 0)), Some(5));
        assert_eq!(goes_on(&mut recovery(), &memory(100, 90)), None);
        assert_eq!(goes_on(&mut recovery(), &memory(920, 0)), None, "critical");
        let mut unread = memory(100, 0);
        unread.family = None;
        assert_eq!(goes_on(&mut recovery(), &unread), None);
    }

    #[test]
    fn after_a_stop_for_the_cpu_nobody_may_wait_for_one() {
        let busy = |percent, pressure, runnable| Sample {
            runnable: Some(runnable),
            ..cpu(percent, pressure)
        };
        for (sample, cpu, at) in [
            (busy(100, 50, 20), false, Some(5)),
            (busy(100, 50, 20), true, None),
            (busy(79, 50, 20), true, Some(5)),
            (busy(100, 5, 20), true, Some(5)),
            (
                Sample {
                    cpu_busy: None,
                    ..busy(10, 0, 1)
                },
                true,
                None,
            ),
        ] {
            let past = Past { cpu, ..past(None) };
            assert_eq!(goes_on(&mut recovery(past), &sample), at, "{sample:?}");
        }
    }

    #[test]
    fn a_gap_is_no_time_of_calm() {
        let mut recovery = recovery(past(None));
        recovery.step(&memory(100, 0), Moment::from_secs(0));
        let advice = recovery.step(&memory(100, 0), Moment::from_secs(40));
        assert!(
            matches!(advice, Advice::Wait(wait) if wait.go_on_at == Some(Moment::from_secs(45)))
        );
    }

    proptest! {
        #[test]
        fn it_goes_on_only_after_calm_and_gives_up_in_time(
            looks in vec((1..4000_u64, option::weighted(0.95, 640..720_u64)), 1..80),
            before in option::of(600..720_u32), stable in 0..8_u64, late in 1..120_u64,
        ) {
            let mut restart = restart();
            restart.stable = Duration::from_secs(stable);
            let gives_up_at = Moment::from_secs(late);
            let past = Past { gives_up_at, ..past(before) };
            let mut recovery = Recovery::new(&config(), &restart, past, 4);
            let mut now = Moment::ZERO;
            let mut history: Vec<(Moment, bool)> = Vec::new();
            for (after, used) in looks {
                now += Duration::from_millis(after);
                let sample = used.map_or_else(Sample::default, |used| memory(used, 0));
                let line = before.map_or(0, |before| u64::from(before) + 10);
                history.push((now, used.is_some_and(|used| used < 700 || used <= line)));
                // Told back to front: for how long all was well, without a gap.
                let (mut since, mut next) = (None, now);
                for &(at, good) in history.iter().rev() {
                    if !good || next.saturating_sub(at) > LONGEST_GAP {
                        break;
                    }
                    (since, next) = (Some(at), at);
                }
                let calm = since.is_some_and(|since| now.saturating_sub(since) >= restart.stable);
                match recovery.step(&sample, now) {
                    Advice::GoOn(standing) => prop_assert!(calm && standing.is_there()),
                    Advice::GiveUp(_) => prop_assert!(!calm && now >= gives_up_at),
                    Advice::Wait(wait) => {
                        prop_assert!(!calm && now < gives_up_at);
                        let expected = since.map(|since| since + restart.stable);
                        prop_assert_eq!(wait.go_on_at, expected);
                    }
                }
            }
        }
    }
}
