//! An engine that no proxy can stand before, because it is spoken to through SSH or TLS: how it is known whether tests have
//! used it, what it is asked for then, and what of its answer is new. Pure.

mod reply;

use std::ffi::OsStr;
use std::fmt;
use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;

use super::date;
use super::label;
use crate::command::quoted;
use crate::container::Kind;
use crate::container::Thing;
use crate::container::is_id;
use reply::Reply;

/// What the engine is asked on one connection, which it closes behind the last answer.
pub const REQUESTS: &str = "GET /containers/json?all=1 HTTP/1.1\r\nHost: cargo-stt\r\n\r\n\
     GET /networks HTTP/1.1\r\nHost: cargo-stt\r\n\r\n\
     GET /volumes HTTP/1.1\r\nHost: cargo-stt\r\nConnection: close\r\n\r\n";

/// The arguments by which Docker's command connects its streams with the engine, whatever is in between.
pub const DIAL: [&str; 2] = ["system", "dial-stdio"];

/// An engine as Docker's command gets there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// What a person types for it.
    pub way: Way,
    /// What is opened by whoever uses it.
    pub signs: Signs,
}

/// How a person calls Docker's command for an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// With these variables.
    Variables(Vec<(String, String)>),
    /// With the context of this name.
    Context(String),
}

impl Way {
    /// A command for this engine, as it can be pasted into a shell.
    pub fn command(&self, args: &str) -> String {
        match self {
            Self::Variables(pairs) => {
                let pairs = pairs
                    .iter()
                    .map(|(name, value)| format!("{name}={}", quoted(OsStr::new(value))));
                format!("{} docker {args}", pairs.collect::<Vec<_>>().join(" "))
            }
            Self::Context(name) => {
                format!("docker --context {} {args}", quoted(OsStr::new(name)))
            }
        }
    }
}

/// What is opened by whoever uses an engine. Not all of it need be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Files; a link counts as what it leads to. A program that is executed is opened.
    pub files: Vec<Utf8PathBuf>,
    /// Directories any of whose files tells it, those included that come to be later.
    pub directories: Vec<Utf8PathBuf>,
}

/// An engine behind TLS, whose certificates are in this directory. Every client has to read them. Where it does without,
/// there is still the file of the context, if there is a context.
pub(super) fn reach_by_tls(way: Way, certificates: &Utf8Path, meta: Option<&Utf8Path>) -> Reach {
    let names = ["ca.pem", "cert.pem", "key.pem"];
    let files = names.iter().map(|name| certificates.join(name));
    let signs = Signs {
        files: files.chain(meta.map(Utf8Path::to_owned)).collect(),
        directories: vec![certificates.to_owned()],
    };
    Reach { way, signs }
}

/// An engine behind SSH. Docker's command, and nearly every other client, calls `ssh`, wherever in `PATH` that is; those
/// that speak SSH themselves read what it would read.
pub(super) fn reach_by_ssh(way: Way, path: &str, home: Option<&Utf8Path>) -> Reach {
    let places = path.split(':').map(Utf8Path::new);
    let programs = places
        .filter(|place| place.is_absolute())
        .map(|place| place.join("ssh"));
    let own = home.map(|home| home.join(".ssh"));
    let read = own.iter().flat_map(|own| {
        let names = ["config", "known_hosts"];
        names.map(|name| own.join(name))
    });
    let signs = Signs {
        files: programs.chain(read).collect(),
        directories: own.iter().cloned().collect(),
    };
    Reach { way, signs }
}

/// Something that has come to be while tests ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    /// What it is.
    pub thing: Thing,
    /// Whether it may have been there before: the engine's date of it moves when it is used.
    pub may_be_old: bool,
}

impl fmt::Display for New {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.thing.fmt(f)?;
        if self.may_be_old {
            f.write_str(" (or it is older, and was written to)")?;
        }
        Ok(())
    }
}

/// The commands that remove these things, but for those that may be older.
pub fn removal(way: &Way, things: &[New]) -> Vec<String> {
    let verbs = [
        (Kind::Container, "rm -f -v"),
        (Kind::Network, "network rm"),
        (Kind::Volume, "volume rm"),
    ];
    let command = |(kind, verb): (Kind, &str)| {
        let own = things
            .iter()
            .filter(|new| new.thing.kind == kind && !new.may_be_old);
        let ids: Vec<_> = own
            .map(|new| quoted(OsStr::new(new.thing.short_id())))
            .collect();
        (!ids.is_empty()).then(|| way.command(&format!("{verb} {}", ids.join(" "))))
    };
    verbs.into_iter().filter_map(command).collect()
}

