//! The tiny process above the one that runs the tests.
//!
//! It is the process that was started. Before there is a thread it forks its **worker**, which is the
//! whole rest of the program, and from then on waits: for signals, which it passes on; for notes of
//! the worker, about what would be left were it to die; and for its end. Then it ends every process
//! that is left, and ends as the worker did, or has another worker go on with the run.

mod handlers;
mod lean;
mod link;

use std::io;

use camino::Utf8PathBuf;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitPidFlag;
use nix::sys::wait::WaitStatus;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::checkpoint::mark_death;
use crate::clock::Clock;
use crate::command::Environment;
use crate::container::Cleared;
use crate::container::Thing;
use crate::containers::LATE;
use crate::containers::Scope;
use crate::containers::clear;
use crate::coordinator::Held;
use crate::coordinator::hold_shared;
use crate::guard::priority;
use crate::id::ProcessId;
use crate::outcome::Exit;
use crate::process::Family;
use crate::process::Swept;
use crate::process::adopter;
use crate::run::error::chain;
use crate::run::podman::left_by;
use crate::run::session::SWEEP;
use crate::run::supervision::Codes;
use crate::run::supervision::Ending;
use crate::run::supervision::Last;
use crate::run::supervision::Leg;
use crate::run::supervision::Told;
use crate::run::supervision::decide;
use crate::run::tmpdir::OwnDir;
use crate::signal;
use handlers::Handlers;
use link::Charge;

pub use link::Link;
pub(crate) use link::Teller;

/// Who we are after [`supervise`].
#[derive(Debug)]
pub enum Side {
    /// The worker: the program begins.
    Worker(Worker),
    /// The supervisor, with its work done: the program ends like this.
    Supervisor(Last),
}

/// What a worker has of its supervisor.
#[derive(Debug)]
pub struct Worker {
    /// Its end of the pipes between them.
    pub link: Link,
    /// Which life of a worker this is.
    pub leg: Leg,
    /// Where the leg before this one was recorded.
    pub checkpoint: Option<Utf8PathBuf>,
}

impl Side {
    fn worker(link: Link, leg: Leg, checkpoint: Option<Utf8PathBuf>) -> Self {
        Self::Worker(Worker {
            link,
            leg,
            checkpoint,
        })
    }
}

/// What was found and done after the end of a worker.
#[derive(Debug)]
pub struct Aftermath {
    /// How it ended.
    pub exit: Exit,
    /// What that means.
    pub ending: Ending,
    /// Who was left, and was ended.
    pub swept: Swept,
    /// What was removed from a container engine.
    pub containers: Vec<Thing>,
    /// From which file the run can be resumed.
    pub checkpoint: Option<Utf8PathBuf>,
    /// What could not be cleaned up.
    pub failures: Vec<String>,
    /// The number of the restart that follows, and how many there may be.
    pub restart: Option<(u32, u32)>,
}

/// Forks a worker, and returns in it at once. In the supervisor it returns when no worker lives any
/// more and none is to follow; `tell` is called after the end of each, while nothing of it is alive.
///
/// To be called when nothing has happened yet: the process must have one thread.
///
/// # Errors
/// The system refuses a pipe, a handler or a process. There is no supervisor then, and no worker.
pub fn supervise(
    codes: &Codes,
    env: fn() -> Environment,
    tell: &mut dyn FnMut(&Aftermath),
) -> io::Result<Side> {
    let mut supervisor = Supervisor::begin(env)?;
    let mut leg = Leg::default();
    let mut charge = match supervisor.fork()? {
        Forked::Worker(link) => return Ok(Side::worker(link, leg, None)),
        Forked::Supervisor(charge) => charge,
    };
    loop {
        let (exit, told) = supervisor.watch(&charge);
        leg.since = supervisor.clock.now();
        let decision = decide(exit, codes, &told, leg, supervisor.interrupted);
        let mut aftermath = Aftermath {
            exit,
            ending: decision.ending,
            swept: Swept::default(),
            containers: Vec::new(),
            checkpoint: told.checkpoint.clone(),
            failures: Vec::new(),
            restart: None,
        };
        if decision.ending.is_death() && !decision.restart {
            // Whoever is left may have taken every core. A next worker must not inherit this.
            priority::raise();
        }
        if decision.sweep {
            // Nobody asks who has died: each of a thousand deaths would interrupt what brings about the others.
            let deaths = SigSet::from(Signal::SIGCHLD);
            let blocked = deaths.thread_block();
            supervisor.clean_up(&told, &mut aftermath);
            let _ = blocked.and_then(|()| deaths.thread_unblock());
        }
        // Somebody may have asked us to end while there was no worker.
        supervisor.note_interrupts();
        let restart = decision.restart && supervisor.interrupted.is_none();
        if restart {
            leg.restarts += 1;
            let most = told.restart.map_or(leg.restarts, |terms| terms.max);
            aftermath.restart = Some((leg.restarts, most));
        }
        tell(&aftermath);
        if !restart {
            return Ok(Side::Supervisor(supervisor.end(decision.last)));
        }
        // The record of the dead worker is nobody's any more.
        supervisor.held = None;
        leg.since = supervisor.clock.now();
        charge = match supervisor.fork() {
            Ok(Forked::Worker(link)) => return Ok(Side::worker(link, leg, told.checkpoint)),
            Ok(Forked::Supervisor(charge)) => charge,
            Err(error) => {
                let failure = format!("the run can't go on by itself: {error}; --resume goes on");
                tell(&Aftermath {
                    ending: Ending::Orderly,
                    swept: Swept::default(),
                    containers: Vec::new(),
                    failures: vec![failure],
                    restart: None,
                    ..aftermath
                });
                return Ok(Side::Supervisor(supervisor.end(decision.last)));
            }
        };
    }
}

