//! What a process's end means for its test, in the words of those who are told. Pure.

use std::sync::Arc;

use crate::checkpoint;
use crate::container::Thing;
use crate::limits::Exceeded;
use crate::limits::LimitHit;
use crate::limits::Limits;
use crate::limits::Resources;
use crate::outcome::EndReason;
use crate::outcome::Exit;
use crate::outcome::Failure;
use crate::outcome::TestOutcome;
use crate::outcome::signal_name;
use crate::process;
use crate::process::DriveError;
use crate::process::Ended;
use crate::process::Left;
use crate::process::Settled;
use crate::process::SpawnError;
use crate::process::Survivor;
use crate::report::Captured;
use crate::report::Leak;
use crate::report::LeakedProcess;
use crate::report::Stream;
use crate::run::desk::Peak;
use crate::units::Bytes;

/// What is known of a test beside the end of its process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts<'a> {
    /// What it may use.
    pub(crate) limits: Option<&'a Limits>,
    /// Whether the kernel held it to its limit of memory.
    pub(crate) memory_is_held: bool,
    /// What it was seen to use while it ran.
    pub(crate) peak: Option<Peak>,
    /// The largest resident set of our own, which the kernel takes for its child's where that had less.
    pub(crate) own_peak: Option<Bytes>,
    /// Whether the kernel has just killed somebody because memory was short.
    pub(crate) memory_was_short: bool,
    /// Whether it has left containers behind, or what belongs to them.
    pub(crate) left_containers: bool,
    /// Whether a test that leaves something behind has failed.
    pub(crate) leaks_fail: bool,
}

/// What a test used with its whole family. Where a control group has counted, its figures are exact; else
/// they are put together from what the kernel tells of the dead and what was seen of the living.
pub(crate) fn resources(ended: &Ended, peak: Option<Peak>) -> Resources {
    let group = ended.group.unwrap_or_default();
    let seen = peak.unwrap_or_default();
    let peak_memory = ended.peak_memory.max(seen.memory);
    // A group counts processes only.
    let beside = Some(seen.memory).filter(|_| seen.in_containers > Bytes(0));
    Resources {
        cpu: group.cpu.unwrap_or(ended.cpu) + seen.cpu_in_containers,
        peak_memory: group.peak_memory.max(beside).unwrap_or(peak_memory),
        processes: group.processes.or(peak.map(|peak| peak.threads)),
        read: group.read.or(ended.read),
        written: group.written.or(ended.written.max(seen.written)),
    }
}

/// What a test that could not be started comes to: a failure, unless it was to make room before that.
pub(crate) fn not_started(error: &SpawnError) -> Settled {
    if let SpawnError::CalledOff {
        reason: EndReason::Unfinished(why),
    } = error
    {
        return Settled::Unfinished(*why);
    }
    could_not_start(super::error::chain(error))
}

/// What a test comes to that could not be started for this reason: a failure.
pub(crate) fn could_not_start(reason: String) -> Settled {
    Settled::Final(TestOutcome::Failed(Failure::Start { reason }))
}

/// Whether the test has its result. One that was ended for a limit, or that turns out to have exceeded one,
/// has failed for that. A test whose output was lost has not passed: nobody knows what it had to say. One that
/// left something behind has not either, where that is asked for; a failure of its own says more.
pub(crate) fn settled(ended: &Ended, used: &Resources, facts: &Facts<'_>) -> Settled {
    let failed = |failure| Settled::Final(TestOutcome::Failed(failure));
    let settled = process::settle(ended.exit, ended.ended.clone());
    match settled {
        Settled::Unfinished(_) => return settled,
        Settled::Final(TestOutcome::Failed(Failure::Limit(hit))) => {
            return failed(Failure::Limit(with_peak(hit, used)));
        }
        Settled::Final(_) if ended.ended.is_some() => {}
        Settled::Final(_) => {
            if let Some(hit) = exceeded(ended, used, facts) {
                return failed(Failure::Limit(hit));
            }
            if died_of(ended, "SIGKILL") && was_short(ended, facts) {
                let peak = used.peak_memory;
                return failed(Failure::OutOfMemory { peak });
            }
        }
    }
    match &ended.error {
        Some(error @ (DriveError::Output(_) | DriveError::Status(_))) => failed(Failure::Output {
            reason: super::error::chain(error),
        }),
        None if settled == Settled::Final(TestOutcome::Passed)
            && facts.leaks_fail
            && (ended.left != Left::default() || facts.left_containers) =>
        {
            failed(Failure::Leak)
        }
        None => settled,
    }
}

