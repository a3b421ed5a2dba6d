//! `cargo stt config`: show, check, default.

use std::fmt::Write as _;

use anstyle::Style;
use stt_core::config::Config;
use stt_core::config::CpuAction;
use stt_core::config::DEFAULT_FILE;
use stt_core::config::Level;
use stt_core::config::Resolved;
use stt_core::config::ResolvedValue;
use stt_core::config::Source;

use crate::commands::finish;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::settings::Configuration;

/// Prints every key with its value, and where that comes from. It is TOML, so that lines of it can be
/// put into a file.
pub(super) fn show(configuration: &Configuration, printer: &Printer) -> Result<Exit, Error> {
    let resolved = configuration.of_directory()?;
    Ok(finish(printer.out(&table(&resolved)), printer))
}

/// Says that everything is right; what is not right is an error.
pub(super) fn check(configuration: &Configuration, printer: &Printer) -> Result<Exit, Error> {
    configuration.of_directory()?;
    Ok(finish(printer.out("the configuration is right\n"), printer))
}

/// Prints the embedded defaults.
pub(super) fn default(printer: &Printer) -> Exit {
    finish(printer.out(DEFAULT_FILE), printer)
}

/// One aligned line for each value, and each override as the table that it is. What isn't the default
/// stands out.
fn table(resolved: &Resolved) -> String {
    let values = || {
        let settings = resolved.values().iter().chain(resolved.limits());
        settings.chain(resolved.defined())
    };
    let width_of = |column: fn(&ResolvedValue) -> &str| {
        let widths = values().map(|value| column(value).chars().count());
        // One very long value must not push every origin out of sight.
        widths.filter(|&width| width <= 40).max().unwrap_or(0)
    };
    let keys = width_of(|value| &value.key);
    let texts = width_of(|value| &value.written);
    let mut text = String::new();
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    for value in values() {
        let is_default = value.origin.source == Source::File(Level::Default);
        let style = if is_default { Style::new() } else { bold };
        let (key, written, origin) = (&value.key, &value.written, &value.origin);
        let meaning = meaning(value, &resolved.config);
        writeln!(
            text,
            "{style}{key:keys$} = {written:texts$}{style:#}  {dim}# {origin}{meaning}{dim:#}"
        )
        .expect("a string takes everything");
    }
    for one in &resolved.config.overrides {
        let origin = &one.origin;
        writeln!(
            text,
            "\n{bold}[[overrides]]{bold:#}  {dim}# {origin}{dim:#}\n{bold}{one}{bold:#}"
        )
        .expect("a string takes everything");
    }
    text
}

/// What `auto` stands for, which depends on other values.
fn meaning(value: &ResolvedValue, config: &Config) -> &'static str {
    if (&*value.key, value.written.as_str()) != ("guard.cpu-action", "\"auto\"") {
        return "";
    }
    match config.guard.cpu_action {
        CpuAction::Govern => ", here: govern",
        CpuAction::Stop => ", here: stop",
        CpuAction::Cap => ", here: cap",
        CpuAction::Off => ", here: off",
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use stt_core::config;
    use stt_core::config::ConfigFile;
    use stt_core::config::KEYS;
    use stt_core::config::Layers;

    use super::*;

    #[test]
    fn what_is_shown_is_itself_a_configuration_with_the_same_values() {
        let file = |text: &str| Layers {
            files: vec![ConfigFile {
                level: Level::Workspace,
                path: "a.toml".into(),
                text: text.to_owned(),
            }],
            ..Layers::default()
        };
        let resolve = |text: &str| config::resolve(&file(text), NonZeroUsize::MIN).unwrap();
        let given = resolve("[guard]\ncpu-threshold = '70%'\n[run]\nmax-fail = 'all'");
        let shown = anstream::adapter::strip_str(&table(&given)).to_string();
        assert_eq!(shown.lines().count(), KEYS.len() + given.limits().len());
        assert_eq!(resolve(&shown).config, given.config);
        let line = |key| {
            shown
                .lines()
                .find(|line: &&str| line.starts_with(key))
                .unwrap()
        };
        assert!(
            line("guard.cpu-threshold").ends_with("# a.toml:2"),
            "{shown}"
        );
        assert!(
            line("guard.cpu-action").ends_with("# default, here: stop"),
            "{shown}"
        );
    }

    #[test]
    fn groups_and_scripts_are_shown_with_where_they_are_defined() {
        let text = "test-groups.db.max-threads = 1\n\
            [scripts.setup.db]\n# Takes long.\ncommand = [\n  'up', # all\n  'a \"b\"',\n]\nslow-timeout = '1m'\n\
            [scripts.wrapper.w]\ncommand = { env = { A = '1' }, command-line = 'time' }\n\
            [[overrides]]\nfilter = 'all()'\nsetup = 'db'\nrun-wrapper = 'w'\ntest-group = 'db'\n\
            [profile.ci.test-groups]\ndb = { max-threads = 2 }\n";
        for (profile, threads, place) in [
            (None, 1, "a.toml:1"),
            (Some("ci"), 2, "a.toml:17 (profile)"),
        ] {
            let resolve = |text: &str, profile: Option<&str>| {
                let mut layers = Layers {
                    files: vec![ConfigFile {
                        level: Level::Workspace,
                        path: "a.toml".into(),
                        text: text.to_owned(),
                    }],
                    ..Layers::default()
                };
                layers.profile = profile.map(str::to_owned);
                config::resolve(&layers, NonZeroUsize::MIN).unwrap()
            };
            let given = resolve(text, profile);
            let shown = anstream::adapter::strip_str(&table(&given)).to_string();
            for (line, place) in [
                (format!("test-groups.db = {{ max-threads = {threads} }}"), place),
                (
                    r#"scripts.setup.db = { command = ["up", 'a "b"'], slow-timeout = "1m" }"#.to_owned(),
                    "a.toml:2",
                ),
                (
                    r#"scripts.wrapper.w = { command = { env = { A = "1" }, command-line = "time" } }"#
                        .to_owned(),
                    "a.toml:9",
                ),
            ] {
                let spaced = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                let found = shown.lines().map(spaced);
                let wanted = format!("{line} # {place}");
                assert!(found.into_iter().any(|found| found == wanted), "{wanted}: {shown}");
            }
            let again = resolve(&shown, None);
            assert_eq!(again.config.scripts, given.config.scripts);
            assert_eq!(again.config.test_groups, given.config.test_groups);
        }
    }
}
