//! Which limits can't be enforced where the run is, by name: none is dropped silently. Pure.

use std::collections::BTreeMap;

use crate::guard::limited;
use crate::limits::Limits;
use crate::report::Warning;

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

/// What a person should know of the limits of the tests that are to run: a warning for each set and each means
/// that is missing.
pub(crate) fn unenforced<'a>(
    limits: impl IntoIterator<Item = &'a Limits>,
    means: Means,
) -> Vec<Warning> {
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
        let all = told(false, false, false);
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(all[1].contains("`fast`") && all[2].contains("`small`"));
    }
}