/// What has come to be within the last `span`, as the engine answers [`REQUESTS`]; `None` where that is no such answer.
///
/// The engine's own clock counts, by the date of its answers: ours may show another time. Dates are whole seconds, so what
/// was made up to two seconds before may be among it. What another run has made is not: it bears that run's label.
pub fn made_within(span: Duration, answer: &[u8]) -> Option<Vec<New>> {
    let (containers, rest) = reply::read(answer)?;
    let (networks, rest) = reply::read(rest)?;
    let (volumes, _) = reply::read(rest)?;
    let since = date::http(volumes.header("date")?)?.saturating_sub(span);
    let is_new = |made: Option<Date>| made.is_some_and(|made| made.latest() > since);

    let containers = listed::<Container>(&containers)?;
    let containers = containers
        .into_iter()
        .filter(|one| is_new(Some(Date::second(one.created))) && !is_labelled(&one.labels));
    let (mut new, mut attached) = (Vec::new(), Vec::new());
    for container in containers {
        let mounts = container.mounts.unwrap_or_default().into_iter();
        attached.extend(mounts.filter_map(|mount| mount.name));
        new.push(container_of(
            container.id,
            container.names.unwrap_or_default().first(),
            container.image,
        ));
    }
    let networks = listed::<Network>(&networks)?.into_iter().filter(|one| {
        !BUILT_IN.contains(&&*one.name)
            && is_new(Date::text(one.created.as_deref()))
            && !is_labelled(&one.labels)
    });
    new.extend(networks.map(|one| found(Kind::Network, one.id, one.name, String::new())));
    let dates_move = dates_of_volumes_move(volumes.header("api-version"));
    let volumes: Volumes = serde_json::from_slice(&volumes.body).ok()?;
    let volumes = volumes
        .volumes
        .unwrap_or_default()
        .into_iter()
        .filter(|one| {
            // What has no name of its own goes with its container.
            !(is_id(&one.name) && attached.contains(&one.name))
                && is_new(Date::text(one.created_at.as_deref()))
                && !is_labelled(&one.labels)
        });
    new.extend(volumes.map(|one| New {
        may_be_old: dates_move,
        ..found(Kind::Volume, one.name.clone(), one.name, String::new())
    }));
    Some(new)
}

/// The networks that every engine of Docker's has.
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

/// When something was made.
#[derive(Clone, Copy)]
struct Date {
    since_1970: Duration,
    /// Whether it is known to the second only.
    is_rough: bool,
}

impl Date {
    fn second(seconds: i64) -> Self {
        Self {
            since_1970: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
            is_rough: true,
        }
    }

    fn text(text: Option<&str>) -> Option<Self> {
        let since_1970 = date::rfc3339(text?)?;
        let is_rough = since_1970.subsec_nanos() == 0;
        Some(Self {
            since_1970,
            is_rough,
        })
    }

    /// The latest moment that this may be.
    fn latest(self) -> Duration {
        let more = Duration::from_secs(u64::from(self.is_rough));
        self.since_1970.saturating_add(more)
    }
}

/// Whether an engine dates a volume by what was last made or removed in it, as Docker did before its version 23 (API
/// 1.42; moby#38274). Podman says that it is older than that, whatever it does.
fn dates_of_volumes_move(version: Option<&str>) -> bool {
    let version = version.and_then(|version| {
        let (major, minor) = version.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    version.is_none_or(|version| version < (1, 42))
}

type Labels = Option<Map<String, Value>>;

/// Whether something has the label of a run: then it is known whose it is.
fn is_labelled(labels: &Labels) -> bool {
    let keys = labels.iter().flat_map(Map::keys);
    keys.into_iter().any(|key| label::is_key(key))
}

/// A container, as an engine lists it (`ContainerList`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: String,
    names: Option<Vec<String>>,
    image: Option<String>,
    labels: Labels,
    /// Seconds since 1970.
    created: i64,
    mounts: Option<Vec<Mount>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mount {
    /// The volume.
    name: Option<String>,
}

/// A network, as an engine lists it (`NetworkList`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Network {
    id: String,
    name: String,
    created: Option<String>,
    labels: Labels,
}

/// Volumes, as an engine lists them (`VolumeList`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volumes {
    volumes: Option<Vec<Volume>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    created_at: Option<String>,
    labels: Labels,
}

fn listed<'a, T: Deserialize<'a>>(reply: &'a Reply<'_>) -> Option<Vec<T>> {
    let all: Option<Vec<T>> = serde_json::from_slice(&reply.body).ok()?;
    Some(all.unwrap_or_default())
}

fn container_of(id: String, name: Option<&String>, image: Option<String>) -> New {
    let name = name.map_or("", |name| name.trim_start_matches('/'));
    found(
        Kind::Container,
        id,
        name.to_owned(),
        image.unwrap_or_default(),
    )
}

