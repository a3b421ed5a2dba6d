//! What looks like a lot of memory and is none of the tests' fault: nobody may be ended for it.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use fs_err as fs;
use stt_tests::Finished;
use stt_tests::Lab;

use crate::foreign::Foreign;
use crate::machine;
use crate::verdict::Verdict;
use crate::verdict::megabytes;

/// What of a run must be so when nothing was wrong.
fn unharmed(finished: &Finished) -> bool {
    let report = finished.report();
    let ended = report
        .of("guard")
        .any(|line| line["action"] == "stop" || line["action"] == "shed");
    finished.code == Some(0) && !ended
}

fn verdict(promise: &str, finished: &Finished, detail: &str) -> Verdict {
    let holds = unharmed(finished);
    let transcript = if holds {
        String::new()
    } else {
        finished.transcript()
    };
    Verdict::new(
        promise,
        holds,
        format!("exit code {:?}; {detail} {transcript}", finished.code),
    )
}

/// Four gigabytes of page cache.
pub(crate) fn page_cache(_: usize) -> Vec<Verdict> {
    let lab = Lab::shared("hostile");
    let (threshold, _) = machine::share_above_use(1_500_000_000);
    let args = [
        "--exact",
        "fills_the_page_cache",
        "calm_00",
        "--memory-threshold",
        &threshold,
    ];
    let finished = lab.json(args).run();
    vec![verdict(
        "4 GB of page cache cost nobody's life",
        &finished,
        &format!("threshold {threshold}"),
    )]
}

/// Twenty children that share half a gigabyte: also a look at what the exact readings cost.
pub(crate) fn forks(_: usize) -> Vec<Verdict> {
    let lab = Lab::shared("hostile");
    let args = [
        "--exact",
        "shares_memory_with_twenty_children",
        "--memory-threshold",
        "1GB",
    ];
    let mut running = lab.json(args).env("HOSTILE_SECONDS", "10").spawn();
    running.wait_for_start("shares_memory_with_twenty_children");
    let pids = crate::cost::runner(&mut running);
    let share = crate::cost::share_of_a_core(&pids, std::time::Duration::from_secs(8));
    let finished = running.finish();
    vec![
        verdict(
            "20 children that share 500 MB are no 10 GB",
            &finished,
            "threshold 1GB",
        ),
        Verdict::new(
            "and reading them costs at most 1 % of a core",
            share <= 1.0,
            format!("{share:.2} %"),
        ),
    ]
}

/// A file of somebody else in memory. It is removed with this.
struct Tmpfs(Utf8PathBuf);

