//! Everything that a person or a program sees of a run.
//!
//! Events come in, text goes out: for people to standard error ([`human`]), for programs to standard
//! output ([`json`], [`libtest`]). The text of every part is made by functions that know no terminal; the one
//! thread that writes is behind a queue, so that a stuck terminal holds up nobody but itself.

mod bar;
mod github;
mod guarding;
mod human;
mod json;
mod libtest;
mod options;
mod output;
mod overview;
mod ports;
mod printing;
mod progress;
mod reaped;
mod screen;
mod scripts;
mod status;
mod summary;
mod text;
mod theme;
mod thread;
mod waiting;

#[cfg(test)]
mod play;
#[cfg(test)]
mod script;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod whole_runs;

pub(crate) use github::Github;
pub(crate) use libtest::SuiteOutline;
pub(crate) use options::RenderOptions;
pub(crate) use overview::show_status;
pub(crate) use ports::show_ports;
pub(crate) use reaped::list_reaped;
pub(crate) use reaped::list_warnings;
pub(crate) use screen::renderer;
pub(crate) use status::things;
pub(crate) use thread::Drained;
pub(crate) use thread::RenderThread;
