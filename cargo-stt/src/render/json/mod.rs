//! A run as programs see it: one JSON object a line, on standard output, in format 1.
//!
//! `run-started` comes first, but for warnings, and carries the number of the format as `format`. Every
//! object has a `type`; keys and words are in kebab-case, times are seconds, amounts are bytes, shares
//! are percent. A key is absent when there is nothing to say: it is never null, and an unknown reading
//! is never 0. Within a format keys may be added, but none changes its meaning: readers skip what they
//! don't know.
//!
//! | `type` | keys |
//! |---|---|
//! | `run-started` | `format run total kept binaries threads counts` |
//! | `test-started` | `test` |
//! | `test-slow` | `test elapsed ending` |
//! | `test-finished` | `test outcome failure duration cpu peak-memory leak output counts total` |
//! | `test-unfinished` | `test why elapsed` |
//! | `guard` | `action reason tests test memory` |
//! | `warning` | `message hint` |
//! | `progress` (with `--verbose`) | `elapsed counts total running memory family-memory family memory-threshold memory-limit cpu cpu-threshold allowed held` |
//! | `run-finished` | `run outcome signal counts total kept outstanding elapsed failed checkpoint stop swept cancelled` |
//!
//! `test` is an object of `binary` and `name`; `counts` one of `passed failed ignored leaky slow`;
//! `outcome` of a test is `passed`, `failed` or `ignored`, and of a run `passed`, `no-tests`, `failed`,
//! `stopped` or `interrupted`. `failure` has a `kind` (`exit signal timeout breach start output`), a
//! `message`, and `code`, `signal` or `after` where the kind has one. `output` is there for failed
//! tests, unless `--failure-output never`, and for passed ones with `--success-output`; each stream
//! has a `text`, with invalid UTF-8 replaced; where bytes are left out, `omitted` counts them, `tail`
//! is what follows them and `spilled` the file that holds the stream.

mod message;
mod renderer;
mod result;

#[cfg(test)]
mod lines;

pub(super) use renderer::Json;
