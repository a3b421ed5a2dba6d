//! What follows from a reading: the policy's verdict, carried over to the tests that run.

use std::time::Duration;

use crate::checkpoint::StopCause;
use crate::clock::Moment;
use crate::container::InUse;
use crate::guard::Act;
use crate::guard::Breach;
use crate::guard::Busy;
use crate::guard::Candidate;
use crate::guard::Note;
use crate::guard::OwnPart;
use crate::guard::Reading;
use crate::guard::Sample;
use crate::guard::Situation;
use crate::guard::pick_shed;
use crate::outcome::EndReason;
use crate::outcome::Unfinished;
use crate::report::FamilyUse;
use crate::report::GuardNotice;
use crate::report::Warning;
use crate::run::event::Action;
use crate::run::event::Notice;
use crate::units::Bytes;

use super::Machine;
use super::Phase;
use super::Running;
use super::Stopped;

impl Machine {
    pub(super) fn sampled(&mut self, sample: &Sample, now: Moment, actions: &mut Vec<Action>) {
        self.note_readings(sample);
        self.hold_to_limits(sample, actions);
        let situation = Situation {
            running: self.slots.taken() + self.scripting.at_stake(),
            wanted: self.threads,
            alone: self.suspect_runs(),
            company: self.standing.company,
        };
        let older = situation.alone
            && self
                .slots
                .iter()
                .any(|(_, running)| running.is_newer(sample));
        let Some(policy) = &mut self.policy else {
            return;
        };
        let mut verdict = if older {
            // What it says of memory is about the test before this suspect.
            let rest = Sample {
                memory: None,
                scarcest: None,
                family: None,
                ..sample.clone()
            };
            policy.step(&rest, situation, now)
        } else {
            policy.step(sample, situation, now)
        };
        let act = verdict.act.take();
        let notes = std::mem::take(&mut verdict.notes);
        self.verdict = verdict;
        // Whether tests may start means nothing to a run that is being stopped.
        let stopping = self.phase >= Phase::Stopping;
        let told = notes
            .iter()
            .filter(|note| !stopping || note.is_about_the_guard());
        actions.extend(told.map(notice).map(Action::Show));
        match act {
            Some(Act::Stop { breach, grace }) => {
                self.stop(&breach, sample, grace, now, actions);
            }
            Some(Act::Shed { breach }) => self.shed(&breach, now, actions),
            Some(Act::BreachAlone { breach }) => self.fail_alone(&breach, actions),
            None => {}
        }
    }

    /// Keeps what a person wants to see and what a blame rests on. What was not read stays as it was.
    fn note_readings(&mut self, sample: &Sample) {
        let base = &mut self.telling.base;
        if let Some(memory) = sample.memory {
            base.memory = memory.used.share_of(memory.total);
            self.memory = Some(memory);
        }
        base.cpu = sample.cpu_busy.or(base.cpu);
        let Some(family) = &sample.family else { return };
        self.pace.note(family);
        base.family_memory = Some(family.memory);
        base.family = Some(FamilyUse {
            processes: family.processes,
            threads: family.threads,
            descriptors: family.descriptors,
            cpu: family.cpu,
            in_containers: family.in_containers(),
        });
        for used in &family.slots {
            if let Some(running) = self.slots.get_mut(used.slot)
                && running.was_seen(family)
            {
                running.memory = Some(used.memory);
                let largest = family.largest_container(used.slot);
                let most = largest.filter(|one| one.memory.0 > used.memory.0 / 2);
                running.container = most.cloned();
            }
        }
    }

    /// Ends the run. Asked again, it can only end it faster.
    fn stop(
        &mut self,
        breach: &Breach,
        sample: &Sample,
        grace: bool,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        if self.phase < Phase::Stopping {
            self.phase = Phase::Stopping;
            self.blame(breach, sample);
            let reason = cause(breach, self.largest_running(), self.pace.busiest());
            let told = reason.clone();
            actions.push(Action::Show(Notice::Guard(GuardNotice::Stop {
                reason: told,
            })));
            self.stopped = Some(Stopped {
                at: now,
                reason,
                cause: match breach.reading {
                    Reading::Cpu { .. } => StopCause::Cpu,
                    Reading::Tasks(_) => StopCause::Tasks,
                    Reading::Memory(_) | Reading::Run(_) => StopCause::Memory,
                },
                largest: self.largest(),
                ended: self.slots.iter().map(|(_, running)| running.test).collect(),
            });
        }
        let grace = if grace {
            self.times.guard_grace
        } else {
            Duration::ZERO
        };
        self.end_all(Unfinished::Stopped, grace, actions);
        if grace.is_zero() {
            actions.push(Action::LookAway);
        }
    }

