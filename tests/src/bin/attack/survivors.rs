//! `attack survivors [--repeat N] [--fixture NAME]… [--ending NAME]… [--alone]`: every way of ending against
//! every family, many times, and who is left.
//!
//! All families are in one run together, unless `--alone` gives each a run of its own, which takes as many times
//! longer as there are families.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use stt_tests::siege::Aftermath;
use stt_tests::siege::Ending;
use stt_tests::siege::besiege;
use stt_tests::siege::families;

use crate::verdict::Figures;
use crate::verdict::millis;

/// What is asked for.
struct Options {
    repeat: usize,
    fixtures: Vec<String>,
    endings: Vec<Ending>,
    alone: bool,
}

/// What came of one family under one ending, over all repetitions.
#[derive(Default)]
struct Cell {
    rounds: usize,
    survivors: usize,
    late: usize,
    times: Vec<Duration>,
    skipped: Option<String>,
}

/// Everything that is shown at the end.
#[derive(Default)]
struct Tally {
    cells: BTreeMap<(String, &'static str), Cell>,
    /// From the exit, the kill or the next start until the last one of a whole run was dead.
    whole: BTreeMap<&'static str, Vec<Duration>>,
    complaints: Vec<String>,
    strangers: usize,
    absent: Vec<Ending>,
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is what it is for"
)]
pub(crate) fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let options = match options(args) {
        Ok(options) => options,
        Err(message) => {
            eprintln!(
                "{message}\nusage: attack survivors [--repeat N] [--fixture NAME]… [--ending NAME]… [--alone]"
            );
            return ExitCode::from(2);
        }
    };
    let names: Vec<&str> = options.fixtures.iter().map(String::as_str).collect();
    let batches: Vec<&[&str]> = if options.alone {
        names.chunks(1).collect()
    } else {
        vec![&names]
    };
    let mut tally = Tally::default();
    for &ending in &options.endings {
        for round in 1..=options.repeat {
            eprintln!("{}: round {round} of {}", ending.name(), options.repeat);
            for batch in &batches {
                tally.attack(ending, batch);
                if tally.absent.contains(&ending) {
                    break;
                }
            }
            if tally.absent.contains(&ending) {
                break;
            }
        }
    }
    println!("{}", tally.render(&options));
    if tally.complaints.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Tally {
    fn attack(&mut self, ending: Ending, batch: &[&str]) {
        // What the laboratory did not expect is a result as well, and no reason to leave out the rest.
        match std::panic::catch_unwind(|| besiege(ending, batch)) {
            Ok(Some(aftermath)) => self.take(ending, &aftermath),
            Ok(None) => self.absent.push(ending),
            Err(_) => {
                let what = format!("{}: {batch:?} has no end, see above", ending.name());
                self.complaints.push(what);
            }
        }
    }

    fn take(&mut self, ending: Ending, aftermath: &Aftermath) {
        let limit = Duration::from_millis(ending.allowed());
        let mut last = Duration::ZERO;
        for (name, fate) in &aftermath.fates {
            let cell = self.cells.entry((name.clone(), ending.name())).or_default();
            if let Some(reason) = &fate.skipped {
                cell.skipped = Some(reason.clone());
                continue;
            }
            cell.rounds += 1;
            cell.survivors += fate.at_last;
            cell.late += usize::from(fate.dead_after > limit);
            cell.times.push(fate.dead_after);
            last = last.max(fate.dead_after);
        }
        self.whole.entry(ending.name()).or_default().push(last);
        self.strangers += aftermath.strangers.len();
        let told = aftermath.complaints(ending.allowed());
        self.complaints
            .extend(told.iter().map(|what| format!("{}: {what}", ending.name())));
    }

    /// `.` where everybody was dead in time in every round; else how many rounds were late, and how many
    /// processes stayed for good.
    fn render(&self, options: &Options) -> String {
        let mut lines = vec![String::new()];
        let head: Vec<_> = options.endings.iter().map(|ending| ending.name()).collect();
        lines.push(row(
            "late/rounds (+ who stays)",
            head.iter().map(|name| (*name).to_owned()),
        ));
        let mut skipped = Vec::new();
        for name in &options.fixtures {
            let cells = head
                .iter()
                .map(|ending| self.cells.get(&(name.clone(), *ending)));
            lines.push(row(name, cells.clone().map(told)));
            let reason = cells.flatten().find_map(|cell| cell.skipped.clone());
            skipped.extend(reason.map(|reason| format!("SKIPPED: {name}: {reason}")));
        }
        for (what, percent) in [("last one dead, ms: median", 50), ("p99", 99), ("max", 100)] {
            let figure = |ending: &&str| {
                let times = self.whole.get(ending)?;
                let figures = Figures::new(times.iter().map(|time| millis(*time)));
                Some(format!("{:.1}", figures.percentile(percent)))
            };
            lines.push(row(
                what,
                head.iter()
                    .map(|ending| figure(ending).unwrap_or("-".to_owned())),
            ));
        }
        lines.extend(skipped);
        for ending in &self.absent {
            lines.push(format!(
                "SKIPPED: {}: this runner has no supervisor, or no sweep at its start",
                ending.name()
            ));
        }
        lines.push(format!(
            "{} harmed strangers, {} complaints, load {}",
            self.strangers,
            self.complaints.len(),
            crate::machine::load()
        ));
        lines.extend(self.complaints.iter().cloned());
        lines.join("\n")
    }
}

fn told(cell: Option<&Cell>) -> String {
    match cell {
        None => "-".to_owned(),
        Some(cell) if cell.rounds == 0 => "skip".to_owned(),
        Some(cell) if cell.late + cell.survivors == 0 => ".".to_owned(),
        Some(cell) if cell.survivors == 0 => format!("{}/{}", cell.late, cell.rounds),
        Some(cell) => format!("{}/{}+{}", cell.late, cell.rounds, cell.survivors),
    }
}

fn row(name: &str, cells: impl Iterator<Item = String>) -> String {
    let mut line = format!("{name:<28}");
    for cell in cells {
        let _ = write!(line, "{cell:>12}");
    }
    line
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let known = families();
    let mut options = Options {
        repeat: 20,
        fixtures: Vec::new(),
        endings: Vec::new(),
        alone: false,
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--repeat" => {
                let number = args.next().and_then(|value| value.parse().ok());
                options.repeat = number
                    .filter(|repeat| *repeat > 0)
                    .ok_or("--repeat needs a number")?;
            }
            "--fixture" => {
                let name = args.next().filter(|name| known.contains(name));
                options
                    .fixtures
                    .push(name.ok_or(format!("--fixture needs one of {known:?}"))?);
            }
            "--ending" => {
                let name = args.next();
                let ending = Ending::ALL
                    .into_iter()
                    .find(|ending| Some(ending.name()) == name.as_deref());
                let names = Ending::ALL.map(Ending::name);
                options
                    .endings
                    .push(ending.ok_or(format!("--ending needs one of {names:?}"))?);
            }
            "--alone" => options.alone = true,
            _ => return Err(format!("no such option: {arg}")),
        }
    }
    if options.fixtures.is_empty() {
        options.fixtures = known;
    }
    if options.endings.is_empty() {
        options.endings = Ending::ALL.to_vec();
    }
    Ok(options)
}
