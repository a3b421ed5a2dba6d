//! The life of one child, as a machine without I/O: what happened goes in, what to do next comes out.
//!
//! Deadlines are absolute. Output that keeps coming moves none of them: a timer that each read starts
//! again never ends for a child that keeps writing.

use std::time::Duration;

use crate::clock::Moment;

/// Where a child is between its start and the moment at which nothing of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It runs, and nobody wants it to end.
    Running,
    /// Its group was asked to end, and is killed at this moment.
    Terminating {
        /// When the group is killed.
        kill_at: Moment,
    },
    /// Its group was killed; the kernel has yet to report the leader's end.
    Killing,
    /// The leader has exited. Until this moment others of its family may keep its output open, or
    /// live: a helper that was just told to end deserves the time to do so.
    Draining {
        /// When what is left is ended.
        until: Moment,
    },
    /// What is left is being ended.
    Ending,
    /// Nothing is left but the leader's exit status.
    Done,
}

/// What happened to a child, or an answer to a [`Step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// It is to be ended, with this time between TERM and KILL. The signal is already on its way.
    Ordered {
        /// The time between TERM and KILL; zero when KILL was sent.
        grace: Duration,
    },
    /// The leader exited. Its status is not collected yet, so its pid can't be used again.
    LeaderExited,
    /// Nobody holds the write end of its output any more.
    OutputClosed,
    /// Answers [`Step::CheckFamily`]: nobody of the family is alive.
    FamilyGone,
    /// Answers [`Step::CheckFamily`]: somebody is.
    FamilyAlive,
    /// Answers [`Step::EndFamily`].
    FamilyEnded,
    /// Time went by.
    Tick,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait for what happens, or for [`Life::deadline`].
    Wait,
    /// Kill the group.
    KillGroup,
    /// See whether anybody of the family is alive.
    CheckFamily,
    /// Kill what is left of the family.
    EndFamily,
    /// Collect the leader's status.
    Reap,
}

/// The machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    state: State,
    output_open: bool,
    ordered: bool,
    leak_timeout: Duration,
    overstayed: bool,
}

impl Life {
    /// A child that was just started; `output_open` says whether its output is captured.
    pub(super) fn new(output_open: bool, leak_timeout: Duration) -> Self {
        Self {
            state: State::Running,
            output_open,
            ordered: false,
            leak_timeout,
            overstayed: false,
        }
    }

    /// Until when waiting may last; `None` for as long as it takes.
    pub(super) fn deadline(&self) -> Option<Moment> {
        match self.state {
            State::Terminating { kill_at } => Some(kill_at),
            State::Draining { until } => Some(until),
            State::Running | State::Killing | State::Ending | State::Done => None,
        }
    }

    /// Whether somebody held the output for longer than the leak timeout after the leader's exit.
    pub(super) fn output_overstayed(&self) -> bool {
        self.overstayed
    }

    /// Takes in what happened and says what to do next.
    pub(super) fn handle(&mut self, input: Input, now: Moment) -> Step {
        match input {
            Input::Ordered { grace } => self.ordered(grace, now),
            Input::LeaderExited => self.leader_exited(now),
            Input::OutputClosed => {
                self.output_open = false;
                self.check_when_closed()
            }
            Input::FamilyGone => match self.state {
                State::Draining { .. } => self.done(),
                State::Running
                | State::Terminating { .. }
                | State::Killing
                | State::Ending
                | State::Done => Step::Wait,
            },
            Input::FamilyAlive => Step::Wait,
            Input::FamilyEnded => match self.state {
                State::Ending => self.done(),
                State::Running
                | State::Terminating { .. }
                | State::Killing
                | State::Draining { .. }
                | State::Done => Step::Wait,
            },
            Input::Tick => self.tick(now),
        }
    }

    fn ordered(&mut self, grace: Duration, now: Moment) -> Step {
        self.ordered = true;
        let kill_at = now.saturating_add(grace);
        match self.state {
            State::Running | State::Terminating { .. } if grace.is_zero() => self.kill(),
            State::Running => {
                self.state = State::Terminating { kill_at };
                Step::Wait
            }
            State::Terminating { kill_at: earlier } => {
                let kill_at = kill_at.min(earlier);
                self.state = State::Terminating { kill_at };
                Step::Wait
            }
            State::Draining { .. } => self.end(),
            State::Killing | State::Ending | State::Done => Step::Wait,
        }
    }

    fn leader_exited(&mut self, now: Moment) -> Step {
        match self.state {
            State::Running => {
                let until = now.saturating_add(self.leak_timeout);
                self.state = State::Draining { until };
                self.check_when_closed()
            }
            State::Terminating { .. } | State::Killing => self.end(),
            State::Draining { .. } | State::Ending | State::Done => Step::Wait,
        }
    }

    fn tick(&mut self, now: Moment) -> Step {
        match self.state {
            State::Terminating { kill_at } if now >= kill_at => self.kill(),
            State::Draining { until } if now >= until => {
                self.overstayed = self.output_open;
                self.end()
            }
            State::Draining { .. } => self.check_when_closed(),
            State::Running
            | State::Terminating { .. }
            | State::Killing
            | State::Ending
            | State::Done => Step::Wait,
        }
    }

    fn check_when_closed(&self) -> Step {
        match self.state {
            State::Draining { .. } if !self.output_open => Step::CheckFamily,
            State::Draining { .. }
            | State::Running
            | State::Terminating { .. }
            | State::Killing
            | State::Ending
            | State::Done => Step::Wait,
        }
    }

