//! What cargo's own configuration says about running tests: `[env]`, runners, targets, the compiler.
//!
//! Described in The Cargo Book, "Configuration"; where it is silent, cargo 1.95 was observed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use camino::Utf8Path;
use cargo_metadata::cargo_platform::Cfg;
use cargo_metadata::cargo_platform::CfgExpr;
use fs_err as fs;
use toml_edit::DocumentMut;
use toml_edit::Item;
use toml_edit::TableLike;

use crate::selection::BuildSelection;

use super::environment::value_of;
use super::rustc::Rustc;
use super::variables;

/// The part of cargo's configuration that matters for running tests, merged over all of its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CargoConfig {
    env: BTreeMap<String, EnvValue>,
    /// By the key of the `target` table: a triple, or a `cfg(…)` expression.
    runners: BTreeMap<String, Vec<OsString>>,
    /// From `CARGO_TARGET_<TRIPLE>_RUNNER`, by the triple as it is written there.
    env_runners: BTreeMap<String, Vec<OsString>>,
    targets: Vec<String>,
    rustc: Option<OsString>,
    rustdoc: Option<OsString>,
}

/// An entry of `[env]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct EnvValue {
    value: String,
    force: bool,
    relative: bool,
    /// What a relative value is relative to.
    root: PathBuf,
}

/// Why cargo's configuration is not known.
#[derive(Debug, thiserror::Error)]
pub enum CargoConfigError {
    /// A file can't be read.
    #[error("cannot read cargo's configuration `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is no TOML.
    #[error("cargo's configuration `{}` is not valid", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: toml_edit::TomlError,
    },
    /// Files include each other.
    #[error("cargo's configuration `{}` includes itself", path.display())]
    Cycle {
        /// The file.
        path: PathBuf,
    },
}

impl CargoConfig {
    /// Reads the configuration that cargo would use in `cwd` with the environment `env`.
    pub fn read(cwd: &Utf8Path, env: &[(OsString, OsString)]) -> Result<Self, CargoConfigError> {
        let mut config = Self::default();
        let cwd = cwd.as_std_path();
        for file in config_files(cwd, env) {
            config.file(&file, &mut Vec::new())?;
        }
        config.environment(cwd, env);
        Ok(config)
    }

