//! A restarted run waits until the machine has recovered, before anything is built.

use std::time::Duration;

use camino::Utf8Path;

use crate::checkpoint::Loaded;
use crate::checkpoint::StopCause;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::config::Config;
use crate::config::RestartConfig;
use crate::coordinator::Counters;
use crate::coordinator::State;
use crate::coordinator::turn::restarts_at;
use crate::guard;
use crate::guard::Sample;
use crate::guard::Sampler;
use crate::guard::SamplerConfig;
use crate::guard::cores;
use crate::guard::recovery::Advice;
use crate::guard::recovery::Past;
use crate::guard::recovery::Recovery;
use crate::guard::recovery::Standing;
use crate::process::Exact;
use crate::report;
use crate::report::WaitingNext;
use crate::run::Membership;
use crate::run::RunError;
use crate::run::Session;
use crate::run::Sink;
use crate::run::reader::in_words_of_the_guard;
use crate::run::supervision::Leg;
use crate::units::Percent;

/// From one look to the next, unless something is due earlier.
const LOOK: Duration = Duration::from_millis(500);

/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(20);

/// How the waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The machine has recovered: the run goes on.
    Recovered,
    /// It has not, and it is too late now.
    GaveUp,
}

impl Session {
    /// The share of memory in use now: the machine's, or that of the tightest control group around us.
    /// `None` when it can't be read, or nobody guards it.
    pub fn memory_in_use(&self, config: &Config, target_dir: &Utf8Path) -> Option<Percent> {
        if !config.guard.enabled {
            return None;
        }
        let memory = self
            .sampler(target_dir)
            .sample(self.clock.now(), None)
            .memory?;
        memory.used.share_of(memory.total)
    }

    /// Waits until the machine has recovered from what stopped the run, or killed its runner, and tells
    /// how it stands at every look. A run without a guard does not wait.
    ///
    /// # Errors
    /// A signal asked the run to end.
    pub fn wait_for_recovery(
        &self,
        leg: Leg,
        loaded: Option<&Loaded>,
        config: &Config,
        target_dir: &Utf8Path,
        membership: Option<&Membership>,
        sink: &Sink,
    ) -> Result<Waited, RunError> {
        if !config.guard.enabled {
            return Ok(Waited::Recovered);
        }
        let began = self.clock.now();
        let left = config.restart.within.saturating_sub(leg.since);
        let stopped = loaded.and_then(|loaded| loaded.stop.as_ref()?.cause);
        let past = Past {
            memory_before: loaded.and_then(|loaded| loaded.header.memory_before),
            cpu: stopped == Some(StopCause::Cpu),
            gives_up_at: began.saturating_add(left),
        };
        let mut recovery = Recovery::new(&config.guard, &config.restart, past, cores());
        let mut sampler = self.sampler(target_dir);
        let mut turn = Turn::of(membership);
        let mut planned = began;
        loop {
            let sample = self.look(&mut sampler, planned);
            let now = self.clock.now();
            let advice = recovery.step(&sample, now);
            let others = turn.step(advice, past.gives_up_at, now);
            let next = others
                .as_ref()
                .map_or_else(|| next(advice, now), |held| held.next);
            sink(report::Event::Waiting(Box::new(told(
                advice,
                next,
                others.as_ref().map(|held| held.reason),
                leg,
                &config.restart,
                now.saturating_sub(began),
            ))));
            let sleep = match next {
                WaitingNext::GoOn => return Ok(Waited::Recovered),
                WaitingNext::GiveUp => return Ok(Waited::GaveUp),
                WaitingNext::Look {
                    go_on_in,
                    gives_up_in,
                } => go_on_in.unwrap_or(gives_up_in).min(gives_up_in),
            };
            let sleep = sleep.clamp(SHORTEST, LOOK);
            planned = now + sleep;
            if let Some(signal) = self.router.interrupted_within(sleep) {
                return Err(RunError::Interrupted(signal));
            }
        }
    }

