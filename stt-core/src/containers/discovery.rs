//! Which engine tests would talk to, as the clients find it. Pure.
//!
//! Docker's own order counts (`docker context`, "Overrides"): `DOCKER_HOST`, `DOCKER_CONTEXT`, the current
//! context of the configuration, the usual socket. Nothing is contacted.

use camino::Utf8Path;
use camino::Utf8PathBuf;
use serde_json::Value;

use super::remote::Reach;
use super::remote::Way;
use super::remote::reach_by_ssh;
use super::remote::reach_by_tls;

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
    /// Whether there is a program that may be started.
    fn is_program(&self, path: &Utf8Path) -> bool;
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
    /// One that no proxy can stand before.
    OutOfReach(Distant),
}

/// An engine that no proxy can stand before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distant {
    /// Why none can.
    pub why: String,
    /// How Docker's command gets there; `None` where it does not, or where that is not known.
    pub reach: Option<Reach>,
}

/// Who names an engine.
enum Who {
    /// A variable.
    Variable(&'static str),
    /// A context of Docker's.
    Context(Context),
}

/// A context of Docker's that is not the default.
struct Context {
    name: String,
    host: String,
    /// The file that describes it.
    meta: Utf8PathBuf,
    /// Where the certificates are that it has, or would have.
    certificates: Utf8PathBuf,
    /// Whether it is spoken to through TLS.
    tls: bool,
}

/// Finds the engine.
pub fn find(world: &impl Lookup) -> Found {
    let var = |name| filled(world, name);
    let docker = &[DOCKER_HOST][..];
    let podman = &[DOCKER_HOST, CONTAINER_HOST][..];
    if let Some(host) = var(DOCKER_HOST) {
        let both = var(CONTAINER_HOST).as_ref() == Some(&host);
        let variables = if both { podman } else { docker };
        return at(world, &host, &Who::Variable(DOCKER_HOST), variables);
    }
    if let Some(host) = var(CONTAINER_HOST) {
        let who = Who::Variable(CONTAINER_HOST);
        return at(world, &host, &who, &[CONTAINER_HOST]);
    }
    let home = var("HOME").map(Utf8PathBuf::from);
    if let Some(context) = config(world).and_then(|config| context(world, &config)) {
        let host = context.host.clone();
        return at(world, &host, &Who::Context(context), docker);
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

/// The directory in which Docker's clients keep what they know.
fn config(world: &impl Lookup) -> Option<Utf8PathBuf> {
    let own = filled(world, "DOCKER_CONFIG").map(Utf8PathBuf::from);
    own.or_else(|| Some(Utf8PathBuf::from(filled(world, "HOME")?).join(".docker")))
}

/// The value of a variable that has one.
pub(super) fn filled(world: &impl Lookup, name: &str) -> Option<String> {
    world.var(name).filter(|value| !value.is_empty())
}

/// The engine that a person has named.
fn at(world: &impl Lookup, host: &str, who: &Who, variables: &'static [&'static str]) -> Found {
    let (scheme, rest) = host.split_once("://").unwrap_or(("tcp", host));
    let engine = |host| Found::Engine(Engine { host, variables });
    let out_of_reach = |why: &str, reach| {
        let why = format!("{} is {host}{why}", who.named());
        Found::OutOfReach(Distant { why, reach })
    };
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
            let rest = rest.trim_end_matches('/');
            if who.speaks_tls(world) {
                let reach = who.way(world).zip(who.certificates(world));
                let reach = reach.map(|(way, dir)| reach_by_tls(way, &dir, who.meta()));
                out_of_reach(", which is spoken to through TLS", reach)
            } else if rest.is_empty() || rest.contains('/') {
                out_of_reach("", None)
            } else if has_port(rest) {
                engine(Host::Tcp(rest.to_owned()))
            } else {
                engine(Host::Tcp(format!("{rest}:2375")))
            }
        }
        "ssh" => {
            let home = filled(world, "HOME").map(Utf8PathBuf::from);
            let path = filled(world, "PATH").unwrap_or_default();
            let way = who.way(world);
            out_of_reach("", way.map(|way| reach_by_ssh(way, &path, home.as_deref())))
        }
        _ => out_of_reach("", None),
    }
}

impl Who {
    fn named(&self) -> String {
        match self {
            Self::Variable(name) => (*name).to_owned(),
            Self::Context(context) => format!("the Docker context `{}`", context.name),
        }
    }

