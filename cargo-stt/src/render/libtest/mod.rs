//! A run as the JSON of libtest (`--format json`) on standard output, and as people see it on standard error: guard,
//! warnings and summary have no place in libtest's lines.
//!
//! Each binary is a suite: `started` with its first test, `ok` or `failed` with its last, or with the end of the run.
//! A test is named `PACKAGE::TARGET$NAME`, as nextest has it, and `#N` follows where its result is that of attempt N.
//! `stdout` is what the test printed on both streams, in its order, without the lines of the harness around it;
//! `message` says why a test failed that did not exit by itself.

mod message;
mod own;
mod renderer;

pub(crate) use message::SuiteOutline;
pub(super) use renderer::Libtest;
