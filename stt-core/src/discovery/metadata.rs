//! What `cargo metadata` says about the workspace and its packages.

use std::collections::BTreeMap;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use cargo_metadata::Metadata;
use serde::Deserialize;

/// A workspace, with the packages that cargo named.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The root of the workspace.
    pub root: Utf8PathBuf,
    /// Where cargo puts what is meant for people.
    pub target_dir: Utf8PathBuf,
    /// Where cargo puts everything else, test binaries included; mostly the target directory.
    pub build_dir: Utf8PathBuf,
    /// What cargo said, until somebody takes it.
    answer: String,
    /// Whether that holds the packages on which those of the workspace depend.
    dependencies: bool,
    /// The packages by cargo's opaque id.
    packages: BTreeMap<String, Package>,
}

/// A package.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its `Cargo.toml`.
    pub manifest_path: Utf8PathBuf,
    /// The `CARGO_PKG_*` variables of its tests, with their values.
    pub variables: Vec<(&'static str, String)>,
}

/// Why the workspace is not known.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the answer of `cargo metadata`")]
pub struct MetadataError(#[source] serde_json::Error);

/// The one field for which `cargo_metadata` would change the text: it makes a full version `1.85.0`
/// of the `1.85` that a package wrote and that cargo sets.
#[derive(Deserialize)]
struct RawMetadata {
    packages: Vec<RawPackage>,
}

#[derive(Deserialize)]
struct RawPackage {
    id: String,
    rust_version: Option<String>,
}

impl Workspace {
    /// Reads the standard output of [`metadata_command`](super::metadata_command).
    pub fn parse(stdout: &[u8]) -> Result<Self, MetadataError> {
        let metadata: Metadata = serde_json::from_slice(stdout).map_err(MetadataError)?;
        let raw: RawMetadata = serde_json::from_slice(stdout).map_err(MetadataError)?;
        let mut rust_versions: BTreeMap<String, String> = raw
            .packages
            .into_iter()
            .filter_map(|package| Some((package.id, package.rust_version?)))
            .collect();
        let packages = metadata
            .packages
            .into_iter()
            .map(|package| {
                let rust_version = rust_versions.remove(&package.id.repr).unwrap_or_default();
                (package.id.repr.clone(), Package::new(package, rust_version))
            })
            .collect();
        Ok(Self {
            root: metadata.workspace_root,
            build_dir: metadata
                .build_directory
                .unwrap_or_else(|| metadata.target_directory.clone()),
            target_dir: metadata.target_directory,
            answer: String::new(),
            dependencies: false,
            packages,
        })
    }

    /// Keeps the answer that was read, for [`TestRules`](super::TestRules).
    #[must_use]
    pub fn with_answer(mut self, stdout: Vec<u8>) -> Self {
        self.answer = String::from_utf8(stdout).unwrap_or_default();
        self
    }

    /// Keeps an answer that also holds the packages on which those of the workspace depend.
    pub fn know_dependencies(&mut self, answer: String) {
        self.answer = answer;
        self.dependencies = true;
    }

    /// Whether the answer that was kept holds the packages on which those of the workspace depend.
    pub fn knows_dependencies(&self) -> bool {
        self.dependencies
    }

    /// The answer that was kept, until it is taken.
    pub fn answer(&self) -> &str {
        &self.answer
    }

    /// The answer that was kept. It is long in large workspaces, and nobody needs it while tests run.
    pub fn take_answer(&mut self) -> String {
        std::mem::take(&mut self.answer)
    }

    /// The package with cargo's id `id`.
    pub fn package(&self, id: &str) -> Option<&Package> {
        self.packages.get(id)
    }

    /// The package in this folder, with cargo's id of it.
    pub fn package_in(&self, dir: &Utf8Path) -> Option<(&str, &Package)> {
        let mut packages = self.packages.iter();
        let (id, package) = packages.find(|(_, package)| package.dir() == dir)?;
        Some((id, package))
    }
}

impl Package {
    fn new(package: cargo_metadata::Package, rust_version: String) -> Self {
        let path = |path: Option<Utf8PathBuf>| path.map(Utf8PathBuf::into_string);
        let version = &package.version;
        let variables = vec![
            ("CARGO_PKG_VERSION", version.to_string()),
            ("CARGO_PKG_VERSION_MAJOR", version.major.to_string()),
            ("CARGO_PKG_VERSION_MINOR", version.minor.to_string()),
            ("CARGO_PKG_VERSION_PATCH", version.patch.to_string()),
            ("CARGO_PKG_VERSION_PRE", version.pre.to_string()),
            ("CARGO_PKG_AUTHORS", package.authors.join(":")),
            ("CARGO_PKG_NAME", package.name.to_string()),
            (
                "CARGO_PKG_DESCRIPTION",
                package.description.unwrap_or_default(),
            ),
            ("CARGO_PKG_HOMEPAGE", package.homepage.unwrap_or_default()),
            (
                "CARGO_PKG_REPOSITORY",
                package.repository.unwrap_or_default(),
            ),
            ("CARGO_PKG_LICENSE", package.license.unwrap_or_default()),
            (
                "CARGO_PKG_LICENSE_FILE",
                path(package.license_file).unwrap_or_default(),
            ),
            ("CARGO_PKG_RUST_VERSION", rust_version),
            ("CARGO_PKG_README", path(package.readme).unwrap_or_default()),
        ];
        Self {
            name: package.name.to_string(),
            manifest_path: package.manifest_path,
            variables,
        }
    }

    /// The folder of the package: where its tests start.
    pub fn dir(&self) -> &Utf8Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    const METADATA: &str = r#"{"packages":[{"name":"my-app","version":"1.2.3-rc.1+b7","id":"path+file:///w/app#my-app@1.2.3",
        "license":"MIT","license_file":null,"description":"two\nlines","source":null,"dependencies":[],"targets":[],
        "features":{},"manifest_path":"/w/app/Cargo.toml","metadata":null,"publish":null,"authors":["A <a@x>","B"],
        "categories":[],"keywords":[],"readme":"../README.md","repository":null,"homepage":"https://x","documentation":null,
        "edition":"2024","links":null,"default_run":null,"rust_version":"1.85"}],"workspace_members":[],
        "workspace_default_members":[],"resolve":null,"target_directory":"/w/target","build_directory":"/b","version":1,
        "workspace_root":"/w","metadata":null}"#;

    #[test]
    fn a_package_gives_every_variable_that_cargo_sets() {
        let workspace = Workspace::parse(METADATA.as_bytes()).unwrap();
        assert_eq!(workspace.root, "/w");
        assert_eq!(workspace.target_dir, "/w/target");
        assert_eq!(workspace.build_dir, "/b");
        let package = workspace
            .package("path+file:///w/app#my-app@1.2.3")
            .unwrap();
        assert_eq!(package.dir(), "/w/app");
        let variables: Vec<_> = package
            .variables
            .iter()
            .map(|(name, value)| (&name["CARGO_PKG_".len()..], value.as_str()))
            .collect();
        assert_eq!(
            variables,
            [
                ("VERSION", "1.2.3-rc.1+b7"),
                ("VERSION_MAJOR", "1"),
                ("VERSION_MINOR", "2"),
                ("VERSION_PATCH", "3"),
                ("VERSION_PRE", "rc.1"),
                ("AUTHORS", "A <a@x>:B"),
                ("NAME", "my-app"),
                ("DESCRIPTION", "two\nlines"),
                ("HOMEPAGE", "https://x"),
                ("REPOSITORY", ""),
                ("LICENSE", "MIT"),
                ("LICENSE_FILE", ""),
                ("RUST_VERSION", "1.85"),
                ("README", "../README.md"),
            ]
        );
        assert!(workspace.package("another").is_none());
    }

    #[test]
    fn without_a_build_directory_it_is_the_target_directory() {
        let old = METADATA.replace(r#""build_directory":"/b","#, "");
        let workspace = Workspace::parse(old.as_bytes()).unwrap();
        assert_eq!(workspace.build_dir, "/w/target");
    }

    #[test]
    fn what_is_no_metadata_is_an_error_with_its_cause() {
        for text in ["", "error: no Cargo.toml", "{}", "\u{0}", "[1]"] {
            let error = Workspace::parse(text.as_bytes()).unwrap_err();
            assert!(error.source().is_some(), "{text}");
        }
    }
}
