//! Containers: a proxy in front of the engine that says whose is what tests make there, and the end of it.

mod answer;
mod conmon;
mod counter;
mod date;
mod discovery;
mod engine;
mod errand;
mod figures;
mod group;
mod label;
mod listing;
mod naming;
mod plain;
mod podman;
mod pods;
mod proxy;
mod remote;
mod request;
mod roster;
mod sandbox;
mod volume;

use crate::container::Address;

pub use conmon::watched;
pub use counter::Beyond;
pub use counter::Counter;
pub use discovery::CONTAINER_HOST;
pub use discovery::DOCKER_HOST;
pub use discovery::Distant;
pub use discovery::Engine;
pub use discovery::Found;
pub use discovery::Host;
pub use discovery::Lookup;
pub use discovery::find;
pub use engine::EngineError;
pub use engine::LATE;
pub use engine::Scope;
pub use engine::clear;
pub use engine::look;
pub use engine::said;
pub use figures::Said;
pub use label::Label;
pub use label::key;
pub use podman::Books;
pub use podman::CONTAINERS_CONF;
pub use podman::CallFailure;
pub use podman::Caller;
pub use podman::Ledger;
pub use podman::Podman;
pub use podman::PodmanError;
pub use podman::Said as PodmanSaid;
pub use podman::command;
pub use podman::setup;
pub use proxy::Desk;
pub use proxy::Notify;
pub use proxy::Proxy;
pub use remote::DIAL;
pub use remote::New;
pub use remote::REQUESTS;
pub use remote::Reach;
pub use remote::Signs;
pub use remote::made_within;
pub use remote::removal;
pub use roster::Made;
pub use roster::Roster;
pub use sandbox::CLIENT;
pub use sandbox::Call;
pub use sandbox::CallError;
pub use sandbox::Counted;
pub use sandbox::LeftOut;
pub use sandbox::Mount;
pub use sandbox::NO_TEST;
pub use sandbox::ProcessLimit;
pub use sandbox::Sandbox;
pub use sandbox::SandboxError;
pub use sandbox::Sandboxes;
pub use sandbox::Setting;
pub use sandbox::attend;

/// Whether this is the address of a proxy of ours, which was the engine of a run inside a test.
pub fn is_proxy(address: &Address) -> bool {
    match address {
        Address::Unix(path) => path
            .file_name()
            .is_some_and(|name| name.starts_with(proxy::NAME)),
        Address::Tcp(_) => false,
    }
}
