//! An independent look at a process that takes memory, a thousand times a second.
//!
//! One line of `/proc/PID/stat` (`proc_pid_stat(5)`) has all that is needed: the state, the pending signals of
//! the main thread, and the resident pages. A KILL to a process is put among the pending signals of each of
//! its threads at the very moment of the call, and a process that has begun to exit has no resident pages any
//! more, although freeing them takes another 60 ms a gigabyte. So the first look that finds either of these,
//! a zombie or nobody is the latest moment at which the KILL can have come.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use crate::machine::MemInfo;

const EVERY: Duration = Duration::from_millis(1);

const SIGKILL_PENDING: u64 = 1 << (9 - 1);

/// One look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// When.
    pub(crate) at: Instant,
    /// What the machine uses.
    pub(crate) used: i64,
    /// What the process has.
    pub(crate) resident: i64,
    /// Whether it runs and nobody has killed it.
    pub(crate) lives: bool,
}

/// A thread that looks.
pub(crate) struct Observer {
    thread: JoinHandle<Vec<Look>>,
    over: Arc<AtomicBool>,
}

impl Observer {
    /// Waits until `find` knows the process, and looks from then on.
    pub(crate) fn start(find: impl Fn() -> Option<i32> + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            in_real_time();
            watch(find, &asked)
        });
        Self { thread, over }
    }

    /// Ends the looking.
    pub(crate) fn finish(self) -> Vec<Look> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only reads")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "nobody tells when memory is taken: it is looked at"
)]
fn watch(find: impl Fn() -> Option<i32>, over: &AtomicBool) -> Vec<Look> {
    let meminfo = MemInfo::open();
    let mut looks = Vec::with_capacity(1 << 16);
    let mut stat = None;
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(EVERY);
        if stat.is_none() {
            stat = find().and_then(|pid| File::open(format!("/proc/{pid}/stat")).ok());
        }
        let Some(stat) = &stat else { continue };
        let (lives, resident) = read(stat);
        looks.push(Look {
            at: Instant::now(),
            used: meminfo.read().used,
            resident,
            lives,
        });
    }
    looks
}

/// Whether the process lives, and what it has.
pub(crate) fn read(stat: &File) -> (bool, i64) {
    let mut buffer = [0; 1024];
    let Ok(length) = stat.read_at(&mut buffer, 0) else {
        return (false, 0);
    };
    let text = String::from_utf8_lossy(&buffer[..length]);
    // The name in parentheses may hold anything; the numbers are those of the man page.
    let fields: Vec<&str> = text
        .rsplit_once(") ")
        .map_or("", |(_, rest)| rest)
        .split(' ')
        .collect();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or("0");
    let number = |index: usize| field(index).parse::<u64>().unwrap_or(0);
    let resident = i64::try_from(number(24) * 4096).unwrap_or(0);
    let lives =
        !matches!(field(3), "Z" | "X" | "0") && number(31) & SIGKILL_PENDING == 0 && resident > 0;
    (lives, resident)
}

/// Before everything that is not in real time, where that is allowed.
#[expect(
    unsafe_code,
    reason = "nix has no wrapper for sched_setscheduler of a thread"
)]
pub(crate) fn in_real_time() {
    // SAFETY: a structure of integers, for which zero is a value.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = 2;
    // SAFETY: thread 0 is the calling one, and the pointer is to a live structure of the right type.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) };
}
