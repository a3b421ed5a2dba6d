//! What a resumed run still has to do. Pure.

use std::collections::HashMap;
use std::collections::HashSet;

use crate::checkpoint::fingerprint::BinaryRecord;
use crate::checkpoint::fingerprint::Fingerprint;
use crate::checkpoint::format::Record;
use crate::checkpoint::format::ResultRecord;
use crate::checkpoint::format::UnfinishedRecord;
use crate::checkpoint::load::Loaded;
use crate::id::BinaryId;
use crate::id::TestId;
use crate::outcome::TestOutcome;

/// A test of the selection, as the binaries list it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The test.
    pub test: TestId,
    /// Whether it is only counted and does not run.
    pub ignored: bool,
}

/// What a resumed run keeps, and what it does. Each selected test is in exactly one of `kept`,
/// `run`, `suspects` and `ignored`; indices are those of the selected tests, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumePlan {
    /// The results that still hold, in the order of the selected tests.
    pub kept: Vec<ResultRecord>,
    /// The tests to run.
    pub run: Vec<usize>,
    /// The tests to run last, each alone.
    pub suspects: Vec<Suspect>,
    /// The tests to be counted as ignored that have no such result yet.
    pub ignored: Vec<usize>,
    /// The results that hold no longer, by binary, in the order of the binaries' ids.
    pub dropped: Vec<Dropped>,
    /// How many of the tests to run are of binaries that the checkpoint does not know.
    pub new: usize,
}

/// A test that was running when the guard stopped the run or the runner died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Which of the selected tests.
    pub index: usize,
    /// How often it has been a suspect, over all legs; at least 1.
    pub breaches: u32,
}

/// Results of one binary that hold no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The binary.
    pub binary: BinaryId,
    /// Why.
    pub why: DroppedWhy,
    /// How many.
    pub results: usize,
}

/// Why results hold no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DroppedWhy {
    /// The binary has other content now.
    Changed,
    /// The binary is not built any more.
    Gone,
    /// The binary is the same, and its test is not selected any more.
    NotSelected,
}

impl ResumePlan {
    /// Whether nothing is left to run: the recorded run is the whole run.
    pub fn is_complete(&self) -> bool {
        self.run.is_empty() && self.suspects.is_empty()
    }

    /// What the next leg's checkpoint begins with: the kept results, and who is a suspect, so that it
    /// stays one when this leg ends before its turn. `selected` is what the plan was made for.
    pub fn carried<'a>(&'a self, selected: &'a [Selected]) -> impl Iterator<Item = Record> + 'a {
        let kept = self.kept.iter().cloned().map(Record::Result);
        let suspects = self.suspects.iter().filter_map(|suspect| {
            Some(Record::Unfinished(UnfinishedRecord {
                test: selected.get(suspect.index)?.test.clone(),
                why: None,
                breaches: suspect.breaches,
            }))
        });
        kept.chain(suspects)
    }
}

/// Decides what of `loaded` still holds for the `selected` tests, each of which is there once, with
/// the `binaries` of now.
///
/// A result is kept when its binary has the same content; that a test was ignored counts only while
/// it still is. A test is a suspect when the guard suspected it, or when the runner died over it, and
/// only as long as its binary is the same.
pub fn plan(loaded: &Loaded, selected: &[Selected], binaries: &[BinaryRecord]) -> ResumePlan {
    let recorded = fingerprints(&loaded.header.binaries);
    let current = fingerprints(binaries);
    let state = |binary: &BinaryId| match (recorded.get(binary), current.get(binary)) {
        (_, None) => Some(DroppedWhy::Gone),
        (Some(then), Some(now)) if then.same_content(now) => None,
        (Some(_) | None, Some(_)) => Some(DroppedWhy::Changed),
    };
    let results: HashMap<&TestId, &ResultRecord> = loaded
        .results
        .iter()
        .map(|result| (&result.test, result))
        .collect();
    let breaches = suspected(loaded);

    let mut plan = ResumePlan {
        dropped: dropped(loaded, selected, state),
        ..ResumePlan::default()
    };
    for (index, Selected { test, ignored }) in selected.iter().enumerate() {
        let same = state(&test.binary).is_none();
        let kept = results
            .get(test)
            .filter(|result| same && (*ignored || result.outcome != TestOutcome::Ignored));
        if let Some(result) = kept {
            plan.kept.push((*result).clone());
        } else if *ignored {
            plan.ignored.push(index);
        } else if let Some(breaches) = breaches.get(test).copied().filter(|_| same) {
            plan.suspects.push(Suspect { index, breaches });
        } else {
            plan.run.push(index);
            plan.new += usize::from(!recorded.contains_key(&test.binary));
        }
    }
    plan
}

fn fingerprints(binaries: &[BinaryRecord]) -> HashMap<&BinaryId, &Fingerprint> {
    binaries
        .iter()
        .map(|binary| (&binary.id, &binary.fingerprint))
        .collect()
}

/// The suspects, with how often they have been. When the leg has no orderly end, whatever is known to
/// have been running then was suspected once more.
fn suspected(loaded: &Loaded) -> HashMap<&TestId, u32> {
    let mut breaches: HashMap<&TestId, u32> = loaded
        .suspects
        .iter()
        .map(|suspect| (&suspect.test, suspect.breaches))
        .collect();
    if loaded.finished.is_none() {
        for test in &loaded.started {
            let count = breaches.entry(test).or_default();
            *count = count.saturating_add(1);
        }
    }
    breaches
}

/// Counts the results that can't be used any more. That of a test which is no longer to be ignored is
/// not among them: it was none.
fn dropped(
    loaded: &Loaded,
    selected: &[Selected],
    state: impl Fn(&BinaryId) -> Option<DroppedWhy>,
) -> Vec<Dropped> {
    let selected: HashSet<&TestId> = selected.iter().map(|selected| &selected.test).collect();
    let mut counts: HashMap<(&BinaryId, DroppedWhy), usize> = HashMap::new();
    for ResultRecord { test, .. } in &loaded.results {
        let gone = (!selected.contains(test)).then_some(DroppedWhy::NotSelected);
        if let Some(why) = state(&test.binary).or(gone) {
            *counts.entry((&test.binary, why)).or_default() += 1;
        }
    }
    let mut dropped: Vec<Dropped> = counts
        .into_iter()
        .map(|((binary, why), results)| Dropped {
            binary: binary.clone(),
            why,
            results,
        })
        .collect();
    dropped.sort_unstable_by(|a, b| a.binary.cmp(&b.binary));
    dropped
}
