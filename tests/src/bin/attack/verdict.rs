//! What was promised, and what came of it.

use std::fmt::Write as _;
use std::time::Duration;

use crate::machine;

/// One promise, held against what was measured.
pub(crate) struct Verdict {
    /// Whether it holds.
    pub(crate) holds: bool,
    promise: String,
    measured: String,
    load: String,
}

impl Verdict {
    /// A promise and what was measured, now.
    pub(crate) fn new(promise: &str, holds: bool, measured: String) -> Self {
        Self {
            holds,
            promise: promise.to_owned(),
            measured,
            load: machine::load(),
        }
    }

    /// As a line.
    pub(crate) fn line(&self, attack: &str) -> String {
        let word = if self.holds { "holds" } else { "FAILS" };
        let mut line = format!("{word}  {attack:<16}{}", self.promise);
        let _ = write!(
            line,
            "\n       {:<16}{} [load {}]",
            "", self.measured, self.load
        );
        line
    }
}

/// Figures of many rounds.
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    /// Takes them in.
    pub(crate) fn new(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The figure that so many percent do not exceed; NaN when there are none.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    /// Median, p99 and largest, in words.
    pub(crate) fn told(&self, unit: &str) -> String {
        let [median, p99, max] = [50, 99, 100].map(|percent| self.percentile(percent));
        format!(
            "median {median:.1}, p99 {p99:.1}, max {max:.1} {unit} (n={})",
            self.count()
        )
    }
}

/// Milliseconds, with what is below them.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Decimal megabytes.
#[expect(clippy::cast_precision_loss, reason = "sizes of memory fit exactly")]
pub(crate) fn megabytes(bytes: i64) -> f64 {
    bytes as f64 / 1e6
}
