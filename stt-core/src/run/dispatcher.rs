//! The loop of a run: wait for an event or a deadline, ask the machine, do what it says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::clock::Moment;
use crate::run::board::Board;
use crate::run::board::Details;
use crate::run::event::Event;
use crate::run::machine::Machine;
use crate::run::perform::Performer;
use crate::run::queue::Queue;

/// How long the first test waits for the first reading. It comes at once, unless something is very wrong.
const FIRST_READING: Duration = Duration::from_secs(1);

/// How often the others are told which tests run.
const DETAILS: Duration = Duration::from_millis(250);

/// Runs the machine until nothing is left to do. Under a guard nothing starts before its first reading: on a
/// machine that others have filled, as many tests as there are cores would be too many.
pub(crate) fn dispatch(
    machine: &mut Machine,
    queue: &Queue,
    clock: &Clock,
    performer: &mut Performer,
    guarded: bool,
    board: Option<&Arc<Board>>,
) {
    let mut detailed = None;
    let mut waiting = if guarded {
        until_first_reading(queue, clock)
    } else {
        VecDeque::from([Event::Tick])
    };
    loop {
        let event = waiting.pop_front().unwrap_or_else(|| {
            let deadline = machine.next_deadline().map(|moment| clock.instant(moment));
            queue.receive(deadline)
        });
        let now = clock.now();
        for action in machine.handle(event, now) {
            performer.perform(action);
        }
        if let Some(board) = board {
            tell(board, machine, performer, now, &mut detailed);
        }
        if machine.is_over() {
            return;
        }
    }
}

/// The first reading, if it came in time, and then what had come before it.
fn until_first_reading(queue: &Queue, clock: &Clock) -> VecDeque<Event> {
    let deadline = clock.instant(clock.now() + FIRST_READING);
    let mut events = VecDeque::new();
    loop {
        let event = queue.receive(Some(deadline));
        if matches!(event, Event::Sample(_) | Event::Tick) {
            events.push_front(event);
            return events;
        }
        events.push_back(event);
    }
}

fn tell(
    board: &Board,
    machine: &Machine,
    performer: &Performer,
    now: Moment,
    detailed: &mut Option<Moment>,
) {
    if detailed.is_none_or(|at| now >= at + DETAILS) {
        *detailed = Some(now);
        let name = |test| performer.suite.id(test).to_string();
        let boot = Clock::since_boot();
        let details = machine.details(now, boot, name);
        let script = machine.script(now);
        board.detail(Details {
            script: script.and_then(|(script, elapsed)| performer.script(script, elapsed, boot)),
            ..details
        });
    }
    board.note(machine.outline());
}
