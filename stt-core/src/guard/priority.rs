//! Lets the sampling thread run before the tests that it watches.
//!
//! With 64 spinning processes on two cores a wake-up is late by 10 ms (p99) at normal priority and by
//! 0.05 ms under `SCHED_RR`; memory fills by 200 MB in those 10 ms.

use std::fmt;

/// What a thread runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// `SCHED_RR` at its lowest priority: before every normal thread, after everything that is really
    /// in real time (`sched(7)`).
    RealTime,
    /// This nice value.
    Nice(i32),
    /// As it was: neither is allowed here.
    Unchanged,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RealTime => f.write_str("real-time (SCHED_RR)"),
            Self::Nice(value) => write!(f, "nice {value}"),
            Self::Unchanged => f.write_str("normal"),
        }
    }
}

/// Raises the priority of the calling thread, and says how far that went. What the thread starts
/// does not inherit real time.
#[cfg(target_os = "linux")]
pub fn raise() -> Priority {
    const NICE: i32 = -5;
    if real_time() {
        Priority::RealTime
    } else if nice(NICE) {
        Priority::Nice(NICE)
    } else {
        Priority::Unchanged
    }
}

/// Elsewhere a nice value belongs to the whole process, tests included: nothing is changed.
#[cfg(not(target_os = "linux"))]
pub fn raise() -> Priority {
    Priority::Unchanged
}

#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "nix has no wrapper for sched_setscheduler of a thread"
)]
fn real_time() -> bool {
    let policy = libc::SCHED_RR;
    // SAFETY: the call takes a number and returns one.
    let lowest = unsafe { libc::sched_get_priority_min(policy) };
    // SAFETY: a structure of integers, for which zero is a value; some C libraries have more fields in
    // it than the one that is set.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = lowest;
    // SAFETY: thread 0 is the calling one, and the pointer is to a live structure of the right type
    // that the kernel only reads.
    let result = unsafe {
        libc::sched_setscheduler(0, policy | libc::SCHED_RESET_ON_FORK, &raw const parameters)
    };
    lowest >= 0 && result == 0
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "nix has no wrapper for setpriority")]
fn nice(value: i32) -> bool {
    // SAFETY: the call takes numbers only. On Linux the id 0 means the calling thread alone
    // (setpriority(2), "C library/kernel differences").
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, value) == 0 }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_raised_thread_is_raised_alone_and_says_truly_how_far() {
        let stat_of_this_thread = || fs_err::read_to_string("/proc/thread-self/stat").unwrap();
        let before = scheduling(&stat_of_this_thread());
        let (raised, stat) = std::thread::spawn(move || (raise(), stat_of_this_thread()))
            .join()
            .unwrap();
        let after = scheduling(&stat);
        match raised {
            Priority::RealTime => assert_eq!((after.1, after.2), (1, libc::SCHED_RR)),
            Priority::Nice(value) => assert_eq!(after.0, value),
            Priority::Unchanged => assert_eq!(after, before),
        }
        assert_eq!(
            scheduling(&stat_of_this_thread()),
            before,
            "the others stay"
        );
    }

    /// Nice value, real-time priority and policy: fields 19, 40 and 41 of `proc_pid_stat(5)`.
    fn scheduling(stat: &str) -> (i32, i32, i32) {
        let (_, after_name) = stat.rsplit_once(')').expect("the name is in brackets");
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |number: usize| fields[number - 3].parse().expect("a number");
        (field(19), field(40), field(41))
    }
}
