//! What Podman has written down of what it has made and removed (`podman-events(1)`). Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::container::Kind;
use crate::container::Thing;
use crate::container::is_id;
use crate::containers::date;

/// Something that was made, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub(super) thing: Thing,
    /// When it was written down, as the time since 1970: it was there by then.
    pub(super) by: Duration,
    /// The pod of a container that is in one: it goes with that.
    pub(super) pod: Option<String>,
}

impl Entry {
    /// Whether it has gone with one of these, which is its pod.
    pub(super) fn went_with(&self, removed: &[Thing]) -> bool {
        let pod = self.pod.as_deref();
        pod.is_some_and(|pod| removed.iter().any(|thing| thing.id == pod))
    }

    /// Whether it is the container that holds its pod together, and nobody has asked for.
    pub(super) fn is_infra(&self) -> bool {
        self.pod.is_some() && self.thing.name.ends_with("-infra")
    }
}

/// A line of the file.
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Status")]
    status: String,
    #[serde(rename = "Time")]
    time: String,
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Image", default)]
    image: String,
    #[serde(rename = "Network", default)]
    network: String,
    #[serde(rename = "PodID", default)]
    pod: String,
}

/// What there is, as far as it was written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    there: BTreeMap<(Kind, String), Entry>,
}

impl Ledger {
    /// Takes the next lines of the file. One that says something else is passed over.
    pub fn read(&mut self, lines: &str) {
        for line in lines.lines() {
            if let Ok(event) = serde_json::from_str::<Event>(line) {
                self.note(event);
            }
        }
    }

    fn note(&mut self, event: Event) {
        let Some((kind, id)) = subject(&event).map(|(kind, id)| (kind, id.to_owned())) else {
            return;
        };
        match event.status.as_str() {
            "create" => {
                let Some(by) = date::rfc3339(&event.time) else {
                    return;
                };
                let thing = Thing {
                    kind,
                    id: id.clone(),
                    // The others are called by their names.
                    name: if is_id(&id) { event.name } else { id.clone() },
                    image: event.image,
                };
                let pod = Some(event.pod).filter(|pod| !pod.is_empty());
                self.there.insert((kind, id), Entry { thing, by, pod });
            }
            "remove" => {
                self.there.remove(&(kind, id));
            }
            _ => {}
        }
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.there.is_empty()
    }

    /// Whether this container is there.
    pub fn has_container(&self, id: &str) -> bool {
        self.there.contains_key(&(Kind::Container, id.to_owned()))
    }

    /// What is there, by kinds in the order in which they go.
    pub fn into_entries(self) -> Vec<Entry> {
        self.there.into_values().collect()
    }

    /// The same, for people.
    pub fn into_things(self) -> Vec<Thing> {
        let entries = self.there.into_values().filter(|entry| !entry.is_infra());
        entries.map(|entry| entry.thing).collect()
    }
}

/// What a line is about, by that which names it: for containers and pods an id, which is never given again.
fn subject(event: &Event) -> Option<(Kind, &str)> {
    let subject = match event.kind.as_str() {
        "container" => (Kind::Container, &event.id),
        "pod" => (Kind::Pod, &event.id),
        "volume" => (Kind::Volume, &event.name),
        "network" if event.network.is_empty() => (Kind::Network, &event.name),
        "network" => (Kind::Network, &event.network),
        _ => return None,
    };
    let (kind, name) = subject;
    let is_named = match kind {
        Kind::Container | Kind::Pod => is_id(name),
        Kind::Network | Kind::Volume => !name.is_empty(),
    };
    is_named.then_some((kind, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "fd443de479e88862b876ff86c399d8881d46eb94ed1afe11fe848b2b1881d20b";

    fn line(kind: &str, status: &str, id: &str, name: &str) -> String {
        let time = "1970-01-01T00:00:01Z";
        format!(
            r#"{{"ID":"{id}","Image":"t:1","Name":"{name}","Status":"{status}","Time":"{time}","Type":"{kind}","Attributes":null}}"#
        )
    }

    fn there(lines: &[String]) -> Vec<String> {
        let mut ledger = Ledger::default();
        for line in lines {
            ledger.read(line);
        }
        let things = ledger.into_things().into_iter();
        things.map(|thing| thing.to_string()).collect()
    }

    #[test]
    fn what_was_made_is_there_until_it_was_removed() {
        let all = [
            line("volume", "create", "", "data"),
            line("container", "create", ID, "web"),
            line("image", "pull", "", "t:1"),
            line("container", "start", ID, "web"),
            line("pod", "create", &"a".repeat(64), "p"),
        ];
        assert_eq!(
            there(&all),
            [
                "pod aaaaaaaaaaaa p (t:1)",
                "container fd443de479e8 web (t:1)",
                "volume data (t:1)"
            ]
        );
        let gone = [
            line("container", "remove", ID, "web"),
            line("volume", "remove", "", "data"),
        ];
        assert_eq!(
            there(&[&all[..], &gone].concat()),
            ["pod aaaaaaaaaaaa p (t:1)"]
        );
        assert!(there(&gone).is_empty());
    }

    #[test]
    fn what_holds_a_pod_together_is_nothing_that_a_test_has_made() {
        let pod = "a".repeat(64);
        let of_pod = |name: &str| {
            let line = line("container", "create", ID, name);
            line.replace(
                "\"Attributes\"",
                &format!("\"PodID\":\"{pod}\",\"Attributes\""),
            )
        };
        let lines = [of_pod("aaaaaaaaaaaa-infra"), of_pod("web")];
        let named = line("container", "create", ID, "x-infra");
        assert_eq!(there(&lines[..1]), [""; 0]);
        assert_eq!(there(&lines[1..2]).len(), 1);
        assert_eq!(there(&[named]).len(), 1);
    }

    #[test]
    fn a_network_is_one_that_was_made_and_not_one_that_was_joined() {
        let joined = r#"{"ID":"x","Name":"web","Network":"n","Status":"connect","Time":"1970-01-01T00:00:01Z","Type":"network"}"#;
        assert!(there(&[joined.to_owned()]).is_empty());
        assert_eq!(there(&[joined.replace("connect", "create")]), ["network n"]);
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        for line in [
            String::new(),
            "{".to_owned(),
            "[]".to_owned(),
            line("container", "create", "fd44", "web"),
            line("volume", "create", "", ""),
            line("system", "create", ID, "x"),
            line("container", "create", ID, "web").replace("1970-01-01", "yesterday"),
        ] {
            assert!(there(std::slice::from_ref(&line)).is_empty(), "{line}");
        }
    }
}