    fn speaks_tls(&self, world: &impl Lookup) -> bool {
        let asked = ["DOCKER_TLS_VERIFY", "DOCKER_TLS"];
        let asked = asked.iter().any(|name| filled(world, name).is_some());
        asked || matches!(self, Self::Context(context) if context.tls)
    }

    /// How a person calls Docker's command for this engine. It does not know Podman's variable.
    fn way(&self, world: &impl Lookup) -> Option<Way> {
        const NAMES: [&str; 4] = [
            DOCKER_HOST,
            "DOCKER_TLS_VERIFY",
            "DOCKER_TLS",
            "DOCKER_CERT_PATH",
        ];
        match self {
            Self::Variable(DOCKER_HOST) => {
                let pair = |name: &str| Some((name.to_owned(), filled(world, name)?));
                Some(Way::Variables(
                    NAMES.iter().filter_map(|name| pair(name)).collect(),
                ))
            }
            Self::Variable(_) => None,
            Self::Context(context) => Some(Way::Context(context.name.clone())),
        }
    }

    fn certificates(&self, world: &impl Lookup) -> Option<Utf8PathBuf> {
        match self {
            Self::Variable(_) => {
                let own = filled(world, "DOCKER_CERT_PATH").map(Utf8PathBuf::from);
                own.or_else(|| config(world))
            }
            Self::Context(context) => Some(context.certificates.clone()),
        }
    }

    fn meta(&self) -> Option<&Utf8Path> {
        match self {
            Self::Variable(_) => None,
            Self::Context(context) => Some(&context.meta),
        }
    }
}

fn has_port(host: &str) -> bool {
    let port = host.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}

