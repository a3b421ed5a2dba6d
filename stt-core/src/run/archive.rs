//! Archives of built tests: what was built, with the answers that cargo and the compiler gave, for machines that run
//! the tests and build nothing.
//!
//! An archive is a tar file under zstd. Its first file holds the answers; the others lie below directories that stand
//! for the target directory, the build directory and the compiler's libraries.

use std::collections::BTreeSet;
use std::io;
use std::io::Write as _;
use std::thread;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;

use crate::discovery::ARCHIVE_FORMAT;
use crate::discovery::Answers;
use crate::discovery::BUILD;
use crate::discovery::Built;
use crate::discovery::CargoConfig;
use crate::discovery::LIBDIR;
use crate::discovery::MessageEvent;
use crate::discovery::Messages;
use crate::discovery::Moved;
use crate::discovery::TARGET;
use crate::discovery::Workspace;
use crate::discovery::below_sysroot;
use crate::outcome::Exit;
use crate::run::RunError;
use crate::run::Session;
use crate::run::error::chain;
use crate::run::prepare::Site;
use crate::run::prepare::joined;
use crate::selection::BuildSelection;

/// The first file of an archive.
const ANSWERS: &str = "cargo-stt-archive.json";
/// Where archives are unpacked below the root of their workspace. They stay there, so that a run can be resumed.
const USUAL_PLACE: &str = "target/stt/archive";
/// How hard zstd tries, as its own command does where nobody says more.
const LEVEL: i32 = 3;

/// What became an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// How many test binaries are in it.
    pub binaries: usize,
    /// Its size in bytes.
    pub size: u64,
}

/// An archive can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It can't be opened, or it is damaged, or the place for its files can't be written.
    #[error("the archive `{path}` can't be unpacked")]
    Unpack {
        /// The archive.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is another file.
    #[error("`{path}` is no archive of cargo-stt: {why}")]
    Foreign {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The sources are not there.
    #[error("the workspace `{root}` of the archive is not there")]
    NoWorkspace {
        /// Its root.
        root: Utf8PathBuf,
    },
}

impl Session {
    /// Builds the tests of `selection`, and writes them into an archive.
    ///
    /// # Errors
    /// The build failed, or the archive can't be written.
    pub fn archive(
        &self,
        site: &Site<'_>,
        workspace: &Workspace,
        selection: &BuildSelection,
        colour: bool,
        path: &Utf8Path,
        text: impl FnMut(&str) + Send,
    ) -> Result<Packed, RunError> {
        let config = CargoConfig::read(site.cwd, &self.env).map_err(RunError::CargoConfig)?;
        let mut messages = Vec::new();
        // From threads of their own, as where tests are run.
        let (built, rustc) = thread::scope(|scope| {
            let built = scope.spawn(|| {
                self.build(site, selection, colour, text, |line| {
                    messages.push(line.to_owned());
                })
            });
            let built = joined(built);
            let rustc = scope.spawn(|| self.compiler_answers(site, &config, selection));
            (built, joined(rustc))
        });
        let (built, (host, targets)) = (built?, rustc?);
        let graph = thread::scope(|scope| joined(scope.spawn(|| self.graph(site))))?;
        let libdir = Utf8PathBuf::from(host.lines().next().unwrap_or_default());
        let answers = Answers {
            format: ARCHIVE_FORMAT,
            root: workspace.root.clone(),
            target_dir: workspace.target_dir.clone(),
            build_dir: workspace.build_dir.clone(),
            libdir,
            metadata: workspace.answer().to_owned(),
            graph,
            messages,
            host,
            targets,
        };
        pack(path, &answers, &built).map_err(|source| RunError::Setup {
            what: format!("the archive `{path}`"),
            source,
        })
    }

    /// What cargo knows of the packages on which the workspace depends, for expressions that ask for them. Where it
    /// knows nothing without the network, such expressions can't be used with the archive.
    fn graph(&self, site: &Site<'_>) -> Result<Option<String>, RunError> {
        let (exit, answer) = self.ask_for_graph(site)?;
        let graph = String::from_utf8(answer.stdout).ok();
        Ok(graph.filter(|_| exit == Exit::Code(0)))
    }
}

fn pack(path: &Utf8Path, answers: &Answers, built: &Built) -> io::Result<Packed> {
    let parent = path.parent().filter(|parent| !parent.as_str().is_empty());
    parent.map_or(Ok(()), fs::create_dir_all)?;
    // Nobody takes a half of it for an archive.
    let draft = Utf8PathBuf::from(format!("{path}.part"));
    let written = write(&draft, answers, built).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        drop(fs::remove_file(&draft));
    }
    written?;
    Ok(Packed {
        binaries: built.test_count(),
        size: fs::metadata(path)?.len(),
    })
}

