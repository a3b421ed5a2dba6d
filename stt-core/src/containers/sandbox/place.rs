//! The containers themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use nix::libc::RLIM_INFINITY;
use nix::sys::resource::Resource;
use nix::sys::resource::getrlimit;

use super::client::Call;
use super::engine;
use super::engine::About;
use super::engine::CallError;
use super::engine::Caller;
use super::error::SandboxError;
use super::group::Counted;
use super::group::Group;
use super::group::command_line;
use super::group::is_dead;
use super::spec;
use super::spec::Bounds;
use super::spec::Container;
use super::spec::Inherited;
use super::spec::LeftOut;
use super::spec::Mount;
use super::spec::ProcessLimit;
use crate::command::CommandLine;
use crate::container::Address;
use crate::container::Kind;
use crate::container::Thing;
use crate::containers::discovery::Host;
use crate::containers::label::key;
use crate::id::RunId;
use crate::limits::Limits;

/// What a container is labelled with that is made for a look, and never started. No test is called so.
pub(super) const LOOK: &str = "(a look at the image)";

/// What is the same for all containers of a run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The run.
    pub run: RunId,
    /// The network; `None` for the engine's default.
    pub network: Option<String>,
    /// What tests see of the machine.
    pub mounts: Vec<Mount>,
    /// Where process 1 is put: a directory that they see.
    pub dir: Utf8PathBuf,
}

/// Makes containers for tests.
#[derive(Debug)]
pub struct Sandboxes {
    pub(super) caller: Caller,
    pub(super) about: About,
    pub(super) setting: Setting,
    /// Process 1 for each image that was checked, as it lies outside and inside.
    pub(super) idles: BTreeMap<String, Utf8PathBuf>,
    key: String,
    user: String,
    inherited: Vec<Inherited>,
    /// Taken by whoever makes a container, where only one can be made at a time.
    turn: Mutex<()>,
}

/// A container for tests.
#[derive(Debug)]
pub struct Sandbox {
    id: String,
    image: Arc<str>,
    bounds: Bounds,
    group: Option<Group>,
    /// Who was in it before the first test.
    first: Vec<i32>,
    /// What was counted before the current test.
    before: Counted,
    /// Whether the most memory is that of the current test.
    has_peak: bool,
    tests: u32,
}

/// The limits that a test outside inherits from us. An engine that may not go beyond its own hard ones, such as Podman
/// without `CAP_SYS_RESOURCE`, refuses a container for which nobody says so (`containers.conf(5)`, `default_ulimits`).
/// Podman lowers its own to as many processes as there are numbers for, which takes nothing from anybody.
fn inherited() -> Vec<Inherited> {
    let numbers = fs::read_to_string("/proc/sys/kernel/pid_max").ok();
    let numbers = numbers.and_then(|text| text.trim().parse().ok());
    let known = [
        ("nofile", Resource::RLIMIT_NOFILE, u64::MAX),
        ("nproc", Resource::RLIMIT_NPROC, numbers.unwrap_or(u64::MAX)),
    ];
    let limited = known.map(|(name, resource, most)| {
        let (soft, hard) = getrlimit(resource).ok()?;
        let values = [soft.min(most), hard.min(most)];
        (values[1] != RLIM_INFINITY).then_some((name, values))
    });
    limited.into_iter().flatten().collect()
}

impl Sandboxes {
    /// Asks the engine what it is.
    ///
    /// # Errors
    /// It does not answer.
    pub fn open(host: &Host, setting: Setting) -> Result<Self, SandboxError> {
        let address = engine::address(host).map_err(SandboxError::Engine)?;
        let caller = Caller { address };
        let about = caller.about().map_err(SandboxError::Engine)?;
        let own = format!("{}:{}", nix::unistd::geteuid(), nix::unistd::getegid());
        // Root inside is who the engine belongs to; Podman can give him his own number.
        let root_is_own = about.rootless && !about.podman;
        Ok(Self {
            caller,
            about,
            idles: BTreeMap::new(),
            key: key(&setting.run),
            setting,
            user: if root_is_own { "0:0".to_owned() } else { own },
            inherited: inherited(),
            turn: Mutex::default(),
        })
    }

    /// Where the engine is.
    pub fn address(&self) -> &Address {
        &self.caller.address
    }

    fn idle(&self, image: &str) -> &Utf8Path {
        self.idles
            .get(image)
            .map_or("".into(), Utf8PathBuf::as_path)
    }

    /// Whether users have the same numbers inside, although the engine is a user's own.
    fn keeps_id(&self) -> bool {
        self.about.rootless && self.about.podman
    }

    /// Makes a container. A user's own Podman looks up which numbers he may give with a library that can't do it twice at
    /// once (`subid_get_uid_ranges(3)`): it finds none then, or ends by SIGSEGV, as version 4.3 does.
    ///
    /// # Errors
    /// The engine refuses.
    pub(super) fn create(&self, body: &str) -> Result<String, CallError> {
        let turn = || self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let _turn = self.keeps_id().then(turn);
        self.caller.create(body)
    }

    /// The body of the request for a container of an image that was checked.
    pub(super) fn body(&self, image: &str, bounds: Bounds, label: &str) -> String {
        let container = Container {
            image,
            network: self.setting.network.as_deref(),
            mounts: &self.setting.mounts,
            idle: self.idle(image),
            user: &self.user,
            keeps_id: self.keeps_id(),
            inherited: &self.inherited,
            bounds,
            label: (&self.key, label),
        };
        container.body()
    }

