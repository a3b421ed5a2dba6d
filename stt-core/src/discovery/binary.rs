//! The test binaries of a build, each with everything that is needed to run it.

use std::collections::BTreeMap;
use std::env::JoinPathsError;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::io;
use std::sync::Arc;

use camino::Utf8PathBuf;
use cargo_metadata::Target;
use cargo_metadata::TargetKind;
use fs_err as fs;

use crate::command::CommandLine;
use crate::command::Environment;
use crate::id::BinaryId;
use crate::id::RunId;
use crate::script::Wrapper;

use super::cargo_config::CargoConfig;
use super::doctests::Doctests;
use super::environment;
use super::layout::OutputDirs;
use super::manifest::Harness;
use super::manifest::Manifest;
use super::manifest::ManifestError;
use super::messages::BuildScript;
use super::messages::Built;
use super::messages::TestArtifact;
use super::metadata::Package;
use super::metadata::Workspace;
use super::rustc::Rustc;
use super::rustc::Toolchain;

/// A test binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestBinary {
    /// Its name.
    pub id: BinaryId,
    /// The executable.
    pub path: Utf8PathBuf,
    /// What it tests.
    pub kind: BinaryKind,
    /// The name of its package.
    pub package: String,
    /// Cargo's id of its package.
    pub package_id: String,
    /// What it was built for.
    pub platform: Arc<Rustc>,
    /// The name of its target.
    pub target: String,
    /// Where it starts: the folder of its package.
    pub cwd: Utf8PathBuf,
    /// What answers in it.
    pub harness: Harness,
    /// Its complete environment.
    pub env: Environment,
    /// The program that runs it, with that program's first arguments.
    pub runner: Option<Vec<OsString>>,
    /// How its tests are called, where they are those of a documentation.
    pub doctests: Option<Arc<Doctests>>,
    /// What it is asked for its tests by.
    pub list_wrapper: Option<Arc<Wrapper>>,
}

/// What a test binary tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BinaryKind {
    /// A library, of whatever crate type: its unit tests.
    Lib,
    /// A procedural macro: its unit tests.
    ProcMacro,
    /// A binary target: its unit tests.
    Bin,
    /// An integration test.
    Test,
    /// An example: its unit tests.
    Example,
    /// A bench.
    Bench,
    /// The documentation of a library.
    Doc,
}

/// What all test binaries of a run share.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The packages.
    pub workspace: &'a Workspace,
    /// Cargo's configuration.
    pub config: &'a CargoConfig,
    /// The compiler's answers.
    pub toolchain: &'a Toolchain,
    /// The environment in which we were started.
    pub inherited: &'a Environment,
    /// The `cargo` that built.
    pub cargo: &'a OsStr,
    /// The run.
    pub run: &'a RunId,
    /// The name of its profile.
    pub profile: &'a str,
}

