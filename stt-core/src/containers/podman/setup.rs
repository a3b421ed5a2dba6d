//! Whether tests that call `podman` speak to nobody but the system, and with what configuration. Pure.

use camino::Utf8Path;
use camino::Utf8PathBuf;

use super::conf::Conf;
use crate::containers::discovery::CONTAINER_HOST;
use crate::containers::discovery::Lookup;
use crate::containers::discovery::filled;

/// The variable by which Podman's command finds its configuration (`containers.conf(5)`).
pub const CONTAINERS_CONF: &str = "CONTAINERS_CONF";
/// A connection of that name makes Podman's command the client of a service (`podman(1)`).
const CONTAINER_CONNECTION: &str = "CONTAINER_CONNECTION";

/// Podman's command, where no service does its work.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub program: Utf8PathBuf,
    conf: Conf,
}

impl Setup {
    /// What the command is to be configured with so that what it makes has this annotation and is written down here;
    /// `None` where the user's own configuration is none.
    pub fn conf(&self, annotation: (&str, &str), events: &Utf8Path) -> Option<String> {
        self.conf.marked(annotation, events)
    }
}

/// Finds the command that tests would call; `None` where there is none, or where it speaks to a service.
pub fn command(world: &impl Lookup) -> Option<Utf8PathBuf> {
    let set = |name| filled(world, name);
    if !cfg!(target_os = "linux")
        || set(CONTAINER_HOST).is_some()
        || set(CONTAINER_CONNECTION).is_some()
    {
        return None;
    }
    let path = set("PATH")?;
    let dirs = path.split(':').map(Utf8Path::new);
    let mut programs = dirs
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join("podman"));
    programs.find(|program| world.is_program(program))
}

/// Finds the command with its configuration. Nothing is called.
pub fn setup(world: &impl Lookup) -> Option<Setup> {
    let program = command(world)?;
    let conf = Conf::of(texts(world)?.iter().map(String::as_str))?;
    (!conf.is_remote()).then_some(Setup { program, conf })
}

/// What is in the files that Podman reads, in its order; `None` where it reads none, for that which is named is not
/// there.
fn texts(world: &impl Lookup) -> Option<Vec<String>> {
    let set = |name| filled(world, name);
    if let Some(file) = set(CONTAINERS_CONF) {
        return Some(vec![world.text(Utf8Path::new(&file))?]);
    }
    let mut files = vec!["/usr/share/containers/containers.conf".into()];
    let mut with_parts = |file: Utf8PathBuf| {
        let mut parts = world.entries(&Utf8PathBuf::from(format!("{file}.d")));
        parts.retain(|part| part.extension() == Some("conf"));
        parts.sort();
        files.push(file);
        files.append(&mut parts);
    };
    with_parts("/etc/containers/containers.conf".into());
    let home = || set("HOME").map(|home| Utf8PathBuf::from(home).join(".config"));
    let own = set("XDG_CONFIG_HOME").map(Utf8PathBuf::from).or_else(home);
    // Root's is the machine's.
    if let Some(dir) = own.filter(|_| world.user() != 0) {
        with_parts(dir.join("containers/containers.conf"));
    }
    Some(files.iter().filter_map(|file| world.text(file)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::discovery::tests::World;

    const USUAL: [(&str, &str); 2] = [("PATH", "bin:/bin:/usr/bin"), ("HOME", "/home/me")];

    fn env(world: &World) -> String {
        let conf = setup(world)
            .unwrap()
            .conf(("key", "0"), "/x".into())
            .unwrap();
        let env = conf.lines().find_map(|line| line.strip_prefix("env = "));
        env.unwrap_or_default().to_owned()
    }

    #[test]
    fn it_is_the_first_in_the_path() {
        let mut world = World {
            vars: USUAL.to_vec(),
            ..World::default()
        };
        assert_eq!(command(&world), None);
        world.programs = vec!["/usr/bin/podman", "bin/podman"];
        assert_eq!(command(&world), Some("/usr/bin/podman".into()));
        world.programs.push("/bin/podman");
        assert_eq!(command(&world), Some("/bin/podman".into()));
    }

    #[test]
    fn a_client_of_a_service_needs_nothing() {
        let world = |var| World {
            vars: [&USUAL[..], &[var]].concat(),
            programs: vec!["/bin/podman"],
            files: vec![("/remote", "[engine]\nremote = true"), ("/bad", "[")],
            ..World::default()
        };
        for var in [
            ("CONTAINER_HOST", "unix:///x"),
            ("CONTAINER_CONNECTION", "x"),
            ("CONTAINERS_CONF", "/remote"),
            ("CONTAINERS_CONF", "/bad"),
            ("CONTAINERS_CONF", "/missing"),
        ] {
            assert!(setup(&world(var)).is_none(), "{var:?}");
        }
        assert!(setup(&world(("CONTAINER_HOST", ""))).is_some());
    }

    #[test]
    fn the_files_are_read_in_podmans_order() {
        let mut world = World {
            vars: USUAL.to_vec(),
            programs: vec!["/bin/podman"],
            ..World::default()
        };
        assert_eq!(env(&world), "");
        for (file, text, last) in [
            (
                "/usr/share/containers/containers.conf",
                "[containers]\nenv = ['1']",
                "['1']",
            ),
            (
                "/etc/containers/containers.conf",
                "[containers]\nenv = ['2']",
                "['2']",
            ),
            (
                "/etc/containers/containers.conf.d/b.conf",
                "[containers]\nenv = ['4']",
                "['4']",
            ),
            (
                "/etc/containers/containers.conf.d/a.conf",
                "[containers]\nenv = ['3']",
                "['4']",
            ),
            (
                "/etc/containers/containers.conf.d/c.txt",
                "[containers]\nenv = ['x']",
                "['4']",
            ),
            (
                "/home/me/.config/containers/containers.conf",
                "[containers]\nenv = ['5']",
                "['5']",
            ),
            (
                "/own/containers/containers.conf",
                "[containers]\nenv = ['6']",
                "['5']",
            ),
        ] {
            world.files.push((file, text));
            assert_eq!(env(&world), last, "with {file}");
        }
        world.vars.push(("XDG_CONFIG_HOME", "/own"));
        assert_eq!(env(&world), "['6']");
        world.vars.push((
            "CONTAINERS_CONF",
            "/etc/containers/containers.conf.d/a.conf",
        ));
        assert_eq!(env(&world), "['3']");
    }
}
