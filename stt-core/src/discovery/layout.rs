//! Where in cargo's directories a test binary lies, and what lies beside it.

use camino::Utf8Path;
use camino::Utf8PathBuf;

/// The output directories of one build: of one profile, for the host or for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutputDirs {
    /// The target for which cargo was asked to build; `None` for the host.
    pub(super) triple: Option<String>,
    /// What is meant for people: executables, libraries.
    pub(super) artifacts: Utf8PathBuf,
    /// Everything else. The same directory, unless cargo's `build.build-dir` says otherwise.
    pub(super) build: Utf8PathBuf,
}

impl OutputDirs {
    /// Finds the directories of `executable`. Both layouts of cargo are known:
    /// `[TRIPLE/]PROFILE/{deps,examples}/NAME-HASH` and `[TRIPLE/]PROFILE/build/PACKAGE/HASH/out/NAME-HASH`.
    pub(super) fn of(executable: &Utf8Path, target_dir: &Utf8Path, build_dir: &Utf8Path) -> Self {
        let inside = executable
            .strip_prefix(build_dir)
            .or_else(|_| executable.strip_prefix(target_dir));
        let parts: Vec<&str> = inside.map_or_else(
            |_| Vec::new(),
            |inside| inside.components().map(|part| part.as_str()).collect(),
        );
        let is_inner = |part: &str| matches!(part, "deps" | "examples" | "build");
        let (triple, profile) = match parts.as_slice() {
            [profile, inner, _, ..] if is_inner(inner) => (None, *profile),
            [triple, profile, inner, _, ..] if is_inner(inner) => (Some(*triple), *profile),
            _ => return Self::around(executable),
        };
        let within = |dir: &Utf8Path| match triple {
            Some(triple) => dir.join(triple).join(profile),
            None => dir.join(profile),
        };
        Self {
            triple: triple.map(str::to_owned),
            artifacts: within(target_dir),
            build: within(build_dir),
        }
    }

    /// The directory of the libraries that are only linked from within the build.
    pub(super) fn deps(&self) -> Utf8PathBuf {
        self.build.join("deps")
    }

    /// A binary outside of cargo's directories: its own surroundings.
    fn around(executable: &Utf8Path) -> Self {
        let dir = executable.parent().unwrap_or(executable);
        let dir = if dir.file_name() == Some("deps") {
            dir.parent().unwrap_or(dir)
        } else {
            dir
        };
        Self {
            triple: None,
            artifacts: dir.to_owned(),
            build: dir.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_and_both_directories_are_known() {
        let cases = [
            ("/t/debug/deps/x-1", None, "/t/debug", "/b/debug"),
            ("/b/debug/deps/x-1", None, "/t/debug", "/b/debug"),
            ("/b/release/examples/x-1", None, "/t/release", "/b/release"),
            (
                "/b/debug/build/pkg/1f/out/x-1",
                None,
                "/t/debug",
                "/b/debug",
            ),
            ("/b/arm/ci/deps/x-1", Some("arm"), "/t/arm/ci", "/b/arm/ci"),
            (
                "/b/arm/ci/build/p/1/out/x",
                Some("arm"),
                "/t/arm/ci",
                "/b/arm/ci",
            ),
            ("/elsewhere/deps/x", None, "/elsewhere", "/elsewhere"),
            ("/elsewhere/x", None, "/elsewhere", "/elsewhere"),
            ("/t/x", None, "/t", "/t"),
        ];
        for (path, triple, artifacts, build) in cases {
            let dirs = OutputDirs::of(path.into(), "/t".into(), "/b".into());
            let expected = OutputDirs {
                triple: triple.map(str::to_owned),
                artifacts: artifacts.into(),
                build: build.into(),
            };
            assert_eq!(dirs, expected, "{path}");
            assert_eq!(dirs.deps(), format!("{build}/deps"));
        }
    }
}
