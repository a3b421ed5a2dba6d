//! Which engine tests would talk to, as the clients find it. Pure.
//!
//! Docker's own order counts (`docker context`, "Overrides"): `DOCKER_HOST`, `DOCKER_CONTEXT`, the current
//! context of the configuration, the usual socket. Nothing is contacted.

use camino::Utf8Path;
use camino::Utf8PathBuf;
use serde_json::Value;

/// Docker's clients find the engine by it.
pub const DOCKER_HOST: &str = "DOCKER_HOST";
/// Podman's clients do.
pub const CONTAINER_HOST: &str = "CONTAINER_HOST";

/// What is asked of the world.
pub trait Lookup {
    /// The value of a variable that tests have.
    fn var(&self, name: &str) -> Option<String>;
    /// The text of a file.
    fn text(&self, path: &Utf8Path) -> Option<String>;
    /// What is in a directory.
    fn entries(&self, dir: &Utf8Path) -> Vec<Utf8PathBuf>;
    /// Whether there is a socket that may be written to.
    fn is_socket(&self, path: &Utf8Path) -> bool;
    /// The number of the user.
    fn user(&self) -> u32;
}

/// An engine in front of which a proxy can stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Where it listens.
    pub host: Host,
    /// The variables by which clients are sent to the proxy.
    pub variables: &'static [&'static str],
}

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A Unix socket.
    Unix(Utf8PathBuf),
    /// Host and port.
    Tcp(String),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No engine: tests that look for one find none.
    Nothing,
    /// This one.
    Engine(Engine),
    /// One that no proxy can stand before, and why.
    OutOfReach(String),
}

/// Finds the engine.
pub fn find(world: &impl Lookup) -> Found {
    let var = |name| world.var(name).filter(|value| !value.is_empty());
    let docker = &[DOCKER_HOST][..];
    let podman = &[DOCKER_HOST, CONTAINER_HOST][..];
    if let Some(host) = var(DOCKER_HOST) {
        let both = var(CONTAINER_HOST).as_ref() == Some(&host);
        return at(
            world,
            &host,
            DOCKER_HOST,
            if both { podman } else { docker },
        );
    }
    if let Some(host) = var(CONTAINER_HOST) {
        return at(world, &host, CONTAINER_HOST, &[CONTAINER_HOST]);
    }
    let home = var("HOME").map(Utf8PathBuf::from);
    let config = var("DOCKER_CONFIG").map(Utf8PathBuf::from);
    let config = config.or_else(|| Some(home.as_ref()?.join(".docker")));
    if let Some((context, host)) = config.and_then(|config| context(world, &config)) {
        return at(
            world,
            &host,
            &format!("the Docker context `{context}`"),
            docker,
        );
    }
    let runtime = var("XDG_RUNTIME_DIR").map(Utf8PathBuf::from);
    let runtime = runtime.unwrap_or_else(|| format!("/run/user/{}", world.user()).into());
    let below = |dir: &Utf8Path, path: &str| Some(dir.join(path));
    let at_home = |path: &str| Some(home.as_ref()?.join(path));
    let usual = [
        (Some("/var/run/docker.sock".into()), docker),
        (Some("/run/docker.sock".into()), docker),
        (below(&runtime, "docker.sock"), docker),
        (at_home(".docker/run/docker.sock"), docker),
        (at_home(".colima/default/docker.sock"), docker),
        (at_home(".orbstack/run/docker.sock"), docker),
        (below(&runtime, "podman/podman.sock"), podman),
        (Some("/run/podman/podman.sock".into()), podman),
    ];
    let mut there = usual
        .into_iter()
        .filter_map(|(path, variables)| Some((path?, variables)));
    let first = there.find(|(path, _)| world.is_socket(path));
    first.map_or(Found::Nothing, |(path, variables)| {
        let host = Host::Unix(path);
        Found::Engine(Engine { host, variables })
    })
}

/// The engine that a person has named.
fn at(world: &impl Lookup, host: &str, who: &str, variables: &'static [&'static str]) -> Found {
    let (scheme, rest) = host.split_once("://").unwrap_or(("tcp", host));
    let engine = |host| Found::Engine(Engine { host, variables });
    match scheme {
        "unix" => {
            let path = Utf8PathBuf::from(rest);
            // Where nobody listens there is nothing to stand before: clients find that out by themselves.
            if path.is_absolute() && world.is_socket(&path) {
                engine(Host::Unix(path))
            } else {
                Found::Nothing
            }
        }
        "tcp" | "http" => {
            let filled = |name| world.var(name).is_some_and(|value| !value.is_empty());
            let rest = rest.trim_end_matches('/');
            if filled("DOCKER_TLS_VERIFY") || filled("DOCKER_TLS") {
                Found::OutOfReach(format!("{who} is {host}, which is spoken to through TLS"))
            } else if rest.is_empty() || rest.contains('/') {
                Found::OutOfReach(format!("{who} is {host}"))
            } else if has_port(rest) {
                engine(Host::Tcp(rest.to_owned()))
            } else {
                engine(Host::Tcp(format!("{rest}:2375")))
            }
        }
        _ => Found::OutOfReach(format!("{who} is {host}")),
    }
}

fn has_port(host: &str) -> bool {
    let port = host.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}

