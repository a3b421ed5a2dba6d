//! Finds the place for a run's control group: below our own and nowhere else, because a limit that
//! somebody has set for us holds there too.
//!
//! A group that gives controllers to groups below it may have no processes of its own, except the
//! root of all (`cgroup-v2.rst`, "No Internal Process Constraint"). So where we are alone in our
//! group, as in a scope of systemd's, we move into a group beside the run's. Where others are in it,
//! it stays as it is, and the run's group has no controllers.

use std::fs::File;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use camino::Utf8Path;
use camino::Utf8PathBuf;

use super::parse;
use super::parse::Controllers;
use super::pen;
use super::pen::Pen;
use crate::cgroup;
use crate::id::RunId;
use crate::process::family::member::GroupError;
use crate::process::launch;

/// How often a group is made that others remove before it is held, or hold.
const TRIES: u32 = 20;

/// How long is waited in between, in milliseconds.
const PAUSE: u8 = 1;

/// A run's control group. It is removed when it is dropped, if nobody lives in it.
#[derive(Debug)]
pub(in crate::process) struct RunGroup {
    /// All of the run's tests.
    pub(in crate::process) pen: Pen,
    /// Whether children can be born into the groups below it.
    pub(super) births: bool,
    pub(super) controllers: Controllers,
    /// As `/proc/<pid>/cgroup` has it.
    pub(super) name: Vec<u8>,
    base: Base,
    /// Where we have moved to, if we have.
    runner: Option<Utf8PathBuf>,
    /// The controllers that our own group did not give before.
    given: Vec<&'static str>,
    removed: AtomicBool,
}

/// The group below which a run's is made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Base {
    /// Its directory.
    dir: Utf8PathBuf,
    /// As `/proc/<pid>/cgroup` has it; the root's is empty.
    name: String,
}

impl RunGroup {
    /// Makes a run's group.
    ///
    /// # Errors
    /// Why there is none: then families are ended without it.
    pub(in crate::process) fn make(run: &RunId) -> Result<Self, GroupError> {
        let own = own_group()?;
        let base = base_of(own);
        remove_stale(&base.dir);
        let own_name = parse::run_group(run);
        let path = base.dir.join(&own_name);
        let name = format!("{}/{own_name}", base.name).into_bytes();
        let pen = make_pen(&path, &name)?;
        // Tried here, before it gives controllers to others and may have no processes itself. Those
        // below it will have been killed as often as this one: never.
        let births = launch::can_be_born_in(&pen);
        let (controllers, runner, given) = enable(&base, &path, run);
        let pen = pen.counted_by(controllers);
        Ok(Self {
            pen,
            births,
            controllers,
            name,
            base,
            runner,
            given,
            removed: AtomicBool::new(false),
        })
    }

    /// Where it is.
    pub(in crate::process) fn path(&self) -> &Utf8Path {
        self.pen.path()
    }

    /// Whether the groups of slots can be held to a share of the CPU.
    pub(in crate::process) fn shares_cpu(&self) -> bool {
        self.controllers.cpu
    }

    /// What it is, for people.
    pub(in crate::process) fn describe(&self) -> String {
        let names = self.controllers.names();
        let with = match names.as_slice() {
            [] => "no controllers".to_owned(),
            names => names.join(", "),
        };
        format!("control group {} with {with}", self.path())
    }

    /// Removes it, and goes back to where we came from. Does nothing while somebody lives in it.
    pub(in crate::process) fn remove(&self) {
        if self.removed.load(Ordering::Relaxed) || pen::remove(self.path()).is_err() {
            return;
        }
        self.removed.store(true, Ordering::Relaxed);
        match &self.runner {
            Some(runner) => restore(&self.base.dir, &self.given, runner),
            None => withdraw(&self.base.dir, &self.given),
        }
    }
}

