//! `--partition`: which part of the tests, also as the CI service says it.

use std::num::NonZeroU64;

use stt_core::partition::Partition;
use stt_core::partition::PartitionBy;

use crate::env;

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shard {
    /// This part.
    Part(Partition),
    /// The part that the CI service says, of so many; `None` where it says that as well.
    Auto(Option<NonZeroU64>),
}

/// Reads what was typed.
///
/// # Errors
/// It names no part.
pub(crate) fn shard(text: &str) -> Result<Shard, String> {
    match text.strip_prefix("auto") {
        Some("") => Ok(Shard::Auto(None)),
        Some(rest) => {
            let count = rest.strip_prefix('/').and_then(|count| count.parse().ok());
            let count = count.ok_or("expected auto, or auto/N for N parts")?;
            Ok(Shard::Auto(Some(count)))
        }
        None => text
            .parse()
            .map(Shard::Part)
            .map_err(|error: stt_core::partition::PartitionError| error.to_string()),
    }
}

/// Why the CI service says no part, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoShard {
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// A service: its name, the variable that tells it, those of the part and of the number of parts, and the number of
/// the first part.
struct Service {
    name: &'static str,
    marker: &'static str,
    index: &'static str,
    count: Option<&'static str>,
    first: First,
}

/// The number that a service gives to the first part.
#[derive(Clone, Copy)]
enum First {
    Zero,
    One,
    /// It is in this variable, and each number is so much larger than the one before it as another says.
    Variable(&'static str, &'static str),
}

/// The services that number their jobs. Whoever runs inside of another comes before that.
const SERVICES: [Service; 6] = [
    // https://docs.gitlab.com/ci/variables/predefined_variables/
    Service {
        name: "GitLab",
        marker: env::GITLAB_CI,
        index: env::CI_NODE_INDEX,
        count: Some(env::CI_NODE_TOTAL),
        first: First::One,
    },
    // https://docs.semaphoreci.com/reference/env-vars
    Service {
        name: "Semaphore",
        marker: env::SEMAPHORE,
        index: env::SEMAPHORE_JOB_INDEX,
        count: Some(env::SEMAPHORE_JOB_COUNT),
        first: First::One,
    },
    // https://circleci.com/docs/variables/
    Service {
        name: "CircleCI",
        marker: env::CIRCLECI,
        index: env::CIRCLE_NODE_INDEX,
        count: Some(env::CIRCLE_NODE_TOTAL),
        first: First::Zero,
    },
    // https://buildkite.com/docs/pipelines/configure/environment-variables
    Service {
        name: "Buildkite",
        marker: env::BUILDKITE,
        index: env::BUILDKITE_PARALLEL_JOB,
        count: Some(env::BUILDKITE_PARALLEL_JOB_COUNT),
        first: First::Zero,
    },
    // https://slurm.schedmd.com/job_array.html
    Service {
        name: "Slurm",
        marker: env::SLURM_ARRAY_TASK_ID,
        index: env::SLURM_ARRAY_TASK_ID,
        count: Some(env::SLURM_ARRAY_TASK_COUNT),
        first: First::Variable(env::SLURM_ARRAY_TASK_MIN, env::SLURM_ARRAY_TASK_STEP),
    },
    // https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode
    Service {
        name: "Kubernetes",
        marker: env::JOB_COMPLETION_INDEX,
        index: env::JOB_COMPLETION_INDEX,
        count: None,
        first: First::Zero,
    },
];

/// The part that the CI service says, by the variables that `lookup` knows.
///
/// # Errors
/// No service says one, or what it says is no part of what was asked for.
pub(crate) fn of_service(
    count: Option<NonZeroU64>,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Partition, NoShard> {
    let filled = |name: &str| lookup(name).filter(|value| !value.is_empty());
    let here = SERVICES.iter().find(|service| {
        filled(service.marker).is_some_and(|value| !matches!(value.as_str(), "false"))
    });
    let Some(service) = here else {
        let names: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
        return Err(NoShard {
            message: "`--partition auto`: no service that numbers its jobs runs this".to_owned(),
            hint: format!(
                "known are {}; elsewhere write the part, such as `--partition slice:1/3`",
                names.join(", ")
            ),
        });
    };
    let number = |name: &'static str| -> Result<Option<u64>, NoShard> {
        let Some(text) = filled(name) else {
            return Ok(None);
        };
        let wrong =
            || service.refusal(&format!("`{name}` is no number: `{}`", text.escape_debug()));
        text.parse().map(Some).map_err(|_| wrong())
    };
    let said = service.count.map(number).transpose()?.flatten();
    let of = match (count.map(NonZeroU64::get), said) {
        (Some(typed), Some(said)) if typed != said => {
            let message =
                format!("it has {said} jobs, and `--partition auto/{typed}` says otherwise");
            return Err(service.refusal(&message));
        }
        (typed, said) => typed.or(said),
    };
    let index = number(service.index)?;
    // A job that is not one of several has no number, and does everything.
    if index.is_none() && of == Some(1) {
        return whole().ok_or_else(|| service.refusal(""));
    }
    let index = index.ok_or_else(|| service.refusal(&format!("`{}` is not set", service.index)))?;
    let Some(of) = of else {
        return Err(NoShard {
            message: match service.count {
                Some(count) => format!(
                    "{} does not say how many jobs there are: `{count}` is not set",
                    service.name
                ),
                None => format!("{} does not tell a job how many there are", service.name),
            },
            hint: "write their number: `--partition auto/N`".to_owned(),
        });
    };
    let (first, step) = match service.first {
        First::Zero => (0, 1),
        First::One => (1, 1),
        First::Variable(first, step) => {
            let first = number(first)?.unwrap_or(0);
            (first, number(step)?.unwrap_or(1).max(1))
        }
    };
    let place = index.checked_sub(first).filter(|ahead| ahead % step == 0);
    let part = place.and_then(|ahead| (ahead / step).checked_add(1));
    part.and_then(|part| Partition::new(PartitionBy::Slice, part, of))
        .ok_or_else(|| {
            let name = service.index;
            service.refusal(&format!("`{name}` is {index}, which is none of {of} jobs"))
        })
}

