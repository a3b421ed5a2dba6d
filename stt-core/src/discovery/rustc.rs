//! What the compiler says about itself and a target.

use std::sync::Arc;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use cargo_metadata::cargo_platform::Cfg;
use cargo_metadata::cargo_platform::Platform;

/// What the compiler knows about one target, or about the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rustc {
    /// The name of the target: its triple, or the stem of its specification's file.
    pub triple: String,
    /// Where its standard library lies.
    pub libdir: Utf8PathBuf,
    /// Its `cfg` values.
    pub(super) cfg: Vec<Cfg>,
}

/// The compiler's answer is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`rustc --print=target-libdir` answered `{0}`, which is no library directory")]
pub struct RustcError(String);

impl Rustc {
    /// Reads the standard output of [`rustc_command`](super::rustc_command): the directory in the first
    /// line, then a `cfg` value a line.
    ///
    /// The triple is part of the directory, `SYSROOT/lib/rustlib/TRIPLE/lib` (cargo itself composes it so).
    pub fn parse(stdout: &str) -> Result<Self, RustcError> {
        let mut lines = stdout.lines();
        let libdir = lines.next().unwrap_or_default();
        let triple = Utf8Path::new(libdir)
            .parent()
            .and_then(Utf8Path::file_name)
            .ok_or_else(|| RustcError(libdir.chars().take(200).collect()))?;
        Ok(Self {
            triple: triple.to_owned(),
            libdir: libdir.into(),
            // A form of `cfg` that isn't known can't be meant by a configuration that is.
            cfg: lines.filter_map(|line| line.parse().ok()).collect(),
        })
    }

    /// Whether it is one of those that are meant by this.
    pub fn is_of(&self, platform: &Platform) -> bool {
        platform.matches(&self.triple, &self.cfg)
    }
}

/// The host, and the targets for which something is built.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The host.
    pub host: Arc<Rustc>,
    /// The targets that the build was asked for; none when it is for the host.
    pub targets: Vec<Arc<Rustc>>,
}

impl Toolchain {
    /// What is known of `triple`, or of the host. A target nobody asked for lies beside the host.
    pub(super) fn of(&self, triple: Option<&str>) -> Arc<Rustc> {
        let Some(triple) = triple else {
            return Arc::clone(&self.host);
        };
        std::iter::once(&self.host)
            .chain(&self.targets)
            .find(|rustc| rustc.triple == triple)
            .cloned()
            .unwrap_or_else(|| {
                Arc::new(Rustc {
                    triple: triple.to_owned(),
                    libdir: self.beside_the_host(triple),
                    cfg: Vec::new(),
                })
            })
    }

    fn beside_the_host(&self, triple: &str) -> Utf8PathBuf {
        let rustlib = self.host.libdir.parent().and_then(Utf8Path::parent);
        rustlib.unwrap_or("".into()).join(triple).join("lib")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "/s/lib/rustlib/x86_64-unknown-linux-gnu/lib\ndebug_assertions\npanic=\"unwind\"\n?\nunix\n";

    #[test]
    fn the_answer_names_directory_triple_and_cfg() {
        let rustc = Rustc::parse(ANSWER).unwrap();
        assert_eq!(rustc.triple, "x86_64-unknown-linux-gnu");
        assert_eq!(rustc.libdir, "/s/lib/rustlib/x86_64-unknown-linux-gnu/lib");
        assert_eq!(rustc.cfg.len(), 3);
        for text in ["", "\n", "/"] {
            assert!(Rustc::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_target_nobody_asked_for_lies_beside_the_host() {
        let toolchain = Toolchain {
            host: Arc::new(Rustc::parse(ANSWER).unwrap()),
            targets: Vec::new(),
        };
        assert_eq!(toolchain.of(None).triple, "x86_64-unknown-linux-gnu");
        assert_eq!(toolchain.of(Some("x86_64-unknown-linux-gnu")).cfg.len(), 3);
        let other = toolchain.of(Some("wasm32-wasip1"));
        assert_eq!(other.libdir, "/s/lib/rustlib/wasm32-wasip1/lib");
    }
}
