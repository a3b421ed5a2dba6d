//! Removes from an engine what a run or a test has made there, and looks whether it is gone.
//!
//! The client is asynchronous. It lives on a runtime of the calling thread's, for as long as this takes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::time::Duration;

use bollard::API_DEFAULT_VERSION;
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::ListNetworksOptionsBuilder;
use bollard::query_parameters::ListVolumesOptionsBuilder;
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use bollard::query_parameters::RemoveVolumeOptions;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::figures::Said;
use super::label::key;
use super::listing;
use super::pods;
use crate::container::Address;
use crate::container::Cleared;
use crate::container::Kind;
use crate::container::Stuck;
use crate::container::Thing;
use crate::id::RunId;

/// How many things are removed at once.
const TOGETHER: usize = 20;

/// The time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long a container that has ended may take to be removed by who made it, or by its engine.
const LINGER: Duration = Duration::from_millis(300);

/// How much longer than that what is asked for may come to be, after its client was killed.
pub const LATE: Duration = Duration::from_secs(1);

/// What is to be removed.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Of which run.
    pub run: &'a RunId,
    /// Of which of its tests; `None` for all of it.
    pub test: Option<&'a str>,
    /// For how long something may still come to be.
    pub late: Duration,
    /// How long it may take.
    pub budget: Duration,
}

/// The engine can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It does not answer.
    #[error("the engine at {address} does not answer")]
    Unreachable {
        /// Where it should be.
        address: Address,
        /// Why.
        #[source]
        source: Error,
    },
    /// It did not answer in time.
    #[error("the engine at {0} did not answer in time")]
    Late(Address),
    /// The system refuses what a client needs.
    #[error("no client for the engine could be made")]
    Client(#[source] io::Error),
}

impl EngineError {
    /// Whether there is no engine any more where one was.
    pub fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Unreachable {
                source: Error::SocketNotFoundError(_),
                ..
            }
        )
    }
}

/// Removes what is in the scope, and says what it was.
///
/// # Errors
/// The engine can't be asked: nothing is known of what it keeps.
pub fn clear(address: &Address, scope: Scope<'_>) -> Result<Cleared, EngineError> {
    on_runtime(async {
        let deadline = Instant::now() + scope.budget;
        let mut sweep = Sweep::connect(address, scope).await?;
        sweep.run(deadline).await
    })
}

/// Says what is in the scope.
///
/// # Errors
/// As for [`clear`].
pub fn look(address: &Address, scope: Scope<'_>) -> Result<Vec<Thing>, EngineError> {
    on_runtime(async {
        let deadline = Instant::now() + scope.budget;
        let sweep = Sweep::connect(address, scope).await?;
        let found = sweep.in_time(deadline, sweep.list()).await?;
        Ok(found.into_iter().map(|found| found.thing).collect())
    })
}

/// What the engine says of a container. Where it says nothing within `budget` nobody knows.
///
/// # Errors
/// There is no client.
pub fn said(address: &Address, id: &str, budget: Duration) -> Result<Said, EngineError> {
    on_runtime(async {
        let asked = tokio::time::timeout(budget, listing::said(address, id)).await;
        Ok(asked.ok().and_then(Result::ok).unwrap_or_default())
    })
}

fn on_runtime<T>(work: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(EngineError::Client)?;
    runtime.block_on(work)
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    thing: Thing,
    /// Whether it may go by itself at once: a container that has ended.
    ends: bool,
}

struct Sweep<'a> {
    docker: Docker,
    address: &'a Address,
    scope: Scope<'a>,
    key: String,
    /// All that was found.
    known: BTreeMap<Thing, String>,
    /// The volumes that containers out of the scope have, as of the last attempt.
    shared: BTreeSet<Thing>,
}

