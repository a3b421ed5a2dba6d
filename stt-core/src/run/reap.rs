//! Ends what dead runs have left: their processes, their temporary directories, their records.
//!
//! Which process is a dead run's is decided by [`Heirloom`]; here it is only acted on. Every process is
//! stopped before any is killed, so that none is born unseen while the others die.

mod containers;
mod directories;

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::clock::Clock;
use crate::clock::Moment;
use crate::command::Environment;
use crate::coordinator::CoordinatorError;
use crate::coordinator::Dead;
use crate::coordinator::Directory;
use crate::coordinator::Found;
use crate::coordinator::Heirloom;
use crate::coordinator::Place;
use crate::coordinator::Processes;
use crate::coordinator::Record;
use crate::coordinator::Verdict;
use crate::id::ProcessId;
use crate::process::Doomed;
use crate::process::Everybody;
use crate::process::Marker;
use crate::process::NAMED_IN_HASTE;
use crate::process::boot;
use crate::process::myself;
use crate::process::pid_namespace;
use crate::report::LeakedProcess;
use crate::report::Reaped;
use crate::report::Warning;
use crate::run::error::chain;
use crate::run::settle::leaked;
use crate::run::status::counters;

/// How long the processes of a dead run have to die.
const SWEEP: Duration = Duration::from_secs(3);

/// How many passes a family may still grow for while it is being stopped.
const PASSES: u32 = 20;

/// The longest time without another look, while processes die.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What became of the runs that are dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaping {
    /// The dead runs that had left something.
    pub reaped: Vec<Reaped>,
    /// What could not be done, or must not be.
    pub warnings: Vec<Warning>,
}

impl Reaping {
    /// Whether everything that was found is gone.
    pub fn is_complete(&self) -> bool {
        self.reaped.iter().all(|reaped| reaped.left.is_empty()) && self.warnings.is_empty()
    }
}

/// Ends what dead runs of this user have left, or only says what that is. Where there are none it
/// costs one reading of a directory.
///
/// # Errors
/// The directory of the runs can't be used.
pub fn reap(
    place: &Place,
    env: &Environment,
    clock: &Clock,
    dry_run: bool,
) -> Result<Reaping, CoordinatorError> {
    let Some(directory) = Directory::find(place)? else {
        return Ok(Reaping::default());
    };
    let mut reaper = Reaper {
        directory,
        env,
        clock,
        dry_run,
        tried: HashSet::new(),
        done: Reaping::default(),
    };
    // A runner that a dead run's test had started dies with it, and then its own record is a dead one.
    while reaper.pass()? {}
    reaper.count();
    Ok(reaper.done)
}

struct Reaper<'a> {
    directory: Directory,
    /// Where Podman's command is looked for.
    env: &'a Environment,
    clock: &'a Clock,
    dry_run: bool,
    /// What was looked at, whatever came of it.
    tried: HashSet<Utf8PathBuf>,
    done: Reaping,
}

