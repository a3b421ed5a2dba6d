//! What a resumed run still has to do. Pure.

use std::collections::HashMap;
use std::collections::HashSet;
use std::mem::take;

use crate::checkpoint::fingerprint::BinaryRecord;
use crate::checkpoint::fingerprint::Fingerprint;
use crate::checkpoint::format::Record;
use crate::checkpoint::format::ResultRecord;
use crate::checkpoint::format::UnfinishedRecord;
use crate::checkpoint::load::Loaded;
use crate::id::BinaryId;
use crate::id::TestId;
use crate::outcome::Exit;
use crate::outcome::Failure;
use crate::outcome::TestOutcome;
use crate::outcome::signal_name;

/// Who was a suspect so often is not run again. Each time has cost a leg: a third one would as well.
const CONDEMNED: u32 = 2;

/// A test of the selection, as the binaries list it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The test.
    pub test: TestId,
    /// Whether it is only counted and does not run.
    pub ignored: bool,
}

/// What a resumed run keeps, and what it does. Each selected test is in exactly one of `kept`, `run`,
/// `suspects`, `condemned`, `ignored`, `left` and `left_suspects`; indices are those of the selected tests, in their
/// order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumePlan {
    /// The results that still hold, in the order of the selected tests.
    pub kept: Vec<ResultRecord>,
    /// The failed attempts of earlier legs, of tests whose binary is the same.
    pub tries: Vec<ResultRecord>,
    /// The tests to run.
    pub run: Vec<usize>,
    /// The tests to run last, each alone.
    pub suspects: Vec<Suspect>,
    /// The tests that were suspects twice: they have failed, and don't run.
    pub condemned: Vec<Condemned>,
    /// The tests to be counted as ignored that have no such result yet.
    pub ignored: Vec<usize>,
    /// The tests without a result that this leg leaves to a later one.
    pub left: Vec<usize>,
    /// The suspects that it leaves to a later one.
    pub left_suspects: Vec<Suspect>,
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
    /// How often it has been a suspect, over all legs; at least 1, and less than what condemns it.
    pub breaches: u32,
    /// What happened, a sentence for each time that is known.
    pub evidence: Vec<String>,
}

