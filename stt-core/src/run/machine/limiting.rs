//! What follows from the limits of single tests. A test that exceeds one has failed, whatever else becomes
//! of the run: it is not run again, and is nobody's suspect.

use std::time::Duration;

use crate::clock::Moment;
use crate::guard::Family;
use crate::guard::Sample;
use crate::guard::limited;
use crate::limits::Exceeded;
use crate::limits::LimitHit;
use crate::limits::Limits;
use crate::outcome::EndReason;
use crate::run::event::Action;

use super::Machine;
use super::Running;

impl Machine {
    /// Ends the tests that exceed a limit by this reading.
    pub(super) fn hold_to_limits(&mut self, sample: &Sample, actions: &mut Vec<Action>) {
        let Some(family) = &sample.family else { return };
        for used in &family.slots {
            let Some(running) = self.slots.get_mut(used.slot) else {
                continue;
            };
            if let Some(limits) = &running.limits
                && running.was_seen(family)
                && let Some(exceeded) = limited::exceeded(limits, used)
            {
                let of_memory = matches!(exceeded, Exceeded::Memory { .. });
                let container = running.container.as_ref().filter(|_| of_memory);
                let hit = LimitHit {
                    container: container.map(|used| used.container.to_string()),
                    ..hit(limits, exceeded)
                };
                let grace = running.times.grace;
                running.exceed(used.slot, hit, grace, actions);
            }
        }
    }
}

impl Running {
    /// Whether what was read of the test in its slot is about this test, and not about the one before it.
    pub(super) fn was_seen(&self, family: &Family) -> bool {
        self.started <= family.seen
    }

    /// When it reaches its limit of time. A test that is being ended reaches none.
    pub(super) fn time_limit(&self) -> Option<Moment> {
        let limit = self.limits.as_ref()?.time?;
        self.ending
            .is_none()
            .then_some(self.started.saturating_add(limit))
    }

    /// Ends a test that has reached its limit of time.
    pub(super) fn hold_to_time(&mut self, slot: usize, now: Moment, actions: &mut Vec<Action>) {
        if self.time_limit().is_some_and(|due| due <= now)
            && let Some(limits) = &self.limits
            && let Some(limit) = limits.time
        {
            let hit = hit(limits, Exceeded::Time { limit });
            self.exceed(slot, hit, self.times.grace, actions);
        }
    }

    /// Ends it for what it exceeds. What grows until somebody acts is killed at once, also if it is being
    /// ended already; what it was ended for first stays the reason.
    fn exceed(&mut self, slot: usize, hit: LimitHit, grace: Duration, actions: &mut Vec<Action>) {
        let urgent = is_urgent(&hit.exceeded);
        if self.ending.is_some() && (!urgent || self.killed) {
            return;
        }
        self.killed |= urgent;
        let reason = self.ending.get_or_insert(EndReason::Limit(hit)).clone();
        actions.push(Action::End {
            slot,
            reason,
            grace: if urgent { Duration::ZERO } else { grace },
        });
    }
}

/// Whether a grace would let it grow.
fn is_urgent(exceeded: &Exceeded) -> bool {
    match exceeded {
        Exceeded::Memory { .. } | Exceeded::Processes { .. } => true,
        Exceeded::CpuTime { .. }
        | Exceeded::Time { .. }
        | Exceeded::FileSize { .. }
        | Exceeded::Written { .. } => false,
    }
}

fn hit(limits: &Limits, exceeded: Exceeded) -> LimitHit {
    LimitHit {
        limits: limits.name.to_string(),
        exceeded,
        container: None,
    }
}