/// What of job control has come.
#[derive(Clone, Copy)]
enum Asked {
    StandStill,
    GoOn,
}

/// The two processes after a fork.
enum Forked {
    Worker(Link),
    Supervisor(Watched),
}

/// A worker, as its supervisor sees it.
struct Watched {
    pid: Pid,
    charge: Charge,
}

struct Supervisor {
    handlers: Handlers,
    clock: Clock,
    family: Family,
    /// The first signal that asked us to end.
    interrupted: Option<i32>,
    /// Who takes over what we leave behind.
    adopter: Option<ProcessId>,
    /// Our part of the lock that says that the run lives: it does until we are dead, too.
    held: Option<Held>,
    /// Reads our environment, which is that of the tests.
    env: fn() -> Environment,
}

impl Supervisor {
    fn begin(env: fn() -> Environment) -> io::Result<Self> {
        // Before we ask for orphans ourselves.
        let adopter = adopter();
        let clock = Clock::start();
        let family = Family::adopt();
        // What a shell had started before it became us by `exec`.
        family.spare_present();
        Ok(Self {
            handlers: Handlers::install()?,
            clock,
            family,
            interrupted: None,
            adopter,
            held: None,
            env,
        })
    }

    fn fork(&self) -> io::Result<Forked> {
        let supervisor = nix::unistd::getpid();
        let (charge, link) = link::pair(supervisor, self.adopter)?;
        if let Some(pid) = self.handlers.fork()? {
            return Ok(Forked::Supervisor(Watched { pid, charge }));
        }
        die_with(supervisor);
        Ok(Forked::Worker(link))
    }

    /// Sees a worker through to its end.
    fn watch(&mut self, worker: &Watched) -> (Exit, Told) {
        let mut told = Told::default();
        let mut stopped = false;
        lean::forget_files();
        loop {
            self.wait(&worker.charge);
            let asked = self.pass_signals_on(worker);
            if worker.charge.hear(&mut told) {
                self.hold(&told);
                lean::forget_files();
            }
            let stops = match reap(worker.pid) {
                Some(News::Ended(exit)) => {
                    worker.charge.hear(&mut told);
                    return (exit, told);
                }
                Some(News::Stopped) => true,
                Some(News::GoesOn) => {
                    stopped = false;
                    false
                }
                None => false,
            };
            stopped |= stops;
            match asked {
                // The shell that started us waits for us, and is to see one job that stands still. That we
                // were woken for a moment only changes nothing.
                _ if stops => signal::suspend(),
                Some(Asked::StandStill) if stopped => signal::suspend(),
                // It stands still and reads no pipe. That it is gone is seen by the next look.
                Some(Asked::GoOn) if stopped => {
                    let _ = nix::sys::signal::kill(worker.pid, Signal::SIGCONT);
                }
                Some(_) | None => {}
            }
        }
    }

    /// Takes part in the lock of the run's record, once there is one.
    fn hold(&mut self, told: &Told) {
        if self.held.is_none() {
            // Without it a reaper may sweep while we do, which ends the same processes.
            self.held = told.lock.as_deref().and_then(|path| hold_shared(path).ok());
        }
    }

    fn wait(&self, charge: &Charge) {
        let mut fds = [
            PollFd::new(self.handlers.pipe(), PollFlags::POLLIN),
            PollFd::new(charge.notes(), PollFlags::POLLIN),
        ];
        // A signal that cuts the waiting short is in the pipe then.
        let _ = nix::poll::poll(&mut fds, PollTimeout::NONE);
    }

    /// Passes on what came. Of several ways to stop and to go on the last one counts: whoever stood still
    /// learns only now of the stop that was obeyed long ago.
    fn pass_signals_on(&mut self, worker: &Watched) -> Option<Asked> {
        let mut asked = None;
        for number in self.handlers.take() {
            match number {
                libc::SIGCHLD => {}
                libc::SIGCONT => asked = Some(Asked::GoOn),
                libc::SIGTSTP => asked = Some(Asked::StandStill),
                number => {
                    self.interrupted.get_or_insert(number);
                    worker.charge.pass_on(number);
                }
            }
        }
        match asked {
            Some(Asked::GoOn) => worker.charge.pass_on(libc::SIGCONT),
            Some(Asked::StandStill) => worker.charge.pass_on(libc::SIGTSTP),
            None => {}
        }
        asked
    }

