//! Removes the directories that dead runs have left.

use camino::Utf8Path;

use crate::coordinator::Place;
use crate::coordinator::Record;
use crate::run::error::chain;
use crate::run::reap::Reaper;
use crate::run::reap::reap;
use crate::run::spill;
use crate::run::tmpdir::LeftDir;
use crate::run::tmpdir::Remains;

impl Reaper<'_> {
    /// Removes the directory that a dead run kept its temporary files in, if it is there and nobody has
    /// taken it over. Says whether it was there.
    pub(super) fn remove_tmpdir(&mut self, path: &Utf8Path, record: &Record) -> bool {
        let left = match LeftDir::find(path, &record.run) {
            Remains::Left(left) => left,
            Remains::Nothing => return false,
            Remains::Foreign(why) => {
                let run = &record.run;
                let message =
                    format!("`{path}`, which the record of run {run} names, stays: {why}");
                self.warn(message, "if it is nobody's, delete it by hand");
                return false;
            }
        };
        // Runners inside tests may have had no other place for their records.
        match reap(&Place::inside(path), self.env, self.clock, self.dry_run) {
            Ok(mut inner) => {
                self.done.reaped.append(&mut inner.reaped);
                self.done.warnings.append(&mut inner.warnings);
            }
            Err(error) => self.warn(chain(&error), "it is removed with the run's directory"),
        }
        if self.dry_run {
            return true;
        }
        match left.remove() {
            Ok(()) => true,
            Err(error) => {
                let message = format!("the temporary directory of a dead run is left: {error}");
                self.warn(message, "delete it by hand");
                false
            }
        }
    }

    /// Removes the output that a dead run has put into files, if there is some. Says whether it was there.
    pub(super) fn remove_output(&mut self, path: &Utf8Path, record: &Record) -> bool {
        let Some(left) = spill::Left::find(path, &record.run) else {
            return false;
        };
        if self.dry_run {
            return true;
        }
        left.remove().unwrap_or_else(|error| {
            let message = format!("the output of a dead run is left in `{path}`: {error}");
            self.warn(message, "delete it by hand");
            false
        })
    }
}
