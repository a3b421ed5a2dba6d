//! Finds and reads the configuration files. The only file of this room that touches the disk.

use std::io;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;

use super::nextest::NEXTEST_FILE;
use super::problem::ReadError;
use super::source::ConfigFile;
use super::source::Level;

/// Where configuration files are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locations {
    /// The machine's file.
    pub system: Utf8PathBuf,
    /// The person's file; `None` where there is no home.
    pub user: Option<Utf8PathBuf>,
    /// The workspace's file.
    pub workspace: WorkspaceFile,
}

/// Which file speaks for the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkspaceFile {
    /// None.
    None,
    /// This one, if it is there.
    Usual(Utf8PathBuf),
    /// This one, which was asked for by name: it must be there.
    Named(Utf8PathBuf),
}

/// The name of the workspace's file, below the directory of the root manifest.
pub const WORKSPACE_FILE: &str = ".config/stt.toml";

/// Reads the files that exist.
///
/// # Errors
/// A file is there but unreadable, or is no text, or was named and is missing.
pub fn read_files(locations: &Locations) -> Result<Vec<ConfigFile>, ReadError> {
    let mut files = Vec::new();
    files.extend(read_one(Level::System, &locations.system)?);
    if let Some(path) = &locations.user {
        files.extend(read_one(Level::User, path)?);
    }
    match &locations.workspace {
        WorkspaceFile::None => {}
        WorkspaceFile::Usual(path) => files.extend(read_one(Level::Workspace, path)?),
        WorkspaceFile::Named(path) => {
            let file = read_one(Level::Workspace, path)?;
            files.push(file.ok_or_else(|| ReadError::Missing { path: path.clone() })?);
        }
    }
    Ok(files)
}

/// The workspace file of the nearest directory that has one, from `start` upwards.
pub fn find_workspace_file(start: &Utf8Path) -> Option<Utf8PathBuf> {
    find_upwards(start, WORKSPACE_FILE)
}

/// nextest's file of the nearest directory that has one, from `start` upwards.
pub fn find_nextest_file(start: &Utf8Path) -> Option<Utf8PathBuf> {
    find_upwards(start, NEXTEST_FILE)
}

/// Reads nextest's file at this path.
///
/// # Errors
/// It is missing or unreadable, or is no text.
pub fn read_nextest_file(path: &Utf8Path) -> Result<String, ReadError> {
    let missing = || ReadError::Missing {
        path: path.to_owned(),
    };
    let file = read_one(Level::Workspace, path)?.ok_or_else(missing)?;
    Ok(file.text)
}

fn find_upwards(start: &Utf8Path, name: &str) -> Option<Utf8PathBuf> {
    start
        .ancestors()
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

fn read_one(level: Level, path: &Utf8Path) -> Result<Option<ConfigFile>, ReadError> {
    let path = path.to_owned();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        // `.config` itself may be a file, which is as good as no file in it.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(source) => return Err(ReadError::Read { path, source }),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(ConfigFile { level, path, text })),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.split(|&byte| byte == b'\n').count();
            Err(ReadError::NotText { path, line })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locations(dir: &Utf8Path) -> Locations {
        Locations {
            system: dir.join("etc/config.toml"),
            user: Some(dir.join("home/config.toml")),
            workspace: WorkspaceFile::Usual(dir.join("ws/.config/stt.toml")),
        }
    }

    fn write(path: &Utf8Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        crate::fs::write_atomic(path, bytes).unwrap();
    }

    #[test]
    fn files_that_are_not_there_say_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        assert_eq!(read_files(&locations(dir)).unwrap(), []);
        // `.config` is a file here.
        write(&dir.join("ws/.config"), b"");
        write(&dir.join("home/config.toml"), b"[run]");
        let files = read_files(&locations(dir)).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(
            (files[0].level, files[0].text.as_str()),
            (Level::User, "[run]")
        );
    }

    #[test]
    fn a_named_file_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let mut locations = locations(dir);
        locations.workspace = WorkspaceFile::Named(dir.join("mine.toml"));
        let error = read_files(&locations).unwrap_err();
        assert!(error.to_string().contains("mine.toml"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir_all(dir.join("etc/config.toml")).unwrap();
        let error = read_files(&locations(dir)).unwrap_err();
        assert!(matches!(&error, ReadError::Read { .. }), "{error}");
        assert!(error.to_string().contains("etc/config.toml"), "{error}");

        fs::remove_dir(dir.join("etc/config.toml")).unwrap();
        write(&dir.join("etc/config.toml"), b"[run]\n\xff\xfe = 1\n");
        let error = read_files(&locations(dir)).unwrap_err();
        assert!(matches!(error, ReadError::NotText { line: 2, .. }));
    }

    #[test]
    fn the_nearest_workspace_file_upwards_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let file = dir.join("ws").join(WORKSPACE_FILE);
        write(&file, b"");
        let deep = dir.join("ws/a/b");
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(find_workspace_file(&deep), Some(file));
    }
}