/// The limit that a test has exceeded by the time of its end, although nobody ended it for that: the kernel
/// did, or it was over before anybody had looked.
fn exceeded(ended: &Ended, used: &Resources, facts: &Facts<'_>) -> Option<LimitHit> {
    let limits = facts.limits?;
    let passed = ended.exit == Exit::Code(0);
    let group = ended.group.unwrap_or_default();
    let memory = limits.memory.filter(|&limit| {
        let enforced = group.oom_kills.is_some_and(|kills| kills > 0)
            && group.peak_memory.is_none_or(|peak| is_near(peak, limit));
        let watched = group.peak_memory.is_none() && !facts.memory_is_held;
        let measured = watched && is_over(ended, limit, facts);
        (enforced && !passed) || measured
    });
    let cpu_time = limits.cpu_time.filter(|&limit| {
        let signalled = died_of(ended, "SIGXCPU");
        signalled || used.cpu > limit
    });
    let processes = limits.processes.filter(|&limit| {
        let refused = group.pids_refused.is_some_and(|refused| refused > 0);
        (refused && !passed) || used.processes.is_some_and(|used| used > limit)
    });
    let file_size = limits.file_size.filter(|_| died_of(ended, "SIGXFSZ"));
    let written = limits
        .written
        .filter(|&limit| used.written.is_some_and(|used| used > limit));
    let memory = memory.map(|limit| Exceeded::Memory { limit, used: limit });
    let cpu_time = cpu_time.map(|limit| Exceeded::CpuTime { limit, used: limit });
    let processes = processes.map(|limit| Exceeded::Processes { limit, used: limit });
    let file_size = file_size.map(|limit| Exceeded::FileSize { limit });
    let written = written.map(|limit| Exceeded::Written { limit, used: limit });
    let exceeded = memory
        .or(file_size)
        .or(cpu_time)
        .or(processes)
        .or(written)?;
    let hit = LimitHit {
        limits: limits.name.to_string(),
        exceeded,
        container: None,
    };
    Some(with_peak(hit, used))
}

/// Whether a signal of this name ended the test, and nobody of us had sent one.
pub(crate) fn died_of(ended: &Ended, signal: &str) -> bool {
    match ended.exit {
        Exit::Signal(number) => ended.ended.is_none() && signal_name(number) == signal,
        Exit::Code(_) => false,
    }
}

/// Whether a family was over its limit of memory, as far as it was seen, or one process of it by itself. The
/// latter says nothing where the kernel may have told our own size.
fn is_over(ended: &Ended, limit: Bytes, facts: &Facts<'_>) -> bool {
    let seen = facts.peak.is_some_and(|peak| peak.memory > limit);
    let own = facts.own_peak.is_none_or(|own| own >= ended.peak_memory);
    seen || (ended.peak_memory > limit && !own)
}

/// Whether so much is the limit, but for what the kernel could not give at once any more.
fn is_near(peak: Bytes, limit: Bytes) -> bool {
    peak.0 >= limit.0 - limit.0 / 16
}

/// Whether a test that was killed, and not by us, was probably killed because memory was short.
fn was_short(ended: &Ended, facts: &Facts<'_>) -> bool {
    let group = ended.group.and_then(|group| group.oom_kills);
    group.map_or(facts.memory_was_short, |kills| kills > 0)
}

/// A hit with the most that was used, which may be more than when it was noticed.
fn with_peak(hit: LimitHit, used: &Resources) -> LimitHit {
    let Resources {
        cpu,
        peak_memory,
        processes,
        read: _,
        written,
    } = *used;
    let exceeded = match hit.exceeded {
        Exceeded::Memory { limit, used } => Exceeded::Memory {
            limit,
            used: used.max(peak_memory),
        },
        Exceeded::CpuTime { limit, used } => Exceeded::CpuTime {
            limit,
            used: used.max(cpu),
        },
        Exceeded::Processes { limit, used } => Exceeded::Processes {
            limit,
            used: used.max(processes.unwrap_or(used)),
        },
        Exceeded::Written { limit, used } => Exceeded::Written {
            limit,
            used: used.max(written.unwrap_or(used)),
        },
        same @ (Exceeded::Time { .. } | Exceeded::FileSize { .. }) => same,
    };
    LimitHit { exceeded, ..hit }
}

/// What the test left behind, if anything. What a test leaves that was ended was ended with it, and is
/// no fault of its own.
pub(crate) fn leak(left: Left, containers: Vec<Thing>) -> Option<Leak> {
    let leak = Leak {
        output_open: left.output_open,
        processes: left.processes.into_iter().map(leaked).collect(),
        containers,
    };
    (leak != Leak::default()).then_some(leak)
}

