//! Removes what the tests of dead runs have left at a container engine.

use std::time::Duration;

use crate::containers::LATE;
use crate::containers::Scope;
use crate::containers::clear;
use crate::containers::is_proxy;
use crate::containers::look;
use crate::coordinator::Record;
use crate::report::Reaped;
use crate::run::error::chain;
use crate::run::reap::Reaper;

/// How long removing the containers of a dead run may take.
const CONTAINERS: Duration = Duration::from_secs(10);

impl Reaper<'_> {
    /// Removes what the tests of a dead run have left at a container engine. Says whether all of it is gone.
    pub(super) fn clear_containers(&mut self, record: &Record, reaped: &mut Reaped) -> bool {
        let Some(engine) = &record.engine else {
            return true;
        };
        let scope = Scope {
            run: &record.run,
            test: None,
            late: LATE,
            budget: CONTAINERS,
        };
        let done = if self.dry_run {
            look(engine, scope).map(|found| (found, Vec::new()))
        } else {
            clear(engine, scope).map(|cleared| (cleared.removed, cleared.stuck))
        };
        let run = &record.run;
        match done {
            Ok((things, stuck)) => {
                reaped.containers = things;
                for stuck in &stuck {
                    let message = format!("what run {run} has left: {stuck}");
                    self.warn(message, "it is tried again at the next start");
                }
                stuck.is_empty()
            }
            // The proxy of a run around it, which has seen to all of this.
            Err(error) if error.is_gone() && is_proxy(engine) => true,
            Err(error) => {
                let message = format!("containers of run {run} may be left: {}", chain(&error));
                self.warn(message, "it is tried again at the next start");
                false
            }
        }
    }
}
