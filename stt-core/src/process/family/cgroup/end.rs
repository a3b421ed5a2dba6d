//! Ends what a dead run has left in its control group, and the group into which its runner had moved.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8Path;
use camino::Utf8PathBuf;

use super::parse;
use super::parse::Controllers;
use super::pen;
use super::pen::Pen;
use super::place::name_of;
use super::place::restore;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::process::family::found::Found;
use crate::process::family::member::GroupError;
use crate::process::family::member::Naming;
use crate::process::family::member::Swept;
use crate::process::family::proc::Proc;

/// A dead run's control group, whose members are about to be killed.
#[derive(Debug)]
pub struct Doomed {
    path: Utf8PathBuf,
    /// `None` when it is gone already: what had made room for it may still be there.
    pen: Option<Pen>,
}

impl Doomed {
    /// Opens the control group of a dead run. One that is not there is nobody's.
    ///
    /// # Errors
    /// The path is not that of a run's group of version 2, or we are in it ourselves.
    pub fn open(path: &Utf8Path) -> Result<Self, GroupError> {
        let pen = match open(path) {
            Ok(pen) => Some(pen),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(refuse(path, error)),
        };
        let path = path.to_owned();
        Ok(Self { path, pen })
    }

    /// As [`Doomed::open`], unless somebody holds the group: then it is not the one that a dead run has left.
    /// A later leg of that run has removed it, empty, and has made its own in the same place.
    ///
    /// # Errors
    /// As those of [`Doomed::open`].
    pub fn open_left(path: &Utf8Path) -> Result<Option<Self>, GroupError> {
        let doomed = Self::open(path)?;
        let held = doomed.pen.as_ref().is_some_and(|pen| !pen.lock_patiently());
        Ok((!held).then_some(doomed))
    }

    /// The processes that are in it.
    pub fn members(&self) -> Vec<i32> {
        self.pen.as_ref().map(Pen::members).unwrap_or_default()
    }

    /// Notes who is in it, and kills them.
    pub(in crate::process::family) fn kill(&self, proc: &mut Proc, found: &mut Found) {
        found.count(proc, self.members());
        // Who can't be killed is found alive at the end.
        drop(self.pen.as_ref().map(Pen::kill));
    }

    /// Waits until nobody in it is alive any more, killing whoever is, and removes it. Returns who is still
    /// alive at the deadline; the group is left then. Where the runner had moved to make room, whoever is
    /// left of it, its supervisor, goes back, and the group around is as it was.
    ///
    /// # Errors
    /// Nobody is in it, and yet it can't be removed.
    pub(in crate::process::family) fn see_off(
        self,
        clock: &Clock,
        deadline: Moment,
    ) -> Result<HashSet<i32>, GroupError> {
        let mut alive = HashSet::new();
        if let Some(pen) = &self.pen {
            pen.empty(clock, deadline);
            alive.extend(pen.members());
            if let Err(source) = pen::remove(&self.path)
                && alive.is_empty()
            {
                return Err(refuse(&self.path, source));
            }
        }
        leave_runner_group(&self.path);
        Ok(alive)
    }

    /// Kills everybody in it and removes it. Returns whom it found, a few of them by name; who is still alive
    /// at the deadline, and the group with him, is left.
    ///
    /// # Errors
    /// Nobody is in it, and yet it can't be removed.
    pub fn end(self, clock: &Clock, deadline: Moment) -> Result<Swept, GroupError> {
        let mut proc = Proc::default();
        let mut found = Found::new(Naming::AFew);
        self.kill(&mut proc, &mut found);
        let alive = self.see_off(clock, deadline)?;
        Ok(found.swept(&mut proc, &alive))
    }
}

fn refuse(path: &Utf8Path, source: io::Error) -> GroupError {
    GroupError::Unusable {
        path: path.to_owned(),
        source,
    }
}

/// Leaves and removes the group beside a run's into which its runner had moved, if there is one.
fn leave_runner_group(run_group: &Utf8Path) {
    let Some(parent) = run_group.parent() else {
        return;
    };
    let Some(name) = run_group
        .file_name()
        .filter(|name| parse::is_run_group(name))
    else {
        return;
    };
    let runner = parent.join(parse::runner_beside(name));
    if [parent, &runner]
        .into_iter()
        .all(|directory| is_group(directory).is_ok())
    {
        restore(parent, &parse::EVERY, &runner);
    }
}

/// Makes sure that a directory is in a file system of control groups, and no link to one.
fn is_group(directory: &Utf8Path) -> io::Result<()> {
    let open = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(directory)?;
    let system = nix::sys::statfs::fstatfs(&open)?;
    if system.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC {
        return Ok(());
    }
    let why = "it is no control group of version 2";
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

/// Opens a run's group, and makes sure that it is one: by its name, by the file system it is on, and
/// by not being ours. The path may come from a file that somebody else has written.
fn open(path: &Utf8Path) -> io::Result<Pen> {
    let no = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    let is_plain = path.is_absolute() && path.components().all(|part| part.as_str() != "..");
    let parent = path.parent().filter(|_| is_plain);
    let parent = parent.ok_or_else(|| no("the path is not a plain one"))?;
    if !path.file_name().is_some_and(parse::is_run_group) {
        return Err(no("the name is not that of a run's control group"));
    }
    for directory in [path, parent] {
        is_group(directory)?;
    }
    let name = name_of(path).ok_or_else(|| no("it is below no mount that we can see"))?;
    let group = Pen::open(path.to_owned(), name, Controllers::default())?;
    if group.holds(std::process::id().cast_signed()) {
        return Err(no("we are in it ourselves"));
    }
    Ok(group)
}