    fn kill(&mut self) -> Step {
        self.state = State::Killing;
        Step::KillGroup
    }

    fn end(&mut self) -> Step {
        self.state = State::Ending;
        Step::EndFamily
    }

    fn done(&mut self) -> Step {
        self.state = State::Done;
        Step::Reap
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEAK: Duration = Duration::from_millis(200);

    fn ms(count: u64) -> Moment {
        Duration::from_millis(count)
    }

    /// Each row: what happens at which millisecond, and the step that follows.
    fn table(output_open: bool, rows: &[(u64, Input, Step)]) -> Life {
        let mut life = Life::new(output_open, LEAK);
        for (index, (at, input, step)) in rows.iter().enumerate() {
            assert_eq!(
                life.handle(*input, ms(*at)),
                *step,
                "row {index}: {input:?}"
            );
        }
        life
    }

    fn order(grace: u64) -> Input {
        Input::Ordered { grace: ms(grace) }
    }

    #[test]
    fn an_ordinary_child_exits_and_is_reaped() {
        let life = table(
            true,
            &[
                (1, Input::OutputClosed, Step::Wait),
                (2, Input::LeaderExited, Step::CheckFamily),
                (2, Input::FamilyGone, Step::Reap),
            ],
        );
        assert!(!life.output_overstayed());
    }

    #[test]
    fn open_output_is_waited_for_until_the_leak_timeout_and_no_longer() {
        let mut life = table(
            true,
            &[
                (1000, Input::LeaderExited, Step::Wait),
                (1100, Input::Tick, Step::Wait),
            ],
        );
        assert_eq!(life.deadline(), Some(ms(1200)));
        assert_eq!(life.handle(Input::Tick, ms(1200)), Step::EndFamily);
        assert!(life.output_overstayed());
        assert_eq!(life.handle(Input::FamilyEnded, ms(1201)), Step::Reap);
    }

    #[test]
    fn a_silent_helper_has_the_same_time_to_leave() {
        let life = table(
            true,
            &[
                (0, Input::OutputClosed, Step::Wait),
                (0, Input::LeaderExited, Step::CheckFamily),
                (0, Input::FamilyAlive, Step::Wait),
                (50, Input::Tick, Step::CheckFamily),
                (50, Input::FamilyAlive, Step::Wait),
                (200, Input::Tick, Step::EndFamily),
                (201, Input::FamilyEnded, Step::Reap),
            ],
        );
        assert!(!life.output_overstayed());
    }

    #[test]
    fn who_ignores_term_is_killed_after_the_grace() {
        table(
            true,
            &[
                (10, order(100), Step::Wait),
                (109, Input::Tick, Step::Wait),
                (110, Input::Tick, Step::KillGroup),
                (111, Input::LeaderExited, Step::EndFamily),
                (112, Input::FamilyEnded, Step::Reap),
            ],
        );
    }

    #[test]
    fn a_second_order_only_gets_stronger() {
        let mut life = table(
            true,
            &[(0, order(100), Step::Wait), (10, order(500), Step::Wait)],
        );
        assert_eq!(life.deadline(), Some(ms(100)));
        assert_eq!(life.handle(order(20), ms(20)), Step::Wait);
        assert_eq!(life.deadline(), Some(ms(40)));
        assert_eq!(life.handle(order(0), ms(30)), Step::KillGroup);
        assert_eq!(life.handle(order(500), ms(31)), Step::Wait);
        assert_eq!(life.deadline(), None);
    }

    #[test]
    fn an_order_cuts_the_leak_timeout_short() {
        let life = table(
            true,
            &[
                (0, Input::LeaderExited, Step::Wait),
                (10, order(10_000), Step::EndFamily),
                (11, Input::FamilyEnded, Step::Reap),
            ],
        );
        assert!(!life.output_overstayed());
    }

    fn input() -> impl Strategy<Value = Input> {
        prop_oneof![
            (0..500_u64).prop_map(order),
            Just(order(0)),
            Just(Input::LeaderExited),
            Just(Input::OutputClosed),
            Just(Input::Tick),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: nobody is reaped before he exited, or twice; a
        /// deadline of one state never moves back; and after the exit only a bounded time passes.
        #[test]
        fn every_life_ends_once(
            inputs in prop::collection::vec((0..50_u64, input()), 0..40),
            alive in any::<bool>(),
            output_open in any::<bool>(),
        ) {
            let mut life = Life::new(output_open, LEAK);
            let mut now = Duration::ZERO;
            let mut exited = None;
            let mut reaped = 0;
            let rest = [
                (0, Input::LeaderExited), (200, Input::Tick), (0, Input::Tick),
            ];
            for (pause, input) in inputs.into_iter().chain(rest) {
                now += ms(pause);
                let (state, deadline) = (life.state, life.deadline());
                if input == Input::LeaderExited {
                    exited.get_or_insert(now);
                }
                let mut step = life.handle(input, now);
                while step != Step::Wait {
                    let answer = match step {
                        Step::CheckFamily if alive => Input::FamilyAlive,
                        Step::CheckFamily => Input::FamilyGone,
                        Step::EndFamily => Input::FamilyEnded,
                        Step::Reap => { reaped += 1; break; }
                        Step::KillGroup | Step::Wait => break,
                    };
                    step = life.handle(answer, now);
                }
                prop_assert!(reaped == 0 || exited.is_some());
                if std::mem::discriminant(&state) == std::mem::discriminant(&life.state) {
                    prop_assert!(life.deadline() <= deadline);
                }
            }
            prop_assert_eq!(reaped, 1);
            prop_assert_eq!(life.state, State::Done);
        }
    }
}
