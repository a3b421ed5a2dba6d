//! What looks after what tests make with containers, in whatever way: through an engine's socket, or by Podman's command.

use std::ffi::OsString;
use std::time::Duration;

use crate::container::Thing;
use crate::containers::CONTAINER_HOST;
use crate::containers::Reach;
use crate::id::TestId;
use crate::process::Left;
use crate::run::Session;
use crate::run::Sink;
use crate::run::containers::Containers;
use crate::run::containers::Place;
use crate::run::podman::LocalPodman;
use crate::run::podman::tell_what_podman_keeps;
use crate::run::queue::Queue;
use crate::run::remote::Remote;

/// What looks after them in a run.
#[derive(Debug, Default)]
pub(crate) struct Engines {
    /// What stands in front of an engine's socket; `None` where nothing does.
    pub(crate) proxy: Option<Containers>,
    /// How an engine is asked that nothing can stand in front of; `None` where there is none.
    distant: Option<Reach>,
    /// What looks after Podman's command; `None` where it is not there, or speaks to a service.
    podman: Option<LocalPodman>,
    /// Whether somebody wants to know what becomes of containers.
    is_wanted: bool,
}

impl Session {
    /// Has the containers of tests looked after, where there is something to make them with. Nothing is contacted, and
    /// nothing is called.
    pub(crate) fn look_after_engines(&self, place: Place<'_>, sink: &Sink) -> Engines {
        let (proxy, distant) = self.stand_before_engine(place, sink);
        let is_podmans = proxy
            .as_ref()
            .is_some_and(|proxy| proxy.variables().contains(&CONTAINER_HOST));
        let podman = if is_podmans {
            None
        } else {
            self.watch_podman(place, sink)
        };
        Engines {
            proxy,
            distant,
            podman,
            is_wanted: true,
        }
    }
}

impl Engines {
    /// Has an eye on an engine that nothing can stand in front of, if there is one. Tests begin now.
    pub(crate) fn watch_distant(&self, budget: Duration) -> Option<Remote> {
        let distant = self.distant.clone();
        distant.map(|reach| Remote::watch(reach, budget))
    }

    /// A test, or a script, begins in this slot, with a name for what it makes: the variables by which it finds the
    /// engine.
    pub(crate) fn begin(&self, slot: usize, name: String) -> Vec<(OsString, OsString)> {
        let proxy = self.proxy.as_ref();
        let mut variables = proxy.map_or_else(Vec::new, |proxy| proxy.begin(slot, name));
        let podman = self.podman.as_ref();
        variables.extend(podman.map(|podman| podman.variable(slot)));
        variables
    }

    /// Nothing of the test in this slot is alive, which has left these processes: removes what it has left besides, and
    /// says what that was.
    pub(crate) fn end(
        &self,
        slot: usize,
        test: &TestId,
        left: &mut Left,
        queue: &Queue,
    ) -> Vec<Thing> {
        let proxy = self.proxy.as_ref();
        let mut things = proxy.map_or_else(Vec::new, |proxy| proxy.end(slot, test, queue));
        let podman = self.podman.as_ref();
        let of_podman = podman.map(|podman| podman.end(slot, left, queue));
        things.extend(of_podman.into_iter().flatten());
        if self.is_wanted {
            tell_what_podman_keeps(left, test, queue);
        }
        things
    }

    /// Nothing of any test is alive: removes what is left of all.
    pub(crate) fn finish(&self, queue: &Queue) -> Vec<Thing> {
        let proxy = self.proxy.as_ref().map(|proxy| proxy.finish(queue));
        let podman = self.podman.as_ref().map(|podman| podman.finish(queue));
        proxy.into_iter().chain(podman).flatten().collect()
    }
}
