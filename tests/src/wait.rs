//! Waiting for a state of the world that tells nobody when it comes about.

use std::time::Duration;
use std::time::Instant;

/// How long a test waits for something that should take a moment: long enough for a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Looks until `reached` gives something, and returns it.
///
/// # Panics
/// With `what` when the deadline has passed.
#[expect(
    clippy::disallowed_methods,
    reason = "the kernel tells nobody about another process's files and states: they are looked at"
)]
pub fn until<T>(what: &str, deadline: Duration, mut reached: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(state) = reached() {
            return state;
        }
        assert!(
            start.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}
