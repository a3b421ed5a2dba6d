//! Who is left after a run, and for how long.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;

use super::PATIENCE;
use super::family::Families;
use crate::lab::Lab;
use crate::proc::Identity;
use crate::proc::Process;

/// So long somebody is looked at who might be born again: a hundred lives of the fastest.
const GROWTH: Duration = Duration::from_millis(30);

/// How many of those that are alive are named.
const SHOWN: usize = 10;

/// What became of one family.
#[derive(Clone, Debug, Default)]
pub struct Fate {
    /// How many processes it had.
    pub processes: usize,
    /// How many lived at the first look.
    pub at_first: usize,
    /// How many lived when nobody waited any longer.
    pub at_last: usize,
    /// When the last of them was seen dead; zero when nobody was seen alive.
    pub dead_after: Duration,
    /// Why it was not there.
    pub skipped: Option<String>,
}

/// What became of all.
#[derive(Clone, Debug)]
pub struct Aftermath {
    /// Each family by its name.
    pub fates: BTreeMap<String, Fate>,
    /// What else was alive of the laboratory after the last look, as somebody would see it in `ps`.
    pub unknown: Vec<String>,
    /// Harm to strangers.
    pub strangers: Vec<String>,
    /// Whatever else is not as promised.
    pub wrong: Vec<String>,
}

impl Aftermath {
    /// Looks until everybody is dead, or patience is at its end. Times count from `since`.
    #[expect(clippy::disallowed_methods, reason = "time is what is measured")]
    pub(super) fn look(families: &Families, since: Instant) -> Self {
        let mut dead = BTreeSet::new();
        let mut fates: BTreeMap<String, Fate> = BTreeMap::new();
        for name in families.names() {
            let skipped = families.skipped(name);
            fates.insert(
                name.clone(),
                Fate {
                    skipped,
                    ..Fate::default()
                },
            );
        }
        let (mut first, began) = (true, Instant::now());
        loop {
            let mut alive = 0;
            for (name, fate) in &mut fates {
                alive += look_at(name, fate, families, &mut dead, first, since);
            }
            first = false;
            let enough = alive == 0 && began.elapsed() > GROWTH;
            if enough || since.elapsed() > PATIENCE {
                break;
            }
        }
        Self {
            fates,
            unknown: Vec::new(),
            strangers: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// Looks for whoever else is alive of the laboratory, once no runner is.
    pub(super) fn look_around(&mut self, lab: &Lab) {
        let told = |process: Process| format!("{} {}", process.pid, process.command);
        self.unknown = lab.survivors().into_iter().map(told).collect();
    }

    /// Everything that must not be, a line each, where somebody may live for so many milliseconds.
    pub fn complaints(&self, allowed: u64) -> Vec<String> {
        let mut complaints = Vec::new();
        for (name, fate) in &self.fates {
            let late = fate.dead_after.as_millis() > u128::from(allowed) || fate.at_last > 0;
            if late {
                let Fate {
                    processes,
                    at_first,
                    at_last,
                    dead_after,
                    ..
                } = fate;
                complaints.push(format!(
                    "{name}: of {processes} processes {at_first} were alive, {at_last} after {PATIENCE:?}, \
                     the last one died after {dead_after:?}"
                ));
            }
        }
        // A bomb that nobody has ended would fill pages.
        let unknown = self.unknown.iter().take(SHOWN);
        complaints.extend(unknown.map(|who| format!("alive: {who}")));
        if self.unknown.len() > SHOWN {
            complaints.push(format!("and {} more", self.unknown.len() - SHOWN));
        }
        complaints.extend(
            self.strangers
                .iter()
                .map(|harm| format!("a stranger: {harm}")),
        );
        complaints.extend(self.wrong.iter().cloned());
        complaints
    }
}

/// One look at a family; how many are alive.
fn look_at(
    name: &str,
    fate: &mut Fate,
    families: &Families,
    dead: &mut BTreeSet<Identity>,
    first: bool,
    since: Instant,
) -> usize {
    // Those who are born while others die are in it, too.
    let members = families.members(name);
    let newborn = !first && members.len() > fate.processes;
    fate.processes = members.len();
    // Who forks and exits faster than anybody looks is dead in every look, and yet there.
    let mut alive = usize::from(newborn);
    for member in members {
        if dead.contains(&member) {
            continue;
        }
        if member.lives() {
            alive += 1;
        } else {
            dead.insert(member);
        }
    }
    if first {
        fate.at_first = alive;
    }
    // The look at which the last one is dead is the one that counts.
    if alive > 0 || fate.at_last > 0 {
        fate.dead_after = since.elapsed();
    }
    fate.at_last = alive;
    alive
}
