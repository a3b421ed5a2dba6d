//! The loop of a run: wait for an event or a deadline, ask the machine, do what it says.

use std::time::Duration;

use crate::clock::Clock;
use crate::run::event::Event;
use crate::run::machine::Machine;
use crate::run::perform::Performer;
use crate::run::queue::Queue;

/// How long the first test waits for the first reading. It comes at once, unless something is very wrong.
const FIRST_READING: Duration = Duration::from_secs(1);

/// Runs the machine until nothing is left to do. Under a guard nothing starts before its first reading: on a
/// machine that others have filled, as many tests as there are cores would be too many.
pub(crate) fn dispatch(
    machine: &mut Machine,
    queue: &Queue,
    clock: &Clock,
    performer: &mut Performer,
    guarded: bool,
) {
    let mut event = if guarded {
        queue.receive(Some(clock.instant(clock.now() + FIRST_READING)))
    } else {
        Event::Tick
    };
    loop {
        for action in machine.handle(event, clock.now()) {
            performer.perform(action);
        }
        if machine.is_over() {
            return;
        }
        let deadline = machine.next_deadline().map(|moment| clock.instant(moment));
        event = queue.receive(deadline);
    }
}
