//! A run as programs see it: one JSON object a line, on standard output, in format 1.
//!
//! `run-started` comes first, but for warnings, waiting and what killed runs had left, and carries the number of
//! the format as `format`. Every
//! object has a `type`; keys and words are in kebab-case, times are seconds, amounts are bytes, shares
//! are percent. A key is absent when there is nothing to say: it is never null, and an unknown reading
//! is never 0. Within a format keys may be added, but none changes its meaning: readers skip what they
//! don't know.
//!
//! | `type` | keys |
//! |---|---|
//! | `run-started` | `format run total kept binaries threads counts` |
//! | `mechanism` (with `--verbose`) | `mechanism` |
//! | `script-started` | `script` |
//! | `script-slow` | `script elapsed ending` |
//! | `script-finished` | `script outcome reason duration output variables output-open` |
//! | `test-started` | `test` |
//! | `test-slow` | `test elapsed ending` |
//! | `test-finished` | `test outcome failure attempt attempts duration cpu peak-memory processes read written leak output counts total` |
//! | `test-retried` | as `test-finished`, and `delay` unless the run ends before |
//! | `test-unfinished` | `test why elapsed` |
//! | `guard` | `action reason tests test memory` |
//! | `waiting` | `next reading line stable waited go-on-in gives-up-in restart max` |
//! | `warning` | `message hint` |
//! | `reaped` | `run workspace ended left more directories` |
//! | `progress` (with `--verbose`) | `elapsed counts total running script memory family-memory family memory-threshold memory-limit cpu cpu-threshold allowed held` |
//! | `run-finished` | `run outcome signal counts total kept outstanding elapsed failed checkpoint stop swept cancelled` |
//!
//! A restarted run waits until the machine has recovered: `waiting` comes at once, then once a minute
//! (with `--verbose` at every look), and at its end. `next` is `look`, `go-on` or `give-up`; `reading`
//! has to be at `line` for `stable`; `go-on-in` is there while it is.
//!
//! `script` is an object of `kind` (`setup` or `teardown`), `name`, `command`, `number` and `of` (the so-manieth of so
//! many of its kind); its `outcome` is `passed`, `failed` or `ended` (with the run), and `variables` are those that it has
//! written for its tests. `output` is there as far as it was captured: standard output always is, since this is ours.
//!
//! `test` is an object of `binary` and `name`; `counts` one of `passed failed ignored leaky slow flaky`;
//! `attempt` and `attempts` (at most) are there where failed tests are tried again, and `test-retried` is of one that
//! was not the last;
//! `outcome` of a test is `passed`, `failed` or `ignored`, and of a run `passed`, `no-tests`, `failed`,
//! `script-failed`, `stopped` or `interrupted`. `failure` has a `kind` (`exit signal timeout breach limit
//! out-of-memory leak suspect start output`), a
//! `message`, and `code`, `signal` or `after` where the kind has one; `limit` has the name of the `limits` and
//! what was `exceeded`: one key (`memory cpu-time time processes file-size written`) with the `limit` and what
//! was `used`. `cpu`, `peak-memory`, `processes` (with their threads, at once), `read` and `written` (bytes from
//! and to disks) are those of the test's whole family; `processes` is absent of a test that was too short to be
//! looked at. `output` is there for failed
//! tests, unless `--failure-output never`, and for passed ones with `--success-output`; each stream
//! has a `text`, with invalid UTF-8 replaced; where bytes are left out, `omitted` counts them, `tail`
//! is what follows them and `spilled` the file that holds the stream. A process, in `leak` and in
//! `swept`, has `pid`, `command` and `ports`, each with `protocol` (`tcp` or `udp`), `address` and
//! `port`; and `still-held` where a port did not become free with its end, each `by` whom it is held.

mod message;
mod renderer;
mod result;
mod scripts;

#[cfg(test)]
mod lines;

pub(super) use renderer::Json;
