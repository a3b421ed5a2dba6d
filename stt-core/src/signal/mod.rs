//! Signals to the runner itself, as values.

mod tally;
mod watch;

pub use tally::Route;
pub use tally::Tally;
pub use watch::Forwarding;
pub use watch::SignalError;
pub use watch::Standstill;
pub use watch::Watch;
pub use watch::hangup_is_ignored;
pub use watch::suspend;

/// What a signal asks of the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// To end: SIGINT, SIGTERM, SIGHUP or SIGQUIT, by its number.
    Interrupt(i32),
    /// To stop for a while, as Ctrl-Z does.
    Suspend,
    /// To go on, while we do: somebody may have stopped the tests alone.
    Continue,
    /// No signal, but what one has brought about: we stood still, and go on.
    WentOn,
    /// No signal, but as urgent as any: the supervisor is dead. Everything ends at once.
    Abandoned,
}

/// What becomes of a signal that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is taken care of.
    Taken,
    /// This process is to stand still at once.
    StandStill,
}
