//! What follows from a reading: the policy's verdict, carried over to the tests that run.

use std::time::Duration;

use crate::clock::Moment;
use crate::guard::Act;
use crate::guard::Breach;
use crate::guard::Candidate;
use crate::guard::Note;
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
use super::Stopped;

impl Machine {
    pub(super) fn sampled(&mut self, sample: &Sample, now: Moment, actions: &mut Vec<Action>) {
        self.note_readings(sample);
        let situation = Situation {
            running: self.slots.taken(),
            wanted: self.admission.threads,
            alone: self.suspect_runs(),
        };
        let Some(policy) = &mut self.policy else {
            return;
        };
        let verdict = policy.step(sample, situation, now);
        self.admission.held = verdict.hold;
        self.admission.blocked = verdict.blocked;
        self.admission.allowed = verdict.allowed;
        // Whether tests may start means nothing to a run that is being stopped.
        let stopping = self.phase >= Phase::Stopping;
        let notices = verdict.notes.iter().map(notice);
        let told = notices.filter(|notice| !(stopping && matches!(notice, Notice::Guard(_))));
        actions.extend(told.map(Action::Show));
        match verdict.act {
            Some(Act::Stop { breach, grace }) => self.stop(&breach, grace, now, actions),
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
        }
        base.cpu = sample.cpu_busy.or(base.cpu);
        let Some(family) = &sample.family else { return };
        base.family_memory = Some(family.memory);
        base.family = Some(FamilyUse {
            processes: family.processes,
            threads: family.threads,
            descriptors: family.descriptors,
            cpu: family.cpu,
        });
        for used in &family.slots {
            if let Some(running) = self.slots.get_mut(used.slot) {
                running.memory = Some(used.memory);
            }
        }
    }

    /// Ends the run. Asked again, it can only end it faster.
    fn stop(&mut self, breach: &Breach, grace: bool, now: Moment, actions: &mut Vec<Action>) {
        if self.phase < Phase::Stopping {
            self.phase = Phase::Stopping;
            self.blame(breach);
            let reason = breach.to_string();
            actions.push(Action::Show(Notice::Guard(GuardNotice::Stop { reason })));
            self.stopped = Some(Stopped {
                at: now,
                reason: breach.to_string(),
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
    }

    /// Marks the tests that a resumed run retries alone: for memory the largest and whatever has at
    /// least half its size, since the next leg would otherwise fail over the second of two; for the
    /// CPU, or when nobody knows who was large, all that ran. Memory that others hold is no test's
    /// fault.
    fn blame(&mut self, breach: &Breach) {
        let largest = match breach.reading {
            _ if breach.others.is_some() => return,
            Reading::Cpu { .. } => None,
            Reading::Memory(_) | Reading::Run(_) => self
                .slots
                .iter()
                .filter_map(|(_, running)| running.memory)
                .max(),
        };
        for (_, running) in self.slots.iter_mut() {
            running.blamed = match (largest, running.memory) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(Bytes(largest)), Some(Bytes(own))) => own >= largest / 2,
            };
        }
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
        actions.push(Action::End {
            slot,
            reason,
            grace: self.times.guard_grace,
        });
        actions.push(Action::Show(Notice::Shed {
            test: running.test,
            memory: running.memory,
            reason: breach.to_string(),
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
            let reason = EndReason::Breach(breach.to_string());
            let reason = running.ending.get_or_insert(reason).clone();
            actions.push(Action::End {
                slot,
                reason,
                grace,
            });
        }
    }
}

/// What a person is told of a note.
fn notice(note: &Note) -> Notice {
    let reason = note.to_string();
    match *note {
        Note::Hold { .. } => Notice::Guard(GuardNotice::Hold { reason }),
        Note::Release { .. } => Notice::Guard(GuardNotice::Release { reason }),
        Note::Allowed { tests, .. } => Notice::Guard(GuardNotice::Allowed { tests, reason }),
        Note::Others { .. } => Notice::Warning(Warning {
            message: reason,
            hint: Some("close what else uses memory, or raise --memory-threshold".to_owned()),
        }),
        Note::Blind { .. } | Note::Sees { .. } | Note::Late { .. } => Notice::Warning(Warning {
            message: reason,
            hint: None,
        }),
    }
}