impl Tmpfs {
    #[expect(clippy::disallowed_methods, reason = "a file that need not be whole")]
    fn fill(bytes: usize) -> Self {
        let path = Utf8PathBuf::from(format!("/dev/shm/stt-attack-{}", std::process::id()));
        std::fs::write(&path, vec![1_u8; bytes]).expect("/dev/shm has room");
        Self(path)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// Three gigabytes of a stranger's tmpfs, below the threshold and over it.
pub(crate) fn tmpfs(_: usize) -> Vec<Verdict> {
    const SIZE: usize = 3_000_000_000;
    let (above, _) = machine::share_above_use(3_500_000_000);
    let (below, line) = machine::share_above_use(1_500_000_000);
    let tmpfs = Tmpfs::fill(SIZE);
    let run = |threshold: &str| {
        let lab = Lab::shared("hostile");
        let args = [
            "--no-fail-fast",
            "-j",
            "2",
            "--exact",
            "calm_00",
            "works_00",
            "works_01",
            "works_02",
            "--memory-threshold",
            threshold,
        ];
        lab.json(args).run()
    };
    let (under, over) = (run(&above), run(&below));
    let excess = machine::MemInfo::open().read().used - line;
    drop(tmpfs);
    vec![
        verdict(
            "a stranger's 3 GB of tmpfs below the threshold",
            &under,
            &format!("threshold {above}"),
        ),
        verdict(
            "a stranger's 3 GB of tmpfs over the threshold",
            &over,
            &format!("threshold {below}, {:.0} MB past it", megabytes(excess)),
        ),
    ]
}

/// What is tried many times: what it is called, and one trial.
type Scene = (&'static str, fn() -> Finished);

const SCENES: [Scene; 6] = [
    ("page cache grows by 1 GB", cached),
    ("20 forks share 500 MB", forked),
    ("1,000 forks share what they are", crowded),
    ("somebody else's tmpfs grows over the line", shared),
    ("own CPU load on every core", busy),
    (
        "own CPU load beside 8 foreign processes that spin",
        contended,
    ),
];

/// `attack calm [--trials N] [WORD…]`: everything that is no reason to end anybody, so many times; or only those
/// with such a word in their name.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what was measured is what it is for"
)]
pub(crate) fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let (mut trials, mut words) = (Some(100_usize), Vec::new());
    while let Some(arg) = args.next() {
        if arg == "--trials" {
            trials = args.next().and_then(|number| number.parse().ok());
        } else {
            words.push(arg);
        }
    }
    let Some(trials) = trials.filter(|trials| *trials > 0) else {
        eprintln!("usage: attack calm [--trials N] [WORD…]");
        return ExitCode::from(2);
    };
    let mut all_hold = true;
    for (what, scene) in SCENES {
        if !words.is_empty() && !words.iter().any(|word| what.contains(word.as_str())) {
            continue;
        }
        let harmed: Vec<Finished> = (0..trials)
            .map(|_| scene())
            .filter(|run| !unharmed(run))
            .collect();
        let transcript = harmed.first().map_or(String::new(), Finished::transcript);
        let measured = format!(
            "{} wrong ends in {trials} trials {transcript}",
            harmed.len()
        );
        let verdict = Verdict::new(what, harmed.is_empty(), measured);
        all_hold &= verdict.holds;
        println!("{}", verdict.line("calm"));
    }
    if all_hold {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn cached() -> Finished {
    let (threshold, _) = machine::share_above_use(500_000_000);
    let lab = Lab::shared("hostile");
    let args = [
        "--exact",
        "fills_the_page_cache",
        "--memory-threshold",
        &threshold,
    ];
    lab.json(args).env("HOSTILE_FILES", "1000000000").run()
}

fn forked() -> Finished {
    let lab = Lab::shared("hostile");
    let args = [
        "--exact",
        "shares_memory_with_twenty_children",
        "--memory-threshold",
        "1GB",
    ];
    lab.json(args).env("HOSTILE_SECONDS", "1").run()
}

/// A thousand forks of one small test: 1.2 GB to whoever adds up their sizes, and 50 MB in truth.
fn crowded() -> Finished {
    let lab = Lab::shared("adversary");
    let args = [
        "--exact",
        "hog_beside_a_thousand",
        "--memory-threshold",
        "1GB",
    ];
    let stt = lab.json(args).env("ADVERSARY_MEMORY", "0");
    let mut running = stt.env("ADVERSARY_THEN", "wait").spawn();
    running.wait_for("a thousand are there", |_| {
        lab.is_up("hog_beside_a_thousand").then_some(())
    });
    running.wait_for_looks(20);
    lab.release();
    running.finish()
}

/// It grows while tests run, from below the line to past it.
fn shared() -> Finished {
    let (threshold, _) = machine::share_above_use(500_000_000);
    let lab = Lab::shared("hostile");
    let args = [
        "-j",
        "2",
        "--exact",
        "works_00",
        "works_01",
        "--memory-threshold",
        &threshold,
    ];
    let mut running = lab.json(args).spawn();
    running.wait_for_start("works_00");
    let tmpfs = Tmpfs::fill(1_000_000_000);
    let finished = running.finish();
    drop(tmpfs);
    finished
}

fn busy() -> Finished {
    let lab = Lab::shared("hostile");
    let args = [
        "-j", "2", "--exact", "works_00", "works_01", "works_02", "works_03",
    ];
    lab.json(args).run()
}

fn contended() -> Finished {
    let foreign = Foreign::spinning(8);
    let finished = busy();
    drop(foreign);
    finished
}
