//! Removes what the tests of dead runs have left at a container engine.

use std::collections::HashSet;
use std::time::Duration;

use crate::container::Stuck;
use crate::container::Thing;
use crate::containers::LATE;
use crate::containers::Scope;
use crate::containers::clear;
use crate::containers::is_proxy;
use crate::containers::look;
use crate::coordinator::Record;
use crate::id::RunId;
use crate::report::Reaped;
use crate::run::error::chain;
use crate::run::podman::left_by;
use crate::run::reap::Reaper;

/// How long removing the containers of a dead run may take.
const CONTAINERS: Duration = Duration::from_secs(10);

/// What becomes of what is left.
const AGAIN: &str = "it is tried again at the next start";

impl Reaper<'_> {
    /// Removes what the tests of a dead run have made with containers. Says whether all of it is gone.
    pub(super) fn clear_containers(&mut self, record: &Record, reaped: &mut Reaped) -> bool {
        let at_engine = self.clear_engine(record, reaped);
        self.clear_podman(record, reaped) && at_engine
    }

    /// Removes what the tests of a dead run have left at a container engine. Says whether all of it is gone.
    fn clear_engine(&mut self, record: &Record, reaped: &mut Reaped) -> bool {
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
                reaped.containers.extend(things);
                self.is_all(run, &stuck)
            }
            // The proxy of a run around it, which has seen to all of this.
            Err(error) if error.is_gone() && is_proxy(engine) => true,
            Err(error) => {
                let message = format!("containers of run {run} may be left: {}", chain(&error));
                self.warn(message, AGAIN);
                false
            }
        }
    }

    /// Removes what the tests of a dead run have made with Podman's command. Says whether all of it is gone.
    fn clear_podman(&mut self, record: &Record, reaped: &mut Reaped) -> bool {
        let run = &record.run;
        let left = || left_by(record.tmpdir.as_deref(), self.env, *self.clock);
        let Some((podman, ledger)) = record.podman.then(left).flatten() else {
            return true;
        };
        let done = if self.dry_run {
            let found = podman.look(run, CONTAINERS);
            found.map(|found| (united(ledger.into_things(), found), Vec::new()))
        } else {
            let cleared = podman.clear(ledger, run, CONTAINERS);
            cleared.map(|cleared| (cleared.removed, cleared.stuck))
        };
        match done {
            Ok((things, stuck)) => {
                reaped.containers.extend(things);
                self.is_all(run, &stuck)
            }
            Err(error) => {
                let message = format!("containers of run {run} may be left: {}", chain(&error));
                self.warn(message, AGAIN);
                false
            }
        }
    }

    /// Whether nothing was left; what was is told.
    fn is_all(&mut self, run: &RunId, stuck: &[Stuck]) -> bool {
        for stuck in stuck {
            self.warn(format!("what run {run} has left: {stuck}"), AGAIN);
        }
        stuck.is_empty()
    }
}

/// Those that were written down and those that were found.
fn united(mut noted: Vec<Thing>, found: Vec<Thing>) -> Vec<Thing> {
    let known: HashSet<_> = noted.iter().map(|thing| thing.id.clone()).collect();
    noted.extend(found.into_iter().filter(|thing| !known.contains(&thing.id)));
    noted
}
