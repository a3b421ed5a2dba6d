//! Podman's command where no service does its work (`podman(1)`): what tests make with it is known by what it writes
//! down itself, in a file of each slot's own, and removed by the same command.

mod books;
mod clear;
mod conf;
mod ledger;
mod said;
mod setup;

pub use books::Books;
pub use clear::CallFailure;
pub use clear::Caller;
pub use clear::Podman;
pub use clear::PodmanError;
pub use clear::Said;
pub use ledger::Ledger;
pub use setup::CONTAINERS_CONF;
pub use setup::command;
pub use setup::setup;
