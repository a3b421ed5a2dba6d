//! What `cargo stt config import-nextest` is to read, and where it is to write.

use camino::Utf8PathBuf;

use crate::cli::ImportArgs;
use crate::env::Surroundings;

/// What is to be imported, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImportRequest {
    /// nextest's file; `None` for the nearest one.
    pub(crate) from: Option<Utf8PathBuf>,
    /// Where ours goes.
    pub(crate) to: Destination,
    /// Whether a file that is there is replaced.
    pub(crate) force: bool,
    /// The current directory.
    pub(crate) cwd: Utf8PathBuf,
}

/// Where the new file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Beside nextest's.
    Beside,
    /// There.
    File(Utf8PathBuf),
    /// To standard output.
    Stdout,
}

impl ImportRequest {
    /// What the arguments mean.
    pub(crate) fn new(args: ImportArgs, surroundings: &Surroundings) -> Self {
        let cwd = surroundings.cwd.clone();
        let to = match args.output.as_deref() {
            Some("-") => Destination::Stdout,
            None if args.stdout => Destination::Stdout,
            Some(path) => Destination::File(cwd.join(path)),
            None => Destination::Beside,
        };
        Self {
            from: args.path.map(|path| cwd.join(path)),
            to,
            force: args.force,
            cwd,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;
    use crate::cli::Command;
    use crate::cli::ConfigCommand;

    fn request(line: &str) -> ImportRequest {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Some(Command::Config(config)) = cli.command else {
            panic!("`{line}` is about the configuration");
        };
        let ConfigCommand::ImportNextest(args) = config.command else {
            panic!("`{line}` is an import");
        };
        let surroundings = Surroundings {
            args: Vec::new(),
            vars: std::iter::empty::<(&str, &str)>()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            cwd: "/here".into(),
        };
        ImportRequest::new(args, &surroundings)
    }

    #[test]
    fn paths_are_seen_from_the_current_directory() {
        let file = |path: &str| Destination::File(path.into());
        for (line, from, to, force) in [
            ("", None, Destination::Beside, false),
            (" a.toml", Some("/here/a.toml"), Destination::Beside, false),
            (" --force", None, Destination::Beside, true),
            (" --stdout", None, Destination::Stdout, false),
            (" -o -", None, Destination::Stdout, false),
            (
                " /a.toml -o b.toml",
                Some("/a.toml"),
                file("/here/b.toml"),
                false,
            ),
        ] {
            let request = request(&format!("stt config import-nextest{line}"));
            assert_eq!(request.from, from.map(Utf8PathBuf::from), "{line}");
            assert_eq!((request.to, request.force), (to, force), "{line}");
        }
        let both = "stt config import-nextest --stdout -o a.toml";
        assert!(Cli::try_parse_from(both.split(' ')).is_err());
    }
}
