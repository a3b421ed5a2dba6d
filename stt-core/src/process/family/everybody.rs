//! All processes of the machine, for finding those that a dead runner has left behind. Whoever is
//! below a living runner is found by [`Family`](super::Family), which is quicker and surer.

use std::io;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::member::Marker;
use super::proc::Proc;
use super::tree;
use crate::id::ProcessId;
use crate::process::kernel;

/// Looks at processes, whosever they are.
#[derive(Debug, Default)]
pub struct Everybody {
    proc: Proc,
}

/// The calling process.
pub fn myself() -> Option<ProcessId> {
    let mut everybody = Everybody::default();
    everybody
        .find(std::process::id().cast_signed())
        .map(|(id, _)| id)
}

/// The boot that the machine runs since, as the kernel names it (`proc_sys_kernel(5)`).
pub fn boot() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// The name space in which our process ids mean something (`pid_namespaces(7)`).
pub fn pid_namespace() -> Option<String> {
    let name = std::fs::read_link("/proc/self/ns/pid").ok()?;
    name.into_os_string().into_string().ok()
}

impl Everybody {
    /// The ids of all processes, the highest first: who forks and exits all the time is the youngest
    /// in most cases, and gone a moment after it was listed.
    ///
    /// # Errors
    /// `/proc` can't be read.
    pub fn pids(&self) -> io::Result<Vec<i32>> {
        let entries = std::fs::read_dir("/proc")?;
        let number = |entry: io::Result<std::fs::DirEntry>| -> Option<i32> {
            entry.ok()?.file_name().to_str()?.parse().ok()
        };
        let mut pids: Vec<i32> = entries.filter_map(number).collect();
        pids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(pids)
    }

    /// A process that is alive, and its parent.
    pub fn find(&mut self, pid: i32) -> Option<(ProcessId, i32)> {
        let stat = self.proc.stat(pid).filter(|stat| !stat.is_dead())?;
        let start = stat.start;
        Some((ProcessId { pid, start }, stat.parent))
    }

    /// Who leads its process group, and who its session; they need not be alive.
    pub fn leaders(&mut self, pid: i32) -> Option<[i32; 2]> {
        let stat = self.proc.stat(pid)?;
        Some([stat.group, stat.session])
    }

    /// Whether it is stopped, as by SIGSTOP; `None` where that can't be told.
    pub fn stands_still(&mut self, pid: i32) -> Option<bool> {
        self.proc.stat(pid).map(|stat| stat.state == b'T')
    }

    /// Its real user.
    pub fn user(&mut self, pid: i32) -> Option<u32> {
        self.proc.user(pid)
    }

    /// Whether it was started with all entries of the marker; also when its main thread has exited
    /// and others live on.
    pub fn carries(&mut self, pid: i32, marker: &Marker) -> bool {
        let threads = self.proc.stat(pid).map_or(0, |stat| stat.threads);
        self.proc.carries(pid, threads, &marker.entries)
    }

    /// The values of these variables that it was started with, as far as we may see them.
    pub fn variables<const N: usize>(&mut self, pid: i32, names: [&str; N]) -> [Option<String>; N] {
        self.proc.variables(pid, names)
    }

    /// Its command line, or its name in brackets where it has none.
    pub fn command(&mut self, pid: i32) -> String {
        self.proc.command(pid)
    }

    /// Those above a process, its parent first.
    pub fn ancestors(&mut self, pid: i32) -> Vec<ProcessId> {
        let mut ancestors: Vec<ProcessId> = Vec::new();
        let mut next = self.find(pid).map(|(_, parent)| parent);
        while let Some((id, parent)) = next.and_then(|pid| self.find(pid)) {
            if ancestors.contains(&id) {
                break;
            }
            ancestors.push(id);
            next = Some(parent);
        }
        ancestors
    }

    /// Stops a process, if it is still the one that was seen and has the parent that was seen: by the
    /// two it was judged. Says whether it was.
    ///
    /// # Errors
    /// It may not be signalled.
    pub fn stop(&mut self, id: ProcessId, parent: i32) -> io::Result<bool> {
        self.signal(id, Signal::SIGSTOP, |now| now == parent)
    }

    /// Kills a process, if it is still the one that was seen. Says whether it was.
    ///
    /// # Errors
    /// It may not be signalled.
    pub fn kill(&mut self, id: ProcessId) -> io::Result<bool> {
        self.signal(id, Signal::SIGKILL, |_| true)
    }

    fn signal(
        &mut self,
        id: ProcessId,
        signal: Signal,
        parent: impl Fn(i32) -> bool,
    ) -> io::Result<bool> {
        let process = kernel::pidfd_open(id.pid);
        // A descriptor is the process for which it was opened, so the check comes after the opening.
        let same = |(now, above): (ProcessId, i32)| now == id && parent(above);
        if id.pid <= 1 || !self.find(id.pid).is_some_and(same) {
            return Ok(false);
        }
        match process {
            Ok(process) => kernel::pidfd_signal(&process, signal)?,
            // Kernels before 5.3 have no such descriptors, and we may have none left.
            Err(_) => nix::sys::signal::kill(Pid::from_raw(id.pid), signal)?,
        }
        Ok(true)
    }

    /// Waits until a process has ended, but not for longer than that.
    pub fn wait(&mut self, id: ProcessId, time: Duration) {
        if let Ok(process) = kernel::pidfd_open(id.pid)
            && self.find(id.pid).is_some_and(|(now, _)| now == id)
        {
            tree::wait_for(&process, time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_somebody_and_have_ancestors() {
        let own = myself().unwrap();
        let mut everybody = Everybody::default();
        assert!(everybody.pids().unwrap().contains(&own.pid));
        let leaders = [nix::unistd::getpgrp(), nix::unistd::getsid(None).unwrap()];
        assert_eq!(everybody.leaders(own.pid), Some(leaders.map(Pid::as_raw)));
        assert_eq!(
            everybody.user(own.pid),
            Some(nix::unistd::getuid().as_raw())
        );
        let above = everybody.ancestors(own.pid);
        assert_eq!(above[0].pid, nix::unistd::getppid().as_raw());
        assert!(above.iter().all(|id| id.start <= own.start));
        assert!(boot().is_some_and(|boot| boot.len() == 36));
        assert!(pid_namespace().is_some_and(|name| name.starts_with("pid:[")));
    }

    #[test]
    fn another_start_or_parent_is_another_process() {
        let own = myself().unwrap();
        let mut everybody = Everybody::default();
        let other = ProcessId {
            start: own.start + 1,
            ..own
        };
        assert!(!everybody.kill(other).unwrap());
        assert!(!everybody.stop(own, -5).unwrap());
        let first = ProcessId { pid: 1, start: 0 };
        assert!(!everybody.kill(first).unwrap());
    }
}
