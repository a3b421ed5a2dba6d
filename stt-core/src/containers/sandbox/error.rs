//! Why tests can't run in containers.

use std::io;

use camino::Utf8PathBuf;

use super::engine::CallError;

/// Why tests can't run in containers here.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine does not do what it has to.
    #[error("tests can't run in containers")]
    Engine(#[source] CallError),
    /// The engine does not have the image.
    #[error("the engine has no image `{image}`")]
    NoImage {
        /// Its name.
        image: String,
        /// Whether the engine is Podman.
        podman: bool,
    },
    /// No process 1 was written for the image's machine.
    #[error("the image `{image}` is for a machine for which containers can't be used")]
    Machine {
        /// Its name.
        image: String,
    },
    /// A binary is for another machine than its image.
    #[error("`{binary}` was built for {built}, and the image `{image}` is for {found}")]
    OtherMachine {
        /// The binary.
        binary: Utf8PathBuf,
        /// What it was built for.
        built: String,
        /// The image.
        image: String,
        /// What that is for.
        found: String,
    },
    /// An image lacks the dynamic loader that a binary asks for.
    #[error(
        "`{binary}` needs the dynamic loader {loader}, which the image `{image}` does not have"
    )]
    NoLoader {
        /// The binary.
        binary: Utf8PathBuf,
        /// The loader.
        loader: String,
        /// The image.
        image: String,
    },
    /// A file can't be read or written.
    #[error("`{path}` can't be used")]
    File {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl SandboxError {
    /// What a person can do about it.
    pub fn advice(&self) -> String {
        match self {
            Self::Engine(_) => {
                "is it running, and may you use it? `--container none` runs tests outside".to_owned()
            }
            Self::NoImage { image, podman } => {
                let program = if *podman { "podman" } else { "docker" };
                format!("`{program} pull {image}` gets it; images are never pulled by a run")
            }
            Self::Machine { .. } => "it takes an image for amd64 or arm64".to_owned(),
            Self::OtherMachine { built, .. } => {
                format!("take an image for {built}, or build for that of the image with --target")
            }
            Self::NoLoader { .. } => "take an image with that C library (a Debian one has glibc, an Alpine one musl), or \
                 build with --target for what it has, such as x86_64-unknown-linux-musl"
                .to_owned(),
            Self::File { .. } => "see to it that it can be".to_owned(),
        }
    }
}