/// The context that is not the default, with its host.
fn context(world: &impl Lookup, config: &Utf8Path) -> Option<(String, String)> {
    let parse = |text: String| serde_json::from_str::<Value>(&text).ok();
    let chosen = world.var("DOCKER_CONTEXT").filter(|name| !name.is_empty());
    let chosen = chosen.or_else(|| {
        let config = parse(world.text(&config.join("config.json"))?)?;
        Some(config["currentContext"].as_str()?.to_owned())
    });
    let name = chosen.filter(|name| !name.is_empty() && name != "default")?;
    // The directories are named by hashes of the names, which are in the files as well.
    let dirs = world.entries(&config.join("contexts/meta"));
    let metas = dirs
        .iter()
        .filter_map(|dir| parse(world.text(&dir.join("meta.json"))?));
    let own = metas
        .into_iter()
        .find(|meta| meta["Name"] == name.as_str())?;
    let host = own["Endpoints"]["docker"]["Host"].as_str()?.to_owned();
    Some((name, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct World {
        vars: Vec<(&'static str, &'static str)>,
        files: Vec<(&'static str, &'static str)>,
        sockets: Vec<&'static str>,
    }

    impl Lookup for World {
        fn var(&self, name: &str) -> Option<String> {
            let found = self.vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }

        fn text(&self, path: &Utf8Path) -> Option<String> {
            let found = self.files.iter().find(|(known, _)| path == *known);
            found.map(|(_, text)| (*text).to_owned())
        }

        fn entries(&self, dir: &Utf8Path) -> Vec<Utf8PathBuf> {
            let files = self.files.iter().map(|(path, _)| Utf8Path::new(path));
            let parents = files.filter_map(Utf8Path::parent);
            let inside = parents.filter(|parent| parent.parent() == Some(dir));
            inside.map(Utf8PathBuf::from).collect()
        }

        fn is_socket(&self, path: &Utf8Path) -> bool {
            self.sockets.iter().any(|known| path == *known)
        }

        fn user(&self) -> u32 {
            1000
        }
    }

    fn unix(path: &str, variables: &'static [&'static str]) -> Found {
        let host = Host::Unix(path.into());
        Found::Engine(Engine { host, variables })
    }

    #[test]
    fn the_usual_sockets_are_found_in_their_order() {
        let mut world = World {
            vars: vec![("HOME", "/home/me")],
            ..World::default()
        };
        assert_eq!(find(&world), Found::Nothing);
        let both = &[DOCKER_HOST, CONTAINER_HOST][..];
        for (path, variables) in [
            ("/run/podman/podman.sock", both),
            ("/run/user/1000/podman/podman.sock", both),
            ("/home/me/.orbstack/run/docker.sock", &[DOCKER_HOST]),
            ("/home/me/.colima/default/docker.sock", &[DOCKER_HOST]),
            ("/home/me/.docker/run/docker.sock", &[DOCKER_HOST]),
            ("/run/user/1000/docker.sock", &[DOCKER_HOST]),
            ("/run/docker.sock", &[DOCKER_HOST]),
            ("/var/run/docker.sock", &[DOCKER_HOST]),
        ] {
            world.sockets.push(path);
            assert_eq!(find(&world), unix(path, variables));
        }
    }

    #[test]
    fn what_a_person_has_set_comes_first() {
        let with = |vars: &[(&'static str, &'static str)]| {
            let world = World {
                vars: vars.to_vec(),
                sockets: vec!["/var/run/docker.sock", "/x/y.sock"],
                ..World::default()
            };
            find(&world)
        };
        assert_eq!(
            with(&[(DOCKER_HOST, "unix:///x/y.sock")]),
            unix("/x/y.sock", &[DOCKER_HOST])
        );
        assert_eq!(
            with(&[(DOCKER_HOST, "unix:///x/none.sock")]),
            Found::Nothing
        );
        assert_eq!(
            with(&[(CONTAINER_HOST, "unix:///x/y.sock")]),
            unix("/x/y.sock", &[CONTAINER_HOST])
        );
        for (host, expected) in [
            ("tcp://host:2375", "host:2375"),
            ("tcp://host", "host:2375"),
            ("host:1", "host:1"),
        ] {
            let Found::Engine(engine) = with(&[(DOCKER_HOST, host)]) else {
                panic!("{host}");
            };
            assert_eq!(engine.host, Host::Tcp(expected.to_owned()));
        }
        let tls = with(&[(DOCKER_HOST, "tcp://host:2376"), ("DOCKER_TLS_VERIFY", "1")]);
        let why = "DOCKER_HOST is tcp://host:2376, which is spoken to through TLS";
        assert_eq!(tls, Found::OutOfReach(why.to_owned()));
        let ssh = with(&[(DOCKER_HOST, "ssh://me@host")]);
        assert_eq!(
            ssh,
            Found::OutOfReach("DOCKER_HOST is ssh://me@host".to_owned())
        );
    }

    #[test]
    fn a_context_counts_unless_it_is_the_default() {
        let meta = r#"{"Name":"lab","Endpoints":{"docker":{"Host":"unix:///x/lab.sock"}}}"#;
        let mut world = World {
            vars: vec![("HOME", "/home/me")],
            files: vec![
                (
                    "/home/me/.docker/config.json",
                    r#"{"currentContext":"lab"}"#,
                ),
                ("/home/me/.docker/contexts/meta/ab12/meta.json", meta),
            ],
            sockets: vec!["/var/run/docker.sock", "/x/lab.sock"],
        };
        assert_eq!(find(&world), unix("/x/lab.sock", &[DOCKER_HOST]));
        world.vars.push(("DOCKER_CONTEXT", "default"));
        assert_eq!(find(&world), unix("/var/run/docker.sock", &[DOCKER_HOST]));
        world.vars[1] = ("DOCKER_CONTEXT", "lab");
        world.files[0].1 = "{";
        assert_eq!(find(&world), unix("/x/lab.sock", &[DOCKER_HOST]));
    }
}