impl Reaper<'_> {
    /// Counts what was done, for whoever wants to know.
    fn count(&self) {
        if let Some(boot) = boot().filter(|_| !self.dry_run) {
            // Nobody waits for it.
            drop(self.directory.count(&boot, counters(&self.done.reaped)));
        }
    }

    /// Sees to the dead runs that are known now. Says whether there may be more of them.
    fn pass(&mut self) -> Result<bool, CoordinatorError> {
        let (mut living, mut dead) = (Vec::new(), Vec::new());
        for found in self.directory.records(myself())? {
            match found {
                Found::Alive(record) => living.extend(record.map(|record| *record)),
                Found::Dead(run) => dead.push(run),
                Found::Unfinished(_) | Found::Draft(_) if self.dry_run => {}
                Found::Unfinished(name) => self.directory.forget(name)?,
                Found::Draft(draft) => self.directory.discard(&draft)?,
                Found::Bad { path, why } => {
                    if self.tried.insert(path.clone()) {
                        self.warn(
                            format!("`{path}` is not acted on: {}", chain(&why)),
                            "nothing is done about the run that it may be of; it can be deleted",
                        );
                    }
                }
            }
        }
        dead.retain(|run| self.tried.insert(run.path(&self.directory)));
        let any = !dead.is_empty();
        for run in dead {
            self.see_to(*run, &living);
        }
        Ok(any && !self.dry_run)
    }

    fn see_to(&mut self, dead: Dead, living: &[Record]) {
        let record = &dead.record;
        let same_boot = boot().is_some_and(|boot| boot == record.owner.boot);
        let mut reaped = Reaped::nothing(record.run.clone(), record.workspace.clone());
        if same_boot {
            // Where its numbers mean other processes, or none, they say nothing about what is left.
            if pid_namespace().as_deref() != Some(record.owner.pid_namespace.as_str()) {
                return;
            }
            let mut machine = Machine::new(record);
            let Some(heirloom) = machine.heirloom(record, living) else {
                return;
            };
            let group = self.group(record);
            let ended = self.end_processes(&heirloom, &mut machine, group, &mut reaped);
            if let Err(error) = ended {
                let message = format!("what run {} has left can't be seen: {error}", record.run);
                return self.warn(message, "it is tried again at the next start");
            }
        }
        let is_alive = living.iter().any(|other| other.run == record.run);
        let cleared = is_alive || self.clear_containers(record, &mut reaped);
        let complete = reaped.left.is_empty() && cleared;
        if complete && let Some(path) = &record.tmpdir {
            let removed = self.remove_tmpdir(path, record);
            reaped.directories.extend(removed.then(|| path.clone()));
        }
        if complete
            && !is_alive
            && let Some(path) = &record.output
        {
            let removed = self.remove_output(path, record);
            reaped.directories.extend(removed.then(|| path.clone()));
        }
        if !reaped.is_empty() {
            self.done.reaped.push(reaped);
        }
        if complete
            && !self.dry_run
            && let Err(error) = dead.remove(&self.directory)
        {
            self.warn(chain(&error), "it is tried again at the next start");
        }
    }

    /// The control group of a dead run, if it had one. Whoever is in it is the run's, also who carries no
    /// mark, descends from nobody any more or has become another user's.
    fn group(&mut self, record: &Record) -> Option<Doomed> {
        let group = Doomed::open_left(record.cgroup.as_deref()?);
        group
            .map_err(|error| {
                let message = format!("what run {} has left: {}", record.run, chain(&error));
                self.warn(message, "it is tried again at the next start");
            })
            .ok()?
    }

    /// Ends the processes of a dead run. Says whom it found and ended, and who is still alive.
    ///
    /// The group comes first, for one write kills all of it. Who has left it may be known by somebody in it
    /// only, so there is one look before.
    fn end_processes(
        &self,
        heirloom: &Heirloom,
        machine: &mut Machine,
        group: Option<Doomed>,
        reaped: &mut Reaped,
    ) -> io::Result<()> {
        let deadline = self.clock.now().saturating_add(SWEEP);
        let members = group.as_ref().map(Doomed::members).unwrap_or_default();
        let mut notes = Notes::new(if self.dry_run {
            usize::MAX
        } else {
            NAMED_IN_HASTE
        });
        if self.dry_run {
            notes.all_of(&members, &mut machine.everybody);
            machine.look(heirloom, &members, &mut notes, |_, _, _| ())?;
            notes.sort_out(&HashSet::new(), reaped);
            return Ok(());
        }
        if let Some(group) = group {
            let stop = |everybody: &mut Everybody, id, parent| drop(everybody.stop(id, parent));
            let outside = machine.look(heirloom, &members, &mut notes, stop)?;
            let swept = group.end(self.clock, deadline).map_err(io::Error::other)?;
            for id in outside {
                // Who can't be killed is found alive below.
                drop(machine.everybody.kill(id));
            }
            let processes = |list: Vec<_>| list.into_iter().map(leaked).collect::<Vec<_>>();
            reaped.ended = processes(swept.ended);
            reaped.left = processes(swept.left);
            reaped.more = swept.more;
        }
        let mut empty_looks = 0;
        loop {
            let present = machine.freeze(heirloom, &members, &mut notes)?;
            let refused = present
                .iter()
                .filter(|&&id| machine.everybody.kill(id).is_err())
                .count();
            empty_looks = if present.is_empty() {
                empty_looks + 1
            } else {
                0
            };
            let left = left_until(deadline, self.clock);
            let hopeless = !present.is_empty() && refused == present.len();
            if empty_looks == 2 || left.is_zero() || hopeless {
                let alive = machine.alive(&present);
                notes.sort_out(&alive, reaped);
                return Ok(());
            }
            if let Some(&id) = present.iter().next() {
                machine.everybody.wait(id, left.min(LOOK_AGAIN));
            }
        }
    }

    fn warn(&mut self, message: String, hint: &str) {
        self.done.warnings.push(Warning {
            message,
            hint: Some(hint.to_owned()),
        });
    }
}

