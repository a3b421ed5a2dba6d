//! What stands behind `--`: the arguments that libtest knows. They are understood here and not passed
//! on, because each test gets arguments of its own.

use stt_core::selection::RunIgnored;

/// What libtest's arguments ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LibtestArgs {
    pub(crate) names: Vec<String>,
    pub(crate) skip: Vec<String>,
    pub(crate) exact: bool,
    pub(crate) run_ignored: Option<RunIgnored>,
    pub(crate) no_capture: bool,
    pub(crate) test_threads: Option<String>,
}

/// What can't be done with such an argument, and what can be done instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// Reads the arguments behind `--`.
///
/// # Errors
/// One of them is not among those that are understood, lacks its value, or contradicts another.
pub(crate) fn parse(args: &[String]) -> Result<LibtestArgs, Refused> {
    let mut found = LibtestArgs::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let (name, attached) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (arg.as_str(), None),
        };
        let mut value = || {
            let value = attached.or_else(|| rest.next().map(String::as_str));
            value.map(str::to_owned).ok_or_else(|| Refused {
                message: format!("`{name}` behind `--` needs a value"),
                hint: format!("write `{name} VALUE`"),
            })
        };
        match name {
            "--skip" => found.skip.push(value()?),
            "--test-threads" => found.test_threads = Some(value()?),
            "--exact" | "--ignored" | "--include-ignored" | "--nocapture" | "--no-capture"
                if attached.is_some() =>
            {
                return Err(Refused {
                    message: format!("`{name}` behind `--` takes no value"),
                    hint: format!("write `{name}`"),
                });
            }
            "--exact" => found.exact = true,
            "--ignored" => set_ignored(&mut found, RunIgnored::Only)?,
            "--include-ignored" => set_ignored(&mut found, RunIgnored::All)?,
            "--nocapture" | "--no-capture" => found.no_capture = true,
            _ if name.starts_with('-') => return Err(refuse(name)),
            _ => found.names.push(arg.clone()),
        }
    }
    Ok(found)
}

fn set_ignored(found: &mut LibtestArgs, ignored: RunIgnored) -> Result<(), Refused> {
    if found.run_ignored.is_some_and(|before| before != ignored) {
        return Err(Refused {
            message: "`--ignored` and `--include-ignored` contradict each other".to_owned(),
            hint: "`--ignored` runs only ignored tests, `--include-ignored` runs all".to_owned(),
        });
    }
    found.run_ignored = Some(ignored);
    Ok(())
}

fn refuse(name: &str) -> Refused {
    let instead = match name {
        "--list" => "use `cargo stt list`",
        "--show-output" => "use `--success-output immediate` before `--`",
        "--color" => "use `--color` before `--`",
        "--format" | "--logfile" => "use `--message-format json` before `--`",
        "-q" | "--quiet" => "use `--status-level fail` before `--`",
        "-h" | "--help" => "use `cargo stt --help`",
        "--test" => "leave it out: tests run without it",
        _ => {
            "understood are names, --skip NAME, --exact, --ignored, --include-ignored, --nocapture \
             and --test-threads N"
        }
    };
    Refused {
        message: format!(
            "`{}` behind `--` can't be passed on to the tests",
            name.escape_debug()
        ),
        hint: instead.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<LibtestArgs, Refused> {
        let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args)
    }

    #[test]
    fn what_cargo_test_takes_is_understood() {
        let found = parsed("a --skip b c --skip=d --exact --ignored --nocapture --test-threads=2");
        let expected = LibtestArgs {
            names: vec!["a".to_owned(), "c".to_owned()],
            skip: vec!["b".to_owned(), "d".to_owned()],
            exact: true,
            run_ignored: Some(RunIgnored::Only),
            no_capture: true,
            test_threads: Some("2".to_owned()),
        };
        assert_eq!(found, Ok(expected));
        assert_eq!(parsed(""), Ok(LibtestArgs::default()));
        let all = parsed("--include-ignored --include-ignored --no-capture").unwrap();
        assert_eq!(all.run_ignored, Some(RunIgnored::All));
        // A name may hold an equals sign, and a value may look like an option.
        assert_eq!(parsed("a=b").unwrap().names, ["a=b"]);
        assert_eq!(parsed("--skip --exact").unwrap().skip, ["--exact"]);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_a_way_out() {
        for (line, message, hint) in [
            ("--list", "`--list` behind `--` can't", "cargo stt list"),
            ("a --show-output", "`--show-output`", "--success-output"),
            ("--format=json", "`--format`", "--message-format json"),
            (
                "-Zunstable-options",
                "`-Zunstable-options`",
                "understood are",
            ),
            (
                "--skip",
                "`--skip` behind `--` needs a value",
                "--skip VALUE",
            ),
            (
                "--exact=yes",
                "`--exact` behind `--` takes no value",
                "`--exact`",
            ),
            ("--ignored --include-ignored", "contradict", "only ignored"),
            ("-", "`-` behind `--`", "understood are"),
        ] {
            let refused = parsed(line).unwrap_err();
            assert!(refused.message.contains(message), "{line}: {refused:?}");
            assert!(refused.hint.contains(hint), "{line}: {refused:?}");
        }
    }
}
