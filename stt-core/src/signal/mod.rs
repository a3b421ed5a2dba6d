//! Signals to the runner.
