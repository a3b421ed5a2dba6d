//! A suite's comparison, as a table.

use std::fmt::Write as _;

use crate::results::Compared;
use crate::results::Verdict;
use crate::results::count;

/// The table; the ratio is the time to that of nextest.
pub(crate) fn render(suite: &str, compared: &Compared) -> String {
    let mut text = format!("{suite}\n");
    let heads = ["passed", "failed", "ignored", "wall s", "x nextest"];
    let _ = write!(text, "{:<12}", "");
    for head in heads {
        let _ = write!(text, "{head:>10}");
    }
    text.push('\n');
    let nextest = compared.runs.iter().find(|run| run.name == "nextest");
    let base = nextest.and_then(|run| run.wall);
    for run in &compared.runs {
        let _ = write!(text, "  {:<10}", run.name);
        for verdict in [Verdict::Passed, Verdict::Failed, Verdict::Ignored] {
            let cell = match &run.results {
                Ok(results) => count(results, verdict).to_string(),
                Err(_) => "-".to_owned(),
            };
            let _ = write!(text, "{cell:>10}");
        }
        let ratio = run.wall.zip(base).map(|(wall, base)| wall / base);
        for (value, digits) in [(run.wall, 3), (ratio, 2)] {
            let cell = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"));
            let _ = write!(text, "{cell:>10}");
        }
        text.push('\n');
    }
    text.push_str(&agreement(compared));
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
        };
        compared.runs[1].wall = Some(0.5);
        let expected = "\
/s/app
                passed    failed   ignored    wall s x nextest
  nextest            1         0         1     2.000      1.00
  stt                1         0         1     0.500      0.25
  equal: nextest, stt
";
        assert_eq!(render("/s/app", &compared), expected);
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
