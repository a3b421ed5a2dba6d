//! Tests that take memory as fast as they can, against a line a little above the present use.

use std::time::Duration;

use fs_err as fs;
use stt_tests::Finished;
use stt_tests::Lab;

use crate::machine;
use crate::observer::Look;
use crate::observer::Observer;
use crate::verdict::Figures;
use crate::verdict::Verdict;
use crate::verdict::megabytes;
use crate::verdict::millis;

/// What is held against the line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Against {
    /// What the machine uses.
    Machine(i64),
    /// What the leaker has.
    Leaker(i64),
    /// By how much the machine uses more than when the leaker began: what a family of many has.
    Growth(i64),
}

/// One leg of a run, from outside.
#[derive(Debug)]
pub(crate) struct Leg {
    /// How it ended.
    pub(crate) finished: Finished,
    /// By how much memory was over its line, in bytes.
    pub(crate) overshoot: Option<i64>,
    /// From the last look below the line to the first at which the leaker is killed.
    pub(crate) kill: Option<Duration>,
    /// Whether others moved the machine's memory meanwhile, so that the overshoot is not ours.
    pub(crate) disturbed: bool,
    /// Processes of the tests that were alive afterwards.
    pub(crate) survivors: usize,
}

/// How much others may take or free between the crossing and the KILL, or a figure of the whole machine
/// counts for nothing.
const NOISE: i64 = 30_000_000;

/// With less than this at the crossing, it was others who crossed the line.
const SHARE: i64 = 150_000_000;

/// Runs a leaker of this name, and looks at it.
pub(crate) fn leg(lab: &Lab, leaker: &str, args: &[&str], env: (&str, &str), line: Against) -> Leg {
    let trace = lab.traces.join(format!("{leaker}.pid"));
    drop(fs::remove_file(&trace));
    let observer =
        Observer::start(move || std::fs::read_to_string(&trace).ok()?.trim().parse().ok());
    let finished = lab.json(args).env(env.0, env.1).run();
    let survivors = lab.survivors().len();
    let looks = observer.finish();
    let judged = judge(&looks, line);
    Leg {
        finished,
        overshoot: judged.map(|(overshoot, _, _)| overshoot),
        kill: judged.map(|(_, kill, _)| kill),
        disturbed: judged.is_some_and(|(_, _, disturbed)| disturbed),
        survivors,
    }
}

/// The overshoot, the time to the KILL, and whether others disturbed. `None` when the line was not crossed, or
/// nothing was killed.
fn judge(looks: &[Look], line: Against) -> Option<(i64, Duration, bool)> {
    let first = looks.first()?;
    let height = |look: &Look| match line {
        Against::Machine(line) => look.used - line,
        Against::Leaker(line) => look.resident - line,
        Against::Growth(line) => look.used - first.used - line,
    };
    let crossing = looks
        .iter()
        .position(|look| look.lives && height(look) >= 0)?;
    let killed = crossing + looks[crossing..].iter().position(|look| !look.lives)?;
    // What is freed takes a while to be gone, and what was being given out at the KILL still arrives.
    let until = (killed + 3).min(looks.len() - 1);
    let overshoot = looks[crossing..=until].iter().map(height).max()?;
    let before = looks[crossing.saturating_sub(1)];
    let by_others = |look: &Look| look.used - look.resident;
    let disturbed = match line {
        Against::Leaker(_) | Against::Growth(_) => false,
        Against::Machine(_) => {
            let meanwhile = by_others(&looks[killed - 1]) - by_others(&before);
            meanwhile.abs() > NOISE || before.resident < SHARE
        }
    };
    Some((overshoot, looks[killed].at - before.at, disturbed))
}

/// What every leak is run with: harmless tests beside it, and no grace.
const FIRST: [&str; 10] = [
    "--no-fail-fast",
    "-j",
    "2",
    "--exact",
    "calm_00",
    "calm_01",
    "calm_failure",
    "exits_with_seven",
    "--config",
    "guard.grace-period=0s",
];
const AGAIN: [&str; 3] = ["--resume", "--config", "guard.grace-period=0s"];

/// A leaker against a threshold, in many rounds of two legs: stopped with 42, and resumed.
struct Plan {
    leaker: &'static str,
    memory: &'static str,
    threshold: fn() -> (String, Against),
    rounds: usize,
}

impl Plan {
    fn carry_out(&self) -> Vec<Verdict> {
        let (mut legs, mut wrong) = (Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let lab = Lab::shared("hostile");
            let pair = match self.round(&lab) {
                Ok(pair) => pair,
                Err(leg) => {
                    wrong.push(format!(
                        "round {round}: no checkpoint: {}",
                        leg.finished.transcript()
                    ));
                    continue;
                }
            };
            for complaint in complaints(&lab, self.leaker, &pair) {
                wrong.push(format!("round {round}: {complaint}"));
            }
            legs.extend(pair.legs);
        }
        let mut verdicts = figures(&legs);
        let right = format!("{} rounds, as promised", self.rounds);
        verdicts.push(Verdict::new(
            "42, checkpoint valid, nothing alive; resumed: no test twice, suspect alone and failed by name (100)",
            wrong.is_empty(),
            if wrong.is_empty() { right } else { wrong.join("\n") },
        ));
        verdicts
    }

