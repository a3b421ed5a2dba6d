//! The lines that memory is held against, and where a reading stands among them.

use crate::config::GuardConfig;
use crate::guard::policy::Reading;
use crate::guard::sample::Memory;
use crate::units::Bytes;
use crate::units::Percent;
use crate::units::Threshold;

/// How far under the threshold no further test starts: points of a share, percent of a size.
const HOLD_MARGIN: Percent = Percent::whole(10);

/// How far under the threshold tests start again: two points less, so that a reading which trembles
/// around the hold line doesn't make the guard tremble too.
const RELEASE_MARGIN: Percent = Percent::whole(12);

/// The configured lines for memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    threshold: Threshold,
    critical: Percent,
}

/// Where a reading stands. The order is that of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Low enough that tests start again.
    Clear,
    /// Between release and hold: things stay as they are.
    Middle,
    /// No further test starts.
    Hold,
    /// At the threshold or over it.
    Over,
    /// So near the end of the memory that only killing helps.
    Critical,
}

/// A reading and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge {
    /// What was read.
    pub(super) reading: Reading,
    /// Where that is.
    pub(super) level: Level,
    /// By how much it is over the threshold; zero below it.
    pub(super) excess: Bytes,
}

impl Lines {
    /// The lines of a configuration. A threshold above the critical line moves that line up: whoever
    /// allows 95 % doesn't want to be killed at 92 %.
    pub(super) fn new(config: &GuardConfig) -> Self {
        let critical = match config.memory_threshold {
            Threshold::Machine(share) if share.0 > config.memory_critical.0 => share,
            Threshold::Machine(_) | Threshold::Run(_) => config.memory_critical,
        };
        Self {
            threshold: config.memory_threshold,
            critical,
        }
    }

    /// The threshold as it was configured.
    pub(super) fn threshold(&self) -> Threshold {
        self.threshold
    }

    /// The share of the memory from which on only killing helps.
    pub(super) fn critical_share(&self) -> Percent {
        self.critical
    }

    /// From which share of the machine's memory on tests are held; `None` where the threshold is a size.
    pub(super) fn hold_share(&self) -> Option<Percent> {
        match self.threshold {
            Threshold::Machine(share) => Some(share.saturating_sub(HOLD_MARGIN)),
            Threshold::Run(_) => None,
        }
    }

    /// Whether the threshold bounds the run's own family, which must then be read every time.
    pub(super) fn bounds_run(&self) -> bool {
        match self.threshold {
            Threshold::Machine(_) => false,
            Threshold::Run(_) => true,
        }
    }

    /// The critical line of a memory of this size.
    pub(super) fn critical(&self, total: Bytes) -> Bytes {
        total.percent(self.critical)
    }

    /// From how much use on tests are held, and at how much the threshold is crossed.
    pub(super) fn hold_and_threshold(&self, total: Bytes) -> (Bytes, Bytes) {
        match self.threshold {
            Threshold::Machine(share) => (
                total.percent(share.saturating_sub(HOLD_MARGIN)),
                total.percent(share),
            ),
            Threshold::Run(size) => (size.saturating_sub(size.percent(HOLD_MARGIN)), size),
        }
    }

    fn release(&self, total: Bytes) -> Bytes {
        match self.threshold {
            Threshold::Machine(share) => total.percent(share.saturating_sub(RELEASE_MARGIN)),
            Threshold::Run(size) => size.saturating_sub(size.percent(RELEASE_MARGIN)),
        }
    }

    /// Where the readings stand; `None` when the one that the threshold is about is unknown. The
    /// machine's critical line counts for every kind of threshold.
    pub(super) fn gauge(&self, memory: Option<Memory>, family: Option<Bytes>) -> Option<Gauge> {
        let memory = memory.filter(|memory| memory.total > Bytes(0));
        let critical = memory.is_some_and(|memory| memory.used >= self.critical(memory.total));
        let (reading, used, total) = match (self.threshold, memory, family) {
            (Threshold::Machine(_), Some(memory), _) => {
                (Reading::Memory(memory), memory.used, memory.total)
            }
            // Critical is about the machine, so it is the machine's reading that is shown. There is
            // no threshold for it that the use could exceed: all of it counts.
            (Threshold::Run(_), Some(memory), _) if critical => {
                return Some(Gauge {
                    reading: Reading::Memory(memory),
                    level: Level::Critical,
                    excess: memory.used,
                });
            }
            (Threshold::Run(_), _, Some(family)) => (Reading::Run(family), family, Bytes(0)),
            (Threshold::Machine(_), None, _) | (Threshold::Run(_), _, None) => return None,
        };
        let (hold, threshold) = self.hold_and_threshold(total);
        let level = match used {
            _ if critical => Level::Critical,
            used if used >= threshold => Level::Over,
            used if used >= hold => Level::Hold,
            used if used >= self.release(total) => Level::Middle,
            _ => Level::Clear,
        };
        Some(Gauge {
            reading,
            level,
            excess: used.saturating_sub(threshold),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::policy::fixtures::config;
    use crate::guard::policy::fixtures::machine;

    #[test]
    fn a_share_of_the_machine_has_five_levels() {
        let lines = Lines::new(&config());
        for (used, level) in [
            (0, Level::Clear),
            (679, Level::Clear),
            (680, Level::Middle),
            (699, Level::Middle),
            (700, Level::Hold),
            (799, Level::Hold),
            (800, Level::Over),
            (919, Level::Over),
            (920, Level::Critical),
            (1200, Level::Critical),
        ] {
            let gauge = lines.gauge(Some(machine(used)), None).unwrap();
            assert_eq!(gauge.level, level, "{used}");
        }
    }

    #[test]
    fn a_size_bounds_the_family_and_the_machine_stays_guarded() {
        let mut config = config();
        config.memory_threshold = Threshold::Run(Bytes(1000));
        let lines = Lines::new(&config);
        for (family, level) in [
            (879, Level::Clear),
            (880, Level::Middle),
            (900, Level::Hold),
            (1000, Level::Over),
        ] {
            let gauge = lines.gauge(Some(machine(910)), Some(Bytes(family)));
            assert_eq!(gauge.unwrap().level, level, "{family}");
            let gauge = lines.gauge(None, Some(Bytes(family)));
            assert_eq!(gauge.unwrap().level, level, "{family}, machine unknown");
        }
        let gauge = lines.gauge(Some(machine(920)), Some(Bytes(0))).unwrap();
        assert_eq!(gauge.level, Level::Critical);
        assert_eq!(gauge.reading, Reading::Memory(machine(920)));
        assert!(
            lines.gauge(Some(machine(910)), None).is_none(),
            "family unknown"
        );
    }

    #[test]
    fn what_is_unknown_has_no_level() {
        let lines = Lines::new(&config());
        assert!(lines.gauge(None, Some(Bytes(5))).is_none());
        let nonsense = Memory {
            total: Bytes(0),
            ..machine(5)
        };
        assert!(lines.gauge(Some(nonsense), None).is_none());
    }

    #[test]
    fn a_threshold_above_the_critical_line_moves_it() {
        let mut config = config();
        config.memory_threshold = Threshold::Machine(Percent::whole(95));
        let lines = Lines::new(&config);
        let level = |used| lines.gauge(Some(machine(used)), None).unwrap().level;
        assert_eq!(level(949), Level::Hold);
        assert_eq!(level(950), Level::Critical);
    }
}