impl<'a> Sweep<'a> {
    async fn connect(address: &'a Address, scope: Scope<'a>) -> Result<Self, EngineError> {
        let seconds = scope.budget.as_secs().max(1) + 1;
        let docker = match address {
            Address::Unix(path) => {
                Docker::connect_with_unix(path.as_str(), seconds, API_DEFAULT_VERSION)
            }
            Address::Tcp(host) => {
                Docker::connect_with_http(&host.to_string(), seconds, API_DEFAULT_VERSION)
            }
        };
        let unreachable = |source| EngineError::Unreachable {
            address: address.clone(),
            source,
        };
        let docker = docker.map_err(unreachable)?;
        let asked = tokio::time::timeout(scope.budget, docker.negotiate_version()).await;
        let asked = asked.map_err(|_| EngineError::Late(address.clone()))?;
        Ok(Self {
            docker: asked.map_err(unreachable)?,
            address,
            scope,
            key: key(scope.run),
            known: BTreeMap::new(),
            shared: BTreeSet::new(),
        })
    }

    async fn in_time<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, EngineError> {
        match tokio::time::timeout_at(deadline, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(EngineError::Unreachable {
                address: self.address.clone(),
                source,
            }),
            Err(_) => Err(EngineError::Late(self.address.clone())),
        }
    }

    async fn run(&mut self, deadline: Instant) -> Result<Cleared, EngineError> {
        let began = Instant::now();
        loop {
            let mut found = match self.in_time(deadline, self.list()).await {
                Ok(found) => found,
                // What was found before is told.
                Err(_) if !self.known.is_empty() => return Ok(self.cleared(None)),
                Err(error) => return Err(error),
            };
            let waited = began.elapsed();
            if self.scope.test.is_some() && waited >= LINGER {
                // Another test has it. It is the run's to remove it, when nobody has it any more.
                found.retain(|one| !self.shared.contains(&one.thing));
                self.known.retain(|thing, _| !self.shared.contains(thing));
            }
            if found.is_empty() && waited >= self.scope.late {
                return Ok(self.cleared(Some(&[])));
            }
            if Instant::now() >= deadline {
                return Ok(self.cleared(Some(&found)));
            }
            // Who goes by itself has left nothing behind.
            let goes = |one: &Found| self.scope.test.is_some() && one.ends && waited < LINGER;
            let holds = |kind| matches!(kind, Kind::Container | Kind::Pod);
            let alone = !found.iter().any(|one| holds(one.thing.kind));
            let staying = found.into_iter().filter(|one| !goes(one));
            let things: Vec<_> = staying.map(|one| one.thing).collect();
            for thing in &things {
                self.known.entry(thing.clone()).or_default();
            }
            if things.is_empty() {
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
            let agreed = self.remove(&things, deadline).await;
            if !alone {
                self.shared.clear();
            }
            if !agreed {
                tokio::time::sleep_until(deadline.min(Instant::now() + LOOK_AGAIN)).await;
            }
        }
    }

    /// Removes things in their order: a network can't go while a container is in it. Says whether the engine
    /// has agreed to all of it.
    async fn remove(&mut self, things: &[Thing], deadline: Instant) -> bool {
        let mut agreed = true;
        self.shared.clear();
        for kind in [Kind::Pod, Kind::Container, Kind::Network, Kind::Volume] {
            let own = things.iter().filter(|thing| thing.kind == kind);
            let work = self.remove_all(own.cloned().collect());
            let Ok(refused) = tokio::time::timeout_at(deadline, work).await else {
                return false;
            };
            agreed &= refused.is_empty();
            for (thing, refusal) in refused {
                if kind == Kind::Volume && refusal.is_in_use {
                    self.shared.insert(thing.clone());
                }
                self.known.insert(thing, refusal.why);
            }
        }
        agreed
    }

    /// What was removed, given what is left; `None` when that is not known.
    fn cleared(&mut self, left: Option<&[Found]>) -> Cleared {
        let mut cleared = Cleared::default();
        for (thing, why) in std::mem::take(&mut self.known) {
            let stays = left.is_none_or(|left| left.iter().any(|one| one.thing.id == thing.id));
            if stays {
                let command = thing.removal(self.address);
                cleared.stuck.push(Stuck {
                    thing,
                    why,
                    command,
                });
            } else {
                cleared.removed.push(thing);
            }
        }
        cleared
    }

    fn is_ours(&self, labels: Option<&HashMap<String, String>>) -> bool {
        let value = labels.and_then(|labels| labels.get(&self.key));
        value.is_some_and(|value| self.scope.test.is_none_or(|test| test == value))
    }

    /// Everything in the scope. The engine is asked for the key, which it takes word for word; the value, which
    /// some engines take for a pattern, is compared here.
    async fn list(&self) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        let mut infra = BTreeSet::new();
        for pod in pods::list(self.address, &self.key).await? {
            if self.is_ours(Some(&pod.labels)) {
                infra.extend(pod.infra);
                found.push(Found {
                    thing: pod.thing,
                    ends: false,
                });
            }
        }
        let filters = HashMap::from([("label".to_owned(), vec![self.key.clone()])]);
        let networks = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let volumes = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let networks = self.docker.list_networks(Some(networks)).await?;
        let volumes = self.docker.list_volumes(Some(volumes)).await?;
        for container in listing::list(self.address, &self.key).await? {
            if !infra.contains(&container.thing.id) && self.is_ours(Some(&container.labels)) {
                let (thing, ends) = (container.thing, container.ends);
                found.push(Found { thing, ends });
            }
        }
        let thing = |kind, id, name| Found {
            thing: Thing {
                kind,
                id,
                name,
                image: String::new(),
            },
            ends: false,
        };
        for network in networks {
            if self.is_ours(network.labels.as_ref()) {
                let id = network.id.unwrap_or_default();
                found.push(thing(Kind::Network, id, network.name.unwrap_or_default()));
            }
        }
        for volume in volumes.volumes.unwrap_or_default() {
            if self.is_ours(Some(&volume.labels)) {
                found.push(thing(Kind::Volume, volume.name.clone(), volume.name));
            }
        }
        // An engine that gives no id gives nothing that could be removed.
        found.retain(|one| !one.thing.id.is_empty());
        Ok(found)
    }

