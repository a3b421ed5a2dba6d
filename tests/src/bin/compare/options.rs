//! What was asked for.

use camino::Utf8PathBuf;

/// The command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// How many timed rounds there are; the best one counts.
    pub(crate) rounds: usize,
    /// The flags of cargo's that all three runners get.
    pub(crate) flags: Vec<String>,
    /// The suites.
    pub(crate) dirs: Vec<Utf8PathBuf>,
}

impl Options {
    /// Reads the arguments; the error says what is wrong with them.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            rounds: 3,
            flags: Vec::new(),
            dirs: Vec::new(),
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            if arg == "--rounds" {
                let value = args.next().and_then(|value| value.parse().ok());
                options.rounds = value.ok_or("--rounds needs a number")?;
            } else if arg.starts_with('-') {
                options.flags.push(arg);
            } else {
                options.dirs.push(arg.into());
            }
        }
        if options.dirs.is_empty() {
            return Err("no directory was given".to_owned());
        }
        Ok(options)
    }

    /// Whether the flags choose targets themselves.
    pub(crate) fn choose_targets(&self) -> bool {
        let choosing = [
            "--lib",
            "--bin",
            "--test",
            "--bench",
            "--example",
            "--all-targets",
        ];
        self.flags
            .iter()
            .any(|flag| choosing.iter().any(|known| flag.starts_with(known)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_cargos_and_the_rest_are_directories() {
        let options = parse("--rounds 5 --all-features a b/c --locked").expect("it is right");
        assert_eq!(
            options,
            Options {
                rounds: 5,
                flags: vec!["--all-features".into(), "--locked".into()],
                dirs: vec!["a".into(), "b/c".into()],
            }
        );
        assert!(!options.choose_targets());
        for line in ["--benches a", "--test=x a", "--all-targets a"] {
            assert!(parse(line).expect("it is right").choose_targets(), "{line}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for line in ["", "--locked", "a --rounds", "--rounds x a"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
