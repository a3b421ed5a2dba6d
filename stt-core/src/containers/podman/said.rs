//! How Podman's command is asked, and what it says. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::ledger::Entry;
use crate::container::Kind;
use crate::container::Thing;
use crate::container::is_id;
use crate::containers::date;

/// How often the removal of things is asked for. By the first try Podman learns that a container was killed of which it
/// knows that it runs, and removes it with the second; what another test has removed meanwhile may fail the rest once
/// more. The last tries are for each by itself.
pub(super) const TRIES: u32 = 4;
/// So many of them are for all.
pub(super) const TOGETHER: u32 = 3;

/// The kinds in the order in which they go: each holds those after it.
pub(super) const ORDER: [Kind; 4] = [Kind::Pod, Kind::Container, Kind::Network, Kind::Volume];

/// What removes things of this kind, by their ids. The time for which a container may stop by itself is a newer option
/// than the command (Podman 4.0).
pub(super) fn removal(kind: Kind, knows_time: bool) -> Vec<&'static str> {
    let mut words = match kind {
        Kind::Pod => vec!["pod", "rm", "--force"],
        Kind::Container => vec!["container", "rm", "--force", "--volumes"],
        Kind::Network => return vec!["network", "rm"],
        Kind::Volume => return vec!["volume", "rm"],
    };
    if knows_time {
        words.extend(["--time", "0"]);
    }
    words
}

/// What became of things that were to be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Removal {
    /// What the command has removed.
    pub(super) removed: Vec<Thing>,
    /// What is still there, with what is said of it. What was gone already is in none.
    pub(super) left: Vec<(Thing, String)>,
    /// The same of what somebody uses, so that to ask again is of no use.
    pub(super) in_use: Vec<(Thing, String)>,
    /// Whether the command is too old for one of its options.
    pub(super) is_old: bool,
}

/// What the command says of the removal of these things, where it has ended well or has not.
pub(super) fn removed(things: &[Thing], stdout: &str, stderr: &str, is_good: bool) -> Removal {
    let mut removal = Removal {
        is_old: stderr.contains("unknown flag: --time"),
        ..Removal::default()
    };
    for thing in things {
        let complaint = stderr.lines().find(|line| names(line, &thing.id));
        let complaint = complaint.map(|line| line.trim_start_matches("Error: "));
        if stdout.lines().any(|line| line.trim() == thing.id) {
            removal.removed.push(thing.clone());
        } else if !complaint.map_or(is_good, is_gone) {
            // Where nothing is said of it, it may be in what is said of all.
            let last = stderr.lines().last().unwrap_or_default();
            let why = complaint.unwrap_or(last).to_owned();
            let left = if complaint.is_some_and(is_in_use) {
                &mut removal.in_use
            } else {
                &mut removal.left
            };
            left.push((thing.clone(), why));
        }
    }
    removal
}

/// Whether a complaint is about this very thing.
fn names(line: &str, id: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    line.match_indices(id).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + id.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// Whether a complaint says that there is no such thing.
fn is_gone(complaint: &str) -> bool {
    ["no such ", "not found"]
        .iter()
        .any(|words| complaint.contains(words))
}

/// Whether a complaint says that containers have the volume, or are in the network.
fn is_in_use(complaint: &str) -> bool {
    ["is being used", "has associated containers"]
        .iter()
        .any(|words| complaint.contains(words))
}

/// How things of this kind are listed that are known by a name, which may be given again.
pub(super) fn listing(kind: Kind) -> Option<[&'static str; 4]> {
    match kind {
        Kind::Pod | Kind::Container => None,
        Kind::Network => Some(["network", "ls", "--format", "json"]),
        Kind::Volume => Some(["volume", "ls", "--format", "json"]),
    }
}

#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(alias = "Name")]
    name: String,
    #[serde(alias = "CreatedAt")]
    created: String,
}

/// Those that are still what was made: a name may have been given again since.
pub(super) fn same(entries: Vec<Entry>, listed: &str) -> Vec<Thing> {
    let listed: Vec<Listed> = serde_json::from_str(listed).unwrap_or_default();
    let is_there = |entry: &Entry| {
        let found = listed.iter().find(|listed| listed.name == entry.thing.id);
        let made = found.and_then(|found| date::rfc3339(&found.created));
        made.is_some_and(|made| made <= entry.by)
    };
    let same = entries.into_iter().filter(is_there);
    same.map(|entry| entry.thing).collect()
}