    /// Both legs; the first one alone when it has left nothing to resume.
    fn round(&self, lab: &Lab) -> Result<Pair, Box<Leg>> {
        let env = ("HOSTILE_MEMORY", self.memory);
        let leg = |args: &[&str]| {
            let (threshold, line) = (self.threshold)();
            let args = [args, &["--memory-threshold", &threshold]].concat();
            leg(lab, self.leaker, &args, env, line)
        };
        let first = leg(&[&FIRST[..], &[self.leaker]].concat());
        if !lab.checkpoint.exists() {
            return Err(Box::new(first));
        }
        let kept = lab
            .record()
            .results()
            .into_keys()
            .map(|(_, name)| name)
            .collect();
        let again = leg(&AGAIN);
        Ok(Pair {
            legs: [first, again],
            kept,
        })
    }
}

/// A stopped leg, the tests that had a result then, and the leg that resumed it.
struct Pair {
    legs: [Leg; 2],
    kept: Vec<String>,
}

/// What is not as promised about a pair of legs.
fn complaints(lab: &Lab, leaker: &str, pair: &Pair) -> Vec<String> {
    let [first, again] = &pair.legs;
    let mut wrong = Vec::new();
    for (leg, code) in [(first, 42), (again, 100)] {
        if leg.finished.code != Some(code) {
            wrong.push(format!(
                "exit code {:?} instead of {code}\n{}",
                leg.finished.code,
                leg.finished.transcript()
            ));
        }
        if leg.survivors > 0 {
            wrong.push(format!("{} processes survived", leg.survivors));
        }
    }
    let report = again.finished.report();
    wrong.extend(
        pair.kept
            .iter()
            .filter(|name| report.started(name))
            .map(|name| format!("{name} ran again")),
    );
    let results = lab.record().results();
    let result = results.iter().find(|((_, name), _)| name == leaker);
    if result.is_none_or(|(_, result)| result != "breach") {
        wrong.push(format!("{leaker} has the result {result:?}"));
    }
    if report
        .of("test-started")
        .last()
        .is_none_or(|last| last["test"]["name"] != leaker)
    {
        wrong.push(format!("{leaker} was not the last one"));
    }
    if results.len() != 5 {
        wrong.push(format!("{} results of 5", results.len()));
    }
    wrong
}

/// The promises about sizes and times.
pub(crate) fn figures(legs: &[Leg]) -> Vec<Verdict> {
    let counted: Vec<&Leg> = legs.iter().filter(|leg| !leg.disturbed).collect();
    let overshoot = Figures::new(
        counted
            .iter()
            .filter_map(|leg| leg.overshoot.map(megabytes)),
    );
    let kill = Figures::new(counted.iter().filter_map(|leg| leg.kill.map(millis)));
    let uncounted = format!(
        "{} disturbed by others, {} not seen over it",
        legs.len() - counted.len(),
        counted.iter().filter(|leg| leg.kill.is_none()).count()
    );
    vec![
        Verdict::new(
            "stopped within 100 MB past the line",
            overshoot.percentile(99) <= 100.0,
            format!("{}; {uncounted}", overshoot.told("MB")),
        ),
        Verdict::new(
            "killed within 15 ms of the crossing (p99)",
            kill.percentile(99) <= 15.0,
            kill.told("ms"),
        ),
    ]
}

const ABOVE: i64 = 720_000_000;

fn share_of_the_machine() -> (String, Against) {
    let (share, line) = machine::share_above_use(ABOVE);
    (share, Against::Machine(line))
}

fn size_of_the_run() -> (String, Against) {
    ("400MB".to_owned(), Against::Leaker(400_000_000))
}

/// One thread, ordinary pages, against a share of the machine.
pub(crate) fn share(rounds: usize) -> Vec<Verdict> {
    let plan = Plan {
        leaker: "leaks_fast",
        memory: "3000000000",
        threshold: share_of_the_machine,
        rounds,
    };
    plan.carry_out()
}

/// The same against a size.
pub(crate) fn size(rounds: usize) -> Vec<Verdict> {
    let plan = Plan {
        leaker: "leaks_fast",
        memory: "3000000000",
        threshold: size_of_the_run,
        rounds,
    };
    plan.carry_out()
}

/// Every core, huge pages, against a share.
pub(crate) fn huge(rounds: usize) -> Vec<Verdict> {
    let plan = Plan {
        leaker: "leaks_on_every_core",
        memory: "6000000000",
        threshold: share_of_the_machine,
        rounds,
    };
    plan.carry_out()
}

