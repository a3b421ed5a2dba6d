//! All processes of the machine, where the platform does not show them: nobody is seen, so nobody is
//! taken for one of ours.

use std::io;
use std::time::Duration;

use super::member::Marker;
use crate::id::ProcessId;

/// Looks at processes, whosever they are.
#[derive(Debug, Default)]
pub struct Everybody;

/// Unknown here.
pub fn myself() -> Option<ProcessId> {
    None
}

/// Unknown here.
pub fn boot() -> Option<String> {
    None
}

/// Unknown here.
pub fn pid_namespace() -> Option<String> {
    None
}

impl Everybody {
    /// Nobody can be seen.
    ///
    /// # Errors
    /// Always.
    pub fn pids(&self) -> io::Result<Vec<i32>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Nobody can be seen.
    pub fn find(&mut self, _pid: i32) -> Option<(ProcessId, i32)> {
        None
    }

    /// Unknown here.
    pub fn leaders(&mut self, _pid: i32) -> Option<[i32; 2]> {
        None
    }

    /// Unknown here.
    pub fn user(&mut self, _pid: i32) -> Option<u32> {
        None
    }

    /// Unknown here.
    pub fn carries(&mut self, _pid: i32, _marker: &Marker) -> bool {
        false
    }

    /// Unknown here.
    pub fn command(&mut self, _pid: i32) -> String {
        "[?]".to_owned()
    }

    /// Unknown here.
    pub fn ancestors(&mut self, _pid: i32) -> Vec<ProcessId> {
        Vec::new()
    }

    /// Nobody is stopped.
    ///
    /// # Errors
    /// Never.
    pub fn stop(&mut self, _id: ProcessId, _parent: i32) -> io::Result<bool> {
        Ok(false)
    }

    /// Nobody is killed.
    ///
    /// # Errors
    /// Never.
    pub fn kill(&mut self, _id: ProcessId) -> io::Result<bool> {
        Ok(false)
    }

    /// There is nobody to wait for.
    pub fn wait(&mut self, _id: ProcessId, _time: Duration) {}
}
