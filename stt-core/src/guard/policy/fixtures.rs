//! Configurations and samples for the tests of the guard.

use std::time::Duration;

use crate::config::CpuAction;
use crate::config::GuardConfig;
use crate::config::OnBreach;
use crate::guard::policy::Company;
use crate::guard::policy::Situation;
use crate::guard::sample::Bound;
use crate::guard::sample::Family;
use crate::guard::sample::Memory;
use crate::guard::sample::Sample;
use crate::units::Bytes;
use crate::units::Percent;
use crate::units::Threshold;

/// The thresholds of the design, on a machine of 1000 bytes: a byte is a tenth of a percent.
pub(in crate::guard) fn config() -> GuardConfig {
    GuardConfig {
        enabled: true,
        memory_threshold: Threshold::Machine(Percent::whole(80)),
        memory_critical: Percent::whole(92),
        process_threshold: Percent::whole(80),
        cpu_threshold: Percent::whole(80),
        cpu_action: CpuAction::Govern,
        cpu_sustain: Duration::from_secs(30),
        check_interval: Duration::from_secs(1),
        on_breach: OnBreach::Stop,
        grace_period: Duration::from_secs(3),
    }
}

/// So many of 1000 bytes are used.
pub(in crate::guard) fn machine(used: u64) -> Memory {
    Memory {
        used: Bytes(used),
        total: Bytes(1000),
        bound: Bound::Machine,
    }
}

/// So much used by all, and of that by the run.
pub(in crate::guard) fn memory(used: u64, family: u64) -> Sample {
    Sample {
        memory: Some(machine(used)),
        family: Some(Family {
            memory: Bytes(family),
            ..Family::default()
        }),
        ..Sample::default()
    }
}

/// The CPU busy and waited for in whole percent.
pub(in crate::guard) fn cpu(busy: u32, pressure: u32) -> Sample {
    Sample {
        cpu_busy: Some(Percent::whole(busy)),
        cpu_pressure: Some(Percent::whole(pressure)),
        ..memory(100, 50)
    }
}

/// So many of eight tests run.
pub(in crate::guard) fn running(count: usize) -> Situation {
    Situation {
        running: count,
        wanted: 8,
        alone: false,
        company: Company::default(),
    }
}

/// One suspect runs by itself.
pub(in crate::guard) fn alone() -> Situation {
    Situation {
        alone: true,
        ..running(1)
    }
}
