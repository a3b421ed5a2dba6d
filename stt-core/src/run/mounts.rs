//! What tests in containers see of this machine: their workspace, what was built, and where they may write.

use std::collections::BTreeSet;

use camino::Utf8Path;
use camino::Utf8PathBuf;

use crate::command::Environment;
use crate::containers::Mount;
use crate::discovery::TestBinary;
use crate::discovery::variables;

/// The variable that names the directory for temporary files.
const TMPDIR: &str = "TMPDIR";

/// What marks a directory into which cargo builds.
const TAG: &str = "CACHEDIR.TAG";

/// What is mounted, each at its own path: the workspace, packages and libraries outside of it, and what was built, to be
/// read; the directories for temporary files, also to be written.
pub(super) fn mounts(
    root: &Utf8Path,
    target: &Utf8Path,
    binaries: &[TestBinary],
    env: &Environment,
) -> Vec<Mount> {
    let mut read = BTreeSet::from([root.to_owned(), target.to_owned()]);
    let mut write = BTreeSet::from([target.join("tmp")]);
    for binary in binaries {
        read.insert(binary.cwd.clone());
        read.insert(binary.platform.libdir.clone());
        read.extend(binary.path.parent().map(Utf8Path::to_owned));
        read.extend(value(&binary.env, variables::OUT_DIR));
        write.extend(places_for_files(&binary.path, target));
    }
    write.extend(value(env, TMPDIR));
    // What cargo says tests may write to is made by it only where there are integration tests.
    drop(fs_err::create_dir_all(target.join("tmp")));
    let is_there = |dir: &Utf8PathBuf| dir.is_absolute() && dir.parent().is_some() && dir.is_dir();
    let read: Vec<_> = read.into_iter().filter(is_there).collect();
    let is_inside = |dir: &Utf8Path| {
        read.iter()
            .any(|other| dir != other && dir.starts_with(other))
    };
    let outer = read
        .iter()
        .filter(|dir| !is_inside(dir) && !write.contains(*dir));
    let outer = outer.map(|path| Mount {
        path: path.clone(),
        writable: false,
    });
    let inner = write.iter().filter(|dir| is_there(dir));
    let inner = inner.map(|path| Mount {
        path: path.clone(),
        writable: true,
    });
    outer.chain(inner).collect()
}

/// Where `CARGO_TARGET_TMPDIR` may be, which a test was compiled with: `tmp` in the directory of the build, or in that of
/// its target.
fn places_for_files(binary: &Utf8Path, target: &Utf8Path) -> Vec<Utf8PathBuf> {
    let above: Vec<_> = binary.ancestors().skip(1).collect();
    let is_top = |dir: &&Utf8Path| **dir == *target || dir.join(TAG).is_file();
    let top = above.iter().position(is_top);
    let inside = top.map_or(&[][..], |top| &above[..=top]);
    inside.iter().map(|dir| dir.join("tmp")).collect()
}

fn value(env: &Environment, name: &str) -> Option<Utf8PathBuf> {
    let (_, value) = env.iter().find(|(known, _)| known == name)?;
    Some(value.to_str()?.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_workspace_is_read_and_the_places_for_files_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let [root, target, tmp] = ["w", "w/target", "tmp"].map(|name| dir.join(name));
        for dir in [&root, &target, &tmp] {
            fs_err::create_dir_all(dir).unwrap();
        }
        let env = Arc::from([(TMPDIR.into(), tmp.clone().into_string().into())]);
        let found = mounts(&root, &target, &[], &env);
        let mount = |path: &Utf8Path, writable| Mount {
            path: path.to_owned(),
            writable,
        };
        let inner = target.join("tmp");
        assert_eq!(
            found,
            [mount(&root, false), mount(&tmp, true), mount(&inner, true)]
        );
        // What is not there is not mounted, and neither is everything.
        let env = Arc::from([(TMPDIR.into(), "/".into())]);
        let elsewhere = dir.join("elsewhere");
        assert_eq!(
            mounts(&root, &elsewhere, &[], &env),
            [
                mount(&elsewhere, false),
                mount(&root, false),
                mount(&elsewhere.join("tmp"), true)
            ]
        );
    }

    #[test]
    fn files_of_a_test_lie_beside_what_was_built() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let places = |binary: &str, target: &str| -> Vec<String> {
            let places = places_for_files(&dir.join(binary), &dir.join(target)).into_iter();
            let inside = places.map(|place| place.strip_prefix(dir).unwrap().to_string());
            inside.collect()
        };
        assert_eq!(
            places("t/x86/debug/deps/a", "t"),
            [
                "t/x86/debug/deps/tmp",
                "t/x86/debug/tmp",
                "t/x86/tmp",
                "t/tmp"
            ]
        );
        // Without a mark nobody knows where the build's directory begins.
        assert_eq!(places("b/debug/deps/a", "t"), [""; 0]);
        fs_err::create_dir_all(dir.join("b")).unwrap();
        fs_err::write(dir.join("b").join(TAG), "").unwrap();
        assert_eq!(places("b/debug/deps/a", "t").last().unwrap(), "b/tmp");
    }
}
