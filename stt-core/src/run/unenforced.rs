//! Which limits can't be enforced where the run is, by name: none is dropped silently. Pure.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::containers::LeftOut;
use crate::guard::limited;
use crate::limits::Limits;
use crate::report::Warning;
use crate::run::suite::Suite;

/// What limits can be enforced with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    /// The families of tests can be walked, so that what they use can be watched.
    pub(crate) families: bool,
    /// The kernel holds single processes to limits that others set.
    pub(crate) processes: bool,
    /// Each test is in a control group that shares out the CPU.
    pub(crate) cpu_shares: bool,
}

/// What a person should know of the limits of these tests, inside of containers and outside.
pub(crate) fn unenforced_of<'a>(
    suite: &Suite,
    tests: impl Iterator<Item = &'a usize>,
    means: Means,
) -> Vec<Warning> {
    let limits = |test: &usize| suite.limits(*test).map(Arc::as_ref);
    let is_inside = |test: &&usize| suite.image(**test).is_some();
    let (inside, outside): (Vec<_>, Vec<_>) = tests.partition(is_inside);
    let mut warnings = unenforced(outside.into_iter().filter_map(limits), means);
    warnings.extend(unenforced_inside(inside.into_iter().filter_map(limits)));
    warnings
}

/// What a person should know of the limits of the tests that are to run: a warning for each set and each means
/// that is missing.
fn unenforced<'a>(limits: impl IntoIterator<Item = &'a Limits>, means: Means) -> Vec<Warning> {
    let sets: BTreeMap<&str, &Limits> = limits
        .into_iter()
        .map(|limits| (&*limits.name, limits))
        .collect();
    let warnings = sets.into_iter().flat_map(|(name, limits)| {
        let processes =
            limits.open_files.is_some() || limits.file_size.is_some() || limits.core.is_some();
        [
            (limits.cpu.is_some() && !means.cpu_shares).then(|| Warning {
                message: format!(
                    "the CPU share of limits `{name}` is not enforced: only a control group can do that"
                ),
                hint: Some("limit `cpu-time` as well, which is always enforced".to_owned()),
            }),
            (limited::is_watched(limits) && !means.families).then(|| Warning {
                message: format!(
                    "memory, CPU time, processes and written bytes of limits `{name}` are not enforced: \
                     the processes of tests can't be watched here"
                ),
                hint: None,
            }),
            (processes && !means.processes).then(|| Warning {
                message: format!(
                    "open files, file size and core size of limits `{name}` are not enforced: \
                     this system does not let others limit a process"
                ),
                hint: None,
            }),
        ]
    });
    warnings.flatten().collect()
}

/// Warns of the limits that an engine takes for a container, and does not hold.
pub(crate) fn left_out_by_engine(left_out: LeftOut) -> Option<Warning> {
    let kinds = [
        (left_out.memory, "`memory`"),
        (left_out.cpu, "`cpu`"),
        (left_out.processes, "`processes`"),
    ];
    let names = kinds
        .into_iter()
        .filter_map(|(is, name)| is.then_some(name));
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then(|| Warning {
        message: format!(
            "the engine does not hold tests in containers to their limits: {}",
            names.join(", ")
        ),
        hint: Some(
            "a user's own engine can with control groups of version 2 that are delegated to him"
                .to_owned(),
        ),
    })
}

/// Warns of each of these sets of limits that holds less in a container. No engine counts what goes to disks so that a test
/// could be judged by it.
fn unenforced_inside<'a>(limits: impl IntoIterator<Item = &'a Limits>) -> Vec<Warning> {
    let written = limits.into_iter().filter(|set| set.written.is_some());
    let names: BTreeSet<&str> = written.map(|set| &*set.name).collect();
    let warning = |name| Warning {
        message: format!("`written` of limits `{name}` is not enforced in containers"),
        hint: None,
    };
    names.into_iter().map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MilliCores;
    use crate::units::Bytes;

    fn set(name: &str) -> Limits {
        Limits {
            name: name.into(),
            ..Limits::default()
        }
    }

    #[test]
    fn each_set_is_named_once_for_what_is_missing() {
        let fast = Limits {
            cpu: Some(MilliCores(500)),
            memory: Some(Bytes(1)),
            ..set("fast")
        };
        let small = Limits {
            core: Some(Bytes(0)),
            ..set("small")
        };
        let told = |families, processes, cpu_shares| -> Vec<String> {
            let means = Means {
                families,
                processes,
                cpu_shares,
            };
            unenforced([&fast, &small, &fast], means)
                .into_iter()
                .map(|warning| warning.message)
                .collect()
        };
        assert_eq!(told(true, true, true), [""; 0]);
        assert_eq!(
            told(true, true, false),
            ["the CPU share of limits `fast` is not enforced: only a control group can do that"]
        );
        let disk = Limits {
            written: Some(Bytes(1)),
            ..set("disk")
        };
        let inside = unenforced_inside([&fast, &disk, &disk]);
        let inside: Vec<_> = inside.into_iter().map(|warning| warning.message).collect();
        assert_eq!(
            inside,
            ["`written` of limits `disk` is not enforced in containers"]
        );
        let all = told(false, false, false);
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(all[1].contains("`fast`") && all[2].contains("`small`"));
    }

    #[test]
    fn what_an_engine_does_not_hold_is_named() {
        let some = LeftOut {
            memory: true,
            processes: true,
            cpu: false,
        };
        let told = left_out_by_engine(some).map(|warning| warning.message);
        let message =
            "the engine does not hold tests in containers to their limits: `memory`, `processes`";
        assert_eq!(told.as_deref(), Some(message));
        assert_eq!(left_out_by_engine(LeftOut::default()), None);
    }
}