/// Every core, huge pages, against a size.
pub(crate) fn size_huge(rounds: usize) -> Vec<Verdict> {
    let plan = Plan {
        leaker: "leaks_on_every_core",
        memory: "6000000000",
        threshold: size_of_the_run,
        rounds,
    };
    plan.carry_out()
}

/// A size at which an exact reading of the family takes long.
pub(crate) fn large_size(rounds: usize) -> Vec<Verdict> {
    let threshold = || ("3GB".to_owned(), Against::Leaker(3_000_000_000));
    let plan = Plan {
        leaker: "leaks_fast",
        memory: "6000000000",
        threshold,
        rounds: rounds.div_ceil(3),
    };
    plan.carry_out()
}

/// Children that unshare what they had shared: only an exact reading sees it.
pub(crate) fn unshare(rounds: usize) -> Vec<Verdict> {
    let args = [
        "--exact",
        "unshares_memory_in_children",
        "--memory-threshold",
        "1GB",
        "--config",
        "guard.grace-period=0s",
    ];
    let env = ("HOSTILE_MEMORY", "250000000");
    let legs: Vec<Leg> = (0..rounds.div_ceil(6))
        .map(|_| {
            let lab = Lab::shared("hostile");
            leg(
                &lab,
                "unshares_memory_in_children",
                &args,
                env,
                Against::Growth(1_000_000_000),
            )
        })
        .collect();
    let overshoot = Figures::new(legs.iter().filter_map(|leg| leg.overshoot.map(megabytes)));
    let held = legs
        .iter()
        .all(|leg| leg.finished.code == Some(42) && leg.survivors == 0);
    vec![Verdict::new(
        "a family that unshares its memory ends in 42, with nothing alive",
        held,
        format!(
            "past the line by {}, codes {:?}",
            overshoot.told("MB"),
            codes(&legs)
        ),
    )]
}

fn codes(legs: &[Leg]) -> Vec<Option<i32>> {
    legs.iter().map(|leg| leg.finished.code).collect()
}

/// With `--on-breach shed` the others finish, and the leaker is tried again alone and fails.
pub(crate) fn shed(rounds: usize) -> Vec<Verdict> {
    let mut wrong = Vec::new();
    let legs: Vec<Leg> = (0..rounds.div_ceil(3))
        .map(|_| {
            let lab = Lab::shared("hostile");
            let (threshold, line) = share_of_the_machine();
            let args = [
                &FIRST[..],
                &[
                    "leaks_fast",
                    "--on-breach",
                    "shed",
                    "--memory-threshold",
                    &threshold,
                ],
            ]
            .concat();
            let leg = leg(
                &lab,
                "leaks_fast",
                &args,
                ("HOSTILE_MEMORY", "3000000000"),
                line,
            );
            let report = leg.finished.report();
            let was_shed = report
                .of("guard")
                .any(|line| line["action"] == "shed" && line["test"]["name"] == "leaks_fast");
            let failed = report
                .results()
                .iter()
                .any(|((_, name), result)| name == "leaks_fast" && result == "breach");
            if !was_shed || !failed || leg.finished.code != Some(100) || leg.survivors > 0 {
                wrong.push(leg.finished.transcript());
            }
            leg
        })
        .collect();
    let mut verdicts = figures(&legs);
    verdicts.push(Verdict::new(
        "shed: the others finish, the leaker alone again, failed by name (100)",
        wrong.is_empty(),
        format!("codes {:?} {}", codes(&legs), wrong.join("\n")),
    ));
    verdicts
}

/// A test with a limit of memory of its own, which no control group enforces: it is watched.
pub(crate) fn limit(rounds: usize) -> Vec<Verdict> {
    let args = [
        "--exact",
        "--no-fail-fast",
        "-j",
        "2",
        "leaks_fast",
        "calm_00",
        "--limits",
        "leak",
        "--config",
        "limits.leak.memory=400MB",
    ];
    let mut wrong = Vec::new();
    let legs: Vec<Leg> = (0..rounds)
        .map(|_| {
            let lab = Lab::shared("hostile");
            let env = ("HOSTILE_MEMORY", "3000000000");
            let leg = leg(&lab, "leaks_fast", &args, env, Against::Leaker(400_000_000));
            let report = leg.finished.report();
            let failure = &report.finished("leaks_fast")["failure"];
            let used = failure["exceeded"]["memory"]["used"].as_i64();
            let passed = report.count("passed") == 1;
            if leg.finished.code != Some(100) || used.is_none() || !passed || leg.survivors > 0 {
                wrong.push(leg.finished.transcript());
            }
            leg
        })
        .collect();
    let mut verdicts = figures(&legs);
    verdicts.push(Verdict::new(
        "a test over its own limit of memory has failed by name (100), the other passed, nothing is alive",
        wrong.is_empty(),
        format!("codes {:?} {}", codes(&legs), wrong.join("\n")),
    ));
    verdicts
}
