//! Whom a search has found, and what is told of them.

use std::collections::BTreeMap;
use std::collections::HashSet;

use super::member::Identity;
use super::member::Naming;
use super::member::Survivor;
use super::member::Swept;
use super::proc::Proc;
use super::sock_diag::Socket;
use super::sockets::Sockets;
use super::sockets::still_held;
use super::tree::Member;
use super::tree::Tree;

/// Of so many processes all is told that leads to them, some 50 µs each: their deaths wait for it.
const DETAILED: usize = 128;

/// Whom a search has found so far, each of them once.
#[derive(Debug)]
pub(super) struct Found {
    known: HashSet<Identity>,
    /// Those who were counted before their start was known: their deaths did not wait for that.
    counted: HashSet<i32>,
    pub(super) survivors: Vec<Survivor>,
    naming: Naming,
    /// The sockets that hold the ports, each with the place of who was first found to have it.
    sockets: BTreeMap<Socket, usize>,
}

impl Found {
    pub(super) fn new(naming: Naming) -> Self {
        Self {
            known: HashSet::new(),
            counted: HashSet::new(),
            survivors: Vec::new(),
            naming,
            sockets: BTreeMap::new(),
        }
    }

    /// Notes these, who are about to be killed in one write.
    pub(super) fn count(&mut self, proc: &mut Proc, members: Vec<i32>) {
        for &pid in members.iter().take(self.naming.most()) {
            let command = proc.command_line(pid);
            self.survivors.push(survivor(pid, command));
        }
        self.counted.extend(members);
    }

    /// Whether this one was counted.
    pub(super) fn is_counted(&self, pid: i32) -> bool {
        self.counted.contains(&pid)
    }

    pub(super) fn note(&mut self, proc: &mut Proc, tree: &Tree, test_group: Option<i32>) {
        let mut open = None;
        for &Member { identity, group } in &tree.members {
            let pid = identity.pid;
            if self.counted.contains(&pid) || !self.known.insert(identity) {
                continue;
            }
            let place = self.survivors.len();
            if place >= self.naming.most() {
                continue;
            }
            let detailed = self.naming.is_detailed() && place < DETAILED;
            let mut held = Vec::new();
            if self.naming == Naming::WithPorts && detailed {
                held = open.get_or_insert_with(Sockets::now).of(pid);
            }
            for &socket in &held {
                self.sockets.entry(socket).or_insert(place);
            }
            let command = if detailed {
                proc.command(pid)
            } else {
                proc.command_line(pid)
            };
            self.survivors.push(Survivor {
                ports: held.iter().map(|socket| socket.port).collect(),
                in_group: test_group == Some(group),
                ..survivor(pid, command)
            });
        }
    }

    /// Sees whether the ports of those who were ended are free.
    pub(super) fn check_ports(&mut self) {
        let sockets: Vec<_> = self.sockets.keys().copied().collect();
        for (socket, held) in still_held(&sockets) {
            if let Some(survivor) = self.survivors.get_mut(self.sockets[&socket]) {
                survivor.still_held.push(held);
            }
        }
    }

    /// Tells those who are alive after all, every one of them by name, from the others.
    pub(super) fn swept(self, proc: &mut Proc, alive: &HashSet<i32>) -> Swept {
        let found = self.known.len() + self.counted.len();
        let is_alive = |survivor: &Survivor| alive.contains(&survivor.pid);
        let (mut left, ended): (Vec<_>, Vec<_>) = self.survivors.into_iter().partition(is_alive);
        let named: HashSet<i32> = left.iter().map(|survivor| survivor.pid).collect();
        for &pid in alive.difference(&named) {
            left.push(survivor(pid, proc.command(pid)));
        }
        let more = found.saturating_sub(ended.len() + left.len());
        Swept { ended, left, more }
    }
}

fn survivor(pid: i32, command: String) -> Survivor {
    Survivor {
        pid,
        command,
        ports: Vec::new(),
        still_held: Vec::new(),
        in_group: false,
    }
}
