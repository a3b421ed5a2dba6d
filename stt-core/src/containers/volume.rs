//! Volumes that come to be with a container, by being named in its request. Pure.
//!
//! Such a volume has no labels, and nobody could tell later whose it is. So it is asked for before, with the
//! label: engines give a volume that exists as it is, and label only one that is new (Docker's API, `VolumeCreate`;
//! Podman's own refuses). Whether it is new is told by the engine's answer.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::label::Label;

/// A volume that a container's request names: what is sent to the engine about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    /// Asks whether it is there.
    pub(super) look: Vec<u8>,
    /// Makes it, with the label.
    pub(super) make: Vec<u8>,
    /// Removes it, unless a container has it.
    pub(super) remove: Vec<u8>,
    /// The key of the run's label.
    key: String,
}

impl Volume {
    /// Whether the engine's answer tells of a volume of the run's. Who has made it in the meantime has given it
    /// another label, or none.
    pub(super) fn is_labelled(&self, answer: &[u8]) -> bool {
        String::from_utf8_lossy(answer).contains(&self.key)
    }
}

/// What the end of the target is that makes a container.
const CREATE: &str = "containers/create";

/// The volumes that a request to make a container names, by its target and its body.
pub(super) fn named(target: &str, body: &[u8], label: &Label) -> Vec<Volume> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let Some(root) = path.trim_end_matches('/').strip_suffix(CREATE) else {
        return Vec::new();
    };
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return Vec::new();
    };
    let podman = root.ends_with("/libpod/");
    let mut named = if podman {
        of_podman(&body)
    } else {
        of_docker(&body)
    };
    named.retain(|wish| is_name(wish.name));
    named.sort_by_key(|wish| wish.name);
    named.dedup_by_key(|wish| wish.name);
    let volumes = named.iter().map(|wish| wish.volume(root, podman, label));
    volumes.collect()
}

/// A volume, as a request names it.
struct Wish<'a> {
    name: &'a str,
    driver: Option<&'a str>,
    options: Option<&'a Value>,
    labels: Option<&'a Map<String, Value>>,
}

impl<'a> Wish<'a> {
    fn new(name: &'a str, driver: Option<&'a str>) -> Self {
        let driver = driver.filter(|driver| !driver.is_empty());
        Self {
            name,
            driver,
            options: None,
            labels: None,
        }
    }

    fn volume(&self, root: &str, podman: bool, label: &Label) -> Volume {
        let mut labels = self.labels.cloned().unwrap_or_default();
        let (key, value) = label.pair();
        labels.insert(key.clone(), value.into());
        let member = if podman { "Label" } else { "Labels" };
        let mut body = json!({ "Name": self.name, member: labels });
        if let Some(driver) = self.driver {
            body["Driver"] = driver.into();
        }
        if let Some(options) = self.options {
            body["DriverOpts"] = options.clone();
        }
        let (name, body) = (self.name, body.to_string());
        let length = body.len();
        let inspect = if podman { "/json" } else { "" };
        let head = "Host: cargo-stt\r\nConnection: close\r\n";
        Volume {
            look: format!("GET {root}volumes/{name}{inspect} HTTP/1.1\r\n{head}\r\n").into_bytes(),
            make: format!(
                "POST {root}volumes/create HTTP/1.1\r\n{head}Content-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            )
            .into_bytes(),
            remove: format!("DELETE {root}volumes/{name} HTTP/1.1\r\n{head}\r\n").into_bytes(),
            key,
        }
    }
}

/// Docker's: `HostConfig.Binds` has `name:/path:options`, `HostConfig.Mounts` has objects.
fn of_docker(body: &Value) -> Vec<Wish<'_>> {
    let Some(host) = member(body, "HostConfig") else {
        return Vec::new();
    };
    let driver = member(host, "VolumeDriver").and_then(Value::as_str);
    let binds = list(host, "Binds").iter().filter_map(Value::as_str);
    let binds = binds.filter_map(|bind| Some(bind.split_once(':')?.0));
    let mut wishes: Vec<_> = binds.map(|name| Wish::new(name, driver)).collect();
    for mount in list(host, "Mounts") {
        let text = |name| member(mount, name).and_then(Value::as_str);
        let (Some("volume"), Some(name)) = (text("Type"), text("Source")) else {
            continue;
        };
        let options = member(mount, "VolumeOptions");
        let config = options.and_then(|options| member(options, "DriverConfig"));
        let driver = config.and_then(|config| member(config, "Name")?.as_str());
        let mut wish = Wish::new(name, driver);
        let given = config.and_then(|config| member(config, "Options"));
        wish.options = given.filter(|given| given.is_object());
        wish.labels = options.and_then(|options| member(options, "Labels")?.as_object());
        wishes.push(wish);
    }
    wishes
}

/// Podman's: `volumes` has objects, and a name in each of them. Those that go with their container say so.
fn of_podman(body: &Value) -> Vec<Wish<'_>> {
    let volumes = list(body, "volumes").iter();
    let goes = |volume: &&Value| member(volume, "IsAnonymous").and_then(Value::as_bool);
    let volumes = volumes.filter(|volume| goes(volume) != Some(true));
    let names = volumes.filter_map(|volume| member(volume, "Name")?.as_str());
    names.map(|name| Wish::new(name, None)).collect()
}