    /// The variables of `[env]` that a process gets that inherits `inherited`.
    pub(super) fn variables<'a>(
        &'a self,
        inherited: &'a [(OsString, OsString)],
    ) -> impl Iterator<Item = (&'a str, OsString)> {
        self.env
            .iter()
            .filter(|(name, entry)| entry.force || value_of(inherited, name).is_none())
            .map(|(name, entry)| (name.as_str(), entry.resolved()))
    }

    /// The program, with its first arguments, that runs what is built for `platform`.
    pub(super) fn runner(&self, platform: &Rustc) -> Option<&Vec<OsString>> {
        let in_a_variable = platform.triple.to_uppercase().replace(['-', '.'], "_");
        self.env_runners
            .get(&in_a_variable)
            .or_else(|| self.runners.get(&platform.triple))
            .or_else(|| self.runner_by_cfg(&platform.cfg))
    }

    /// Cargo refuses to build when several expressions match, so that the first is the only one.
    fn runner_by_cfg(&self, cfg: &[Cfg]) -> Option<&Vec<OsString>> {
        self.runners
            .iter()
            .find(|(key, _)| key.starts_with("cfg(") && CfgExpr::matches_key(key, cfg))
            .map(|(_, runner)| runner)
    }

    /// The targets for which cargo builds, and of which the compiler is to be asked beside the host.
    pub fn targets<'a>(&'a self, selection: &'a BuildSelection) -> Vec<&'a str> {
        let targets = match &selection.target {
            Some(target) => std::slice::from_ref(target),
            None => self.targets.as_slice(),
        };
        targets
            .iter()
            .map(String::as_str)
            // Cargo's name for the host, which the compiler doesn't know.
            .filter(|target| *target != "host-tuple")
            .collect()
    }

    /// The compiler.
    pub fn rustc(&self) -> &OsStr {
        self.rustc.as_deref().unwrap_or(OsStr::new("rustc"))
    }

    /// The documentation tool, where one is set.
    pub fn rustdoc(&self) -> Option<&OsStr> {
        self.rustdoc.as_deref()
    }

    /// Takes in a file, over what is there already; `above` are the files that include it.
    fn file(&mut self, path: &Path, above: &mut Vec<PathBuf>) -> Result<(), CargoConfigError> {
        if above.iter().any(|file| file == path) {
            return Err(CargoConfigError::Cycle {
                path: path.to_owned(),
            });
        }
        let text = fs::read_to_string(path).map_err(|source| CargoConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let document: DocumentMut = text.parse().map_err(|source| CargoConfigError::Parse {
            path: path.to_owned(),
            source,
        })?;
        above.push(path.to_owned());
        for included in includes(document.as_table(), path) {
            self.file(&included, above)?;
        }
        above.pop();
        // Cargo resolves relative paths against the folder that holds `.cargo`.
        let root = path.parent().and_then(Path::parent).unwrap_or(path);
        self.layer(document.as_table(), root);
        Ok(())
    }

    /// Takes in the tables of one file.
    fn layer(&mut self, document: &dyn TableLike, root: &Path) {
        for (name, item) in entries(document.get("env")) {
            self.env_entry(name, item, root);
        }
        for (key, item) in entries(document.get("target")) {
            let runner = item
                .as_table_like()
                .and_then(|target| target.get("runner"))
                .and_then(|runner| program(strings(runner), root));
            if let Some(runner) = runner {
                self.runners.insert(key.to_owned(), runner);
            }
        }
        let build = document.get("build").and_then(Item::as_table_like);
        if let Some(target) = build.and_then(|build| build.get("target")) {
            self.targets = match target.as_str() {
                Some(target) => vec![target.to_owned()],
                None => strings(target),
            };
        }
        if let Some(rustc) = build.and_then(|build| build.get("rustc")?.as_str()) {
            self.rustc = Some(resolved_program(rustc.as_ref(), root));
        }
        if let Some(rustdoc) = build.and_then(|build| build.get("rustdoc")?.as_str()) {
            self.rustdoc = Some(resolved_program(rustdoc.as_ref(), root));
        }
    }

    /// Takes in one entry of `[env]`: its fields are merged one by one over those of files above.
    fn env_entry(&mut self, name: &str, item: &Item, root: &Path) {
        let entry = self.env.entry(name.to_owned()).or_default();
        root.clone_into(&mut entry.root);
        if let Some(value) = item.as_str() {
            value.clone_into(&mut entry.value);
        }
        let Some(table) = item.as_table_like() else {
            return;
        };
        if let Some(value) = table.get("value").and_then(Item::as_str) {
            value.clone_into(&mut entry.value);
        }
        if let Some(force) = table.get("force").and_then(Item::as_bool) {
            entry.force = force;
        }
        if let Some(relative) = table.get("relative").and_then(Item::as_bool) {
            entry.relative = relative;
        }
    }

    /// Takes in the variables that win over every file.
    fn environment(&mut self, cwd: &Path, env: &[(OsString, OsString)]) {
        for (name, value) in env {
            let triple = name
                .to_str()
                .and_then(|name| name.strip_prefix("CARGO_TARGET_")?.strip_suffix("_RUNNER"));
            let words = value.to_string_lossy();
            let words = words.split_whitespace().map(str::to_owned).collect();
            if let (Some(triple), Some(runner)) = (triple, program(words, cwd)) {
                self.env_runners.insert(triple.to_owned(), runner);
            }
        }
        if let Some(target) = value_of(env, variables::CARGO_BUILD_TARGET) {
            self.targets = vec![target.to_string_lossy().into_owned()];
        }
        let tool = |names: [&str; 2]| {
            let set = names.into_iter().find_map(|name| value_of(env, name));
            set.map(|tool| resolved_program(tool, cwd))
        };
        let rustc = tool([variables::RUSTC, variables::CARGO_BUILD_RUSTC]);
        self.rustc = rustc.or(self.rustc.take());
        let rustdoc = tool([variables::RUSTDOC, variables::CARGO_BUILD_RUSTDOC]);
        self.rustdoc = rustdoc.or(self.rustdoc.take());
    }
}

impl EnvValue {
    fn resolved(&self) -> OsString {
        if self.relative {
            self.root.join(&self.value).into()
        } else {
            self.value.clone().into()
        }
    }
}

/// The files that exist, the weakest first: cargo's home, then from the root down to `cwd`.
fn config_files(cwd: &Path, env: &[(OsString, OsString)]) -> Vec<PathBuf> {
    let home = value_of(env, variables::CARGO_HOME)
        .filter(|home| !home.is_empty())
        .map(|home| cwd.join(home))
        .or_else(|| Some(Path::new(value_of(env, variables::HOME)?).join(".cargo")));
    let mut files: Vec<PathBuf> = cwd
        .ancestors()
        .filter_map(|dir| config_file(&dir.join(".cargo")))
        .collect();
    if let Some(file) = home.and_then(|home| config_file(&home))
        && !files.contains(&file)
    {
        files.push(file);
    }
    files.reverse();
    files
}