    /// Marks the tests that a resumed run retries alone: for memory the largest and whatever has at
    /// least half its size, since the next leg would otherwise fail over the second of two; for the
    /// CPU, or when nobody knows who was large, all that ran. Memory that others hold is no test's
    /// fault, and what was read before a test began is not that test's.
    fn blame(&mut self, breach: &Breach, sample: &Sample) {
        let largest = match breach.reading {
            _ if breach.others.is_some() => return,
            Reading::Cpu { .. } | Reading::Tasks(_) => None,
            Reading::Memory(_) | Reading::Run(_) => self
                .slots
                .iter()
                .filter_map(|(_, running)| running.memory)
                .max(),
        };
        for (_, running) in self.slots.iter_mut() {
            let blamed = match (largest, running.memory) {
                (None, _) => !running.is_newer(sample),
                (Some(_), None) => false,
                (Some(Bytes(largest)), Some(Bytes(own))) => own >= largest / 2,
            };
            running.blamed = blamed.then(|| evidence(breach, running));
        }
    }

    fn largest_running(&self) -> Option<&Running> {
        let running = self.slots.iter().map(|(_, running)| running);
        running.max_by_key(|running| running.memory)
    }

    fn largest(&self) -> Vec<(usize, Bytes)> {
        let mut tests: Vec<_> = self
            .slots
            .iter()
            .filter_map(|(_, r)| Some((r.test, r.memory?)))
            .collect();
        tests.sort_by_key(|&(_, memory)| std::cmp::Reverse(memory));
        tests
    }

    /// Ends one running test to free memory; the youngest of the large ones.
    fn shed(&mut self, breach: &Breach, now: Moment, actions: &mut Vec<Action>) {
        let candidates: Vec<Candidate> = self
            .slots
            .iter()
            .filter(|(_, running)| running.ending.is_none())
            .map(|(slot, running)| Candidate {
                slot,
                age: now.saturating_sub(running.started),
                memory: running.memory,
            })
            .collect();
        let Some(slot) = pick_shed(&candidates) else {
            return;
        };
        let Some(running) = self.slots.get_mut(slot) else {
            return;
        };
        let reason = EndReason::Unfinished(Unfinished::Shed);
        running.ending = Some(reason.clone());
        running.blamed = Some(evidence(breach, running));
        actions.push(Action::End {
            slot,
            reason,
            grace: self.times.guard_grace,
        });
        actions.push(Action::Show(Notice::Shed {
            test: running.test,
            memory: running.memory,
            reason: cause(breach, Some(running), self.pace.busiest()),
        }));
    }

    /// Fails the suspect that runs alone and breached again; the run goes on.
    fn fail_alone(&mut self, breach: &Breach, actions: &mut Vec<Action>) {
        let grace = if breach.critical.is_some() {
            Duration::ZERO
        } else {
            self.times.guard_grace
        };
        for (slot, running) in self.slots.iter_mut() {
            let reason = EndReason::Breach(cause(breach, Some(running), self.pace.busiest()));
            let reason = running.ending.get_or_insert(reason).clone();
            actions.push(Action::End {
                slot,
                reason,
                grace,
            });
        }
    }
}

impl Running {
    /// Whether it has started after this sample was taken, which then says nothing about it.
    fn is_newer(&self, sample: &Sample) -> bool {
        sample.taken.is_some_and(|taken| taken < self.started)
    }
}

/// Why something is ended: what was over which line, and the container that had most of what the test had that is
/// named with it, or that has kept the CPU busy. What others hold is no container's fault.
fn cause(breach: &Breach, test: Option<&Running>, busiest: Option<&Busy>) -> String {
    let container = test.and_then(|test| test.container.as_ref());
    let is_ours = breach.others.is_none();
    match (breach.reading, container, busiest) {
        (
            Reading::Memory(_) | Reading::Run(_),
            Some(InUse {
                container, memory, ..
            }),
            _,
        ) if is_ours => format!("{breach}; {container} has {memory}"),
        (Reading::Cpu { .. }, _, Some(busy)) if is_ours => format!("{breach}; {busy}"),
        _ => breach.to_string(),
    }
}

/// What is held against a test for a breach.
fn evidence(breach: &Breach, test: &Running) -> String {
    match (breach.reading, test.memory) {
        (Reading::Memory(_) | Reading::Run(_), Some(memory)) => {
            let container = test.container.as_ref();
            let container = container.map(|one| format!(", most of it in {}", one.container));
            format!(
                "{breach}, it used {memory}{}",
                container.unwrap_or_default()
            )
        }
        (Reading::Memory(_) | Reading::Run(_), None)
        | (Reading::Cpu { .. } | Reading::Tasks(_), _) => breach.to_string(),
    }
}

/// What a person is told of a note.
fn notice(note: &Note) -> Notice {
    let reason = note.to_string();
    match *note {
        Note::Hold { .. } => Notice::Guard(GuardNotice::Hold { reason }),
        Note::Release { .. } => Notice::Guard(GuardNotice::Release { reason }),
        Note::Allowed { tests, .. } => Notice::Guard(GuardNotice::Allowed { tests, reason }),
        Note::Others { own, .. } => Notice::Warning(Warning {
            message: reason,
            hint: Some(match own {
                OwnPart::Memory(_) => {
                    "close what else uses memory, or raise --memory-threshold".to_owned()
                }
                OwnPart::Tasks(_) => {
                    "end what else has started so many, or raise guard.process-threshold".to_owned()
                }
            }),
        }),
        Note::Blind { .. } | Note::Sees { .. } | Note::Late { .. } => Notice::Warning(Warning {
            message: reason,
            hint: None,
        }),
    }
}
