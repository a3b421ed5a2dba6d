//! The runner is killed by SIGKILL, again and again, at moments that chance chooses; then its run is
//! resumed to the end. No result may be lost, and nothing that has one may run again.
//!
//! `STT_TORTURE=200` sets the number of kills; ten are enough for every day.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::time::Duration;
use std::time::SystemTime;

use nix::sys::signal::Signal;
use stt_tests::DEADLINE;
use stt_tests::Lab;
use stt_tests::Record;
use stt_tests::Results;
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
    let mut struck = 0;
    loop {
        let log = lab.log();
        let resume: &[&str] = if lab.checkpoint.exists() {
            &["--resume"]
        } else {
            &[]
        };
        let running = lab
            .json(resume)
            .args(["--no-fail-fast", "-j", &AT_ONCE.to_string()])
            .log(&log)
            .spawn();
        let last = struck >= kills;
        if !last {
            let life = Duration::from_millis(chance.next() % LONGEST);
            let start = SystemTime::now();
            until("the moment of the kill", DEADLINE, || {
                (start.elapsed().ok()? >= life).then_some(())
            });
            running.signal(Signal::SIGKILL);
        }
        let finished = running.finish();
        for id in log.starts().into_keys() {
            // The log has the function's name, the runner the test's whole name.
            let ran_again = recorded.iter().find(|(binary, name)| {
                *binary == id.0 && name.rsplit("::").next() == Some(id.1.as_str())
            });
            assert_eq!(ran_again, None, "a recorded test ran again");
        }
        if finished.signal == Some(9) {
            struck += 1;
            toll.kills += 1;
            if lab.checkpoint.exists() {
                let now = Record::read_torn(&lab.checkpoint).recorded();
                let lost: Vec<_> = recorded.difference(&now).collect();
                assert!(lost.is_empty(), "lost: {lost:?}");
                let new = now.len() - recorded.len();
                let cut_short = log.starts().len() - new.min(log.starts().len());
                assert!(cut_short <= AT_ONCE, "{cut_short} tests are to run again");
                toll.loaded += 1;
                toll.kept += new;
                toll.again += cut_short;
                recorded = now;
            }
            continue;
        }
        let finished = finished.code(100);
        assert_eq!(&lab.record().results(), expected);
        let report = finished.report();
        assert_eq!(
            report.count("passed"),
            expected
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