/// The configuration in one folder. The name without an extension is the older one, and wins.
fn config_file(dir: &Path) -> Option<PathBuf> {
    ["config", "config.toml"]
        .into_iter()
        .map(|name| dir.join(name))
        .find(|file| file.is_file())
}

/// The files that a file includes, the weakest first. Whatever they say, the file itself wins.
fn includes(document: &dyn TableLike, path: &Path) -> Vec<PathBuf> {
    let dir = path.parent().unwrap_or(path);
    let Some(item) = document.get("include") else {
        return Vec::new();
    };
    if let Some(single) = item.as_str() {
        return vec![dir.join(single)];
    }
    if let Some(tables) = item.as_array_of_tables() {
        return tables
            .iter()
            .filter_map(|table| included(table, dir))
            .collect();
    }
    let values = item.as_array().into_iter().flatten();
    values
        .filter_map(|value| match (value.as_str(), value.as_inline_table()) {
            (Some(file), _) => Some(dir.join(file)),
            (None, Some(table)) => included(table, dir),
            (None, None) => None,
        })
        .collect()
}

fn included(table: &dyn TableLike, dir: &Path) -> Option<PathBuf> {
    let file = dir.join(table.get("path")?.as_str()?);
    let optional = table.get("optional").and_then(Item::as_bool) == Some(true);
    (!optional || file.exists()).then_some(file)
}

fn entries(item: Option<&Item>) -> impl Iterator<Item = (&str, &Item)> {
    item.and_then(Item::as_table_like)
        .into_iter()
        .flat_map(TableLike::iter)
}

