//! Which ports are somebody's, whose, and who waits for them: for `cargo stt ports`.

use std::collections::HashMap;

use camino::Utf8PathBuf;
use serde::Serialize;

use crate::coordinator::CoordinatorError;
use crate::coordinator::Directory;
use crate::coordinator::Live;
use crate::coordinator::Place;
use crate::coordinator::Right;
use crate::coordinator::RightHolder;
use crate::discovery::variables;
use crate::port::Holder;
use crate::port::StillHeld;
use crate::ports::leased;
use crate::process::Everybody;
use crate::process::holders;
use crate::process::listeners;

/// The ports that are somebody's at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PortList {
    /// In the order of their numbers.
    pub ports: Vec<OwnedPort>,
}

/// A port that is somebody's, or wanted by somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OwnedPort {
    /// Its number.
    pub port: u16,
    /// Whose it is; absent for the moment between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<PortOwner>,
    /// Who waits for it, the one who is next first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<PortOwner>,
    /// Who listens on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listening: Vec<PortListener>,
}

/// Whose a port is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PortOwner {
    /// The run; absent for a command that has leased it, and for what other users have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Where the run's tests are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Utf8PathBuf>,
    /// A process of it; absent where none can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The test or the command; absent where neither can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
}

/// A process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PortListener {
    /// On which address and port.
    pub address: String,
    /// The process; absent where it can't be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Its command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// A process that was told of ports, and of which test it is.
struct Told {
    pid: i32,
    ports: Vec<u16>,
    run: String,
    test: String,
}

/// Looks who has which port.
///
/// # Errors
/// The directory of the runs is not ours alone, or can't be read.
pub fn port_list(place: &Place) -> Result<PortList, CoordinatorError> {
    let directory = Directory::find(place)?;
    let mut ports = match &directory {
        None => owned_ports(Vec::new(), &[]),
        Some(directory) => owned_ports(directory.rights()?, &directory.lives(None)?),
    };
    let numbers: Vec<_> = ports.iter().map(|port| port.port).collect();
    let mut listening = listeners(&numbers);
    for port in &mut ports {
        let here = listening.extract_if(.., |held| held.port.number == port.port);
        port.listening = here.flat_map(|held| listeners_of(&held)).collect();
    }
    Ok(PortList { ports })
}

/// The ports that are somebody's, but not who listens on them.
pub(crate) fn owned_ports(rights: Vec<Right>, lives: &[Live]) -> Vec<OwnedPort> {
    let workspace = |live: &Live| (live.run.as_str().to_owned(), live.workspace.clone());
    let workspaces = lives.iter().map(workspace).collect();
    let leased = leased();
    let mut sockets = HashMap::new();
    let mut told = Vec::new();
    if !leased.is_empty() {
        let inodes: Vec<_> = leased.iter().map(|&(_, inode)| inode).collect();
        sockets = holders(&inodes);
        told = whoever_was_told();
    }
    let leases = leased.into_iter().map(|(port, inode)| {
        let by = sockets.remove(&inode).unwrap_or_default();
        (port, owner_of_lease(port, &by, &told))
    });
    list(rights, leases.collect(), &workspaces)
}

/// Everybody who was started as a test with ports.
fn whoever_was_told() -> Vec<Told> {
    let names = [
        variables::STT_PORTS,
        variables::STT_RUN_ID,
        variables::STT_TEST_ID,
    ];
    let mut everybody = Everybody::default();
    let mut pids = everybody.pids().unwrap_or_default();
    // Whoever came first is the test itself, and not what it has started.
    pids.reverse();
    let told = pids.into_iter().filter_map(|pid| {
        let [ports, run, test] = everybody.variables(pid, names);
        let ports = ports?
            .split(',')
            .filter_map(|port| port.parse().ok())
            .collect();
        let (run, test) = (run?, test?);
        Some(Told {
            pid,
            ports,
            run,
            test,
        })
    });
    told.collect()
}

/// Whose a leased port is. A runner keeps it for a test that was told of it, anybody else for himself.
fn owner_of_lease(port: u16, by: &[Holder], told: &[Told]) -> PortOwner {
    let Some(holder) = by.first() else {
        return PortOwner::default();
    };
    let test = told.iter().find(|told| told.ports.contains(&port));
    // A command that has leased a port by itself has its socket open.
    match test.filter(|test| by.iter().all(|holder| holder.pid != test.pid)) {
        Some(test) => PortOwner {
            run: Some(test.run.clone()),
            workspace: None,
            pid: Some(test.pid),
            what: Some(test.test.clone()),
        },
        None => PortOwner {
            pid: Some(holder.pid),
            what: Some(holder.command.clone()),
            ..PortOwner::default()
        },
    }
}

