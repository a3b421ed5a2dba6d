//! Whether a command gets a supervisor.

use std::ffi::OsString;

/// The commands that run no tests.
const OTHERS: [&str; 8] = [
    "archive", "config", "list", "merge", "ports", "reap", "service", "status",
];

/// The options that only print.
const PRINTING: [&str; 4] = ["--help", "-h", "--version", "-V"];

/// Whether these arguments, the program first, may lead to tests. It is asked before the arguments are
/// parsed; where they are unclear the answer is yes, since a supervisor that is not needed does no harm.
pub(super) fn may_run_tests(args: &[OsString]) -> bool {
    let mut words = args.iter().skip(1).peekable();
    words.next_if(|word| *word == "stt");
    if words
        .peek()
        .is_some_and(|word| OTHERS.iter().any(|other| *word == other))
    {
        return false;
    }
    !words
        .take_while(|word| *word != "--")
        .any(|word| PRINTING.iter().any(|option| word == option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_run_tests_is_supervised() {
        for (line, supervised) in [
            ("cargo-stt", true),
            ("cargo-stt stt", true),
            ("cargo-stt stt run", true),
            ("cargo-stt stt -p app", true),
            ("cargo-stt stt --resume", true),
            ("cargo-stt stt stt", true),
            ("cargo-stt stt parser list", true),
            ("cargo-stt stt -- --help", true),
            ("cargo-stt stt list", false),
            ("cargo-stt list -p app", false),
            ("cargo-stt stt config show", false),
            ("cargo-stt stt reap", false),
            ("cargo-stt stt status", false),
            ("cargo-stt stt ports lease -n 2 -- make", false),
            ("cargo-stt stt service install", false),
            ("cargo-stt stt --help", false),
            ("cargo-stt stt run -h", false),
            ("cargo-stt stt --version", false),
            ("cargo-stt -V", false),
        ] {
            let args: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert_eq!(may_run_tests(&args), supervised, "{line}");
        }
    }
}