fn left_until(deadline: Moment, clock: &Clock) -> Duration {
    deadline.saturating_sub(clock.now())
}

/// The machine's processes, seen with the eyes of one dead run.
struct Machine {
    everybody: Everybody,
    marker: Marker,
}

impl Machine {
    fn new(record: &Record) -> Self {
        Self {
            everybody: Everybody::default(),
            marker: Marker::new([("STT_RUN_ID", record.run.as_str())]),
        }
    }

    /// What the run may have left; `None` when we are part of it.
    fn heirloom(&mut self, record: &Record, living: &[Record]) -> Option<Heirloom> {
        let own = std::process::id().cast_signed();
        let above = self.everybody.ancestors(own).into_iter();
        let spared = above.map(|id| id.pid).chain([own]).collect();
        let heirloom = Heirloom::new(record, living, spared, self);
        (!heirloom.holds(own, self)).then_some(heirloom)
    }

    /// Looks at every process once, but for these, and meets those that the run has left with their parents.
    fn look(
        &mut self,
        heirloom: &Heirloom,
        members: &[i32],
        notes: &mut Notes,
        mut meet: impl FnMut(&mut Everybody, ProcessId, i32),
    ) -> io::Result<Vec<ProcessId>> {
        let mut present = Vec::new();
        for pid in self.everybody.pids()? {
            // Who is in the run's group needs no other proof.
            if members.binary_search(&pid).is_ok() {
                continue;
            }
            match heirloom.judge(pid, self) {
                Verdict::Left { id, parent } => {
                    meet(&mut self.everybody, id, parent);
                    notes.found(id, &mut self.everybody);
                    present.push(id);
                }
                Verdict::OtherUser(id) => notes.not_ours(id, &mut self.everybody),
                Verdict::Stranger => {}
            }
        }
        Ok(present)
    }

    /// Stops everybody whom the run has left, until a whole look finds nobody new.
    fn freeze(
        &mut self,
        heirloom: &Heirloom,
        members: &[i32],
        notes: &mut Notes,
    ) -> io::Result<HashSet<ProcessId>> {
        let mut stopped = HashSet::new();
        for _ in 0..PASSES {
            let before = stopped.len();
            let found = self.look(heirloom, members, notes, |everybody, id, parent| {
                if !stopped.contains(&id) {
                    // Who can't be stopped is killed nevertheless; that result counts.
                    drop(everybody.stop(id, parent));
                }
            })?;
            stopped.extend(found);
            if stopped.len() == before {
                break;
            }
        }
        Ok(stopped)
    }

    fn alive(&mut self, processes: &HashSet<ProcessId>) -> HashSet<ProcessId> {
        let is_alive = |id: &&ProcessId| {
            let now = self.everybody.find(id.pid);
            now.is_some_and(|(now, _)| now == **id)
        };
        processes.iter().filter(is_alive).copied().collect()
    }
}

impl Processes for Machine {
    fn find(&mut self, pid: i32) -> Option<(ProcessId, i32)> {
        self.everybody.find(pid)
    }

    fn leaders(&mut self, pid: i32) -> Option<[i32; 2]> {
        self.everybody.leaders(pid)
    }

    fn user(&mut self, pid: i32) -> Option<u32> {
        self.everybody.user(pid)
    }

    fn is_marked(&mut self, pid: i32) -> bool {
        self.everybody.carries(pid, &self.marker)
    }
}

/// Whom a search has found, each of them once.
struct Notes {
    known: HashSet<ProcessId>,
    /// How many are told by name: their deaths wait for it.
    most: usize,
    found: Vec<(ProcessId, LeakedProcess)>,
    /// Those who were found beside them.
    more: HashSet<ProcessId>,
    not_ours: Vec<LeakedProcess>,
}

impl Notes {
    fn new(most: usize) -> Self {
        Self {
            known: HashSet::new(),
            most,
            found: Vec::new(),
            more: HashSet::new(),
            not_ours: Vec::new(),
        }
    }