/// The ids of a list (`podman ps --quiet --no-trunc`).
pub(super) fn ids(listed: &str) -> Vec<&str> {
    listed.lines().filter(|line| is_id(line)).collect()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Present {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    image: String,
    #[serde(default)]
    state: String,
    /// In seconds since 1970.
    created: u64,
    #[serde(default)]
    networks: Option<Vec<String>>,
}

/// The network that is always there.
const USUAL: &str = "podman";

/// What has come to be since then (the time since 1970) and bears no mark: containers of which there is nothing but their files, since
/// their client was killed before it has written them down, and networks, as far as nobody is in them. From lists of
/// containers (`podman ps --all --external --format json`) and of networks.
pub(super) fn unmarked(since: Duration, containers: &str, networks: &str) -> Vec<Thing> {
    let containers: Vec<Present> = serde_json::from_str(containers).unwrap_or_default();
    let networks: Vec<Listed> = serde_json::from_str(networks).unwrap_or_default();
    let in_use = |name: &String| {
        let used = containers.iter().filter_map(|one| one.networks.as_ref());
        used.flatten().any(|used| used == name)
    };
    let is_young = |created: &str| {
        let created = date::rfc3339(created);
        created.is_some_and(|created| created >= since)
    };
    let empty = networks.into_iter().filter(|network| {
        network.name != USUAL && is_young(&network.created) && !in_use(&network.name)
    });
    let empty = empty.map(|network| Thing {
        kind: Kind::Network,
        id: network.name.clone(),
        name: network.name,
        image: String::new(),
    });
    let files = containers
        .iter()
        .filter(|one| one.state == "storage" && one.created >= since.as_secs());
    let files = files.map(|one| Thing {
        kind: Kind::Container,
        id: one.id.clone(),
        name: one
            .names
            .iter()
            .flatten()
            .next()
            .cloned()
            .unwrap_or_default(),
        image: one.image.clone(),
    });
    files.chain(empty).collect()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    image_name: String,
    #[serde(default)]
    pod: String,
    #[serde(default)]
    is_infra: bool,
    config: Config,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// Those of inspected containers (`podman container inspect`) that have this annotation; of a container that holds a
/// pod together, the pod.
pub(super) fn annotated(key: &str, inspected: &str) -> Vec<Entry> {
    let inspected: Vec<Inspected> = serde_json::from_str(inspected).unwrap_or_default();
    let ours = inspected.into_iter().filter(|one| {
        let annotations = one.config.annotations.as_ref();
        annotations.is_some_and(|annotations| annotations.contains_key(key))
    });
    let entries = ours.map(|one| {
        let pod = Some(one.pod).filter(|pod| !pod.is_empty());
        let (thing, pod) = match pod {
            Some(pod) if one.is_infra => (
                Thing {
                    kind: Kind::Pod,
                    id: pod,
                    name: String::new(),
                    image: String::new(),
                },
                None,
            ),
            pod => (
                Thing {
                    kind: Kind::Container,
                    id: one.id,
                    name: one.name,
                    image: one.image_name,
                },
                pod,
            ),
        };
        // Their ids are never given again.
        let by = Duration::MAX;
        Entry { thing, by, pod }
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(kind: Kind, id: &str) -> Thing {
        Thing {
            kind,
            id: id.to_owned(),
            name: String::new(),
            image: String::new(),
        }
    }

    fn entry(id: &str, by: Duration) -> Entry {
        let thing = thing(Kind::Volume, id);
        let pod = None;
        Entry { thing, by, pod }
    }

    /// The words are Podman's (4.3.1).
    #[test]
    fn what_is_removed_what_is_gone_and_what_is_left_is_told_apart() {
        let (one, two, three) = ("1".repeat(64), "2".repeat(64), "3".repeat(64));
        let things = [&one, &two, &three].map(|id| thing(Kind::Container, id));
        let stderr = format!(
            "time=\"2026-11-29T17:29:01Z\" level=error msg=\"container not running\"\n\
             Error: no container with ID or name \"{two}\" found: no such container\n\
             Error: cannot remove container {three} as it could not be stopped: container state improper: stopped\n"
        );
        let removal = removed(&things, &format!("{one}\n"), &stderr, false);
        assert_eq!(removal.removed, [things[0].clone()]);
        let why = format!(
            "cannot remove container {three} as it could not be stopped: container state improper: stopped"
        );
        assert_eq!(removal.left, [(things[2].clone(), why)]);
        assert!(!removal.is_old);
        // What is not there is nothing to a command that is to remove it in any case.
        let nothing = Removal::default();
        assert_eq!(removed(&things, "", "", true), nothing);
        assert_eq!(removed(&things, "", "", false).left.len(), 3);
    }

    #[test]
    fn a_name_is_not_found_in_another_one() {
        let things = ["data", "a"].map(|name| thing(Kind::Volume, name));
        let stderr = "Error: no volume with name \"data-2\" found: no such volume\n\
                      Error: volume a is being used by the following container(s): 1234: volume is being used\n";
        let removal = removed(&things, "data-2\n", stderr, false);
        let ids = |left: &[(Thing, String)]| {
            let left = left.iter().map(|(thing, _)| thing.id.clone());
            left.collect::<Vec<_>>()
        };
        assert_eq!(ids(&removal.left), ["data"]);
        assert_eq!(ids(&removal.in_use), ["a"]);
    }

    #[test]
    fn an_old_command_is_known_by_what_it_does_not_know() {
        let stderr = "Error: unknown flag: --time\nSee 'podman container rm --help'\n";
        let removal = removed(
            &[thing(Kind::Container, &"1".repeat(64))],
            "",
            stderr,
            false,
        );
        assert!(removal.is_old && removal.left.len() == 1, "{removal:?}");
        assert!(removal_has_time(Kind::Pod) && removal_has_time(Kind::Container));
        assert!(!removal_has_time(Kind::Volume));
    }

    fn removal_has_time(kind: Kind) -> bool {
        let (new, old) = (removal(kind, true), removal(kind, false));
        assert!(!old.contains(&"--time"), "{old:?}");
        new.contains(&"--time")
    }

    #[test]
    fn a_name_that_was_given_again_is_somebody_elses() {
        let listed = r#"[
            {"Name": "ours", "CreatedAt": "1970-01-01T00:00:01.5Z"},
            {"Name": "theirs", "CreatedAt": "1970-01-01T01:00:03+01:00"},
            {"name": "net", "created": "1970-01-01T00:00:02Z"}]"#;
        let made =
            ["ours", "theirs", "net", "gone"].map(|name| entry(name, Duration::from_secs(2)));
        let same = same(made.to_vec(), listed);
        let names: Vec<_> = same.iter().map(|thing| thing.id.as_str()).collect();
        assert_eq!(names, ["ours", "net"]);
        assert_eq!(super::same(made.to_vec(), "no list"), []);
    }

    #[test]
    fn what_bears_no_mark_is_known_by_its_age_and_by_nobody_using_it() {
        let containers = r#"[
            {"Id": "a", "Names": ["old"], "State": "storage", "Image": "t:1", "Created": 4},
            {"Id": "b", "Names": ["new"], "State": "storage", "Image": "t:1", "Created": 5},
            {"Id": "c", "Names": ["web"], "State": "running", "Created": 6, "Networks": ["used"]},
            {"Id": "d", "Names": null, "State": "created", "Created": 6, "Networks": null}]"#;
        let networks = r#"[
            {"name": "podman", "created": "1970-01-01T00:00:09Z"},
            {"name": "old", "created": "1970-01-01T00:00:04.9Z"},
            {"name": "new", "created": "1970-01-01T00:00:05Z"},
            {"name": "used", "created": "1970-01-01T00:00:06Z"}]"#;
        let found = unmarked(Duration::from_secs(5), containers, networks);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["container b new (t:1)", "network new"]);
        assert_eq!(unmarked(Duration::ZERO, "", "{"), []);
    }

    #[test]
    fn containers_are_found_by_their_annotation() {
        let id = "1".repeat(64);
        assert_eq!(ids(&format!("{id}\n\nno id\n")), [id.as_str()]);
        let inspected = r#"[
            {"Id": "a", "Name": "web", "ImageName": "t:1", "Pod": "", "IsInfra": false,
             "Config": {"Annotations": {"key": "slot 0", "x": "y"}}},
            {"Id": "b", "Name": "infra", "ImageName": "", "Pod": "p", "IsInfra": true,
             "Config": {"Annotations": {"key": "slot 0"}}},
            {"Id": "c", "Name": "stranger", "Config": {"Annotations": {"other": "slot 0"}}},
            {"Id": "d", "Name": "bare", "Config": {"Annotations": null}}]"#;
        let found = annotated("key", inspected);
        let found: Vec<_> = found.iter().map(|entry| entry.thing.to_string()).collect();
        assert_eq!(found, ["container a web (t:1)", "pod p"]);
    }
}