/// A list of words: an array, or a string that is split at white space.
fn strings(item: &Item) -> Vec<String> {
    if let Some(text) = item.as_str() {
        return text.split_whitespace().map(str::to_owned).collect();
    }
    let values = item.as_array().into_iter().flatten();
    values
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

/// A program with its arguments; `None` when there is no word at all.
fn program(words: Vec<String>, root: &Path) -> Option<Vec<OsString>> {
    let mut words = words.into_iter().map(OsString::from);
    let program = resolved_program(&words.next()?, root);
    Some(std::iter::once(program).chain(words).collect())
}

/// A path is relative to `root`; a bare name is looked up when it is started.
fn resolved_program(program: &OsStr, root: &Path) -> OsString {
    if Path::new(program).components().count() > 1 {
        root.join(program).into()
    } else {
        program.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Files<'a> = &'a [(&'a str, &'a str)];

    /// The configuration seen from `work/sub` of a tree with these files; `@` in a variable is the tree.
    fn read(
        files: Files,
        env: &[(&str, &str)],
    ) -> (tempfile::TempDir, Result<CargoConfig, CargoConfigError>) {
        let tree = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(tree.path()).unwrap();
        fs::create_dir_all(root.join("work/sub")).unwrap();
        for (name, text) in files {
            let file = root.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            crate::fs::write_atomic(&file, text.as_bytes()).unwrap();
        }
        let env = pairs(env, root);
        let config = CargoConfig::read(&root.join("work/sub"), &env);
        (tree, config)
    }

    fn pairs(env: &[(&str, &str)], root: &Utf8Path) -> Vec<(OsString, OsString)> {
        env.iter()
            .map(|(name, value)| (name.into(), value.replace('@', root.as_str()).into()))
            .collect()
    }

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_nearest_file_wins_field_by_field_and_home_is_the_weakest() {
        let files = [
            (
                "home/config.toml",
                "[env]\nA = 'home'\nB = 'home'\nH = { value = 'h', relative = true }",
            ),
            (
                "work/.cargo/config.toml",
                "[env]\nB = 'work'\nC = { value = 'c', relative = true }\nD = 'd'",
            ),
            (
                "work/sub/.cargo/config.toml",
                "[env]\nC = { value = 'near', force = true }\nE = { value = '', relative = true }",
            ),
        ];
        let (tree, config) = read(&files, &[("CARGO_HOME", "@/home")]);
        let config = config.unwrap();
        let inherited = pairs(&[("C", "set"), ("D", "set")], "".into());
        let found: Vec<_> = config.variables(&inherited).collect();
        let at = |path: &str| tree.path().join(path).into_os_string();
        assert_eq!(
            found,
            [
                ("A", "home".into()),
                ("B", "work".into()),
                ("C", at("work/sub/near")),
                ("E", at("work/sub/")),
                ("H", at("h")),
            ]
        );
    }

    #[test]
    fn the_old_file_name_wins_and_includes_are_weaker_than_their_includer() {
        let files = [
            ("work/sub/.cargo/config.toml", "[env]\nA = 'unread'"),
            (
                "work/sub/.cargo/config",
                "include = ['one.toml', { path = 'more/two.toml' }, { path = 'none', optional = true }]\n[env]\nA = 'main'",
            ),
            (
                "work/sub/.cargo/one.toml",
                "[env]\nA = 'one'\nB = 'one'\nC = 'one'",
            ),
            (
                "work/sub/.cargo/more/two.toml",
                "[env]\nB = 'two'\nD = { value = 'd', relative = true }",
            ),
        ];
        let (tree, config) = read(&files, &[]);
        let config = config.unwrap();
        let found: Vec<_> = config.variables(&[]).collect();
        let relative = tree.path().join("work/sub/.cargo/d").into_os_string();
        assert_eq!(
            found,
            [
                ("A", "main".into()),
                ("B", "two".into()),
                ("C", "one".into()),
                ("D", relative)
            ]
        );
    }

    #[test]
    fn a_runner_is_found_by_variable_then_triple_then_cfg() {
        let linux =
            Rustc::parse("/s/lib/rustlib/x86_64-unknown-linux-gnu/lib\nunix\ntarget_os=\"linux\"")
                .unwrap();
        let windows = Rustc::parse("/s/lib/rustlib/x86_64-pc-windows-gnu/lib\nwindows").unwrap();
        let by_cfg =
            "[target.'cfg(all(unix, target_os = \"linux\"))']\nrunner = ['./r.sh', 'a b']\n";
        let by_triple = "[target.x86_64-unknown-linux-gnu]\nrunner = 'wine  --x'\n";
        let variable = (
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
            "tools/r  x 'y z'",
        );
        let both = format!("{by_cfg}{by_triple}");

        let (tree, config) = read(&[("work/.cargo/config.toml", by_cfg)], &[]);
        let config = config.unwrap();
        let script = tree.path().join("work/./r.sh").into_os_string();
        assert_eq!(config.runner(&linux), Some(&vec![script, "a b".into()]));
        assert_eq!(config.runner(&windows), None);

        let (_tree, config) = read(&[("work/.cargo/config.toml", &both)], &[]);
        assert_eq!(
            config.unwrap().runner(&linux),
            Some(&words(&["wine", "--x"]))
        );

        let (tree, config) = read(&[("work/.cargo/config.toml", &both)], &[variable]);
        let script = tree.path().join("work/sub/tools/r").into_os_string();
        let mut expected = vec![script];
        expected.extend(words(&["x", "'y", "z'"]));
        assert_eq!(config.unwrap().runner(&linux), Some(&expected));
    }

    #[test]
    fn targets_and_compiler_come_from_flag_variable_or_file() {
        let file = [(
            "work/.cargo/config.toml",
            "[build]\ntarget = ['a', 'host-tuple']\nrustc = 'bin/rustc'",
        )];
        let plain = BuildSelection::default();
        let flag = BuildSelection {
            target: Some("c".into()),
            ..BuildSelection::default()
        };
        let (tree, config) = read(&file, &[]);
        let config = config.unwrap();
        assert_eq!(config.targets(&plain), ["a"]);
        assert_eq!(config.targets(&flag), ["c"]);
        assert_eq!(config.rustc(), tree.path().join("work/bin/rustc"));
        let (_tree, config) = read(&file, &[("CARGO_BUILD_TARGET", "b"), ("RUSTC", "my-rustc")]);
        let config = config.unwrap();
        assert_eq!(config.targets(&plain), ["b"]);
        assert_eq!(config.rustc(), "my-rustc");
        assert_eq!(config.rustdoc(), None);
        let (_tree, config) = read(&file, &[("CARGO_BUILD_RUSTDOC", "my-rustdoc")]);
        let config = config.unwrap();
        assert_eq!(config.rustdoc(), Some("my-rustdoc".as_ref()));
        assert_eq!(CargoConfig::default().rustc(), "rustc");
    }

    #[test]
    fn errors_name_the_file() {
        let cases: [(Files, &str); 3] = [
            (
                &[("work/.cargo/config.toml", "[env")],
                "config.toml` is not valid",
            ),
            (
                &[("work/.cargo/config.toml", "include = ['gone']")],
                "cannot read cargo's configuration",
            ),
            (
                &[("work/.cargo/config.toml", "include = 'config.toml'")],
                "config.toml` includes itself",
            ),
        ];
        for (files, message) in cases {
            let error = read(files, &[]).1.unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_table_breaks_the_reader(
            table in "(env|target|build|include)",
            value in r#"(\[.{0,10}\]|\{.{0,10}\}|".{0,10}"|[0-9]{1,3})"#,
        ) {
            let text = format!("{table} = {value}");
            if let Ok(document) = text.parse::<DocumentMut>() {
                CargoConfig::default().layer(document.as_table(), Path::new("/r"));
                drop(includes(document.as_table(), Path::new("/r/x")));
            }
        }
    }
}
