//! When the output of a test is shown. Pure.

use crate::config::OutputConfig;
use crate::config::ShowOutput;
use crate::report::TestFinished;

impl TestFinished {
    /// When its output is shown: as its overrides say, else as that of every test with such a result.
    pub fn shown(&self, config: &OutputConfig) -> ShowOutput {
        let of_all = if self.outcome.is_failed() {
            config.failure_output
        } else {
            config.success_output
        };
        self.own_shown.unwrap_or(of_all)
    }
}
