//! The ports of one test: taken before it starts, and looked at when it has ended.

use std::os::fd::OwnedFd;

use crate::id::TestId;
use crate::port::StillHeld;
use crate::port::Which;
use crate::ports::Lease;
use crate::ports::LeaseError;
use crate::process::listeners;
use crate::report::Warning;
use crate::run::error::chain;
use crate::run::event::Event;
use crate::run::slot::Shared;

/// Sockets that listen on the ports of a test, where it is to get these; else none.
///
/// # Errors
/// Why there can be none, as a sentence.
pub(crate) fn listening(
    shared: &Shared,
    test: usize,
    leases: &[Lease],
) -> Result<Vec<OwnedFd>, String> {
    if !shared.suite.listens(test) {
        return Ok(Vec::new());
    }
    let sockets = leases.iter().map(|lease| {
        let socket = lease.listen();
        socket.map_err(|error| format!("nobody can listen on port {}: {error}", lease.number()))
    });
    sockets.collect()
}

/// Takes the ports of a test, which are its own until they are dropped. Without ports that is nothing.
///
/// # Errors
/// Why it can't have them, as a sentence that names who has them.
pub(crate) fn take(shared: &Shared, test: usize) -> Result<Vec<Lease>, String> {
    let Some(ports) = shared.suite.ports(test) else {
        return Ok(Vec::new());
    };
    let leases = match &ports.which {
        Which::Any(count) => shared.leases.take(*count),
        Which::Fixed(numbers) => {
            let guarded = numbers.iter().map(|&number| shared.leases.guard(number));
            guarded.collect()
        }
    };
    leases.map_err(|error| match error {
        LeaseError::InUse { number } => in_use(number),
        LeaseError::Exhausted | LeaseError::System(_) => chain(&error),
    })
}

/// Names who has a port that a test was to have.
fn in_use(number: u16) -> String {
    let held = listeners(&[number]);
    let shown = |held: &StillHeld| {
        let (port, holders) = (&held.port, held.holders());
        format!("port {number} ({port}) is held by {holders}")
    };
    match held.as_slice() {
        [] => format!("port {number} is in use, by a process that can't be seen"),
        [..] => held.iter().map(shown).collect::<Vec<_>>().join("; "),
    }
}

/// Tells of those who listen on the ports of a test that has ended. Its family is gone, so they are strangers, and
/// are left alone.
pub(crate) fn name_strangers(shared: &Shared, test: &TestId, numbers: &[u16]) {
    if numbers.is_empty() {
        return;
    }
    for held in listeners(numbers) {
        let message = format!("{held} after the end of {test}, which had it for itself");
        let hint = "it is nobody of that test's family, and so it was left alone".to_owned();
        shared.queue.push(Event::Warning(Warning {
            message,
            hint: Some(hint),
        }));
    }
}
