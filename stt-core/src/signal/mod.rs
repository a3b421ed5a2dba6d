//! Signals to the runner itself, as values.

mod tally;
mod watch;

pub use tally::Route;
pub use tally::Tally;
pub use watch::Forwarding;
pub use watch::SignalError;
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
    /// To go on.
    Continue,
    /// No signal, but as urgent as any: the supervisor is dead. Everything ends at once.
    Abandoned,
}
