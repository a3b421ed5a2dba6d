//! A suite's comparison, as a table.

use std::fmt::Write as _;

use stt_tests::Spent;

use crate::results::Compared;
use crate::results::Verdict;
use crate::results::count;

/// The table; the ratio is the time to that of nextest.
pub(crate) fn render(suite: &str, compared: &Compared) -> String {
    let mut text = format!("{suite}\n{:<12}", "");
    for head in [
        "passed",
        "failed",
        "ignored",
        "wall s",
        "CPU s",
        "x nextest",
    ] {
        let _ = write!(text, "{head:>10}");
    }
    text.push('\n');
    let base = compared.spent("nextest");
    for run in &compared.runs {
        let counts = [Verdict::Passed, Verdict::Failed, Verdict::Ignored].map(|verdict| {
            let results = run.results.as_ref().ok()?;
            Some(count(results, verdict))
        });
        row(&mut text, run.name, counts, run.spent, base);
    }
    row(&mut text, "bare loop", [None; 3], compared.bare, base);
    text.push_str(&agreement(compared));
    text
}

fn row(
    text: &mut String,
    name: &str,
    counts: [Option<usize>; 3],
    spent: Option<Spent>,
    base: Option<Spent>,
) {
    let _ = write!(text, "  {name:<10}");
    let mut cell = |cell: Option<String>| {
        let _ = write!(text, "{:>10}", cell.as_deref().unwrap_or("-"));
    };
    for count in counts {
        cell(count.map(|count| count.to_string()));
    }
    cell(spent.map(|spent| format!("{:.3}", spent.wall)));
    cell(spent.map(|spent| format!("{:.2}", spent.cpu)));
    cell(ratio(spent, base).map(|ratio| format!("{ratio:.2}")));
    text.push('\n');
}

fn ratio(spent: Option<Spent>, base: Option<Spent>) -> Option<f64> {
    Some(spent?.wall / base?.wall)
}

/// What all suites say together: how many they are, whether they agree, and how the times compare.
pub(crate) fn together(all: &[Compared]) -> String {
    let tests: usize = all.iter().map(Compared::tests).sum();
    let equal = all.iter().filter(|one| one.is_equal()).count();
    let mut text = format!("{tests} tests; suites: {}; equal: {equal}", all.len());
    let of = |one: &Compared| ratio(one.spent("stt"), one.spent("nextest"));
    let ratios: Vec<f64> = all.iter().filter_map(of).collect();
    let sum = |name: &str| -> f64 {
        let spent = all.iter().filter_map(|one| one.spent(name));
        spent.map(|spent| spent.wall).sum()
    };
    if let Some(largest) = ratios.iter().copied().reduce(f64::max) {
        let _ = write!(
            text,
            "; stt x nextest: {:.2} of all time, {largest:.2} at most",
            sum("stt") / sum("nextest")
        );
    }
    text
}

/// Whether the runs are equal, or else where they differ and what is not known.
fn agreement(compared: &Compared) -> String {
    let mut text = String::new();
    for run in &compared.runs {
        if let Err(why) = &run.results {
            let _ = writeln!(text, "  {} is not known: {}", run.name, indented(why));
        }
        for note in &run.notes {
            let _ = writeln!(text, "  {}: {}", run.name, indented(note));
        }
    }
    let names: Vec<&str> = compared.known().map(|(name, _)| name).collect();
    let differences = compared.differences();
    if differences.is_empty() {
        let _ = writeln!(text, "  equal: {}", names.join(", "));
        return text;
    }
    let _ = writeln!(text, "  {} differ", differences.len());
    for ((binary, test), verdicts) in differences {
        let _ = write!(text, "    {binary} {test}:");
        for (name, verdict) in names.iter().zip(verdicts) {
            let verdict = verdict.map_or_else(|| "absent".to_owned(), |is| is.to_string());
            let _ = write!(text, " {name} {verdict};");
        }
        text.push('\n');
    }
    text
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n      ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::run;

    #[test]
    fn a_suite_is_equal_or_its_differences_are_named() {
        use Verdict::Failed;
        use Verdict::Ignored;
        use Verdict::Passed;
        let mut compared = Compared {
            runs: vec![
                run("nextest", &[("a", Passed), ("b", Ignored)]),
                run("stt", &[("a", Passed), ("b", Ignored)]),
            ],
            bare: Some(Spent {
                wall: 0.4,
                cpu: 0.5,
            }),
        };
        compared.runs[1].spent = Some(Spent {
            wall: 0.5,
            cpu: 1.0,
        });
        let expected = "\
/s/app
                passed    failed   ignored    wall s     CPU s x nextest
  nextest            1         0         1     2.000      3.00      1.00
  stt                1         0         1     0.500      1.00      0.25
  bare loop          -         -         -     0.400      0.50      0.20
  equal: nextest, stt
";
        assert_eq!(render("/s/app", &compared), expected);
        assert_eq!(
            together(std::slice::from_ref(&compared)),
            "2 tests; suites: 1; equal: 1; stt x nextest: 0.25 of all time, 0.25 at most"
        );
        compared.runs[1] = run("stt", &[("a", Failed)]);
        let text = render("/s/app", &compared);
        assert!(text.contains("  2 differ\n"), "{text}");
        let line = "    app b: nextest ignored; stt absent;\n";
        assert!(text.contains(line), "{text}");
        compared.runs[1].results = Err("it ended\nearly".into());
        let text = render("/s/app", &compared);
        assert!(
            text.contains("stt is not known: it ended\n      early"),
            "{text}"
        );
        assert!(text.contains("  equal: nextest\n"), "{text}");
    }
}