    /// Which of these sets of limits' bounds the engine does not hold here: a container is made with all of them, and
    /// never started. Where it can't be made, tests say so themselves.
    pub fn left_out<'a>(&self, image: &str, limits: impl Iterator<Item = &'a Limits>) -> LeftOut {
        let bounds = limits.map(|limits| Bounds::of(Some(limits), self.about.cores));
        let bounds = bounds.fold(Bounds::default(), Bounds::or);
        if bounds == Bounds::default() {
            return LeftOut::default();
        }
        let Ok(id) = self.create(&self.body(image, bounds, LOOK)) else {
            return LeftOut::default();
        };
        let left_out = bounds.left_out(&self.caller.made_with(&id));
        self.caller.remove(&id);
        left_out
    }

    /// Whether a test of this image and these limits can run in a container that is there.
    pub fn suits(&self, sandbox: &Sandbox, image: &str, limits: Option<&Limits>) -> bool {
        *sandbox.image == *image && sandbox.bounds == Bounds::of(limits, self.about.cores)
    }

    /// Makes a container of an image that was checked, and starts it.
    ///
    /// # Errors
    /// The engine refuses; nothing of it is left then.
    pub fn make(
        &self,
        slot: usize,
        image: &Arc<str>,
        limits: Option<&Limits>,
    ) -> Result<Sandbox, CallError> {
        let bounds = Bounds::of(limits, self.about.cores);
        // No test is called so: what a test leaves at an engine has its name for a label.
        let label = format!("(slot {slot})");
        let id = self.create(&self.body(image, bounds, &label))?;
        if let Err(error) = self.caller.start(&id) {
            self.caller.remove(&id);
            return Err(error);
        }
        let group = Group::find(&id);
        let first = group.as_ref().and_then(Group::members);
        Ok(Sandbox {
            id,
            image: Arc::clone(image),
            bounds,
            group,
            first: first.unwrap_or_default(),
            before: Counted::default(),
            has_peak: false,
            tests: 0,
        })
    }

    /// Announces a test to its container. What is returned starts it.
    ///
    /// # Errors
    /// The engine refuses.
    pub fn announce(
        &self,
        sandbox: &mut Sandbox,
        command: &CommandLine,
        limits: &[ProcessLimit],
        complaint: Utf8PathBuf,
    ) -> Result<Call, CallError> {
        let idle = self.idle(&sandbox.image);
        let body = spec::exec(command, &self.user, limits, idle);
        let exec = self.caller.exec(&sandbox.id, &body)?;
        sandbox.begin();
        Ok(Call {
            engine: self.caller.address.clone(),
            container: sandbox.id.clone(),
            exec,
            idle: idle.to_owned(),
            complaint,
        })
    }

    /// Who is alive in a container beside process 1, with command lines; `None` where nobody can tell.
    pub fn left(&self, sandbox: &Sandbox) -> Option<Vec<(i32, String)>> {
        if let Some(members) = sandbox.group.as_ref().and_then(Group::members) {
            let mut others = members;
            others.retain(|pid| !sandbox.first.contains(pid) && !is_dead(*pid));
            let named = others.into_iter();
            // Who has gone meanwhile is nobody any more.
            return Some(
                named
                    .filter_map(|pid| Some((pid, command_line(pid)?)))
                    .collect(),
            );
        }
        let mut all = self.caller.processes(&sandbox.id, self.about.podman)?;
        let idle = self.idle(&sandbox.image);
        all.retain(|(_, command)| command.split(' ').next() != Some(idle.as_str()));
        Some(all)
    }

    /// Ends everybody in a container and removes it. Says whether the engine knows of somebody whom the kernel has killed
    /// there for want of memory.
    pub fn remove(&self, sandbox: &Sandbox) -> bool {
        self.caller.end(&sandbox.id);
        let blind = sandbox.counted().oom_kills.is_none();
        let short = blind && self.caller.was_short_of_memory(&sandbox.id);
        self.caller.remove(&sandbox.id);
        short
    }
}

impl Sandbox {
    fn begin(&mut self) {
        self.tests += 1;
        let group = self.group.as_ref();
        // What starts a program there uses some as well; without this the first test had it all.
        self.has_peak = group.is_some_and(Group::begin) || self.tests == 1;
        self.before = group.map(Group::counted).unwrap_or_default();
    }

    /// The container, as it is named to people.
    pub fn thing(&self) -> Thing {
        Thing {
            kind: Kind::Container,
            id: self.id.clone(),
            name: String::new(),
            image: self.image.to_string(),
        }
    }

    /// The CPU time that was used in it before the current test.
    pub fn cpu_before(&self) -> Duration {
        self.before.cpu.unwrap_or_default()
    }

    /// What was counted of the current test.
    pub fn counted(&self) -> Counted {
        let Some(group) = &self.group else {
            return Counted::default();
        };
        let (now, before) = (group.counted(), self.before);
        let since = |now: Option<u64>, before: Option<u64>| {
            Some(now?.saturating_sub(before.unwrap_or_default()))
        };
        Counted {
            cpu: now.cpu.map(|cpu| cpu.saturating_sub(self.cpu_before())),
            peak_memory: now.peak_memory.filter(|_| self.has_peak),
            oom_kills: since(now.oom_kills, before.oom_kills),
            refused: since(now.refused, before.refused),
        }
    }

    /// Whether it may serve another test: nobody in it was killed or refused for its limits.
    pub fn is_clean(&self) -> bool {
        let counted = self.counted();
        let none = |count: Option<u64>| count.unwrap_or_default() == 0;
        none(counted.oom_kills) && none(counted.refused)
    }
}
