//! Finds the control groups around this process.

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;

use crate::cgroup;
use crate::cgroup::Membership;
use crate::cgroup::Mount;

/// The hierarchies of control groups, and our place in them.
#[derive(Debug, Default)]
pub(super) struct Groups {
    root: Utf8PathBuf,
    memberships: Vec<Membership>,
    mounts: Vec<Mount>,
}

/// The directory of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Where it is.
    pub(super) dir: Utf8PathBuf,
    /// Its path in the mount, by which it is found in another hierarchy; the root's is empty.
    pub(super) name: String,
}

impl Groups {
    /// Looks below `root`. Where there are no control groups, there is nothing to find.
    pub(super) fn find(root: &Utf8Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        Self {
            root: root.to_owned(),
            memberships: cgroup::memberships(&read("proc/self/cgroup")),
            mounts: cgroup::mounts(&read("proc/self/mountinfo")),
        }
    }

    /// The groups of a version 1 controller, from our own up to the highest that can be seen.
    pub(super) fn of_controller(&self, controller: &str) -> Vec<Group> {
        let named = |names: &[String]| names.iter().any(|name| name == controller);
        self.visible(
            |membership| named(&membership.controllers),
            |mount| !mount.unified && named(&mount.options),
        )
    }

    /// The groups of version 2, in the same order.
    pub(super) fn unified(&self) -> Vec<Group> {
        self.visible(
            |membership| membership.controllers.is_empty(),
            |mount| mount.unified,
        )
    }

    /// A hierarchy may be mounted several times; the mount that shows most of our groups is the one.
    fn visible(
        &self,
        ours: impl Fn(&Membership) -> bool,
        fits: impl Fn(&Mount) -> bool,
    ) -> Vec<Group> {
        let Some(membership) = self.memberships.iter().find(|line| ours(line)) else {
            return Vec::new();
        };
        let groups_of = |mount: &Mount| -> Vec<Group> {
            let point = self.root.join(mount.point.trim_start_matches('/'));
            cgroup::ancestry(&mount.root, &membership.path)
                .into_iter()
                .map(|name| Group {
                    dir: point.join(name),
                    name: name.to_owned(),
                })
                .filter(|group| group.dir.is_dir())
                .collect()
        };
        self.mounts
            .iter()
            .filter(|mount| fits(mount))
            .map(groups_of)
            .max_by_key(Vec::len)
            .unwrap_or_default()
    }
}