    /// Notes those of a group.
    fn all_of(&mut self, members: &[i32], everybody: &mut Everybody) {
        for &pid in members {
            if let Some((id, _)) = everybody.find(pid) {
                self.found(id, everybody);
            }
        }
    }

    fn found(&mut self, id: ProcessId, everybody: &mut Everybody) {
        if !self.known.insert(id) {
            return;
        }
        if self.found.len() < self.most {
            self.found.push((id, described(id, everybody)));
        } else {
            self.more.insert(id);
        }
    }

    fn not_ours(&mut self, id: ProcessId, everybody: &mut Everybody) {
        if self.known.insert(id) {
            self.not_ours.push(described(id, everybody));
        }
    }

    /// Enters those that are gone, and those that are not.
    fn sort_out(self, alive: &HashSet<ProcessId>, reaped: &mut Reaped) {
        let mut everybody = Everybody::default();
        for (id, process) in self.found {
            let list = if alive.contains(&id) {
                &mut reaped.left
            } else {
                &mut reaped.ended
            };
            list.push(process);
        }
        let (left, gone): (Vec<_>, Vec<_>) =
            self.more.into_iter().partition(|id| alive.contains(id));
        reaped.more += gone.len();
        reaped
            .left
            .extend(left.into_iter().map(|id| described(id, &mut everybody)));
        reaped.left.extend(self.not_ours);
    }
}

fn described(id: ProcessId, everybody: &mut Everybody) -> LeakedProcess {
    LeakedProcess {
        pid: id.pid,
        command: everybody.command(id.pid),
        ports: Vec::new(),
        still_held: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::Owner;
    use crate::coordinator::Registration;
    use crate::id::RunId;
    use crate::process::adopter;

    fn own_record() -> Record {
        let process = myself().unwrap();
        Record {
            run: RunId::from_random([9; 16]),
            owner: Owner {
                process,
                uid: nix::unistd::geteuid().as_raw(),
                boot: boot().unwrap(),
                pid_namespace: pid_namespace().unwrap(),
            },
            workspace: "/w".into(),
            since: 0,
            cgroup: None,
            tmpdir: None,
            checkpoint: None,
            output: None,
            engine: None,
            podman: false,
            adopter: None,
            ancestors: Everybody::default().ancestors(process.pid),
        }
    }

    #[test]
    fn a_living_run_is_not_reaped() {
        let home = tempfile::tempdir().unwrap();
        let place = Place {
            runtime: Utf8PathBuf::from_path_buf(home.path().to_owned()).ok(),
            temporary: "/missing".into(),
        };
        let directory = Directory::open(&place).unwrap();
        let registration = Registration::begin(directory, &own_record()).unwrap();
        let found = reap(&place, &Environment::default(), &Clock::start(), false).unwrap();
        assert_eq!(found, Reaping::default());
        assert!(registration.lock_path().exists());
    }

    #[test]
    #[ignore = "a measurement: run it alone"]
    #[expect(clippy::print_stdout, reason = "it is shown")]
    fn what_a_start_costs() {
        const TIMES: u32 = 1000;
        let home = tempfile::tempdir_in("/dev/shm").unwrap();
        let place = Place {
            runtime: Utf8PathBuf::from_path_buf(home.path().to_owned()).ok(),
            temporary: "/missing".into(),
        };
        let clock = Clock::start();
        let measure = |what: &str, act: &mut dyn FnMut()| {
            let before = clock.now();
            (0..TIMES).for_each(|_| act());
            println!("{what}: {:?}", clock.now().saturating_sub(before) / TIMES);
        };
        let looking = &mut || drop(reap(&place, &Environment::default(), &clock, false).unwrap());
        measure("a look where there is no directory", looking);
        let record = own_record();
        let directory = || Directory::open(&place).unwrap();
        let ending = &mut || drop(Registration::begin(directory(), &record).unwrap());
        measure("a record, made and removed", ending);
        measure("a look where there is nothing", looking);
        let _one = Registration::begin(directory(), &record).unwrap();
        measure("a look where one other run lives", looking);
        measure("asking who takes orphans over", &mut || {
            assert!(adopter().is_some());
        });
        measure("our ancestors", &mut || drop(own_record()));
    }
}
