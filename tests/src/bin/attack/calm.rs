//! What looks like a lot of memory and is none of the tests' fault: nobody may be ended for it.

use camino::Utf8PathBuf;
use fs_err as fs;
use stt_tests::Finished;
use stt_tests::Lab;

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
    let pid = running.pid();
    let share = crate::cost::share_of_a_core(pid, std::time::Duration::from_secs(8));
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