/// A process that outlived its test, or all tests.
pub(crate) fn leaked(survivor: Survivor) -> LeakedProcess {
    LeakedProcess {
        pid: survivor.pid,
        command: survivor.command,
        ports: survivor.ports,
        still_held: survivor.still_held,
    }
}

/// What the test printed.
pub(crate) fn captured(output: process::Output) -> Captured {
    let stream = |kept: process::Kept| Stream {
        head: kept.head,
        omitted: kept.omitted,
        tail: kept.tail,
        spilled: kept.spilled,
    };
    Captured {
        stdout: stream(output.stdout),
        stderr: stream(output.stderr),
    }
}

/// What of that the checkpoint keeps.
pub(crate) fn recorded(output: &Captured) -> Arc<checkpoint::Output> {
    let text =
        |stream: &Stream| checkpoint::Text::bounded(&stream.head, stream.omitted, &stream.tail);
    Arc::new(checkpoint::Output {
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::EndReason;
    use crate::outcome::Unfinished;
    use crate::port::Port;
    use crate::port::Protocol;
    use crate::port::StillHeld;
    use crate::process::GroupUsage;

    const SECOND: Duration = Duration::from_secs(1);

    fn ended(exit: Exit) -> Ended {
        Ended {
            exit,
            cpu: SECOND,
            peak_memory: Bytes(100),
            read: Some(Bytes(7)),
            written: Some(Bytes(50)),
            group: None,
            duration: SECOND,
            ended: None,
            left: Left::default(),
            error: None,
        }
    }

    fn limits() -> Limits {
        Limits {
            name: "fast".into(),
            memory: Some(Bytes(100)),
            cpu_time: Some(SECOND),
            processes: Some(5),
            file_size: Some(Bytes(1)),
            written: Some(Bytes(50)),
            ..Limits::default()
        }
    }

    fn outcome(ended: &Ended, facts: &Facts<'_>) -> Settled {
        settled(ended, &resources(ended, facts.peak), facts)
    }

    fn failure(ended: &Ended, facts: &Facts<'_>) -> Failure {
        match outcome(ended, facts) {
            Settled::Final(TestOutcome::Failed(failure)) => failure,
            other @ (Settled::Final(_) | Settled::Unfinished(_)) => panic!("{other:?}"),
        }
    }

    fn limit(exceeded: Exceeded) -> Failure {
        Failure::Limit(LimitHit {
            limits: "fast".to_owned(),
            exceeded,
            container: None,
        })
    }

    const PASSED: Settled = Settled::Final(TestOutcome::Passed);

    fn port() -> Port {
        Port {
            protocol: Protocol::Tcp,
            address: "127.0.0.1".parse().unwrap(),
            number: 8080,
        }
    }

    fn process() -> Survivor {
        Survivor {
            pid: 4711,
            command: "sleep 1000".to_owned(),
            ports: vec![port()],
            still_held: vec![StillHeld {
                port: port(),
                by: Vec::new(),
            }],
            in_group: true,
        }
    }

    #[test]
    fn a_leak_fails_only_who_passed_and_only_where_that_is_asked_for() {
        let lefts = [
            (Left::default(), false),
            (
                Left {
                    output_open: true,
                    processes: Vec::new(),
                },
                true,
            ),
            (
                Left {
                    output_open: false,
                    processes: vec![process()],
                },
                true,
            ),
        ];
        let failed = |failure| Settled::Final(TestOutcome::Failed(failure));
        let passed = PASSED;
        let stopped = EndReason::Unfinished(Unfinished::Stopped);
        for (left, leaky) in lefts {
            let settled = |exit, reason, leaks| {
                let ended = Ended {
                    ended: reason,
                    left: left.clone(),
                    ..ended(exit)
                };
                let facts = Facts {
                    leaks_fail: leaks,
                    ..Facts::default()
                };
                outcome(&ended, &facts)
            };
            let zero = Exit::Code(0);
            assert_eq!(settled(zero, None, false), passed);
            let expected = if leaky {
                failed(Failure::Leak)
            } else {
                passed.clone()
            };
            assert_eq!(settled(zero, None, true), expected);
            for (exit, reason, expected) in [
                (Exit::Code(101), None, failed(Failure::Exit(101))),
                (Exit::Signal(6), None, failed(Failure::Signal(6))),
                (
                    Exit::Signal(9),
                    Some(stopped.clone()),
                    Settled::Unfinished(Unfinished::Stopped),
                ),
            ] {
                assert_eq!(settled(exit, reason, true), expected, "{left:?}");
            }
        }
    }

    #[test]
    fn a_leak_is_written_down_with_its_ports() {
        assert_eq!(leak(Left::default(), Vec::new()), None);
        let left = Left {
            output_open: true,
            processes: vec![process()],
        };
        let expected = [
            "its output was still open",
            "4711 sleep 1000 (listening on 127.0.0.1:8080)",
            "port 8080 (127.0.0.1:8080) is still held by a process that can't be seen",
        ];
        assert_eq!(leak(left, Vec::new()).unwrap().lines(), expected);
    }

    #[test]
    fn what_is_used_up_is_allowed_and_what_is_over_has_failed_also_when_it_passed() {
        let limits = limits();
        let facts = Facts {
            limits: Some(&limits),
            own_peak: Some(Bytes(20)),
            ..Facts::default()
        };
        assert_eq!(outcome(&ended(Exit::Code(0)), &facts), PASSED);
        let over = |change: fn(&mut Ended)| {
            let mut ended = ended(Exit::Code(0));
            change(&mut ended);
            (outcome(&ended, &Facts::default()), failure(&ended, &facts))
        };
        let cases = [
            (
                over(|ended| ended.cpu *= 2),
                Exceeded::CpuTime {
                    limit: SECOND,
                    used: 2 * SECOND,
                },
            ),
            (
                over(|ended| ended.peak_memory = Bytes(101)),
                Exceeded::Memory {
                    limit: Bytes(100),
                    used: Bytes(101),
                },
            ),
            (
                over(|ended| ended.written = Some(Bytes(51))),
                Exceeded::Written {
                    limit: Bytes(50),
                    used: Bytes(51),
                },
            ),
        ];
        for ((without, with), exceeded) in cases {
            assert_eq!((without, with), (PASSED, limit(exceeded)));
        }
        let peak = Some(Peak {
            threads: 6,
            ..Peak::default()
        });
        let many = Facts { peak, ..facts };
        let exceeded = Exceeded::Processes { limit: 5, used: 6 };
        assert_eq!(failure(&ended(Exit::Code(0)), &many), limit(exceeded));
    }

    #[test]
    fn a_size_that_may_be_our_own_is_nobodys_fault() {
        let limits = limits();
        let mut large = ended(Exit::Code(0));
        large.peak_memory = Bytes(900);
        for (own_peak, passes) in [(None, true), (Some(900), true), (Some(899), false)] {
            let facts = Facts {
                limits: Some(&limits),
                own_peak: own_peak.map(Bytes),
                ..Facts::default()
            };
            assert_eq!(outcome(&large, &facts) == PASSED, passes, "{own_peak:?}");
        }
    }

    #[test]
    fn signals_of_the_kernel_are_told_by_their_limits() {
        let limits = limits();
        let facts = Facts {
            limits: Some(&limits),
            ..Facts::default()
        };
        let exceeded = [
            (25, Exceeded::FileSize { limit: Bytes(1) }),
            (
                24,
                Exceeded::CpuTime {
                    limit: SECOND,
                    used: SECOND,
                },
            ),
        ];
        for (signal, exceeded) in exceeded {
            let ended = ended(Exit::Signal(signal));
            assert_eq!(failure(&ended, &facts), limit(exceeded));
            assert_eq!(failure(&ended, &Facts::default()), Failure::Signal(signal));
        }
    }

    #[test]
    fn a_kill_is_for_want_of_memory_only_where_the_kernel_says_so_and_not_ours() {
        let short = Facts {
            memory_was_short: true,
            ..Facts::default()
        };
        let oom = Failure::OutOfMemory { peak: Bytes(100) };
        let mut killed = ended(Exit::Signal(9));
        assert_eq!(failure(&killed, &short), oom);
        assert_eq!(failure(&killed, &Facts::default()), Failure::Signal(9));
        assert_eq!(failure(&ended(Exit::Signal(6)), &short), Failure::Signal(6));
        assert_eq!(failure(&ended(Exit::Code(1)), &short), Failure::Exit(1));
        // The group knows it better.
        killed.group = Some(GroupUsage {
            oom_kills: Some(0),
            ..GroupUsage::default()
        });
        assert_eq!(failure(&killed, &short), Failure::Signal(9));
        killed.ended = Some(EndReason::Timeout(SECOND));
        assert_eq!(failure(&killed, &short), Failure::Timeout { after: SECOND });
        killed.ended = Some(EndReason::Unfinished(Unfinished::Stopped));
        assert_eq!(
            outcome(&killed, &short),
            Settled::Unfinished(Unfinished::Stopped)
        );
    }

    #[test]
    fn the_peak_is_told_that_came_after_the_order() {
        let mut killed = ended(Exit::Signal(9));
        killed.peak_memory = Bytes(140);
        let told = Exceeded::Memory {
            limit: Bytes(100),
            used: Bytes(110),
        };
        killed.ended = Some(EndReason::Limit(LimitHit {
            limits: "fast".to_owned(),
            exceeded: told,
            container: None,
        }));
        let exceeded = Exceeded::Memory {
            limit: Bytes(100),
            used: Bytes(140),
        };
        assert_eq!(failure(&killed, &Facts::default()), limit(exceeded));
    }

    #[test]
    fn what_a_group_has_counted_wins() {
        let group = GroupUsage {
            cpu: Some(3 * SECOND),
            memory: None,
            peak_memory: Some(Bytes(96)),
            processes: Some(4),
            read: None,
            written: Some(Bytes(0)),
            oom_kills: Some(1),
            pids_refused: Some(0),
        };
        let peak = Some(Peak {
            memory: Bytes(5000),
            threads: 50,
            written: Some(Bytes(5000)),
            ..Peak::default()
        });
        let mut killed = ended(Exit::Signal(9));
        killed.peak_memory = Bytes(4000);
        killed.group = Some(group);
        let expected = Resources {
            cpu: 3 * SECOND,
            peak_memory: Bytes(96),
            processes: Some(4),
            read: Some(Bytes(7)),
            written: Some(Bytes(0)),
        };
        assert_eq!(resources(&killed, peak), expected);
        let limits = Limits {
            cpu_time: None,
            ..limits()
        };
        let facts = Facts {
            limits: Some(&limits),
            memory_is_held: true,
            peak,
            own_peak: Some(Bytes(1)),
            memory_was_short: true,
            left_containers: false,
            leaks_fail: true,
        };
        // The kernel killed in the group, which was full.
        let exceeded = Exceeded::Memory {
            limit: Bytes(100),
            used: Bytes(100),
        };
        assert_eq!(failure(&killed, &facts), limit(exceeded));
        // It killed in the group, which was not: the memory around it was short.
        let peak_memory = Some(Bytes(50));
        killed.group = Some(GroupUsage {
            peak_memory,
            ..group
        });
        let oom = Failure::OutOfMemory { peak: Bytes(50) };
        assert_eq!(failure(&killed, &facts), oom);
        // A test that was refused a process, and failed over it.
        let mut refused = ended(Exit::Code(101));
        refused.group = Some(GroupUsage {
            oom_kills: Some(0),
            pids_refused: Some(2),
            processes: Some(5),
            ..group
        });
        let exceeded = Exceeded::Processes { limit: 5, used: 5 };
        assert_eq!(failure(&refused, &facts), limit(exceeded));
        refused.exit = Exit::Code(0);
        assert_eq!(outcome(&refused, &facts), PASSED);
    }

    #[test]
    fn what_was_seen_is_no_evidence_where_the_kernel_holds_the_limit() {
        // It tells no peak (before Linux 5.19), and holds the limit all the same.
        let mut passed = ended(Exit::Code(0));
        passed.group = Some(GroupUsage::default());
        let limits = Limits {
            processes: None,
            written: None,
            cpu_time: None,
            ..limits()
        };
        let outcome = |memory_is_held| {
            let facts = Facts {
                limits: Some(&limits),
                memory_is_held,
                peak: Some(Peak {
                    memory: Bytes(4000),
                    ..Peak::default()
                }),
                ..Facts::default()
            };
            outcome(&passed, &facts)
        };
        assert_eq!(outcome(true), PASSED);
        assert_ne!(outcome(false), PASSED);
    }

    #[test]
    fn what_nobody_saw_is_unknown() {
        let unseen = resources(&ended(Exit::Code(0)), None);
        assert_eq!((unseen.processes, unseen.read), (None, Some(Bytes(7))));
        let seen = resources(
            &ended(Exit::Code(0)),
            Some(Peak {
                memory: Bytes(400),
                threads: 3,
                written: Some(Bytes(60)),
                ..Peak::default()
            }),
        );
        let told = (seen.peak_memory, seen.processes, seen.written);
        assert_eq!(told, (Bytes(400), Some(3), Some(Bytes(60))));
    }
}
