//! Medians and ratios, as a table.

use std::fmt::Write as _;

use crate::measure::Figures;

/// One way to run the tests, with the figures of its rounds.
pub(crate) struct Row {
    name: String,
    rounds: Vec<Figures>,
}

impl Row {
    /// A row without figures.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rounds: Vec::new(),
        }
    }

    /// Adds a round.
    pub(crate) fn add(&mut self, figures: Figures) {
        self.rounds.push(figures);
    }

    fn median(&self, figure: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        let mut values: Vec<f64> = self.rounds.iter().filter_map(figure).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

/// The table; ratios are to the first row.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and sizes are far below 2^52"
)]
pub(crate) fn render(rows: &[Row], tests: usize) -> String {
    let per_test = 1000.0 / tests as f64;
    let wall = |row: &Row| row.median(|figures| Some(figures.wall));
    let cpu = |row: &Row| row.median(|figures| Some(figures.cpu));
    let base = (rows.first().and_then(wall), rows.first().and_then(cpu));
    let mut text = String::new();
    let heads = ["wall s", "ms/test", "x bare", "CPU s", "x bare", "peak MiB"];
    let _ = write!(text, "\n{:<34}", format!("{tests} empty tests"));
    for head in heads {
        let _ = write!(text, "{head:>10}");
    }
    text.push('\n');
    for row in rows {
        let (wall, cpu) = (wall(row), cpu(row));
        let ratio = |value: Option<f64>, base: Option<f64>| Some(value? / base?);
        let peak = row.median(|figures| {
            figures
                .peak_rss
                .map(|bytes| bytes as f64 / f64::from(1 << 20))
        });
        let cells = [
            (wall, 3),
            (wall.map(|wall| wall * per_test), 3),
            (ratio(wall, base.0), 2),
            (cpu, 2),
            (ratio(cpu, base.1), 2),
            (peak, 1),
        ];
        line(&mut text, &row.name, &cells);
        if let Some(alone) = row.median(|figures| figures.tests_alone) {
            let alone = Some(alone);
            let cells = [
                (alone, 3),
                (alone.map(|alone| alone * per_test), 3),
                (ratio(alone, base.0), 2),
            ];
            line(&mut text, "    of it the tests alone", &cells);
        }
    }
    text
}

fn line(text: &mut String, name: &str, cells: &[(Option<f64>, usize)]) {
    let _ = write!(text, "{name:<34}");
    for (value, digits) in cells {
        let cell = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"));
        let _ = write!(text, "{cell:>10}");
    }
    text.push('\n');
}