fn whole() -> Option<Partition> {
    Partition::new(PartitionBy::Slice, 1, 1)
}

impl Service {
    fn refusal(&self, what: &str) -> NoShard {
        NoShard {
            message: format!("`--partition auto` on {}: {what}", self.name),
            hint: "write the part, such as `--partition slice:1/3`".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(count: Option<u64>, vars: &str) -> Result<String, String> {
        let lookup = |name: &str| {
            let mut vars = vars
                .split_whitespace()
                .filter_map(|pair| pair.split_once('='));
            vars.find(|(known, _)| *known == name)
                .map(|(_, value)| value.to_owned())
        };
        let count = count.map(|count| NonZeroU64::new(count).unwrap());
        of_service(count, lookup)
            .map(|part| part.to_string())
            .map_err(|error| format!("{} – {}", error.message, error.hint))
    }

    #[test]
    fn each_service_counts_in_its_way() {
        for (vars, part) in [
            (
                "GITLAB_CI=true CI_NODE_INDEX=1 CI_NODE_TOTAL=3",
                "slice:1/3",
            ),
            ("GITLAB_CI=true CI_NODE_TOTAL=1", "slice:1/1"),
            (
                "SEMAPHORE=true SEMAPHORE_JOB_INDEX=3 SEMAPHORE_JOB_COUNT=3",
                "slice:3/3",
            ),
            (
                "CIRCLECI=true CIRCLE_NODE_INDEX=0 CIRCLE_NODE_TOTAL=4",
                "slice:1/4",
            ),
            (
                "BUILDKITE=true BUILDKITE_PARALLEL_JOB=3 BUILDKITE_PARALLEL_JOB_COUNT=4",
                "slice:4/4",
            ),
            (
                "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_COUNT=4",
                "slice:3/4",
            ),
            (
                "SLURM_ARRAY_TASK_ID=9 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_STEP=2 SLURM_ARRAY_TASK_COUNT=4",
                "slice:3/4",
            ),
            // A runner of GitLab's may itself be such a job.
            (
                "GITLAB_CI=true CI_NODE_INDEX=2 CI_NODE_TOTAL=3 JOB_COMPLETION_INDEX=0",
                "slice:2/3",
            ),
        ] {
            assert_eq!(said(None, vars).as_deref(), Ok(part), "{vars}");
        }
        assert_eq!(
            said(Some(4), "JOB_COMPLETION_INDEX=3").as_deref(),
            Ok("slice:4/4")
        );
        let same = "CIRCLECI=true CIRCLE_NODE_INDEX=1 CIRCLE_NODE_TOTAL=2";
        assert_eq!(said(Some(2), same).as_deref(), Ok("slice:2/2"));
    }

    #[test]
    fn what_is_no_part_is_refused_with_a_way_out() {
        for (count, vars, why) in [
            (None, "", "no service that numbers its jobs"),
            (
                None,
                "CI=true CI_NODE_INDEX=1 CI_NODE_TOTAL=3",
                "known are GitLab",
            ),
            (
                None,
                "GITLAB_CI=true CI_NODE_TOTAL=3",
                "`CI_NODE_INDEX` is not set",
            ),
            (
                None,
                "GITLAB_CI=true CI_NODE_INDEX=0 CI_NODE_TOTAL=3",
                "is 0, which is none of 3",
            ),
            (
                None,
                "GITLAB_CI=true CI_NODE_INDEX=4 CI_NODE_TOTAL=3",
                "is 4, which is none of 3",
            ),
            (
                None,
                "GITLAB_CI=true CI_NODE_INDEX=x CI_NODE_TOTAL=3",
                "is no number: `x`",
            ),
            (
                None,
                "CIRCLECI=true CIRCLE_NODE_INDEX=3 CIRCLE_NODE_TOTAL=3",
                "none of 3",
            ),
            (
                Some(2),
                "CIRCLECI=true CIRCLE_NODE_INDEX=0 CIRCLE_NODE_TOTAL=3",
                "it has 3 jobs",
            ),
            (
                None,
                "BUILDKITE=true",
                "`BUILDKITE_PARALLEL_JOB` is not set",
            ),
            (None, "JOB_COMPLETION_INDEX=0", "`--partition auto/N`"),
            (Some(2), "JOB_COMPLETION_INDEX=2", "none of 2"),
            (
                None,
                "SLURM_ARRAY_TASK_ID=8 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_STEP=2 SLURM_ARRAY_TASK_COUNT=4",
                "none of 4",
            ),
        ] {
            let refused = said(count, vars).unwrap_err();
            assert!(refused.contains(why), "{vars}: {refused}");
        }
    }

    #[test]
    fn what_is_typed_is_read() {
        let four = NonZeroU64::new(4);
        assert_eq!(shard("auto"), Ok(Shard::Auto(None)));
        assert_eq!(shard("auto/4"), Ok(Shard::Auto(four)));
        assert_eq!(
            shard("hash:1/4"),
            Ok(Shard::Part("hash:1/4".parse().unwrap()))
        );
        for wrong in ["auto/", "auto/0", "auto/x", "auto:4", "1/4", ""] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
    }
}