/// Why what was built can't be run.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// The metadata don't have the package. It is a dependency: ask for metadata with dependencies.
    #[error("the metadata have no package `{id}`, of which a test was built")]
    UnknownPackage {
        /// Cargo's id of the package.
        id: String,
    },
    /// A package's folder has gone.
    #[error("the folder `{dir}` of package `{package}` is no directory")]
    NoDirectory {
        /// The package.
        package: String,
        /// Its folder.
        dir: Utf8PathBuf,
    },
    /// A manifest can't be read.
    #[error("cannot read `{path}`")]
    ReadManifest {
        /// The manifest.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A manifest is no TOML.
    #[error("`{path}` is not valid")]
    ParseManifest {
        /// The manifest.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// Two binaries have one name, as when cargo builds for several targets at once.
    #[error("`{id}` was built twice, as `{first}` and as `{second}`")]
    Twice {
        /// The name.
        id: BinaryId,
        /// One.
        first: Utf8PathBuf,
        /// The other.
        second: Utf8PathBuf,
    },
    /// A directory for libraries can't be part of the loader's path.
    #[error("the library path of `{id}` can't be composed")]
    LibraryPath {
        /// The binary.
        id: BinaryId,
        /// Why.
        #[source]
        source: JoinPathsError,
    },
}

impl BinaryKind {
    fn of(target: &Target) -> Self {
        let is = |kind| target.kind.contains(&kind);
        if is(TargetKind::Test) {
            Self::Test
        } else if is(TargetKind::Bin) {
            Self::Bin
        } else if is(TargetKind::Example) {
            Self::Example
        } else if is(TargetKind::Bench) {
            Self::Bench
        } else if is(TargetKind::ProcMacro) {
            Self::ProcMacro
        } else {
            // `lib`, `rlib`, `dylib`, `cdylib`, `staticlib`, and what may come after them.
            Self::Lib
        }
    }

    /// Its name in nextest's words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lib => "lib",
            Self::ProcMacro => "proc-macro",
            Self::Bin => "bin",
            Self::Test => "test",
            Self::Example => "example",
            Self::Bench => "bench",
            Self::Doc => "doc",
        }
    }

    /// The binary's name in the form that nextest made common.
    pub(super) fn id(self, package: &str, target: &str) -> BinaryId {
        BinaryId::new(match self {
            Self::Lib | Self::ProcMacro => package.to_owned(),
            Self::Test => format!("{package}::{target}"),
            Self::Bin => format!("{package}::bin/{target}"),
            Self::Example => format!("{package}::example/{target}"),
            Self::Bench => format!("{package}::bench/{target}"),
            Self::Doc => format!("{package}::doc/{target}"),
        })
    }

    /// Whether cargo tells such a binary where the package's executables are.
    fn knows_executables(self) -> bool {
        match self {
            Self::Test | Self::Bench => true,
            Self::Lib | Self::ProcMacro | Self::Bin | Self::Example | Self::Doc => false,
        }
    }
}

impl TestBinary {
    /// The command that starts the binary with `args`, through its runner if there is one, and a wrapper.
    pub(super) fn command<'a>(
        &self,
        wrapper: Option<&Wrapper>,
        args: impl IntoIterator<Item = &'a str>,
    ) -> CommandLine {
        let env = self.env.clone();
        let runner = self.runner.as_deref().unwrap_or_default();
        let before = match wrapper {
            Some(wrapper) => wrapper.before(runner),
            None => runner.iter().map(OsString::as_os_str).collect(),
        };
        let command = match before.split_first() {
            Some((program, first)) => CommandLine::new(program, self.cwd.clone(), env)
                .args(first)
                .arg(&self.path),
            None => CommandLine::new(&self.path, self.cwd.clone(), env),
        };
        let own = wrapper.map(|wrapper| &wrapper.command.env);
        own.into_iter()
            .flatten()
            .fold(command.args(args), |command, (name, value)| {
                command.env(name, value)
            })
    }
}

/// The test binaries that were built, in the order of their ids. Reads the manifests of their packages.
pub fn test_binaries(built: &Built, setting: &Setting<'_>) -> Result<Vec<TestBinary>, BinaryError> {
    let mut manifests: BTreeMap<&str, Manifest> = BTreeMap::new();
    let mut binaries: BTreeMap<BinaryId, TestBinary> = BTreeMap::new();
    for artifact in &built.tests {
        let id = &artifact.package_id;
        let package = setting
            .workspace
            .package(id)
            .ok_or_else(|| BinaryError::UnknownPackage { id: id.clone() })?;
        if !manifests.contains_key(id.as_str()) {
            manifests.insert(id, read_manifest(package)?);
        }
        let binary = test_binary(artifact, package, &manifests[id.as_str()], built, setting)?;
        if let Some(other) = binaries.get(&binary.id) {
            return Err(BinaryError::Twice {
                id: binary.id,
                first: other.path.clone(),
                second: binary.path,
            });
        }
        binaries.insert(binary.id.clone(), binary);
    }
    Ok(binaries.into_values().collect())
}

