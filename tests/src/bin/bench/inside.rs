//! What a test in a container costs that was used before, beside the engine's own command for the same program.

use std::process::Stdio;
use std::time::Instant;

use stt_tests::Engine;

use crate::measure;
use crate::measure::Runner;
use crate::workspace::Workspace;

/// Seconds for each test, of both ways, round by round.
pub(crate) struct Costs {
    pub(crate) engine: Vec<f64>,
    pub(crate) ours: Vec<f64>,
    pub(crate) ours_alone: Vec<f64>,
    /// The same with a container for each.
    pub(crate) own: Vec<f64>,
}

/// Measures both, one after the other in each round; `None` where there is no engine.
pub(crate) fn run(workspace: &Workspace, rounds: usize) -> Option<Costs> {
    let engine = Engine::find()?;
    let image = engine.image_with_libraries();
    let root = workspace.root();
    let volume = format!("{root}:{root}:ro");
    let options = [
        "run",
        "-d",
        "--network=none",
        "-v",
        &volume,
        &image,
        "sleep",
        "3600",
    ];
    let id = engine.call(&options).expect("the engine makes a container");
    let mut costs = Costs {
        engine: Vec::new(),
        ours: Vec::new(),
        ours_alone: Vec::new(),
        own: Vec::new(),
    };
    // The first round only warms the page cache.
    for round in 0..=rounds {
        let by_engine = by_engine(workspace, &id);
        let (whole, alone) = by_us(workspace, &image, "run");
        let (own, _) = by_us(workspace, &image, "test");
        if round > 0 {
            costs.engine.push(by_engine);
            costs.ours.push(whole);
            costs.ours_alone.push(alone);
            costs.own.push(own);
        }
    }
    for verb in [&["kill", &id][..], &["rm", "-f", &id]] {
        drop(engine.call(verb));
    }
    Some(costs)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the bench starts its own children, and measures"
)]
fn by_engine(workspace: &Workspace, id: &str) -> f64 {
    let began = Instant::now();
    for (binary, name) in &workspace.tests {
        let mut exec = workspace.command("docker");
        exec.args(["exec", id, binary.as_str(), "--exact", name, "--nocapture"]);
        exec.stdin(Stdio::null()).stdout(Stdio::null());
        let status = exec.status().expect("docker starts");
        assert!(status.success(), "{status}");
    }
    per_test(workspace, began.elapsed().as_secs_f64())
}

/// A whole run, its one container included, and its tests alone: the median of how long each took.
fn by_us(workspace: &Workspace, image: &str, reuse: &str) -> (f64, f64) {
    let flags = ["-j1", "--message-format=json", "--container", image];
    let reuse = format!("--config=container.reuse={reuse}");
    let shared = [reuse.as_str(), "--config=container.network=none"];
    let command = workspace.stt(&[&flags[..], &shared[..]].concat());
    let stdout = measure::command(command, Runner::WithWorker).stdout;
    let lines = stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let lines: Vec<serde_json::Value> = lines.collect();
    let end = lines.iter().find(|line| line["type"] == "run-finished");
    let elapsed = end
        .and_then(|end| end["elapsed"].as_f64())
        .expect("the run has ended");
    let finished = lines.iter().filter(|line| line["type"] == "test-finished");
    let mut alone: Vec<f64> = finished
        .filter_map(|line| line["duration"].as_f64())
        .collect();
    assert_eq!(alone.len(), workspace.tests.len(), "every test has run");
    (per_test(workspace, elapsed), median(&mut alone))
}

fn per_test(workspace: &Workspace, seconds: f64) -> f64 {
    seconds / f64::from(u32::try_from(workspace.tests.len()).expect("few"))
}

/// The middle one.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
