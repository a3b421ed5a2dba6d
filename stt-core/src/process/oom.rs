//! Whom the kernel kills when memory is short: a test with its family, before the runner. In a small control
//! group the runner may well be the largest process there, and its death costs more than that of any test.

use std::fs::File;
use std::io::Read as _;
use std::io::Write as _;
use std::sync::OnceLock;

/// By how much a test looks larger than it is, in thousandths of the memory that can be had
/// (`proc_pid_oom_score_adj(5)`). Any positive number may be set without privilege.
const MORE: i32 = 300;

/// The most that there is.
const MOST: i32 = 1000;

/// Has the kernel take a child that was just started, and all that it starts, before us. Where it can't be set,
/// they are as likely to be chosen as we are.
pub(super) fn expose(child: i32) {
    static SCORE: OnceLock<Option<String>> = OnceLock::new();
    if let Some(score) = SCORE.get_or_init(score) {
        let file = File::options()
            .write(true)
            .open(format!("/proc/{child}/oom_score_adj"));
        // It may have exited, and the next one is tried again.
        drop(file.and_then(|mut file| file.write_all(score.as_bytes())));
    }
}

/// The score of tests; `None` where there is no such thing.
fn score() -> Option<String> {
    let mut own = String::new();
    let mut file = File::open("/proc/self/oom_score_adj").ok()?;
    file.read_to_string(&mut own).ok()?;
    Some(above(own.trim().parse().ok()?).to_string())
}

/// The score of a test of a runner with this one. Whoever is spared altogether, like a service of the
/// machine, does not want that of its tests.
fn above(own: i32) -> i32 {
    own.max(0).saturating_add(MORE).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_worth_less_than_its_runner() {
        assert_eq!(
            [-1000, 0, 200, 900, 1000].map(above),
            [300, 300, 500, 1000, 1000]
        );
    }
}
