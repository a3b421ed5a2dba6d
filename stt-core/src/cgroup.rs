//! Control groups as the kernel tells of them: where they are mounted, and where we are in them
//! (`cgroups(7)`, `proc_pid_mountinfo(5)`). Pure.

/// Where the process stands in one hierarchy of control groups: a line of `/proc/self/cgroup`
/// (`cgroups(7)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The controllers; empty for version 2.
    pub(crate) controllers: Vec<String>,
    /// The path of the group.
    pub(crate) path: String,
}

/// Reads `/proc/self/cgroup`; lines that make no sense are left out.
pub(crate) fn memberships(text: &str) -> Vec<Membership> {
    let line = |line: &str| {
        let mut fields = line.splitn(3, ':');
        fields.next()?.parse::<u32>().ok()?;
        let controllers = fields.next()?;
        let path = fields.next().filter(|path| path.starts_with('/'))?;
        Some(Membership {
            controllers: controllers
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            path: path.to_owned(),
        })
    };
    text.lines().filter_map(line).collect()
}

/// A mounted hierarchy of control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Whether it is version 2.
    pub(crate) unified: bool,
    /// Which group of the hierarchy is the root of the mount.
    pub(crate) root: String,
    /// Where it is mounted.
    pub(crate) point: String,
    /// The options of the file system, among them version 1's controllers.
    pub(crate) options: Vec<String>,
}

/// Reads the mounts of control groups from `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).
pub(crate) fn mounts(text: &str) -> Vec<Mount> {
    let line = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let unified = match file_system.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        let options = file_system.nth(1)?;
        Some(Mount {
            unified,
            root: unescaped(root),
            point: unescaped(point),
            options: options.split(',').map(str::to_owned).collect(),
        })
    };
    text.lines().filter_map(line).collect()
}

/// The hierarchy that has a controller: version 1's of its own, else version 2's.
pub(crate) fn hierarchy<'a>(mounts: &'a [Mount], controller: &str) -> Option<&'a Mount> {
    let is_its_own =
        |mount: &&Mount| !mount.unified && mount.options.iter().any(|option| option == controller);
    let own = mounts.iter().find(is_its_own);
    own.or_else(|| mounts.iter().find(|mount| mount.unified))
}

/// The directories of a group and of those around it, from its own up to the root of the mount, as
/// paths below the mount point; the root is the empty path.
///
/// A container without a namespace of its own for control groups sees paths from the machine's root,
/// but a mount that begins at its own group: what the mount's root has in front is cut off. A path
/// that does not lie below the mount's root, as after `..` in a namespace, can't be seen from here:
/// the root of the mount is then the nearest group that can.
pub(crate) fn ancestry<'a>(mount_root: &str, path: &'a str) -> Vec<&'a str> {
    let below = match path.strip_prefix(mount_root.trim_end_matches('/')) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        Some(_) | None => "",
    };
    let below = below.trim_matches('/');
    if below.split('/').any(|part| part == "..") {
        return vec![""];
    }
    let mut paths = Vec::new();
    let mut current = below;
    while !current.is_empty() {
        paths.push(current);
        current = current.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    paths.push("");
    paths
}

/// Undoes the octal escapes that the kernel writes for blanks and backslashes.
fn unescaped(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match tail {
            [a, b, c, ..] if *first == b'\\' => octal([*a, *b, *c]),
            _ => None,
        };
        plain.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn octal(digits: [u8; 3]) -> Option<u8> {
    digits.into_iter().try_fold(0_u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memberships_of_both_versions_are_read() {
        let text = "4:memory:/a:b/c\n2:cpu,cpuacct:/\n9:name=systemd:/s\n0::/user.slice\n\
            garbage\n1:x\n3:y:relative\n";
        let membership = |controllers: &[&str], path: &str| Membership {
            controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
            path: path.to_owned(),
        };
        let expected = [
            membership(&["memory"], "/a:b/c"),
            membership(&["cpu", "cpuacct"], "/"),
            membership(&["name=systemd"], "/s"),
            membership(&[], "/user.slice"),
        ];
        assert_eq!(memberships(text), expected);
    }

    #[test]
    fn mounts_of_both_versions_are_read() {
        let text = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
            35 31 0:32 /docker/x /sys/fs/cgroup/me\\040mory rw shared:9 master:3 - cgroup cgroup rw,memory\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\nbroken\n";
        let [v1, v2] = mounts(text).try_into().unwrap();
        assert!(!v1.unified && v2.unified);
        assert_eq!(
            (v1.root.as_str(), v1.point.as_str()),
            ("/docker/x", "/sys/fs/cgroup/me mory")
        );
        assert_eq!(v1.options, ["rw", "memory"]);
        assert_eq!(
            (v2.root.as_str(), v2.point.as_str()),
            ("/", "/sys/fs/cgroup/unified")
        );
    }

    #[test]
    fn the_groups_around_us_are_found_whatever_the_namespace() {
        let cases: [(&str, &str, &[&str]); 8] = [
            ("/", "/", &[""]),
            ("/", "/a/b", &["a/b", "a", ""]),
            ("/docker/x", "/docker/x", &[""]),
            ("/docker/x", "/docker/x/y", &["y", ""]),
            // Not a parent, only the same beginning.
            ("/docker/x", "/docker/xyz", &[""]),
            // A namespace that was entered, or a mount from outside of it.
            ("/", "/../other", &[""]),
            ("/../..", "/", &[""]),
            ("/docker/x", "/", &[""]),
        ];
        for (root, path, expected) in cases {
            assert_eq!(ancestry(root, path), expected, "{path} below {root}");
        }
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescaped(r"/a\040b\134c\011"), "/a b\\c\t");
        assert_eq!(unescaped(r"/a\04"), r"/a\04");
        assert_eq!(unescaped(r"/a\999\777"), r"/a\999\777");
    }

    proptest! {
        #[test]
        fn garbage_is_never_taken_for_more_than_it_is(text in ".*") {
            memberships(&text);
            mounts(&text);
            unescaped(&text);
            for path in ancestry("/", &text) {
                prop_assert!(!path.split('/').any(|part| part == ".."), "{}", path);
            }
        }
    }
}