    /// Takes what came while there is no worker.
    fn note_interrupts(&mut self) {
        for number in self.handlers.take() {
            if !matches!(number, libc::SIGCHLD | libc::SIGCONT | libc::SIGTSTP) {
                self.interrupted.get_or_insert(number);
            }
        }
    }

    /// Ends whoever is left, and does for a dead worker what it can't do any more.
    fn clean_up(&self, told: &Told, aftermath: &mut Aftermath) {
        self.family.spare(&told.spared);
        let deadline = self.clock.now().saturating_add(SWEEP);
        if !aftermath.ending.is_death() {
            aftermath.swept = self.family.sweep(&self.clock, deadline);
        }
        let group = told.group.as_deref();
        let (others, removed) = self.family.end_orphaned(group, &self.clock, deadline);
        aftermath.swept.add(others);
        aftermath
            .failures
            .extend(removed.err().map(|error| chain(&error)));
        if !aftermath.ending.is_death() {
            return;
        }
        if let (Some(path), Some((run, leg))) = (&told.checkpoint, &told.run)
            && let Err(error) = mark_death(path, run, *leg, aftermath.exit)
        {
            aftermath.failures.push(chain(&error));
        }
        // Nobody is alive any more who could make another one.
        clear_containers(told, aftermath);
        self.clear_podman(told, aftermath);
        if let Some(path) = &told.tmpdir {
            let left = OwnDir::left_at(path).and_then(|left| left.map_or(Ok(()), OwnDir::remove));
            if let Err(error) = left {
                let failure = format!("the run's temporary directory is left: {}", chain(&error));
                aftermath.failures.push(failure);
            }
        }
    }

    /// Removes what the tests of a dead worker have made with Podman's command.
    fn clear_podman(&self, told: &Told, aftermath: &mut Aftermath) {
        let (Some(budget), Some(dir), Some((run, _))) = (told.podman, &told.tmpdir, &told.run)
        else {
            return;
        };
        let Some((podman, ledger)) = left_by(Some(dir), &(self.env)(), self.clock) else {
            return;
        };
        take_in(podman.clear(ledger, run, budget), aftermath);
    }

    /// The last thing: the handlers stand to the end, so that nothing that comes now takes the exit code
    /// away.
    fn end(self, last: Last) -> Last {
        std::mem::forget(self.handlers);
        last
    }
}

/// Removes what the tests of a dead worker have left at a container engine.
fn clear_containers(told: &Told, aftermath: &mut Aftermath) {
    let (Some((engine, budget)), Some((run, _))) = (&told.engine, &told.run) else {
        return;
    };
    let scope = Scope {
        run,
        test: None,
        late: LATE,
        budget: *budget,
    };
    take_in(clear(engine, scope), aftermath);
}

/// What was removed, and what could not be.
fn take_in<E: std::error::Error>(cleared: Result<Cleared, E>, aftermath: &mut Aftermath) {
    match cleared {
        Ok(cleared) => {
            aftermath.containers.extend(cleared.removed);
            let stuck = cleared.stuck.iter().map(ToString::to_string);
            aftermath.failures.extend(stuck);
        }
        Err(error) => {
            let failure = format!("containers of the tests may be left: {}", chain(&error));
            aftermath.failures.push(failure);
        }
    }
}

/// What has become of the worker.
#[derive(Clone, Copy)]
enum News {
    Ended(Exit),
    Stopped,
    GoesOn,
}

/// Reaps whoever is dead. Returns the last that is new of the worker.
fn reap(worker: Pid) -> Option<News> {
    let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED | WaitPidFlag::WCONTINUED;
    let mut news = None;
    loop {
        let status = match waitpid(None, Some(flags)) {
            Ok(status) => status,
            Err(Errno::EINTR) => continue,
            // There is nobody left, which can't be: the worker is reaped here only.
            Err(_) => return news,
        };
        if status == WaitStatus::StillAlive {
            return news;
        }
        // Others are orphans that were given to us.
        if status.pid() != Some(worker) {
            continue;
        }
        if let WaitStatus::Exited(_, code) = status {
            return Some(News::Ended(Exit::Code(code)));
        } else if let WaitStatus::Signaled(_, signal, _) = status {
            return Some(News::Ended(Exit::Signal(signal as i32)));
        }
        news = Some(if matches!(status, WaitStatus::Stopped(..)) {
            News::Stopped
        } else {
            News::GoesOn
        });
    }
}

/// Has the kernel end this worker when its supervisor is dead: with TERM, in case it does not read its
/// pipe at that moment.
#[cfg(target_os = "linux")]
fn die_with(supervisor: Pid) {
    // Without it the end of the pipe tells.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM);
    if nix::unistd::getppid() != supervisor {
        let _ = nix::sys::signal::raise(Signal::SIGTERM);
    }
}

/// Only the end of the pipe tells here.
#[cfg(not(target_os = "linux"))]
fn die_with(_supervisor: Pid) {}