impl Drop for RunGroup {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Has a group give these controllers no more. Another run that uses one keeps it there, and that is right.
fn withdraw(base: &Utf8Path, given: &[&str]) {
    for name in given {
        drop(write(base, "cgroup.subtree_control", &format!("-{name}")));
    }
}

/// Takes back that a runner has moved out of its group: whoever is left of it goes back into it, which
/// takes that it gives no controllers any more.
pub(super) fn restore(base: &Utf8Path, given: &[&str], runner: &Utf8Path) {
    withdraw(base, given);
    for pid in read_ids(runner) {
        // Who can't go back stays, and the group with him.
        drop(write(base, "cgroup.procs", &pid.to_string()));
    }
    drop(pen::remove(runner));
}

/// Our own group: the one of the mounted directories for it that lists us.
fn own_group() -> Result<Base, GroupError> {
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|source| GroupError::Unreadable {
            path: path.into(),
            source,
        })
    };
    let memberships = cgroup::memberships(&read("/proc/self/cgroup")?);
    let own = memberships
        .into_iter()
        .find(|membership| membership.controllers.is_empty())
        .ok_or(GroupError::Missing)?;
    let mounts = cgroup::mounts(&read("/proc/self/mountinfo")?);
    let mut mounts = mounts.into_iter().filter(|mount| mount.unified).peekable();
    if mounts.peek().is_none() {
        return Err(GroupError::Missing);
    }
    let pid = std::process::id().cast_signed();
    mounts
        .filter_map(|mount| {
            let below = *cgroup::ancestry(&mount.root, &own.path).first()?;
            let point = Utf8Path::new(&mount.point);
            Some(if below.is_empty() {
                point.to_owned()
            } else {
                point.join(below)
            })
        })
        .find(|dir| read_ids(dir).contains(&pid))
        .map(|dir| Base {
            dir,
            name: own.path.trim_end_matches('/').to_owned(),
        })
        .ok_or(GroupError::Invisible { name: own.path })
}

/// What `/proc/<pid>/cgroup` calls the group with this directory.
pub(super) fn name_of(dir: &Utf8Path) -> Option<Vec<u8>> {
    let mounts = cgroup::mounts(&std::fs::read_to_string("/proc/self/mountinfo").ok()?);
    let nearest = mounts
        .iter()
        .filter(|mount| mount.unified && dir.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.len())?;
    let below = dir.strip_prefix(&nearest.point).ok()?;
    Some(format!("{}/{below}", nearest.root.trim_end_matches('/')).into_bytes())
}

/// Our own group, or the one around it when we have moved into a group for runners before.
fn base_of(own: Base) -> Base {
    let around = own
        .dir
        .file_name()
        .is_some_and(parse::is_runner_group)
        .then(|| {
            let (name, _) = own.name.rsplit_once('/')?;
            Some(Base {
                dir: own.dir.parent()?.to_owned(),
                name: name.to_owned(),
            })
        });
    around.flatten().unwrap_or(own)
}

/// Removes what dead runs have left: who lives keeps his group locked. If somebody still lives in it,
/// the kernel refuses, and the group stays for who knows the run.
fn remove_stale(base: &Utf8Path) {
    let entries = base.read_dir_utf8().into_iter().flatten().flatten();
    for entry in entries {
        let path = entry.path();
        if parse::is_runner_group(entry.file_name()) {
            drop(std::fs::remove_dir(path));
        } else if parse::is_run_group(entry.file_name()) {
            drop(remove_left(path));
        }
    }
}

/// Makes a run's group and holds it. Until it is held, another run that begins in the same moment takes it
/// for a dead one's, and removes it.
fn make_pen(path: &Utf8Path, name: &[u8]) -> Result<Pen, GroupError> {
    for _ in 0..TRIES {
        if make_directory(path)?
            && let Some(pen) = hold(path, name)?
        {
            return Ok(pen);
        }
        // A poll of nothing is a pause, and a signal may well cut it short.
        let _ = nix::poll::poll(&mut [], PAUSE);
    }
    Err(GroupError::Make {
        path: path.to_owned(),
        source: io::ErrorKind::ResourceBusy.into(),
    })
}

/// Makes the directory. Says whether it did: somebody else may be at it.
fn make_directory(path: &Utf8Path) -> Result<bool, GroupError> {
    let made = match std::fs::create_dir(path) {
        Ok(()) => Ok(true),
        // An earlier leg of this run has left it; it can be removed when nobody lives in it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            remove_left(path).map(|()| false)
        }
        Err(error) => Err(error),
    };
    made.map_err(|source| GroupError::Make {
        path: path.to_owned(),
        source,
    })
}

