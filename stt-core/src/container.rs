//! What tests make with a container engine, and where that engine listens. Pure.

use core::net::SocketAddr;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use serde::Deserialize;
use serde::Serialize;

use crate::units::Bytes;

/// What an engine keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A pod of Podman's, with the containers in it.
    Pod,
    /// A container, running or not.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

impl Kind {
    /// The name, as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Container => "container",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

/// Something that an engine keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Thing {
    /// What it is.
    pub kind: Kind,
    /// The engine's name for it: 64 hexadecimal digits, or the name of a volume.
    pub id: String,
    /// The name that it was given; empty where it has none.
    pub name: String,
    /// The image of a container; empty for anything else.
    pub image: String,
}

/// Whether this is an id that an engine has given: 64 hexadecimal digits.
pub fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Thing {
    /// The id as engines show it.
    pub fn short_id(&self) -> &str {
        if is_id(&self.id) {
            &self.id[..12]
        } else {
            &self.id
        }
    }

    /// The command by which a person removes it from an engine.
    pub fn removal(&self, engine: &Address) -> String {
        let command = match self.kind {
            // Docker's command knows of none.
            Kind::Pod => format!("podman --url {engine}"),
            Kind::Container | Kind::Network | Kind::Volume => format!("docker -H {engine}"),
        };
        self.removal_by(&command)
    }

    /// What removes it by this command.
    pub fn removal_by(&self, command: &str) -> String {
        let verb = match self.kind {
            Kind::Pod => "pod rm -f -t 0",
            Kind::Container => "rm -f -v",
            Kind::Network => "network rm",
            Kind::Volume => "volume rm",
        };
        format!("{command} {verb} {}", self.short_id())
    }
}

impl fmt::Display for Thing {
    /// `container 0123456789ab web (postgres:16)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.short_id())?;
        if !self.name.is_empty() && self.name != self.id {
            write!(f, " {}", self.name)?;
        }
        if !self.image.is_empty() {
            write!(f, " ({})", self.image)?;
        }
        Ok(())
    }
}

/// What a container uses that a test has made. What a test makes counts as its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    /// The slot in which the test runs.
    pub slot: usize,
    /// The container.
    pub container: Arc<Thing>,
    /// Its memory, without what the kernel could take back at once; zero when it does not run.
    pub memory: Bytes,
    /// Its CPU time so far.
    pub cpu: Duration,
}

/// What the containers of a run use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Those of the tests that run, also where they have ended.
    pub containers: Vec<InUse>,
    /// The CPU time of those whose tests are over.
    pub past: Duration,
}

impl Census {
    /// The memory of all of them.
    pub fn memory(&self) -> Bytes {
        let all = self.containers.iter().map(|used| used.memory.0);
        Bytes(all.fold(0, u64::saturating_add))
    }
}

/// Something that could not be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// What it is.
    pub thing: Thing,
    /// What the engine said; empty when it said nothing in time.
    pub why: String,
    /// The command that would remove it.
    pub command: String,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be removed", self.thing)?;
        if !self.why.is_empty() {
            write!(f, ": {}", self.why)?;
        }
        write!(f, " (`{}` does it)", self.command)
    }
}

/// What was removed, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// What is gone.
    pub removed: Vec<Thing>,
    /// What is still there.
    pub stuck: Vec<Stuck>,
}

impl Cleared {
    /// Whether this is among them.
    pub fn has(&self, id: &str) -> bool {
        let stuck = self.stuck.iter().map(|stuck| &stuck.thing);
        self.removed.iter().chain(stuck).any(|thing| thing.id == id)
    }
}

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// A Unix socket, by its absolute path.
    Unix(Utf8PathBuf),
    /// A TCP port, without TLS.
    Tcp(SocketAddr),
}

impl fmt::Display for Address {
    /// As `DOCKER_HOST` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{path}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// The text is no address of an engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no address of an engine, such as unix:///run/docker.sock or tcp://127.0.0.1:2375"
)]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unix = text.strip_prefix("unix://").map(Utf8Path::new);
        let unix = unix.filter(|path| path.is_absolute());
        if let Some(path) = unix {
            return Ok(Self::Unix(path.to_owned()));
        }
        let tcp = text.strip_prefix("tcp://").and_then(|it| it.parse().ok());
        tcp.map(Self::Tcp)
            .ok_or_else(|| AddressError(text.to_owned()))
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in [
            "unix:///run/docker.sock",
            "tcp://127.0.0.1:2375",
            "tcp://[::1]:1",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "unix://x",
            "/run/docker.sock",
            "tcp://host:1",
            "ssh://a",
            "tcp://1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn things_are_named_with_the_command_that_removes_them() {
        let thing = |kind, id: &str, image: &str| Thing {
            kind,
            id: id.to_owned(),
            name: "web".to_owned(),
            image: image.to_owned(),
        };
        let engine = Address::Unix("/run/docker.sock".into());
        let id = "0123456789abcdef".repeat(4);
        let container = thing(Kind::Container, &id, "postgres:16");
        assert_eq!(
            container.to_string(),
            "container 0123456789ab web (postgres:16)"
        );
        let stuck = Stuck {
            command: container.removal(&engine),
            thing: container,
            why: "busy".to_owned(),
        };
        assert_eq!(
            stuck.to_string(),
            "container 0123456789ab web (postgres:16) could not be removed: busy \
             (`docker -H unix:///run/docker.sock rm -f -v 0123456789ab` does it)"
        );
        assert_eq!(
            thing(Kind::Pod, &id, "").removal(&engine),
            "podman --url unix:///run/docker.sock pod rm -f -t 0 0123456789ab"
        );
        let volume = thing(Kind::Volume, "web", "");
        assert_eq!(volume.to_string(), "volume web");
        assert_eq!(
            volume.removal(&engine),
            "docker -H unix:///run/docker.sock volume rm web"
        );
    }
}