fn test_binary(
    artifact: &TestArtifact,
    package: &Package,
    manifest: &Manifest,
    built: &Built,
    setting: &Setting<'_>,
) -> Result<TestBinary, BinaryError> {
    let Workspace {
        target_dir,
        build_dir,
        ..
    } = setting.workspace;
    let kind = BinaryKind::of(&artifact.target);
    let id = kind.id(&package.name, &artifact.target.name);
    let dirs = OutputDirs::of(&artifact.executable, target_dir, build_dir);
    let platform = setting.toolchain.of(dirs.triple.as_deref());
    let executables = built
        .bins
        .iter()
        .filter(|bin| kind.knows_executables() && bin.package_id == artifact.package_id)
        .map(|bin| (bin.name.as_str(), bin.executable.as_path()))
        .collect();
    let parts = environment::Parts {
        id: &id,
        package,
        script: script(built, &artifact.package_id, &dirs),
        dirs: &dirs,
        libdir: &platform.libdir,
        executables,
    };
    let env = match environment::of_binary(setting, built, &parts) {
        Ok(env) => env,
        Err(source) => return Err(BinaryError::LibraryPath { id, source }),
    };
    Ok(TestBinary {
        path: artifact.executable.clone(),
        kind,
        package: package.name.clone(),
        package_id: artifact.package_id.clone(),
        target: artifact.target.name.clone(),
        cwd: package.dir().to_owned(),
        harness: manifest.harness(kind, &artifact.target.name),
        env,
        runner: setting.config.runner(&platform).cloned(),
        doctests: None,
        list_wrapper: None,
        platform,
        id,
    })
}

/// The run of a package's build script that belongs to a binary. A package that is built for the host
/// and for a target has two: the one in the binary's own directories is meant. Cargo doesn't tell
/// apart what is left then, such as two sets of features, and the last is taken.
fn script<'a>(built: &'a Built, package_id: &str, dirs: &OutputDirs) -> Option<&'a BuildScript> {
    built
        .scripts
        .iter()
        .filter(|script| script.package_id == package_id)
        .max_by_key(|script| script.out_dir.starts_with(&dirs.build))
}