fn found(kind: Kind, id: String, name: String, image: String) -> New {
    New {
        thing: Thing {
            kind,
            id,
            name,
            image,
        },
        may_be_old: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// An answer at 10:00:00 on the first day of 2026.
    fn answer(version: &str, [containers, networks, volumes]: [&str; 3]) -> Vec<u8> {
        let head = format!(
            "HTTP/1.1 200 OK\r\nApi-Version: {version}\r\nDate: Thu, 01 Jan 2026 10:00:00 GMT\r\n"
        );
        let length = containers.len();
        let chunk = networks.len();
        let last = volumes.len();
        format!(
            "{head}Content-Length: {length}\r\n\r\n{containers}\
             {head}Transfer-Encoding: chunked\r\n\r\n{chunk:x}\r\n{networks}\r\n0\r\n\r\n\
             {head}Content-Length: {last}\r\nConnection: close\r\n\r\n{volumes}"
        )
        .into_bytes()
    }

    fn names(span: u64, answer: &[u8]) -> Option<Vec<String>> {
        let new = made_within(Duration::from_secs(span), answer)?;
        Some(new.iter().map(ToString::to_string).collect())
    }

    const NOW: i64 = 1_767_261_600;

    #[test]
    fn what_is_younger_than_the_run_is_new_by_the_clock_of_the_engine() {
        let container = |age: i64| {
            let created = NOW - age;
            format!(
                r#"[{{"Id":"{ID}","Names":["/pg"],"Image":"postgres:16","Created":{created},"Labels":null,"Mounts":[]}}]"#
            )
        };
        let of_age = |age| {
            names(
                60,
                &answer("1.45", [&container(age), "[]", r#"{"Volumes":null}"#]),
            )
        };
        let named = Some(vec!["container 0123456789ab pg (postgres:16)".to_owned()]);
        for age in [-1, 0, 59, 60] {
            assert_eq!(of_age(age), named, "{age}");
        }
        for age in [61, 62, 100_000] {
            assert_eq!(of_age(age), Some(Vec::new()), "{age}");
        }
        let networks = format!(
            r#"[{{"Name":"new","Id":"{ID}","Created":"2026-01-01T09:59:00.000000001Z"}},
                {{"Name":"old","Id":"b","Created":"2026-01-01T09:58:59.999999999Z"}},
                {{"Name":"undated","Id":"b"}},
                {{"Name":"bridge","Id":"c","Created":"2026-01-01T10:00:00Z"}}]"#
        );
        let volumes = r#"{"Volumes":[
            {"Name":"new","CreatedAt":"2026-01-01T11:59:00+02:00"},
            {"Name":"old","CreatedAt":"2026-01-01T09:58:59Z"}]}"#;
        let answer = |version| names(60, &answer(version, ["null", &networks, volumes]));
        assert_eq!(
            answer("1.42").unwrap(),
            ["network 0123456789ab new", "volume new"]
        );
        assert_eq!(
            answer("1.41").unwrap()[1],
            "volume new (or it is older, and was written to)"
        );
    }

    #[test]
    fn what_is_known_to_be_somebody_elses_or_goes_with_another_thing_is_not_named() {
        let other = "dev.cargo-stt.run.07070707-0707-4707-8707-070707070707";
        let containers = format!(
            r#"[{{"Id":"a","Created":{NOW},"Mounts":[{{"Type":"volume","Name":"{ID}"}},{{"Type":"volume","Name":"named"}},{{"Type":"bind"}}]}},
                {{"Id":"b","Created":{NOW},"Labels":{{"{other}":"t"}}}}]"#
        );
        let networks = format!(
            r#"[{{"Name":"n","Id":"n","Created":"2026-01-01T10:00:00Z","Labels":{{"{other}":"t"}}}}]"#
        );
        let volumes = format!(
            r#"{{"Volumes":[
            {{"Name":"{ID}","CreatedAt":"2026-01-01T10:00:00Z"}},
            {{"Name":"named","CreatedAt":"2026-01-01T10:00:00Z","Labels":{{"x":"y"}}}},
            {{"Name":"labelled","CreatedAt":"2026-01-01T10:00:00Z","Labels":{{"{other}":"t"}}}}]}}"#
        );
        assert_eq!(
            names(1, &answer("1.45", [&containers, &networks, &volumes])).unwrap(),
            ["container a", "volume named"]
        );
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let whole = answer("1.45", ["[]", "[]", r#"{"Volumes":[]}"#]);
        assert_eq!(names(1, &whole), Some(Vec::new()));
        for length in 0..whole.len() {
            assert_eq!(names(1, &whole[..length]), None, "{length}");
        }
        for bodies in [["{}", "[]", "{}"], ["[]", "[7]", "{}"], ["[]", "[]", "[]"]] {
            assert_eq!(names(1, &answer("1.45", bodies)), None, "{bodies:?}");
        }
    }

    #[test]
    fn each_kind_is_removed_by_a_command_of_its_own() {
        let of = |kind, id: &str| found(kind, id.to_owned(), String::new(), String::new());
        let doubtful = New {
            may_be_old: true,
            ..of(Kind::Volume, "old")
        };
        let things = [
            of(Kind::Container, ID),
            of(Kind::Container, "b"),
            of(Kind::Volume, "v w"),
            doubtful.clone(),
        ];
        let way = Way::Context("lab 1".to_owned());
        assert_eq!(
            removal(&way, &things),
            [
                "docker --context 'lab 1' rm -f -v 0123456789ab b",
                "docker --context 'lab 1' volume rm 'v w'"
            ]
        );
        assert_eq!(removal(&way, &[doubtful]), [""; 0]);
    }
}
