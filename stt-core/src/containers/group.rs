//! The control groups of containers: what they are called, and what their files say. Pure.

use std::time::Duration;

use crate::cgroup::Mount;
use crate::container::is_id;
use crate::units::Bytes;

/// Where engines put the group of a container, below the root of a hierarchy: Docker and Podman, by themselves
/// (`cgroupfs`) and through systemd, for the machine and for a user (`dockerd(8)`, "exec-opts"; `podman(1)`,
/// `--cgroup-manager`). `None` where the id is none of an engine's.
pub(super) fn usual(id: &str, user: u32) -> Option<[String; 7]> {
    let own = format!("user.slice/user-{user}.slice/user@{user}.service");
    is_id(id).then(|| {
        [
            format!("docker/{id}"),
            format!("system.slice/docker-{id}.scope"),
            format!("machine.slice/libpod-{id}.scope"),
            format!("libpod_parent/libpod-{id}"),
            format!("{own}/user.slice/libpod-{id}.scope"),
            format!("{own}/user.slice/docker-{id}.scope"),
            format!("{own}/app.slice/docker-{id}.scope"),
        ]
    })
}

/// The id of the container whose group has this name. What watches over a container has a group as well
/// (`libpod-conmon-<id>.scope`), and is none.
pub(super) fn id_of(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let id = name.get(name.len().checked_sub(64)?..)?;
    let before = &name[..name.len() - 64];
    let word = before.is_empty() || before.find('-') == Some(before.len() - 1);
    (word && is_id(id)).then_some(id)
}

/// What a group has that the kernel can't take back at once, by its `memory.stat`: pages that are in no file, and
/// files in memory (`cgroup-v2.rst`; version 1's counts for a group by itself and, as `total_`, with those below it).
pub(super) fn memory(stat: &str) -> Option<Bytes> {
    let value = |name: &str| value(stat, name);
    let anonymous = value("total_rss").or_else(|| value("anon"))?;
    let shared = value("total_shmem").or_else(|| value("shmem"));
    Some(Bytes(anonymous.saturating_add(shared.unwrap_or_default())))
}

/// The number behind a name, in a text with one of each on a line.
pub(super) fn value(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, value) = lines.find(|(known, _)| *known == name)?;
    value.trim().parse().ok()
}

/// The file of a group of this hierarchy that has its CPU time.
pub(super) fn cpu_file(hierarchy: &Mount) -> &'static str {
    if hierarchy.unified {
        "cpu.stat"
    } else {
        "cpuacct.usage"
    }
}

/// CPU time so far: `cpuacct.usage` has nanoseconds, `cpu.stat` a line with microseconds.
pub(super) fn cpu(text: &str) -> Option<Duration> {
    if let Ok(nanos) = text.trim().parse() {
        return Some(Duration::from_nanos(nanos));
    }
    Some(Duration::from_micros(value(text, "usage_usec")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_tells_whose_it_is() {
        let id = "0123456789abcdef".repeat(4);
        for path in usual(&id, 1000).unwrap() {
            let name = path.rsplit('/').next().unwrap();
            assert_eq!(id_of(name), Some(id.as_str()), "{path}");
        }
        for name in [
            format!("libpod-conmon-{id}.scope"),
            format!("{id}x"),
            format!("docker{id}"),
            id[1..].to_owned(),
            format!("docker-g{}.scope", &id[1..]),
            "é".repeat(40),
            "docker".to_owned(),
        ] {
            assert_eq!(id_of(&name), None, "{name}");
        }
        for bad in ["", "../x", "0123456789ab", &"/".repeat(64)] {
            assert_eq!(usual(bad, 0), None, "{bad}");
        }
    }

    #[test]
    fn memory_and_cpu_are_read_of_both_versions() {
        let v1 = "cache 9\nrss 1\nshmem 2\ntotal_cache 900\ntotal_rss 70\ntotal_shmem 5\n";
        let v2 = "anon 70\nfile 900\nkernel 3\nshmem 5\n";
        assert_eq!((memory(v1), memory(v2)), (Some(Bytes(75)), Some(Bytes(75))));
        assert_eq!(memory("anon 7\n"), Some(Bytes(7)));
        for text in ["", "anon x\n", "shmem 5\n", "anon\n"] {
            assert_eq!(memory(text), None, "{text}");
        }
        let millis = Some(Duration::from_millis(1500));
        assert_eq!(cpu("1500000000\n"), millis);
        assert_eq!(cpu("usage_usec 1500000\nuser_usec 1\n"), millis);
        assert_eq!(
            (cpu(""), cpu("user_usec 1\n"), cpu("usage_usec x")),
            (None, None, None)
        );
    }
}