/// A test that is not run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condemned {
    /// Which of the selected tests.
    pub index: usize,
    /// What happened while it ran, and what to do about it, as one sentence.
    pub evidence: String,
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
    /// The plan of a run that resumes nothing.
    pub fn everything(selected: &[Selected]) -> Self {
        let (ignored, run) = (0..selected.len()).partition(|&index| selected[index].ignored);
        Self {
            run,
            ignored,
            ..Self::default()
        }
    }

    /// Takes the tests that failed in `loaded` for tests without a result, and leaves all others without one to a
    /// later leg, unless `rest` says that these run, too. What failed because the run could not go on while it ran
    /// runs alone.
    #[must_use]
    pub fn rerun_failed(mut self, loaded: &Loaded, selected: &[Selected], rest: bool) -> Self {
        let failed = loaded.results.iter();
        let failed = failed.filter(|result| result.outcome.is_failed());
        let failed: HashMap<&TestId, &TestOutcome> = failed
            .map(|result| (&result.test, &result.outcome))
            .collect();
        let again = |index: usize| {
            let Selected { test, ignored } = &selected[index];
            failed.get(test).copied().filter(|_| !ignored)
        };
        self.kept
            .retain(|result| !result.outcome.is_failed() || !failed.contains_key(&result.test));
        self.tries.retain(|tried| !failed.contains_key(&tried.test));
        let left = |plan: &mut Self, index: usize| {
            if rest {
                plan.run.push(index);
            } else {
                plan.left.push(index);
            }
        };
        let (run, suspects) = (take(&mut self.run), take(&mut self.suspects));
        for index in 0..selected.len() {
            match again(index) {
                Some(TestOutcome::Failed(Failure::Suspect { .. } | Failure::Breach { .. })) => {
                    self.suspects.push(Suspect {
                        index,
                        breaches: 1,
                        evidence: Vec::new(),
                    });
                }
                Some(_) => self.run.push(index),
                None if run.binary_search(&index).is_ok() => left(&mut self, index),
                None => {}
            }
        }
        let others = suspects
            .into_iter()
            .filter(|suspect| again(suspect.index).is_none());
        if rest {
            self.suspects.extend(others);
        } else {
            self.left_suspects = others.collect();
        }
        self
    }

    /// Whether nothing is left to run: the recorded run is the whole run, or the rest is for a later leg.
    pub fn is_complete(&self) -> bool {
        self.run.is_empty() && self.suspects.is_empty() && self.condemned.is_empty()
    }

    /// What the next leg's checkpoint begins with: the kept results, and who is a suspect, so that it
    /// stays one when this leg ends before its turn. `selected` is what the plan was made for. The
    /// results of the ignored and the condemned are new, and not among it.
    pub fn carried<'a>(&'a self, selected: &'a [Selected]) -> impl Iterator<Item = Record> + 'a {
        let kept = self.tries.iter().chain(&self.kept);
        let kept = kept.cloned().map(Record::Result);
        let suspects = self.suspects.iter().chain(&self.left_suspects);
        let suspects = suspects.filter_map(|suspect| {
            Some(Record::Unfinished(UnfinishedRecord {
                test: selected.get(suspect.index)?.test.clone(),
                why: None,
                breaches: suspect.breaches,
                evidence: suspect.evidence.clone(),
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
/// only as long as its binary is the same. Who was one twice is condemned.
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
    let mut blames = suspected(loaded);

    let tries = loaded.tries.iter();
    let mut plan = ResumePlan {
        dropped: dropped(loaded, selected, state),
        tries: tries
            .filter(|tried| state(&tried.test.binary).is_none())
            .cloned()
            .collect(),
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
        } else if let Some(blame) = blames.remove(test).filter(|_| same) {
            plan.blamed(index, blame);
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

/// How often a test has been a suspect, and what is known of it.
#[derive(Clone, Debug, Default)]
struct Blame {
    breaches: u32,
    evidence: Vec<String>,
}

impl ResumePlan {
    fn blamed(&mut self, index: usize, blame: Blame) {
        let Blame { breaches, evidence } = blame;
        if breaches < CONDEMNED {
            self.suspects.push(Suspect {
                index,
                breaches,
                evidence,
            });
        } else {
            let evidence = verdict(breaches, &evidence);
            self.condemned.push(Condemned { index, evidence });
        }
    }
}

/// What is held against a condemned test, and what to do about it. Older files have counts alone.
fn verdict(breaches: u32, evidence: &[String]) -> String {
    let known = match evidence {
        [] => format!("{breaches} times it was running when the run could not go on"),
        known => known.join("; "),
    };
    format!("{known}; a run without --resume tries it again")
}

/// The suspects, with how often they have been. When the leg has no orderly end, whatever is known to
/// have been running then was suspected once more.
fn suspected(loaded: &Loaded) -> HashMap<&TestId, Blame> {
    let known = loaded.suspects.iter().map(|suspect| {
        let blame = Blame {
            breaches: suspect.breaches,
            evidence: suspect.evidence.clone(),
        };
        (&suspect.test, blame)
    });
    let mut blames: HashMap<&TestId, Blame> = known.collect();
    if loaded.finished.is_none() {
        for test in &loaded.started {
            let blame = blames.entry(test).or_default();
            blame.breaches = blame.breaches.saturating_add(1);
            blame.evidence.push(death(loaded));
        }
    }
    blames
}

/// How the runner died, as a sentence about a test that ran then.
fn death(loaded: &Loaded) -> String {
    let leg = loaded.header.leg;
    match loaded.died {
        Some(Exit::Signal(signal)) => {
            let name = signal_name(signal);
            format!("leg {leg}: the runner was killed by {name} while it ran")
        }
        Some(Exit::Code(code)) => format!("leg {leg}: the runner exited with {code} while it ran"),
        None => format!("leg {leg}: the runner died while it ran"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::format::CLOSING;
    use crate::checkpoint::format::Header;
    use crate::checkpoint::format::tests::binary;
    use crate::checkpoint::format::tests::header;
    use crate::checkpoint::format::tests::result;
    use crate::checkpoint::format::tests::test_id;
    use crate::checkpoint::load::read;
    use crate::outcome::RunOutcome;
    use crate::outcome::Unfinished;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    /// What a checkpoint with these records says, by way of its bytes.
    fn loaded(header: &Header, records: &[Record]) -> Loaded {
        let mut bytes = header.encode().unwrap();
        for (index, record) in records.iter().enumerate() {
            bytes.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
            bytes.extend_from_slice(&record.encode().unwrap());
        }
        bytes.extend_from_slice(CLOSING);
        let loaded = read(&*bytes, "x".into(), Some(&header.workspace_root)).unwrap();
        assert_eq!(loaded.repaired, None);
        loaded
    }

    fn selected(name: &str, ignored: bool) -> Selected {
        let test = test_id("app", name);
        Selected { test, ignored }
    }

    fn done(name: &str, outcome: TestOutcome) -> Record {
        Record::Result(result(test_id("app", name), outcome))
    }

    fn started(name: &str) -> Record {
        Record::Started {
            test: test_id("app", name),
        }
    }

    fn unfinished(name: &str, why: Option<Unfinished>, breaches: u32) -> Record {
        let test = test_id("app", name);
        Record::Unfinished(UnfinishedRecord {
            test,
            why,
            breaches,
            evidence: (1..=breaches).map(|time| format!("time {time}")).collect(),
        })
    }

    fn finished(outcome: RunOutcome) -> Record {
        Record::Finished { outcome }
    }

    fn failed() -> TestOutcome {
        TestOutcome::Failed(Failure::Exit(101))
    }

    #[test]
    fn a_stopped_run_goes_on_where_it_was() {
        let records = [
            done("a", TestOutcome::Passed),
            done("b", failed()),
            done("c", TestOutcome::Ignored),
            started("d"),
            unfinished("d", Some(Unfinished::Stopped), 1),
            unfinished("e", Some(Unfinished::Stopped), 0),
            finished(RunOutcome::Stopped),
        ];
        let selected: Vec<Selected> = ["a", "b", "c", "d", "e", "f"]
            .map(|name| selected(name, name == "c"))
            .into();
        let plan = plan(&loaded(&header(), &records), &selected, &header().binaries);
        assert_eq!(
            plan,
            ResumePlan {
                kept: vec![
                    result(test_id("app", "a"), TestOutcome::Passed),
                    result(test_id("app", "b"), failed()),
                    result(test_id("app", "c"), TestOutcome::Ignored),
                ],
                run: vec![4, 5],
                suspects: vec![Suspect {
                    index: 3,
                    breaches: 1,
                    evidence: vec!["time 1".to_owned()],
                }],
                ..ResumePlan::default()
            }
        );
        assert!(!plan.is_complete());
    }

    #[test]
    fn failed_tests_run_again_and_the_rest_stays_as_it_is() {
        let breach = TestOutcome::Failed(Failure::Breach {
            reason: "memory".to_owned(),
        });
        let records = [
            done("a", TestOutcome::Passed),
            done("b", failed()),
            done("c", TestOutcome::Ignored),
            unfinished("d", Some(Unfinished::Stopped), 1),
            unfinished("e", Some(Unfinished::Stopped), 0),
            done("f", breach),
            finished(RunOutcome::Stopped),
        ];
        let names = ["a", "b", "c", "d", "e", "f"];
        let selected: Vec<Selected> = names.map(|name| selected(name, name == "c")).into();
        let loaded = loaded(&header(), &records);
        let suspect = |index, evidence: &[&str]| Suspect {
            index,
            breaches: 1,
            evidence: evidence.iter().map(ToString::to_string).collect(),
        };
        let whole = plan(&loaded, &selected, &header().binaries);
        let kept = vec![
            result(test_id("app", "a"), TestOutcome::Passed),
            result(test_id("app", "c"), TestOutcome::Ignored),
        ];
        let only = whole.clone().rerun_failed(&loaded, &selected, false);
        let expected = ResumePlan {
            kept: kept.clone(),
            run: vec![1],
            suspects: vec![suspect(5, &[])],
            left: vec![4],
            left_suspects: vec![suspect(3, &["time 1"])],
            ..ResumePlan::default()
        };
        assert_eq!(only, expected);
        assert_eq!(
            only.carried(&selected).count(),
            4,
            "no suspect is forgotten"
        );
        let all = whole.rerun_failed(&loaded, &selected, true);
        let expected = ResumePlan {
            kept,
            run: vec![1, 4],
            suspects: vec![suspect(5, &[]), suspect(3, &["time 1"])],
            ..ResumePlan::default()
        };
        assert_eq!(all, expected);
        // A result that holds no longer says all the same what has to be tried again.
        let rebuilt = [binary("app", "rebuilt")];
        let plan = plan(&loaded, &selected, &rebuilt).rerun_failed(&loaded, &selected, false);
        assert_eq!((plan.run, plan.left), (vec![1], vec![0, 3, 4]));
    }

    #[test]
    fn a_finished_run_leaves_nothing_to_do() {
        let records = [done("a", failed()), finished(RunOutcome::Failed)];
        let loaded = loaded(&header(), &records);
        let binaries = &header().binaries;
        assert!(plan(&loaded, &[selected("a", false)], binaries).is_complete());
        let with_ignored = [selected("a", false), selected("b", true)];
        let plan = plan(&loaded, &with_ignored, binaries);
        assert!(plan.is_complete());
        assert_eq!(plan.ignored, [1]);
    }

    #[test]
    fn what_was_ignored_is_a_result_only_while_it_is_ignored() {
        let cases = [
            (TestOutcome::Ignored, true, true),
            (TestOutcome::Ignored, false, false),
            (TestOutcome::Passed, true, true),
            (failed(), true, true),
        ];
        for (outcome, ignored, kept) in cases {
            let loaded = loaded(&header(), &[done("a", outcome.clone())]);
            let plan = plan(&loaded, &[selected("a", ignored)], &header().binaries);
            assert_eq!(
                !plan.kept.is_empty(),
                kept,
                "{outcome:?}, ignored now: {ignored}"
            );
            assert_eq!(plan.run.is_empty(), kept);
            assert_eq!(plan.dropped, []);
        }
    }

    #[test]
    fn results_of_another_binary_are_dropped_by_name() {
        let records = [
            done("a", TestOutcome::Passed),
            done("b", failed()),
            unfinished("c", Some(Unfinished::Shed), 1),
        ];
        let loaded = loaded(&header(), &records);
        let tests = ["a", "b", "c"].map(|name| selected(name, false));
        let dropped = |why, results| Dropped {
            binary: BinaryId::new("app"),
            why,
            results,
        };

        let changed = plan(&loaded, &tests, &[binary("app", "rebuilt")]);
        assert_eq!(changed.dropped, [dropped(DroppedWhy::Changed, 2)]);
        assert_eq!(changed.run, [0, 1, 2]);
        assert_eq!(
            (changed.kept.len(), changed.suspects.len(), changed.new),
            (0, 0, 0)
        );

        let gone = plan(&loaded, &[], &[]);
        assert_eq!(gone.dropped, [dropped(DroppedWhy::Gone, 2)]);

        let fewer = plan(&loaded, &tests[1..], &header().binaries);
        assert_eq!(fewer.dropped, [dropped(DroppedWhy::NotSelected, 1)]);
        assert_eq!(fewer.kept.len(), 1);
    }

    #[test]
    fn a_rebuilt_but_identical_binary_keeps_its_results() {
        let loaded = loaded(&header(), &[done("a", TestOutcome::Passed)]);
        let mut rebuilt = binary("app", "one");
        rebuilt.fingerprint.mtime_ns = 1_800_000_000_000_000_000;
        assert!(plan(&loaded, &[selected("a", false)], &[rebuilt]).is_complete());
    }

    #[test]
    fn a_test_that_kills_the_runner_twice_is_not_run_again() {
        let tests = [selected("a", false), selected("b", false)];
        let legs = |second: Option<Exit>| {
            let mut header = header();
            header.leg = 1;
            // Each leg dies while `a` runs, and never gets to `b`, which the first one suspected.
            let records = [unfinished("b", Some(Unfinished::Shed), 1), started("a")];
            let first = plan(&loaded(&header, &records), &tests, &header.binaries);
            let counts = first.suspects.iter();
            let counts: Vec<_> = counts.map(|it| (it.index, it.breaches)).collect();
            assert_eq!(counts, [(0, 1), (1, 1)]);
            assert_eq!(first.condemned, []);

            header.leg = 2;
            let mut records: Vec<Record> = first.carried(&tests).collect();
            records.push(started("a"));
            let mut loaded = loaded(&header, &records);
            loaded.died = second;
            plan(&loaded, &tests, &header.binaries)
        };
        let signal = "leg 1: the runner died while it ran; leg 2: the runner was killed by SIGKILL \
                      while it ran; a run without --resume tries it again";
        let silent = "leg 1: the runner died while it ran; leg 2: the runner died while it ran; \
                      a run without --resume tries it again";
        for (died, evidence) in [(Some(Exit::Signal(9)), signal), (None, silent)] {
            let third = legs(died);
            let evidence = evidence.to_owned();
            assert_eq!(third.condemned, [Condemned { index: 0, evidence }]);
            assert_eq!(third.suspects.len(), 1, "b waits for its turn");
            assert!(!third.is_complete());
        }
    }

    #[test]
    fn counts_without_evidence_condemn_as_well() {
        let record = r#"{"kind":"unfinished","test":{"binary":"app","name":"a"},"breaches":2}"#;
        let old = Record::decode(record.as_bytes()).expect("as older files have it");
        let loaded = loaded(&header(), &[old]);
        let plan = plan(&loaded, &[selected("a", false)], &header().binaries);
        let evidence = &plan.condemned[0].evidence;
        assert!(evidence.starts_with("2 times it was running"), "{evidence}");
    }

    /// Everything that a plan depends on, small enough for collisions to be likely.
    #[derive(Clone, Debug)]
    struct Case {
        records: Vec<Record>,
        before: Vec<BinaryRecord>,
        now: Vec<BinaryRecord>,
        selected: Vec<Selected>,
    }

    fn any_test() -> impl Strategy<Value = TestId> {
        (0..3, 0..3).prop_map(|(binary, name)| test_id(&format!("b{binary}"), &format!("t{name}")))
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let outcome = prop_oneof![
            Just(TestOutcome::Passed),
            Just(TestOutcome::Ignored),
            (1..3).prop_map(|code| TestOutcome::Failed(Failure::Exit(code))),
        ];
        let why = option::of(prop_oneof![
            Just(Unfinished::Shed),
            Just(Unfinished::Stopped),
            Just(Unfinished::Interrupted),
        ]);
        prop_oneof![
            3 => (any_test(), outcome).prop_map(|(test, outcome)| {
                Record::Result(result(test, outcome))
            }),
            3 => any_test().prop_map(|test| Record::Started { test }),
            3 => (any_test(), why, 0_u32..4).prop_map(|(test, why, breaches)| {
                let evidence = (1..=breaches).map(|time| format!("time {time}")).collect();
                Record::Unfinished(UnfinishedRecord { test, why, breaches, evidence })
            }),
            1 => Just(finished(RunOutcome::Failed)),
            1 => Just(Record::Died { exit: Exit::Signal(9) }),
        ]
    }

    fn any_binaries() -> impl Strategy<Value = Vec<BinaryRecord>> {
        vec(option::weighted(0.9, 0..4), 3).prop_map(|contents| {
            let found = contents
                .into_iter()
                .enumerate()
                .filter_map(|(index, content)| {
                    // Three of four contents are the same, so that most binaries are.
                    let content = content.map(|number| if number == 3 { "other" } else { "same" });
                    content.map(|content| binary(&format!("b{index}"), content))
                });
            found.collect()
        })
    }

    fn any_case() -> impl Strategy<Value = Case> {
        let all: Vec<TestId> = (0..9)
            .map(|n| test_id(&format!("b{}", n / 3), &format!("t{}", n % 3)))
            .collect();
        let selected = (
            subsequence(all, 0..=9).prop_shuffle(),
            vec(any::<bool>(), 9),
        );
        (
            vec(any_record(), 0..25),
            any_binaries(),
            any_binaries(),
            selected,
        )
            .prop_map(|(records, before, now, (tests, ignored))| Case {
                records,
                before,
                now,
                selected: tests
                    .into_iter()
                    .zip(ignored)
                    .map(|(test, ignored)| Selected { test, ignored })
                    .collect(),
            })
    }

    #[derive(Debug, PartialEq)]
    enum Fate {
        Kept(TestOutcome),
        Ignored,
        Suspect(u32),
        Condemned,
        Run,
    }

    impl Case {
        fn content<'a>(list: &'a [BinaryRecord], id: &BinaryId) -> Option<&'a str> {
            let found = list.iter().find(|binary| binary.id == *id)?;
            Some(if found.fingerprint.size == 4 {
                "same"
            } else {
                "other"
            })
        }

        fn trusted(&self, id: &BinaryId) -> bool {
            let before = Self::content(&self.before, id);
            before.is_some() && before == Self::content(&self.now, id)
        }

        /// The fate of one test, told from the records alone, back to front.
        fn fate(&self, selected: &Selected) -> Fate {
            let test = &selected.test;
            let mut result = None;
            let mut last_seen_running = None;
            let mut breaches = 0;
            let mut orderly = false;
            for record in self.records.iter().rev() {
                match record {
                    Record::Result(it) if it.test == *test => {
                        result = result.or(Some(it.outcome.clone()));
                    }
                    Record::Started { test: it } if it == test => {
                        last_seen_running = last_seen_running.or(Some(true));
                    }
                    Record::Unfinished(it) if it.test == *test => {
                        last_seen_running = last_seen_running.or(Some(false));
                        breaches = std::cmp::max(breaches, it.breaches);
                    }
                    Record::Finished { .. } => orderly = true,
                    Record::Suite { .. }
                    | Record::Result(_)
                    | Record::Started { .. }
                    | Record::Unfinished(_)
                    | Record::Stopped(_)
                    | Record::Died { .. } => {}
                }
            }
            let trusted = self.trusted(&test.binary);
            if last_seen_running == Some(true) && !orderly {
                breaches += 1;
            }
            match result {
                Some(TestOutcome::Ignored) if trusted && selected.ignored => {
                    Fate::Kept(TestOutcome::Ignored)
                }
                Some(TestOutcome::Ignored) | None if selected.ignored => Fate::Ignored,
                Some(outcome) if trusted && outcome != TestOutcome::Ignored => Fate::Kept(outcome),
                None if trusted && breaches == 1 => Fate::Suspect(breaches),
                None if trusted && breaches > 1 => Fate::Condemned,
                Some(_) if selected.ignored => Fate::Ignored,
                Some(_) | None => Fate::Run,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn the_plan_agrees_with_the_records(case in any_case()) {
            let header = Header { binaries: case.before.clone(), ..header() };
            let loaded = loaded(&header, &case.records);
            let plan = plan(&loaded, &case.selected, &case.now);

            let mut kept = plan.kept.iter();
            let (mut run, mut ignored) = (plan.run.iter(), plan.ignored.iter());
            let mut suspects = plan.suspects.iter();
            let mut condemned = plan.condemned.iter();
            for (index, selected) in case.selected.iter().enumerate() {
                match case.fate(selected) {
                    Fate::Kept(outcome) => {
                        let kept = kept.next().expect("a kept result");
                        prop_assert_eq!((&kept.test, &kept.outcome), (&selected.test, &outcome));
                    }
                    Fate::Ignored => prop_assert_eq!(ignored.next(), Some(&index)),
                    Fate::Suspect(breaches) => {
                        let suspect = suspects.next().map(|it| (it.index, it.breaches));
                        prop_assert_eq!(suspect, Some((index, breaches)));
                    }
                    Fate::Condemned => {
                        prop_assert_eq!(condemned.next().map(|it| it.index), Some(index));
                    }
                    Fate::Run => prop_assert_eq!(run.next(), Some(&index)),
                }
            }
            prop_assert_eq!(kept.next(), None);
            prop_assert_eq!(ignored.next(), None);
            prop_assert_eq!(suspects.next(), None);
            prop_assert_eq!(condemned.next(), None);
            prop_assert_eq!(run.next(), None);
            let to_do = plan.run.len() + plan.suspects.len() + plan.condemned.len();
            prop_assert_eq!(plan.is_complete(), to_do == 0);

            let new = plan.run.iter().filter(|index| {
                Case::content(&case.before, &case.selected[**index].test.binary).is_none()
            });
            prop_assert_eq!(plan.new, new.count());
            for dropped in &plan.dropped {
                let (id, now) = (&dropped.binary, Case::content(&case.now, &dropped.binary));
                let expected = match now {
                    None => DroppedWhy::Gone,
                    Some(_) if case.trusted(id) => DroppedWhy::NotSelected,
                    Some(_) => DroppedWhy::Changed,
                };
                prop_assert_eq!(dropped.why, expected);
            }
            // Each result is kept, dropped by name, or of a test that is not ignored any more.
            let dropped: usize = plan.dropped.iter().map(|dropped| dropped.results).sum();
            let unignored = loaded.results.iter().filter(|result| {
                result.outcome == TestOutcome::Ignored
                    && case.trusted(&result.test.binary)
                    && case.selected.iter().any(|it| it.test == result.test && !it.ignored)
            });
            prop_assert_eq!(plan.kept.len() + dropped + unignored.count(), loaded.results.len());
        }

        #[test]
        fn a_leg_that_dies_at_once_changes_nothing(case in any_case()) {
            let header = Header { binaries: case.before.clone(), ..header() };
            let first = plan(&loaded(&header, &case.records), &case.selected, &case.now);
            let header = Header { binaries: case.now.clone(), leg: 2, ..header };
            let carried: Vec<Record> = first.carried(&case.selected).collect();
            let second = plan(&loaded(&header, &carried), &case.selected, &case.now);
            prop_assert_eq!(&second.kept, &first.kept);
            prop_assert_eq!(&second.ignored, &first.ignored);
            // What is of a binary that is not there can't be carried, and can't run either.
            prop_assert_eq!(&second.suspects, &first.suspects);
            // The condemned have results, which are not carried but new.
            let mut run = first.run.clone();
            run.extend(first.condemned.iter().map(|it| it.index));
            run.sort_unstable();
            prop_assert_eq!(&second.run, &run);
            prop_assert_eq!(second.dropped, []);
        }
    }
}