    /// Removes things of one kind. Returns what could not be, with the reason.
    async fn remove_all(&self, things: Vec<Thing>) -> Vec<(Thing, Refusal)> {
        let mut refused = Vec::new();
        let mut set = JoinSet::new();
        let mut rest = things.into_iter();
        loop {
            while set.len() < TOGETHER
                && let Some(thing) = rest.next()
            {
                let (docker, address) = (self.docker.clone(), self.address.clone());
                set.spawn(async move {
                    let removed = remove(&docker, &address, &thing).await;
                    (thing, removed)
                });
            }
            match set.join_next().await {
                Some(Ok((thing, Err(error)))) => refused.push((thing, error)),
                Some(Ok((_, Ok(()))) | Err(_)) => {}
                None => return refused,
            }
        }
    }
}

/// Why something was not removed.
#[derive(Debug)]
struct Refusal {
    why: String,
    /// Whether somebody has it.
    is_in_use: bool,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            is_in_use: is(&error, 409),
            why: error.to_string(),
        }
    }
}

/// Whether the engine has answered this number.
fn is(error: &Error, number: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == number)
}

/// Removes one thing. What is gone already is no error.
async fn remove(docker: &Docker, engine: &Address, thing: &Thing) -> Result<(), Refusal> {
    let done = match thing.kind {
        Kind::Pod => {
            let removed = pods::remove(engine, &thing.id).await;
            return removed.map_err(|error| Refusal {
                why: error.to_string(),
                is_in_use: false,
            });
        }
        Kind::Container => {
            // Podman waits for a container to stop, unless it is dead. That it is, is no error.
            drop(docker.kill_container(&thing.id, None).await);
            let options = RemoveContainerOptionsBuilder::new()
                .force(true)
                .v(true)
                .build();
            docker.remove_container(&thing.id, Some(options)).await
        }
        Kind::Network => docker.remove_network(&thing.id).await,
        Kind::Volume => {
            docker
                .remove_volume(&thing.id, None::<RemoveVolumeOptions>)
                .await
        }
    };
    match done {
        Err(error) if is(&error, 404) => Ok(()),
        // Somebody else removes it at this moment.
        Err(Error::DockerResponseServerError {
            status_code: 409,
            message,
        }) if message.contains("already in progress") => Ok(()),
        done => Ok(done?),
    }
}
