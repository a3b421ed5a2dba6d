//! The loop of a run: wait for an event or a deadline, ask the machine, do what it says.

use crate::clock::Clock;
use crate::run::event::Event;
use crate::run::machine::Machine;
use crate::run::perform::Performer;
use crate::run::queue::Queue;

/// Runs the machine until nothing is left to do.
pub(crate) fn dispatch(
    machine: &mut Machine,
    queue: &Queue,
    clock: &Clock,
    performer: &mut Performer,
) {
    let mut event = Event::Tick;
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
