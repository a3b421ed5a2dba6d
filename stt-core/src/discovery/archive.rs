//! What is known of a build where there is no cargo: the answers that cargo and the compiler gave where it was made, and
//! where its files are now. Pure.
//!
//! Nothing of them is interpreted here but paths: whoever runs the tests reads the answers as if they had just been given.

use camino::Utf8Path;
use camino::Utf8PathBuf;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::messages::Built;

/// The version of the form that is written, and the newest that is read.
pub const ARCHIVE_FORMAT: u32 = 1;

/// The answers of cargo and of the compiler to what a run asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Answers {
    /// [`ARCHIVE_FORMAT`].
    pub format: u32,
    /// The root of the workspace.
    pub root: Utf8PathBuf,
    /// Cargo's target directory.
    pub target_dir: Utf8PathBuf,
    /// Cargo's build directory, which mostly is the same.
    pub build_dir: Utf8PathBuf,
    /// The directory of the compiler for the host.
    pub libdir: Utf8PathBuf,
    /// Of `cargo metadata`.
    pub metadata: String,
    /// The same with dependencies, where cargo knew them.
    pub graph: Option<String>,
    /// The lines of the build.
    pub messages: Vec<String>,
    /// Of the compiler, about the host.
    pub host: String,
    /// About each target for which was built.
    pub targets: Vec<String>,
}

/// Where the directories of a build are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The root of the workspace, with its sources.
    pub root: Utf8PathBuf,
    /// Where the archive was unpacked.
    pub unpacked: Utf8PathBuf,
}

/// The names of directories in an archive.
pub const TARGET: &str = "target";
/// See [`TARGET`].
pub const BUILD: &str = "build";
/// See [`TARGET`].
pub const LIBDIR: &str = "sysroot";

impl Answers {
    /// The answers as if everything had been built where it is now.
    #[must_use]
    pub fn moved(self, to: &Moved) -> Self {
        let unpacked = |name: &str| to.unpacked.join(name);
        let build = if self.build_dir == self.target_dir {
            TARGET
        } else {
            BUILD
        };
        // The target directory mostly lies in the workspace: the longer path is looked for first.
        let mut places = [
            (self.target_dir.clone(), unpacked(TARGET)),
            (self.build_dir.clone(), unpacked(build)),
            (
                self.libdir.clone(),
                unpacked(LIBDIR).join(below_sysroot(&self.libdir)),
            ),
            (self.root.clone(), to.root.clone()),
        ];
        places.sort_by_key(|(from, _)| std::cmp::Reverse(from.as_str().len()));
        let text = |text: String| moved_text(&text, &places);
        let json = |text: String| moved_json(text, &places);
        let path = |path: &Utf8Path| Utf8PathBuf::from(moved_text(path.as_str(), &places));
        Self {
            format: self.format,
            root: path(&self.root),
            target_dir: path(&self.target_dir),
            build_dir: path(&self.build_dir),
            libdir: path(&self.libdir),
            metadata: json(self.metadata),
            graph: self.graph.map(json),
            messages: self.messages.into_iter().map(json).collect(),
            host: text(self.host),
            targets: self.targets,
        }
    }
}

/// The part of the path of a library directory that is the same in every sysroot.
pub fn below_sysroot(libdir: &Utf8Path) -> Utf8PathBuf {
    // `SYSROOT/lib/rustlib/TRIPLE/lib`
    let sysroot = libdir.ancestors().nth(4).unwrap_or(libdir);
    libdir.strip_prefix(sysroot).unwrap_or(libdir).to_owned()
}

/// JSON with every path in it moved. What is no JSON is text that cargo has passed on.
fn moved_json(text: String, places: &[(Utf8PathBuf, Utf8PathBuf)]) -> String {
    let Ok(mut value) = serde_json::from_str(&text) else {
        return text;
    };
    move_paths(&mut value, places);
    value.to_string()
}