/// Opens a group that was just made, and holds it; `None` when somebody else holds it, or has removed it.
fn hold(path: &Utf8Path, name: &[u8]) -> Result<Option<Pen>, GroupError> {
    match Pen::open(path.to_owned(), name.to_owned(), Controllers::default()) {
        Ok(pen) => Ok(Some(pen).filter(|pen| pen.lock() && pen.is_there())),
        Err(_) if !path.exists() => Ok(None),
        Err(source) => {
            // It is empty, and whatever keeps it there is not worse than the error.
            drop(pen::remove(path));
            let path = path.to_owned();
            Err(GroupError::Unusable { path, source })
        }
    }
}

/// Removes a group that a dead run has left, if nobody lives in it. It is held meanwhile, so that nobody
/// begins to use it; one that somebody else holds, or has removed, is let be.
fn remove_left(path: &Utf8Path) -> io::Result<()> {
    let directory = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    if directory.try_lock().is_ok() && pen::is_at(&directory, path) {
        pen::remove(path)?;
    }
    Ok(())
}

/// Has the base give what controllers it can to the run's group, and that one to the groups below it.
/// Tells which those are, where we have moved to, and what the base has begun to give.
fn enable(
    base: &Base,
    path: &Utf8Path,
    run: &RunId,
) -> (Controllers, Option<Utf8PathBuf>, Vec<&'static str>) {
    let none = (Controllers::default(), None, Vec::new());
    if !read_controllers(&base.dir, "cgroup.controllers").any() {
        return none;
    }
    let Some(runner) = make_room(&base.dir, run) else {
        return none;
    };
    let before = read_controllers(&base.dir, "cgroup.subtree_control").names();
    let mut given = give(&base.dir);
    given.retain(|name| !before.contains(name));
    give(path);
    (
        read_controllers(path, "cgroup.subtree_control"),
        runner,
        given,
    )
}

/// Sees to it that a group has no processes of its own, if it must not have any. `None` when it has
/// some that are not ours to move; else where we have moved to.
#[expect(
    clippy::option_option,
    reason = "not possible, not needed, and where to"
)]
fn make_room(base: &Utf8Path, run: &RunId) -> Option<Option<Utf8PathBuf>> {
    // Every group has a type, but for the root of all.
    let is_root = !base.join("cgroup.type").exists();
    let members = read_ids(base);
    if is_root || members.is_empty() {
        return Some(None);
    }
    let ours = ours();
    if !members.iter().all(|member| ours.contains(member)) {
        return None;
    }
    let runner = base.join(parse::runner_group(run));
    // Until somebody is in it, another run that begins in the same moment takes it for a dead one's.
    let made = (0..TRIES).any(|_| {
        drop(std::fs::create_dir(&runner));
        write(&runner, "cgroup.procs", &members[0].to_string()).is_ok()
    });
    let all = members
        .iter()
        .all(|member| write(&runner, "cgroup.procs", &member.to_string()).is_ok());
    if !(made && all) {
        for moved in read_ids(&runner) {
            drop(write(base, "cgroup.procs", &moved.to_string()));
        }
        drop(pen::remove(&runner));
        return None;
    }
    Some(Some(runner))
}

/// Ourselves, and our parent if it runs our program: that is our supervisor.
fn ours() -> Vec<i32> {
    let program = |pid: i32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let own = std::process::id().cast_signed();
    let parent = nix::unistd::getppid().as_raw();
    let same = program(own).is_some_and(|exe| program(parent) == Some(exe));
    let parent = Some(parent).filter(|&parent| parent > 1 && same);
    [own].into_iter().chain(parent).collect()
}

/// Gives every controller that can be given; returns those.
fn give(dir: &Utf8Path) -> Vec<&'static str> {
    let mut names = read_controllers(dir, "cgroup.controllers").names();
    names.retain(|name| write(dir, "cgroup.subtree_control", &format!("+{name}")).is_ok());
    names
}

fn read_controllers(dir: &Utf8Path, file: &str) -> Controllers {
    parse::controllers(&std::fs::read_to_string(dir.join(file)).unwrap_or_default())
}

fn read_ids(dir: &Utf8Path) -> Vec<i32> {
    parse::ids(&std::fs::read(dir.join("cgroup.procs")).unwrap_or_default()).collect()
}

/// Writes into a file of the kernel's, in one call as it wants it.
pub(super) fn write(dir: &Utf8Path, file: &str, text: &str) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;

    std::fs::OpenOptions::new()
        .write(true)
        .open(dir.join(file))?
        .write_all_at(text.as_bytes(), 0)
}
