//! A machine that others have filled.

use stt_tests::Finished;
use stt_tests::Lab;

use crate::foreign::Foreign;
use crate::machine;
use crate::verdict::Verdict;

const HELD: i64 = 3_000_000_000;

/// How many tests ran at once at most, as the order of what was said tells.
fn most_at_once(finished: &Finished) -> usize {
    let (mut running, mut most) = (0_usize, 0);
    for line in &finished.report().lines {
        match line["type"].as_str() {
            Some("test-started") => running += 1,
            Some("test-finished" | "test-unfinished") => running = running.saturating_sub(1),
            _ => {}
        }
        most = most.max(running);
    }
    most
}

/// Over the threshold because of others: one test at a time, and a warning. From critical on: 42.
pub(crate) fn crowd(_: usize) -> Vec<Verdict> {
    let (threshold, _) = machine::share_above_use(HELD / 2);
    let (critical, _) = machine::share_above_use(HELD * 3 / 4);
    let foreign = Foreign::holding(HELD);
    let critical = format!("guard.memory-critical={critical}");
    let run = |more: &[&str]| {
        let lab = Lab::shared("hostile");
        let args = [
            "-j",
            "2",
            "--exact",
            "works_00",
            "works_01",
            "works_02",
            "works_03",
            "--memory-threshold",
            &threshold,
        ];
        lab.json([&args[..], more].concat()).run()
    };
    let crowded = run(&[]);
    let warned = crowded
        .report()
        .of("warning")
        .any(|line| line.to_string().contains("other processes hold it"));
    let at_once = most_at_once(&crowded);
    let full = run(&["--config", &critical]);
    drop(foreign);
    let named = full.stdout.contains("other processes hold it");
    let told = |holds: bool, finished: &Finished| {
        if holds {
            String::new()
        } else {
            finished.transcript()
        }
    };
    let (calm, stopped) = (
        crowded.code == Some(0) && warned,
        full.code == Some(42) && named,
    );
    vec![
        Verdict::new(
            "others over the threshold: tests run one at a time, with a warning",
            calm && at_once == 1,
            format!(
                "exit code {:?}, warned: {warned}, at once: {at_once} {}",
                crowded.code,
                told(calm && at_once == 1, &crowded)
            ),
        ),
        Verdict::new(
            "others over critical: 42, and it says so",
            stopped,
            format!(
                "exit code {:?}, says so: {named} {}",
                full.code,
                told(stopped, &full)
            ),
        ),
    ]
}