fn move_paths(value: &mut Value, places: &[(Utf8PathBuf, Utf8PathBuf)]) {
    match value {
        Value::String(text) => *text = moved_text(text, places),
        Value::Array(values) => values.iter_mut().for_each(|one| move_paths(one, places)),
        Value::Object(values) => values.values_mut().for_each(|one| move_paths(one, places)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text that begins with one of the paths, also behind a word and `=` as in what build scripts link.
fn moved_text(text: &str, places: &[(Utf8PathBuf, Utf8PathBuf)]) -> String {
    let (word, path) = match text.split_once('=') {
        Some((word, path)) if path.starts_with('/') => (&text[..=word.len()], path),
        Some(_) | None => ("", text),
    };
    let moved = places.iter().find_map(|(from, to)| {
        let rest = path.strip_prefix(from.as_str())?;
        (rest.is_empty() || rest.starts_with('/') || rest.starts_with('\n'))
            .then(|| format!("{word}{to}{rest}"))
    });
    moved.unwrap_or_else(|| text.to_owned())
}

impl Built {
    /// How many test binaries there are.
    pub fn test_count(&self) -> usize {
        self.tests.len()
    }

    /// The files that tests need, and the directories with all that is in them.
    pub fn needed(&self) -> impl Iterator<Item = &Utf8Path> {
        let tests = self.tests.iter().map(|test| &test.executable);
        let bins = self.bins.iter().map(|bin| &bin.executable);
        let libraries = self.libraries.iter().map(|library| &library.file);
        let out_dirs = self.scripts.iter().map(|script| &script.out_dir);
        let out_dirs = out_dirs.filter(|dir| !dir.as_str().is_empty());
        let all = tests.chain(bins).chain(libraries).chain(out_dirs);
        all.map(Utf8PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        Answers {
            format: ARCHIVE_FORMAT,
            root: "/w".into(),
            target_dir: "/w/target".into(),
            build_dir: "/w/target".into(),
            libdir: "/s/lib/rustlib/x86_64-unknown-linux-gnu/lib".into(),
            metadata:
                r#"{"workspace_root":"/w","target_directory":"/w/target","n":[1,"/w/a","/wide"]}"#
                    .into(),
            graph: None,
            messages: vec![
                r#"{"executable":"/w/target/debug/x","id":"path+file:///w#0.1.0"}"#.into(),
                r#"{"linked_paths":["native=/w/target/lib","/usr/lib"],"env":[["A","b=/w"]]}"#
                    .into(),
                "a line of a build script".into(),
            ],
            host: "/s/lib/rustlib/x86_64-unknown-linux-gnu/lib\nunix\n".into(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn every_path_is_where_it_is_now_and_nothing_else_is_touched() {
        let moved = answers().moved(&Moved {
            root: "/v".into(),
            unpacked: "/u".into(),
        });
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(
            value(&moved.metadata),
            value(
                r#"{"workspace_root":"/v","target_directory":"/u/target","n":[1,"/v/a","/wide"]}"#
            )
        );
        assert_eq!(
            value(&moved.messages[0]),
            value(r#"{"executable":"/u/target/debug/x","id":"path+file:///w#0.1.0"}"#)
        );
        assert_eq!(
            value(&moved.messages[1]),
            value(r#"{"linked_paths":["native=/u/target/lib","/usr/lib"],"env":[["A","b=/v"]]}"#)
        );
        assert_eq!(moved.messages[2], "a line of a build script");
        assert_eq!(
            moved.host,
            "/u/sysroot/lib/rustlib/x86_64-unknown-linux-gnu/lib\nunix\n"
        );
        assert_eq!(
            (moved.root.as_str(), moved.target_dir.as_str()),
            ("/v", "/u/target")
        );
    }

    #[test]
    fn what_stays_where_it_was_is_as_it_was() {
        let same = answers().moved(&Moved {
            root: "/w".into(),
            unpacked: "/w".into(),
        });
        assert_eq!(
            (same.root, same.target_dir),
            (answers().root, answers().target_dir)
        );
    }
}
