//! The checkpoint of a leg: what is in it before the first test starts, and what settings it belongs to.

use std::time::Duration;

use fs_err as fs;

use crate::checkpoint;
use crate::checkpoint::CheckpointError;
use crate::checkpoint::ContentHash;
use crate::checkpoint::Header;
use crate::checkpoint::Record;
use crate::checkpoint::ResultRecord;
use crate::checkpoint::ResumePlan;
use crate::checkpoint::Selected;
use crate::checkpoint::Writer;
use crate::checkpoint::timestamp;
use crate::clock::Clock;
use crate::config::Config;
use crate::outcome::Failure;
use crate::outcome::TestOutcome;
use crate::report;
use crate::report::Warning;
use crate::run::Sink;
use crate::run::error::chain;
use crate::run::execute::Job;
use crate::units::Bytes;

/// Puts the checkpoint of this leg in place: the kept results and the ignored tests are in it before
/// the first test starts. Without one the tests run all the same.
pub(crate) fn open_checkpoint(
    job: &Job,
    selected: &[Selected],
    known: &[ResultRecord],
    config: &Config,
    sink: &Sink,
) -> Option<Writer> {
    if !config.checkpoint.enabled {
        return None;
    }
    let known = known.iter().cloned().map(Record::Result);
    let records = job
        .suite
        .whole()
        .chain(job.plan.carried(selected))
        .chain(known);
    let header = Header {
        tool: concat!("cargo-stt ", env!("CARGO_PKG_VERSION")).to_owned(),
        run: job.run.clone(),
        leg: job.leg,
        created: timestamp(Clock::wall()),
        workspace_root: job.root.clone(),
        selection: job.selection.clone(),
        config_hash: config_hash(config),
        binaries: job.records.clone(),
        memory_before: job.memory_before,
    };
    let created = Writer::create(&job.checkpoint, &header, records);
    created
        .inspect_err(|error| sink(report::Event::Warning(not_kept(job, error))))
        .ok()
}

/// What a person should know of a checkpoint that can't be kept. What another run has left in its place
/// must not be taken for this one's by a later `--resume`; what this run itself has left still holds.
fn not_kept(job: &Job, error: &CheckpointError) -> Warning {
    let path = &job.checkpoint;
    let error = chain(error);
    let elsewhere = "choose another place with --checkpoint";
    let there = fs::symlink_metadata(path).is_ok_and(|there| there.is_file());
    let (message, hint) = if job.leg > 1 {
        let message = format!("this leg is not recorded, a resumed run would repeat it: {error}");
        (message, elsewhere.to_owned())
    } else if !there {
        let message = format!("this run can't be resumed: {error}");
        (message, elsewhere.to_owned())
    } else {
        match checkpoint::set_aside(path, "old") {
            Ok(aside) => (
                format!("this run can't be resumed: {error}"),
                format!("{elsewhere}; the record of an earlier run is now `{aside}`"),
            ),
            Err(refused) => (
                format!(
                    "this run can't be resumed: {error}; the record of an earlier run is still there, \
                     for it can't be moved: {refused}"
                ),
                format!("remove `{path}` before you use --resume, or {elsewhere}"),
            ),
        }
    };
    Warning {
        message,
        hint: Some(hint),
    }
}

/// A hash of the settings that can change a result. Of the sets of limits only those count that a test
/// may get.
pub fn config_hash(config: &Config) -> ContentHash {
    let run = &config.run;
    let default = run.limits.as_deref().map(|name| config.limits.choose(name));
    let overrides = config.overrides.iter().map(|one| {
        let filter = one.filter.as_ref().map(|filter| &filter.text);
        let sets = (&one.limits, &one.ports, &one.retries, one.times);
        let wrapper = &one.scripts.run_wrapper;
        let starts = (
            wrapper.as_ref().map(|wrapper| &wrapper.command),
            &one.extra_args,
            &one.container,
        );
        (filter, &one.platform, sets, starts)
    });
    let parts = (
        run.slow_timeout,
        run.terminate_after,
        run.retries,
        run.leak_timeout,
        run.leaks,
        run.tmpdir,
        default,
        (&config.container.image, &config.container.network),
        overrides.collect::<Vec<_>>(),
    );
    ContentHash::of(format!("{parts:?}").as_bytes())
}

/// The results of this leg that are known without running anything: of the tests that are ignored, and of
/// those that were suspects twice.
pub(crate) fn known_results(plan: &ResumePlan, selected: &[Selected]) -> Vec<ResultRecord> {
    let ignored = plan
        .ignored
        .iter()
        .map(|&test| (test, TestOutcome::Ignored));
    let condemned = plan.condemned.iter().map(|condemned| {
        let evidence = condemned.evidence.clone();
        let failure = Failure::Suspect { evidence };
        (condemned.index, TestOutcome::Failed(failure))
    });
    let result = |(test, outcome): (usize, TestOutcome)| ResultRecord {
        test: selected[test].test.clone(),
        outcome,
        duration: Duration::ZERO,
        cpu: Duration::ZERO,
        peak_memory: Bytes(0),
        processes: None,
        read: None,
        written: None,
        output: None,
        leaks: Vec::new(),
        attempt: 1,
        retried: false,
    };
    ignored.chain(condemned).map(result).collect()
}
