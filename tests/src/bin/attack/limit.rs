//! A control group with a memory limit around the runner, as in a container.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use camino::Utf8PathBuf;
use fs_err as fs;
use stt_tests::Lab;

use crate::verdict::Verdict;
use crate::verdict::megabytes;

const LIMIT: i64 = 1 << 30;

/// A group of version 1. It is removed with this.
pub(crate) struct Group(Utf8PathBuf);

impl Group {
    /// One with so much memory; `None` where none can be made.
    pub(crate) fn create(limit: i64) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = Utf8PathBuf::from(format!(
            "/sys/fs/cgroup/memory/stt-attack-{}-{number}",
            std::process::id()
        ));
        fs::create_dir(&dir).ok()?;
        let group = Self(dir);
        group.write("memory.limit_in_bytes", &limit.to_string())?;
        Some(group)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a file of the kernel is not replaced"
    )]
    fn write(&self, name: &str, text: &str) -> Option<()> {
        std::fs::write(self.0.join(name), text).ok()
    }

    /// What a shell says to enter it, with everybody whom it starts from then on.
    pub(crate) fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.0)
    }

    fn number(&self, name: &str) -> i64 {
        let text = fs::read_to_string(self.0.join(name)).unwrap_or_default();
        text.trim().parse().unwrap_or(-1)
    }

    /// How often the kernel has killed in it for want of memory (`memory.oom_control`).
    fn killed(&self) -> i64 {
        let text = fs::read_to_string(self.0.join("memory.oom_control")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|number| number.parse().ok()).unwrap_or(-1)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is empty once the runner has ended, unless something has survived.
        drop(fs::remove_dir(&self.0));
    }
}

/// A leaker in a group of one gigabyte is stopped by the guard at 80 % of it, not by the kernel at 100 %.
pub(crate) fn limit(rounds: usize) -> Vec<Verdict> {
    let promise =
        "in a control group of 1 GiB the guard stops at 80 % of it, and the kernel kills nobody";
    let (mut wrong, mut peaks) = (Vec::new(), Vec::new());
    let rounds = rounds.div_ceil(3);
    for _ in 0..rounds {
        let Some(group) = Group::create(LIMIT) else {
            return vec![Verdict::new(
                promise,
                true,
                "SKIPPED: no control group can be made here".to_owned(),
            )];
        };
        let lab = Lab::shared("hostile");
        let args = [
            "--exact",
            "leaks_fast",
            "calm_00",
            "--config",
            "guard.grace-period=0s",
        ];
        let finished = lab.json(args).after(&group.enter()).run();
        let says_group = finished.stdout.contains("control group");
        peaks.push(group.number("memory.max_usage_in_bytes"));
        let survivors = lab.survivors().len();
        if finished.code != Some(42) || group.killed() != 0 || survivors > 0 || !says_group {
            wrong.push(format!(
                "{} killed by the kernel, {survivors} survivors, {}",
                group.killed(),
                finished.transcript()
            ));
        }
    }
    let peak = peaks.into_iter().max().unwrap_or(0);
    vec![Verdict::new(
        promise,
        wrong.is_empty(),
        format!(
            "{rounds} rounds, the group's peak with page cache was {:.0} MB at most {}",
            megabytes(peak),
            wrong.join("\n")
        ),
    )]
}
