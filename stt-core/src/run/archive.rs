//! Archives of built tests: what was built, with the answers that cargo and the compiler gave, for machines that run
//! the tests and build nothing.
//!
//! An archive is a tar file under zstd. Its first file holds the answers; the others lie below directories that stand
//! for the target directory, the build directory and the compiler's libraries.

use std::collections::BTreeSet;
use std::io;
use std::io::Read;
use std::io::Write as _;
use std::path::Component;
use std::path::Path;
use std::thread;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use serde::Deserialize;

use crate::discovery::ARCHIVE_FORMAT;
use crate::discovery::Answers;
use crate::discovery::BUILD;
use crate::discovery::Built;
use crate::discovery::CargoConfig;
use crate::discovery::Compilers;
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
/// The longest answers that are read, in bytes: what a workspace of thousands of packages has is a tenth of it.
const LONGEST_ANSWERS: u64 = 512 * 1024 * 1024;
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
            let rustc = scope.spawn(|| {
                self.compiler_answers(site, &config, selection, &mut Compilers::default())
            });
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
    // What build scripts leave may hold links in circles, or to nothing.
    tar.follow_symlinks(false);
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
    let answers = read_answers(first).map_err(|why| foreign(&why))?;
    let root = root.unwrap_or(&answers.root).to_owned();
    if !root.is_dir() {
        return Err(ArchiveError::NoWorkspace { root });
    }
    let into = into.map_or_else(|| root.join(USUAL_PLACE), Utf8Path::to_owned);
    fs::create_dir_all(&into).map_err(failed)?;
    for entry in entries {
        let mut entry = entry.map_err(failed)?;
        // Where it is unpacked there may be other files.
        if !is_ours(&entry.path().map_err(failed)?) {
            let path = entry.path_bytes().escape_ascii().to_string();
            return Err(foreign(&format!("it has no place for a file `{path}`")));
        }
        // Nor is anything written outside of `into` by way of a link.
        entry.unpack_in(&into).map_err(failed)?;
    }
    Ok(answers.moved(&Moved {
        root,
        unpacked: into,
    }))
}

/// The answers in an archive, or why these are none. The format comes first: another one may have other parts.
fn read_answers(first: impl Read) -> Result<Answers, String> {
    #[derive(Deserialize)]
    struct Beginning {
        format: u32,
    }
    let mut text = Vec::new();
    let read = first.take(LONGEST_ANSWERS + 1).read_to_end(&mut text);
    read.map_err(|error| chain(&error))?;
    if text.len() as u64 > LONGEST_ANSWERS {
        return Err("its first file is too long".to_owned());
    }
    let wrong = |error: serde_json::Error| chain(&error);
    let Beginning { format } = serde_json::from_slice(&text).map_err(wrong)?;
    if format != ARCHIVE_FORMAT {
        return Err(format!(
            "it has format {format}, and this stt reads {ARCHIVE_FORMAT}"
        ));
    }
    serde_json::from_slice(&text).map_err(wrong)
}

