//! Who yields when the machine's memory is over its line.

use fs_err as fs;
use std::time::Duration;

use stt_tests::DEADLINE;
use stt_tests::Finished;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::Stt;
use stt_tests::Town;
use stt_tests::until;

use crate::limit::Group;
use crate::machine;
use crate::neighbours::ANY;
use crate::neighbours::pause;
use crate::verdict::Verdict;

/// Such a part of the machine's memory each run's test holds while somebody provokes a breach: so much that the
/// kernel's own comings and goings are small beside it, and less than makes a run count as large by itself.
const PART: i64 = 24;

/// The size of a control group in which the same is provoked, and what each run's test holds there. What others on this
/// machine take and give is nothing to it.
const GROUP: i64 = 2 << 30;
const GROUP_PART: i64 = 200 << 20;

/// What four runs with their supervisors and their tests take beside, there.
const GROUP_REST: i64 = 60 << 20;

/// How many runs see the breach.
pub(super) const WITNESSES: usize = 4;

/// Whose memory is over its line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The machine's.
    Machine,
    /// That of a control group around the runs.
    Group,
}

/// How long is watched who else yields: a turn and a half.
const WATCHED: Duration = Duration::from_millis(4_500);

/// Of several runs one grows until the machine's memory is over the line: the youngest has to yield, and nobody
/// else.
#[expect(clippy::print_stderr, reason = "it takes long")]
pub(super) fn yielding(trials: usize, place: Place) -> Vec<Verdict> {
    let promise = match place {
        Place::Machine => {
            "exactly one of four yields, the youngest, in 99 of 100 breaches of the machine's line"
        }
        Place::Group => "the same in a control group",
    };
    if place == Place::Group && Group::create(GROUP).is_none() {
        let why = "SKIPPED: no control group of version 1 can be made here".to_owned();
        return vec![Verdict::new(promise, true, why)];
    }
    let mut right = 0;
    let mut wrong = Vec::new();
    for trial in 0..trials {
        eprintln!("trial {} of {trials}, {right} right", trial + 1);
        match one_breach(trial % WITNESSES, place) {
            Ok(()) => right += 1,
            Err(what) => {
                eprintln!("trial {}: {what}", trial + 1);
                wrong.push(format!("trial {}: {what}", trial + 1));
            }
        }
    }
    vec![Verdict::new(
        promise,
        right * 100 >= trials * 99,
        format!("{right} of {trials}; {}", wrong.join("; ")),
    )]
}

/// What of one breach is another in another place.
pub(super) struct Scene {
    /// What each run's test holds, in bytes.
    held: i64,
    /// The threshold.
    pub(super) line: String,
    group: Option<Group>,
}

impl Scene {
    /// What it is there.
    pub(super) fn of(place: Place) -> Self {
        let all = i64::try_from(WITNESSES).unwrap_or(i64::MAX);
        // Half of a part above what all hold, since others on this machine take and give memory meanwhile. Who grows does
        // so until somebody yields: then a whole part is free again, and the line is out of reach.
        let above = |held: i64| all * held + held / 2;
        match place {
            Place::Machine => {
                let held = machine::MemInfo::open().read().total / PART;
                let (line, _) = machine::share_above_use(above(held));
                Self {
                    held,
                    line,
                    group: None,
                }
            }
            Place::Group => Self {
                held: GROUP_PART,
                line: format!("{}%", (above(GROUP_PART) + GROUP_REST) * 100 / GROUP),
                group: Group::create(GROUP),
            },
        }
    }

    /// Starts a run there, which is younger than all that the town has already.
    pub(super) fn start(&self, stt: Stt<'_>, town: &Town, lab: &Lab) -> Running {
        let older = town.runs(lab).len();
        let stt = stt.env("HOSTILE_MEMORY", self.held.to_string());
        let mut run = match &self.group {
            Some(group) => stt.after(&group.enter()).spawn(),
            None => stt.spawn(),
        };
        run.wait_for("it is known", |_| {
            (town.runs(lab).len() > older).then_some(())
        });
        run
    }
}

fn one_breach(grows: usize, place: Place) -> Result<(), String> {
    let town = Town::new();
    let labs: Vec<Lab> = (0..WITNESSES).map(|_| Lab::shared("hostile")).collect();
    let scene = Scene::of(place);
    let guard = [
        "--memory-threshold",
        &scene.line,
        "-j",
        "1",
        "--config",
        "guard.grace-period=200ms",
    ];
    let mut runs: Vec<Running> = Vec::new();
    for lab in &labs {
        let stt = lab.json(["--exact", "grows_when_told_to"]).args(guard);
        runs.push(scene.start(town.join(stt, ANY), &town, lab));
    }
    // Those that are more than cores get a spare share after ten seconds.
    for (run, lab) in runs.iter_mut().zip(&labs) {
        run.wait_for("its test runs", |_| lab.traced("grows_when_told_to"));
    }
    fs::write(labs[grows].traces.join("grow"), "").expect("it is ours");
    let exited = |runs: &[Running]| -> Vec<usize> {
        let gone = |run: &Running| stt_tests::state(run.pid()).is_none_or(|state| state == 'Z');
        (0..runs.len()).filter(|&one| gone(&runs[one])).collect()
    };
    let first = until("somebody yields", DEADLINE, || {
        let gone = exited(&runs);
        (!gone.is_empty()).then_some(gone)
    });
    fs::write(labs[grows].traces.join("enough"), "").expect("it is ours");
    pause(WATCHED);
    let gone = exited(&runs);
    for lab in &labs {
        lab.go();
    }
    let ends: Vec<Finished> = runs.into_iter().map(Running::finish).collect();
    let codes: Vec<Option<i32>> = ends.iter().map(|end| end.code).collect();
    let youngest = WITNESSES - 1;
    let expected: Vec<_> = (0..WITNESSES)
        .map(|one| Some(if one == youngest { 42 } else { 0 }))
        .collect();
    if gone == [youngest] && codes == expected {
        Ok(())
    } else {
        let said: Vec<String> = ends.iter().map(guard_of).collect();
        Err(format!(
            "{first:?} went first, {gone:?} went, exit codes {codes:?}; {}",
            said.join("; ")
        ))
    }
}

/// What the guard of a run had to say, in short.
fn guard_of(run: &Finished) -> String {
    let report = run.report();
    let said = report.of("guard").map(|note| {
        let text = |key: &str| note[key].as_str().unwrap_or_default().to_owned();
        format!("{}: {}", text("action"), text("reason"))
    });
    said.collect::<Vec<_>>().join(", ")
}