    fn sampler(&self, target_dir: &Utf8Path) -> Sampler {
        Sampler::new(SamplerConfig::new(target_dir.to_owned()), self.clock)
    }

    fn look(&self, sampler: &mut Sampler, planned: Moment) -> Sample {
        let mut family = |_: guard::Around| {
            let usage = self.family.usage(&[], Exact::Nobody)?;
            Some(in_words_of_the_guard(&usage))
        };
        sampler.sample(planned, Some(&mut family))
    }
}

/// Whose turn it is to go on.
struct Turn<'a> {
    membership: Option<&'a Membership>,
    /// Since when we could go on, were we alone; in milliseconds since the boot.
    ready: Option<u64>,
}

/// Why we don't go on although the machine has recovered.
struct HeldBack {
    next: WaitingNext,
    reason: &'static str,
}

impl<'a> Turn<'a> {
    fn of(membership: Option<&'a Membership>) -> Self {
        if let Some(membership) = membership {
            let waits = "the machine to recover".to_owned();
            membership.board().set(State::Waiting, Some(waits));
        }
        Self {
            membership,
            ready: None,
        }
    }

    /// Holds us back while it is somebody else's turn.
    fn step(&mut self, advice: Advice, gives_up_at: Moment, now: Moment) -> Option<HeldBack> {
        let Advice::GoOn(_) = advice else {
            self.ready = None;
            return None;
        };
        let membership = self.membership?;
        let boot = Clock::since_boot();
        let ready = *self.ready.get_or_insert(boot);
        let registration = membership.registration();
        // Whom we can't see we don't wait for.
        let others = registration.others().unwrap_or_default();
        let last = registration.last_restart();
        let at = restarts_at(membership.age(), &others, last, ready, boot);
        // Where it can't be written down, nobody else can either.
        if at.is_some_and(|at| at <= boot) && registration.claim_restart(last, boot).unwrap_or(true)
        {
            membership.board().set(State::Building, None);
            membership.count(Counters {
                restarts: 1,
                ..Counters::default()
            });
            return None;
        }
        let reason = if at.is_none() {
            "the machine has recovered, and an older run goes on first"
        } else {
            "the machine has recovered, and another run has just gone on"
        };
        let left = gives_up_at.saturating_sub(now);
        let next = if left.is_zero() {
            WaitingNext::GiveUp
        } else {
            WaitingNext::Look {
                go_on_in: at.map(|at| Duration::from_millis(at.saturating_sub(boot))),
                gives_up_in: left,
            }
        };
        Some(HeldBack { next, reason })
    }
}

fn next(advice: Advice, now: Moment) -> WaitingNext {
    match advice {
        Advice::GoOn(_) => WaitingNext::GoOn,
        Advice::GiveUp(_) => WaitingNext::GiveUp,
        Advice::Wait(wait) => WaitingNext::Look {
            go_on_in: wait.go_on_at.map(|at| at.saturating_sub(now)),
            gives_up_in: wait.gives_up_at.saturating_sub(now),
        },
    }
}

fn told(
    advice: Advice,
    next: WaitingNext,
    others: Option<&str>,
    leg: Leg,
    restart: &RestartConfig,
    waited: Duration,
) -> report::Waiting {
    let standing = match advice {
        Advice::Wait(wait) => wait.because,
        Advice::GoOn(standing) | Advice::GiveUp(standing) => standing,
    };
    let (reading, line) = match (others, standing) {
        (Some(others), _) => (others.to_owned(), None),
        (None, Standing::Read { reading, line, .. }) => {
            (reading.to_string(), Some(line.to_string()))
        }
        (None, Standing::Unknown(sense)) => (format!("{sense} could not be read"), None),
    };
    report::Waiting {
        next,
        reading,
        line,
        stable: restart.stable,
        waited,
        restart: leg.restarts,
        max: restart.max,
    }
}