/// The member of an object. Engines don't tell capital from small letters.
fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let mut members = object.as_object()?.iter();
    let found = members.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

fn list<'a>(object: &'a Value, name: &str) -> &'a [Value] {
    member(object, name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Whether engines would take it for the name of a volume, and not for a path.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::RunId;

    const KEY: &str = "dev.cargo-stt.run.07070707-0707-4707-8707-070707070707";

    fn named_in(target: &str, body: &Value) -> Vec<Volume> {
        let label = Label::new(RunId::from_random([7; 16]), "app t");
        named(target, body.to_string().as_bytes(), &label)
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    fn made(volume: &Volume) -> Value {
        let (head, body) = text(&volume.make).split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn a_volume_of_docker_is_asked_for_with_the_label() {
        let mount = json!({"Type": "volume", "Source": "two", "VolumeOptions": {
            "Labels": {"a": "b"}, "DriverConfig": {"Name": "nfs", "Options": {"c": "d"}}}});
        let body = json!({"HostConfig": {
            "Binds": ["one:/a:ro", "one:/b", "/tmp:/c", "./x:/d", "none", "~/e:/e"],
            "mounts": [mount, {"Type": "bind", "Source": "three"}, {"Type": "volume", "Target": "/x"}],
        }});
        let volumes = named_in("/v1.41/containers/create?name=x", &body);
        assert_eq!(volumes.len(), 2);
        let head = "HTTP/1.1\r\nHost: cargo-stt\r\nConnection: close\r\n\r\n";
        assert_eq!(
            text(&volumes[0].look),
            format!("GET /v1.41/volumes/one {head}")
        );
        assert_eq!(
            text(&volumes[0].remove),
            format!("DELETE /v1.41/volumes/one {head}")
        );
        assert!(text(&volumes[0].make).starts_with("POST /v1.41/volumes/create HTTP/1.1\r\n"));
        assert_eq!(
            made(&volumes[0]),
            json!({"Name": "one", "Labels": {KEY: "app t"}})
        );
        assert_eq!(
            made(&volumes[1]),
            json!({"Name": "two", "Labels": {"a": "b", KEY: "app t"}, "Driver": "nfs", "DriverOpts": {"c": "d"}})
        );
        let body = json!({"HostConfig": {"Binds": ["one:/a"], "VolumeDriver": "nfs"}});
        let volumes = named_in("/containers/create", &body);
        assert_eq!(made(&volumes[0])["Driver"], "nfs");
    }

    #[test]
    fn a_volume_of_podman_is_asked_for_as_podman_has_it() {
        let body = json!({"HostConfig": {"Binds": ["two:/b"]}, "volumes": [
            {"Name": "one", "Dest": "/a"},
            {"Name": "", "Dest": "/b"},
            {"Name": "three", "Dest": "/c", "IsAnonymous": true},
        ]});
        let volumes = named_in("/v4.3.1/libpod/containers/create", &body);
        assert_eq!(volumes.len(), 1);
        let look = text(&volumes[0].look);
        assert!(
            look.starts_with("GET /v4.3.1/libpod/volumes/one/json "),
            "{look}"
        );
        assert_eq!(
            made(&volumes[0]),
            json!({"Name": "one", "Label": {KEY: "app t"}})
        );
    }

    #[test]
    fn what_names_no_volume_costs_nothing() {
        let create = "/containers/create";
        for body in [
            json!({}),
            json!([]),
            json!({"HostConfig": null}),
            json!({"HostConfig": {"Binds": null, "Mounts": 1}}),
            json!({"HostConfig": {"Binds": ["/a:/b", ":/c", "a/b:/c", 7, "-a:/b"]}}),
        ] {
            assert_eq!(named_in(create, &body), [], "{body}");
        }
        let body = json!({"HostConfig": {"Binds": ["one:/a"]}});
        assert_eq!(named_in("/networks/create", &body), []);
    }

    proptest! {
        #[test]
        fn no_names_do_harm(names in proptest::collection::vec(".*", 0..5), source in ".*") {
            let binds: Vec<_> = names.iter().map(|name| format!("{name}:/x")).collect();
            let mount = json!({"Type": "volume", "Source": source});
            let body = json!({"HostConfig": {"Binds": binds, "Mounts": [mount]}});
            for volume in named_in("/containers/create", &body) {
                for request in [&volume.look, &volume.make, &volume.remove] {
                    let line = text(request).split("\r\n").next().unwrap();
                    prop_assert_eq!(line.split(' ').count(), 3, "{}", line);
                    prop_assert!(line.ends_with(" HTTP/1.1"), "{}", line);
                }
                made(&volume);
            }
        }

        #[test]
        fn no_bytes_do_harm(target in ".*", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let label = Label::new(RunId::from_random([7; 16]), "app t");
            drop(named(&target, &bytes, &label));
            drop(named("/containers/create", &bytes, &label));
        }
    }
}