/// The context that is not the default.
fn context(world: &impl Lookup, config: &Utf8Path) -> Option<Context> {
    let parse = |text: String| serde_json::from_str::<Value>(&text).ok();
    let chosen = filled(world, "DOCKER_CONTEXT").or_else(|| {
        let config = parse(world.text(&config.join("config.json"))?)?;
        Some(config["currentContext"].as_str()?.to_owned())
    });
    let name = chosen.filter(|name| !name.is_empty() && name != "default")?;
    // The directories are named by hashes of the names, which are in the files as well.
    let dirs = world.entries(&config.join("contexts/meta")).into_iter();
    let mut metas = dirs.filter_map(|dir| Some((parse(world.text(&dir.join("meta.json"))?)?, dir)));
    let (meta, dir) = metas.find(|(meta, _)| meta["Name"] == name.as_str())?;
    let endpoint = &meta["Endpoints"]["docker"];
    let certificates = config.join("contexts/tls").join(dir.file_name()?);
    let certificates = certificates.join("docker");
    Some(Context {
        name,
        host: endpoint["Host"].as_str()?.to_owned(),
        meta: dir.join("meta.json"),
        // As in Docker's own client: who has certificates, or does without them on purpose.
        tls: endpoint["SkipTLSVerify"] == true || !world.entries(&certificates).is_empty(),
        certificates,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[derive(Default)]
    pub(in crate::containers) struct World {
        pub(in crate::containers) vars: Vec<(&'static str, &'static str)>,
        pub(in crate::containers) files: Vec<(&'static str, &'static str)>,
        pub(in crate::containers) sockets: Vec<&'static str>,
        pub(in crate::containers) programs: Vec<&'static str>,
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
            let all = files.flat_map(Utf8Path::ancestors);
            let inside = all.filter(|path| path.parent() == Some(dir));
            inside.map(Utf8PathBuf::from).collect()
        }

        fn is_socket(&self, path: &Utf8Path) -> bool {
            self.sockets.iter().any(|known| path == *known)
        }

        fn is_program(&self, path: &Utf8Path) -> bool {
            self.programs.iter().any(|known| path == *known)
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
    }

    /// Why an engine is out of reach, and how its list of containers is asked for and what is watched.
    fn distant(world: &World) -> (String, Option<(String, Vec<String>)>) {
        let Found::OutOfReach(distant) = find(world) else {
            panic!("it is in reach");
        };
        let told = |reach: Reach| {
            let signs = reach.signs.files.iter().chain(&reach.signs.directories);
            (
                reach.way.command("ps"),
                signs.map(ToString::to_string).collect(),
            )
        };
        (distant.why, distant.reach.map(told))
    }

    #[test]
    fn an_engine_behind_tls_or_ssh_is_out_of_reach_and_can_be_asked() {
        let with = |vars: &[(&'static str, &'static str)]| {
            distant(&World {
                vars: vars.to_vec(),
                ..World::default()
            })
        };
        let reach = |command: &str, signs: &[&str]| {
            let signs = signs.iter().map(ToString::to_string);
            Some((command.to_owned(), signs.collect()))
        };
        let vars = [
            ("HOME", "/home/me"),
            (DOCKER_HOST, "tcp://host:2376"),
            ("DOCKER_TLS_VERIFY", "1"),
        ];
        assert_eq!(
            with(&vars),
            (
                "DOCKER_HOST is tcp://host:2376, which is spoken to through TLS".to_owned(),
                reach(
                    "DOCKER_HOST=tcp://host:2376 DOCKER_TLS_VERIFY=1 docker ps",
                    &[
                        "/home/me/.docker/ca.pem",
                        "/home/me/.docker/cert.pem",
                        "/home/me/.docker/key.pem",
                        "/home/me/.docker"
                    ]
                )
            )
        );
        let (_, own) = with(&[&vars[..], &[("DOCKER_CERT_PATH", "/c d")]].concat());
        let (command, signs) = own.unwrap();
        assert!(
            command.contains(" DOCKER_CERT_PATH='/c d' docker"),
            "{command}"
        );
        assert_eq!(signs[0], "/c d/ca.pem");
        let vars = [
            (DOCKER_HOST, "ssh://me@host"),
            ("PATH", "/bin::/x/bin:."),
            ("HOME", "/home/me"),
        ];
        assert_eq!(
            with(&vars),
            (
                "DOCKER_HOST is ssh://me@host".to_owned(),
                reach(
                    "DOCKER_HOST=ssh://me@host docker ps",
                    &[
                        "/bin/ssh",
                        "/x/bin/ssh",
                        "/home/me/.ssh/config",
                        "/home/me/.ssh/known_hosts",
                        "/home/me/.ssh"
                    ]
                )
            )
        );
        for other in [
            (CONTAINER_HOST, "ssh://me@host"),
            (DOCKER_HOST, "https://x"),
        ] {
            assert_eq!(
                with(&[other]),
                (format!("{} is {}", other.0, other.1), None)
            );
        }
    }

    #[test]
    fn a_context_has_certificates_of_its_own() {
        let meta = r#"{"Name":"lab","Endpoints":{"docker":{"Host":"tcp://lab:2376"}}}"#;
        let mut world = World {
            vars: vec![("HOME", "/home/me"), ("DOCKER_CONTEXT", "lab")],
            files: vec![("/home/me/.docker/contexts/meta/ab12/meta.json", meta)],
            ..World::default()
        };
        let Found::Engine(plain) = find(&world) else {
            panic!("nothing speaks of TLS");
        };
        assert_eq!(plain.host, Host::Tcp("lab:2376".to_owned()));
        world
            .files
            .push(("/home/me/.docker/contexts/tls/ab12/docker/ca.pem", ""));
        let (why, reach) = distant(&world);
        assert_eq!(
            why,
            "the Docker context `lab` is tcp://lab:2376, which is spoken to through TLS"
        );
        let (command, signs) = reach.unwrap();
        assert_eq!(command, "docker --context lab ps");
        assert_eq!(
            (&*signs[0], &*signs[3], &*signs[4]),
            (
                "/home/me/.docker/contexts/tls/ab12/docker/ca.pem",
                "/home/me/.docker/contexts/meta/ab12/meta.json",
                "/home/me/.docker/contexts/tls/ab12/docker"
            )
        );
        let skips = r#"{"Name":"lab","Endpoints":{"docker":{"Host":"tcp://lab:2376","SkipTLSVerify":true}}}"#;
        world.files = vec![("/home/me/.docker/contexts/meta/ab12/meta.json", skips)];
        assert!(matches!(find(&world), Found::OutOfReach(_)));
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
            ..World::default()
        };
        assert_eq!(find(&world), unix("/x/lab.sock", &[DOCKER_HOST]));
        world.vars.push(("DOCKER_CONTEXT", "default"));
        assert_eq!(find(&world), unix("/var/run/docker.sock", &[DOCKER_HOST]));
        world.vars[1] = ("DOCKER_CONTEXT", "lab");
        world.files[0].1 = "{";
        assert_eq!(find(&world), unix("/x/lab.sock", &[DOCKER_HOST]));
    }
}
