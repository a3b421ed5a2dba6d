//! Which container keeps the CPU busy. Pure.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::container::Thing;
use crate::guard::sample::Family;

/// The shortest time over which that is told: what happens within less says little.
const SPAN: Duration = Duration::from_secs(1);

/// Less than so much of a core keeps nothing busy.
const LEAST: f64 = 0.5;

/// A container that uses much CPU time.
#[derive(Clone, Debug, PartialEq)]
pub struct Busy {
    /// The container.
    pub container: Arc<Thing>,
    /// How many cores it has used of late, on average.
    pub cores: f64,
}

impl fmt::Display for Busy {
    /// `container 0123456789ab web (postgres:16) uses 1.8 cores`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} uses {:.1} cores", self.container, self.cores)
    }
}

/// What containers had used when they were looked at.
#[derive(Debug, Default)]
pub struct Pace {
    /// When that was, and the CPU time of each.
    last: Option<(Moment, HashMap<String, Duration>)>,
    busiest: Option<Busy>,
}

impl Pace {
    /// Takes what containers have used by now.
    pub fn note(&mut self, family: &Family) {
        let now = family.seen;
        let before = match &self.last {
            Some((then, _)) if now < then.saturating_add(SPAN) => return,
            last => last.as_ref(),
        };
        let busiest = before.and_then(|(then, before)| {
            let span = now.saturating_sub(*then).as_secs_f64();
            let paces = family.containers.iter().map(|used| {
                let before = before.get(&used.container.id).copied();
                let since = used.cpu.saturating_sub(before.unwrap_or_default());
                Busy {
                    container: Arc::clone(&used.container),
                    cores: since.as_secs_f64() / span,
                }
            });
            paces.max_by(|one, next| one.cores.total_cmp(&next.cores))
        });
        self.busiest = busiest.filter(|busy| busy.cores >= LEAST);
        let used = family.containers.iter();
        let used = used.map(|used| (used.container.id.clone(), used.cpu));
        self.last = Some((now, used.collect()));
    }

    /// The container that has used most CPU time of late, if that was much.
    pub fn busiest(&self) -> Option<&Busy> {
        self.busiest.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::InUse;
    use crate::container::Kind;
    use crate::units::Bytes;

    /// What these containers have used by this time, in milliseconds.
    fn used(at: u64, containers: &[(&str, u64)]) -> Family {
        let containers = containers.iter().map(|&(id, cpu)| InUse {
            slot: 0,
            container: Arc::new(Thing {
                kind: Kind::Container,
                id: id.to_owned(),
                name: String::new(),
                image: String::new(),
            }),
            memory: Bytes(0),
            cpu: Duration::from_millis(cpu),
        });
        Family {
            seen: Duration::from_millis(at),
            containers: containers.collect(),
            ..Family::default()
        }
    }

    fn told(pace: &Pace) -> String {
        pace.busiest().map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn the_busiest_is_who_has_used_most_since_the_last_look() {
        let mut pace = Pace::default();
        pace.note(&used(1_000, &[("old", 60_000), ("new", 0)]));
        assert_eq!(told(&pace), "");
        pace.note(&used(3_000, &[("old", 60_200), ("new", 3_000)]));
        assert_eq!(told(&pace), "container new uses 1.5 cores");
        // One that was not there has used all of it since.
        pace.note(&used(4_000, &[("old", 60_200), ("newest", 2_000)]));
        assert_eq!(told(&pace), "container newest uses 2.0 cores");
        pace.note(&used(5_000, &[("old", 60_600)]));
        assert_eq!(told(&pace), "");
    }

    #[test]
    fn a_short_time_says_nothing() {
        let mut pace = Pace::default();
        pace.note(&used(0, &[("one", 0)]));
        pace.note(&used(1_000, &[("one", 800)]));
        for at in 1_001..2_000 {
            pace.note(&used(at, &[("one", 800)]));
            assert_eq!(told(&pace), "container one uses 0.8 cores");
        }
        pace.note(&used(2_000, &[("one", 801)]));
        assert_eq!(told(&pace), "");
    }
}
