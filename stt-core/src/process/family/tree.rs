//! Trees of processes that are held still, named and killed.
//!
//! A tree that is only killed from its root on grows while it dies, and whoever is born in between has
//! no parent left that would say whose it is. So every member is stopped before its children are
//! listed, until a whole pass finds nobody new; only then they die.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::member::Identity;
use super::proc::Proc;
use crate::process::kernel;

/// How many passes a tree may still grow for. Stopped processes don't fork: what grows after so many
/// is killed as far as it is known, and looked at again.
const PASSES: u32 = 20;

/// How many processes a look takes in on which a signal waits: some 10 µs each.
const GLANCE: usize = 256;

/// The longest time without another look, while processes die.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A tree of processes, every one of them alive when it was found.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) members: Vec<Member>,
}

/// One process of a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) identity: Identity,
    pub(super) group: i32,
}

impl Tree {
    /// Finds who is alive from a root down, and stops nobody. It ends with the first few hundred,
    /// because a signal to the tree waits for it.
    pub(super) fn below(proc: &mut Proc, root: i32) -> Self {
        Self::glance(proc, &[root])
    }

    /// The same from several roots down.
    pub(super) fn glance(proc: &mut Proc, roots: &[i32]) -> Self {
        let mut tree = Self::default();
        tree.pass(proc, roots, GLANCE, &mut HashSet::new(), |_, _| ());
        tree
    }

    /// Finds everybody alive below the roots, roots included, and stops them.
    pub(super) fn freeze(proc: &mut Proc, roots: &[i32]) -> Self {
        let mut tree = Self::default();
        let mut known = HashSet::new();
        for _ in 0..PASSES {
            let stop = |proc: &mut Proc, identity| {
                // Who can't be stopped is killed nevertheless; that result counts.
                drop(signal(proc, identity, Signal::SIGSTOP));
            };
            if !tree.pass(proc, roots, usize::MAX, &mut known, stop) {
                break;
            }
        }
        tree
    }

    /// Walks the tree once. Says whether it met anybody whom it did not know.
    fn pass(
        &mut self,
        proc: &mut Proc,
        roots: &[i32],
        limit: usize,
        known: &mut HashSet<Identity>,
        mut meet: impl FnMut(&mut Proc, Identity),
    ) -> bool {
        let own = std::process::id().cast_signed();
        let mut queue = roots.to_vec();
        let mut visited = HashSet::new();
        let mut grew = false;
        while let Some(pid) = queue.pop().filter(|_| self.members.len() < limit) {
            if pid <= 1 || pid == own || !visited.insert(pid) {
                continue;
            }
            // The children of the dead have other parents by now, and are met there.
            let Some(stat) = proc.stat(pid).filter(|stat| !stat.is_dead()) else {
                continue;
            };
            let identity = stat.identity();
            if known.insert(identity) {
                grew = true;
                meet(proc, identity);
                self.members.push(Member {
                    identity,
                    group: stat.group,
                });
            }
            proc.children(pid, stat.threads, &mut queue);
        }
        grew
    }

    /// Who they are.
    pub(super) fn identities(&self) -> impl Iterator<Item = Identity> {
        self.members.iter().map(|member| member.identity)
    }

    /// Kills everybody.
    pub(super) fn kill(&self, proc: &mut Proc) {
        for member in &self.members {
            // Who could not be killed is found alive afterwards, and reported then.
            drop(signal(proc, member.identity, Signal::SIGKILL));
        }
    }

    /// Those who are still alive.
    pub(super) fn alive(&self) -> HashSet<i32> {
        let mut proc = Proc::default();
        let alive = |member: &&Member| is_alive(&mut proc, member.identity);
        self.members
            .iter()
            .filter(alive)
            .map(|member| member.identity.pid)
            .collect()
    }

    /// Waits until one of them has exited, but not for long, and not beyond `left`.
    pub(super) fn wait(&self, left: Duration) {
        let mut proc = Proc::default();
        let alive = self.members.iter().rev().find_map(|member| {
            let process = kernel::pidfd_open(member.identity.pid).ok()?;
            is_alive(&mut proc, member.identity).then_some(process)
        });
        if let Some(process) = alive {
            wait_for(&process, left.min(LOOK_AGAIN));
        }
    }
}

/// Waits for the end of a process. A signal may cut it short, so callers look again.
pub(super) fn wait_for(process: &OwnedFd, time: Duration) {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(time + Duration::from_micros(999));
    let _ = nix::poll::poll(&mut fds, timeout.unwrap_or(PollTimeout::ZERO));
}

fn is_alive(proc: &mut Proc, identity: Identity) -> bool {
    proc.stat(identity.pid)
        .is_some_and(|stat| stat.start == identity.start && !stat.is_dead())
}

/// Signals a process if it is still the one that was seen. That it is gone is no error.
fn signal(proc: &mut Proc, identity: Identity, signal: Signal) -> io::Result<()> {
    let process = kernel::pidfd_open(identity.pid);
    // A descriptor is the process for which it was opened, so the check comes after the opening.
    if !is_alive(proc, identity) {
        return Ok(());
    }
    match process {
        Ok(process) => kernel::pidfd_signal(&process, signal),
        // Kernels before 5.3 have no such descriptors, and we may have none left.
        Err(_) => {
            nix::sys::signal::kill(Pid::from_raw(identity.pid), signal).map_err(io::Error::from)
        }
    }
}