fn write(draft: &Utf8Path, answers: &Answers, built: &Built) -> io::Result<()> {
    let file = fs::File::create(draft)?;
    let mut tar = tar::Builder::new(zstd::Encoder::new(file, LEVEL)?);
    let text = serde_json::to_vec(answers)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, ANSWERS, text.as_slice())?;
    let libraries = libraries(&answers.libdir)?;
    let needed = built.needed().map(Utf8Path::to_owned).chain(libraries);
    // In one order whatever the order of the build, and each once.
    for path in needed.collect::<BTreeSet<_>>() {
        let Some(name) = name_in(answers, &path) else {
            let message = format!("`{path}` lies outside of cargo's directories");
            return Err(io::Error::other(message));
        };
        if path.is_dir() {
            tar.append_dir_all(name, &path)?;
        } else {
            tar.append_path_with_name(&path, name)?;
        }
    }
    let mut file = tar.into_inner()?.finish()?;
    file.flush()
}

/// The path of a file in the archive; `None` for one that lies elsewhere.
fn name_in(answers: &Answers, path: &Utf8Path) -> Option<Utf8PathBuf> {
    let below =
        |dir: &Utf8Path, name: &str| Some(Utf8Path::new(name).join(path.strip_prefix(dir).ok()?));
    let target = || below(&answers.target_dir, TARGET);
    let libdir = Utf8Path::new(LIBDIR).join(below_sysroot(&answers.libdir));
    let build = || below(&answers.build_dir, BUILD);
    target()
        .or_else(build)
        .or_else(|| below(&answers.libdir, libdir.as_str()))
}

/// The standard library as it is linked when a program runs: tests of procedural macros need it.
fn libraries(libdir: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let mut found = Vec::new();
    for entry in libdir.read_dir_utf8()? {
        let path = entry?.into_path();
        let name = path.file_name().unwrap_or_default();
        let is_std = name.starts_with("libstd-") || name.starts_with("libtest-");
        if is_std && matches!(path.extension(), Some("so" | "dylib")) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Unpacks an archive, and says what it knows with the places where everything is now. `into` is
/// where they are to be, if not below the root of the workspace, and `root` where that is, if not where it was.
///
/// # Errors
/// It is no archive, is damaged, or can't be unpacked there; or there are no sources.
pub fn unpack(
    path: &Utf8Path,
    into: Option<&Utf8Path>,
    root: Option<&Utf8Path>,
) -> Result<Answers, ArchiveError> {
    let failed = |source| ArchiveError::Unpack {
        path: path.to_owned(),
        source,
    };
    let foreign = |why: &str| ArchiveError::Foreign {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let file = fs::File::open(path).map_err(failed)?;
    let file = zstd::Decoder::new(file).map_err(failed)?;
    let mut archive = tar::Archive::new(file);
    let mut entries = archive.entries().map_err(failed)?;
    let first = entries.next().ok_or_else(|| foreign("it is empty"))?;
    let first = first.map_err(|error| foreign(&chain(&error)))?;
    if first.path().map_err(failed)?.as_ref() != ANSWERS {
        return Err(foreign("its first file is another one"));
    }
    let answers: Answers =
        serde_json::from_reader(first).map_err(|error| foreign(&chain(&error)))?;
    if answers.format != ARCHIVE_FORMAT {
        let why = format!(
            "it has format {}, and this stt reads {ARCHIVE_FORMAT}",
            answers.format
        );
        return Err(foreign(&why));
    }
    let root = root.unwrap_or(&answers.root).to_owned();
    if !root.is_dir() {
        return Err(ArchiveError::NoWorkspace { root });
    }
    let into = into.map_or_else(|| root.join(USUAL_PLACE), Utf8Path::to_owned);
    fs::create_dir_all(&into).map_err(failed)?;
    for entry in entries {
        // Nothing is written outside of `into`, whatever an entry calls itself.
        entry
            .and_then(|mut entry| entry.unpack_in(&into))
            .map_err(failed)?;
    }
    Ok(answers.moved(&Moved {
        root,
        unpacked: into,
    }))
}

/// What a build said, as if it had just said it.
pub(crate) fn built(answers: &Answers) -> Result<Built, RunError> {
    let mut messages = Messages::default();
    for line in &answers.messages {
        match messages.line(line).map_err(RunError::Message)? {
            MessageEvent::Text(_) | MessageEvent::Noted | MessageEvent::Finished { .. } => {}
        }
    }
    Ok(messages.finish())
}
