//! What an engine is asked for: a container for tests, and a program in it. Pure.

use std::ffi::OsStr;
use std::ffi::OsString;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use serde_json::Value;
use serde_json::json;

use crate::command::CommandLine;
use crate::containers::discovery::CONTAINER_HOST;
use crate::containers::discovery::DOCKER_HOST;
use crate::containers::podman::CONTAINERS_CONF;
use crate::limits::Limits;

/// A directory that tests see at the same path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mount {
    /// Where it is, outside and inside.
    pub path: Utf8PathBuf,
    /// Whether tests may write there.
    pub writable: bool,
}

/// What the engine holds for all of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes.
    pub(super) memory: Option<u64>,
    /// Billionths of a core.
    pub(super) cpu: Option<u64>,
    pub(super) processes: Option<u64>,
}

/// What of a container's processes is no test's: process 1, and what starts a program there, which gets its threads
/// while it is already inside. Refused these, it dies, and may take the container along.
const OTHERS: u64 = 17;

/// What looks for containers, a network of its own included, is told where the engine is; inside it is not. The others
/// name what is on this machine, and an image has its own.
const LEFT_OUT: [&str; 9] = [
    "PATH",
    "HOME",
    "HOSTNAME",
    "SHELL",
    DOCKER_HOST,
    CONTAINER_HOST,
    CONTAINERS_CONF,
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
];

impl Bounds {
    /// What of a set of limits is the engine's to hold, where there are so many cores. A share of them that is all there
    /// are is none.
    pub(super) fn of(limits: Option<&Limits>, cores: u64) -> Self {
        let Some(limits) = limits else {
            return Self::default();
        };
        let cpu = limits.cpu.map(|cores| u64::from(cores.0) * 1_000_000);
        Self {
            memory: limits.memory.map(|memory| memory.0),
            cpu: cpu.filter(|&cpu| cores == 0 || cpu < cores * 1_000_000_000),
            // As for a control group of ours: who is refused has gone over his limit.
            processes: limits.processes.map(|most| u64::from(most) + 1 + OTHERS),
        }
    }

    /// What one of the two has.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            memory: self.memory.or(other.memory),
            cpu: self.cpu.or(other.cpu),
            processes: self.processes.or(other.processes),
        }
    }

    /// Which of them an engine has left out of a container, by what it says of it (`ContainerInspect`, `HostConfig`). Of
    /// what it says nothing nothing is known.
    pub(super) fn left_out(self, host: &Value) -> LeftOut {
        let is_missing = |asked: Option<u64>, name: &str| {
            let said = host.get(name);
            asked.is_some() && said.is_some_and(|said| said.as_u64().unwrap_or_default() == 0)
        };
        LeftOut {
            memory: is_missing(self.memory, "Memory"),
            cpu: is_missing(self.cpu, "NanoCpus"),
            processes: is_missing(self.processes, "PidsLimit"),
        }
    }
}

/// Limits that an engine takes and does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Memory.
    pub memory: bool,
    /// Cores.
    pub cpu: bool,
    /// Processes.
    pub processes: bool,
}

/// A container for tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Container<'a> {
    pub(super) image: &'a str,
    /// `None` for the engine's default.
    pub(super) network: Option<&'a str>,
    pub(super) mounts: &'a [Mount],
    /// Process 1.
    pub(super) idle: &'a Utf8Path,
    /// Numbers of user and group.
    pub(super) user: &'a str,
    /// Whether these are to be the same numbers inside, although the engine is a user's own.
    pub(super) keeps_id: bool,
    /// What each process inherits, by the engine's names: a soft limit and a hard one.
    pub(super) inherited: &'a [Inherited],
    pub(super) bounds: Bounds,
    pub(super) label: (&'a str, &'a str),
}

