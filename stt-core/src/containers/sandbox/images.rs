//! Finds out whether binaries can run in containers of an image, before one does.

use std::collections::BTreeMap;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;

use super::elf;
use super::elf::Machine;
use super::elf::Needs;
use super::error::SandboxError;
use super::idle;
use super::place::LOOK;
use super::place::Sandboxes;
use super::spec::Bounds;
use crate::fs::write_atomic;

impl Sandboxes {
    /// Finds out whether these binaries can run in containers of an image, and puts its process 1 into place.
    ///
    /// # Errors
    /// They can't.
    pub fn check(&mut self, image: &str, binaries: &[&Utf8Path]) -> Result<(), SandboxError> {
        let found = self.caller.image(image).map_err(SandboxError::Engine)?;
        let no_image = || SandboxError::NoImage {
            image: image.to_owned(),
            podman: self.about.podman,
        };
        let no_idle = || SandboxError::Machine {
            image: image.to_owned(),
        };
        let machine = found.ok_or_else(no_image)?.ok_or_else(no_idle)?;
        let idle = self.install(machine)?.ok_or_else(no_idle)?;
        self.idles.insert(image.to_owned(), idle);
        let mut loaders = BTreeMap::new();
        for &binary in binaries {
            let Some(needs) = needs(binary)? else {
                continue;
            };
            if !machine.runs(needs.machine) {
                return Err(SandboxError::OtherMachine {
                    binary: binary.to_owned(),
                    built: needs.machine.to_string(),
                    image: image.to_owned(),
                    found: machine.to_string(),
                });
            }
            if let Some(loader) = needs.interpreter {
                loaders.entry(loader).or_insert(binary);
            }
        }
        if loaders.is_empty() {
            return Ok(());
        }
        self.look_for(image, loaders)
    }

    /// Looks for loaders in a container that is made for that, and is never started.
    fn look_for(
        &self,
        image: &str,
        loaders: BTreeMap<String, &Utf8Path>,
    ) -> Result<(), SandboxError> {
        let body = self.body(image, Bounds::default(), LOOK);
        let id = self.create(&body).map_err(SandboxError::Engine)?;
        let missing = loaders.into_iter().find_map(|(loader, binary)| {
            let there = self.caller.has_file(&id, &loader);
            match there {
                Ok(true) => None,
                Ok(false) => Some(SandboxError::NoLoader {
                    binary: binary.to_owned(),
                    loader,
                    image: image.to_owned(),
                }),
                Err(error) => Some(SandboxError::Engine(error)),
            }
        });
        self.caller.remove(&id);
        missing.map_or(Ok(()), Err)
    }

    /// Writes the program of process 1, unless it is there; `None` where there is none for the machine.
    fn install(&self, machine: Machine) -> Result<Option<Utf8PathBuf>, SandboxError> {
        let Some(program) = idle::program(machine) else {
            return Ok(None);
        };
        let path = self.setting.dir.join(format!("idle-{machine}"));
        let failed = |source| SandboxError::File {
            path: path.clone(),
            source,
        };
        if fs::read(&path).map_or(true, |there| there != program) {
            fs::create_dir_all(&self.setting.dir).map_err(failed)?;
            write_atomic(&path, &program).map_err(failed)?;
        }
        fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(failed)?;
        Ok(Some(path))
    }
}

/// What a binary needs; `None` where it is no program that says so.
fn needs(binary: &Utf8Path) -> Result<Option<Needs>, SandboxError> {
    let mut head = Vec::new();
    let read = File::open(binary).and_then(|file| file.take(elf::HEAD).read_to_end(&mut head));
    read.map_err(|source: io::Error| SandboxError::File {
        path: binary.to_owned(),
        source,
    })?;
    Ok(elf::read(&head))
}