/// Whether a file of an archive may have this path: below one of the directories that it stands for, without a way out.
fn is_ours(path: &Path) -> bool {
    let mut parts = path.components();
    let first = parts.next().and_then(|part| part.as_os_str().to_str());
    first.is_some_and(|first| [TARGET, BUILD, LIBDIR].contains(&first))
        && parts.all(|part| matches!(part, Component::Normal(_)))
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

#[cfg(test)]
mod tests {
    use tar::EntryType;

    use super::*;

    /// A directory with sources in `ws`, and what an archive with these files comes to there. Each has a kind, a path and
    /// a content, which for a link is where it points to.
    fn unpacked(files: &[(EntryType, &str, &str)]) -> (tempfile::TempDir, Result<(), String>) {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().to_owned();
        fs::create_dir(root.join("ws")).unwrap();
        let answers = Answers {
            format: ARCHIVE_FORMAT,
            root: root.join("ws"),
            ..Answers::default()
        };
        let answers = serde_json::to_string(&answers).unwrap();
        let path = root.join("a.tar.zst");
        pack_by_hand(&path, &answers, files);
        let unpacked = unpack(&path, Some(&root.join("into")), None);
        (dir, unpacked.map(|_| ()).map_err(|error| chain(&error)))
    }

    /// Writes an archive that nobody of us would write.
    fn pack_by_hand(path: &Utf8Path, answers: &str, files: &[(EntryType, &str, &str)]) {
        let file = fs::File::create(path).unwrap();
        let mut tar = tar::Builder::new(zstd::Encoder::new(file, LEVEL).unwrap());
        let first = [(EntryType::Regular, ANSWERS, answers)];
        for &(kind, name, content) in first.iter().chain(files) {
            let mut header = tar::Header::new_gnu();
            // Its own way of setting a path refuses the hostile ones.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(kind);
            header.set_mode(0o755);
            let content = if kind == EntryType::Regular {
                content
            } else {
                let link = &mut header.as_old_mut().linkname;
                link[..content.len()].copy_from_slice(content.as_bytes());
                ""
            };
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append(&header, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
    }

    #[test]
    fn what_is_ours_is_unpacked_links_included() {
        let (dir, unpacked) = unpacked(&[
            (EntryType::Regular, "target/debug/it", "it"),
            (EntryType::Symlink, "build/p/lib.so", "lib.so.1"),
            (EntryType::Regular, "build/p/lib.so.1", "lib"),
        ]);
        assert_eq!(unpacked, Ok(()));
        let read = |name: &str| fs::read_to_string(dir.path().join("into").join(name)).unwrap();
        assert_eq!(read("target/debug/it"), "it");
        assert_eq!(read("build/p/lib.so"), "lib");
    }

    #[test]
    fn a_file_that_has_no_place_is_refused() {
        for path in [
            "../outside",
            "target/../../outside",
            "/outside",
            "src/lib.rs",
            "targets/x",
            ".git/config",
            "./target/x",
        ] {
            let (dir, unpacked) = unpacked(&[(EntryType::Regular, path, "x")]);
            let why = unpacked.unwrap_err();
            assert!(why.contains("no place for a file"), "{path}: {why}");
            let outside = dir.path().join("outside");
            assert!(!outside.exists() && !Path::new("/outside").exists());
        }
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        for link in [EntryType::Symlink, EntryType::Link] {
            for to in ["../../ws", "/tmp"] {
                let (dir, unpacked) = unpacked(&[
                    (link, "target/out", to),
                    (EntryType::Regular, "target/out/written", "x"),
                ]);
                assert!(unpacked.is_err(), "{link:?} {to}");
                assert!(!dir.path().join("ws/written").exists(), "{link:?} {to}");
                assert!(!Path::new("/tmp/written").exists(), "{link:?} {to}");
            }
        }
    }

    #[test]
    fn a_file_outside_is_not_reached_by_a_second_name() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        fs::write(&precious, "mine").unwrap();
        let to = precious.to_str().unwrap();
        for link in [EntryType::Symlink, EntryType::Link] {
            // Whatever becomes of it, the file is as it was.
            drop(unpacked(&[
                (link, "target/it", to),
                (EntryType::Regular, "target/it", "theirs"),
            ]));
            assert_eq!(fs::read_to_string(&precious).unwrap(), "mine", "{link:?}");
        }
    }

    #[test]
    fn another_format_is_named_whatever_its_parts_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("a.tar.zst");
        pack_by_hand(&path, r#"{"format":7,"new":{}}"#, &[]);
        let why = unpack(&path, None, None).unwrap_err().to_string();
        assert!(why.contains("it has format 7"), "{why}");
    }

    #[test]
    fn links_in_circles_and_to_nothing_are_packed_as_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let (target, libdir) = (root.join("target"), root.join("lib/rustlib/h/lib"));
        let out = target.join("debug/build/p-1/out");
        for dir in [&out, &libdir] {
            fs::create_dir_all(dir).unwrap();
        }
        for (to, name) in [("..", "circle"), ("/nowhere/at/all", "nothing")] {
            std::os::unix::fs::symlink(to, out.join(name)).unwrap();
        }
        let answers = Answers {
            format: ARCHIVE_FORMAT,
            root: root.to_owned(),
            target_dir: target.clone(),
            build_dir: target,
            libdir,
            ..Answers::default()
        };
        let mut messages = Messages::default();
        let line = format!(
            r#"{{"reason":"build-script-executed","package_id":"p","linked_libs":[],"linked_paths":[],"cfgs":[],"env":[],"out_dir":"{out}"}}"#
        );
        messages.line(&line).unwrap();
        let archive = root.join("a.tar.zst");
        pack(&archive, &answers, &messages.finish()).unwrap();
        let into = root.join("into");
        unpack(&archive, Some(&into), None).unwrap();
        let link = into.join("target/debug/build/p-1/out/circle");
        assert_eq!(link.read_link_utf8().unwrap(), "..");
    }
}