/// Reads a package's manifest, and sees to it that its folder is one.
fn read_manifest(package: &Package) -> Result<Manifest, BinaryError> {
    if !package.dir().is_dir() {
        return Err(BinaryError::NoDirectory {
            package: package.name.clone(),
            dir: package.dir().to_owned(),
        });
    }
    let path = &package.manifest_path;
    let text = fs::read_to_string(path).map_err(|source| BinaryError::ReadManifest {
        path: path.clone(),
        source,
    })?;
    Manifest::parse(&text).map_err(|source| BinaryError::ParseManifest {
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use camino::Utf8Path;

    use super::*;

    /// A binary to try commands on.
    pub(in crate::discovery) fn binary(harness: Harness, runner: Option<&[&str]>) -> TestBinary {
        TestBinary {
            id: BinaryId::new("p::it"),
            path: "/t/debug/deps/it-1".into(),
            kind: BinaryKind::Test,
            package: "p".into(),
            package_id: "path+file:///w/p#0.1.0".into(),
            platform: Arc::new(
                Rustc::parse("/s/lib/rustlib/x86_64-unknown-linux-gnu/lib\nunix\n").unwrap(),
            ),
            target: "it".into(),
            cwd: "/w/p".into(),
            harness,
            env: Arc::from([("A".into(), "b".into())]),
            runner: runner.map(|words| words.iter().map(OsString::from).collect()),
            doctests: None,
            list_wrapper: None,
        }
    }

    #[test]
    fn ids_have_nextests_form() {
        let cases = [
            (r#"["lib"]"#, BinaryKind::Lib, "my-pkg"),
            (r#"["cdylib","rlib"]"#, BinaryKind::Lib, "my-pkg"),
            (r#"["proc-macro"]"#, BinaryKind::ProcMacro, "my-pkg"),
            (r#"["bin"]"#, BinaryKind::Bin, "my-pkg::bin/my-target"),
            (r#"["test"]"#, BinaryKind::Test, "my-pkg::my-target"),
            (r#"["bench"]"#, BinaryKind::Bench, "my-pkg::bench/my-target"),
            (
                r#"["example"]"#,
                BinaryKind::Example,
                "my-pkg::example/my-target",
            ),
        ];
        for (kinds, kind, id) in cases {
            let json = format!(r#"{{"name":"x","kind":{kinds},"src_path":"/x.rs"}}"#);
            let target: Target = serde_json::from_str(&json).unwrap();
            assert_eq!(BinaryKind::of(&target), kind, "{kinds}");
            assert_eq!(kind.id("my-pkg", "my-target").as_str(), id);
        }
    }

    #[test]
    fn a_runner_stands_before_the_binary() {
        let plain = binary(Harness::Libtest, None).command(None, ["--list"]);
        assert_eq!(plain.shown(), "/t/debug/deps/it-1 --list");
        assert_eq!(plain.cwd, "/w/p");
        let run = binary(Harness::Libtest, Some(&["wine", "-x"])).command(None, ["--list"]);
        assert_eq!(run.shown(), "wine -x /t/debug/deps/it-1 --list");
    }

    /// What `test_binaries` says of test binaries `it` of package `p`, whose folder is `dir`.
    fn binaries_of(dir: &str, package_ids: &[&str]) -> Result<Vec<TestBinary>, BinaryError> {
        let package = format!(
            r#"{{"name":"p","version":"0.1.0","id":"p","targets":[],"features":{{}},"dependencies":[],"manifest_path":"{dir}/Cargo.toml"}}"#
        );
        let workspace = format!(
            r#"{{"packages":[{package}],"workspace_members":[],"target_directory":"/t","version":1,"workspace_root":"/w"}}"#
        );
        let target = r#"{"name":"it","kind":["test"],"src_path":"/x.rs"}"#;
        let built = Built {
            tests: package_ids
                .iter()
                .map(|id| TestArtifact {
                    package_id: (*id).to_owned(),
                    target: serde_json::from_str(target).unwrap(),
                    executable: "/t/debug/deps/it-1".into(),
                })
                .collect(),
            ..Built::default()
        };
        let setting = Setting {
            workspace: &Workspace::parse(workspace.as_bytes()).unwrap(),
            config: &CargoConfig::default(),
            toolchain: &Toolchain {
                host: Arc::new(Rustc::parse("/s/lib/rustlib/h/lib").unwrap()),
                targets: Vec::new(),
            },
            inherited: &Arc::default(),
            cargo: "cargo".as_ref(),
            run: &RunId::from_random([0; 16]),
            profile: "default",
        };
        test_binaries(&built, &setting)
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let message = |dir: &str, ids: &[&str]| binaries_of(dir, ids).unwrap_err().to_string();
        assert_eq!(
            message(dir.as_str(), &["q"]),
            "the metadata have no package `q`, of which a test was built"
        );
        assert_eq!(
            message("/gone", &["p"]),
            "the folder `/gone` of package `p` is no directory"
        );
        let manifest = dir.join("Cargo.toml");
        let path = dir.as_str();
        assert_eq!(message(path, &["p"]), format!("cannot read `{manifest}`"));
        crate::fs::write_atomic(&manifest, b"[").unwrap();
        assert_eq!(message(path, &["p"]), format!("`{manifest}` is not valid"));
        let text = b"[[test]]\nname = 'it'\nharness = false";
        crate::fs::write_atomic(&manifest, text).unwrap();
        assert!(message(path, &["p", "p"]).starts_with("`p::it` was built twice"));
        let binaries = binaries_of(path, &["p"]).unwrap();
        assert_eq!(binaries[0].harness, Harness::Custom);
        assert_eq!(binaries[0].cwd, dir);
    }

    #[test]
    fn a_script_run_in_the_binarys_own_directories_is_preferred() {
        let run = |package: &str, out_dir: &str| BuildScript {
            package_id: package.into(),
            linked_paths: Vec::new(),
            env: Vec::new(),
            out_dir: out_dir.into(),
        };
        let built = Built {
            scripts: vec![
                run("p", "/t/arm/debug/build/p-1/out"),
                run("p", "/t/debug/build/p-2/out"),
                run("q", "/t/debug/build/q-3/out"),
            ],
            ..Built::default()
        };
        for (path, out_dir) in [
            ("/t/arm/debug/deps/x", Some("/t/arm/debug/build/p-1/out")),
            ("/t/debug/deps/x", Some("/t/debug/build/p-2/out")),
        ] {
            let dirs = OutputDirs::of(path.into(), "/t".into(), "/t".into());
            let found = script(&built, "p", &dirs).map(|script| script.out_dir.as_str());
            assert_eq!(found, out_dir);
            assert!(script(&built, "none", &dirs).is_none());
        }
    }
}
