//! A file tree that looks like `/proc` and `/sys` of some other machine.

use camino::Utf8Path;
use fs_err as fs;
use tempfile::TempDir;

/// The tree; it is removed with the value.
pub(super) struct Tree {
    dir: TempDir,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.dir.path()).unwrap()
    }

    /// Writes a file in place, so that whoever has it open sees the new text.
    pub(super) fn file(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }

    fn append(&self, path: &str, line: &str) {
        let before = fs::read_to_string(self.root().join(path)).unwrap_or_default();
        self.file(path, &format!("{before}{line}\n"));
    }

    /// Mounts a version 1 controller whose mount begins at `mount_root`, with us in the group `path`.
    pub(super) fn v1(&self, controller: &str, mount_root: &str, path: &str) {
        self.append("proc/self/cgroup", &format!("4:{controller}:{path}"));
        let mount = format!(
            "35 31 0:32 {mount_root} /sys/fs/cgroup/{controller} rw - cgroup cgroup rw,{controller}"
        );
        self.append("proc/self/mountinfo", &mount);
    }

    /// Mounts version 2 in its usual place.
    pub(super) fn v2(&self, mount_root: &str, path: &str) {
        self.v2_at("sys/fs/cgroup", mount_root, path);
    }

    /// Mounts version 2 somewhere.
    pub(super) fn v2_at(&self, point: &str, mount_root: &str, path: &str) {
        self.append("proc/self/cgroup", &format!("0::{path}"));
        let mount = format!("41 31 0:38 {mount_root} /{point} rw - cgroup2 cgroup2 rw");
        self.append("proc/self/mountinfo", &mount);
    }
}
