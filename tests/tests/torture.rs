//! The worker, its supervisor or both are killed by SIGKILL, again and again, at moments that chance
//! chooses; then the run is resumed to the end. No result may be lost, and nothing that has one may run
//! again.
//!
//! `STT_TORTURE=200` sets the number of kills; ten are enough for every day.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::time::Duration;
use std::time::SystemTime;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use stt_tests::DEADLINE;
use stt_tests::Lab;
use stt_tests::Process;
use stt_tests::Record;
use stt_tests::Results;
use stt_tests::Running;
use stt_tests::id_of;
use stt_tests::is_alive;
use stt_tests::until;

/// So many milliseconds a leg lives at most: the run takes some four seconds in all, so that every leg
/// dies in the build, in the listing, or in the middle of its tests.
const LONGEST: u64 = 900;

/// A fair generator for moments (`SplitMix64`), so that a seed tells a whole torture.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the number of kills is the caller's choice"
)]
fn kills() -> u64 {
    let set = std::env::var("STT_TORTURE").ok();
    set.map_or(10, |text| text.parse().expect("STT_TORTURE is a number"))
}

/// How many tests run at once, each of which a kill may cost the time that it has had.
const AT_ONCE: usize = 2;

/// Kills whom chance chooses, and waits until the worker is gone, who may outlive its supervisor for a
/// moment. Returns how the run must end: with 42 when its supervisor saw it, by the KILL otherwise. Whichever of
/// them is left, its end leaves nobody of this leg alive; whom both have left, the next start finds, if it
/// lives to look: `before` is who was left then.
fn strike(
    chance: &mut Chance,
    running: &mut Running,
    lab: &Lab,
    before: &[Process],
) -> (Option<i32>, Option<i32>) {
    let worker = running.worker_now();
    let (supervisors, workers) = match chance.next() % 3 {
        0 => (false, true),
        1 => (true, false),
        _ => (true, true),
    };
    // In its first moments there is no worker, and after its last one neither.
    let supervisors = supervisors || worker.is_none();
    if supervisors {
        running.signal(Signal::SIGKILL);
    }
    if let Some(worker) = worker {
        if workers {
            // It may have ended in this very moment.
            let _ = kill(Pid::from_raw(worker), Signal::SIGKILL);
        }
        until("the worker is gone", DEADLINE, || {
            (!is_alive(worker)).then_some(())
        });
    }
    if worker.is_some() && supervisors != workers {
        running.wait_for_exit();
        let mut survivors = lab.survivors();
        survivors.retain(|survivor| !before.contains(survivor));
        assert!(survivors.is_empty(), "alive after a kill: {survivors:#?}");
    }
    if supervisors {
        (None, Some(9))
    } else {
        (Some(42), None)
    }
}

/// What the kills came to, for a person who counts.
#[derive(Debug, Default)]
struct Toll {
    kills: u64,
    /// Kills after which there was a checkpoint, and it could be read.
    loaded: u64,
    /// Results that were in it.
    kept: usize,
    /// Tests that a kill had cut short, or whose result was not yet written.
    again: usize,
}

/// One run of the fixture with up to `kills` kills; returns how many struck.
fn torture(chance: &mut Chance, kills: u64, expected: &Results, toll: &mut Toll) -> u64 {
    let lab = Lab::shared("slow");
    let mut recorded: BTreeSet<(String, String)> = BTreeSet::new();
    // How often a kill has cut each test short. The log has the function's name, the record the test's whole name.
    let mut cuts: BTreeMap<(String, String), u32> = BTreeMap::new();
    let in_log = |(binary, name): &(String, String)| {
        let function = name.rsplit("::").next().unwrap_or_default();
        (binary.clone(), function.to_owned())
    };
    let mut struck = 0;
    loop {
        let log = lab.log();
        let resume: &[&str] = if lab.checkpoint.exists() {
            &["--resume"]
        } else {
            &[]
        };
        let before = lab.survivors();
        let mut running = lab
            .json(resume)
            .args(["--no-fail-fast", "-j", &AT_ONCE.to_string()])
            .log(&log)
            .spawn();
        let last = struck >= kills;
        let mut dead = None;
        if !last {
            let life = Duration::from_millis(chance.next() % LONGEST);
            let start = SystemTime::now();
            until("the moment of the kill", DEADLINE, || {
                (start.elapsed().ok()? >= life).then_some(())
            });
            dead = Some(strike(chance, &mut running, &lab, &before));
        }
        let finished = running.finish();
        for id in log.starts().into_keys() {
            let ran_again = recorded.iter().find(|test| in_log(test) == id);
            assert_eq!(ran_again, None, "a recorded test ran again");
        }
        if dead == Some((finished.code, finished.signal)) {
            struck += 1;
            toll.kills += 1;
            if lab.checkpoint.exists() {
                let record = Record::read_torn(&lab.checkpoint);
                let now = record.recorded();
                let lost: Vec<_> = recorded.difference(&now).collect();
                assert!(lost.is_empty(), "lost: {lost:?}");
                let new = now.len() - recorded.len();
                let done: BTreeSet<_> = now.iter().map(in_log).collect();
                // A test is written down before it starts, and may have died before it could say so.
                let started = record.of("started").map(|entry| in_log(&id_of(entry)));
                let started: BTreeSet<_> = log.starts().into_keys().chain(started).collect();
                for id in started.difference(&done).cloned() {
                    *cuts.entry(id).or_default() += 1;
                }
                let cut_short = log.starts().len() - new.min(log.starts().len());
                assert!(cut_short <= AT_ONCE, "{cut_short} tests are to run again");
                let bad = lab.path("checkpoint.json.bad");
                assert!(!bad.exists(), "the runner could not read it");
                toll.loaded += 1;
                toll.kept += new;
                toll.again += cut_short;
                recorded = now;
            }
            continue;
        }
        let finished = finished.code(100);
        lab.assert_clean();
        let results = lab.record().results();
        for (id, expected) in expected {
            let result = &results[id];
            let cut = cuts.get(&in_log(id)).copied().unwrap_or(0);
            // Two deaths while it ran, the second time by itself, are enough.
            let condemned = result == "suspect" && cut >= 2;
            assert!(
                result == expected || condemned,
                "{id:?} {result}, cut {cut} times"
            );
        }
        assert_eq!(results.len(), expected.len());
        let report = finished.report();
        assert_eq!(
            report.count("passed"),
            results
                .values()
                .filter(|result| *result == "passed")
                .count() as u64
        );
        assert_eq!(report.count("outstanding"), 0);
        return struck;
    }
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "the harness shows the seed when the test fails, and the toll when asked to"
)]
fn no_kill_loses_a_result_or_runs_one_again() {
    let seed = RandomState::new().hash_one(0);
    eprintln!("seed {seed}");
    let mut chance = Chance(seed);
    let undisturbed = Lab::shared("slow");
    let expected = undisturbed
        .json(["--no-fail-fast"])
        .run()
        .code(100)
        .results();
    assert_eq!(expected, undisturbed.expected().results(&[]));
    let mut toll = Toll::default();
    let mut left = kills();
    while left > 0 {
        let struck = torture(&mut chance, left.min(12), &expected, &mut toll);
        assert!(struck > 0, "no kill struck");
        left = left.saturating_sub(struck);
    }
    eprintln!("{toll:?}; no result was lost and none ran again");
}
