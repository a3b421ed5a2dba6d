//! Several runs that have yielded, and go on by themselves: one after the other, and nothing is lost.

use std::time::Duration;
use std::time::Instant;

use fs_err as fs;
use stt_tests::DEADLINE;
use stt_tests::Finished;
use stt_tests::Lab;
use stt_tests::Log;
use stt_tests::Running;
use stt_tests::Town;
use stt_tests::until;

use crate::neighbours::ANY;
use crate::neighbours::breach::Place;
use crate::neighbours::breach::Scene;
use crate::neighbours::breach::WITNESSES;
use crate::verdict::Verdict;

/// So far apart are the restarts on one machine, less what the clocks of two processes may differ in telling them.
const APART: Duration = Duration::from_millis(9_900);

const HOLDS: &str = "grows_when_told_to";

/// What each run has beside the test that holds memory.
const CALM: [&str; 10] = [
    "calm_00", "calm_01", "calm_02", "calm_03", "calm_04", "calm_05", "calm_06", "calm_07",
    "calm_08", "calm_09",
];

/// Four runs, of which the two youngest yield. They go on by themselves.
#[expect(clippy::print_stderr, reason = "it takes long")]
pub(super) fn herd(trials: usize) -> Vec<Verdict> {
    let promise = "runs that have yielded go on one at a time, ten seconds apart, the oldest first, and nothing is lost";
    let mut told = Vec::new();
    let mut right = 0;
    for trial in 0..trials {
        match std::panic::catch_unwind(one_herd).unwrap_or_else(|_| Err("it broke".to_owned())) {
            Ok(apart) => {
                right += 1;
                told.push(format!("{apart:.1?}"));
            }
            Err(what) => {
                eprintln!("herd {}: {what}", trial + 1);
                told.push(what);
            }
        }
    }
    let holds = right == trials;
    vec![Verdict::new(
        promise,
        holds,
        format!("{right} of {trials}; apart by {}", told.join(", ")),
    )]
}

fn one_herd() -> Result<Duration, String> {
    let town = Town::new();
    let labs: Vec<Lab> = (0..WITNESSES).map(|_| Lab::shared("hostile")).collect();
    let scene = Scene::of(Place::Group);
    let logs: Vec<Log> = labs.iter().map(Lab::log).collect();
    let mut runs = Vec::new();
    for (lab, log) in labs.iter().zip(&logs) {
        let args = [
            "--auto-restart",
            "--cpu-action",
            "off",
            "--no-fail-fast",
            "-j",
            "1",
            "--memory-threshold",
            &scene.line,
            "--config",
            "guard.grace-period=200ms",
            "--config",
            "restart.stable=500ms",
            "--exact",
            HOLDS,
        ];
        let stt = town.join(lab.json(args).args(CALM).log(log), ANY);
        runs.push(scene.start(stt, &town, lab));
    }
    for (run, lab) in runs.iter_mut().zip(&labs) {
        run.wait_for("its test runs", |_| lab.traced(HOLDS));
    }
    // The oldest grows until the youngest yields, then the second oldest until the next youngest does.
    for (grows, yields) in [(0, 3), (1, 2)] {
        fs::write(labs[grows].traces.join("grow"), "").expect("it is ours");
        runs[yields].wait_for("it has yielded", |run| {
            run.report().of("waiting").next().map(|_| ())
        });
        fs::write(labs[grows].traces.join("enough"), "").expect("it is ours");
    }
    for lab in &labs {
        lab.go();
    }
    let went_on = |run: &Running| {
        run.report()
            .of("waiting")
            .any(|said| said["next"] == "go-on")
    };
    let mut times = [None; 2];
    let apart = until("both go on", DEADLINE, || {
        for (time, run) in times.iter_mut().zip(&runs[2..]) {
            if time.is_none() && went_on(run) {
                *time = Some(now());
            }
        }
        Some((times[0]?, times[1]?))
    });
    let ends: Vec<Finished> = runs.into_iter().map(Running::finish).collect();
    for (index, ((end, lab), log)) in ends.iter().zip(&labs).zip(&logs).enumerate() {
        let results = lab.record().results();
        let passed = results
            .values()
            .filter(|result| *result == "passed")
            .count();
        let calm = CALM.iter().all(|name| log.count(name) == 1);
        if end.code != Some(0) || passed != CALM.len() + 1 || !calm {
            return Err(format!(
                "run {index}: {passed} passed, each calm one once: {calm}, {}",
                end.transcript()
            ));
        }
        lab.assert_clean();
    }
    let (older, younger) = apart;
    match younger.checked_duration_since(older) {
        Some(apart) if apart >= APART => Ok(apart),
        apart => Err(format!("they went on {apart:?} apart")),
    }
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}
