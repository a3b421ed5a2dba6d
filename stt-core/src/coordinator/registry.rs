//! The records that are there: of runs that live, and of runs that are dead.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fs::File;
use std::fs::TryLockError;
use std::io;

use camino::Utf8PathBuf;
use nix::fcntl::OFlag;

use super::directory::Directory;
use super::directory::draft_of;
use super::directory::is_ours;
use super::error::CoordinatorError;
use super::registration::live_of;
use super::registration::lock_of;
use super::registration::record_of;
use crate::coordinator::Record;
use crate::coordinator::RecordFault;
use crate::id::ProcessId;
use crate::id::RunId;

/// What was found under one name.
#[derive(Debug)]
pub enum Found {
    /// Somebody holds the lock. The record is there once it is written and if it can be read.
    Alive(Option<Box<Record>>),
    /// Nobody held the lock. We do until this is dropped, so that no other reaper acts on it.
    Dead(Box<Dead>),
    /// A runner died between making the lock and writing its record, before it had started anything.
    Unfinished(Name),
    /// What a record was written to before it took its name, and whose runner is gone with its lock.
    Draft(String),
    /// Something that must not be acted on.
    Bad {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        why: BadRecord,
    },
}

/// Why a file is not acted on.
#[derive(Debug, thiserror::Error)]
pub enum BadRecord {
    /// It is not what a runner writes.
    #[error("it is not what a runner of this user wrote")]
    Fault(#[source] RecordFault),
    /// It can't be read.
    #[error("it can't be read")]
    Unreadable(#[source] io::Error),
    /// Its lock is gone, so nobody can tell whether its run lives.
    #[error("it has no lock, so nobody can tell whether its run lives")]
    NoLock,
}

/// The record of a dead run.
#[derive(Debug)]
pub struct Dead {
    /// What it told of itself.
    pub record: Record,
    name: Name,
}

/// A name whose lock we hold.
#[derive(Debug)]
pub struct Name {
    stem: String,
    _held: File,
}

impl Dead {
    /// The record's file in this directory.
    pub fn path(&self, directory: &Directory) -> Utf8PathBuf {
        directory.path().join(record_of(&self.name.stem))
    }

    /// Removes the record: nothing of the run is left.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn remove(self, directory: &Directory) -> Result<(), CoordinatorError> {
        directory.forget(self.name)
    }
}

impl Directory {
    /// What is in the directory. One reading of it, where there is nothing.
    ///
    /// # Errors
    /// It can't be read, or its file system knows no locks.
    pub fn records(&self, myself: Option<ProcessId>) -> Result<Vec<Found>, CoordinatorError> {
        let names = self.names()?;
        let mut found = Vec::new();
        let locks: HashSet<&str> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".lock"))
            .collect();
        for stem in &locks {
            found.extend(self.look_at(stem, myself)?);
        }
        for draft in &names {
            let stem = draft.strip_suffix(&draft_of(&record_of("")));
            found.extend(stem.and_then(|stem| self.lost_draft(draft, stem)));
        }
        for stem in names.iter().filter_map(|name| name.strip_suffix(".json")) {
            // Both may have come, or gone, while the names were read: the lock comes first and goes last.
            let lost = !locks.contains(stem)
                && !self.is_there(&lock_of(stem))
                && self.is_there(&record_of(stem));
            if lost {
                found.push(Found::Bad {
                    path: self.path().join(record_of(stem)),
                    why: BadRecord::NoLock,
                });
            }
        }
        Ok(found)
    }

    /// What runs tell of themselves.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn told(&self) -> Result<HashMap<RunId, Record>, CoordinatorError> {
        let names = self.names()?;
        let stems = names.iter().filter_map(|name| name.strip_suffix(".json"));
        let records = stems.filter_map(|stem| readable(&self.read(&record_of(stem)).ok()??, stem));
        Ok(records.map(|record| (record.run.clone(), record)).collect())
    }

    /// Removes a record and its lock.
    ///
    /// # Errors
    /// They can't be removed.
    pub fn forget(&self, name: Name) -> Result<(), CoordinatorError> {
        let record = record_of(&name.stem);
        let live = live_of(&name.stem);
        for file in [
            draft_of(&live),
            live,
            draft_of(&record),
            record,
            lock_of(&name.stem),
        ] {
            self.remove(&file).map_err(|source| {
                let path = self.path().join(&file);
                CoordinatorError::Remove { path, source }
            })?;
        }
        // Its lock is free only now, when there is nothing left that another could find.
        drop(name);
        Ok(())
    }

    /// Removes a draft that nobody will finish.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn discard(&self, draft: &str) -> Result<(), CoordinatorError> {
        self.remove(draft).map_err(|source| {
            let path = self.path().join(draft);
            CoordinatorError::Remove { path, source }
        })
    }

    /// A draft without a lock. Whoever writes one holds that from before to after; what is there with a
    /// lock is seen to with it.
    fn lost_draft(&self, draft: &str, stem: &str) -> Option<Found> {
        let file = match self.open_file(draft, OFlag::O_RDONLY) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return Some(self.bad(draft, error)),
        };
        if let Err(error) = is_ours(&file) {
            return Some(self.bad(draft, error));
        }
        // The same draft before and after a moment without a lock: nobody was writing it.
        let lost =
            !self.is_there(&lock_of(stem)) && self.still_holds(draft, &file).unwrap_or(false);
        lost.then(|| Found::Draft(draft.to_owned()))
    }

    /// What must not be acted on, since it can't be read.
    fn bad(&self, name: &str, error: io::Error) -> Found {
        Found::Bad {
            path: self.path().join(name),
            why: BadRecord::Unreadable(error),
        }
    }

    /// What is under a name; `None` when it has just gone.
    fn look_at(
        &self,
        stem: &str,
        myself: Option<ProcessId>,
    ) -> Result<Option<Found>, CoordinatorError> {
        let lock = lock_of(stem);
        let file = match self.open_file(&lock, OFlag::O_RDWR) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Ok(Some(self.bad(&lock, error))),
        };
        if let Err(error) = is_ours(&file) {
            return Ok(Some(self.bad(&lock, error)));
        }
        let alive = match file.try_lock() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(source)) => {
                let path = self.path().join(&lock);
                return Err(CoordinatorError::Lock { path, source });
            }
        };
        if !self.still_holds(&lock, &file).unwrap_or(false) {
            return Ok(None);
        }
        let record = record_of(stem);
        let text = match self.read(&record) {
            Ok(text) => text,
            Err(_) if alive => None,
            Err(error) => return Ok(Some(self.bad(&record, error))),
        };
        if alive {
            // Our own record is among these.
            let parsed = text.and_then(|text| readable(&text, stem));
            return Ok(Some(Found::Alive(parsed.map(Box::new))));
        }
        let name = Name {
            stem: stem.to_owned(),
            _held: file,
        };
        Ok(Some(match text {
            None => Found::Unfinished(name),
            Some(text) => match Record::parse(&text, stem, own_uid(), myself) {
                Ok(record) => Found::Dead(Box::new(Dead { record, name })),
                Err(fault) => Found::Bad {
                    path: self.path().join(record),
                    why: BadRecord::Fault(fault),
                },
            },
        }))
    }

    fn is_there(&self, name: &str) -> bool {
        self.open_file(name, OFlag::O_RDONLY).is_ok()
    }
}