fn list(
    rights: Vec<Right>,
    leases: Vec<(u16, PortOwner)>,
    workspaces: &HashMap<String, Utf8PathBuf>,
) -> Vec<OwnedPort> {
    let located = |mut owner: PortOwner| {
        let run = owner.run.as_ref();
        owner.workspace = run.and_then(|run| workspaces.get(run).cloned());
        owner
    };
    let rights = rights.into_iter().map(|right| OwnedPort {
        port: right.port,
        owner: right.holder.map(|holder| located(owner_of_right(holder))),
        waiting: right
            .waiting
            .into_iter()
            .map(|waiting| located(owner_of_right(waiting)))
            .collect(),
        listening: Vec::new(),
    });
    let leases = leases.into_iter().map(|(port, owner)| OwnedPort {
        port,
        owner: Some(located(owner)),
        waiting: Vec::new(),
        listening: Vec::new(),
    });
    let mut ports: Vec<_> = rights.chain(leases).collect();
    ports.sort_by_key(|port| port.port);
    ports
}

fn owner_of_right(holder: RightHolder) -> PortOwner {
    PortOwner {
        run: holder.run,
        workspace: None,
        pid: Some(holder.pid),
        what: Some(holder.what),
    }
}

fn listeners_of(held: &StillHeld) -> Vec<PortListener> {
    let address = held.port.to_string();
    let seen = held.by.iter().map(|holder| PortListener {
        address: address.clone(),
        pid: Some(holder.pid),
        command: Some(holder.command.clone()),
    });
    let seen: Vec<_> = seen.collect();
    if seen.is_empty() {
        return vec![PortListener {
            address,
            pid: None,
            command: None,
        }];
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: i32, command: &str) -> Holder {
        Holder {
            pid,
            command: command.to_owned(),
        }
    }

    fn told(pid: i32, ports: &[u16], test: &str) -> Told {
        Told {
            pid,
            ports: ports.to_vec(),
            run: "run".to_owned(),
            test: test.to_owned(),
        }
    }

    #[test]
    fn a_lease_is_the_tests_that_was_told_of_it_or_who_has_its_socket() {
        let runner = [holder(10, "cargo-stt stt")];
        let tests = [told(20, &[20_001], "a b"), told(21, &[20_002], "a c")];
        let owner = owner_of_lease(20_002, &runner, &tests);
        assert_eq!((owner.pid, owner.what.as_deref()), (Some(21), Some("a c")));
        assert_eq!(owner.run.as_deref(), Some("run"));
        // A script inside of a test that has leased a port for itself.
        let script = [holder(21, "sh x")];
        let owner = owner_of_lease(20_002, &script, &tests);
        assert_eq!((owner.pid, owner.what.as_deref()), (Some(21), Some("sh x")));
        assert_eq!(owner.run, None);
        // The port of another user: nobody is seen.
        assert_eq!(owner_of_lease(20_003, &[], &tests), PortOwner::default());
    }

    #[test]
    fn rights_and_leases_are_one_list_and_say_where_their_runs_are() {
        let who = |pid, run: &str| RightHolder {
            port: 25_000,
            run: Some(run.to_owned()),
            pid,
            what: "a b".to_owned(),
        };
        let right = Right {
            port: 25_000,
            holder: Some(who(1, "one")),
            waiting: vec![who(2, "two")],
        };
        let workspaces = HashMap::from([("two".to_owned(), Utf8PathBuf::from("/two"))]);
        let leases = vec![
            (30_000, PortOwner::default()),
            (20_000, PortOwner::default()),
        ];
        let list = list(vec![right], leases, &workspaces);
        let numbers: Vec<_> = list.iter().map(|port| port.port).collect();
        assert_eq!(numbers, [20_000, 25_000, 30_000]);
        let right = &list[1];
        assert_eq!(right.owner.as_ref().unwrap().workspace, None);
        assert_eq!(right.waiting[0].workspace, Some("/two".into()));
    }
}