impl Container<'_> {
    /// The body of the request that makes it.
    pub(super) fn body(&self) -> String {
        let mount = |mount: &Mount| {
            json!({
                "Type": "bind",
                "Source": mount.path,
                "Target": mount.path,
                "ReadOnly": !mount.writable,
            })
        };
        let mounts: Vec<_> = self.mounts.iter().map(mount).collect();
        let inherited = self.inherited.iter();
        let ulimit =
            |(name, [soft, hard]): &Inherited| json!({ "Name": name, "Soft": soft, "Hard": hard });
        let ulimits: Vec<_> = inherited.map(ulimit).collect();
        let mut host = json!({ "Mounts": mounts, "Ulimits": ulimits });
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                host[name] = value;
            }
        };
        set("Memory", self.bounds.memory.map(Value::from));
        set("MemorySwap", self.bounds.memory.map(Value::from));
        set("NanoCpus", self.bounds.cpu.map(Value::from));
        set("PidsLimit", self.bounds.processes.map(Value::from));
        set("NetworkMode", self.network.map(Value::from));
        set("UsernsMode", self.keeps_id.then(|| "keep-id".into()));
        let (key, value) = self.label;
        let body = json!({
            "Image": self.image,
            "Entrypoint": [self.idle],
            "Cmd": [],
            "User": self.user,
            "WorkingDir": "/",
            "Labels": { key: value },
            "Healthcheck": { "Test": ["NONE"] },
            "HostConfig": host,
        });
        body.to_string()
    }
}

