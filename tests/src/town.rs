//! Where runs of several laboratories meet: one directory for their records, and one for tests that count each other.

use camino::Utf8PathBuf;
use fs_err as fs;
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::Lab;
use crate::stt::Stt;

/// The directories, removed with it.
#[derive(Debug)]
pub struct Town(TempDir);

impl Town {
    /// One in which nobody has been.
    ///
    /// # Panics
    /// There can be no temporary directory.
    #[expect(clippy::new_without_default, reason = "it makes directories")]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("crowd")).expect("it is writable");
        Self(dir)
    }

    /// A path in it.
    ///
    /// # Panics
    /// The path of temporary directories is no text.
    pub fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::try_from(self.0.path().join(name)).expect("text")
    }

    /// A run among the others; of the tests that count, so many may run at once.
    pub fn join<'lab>(&self, stt: Stt<'lab>, most: usize) -> Stt<'lab> {
        stt.env("XDG_RUNTIME_DIR", self.path(""))
            .env("CROWD_DIR", self.path("crowd"))
            .env("CROWD_MOST", most.to_string())
    }

    /// What `cargo stt status` says of the runs.
    ///
    /// # Panics
    /// It fails, or doesn't say so in JSON.
    pub fn runs(&self, lab: &Lab) -> Vec<Value> {
        let status = lab.stt(["status", "--json"]).default_checkpoint();
        let shown = self.join(status, 0).run().code(0);
        let status: Value = serde_json::from_str(&shown.stdout).expect("JSON");
        status["runs"].as_array().expect("a list").clone()
    }
}
