//! A look at a whole family that takes memory: when it crosses its line, when each member has its KILL, when the last
//! one is dead. The leader alone is not enough: the slowest member is what counts.
//!
//! Large members are read a thousand times a second; whoever only stands beside them is looked at once the line is
//! crossed. Who is killed and who is dead is told as in `observer`.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use stt_tests::Identity;

use crate::machine::MemInfo;
use crate::observer;

/// What is held against the line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Line {
    /// What the large members have together, in bytes.
    Family(i64),
    /// What the kernel could still give out, in bytes, as earlyoom sees it.
    Available(i64),
}

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// By how much the line was passed at most, in bytes.
    pub(crate) overshoot: i64,
    /// What the large members had when the last of them was killed, or when it died.
    pub(crate) held: i64,
    /// From the last look below the line to the first at which every large member is killed.
    pub(crate) killed: Duration,
    /// The same until no member is alive.
    pub(crate) dead: Duration,
    /// When the line was crossed.
    pub(crate) crossed: Instant,
}

/// A thread that looks.
pub(crate) struct Watch {
    thread: JoinHandle<Option<Seen>>,
    over: Arc<AtomicBool>,
}

impl Watch {
    /// Looks at these large members, and at the others once the line is crossed.
    pub(crate) fn start(large: &[Identity], others: Vec<Identity>, line: Line) -> Self {
        let stats: Vec<Large> = large.iter().copied().map(Large::open).collect();
        let over = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            observer::in_real_time();
            watch(&stats, others, line, &asked)
        });
        Self { thread, over }
    }

    /// Ends the looking. `None` when the line was not crossed, or somebody lives.
    pub(crate) fn finish(self) -> Option<Seen> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only reads")
    }
}

/// A member that takes memory.
struct Large {
    who: Identity,
    stat: Option<File>,
}

impl Large {
    fn open(who: Identity) -> Self {
        let stat = File::open(format!("/proc/{}/stat", who.pid)).ok();
        Self { who, stat }
    }

    /// Whether it lives and nobody has killed it, and what it has.
    fn read(&self) -> (bool, i64) {
        self.stat.as_ref().map_or((false, 0), observer::read)
    }
}

/// By how much the guard's count of a family and ours may differ, in bytes: it counts the leader as well.
const NEAR: i64 = 10_000_000;

#[expect(
    clippy::disallowed_methods,
    reason = "nobody tells when memory is taken: it is looked at"
)]
fn watch(large: &[Large], others: Vec<Identity>, line: Line, over: &AtomicBool) -> Option<Seen> {
    let meminfo = MemInfo::open();
    let look = || {
        let reads: Vec<(bool, i64)> = large.iter().map(Large::read).collect();
        let held: i64 = reads.iter().map(|read| read.1).sum();
        let memory = meminfo.read();
        let past = match line {
            Line::Family(line) => held - line,
            Line::Available(line) => line - (memory.total - memory.used),
        };
        (Instant::now(), reads.iter().any(|read| read.0), held, past)
    };
    let mut crossed = None;
    let mut before = Instant::now();
    let (mut overshoot, mut most) = (i64::MIN, 0);
    let killed = loop {
        std::thread::sleep(Duration::from_millis(1));
        let (now, lives, held, past) = look();
        if past >= 0 && crossed.is_none() {
            crossed = Some(before);
        }
        overshoot = overshoot.max(past);
        most = most.max(held);
        if !lives {
            break now;
        }
        before = now;
        if over.load(Ordering::Relaxed) {
            return None;
        }
    };
    // Who is killed a page before our own count of him gets there has not been killed too early.
    let crossed = crossed.or_else(|| (overshoot >= -NEAR).then_some(before))?;
    let mut left: Vec<Identity> = large.iter().map(|one| one.who).chain(others).collect();
    let dead = loop {
        // One who lives is enough to look at.
        while left.pop_if(|who| !who.lives()).is_some() {}
        if left.is_empty() {
            break Instant::now();
        }
        if over.load(Ordering::Relaxed) && crossed.elapsed() > Duration::from_secs(30) {
            return None;
        }
        // Who looks all the time, in real time, takes a core from those who are dying.
        std::thread::sleep(Duration::from_millis(1));
    };
    Some(Seen {
        overshoot,
        held: most,
        killed: killed - crossed,
        dead: dead - crossed,
        crossed,
    })
}