/// A record of ours, by whatever process, if it is one.
fn readable(text: &[u8], stem: &str) -> Option<Record> {
    Record::parse(text, stem, own_uid(), None).ok()
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::DirBuilderExt as _;

    use camino::Utf8Path;
    use fs_err as fs;

    use super::*;
    use crate::coordinator::Owner;
    use crate::coordinator::Place;
    use crate::coordinator::Registration;
    use crate::coordinator::hold_shared;
    use crate::id::RunId;

    struct Home {
        place: Place,
        _held: tempfile::TempDir,
    }

    impl Home {
        fn new() -> Self {
            let held = tempfile::tempdir().unwrap();
            let path = Utf8Path::from_path(held.path()).unwrap();
            let place = Place {
                runtime: Some(path.to_owned()),
                temporary: path.join("missing"),
            };
            Self { place, _held: held }
        }

        fn directory(&self) -> Directory {
            Directory::open(&self.place).unwrap()
        }

        fn found(&self) -> Vec<Found> {
            self.directory().records(None).unwrap()
        }

        fn files(&self) -> Vec<String> {
            let mut names = self.directory().names().unwrap();
            names.sort();
            names
        }
    }

    fn record() -> Record {
        Record {
            run: RunId::from_random([3; 16]),
            owner: Owner {
                process: ProcessId { pid: 99, start: 5 },
                uid: nix::unistd::geteuid().as_raw(),
                boot: "b".to_owned(),
                pid_namespace: "n".to_owned(),
            },
            workspace: "/w".into(),
            since: 7,
            cgroup: None,
            tmpdir: None,
            checkpoint: None,
            output: None,
            engine: None,
            podman: false,
            adopter: None,
            ancestors: Vec::new(),
        }
    }

    /// Ends a registration as the death of its process does: the lock is free, the files stay.
    fn die(mut registration: Registration) {
        registration.let_go();
        std::mem::forget(registration);
    }

    #[test]
    fn a_run_is_alive_until_it_ends_or_dies() {
        let home = Home::new();
        assert!(home.found().is_empty());
        let registration = Registration::begin(home.directory(), &record()).unwrap();
        assert!(matches!(&home.found()[..], [Found::Alive(Some(one))] if **one == record()));
        drop(registration);
        assert!(home.files().is_empty());
        die(Registration::begin(home.directory(), &record()).unwrap());
        let mut found = home.found();
        let Some(Found::Dead(dead)) = found.pop() else {
            panic!("{found:?}");
        };
        assert_eq!(dead.record, record());
        assert!(
            matches!(home.found()[..], [Found::Alive(_)]),
            "who reaps a record has it for himself"
        );
        dead.remove(&home.directory()).unwrap();
        assert!(home.files().is_empty());
    }

    #[test]
    fn a_run_lives_until_its_supervisor_has_died_too() {
        let home = Home::new();
        let registration = Registration::begin(home.directory(), &record()).unwrap();
        let supervisor = hold_shared(&registration.lock_path()).unwrap();
        die(registration);
        assert!(matches!(home.found()[..], [Found::Alive(_)]));
        drop(supervisor);
        assert!(matches!(home.found()[..], [Found::Dead(_)]));
    }

    #[test]
    fn two_runners_never_share_a_record() {
        let home = Home::new();
        let first = Registration::begin(home.directory(), &record()).unwrap();
        let second = Registration::begin(home.directory(), &record()).unwrap();
        assert_ne!(first.lock_path(), second.lock_path());
        drop(first);
        assert!(matches!(home.found()[..], [Found::Alive(Some(_))]));
        die(second);
        let third = Registration::begin(home.directory(), &record()).unwrap();
        let count = |kind: fn(&Found) -> bool| home.found().iter().filter(|one| kind(one)).count();
        assert_eq!(count(|one| matches!(one, Found::Dead(_))), 1);
        assert_eq!(count(|one| matches!(one, Found::Alive(_))), 1);
        drop(third);
    }

    #[test]
    fn who_comes_and_goes_is_never_taken_for_dead() {
        const RUNNERS: i32 = 4;
        const TIMES: i32 = 150;
        let home = Home::new();
        let ended = std::sync::atomic::AtomicI32::new(0);
        std::thread::scope(|scope| {
            for runner in 0..RUNNERS {
                let (home, ended) = (&home, &ended);
                scope.spawn(move || {
                    for time in 0..TIMES {
                        let mut record = record();
                        record.owner.process.pid = 1000 + runner * TIMES + time;
                        let run = Registration::begin(home.directory(), &record).unwrap();
                        drop(hold_shared(&run.lock_path()).unwrap());
                    }
                    ended.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                });
            }
            while ended.load(std::sync::atomic::Ordering::Relaxed) < RUNNERS {
                for found in home.found() {
                    match found {
                        Found::Alive(_) => {}
                        Found::Unfinished(name) => home.directory().forget(name).unwrap(),
                        Found::Draft(_) | Found::Dead(_) | Found::Bad { .. } => panic!("{found:?}"),
                    }
                }
            }
        });
        assert!(home.files().is_empty());
    }

    #[test]
    fn a_lock_without_a_record_was_left_by_a_crash() {
        let home = Home::new();
        die(Registration::begin(home.directory(), &record()).unwrap());
        home.directory()
            .remove(&record_of(&record().stem()))
            .unwrap();
        let Some(Found::Unfinished(name)) = home.found().pop() else {
            panic!("{:?}", home.found());
        };
        home.directory().forget(name).unwrap();
        assert!(home.files().is_empty());
    }

    #[test]
    fn a_draft_goes_with_its_lock_or_without_one() {
        let home = Home::new();
        let draft = draft_of(&record_of(&record().stem()));
        let path = home.directory().path().join(&draft);
        let alive = Registration::begin(home.directory(), &record()).unwrap();
        fs::write(&path, "{").unwrap();
        assert!(matches!(home.found()[..], [Found::Alive(_)]));
        die(alive);
        let Some(Found::Dead(dead)) = home.found().pop() else {
            panic!("{:?}", home.found());
        };
        dead.remove(&home.directory()).unwrap();
        assert!(home.files().is_empty());

        fs::write(&path, "{").unwrap();
        let found = home.found();
        assert!(matches!(&found[..], [Found::Draft(name)] if *name == draft));
        home.directory().discard(&draft).unwrap();
        assert!(home.files().is_empty());
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(matches!(home.found()[..], [Found::Bad { .. }]));
    }

    #[test]
    fn a_record_without_a_lock_says_nothing() {
        let home = Home::new();
        let registration = Registration::begin(home.directory(), &record()).unwrap();
        fs::remove_file(registration.lock_path()).unwrap();
        let found = home.found();
        assert!(
            matches!(
                &found[..],
                [Found::Bad {
                    why: BadRecord::NoLock,
                    ..
                }]
            ),
            "{found:?}"
        );
        assert!(hold_shared(&registration.lock_path()).is_err());
    }

    #[test]
    fn what_is_no_file_of_ours_is_named() {
        let home = Home::new();
        let directory = home.directory();
        let place = |name: &str| directory.path().join(name);
        std::os::unix::fs::symlink("/etc/passwd", place("a.lock")).unwrap();
        fs::create_dir(place("b.lock")).unwrap();
        nix::unistd::mkfifo(place("c.lock").as_std_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(place("d.lock"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", place("d.json")).unwrap();
        fs::write(place("e.lock"), "").unwrap();
        fs::write(place("e.json"), vec![b' '; 100_000]).unwrap();
        fs::write(place("unknown"), "").unwrap();
        let found = home.found();
        assert_eq!(found.len(), 5);
        for one in found {
            assert!(matches!(one, Found::Bad { .. }), "{one:?}");
        }
        assert_eq!(home.files().len(), 8, "nothing is removed");
    }

    #[test]
    fn a_damaged_record_is_named_wherever_it_is_torn() {
        let home = Home::new();
        die(Registration::begin(home.directory(), &record()).unwrap());
        let path = home.directory().path().join(record_of(&record().stem()));
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let found = home.found();
            assert!(
                matches!(&found[..], [Found::Bad { .. }]),
                "{length}: {found:?}"
            );
        }
    }

    #[test]
    fn the_directory_is_where_it_can_be() {
        let home = Home::new();
        let runtime = home.place.runtime.clone().unwrap();
        assert_eq!(home.directory().path(), runtime.join("stt"));
        let other = Place {
            runtime: Some(runtime.join("missing")),
            temporary: runtime.clone(),
        };
        assert!(Directory::find(&other).unwrap().is_none());
        let name = format!("stt-{}", nix::unistd::geteuid());
        assert_eq!(Directory::open(&other).unwrap().path(), runtime.join(name));
        let nowhere = Place {
            runtime: None,
            temporary: runtime.join("missing"),
        };
        let error = Directory::open(&nowhere).unwrap_err();
        assert!(
            matches!(error, CoordinatorError::Directory { .. }),
            "{error}"
        );
    }

    #[test]
    fn a_directory_that_others_can_reach_is_refused() {
        let home = Home::new();
        let path = home.place.runtime.clone().unwrap().join("stt");
        std::fs::DirBuilder::new()
            .mode(0o750)
            .create(&path)
            .unwrap();
        let error = Directory::open(&home.place).unwrap_err();
        assert!(error.to_string().contains("(mode 750)"), "{error}");
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/", &path).unwrap();
        let error = Directory::open(&home.place).unwrap_err();
        assert!(error.to_string().contains("a symbolic link of"), "{error}");
    }
}
