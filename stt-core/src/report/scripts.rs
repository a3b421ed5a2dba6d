//! What is told of setup and teardown scripts.

use std::sync::Arc;
use std::time::Duration;

use crate::outcome::ScriptOutcome;
use crate::report::Captured;
use crate::script::Script;

/// A script, and which of its kind it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptPlace {
    /// The script.
    pub script: Arc<Script>,
    /// Its number among those of its kind that are to run, from 1.
    pub number: usize,
    /// How many these are.
    pub of: usize,
    /// Whether what it prints goes to the terminal.
    pub shown: bool,
}

/// The end of a script.
#[derive(Clone, Debug)]
pub struct ScriptFinished {
    /// The script.
    pub script: ScriptPlace,
    /// How it ended.
    pub outcome: ScriptOutcome,
    /// From its start to its exit.
    pub duration: Duration,
    /// What it printed, as far as that was captured.
    pub output: Option<Arc<Captured>>,
    /// The variables that it has written for its tests.
    pub variables: Vec<(String, String)>,
    /// Whether somebody still held its captured output after the leak timeout.
    pub output_open: bool,
}