/// A limit that every process in a container has from the beginning: its name for an engine, the soft and the hard one.
pub(super) type Inherited = (&'static str, [u64; 2]);

/// A limit that the processes of a test carry: its number, and the soft and the hard one (`setrlimit(2)`).
pub type ProcessLimit = (u32, [u64; 2]);

/// The body of the request for a program in a container. Its limits are set by process 1's program, which then becomes
/// it: an engine would hold them for what starts the program as well.
pub(super) fn exec(
    command: &CommandLine,
    user: &str,
    limits: &[ProcessLimit],
    idle: &Utf8Path,
) -> String {
    let text = |word: &OsString| word.to_string_lossy().into_owned();
    let mut words = Vec::new();
    if !limits.is_empty() {
        words.push(idle.as_str().to_owned());
        let numbers = limits.iter();
        let numbers = numbers.flat_map(|(number, [soft, hard])| [u64::from(*number), *soft, *hard]);
        words.extend(numbers.map(|number| number.to_string()));
    }
    words.push(text(&command.program));
    words.extend(command.args.iter().map(text));
    let body = json!({
        "AttachStdout": true,
        "AttachStderr": true,
        "Cmd": words,
        "Env": environment(command),
        "User": user,
        "WorkingDir": command.cwd,
    });
    body.to_string()
}

/// The body of the request for a signal to everybody in a container. Root may signal whoever a test has become.
pub(super) fn signal(signal: i32, idle: &Utf8Path) -> String {
    json!({ "Cmd": [idle.as_str(), signal.to_string()], "User": "0" }).to_string()
}

/// The variables of a command, as a container gets them. What is no text can't be told in JSON.
fn environment(command: &CommandLine) -> Vec<String> {
    let own = command.extra_env.iter();
    let is_own = |name: &OsStr| command.extra_env.iter().any(|(own, _)| own == name);
    let shared = command.env.iter().filter(|(name, _)| !is_own(name));
    let known = shared.chain(own).filter_map(|(name, value)| {
        let (name, value) = (name.to_str()?, value.to_str()?);
        (!LEFT_OUT.contains(&name)).then(|| format!("{name}={value}"))
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::limits::MilliCores;
    use crate::units::Bytes;

    fn parsed(body: &str) -> Value {
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn a_container_has_what_was_asked_for_and_nothing_else() {
        let mounts = [("/w", false), ("/w/target/tmp", true)].map(|(path, writable)| Mount {
            path: path.into(),
            writable,
        });
        let container = Container {
            image: "debian:12",
            network: None,
            mounts: &mounts,
            idle: "/w/target/idle".into(),
            user: "1000:100",
            keeps_id: false,
            inherited: &[("nofile", [1024, 4096])],
            bounds: Bounds::default(),
            label: ("k", "v"),
        };
        let body = parsed(&container.body());
        assert_eq!(body["Entrypoint"], json!(["/w/target/idle"]));
        assert_eq!(body["Labels"], json!({ "k": "v" }));
        assert_eq!(body["User"], "1000:100");
        let host = body["HostConfig"].as_object().unwrap();
        assert_eq!(host.len(), 2, "{host:?}");
        let files = json!([{ "Name": "nofile", "Soft": 1024, "Hard": 4096 }]);
        assert_eq!(host["Ulimits"], files);
        let mounts = host["Mounts"].as_array().unwrap().iter();
        let mounts = mounts.map(|one| (one["Source"].clone(), one["ReadOnly"].clone()));
        assert_eq!(
            mounts.collect::<Vec<_>>(),
            [
                ("/w".into(), true.into()),
                ("/w/target/tmp".into(), false.into())
            ]
        );
        let limits = Limits {
            memory: Some(Bytes(100)),
            cpu: Some(MilliCores(500)),
            processes: Some(5),
            ..Limits::default()
        };
        let limited = Container {
            network: Some("none"),
            keeps_id: true,
            inherited: &[],
            bounds: Bounds::of(Some(&limits), 2),
            ..container
        };
        let mut host = parsed(&limited.body())["HostConfig"].take();
        host.as_object_mut().unwrap().remove("Mounts");
        let expected = json!({
            "Memory": 100, "MemorySwap": 100, "NanoCpus": 500_000_000, "PidsLimit": 23,
            "NetworkMode": "none", "UsernsMode": "keep-id", "Ulimits": [],
        });
        assert_eq!(host, expected);
    }

    #[test]
    fn all_the_cores_that_there_are_are_no_limit() {
        let limits = |cores| Limits {
            cpu: Some(MilliCores(cores)),
            ..Limits::default()
        };
        for (cores, there, held) in [
            (8_000, 2, None),
            (2_000, 2, None),
            (1_999, 2, Some(1_999_000_000)),
            (8_000, 0, Some(8_000_000_000)),
        ] {
            assert_eq!(Bounds::of(Some(&limits(cores)), there).cpu, held, "{cores}");
        }
        assert_eq!(Bounds::of(None, 2), Bounds::default());
    }

    #[test]
    fn what_an_engine_leaves_out_is_known_by_what_it_says() {
        let asked = Bounds {
            memory: Some(1 << 20),
            cpu: Some(500_000_000),
            processes: None,
        };
        let left_out = |host: Value| {
            let left_out = asked.left_out(&host);
            (left_out.memory, left_out.cpu, left_out.processes)
        };
        let held = json!({ "Memory": 1 << 20, "NanoCpus": 500_000_000, "PidsLimit": null });
        assert_eq!(left_out(held), (false, false, false));
        let without = json!({ "Memory": 0, "NanoCpus": null, "PidsLimit": 0 });
        assert_eq!(left_out(without), (true, true, false));
        assert_eq!(left_out(json!({})), (false, false, false));
        let all = asked.or(Bounds {
            memory: Some(2),
            processes: Some(3),
            ..Bounds::default()
        });
        assert_eq!((all.memory, all.processes), (Some(1 << 20), Some(3)));
    }

    #[test]
    fn a_program_is_called_as_outside() {
        let env = [
            ("A", "1"),
            ("PATH", "/bin"),
            ("B", "old"),
            ("DOCKER_HOST", "unix:///x"),
        ];
        let env: Arc<[_]> = env.map(|(name, value)| (name.into(), value.into())).into();
        let command = CommandLine::new("/w/target/it", "/w/p".into(), env)
            .args(["--exact", "a b"])
            .env("B", "new")
            .env("HOME", "/home/x");
        let body = parsed(&exec(&command, "7:8", &[], "/idle".into()));
        assert_eq!(body["Cmd"], json!(["/w/target/it", "--exact", "a b"]));
        assert_eq!(body["Env"], json!(["A=1", "B=new"]));
        assert_eq!(
            (&body["User"], &body["WorkingDir"]),
            (&"7:8".into(), &"/w/p".into())
        );
        let limits = [(7, [10, 20]), (4, [0, 0])];
        let body = parsed(&exec(&command, "7:8", &limits, "/idle".into()));
        let words = [
            "/idle",
            "7",
            "10",
            "20",
            "4",
            "0",
            "0",
            "/w/target/it",
            "--exact",
            "a b",
        ];
        assert_eq!(body["Cmd"], json!(words));
        assert_eq!(
            parsed(&signal(15, "/idle".into())),
            json!({ "Cmd": ["/idle", "15"], "User": "0" })
        );
    }
}
