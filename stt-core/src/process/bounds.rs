//! What of a set of limits every process carries by itself (`setrlimit(2)`).

use std::time::Duration;

use nix::sys::resource::Resource;
use nix::sys::resource::getrlimit;

use super::kernel::ResourceLimit;
use crate::limits::Limits;

/// The limits that a child is started with, and all below it inherit. None is higher than ours: it
/// could not be set.
pub(super) fn of(limits: &Limits) -> Vec<ResourceLimit> {
    let limits = [
        (Resource::RLIMIT_NOFILE, limits.open_files, 0),
        (
            Resource::RLIMIT_FSIZE,
            limits.file_size.map(|size| size.0),
            0,
        ),
        (Resource::RLIMIT_CORE, limits.core.map(|size| size.0), 0),
        // At the soft limit XCPU is sent, and KILL at the hard one.
        (Resource::RLIMIT_CPU, limits.cpu_time.map(whole_seconds), 1),
    ];
    let set = |(resource, limit, more): (Resource, Option<u64>, u64)| {
        let (_, highest) = getrlimit(resource).ok()?;
        let soft = limit?.min(highest);
        Some(ResourceLimit {
            resource: resource as libc::c_long,
            values: [soft, soft.saturating_add(more).min(highest)],
        })
    };
    limits.into_iter().filter_map(set).collect()
}

/// The same for a child of somebody else: what each of these limits is called (`RLIMIT_*`), with its two values.
pub fn carried(limits: &Limits) -> Vec<(u32, [u64; 2])> {
    let limits = of(limits).into_iter();
    let known =
        limits.filter_map(|limit| Some((u32::try_from(limit.resource).ok()?, limit.values)));
    known.collect()
}

/// The kernel counts in whole seconds here, and 0 would be a limit like any other.
fn whole_seconds(time: Duration) -> u64 {
    let more = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(more).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;

    #[test]
    fn what_is_not_limited_is_not_set_and_nothing_is_raised() {
        assert_eq!(of(&Limits::default()), []);
        let limits = Limits {
            open_files: Some(u64::MAX),
            core: Some(Bytes(0)),
            cpu_time: Some(Duration::from_millis(1500)),
            ..Limits::default()
        };
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let values: Vec<_> = of(&limits).into_iter().map(|limit| limit.values).collect();
        assert_eq!(values, [[most, most], [0, 0], [2, 3]]);
    }
}
